"""What a command refuses, and how it ends when something fails: one line, an exit code."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

import dmft_rf
from dmft_rf import ConvergenceError, ScoreModel
from dmft_rf.files.results import load
from tests.helpers.command import COMMANDS, SMALL, run
from tests.helpers.command import refused as line_of

# Wrong values -------------------------------------------------------------------------------


def refused(folder: Path, *arguments: str, code: int = 2) -> str:
    """Run what is refused, and check that no file has changed."""
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    line = line_of(*arguments, code=code)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    return line


BAD_VALUES = [
    (("--psi-n", "-1"), ("psi_n", "-1.0", "> 0")),
    (("--psi-p", "0"), ("psi_p", "0.0", "> 0")),
    (("--psi-n", "inf"), ("psi_n", "inf", "finite")),
    (("--t", "0"), ("t is 0.0", "> 0")),
    (("--t", "nan"), ("t is nan", "finite")),
    (("--t", "abc"), ("--t", "'abc'", "number")),
    (("--rtol", "nan"), ("rtol is nan", "between")),
    (("--activation", "swish"), ("'swish'", "tanh")),
    (("--noise-draws", "2.5"), ("noise_draws is 2.5", "integer")),
    (("--eigenvalues", "1,2", "--weights", "0.5,0.4"), ("sum to 1", "0.9")),
    (("--eigenvalues", "-1,2"), (">= 0", "-1.0")),
    (("--eigenvalues", "1;2"), ("--eigenvalues", "'1;2'", "commas")),
    (("--weights", "1"), ("--weights", "--eigenvalues")),
    (("--dataset", "x"), ("--dataset", "--data")),
    (("--no-center",), ("--center", "--data")),
    (("--normalize",), ("--normalize", "--data")),
    (("--data", "digits", "--eigenvalues", "1"), ("--eigenvalues", "--data")),
    (("--data", "nothing.npy"), ("nothing.npy", "no such file", "digits")),
    (("--bogus",), ("--bogus",)),
]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("options", "words"), BAD_VALUES, ids=lambda v: " ".join(v))
def test_wrong_values_are_one_line(tmp_path, command, options, words):
    out = ("--out", str(tmp_path / "a.h5"), "--plot", str(tmp_path / "a.png"))
    line = refused(tmp_path, command, *out, *options)
    assert all(word in line for word in words), line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("curves", "--tau", "-1"), ("tau", "-1.0", ">= 0")),
        (("curves", "--tau", ""), ("--tau", "''", "commas")),
        (("curves", "--rule", "adam"), ("'adam'", "gradient-flow")),
        (("curves", "--rule", "heavy-ball"), ("--step", "> 0")),
        (("curves", "--rule", "weight-average"), ("--decay-time", "> 0")),
        (("curves", "--ridge", "1"), ("--ridge", "gradient-flow")),
        (("curves", "--rule", "ridge", "--weight-decay", "1"), ("--weight-decay", "ridge")),
        (("curves", "--rule", "gradient-descent", "--step", "0"), ("step", "> 0")),
        (("curves", "--rule", "gradient-descent", "--step", "1e9"), ("step", "below")),
        (("curves", "--rule", "gradient-descent", "--step", "1", "--tau", "0.5"), ("whole",)),
        (("curves", "--rule", "heavy-ball", "--step", "1", "--momentum", "1"), ("momentum",)),
        (("curves", "--sgd-noise", "1000"), ("noise", "1000.0", "eps below")),
        (("curves", "--sgd-noise", "1", "--rule", "ridge"), ("--rule", "ridge", "SGD")),
        (("curves", "--sgd-noise", "1", "--ridge", "1"), ("--ridge", "SGD")),
        (("curves", "--sgd-noise", "1", "--learning-rate", "1"), ("two ways",)),
        (("curves", "--learning-rate", "1"), ("--learning-rate", "--dimension")),
        (("curves", "--learning-rate", "1", "--dimension", "9", "--step", "1"), ("--step",)),
        (("curves", "--batch", "2"), ("--batch", "--sgd-noise")),
        (("curves", "--dimension", "2"), ("--dimension", "--learning-rate")),
        (("timescales", "--learning-rate", "1"), ("--learning-rate", "--dimension")),
        (("timescales", "--dimension", "9"), ("--dimension", "--learning-rate")),
        (("timescales", "--learning-rate", "0", "--dimension", "9"), ("learning_rate", "> 0")),
        (("timescales", "--learning-rate", "1", "--dimension", "-9"), ("dimension", "> 0")),
        (("scaling", "--over", "d"), ("'d'", "psi_n, psi_p, t")),
        (("scaling", "--points", "2"), ("--points", "2", "3 and 1000")),
        (("scaling", "--points", "2.5"), ("--points", "2.5", "integer")),
        (("scaling", "--from", "0"), ("--from", "0.0", "> 0")),
        (("scaling", "--from", "3", "--to", "2"), ("--from", "3.0", "2.0")),
        (("phase",), ("'phase'",)),
    ],
    ids=lambda v: " ".join(v),
)
def test_wrong_values_of_one_command(tmp_path, arguments, words):
    line = refused(tmp_path, *arguments)
    assert all(word in line for word in words), line


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.npy", b"", "empty"),
        ("text.csv", b"a,b\nc,d\n", "text.csv"),
        ("not.h5", b"not an HDF5 file", "not.h5"),
    ],
)
def test_unusable_data_files(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    out = ("--out", str(tmp_path / "a.h5"))
    line = refused(tmp_path, "scaling", "--data", str(tmp_path / name), *out)
    assert words in line
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--out", "{}/no/a.h5"), "does not exist"),
        (("--plot", "{}/no/a.png"), "does not exist"),
        (("--plot", "{}/a.eps"), "'.eps', allowed are .png, .pdf, .svg"),
        (("--plot", "{}/a"), "allowed are .png, .pdf"),
        (("--out", "{}/a.csv"), "'.csv', allowed are .h5, .hdf5"),
        (("--out", "{}/old.h5"), "--overwrite"),
        (("--plot", "{}/link.png"), "--overwrite"),
        (("--plot", "{}/folder.png"), "is a folder"),
        (("--plot", "{}/folder.png", "--overwrite"), "is a folder"),
        (("--plot", "{}/pipe.png", "--overwrite"), "not a regular file"),
        (("--out", "{}/new.h5", "--plot", "{}/link.png"), "--overwrite"),
        (("--out", "{}/old.h5", "--plot", "{}/old.png"), "--overwrite"),
        (("--out", "{}/old.png", "--plot", "{}/old.png", "--overwrite"), "allowed are .h5"),
        (("--data", "{}/old.h5", "--out", "{}/old.h5", "--overwrite"), "file of --data"),
    ],
)
def test_places_are_checked_before_any_work(tmp_path, monkeypatch, command, options, words):
    def unwanted(*_: Any, **__: Any) -> None:
        raise AssertionError("the work has begun")

    for name in ("solve", "spectrum", "scaling", "timescales"):
        monkeypatch.setattr(dmft_rf, name, unwanted)
    (tmp_path / "old.h5").write_text("old")
    (tmp_path / "old.png").write_text("old")
    (tmp_path / "link.png").symlink_to(tmp_path / "old.h5")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    line = refused(tmp_path, command, *(o.format(tmp_path) for o in options))
    assert words in line


def test_an_unconverged_solution_is_exit_code_1(tmp_path, monkeypatch):
    def stuck(*_: Any, **__: Any) -> None:
        raise ConvergenceError("reached 1e-3\nafter 9 tries", residual=1e-3)

    monkeypatch.setattr(dmft_rf, "solve", stuck)
    line = refused(tmp_path, "curves", "--out", str(tmp_path / "a.h5"), code=1)
    assert line == "error: not converged: reached 1e-3 after 9 tries\n"
    assert list(tmp_path.iterdir()) == []


def test_points_that_fail_are_left_out_of_a_sweep(monkeypatch):
    import dmft_rf.sweeps.quantities as points

    solve = points.solve

    def sometimes(model: ScoreModel, *args: Any) -> Any:
        if 1.4 < model.psi_n < 1.5:
            raise ConvergenceError("stuck")
        return solve(model, *args)

    monkeypatch.setattr(points, "solve", sometimes)
    options = ("--from", "1", "--to", "4", "--points", "5")
    answer = run("scaling", *SMALL, *options)
    assert answer.exit_code == 0, answer.output
    assert answer.stderr == "warning: psi_n = 1.41421 is left out: stuck\n"
    assert "undefined" in answer.stdout
    found = json.loads(run("scaling", *SMALL, *options, "--json").stdout)
    assert found["results"]["quantities"]["tau_mem"][1] is None
    assert list(found["results"]["failures"].values()) == ["stuck"]


def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dmft_rf, "scaling", interrupted)
    line = refused(tmp_path, "scaling", "--out", str(tmp_path / "a.h5"), code=130)
    assert "interrupted, finished points are kept beside" in line
    line = refused(tmp_path, "scaling", code=130)
    assert line == "error: interrupted, nothing was written\n"


def test_an_interrupt_while_drawing_says_what_is_complete(tmp_path, monkeypatch):
    import dmft_rf.plotting.style

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dmft_rf.plotting.style, "save_figure", interrupted)
    out = tmp_path / "a.h5"
    answer = run("curves", *SMALL, "--out", out, "--plot", tmp_path / "a.png")
    assert (answer.exit_code, answer.stdout) == (130, "")
    expected = f"error: interrupted, before the result was shown; {out} is complete\n"
    assert answer.stderr == expected
    assert load(out)


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("by 0\n\x1b[2J"), EOFError(), MemoryError(), RecursionError("deep")]
)
def test_an_error_of_the_program_is_one_line_and_shown_when_asked_for(tmp_path, monkeypatch, error):
    """An EOFError is what click takes for an interruption."""

    def broken(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.delenv("DMFT_RF_DEBUG", raising=False)
    monkeypatch.setattr(dmft_rf, "spectrum", broken)
    line = refused(tmp_path, "spectrum", code=70)
    assert line.startswith(f"error: internal error: {type(error).__name__}")
    assert "please report it" in line
    assert "_commands.py, line " in line
    assert "interrupted" not in line
    assert "\x1b" not in line
    monkeypatch.setenv("DMFT_RF_DEBUG", "1")
    answer = run("spectrum")
    assert answer.exit_code == 70
    assert "Traceback (most recent call last)" in answer.stderr
    assert answer.stderr.splitlines()[-1] == line.strip()


def test_an_error_while_options_are_read_is_one_line(tmp_path, monkeypatch):
    import dmft_rf.cli._parameters as options

    def broken(*_: Any) -> None:
        raise TypeError("no parser")

    monkeypatch.delenv("DMFT_RF_DEBUG", raising=False)
    monkeypatch.setattr(options, "_parsed", broken)
    line = refused(tmp_path, "spectrum", "--t", "1", code=70)
    assert line.startswith("error: internal error: TypeError: no parser")
