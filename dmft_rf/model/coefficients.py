"""Gaussian-equivalent coefficients of an activation.

In high dimension a random-features network with activation sigma behaves like one with Gaussian
features whose covariances depend on sigma through a few numbers (Bonnaire et al.,
arXiv:2505.17638). With z standard normal, Delta_t = 1 - e^{-2t},
Gamma_t^2 = e^{-2t} sigma_x^2 + Delta_t, varrho = e^{-2t} sigma_x^2/Gamma_t^2 and
c_k = E[sigma(Gamma_t z) He_k(z)]/sqrt(k!)::

    mu_0 = c_0                        a_t = mu_1/Gamma_t
    mu_1 = c_1                        b_t = sqrt(Delta_t) mu_1/Gamma_t
    v_t^2 = sum_{k>=2} c_k^2 varrho^k
    s_t^2 = sum_{k>=2} c_k^2 (1 - varrho^k)

The squared mean c_0^2 is left out of v_t^2: it moves one eigenvalue and no loss.

How the sums are computed. c_k can decay as slowly as k^{-3/4} (a jump) and s_t^2 is of order t as
t -> 0, so neither a truncated series nor a difference of two expectations will do. With
g(x) = sigma(x) - c_0 - (c_1/Gamma_t) x, the part of sigma with k >= 2, and N = E[g^2]:

- varrho <= 3/4: v_t^2 is the series, which converges like varrho^k for any activation, and
  s_t^2 = N - v_t^2 loses no digits because v_t^2 <= varrho^2 N.
- varrho > 3/4: s_t^2 = E[(g(X_1) - g(X_2))^2]/2 for jointly Gaussian X_1, X_2 of variance
  Gamma_t^2 and correlation varrho, an integral of a square, and v_t^2 = N - s_t^2.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from dmft_rf._arithmetic import ieee
from dmft_rf._convert import number
from dmft_rf._typing import Array
from dmft_rf.errors import ConvergenceError
from dmft_rf.model.activation import Activation, ActivationLike
from dmft_rf.model.equivalent import Coefficients
from dmft_rf.model.gaussian_averages import hermite_averages
from dmft_rf.model.profile import (
    SERIES_UP_TO,
    Profile,
    half_mean_square_increment,
    profile_under,
)
from dmft_rf.numerics.estimate import EPS, ROUNDING

_SERIES_IF_NEEDED_UP_TO = 0.9
_TOLERANCE = 1e-11


@ieee
def coefficients(activation: ActivationLike, t: float, sigma_x2: float = 1.0) -> Coefficients:
    """Compute the Gaussian-equivalent coefficients.

    Parameters
    ----------
    activation : Activation, str or callable
        See :meth:`dmft_rf.model.activation.Activation.of`.
    t : float
        Diffusion time, t > 0.
    sigma_x2 : float
        sigma_x^2 = Tr Sigma/d > 0.

    Returns
    -------
    Coefficients
        Cached for each (activation, t, sigma_x2); an activation is known by its values, and those
        of a function are looked at each time.

    Raises
    ------
    ModelError
        If a parameter is outside its domain, if the activation grows too fast for Gaussian
        averages or is too noisy to be integrated, or if mu_1 vanishes.
    ConvergenceError
        If two quadratures differ by more than 1e-11 of a value; ``partial`` holds the coefficients.

    Notes
    -----
    Sources: Bonnaire et al., arXiv:2505.17638; formulas in the module's docstring.

    A residual below 1e-30 of the second moment is the rounding of a linear function: v2, s2 and
    residual_variance are then exactly zero. Single c_k, k >= 2, below 5e-16 ||sigma|| count as
    zero likewise. Where somewhat larger ones, mostly rounding, decide v_t^2, as for
    x + sin(20 x) at t = 0.1 with v_t^2 ~ 1e-17, a ConvergenceError says so.

    A feature that is narrower than 0.02 Gamma_t and falls between all nodes goes unseen.
    """
    return of_stated(
        Activation.of(activation),
        number(t, "t", above=0.0),
        number(sigma_x2, "sigma_x2", above=0.0),
    )


def of_stated(activation: Activation, t: float, sigma_x2: float) -> Coefficients:
    """As `coefficients`, for an activation that has just been made or looked at again."""
    return _coefficients(activation, t, sigma_x2, activation.values_for(deviation(t, sigma_x2)))


def deviation(t: float, sigma_x2: float) -> float:
    """Gamma_t, the standard deviation of a pre-activation."""
    if sigma_x2 == 1.0:  # exactly, so that a sweep over t shares one profile
        return 1.0
    return math.sqrt(math.exp(-2.0 * t) * sigma_x2 - math.expm1(-2.0 * t))


@np.errstate(all="ignore")
def linear_part(activation: Activation, gamma: float) -> float:
    """E[sigma(gamma z) z]/gamma, the slope that the activation has on average."""
    mu1 = profile_under(activation, gamma, activation.values_for(gamma)).mu1
    if not _relative_difference(mu1) <= _TOLERANCE:
        raise ConvergenceError(
            f"linear part of activation {activation.name!r} at deviation {gamma}: two quadratures "
            f"differ by {_relative_difference(mu1):.1e} (allowed: {_TOLERANCE:.0e})",
            residual=_relative_difference(mu1),
        )
    return float(mu1[0]) / gamma


@lru_cache(maxsize=4096)
@np.errstate(all="ignore")  # what is not finite in the end raises an error
def _coefficients(
    activation: Activation, t: float, sigma_x2: float, values: str = ""
) -> Coefficients:
    delta_t = -math.expm1(-2.0 * t)
    signal = math.exp(-2.0 * t) * sigma_x2
    gamma_t2 = 1.0 if sigma_x2 == 1.0 else signal + delta_t
    gamma_t = math.sqrt(gamma_t2)
    rho, one_minus_rho = signal / gamma_t2, delta_t / gamma_t2
    profile = profile_under(activation, gamma_t, values)
    rounding = ROUNDING
    if profile.residual[0] == 0.0:
        v2 = s2 = np.zeros(2)
    elif rho <= SERIES_UP_TO:
        v2 = _series(profile, rho)
        s2 = profile.residual - v2
    else:
        s2 = half_mean_square_increment(activation, profile, gamma_t, rho, one_minus_rho)[0]
        v2 = profile.residual - s2
        if v2[0] < 0.05 * profile.residual[0] and rho <= _SERIES_IF_NEEDED_UP_TO:
            v2 = _series(profile, rho)  # most of g oscillates too fast to survive the noise
        elif v2[0] > 0.0:
            rounding *= float(profile.residual[0] / v2[0])
    checked = (profile.mu1, profile.second_moment, profile.residual, v2, s2)
    mu1 = float(profile.mu1[0])
    result = Coefficients(
        mu0=float(profile.mu0[0]),
        mu1=mu1,
        a=mu1 / gamma_t,
        b=math.sqrt(delta_t) * mu1 / gamma_t,
        v2=float(v2[0]),
        s2=float(s2[0]),
        gamma2=math.exp(-2.0 * t) * mu1**2 / gamma_t2,
        second_moment=float(profile.second_moment[0]),
        residual_variance=float(profile.residual[0]),
        Delta_t=delta_t,
        Gamma_t=gamma_t,
        rho=rho,
        one_minus_rho=one_minus_rho,
        error_estimate=rounding + max(_relative_difference(pair) for pair in checked),
    )
    if not result.error_estimate <= _TOLERANCE:
        raise ConvergenceError(
            f"coefficients of activation {activation.name!r} at t = {t}, sigma_x2 = {sigma_x2}: "
            f"two quadratures differ by {result.error_estimate:.1e} (allowed: {_TOLERANCE:.0e})",
            partial=result,
            residual=result.error_estimate,
        )
    return result


def _relative_difference(pair: Array) -> float:
    """Return |fine - coarse|/|fine|, zero if both are zero, infinity if one is not a number."""
    fine, coarse = float(pair[0]), float(pair[1])
    if not (math.isfinite(fine) and math.isfinite(coarse)):
        return math.inf
    if fine == coarse:
        return 0.0
    return abs(fine - coarse) / abs(fine) if fine else math.inf


def _series(profile: Profile, rho: float) -> Array:
    """Return v_t^2 = sum_{k>=2} c_k^2 rho^k by both rules, shape (2,).

    c_k below 2 eps ||sigma|| is the rounding of a coefficient that vanishes (c_2, c_4, ... of an
    odd function) and is dropped: as rho -> 0 its rho^k could otherwise outweigh the true sum.
    """
    # rho^count < 1e-18, and enough terms that the first which does not vanish is among them
    count = 16 + (math.ceil(math.log(1e-18) / math.log(rho)) if rho > 0.0 else 0)
    powers = np.power(rho, np.arange(2, count))
    result = np.empty(2)
    for column in range(2):
        c = hermite_averages(profile.points[column], profile.weighted_g[column], count)[2:]
        c[np.abs(c) <= 2.0 * EPS * math.sqrt(profile.second_moment[0])] = 0.0
        result[column] = np.sum((c * c * powers)[::-1])
    return result
