"""The door: what a caller passes becomes one kind of value, or a `ModelError` that says why not.

A number may be a Python number, a numpy scalar of any precision, a Decimal, a Fraction or an array
of shape (); it becomes a float. An array becomes a read-only copy of floats, so that nothing
that the caller does to his own array afterwards changes what is stored. Strings, booleans,
complex numbers, dates and masked arrays are refused: each would have to be guessed at.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dmft_rf.errors import ModelError

T = TypeVar("T")

_LONGEST = 60


def shown(value: Any) -> str:
    """``value`` as it stands in a message: one line of at most 60 characters."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # an integer of 10,000 digits, or an object that cannot describe itself
        text = f"a value of type {type(value).__name__}"
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def number(
    value: Any,
    name: str,
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
    infinite: bool = False,
) -> float:
    """Return a real number as a float.

    Parameters
    ----------
    value : number of any type and precision
    name : str
        What a message calls it.
    above, least, most, below : float
        Limits: value > above, value >= least, value <= most, value < below.
    infinite : bool
        Whether inf is allowed (-inf and nan never are).

    Raises
    ------
    ModelError
        If it is no real number or outside its limits.

    Examples
    --------
    >>> number(np.float16(0.5), "t", above=0.0)
    0.5
    """
    allowed = _allowed(above, least, most, below, infinite)
    found = _as_float(value)
    if found is None:
        raise ModelError(f"{name} is {shown(value)}; it must be {allowed}")
    inside = above < found if above > -math.inf else True
    inside = inside and least <= found <= most and (found < below or below == math.inf)
    if not inside or (math.isinf(found) and not (infinite and found > 0.0)):
        raise ModelError(f"{name} is {shown(value)}; it must be {allowed}")
    return found


def whole(value: Any, name: str, *, least: int = 1, most: int | None = None) -> int:
    """Return an integer between ``least`` and ``most``, given as an integer of any type.

    Raises ModelError if it is none: 3.0 is a float, and not taken for a count.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0 and not np.ma.isMaskedArray(value):
        value = value[()]
    fits = isinstance(value, int | np.integer) and not isinstance(value, bool | np.timedelta64)
    if not fits or value < least or (most is not None and value > most):
        limit = f">= {least}" if most is None else f"between {least} and {most}"
        raise ModelError(f"{name} is {shown(value)}; it must be an integer {limit}")
    return int(value)


def floats(
    values: Any,
    name: str,
    *,
    ndim: int | None = None,
    least: float = -math.inf,
    infinite: bool = False,
    empty: bool = True,
) -> NDArray[np.float64]:
    """Return numbers in an array of any shape as a read-only float64 copy.

    Parameters
    ----------
    values : number, sequence or array of them, or a pandas Series, Index or DataFrame
    name : str
        What a message calls them.
    ndim : int, optional
        Required number of dimensions.
    least : float
        Lower limit of each entry.
    infinite : bool
        Whether inf is allowed (-inf and nan never are).
    empty : bool
        Whether there may be no entry at all.

    Raises
    ------
    ModelError
        If it is no array of real numbers, is masked, has another number of dimensions, or an entry
        is outside its limits.

    Examples
    --------
    >>> floats([1, np.float32(2)], "tau")
    array([1., 2.])
    """
    array = _as_array(values, name)
    if ndim is not None and array.ndim != ndim:
        words = {0: "a single number", 1: "one-dimensional", 2: "two-dimensional"}
        wanted = words.get(ndim, f"of {ndim} dimensions")
        raise ModelError(f"{name} must be {wanted}, not of shape {array.shape}")
    if not array.size and not empty:
        raise ModelError(f"{name} must not be empty")
    good = array >= least  # False for nan
    good &= array < math.inf if not infinite else array > -math.inf
    good &= array > -math.inf
    if not good.all():
        where = int(np.argmin(good.ravel()))
        at = f": entry {where} is {float(array.ravel()[where])!r}" if array.ndim else ""
        at = at or f", not {float(array)!r}"
        limit = "numbers" if least == -math.inf else f">= {least:g}"
        finite = f"{limit}, inf allowed" if infinite else f"finite and {limit}"
        raise ModelError(f"{name} must be {finite}{at}".replace("finite and numbers", "finite"))
    array.flags.writeable = False
    return array


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of the package's own that nobody may write to: itself, made read-only."""
    array.flags.writeable = False
    return array


