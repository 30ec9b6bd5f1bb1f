"""Runs of the command that tests share."""

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


def refused(*arguments: Any, code: int = 2) -> str:
    """Run what is refused: its one line on stderr, and nothing on stdout."""
    answer = run(*arguments)
    assert answer.exit_code == code, (arguments, answer.output, answer.exception)
    assert answer.stdout == ""
    assert answer.stderr.startswith("error: ")
    assert answer.stderr.count("\n") == 1
    assert answer.stderr.rstrip("\n").isprintable()
    return str(answer.stderr)


def help_of(command: str) -> str:
    """All of the help as one line, without the frames of its panels."""
    return " ".join(run(command, "--help-all").stdout.replace("│", " ").split())
