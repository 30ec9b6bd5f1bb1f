r"""One- and two-point functions of a network on samples, on a contour.

The same measures as `Nodes` has, of other equations.

With the transforms of `dmft_rf.images.medium` and L_best = 1 - Tr V^T (S + N_0)^{-1} V/d, the test
loss of the best network on the same features, a filter h has

    L_train = 1 - S_VV[2 h - x h^2],    Delta_t E_score = 1 - L_best - 2 S_VV[h] + T[h, h],
    L_test = L_best + Delta_t E_score.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dmft_rf._arithmetic import lazy
from dmft_rf._typing import Array, Complex
from dmft_rf.curves.exact import Exact
from dmft_rf.curves.forms import Form
from dmft_rf.curves.nodes import Nodes
from dmft_rf.images.pairs import at_points
from dmft_rf.numerics.estimate import EPS, ROUNDING, Estimate

if TYPE_CHECKING:
    from dmft_rf.images.law import ImageLaw
    from dmft_rf.numerics.contour import Contour


class ImageNodes(Nodes):
    """Integrals for an `ImageModel`, from values on a contour.

    Parameters
    ----------
    law : ImageLaw
    contour : Contour
    """

    _content: ClassVar[tuple[str, ...]] = ("law", "contour", "found")
    law: ImageLaw

    def __init__(self, law: ImageLaw, contour: Contour):
        self.law = law
        self.contour = contour
        pace = 2j * math.pi * contour.weights
        self.found = at_points(law.model.medium, contour.z, pace, law.tolerance)
        self.seal()

    @property
    def solved(self) -> tuple[int, float]:
        """Steps of the one-point equations in total, and the relative size of the last ones."""
        return self.found.iterations, float(self.found.residual.max())

    @property
    def cancelled(self) -> Array:
        """Nothing: the transforms are traces of matrices, shape (N,)."""
        return np.ones(self.points.size)

    @property
    def S_VV(self) -> Complex:
        """(1/d) Tr V^T (U - z)^{-1} V."""
        return self.found.S_VV

    @property
    def S_VW(self) -> Complex:
        """That of V, which stands for a M here."""
        return self.found.S_VV

    @property
    def S_test(self) -> Complex:
        """(1/d) Tr U_test (U - z)^{-1}."""
        return self.found.seen

    @property
    def variance(self) -> tuple[Complex, Complex]:
        """T at (z_i, z_j) and (z_i, conj z_j), each (N, N)."""
        return self.found.plain, self.found.mixed

    @lazy
    def _variance_form(self) -> Form:
        plain, mixed = self.variance
        return Form.of(plain, mixed, np.abs(plain) + np.abs(mixed))

    @lazy
    def exact(self) -> Exact:
        """Integrals that are known without a contour."""
        V = self.law.model.medium.V
        mass, inverse = float(np.vdot(V, V)) / V.shape[1], float(self.law.zero.S_VV[0].real)
        return Exact(mass, inverse, 1.0 - inverse, ROUNDING)

    @lazy
    def _bulks(self) -> tuple[Complex, Complex, Array, Array]:
        q = self.found.trace
        x = 1.0 + self.points * q
        return q, x, np.abs(q), 1.0 + np.abs(self.points * q)

    def mean(self, f: NDArray[Any]) -> Array:
        """Nothing: no eigenvalue of a covariance is seen, shape (n_tau, 0)."""
        return np.empty((f.shape[0], 0))

    def quadratic(self, f: NDArray[Any], turning: NDArray[Any] | None = None) -> Estimate:
        """All of Delta_t E_score for the filter f."""
        start = Estimate.exact(np.full(f.shape[0], 1.0 - self.model.floor))
        return start.plus(
            (-2.0, self.integral(f, self.S_VV, turning)), (1.0, super().quadratic(f, turning))
        )

    def bilinear(
        self, f: Complex, g: Complex, turning_f: NDArray[Any], turning_g: NDArray[Any]
    ) -> Estimate:
        """Half of the derivative of `quadratic` at f in the direction g."""
        both = super().bilinear(f, g, turning_f, turning_g)
        return both.plus((-1.0, self.integral(g, self.S_VV, turning_g)))

    @property
    def untouched(self) -> float:
        """There is no atom at 0."""
        return 0.0

    @lazy
    def noise(self) -> Array:
        """Rounding of the inverses, relative, and the last step of the equations, shape (N,)."""
        z, (low, high) = self.points, self.law.ends
        near = np.abs(z - np.clip(z.real, low, high))
        noise: Array = 10.0 * EPS * high / near + self.found.rounding + self.found.residual
        return noise