def instance(value: Any, kinds: type[T] | tuple[type[T], ...], name: str, example: str) -> T:
    """Return ``value`` if it is an object of one of these classes, or raise a ModelError.

    ``example`` says how to make one: "solve(model)".
    """
    if not isinstance(value, kinds):
        wanted = kinds if isinstance(kinds, tuple) else (kinds,)
        names = " or ".join(kind.__name__ for kind in wanted)
        raise ModelError(
            f"{name} is {shown(value)}; it must be of type {names}, for instance {example}"
        )
    return value


def one_of(value: Any, options: Iterable[str], name: str) -> str:
    """Return ``value`` if it is one of these strings, or raise a ModelError that lists them."""
    known = list(options)
    if not isinstance(value, str) or value not in known:
        raise ModelError(f"{name} is {shown(value)}; it must be one of {', '.join(known)}")
    return value


def _as_float(value: Any) -> float | None:
    """The value as a float, or None where it is no real number or does not fit one."""
    if np.ma.isMaskedArray(value):
        return None
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, bool | np.bool_ | np.timedelta64):
        return None
    if not isinstance(value, numbers.Real | Decimal | np.floating | np.integer):
        return None
    try:
        found = float(value)
    except (OverflowError, ValueError, TypeError):
        return None
    return None if math.isnan(found) else found


def _as_array(values: Any, name: str) -> NDArray[np.float64]:
    """A float64 copy of an array of real numbers."""
    if np.ma.isMaskedArray(values):
        raise ModelError(
            f"{name} is a masked array; choose its entries first, for instance with .compressed()"
        )
    if hasattr(values, "to_numpy") and hasattr(values, "isna"):  # pandas, its own dtypes included
        if np.asarray(values.isna()).any():
            raise ModelError(f"{name} has missing values; drop or fill them first")
        values = values.to_numpy()
    try:
        array = np.asarray(values)
    except Exception:  # also what an object of the caller's own raises
        raise ModelError(f"{name} must be numbers in a regular array") from None
    if np.ma.isMaskedArray(array):
        raise ModelError(f"{name} is a masked array; choose its entries first")
    if array.dtype.kind == "O":
        entries = [_as_float(entry) for entry in array.ravel()]
        if any(entry is None for entry in entries):
            bad = array.ravel()[entries.index(None)]
            raise ModelError(f"{name} must be real numbers, not {shown(bad)}")
        return np.array(entries, dtype=np.float64).reshape(array.shape)
    if array.dtype.kind not in "iuf":
        raise ModelError(f"{name} must be real numbers, not of type {array.dtype}")
    with np.errstate(over="ignore"):  # a longdouble beyond the range is inf, and refused as such
        return np.array(array, dtype=np.float64)


def _allowed(above: float, least: float, most: float, below: float, infinite: bool) -> str:
    """The limits in words: "finite and > 0", "a number between 1e-13 and 0.01"."""
    low = f"> {above:g}" if above > -math.inf else f">= {least:g}" if least > -math.inf else ""
    high = f"<= {most:g}" if most < math.inf else f"< {below:g}" if below < math.inf else ""
    if least > -math.inf and most < math.inf:
        return f"a number between {least:g} and {most:g}"
    limits = " and ".join(filter(None, (low, high)))
    if infinite:
        return f"a number {limits}, or inf".replace("  ", " ")
    if high:
        return f"a number {limits}"
    return f"finite and {limits}" if limits else "a finite number"
