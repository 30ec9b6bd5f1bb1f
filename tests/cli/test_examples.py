"""The examples in the help of every command run as they are printed."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from typer.main import get_command

from dmft_rf.cli import app
from tests.helpers.command import run

ROOT = Path(__file__).parents[2]
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]
# what cuts the work of an example, and nothing else of it
FEWER = {"scaling": ["--points", "3"], "phase-diagram": ["--n-points", "3", "--points", "3"]}


def examples(command: str) -> list[list[str]]:
    found = re.findall(r"dmft-rf (.*?)(?=\.(?:\s|$)|, then)", COMMANDS[command].epilog or "")
    return [shlex.split(one) for one in found]


def test_every_command_has_examples() -> None:
    assert [name for name in COMMANDS if not examples(name)] == []


# a monitored run and folders of images are the user's own; the page of sliders runs until stopped
@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"monitor", "explore"}))
def test_examples_run(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "docs" / "examples", tmp_path / "docs" / "examples")
    monkeypatch.chdir(tmp_path)
    for arguments in examples(command):
        if "faces" not in arguments:
            answer = run(*arguments, *FEWER.get(arguments[0], []))
            assert answer.exit_code == 0, (arguments, answer.output)
