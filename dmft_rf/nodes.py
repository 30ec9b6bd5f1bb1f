r"""One- and two-point functions of U on a contour around its support.

Solving is done once; every training rule at every time is then a sum over the nodes (one-point)
and a quadratic form in them (two-point). What is left of error follows from the nodes themselves:
the Fourier coefficients of each integrand around the contour fall geometrically, and the error of
the trapezoidal rule is what they alias; it is carried on from the last coefficients that the nodes
resolve, and the rounding of the sum is added.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf.contour import Contour
from dmft_rf.estimate import ROUNDING, Estimate
from dmft_rf.kernels.two_point import assemble
from dmft_rf.law import Spectrum
from dmft_rf.model import ScoreModel
from dmft_rf.stieltjes import Resolvent, fixed_point_weights, resolvent

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


class ContourNodes:
    """One- and two-point functions on a contour around the support of U.

    The functions of U to be integrated are given by their values at ``points``, one row per
    time, and must be real on the real axis and analytic inside the contour.
    """

    def __init__(self, law: Spectrum, contour: Contour):
        self.model: ScoreModel = law.model
        self.law = law
        self.contour = contour
        self.resolvent: Resolvent = resolvent(self.model, contour.z)
        cov, par = self.model.covariance, self.model.parameters
        self._r = fixed_point_weights(
            self.resolvent.k, self.resolvent.E, par, cov.eigenvalues
        )  # (N, n_atoms)
        self._q1 = math.exp(-2.0 * self.model.t)
        self._q0 = self.model.coefficients.Delta_t

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

    def integral(self, f: NDArray[Any], transform: NDArray[Any]) -> Estimate:
        """Integral of f against the measure with this Stieltjes transform; f is (n_tau, N)."""
        terms = f * (self.contour.weights * transform)
        return Estimate(2.0 * terms.sum(axis=1).real, self._error(terms))

    def quadratic(self, f: NDArray[Any]) -> Estimate:
        """T_Q[f, f] for Q = Sigma_t."""
        plain, mixed = self.two_point
        u = f * self.contour.weights
        terms = u * (u @ plain + u.conj() @ mixed.T)
        size = np.abs(u)
        rounding = np.einsum("ti,ti->t", size, size @ self._two_point_size)
        return Estimate(
            2.0 * terms.sum(axis=1).real, 2.0 * self._error(terms) + ROUNDING * rounding
        )

    def _error(self, terms: Complex) -> Array:
        """Truncation of the trapezoidal rule, from the last Fourier coefficients, and rounding."""
        size = np.abs(terms).sum(axis=1)
        coefficients = np.abs((terms @ self.contour.harmonics).real)
        half = coefficients.shape[1] // 2
        up, down = coefficients[:, :half].max(axis=1), coefficients[:, half:].max(axis=1)
        return 4.0 * (up + down) + ROUNDING * size

    @property
    def mass(self) -> float:
        """Mass of nu by the rule; exactly psi_p."""
        return float(self.integral(np.ones((1, self.points.size), complex), self.S).value[0])

    def bilinear(self, f: Complex, g: Complex) -> Array:
        """T_Q[f, g] for Q = Sigma_t, row by row."""
        plain, mixed = self.two_point
        u, v = f * self.contour.weights, g * self.contour.weights
        return 2.0 * np.einsum("ti,ti->t", v, u @ plain + u.conj() @ mixed.T).real
