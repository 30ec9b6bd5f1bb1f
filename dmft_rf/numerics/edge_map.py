"""The map of [0, pi] onto a bulk in which a density with square-root edges is analytic."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from dmft_rf._typing import Array

# a bulk whose ends, measured from the floor of the spectrum, differ by more than this factor is
# mapped in log(lambda - floor)
_WIDE = 8.0


def edge_map(low: ArrayLike, high: ArrayLike, theta: Array) -> tuple[Array, Array]:
    """lambda - s^2 and its derivative for theta in (0, pi), from the lower edge to the upper one.

    lambda - s^2, or its logarithm where it spans a wide range, is middle - half cos theta: square
    roots (and inverse square roots) of the density at the edges become analytic in theta.
    """
    low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    sin, cos = np.sin(theta), np.cos(theta)
    wide = (low > 0.0) & (high > _WIDE * low)
    safe = np.where(wide, low, 1.0)
    half_log = 0.5 * np.log(np.where(wide, high, 1.0) / safe)
    logarithmic = np.sqrt(safe * high) * np.exp(-half_log * cos)
    half = 0.5 * (high - low)
    # from the lower end where that is nearer, so that points at a hard edge keep their digits
    near = low + 2.0 * half * np.sin(0.5 * theta) ** 2
    linear = np.where(cos > 0.0, near, 0.5 * (low + high) - half * cos)
    return (
        np.where(wide, logarithmic, linear),
        np.where(wide, logarithmic * half_log * sin, half * sin),
    )
