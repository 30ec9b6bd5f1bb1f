r"""The solved model: nodes on a contour, the one-point functions there and the two-point matrix.

Solving is done once; every training rule at every time is then a sum over the nodes (one-point)
and a quadratic form in them (two-point). How many nodes, and what is left of error, follow from
the support of the spectrum and from the nodes themselves: the Fourier coefficients of each
integrand around the contour fall geometrically, and the error of the trapezoidal rule is what they
alias; it is extrapolated from the last ones that the nodes resolve, and the rounding of the sum is
added.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dmft_rf.contour import Contour, half_plane_contour, nodes_for
from dmft_rf.errors import ConvergenceError, ModelError
from dmft_rf.kernels.two_point import assemble
from dmft_rf.model import ScoreModel
from dmft_rf.stieltjes import Resolvent, fixed_point_weights, resolvent
from dmft_rf.rules import GradientFlow, Rule
from dmft_rf.law import Spectrum, spectrum

if TYPE_CHECKING:
    from dmft_rf.dynamics import LearningCurves

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

_EPS = float(np.finfo(float).eps)
_ROUNDING = 8.0 * _EPS
_TRIES = 8
_SMALLEST_RTOL = 1e-13


@dataclass(frozen=True)
class Estimate:
    """Values with the absolute errors they carry, arrays of one shape."""

    value: Array
    error: Array


class ContourNodes:
    """One- and two-point functions on a contour around the support of U.

    The functions of U to be integrated are given by their values at ``points``, one row per
    time, and must be real on the real axis and analytic inside the contour.
    """

    def __init__(self, model: ScoreModel, law: Spectrum, contour: Contour):
        self.model = model
        self.law = law
        self.contour = contour
        self.resolvent: Resolvent = resolvent(model, contour.z)
        cov, par = model.covariance, model.parameters
        self._r = fixed_point_weights(
            self.resolvent.k, self.resolvent.E, par, cov.eigenvalues
        )  # (N, n_atoms)
        self._q1 = math.exp(-2.0 * model.t)
        self._q0 = model.coefficients.Delta_t

    @property
    def points(self) -> Complex:
        """Nodes in the upper half-plane, shape (N,)."""
        return self.contour.z

    @cached_property
    def S(self) -> Complex:
        """(1/d) Tr W^T (U - z)^{-1} W/d at the nodes."""
        return self._r @ self.model.covariance.weights

    @cached_property
    def S_diffused(self) -> Complex:
        """(1/d) Tr Sigma_t W^T (U - z)^{-1} W/d at the nodes."""
        return self._r @ (self.model.covariance.weights * self.model.diffused)

    @cached_property
    def q_bulk(self) -> Complex:
        """(1/p) Tr (U - z)^{-1} at the nodes, without the atom at s^2 (which they may enclose)."""
        q = self.resolvent.q
        for location, mass in self.law.atoms:
            q = q - mass / (location - self.contour.z)
        return q

    @cached_property
    def two_point(self) -> tuple[Complex, Complex]:
        """T_Q(z_i, z_j) and T_Q(z_i, conj z_j) for Q = Sigma_t, each (N, N)."""
        cov, par = self.model.covariance, self.model.parameters
        lam, w, r, s = cov.eigenvalues, cov.weights, self._r, self.resolvent
        n = s.z.size
        left = np.concatenate([r * w, r * (w * lam), r * (w * lam**2)])
        both = (left @ np.concatenate([r, r.conj()]).T).reshape(3, n, 2 * n)
        plain, mixed = both[..., :n], both[..., n:]
        q0, q1 = self._q0, self._q1
        first = (s.z, s.k, s.E)
        second = (s.z.conj(), s.k.conj(), s.E.conj())
        return (
            assemble(*first, *first, s.dk, True, plain[0], plain[1], plain[2], q0, q1, par),
            assemble(*first, *second, s.dk, False, mixed[0], mixed[1], mixed[2], q0, q1, par),
        )

    @cached_property
    def _two_point_size(self) -> Array:
        return np.abs(self.two_point[0]) + np.abs(self.two_point[1])

    def integral(self, f: Complex, transform: Complex) -> Estimate:
        """Integral of f against the measure with this Stieltjes transform; f is (n_tau, N)."""
        terms = f * (self.contour.weights * transform)
        return Estimate(2.0 * terms.sum(axis=1).real, self._error(terms))

    def quadratic(self, f: Complex) -> Estimate:
        """T_Q[f, f] for Q = Sigma_t."""
        plain, mixed = self.two_point
        u = f * self.contour.weights
        terms = u * (u @ plain + u.conj() @ mixed.T)
        size = np.abs(u)
        rounding = np.einsum("ti,ti->t", size, size @ self._two_point_size)
        return Estimate(
            2.0 * terms.sum(axis=1).real, 2.0 * self._error(terms) + _ROUNDING * rounding
        )

    def _error(self, terms: Complex) -> Array:
        """Truncation of the trapezoidal rule, from the last Fourier coefficients, and rounding."""
        size = np.abs(terms).sum(axis=1)
        coefficients = np.abs((terms @ self.contour.harmonics).real)
        half = coefficients.shape[1] // 2
        up, down = coefficients[:, :half].max(axis=1), coefficients[:, half:].max(axis=1)
        return 4.0 * (up + down) + _ROUNDING * size

    def bilinear(self, f: Complex, g: Complex) -> Array:
        """T_Q[f, g] for Q = Sigma_t, row by row."""
        plain, mixed = self.two_point
        u, v = f * self.contour.weights, g * self.contour.weights
        return 2.0 * np.einsum("ti,ti->t", v, u @ plain + u.conj() @ mixed.T).real


@dataclass(frozen=True)
class Solution:
    """A solved ScoreModel: learning curves of any linear training rule at any time.

    Attributes
    ----------
    model : ScoreModel
    rtol : float
        Relative accuracy that was asked for.
    spectrum : Spectrum
        The spectral law of U.
    nodes : ContourNodes
        One- and two-point functions on the contour.
    train_limit : float
        Training loss of minimum-norm least squares, the limit tau -> infinity.
    error_estimate : float
        Estimated relative error of train loss, test loss and score error under gradient flow, the
        largest over all times.
    diagnostics : dict
        nodes, newton_steps, residual, support, mass_error (of the measure of section 4),
        first_moment_error, tries, seconds.
    """

    model: ScoreModel
    rtol: float
    spectrum: Spectrum
    nodes: ContourNodes
    train_limit: float
    error_estimate: float
    diagnostics: dict[str, Any] = field(compare=False)

    def learning_curves(self, tau: ArrayLike, rule: Rule | None = None) -> LearningCurves:
        """Train loss, test loss, generalization gap and score error at the times ``tau``.

        Parameters
        ----------
        tau : array, any shape
            Gradient-flow time (dA/dtau = -d^2 grad L_train), >= 0; may hold 0 and inf.
        rule : Rule
            GradientFlow() by default; Ridge, GradientDescent, HeavyBall, WeightAverage.

        Raises
        ------
        ModelError
            If a time is negative or NaN, or the rule diverges on this spectrum.
        ConvergenceError
            If ``rtol`` cannot be reached for this rule.
        """
        from dmft_rf.dynamics import learning_curves

        return learning_curves(self, tau, GradientFlow() if rule is None else rule)


def solve(model: ScoreModel, rtol: float = 1e-10) -> Solution:
    """Solve ``model`` once, for all training rules and times.

    Parameters
    ----------
    model : ScoreModel
    rtol : float
        Relative accuracy of train loss, test loss and score error, between 1e-13 and 1e-2.

    Raises
    ------
    ModelError
        If ``rtol`` is outside its range.
    ConvergenceError
        If the one-point equations fail at a node, if the support of U touches 0, or if ``rtol`` is
        not reached; ``partial`` is then the Solution with its error estimate.
    """
    if not _SMALLEST_RTOL <= rtol <= 1e-2:
        raise ModelError(f"rtol is {rtol!r}; it must be between {_SMALLEST_RTOL:g} and 0.01")
    start = time.perf_counter()
    law = spectrum(model)
    m, M = float(law.edges[0, 0]), float(law.edges[-1, 1])
    if not m > 0.0:
        raise ConvergenceError(
            f"the support of U begins at {m!r}: at psi_p = {model.psi_p} this activation has a hard "
            "edge at 0 and no contour separates them; move psi_p off this value",
            partial=law,
        )
    limit = _train_limit(model)
    n = nodes_for(m, M, rtol)
    for tries in range(1, _TRIES + 1):
        nodes = ContourNodes(model, law, half_plane_contour(m, M, n))
        draft = Solution(model, rtol, law, nodes, limit, math.nan, {})
        error = _largest_error(draft, m, M)
        solution = Solution(
            model, rtol, law, nodes, limit, error, _diagnostics(nodes, m, M, tries, start)
        )
        if error <= rtol:
            return solution
        n = math.ceil(1.25 * n)
    raise ConvergenceError(
        f"learning curves reached a relative error of {error:.1e} with {nodes.points.size} nodes; "
        f"rtol = {rtol:g} was asked for (t = {model.t}, psi_p = {model.psi_p}, "
        f"psi_n = {model.psi_n})",
        partial=solution,
        residual=error,
    )


def _largest_error(solution: Solution, m: float, M: float) -> float:
    """Largest relative error over times from before the fastest mode to after the slowest."""
    from dmft_rf.dynamics import relative_error

    rate = solution.model.rate
    probes = np.append(np.geomspace(0.03 / (rate * M), 30.0 / (rate * m), 13), np.inf)
    return relative_error(solution, probes, GradientFlow())


def _train_limit(model: ScoreModel) -> float:
    """1 - b^2 S(0) = sum_k w_k (1/(psi_p q) + y~ lambda_k)/(x + y~ lambda_k) at z = 0."""
    at_zero = resolvent(model, 0.0)
    par, cov = model.parameters, model.covariance
    k, E = float(at_zero.k.real), float(at_zero.E.real)
    r = fixed_point_weights(np.array([k + 0j]), np.array([E + 0j]), par, cov.eigenvalues)[0].real
    return float(np.sum(cov.weights * (-k + par[5] / E * cov.eigenvalues) * r))


def _diagnostics(
    nodes: ContourNodes, m: float, M: float, tries: int, start: float
) -> dict[str, Any]:
    model = nodes.model
    one = np.ones((1, nodes.points.size))
    mass = float(nodes.integral(one, nodes.S).value[0])
    return {
        "nodes": int(nodes.points.size),
        "newton_steps": nodes.resolvent.iterations,
        "residual": float(nodes.resolvent.residual.max()),
        "support": (m, M),
        "mass_error": abs(mass / model.psi_p - 1.0),
        "tries": tries,
        "seconds": time.perf_counter() - start,
    }
