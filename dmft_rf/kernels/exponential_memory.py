r"""Volterra equations whose kernel is a sum of exponentials, by collocation on panels.

    L(t) = g(t) [F(t) + integral_0^t K(t - s) e(s) L(s) ds],
    K(s) = Re sum_i c_i e^{-mu_i s},    F(t) = F_0 + Re sum_i d_i e^{-mu_i t}.

The memory of every mode is a number, Y_i(t) = integral_0^t e^{-mu_i (t - s)} e(s) L(s) ds. On a
panel, mapped to -1 < s < 1, the drive e L is a polynomial through Gauss-Legendre points, and what
it leaves in a mode follows from

    J_n(c) = integral_{-1}^c e^{-m (c - s)} P_n(s) ds,    m = mu h/2,
    m J_n = P_n(c) - (-1)^n e^{-m (c + 1)} - D_n,    D_{n+1} = D_{n-1} + (2 n + 1) J_n,

which keeps its digits unless |m| is small: errors of J_n grow like (2 n - 1)!!/|m|^n, and a smooth
drive has little of P_n for large n. For small |m| the exponential is as smooth as the drive, and
the rule of the points carries both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dmft_rf.kernels._jit import njit

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

# |m| below which the rule of the points carries the exponential
_SMALL = 0.5
# an exponential beyond is 0: products of less are no longer normal floats, and slow
_GONE = 300.0


@njit
def _fallen(m: complex) -> complex:
    """e^{-m}, 0 where it is negligible."""
    return np.exp(-m) if m.real < _GONE else 0.0j


@njit
def march(
    edges: Array,
    noise: Array,
    gain: Array,
    mu: Complex,
    c: Complex,
    d: Complex,
    F_0: float,
    points: Array,
    weights: Array,
    inner: Array,
    coefficients: Array,
    legendre: Array,
) -> tuple[Array, Array]:
    """L and F at the points of every panel, each (P, n).

    Parameters
    ----------
    edges : (P + 1,) array
    noise, gain : (P, n) arrays
        e and g at the points.
    mu, c, d : (N,) complex arrays
    F_0 : float
    points, weights : (n,) arrays
        The Gauss-Legendre rule.
    inner : (n, n) array
        Integral from -1 to point j of the polynomial that is 1 at point k and 0 at the others.
    coefficients : (n, n) array
        From values at the points to Legendre coefficients.
    legendre : (n, n) array
        P_m at point j.
    """
    P, n, N = noise.shape[0], points.size, mu.size
    L, F = np.zeros((P, n)), np.zeros((P, n))
    Y, X = np.zeros(N, np.complex128), d.copy()
    left = np.zeros((N, n), np.complex128)
    at_end = np.zeros((N, n), np.complex128)
    gone = np.zeros(N, np.complex128)
    G, A = np.zeros((n, n)), np.zeros((n, n))
    start, free = np.zeros(n), np.zeros(n)
    for p in range(P):
        half = 0.5 * (edges[p + 1] - edges[p])
        G[:] = 0.0
        A[:] = 0.0
        start[:] = 0.0
        free[:] = F_0
        for i in range(N):
            m = mu[i] * half
            gone[i] = _fallen(2.0 * m)
            for j in range(n):
                e = _fallen(m * (points[j] + 1.0))
                left[i, j] = e
                start[j] += (c[i] * Y[i] * e).real
                free[j] += (X[i] * e).real
            if c[i] == 0.0:
                continue
            if abs(m) < _SMALL:
                for j in range(n):
                    scaled = half * c[i] * left[i, j]
                    for k in range(n):
                        A[j, k] += inner[j, k] * (scaled / left[i, k]).real
                for k in range(n):
                    at_end[i, k] = half * weights[k] * gone[i] / left[i, k]
            else:
                inverse = 1.0 / m
                for j in range(n):
                    e = left[i, j]
                    before, here, sign = 0.0j, 0.0j, 1.0
                    for order in range(n):
                        J = (legendre[order, j] - sign * e - here) * inverse
                        G[j, order] += half * (c[i] * J).real
                        before, here = here, before + (2.0 * order + 1.0) * J
                        sign = -sign
                before, here, sign = 0.0j, 0.0j, 1.0
                for order in range(n):
                    J = (1.0 - sign * gone[i] - here) * inverse
                    at_end[i, order] = half * J
                    before, here = here, before + (2.0 * order + 1.0) * J
                    sign = -sign
        for j in range(n):
            for k in range(n):
                total = A[j, k]
                for order in range(n):
                    total += G[j, order] * coefficients[order, k]
                A[j, k] = -gain[p, j] * total * noise[p, k]
        for j in range(n):
            A[j, j] += 1.0
            L[p, j] = gain[p, j] * (free[j] + start[j])
            F[p, j] = free[j]
        _eliminate(A, L[p])
        drive = noise[p] * L[p]
        shares = np.zeros(n)
        for order in range(n):
            for k in range(n):
                shares[order] += coefficients[order, k] * drive[k]
        for i in range(N):
            total_i = 0.0j
            if c[i] != 0.0:
                by = drive if abs(mu[i] * half) < _SMALL else shares
                for k in range(n):
                    total_i += at_end[i, k] * by[k]
            Y[i] = gone[i] * Y[i] + total_i
            X[i] *= gone[i]
            if abs(X[i]) < 1e-150:
                X[i] = 0.0
    return L, F


@njit
def _eliminate(A: Array, b: Array) -> None:
    """Solve A x = b in place of b, by elimination with row pivots."""
    n = b.size
    for k in range(n):
        best = k
        for j in range(k + 1, n):
            if abs(A[j, k]) > abs(A[best, k]):
                best = j
        if best != k:
            for order in range(n):
                A[k, order], A[best, order] = A[best, order], A[k, order]
            b[k], b[best] = b[best], b[k]
        for j in range(k + 1, n):
            factor = A[j, k] / A[k, k]
            for order in range(k, n):
                A[j, order] -= factor * A[k, order]
            b[j] -= factor * b[k]
    for k in range(n - 1, -1, -1):
        for order in range(k + 1, n):
            b[k] -= A[k, order] * b[order]
        b[k] /= A[k, k]


@njit
def memory(
    edges: Array,
    drive: Array,
    mu: Complex,
    panel: NDArray[np.int64],
    place: Array,
    legendre: Array,
    points: Array,
    weights: Array,
    values: Array,
) -> Complex:
    """Y_i at times in ascending order, (T, N).

    Parameters
    ----------
    edges : (P + 1,) array
    drive : (P, n) array
        Legendre coefficients of e L on the panels.
    mu : (N,) complex array
    panel, place : (T,) arrays
        The panel of each time and its place in it, from -1 to 1.
    legendre : (T, n) array
        P_m at the places.
    points, weights : (T, q) arrays
        A rule from -1 to the place.
    values : (T, q) array
        The drive at its points.
    """
    P, n, N, T, q = drive.shape[0], drive.shape[1], mu.size, place.size, points.shape[1]
    out = np.zeros((T, N), np.complex128)
    for i in range(N):
        Y = 0.0j
        t = 0
        for p in range(P):
            half = 0.5 * (edges[p + 1] - edges[p])
            m = mu[i] * half
            small = abs(m) < _SMALL
            inverse = 1.0 / m if not small else 0.0j
            while t < T and panel[t] == p:
                e = _fallen(m * (place[t] + 1.0))
                total = 0.0j
                if small:
                    for k in range(q):
                        fallen = np.exp(-m * (place[t] - points[t, k]))
                        total += weights[t, k] * values[t, k] * fallen
                else:
                    before, here, sign = 0.0j, 0.0j, 1.0
                    for order in range(n):
                        J = (legendre[t, order] - sign * e - here) * inverse
                        total += drive[p, order] * J
                        before, here = here, before + (2.0 * order + 1.0) * J
                        sign = -sign
                out[t, i] = e * Y + half * total
                t += 1
            if t == T:
                break
            e = _fallen(2.0 * m)
            total = 0.0j
            if small:
                total = _spread(drive[p], m)
            else:
                before, here, sign = 0.0j, 0.0j, 1.0
                for order in range(n):
                    J = (1.0 - sign * e - here) * inverse
                    total += drive[p, order] * J
                    before, here = here, before + (2.0 * order + 1.0) * J
                    sign = -sign
            Y = e * Y + half * total
    return out


@njit
def _spread(shares: Array, m: complex) -> complex:
    """sum_n shares_n J_n(1) for small m, by the series J_n(1) = 2 e^{-m} i_n(m).

    i_n(m) = m^n/(2n+1)!! sum_k (m^2/2)^k/[k! (2n+3) (2n+5) ... (2n+2k+1)].
    """
    total = 0.0j
    front = 2.0 * np.exp(-m)
    for order in range(shares.size):
        term, series = 1.0 + 0.0j, 1.0 + 0.0j
        for k in range(1, 9):
            term = term * (0.5 * m * m) / (k * (2.0 * order + 2.0 * k + 1.0))
            series += term
        total += shares[order] * front * series
        front = front * m / (2.0 * order + 3.0)
    return total
