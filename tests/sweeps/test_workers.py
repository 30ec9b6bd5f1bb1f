"""Worker processes import the main program again: one sentence where that cannot work."""

import subprocess
import sys

import numpy as np
import pytest

from dmft_rf import ScoreModel, sweep
from tests.helpers.sweeping import environment

START = """
import numpy as np
from dmft_rf import ModelError, ScoreModel, sweep
def own(x): return np.tanh(2.0 * x)
def call(activation="tanh", **more):
    try:
        found = sweep(ScoreModel(0.1, 8.0, 4.0, activation), {"psi_n": [1.0, 2.0]}, "tau_gen",
                      workers=2, **more)
        print(found.quantities["tau_gen"].tolist())
    except ModelError as error:
        print("refused:", error)
"""
GUARD = 'if __name__ == "__main__":\n    '


def ran(arguments, **more):
    return subprocess.run(
        [sys.executable, "-W", "error", *map(str, arguments)], env=environment(),
        capture_output=True, text=True, timeout=120, **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("print('once'); call(path='a.h5')", "under `if __name__"),
        # it may or may not come here when it is imported: the workers find out
        ("import sys\nprint('once')\nif len(sys.argv) < 9:\n    call(path='a.h5')", "under `if"),
        ("open('mark', 'x').close()\ncall()", "under `if __name__"),
        (GUARD + "call(lambda x: x)", "no lambda"),
        (GUARD + "def late(x): return np.tanh(x)\n    call(late)", "outside of `if __name__"),
    ],
    ids=["unguarded", "condition", "not twice", "lambda", "late function"],
)
def test_scripts_that_cannot_have_workers(tmp_path, body, told):
    script = tmp_path / "script.py"
    script.write_text(START + body)
    done = ran([script], cwd=tmp_path)
    assert done.stderr == ""
    said = done.stdout.splitlines()[-1]
    assert said.startswith("refused: ")
    assert told in said
    assert done.stdout.count("refused") == 1
    assert not {p.name for p in tmp_path.iterdir()} - {"script.py", "mark"}


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        ("stdin", "call()", "standard input"),
        ("stdin", GUARD + "call()", "standard input"),
        ("-c", "call(own)", "defined in the main program"),
    ],
)
def test_programs_without_a_file(tmp_path, kind, body, told):
    """A heredoc, a notebook, python -c: no worker can import what is defined there."""
    if kind == "-c":
        done = ran(["-c", START + body], cwd=tmp_path)
    else:
        done = ran(["-"], cwd=tmp_path, input=START + body)
    assert done.stderr == ""
    assert told in done.stdout
    assert done.stdout.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_programs_that_can_have_workers(tmp_path):
    script = tmp_path / "script.py"  # where the condition stands does not matter
    script.write_text(f"{START}def main():\n    {GUARD.strip()} call(own)\nmain()")
    for arguments, activation in (
        ([script], lambda x: np.tanh(2.0 * x)),
        (["-c", START + "call()"], "tanh"),
    ):
        model = ScoreModel(0.1, 8.0, 4.0, activation)
        right = sweep(model, {"psi_n": [1.0, 2.0]}, "tau_gen").quantities["tau_gen"].tolist()
        done = ran(arguments, cwd=tmp_path)
        assert (done.stderr, done.stdout) == ("", f"{right}\n")
