r"""One- and two-point functions on the spectrum itself, for filters that no contour carries.

The filter of heavy-ball momentum is bounded on the spectrum but grows exponentially outside a thin
ellipse around it. Such filters are integrated on the real axis, where the measures behind the
transforms are

    d nu = Im S(x + i0)/pi dx,
    d V_Q(x, y) = K(x, y) dx dy + D(x) delta(x - y) dx dy,
    K = -(1/2 pi^2) Re[V_Q(x + i0, y + i0) - V_Q(x + i0, y - i0)],
    D = k_1 k_2 u_Q u_I Im k/pi    (the residue of V_Q at z_1 = z_2),

and K is smooth on each pair of bulks. x runs over the 16-point Gauss-Legendre nodes of the
spectrum's panels and y over the 15-point ones, which interlace, so that the removable
singularity of K at x = y is never met; the difference between the two one-point rules is the
error estimate of the filter's resolution, and gradient flow against the contour that of K.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._arithmetic import lazy
from dmft_rf._convert import frozen
from dmft_rf._frozen import Frozen
from dmft_rf.curves.closed_form_nodes import ContourNodes, closed_form_exact
from dmft_rf.curves.nodes import Exact
from dmft_rf.errors import ConvergenceError
from dmft_rf.kernels import closed_form as fixed_point
from dmft_rf.kernels.closed_form_pairs import ANY, assemble, diagonal
from dmft_rf.numerics.estimate import ROUNDING, Estimate
from dmft_rf.rules.flow import GradientFlow
from dmft_rf.spectra.resolvent import fixed_point_weights
from dmft_rf.spectra.spectrum import Panels, Spectrum

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

_FINE, _COARSE = 16, 15


def nodes_on(panels: Panels) -> int:
    """How many nodes in x SpectralNodes would have on these panels."""
    return _FINE * panels.left.size


class SpectralNodes(Frozen):
    """The measures nu, rho and V_Q (Q = Sigma_t) on Gauss-Legendre panels of the bulks.

    Functions of U are given by their values at ``points`` (fine nodes, then coarse ones), one row
    per time.
    """

    _content = ("law", "panels")

    def __init__(self, law: Spectrum, panels: Panels, contour: ContourNodes, times: Array):
        if not law.model.closed_form:
            raise ValueError(f"there is no closed form for {law.model}")
        self.model = law.model
        self.law = law
        self.panels = panels
        x, wx = panels.rule(_FINE)
        y, wy = panels.rule(_COARSE)
        self.size = x.size
        self._offsets = np.concatenate([x, y])
        self._weights = np.concatenate([wx, wy])
        cov = self.model.covariance
        self._b = self.model.coefficients.b
        self._par = self.model.parameters.copy()
        self._par[4] = 0.0  # eigenvalues are measured from s^2
        frozen(self._par)
        order = np.argsort(self._offsets)
        k, E, _, _, residual, status, _ = fixed_point.solve_path(
            self._offsets[order] + 0j, self._par, cov.eigenvalues, cov.weights
        )
        if np.any(status != fixed_point.CONVERGED):
            bad = float(self._offsets[order][status != fixed_point.CONVERGED][0])
            raise ConvergenceError(
                f"no solution of the one-point equations at lambda - s^2 = {bad!r}",
                residual=float(residual.max()),
            )
        self._k = np.empty_like(k)
        self._E = np.empty_like(E)
        self._k[order], self._E[order] = k, E
        self._r = fixed_point_weights(self._k, self._E, self._par, cov.eigenvalues)
        self._kernel_error = 0.0
        self.seal()
        self._kernel_error = self._against(contour, times)

    def _against(self, contour: ContourNodes, times: Array) -> float:
        """Largest difference of V_Q[h, h] from the contour, relative to T_Q[h, h].

        h is gradient flow at ``times``.
        """
        rule, rate = GradientFlow(), self.model.rate
        h = rule.filter(self.points, times, rate)
        here = self.quadratic(h).value
        there = contour.quadratic(rule.filter(contour.points, times, rate)).value
        return float(np.max(np.abs(here - there) / (self._mean_square(h) + np.abs(there))))

    def _mean_square(self, f: NDArray[Any]) -> Array:
        """a^2 b^2 <Sigma_t M[f]^2>, the part of the two-point function that is not variance."""
        return self.mean(f) ** 2 @ (self.model.covariance.weights * self._test)

    @property
    def points(self) -> Array:
        """Eigenvalues of U: fine nodes, then coarse ones; shape (n_points,)."""
        return self._offsets + self.model.coefficients.s2

    @property
    def around_zero(self) -> bool:
        """No: the spectrum lies above 0."""
        return False

    @property
    def outside(self) -> Array:
        """(location, mass) of every atom."""
        return self.law.atoms

    def empirical(self, h: NDArray[Any], turning: NDArray[Any] | None = None) -> None:
        """The loss on the training samples under fresh noise is L_train itself."""

    @property
    def untouched(self) -> float:
        """An atom above 0 is orthogonal to W."""
        return 0.0

    @lazy
    def exact(self) -> Exact:
        """Integrals that are known without nodes."""
        return closed_form_exact(self.law)

    @lazy
    def _test(self) -> Array:
        """a^2 Sigma_t at the atoms."""
        (one,) = self.model.classes
        return one.linear**2 * one.diffused

    @lazy
    def S(self) -> Array:
        """Density of nu at the points."""
        return (self._r @ self.model.covariance.weights).imag / math.pi

    @property
    def S_VV(self) -> Array:
        """Density of b^2 nu."""
        return self._b**2 * self.S

    @property
    def S_VW(self) -> Array:
        """Density of b nu."""
        return self._b * self.S

    @lazy
    def S_test(self) -> Array:
        """Density of the measure of (1/d) Tr a^2 Sigma_t W^T (U - z)^{-1} W/d at the points."""
        return (self._r @ (self.model.covariance.weights * self._test)).imag / math.pi

    @lazy
    def q_bulk(self) -> Array:
        """Density of rho at the points."""
        return (-1.0 / self._k).imag / (math.pi * self.model.psi_p)

    @lazy
    def x_bulk(self) -> Array:
        """Density of x rho at the points."""
        return self.points * self.q_bulk

    @property
    def bulk_sizes(self) -> tuple[Array, Array]:
        """The densities themselves, which are no sums."""
        return self.q_bulk, self.x_bulk

    @lazy
    def _variance(self) -> tuple[Array, Array]:
        """Weighted K on (fine, coarse) nodes and weighted D on the fine ones."""
        cov, n = self.model.covariance, self.size
        lam, w = cov.eigenvalues, cov.weights
        (one,) = self.model.classes
        scale = (self._b * one.linear) ** 2
        q0, q1 = scale * one.coefficients.Delta_t, scale * math.exp(-2.0 * self.model.t)
        rx, ry = self._r[:n], self._r[n:]
        kx, ky, Ex, Ey = self._k[:n], self._k[n:], self._E[:n], self._E[n:]
        x, y = self._offsets[:n], self._offsets[n:]
        left = np.concatenate([rx * w, rx * (w * lam), rx * (w * lam**2)])

        def between(r: Complex, k: Complex, E: Complex) -> Array:
            m = (left @ r.T).reshape(3, n, y.size)
            out = assemble(x, kx, Ex, y, k, E, kx, ANY, m[0], m[1], m[2], q0, q1, self._par)
            return out.real

        across = between(ry.conj(), ky.conj(), Ey.conj())
        K = (across - between(ry, ky, Ey)) / (2.0 * math.pi**2)
        size = np.abs(rx) ** 2
        D = diagonal(kx, Ex, size @ w, size @ (w * lam), size @ (w * lam**2), q0, q1, self._par)
        wx, wy = self._weights[:n], self._weights[n:]
        return wx[:, None] * K * wy, wx * D

    def mean(self, f: NDArray[Any]) -> Array:
        """Equivalent of b W^T f(U) W/d, at the eigenvalues of Sigma; shape (n_tau, n_atoms)."""
        n = self.size
        return (f[:, :n] * self._weights[:n]) @ (self._b * self._r[:n].imag / math.pi)

    def integral(
        self,
        f: NDArray[Any],
        density: NDArray[Any],
        turning: NDArray[Any] | None = None,
        size: Array | None = None,
    ) -> Estimate:
        """Integral of f against the measure with this density; f is (n_tau, n_points).

        As that of Nodes, but for ``turning`` and ``size``, which only a contour needs.
        """
        terms = f * (self._weights * density)
        fine, coarse = terms[:, : self.size].sum(axis=1), terms[:, self.size :].sum(axis=1)
        rounding = ROUNDING * np.abs(terms).sum(axis=1)
        return Estimate(fine, np.abs(fine - coarse) + rounding)

    def quadratic(self, f: NDArray[Any], turning: NDArray[Any] | None = None) -> Estimate:
        """a^2 b^2 V_Q[f, f] for Q = Sigma_t."""
        K, D = self._variance
        fx, fy = f[:, : self.size], f[:, self.size :]
        regular = np.einsum("ti,ti->t", fx @ K, fy)
        local = (fx * fx) @ D
        resolution = self.integral(f * f, self.S_test)
        scale = np.where(resolution.value > 0.0, resolution.value, 1.0)
        value = regular + local
        error = self._kernel_error * (self._mean_square(f) + np.abs(value))
        error += 2.0 * np.abs(value) * resolution.error / scale
        rounding = ROUNDING * (np.einsum("ti,ti->t", np.abs(fx) @ np.abs(K), np.abs(fy)) + local)
        return Estimate(value, error + rounding)
