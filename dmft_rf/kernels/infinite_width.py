r"""Infinite width: every function of the features is a function of the sample covariance.

As psi_p -> infinity with the training time kept, (1/d) Phi^T f(U) Phi becomes psi_p f(psi_p K)
(docs/theory.md, sections 3 and 14): what is left is the kernel K of the data, and eigenvalues of U
are counted in units of psi_p (the floor s^2 drops out). Each eigenvalue x of the sample covariance
C gives K two modes, with A = b^2 + gamma^2 x and v_n = v^2/psi_n:

    k_+ = (A + v_n)/2 + root,   k_- = b^2 v_n/k_+,   root^2 = ((A - v_n)/2)^2 + gamma^2 v_n x,

whose shares in the data directions are w_+ = (root + (A - v_n)/2)/(2 root) and w_- = 1 - w_+.
Sums over both modes are single-valued in x, and Re k > 0 for both exactly where Re x is above
-(b^2 + v_n)/gamma^2.

The law of C seen from the eigenspace lambda of Sigma has the Stieltjes transform
kappa/(zeta (lambda + kappa)), zeta = -x = kappa (1 - <lambda/(lambda + kappa)>/psi_n).
"""

from __future__ import annotations

import numpy as np

from dmft_rf.kernels._jit import njit
from dmft_rf.kernels.sample_covariance import ridge

_NEWTON_STEPS = 60
_HALVINGS = 200


@njit
def modes(x, b2, vn, gamma2):
    """k_+, k_-, w_+, w_- at complex points x of the spectrum of C, shape (4, n)."""
    half = 0.5 * (b2 + gamma2 * x - vn)
    cross = gamma2 * vn * x
    root = np.sqrt(half * half + cross)
    aligned = half.real * root.real + half.imag * root.imag >= 0.0
    turned = np.where(aligned, root, -root)
    # the larger share and, from cross = (root + half)(root - half), the smaller one
    whole = turned + half
    equal = turned == 0.0
    twice = np.where(equal, 1.0 + 0.0j, 2.0 * turned)
    large = np.where(equal, 1.0 + 0.0j, whole / twice)
    small = np.where(equal, 0.0j, cross / np.where(whole == 0.0, 1.0 + 0.0j, whole) / twice)
    out = np.empty((4, x.size), dtype=np.complex128)
    out[0] = half + vn + root
    out[1] = b2 * vn / out[0]
    out[2] = np.where(aligned, large, small)
    out[3] = np.where(aligned, small, large)
    return out


@njit
def _newton(zeta, kappa, psi_n, lam, w):
    """kappa(zeta) from a near start; NaN without convergence or off the branch Im kappa <= 0.

    A step of a size that rounding explains ends the search: the slope vanishes at the edges of C.
    """
    for _ in range(_NEWTON_STEPS):
        value, slope = ridge(kappa, psi_n, lam, w)
        miss = value - zeta
        step = miss / slope
        kappa -= step
        if not abs(step) < 1e300:
            break
        if abs(step) <= 4e-16 * abs(kappa) or abs(miss) <= 4e-16 * (abs(kappa) + abs(zeta)):
            if zeta.imag == 0.0 and kappa.imag > 0.0:  # the equation is real: so is its mirror
                kappa = kappa.conjugate()
            if kappa.imag <= 0.0:
                return kappa
            break
    return complex(np.nan, np.nan)


@njit
def _from_above(x, psi_n, lam, w):
    """kappa at zeta = -x, followed down a vertical line from far above the spectrum."""
    mean = 0.0
    largest = 0.0
    for a in range(lam.size):
        mean += w[a] * lam[a]
        largest = max(largest, lam[a])
    height = 20.0 * largest * (1.0 + 1.0 / np.sqrt(psi_n)) ** 2
    floor = 1e-9 * (abs(x) + 1e-3 * mean)
    here = x + complex(0.0, height)
    kappa = _newton(-here, -here + mean / psi_n, psi_n, lam, w)
    factor = 0.1
    for _ in range(_HALVINGS):
        height = factor * (here.imag - x.imag)
        arrived = height < floor
        there = x if arrived else x + complex(0.0, height)
        found = _newton(-there, kappa, psi_n, lam, w)
        if not np.isnan(found.real):
            if arrived:
                return found
            kappa = found
            here = there
            factor = max(0.1, factor * factor)
        else:
            factor = np.sqrt(factor)
            if arrived and factor > 0.9:
                break
    return complex(np.nan, np.nan)


@njit
def effective_ridges(x, psi_n, lam, w):
    """kappa at zeta = -x for points with Im x >= 0, shape (n,); NaN where no solution is found.

    For Im x > 0 exactly one solution of the equation lies in Im kappa < 0 (Silverstein and Bai
    1995), so that a Newton search from the neighbouring point cannot end at a wrong one; the real
    axis is approached from above.
    """
    out = np.empty(x.size, dtype=np.complex128)
    for j in range(x.size):
        kappa = complex(np.nan, np.nan)
        if j > 0 and x[j].imag > 0.0:
            kappa = _newton(-x[j], out[j - 1], psi_n, lam, w)
        if np.isnan(kappa.real):
            kappa = _from_above(x[j], psi_n, lam, w)
        out[j] = kappa
    return out


