"""What typer does for the command in a real process: help, usage errors, completion.

Typer's versions differ here more than anywhere else; `.ci/oldest` runs these tests with the oldest
that is allowed, `.ci/run` with the newest.
"""

import os
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from dmft_rf import __version__
from dmft_rf.cli import app

COMMANDS = [
    info.name or getattr(info.callback, "__name__", "").replace("_", "-")
    for info in app.registered_commands
]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command with warnings as errors, at a terminal of 100 columns without colours."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "dmft_rf", *arguments],
        capture_output=True, text=True, timeout=120,
        env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1", **environment},
    )  # fmt: skip


def one_line(text: str) -> bool:
    return text.count("\n") == 1 and "Traceback" not in text


def test_the_commands_are_known() -> None:
    """Those of the README, at least, so that the tests below see them."""
    assert {"spectrum", "curves", "timescales", "scaling", "phase-diagram", "pencil"} <= set(
        COMMANDS
    )


def test_the_first_help_lists_every_command() -> None:
    for arguments in (["--help"], ["-h"]):
        done = run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert "Exact learning curves" in done.stdout
        for command in COMMANDS:
            assert f"\n  {command} " in done.stdout
        assert "…" not in done.stdout
        assert "..." not in done.stdout.partition("ARGS]...")[2]  # no summary is cut
    assert "Exit codes: 0 done" in " ".join(run("--help-all").stdout.split())


@pytest.mark.parametrize("command", ["", *COMMANDS])
@pytest.mark.parametrize("columns", [80, 100])
def test_the_first_help_fits_a_screen(
    command: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """24 lines with the prompt below, and the name of every option."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")

    def run(option: str) -> str:
        done = CliRunner().invoke(app, [*command.split(), option], prog_name="dmft-rf")
        assert (done.exit_code, done.stderr) == (0, "")
        return done.stdout

    text = run("--help")
    lines = text.splitlines()
    assert len(lines) < 24
    assert max(map(len, lines)) <= columns
    assert lines[0].startswith(f"Usage: dmft-rf {command}".rstrip())
    assert "Example: dmft-rf" in text
    named = set(re.findall(r"│ (--[\w-]+)", run("--help-all"))) - {"--help"}
    assert named <= set(re.findall(r"--[\w-]+", text)) | {"--help-all"}
    assert len(named) > 3


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_every_option(command: str) -> None:
    done = run(command, "--help-all")
    assert (done.returncode, done.stderr) == (0, "")
    first = done.stdout.strip().splitlines()[0]
    assert first.startswith("Usage:")
    assert command in first
    assert "Example" in done.stdout
    assert "…" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    headings = {
        heading.partition(":")[0] for heading in re.findall(r"^╭─ (.*?) ─+╮$", done.stdout, re.M)
    }
    if command == "explore":  # it serves a page and has no result to print
        assert "Page" in headings
        return
    assert "--json" in done.stdout
    assert headings & {"Results", "Run"}
    assert headings & {"Model", "Pencil", "Run", "Case", "Files"}


def test_without_arguments_it_is_the_help() -> None:
    done = run()
    assert done.returncode == 2
    assert "Usage:" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_the_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"dmft-rf {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["spectra"], "spectra"),
        (["spectrum", "--psi-q", "3"], "--psi-q"),
        (["spectrum", "--psi-p", "many"], "many"),
        (["spectrum", "--psi-p"], "--psi-p"),
        (["spectrum", "and more"], "and more"),
        (["pencil"], "FILE"),
    ],
)
def test_usage_errors_are_one_line(arguments: list[str], named: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert named in done.stderr
    assert one_line(done.stderr)


@pytest.mark.parametrize(
    ("words", "position", "expected"),
    [("dmft-rf sp", "1", "spectrum"), ("dmft-rf sweep --quant", "2", "--quantity")],
)
def test_the_shell_completes_commands_and_options(words: str, position: str, expected: str) -> None:
    asked = {"_DMFT_RF_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": position}
    code = "import sys; sys.argv[0] = 'dmft-rf'; from dmft_rf.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **asked},
    )
    assert expected in done.stdout.split()
    assert done.stderr == ""
