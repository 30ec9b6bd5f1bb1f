"""An activation under a Gaussian: its mesh and moments, and the mean square of its increments."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from dmft_rf._typing import Array, Mask
from dmft_rf.errors import ModelError
from dmft_rf.model.activation import Activation
from dmft_rf.model.gaussian_averages import (
    COARSE,
    FINE,
    choose_radius,
    panel_points,
    resolve,
)
from dmft_rf.numerics.panels import resolved

#: varrho up to which v_t^2 is a sum over Hermite polynomials
SERIES_UP_TO = 0.75
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
