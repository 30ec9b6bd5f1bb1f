"""A sweep's file: nothing finished is ever lost, nothing foreign is touched."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from dmft_rf import DataError, GradientFlow, ScoreModel, __version__, sweep
from dmft_rf.cli import app
from dmft_rf.files.ledger import Ledger
from dmft_rf.files.replace import replacing, replacing_hdf5
from dmft_rf.files.results import git_commit
from dmft_rf.sweeps.plan import Plan
from dmft_rf.sweeps.request import Request
from dmft_rf.sweeps.run import identity
from dmft_rf.sweeps.sweep import SweepCampaign
from tests.helpers.sampling import seventh
from tests.helpers.sweeping import contents, environment, limited, run_script

MODEL = ScoreModel(0.1, 8.0, 4.0)
OVER = {"psi_n": [1.0, 2.0, 5.0, 9.0], "psi_p": [2.0, 3.0, 8.0, 40.0], "t": [0.05, 0.3]}

# Imports once; for every line on stdin it forks a process that completes a sweep and says how many
# points are safe. A line is one write, so that a kill cannot cut it.
NURSERY = f"""
import os, signal, sys, time
from dmft_rf import ScoreModel, sweep, timescales, solve
from dmft_rf.files.results import git_commit
import h5py

git_commit()  # asks git once
MODEL = ScoreModel(0.1, 8.0, 4.0)
timescales(solve(MODEL))

def say(text):
    os.write(1, (text + "\\n").encode())

for line in sys.stdin:
    path, delay = line.rstrip().split("\\t")
    child = os.fork()
    if child == 0:
        sweep(MODEL, {OVER!r}, ["tau_mem", "edges"], path=path,
              progress=lambda done, total: say(f"safe {{done}}"))
        os._exit(0)
    if delay != "None":
        time.sleep(float(delay))
        os.kill(child, signal.SIGKILL)  # not yet waited for: the number is still its own
    _, status = os.waitpid(child, 0)
    say(f"ended {{status}}")
"""


class Nursery:
    """A process that starts the processes to be killed."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", NURSERY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            text=True,
            start_new_session=True,
        )

    def run(self, path, kill_after):
        """Exit status of a sweep that is killed after some seconds, and its numbers of points."""
        self.process.stdin.write(f"{path}\t{kill_after}\n")
        self.process.stdin.flush()
        counts = []
        with limited(self.process):
            for line in self.process.stdout:
                word, _, number = line.partition(" ")
                if word == "ended":
                    return int(number), counts
                counts.append(int(number))
            raise AssertionError("the nursery ended")

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(timeout=30) == 0


