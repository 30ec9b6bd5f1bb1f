"""A value with the error it carries, and more nodes until that is small enough."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from dmft_rf._typing import Array

T = TypeVar("T")

EPS = float(np.finfo(float).eps)
#: Rounding of a sum of products, relative to the sum of the sizes of its terms. An operation is off
#: by EPS/2 at most: 24 in a row, as many as a term goes through (its factors, the product, 7 to 12
#: additions in the blocks and pairs in which numpy and BLAS sum thousands of terms).
ROUNDING = 12.0 * EPS


@dataclass(frozen=True)
class Estimate:
    """Values with the absolute errors they carry, arrays of one shape."""

    value: Array
    error: Array

    @classmethod
    def exact(cls, value: Array) -> Estimate:
        """A sum of products without cancellation: off by rounding only."""
        return cls(value, ROUNDING * np.abs(value))

    def plus(self, *terms: tuple[float, Estimate]) -> Estimate:
        """Add factor * estimate for each term; factors are themselves sums of products."""
        value, error, size = self.value, self.error, np.abs(self.value)
        for factor, term in terms:
            part = factor * term.value
            value, size = value + part, size + np.abs(part)
            error = error + abs(factor) * term.error
        return Estimate(value, error + ROUNDING * size)

    def over(self, divisor: float) -> Estimate:
        """The quotient by a positive number."""
        value = self.value / divisor
        return Estimate(value, self.error / divisor + ROUNDING * np.abs(value))


def with_more_nodes(
    attempt: Callable[[int], tuple[T, float]], nodes: int, most: int, rtol: float
) -> tuple[T, float, int]:
    """The result of ``attempt`` with as many nodes as ``rtol`` needs, at most ``most``.

    Parameters
    ----------
    attempt : callable
        From a number of nodes to a result and its relative error.
    nodes : int
        The first number; each further attempt has 1.25 times as many as the one before.

    Returns
    -------
    result, error, attempts
        The best result, which misses ``rtol`` where more nodes are of no use: an error that falls
        by less than 30 % is rounding.
    """
    result, error = attempt(nodes)
    attempts = 1
    while not error <= rtol:
        nodes = math.ceil(1.25 * nodes)
        if nodes > most:
            break
        more, better = attempt(nodes)
        attempts += 1
        if not (better <= 0.7 * error or math.isnan(error)):
            break
        result, error = more, better
    return result, error, attempts
