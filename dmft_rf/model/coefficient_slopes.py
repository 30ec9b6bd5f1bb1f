r"""Derivatives of the coefficients of an activation in t and in the scale of the data.

The coefficients depend on t and sigma_x^2 through Gamma_t and varrho. No derivative of the
activation is needed, so that kinks and jumps do no harm. With x d/dx for the logarithmic
derivative, the heat equation of Gaussian averages (Stein's identity, twice) gives

    Gamma dc_k/dGamma = k c_k + sqrt((k + 1)(k + 2)) c_{k+2},
    Gamma da/dGamma   = E[g He_3]/Gamma,            a = c_1/Gamma,
    Gamma dN/dGamma   = E[g^2 (z^2 - 1)],

because g, the part of sigma with k >= 2, changes by multiples of 1 and x only, to which it is
orthogonal. v_t^2 follows by the series where `coefficients` sums it, and else from s_t^2, an
average over two independent Gaussians M and D: its derivatives in their deviations are the same
average with M^2/var(M) - 1 and D^2/var(D) - 1, and

    var(D) = Delta_t/2,    var(M) = e^{-2t} sigma_x^2 + Delta_t/2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from dmft_rf._typing import Array
from dmft_rf.model.activation import Activation
from dmft_rf.model.coefficients import (
    SERIES_UP_TO,
    Profile,
    deviation,
    half_mean_square_increment,
    profile_under,
)
from dmft_rf.model.equivalent import Coefficients
from dmft_rf.model.gaussian_averages import hermite_averages
from dmft_rf.numerics.estimate import EPS, ROUNDING


@dataclass(frozen=True)
class CoefficientSlopes:
    """Derivatives of a, v_t^2, s_t^2 and N; each pair is (in t, in sigma_x^2).

    ``error`` is the largest difference of two quadratures, over the size of what is differentiated.
    """

    a: tuple[float, float]
    v2: tuple[float, float]
    s2: tuple[float, float]
    residual_variance: tuple[float, float]
    error: float


def coefficient_slopes(
    activation: Activation, t: float, sigma_x2: float, c: Coefficients
) -> CoefficientSlopes:
    """Derivatives of ``c``, the coefficients of ``activation`` at ``t`` and ``sigma_x2``."""
    return _slopes(activation, t, sigma_x2, c, activation.values_for(deviation(t, sigma_x2)))


@lru_cache(maxsize=256)
@np.errstate(all="ignore")  # tails that underflow
def _slopes(
    activation: Activation, t: float, sigma_x2: float, c: Coefficients, values: str
) -> CoefficientSlopes:
    profile, gamma = profile_under(activation, c.Gamma_t, values), c.Gamma_t
    a, N = np.empty(2), profile.spread
    for i in range(2):
        z, weighted = profile.points[i], profile.weighted_g[i]
        density = np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
        third = weighted @ (density * z * (z * z - 3.0))
        a[i] = third / gamma
    # ln of Gamma_t^2, of varrho, of var(D) and of var(M), in t and in sigma_x^2
    share, noise = math.exp(-2.0 * t), c.Delta_t
    wide = share * sigma_x2 + 0.5 * noise
    in_gamma2 = np.array([2.0 * share * (1.0 - sigma_x2), share]) / gamma**2
    in_rho = np.array([-2.0, 1.0 / sigma_x2]) - in_gamma2
    in_d = np.array([2.0 * share / noise, 0.0])
    in_m = np.array([share * (1.0 - 2.0 * sigma_x2), share]) / wide
    half = 0.5 * in_gamma2  # ln Gamma_t
    if profile.residual[0] == 0.0:
        N, v2, s2 = np.zeros(2), np.zeros((2, 2)), np.zeros((2, 2))
    elif c.rho <= SERIES_UP_TO:
        by_gamma, by_rho = _series_slopes(profile, c.rho)
        v2 = np.multiply.outer(by_gamma, half) + np.multiply.outer(by_rho, in_rho)
        s2 = np.multiply.outer(N, half) - v2
    else:
        _, by_d, by_m = half_mean_square_increment(
            activation, profile, gamma, c.rho, c.one_minus_rho, slopes=True
        )
        s2 = 0.5 * (np.multiply.outer(by_d, in_d) + np.multiply.outer(by_m, in_m))
        v2 = np.multiply.outer(N, half) - s2
    pairs = {"a": np.multiply.outer(a, half), "v2": v2, "s2": s2}
    pairs["residual_variance"] = np.multiply.outer(N, half)
    # in units of the coefficient per ln t and per ln sigma_x^2
    sizes = {"a": abs(c.a), "v2": c.v2, "s2": c.s2, "residual_variance": c.residual_variance}
    units = np.array([t, sigma_x2])
    error = max(
        float(np.max(np.abs(fine - coarse) * units)) / sizes[name] if sizes[name] > 0.0 else 0.0
        for name, (fine, coarse) in pairs.items()
    )
    found = {name: (float(fine[0]), float(fine[1])) for name, (fine, _) in pairs.items()}
    return CoefficientSlopes(**found, error=error + 10.0 * ROUNDING + c.error_estimate)


def _series_slopes(profile: Profile, rho: float) -> tuple[Array, Array]:
    """d v_t^2/d ln Gamma_t at fixed varrho, and the reverse, by both rules; each (2,)."""
    count = 24 + (math.ceil(math.log(1e-18) / math.log(rho)) if rho > 0.0 else 0)
    k = np.arange(2.0, count - 2)
    powers = np.power(rho, k)
    by_gamma, by_rho = np.empty(2), np.empty(2)
    for i in range(2):
        c = hermite_averages(profile.points[i], profile.weighted_g[i], count)
        c[np.abs(c) <= 2.0 * EPS * math.sqrt(profile.second_moment[0])] = 0.0
        here, above = c[2:-2], c[4:]
        by_gamma[i] = np.sum(
            (2.0 * here * (k * here + np.sqrt((k + 1.0) * (k + 2.0)) * above) * powers)[::-1]
        )
        by_rho[i] = np.sum((k * here * here * powers)[::-1])
    return by_gamma, by_rho
