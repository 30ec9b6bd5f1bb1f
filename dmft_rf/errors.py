"""What the package raises. Every message names the value and what is allowed, in one line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dmft_rf._text import one_line


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
