"""Searches along a line for functions that may be infinite at the ends of an interval."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from dmft_rf.errors import ConvergenceError

T = TypeVar("T")

FAR = 36.0
"""The logit of a place in an interval is followed this far; beyond it rounding meets the end."""

_MOST_STEPS = 200
# an interval whose ends differ by more than this factor is searched on a logarithmic scale
_WIDE = 8.0


def from_logit(u: float, a: float, b: float) -> float:
    """The place in (a, b), of either sign, whose logit is u; on a logarithmic scale if wide."""
    if a * b > 0.0 and max(a / b, b / a) > _WIDE:
        ratio = math.log(b / a)
        if u < 0.0:
            return a * math.exp(ratio * math.exp(u) / (1.0 + math.exp(u)))
        return b * math.exp(-ratio * math.exp(-u) / (1.0 + math.exp(-u)))
    if u < 0.0:
        return a + (b - a) * math.exp(u) / (1.0 + math.exp(u))
    return b - (b - a) * math.exp(-u) / (1.0 + math.exp(-u))


def on_logit(at: Callable[[float], T], a: float, b: float) -> Callable[[float], T]:
    """``at`` as a function of the logit of its argument's place in (a, b)."""
    return lambda u: at(from_logit(u, a, b))


def first_where(holds: Callable[[float], bool], u: float, step: float) -> float:
    """The first of u, u + step, u + 2 step, ... where ``holds``; ConvergenceError if none does."""
    for _ in range(_MOST_STEPS):
        if holds(u):
            return u
        u += step
    raise ConvergenceError(f"an edge was not enclosed by {_MOST_STEPS} steps of {step:g}")


def root_or_end(f: Callable[[float], float], a: float, b: float) -> float:
    """Root of f in [a, b]; an end at which f vanishes up to rounding is the root."""
    from scipy.optimize import brentq

    def clipped(u: float) -> float:
        return max(min(f(u), 1e300), -1e300)

    fa, fb = clipped(a), clipped(b)
    if fa * fb > 0.0:
        return a if abs(fa) < abs(fb) else b
    return float(brentq(clipped, a, b, xtol=1e-15, rtol=1e-14))


class _Found(Exception):
    """Carries a point out of a search that it ends."""

    def __init__(self, u: float):
        self.u = u


def above_zero(f: Callable[[float], float]) -> float | None:
    """A point with f > 0 of a function with a single maximum, or None if the maximum is <= 0."""
    from scipy.optimize import minimize_scalar

    def objective(u: float) -> float:
        value = max(f(u), -1e300)
        if value > 0.0:
            raise _Found(u)
        return -value

    try:
        minimize_scalar(objective, bounds=(-FAR, FAR), method="bounded", options={"xatol": 1e-9})
    except _Found as found:
        return found.u
    return None