@njit
def seen_from(x, kappa, lam):
    """Stieltjes transform of the law of C seen from each lambda, shape (lam.size, n)."""
    out = np.empty((lam.size, x.size), dtype=np.complex128)
    for a in range(lam.size):
        for j in range(x.size):
            out[a, j] = -kappa[j] / (x[j] * (lam[a] + kappa[j]))
    return out


@njit
def sample_parameters(k, b2, vn, gamma2):
    """c(k) = (k - b^2)(k - v_n)/(gamma^2 k), the place in the plane of C of a point k of K's."""
    out = np.empty(k.size, dtype=np.complex128)
    for j in range(k.size):
        rest = (k[j] - vn) / k[j] if vn > 0.0 else 1.0 + 0.0j
        out[j] = (k[j] - b2) * rest / gamma2
    return out


@njit
def variances(r1, E1, r2, E2, lam, w, q0, q1, psi_n, gamma2):
    """V_Q(k_i, k_j) of the sample alone for Q = q0 + q1 lambda, shape (n_1, n_2).

    V_Q = (g/D) <lambda Q r_1 r_2> <lambda r_1 r_2> with g = gamma^4/(psi_n E_1 E_2) and
    D = 1 - g <lambda^2 r_1 r_2>: the limit of the two-point function of finite width, whose part
    from the features falls like 1/psi_p. r has shape (n, lam.size).
    """
    out = np.empty((E1.size, E2.size), dtype=np.complex128)
    for i in range(E1.size):
        for j in range(E2.size):
            m1 = 0.0j
            m2 = 0.0j
            for a in range(lam.size):
                term = w[a] * lam[a] * r1[i, a] * r2[j, a]
                m1 += term
                m2 += lam[a] * term
            g = gamma2 * gamma2 / (psi_n * E1[i] * E2[j])
            out[i, j] = g * (q0 * m1 + q1 * m2) * m1 / (1.0 - g * m2)
    return out


@njit
def covariances(f, g, mean_f, mean_g, size_f, size_g, seen, weight):
    """Terms of sum_a weight_a int dmu_a (f - mean_f_a)(g - mean_g_a) at every node, (n_tau, n).

    And the sizes of what rounding sees in them, from the sizes of what f and g are sums of. Means
    have shape (n_tau, n_atoms), and ``seen`` (n_atoms, n) holds the transforms of mu_a.
    """
    terms = np.zeros(f.shape, dtype=np.complex128)
    sizes = np.zeros(f.shape)
    for i in range(f.shape[0]):
        for a in range(seen.shape[0]):
            w, f0, g0 = weight[a], mean_f[i, a], mean_g[i, a]
            for j in range(f.shape[1]):
                one, two = f[i, j] - f0, g[i, j] - g0
                s = w * seen[a, j]
                terms[i, j] += s * (one * two)
                first = abs(one.real) + abs(one.imag)
                second = abs(two.real) + abs(two.imag)
                lost = size_f[i, j] * second + first * size_g[i, j]
                sizes[i, j] += (abs(s.real) + abs(s.imag)) * lost
    return terms, sizes


@njit
def _learned(u):
    """1 - e^{-u} for complex u, with its digits near 0."""
    size = np.exp(-u.real)
    half = np.sin(0.5 * u.imag)
    real = -np.expm1(-u.real) + 2.0 * size * half * half
    return real + 1j * (size * np.sin(u.imag))


@njit
def learned_scores(x, a2, delta, signal, vn, clock):
    """G of gradient flow at diffusion times (n_t,) and points x of C's plane, shape (n_t, n).

    The learned score is -G(C) x_t with G = a^2 [w_+ h(k_+) + w_- h(k_-)], h(k) = (1 - e^{-k c})/k
    and c = ``clock`` = 2 Delta_t tau, which may be inf. ``delta`` and ``signal`` are Delta_t and
    e^{-2t}.
    """
    out = np.empty((a2.size, x.size), dtype=np.complex128)
    for i in range(a2.size):
        # both modes are proportional to a^2
        both = modes(x, delta[i], vn[i] / a2[i], signal[i])
        plus, minus, top, low = both[0], both[1], both[2], both[3]
        if np.isinf(clock[i]):
            # the sum of both modes is 1/Delta_t for every x: the noise is fitted
            if vn[i] > 0.0:
                out[i] = 1.0 / delta[i]
            else:
                out[i] = top / plus
            continue
        out[i] = top * _learned(plus * (a2[i] * clock[i])) / plus
        if vn[i] > 0.0:
            out[i] += low * _learned(minus * (a2[i] * clock[i])) / minus
    return out
