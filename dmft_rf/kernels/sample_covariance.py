r"""The fixed point of the sample covariance at real points outside its support.

For the sample covariance C = X X^T/n of n = psi_n d samples with population eigenvalues lambda,
the Silverstein variable kappa ("effective ridge") belongs to the ridge

    zeta(kappa) = kappa (1 - ell(kappa)/psi_n),    ell(kappa) = <lambda/(lambda + kappa)>,

that is, to the spectral parameter c = -zeta of (C - c)^{-1}. A real c lies outside the support of C
exactly where dzeta/dkappa = 1 - f(kappa)/psi_n > 0, f(kappa) = <lambda^2/(lambda + kappa)^2>
(Silverstein and Choi 1995). Sums run over ``lam`` > 0 only; a zero eigenvalue adds nothing to them.
"""

from __future__ import annotations

import numpy as np

from dmft_rf.kernels._jit import njit


@njit
def second_order(kappa, lam, w):
    """f(kappa) = <lambda^2/(lambda + kappa)^2>."""
    total = 0.0
    for a in range(lam.size):
        ratio = lam[a] / (lam[a] + kappa)
        total += w[a] * ratio * ratio
    return total


@njit
def ridge(kappa, psi_n, lam, w):
    """zeta(kappa) and dzeta/dkappa."""
    ell = 0.0
    f = 0.0
    for a in range(lam.size):
        ratio = lam[a] / (lam[a] + kappa)
        ell += w[a] * ratio
        f += w[a] * ratio * ratio
    return kappa * (1.0 - ell / psi_n), 1.0 - f / psi_n


@njit
def effective_ridge(zeta, upper, psi_n, lam, w):
    """kappa(zeta) on the outermost branch: right of all poles, or left of them if ``upper``.

    zeta(kappa) is increasing and convex right of the poles -lambda (c below the support of C) and
    increasing and concave left of them (c above it), so that Newton's method from the outside,
    started at zeta + <lambda>/psi_n, converges monotonically. NaN where there is no such kappa
    (c inside the support).
    """
    mean = 0.0
    for a in range(lam.size):
        mean += w[a] * lam[a]
    kappa = zeta + mean / psi_n
    if not upper:
        kappa = max(kappa, 0.0)
    for _ in range(200):
        value, slope = ridge(kappa, psi_n, lam, w)
        if not slope > 0.0:
            return np.nan
        step = (value - zeta) / slope
        step = min(step, 0.0) if upper else max(step, 0.0)
        kappa -= step
        if abs(step) <= 2e-15 * abs(kappa):
            return kappa
    return kappa


@njit
def support_end(side, psi_n, lam, w):
    """kappa at the lowest (side > 0) or highest edge of C, where f(kappa) = psi_n beyond the poles.

    f^{-1/2} is concave in the distance from the nearest pole (Minkowski's inequality), so that
    Newton's method for it, started where the nearest pole alone makes f = psi_n, converges
    monotonically; f^{-1/2} is nearly a straight line, and few steps suffice.
    """
    pole = lam[0] if side > 0.0 else lam[-1]
    weight = w[0] if side > 0.0 else w[-1]
    distance = pole * np.sqrt(weight / psi_n)
    for _ in range(200):
        f = 0.0
        slope = 0.0
        for a in range(lam.size):
            gap = (lam[a] - pole) + side * distance
            square = w[a] * (lam[a] / gap) ** 2
            f += square
            slope += side * square / gap
        step = f / slope * (np.sqrt(f / psi_n) - 1.0)  # -g/g' for g = f^{-1/2} - psi_n^{-1/2}
        distance += max(step, 0.0)
        if step <= 2e-15 * distance:
            break
    return -pole + side * distance
