"""The door: what a caller passes becomes one kind of value, or a `ModelError` that says why not.

A number may be a Python number, a numpy scalar of any precision, a Decimal, a Fraction or an array
of shape (); it becomes a float. An array becomes a read-only copy of floats, so that nothing
that the caller does to his own array afterwards changes what is stored. Strings, booleans,
complex numbers, dates and masked arrays are refused: each would have to be guessed at.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from dmft_rf.errors import ModelError, meaning

T = TypeVar("T")

LARGEST = 1e150
"""Upper limit of parameters that are squared, so that their square is a float."""

_LONGEST = 60
# an array of arrays is looked into so deep for masks
_DEPTH = 3
_MOST = 2**63 - 1  # what HDF5 and a 64-bit integer hold


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
    found = as_float(value)
    if (
        found is None
        or not least <= found <= most
        or (found <= above and above > -math.inf)
        or (found >= below and below < math.inf)
        or (math.isinf(found) and not (infinite and found > 0.0))
    ):
        allowed = _allowed(above, least, most, below, infinite)
        raise ModelError(f"{name} is {shown(value)}; it must be {allowed}")
    return found


def whole(value: Any, name: str, *, least: int = 1, most: int = _MOST) -> int:
    """Return an integer between ``least`` and ``most``, given as an integer of any type.

    Raises ModelError if it is none: 3.0 is a float, and not taken for a count.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0 and not np.ma.isMaskedArray(value):
        value = value[()]
    fits = isinstance(value, int | np.integer) and not isinstance(value, bool | np.timedelta64)
    if not fits or value < least or value > most:
        limit = f">= {least}, below 2^63" if most == _MOST else f"between {least} and {most}"
        raise ModelError(f"{name} is {shown(value)}; it must be an integer {limit}")
    return int(value)


def flag(value: Any, name: str) -> bool:
    """Return True or False: nothing else is taken for one of them."""
    if not isinstance(value, bool | np.bool_):
        raise ModelError(f"{name} is {shown(value)}; it must be True or False")
    return bool(value)


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
    with np.errstate(over="ignore"):  # a longdouble beyond the range is inf, and refused as such
        array = np.array(regular(values, name), dtype=np.float64, order="C")
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


def complexes(values: Any, name: str) -> NDArray[np.complex128]:
    """Return finite complex numbers in an array of any shape as a read-only copy.

    Raises ModelError as `floats` does.
    """
    with np.errstate(over="ignore"):
        array = np.array(regular(values, name, complex_numbers=True), np.complex128, order="C")
    good = np.isfinite(array)
    if not good.all():
        where = int(np.argmin(good.ravel()))
        raise ModelError(f"{name} holds NaN or infinity: entry {where} is {array.ravel()[where]}")
    return frozen(array)


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of the package's own that nobody may write to: itself, made read-only."""
    array.flags.writeable = False
    return array


def mapping(value: Any, name: str, example: str) -> dict[Any, Any]:
    """Return a copy of a mapping as a dict; ``example`` says what one looks like."""
    return dict(instance(value, Mapping, name, example))


def string(value: Any, name: str) -> str:
    """Return a string."""
    return instance(value, str, name, "'a few words'")


def values_of(function: Any, points: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """Return a function of the caller's at an array of points, as floats of the points' shape."""
    if not callable(function):
        raise ModelError(f"{name} is {shown(function)}; it must be a function of an array")
    try:
        found = function(points)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:100]
        raise ModelError(f"{name} fails on an array of shape {points.shape}: {reason}") from error
    values = floats(found, f"what {name} returns", infinite=True)
    if values.shape not in ((), points.shape):
        raise ModelError(
            f"{name} returns an array of shape {values.shape} for points of shape {points.shape}; "
            "it must return one value for each"
        )
    return np.broadcast_to(values, points.shape)


def regular(
    values: Any, name: str, *, complex_numbers: bool = False, booleans: bool = False
) -> NDArray[Any]:
    """Return real (or complex) numbers as an array of their own type; no copy of an array.

    With ``booleans`` an array of them, as of black and white pixels, counts as one of integers.
    Raises ModelError as `floats` does, but looks at no number.
    """
    if _masked(values, _DEPTH):
        raise ModelError(
            f"{name} is or holds a masked array, and the mask would be lost; choose the entries "
            "first, for instance with .compressed()"
        )
    kind = "real or complex numbers" if complex_numbers else "real numbers"
    if isinstance(values, str | bytes | bytearray):
        raise ModelError(f"{name} must be {kind}, not {shown(values)}")
    try:
        if hasattr(values, "to_numpy") and hasattr(values, "isna"):  # pandas and its own dtypes
            if np.asarray(values.isna()).any():
                raise ModelError(f"{name} has missing values; drop or fill them first")
            values = values.to_numpy()
        array = np.asarray(values)
    except ModelError:
        raise
    except Exception:  # a ragged list, or an object of the caller's own, which may raise anything
        raise ModelError(
            f"{name} must be a list of numbers, or of lists of equal length, not {shown(values)}"
        ) from None
    if booleans and array.dtype.kind == "b":
        return array.astype(np.uint8)
    if array.dtype.kind == "O":
        convert = as_complex if complex_numbers else as_float
        entries = [convert(entry) for entry in array.ravel()]
        if any(entry is None for entry in entries):
            bad = array.ravel()[entries.index(None)]
            raise ModelError(f"{name} must be {kind}, not {shown(bad)}")
        return np.array(entries, dtype=complex if complex_numbers else float).reshape(array.shape)
    if array.dtype.kind not in ("iufc" if complex_numbers else "iuf"):
        raise ModelError(f"{name} must be {kind}, not of type {array.dtype}")
    return array


def _masked(values: Any, depth: int) -> bool:
    """Whether there is a masked array in what becomes one array."""
    if isinstance(values, list | tuple) and depth:
        return any(_masked(part, depth - 1) for part in values)
    return np.ma.isMaskedArray(values)


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
        meant = meaning(value, known)
        raise ModelError(f"{name} is {shown(value)}; {meant}it must be one of {', '.join(known)}")
    return value


def as_float(value: Any) -> float | None:
    """The value as a float, or None where it is no real number or does not fit one."""
    if type(value) is float:
        return value if value == value else None
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
    except Exception:  # too large, or an object of the caller's own, which may raise anything
        return None
    return None if math.isnan(found) else found


def as_complex(value: Any) -> complex | None:
    """The value as a complex number, or None where it is none."""
    if isinstance(value, complex | np.complexfloating) and not np.ma.isMaskedArray(value):
        return complex(value)
    return as_float(value)


def _allowed(above: float, least: float, most: float, below: float, infinite: bool) -> str:
    """The limits in words: "finite and > 0", "a number between 1e-13 and 0.01"."""
    low = f"> {above:g}" if above > -math.inf else f">= {least:g}" if least > -math.inf else ""
    if 1e100 <= most < math.inf:  # a limit that keeps numbers within the floats
        both = above > -math.inf and least > -math.inf
        return f"finite and {low}, " + (f"{least:g} to {most:g}" if both else f"at most {most:g}")
    high = f"<= {most:g}" if most < math.inf else f"< {below:g}" if below < math.inf else ""
    if above > -math.inf and below < math.inf:
        return f"a number strictly between {above:g} and {below:g}"
    if least > -math.inf and most < math.inf:
        return f"a number between {least:g} and {most:g}"
    limits = " and ".join(filter(None, (low, high)))
    if infinite:
        return f"a number {limits}, or inf".replace("  ", " ")
    if high:
        return f"a number {limits}"
    return f"finite and {limits}" if limits else "a finite number"
