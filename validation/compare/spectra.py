r"""Eigenvalues of finite networks against the limiting law.

A finite U has no atom: |w_i|^2/d fluctuates by a relative sqrt(2/d), and with it the part of each
feature's variance that makes the atom at s_t^2, so that its p - n - d eigenvalues spread over a
cloud whose width falls like d^{-1/2} only. A jump and a cloud stay a finite Kolmogorov distance
apart at every d. The distance is therefore taken above the cut 3 s_t^2, clear of the cloud,

    KS = sup_{lambda > cut} |F_p(lambda) - F(lambda)|,

both counted from the top, and what lies below the cut is counted as a whole, against the mass that
the law has there: the atom, and the parts of bulks within a factor of three of it. Both differences
fall like 1/d; they are extrapolated as everything else is (`validation.compare.extrapolate`) and
must vanish within five errors and 1 % of the mass. Edges are listed, not judged.

With a finite number of noise draws there is no floor s_t^2. The cut is 0 then: what lies at it are
the directions that the draws do not span, exactly 0 in the finite network as in the law.
"""

from dataclasses import dataclass

import numpy as np

from dmft_rf._typing import Array
from validation.compare.extrapolate import Extrapolation, extrapolate
from validation.compare.theory import Prediction
from validation.finite.simulate import Cell

_LEVEL = 5.0
_SLACK = 0.01
_CUT = 3.0


@dataclass(frozen=True)
class Shape:
    """The spectrum of one case.

    Attributes
    ----------
    cut : float
        3 s_t^2, from where the distribution functions are compared (3 times the mean of s_t^2 over
        the classes of a mixture; 0 for a finite number of noise draws).
    distance : Extrapolation
        Kolmogorov distance above the cut.
    below : Extrapolation
        Fraction of the eigenvalues below the cut.
    mass_below, atom : float
        Mass of the law below the cut, and of its atom alone.
    edges : (n_sizes, 2) array
        Mean smallest eigenvalue above the cut and mean largest one (without the outlier).
    predicted_edges : (2,) array
        Where the law begins above the cut, and where it ends.
    """

    cut: float
    distance: Extrapolation
    below: Extrapolation
    mass_below: float
    atom: float
    edges: Array
    predicted_edges: Array

    @property
    def reasons(self) -> list[str]:
        """What is wrong with the shape; empty if nothing is."""
        out = []
        for fit, theory, what in (
            (self.distance, 0.0, "Kolmogorov distance"),
            (self.below, self.mass_below, "mass at the atom"),
        ):
            value, error = float(fit.value[0]), float(fit.error[0])
            if abs(value - theory) > _LEVEL * error + _SLACK:
                out.append(f"{what} {value:.4f} +- {error:.4f} at d = infinity, not {theory:.4f}")
        return out


def compare_spectra(prediction: Prediction, cells: list[Cell]) -> Shape:
    """Kolmogorov distance, mass near the atom and edges of the eigenvalues at each size."""
    law = prediction.spectrum
    points, continuous = prediction.cdf
    atom = float(law.atoms[:, 1].sum())
    cut = _CUT * float(law.model.groups.par[3])
    mass_below = atom + float(np.interp(cut, points, continuous))
    outlier = int(any(one.coefficients.mu0**2 > 1e-12 for one in law.model.classes))
    d = np.array([cell.d for cell in cells], dtype=float)
    rows = np.empty((len(cells), 4))
    for i, cell in enumerate(cells):
        lam = np.sort(cell.arrays["eigenvalues"])
        p = lam.size
        lam = lam[: p - outlier]
        above = lam[lam > cut]
        from_top = continuous[-1] - np.interp(above, points, continuous)
        rank = np.arange(above.size, 0, -1) / p
        distance = np.maximum(np.abs(rank - from_top), np.abs(rank - 1.0 / p - from_top))
        rows[i] = distance.max(), 1.0 - (above.size + outlier) / p, above[0], above[-1]
    edges = np.stack([rows[d == size, 2:].mean(axis=0) for size in np.unique(d)])
    inside = law.edges[law.edges[:, 1] > cut]
    predicted = np.array([max(cut, inside[0, 0]), inside[-1, 1]])
    return Shape(
        cut, extrapolate(d, rows[:, :1]), extrapolate(d, rows[:, 1:2]), mass_below, atom,
        edges, predicted,
    )  # fmt: skip
