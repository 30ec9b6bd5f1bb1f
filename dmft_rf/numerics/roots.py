"""Roots of functions of a positive number: of curves, and of one value at a time."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from dmft_rf._typing import Array
from dmft_rf.errors import ConvergenceError
from dmft_rf.numerics.estimate import Estimate

# places in the interval of the search, and half the width of the last one in the logarithm
_PLACES = 0.5 - 0.5 * np.cos(np.linspace(0.0, math.pi, 9))
_CLOSE = 1e-5
# how often the interval is narrowed to the two places about the root
_ROUNDS = 3
# Brent's method ends here, in the logarithm
_TOLERANCE = 1e-13
# on either side of a root, in its logarithm: where the slope is taken
_BESIDE = 1e-4
# `largest_root` searches between these bounds, in steps of the logarithm between these
_LOWEST, _HIGHEST = 1e-4, 1e9
_SHORTEST, _LONGEST = 0.1, 3.0


def first_root(f: Callable[[Array], Array], low: float, high: float, name: str) -> float:
    """First root of ``f`` between two positive numbers, in the logarithm, to rounding.

    A call with many arguments costs little more than one with a single argument: the root is
    interpolated between values in the whole interval, and once more between values that enclose it
    closely. Where that fails, the interval shrinks to the two values about the root; Brent's method
    is the last resort.

    Parameters
    ----------
    f : function of an array of shape (n,), returning its values, shape (n,)
        Of different signs at the ends, up to rounding.
    low, high : float
        0 < low < high.
    name : str
        What is looked for: begins the message of the error.

    Raises
    ------
    ConvergenceError
        If rounding hides the root.
    """
    a, b = math.log(low), math.log(high)
    for _ in range(_ROUNDS):
        u = a + (b - a) * _PLACES
        v = f(np.exp(u))
        changes = np.flatnonzero((v[:-1] < 0.0) != (v[1:] < 0.0))
        if changes.size == 0:  # the root is at an end, up to rounding
            return math.exp(a if abs(v[0]) < abs(v[-1]) else b)
        i = int(changes[0])
        steps = np.diff(v)
        if np.all(steps > 0.0) or np.all(steps < 0.0):
            near = min(max(_inverse(u, v), a), b) + _CLOSE * np.array([-1.0, 0.0, 1.0])
            w = f(np.exp(near))
            if w[0] * w[2] < 0.0 and (w[0] < w[1] < w[2] or w[0] > w[1] > w[2]):
                return math.exp(_inverse(near, w))
        a, b = float(u[i]), float(u[i + 1])
    from scipy.optimize import brentq

    def one(at: float) -> float:
        return float(f(np.array([math.exp(at)]))[0])

    if one(a) * one(b) > 0.0:
        raise ConvergenceError(f"{name}: a root near {math.exp(a):.3g} is lost in rounding")
    return math.exp(brentq(one, a, b, xtol=_TOLERANCE, rtol=_TOLERANCE))


def root_error(f: Callable[[Array], Estimate], root: float) -> float:
    """Absolute error of a root, from the error of the function and its slope there.

    The root of a function that is off by e moves by e over the slope. What the function still is
    at ``root`` and the last step of `first_root` are counted in.
    """
    at = f(root * np.exp(_BESIDE * np.array([-1.0, 0.0, 1.0])))
    slope = abs(float(at.value[2] - at.value[0])) / (2.0 * _BESIDE)
    off = float(at.error[1]) + abs(float(at.value[1]))
    return root * (off / slope + 10.0 * _TOLERANCE) if slope > 0.0 else math.inf


def _inverse(u: Array, v: Array) -> float:
    """Where the polynomial u(v) through all points has v = 0."""
    n = v.size
    factors = np.where(np.eye(n, dtype=bool), 1.0, -v / (v[:, None] - v + np.eye(n)))
    return float(u @ factors.prod(axis=1))


def largest_root(
    gap: Callable[[float], float],
    level: float,
    start: float,
    rtol: float,
    name: str,
    size: str = "psi_n",
) -> float:
    """Largest root of gap = level, from where the gap is below it downwards.

    The gap falls about like 1/size, which gives the length of the steps until the root lies between
    two of them.
    """
    from scipy.optimize import brentq

    known: dict[float, float] = {}

    def excess(u: float) -> float:
        if u not in known:
            # it may vanish in rounding where nothing overfits, and is infinite at p = n m
            known[u] = math.log(min(max(gap(math.exp(u)), 1e-300), 1e300) / level)
        return known[u]

    here = math.log(start)
    side = math.copysign(1.0, excess(here))
    while True:
        step = min(max(1.1 * abs(excess(here)), _SHORTEST), _LONGEST)
        there = here + side * step
        if there > math.log(_HIGHEST):
            raise ConvergenceError(
                f"{name}: it is still above {level:g} at {size} = {math.exp(here):.3g}"
            )
        if there < math.log(_LOWEST):
            return 0.0
        if side * excess(there) <= 0.0:
            break
        here = there
    root = brentq(excess, here, there, xtol=max(1e-12, 100.0 * rtol), rtol=1e-14)
    return float(math.exp(root))
