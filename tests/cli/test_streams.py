"""Where a command writes to: streams that are closed, full or poor in characters, odd names.

Most run in this process, with streams as they are; what happens when Python ends needs a process.
"""

import contextlib
import errno
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pytest
import typer

import dmft_rf
from dmft_rf import Covariance
from dmft_rf.cli import app
from dmft_rf.cli._frame import say
from dmft_rf.files.results import load

COMMAND = typer.main.get_command(app)
SMALL = ("--t", "0.1", "--psi-p", "8", "--rtol", "1e-3")
COMMANDS = (
    "spectrum", "curves", "timescales", "scaling", "phase-diagram", "pencil", "covariance",
)  # fmt: skip
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "anticommutator.toml"


def quick(command: str) -> tuple[str, ...]:
    """A command line with little work."""
    few = {"scaling": ("--points", "3"), "phase-diagram": ("--points", "2", "--n-points", "2")}
    if command == "pencil":
        return (command, str(EXAMPLE))
    if command == "covariance":
        return (command, "digits")
    return (command, *SMALL, *few.get(command, ()))


@contextlib.contextmanager
def streams(out: TextIO | None, err: TextIO | None) -> Iterator[None]:
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in (out, err):
            if stream is not None and not isinstance(stream, io.StringIO):
                stream.close()  # raises if something unwritten was kept


def call(*arguments: Any, out: TextIO | None, err: TextIO | None = None) -> tuple[int, str]:
    """Exit code and stderr; ``out`` and ``err`` are the streams, None for closed ones."""
    said = io.StringIO()
    with streams(out, said if err is None else err), pytest.raises(SystemExit) as end:
        COMMAND.main([str(argument) for argument in arguments], prog_name="dmft-rf")
    assert isinstance(end.value.code, int)
    return end.value.code, said.getvalue()


def full() -> TextIO:
    return open("/dev/full", "w")


def left() -> TextIO:
    """A pipe whose reader has left."""
    read, write = os.pipe()
    os.close(read)
    return os.fdopen(write, "w")


class Page(io.TextIOWrapper):
    """A stdout of some encoding, in memory."""

    def __init__(self, encoding: str = "utf-8", errors: str = "strict"):
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding=encoding, errors=errors, write_through=True)
        self.text = ""

    def close(self) -> None:
        self.text = self.bytes.getvalue().decode(self.encoding)
        super().close()


# Closed, full, left -------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["table", "json"])
def test_a_full_stdout_is_one_line_and_exit_2(tmp_path, command, form):
    out = tmp_path / "a.h5"
    code, said = call(*quick(command), *form, "--out", out, out=full())
    assert code == 2
    assert said == (
        f"error: standard output cannot be written ({os.strerror(errno.ENOSPC)}); "
        f"{out} is complete\n"
    )
    assert load(out)
    code, said = call(*quick(command), *form, out=full())
    assert (code, said.count("\n")) == (2, 1)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_reader_who_has_left_is_no_error(tmp_path, command):
    plot = tmp_path / "a.png"
    assert call(*quick(command), "--json", "--plot", plot, out=left()) == (0, "")
    assert plot.stat().st_size > 5000


@pytest.mark.parametrize("command", COMMANDS)
def test_a_closed_stdout_is_refused_before_the_work_if_nothing_else_keeps_the_result(
    tmp_path, monkeypatch, command
):
    out = tmp_path / "a.h5"
    assert call(*quick(command), "--out", out, out=None) == (0, "")
    assert load(out)
    for name in ("solve", "spectrum", "scaling", "timescales", "phase_diagram"):
        monkeypatch.setattr(dmft_rf, name, None)
    monkeypatch.setattr("dmft_rf.cli._pencil.read_pencil", None, raising=False)
    code, said = call(*quick(command), out=None)
    assert code == 2
    assert said.startswith("error: standard output is closed, and none of --out, --plot")
    assert said.count("\n") == 1


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ("scaling", "--help")])
def test_help_and_version_where_nobody_reads(arguments):
    assert call(*arguments, out=left()) == (0, "")
    assert call(*arguments, out=None) == (0, "")
    code, said = call(*arguments, out=full())
    assert code == 2
    assert said.startswith("error: standard output cannot be written")


@pytest.mark.parametrize("err", [full, left])
def test_errors_that_nobody_reads_have_their_exit_code(err):
    assert call("spectrum", "--t", "-1", out=io.StringIO(), err=err())[0] == 2
    assert call("--bogus", out=io.StringIO(), err=err())[0] == 2
    assert call(out=io.StringIO(), err=err())[0] == 2


