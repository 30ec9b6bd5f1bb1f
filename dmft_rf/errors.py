"""What the package raises. Every message names the value and what is allowed, in one line.

Text from outside, such as a file name, stands in it in a form that can be printed and stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class _Refusal(ValueError):
    """An error of one line that can be printed, whatever names of files or values are in it."""

    def __init__(self, message: str = ""):
        super().__init__(one_line(str(message)))


class ModelError(_Refusal):
    """A parameter is outside its domain; the message names it, its value and what is allowed."""


class DataError(_Refusal):
    """A file of samples or results cannot be used; the message names it and says why."""


class DataScaleWarning(UserWarning):
    """Data look like pixels whose variance is far from 1, that of a model's noise."""


class ConvergenceError(RuntimeError):
    """A solver could not reach its tolerance.

    Attributes
    ----------
    partial
        What had been computed when the solver gave up (any type, possibly None).
    residual : float
        The residual or the error estimate that was reached.
    """

    def __init__(self, message: str, *, partial: Any = None, residual: float = float("nan")):
        super().__init__(message)
        self.partial = partial
        self.residual = residual


class WorkerError(RuntimeError):
    """Workers kept dying; what was finished is kept, and the same call completes the rest."""


def missing(module: str, name: str, known: Iterable[str]) -> str:
    """What an AttributeError says about a name that a module does not have."""
    return f"module {module!r} has no attribute {name!r}; {meaning(name, known)}".rstrip("; ")


def meaning(value: Any, known: Iterable[str]) -> str:
    """The question whether another name is meant, with a space behind it; or nothing."""
    import difflib

    short = isinstance(value, str) and len(value) <= 100
    near = difflib.get_close_matches(value, known, n=1) if short else []
    return f"did you mean {near[0]!r}? " if near else ""


def plain(text: str) -> str:
    r"""Return text without what a terminal would obey or no encoding can hold.

    Control characters (escape sequences, line feeds, marks that reverse the direction of writing)
    stand as ``\x1b``, bytes of a file name that are no UTF-8 as ``\xff``. Everything else stays.

    Examples
    --------
    >>> plain("\x1b[2Jé")
    '\\x1b[2Jé'
    """
    return text if text.isprintable() else "".join(map(_visible, text))


def one_line(text: str, longest: int = 1000) -> str:
    """Return text as one line that can be printed, its middle left out where it is too long."""
    line = plain(text if text.isprintable() else " ".join(text.split()))
    if len(line) <= longest:
        return line
    half = (longest - 5) // 2
    return f"{line[:half]} ... {line[-half:]}"


def reason_of(error: BaseException) -> str:
    """What an error says, in one line of at most 500 characters."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # an error that cannot say what it is
        text = ""
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return "".join(c if c.isprintable() else "?" for c in said[:500])


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python marks a byte that it could not decode
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
