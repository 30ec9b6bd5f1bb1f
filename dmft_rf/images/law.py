r"""Where the eigenvalues of U lie for a pool of samples, and the solution at z = 0.

From below they are bounded by those of N_0. At a real z above them the one-point equations have a
solution -1 < h_j < 0, and it is there as soon as one h in (-1, 0) and all j have

    Tr(S_j R)/n >= h (1 + a h)/(1 + h),    z above the eigenvalues of sum_j c_j S_j/(1 + a h) + N_0,

because the iteration h_j -> (the h of Tr(S_j R)/n) then rises from h and is bounded by 0. The
least such z over a few h is the upper end: a bound, which is a few per cent above the edge. No
subset of a pool has an eigenvalue above those of N_0 + (N/n) S, which bounds it for n close to N.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from dmft_rf._arithmetic import lazy
from dmft_rf._show import Table, table_of_law
from dmft_rf._typing import Array, Complex
from dmft_rf.images.image_model import ImageModel
from dmft_rf.images.medium import Medium
from dmft_rf.images.networks import DrawnNetworks, drawn_networks
from dmft_rf.images.pairs import AtPoints, at_points
from dmft_rf.images.path import FINE, FINEST
from dmft_rf.images.scalar import Modes, scalar_points
from dmft_rf.spectra.spectrum import Spectrum, spectrum

if TYPE_CHECKING:
    from dmft_rf.model.feature_model import FeatureModel

# h at which the upper end is looked for
_TRIED = (-0.25, -0.4, -0.55)
_HALVINGS = 40
# of the leverages, as a part of the accuracy of the curves, and the least
_LEVERAGES, _FINEST = 0.01, 1e-11


@dataclass(frozen=True, eq=False, repr=False)
class ImageLaw(Spectrum):
    """The ends of the law of U of an `ImageModel`; it has no density and no bulks.

    Attributes
    ----------
    tolerance : float
        Allowed relative error of the leverages on contours.
    """

    # the first contour then reaches rtol/2 for the digits, n from 64 to 512, and is not made twice
    slack: ClassVar[float] = 2.0
    model: ImageModel
    tolerance: float = FINE

    @lazy
    def ends(self) -> tuple[float, float]:
        """Bounds of the eigenvalues: that of N_0 from below, and from above."""
        medium = self.model.medium
        low, top = float(medium.noise[0]), self.model.moments.top
        tried: tuple[float, ...] = _TRIED
        if self.modes is not None:
            low, tried = min(low, self.modes.lowest), _TRIED[1:2]
        if medium.q >= 1.0:
            return low, top
        return low, min(upper_end(medium, tried), top / medium.q)

    @property
    def floor(self) -> float:
        """No eigenvalue is set apart."""
        return 0.0

    @property
    def edges(self) -> Array:
        """`ends` as the edges of one bulk, shape (1, 2)."""
        return np.array([self.ends])

    @property
    def atoms(self) -> Array:
        """None, shape (0, 2)."""
        return np.empty((0, 2))

    @property
    def learning_bulks(self) -> None:
        """Unknown."""
        return None

    @property
    def finer(self) -> ImageLaw | None:  # type: ignore[override]
        """The same with leverages a hundred times as accurate, unless that is out of reach."""
        better = 0.01 * self.tolerance
        coarse = self.modes is None and better >= FINEST
        return ImageLaw(self.model, better) if coarse else None

    def _table(self) -> Table:
        return table_of_law(self.edges, np.ones(1), self.atoms, ["all, within these ends"])

    @lazy
    def zero(self) -> AtPoints:
        """The solution at z = 0."""
        return at_points(self.model.medium, np.zeros(1))

    @lazy
    def modes(self) -> Modes | None:
        """What the scalar route solves; None where it is not taken."""
        if self.model.route != "scalar":
            return None
        return Modes.of(self.model.medium, self.zero.h[0])

    def solved_at(self, z: Complex, pace: Complex) -> AtPoints:
        """The solution on a contour, of which ``pace`` is dz by the number of the point."""
        if self.modes is not None:
            return scalar_points(self.modes, z)
        return at_points(self.model.medium, z, pace, self.tolerance)


class DrawnLaw(ImageLaw):
    """The eigenvalues of drawn networks."""

    drawn = True
    finer = None

    def __init__(self, model: ImageModel, networks: DrawnNetworks):
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "networks", networks)

    networks: DrawnNetworks

    @lazy
    def ends(self) -> tuple[float, float]:
        """The least and the largest eigenvalue of any."""
        places = self.networks.places
        return float(places.min()), float(places.max())


def law_of(model: FeatureModel, rtol: float) -> Spectrum:
    """The spectral law of a model of any kind, for curves of the relative accuracy ``rtol``."""
    if not isinstance(model, ImageModel):
        return spectrum(model)
    if model.route == "networks":
        return DrawnLaw(model, drawn_networks(model))
    return ImageLaw(model, max(_LEVERAGES * rtol, _FINEST))


def upper_end(medium: Medium, tried: tuple[float, ...] = _TRIED) -> float:
    """The least z, over a few h, that is certainly above the eigenvalues, for q < 1."""
    best = np.inf
    for h in tried:
        same = np.full(medium.shares.size, h)
        place, Q = np.linalg.eigh(medium.matrix(same, 0.0))
        size = np.stack([np.einsum("ia,ia->a", Q, one @ Q) for one in medium.S])
        least = medium.n * float(medium.held(same)[0])
        low, high = 0.0, float(size.sum(axis=1).max()) / -least  # distance from the top of place
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            enough = (size / (place - place[-1] - middle)).sum(axis=1).min() >= least
            low, high = (low, middle) if enough else (middle, high)
        best = min(best, float(place[-1]) + high)
    return best
