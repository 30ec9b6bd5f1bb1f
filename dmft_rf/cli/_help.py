"""Help of two lengths: ``--help`` fits a screen of 80 x 24, ``--help-all`` explains every option.

The first shows a command's most used options, each with the first sentence of what ``--help-all``
says, and the names of the others by their groups.
"""

from __future__ import annotations

import re
import textwrap
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

_OF_A_MODEL = ("data", "t", "psi_p", "psi_n")
#: the options of a command that the first screen explains
FIRST: dict[str, tuple[str, ...]] = {
    "covariance": ("resize", "grey", "out", "plot"),
    "spectrum": (*_OF_A_MODEL, "eigenvalues", "plot"),
    "curves": (*_OF_A_MODEL, "tau", "rule", "plot"),
    "timescales": (*_OF_A_MODEL, "learning_rate", "plot"),
    "scaling": ("data", "t", "psi_p", "over", "plot"),
    "sweep": (*_OF_A_MODEL, "over", "quantity", "out"),
    "phase-diagram": ("data", "t", "psi_p", "plane", "threads", "plot"),
    "generate": ("data", "psi_p", "psi_n", "tau", "sampler", "plot"),
    "pencil": ("latex", "plot"),
    "monitor": ("samples", "data", "page", "plot"),
    "advise": ("data", "parameters", "t", "scale", "pilot", "samples", "plot"),
    "fit": ("t", "psi_p", "psi_n", "free", "rate", "plot"),
    "explore": ("port", "address", "browser"),
}
_ALL = "Show every option, with examples and exit codes."


def _explain(ctx: typer.Context, wanted: bool) -> None:
    if wanted:
        command: Any = ctx.command
        command.explain(ctx)
        raise typer.Exit


HelpAll = Annotated[bool, typer.Option("--help-all", help=_ALL, is_eager=True, callback=_explain)]


class BriefCommand(TyperCommand):
    """A command whose help fits a screen."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the first screen of help."""
        _head(self, ctx, formatter)
        params: dict[str, Any] = {str(param.name): param for param in self.params}
        del params["help_all"]
        needed = [p for p in params.values() if p.param_type_name == "argument" and p.required]
        shown = [*needed, *(params[name] for name in FIRST[str(self.name)])]
        _section(formatter, [(_name(p), first_sentence(p.help)) for p in shown])
        groups: dict[str, list[str]] = {}
        for param in params.values():
            if param not in shown and param.param_type_name == "option":
                group = str(param.rich_help_panel).partition(":")[0]
                groups.setdefault(group, []).append(param.opts[0])
        if groups:
            rest = [(group, " ".join(names)) for group, names in groups.items()]
            _section(formatter, rest, "Further options, which --help-all explains:")
        _example(self, formatter)

    def explain(self, ctx: Any) -> None:
        """Print all of the help."""
        super().format_help(ctx, ctx.make_formatter())


class BriefGroup(TyperGroup):
    """A group of commands whose help fits a screen too."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the first screen of help."""
        _head(self, ctx, formatter)
        rows = [(name, first_sentence(command.help)) for name, command in self.commands.items()]
        _section(formatter, rows)
        options = " ".join(str(p.opts[0]) for p in self.params)
        rows = [("Options", options), ("Options of a command", "dmft-rf COMMAND --help")]
        _section(formatter, rows)
        _example(self, formatter)

    def explain(self, ctx: Any) -> None:
        """Print all of the help."""
        super().format_help(ctx, ctx.make_formatter())


def first_sentence(text: str | None) -> str:
    """What stands before the first full stop that a blank or the end follows."""
    return re.split(r"(?<=\.)\s", text or "", maxsplit=1)[0].removesuffix(".")


def _head(command: Any, ctx: Any, formatter: Any) -> None:
    formatter.write_usage(ctx.command_path, " ".join(command.collect_usage_pieces(ctx)))
    formatter.write_paragraph()
    formatter.write_text(first_sentence(command.help) + ".")


def _section(formatter: Any, rows: list[tuple[str, str]], title: str = "") -> None:
    formatter.write_paragraph()
    if title:
        formatter.write_text(title)
    wide = max(len(name) for name, _ in rows)
    for name, text in rows:
        # unlike click's, without a break in the middle of an option
        lines = textwrap.wrap(text, formatter.width - wide - 4, break_on_hyphens=False)
        for k, line in enumerate(lines):
            formatter.write(f"  {'' if k else name:<{wide}}  {line}\n")


def _example(command: Any, formatter: Any) -> None:
    formatter.write_paragraph()
    formatter.write_text(first_sentence(command.epilog).replace("Examples:", "Example:"))


def _name(param: Any) -> str:
    """An option with what it takes, or an argument."""
    if param.param_type_name == "argument":
        return str(param.metavar)
    return f"{param.opts[0]} {param.metavar or ''}".rstrip()
