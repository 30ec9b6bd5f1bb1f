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
singularity of K at x = y is never met. The differences between the two one-point rules, panel by
panel and in the first moment too, are the error estimate of the filter's resolution (the difference
of the integrals themselves changes sign with the number of steps, and is 0 by accident). Gradient
flow against the contour gives that of K.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._arithmetic import lazy
from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array, Complex
from dmft_rf.curves.exact import Exact, exact_integrals
from dmft_rf.curves.majorants import Turning
from dmft_rf.curves.measures import Measures
from dmft_rf.curves.nodes import WHOLE, with_first_moment
from dmft_rf.curves.two_point import loss_covariance
from dmft_rf.errors import ConvergenceError
from dmft_rf.kernels import closed_form_pairs
from dmft_rf.kernels.closed_form import CONVERGED
from dmft_rf.kernels.closed_form_pairs import ANY
from dmft_rf.model.columns import SampleGroups
from dmft_rf.numerics.estimate import ROUNDING, Estimate
from dmft_rf.rules.flow import GradientFlow, Rule
from dmft_rf.spectra.resolvent import Resolvent, on_path

if TYPE_CHECKING:
    from dmft_rf.spectra.law import Panels
    from dmft_rf.spectra.spectrum import Spectrum

_FINE, _COARSE = 16, 15


def nodes_on(panels: Panels) -> int:
    """How many nodes in x SpectralNodes would have on these panels."""
    return _FINE * panels.left.size


