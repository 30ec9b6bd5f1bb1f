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
from dmft_rf.estimate import EPS, ROUNDING, Estimate
from dmft_rf.forms import Form, lost, parts, real_of_product
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
    train_limit, limit_error : float
        1 - inverse, as a sum without cancellation, and its rounding.
    """

    mass: float
    inverse: float
    train_limit: float
    limit_error: float


class Nodes(ABC):
    """Integrals against the spectral measures of U and V, from values on a contour.

    The functions of U to be integrated are given by their values at ``points``, one row per
    time, and must be real on the real axis and analytic inside the contour. A subclass supplies
    the transforms, with M = W/sqrt(d) and Q the covariance of the test loss, sum over the classes
    of share a^2 Sigma_t; ``variance`` is that of V^T (U - z_1)^{-1} M Q M^T (U - z_2)^{-1} V.

    An atom of U above 0 is left out of ``q_bulk`` and ``x_bulk``, wherever the contour runs, and
    one at 0 is in them if the contour encloses it: `outside` lists what has to be added.
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
    def around_zero(self) -> bool:
        """Whether the region of the contour holds z = 0, so that no function may have a pole there.

        They lead around 0 at a hard edge and close to it.
        """
        return self.contour.start < 0.0

    @property
    def outside(self) -> Array:
        """(location, mass) of the atoms that q_bulk and x_bulk leave out, shape (n, 2)."""
        atoms = self.law.atoms
        return atoms[[place > 0.0 or not self.contour.encloses(0.0) for place in atoms[:, 0]]]

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
    def q_bulk(self) -> Complex:
        """(1/p) Tr (U - z)^{-1} of the bulks, the transform of their law rho."""
        return self._bulks[0]

    @property
    def x_bulk(self) -> Complex:
        """(1/p) Tr U (U - z)^{-1} of the bulks, the transform of x rho."""
        return self._bulks[1]

    @property
    def bulk_sizes(self) -> tuple[Array, Array]:
        """The sizes of what q_bulk and x_bulk are sums of, each (N,)."""
        return self._bulks[2], self._bulks[3]

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
    def variance_size(self) -> Array:
        """The sizes of what both are made of, added, (N, N)."""

    @property
    @abstractmethod
    def exact(self) -> Exact:
        """Integrals that are known without a contour."""

    @lazy
    def _bulks(self) -> tuple[Complex, Complex, Array, Array]:
        """q_bulk and x_bulk, and the sizes of their terms.

        With the floor s_0^2 of the law and r, E_j, C_j, o_j as in dmft_rf.groups, the one-point
        equations give the transforms of x - s_0^2, in which an atom at the floor does not show, and
        of 1 without the atom, neither as a difference of large numbers:

            psi_p (z - s_0^2) q_bulk = k <r> - sum_j (c_j/E_j) (psi_n + <C_j r>)    (all o_j > 0)
            psi_p (x_bulk - s_0^2 q_bulk) = <beta r> - sum_j c_j o_j^2/(E_j k).

        Where the noise is drawn (b_0 = s_0 = 0) an atom at 0 is a pole of q = -1/(psi_p k).
        """
        g, z, k, r = self.model.groups, self.points, self.resolvent.k, self._r
        psi_p, psi_n, b2, floor, _ = g.par
        share, size = g.count / self._E, np.abs(r)
        weighted = (g.covariances * g.weights).T
        signal, signal_size = r @ weighted, size @ weighted
        S, S_size = r @ g.weights, size @ g.weights
        own = g.noise > 0.0
        x = b2 * S + (share * (signal - g.noise / k[:, None])).sum(axis=1)
        x_size = b2 * S_size + (np.abs(share) * (signal_size + g.noise / np.abs(k)[:, None])).sum(
            axis=1
        )
        q, q_size = self.resolvent.q, np.abs(self.resolvent.q)
        if b2 > 0.0 and self.law.atoms.size:
            gap, gap_size = psi_p * (z - floor), psi_p * np.abs(z - floor)
            rest = (psi_n + signal)[:, own] * share[:, own]
            rest_size = (psi_n + signal_size)[:, own] * np.abs(share[:, own])
            q = (k * S - rest.sum(axis=1)) / gap
            q_size = (np.abs(k) * S_size + rest_size.sum(axis=1)) / gap_size
            q_size *= 1.0 + psi_p * np.abs(z) / gap_size
        return q, x / psi_p + floor * q, q_size, x_size / psi_p + floor * q_size

    @property
    @abstractmethod
    def _r(self) -> Complex:
        """1/(beta - k), shape (N, n_atoms)."""

    @property
    @abstractmethod
    def _E(self) -> Complex:
        """E_j at the nodes, shape (N, J)."""

    def mean(self, f: NDArray[Any]) -> Array:
        """Equivalent of V^T f(U) M, at the eigenvalues of Sigma; shape (n_tau, n_atoms)."""
        return 2.0 * (parts(f * self.contour.weights) @ self._signal_parts)

    @lazy
    def _signal_parts(self) -> Array:
        return real_of_product(self.signal)

    def integral(
        self,
        f: NDArray[Any],
        transform: NDArray[Any],
        turning: NDArray[Any] | None = None,
        size: Array | None = None,
    ) -> Estimate:
        """Integral of f against the measure with this Stieltjes transform.

        Parameters
        ----------
        f : (n_tau, N) array
        transform : (N,) array
        turning : (n_tau, N) array, optional
            Bounds of the part of f that turns more often than the nodes can see (`majorants`).
        size : (N,) array, optional
            Of what the transform is a sum of, where that is larger than the transform.
        """
        weighted = self.contour.weights * transform
        value, truncation = self._sums(f * weighted)
        if turning is not None:
            truncation = np.maximum(truncation, self._sums(turning * weighted)[1])
        size = np.abs(transform) if size is None else size
        terms = 2.0 * np.abs(f) * (np.abs(self.contour.weights) * size)
        error = truncation + self._rounding(terms) + 2.0 * self.defect * np.abs(value)
        return Estimate(value, error)

    def quadratic(self, f: NDArray[Any], turning: NDArray[Any] | None = None) -> Estimate:
        """The variance [f, f]."""
        return self.form(f, self._variance_form, turning)

    @lazy
    def _variance_form(self) -> Form:
        return Form.of(*self.variance, self.variance_size)

    def form(self, f: NDArray[Any], form: Form, turning: NDArray[Any] | None = None) -> Estimate:
        """Double integral of f(x) f(y) against a two-point function; ``turning`` as in integral."""
        u = f * self.contour.weights
        value, truncation = self._sums(form.applied(u) * u)
        if turning is not None:
            bound = turning * self.contour.weights
            truncation = np.maximum(truncation, self._sums(form.applied(bound) * bound)[1])
        size = np.abs(u)
        rounding = self._rounding(4.0 * size * (size @ form.size))
        error = 2.0 * truncation + rounding + 4.0 * self.defect * np.abs(value)
        return Estimate(value, error)

    def bilinear(self, f: Complex, g: Complex) -> Array:
        """The variance [f, g], row by row."""
        u, v = f * self.contour.weights, g * self.contour.weights
        return 2.0 * np.einsum("ti,ti->t", v, self._variance_form.applied(u)).real

    def empirical(self, h: NDArray[Any], turning: NDArray[Any] | None = None) -> Estimate | None:
        """Loss of the filter h on the training samples under fresh noise; None: L_train itself."""
        return None

    @property
    def untouched(self) -> float:
        """S_test's weight on an atom at 0."""
        return 0.0

    def _sums(self, terms: Complex) -> tuple[Array, Array]:
        """2 Re of the sums of the rows, and the error of the trapezoidal rule in them.

        The error is what the last Fourier coefficients of the integrand show, carried on to those
        that the rule aliases. Beside a pole of third order on the border of the region (1/x^3 of
        the late filters) they fall like l^2 R^{-l}, and are four times as large at 2 N as carried
        on from N.
        """
        sums = self.contour.readings @ parts(terms).T
        coefficients = np.abs(sums[1:])
        half = coefficients.shape[0] // 2
        last = coefficients[:half].max(axis=0) + coefficients[half:].max(axis=0)
        return 2.0 * sums[0], 8.0 * last

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
        return float(error[0] if self.around_zero else np.max(error))

    def _rounding(self, terms: Array) -> Array:
        """Three standard deviations of sums of terms of these sizes, shape (n_tau, N).

        What is wrong at one node is independent of what is wrong at another.
        """
        rounding: Array = 3.0 * np.sqrt((terms * terms) @ (self.noise * self.noise))
        return rounding

    @lazy
    def noise(self) -> Array:
        """Rounding of what is known at each node, relative to its size, shape (N,).

        Four operations for the term of a sum; the nodes are exponentials of numbers up to
        ln(M/m)/2, which they lose digits to, and so do functions that vary on the scale of the
        distance to the support. The unknowns have the rounding of their equations, z as a sum of
        terms times dk/dz, and r = 1/(beta - k) enlarges it where its terms cancel.
        """
        z, start = self.points, self.contour.start
        low, high = self._around
        ratio = (high - start) / (low - start)
        gap = np.hypot(np.maximum(np.maximum(low - z.real, z.real - high), 0.0), z.imag)
        near = np.maximum(1.0, np.maximum(np.abs(z), abs(start)) / gap)
        places = (1.0 + 0.5 * math.log(ratio)) * near
        psi_p, k = self.model.psi_p, self.resolvent.k
        terms = np.abs(z) + psi_p * np.abs(k) * (1.0 + self.bulk_sizes[1])
        unknowns = terms * np.abs(self.resolvent.dk / k) * self._cancelled
        noise: Array = 4.0 * EPS * (places + unknowns)
        return noise

    @property
    def _around(self) -> tuple[float, float]:
        """The ends of what the contour leads around."""
        return self.law.ends

    @lazy
    def _cancelled(self) -> Array:
        """Largest |r| times the sizes of what beta - k is a sum of, at each node."""
        g = self.model.groups
        sizes = np.abs(g.count / self._E) @ g.covariances
        sizes += (g.par[2] + np.abs(self.resolvent.k))[:, None]
        cancelled: Array = (np.abs(self._r) * sizes).max(axis=1)
        return cancelled


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
        self._weights = fixed_point_weights(
            self.resolvent.k, self.resolvent.E, par, cov.eigenvalues
        )
        self._b = self.model.coefficients.b

    @property
    def _r(self) -> Complex:
        return self._weights

    @property
    def _E(self) -> Complex:
        assert isinstance(self.resolvent, Resolvent)
        return self.resolvent.E[:, None]

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
    def variance(self) -> tuple[Complex, Complex]:
        """a^2 b^2 V_Q(z_i, z_j) and at (z_i, conj z_j) for Q = Sigma_t, each (N, N)."""
        par, s = self.model.parameters, self.resolvent
        plain, mixed = self._pairs
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

    @property
    def variance_size(self) -> Array:
        """What 1 - g <lambda^2 r_1 r_2> loses, twice, and differences between neighbours."""
        s, many = self.resolvent, self._many
        psi_n, gamma2 = self.model.psi_n, self.model.coefficients.gamma2
        per_E = gamma2 / math.sqrt(psi_n) / s.E
        total = np.zeros(self._pairs[0].shape[1:])
        kappa = s.E * (self.model.coefficients.b**2 - s.k)
        for V, m, k, E, other in (
            (self.variance[0], self._pairs[0], s.k, per_E, kappa),
            (self.variance[1], self._pairs[1], s.k.conj(), per_E.conj(), kappa.conj()),
        ):
            sample = np.multiply.outer(per_E, E) * m[2]
            pairs = (1.0 + np.abs(sample)) / np.abs(1.0 - sample)
            if many:
                pairs *= lost(kappa, other)
            total += np.abs(V) * (lost(s.k, k) + 2.0 * pairs)
        return total

    @property
    def _many(self) -> bool:
        return self.model.weights.size > _MANY_ATOMS

    @lazy
    def _pairs(self) -> tuple[Complex, Complex]:
        return self._pairs_from_points() if self._many else self._pairs_from_atoms()

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
        return closed_form_exact(self.law)


def closed_form_exact(law: Spectrum) -> Exact:
    """Mass, and training loss at tau = infinity with S(0) from the exact solution at z = 0.

    L_train(inf) = 1 - b^2 S(0) = sum_k w_k (-k + y~ lambda_k) r_k without cancellation, r_k =
    1/(b^2 - k + y~ lambda_k) and y~ = gamma^2/E.
    """
    k, (E,) = law.at_zero
    par, cov = law.model.parameters, law.model.covariance
    signal = par[5] / E * cov.eigenvalues
    r = 1.0 / (par[2] - k + signal)
    limit = float(np.sum(cov.weights * (signal - k) * r))
    inverse = float(par[2] * np.sum(cov.weights * r))
    return Exact(float(par[2] * par[0]), inverse, limit, ROUNDING * limit)
