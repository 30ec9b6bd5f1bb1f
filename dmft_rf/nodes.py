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
        """(1/p) Tr (U - z)^{-1} at the nodes, without the atom at s^2 (which they may enclose).

        Where there is one, [k <r> - (psi_n + gamma^2 <lambda r>)/E]/(psi_p (z - s^2)), the second
        term for v > 0 only: equations (1) and (2) of kernels.fixed_point, without the difference
        of two large numbers.
        """
        if self.law.atoms.size == 0:
            return self.resolvent.q
        psi_p, psi_n, _, v2, s2, gamma2 = self.model.parameters
        cov, s = self.model.covariance, self.resolvent
        total = s.k * self.S
        if v2 > 0.0:
            signal = self._r @ (cov.weights * cov.eigenvalues)
            total = total - (psi_n + gamma2 * signal) / s.E
        return total / (psi_p * (s.z - s2))

    @cached_property
    def variance(self) -> tuple[Complex, Complex]:
        """V_Q(z_i, z_j) and V_Q(z_i, conj z_j) for Q = Sigma_t, each (N, N)."""
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
    def _variance_size(self) -> Array:
        return np.abs(self.variance[0]) + np.abs(self.variance[1])

    def mean(self, f: NDArray[Any]) -> Array:
        """Equivalent of W^T f(U) W/d, at the eigenvalues of Sigma; shape (n_tau, n_atoms)."""
        u = f * self.contour.weights
        # the real part of a complex product, as one real product
        left = np.concatenate([u.real, -u.imag], axis=1)
        return 2.0 * (left @ self._real_parts)

    @cached_property
    def _real_parts(self) -> Array:
        return np.concatenate([self._r.real, self._r.imag])

    def integral(self, f: NDArray[Any], transform: NDArray[Any]) -> Estimate:
        """Integral of f against the measure with this Stieltjes transform; f is (n_tau, N)."""
        terms = f * (self.contour.weights * transform)
        value = 2.0 * terms.sum(axis=1).real
        rounding = self._rounding * np.abs(terms).sum(axis=1) + 2.0 * self.defect * np.abs(value)
        return Estimate(value, self._truncation(terms) + rounding)

    def quadratic(self, f: NDArray[Any]) -> Estimate:
        """V_Q[f, f] for Q = Sigma_t."""
        plain, mixed = self.variance
        u = f * self.contour.weights
        terms = u * (u @ plain + u.conj() @ mixed.T)
        size = np.abs(u)
        value = 2.0 * terms.sum(axis=1).real
        rounding = self._rounding * np.einsum("ti,ti->t", size, size @ self._variance_size)
        rounding += 4.0 * self.defect * np.abs(value)
        return Estimate(value, 2.0 * self._truncation(terms) + rounding)

    def truncation(self, f: NDArray[Any], transform: NDArray[Any]) -> Array:
        """Error of ``integral`` that is not rounding."""
        return self._truncation(f * (self.contour.weights * transform))

    def _truncation(self, terms: Complex) -> Array:
        """Error of the trapezoidal rule, from the last Fourier coefficients of the integrand."""
        coefficients = np.abs((terms @ self.contour.harmonics).real)
        half = coefficients.shape[1] // 2
        return 4.0 * (coefficients[:, :half].max(axis=1) + coefficients[:, half:].max(axis=1))

    @cached_property
    def train_limit(self) -> float:
        """Training loss of minimum-norm least squares, 1 - b^2 S[1/x]."""
        return limits(self.law)[0]

    @cached_property
    def defect(self) -> float:
        """Relative error of two exact integrals against nu, S[1] = psi_p and S[1/x] = S(0).

        The first sees the upper end of the spectrum, the second the lower one; what is wrong with
        nodes, weights and solutions, rounding included, shows in them.
        """
        f = np.stack([np.ones_like(self.points), 1.0 / self.points])
        found = 2.0 * (f @ (self.contour.weights * self.S)).real
        exact = np.array([self.model.psi_p, limits(self.law)[1]])
        return float(np.max(np.abs(found / exact - 1.0)))

    @cached_property
    def _rounding(self) -> float:
        """Rounding of a sum over the nodes, relative to the sum of the sizes of its terms.

        The nodes are exponentials of numbers up to ln(M/m)/2, which they lose digits to.
        """
        ratio = float(self.law.edges[-1, 1] / self.law.edges[0, 0])
        return ROUNDING * (1.0 + 0.5 * math.log(ratio))

    def bilinear(self, f: Complex, g: Complex) -> Array:
        """V_Q[f, g] for Q = Sigma_t, row by row."""
        plain, mixed = self.variance
        u, v = f * self.contour.weights, g * self.contour.weights
        return 2.0 * np.einsum("ti,ti->t", v, u @ plain + u.conj() @ mixed.T).real


def limits(law: Spectrum) -> tuple[float, float]:
    """Training loss at tau = infinity, and S(0), from the exact solution at z = 0.

    L_train(inf) = 1 - b^2 S(0) = sum_k w_k (-k + y~ lambda_k) r_k without cancellation, r_k =
    1/(b^2 - k + y~ lambda_k) and y~ = gamma^2/E.
    """
    k, E = law.at_zero
    par, cov = law.model.parameters, law.model.covariance
    signal = par[5] / E * cov.eigenvalues
    r = 1.0 / (par[2] - k + signal)
    return float(np.sum(cov.weights * (signal - k) * r)), float(np.sum(cov.weights * r))
