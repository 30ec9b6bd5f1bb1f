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
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from dmft_rf._arithmetic import ieee
from dmft_rf._convert import number
from dmft_rf._typing import Array, Mask
from dmft_rf.errors import ConvergenceError, ModelError
from dmft_rf.model.activation import Activation, ActivationLike
from dmft_rf.model.equivalent import Coefficients
from dmft_rf.model.gaussian_averages import (
    COARSE,
    FINE,
    choose_radius,
    hermite_averages,
    panel_points,
    resolve,
)
from dmft_rf.numerics.estimate import EPS, ROUNDING
from dmft_rf.numerics.panels import resolved

__all__ = ["coefficients", "deviation", "linear_part", "of_stated"]

SERIES_UP_TO = 0.75
_SERIES_IF_NEEDED_UP_TO = 0.9
_TOLERANCE = 1e-11
_CHUNK = 1 << 16
_MAX_HALVINGS = 14
_MAX_OUTER_PANELS = 40


@dataclass(frozen=True, eq=False)
class Profile:
    """An activation under one Gaussian: its mesh, and its moments by the two rules.

    Arrays of moments have shape (2,), for FINE and COARSE; `spread` is E[g^2 (z^2 - 1)]. `edges`
    and `kinks` are in units of x and stop where the residual g no longer matters.
    """

    mu0: Array
    mu1: Array
    second_moment: Array
    residual: Array
    spread: Array
    points: tuple[Array, Array]
    weighted_g: tuple[Array, Array]
    edges: Array
    kinks: tuple[float, ...]


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


@lru_cache(maxsize=64)
def profile_under(activation: Activation, gamma_t: float, values: str = "") -> Profile:
    """Resolve the activation under N(0, gamma_t^2) and take its moments.

    ``values`` is what the activation is known by for this deviation besides its own.
    """

    def scaled(z: Array) -> Array:
        return activation(gamma_t * z)

    radius = choose_radius(scaled, activation.name)
    kinks = tuple(kink / gamma_t for kink in activation.kinks)
    mesh = resolve(scaled, kinks, radius, activation.name)

    moments = np.empty((5, 2))
    points: list[Array] = []
    weighted: list[Array] = []
    shares = np.empty(0)
    for column, n in enumerate((FINE, COARSE)):
        nodes, weights = panel_points(mesh.edges, n)
        z, weight = nodes.ravel(), weights.ravel()
        density = weight * np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
        sigma = scaled(z)
        mu0, mu1 = float(density @ sigma), float(density @ (z * sigma))
        g = sigma - mu0 - mu1 * z
        # Once more: what rounding has left of the mean and the slope would enter N and c_k.
        g -= density @ g
        g -= (density @ (z * g)) * z
        rest = float(density @ (g * g))
        # E sigma^2 as a sum of squares: the four agree to rounding
        spread = float((density * g) @ (g * (z * z - 1.0)))
        moments[:, column] = mu0, mu1, mu0 * mu0 + mu1 * mu1 + rest, rest, spread
        points.append(z)
        weighted.append(weight * g)
        if n == FINE:
            shares = (density * g * g).reshape(nodes.shape).sum(axis=1)
    mu0s, mu1s, second_moment, residual, spread_of_g = moments
    if not np.isfinite(moments).all():
        raise ModelError(f"activation {activation.name!r} grows too fast for Gaussian averages")
    rms = math.sqrt(second_moment[0])
    if abs(mu1s[0]) <= 1e-12 * rms:
        raise ModelError(
            f"activation {activation.name!r} has no linear part, E[sigma(Gamma z) z] = 0 at "
            f"Gamma = {gamma_t:.3g} (it is even or constant there): such a network cannot learn "
            f"the score, which is odd in x"
        )
    if residual[0] <= 1e-30 * second_moment[0]:
        residual = np.zeros(2)
    matters = np.cumsum(shares) > 1e-20 * residual[0]
    matters &= np.cumsum(shares[::-1])[::-1] > 1e-20 * residual[0]
    used = np.flatnonzero(matters)
    edges = mesh.edges[used[0] : used[-1] + 2] if used.size else mesh.edges
    return Profile(
        mu0s,
        mu1s,
        second_moment,
        residual,
        spread_of_g,
        (points[0], points[1]),
        (weighted[0], weighted[1]),
        gamma_t * edges,
        tuple(gamma_t * kink for kink in mesh.kinks),
    )


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


