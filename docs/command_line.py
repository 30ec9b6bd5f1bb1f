"""The reference of the command `dmft-rf`, as Markdown, from the command itself."""

from __future__ import annotations

import re
from typing import Any


def reference() -> str:
    """A section for each command: what it does, its arguments and options, an example."""
    import typer.main

    from dmft_rf.cli import app

    group = typer.main.get_command(app)
    parts = ["# Command line", _prose(group.help), _prose(group.epilog)]
    codes = "Exit codes:" + (group.epilog or "").partition("Exit codes:")[2]  # said once
    for name, command in group.commands.items():
        example = (command.epilog or "").replace(codes, "")
        parts += [f"## dmft-rf {name}", _prose(command.help), _prose(example)]
        panels: dict[str, list[Any]] = {}
        for parameter in command.params:
            if not getattr(parameter, "hidden", False):
                panel = getattr(parameter, "rich_help_panel", None) or "Options"
                panels.setdefault(panel, []).append(parameter)
        for panel, parameters in panels.items():
            rows = [f"**{panel}**\n", "| option | default | meaning |", "|---|---|---|"]
            parts.append("\n".join(rows + [_row(parameter) for parameter in parameters]))
    return "\n\n".join(part for part in parts if part) + "\n"


def _row(parameter: Any) -> str:
    """Names, default and meaning of an option or argument."""
    names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
    if parameter.param_type_name == "argument":
        names = f"`{parameter.metavar or parameter.name.upper()}`"
    default = parameter.default
    shown = "" if default is None or callable(default) or default in ([], ()) else f"`{default}`"
    return f"| {names} | {shown} | {_prose(getattr(parameter, 'help', '') or '')} |"


def _prose(text: str | None) -> str:
    """One paragraph: signs of Markdown and tables made plain, options as code (kept on a line)."""
    plain = " ".join((text or "").replace("\b", "").split())
    plain = re.sub(r"\[/?[a-z]+\]", "", plain)
    plain = re.sub(r"([\\`*_|<>{}$\[\]#])", r"\\\1", plain)
    return re.sub(r"(?<![\w-])(--[a-z]+(?:-[a-z]+)*)", r"`\1`", plain)
