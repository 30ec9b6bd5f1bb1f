r"""The variance of what a reverse process generates, per eigenvalue of the sample covariance.

From t = T down to the end, with the learned score -rho_t G_t(C) x and s = T - t,

    dLambda/ds = 2 (1 - c rho_t G_t) Lambda + f,    c = 2, f = 2: stochastic,    c = 1, f = 0: ODE,

where the gain rho_t = a(Gamma_y)/a(Gamma_t) compares the linear part of the activation under the
variance of what is generated, Gamma_y^2 = int Lambda dmu_C, with the one it was trained at.
On a panel in t, with P the integral of 2 (1 - c rho G) from its start,

    Lambda(s) = e^{P(s)} [Lambda_0 + f int_0^s e^{-P}],

and rho at its nodes is found by repeated substitution.
"""

from __future__ import annotations

import numpy as np

from dmft_rf.kernels._jit import njit

_MOST_ROUNDS = 200
# exponents over one panel, beyond which the points lie where the learned score explodes
_LARGEST = 600.0


@njit
def series_at(u, edges, series):
    """A function given by Chebyshev series on the panels between ``edges``; NaN outside."""
    if not edges[0] <= u <= edges[-1]:
        return np.nan
    panel = min(np.searchsorted(edges, u, side="right") - 1, series.shape[0] - 1)
    y = (2.0 * u - edges[panel] - edges[panel + 1]) / (edges[panel + 1] - edges[panel])
    one = 0.0
    two = 0.0
    for i in range(series.shape[1] - 1, 0, -1):
        one, two = 2.0 * y * one - two + series[panel, i], one
    return y * one - two + series[panel, 0]


@njit
def follow(G, lengths, into, full, trained, weights, c, f, edges, series, change):
    """Follow Lambda from 1 through all panels.

    Parameters
    ----------
    G : (P, m, n) complex array
        Learned score at the nodes of each panel, in the order of the process.
    lengths : (P,) array
        Of the panels, in t.
    into, full : (m, m) and (m,) arrays
        Integrals from the start of a panel of length 1 to each of its nodes, and to its end.
    trained : (P, m) array
        a(Gamma_t).
    weights : (n,) complex array
        Re sum_j weights_j f(x_j) is the integral of f against the law of C.
    c, f : float
        2 and 2 for the stochastic process, 1 and 0 for the ODE.
    edges, series
        a(Gamma) as a function of ln Gamma^2, for `series_at`.
    change : float
        Relative change of the gain below which substitution ends.

    Returns
    -------
    Lambda : (n,) complex array
        At the end.
    gain, trace : (P, m) arrays
        rho_t and Gamma_y^2 at the nodes.
    wanted : float
        0, or a value of Gamma_y^2 that `series_at` does not cover; NaN where substitution fails.
    """
    P, m, n = G.shape
    gain = np.ones((P, m))
    trace = np.empty((P, m))
    Lambda = np.ones(n, dtype=np.complex128)
    integrals = into.astype(np.complex128)
    whole = full.astype(np.complex128)
    rho = np.ones(m)
    for p in range(P):
        step = 2.0 * lengths[p]
        fresh = f * lengths[p]
        rho[:] = rho[m - 1]
        settled = False
        for _ in range(_MOST_ROUNDS):
            slope = step * (1.0 - c * rho.reshape(m, 1) * G[p])
            exponent = integrals @ slope
            if not np.abs(exponent.real).max() < _LARGEST:
                return Lambda, gain, trace, np.nan
            grown = np.exp(exponent)
            fed_there = Lambda + fresh * (integrals @ (1.0 / grown))
            total = ((grown * fed_there) @ weights).real
            largest = 0.0
            for i in range(m):
                if not 0.0 < total[i] < 1e300:
                    return Lambda, gain, trace, np.nan
                there = series_at(np.log(total[i]), edges, series)
                if np.isnan(there):
                    return Lambda, gain, trace, total[i]
                found = there / trained[p, i]
                largest = max(largest, abs(found - rho[i]))
                rho[i] = found
            if largest <= change:
                settled = True
                break
        if not settled:
            return Lambda, gain, trace, np.nan
        trace[p] = total
        gain[p] = rho
        fed = Lambda + fresh * (whole @ (1.0 / grown))
        Lambda = np.exp(whole @ slope) * fed
    return Lambda, gain, trace, 0.0
