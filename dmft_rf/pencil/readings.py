r"""Losses of random-features models from their pencils.

A filter h of U enters the losses through integrals on a contour around the support
(theory.md, sections 6 and 10). `PencilNodes` are the nodes of such a contour with the pencil solved
there; their number is chosen by the rate at which the rule converges, and every loss is checked
against three quarters of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from dmft_rf._arithmetic import ieee
from dmft_rf._convert import LARGEST, complexes, floats, instance, number, whole
from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array, Complex
from dmft_rf.errors import ConvergenceError, ModelError
from dmft_rf.model.covariance import Covariance
from dmft_rf.numerics.contour import Contour, half_plane_contour, nodes_for
from dmft_rf.pencil.points import Elements, Points
from dmft_rf.pencil.support import find_support
from dmft_rf.pencil.system import System
from dmft_rf.pencil.zoo import regression

_LARGEST_RIDGE = 1e100
_FEWEST_NODES = 16
_MOST_NODES = 400
# of the support's ends: how far away the contour is kept
_MARGIN = 0.9


@ieee
@dataclass(frozen=True, eq=False)
class PencilNodes(Frozen):
    """A contour around the bulks of a positive law, with the pencil solved on it.

    Attributes
    ----------
    contour : Contour
    points, mirrored : Points
        Solutions at its nodes and at their conjugates.
    """

    contour: Contour
    points: Points
    mirrored: Points

    @classmethod
    def around(
        cls, system: System, ends: tuple[float, float], nodes: int, ridge: float = 0.0
    ) -> PencilNodes:
        """Return ``nodes`` nodes around the support, with these ends, in Re z > -ridge.

        Raises
        ------
        ModelError
            If the support does not lie in lambda > -ridge: a hard edge at 0 needs a ridge.
        """
        instance(system, System, "system", "pencil.bind()")
        ends = tuple(floats(ends, "ends", ndim=1).tolist())
        if len(ends) != 2 or not ends[0] <= ends[1]:
            raise ModelError(f"ends is {ends}; it must be the lowest and the highest edge")
        nodes = whole(nodes, "nodes", most=10 * _MOST_NODES)
        ridge = number(ridge, "ridge", least=0.0, most=_LARGEST_RIDGE)
        low, high = ends[0] + ridge, ends[1] + ridge
        if not low > 0.0:
            raise ModelError(
                f"the support begins at {low - ridge} with ridge {ridge}; a contour needs a "
                "support above -ridge"
            )
        flat = half_plane_contour(_MARGIN * low, high / _MARGIN, nodes)
        contour = Contour(flat.z - ridge, flat.weights, flat.readings, flat.left - ridge)
        return cls(contour, system.solve(contour.z), system.solve(contour.z.conj()))

    def integral(self, f: Complex, transform: Complex) -> Array:
        """Integral of f against the measure with this Stieltjes transform; f is (n_tau, N)."""
        return 2.0 * (f @ (self.contour.weights * transform)).real

    def quadratic(self, f: Complex, inner: Elements, outer: Elements) -> Array:
        """Double integral of f(z_1) f(z_2) against a two-point function; f is (n_tau, N)."""
        u = f * self.contour.weights
        plain = self.points.two_point(self.points, inner, outer)
        mixed = self.points.two_point(self.mirrored, inner, outer)
        rows = np.einsum("ti,ij,tj->t", u, plain, u) + np.einsum("ti,ij,tj->t", u, mixed, u.conj())
        return 2.0 * rows.real


@ieee
def converged(
    losses: Callable[[PencilNodes], Array], system: System, ridge: float, rtol: float
) -> tuple[Array, float]:
    """Losses on a contour that agree within ``rtol`` of the largest with those on a smaller one.

    Returns
    -------
    losses, error : array, float
        The last ones, and their difference from the last but one.

    Raises
    ------
    ConvergenceError
        If they do not agree with the largest contour.
    """
    natural = system.balanced[0]
    edges = find_support(natural.arrays).edges
    ends = natural.unit * float(edges[0, 0]), natural.unit * float(edges[-1, 1])
    low, high = ends[0] + ridge, ends[1] + ridge
    nodes = nodes_for(_MARGIN * low, high / _MARGIN, rtol) if low > 0.0 else _FEWEST_NODES
    nodes = max(_FEWEST_NODES, nodes)
    before = losses(PencilNodes.around(system, ends, math.ceil(0.75 * nodes), ridge))
    error = math.inf
    while nodes <= _MOST_NODES:
        now = losses(PencilNodes.around(system, ends, math.ceil(nodes), ridge))
        largest = float(np.max(np.abs(now), initial=0.0)) or 1.0  # no time, no loss
        error = float(np.max(np.abs(now - before), initial=0.0)) / largest
        if error <= rtol:
            return now, error
        before, nodes = now, 1.4 * nodes
    raise ConvergenceError(
        f"losses on {_MOST_NODES} nodes still differ by {error:.1e} (asked for: {rtol:.0e})",
        partial=before,
        residual=error,
    )


def gradient_flow(z: Complex, tau: Array, ridge: float) -> Complex:
    """h = (1 - e^{-(z + ridge) tau})/(z + ridge) for times of any kind, shape (n_tau, N)."""
    z = complexes(z, "z").ravel()
    tau = floats(tau, "tau", ndim=1, least=0.0, infinite=True)
    x = z + number(ridge, "ridge", least=0.0, most=_LARGEST_RIDGE)
    out = np.empty((tau.size, z.size), np.complex128)
    late = np.isinf(tau)
    out[late] = 1.0 / x
    out[~late] = -np.expm1(-np.multiply.outer(tau[~late], x)) / x
    return out


def _bound(system: object, names: set[str], example: str) -> None:
    """Raise ModelError unless ``system`` is a pencil with one value for each of these names."""
    found = instance(system, System, "system", example)
    if set(found.values) != names or found.shape != ():
        raise ModelError(
            f"the system has the parameters {', '.join(found.values) or 'none'} of shape "
            f"{found.shape}; it needs one value each for {', '.join(sorted(names))}: see {example}"
        )


@ieee
@dataclass(frozen=True)
class Regression:
    r"""Losses of random-features regression, at every time of gradient flow.

    Attributes
    ----------
    system : System
        `zoo.regression` with values.
    noise : float
        Standard deviation of the noise of the labels.

    Notes
    -----
    The weights B follow dB/dtau = -(U + ridge) B + V from B = 0: gradient flow on half the mean
    squared error plus ridge |B|^2/2 (arXiv:2110.11805). tau = inf is ridge regression
    (arXiv:1908.05355, with ridge = psi_1 lambda there).
    """

    system: System
    noise: float

    def __post_init__(self) -> None:
        _bound(self.system, {"psi_p", "psi_n", "mu", "nu"}, "Regression.of(4.0, 2.0, 1.0, 0.5)")
        object.__setattr__(self, "noise", number(self.noise, "noise", least=0.0, most=LARGEST))

    @classmethod
    def of(
        cls,
        psi_p: float,
        psi_n: float,
        mu: float,
        nu: float,
        noise: float = 0.0,
        covariance: Covariance | None = None,
    ) -> Regression:
        """Return the model with features mu W x/sqrt(d) + nu omega."""
        return cls(regression().bind(covariance, psi_p=psi_p, psi_n=psi_n, mu=mu, nu=nu), noise)

    def losses(
        self, tau: ArrayLike, ridge: float = 0.0, rtol: float = 1e-10
    ) -> tuple[Array, Array]:
        """Mean squared error on the samples and on fresh ones, labels' noise included.

        Parameters
        ----------
        tau : array_like
            Times >= 0, inf included.
        ridge : float
            >= 0.
        rtol : float
            Asked of the largest loss.

        Returns
        -------
        train, test : arrays shaped like tau

        Raises
        ------
        ModelError
            If the spectrum of U has a hard edge at 0 (p = n) and there is no ridge.
        ConvergenceError
            If the losses do not reach ``rtol``.
        """
        times = floats(tau, "tau", least=0.0, infinite=True)
        ridge = number(ridge, "ridge", least=0.0, most=_LARGEST_RIDGE)
        rtol = number(rtol, "rtol", least=1e-13, most=1e-2)
        values = {k: float(v) for k, v in self.system.values.items()}
        mu, nu, psi_n = values["mu"], values["nu"], values["psi_n"]
        cov = self.system.covariance
        label = cov.mean + self.noise**2

        def both(nodes: PencilNodes) -> Array:
            z, points = nodes.contour.z, nodes.points
            h = gradient_flow(z, times.ravel(), ridge)
            # beta and the noise of the labels feed blocks x and a
            share = self.noise**2 / psi_n
            S_VV = -points.trace("y", "x") - share * points.trace("a", "a")
            S_VW = -points.trace("y", "g", cov.eigenvalues)
            train = label - nodes.integral(2.0 * h - z * h * h, S_VV)
            test = label - 2.0 * mu * nodes.integral(h, S_VW)
            test += nu**2 * nodes.integral(h * h, S_VV)
            inner = {("g", "f"): cov.eigenvalues}
            outer: Elements = {("y", "x"): 1.0, ("a", "a"): share}
            return np.stack([train, test + mu**2 * nodes.quadratic(h, inner, outer)])

        found, _ = converged(both, self.system, ridge, rtol)
        return found[0].reshape(times.shape), found[1].reshape(times.shape)
