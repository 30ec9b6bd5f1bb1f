r"""One- and two-point functions to first order in what a model is made of, at fixed nodes.

Integrals do not depend on their contour, so that the nodes z may stay where they are while a
parameter moves. (k, E) at a node then follow from the implicit function theorem,

    d(k, E) = -J^{-1} d(z, G)(k, E),

with the equations z(k, E) and G(k, E) = 0 of `kernels.closed_form` and their Jacobian J; from
these follow r = 1/(beta - k), the averages <lambda^j r_1 r_2>, and the variance V_Q by the product
rule. docs/theory.md has the derivation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dmft_rf._arithmetic import lazy
from dmft_rf._typing import Array, Complex
from dmft_rf.curves.forms import Form, lost
from dmft_rf.spectra.resolvent import Resolvent

# unknowns at a node are quotients of products of some numbers that carry its rounding
_ROUNDINGS = 4.0


@dataclass(frozen=True)
class Direction:
    """How fast the numbers of the equations and of the losses move.

    Attributes
    ----------
    lam, w : (n_atoms,) arrays
        Eigenvalues of Sigma and their weights, whose sum stays 1.
    psi_p, psi_n, Delta_t : float
    a2, v2, s2, N : float
        a^2, v^2, s^2 and v^2 + s^2.
    log_rate, decay, tau : float
        ln alpha, omega and tau, the numbers of the filter.
    """

    lam: Array
    w: Array
    psi_p: float = 0.0
    psi_n: float = 0.0
    Delta_t: float = 0.0
    a2: float = 0.0
    v2: float = 0.0
    s2: float = 0.0
    N: float = 0.0
    log_rate: float = 0.0
    decay: float = 0.0
    tau: float = 0.0


class OnePoint(NamedTuple):
    """Derivatives of k and E (N,) and r (N, n_atoms), and the sizes of what they are sums of."""

    k: Complex
    E: Complex
    r: Complex
    k_size: Array
    E_size: Array
    r_size: Array


class Tangents:
    """Derivatives at the nodes of one group of columns whose noise is averaged exactly.

    Parameters
    ----------
    one : Resolvent
        At the nodes, shape (N,).
    a2, Delta_t : float
        a^2 and Delta_t of the model.
    """

    def __init__(self, one: Resolvent, a2: float, Delta_t: float):
        self.one, self.a2, self.Delta_t = one, a2, Delta_t
        par, self.lam, self.w = one.groups.two_unknowns
        self.psi_p, self.psi_n, self.b2, self.v2, _, self.gamma2 = map(float, par)
        self.k, self.E, self.r = one.k, one.E[:, 0], one.r
        self.share = self.gamma2 / a2  # e^{-2t}

    def products(self, d: Direction) -> tuple[float, float]:
        """Derivatives of b^2 = Delta_t a^2 and gamma^2 = e^{-2t} a^2."""
        return (self.Delta_t * d.a2 + d.Delta_t * self.a2, self.share * d.a2 - d.Delta_t * self.a2)

    def loads(self, d: Direction) -> tuple[float, float, float, float]:
        """v^2/psi_n and gamma^2/psi_n, and the derivatives of both."""
        vn, load = self.v2 / self.psi_n, self.gamma2 / self.psi_n
        dgamma2 = self.products(d)[1]
        dvn = (d.v2 - vn * d.psi_n) / self.psi_n
        return vn, load, dvn, (dgamma2 - load * d.psi_n) / self.psi_n

    @lazy
    def _beta(self) -> Complex:
        """The eigenvalues of beta at the nodes, (N, n_atoms)."""
        return np.asarray(self.b2 + np.multiply.outer(self.gamma2 / self.E, self.lam), complex)

    @lazy
    def _equations(self) -> tuple[Complex, Complex, Complex, Array]:
        """G_k, z_E and G_E, and what G_E loses; each (N,)."""
        r2 = self.r * self.r
        second = self.gamma2**2 / (self.psi_n * self.E**2) * (r2 @ (self.w * self.lam**2))
        G_k = -self.v2 / (self.psi_n * self.k**2)
        G_k = G_k - self.gamma2 / self.psi_n * (r2 @ (self.w * self.lam))
        G_E = 1.0 - second
        return G_k, self.psi_n * (self.k / self.E) ** 2 * G_k, G_E, 1.0 + np.abs(second)

    def one_point(self, d: Direction) -> OnePoint:
        """The implicit function theorem at every node."""
        k, E, r, lam, w = self.k, self.E, self.r, self.lam, self.w
        db2, dgamma2 = self.products(d)
        _, load, dvn, dload = self.loads(d)
        # the equations at fixed k and E
        signal = dgamma2 * lam + self.gamma2 * d.lam
        beta = db2 + np.multiply.outer(1.0 / E, signal)
        beta_size = abs(db2) + np.multiply.outer(1.0 / np.abs(E), np.abs(signal))
        k_abs, r2, r2_size = np.abs(k), r * r, np.abs(r) ** 2
        # <beta r> = 1 + k <r>, whichever does not cancel
        near = np.abs(k * self.one.mean) < 0.5
        mass = np.where(near, k * (r @ d.w), (r * self._beta) @ d.w)
        z = d.s2 + d.psi_p * k + d.v2 / E + k * (k * ((r2 * beta) @ w) - mass)
        z_size = abs(d.s2) + abs(d.psi_p) * k_abs + abs(d.v2) / np.abs(E)
        z_size += k_abs * (k_abs * ((r2_size * beta_size) @ w) + np.abs(mass))
        own = d.w * lam + w * d.lam
        G = dvn / k - dload * (r @ (w * lam)) - load * (r @ own - (r2 * beta) @ (w * lam))
        G_size = abs(dvn) / k_abs + abs(dload) * (np.abs(r) @ (w * lam))
        G_size += load * (np.abs(r) @ np.abs(own) + (r2_size * beta_size) @ (w * lam))
        # their solution
        G_k, z_E, G_E, G_E_size = self._equations
        slope, lose = self.one.dk, G_E_size / np.abs(G_E)
        dk = -slope * (z - z_E / G_E * G)
        dE = -(G + G_k * dk) / G_E
        k_size = _ROUNDINGS * np.abs(slope) * (z_size + np.abs(z_E / G_E) * lose * G_size)
        E_size = lose * (_ROUNDINGS * G_size + np.abs(G_k) * k_size) / np.abs(G_E)
        per_E = self.gamma2 / E**2
        dr = r2 * (dk[:, None] + np.multiply.outer(dE * per_E, lam) - beta)
        r_size = np.multiply.outer(E_size * np.abs(per_E), lam) + _ROUNDINGS * beta_size
        r_size = r2_size * (r_size + k_size[:, None])
        return OnePoint(dk, dE, dr, k_size, E_size, r_size)

    def mean(self, d: Direction, moved: OnePoint) -> tuple[Complex, Array]:
        """Derivative of <r>, and its size; each (N,)."""
        size = moved.r_size @ self.w + np.abs(self.r) @ np.abs(d.w)
        return moved.r @ self.w + self.r @ d.w, size

    @lazy
    def pairs(self) -> _Pairs:
        """What the variance is made of."""
        return _Pairs(self)

    @lazy
    def variance(self) -> Form:
        """a^4 V_Q for Q = Sigma_t."""
        p = self.pairs
        return p.form(p.sample + p.outer * p.secant, self._size_of(np.abs(p.sample), p.outer))

    def variance_along(self, d: Direction, moved: OnePoint) -> Form:
        """The derivative of ``variance``."""
        p, lam, w = self.pairs, self.lam, self.w
        k, E = self.k, self.E
        dk, dE = moved.k, moved.E

        def both(first: NDArray[Any]) -> NDArray[Any]:
            """Sum of a derivative at the first and the second points."""
            return np.add.outer(first, np.concatenate([first, first.conj()]))

        # <lambda^j r_1 r_2>, j = 0, 1, 2
        powers = lam ** np.arange(3)[:, None]
        inner = powers * d.w
        inner[1:] += np.arange(1, 3)[:, None] * powers[:2] * (w * d.lam)
        r, r_two = self.r, p.twice(self.r).T
        own = r[None] * inner[:, None, :] + moved.r[None] * (powers * w)[:, None, :]
        n = k.size
        m = (own.reshape(3 * n, -1) @ r_two).reshape(3, n, 2 * n)
        m += ((r[None] * (powers * w)[:, None, :]).reshape(3 * n, -1) @ p.twice(moved.r).T).reshape(
            3, n, 2 * n
        )
        # g, h and k_1 k_2
        dgamma2 = self.products(d)[1]
        vn, _, dvn, _ = self.loads(d)
        at_E, at_k = both(dE / E), both(dk / k)
        g = p.g * (2.0 * dgamma2 / self.gamma2 - d.psi_n / self.psi_n - at_E)
        h = (dvn * self.gamma2 + vn * dgamma2) * p.per_kkEE - p.h * (at_k + at_E)
        per_D = p.per_D**2 * (g * p.m[2] + p.g * m[2])
        # Q = a^4 (Delta_t + e^{-2t} lambda)
        q0, q1 = p.Q
        dq0 = self.a2 * (2.0 * d.a2 * self.Delta_t + self.a2 * d.Delta_t)
        dq1 = self.a2 * (2.0 * d.a2 * self.share - self.a2 * d.Delta_t)
        top = q0 * p.m[1] + q1 * p.m[2]
        dtop = dq0 * p.m[1] + q0 * m[1] + dq1 * p.m[2] + q1 * m[2]
        l_Q, l_I = dtop * p.per_D + top * per_D, m[1] * p.per_D + p.m[1] * per_D
        sample = (g * p.m[1] + p.g * m[1]) * p.l_Q + p.g * p.m[1] * l_Q
        u_Q = dq0 * p.m[0] + q0 * m[0] + dq1 * p.m[1] + q1 * m[1] + sample + h * p.l_Q + p.h * l_Q
        u_I = m[0] + (g * p.m[1] + p.g * m[1] + h) * p.l_I + (p.g * p.m[1] + p.h) * l_I
        outer = p.kk * (at_k * p.u_Q * p.u_I + u_Q * p.u_I + p.u_Q * u_I)
        secant = np.subtract.outer(dk, np.concatenate([dk, dk.conj()])) / p.steps
        secant[range(n), range(n)] = self._slope_along(d, moved)
        # sizes: of what loses digits twice, at most
        change = np.abs(p.kk) * (
            np.abs(at_k * p.u_Q * p.u_I) + np.abs(u_Q * p.u_I) + np.abs(p.u_Q * u_I)
        )
        size = np.abs(sample) + change * np.abs(p.secant) + np.abs(p.outer * secant)
        moved_size = both(moved.k_size) / np.abs(p.steps)
        moved_size[range(n), range(n)] = np.abs(secant[range(n), range(n)])
        total = self._size_of(size, change) + np.abs(p.outer) * moved_size
        return p.form(sample + outer * p.secant + p.outer * secant, total)

    def _size_of(self, size: Array, outer: Complex) -> Array:
        """Sizes of the terms of pairs, (N, 2 N), with what differences lose."""
        p = self.pairs
        losing = 1.0 + (1.0 + np.abs(p.g * p.m[2])) * np.abs(p.per_D)
        apart = lost(self.k, np.concatenate([self.k, self.k.conj()]))
        total: Array = _ROUNDINGS * losing * (size + np.abs(outer * p.secant)) * apart
        return total

    def _slope_along(self, d: Direction, moved: OnePoint) -> Complex:
        """Derivative of dk/dz at the nodes, from that of equation (3)."""
        k, E, r, lam, w = self.k, self.E, self.r, self.lam, self.w
        db2, dgamma2 = self.products(d)
        G_k, _, G_E, _ = self._equations
        per_E = 1.0 / E
        beta = db2 + np.multiply.outer(per_E, dgamma2 * lam + self.gamma2 * d.lam)
        beta = beta - np.multiply.outer(self.gamma2 * moved.E * per_E**2, lam)
        vn, load, dvn, dload = self.loads(d)
        r2, two = r * r, 2.0 * r * moved.r
        # <beta^2 r^2>
        br = self._beta * r
        features = (br * br) @ d.w + 2.0 * (br * (beta * r + self._beta * moved.r)) @ w
        # G_k and G_E
        own = d.w * lam + w * d.lam
        dG_k = (-dvn + 2.0 * vn * moved.k / k) / k**2
        dG_k = dG_k - dload * (r2 @ (w * lam)) - load * (r2 @ own + two @ (w * lam))
        squares = d.w * lam**2 + 2.0 * w * lam * d.lam
        factor = self.gamma2 * load * per_E**2
        dfactor = (dgamma2 * load + self.gamma2 * dload) * per_E**2
        dfactor = dfactor - 2.0 * factor * moved.E * per_E
        dG_E = -dfactor * (r2 @ (w * lam**2)) - factor * (r2 @ squares + two @ (w * lam**2))
        sample = self.psi_n * (k * per_E * G_k) ** 2 / G_E
        relative = d.psi_n / self.psi_n - dG_E / G_E
        relative = relative + 2.0 * (moved.k / k - moved.E * per_E)
        # G_k may vanish: its own derivative beside the logarithmic ones of the rest
        dsample = sample * relative + 2.0 * self.psi_n * (k * per_E) ** 2 * G_k * dG_k / G_E
        return -(self.one.dk**2) * (d.psi_p - features - dsample)


class _Pairs:
    """V_Q and what it is made of, at (z_i, z_j) and (z_i, conj z_j); arrays (N, 2 N)."""

    def __init__(self, of: Tangents):
        k, E, z = of.k, of.E, of.one.z
        n = k.size
        self.Q = of.a2**2 * of.Delta_t, of.a2**2 * of.share
        powers = of.w * of.lam ** np.arange(3)[:, None]
        rows = (of.r[None] * powers[:, None, :]).reshape(3 * n, -1)
        self.m = (rows @ self.twice(of.r).T).reshape(3, n, 2 * n)
        self.kk = np.multiply.outer(k, self.twice(k))
        per_EE = 1.0 / np.multiply.outer(E, self.twice(E))
        self.per_kkEE = per_EE / self.kk
        self.g = of.gamma2**2 / of.psi_n * per_EE
        self.h = of.v2 / of.psi_n * of.gamma2 * self.per_kkEE
        q0, q1 = self.Q
        self.per_D = 1.0 / (1.0 - self.g * self.m[2])
        self.l_Q = (q0 * self.m[1] + q1 * self.m[2]) * self.per_D
        self.l_I = self.m[1] * self.per_D
        self.sample = self.g * self.m[1] * self.l_Q
        self.u_Q = q0 * self.m[0] + q1 * self.m[1] + self.sample + self.h * self.l_Q
        self.u_I = self.m[0] + (self.g * self.m[1] + self.h) * self.l_I
        self.outer = self.kk * self.u_Q * self.u_I
        self.steps = np.subtract.outer(z, self.twice(z))
        self.steps[range(n), range(n)] = 1.0
        self.secant = np.subtract.outer(k, self.twice(k)) / self.steps
        self.secant[range(n), range(n)] = of.one.dk

    @staticmethod
    def twice(values: Complex) -> Complex:
        """Values at the nodes and at their conjugates, along the first axis."""
        return np.concatenate([values, values.conj()])

    def form(self, values: Complex, size: Array) -> Form:
        """A two-point function as a form."""
        n = values.shape[0]
        return Form.of(values[:, :n], values[:, n:], size[:, :n] + size[:, n:])
