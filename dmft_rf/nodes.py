r"""One- and two-point functions of U on a contour around its support.

Solving is done once; every training rule at every time is then a sum over the nodes (one-point)
and a quadratic form in them (two-point). What is left of error follows from the nodes themselves:
the Fourier coefficients of each integrand around the contour fall geometrically, and the error of
the trapezoidal rule is what they alias; it is carried on from the last coefficients that the nodes
resolve, and the rounding of the sum is added.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._arithmetic import lazy
from dmft_rf.contour import Contour
from dmft_rf.estimate import ROUNDING, Estimate
from dmft_rf.kernels.two_point import MIRRORED, SYMMETRIC, assemble
from dmft_rf.law import Spectrum
from dmft_rf.model import ScoreModel
from dmft_rf.stieltjes import (
    GroupedResolvent,
    Resolvent,
    closed_form_resolvent,
    fixed_point_weights,
)

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


# atoms beyond which pairs are formed by partial fractions
_MANY_ATOMS = 48


@dataclass(frozen=True)
class Exact:
    """Integrals against the measure of S_VV that need no contour.

    Attributes
    ----------
    mass, inverse : float
        Integrals of 1 and 1/x.
    train_limit : float
        1 - inverse, without cancellation.
    """

    mass: float
    inverse: float
    train_limit: float


@dataclass(frozen=True)
class Form:
    """A two-point function on pairs of nodes, ready to be applied to rows u.

    Attributes
    ----------
    real : (2 N, 2 N) array
        u -> u P + conj(u) M^T for P at (z_i, z_j) and M at (z_i, conj z_j), as one real product of
        rows (Re u_1, Im u_1, Re u_2, ...).
    size : (N, N) array
        |P| + |M|.
    """

    real: Array
    size: Array

    @classmethod
    def of(cls, plain: Complex, mixed: Complex) -> Form:
        """From the values at (z_i, z_j) and (z_i, conj z_j), each (N, N)."""
        n = plain.shape[0]
        even, odd = plain + mixed.T, plain - mixed.T
        real = np.empty((n, 2, n, 2))
        real[:, 0, :, 0], real[:, 0, :, 1] = even.real, even.imag
        real[:, 1, :, 0], real[:, 1, :, 1] = -odd.imag, odd.real
        return cls(real.reshape(2 * n, 2 * n), np.abs(plain) + np.abs(mixed))

    def applied(self, u: Complex) -> Complex:
        """The rows u P + conj(u) M^T, shape (n, N)."""
        return (_parts(u) @ self.real).view(np.complex128)


def _parts(rows: Complex) -> Array:
    """Complex rows (n, N) as real ones (n, 2 N), real and imaginary parts in turns."""
    return np.ascontiguousarray(rows, dtype=np.complex128).view(np.float64)


def _real_of_product(columns: Complex) -> Array:
    """K (2 N, m) with Re(rows @ columns) = _parts(rows) @ K for columns (N, m)."""
    return np.stack([columns.real, -columns.imag], axis=1).reshape(-1, columns.shape[1])


class Nodes(ABC):
    """Integrals against the spectral measures of U and V, from values on a contour.

    The functions of U to be integrated are given by their values at ``points``, one row per
    time, and must be real on the real axis and analytic inside the contour. A subclass supplies
    the transforms, with M = W/sqrt(d) and Q the covariance of the test loss, sum over the classes
    of share a^2 Sigma_t; ``variance`` is that of V^T (U - z_1)^{-1} M Q M^T (U - z_2)^{-1} V; atoms
    that the contour may enclose are left out of ``q_bulk``.
    """

    law: Spectrum
    contour: Contour
    resolvent: Resolvent | GroupedResolvent

    @property
    def model(self) -> ScoreModel:
        """The model that was solved."""
        return self.law.model

    @property
    def points(self) -> Complex:
        """Nodes in the upper half-plane, shape (N,)."""
        return self.contour.z

    @property
    def encloses_zero(self) -> bool:
        """Whether z = 0 lies inside the contour (at a hard edge)."""
        return self.contour.start < 0.0

    @property
    @abstractmethod
    def S_VV(self) -> Complex:
        """(1/d) Tr V^T (U - z)^{-1} V."""

    @property
    @abstractmethod
    def S_VW(self) -> Complex:
        """(1/d) Tr V^T (U - z)^{-1} M."""

    @property
    @abstractmethod
    def S_test(self) -> Complex:
        """(1/d) Tr Q M^T (U - z)^{-1} M."""

    @property
    @abstractmethod
    def q_bulk(self) -> Complex:
        """(1/p) Tr (U - z)^{-1} of the bulks."""

    @property
    @abstractmethod
    def signal(self) -> Complex:
        """V^T (U - z)^{-1} M at the eigenvalues of Sigma, shape (N, n_atoms)."""

    @property
    @abstractmethod
    def variance(self) -> tuple[Complex, Complex]:
        """At (z_i, z_j) and (z_i, conj z_j), each (N, N)."""

    @property
    @abstractmethod
    def exact(self) -> Exact:
        """Integrals that are known without a contour."""

    def mean(self, f: NDArray[Any]) -> Array:
        """Equivalent of V^T f(U) M, at the eigenvalues of Sigma; shape (n_tau, n_atoms)."""
        return 2.0 * (_parts(f * self.contour.weights) @ self._signal_parts)

    @lazy
    def _signal_parts(self) -> Array:
        return _real_of_product(self.signal)

    def integral(self, f: NDArray[Any], transform: NDArray[Any]) -> Estimate:
        """Integral of f against the measure with this Stieltjes transform; f is (n_tau, N)."""
        terms = f * (self.contour.weights * transform)
        value, truncation = self._sums(terms)
        rounding = self._rounding * np.abs(terms).sum(axis=1) + 2.0 * self.defect * np.abs(value)
        return Estimate(value, truncation + rounding)

    def quadratic(self, f: NDArray[Any]) -> Estimate:
        """The variance [f, f]."""
        return self.form(f, self._variance_form)

    @lazy
    def _variance_form(self) -> Form:
        return Form.of(*self.variance)

    def form(self, f: NDArray[Any], form: Form) -> Estimate:
        """Double integral of f(x) f(y) against a two-point function."""
        u = f * self.contour.weights
        terms = form.applied(u)
        terms *= u
        value, truncation = self._sums(terms)
        size = np.abs(u)
        rounding = self._rounding * np.einsum("ti,ti->t", size, size @ form.size)
        rounding += 4.0 * self.defect * np.abs(value)
        return Estimate(value, 2.0 * truncation + rounding)

    def bilinear(self, f: Complex, g: Complex) -> Array:
        """The variance [f, g], row by row."""
        u, v = f * self.contour.weights, g * self.contour.weights
        return 2.0 * np.einsum("ti,ti->t", v, self._variance_form.applied(u)).real

    def empirical(self, h: NDArray[Any]) -> Estimate | None:
        """Loss of the filter h on the training samples under fresh noise; None: L_train itself."""
        return None

    @property
    def untouched(self) -> float:
        """S_test's weight on an atom at 0."""
        return 0.0

    @lazy
    def late_error(self) -> float:
        """Truncation error of S_VV[1/x], which the decaying part of the train loss never exceeds.

        Its own estimate becomes too small at late times, when e^{-2 alpha x tau} is sharper than
        the nodes resolve; but it stays smaller than at tau = 0 in the whole half-plane.
        """
        terms = self.contour.weights * self.S_VV / self.points
        return float(self._sums(terms[None, :])[1][0])

    def _sums(self, terms: Complex) -> tuple[Array, Array]:
        """2 Re of the sums of the rows, and the error of the trapezoidal rule in them.

        The error is what the last Fourier coefficients of the integrand show.
        """
        sums = self.contour.readings @ _parts(terms).T
        coefficients = np.abs(sums[1:])
        half = coefficients.shape[0] // 2
        last = coefficients[:half].max(axis=0) + coefficients[half:].max(axis=0)
        return 2.0 * sums[0], 4.0 * last

    @property
    def train_limit(self) -> float:
        """Training loss of minimum-norm least squares, 1 - S_VV[1/x]."""
        return self.exact.train_limit

    @lazy
    def defect(self) -> float:
        """Relative error of exact integrals against the measure of S_VV, [1] and [1/x].

        The first sees the upper end of the spectrum, the second the lower one; what is wrong with
        nodes, weights and solutions, rounding included, shows in them. A contour around z = 0
        knows the first only.
        """
        f = np.stack([np.ones_like(self.points), 1.0 / self.points])
        found = 2.0 * (f @ (self.contour.weights * self.S_VV)).real
        exact = np.array([self.exact.mass, self.exact.inverse])
        error = np.abs(found / exact - 1.0)
        return float(error[0] if self.encloses_zero else np.max(error))

    @lazy
    def _rounding(self) -> float:
        """Rounding of a sum over the nodes, relative to the sum of the sizes of its terms.

        The nodes are exponentials of numbers up to ln(M/m)/2, which they lose digits to.
        """
        start = self.contour.start
        low, high = self.law.ends
        ratio = (high - start) / (low - start)
        return ROUNDING * (1.0 + 0.5 * math.log(ratio))


