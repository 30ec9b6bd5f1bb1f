r"""Values between points where they are known, each with its error.

Between two points runs the polynomial through the w nearest ones, in barycentric form (Berrut and
Trefethen, SIAM Review 46, 501 (2004)). Those through all of them but the last and all of them but
the first lie on both sides of it, and are apart by

    (x_w - x_1) D (x - x_2) ... (x - x_{w-1}),      D the divided difference of order w - 1.

This, with the largest D of the windows around, is the error: at one place alone D may vanish. That
of the known values passes through with the sizes of the weights.
"""

from __future__ import annotations

import numpy as np

from dmft_rf._typing import Array
from dmft_rf.numerics.estimate import EPS, ROUNDING, Estimate

#: points that a polynomial goes through
POINTS = 14
# windows on either side whose divided differences bound the error of one
_AROUND = 4


def between(known: Array, values: list[Estimate], at: Array) -> list[Estimate]:
    """Functions at the points ``at`` from their values at ascending points.

    Parameters
    ----------
    known : (n,) array
        At least `POINTS`.
    values : list of Estimate, each (n,)
    at : (m,) array
        Between the first and the last of ``known``, none of them.
    """
    view = np.lib.stride_tricks.sliding_window_view
    x = view(known, POINTS)
    apart = x[:, :, None] - x[:, None, :]
    apart[:, np.eye(POINTS, dtype=bool)] = 1.0
    factors = 1.0 / apart.prod(axis=2)  # of the values in D
    first = np.clip(np.searchsorted(known, at) - POINTS // 2, 0, len(x) - 1)
    width = x[first, -1] - x[first, 0]
    gap = at[:, None] - x[first]
    weights = factors[first] / gap
    weights /= weights.sum(axis=1, keepdims=True)
    size = np.abs(weights)
    room = width * np.abs(gap[:, 1:-1].prod(axis=1))
    # what the rounding of a point is to a function that changes over the whole window
    steep = ROUNDING + EPS * np.abs(at) / width
    found = []
    for one in values:
        y, off = view(one.value, POINTS), view(one.error, POINTS)
        D = np.pad(np.abs((factors * y).sum(axis=1)), _AROUND, mode="edge")
        missed = room * view(D, 2 * _AROUND + 1).max(axis=1)[first]
        y, off = y[first], off[first]
        passed = (size * (off + steep[:, None] * np.abs(y))).sum(axis=1)
        found.append(Estimate((weights * y).sum(axis=1), missed + passed))
    return found
