"""How options are read: numbers, lists of numbers, and groups of options that commands share."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, field, fields, is_dataclass
from typing import Annotated, Any, get_args, get_type_hints

import typer

from dmft_rf.cli._help import HelpAll
from dmft_rf.errors import ModelError

#: help of --columns
COLUMNS = "Columns that are not recognised: step=NAME, train=NAME, test=NAME, separated by commas."


def _number(text: str | float) -> float:
    """Parse a number; the message names what was given."""
    return _parsed(float, text, "a number")


def _integer(text: str | int) -> int:
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
        from dmft_rf._convert import shown  # brings numpy, which --help does not need

        raise typer.BadParameter(f"{shown(text)} is not {what}") from None


# what reads a number, and its name in the help
_NUMBERS: dict[Any, dict[str, Any]] = {
    float: {"parser": _number, "metavar": "NUMBER"},
    int: {"parser": _integer, "metavar": "INTEGER"},
}


def option(text: str, *, default: Any = None, flag: str | None = None, **more: Any) -> Any:
    """A field of a group of options: ``psi_p: float | None`` is --psi-p, which takes a number.

    ``text`` is the help, ``flag`` a name other than the field's; ``more`` goes to `typer.Option`.
    """
    return field(default=default, metadata={"flag": flag, "help": text, **more})


def argument(text: str, *, default: Any = MISSING, **more: Any) -> Any:
    """A field of a group of options that is an argument of the command."""
    return field(default=default, metadata={"help": text, **more})


def _stated(f: Field[Any], hint: Any, panel: str) -> Any:
    """What typer makes of a field: its type with an option or an argument."""
    more = dict(f.metadata)
    if "flag" not in more:
        return Annotated[hint, typer.Argument(**more)]
    flag = more.pop("flag") or f"--{f.name.replace('_', '-')}"
    kind, *_ = get_args(hint) or (hint,)
    read = _NUMBERS.get(kind, {})
    return Annotated[hint, typer.Option(flag, rich_help_panel=panel, **read, **more)]


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command whose parameters are option groups the options of all of them."""
    groups: dict[str, type[Any]] = {
        name: hint
        for name, hint in get_type_hints(command).items()
        if isinstance(hint, type) and is_dataclass(hint)
    }
    parameters: list[inspect.Parameter] = []

    def add(name: str, default: Any, annotation: Any) -> None:
        default = inspect.Parameter.empty if default is MISSING else default
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter(name, kind, default=default, annotation=annotation))

    for group in groups.values():
        hints = get_type_hints(group)
        homes = group.__mro__
        # those that the group adds itself stand first in the help
        for f in sorted(fields(group), key=lambda f: homes.index(_home(homes, f.name))):
            about = inspect.getdoc(_home(homes, f.name)) or ""
            panel = about.partition("\n")[0].rstrip(".")
            add(f.name, f.default, _stated(f, hints[f.name], panel))
    add("help_all", False, HelpAll)

    def flat(**values: Any) -> None:
        command(
            **{
                name: group(**{f.name: values[f.name] for f in fields(group)})
                for name, group in groups.items()
            }
        )

    flat.__name__, flat.__doc__ = command.__name__, command.__doc__
    flat.__annotations__ = {p.name: p.annotation for p in parameters}
    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return flat


def _home(classes: tuple[type, ...], name: str) -> type:
    """The class that states an option."""
    return next(kind for kind in classes if name in inspect.get_annotations(kind))


def numbers(name: str, text: str) -> list[float]:
    """Return the numbers of a list separated by commas."""
    from dmft_rf._convert import shown

    try:
        return [_number(part) for part in text.split(",")]
    except typer.BadParameter:
        raise ModelError(
            f"{name} is {shown(text)}; it must be numbers separated by commas"
        ) from None


def names_of(columns: str) -> dict[str, str]:
    """Return the columns of an option --columns, by what they hold."""
    pairs = [part.partition("=") for part in columns.split(",")]
    if not all(mark and name.strip() for _, mark, name in pairs):
        from dmft_rf._convert import shown

        raise ModelError(f"--columns is {shown(columns)}; it must be as train=mse,test=mse_val")
    return {kind.strip(): name.strip() for kind, _, name in pairs}
