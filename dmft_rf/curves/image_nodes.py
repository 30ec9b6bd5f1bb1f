r"""One- and two-point functions of a network on samples, on a contour or of drawn networks.

The same measures as `Nodes` has, of other equations.

With the transforms of `dmft_rf.images.medium` and L_best = 1 - Tr V^T (S + N_0)^{-1} V/d, the test
loss of the best network on the same features, a filter h has

    L_train = 1 - S_VV[2 h - x h^2],    Delta_t E_score = 1 - L_best - 2 S_VV[h] + T[h, h],
    L_test = L_best + Delta_t E_score.

Drawn networks have them as sums over their eigenvalues.
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
from dmft_rf.curves.majorants import Majorants, NoMajorants, Turning
from dmft_rf.curves.nodes import WHOLE, Nodes
from dmft_rf.images.networks import DrawnNetworks
from dmft_rf.numerics.estimate import EPS, ROUNDING, Estimate

if TYPE_CHECKING:
    from dmft_rf.images.law import DrawnLaw, ImageLaw
    from dmft_rf.numerics.contour import Contour
    from dmft_rf.rules.flow import Rule


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
        self.found = law.solved_at(contour.z, pace)
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

    def mean(self, f: NDArray[Any], atoms: slice = WHOLE) -> Array:
        """Nothing: no eigenvalue of a covariance is seen, shape (n_tau, 0)."""
        return np.empty((f.shape[0], 0))

    def quadratic(self, f: NDArray[Any], turning: Turning | None = None) -> Estimate:
        """All of Delta_t E_score for the filter f."""
        start = Estimate.exact(np.full(f.shape[0], 1.0 - self.model.floor))
        return start.plus(
            (-2.0, self.integral(f, self.S_VV, turning)), (1.0, super().quadratic(f, turning))
        )

    def bilinear(self, f: Complex, g: Complex, turning_f: Turning, turning_g: Turning) -> Estimate:
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


class DrawnNodes(ImageNodes):
    """Sums over the eigenvalues of drawn networks, averaged over the draws.

    Parameters
    ----------
    law : DrawnLaw
    networks : DrawnNetworks
        All of those of the law, or some.
    """

    _content = ("law", "networks")
    law: DrawnLaw

    def __init__(self, law: DrawnLaw, networks: DrawnNetworks):
        self.law = law
        self.networks = networks
        self.seal()

    def each(self) -> list[DrawnNodes]:
        """The networks one by one."""
        n = self.networks
        parts = zip(n.places, n.learned, n.known, n.seen, n.pairs, strict=True)
        return [
            DrawnNodes(self.law, DrawnNetworks(*(array[None] for array in one))) for one in parts
        ]

    def _mean(self, values: Array) -> Array:
        """``values`` (R, p) as a measure on the points, shape (R p,)."""
        return values.ravel() / values.shape[0]

    @property
    def points(self) -> Any:
        """Eigenvalues of every network, shape (R p,)."""
        return self.networks.places.ravel()

    @property
    def around_zero(self) -> bool:
        """No: the eigenvalues lie above 0."""
        return False

    @property
    def outside(self) -> Array:
        """No eigenvalue is left out, shape (0, 2)."""
        return np.empty((0, 2))

    @property
    def solved(self) -> tuple[int, float]:
        """Nothing: no equation is solved."""
        return 0, 0.0

    @property
    def defect(self) -> float:
        """Relative rounding of the least eigenvalues."""
        low, high = self.law.ends
        return 10.0 * EPS * high / low

    @property
    def S_VV(self) -> Any:
        """Weights of the measure of S_VV at the points."""
        return self._mean(self.networks.learned)

    @property
    def S_VW(self) -> Any:
        """As S_VV."""
        return self.S_VV

    @property
    def S_test(self) -> Any:
        """Weights of the measure of (1/d) Tr U_test f(U)."""
        return self._mean(self.networks.seen)

    @property
    def variance(self) -> Any:
        """K of each network, shape (R, p, p), twice: a real point is its own conjugate."""
        return self.networks.pairs, self.networks.pairs

    @lazy
    def noise(self) -> Array:
        """Relative rounding of the eigenvalues, shape (R p,)."""
        return np.full(self.points.size, self.defect)

    @lazy
    def exact(self) -> Exact:
        """Integrals of 1 and 1/x."""
        inverse = float(np.sum(self.S_VV / self.points))
        return Exact(float(np.sum(self.S_VV)), inverse, 1.0 - inverse, self.defect)

    @lazy
    def _bulks(self) -> tuple[Any, Any, Array, Array]:
        q = np.full(self.points.size, 1.0 / self.points.size)
        return q, q * self.points, q, q * self.points

    def turning(self, rule: Rule, tau: Array) -> Majorants:
        """Nothing is hidden from sums over eigenvalues."""
        return NoMajorants(tau.size, self.points.size)

    def integral(
        self,
        f: NDArray[Any],
        transform: NDArray[Any],
        turning: Turning | None = None,
        size: Array | None = None,
    ) -> Estimate:
        """Sum of f over the measure with these weights."""
        value = f @ transform
        return Estimate(value, (ROUNDING + self.defect) * (np.abs(f) @ np.abs(transform)))

    def quadratic(self, f: NDArray[Any], turning: Turning | None = None) -> Estimate:
        """All of Delta_t E_score for the filter f."""
        start = Estimate.exact(np.full(f.shape[0], 1.0 - self.model.floor))
        known = self.integral(f, self._mean(self.networks.known))
        return start.plus((-2.0, known), (1.0, self._pairs(f, f)))

    def bilinear(
        self, f: NDArray[Any], g: NDArray[Any], turning_f: Any, turning_g: Any
    ) -> Estimate:
        """Half of the derivative of `quadratic` at f in the direction g."""
        known = self.integral(g, self._mean(self.networks.known))
        return self._pairs(f, g).plus((-1.0, known))

    def _pairs(self, f: NDArray[Any], g: NDArray[Any]) -> Estimate:
        """f K g, averaged over the networks, row by row."""
        draws, p = self.networks.places.shape
        value, size = np.zeros(f.shape[0]), np.zeros(f.shape[0])
        for i, K in enumerate(self.networks.pairs):
            own = slice(i * p, (i + 1) * p)
            value += np.einsum("ti,ti->t", f[:, own] @ K, g[:, own]) / draws
            size += np.einsum("ti,ti->t", np.abs(f[:, own]) @ np.abs(K), np.abs(g[:, own])) / draws
        return Estimate(value, (ROUNDING + 2.0 * self.defect) * size)