def test_a_closed_stderr_stops_nothing():
    page = Page()
    with streams(page, None), pytest.raises(SystemExit) as end:
        COMMAND.main(list(quick("scaling")), prog_name="dmft-rf")
    assert end.value.code == 0
    assert "tau_mem" in page.text
    with streams(Page(), None), pytest.raises(SystemExit) as end:
        COMMAND.main(["spectrum", "--t", "-1"], prog_name="dmft-rf")
    assert end.value.code == 2


SHELL = [
    ("spectrum > /dev/full", 2),
    ("spectrum | true; exit ${PIPESTATUS[0]}", 0),
    ("spectrum --plot a.png >&- 2>&- <&-", 0),
    ("scaling --help > /dev/full", 2),
    ("spectrum --t -1 2> /dev/full", 2),
]


@pytest.mark.parametrize(("line", "code"), SHELL, ids=[line for line, _ in SHELL])
def test_in_a_shell(tmp_path, warm_matplotlib, line, code):
    """Python ends with 120 where something is left to be written."""
    program = f"{sys.executable} -m dmft_rf"
    command, _, rest = line.partition(" ")
    few = "" if "help" in line else " ".join(SMALL)
    done = subprocess.run(
        ["bash", "-c", f"{program} {command} {few} {rest}"], cwd=tmp_path, capture_output=True,
        text=True, env={**os.environ, "PYTHONPATH": str(Path(dmft_rf.__file__).parent.parent)},
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") <= 1
    if "a.png" in line:
        assert (tmp_path / "a.png").stat().st_size > 5000


# Characters ---------------------------------------------------------------------------------

NAMES = {
    "no UTF-8": b"a\xff\xfeb.npy",
    "other scripts": "na\u00efve \u6570\u636e \u03a3.npy".encode(),
    "escape sequences": b"a\x1b[31m\x1b]0;title\x07b.npy",
    "lines and tabs": b"a\nb\tc\rd.npy",
    "direction": "a\u202eb\u2028c.npy".encode(),
    "mathtext": rb"p$x^$y_{\frac \alpha$$ %s.npy",
    "markup": b"[bold]a[red] :smile: {0}.npy",
    "a backslash at the end": b"a\\$\\.npy",
    "long": b"a" * 200 + b".npy",
}


@pytest.fixture
def samples(tmp_path, request) -> Path:
    path = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), NAMES[request.param])))
    with open(path, "wb") as stream:
        np.save(stream, np.random.default_rng(1).normal(size=(60, 4)) * [1.0, 2.0, 3.0, 4.0])
    return path


def obeyed(text: str) -> str:
    """What a terminal would do more with than to show it."""
    return "".join(c for c in text if not (c.isprintable() or c == "\n"))


@pytest.mark.parametrize("samples", NAMES, indirect=True, ids=list(NAMES))
def test_data_of_any_name_in_every_output(tmp_path, samples):
    arguments = ("timescales", *SMALL, "--data", samples)
    out, plot = tmp_path / "o.h5", tmp_path / "o.png"
    document = Page()
    code, said = call(*arguments, "--out", out, "--plot", plot, "--json", out=document)
    assert (code, said) == (0, "")
    label = json.loads(document.text)["covariance"]["label"]
    assert label.isprintable()
    assert label.encode().decode() == label
    assert load(out)["timescales"].attributes["covariance_label"] == label
    assert plot.stat().st_size > 5000
    for encoding in ("utf-8", "ascii", "cp1252", "latin-1"):
        page = Page(encoding)
        code, said = call(*arguments, out=page)
        assert (code, said) == (0, ""), encoding
        assert obeyed(page.text) == ""
        assert "tau_mem" in page.text
        assert "60 samples, d = 4" in " ".join(page.text.split())
    wanted = label.encode("ascii", "backslashreplace").decode()
    page = Page("ascii")
    call(*arguments, out=page)
    assert wanted.replace(" ", "") in "".join(page.text.split())


def test_columns_stay_in_line_where_characters_are_substituted():
    text = {}
    for encoding in ("utf-8", "ascii"):
        page = Page(encoding)
        assert call(*quick("timescales"), out=page) == (0, "")
        text[encoding] = page.text
    rows = [line for line in text["ascii"].splitlines() if line.startswith("tau_")]
    assert len({line.index("|") for line in rows}) == 1
    assert [line.split()[0] for line in rows] == [
        line.split()[0] for line in text["utf-8"].splitlines() if line.startswith("tau_")
    ]


