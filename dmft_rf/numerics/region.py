"""Where the filter of a training rule is bounded."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Region:
    """A region of the complex plane in which a filter is bounded at every time.

    Its left end is ``start`` <= 0. It is the half-plane Re z > start (``end`` = inf), the disc
    with diameter (start, end) of gradient descent, or the ellipse with major axis (start, end) of
    momentum ``beta`` > 0, whose minor axis is (1 - beta)/(1 + beta) of it.
    """

    end: float = math.inf
    beta: float = 0.0
    start: float = 0.0
