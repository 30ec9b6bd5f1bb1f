"""A value with the error it carries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

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
