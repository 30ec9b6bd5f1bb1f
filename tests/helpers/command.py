"""Runs of the command that tests share."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner

from dmft_rf.cli import app

COMMANDS = ("spectrum", "curves", "timescales", "scaling")
SMALL = ("--t", "0.1", "--psi-p", "8", "--psi-n", "2")


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def result(*arguments: Any) -> dict[str, Any]:
    """Run with --json and return the document; it must be strictly valid and alone on stdout."""
    answer = run(*arguments, "--json")
    assert answer.exit_code == 0, answer.output
    assert answer.stderr == ""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    document = json.loads(answer.stdout, parse_constant=refuse)
    assert isinstance(document, dict)
    return document


def help_of(command: str) -> str:
    """All of the help as one line, without the frames of its panels."""
    return " ".join(run(command, "--help-all").stdout.replace("│", " ").split())
