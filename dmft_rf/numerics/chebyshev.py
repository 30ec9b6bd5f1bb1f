"""Functions that are costly to evaluate, as Chebyshev series on panels."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array
from dmft_rf.errors import ConvergenceError

_MOST_HALVINGS = 12


@dataclass(frozen=True, eq=False)
class Panels(Frozen):
    """A function on [edges[0], edges[-1]].

    Attributes
    ----------
    edges : (n + 1,) array
    series : (n, degree + 1) array
        Chebyshev coefficients on each panel.
    error : float
        The largest of the last coefficients, relative to the largest value on its panel.
    """

    edges: Array
    series: Array
    error: float

    def __call__(self, x: Array) -> Array:
        """The function at points within the edges."""
        panel = np.clip(np.searchsorted(self.edges, x, side="right") - 1, 0, len(self.series) - 1)
        low, high = self.edges[panel], self.edges[panel + 1]
        y = (2.0 * x - low - high) / (high - low)
        found = np.polynomial.chebyshev.chebval(y, self.series[panel].T, tensor=False)
        return np.asarray(found, dtype=np.float64)


def panels(f: Callable[[float], float], edges: Array, nodes: int, rtol: float) -> Panels:
    """Halve the intervals between ``edges`` until the series of each has converged to ``rtol``.

    Raises ConvergenceError where it does not within 12 halvings.
    """
    angles = np.pi * (np.arange(nodes) + 0.5) / nodes
    places = np.cos(angles)
    to_series = (2.0 / nodes) * np.cos(np.outer(np.arange(nodes), angles))
    to_series[0] *= 0.5
    done: list[tuple[float, float, Array, float]] = []
    left = [(float(a), float(b), 0) for a, b in itertools.pairwise(edges)]
    while left:
        low, high, depth = left.pop()
        points = 0.5 * (low + high) + 0.5 * (high - low) * places
        values = np.array([f(float(point)) for point in points])
        series = to_series @ values
        size = float(np.abs(values).max())
        rest = float(np.abs(series[-3:]).max()) / size if size > 0.0 else 0.0
        if rest <= rtol:
            done.append((low, high, series, rest))
        elif depth < _MOST_HALVINGS:
            middle = 0.5 * (low + high)
            left += [(low, middle, depth + 1), (middle, high, depth + 1)]
        else:
            raise ConvergenceError(
                f"a Chebyshev series of {nodes} terms on [{low:.6g}, {high:.6g}] converges to "
                f"{rest:.1e} only; {rtol:.1e} is needed",
                residual=rest,
            )
    done.sort()
    return Panels(
        np.array([done[0][0], *(high for _, high, _, _ in done)]),
        np.array([series for _, _, series, _ in done]),
        max(rest for _, _, _, rest in done),
    )