class ContourNodes(Nodes):
    """The closed form for noise that is averaged exactly (kernels.fixed_point, two_point).

    V is equivalent to b M there, so that every transform is one of S(z) = (1/d) Tr M^T (U - z)^{-1}
    M times a power of b.
    """

    def __init__(self, law: Spectrum, contour: Contour):
        if not law.model.closed_form:
            raise ValueError(f"there is no closed form for {law.model}")
        self.law = law
        self.contour = contour
        self.resolvent: Resolvent = closed_form_resolvent(law.model, contour.z)
        cov, par = self.model.covariance, self.model.parameters
        self._r = fixed_point_weights(
            self.resolvent.k, self.resolvent.E, par, cov.eigenvalues
        )  # (N, n_atoms)
        self._b = self.model.coefficients.b

    @lazy
    def S(self) -> Complex:
        """(1/d) Tr M^T (U - z)^{-1} M at the nodes."""
        return self._r @ self.model.covariance.weights

    @property
    def S_VV(self) -> Complex:
        """b^2 S."""
        return self._b**2 * self.S

    @property
    def S_VW(self) -> Complex:
        """b S."""
        return self._b * self.S

    @lazy
    def signal(self) -> Complex:
        """b r_k, shape (N, n_atoms)."""
        return self._b * self._r

    @lazy
    def S_test(self) -> Complex:
        """(1/d) Tr a^2 Sigma_t M^T (U - z)^{-1} M at the nodes."""
        (one,) = self.model.classes
        return self._r @ (self.model.covariance.weights * one.linear**2 * one.diffused)

    @lazy
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

    @lazy
    def variance(self) -> tuple[Complex, Complex]:
        """a^2 b^2 V_Q(z_i, z_j) and at (z_i, conj z_j) for Q = Sigma_t, each (N, N)."""
        par, s = self.model.parameters, self.resolvent
        many = self.model.weights.size > _MANY_ATOMS
        plain, mixed = self._pairs_from_points() if many else self._pairs_from_atoms()
        (one,) = self.model.classes
        scale = (self._b * one.linear) ** 2
        q0 = scale * one.coefficients.Delta_t
        q1 = scale * math.exp(-2.0 * self.model.t)
        first = (s.z, s.k, s.E)
        second = (s.z.conj(), s.k.conj(), s.E.conj())
        return (
            assemble(*first, *first, s.dk, SYMMETRIC, plain[0], plain[1], plain[2], q0, q1, par),
            assemble(*first, *second, s.dk, MIRRORED, mixed[0], mixed[1], mixed[2], q0, q1, par),
        )

    def _pairs_from_atoms(self) -> tuple[Complex, Complex]:
        """<lambda^j r_1 r_2> for j = 0, 1, 2, at (z_i, z_j) and (z_i, conj z_j), each (3, N, N)."""
        cov, r = self.model.covariance, self._r
        lam, w, n = cov.eigenvalues, cov.weights, r.shape[0]
        left = np.concatenate([r * w, r * (w * lam), r * (w * lam**2)])
        both = (left @ np.concatenate([r, r.conj()]).T).reshape(3, n, 2 * n)
        return both[..., :n], both[..., n:]

    def _pairs_from_points(self) -> tuple[Complex, Complex]:
        """The same from sums over the atoms at single points, by partial fractions.

        With r = 1/(y (kappa + lambda)), s = <1/(kappa + lambda)> and l = <lambda/(kappa + lambda)>,

            y_1 y_2 (kappa_1 - kappa_2) <lambda^j r_1 r_2>
                = s_2 - s_1,  l_2 - l_1,  kappa_1 l_1 - kappa_2 l_2,

        so that the cost is that of the pairs, whatever the number of atoms.
        """
        cov, s, r = self.model.covariance, self.resolvent, self._r
        lam, w = cov.eigenvalues, cov.weights
        y = self.model.coefficients.gamma2 / s.E
        kappa = (self.model.coefficients.b**2 - s.k) / y
        single = y[:, None] * (r @ np.stack([w, w * lam], axis=1))
        parts = np.stack([-single[:, 0], -single[:, 1], kappa * single[:, 1]])
        same = (r * r) @ np.stack([w, w * lam, w * lam**2], axis=1)

        def divided(other: Complex, point: Complex, scale: Complex) -> Complex:
            gap = np.subtract.outer(kappa, point)
            np.fill_diagonal(gap, 1.0)
            return (parts[:, :, None] - other[:, None, :]) / (gap * np.multiply.outer(y, scale))

        plain = divided(parts, kappa, y)
        diagonal = np.arange(y.size)
        plain[:, diagonal, diagonal] = same.T
        mixed = divided(parts.conj(), kappa.conj(), y.conj())
        size = np.abs(r) ** 2 @ np.stack([w, w * lam, w * lam**2], axis=1)
        mixed[:, diagonal, diagonal] = size.T
        return plain, mixed

    @lazy
    def exact(self) -> Exact:
        """Mass b^2 psi_p, and the solution at z = 0."""
        train_limit, S0 = limits(self.law)
        return Exact(self._b**2 * self.model.psi_p, self._b**2 * S0, train_limit)


def limits(law: Spectrum) -> tuple[float, float]:
    """Training loss at tau = infinity, and S(0), from the exact solution at z = 0.

    L_train(inf) = 1 - b^2 S(0) = sum_k w_k (-k + y~ lambda_k) r_k without cancellation, r_k =
    1/(b^2 - k + y~ lambda_k) and y~ = gamma^2/E.
    """
    k, (E,) = law.at_zero
    par, cov = law.model.parameters, law.model.covariance
    signal = par[5] / E * cov.eigenvalues
    r = 1.0 / (par[2] - k + signal)
    return float(np.sum(cov.weights * (signal - k) * r)), float(np.sum(cov.weights * r))
