"""How options read numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer


def number(text: str | float) -> float:
    """Parse a number; the message names what was given."""
    return _parsed(float, text, "a number")


def integer(text: str | int) -> int:
    """Parse an integer; the message names what was given."""
    return _parsed(int, text, "an integer")


def _parsed(kind: Callable[[Any], Any], text: Any, what: str) -> Any:
    """``kind(text)``, but for what Python allows besides: other scripts' digits, underscores.

    A default comes here too, as the number that it is.
    """
    try:
        if isinstance(text, str) and (not text.isascii() or "_" in text):
            raise ValueError
        return kind(text)
    except ValueError:
        from dmft_rf._convert import shown

        raise typer.BadParameter(f"{shown(text)} is not {what}") from None


# what reads a number, and its name in the help
FLOAT: dict[str, Any] = {"parser": number, "metavar": "NUMBER"}
INT: dict[str, Any] = {"parser": integer, "metavar": "INTEGER"}
