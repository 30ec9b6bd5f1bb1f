r"""The formulas of docs/theory.md as one would write them down with NumPy and SciPy.

One call of scipy.optimize.root per point for the two unknowns (q, E) of arXiv:2505.17638, Theorem
3.1, each started from the solution before it; the long two-point formula on all pairs of nodes; the
losses as differences of contour integrals:

    beta_k = b^2 + gamma^2 lambda_k/E
    1/q = s^2 - z + v^2/E + sum_k w_k beta_k/(1 + psi_p q beta_k)
    E   = 1 + (psi_p/psi_n) q [v^2 + gamma^2 sum_k w_k lambda_k/(1 + psi_p q beta_k)]

    L_train = 1 - b^2 S[(1 - e^{-2 alpha x tau})/x]
    L_test  = 1 - 2 b^2 S[h] + b^2 {N S[h^2] + a^2 T[h, h]}

Nothing is taken from the library but the coefficients of the model and, so that both do the same
work, the edges of the support and the number of nodes.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import root
from scipy.special import ellipj, ellipk, ellipkm1

from dmft_rf import ScoreModel
from dmft_rf._typing import Array, Complex


@dataclass(frozen=True)
class Curves:
    """Losses at every time, arrays shaped like ``tau``."""

    train: Array
    test: Array
    score_error: Array


def one_point(model: ScoreModel, points: Complex, fresh: set[int] | None = None) -> Complex:
    """q and E at ``points`` of the closed upper half-plane, shape (2, n_points).

    Each starts from the solution at the point before. The first one, those whose index is in
    ``fresh`` and those where this ends on another branch are reached from above instead.
    """
    c, cov = model.coefficients, model.covariance
    lam, w = cov.eigenvalues, cov.weights
    psi_p, psi_n = model.psi_p, model.psi_n

    def sides(q: complex, E: complex, z: complex) -> tuple[Any, Any]:
        beta = c.b**2 + c.gamma2 * lam / E
        bottom = w / (1.0 + psi_p * q * beta)
        inverse = c.s2 - z + c.v2 / E + bottom @ beta
        return inverse, 1.0 + psi_p / psi_n * q * (c.v2 + c.gamma2 * (bottom @ lam))

    def equations(x: Array, z: complex) -> Array:
        q, E = complex(x[0], x[1]), complex(x[2], x[3])
        inverse, right = sides(q, E, z)
        first, second = q * inverse - 1.0, right / E - 1.0
        return np.array([first.real, first.imag, second.real, second.imag])

    def solved(z: complex, q: complex, E: complex) -> tuple[complex, complex, bool]:
        found = root(equations, [q.real, q.imag, E.real, E.imag], args=(z,), tol=1e-14)
        good = found.x[1] > 0.0 and np.abs(found.fun).max() < 1e-9
        return complex(found.x[0], found.x[1]), complex(found.x[2], found.x[3]), bool(good)

    def descended(z: complex) -> tuple[complex, complex]:
        # iterated far above the target, then down to it
        height = max(abs(z) - z.imag, 0.0)
        q, E = -1.0 / z, 1.0 + 0j
        for _ in range(300):
            inverse, right = sides(q, E, z + 1j * height)
            q, E = 0.5 * (q + 1.0 / inverse), 0.5 * (E + right)
        while height > 1e-7 * abs(z):
            q, E, _ = solved(z + 1j * height, q, E)
            height *= 0.3
        return solved(z, q, E)[:2]

    out = np.empty((2, points.size), np.complex128)
    q, E, good = 0j, 0j, False
    for i, point in enumerate(points):
        z = complex(point)
        if good and i not in (fresh or ()):
            q, E, good = solved(z, q, E)
        else:
            good = False
        if not good:
            q, E = descended(z)
            good = q.imag > 0.0
        out[:, i] = q, E
    return out


def density(model: ScoreModel, x: Array, edges: Array) -> Array:
    """Im q/pi at the points x, ascending and inside the bulks ``edges`` (n_bulks, 2)."""
    bulk = np.searchsorted(edges[:, 0], x)
    first = {0, *(np.flatnonzero(np.diff(bulk)) + 1).tolist()}
    return one_point(model, x.astype(complex), first)[0].imag / math.pi


def contour(m: float, M: float, nodes: int) -> tuple[Complex, Complex]:
    """Nodes in the upper half-plane and weights -dz/(2 pi i), as in section 6.

    Hale, Higham and Trefethen (SIAM J. Numer. Anal. 46, 2505 (2008), method 1) for w = z^2, with
    sn of a complex argument by the addition theorem.
    """
    k, complement = (M - m) / (M + m), 4.0 * m * M / (m + M) ** 2
    K, K_prime = float(ellipkm1(complement)), float(ellipk(complement))
    x = -K + 2.0 * K * (np.arange(nodes) + 0.5) / nodes
    sn, cn, dn, _ = ellipj(x, k * k)
    sn1, cn1, dn1, _ = ellipj(0.5 * K_prime, complement)
    bottom = cn1**2 + k * k * sn**2 * sn1**2
    u = (sn * dn1 + 1j * cn * dn * sn1 * cn1) / bottom
    cnu = (cn * cn1 - 1j * sn * dn * sn1 * dn1) / bottom
    dnu = (dn * cn1 * dn1 - 1j * k * k * sn * cn * sn1) / bottom
    z = np.sqrt(m * M * (1.0 / k + u) / (1.0 / k - u))
    dz = m * M * (2.0 / k) * cnu * dnu / (1.0 / k - u) ** 2 * (2.0 * K / nodes) / (2.0 * z)
    return z, dz / (2j * math.pi)


def two_point(model: ScoreModel, q: Complex, E: Complex, Q: Array) -> Complex:
    """T_Q on all pairs of points, shape (n, n): the long formula of section 5.

    ``Q`` is given at the eigenvalues of Sigma.
    """
    c, cov = model.coefficients, model.covariance
    lam, w = cov.eigenvalues, cov.weights
    psi_p, psi_n, v2, g2 = model.psi_p, model.psi_n, c.v2, c.gamma2
    x, yt = c.b**2 + 1.0 / (psi_p * q), g2 / E
    y = g2 / (1.0 + v2 * psi_p * q / psi_n)
    r = 1.0 / (x[:, None] + yt[:, None] * lam)
    x1, x2, y1, y2, q1, q2 = x[:, None], x, y[:, None], y, q[:, None], q

    def m(f: Any) -> Complex:
        return (r * (w * f)) @ r.T

    chain = yt[:, None] * yt / psi_n
    m_lam = m(lam)
    geometric = chain / (1.0 - chain * m(lam**2)) * m_lam
    t_Q, t_I = m(Q) + geometric * m(lam * Q), m(1.0) + geometric * m_lam
    S = r @ w
    c_Q, c_I = ((r @ (w * Q)) - x1 * t_Q) / y1, (S - x1 * t_I) / y1
    omega = v2 * psi_p**2 * q1 * q2 * y1 * y2 / (g2 * psi_n)
    T0_Q, T0_I = t_Q + omega * c_Q, t_I + omega * c_I

    e, tc = 1.0 / (v2 + psi_n / (psi_p * q)), (1.0 - x * S) / y
    D = S / (psi_p**2 * q) + psi_n / (psi_p**2 * q) * (psi_n * e + e**2 * g2 * v2 * tc)
    e1, e2, S1 = e[:, None], e, S[:, None]
    gcgc = (1.0 - x1 * S1 - x2 * S + x1 * x2 * t_I) / (y1 * y2)
    K_oo = (
        e1 * e2 * (psi_n + g2 * v2 * (e2 * tc + e1 * tc[:, None]) + (g2 * v2) ** 2 * e1 * e2 * gcgc)
    )
    K_wo = g2 * v2 * e1 * e2 * c_I
    triple = psi_p**3 * q1 * q2
    kappa = (1.0 + psi_n) / psi_p - D[:, None] - D
    kappa = kappa + (t_I + 2.0 * psi_n * K_wo + psi_n**2 * K_oo) / triple
    return t_Q + T0_Q * T0_I / (triple * (1.0 - kappa))


def learning_curves(model: ScoreModel, tau: Array, m: float, M: float, nodes: int) -> Curves:
    """Losses at the finite times ``tau`` with ``nodes`` nodes on the contour around [m, M]."""
    c, cov = model.coefficients, model.covariance
    z, weights = contour(m, M, nodes)
    q, E = one_point(model, z)
    z, weights = np.concatenate([z, z.conj()]), np.concatenate([weights, weights.conj()])
    q, E = np.concatenate([q, q.conj()]), np.concatenate([E, E.conj()])
    r = 1.0 / (
        (c.b**2 + 1.0 / (model.psi_p * q))[:, None] + (c.gamma2 / E)[:, None] * cov.eigenvalues
    )
    S = (r @ cov.weights) * weights
    T = two_point(model, q, E, model.diffused) * np.multiply.outer(weights, weights)
    growth = np.multiply.outer(-model.rate * tau, z)
    h = -np.expm1(growth) / z
    train = 1.0 - c.b**2 * ((-np.expm1(2.0 * growth) / z) @ S).real
    noise = c.residual_variance
    square = np.einsum("ti,ti->t", h @ T, h).real
    test = 1.0 - 2.0 * c.b**2 * (h @ S).real
    test += c.b**2 * (noise * ((h * h) @ S).real + (c.mu1 / c.Gamma_t) ** 2 * square)
    return Curves(train, test, (test - model.floor) / c.Delta_t)