@pytest.mark.parametrize("columns", ["0", "1", "-3", "x"])
def test_a_terminal_without_a_width_shows_the_table(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(Page, "isatty", lambda self: True)
    monkeypatch.setenv("TERM", "xterm")
    page = Page()
    assert call(*quick("timescales"), out=page) == (0, "")
    solution = dmft_rf.solve(dmft_rf.ScoreModel(0.1, 8.0, 8.0), 1e-3)
    assert f"{dmft_rf.timescales(solution).tau_mem:.6g}" in page.text


@pytest.mark.parametrize("command", COMMANDS)
def test_a_narrow_terminal_cuts_no_number(monkeypatch, command):
    """Lines may be longer than the terminal is wide; every number is there as on a wide one."""
    monkeypatch.setattr(Page, "isatty", lambda self: True)
    monkeypatch.setenv("TERM", "xterm")
    seen = {}
    for columns in ("400", "80", "30"):
        monkeypatch.setenv("COLUMNS", columns)
        page = Page()
        code, said = call(*quick(command), out=page, err=Page())
        assert code == 0, said
        seen[columns] = re.findall(r"[-+]?\d+\.\d+(?:e[-+]\d+)?", page.text)
    assert len(seen["400"]) >= 3
    for columns in ("80", "30"):
        assert sorted(seen[columns]) == sorted(seen["400"])


@pytest.mark.parametrize("errors", ["strict", "surrogateescape", "replace"])
def test_a_handler_that_the_user_chose_is_kept(errors):
    page = Page("ascii", errors)
    seen = []
    with streams(page, io.StringIO()):
        with pytest.raises(SystemExit):
            COMMAND.main(["--version"], prog_name="dmft-rf")
        seen.append(page.errors)
    assert seen == ["replace" if errors == "replace" else "backslashreplace"]


ODD = "\x1b[31m\udcff\u202e"


@pytest.mark.parametrize(
    "arguments",
    [
        ("spectrum", "--t", ODD),
        ("spectrum", "--activation", ODD),
        ("spectrum", "--eigenvalues", ODD),
        ("spectrum", "--data", f"{ODD}.npy"),
        ("spectrum", "--data", "digits", "--dataset", ODD),
        ("spectrum", "--out", f"{ODD}/a.h5"),
        ("spectrum", "--out", f"{ODD}.txt"),
        ("spectrum", "--plot", f"{ODD}/a.png"),
        ("curves", "--rule", ODD),
        ("curves", "--tau", ODD),
        ("scaling", "--over", ODD),
        ("phase-diagram", "--plane", ODD),
        ("pencil", f"{ODD}.toml"),
        (ODD,),
        (f"--{ODD}",),
        ("spectrum", f"--{ODD}"),
        ("spectrum", ODD),
        ("spectrum", "--activation", "x" * 5000),
    ],
    ids=lambda v: ascii(v)[:70],
)
def test_what_the_user_gave_is_not_obeyed_by_his_terminal(arguments):
    code, said = call(*arguments, out=io.StringIO())
    assert code == 2
    assert said.count("\n") == 1
    assert said[:-1].isprintable()
    assert len(said) < 1200


def test_texts_of_warnings_and_labels_are_not_obeyed(capsys):
    say("warning", f"two\nlines {ODD}")
    assert obeyed(capsys.readouterr().err) == ""
    law = Covariance([1.0, 2.0], label=f"a{ODD}\n\0b")
    assert law.label.isprintable()


def test_a_pencil_of_any_name_with_terms_of_any_name(tmp_path):
    path = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), b"p$x^$y\xff\x1b[31m.toml")))
    path.write_bytes(EXAMPLE.read_bytes())
    page, plot, out = Page("ascii"), tmp_path / "a.png", tmp_path / "a.h5"
    assert call("pencil", path, "--plot", plot, "--out", out, out=page) == (0, "")
    assert obeyed(page.text) == ""
    assert r"p$x^$y\xff\x1b[31m.toml" in page.text
    assert load(out)
    assert plot.stat().st_size > 5000
    page = Page()
    assert call("pencil", path, "--json", out=page) == (0, "")
    assert json.loads(page.text)["file"].endswith(r"p$x^$y\xff\x1b[31m.toml")
