"""A value with the error it carries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

EPS = float(np.finfo(float).eps)
#: rounding of a sum, relative to the sum of the sizes of its terms
ROUNDING = 12.0 * EPS


@dataclass(frozen=True)
class Estimate:
    """Values with the absolute errors they carry, arrays of one shape."""

    value: Array
    error: Array
