"""A function is recognized by its values at some thousand arguments of every size.

Arguments from 0.01 to 1e4 are 1 % apart, which is as close as the nodes of the first quadrature for
any standard deviation up to 250. Those down to 1e-12, up to 1e8 and between declared kinks are
farther apart. Values are rounded to 2^-29 = 2e-9 of the largest one up to their argument (or up to
1, for smaller arguments); from 8 on to |x|/8 times that, because the last bit of x changes sin x
and the like by so much. Processors may differ in the last bit of a value, 1e-16: with a probability
of about 1e-4 that moves one of the values across a boundary of rounding. A change of scale by
1e-11 moves several.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from dmft_rf._typing import Array
from dmft_rf.errors import ModelError

Function = Callable[[Array], Array]

# standard deviations for which the arguments are close and many enough
_COVERED = (0.01, 250.0)
_STEP = 2.0**-29
# up to this argument a function is taken to move slowly
_STEADY = 8.0
_GOLDEN = 0.6180339887498949
_SMALLEST, _LARGEST_EXPONENT = 1e-290, 1024
# so that the unit of rounding does not change where a function saturates at a power of two
_OFF_POWERS = 0.617
# every so many arguments are tried a second time, in another order and without the largest
_STRIDE, _BUT_LAST = 61, 9
_BETWEEN_KINKS = 12
_MOST_KINKS = 200


@lru_cache(maxsize=64)
def probes(kinks: tuple[float, ...]) -> Array:
    """The arguments, by their size: shape (m,), read-only."""
    small = np.geomspace(1e-12, 1e-4, 64, endpoint=False)
    usual = 0.01 * np.sinh(0.01 * np.arange(1, 1452))  # to 1e4
    large = np.geomspace(1.05e4, 1e8, 120)
    positive = np.concatenate((small, usual, large))
    parts = [np.zeros(1), np.stack((positive, -positive), axis=1).ravel()]
    inner = (np.arange(_BETWEEN_KINKS) + 0.5) / _BETWEEN_KINKS
    for low, high in itertools.pairwise(kinks[:_MOST_KINKS]):
        parts.append(low + (high - low) * inner)
    x = np.concatenate(parts)
    x = x[np.argsort(np.abs(x), kind="stable")]
    x.flags.writeable = False
    return x


def scale_of(deviation: float) -> float:
    """1 if a Gaussian of this deviation sees what the arguments cover, or by what to widen them."""
    low, high = _COVERED
    if low <= deviation <= high or not 0.0 < deviation < math.inf:
        return 1.0
    return 2.0 ** round(math.log2(deviation))


def digest(function: Function, kinks: tuple[float, ...], name: str, scale: float = 1.0) -> str:
    """A short text that is the same for the same function, and for no other.

    Parameters
    ----------
    function : callable
        From shape (m,) to shape (m,); raises ModelError where it has no values.
    kinks : tuple of float
        Known jumps and kinks.
    name : str
        For the message.
    scale : float
        Factor of the arguments.

    Raises
    ------
    ModelError
        If the same arguments have other values a second time.
    """
    x = probes(kinks) if scale == 1.0 else _read_only(scale * probes(()))
    values = _as_far_as_possible(function, x)
    unit = _units(x[: values.size] / scale, values)
    again = slice(-_BUT_LAST, None, -_STRIDE)
    _check_again(function, x[: values.size][again], values[again], unit[again], name)
    # each at a phase of its own, so that many equal values (a clip) are not all rounded alike
    rounded = np.floor(values / unit + _phases(values.size)) * unit
    rounded = np.where(np.isfinite(values), rounded, values)
    rounded[np.isnan(rounded)] = np.nan  # one of its many kinds
    rounded += 0.0  # no -0
    return hashlib.blake2b(rounded.tobytes(), digest_size=16).hexdigest()


@lru_cache(maxsize=8)
def _phases(count: int) -> Array:
    """Numbers between 0 and 1, evenly spread and never close to either."""
    return np.asarray((_GOLDEN * (np.arange(count) + 0.5)) % 1.0, dtype=np.float64)


def _as_far_as_possible(function: Function, x: Array) -> Array:
    """Values at the first arguments, up to where the function raises."""
    try:
        return function(x)
    except ModelError:
        pass
    good, values, bad = 0, np.empty(0), x.size
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            values = function(_read_only(x[:middle]))
        except ModelError:
            bad = middle
        else:
            good = middle
    return values


def _units(x: Array, values: Array) -> Array:
    """What each value is rounded to a multiple of: a power of two."""
    size = np.abs(x)
    largest = np.maximum.accumulate(np.where(np.isfinite(values), np.abs(values), 0.0))
    small = np.searchsorted(size, 1.0)
    if small:
        largest[:small] = largest[small - 1]
    exponent = np.frexp(_OFF_POWERS * np.maximum(largest, _SMALLEST))[1]
    exponent += np.frexp(np.maximum(size / _STEADY, 0.5))[1]
    return np.ldexp(_STEP, np.minimum(exponent, _LARGEST_EXPONENT))


def _check_again(function: Function, x: Array, values: Array, unit: Array, name: str) -> None:
    try:
        second = function(_read_only(x.copy()))
    except ModelError:
        second = np.full(x.size, np.nan)
    with np.errstate(invalid="ignore"):
        same = np.abs(second - values) <= unit
    same |= (second == values) | (np.isnan(second) & np.isnan(values))
    if not same.all():
        where = int(np.argmin(same))
        raise ModelError(
            f"activation {name!r} cannot be resolved to double precision: it must be a function of "
            f"its argument alone, but at {float(x[where])!r} it is {float(values[where])!r} and "
            f"then {float(second[where])!r}"
        )


def _read_only(x: Array) -> Array:
    x.flags.writeable = False
    return x
