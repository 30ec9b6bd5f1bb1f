r"""The two ends of the spectrum of U and the solution at z = 0, in one call.

`dmft_rf.spectra.closed_form_support` has the method, the gaps between, and the cases that are left
out here.
"""

from __future__ import annotations

import numpy as np

from dmft_rf.kernels._jit import njit
from dmft_rf.kernels.closed_form import outside, outside_on
from dmft_rf.kernels.sample_covariance import effective_ridge, ridge, support_end

# where the slope of z(k) is looked at: below k = 0, or beyond the largest eigenvalue of the sample
# covariance in one of the two families of k
_BELOW_ZERO, _LOWER, _UPPER = 0, -1, 1
_MOST_STEPS = 200
# of z(k), relative to its terms
_ROUNDING = 1e-13


@njit
def _parameter(k, par):
    """c(k), the spectral parameter that the sample covariance sees."""
    if par[3] == 0.0:
        return (k - par[2]) / par[5]
    return (k - par[2]) * (k - par[3] / par[1]) / (par[5] * k)


@njit
def _at_k(k, par, lam, w, first):
    """z - s^2 and dz/dk at k < 0."""
    c = _parameter(k, par)
    kappa = effective_ridge(-c, False, par[1], lam[first:], w[first:])
    if np.isnan(kappa):
        return np.nan, -np.inf
    return outside(k, kappa, c, par, lam, w)


@njit
def _slope(where, u, end, par, lam, w, first):
    """z - s^2 and dz/dk at the place u: k = -e^u, or kappa = end - e^u."""
    if where == _BELOW_ZERO:
        return _at_k(-np.exp(u), par, lam, w, first)
    kappa = end - np.exp(u)
    c = -ridge(kappa, par[1], lam[first:], w[first:])[0]
    return outside_on(kappa, c, where, par, lam, w)


@njit
def _edge(where, a, b, end, par, lam, w, first):
    """z - s^2 where dz/dk changes its sign between a and b; nan without a change of sign.

    By Chandrupatla's method (inverse quadratic interpolation where it is safe, else bisection).
    """
    fa = max(_slope(where, a, end, par, lam, w, first)[1], -1e300)
    fb = max(_slope(where, b, end, par, lam, w, first)[1], -1e300)
    if not fa * fb <= 0.0:
        return np.nan
    c, fc, near = a, fa, a
    share = 0.5
    for _ in range(_MOST_STEPS):
        at = a + share * (b - a)
        f = max(_slope(where, at, end, par, lam, w, first)[1], -1e300)
        if (f > 0.0) == (fa > 0.0):
            c, fc = a, fa
        else:
            c, fc = b, fb
            b, fb = a, fa
        a, fa = at, f
        near = a if abs(fa) < abs(fb) else b
        room = 0.5 * (1e-15 + 1e-14 * abs(near)) / abs(b - c) if b != c else 1.0
        if room > 0.5 or fa == 0.0 or fb == 0.0:
            break
        place = (a - b) / (c - b)
        height = (fa - fb) / (fc - fb)
        share = 0.5
        if height * height < place and (1.0 - height) ** 2 < 1.0 - place:
            share = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (
                fc - fb
            )
        share = min(max(share, room), 1.0 - room)
    return _slope(where, near, end, par, lam, w, first)[0]


@njit
def _enclosed(where, start, down, up, at_most, end, par, lam, w, first):
    """Places on both sides of the root, where the slope is not > 0 and where it is; nan if none."""
    low = start
    for _ in range(_MOST_STEPS):
        if not _slope(where, low, end, par, lam, w, first)[1] > 0.0:
            break
        low -= down
    else:
        return np.nan, np.nan
    high = start
    for _ in range(_MOST_STEPS):
        slope = _slope(where, high, end, par, lam, w, first)[1]
        if not (slope <= 0.0 if at_most else slope < 0.0):
            return low, high
        high += up
    return np.nan, np.nan


@njit
def _at_zero(par, lam, w, first):
    """k and E at z = 0, by Newton's method from the left; nan where it fails."""
    trace = par[3] + par[2]
    for a in range(lam.size):
        trace += par[5] * w[a] * lam[a]
    offset = -par[4]
    k = (offset - trace) / par[0]
    for _ in range(_MOST_STEPS):
        z, slope = _at_k(k, par, lam, w, first)
        miss = offset - z
        step = miss / slope if slope > 0.0 else np.nan
        if step <= -2e-15 * k:
            if miss >= -_ROUNDING * (abs(z) - par[0] * k):
                c = _parameter(k, par)
                kappa = effective_ridge(-c, False, par[1], lam[first:], w[first:])
                return k, kappa * par[5] / (par[2] - k)
            break
        k += step
    return np.nan, np.nan


@njit
def ends(par, lam, w):
    """Lowest and highest edge, measured from s^2, k and E at z = 0, and the mass of the atom.

    Parameters
    ----------
    par, lam, w
        As in `dmft_rf.kernels.closed_form`.

    Returns
    -------
    low, high, k, E, atom : float
        nan where something was not found, where the spectrum begins at s^2 itself (psi_p is the
        number of columns) and, of ``low``, where an atom is there and the features have no noise.
    """
    psi_p, psi_n, b2, gamma2 = par[0], par[1], par[2], par[5]
    vn = par[3] / psi_n
    first = 0
    while first < lam.size and not lam[first] > 0.0:
        first += 1
    rank = 0.0
    for a in range(first, lam.size):
        rank += w[a]
    data = min(psi_n, rank)
    null = max(0.0, 1.0 - data)
    if null < 4e-16:
        null = 0.0
    total = data + null + (psi_n if vn > 0.0 else 0.0)
    excess = psi_p - total
    end = support_end(-1.0, psi_n, lam[first:], w[first:])
    scale = np.log(abs(end))
    a, b = _enclosed(_UPPER, scale, 2.0, 2.0, True, end, par, lam, w, first)
    high = _edge(_UPPER, a, b, end, par, lam, w, first)
    if abs(excess) <= 4e-15 * psi_p:
        return np.nan, high, np.nan, np.nan, 0.0
    if excess > 0.0 and vn == 0.0:
        low = np.nan
    elif excess > 0.0:
        a, b = _enclosed(_LOWER, scale, 2.0, 2.0, True, end, par, lam, w, first)
        low = _edge(_LOWER, a, b, end, par, lam, w, first)
    else:
        spread = b2 + vn + gamma2 * lam[-1] * (1.0 + 1.0 / np.sqrt(psi_n)) ** 2
        start = np.log(spread * np.sqrt(total / psi_p)) + 1.0
        a, b = _enclosed(_BELOW_ZERO, start, 2.0, 1.0, False, end, par, lam, w, first)
        low = _edge(_BELOW_ZERO, a, b, end, par, lam, w, first)
    k, E = _at_zero(par, lam, w, first)
    return low, high, k, E, max(excess, 0.0) / psi_p