def half_mean_square_increment(
    activation: Activation,
    profile: Profile,
    gamma_t: float,
    rho: float,
    one_minus_rho: float,
    slopes: bool = False,
) -> Array:
    """Return s_t^2 = E[(g(M + D) - g(M - D))^2]/2 by both rules, shape (1, 2).

    With ``slopes`` further rows are its derivatives in ln std(D) and ln std(M): the same average
    with the factors D^2/var(D) - 1 and M^2/var(M) - 1, by the derivatives of the two densities.

    M ~ N(0, Gamma_t^2 (1 + rho)/2) and D ~ N(0, Gamma_t^2 (1 - rho)/2) are independent, so that
    M + D and M - D have variance Gamma_t^2 and correlation rho. The integral over M for a fixed
    D is smooth in D > 0, even for kinked activations, except where two kinks come to lie 2 D
    apart. Panels in y = D/std(D) are halved until the two rules agree on each.
    """
    std_m = gamma_t * math.sqrt(0.5 * (1.0 + rho))
    std_d = gamma_t * math.sqrt(0.5 * one_minus_rho)

    def panels(left: Array, right: Array) -> Array:
        """Contributions of the panels [left, right] in y, shape (1 or 3, 2, n_panels)."""
        out = np.empty((3 if slopes else 1, 2, left.size))
        for row, n in enumerate((FINE, COARSE)):
            y, weight = panel_points(np.stack((left, right), axis=1), n)
            weight *= np.exp(-0.5 * y * y) * math.sqrt(2.0 / math.pi)
            d = std_d * y.ravel()
            values = _increments(activation, profile, gamma_t, std_m, d, row, slopes)
            each = weight * values.reshape(-1, *y.shape)
            out[0, row] = each[0].sum(axis=(1, 2))
            if slopes:
                out[1, row] = (each[0] * (y * y - 1.0)).sum(axis=(1, 2))
                out[2, row] = each[1].sum(axis=(1, 2))
        return out

    # g(x)^2 is negligible beyond `end` standard deviations, its increments all the more.
    end = max(9.5, float(np.max(np.abs(profile.edges))) / gamma_t)
    kinks = np.array((0.0, *profile.kinks))
    meetings = ((kinks[:, None] - kinks) / (2.0 * std_d)).ravel()
    meetings = np.unique(np.round(meetings[(meetings > 1e-6) & (meetings < end)], 9))
    if meetings.size > _MAX_OUTER_PANELS:
        meetings = meetings[:0]
    edges = np.unique(np.concatenate(([0.0, 2.6, 5.6, end], meetings)))
    total, rounds = np.zeros((3 if slopes else 1, 2)), 0

    def unresolved(left: Array, right: Array) -> Mask:
        nonlocal rounds
        rounds += 1
        values = panels(left, right)
        gap = np.abs(values[:, 0] - values[:, 1]).max(axis=0)
        bad = gap > 1e-13 * (total + values.sum(axis=2))[0, 0]
        if rounds == _MAX_HALVINGS or int(bad.sum()) > _MAX_OUTER_PANELS:
            bad[:] = False  # the error estimate says what is left
        total[:] += values[..., ~bad].sum(axis=2)
        return bad

    resolved(unresolved, edges)
    return total


def _increments(
    activation: Activation,
    profile: Profile,
    gamma_t: float,
    std_m: float,
    shift: Array,
    row: int,
    slopes: bool,
) -> Array:
    """Return E_M[(g(M + D) - g(M - D))^2]/2 for each D in `shift`, shape (1, m).

    With ``slopes`` a second row has the factor M^2/var(M) - 1.

    The panels of the activation shifted by +D and by -D are superposed, so that both g(M + D)
    and g(M - D) are smooth on every piece.
    """
    n = (FINE, COARSE)[row]
    slope = profile.mu1[row] / gamma_t
    edges = profile.edges
    result = np.empty((2 if slopes else 1, shift.size))
    step = max(1, _CHUNK // (2 * edges.size * n))
    for start in range(0, shift.size, step):
        d = shift[start : start + step, None]
        pieces = np.concatenate((edges - d, edges + d), axis=1)
        np.clip(pieces, edges[0], edges[-1], out=pieces)
        pieces.sort(axis=1)
        middle, weight = panel_points(pieces, n)
        gap = 2.0 * d[:, :, None]
        lower = middle - d[:, :, None]
        upper = lower + gap
        actual = upper - lower  # exact; differs from 2 D by the rounding of `upper`
        difference = activation(upper)
        difference -= activation(lower)
        difference -= slope * actual
        difference *= gap / actual
        middle *= middle / (-2.0 * std_m * std_m)
        spread = -2.0 * middle - 1.0 if slopes else middle
        weight *= np.exp(middle, out=middle)
        weight *= difference * difference
        result[0, start : start + step] = weight.sum(axis=(1, 2))
        if slopes:
            result[1, start : start + step] = (weight * spread).sum(axis=(1, 2))
    return result * (0.5 / (std_m * math.sqrt(2.0 * math.pi)))