class SpectralNodes(Frozen):
    """The measures behind the transforms of a `Resolvent`, on Gauss-Legendre panels of the bulks.

    Functions of U are given by their values at ``points`` (fine nodes, then coarse ones), one row
    per time.
    """

    _content = ("law", "panels")

    def __init__(self, law: Spectrum, panels: Panels, contour: Measures, times: Array):
        if not law.model.groups.closed_form:
            raise ValueError(f"there is no closed form for {law.model}")
        self.model = law.model
        self.law = law
        self.panels = panels
        x, wx = panels.rule(_FINE)
        y, wy = panels.rule(_COARSE)
        self.size = x.size
        self._offsets = np.concatenate([x, y])
        self._weights = np.concatenate([wx, wy])
        self._one = _on_axis(law.model.groups.from_floor, self._offsets)
        self._kernel_error = 0.0
        self.seal()
        self._kernel_error = self._against(contour, times)

    def _against(self, contour: Measures, times: Array) -> float:
        """Largest difference of V_Q[h, h] from the contour, relative to T_Q[h, h].

        h is gradient flow at ``times``.
        """
        rule, rate = GradientFlow(), self.model.rate
        h = rule.filter(self.points, times, rate)
        here = self.quadratic(h).value
        there = contour.quadratic(rule.filter(contour.points, times, rate)).value
        return float(np.max(np.abs(here - there) / (self._mean_square(h) + np.abs(there))))

    def _mean_square(self, f: NDArray[Any]) -> Array:
        """<Q F[f]^2>, the part of the two-point function that is not variance."""
        g = self.model.groups
        return self.mean(f) ** 2 @ (g.weights * (g.test @ g.basis))

    @property
    def points(self) -> Array:
        """Eigenvalues of U: fine nodes, then coarse ones; shape (n_points,)."""
        return self._offsets + self.law.floor

    @property
    def top(self) -> float:
        """Upper end of the spectrum."""
        return self.law.ends[1]

    @property
    def around_zero(self) -> bool:
        """No: the spectrum lies above 0."""
        return False

    @property
    def outside(self) -> Array:
        """Location, mass and their product of every atom."""
        return with_first_moment(self.law.atoms)

    def empirical(self, h: NDArray[Any], turning: Turning | None = None) -> None:
        """The loss on the training samples under fresh noise is L_train itself."""

    @property
    def untouched(self) -> float:
        """An atom above 0 is orthogonal to W."""
        return 0.0

    @lazy
    def exact(self) -> Exact:
        """Integrals that are known without nodes."""
        return exact_integrals(self.model.groups, *self.law.at_zero[:2])

    @lazy
    def S_VV(self) -> Array:
        """Density of the measure of S_VV at the points."""
        return self._one.S_VV.imag / math.pi

    @lazy
    def S_VW(self) -> Array:
        """Density of the measure of S_VW."""
        return self._one.S_VW.imag / math.pi

    @lazy
    def S_test(self) -> Array:
        """Density of the measure of S_test."""
        return self._one.S_test.imag / math.pi

    @lazy
    def q_bulk(self) -> Array:
        """Density of rho."""
        return self._one.q.imag / math.pi

    @lazy
    def x_bulk(self) -> Array:
        """Density of x rho."""
        return self.points * self.q_bulk

    @property
    def bulk_sizes(self) -> tuple[Array, Array]:
        """The densities themselves, which are no sums."""
        return self.q_bulk, self.x_bulk

    @lazy
    def _variance(self) -> tuple[Array, Array]:
        """Weighted K on (fine, coarse) nodes, and D at all points."""
        n, s = self.size, self._one
        par, lam, w = s.groups.two_unknowns
        q0, q1 = loss_covariance(s)
        E, z = s.E[:, 0].copy(), self._offsets
        rx, kx, Ex = s.r[:n], s.k[:n], E[:n]
        ry, ky, Ey = s.r[n:], s.k[n:], E[n:]
        left = np.concatenate([rx * w, rx * (w * lam), rx * (w * lam**2)])

        def between(r: Complex, k: Complex, E: Complex) -> Array:
            m = (left @ r.T).reshape(3, n, r.shape[0])
            out = closed_form_pairs.assemble(
                z[:n], kx, Ex, z[n:], k, E, kx, ANY, m[0], m[1], m[2], q0, q1, par
            )
            return out.real

        across = between(ry.conj(), ky.conj(), Ey.conj())
        K = (across - between(ry, ky, Ey)) / (2.0 * math.pi**2)
        size = np.abs(s.r) ** 2
        D = closed_form_pairs.diagonal(
            s.k, E, size @ w, size @ (w * lam), size @ (w * lam**2), q0, q1, par
        )
        wx, wy = self._weights[:n], self._weights[n:]
        return wx[:, None] * K * wy, D

    def turning(self, rule: Rule, tau: Array) -> None:
        """Nothing: the two rules of Gauss and Legendre see all of a filter."""

    def mean(self, f: NDArray[Any], atoms: slice = WHOLE) -> Array:
        """Equivalent of V^T f(U) M, at the eigenvalues of Sigma; shape (n_tau, n_atoms)."""
        n = self.size
        return (f[:, :n] * self._weights[:n]) @ (self._one.signal[:n, atoms].imag / math.pi)

    def integral(
        self,
        f: NDArray[Any],
        density: NDArray[Any],
        turning: Turning | None = None,
        size: Array | None = None,
    ) -> Estimate:
        """Integral of f against the measure with this density; f is (n_tau, n_points).

        As that of Nodes, but for ``turning`` and ``size``, which only a contour needs.
        """
        terms = f * (self._weights * density)
        shape = (f.shape[0], self.panels.left.size, -1)
        fine = terms[:, : self.size].reshape(shape) @ _moments(_FINE)
        coarse = terms[:, self.size :].reshape(shape) @ _moments(_COARSE)
        rounding = ROUNDING * np.abs(terms).sum(axis=1)
        unresolved = np.hypot(*np.moveaxis(fine - coarse, 2, 0)).sum(axis=1)
        return Estimate(fine[:, :, 0].sum(axis=1), unresolved + rounding)

    def quadratic(self, f: NDArray[Any], turning: Turning | None = None) -> Estimate:
        """The variance [f, f]."""
        K, D = self._variance
        fx, fy = f[:, : self.size], f[:, self.size :]
        regular = np.einsum("ti,ti->t", fx @ K, fy)
        local = self.integral(f * f, D)
        resolution = self.integral(f * f, self.S_test)
        scale = np.where(resolution.value > 0.0, resolution.value, 1.0)
        value = regular + local.value
        error = self._kernel_error * (self._mean_square(f) + np.abs(value)) + local.error
        # the two parts nearly cancel: each counts with its own size
        error += 2.0 * np.abs(regular) * resolution.error / scale
        rounding = ROUNDING * np.einsum("ti,ti->t", np.abs(fx) @ np.abs(K), np.abs(fy))
        return Estimate(value, error + rounding)


def _moments(n: int) -> Array:
    """1 and the coordinate at the n nodes of a panel, (n, 2).

    What the rules miss of a wave goes with the cosine of its phase at the middle of the panel in
    the integral, and with the sine in the first moment: only together are they never 0 by accident.
    """
    return np.stack([np.ones(n), np.polynomial.legendre.leggauss(n)[0]], axis=1)


def _on_axis(groups: SampleGroups, offsets: Array) -> Resolvent:
    """The one-point object at real points inside the bulks, in any order."""
    order = np.argsort(offsets)
    z = offsets.astype(np.complex128)
    k, E, dk, residual, status, iterations = on_path(groups, z[order])
    if np.any(status != CONVERGED):
        bad = float(offsets[order][status != CONVERGED][0])
        raise ConvergenceError(
            f"no solution of the one-point equations at lambda - s^2 = {bad!r}",
            residual=float(residual.max()),
        )
    back = np.argsort(order)
    return Resolvent(groups, z, k[back], dk[back], E[back], residual[back], iterations)
