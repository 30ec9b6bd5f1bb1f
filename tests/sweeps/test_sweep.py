"""A sweep's file: nothing finished is ever lost, nothing foreign is touched."""

import contextlib
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

from dmft_rf import DataError, GradientFlow, __version__, sweep
from dmft_rf.files.ledger import Ledger
from dmft_rf.files.replace import replacing
from dmft_rf.files.results import git_commit
from dmft_rf.sweeps.plan import Plan
from dmft_rf.sweeps.request import Request
from dmft_rf.sweeps.run import identity
from dmft_rf.sweeps.sweep import SweepCampaign
from tests.helpers.nursery import nursery
from tests.helpers.one_sweep import MODEL, OVER, killed_at_the_very_end
from tests.helpers.sampling import seventh
from tests.helpers.sweeping import (
    completed,
    contents,
    environment,
    interrupted,
    limited,
    run_script,
)

WORK = f"""
from dmft_rf import ScoreModel, sweep, timescales, solve
import h5py

MODEL = ScoreModel(0.1, 8.0, 4.0)
timescales(solve(MODEL))

def work(path):
    sweep(MODEL, {OVER!r}, ["tau_mem", "edges"], path=path,
          progress=lambda done, total: say(f"safe {{done}}"))
"""


@seventh
def test_kill_at_random_moments_never_loses_a_finished_point(tmp_path, every):
    with nursery(WORK) as started:
        kill_at_random_moments(tmp_path, started, 28 // every)


def kill_at_random_moments(tmp_path, started, enough):
    undisturbed = tmp_path / "undisturbed.h5"
    start = time.monotonic()
    assert started.run(undisturbed, None)[0] == 0
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
            status, lines = started.run(path, delay)
            counts = [int(line.removeprefix("safe ")) for line in lines]
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
    assert completed(sweep, MODEL, OVER, ["tau_mem", "edges"], path=path)[1] >= done
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
    _, known = completed(sweep, MODEL, OVER, ["tau_mem", "edges"], path=path)
    assert (known > 10) == bool(there)
    sweep(MODEL, OVER, ["tau_mem", "edges"], path=plain)
    assert contents(path) == contents(plain)


def test_interruption_leaves_a_file_to_be_completed(tmp_path, monkeypatch):
    """Also a file that was renewed on the way and has lost its ledger is completed."""
    monkeypatch.setattr("dmft_rf.sweeps.run._RENEWAL_SECONDS", 0.0)
    path, plain = tmp_path / "a.h5", tmp_path / "plain.h5"
    interrupted(9, sweep, MODEL, OVER, ["tau_mem", "edges"], path=path)
    with h5py.File(path) as file:
        assert not file["sweep"].attrs["complete"]
        there = int(np.count_nonzero(file["sweep/status"][()]))
    assert there >= 1
    (tmp_path / "a.h5.points").unlink()
    found, known = completed(sweep, MODEL, OVER, ["tau_mem", "edges"], path=path)
    assert known == there
    assert found.complete
    monkeypatch.undo()
    sweep(MODEL, OVER, ["tau_mem", "edges"], path=plain)
    assert contents(path) == contents(plain)


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