@seventh
def test_kill_at_random_moments_never_loses_a_finished_point(tmp_path, every):
    with contextlib.closing(Nursery()) as nursery:
        kill_at_random_moments(tmp_path, nursery, 28 // every)


def kill_at_random_moments(tmp_path, nursery, enough):
    undisturbed = tmp_path / "undisturbed.h5"
    start = time.monotonic()
    assert nursery.run(undisturbed, None)[0] == 0
    longest = time.monotonic() - start
    expected = contents(undisturbed)
    rng = random.Random(7)
    kills = files = 0
    while kills < enough:  # a sweep that comes to its end is followed by another one
        files += 1
        path = tmp_path / f"killed{files}.h5"
        safe = 0
        status = -1
        while status != 0:
            delay = rng.uniform(0.0, 0.7 * longest) if kills < enough else None
            status, counts = nursery.run(path, delay)
            assert status in (0, signal.SIGKILL)
            assert all(count >= safe for count in counts)  # what was said to be safe is there
            safe = max([safe, *counts])
            kills += status != 0
        assert contents(path) == expected
        completed = [f"killed{i}.h5" for i in range(1, files + 1)]
        assert {p.name for p in tmp_path.iterdir()} == {undisturbed.name, *completed}


# Waits to be killed; the file is not written on the way, however long that takes.
PARALLEL = """
import sys, time
from dmft_rf import ScoreModel, sweep
from dmft_rf.sweeps import run as running

def tell(done, total):
    print(done, flush=True)
    if done >= 8:
        time.sleep(600.0)

if __name__ == "__main__":
    running._RENEWAL_SECONDS = float("inf")
    sweep(ScoreModel(0.1, 8.0, 4.0), {over!r}, ["tau_mem", "edges"], path=sys.argv[1],
          workers=2, progress=tell)
"""


def test_kill_of_a_sweep_with_workers(tmp_path):
    """The workers end with their parent, and the next run completes the file."""
    plain = tmp_path / "plain.h5"
    sweep(MODEL, OVER, ["tau_mem", "edges"], path=plain)
    script = tmp_path / "work.py"
    script.write_text(PARALLEL.format(over=OVER))
    path = tmp_path / "killed.h5"
    command = [sys.executable, "-W", "error", str(script), str(path)]
    with (
        subprocess.Popen(
            command, env=environment(), stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as process,
        limited(process),
    ):
        done = 0
        while done < 8:
            line = process.stdout.readline()
            assert line, "it ended before it was killed"
            done = int(line)
        os.kill(process.pid, signal.SIGKILL)
    group = process.pid
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        raise AssertionError("workers outlive their parent")
    assert not path.exists()
    counts = []
    sweep(MODEL, OVER, ["tau_mem", "edges"], path=path, progress=lambda n, _: counts.append(n))
    assert counts[0] >= done
    assert contents(path) == contents(plain)


# The first sweep compiles what the second one needs: numba's cache is not to meet the limit.
FULL = """
import resource, sys
from dmft_rf import DataError, ScoreModel, sweep
from dmft_rf.sweeps import run as running
running._RENEWAL_SECONDS = float("inf")
work = ScoreModel(0.1, 8.0, 4.0), {over!r}, ["tau_mem", "edges"]
sweep(*work)
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    sweep(*work, path=sys.argv[1])
except DataError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [0, 1000, 10_000, 13_000])
def test_full_disk_keeps_what_was_finished(tmp_path, limit):
    """No file may grow beyond the limit: first the ledger meets it, then the HDF5 file."""
    path, plain = tmp_path / "full.h5", tmp_path / "plain.h5"
    said = run_script(FULL.format(over=OVER), path, limit).stdout
    assert "cannot be written" in said
    assert said.count("\n") == 1
    assert not path.exists()
    # a ledger takes 8 kB, and a page of 4 kB for each 20 points or so
    there = {0: [], 1000: [], 10_000: ["full.h5.points"], 13_000: ["full.h5.points"]}[limit]
    assert [p.name for p in tmp_path.iterdir()] == there
    counts = []
    sweep(MODEL, OVER, ["tau_mem", "edges"], path=path, progress=lambda n, _: counts.append(n))
    assert (counts[0] > 10) == bool(there)
    sweep(MODEL, OVER, ["tau_mem", "edges"], path=plain)
    assert contents(path) == contents(plain)


def test_interruption_leaves_a_file_to_be_completed(tmp_path, monkeypatch):
    """Also a file that was renewed on the way and has lost its ledger is completed."""
    monkeypatch.setattr("dmft_rf.sweeps.run._RENEWAL_SECONDS", 0.0)
    path, plain = tmp_path / "a.h5", tmp_path / "plain.h5"

    def interrupt(done, total):
        if done == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(MODEL, OVER, ["tau_mem", "edges"], path=path, progress=interrupt)
    with h5py.File(path) as file:
        assert not file["sweep"].attrs["complete"]
        there = int(np.count_nonzero(file["sweep/status"][()]))
    assert there >= 1
    (tmp_path / "a.h5.points").unlink()
    counts = []
    found = sweep(
        MODEL, OVER, ["tau_mem", "edges"], path=path, progress=lambda n, _: counts.append(n)
    )
    assert counts[0] == there
    assert found.complete
    monkeypatch.undo()
    sweep(MODEL, OVER, ["tau_mem", "edges"], path=plain)
    assert contents(path) == contents(plain)


def test_a_complete_file_is_read_and_not_computed_again(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    first = sweep(MODEL, OVER, "tau_mem", path=path)
    before = path.read_bytes()
    monkeypatch.setattr("dmft_rf.sweeps.run.work", None)
    again = sweep(MODEL, OVER, "tau_mem", path=path)
    np.testing.assert_array_equal(again.quantities["tau_mem"], first.quantities["tau_mem"])
    assert path.read_bytes() == before


def killed_at_the_very_end(path, over):
    """A sweep whose process ends when its file is complete and its ledger is still there."""

    def end(ledger):
        raise SystemExit

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "remove", end)
        with pytest.raises(SystemExit):
            sweep(MODEL, over, "tau_mem", path=path)
    assert path.with_name(path.name + ".points").exists()


@pytest.mark.parametrize("later", [False, True])
def test_a_kill_after_the_last_point_leaves_nothing(tmp_path, monkeypatch, later):
    """The ledger of a complete file goes with the next call, whichever version makes it."""
    path = tmp_path / "a.h5"
    killed_at_the_very_end(path, OVER)
    before = path.read_bytes()
    monkeypatch.setattr("dmft_rf.sweeps.run.work", None)
    if later:
        monkeypatch.setattr("dmft_rf.sweeps.run.git_commit", lambda: "of another version")
    assert sweep(MODEL, OVER, "tau_mem", path=path).complete
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]
    assert path.read_bytes() == before


@pytest.mark.parametrize("whose", ["other work", "text", "held"])
def test_what_else_stands_beside_a_complete_file_is_left_alone(tmp_path, whose):
    path, ledger = tmp_path / "a.h5", tmp_path / "a.h5.points"
    over = {"psi_n": [1.0, 2.0]}
    killed_at_the_very_end(path, over)
    with contextlib.ExitStack() as stack:
        if whose == "other work":
            ledger.unlink()
            with Ledger(ledger, {"work": "another"}) as other:
                other.add([("r", b"x")])
        elif whose == "text":
            ledger.write_text("my own notes on points\n")
        else:
            work = SweepCampaign(
                {"sweep": Plan(MODEL, GradientFlow(), over, Request(("tau_mem",)))}
            )
            stack.enter_context(Ledger(ledger, identity(work, __version__, git_commit())))
        before = ledger.read_bytes()
        assert sweep(MODEL, over, "tau_mem", path=path).complete
        assert ledger.read_bytes() == before


def half_written(path):
    """What a process leaves that is killed while it writes ``path``."""
    with contextlib.suppress(SystemExit), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_: None)
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise SystemExit
    return temporary


def test_half_written_files_of_killed_processes_are_removed(tmp_path):
    """Those of the same file alone: what other processes write beside it stays."""
    half, other = (half_written(tmp_path / name) for name in ("a.h5", "aa.h5"))
    sweep(MODEL, {"psi_n": [1.0, 2.0]}, "tau_mem", path=tmp_path / "a.h5")
    assert not half.exists()
    assert {p.name for p in tmp_path.iterdir()} == {"a.h5", other.name}


@pytest.mark.parametrize(
    "change", [{"rtol": 1e-8}, {"tau": [2.0]}, {"level": 0.2}, {"rule": GradientFlow(1e-3)}]
)
def test_what_is_asked_for_is_part_of_the_identity(tmp_path, change):
    given = {"tau": [1.0], "rtol": 1e-9}
    sweep(MODEL, {"psi_n": [1.0]}, "test", path=tmp_path / "a.h5", **given)
    with pytest.raises(DataError, match="something else"):
        sweep(MODEL, {"psi_n": [1.0]}, "test", path=tmp_path / "a.h5", **{**given, **change})


# -- files in the way ---------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["truncated", "text", "foreign", "other", "later"])
def test_unusable_files_are_refused_and_left_alone(tmp_path, damage):
    path = tmp_path / "a.h5"
    sweep(MODEL, {"psi_n": [1.0, 2.0]}, "tau_mem", path=path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-700])
    elif damage == "text":
        path.write_text("notes on something else\n")
    elif damage == "foreign":
        with h5py.File(path, "w") as file:
            file["x"] = 1.0
    elif damage == "later":
        with replacing_hdf5(path, overwrite=True, start=path) as file:
            file.attrs["dmft_rf_schema"] = 99
    before = path.read_bytes()
    values = [1.0, 3.0] if damage == "other" else [1.0, 2.0]
    with pytest.raises(DataError, match=r"a\.h5"):
        sweep(MODEL, {"psi_n": values}, "tau_mem", path=path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]
    assert sweep(MODEL, {"psi_n": values}, "tau_mem", path=path, overwrite=True).complete


@pytest.mark.parametrize("content", ["other work", "text", "link", "pipe"])
def test_an_unusable_ledger_is_refused_and_left_alone(tmp_path, content):
    path, ledger = tmp_path / "a.h5", tmp_path / "a.h5.points"
    if content == "text":
        ledger.write_text("my own notes on points\n")
    elif content == "link":
        (tmp_path / "notes").write_text("")
        ledger.symlink_to("notes")
    elif content == "pipe":
        os.mkfifo(ledger)
    else:
        with Ledger(ledger, {"work": "another"}) as other:
            other.add([("r", b"x")])
    before = ledger.read_bytes() if ledger.is_file() else ledger.lstat()
    for replace in (False, content != "other work"):
        with pytest.raises(DataError, match=r"a\.h5\.points.*left alone"):
            sweep(MODEL, {"psi_n": [1.0]}, "tau_mem", path=path, overwrite=replace)
        assert (ledger.read_bytes() if ledger.is_file() else ledger.lstat()) == before
    assert not path.exists()


def read_only(monkeypatch):
    """Let everything on disk look as on a file system that is read-only."""
    opened = os.open

    def refuse(place, flags, *rest, **more):
        if flags & (os.O_RDWR | os.O_WRONLY | os.O_CREAT):
            raise OSError(errno.EROFS, "Read-only file system", place)
        return opened(place, flags, *rest, **more)

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(os, "access", lambda place, mode: not mode & os.W_OK)
    monkeypatch.setattr("dmft_rf.sweeps.run.work", None)


def test_a_complete_file_on_a_file_system_that_is_read_only(tmp_path, monkeypatch):
    """It is read and given; nothing is written, not even a lock."""
    path = tmp_path / "a.h5"
    killed_at_the_very_end(path, {"psi_n": [1.0, 2.0]})
    names = {p.name for p in tmp_path.iterdir()}
    read_only(monkeypatch)
    assert sweep(MODEL, {"psi_n": [1.0, 2.0]}, "tau_mem", path=path).complete
    with pytest.raises(DataError, match="something else"):
        sweep(MODEL, {"psi_n": [1.0, 3.0]}, "tau_mem", path=path)
    with pytest.raises(DataError, match="may not be written"):
        sweep(MODEL, {"psi_n": [1.0, 3.0]}, "tau_mem", path=tmp_path / "b.h5")
    assert {p.name for p in tmp_path.iterdir()} == names


@pytest.mark.parametrize("command", ["phase-diagram", "scaling"])
def test_a_command_gives_a_complete_file_that_is_read_only(tmp_path, monkeypatch, command):
    path = tmp_path / "a.h5"
    arguments = [command, "--psi-p", "8", "--points", "3", "--out", str(path), "--json"]
    arguments += ["--n-points", "2"] if command == "phase-diagram" else ["--psi-n", "4"]
    first = CliRunner().invoke(app, arguments)
    assert first.exit_code == 0, first.output
    read_only(monkeypatch)
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["results"] == json.loads(first.stdout)["results"]
    other = CliRunner().invoke(app, [*arguments, "--overwrite", "--t", "0.2"])
    assert other.exit_code == 2
    assert "may not be written" in other.stderr


def test_two_runs_do_not_share_a_file(tmp_path):
    over = {"psi_n": [1.0, 2.0]}
    messages = []

    def meanwhile(done, total):
        if done == 1:
            with pytest.raises(DataError, match="another process") as caught:
                sweep(MODEL, over, "tau_mem", path=tmp_path / "a.h5")
            messages.append(caught.value)

    sweep(MODEL, over, "tau_mem", path=tmp_path / "a.h5", progress=meanwhile)
    assert len(messages) == 1


def points_there(path, psi_n):
    """With how many finished points a sweep of ``tau_mem`` begins."""
    counts = []
    sweep(MODEL, {"psi_n": psi_n}, "tau_mem", path=path, progress=lambda n, _: counts.append(n))
    return counts[0]


def test_overwriting_leaves_a_sweep_alone_that_is_under_way(tmp_path):
    """Its points are still there: what may be replaced is a file that nobody writes."""
    path = tmp_path / "a.h5"

    def meanwhile(done, total):
        if done == 1:
            for values in ([1.0, 2.0], [3.0]):
                with pytest.raises(DataError, match="another process"):
                    sweep(MODEL, {"psi_n": values}, "tau_mem", path=path, overwrite=True)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(MODEL, {"psi_n": [1.0, 2.0]}, "tau_mem", path=path, progress=meanwhile)
    counts = []
    sweep(
        MODEL, {"psi_n": [1.0, 2.0]}, "tau_mem", path=path, progress=lambda n, _: counts.append(n)
    )
    assert counts[0] == 1


@pytest.mark.parametrize("meanwhile", ["same", "other"])
def test_a_file_that_appears_before_the_ledger_is_locked(tmp_path, monkeypatch, meanwhile):
    """The same work is read, nothing is computed; other work is refused and left alone."""
    path, over = tmp_path / "a.h5", {"psi_n": [1.0, 2.0]}

    def commit():
        if not path.exists():
            monkeypatch.undo()
            sweep(MODEL, over if meanwhile == "same" else {"psi_n": [3.0]}, "tau_mem", path=path)
            monkeypatch.setattr("dmft_rf.sweeps.run.work", None)
        return git_commit()

    monkeypatch.setattr("dmft_rf.sweeps.run.git_commit", commit)
    if meanwhile == "same":
        assert sweep(MODEL, over, "tau_mem", path=path).complete
        assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]
    else:
        with pytest.raises(DataError, match="something else"):
            sweep(MODEL, over, "tau_mem", path=path)
        monkeypatch.undo()
        assert sweep(MODEL, {"psi_n": [3.0]}, "tau_mem", path=path).complete


def test_a_file_that_appears_during_the_work_is_not_replaced(tmp_path):
    path = tmp_path / "a.h5"

    def meanwhile(done, total):
        path.write_text("notes of somebody else")

    with pytest.raises(DataError, match="overwrite"):
        sweep(MODEL, {"psi_n": [1.0, 2.0]}, "tau_mem", path=path, progress=meanwhile)
    assert path.read_text() == "notes of somebody else"
    path.unlink()
    counts = []
    sweep(
        MODEL, {"psi_n": [1.0, 2.0]}, "tau_mem", path=path, progress=lambda n, _: counts.append(n)
    )
    assert counts[0] == 2


def test_the_longest_names(tmp_path):
    """What the file system takes is written: 255 bytes, with a short name for the ledger."""
    path = tmp_path / f"{'a' * 245}.h5"
    assert sweep(MODEL, {"psi_n": [1.0]}, "tau_mem", path=path).complete
    assert sweep(MODEL, {"psi_n": [1.0]}, "tau_mem", path=path).complete


@pytest.mark.parametrize("name", ["missing/a.h5", "a.txt", "."])
def test_paths_that_cannot_be_written_are_refused_before_the_work(tmp_path, monkeypatch, name):
    monkeypatch.setattr("dmft_rf.sweeps.run.work", None)
    with pytest.raises(DataError):
        sweep(MODEL, {"psi_n": [1.0]}, "tau_mem", path=tmp_path / name)


def test_a_flipped_bit_in_the_unfinished_work_costs_a_point_at_most(tmp_path):
    """The rest is taken up, and the completed file is that of an undisturbed run."""
    path, plain = tmp_path / "a.h5", tmp_path / "plain.h5"
    ledger = tmp_path / "a.h5.points"
    sweep(MODEL, OVER, ["tau_mem", "edges"], path=plain)

    def interrupt(done, total):
        if done == 24:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(MODEL, OVER, ["tau_mem", "edges"], path=path, progress=interrupt)
    whole = ledger.read_bytes()
    rng = random.Random(11)
    counts = []
    for _ in range(3):
        content = bytearray(whole)
        content[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        ledger.write_bytes(content)
        counts.clear()
        sweep(MODEL, OVER, ["tau_mem", "edges"], path=path, progress=lambda n, _: counts.append(n))
        assert counts[0] >= 23
        assert contents(path) == contents(plain)
        path.unlink()
