"""The minimum of a smooth function of a positive number, known at points with errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dmft_rf._typing import Array
from dmft_rf.errors import ConvergenceError
from dmft_rf.numerics.estimate import ROUNDING, Estimate

# points of a polynomial, and how often the interval is narrowed at most (to an eighth each time)
_POINTS, _MOST = 17, 16
# two points this close in the logarithm are one
_SAME = 1e-12

_ANGLES = np.pi * (np.arange(_POINTS) + 0.5) / _POINTS
_PLACES = -np.cos(_ANGLES)
# from values at _PLACES to a Chebyshev series
_SERIES = (2.0 / _POINTS) * np.cos(np.outer(np.arange(_POINTS), np.pi - _ANGLES))
_SERIES[0] *= 0.5
# angles at which a series is looked at, four in each wave of its last term, and the Newton steps
# that lead from the least of them to rounding: each squares the distance
_DEGREES = np.arange(float(_POINTS))
_APART, _NEWTON = np.pi / 64, 3
_LOOKED_AT = _APART * np.arange(65)
_LOOK = np.cos(np.outer(_DEGREES, _LOOKED_AT))


class Least(NamedTuple):
    """The least value of a function: where it is, about, the value and its absolute error."""

    at: float
    value: float
    error: float


def least(
    f: Callable[[Array], Estimate], low: float, high: float, name: str
) -> tuple[float, float]:
    """Where ``f`` is least between two positive numbers, and the absolute error of that.

    In the logarithm, as a root of the slope of the polynomial through 17 values. Where the values
    are no polynomial within their errors (a kink), the interval is narrowed around the least of
    them, in the end to the kink itself. The error of the place is that of the slope, from the
    errors of all values and the last terms of the polynomial, over the curvature.

    Parameters
    ----------
    f : function of an array of shape (n,), returning an Estimate of that shape
    low, high : float
        0 < low < high, with a lower value between them.
    name : str
        What is looked for: begins the message of the error.

    Raises
    ------
    ConvergenceError
        If rounding hides the minimum.
    """
    a, b = math.log(low), math.log(high)
    for _ in range(_MOST):
        u = 0.5 * (a + b) + 0.5 * (b - a) * _PLACES
        found = f(np.exp(u))
        series = _SERIES @ found.value
        rest = float(np.abs(series[-3:]).max())
        noise = float(found.error.max()) + ROUNDING * float(np.abs(found.value).max())
        root = _root(series, found.error, rest, a, b) if rest <= noise else None
        if root is not None:
            return root
        ends = np.concatenate([[a], u, [b]])
        i = int(np.argmin(found.value))
        a, b = float(ends[i]), float(ends[i + 2])
        if b - a < _SAME:
            break
    at = math.exp(0.5 * (a + b))
    if min(at / low, high / at) - 1.0 < 2.0 * _SAME:
        raise ConvergenceError(
            f"{name}: a minimum between {low:.6g} and {high:.6g} is lost in rounding"
        )
    return at, at * (b - a)


def least_values(f: Callable[[Array], Estimate], low: Array, high: Array) -> list[Least]:
    """The least values of ``f`` in intervals (n,), from one call with 17 points in each.

    Errors are those of the values and of the polynomials through them.
    """
    middle = 0.5 * (np.log(high) + np.log(low))
    half = 0.5 * (np.log(high) - np.log(low))
    found = f(np.exp(middle[:, None] + half[:, None] * _PLACES).ravel())
    errors = found.error.reshape(-1, _POINTS).max(axis=1)
    series = found.value.reshape(-1, _POINTS) @ _SERIES.T
    # in the angle, of which the ends are stationary points like the others
    angle = _LOOKED_AT[np.argmin(series @ _LOOK, axis=1)]
    for _ in range(_NEWTON):
        turned = angle[:, None] * _DEGREES
        slope = -(series * np.sin(turned)) @ _DEGREES
        bend = -(series * np.cos(turned)) @ _DEGREES**2
        step = np.where(bend > 0.0, slope / np.where(bend > 0.0, bend, 1.0), 0.0)
        angle = angle - np.clip(step, -_APART, _APART)
    value = (series * np.cos(angle[:, None] * _DEGREES)).sum(axis=1)
    # what the last step gained is counted in: at an end that is nearly a turn it is not nothing
    errors = errors + 3.0 * np.abs(series[:, -3:]).max(axis=1) + np.abs(slope * step)
    at = np.exp(middle + half * np.cos(angle))
    return [Least(*one) for one in zip(at.tolist(), value.tolist(), errors.tolist(), strict=True)]


def _root(
    series: Array, error: Array, rest: float, a: float, b: float
) -> tuple[float, float] | None:
    """The root of the slope of a series on [a, b] at which it is least, and its error, or None."""
    chebyshev = np.polynomial.chebyshev
    slope, bend = chebyshev.chebder(series), chebyshev.chebder(series, 2)
    roots = chebyshev.chebroots(np.trim_zeros(slope, "b"))
    roots = roots[np.abs(roots.imag) < 1e-9].real
    roots = roots[(np.abs(roots) <= 1.0) & (chebyshev.chebval(roots, bend) > 0.0)]
    if roots.size == 0:
        return None
    at = float(roots[np.argmin(chebyshev.chebval(roots, series))])
    # the slope as a sum over the values, and the largest slope of terms as large as the last ones
    weights = chebyshev.chebval(at, chebyshev.chebder(_SERIES, axis=0))
    off = float(np.abs(weights) @ error) + 3.0 * rest * _POINTS**2
    curvature = float(chebyshev.chebval(at, bend))
    half = 0.5 * (b - a)
    place = math.exp(0.5 * (a + b) + half * at)
    return place, place * half * min(off / curvature + 1e-13, 1.0)
