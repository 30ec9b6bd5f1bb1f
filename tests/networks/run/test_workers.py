"""Several runs at once, signals, runs that diverge, stores brought together; without JAX."""

from __future__ import annotations

import dataclasses
import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dmft_rf import DataError, ModelError, WorkerError
from tests.helpers.fake_training import (
    SMALL,
    Diverging,
    Dying,
    Fake,
    Surrounded,
    Unfit,
    Waiting,
    contents,
    same,
    until,
)
from validation.__main__ import main as validation_main
from validation.networks.command import FILE
from validation.networks.run.engine import run
from validation.networks.run.merge import merge
from validation.networks.run.plan import Setting
from validation.networks.run.progress import Progress, cost
from validation.networks.run.store import PICTURES, Run, Store
from validation.networks.run.workers import run_at_once

ROOT = Path(__file__).resolve().parents[3]
TWO = [dataclasses.replace(SMALL, seed=seed) for seed in (0, 1)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """What one process makes of three runs, the first two of which are `TWO`."""
    store = Store(tmp_path_factory.mktemp("whole") / "n.h5")
    run(store, [*TWO, dataclasses.replace(SMALL, seed=2)], Fake, quiet=True)
    return store


def part(store: Store, count: int) -> Store:
    """The first runs of a store."""
    found = Store(store.path)
    found.runs = dict(list(found.runs.items())[:count])
    return found


# -- several at once ---------------------------------------------------------------------------


def test_two_at_once_end_like_one_after_the_other(whole: Store, tmp_path: Path) -> None:
    store = Store(tmp_path / "n.h5")
    work = [found.setting for found in whole.runs.values()]
    assert run_at_once(store, work, Fake, jobs=2, quiet=True) == 0
    assert same(Store(store.path), whole)
    assert not store.unfinished.exists()
    before = store.path.read_bytes()
    assert run_at_once(Store(store.path), work, Dying, jobs=2, quiet=True) == 0
    assert store.path.read_bytes() == before  # nobody was started


def test_time_that_runs_out_leaves_checkpoints(whole: Store, tmp_path: Path) -> None:
    store = Store(tmp_path / "n.h5")
    assert run_at_once(store, TWO, Waiting, jobs=2, hours=0.2 / 3600, quiet=True) == 2
    assert all(store.checkpoint(setting) is not None for setting in TWO)
    assert run_at_once(store, TWO, Fake, jobs=2, quiet=True) == 0
    assert same(store, part(whole, 2))


def test_a_worker_that_dies_stops_the_others_in_order(whole: Store, tmp_path: Path) -> None:
    store = Store(tmp_path / "n.h5")
    with pytest.raises(WorkerError, match=rf"{TWO[1].key}: its process has died \(exit code 9\)"):
        run_at_once(store, TWO, Dying, jobs=2, quiet=True)
    left = store.checkpoint(TWO[0])
    assert left is not None  # although the minute of a checkpoint was not over
    assert 0 < left.step < SMALL.steps
    assert run_at_once(store, TWO, Fake, jobs=2, quiet=True) == 0
    assert same(store, part(whole, 2))


@pytest.mark.parametrize(
    ("n", "kind", "told"),
    [(16, DataError, "the data are gone"), (32, WorkerError, "ZeroDivisionError: a mistake")],
)
def test_a_run_that_cannot_be_trained(
    n: int, kind: type[Exception], told: str, tmp_path: Path
) -> None:
    store = Store(tmp_path / "n.h5")
    work = [dataclasses.replace(setting, n=n) for setting in TWO]
    with pytest.raises(kind, match=told):
        run_at_once(store, work, Unfit, jobs=2, quiet=True)
    assert store.checkpoint(work[0]) is not None


def test_threads_of_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "n.h5")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)  # what a worker sets by itself
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=nowhere")
    run_at_once(store, [TWO[0]], Surrounded, jobs=2, quiet=True)
    facts = store.runs[TWO[0].key].facts
    assert facts["XLA_FLAGS"] == "--xla_dump_to=nowhere --xla_cpu_multi_thread_eigen=false"
    assert (facts["OPENBLAS_NUM_THREADS"], facts["OMP_NUM_THREADS"]) == ("1", "3")
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=true")
    run_at_once(store, [TWO[1]], Surrounded, jobs=2, quiet=True)
    assert store.runs[TWO[1].key].facts["XLA_FLAGS"] == "--xla_cpu_multi_thread_eigen=true"
    assert os.environ["XLA_FLAGS"] == "--xla_cpu_multi_thread_eigen=true"


def test_jobs_that_make_no_sense(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelError, match="jobs is 0"):
        run_at_once(Store(tmp_path / "n.h5"), TWO, Fake, jobs=0)
    assert validation_main(["networks", "--jobs", "0", "--out", str(tmp_path / "x")]) == 2
    assert "jobs is 0" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


# -- signals -----------------------------------------------------------------------------------

PROGRAM = """
import dataclasses, sys
from tests.helpers.fake_training import SMALL, Waiting
from validation.networks.run.store import Store
from validation.networks.run.workers import run_at_once

if __name__ == "__main__":
    work = [dataclasses.replace(SMALL, seed=seed) for seed in (0, 1)]
    try:
        run_at_once(Store(sys.argv[1]), work, Waiting, jobs=int(sys.argv[2]), quiet=True)
    except KeyboardInterrupt:
        sys.exit(130)
"""


def start(folder: Path, jobs: int) -> tuple[subprocess.Popen, list[int]]:
    """A process group that trains, and the processes in which it does, once it does."""
    pids, program = folder / "pids", folder / "program.py"
    pids.mkdir()
    program.write_text(PROGRAM)
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    process = subprocess.Popen(
        [sys.executable, str(program), str(folder / "n.h5"), str(jobs)],
        env={**os.environ, "PYTHONPATH": path, "FAKE_PIDS": str(pids)},
        start_new_session=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until(lambda: len(list(pids.iterdir())) == jobs)
    return process, [int(place.name) for place in pids.iterdir()]


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be counted does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("jobs", "number", "group"),
    [(1, signal.SIGTERM, False), (2, signal.SIGINT, True), (2, signal.SIGTERM, False)],
)
def test_a_signal_keeps_everything(
    jobs: int, number: int, group: bool, whole: Store, tmp_path: Path
) -> None:
    process, workers = start(tmp_path, jobs)
    (os.killpg if group else os.kill)(process.pid, number)
    assert process.wait(60) == 130
    assert not any(map(alive, workers))
    store = Store(tmp_path / "n.h5")
    kept = [store.checkpoint(setting) for setting in TWO[:jobs]]
    assert all(one is not None and 0 < one.step < SMALL.steps for one in kept)
    run(store, TWO, Fake, quiet=True)
    assert same(store, part(whole, 2))


def test_no_worker_outlives_a_parent_that_was_killed(whole: Store, tmp_path: Path) -> None:
    process, workers = start(tmp_path, 2)
    assert len(workers) == 2
    assert all(map(alive, workers))
    process.kill()
    process.wait(60)
    until(lambda: not any(map(alive, workers)))
    store = Store(tmp_path / "n.h5")  # and nothing is locked or torn
    run_at_once(store, TWO, Fake, jobs=2, quiet=True)
    assert same(store, part(whole, 2))


# -- progress ----------------------------------------------------------------------------------


def test_progress_of_several_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """What is left at the pace so far, wherever the runs began."""
    now = 0.0
    told = Progress(TWO, 7, quiet=False, clock=lambda: now)
    told.show(TWO[0], 200)  # from a checkpoint
    told.show(TWO[1], 0)
    now = 100.0
    told.show(TWO[0], 600)
    now = 140.0
    told.show(TWO[1], 400)
    line = capsys.readouterr().err.splitlines()[-1]
    # 800 steps in 140 s, 1000 left: 175 s
    assert line.startswith("5 of 7 done, at most about 3 min left: ")
    assert f"{TWO[0].key} 60 %, {TWO[1].key} 40 %" in line
    told.ended(Run(TWO[0], {}, {"ended": "memorized"}))  # early: no more work than was done
    now = 2400.0
    told.show(TWO[1], 900)
    # 1300 steps in 2400 s, 100 left: 185 s
    assert "6 of 7 done, at most about 3 min left" in capsys.readouterr().err
    assert cost(dataclasses.replace(SMALL, width=64)) > 2 * cost(SMALL)


# -- runs that diverge -------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_that_diverges_stops_nobody(jobs: int, whole: Store, tmp_path: Path) -> None:
    store = Store(tmp_path / FILE)
    work = [found.setting for found in whole.runs.values()]
    assert run_at_once(store, work, Diverging, jobs, quiet=True) == 0
    found = Store(store.path)
    assert [*found.diverged] == [TWO[1].key]
    assert [*found.runs] == [work[0].key, work[2].key]
    gone = found.diverged[TWO[1].key]
    assert gone.facts["reason"] == "a loss is not finite at step 126"
    assert gone.step[-1] == 100
    assert not store.unfinished.exists()
    # with the same setting it would diverge again, with another it is tried, and takes its place
    assert found.has(TWO[1])
    slower = dataclasses.replace(TWO[1], rate=1e-4)
    assert not found.has(slower)
    assert run(found, [slower], Diverging, quiet=True) == 0
    again = Store(store.path)
    assert not again.diverged
    assert again.runs[slower.key].setting == slower


def test_what_is_said_of_runs_that_diverged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(Store(tmp_path / FILE), [TWO[1]], Diverging, quiet=True)
    arguments = ["networks", "--report", "--out", str(tmp_path)]
    assert validation_main(arguments) == 0  # even where there is nothing else
    assert "0 runs" in capsys.readouterr().out
    assert (tmp_path / "networks.html").is_file()
    run(Store(tmp_path / FILE), TWO, Fake, quiet=True)
    assert validation_main(arguments) == 0
    assert ", 1 diverged, " in capsys.readouterr().out
    text = (tmp_path / "networks.md").read_text(encoding="utf-8")
    assert f"| {TWO[1].key} | a loss is not finite at step 126 |" in text


# -- stores brought together -------------------------------------------------------------------


def test_merging(whole: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / name for name in ("a.h5", "b.h5", "c.h5")]
    work = [found.setting for found in whole.runs.values()]
    for path, some in zip(files, (work[:1], work[:2], work[2:]), strict=True):
        run(Store(path), some, Fake, quiet=True)
    before = [path.read_bytes() for path in files]
    arguments = ["networks", "--merge", *map(str, files), "--out", str(tmp_path / "out")]
    assert validation_main(arguments) == 0
    assert capsys.readouterr().out.startswith("3 runs added to ")
    target = tmp_path / "out" / FILE
    assert same(Store(target), whole)
    facts = Store(target).runs[work[2].key].facts
    assert facts == Store(files[2]).runs[work[2].key].facts
    first = target.read_bytes()
    assert merge(Store(target), files) == (0, 4)
    assert [target.read_bytes(), *(path.read_bytes() for path in files)] == [first, *before]
    assert not (tmp_path / "out" / "networks.md").exists()
    assert validation_main([*arguments, "--report"]) == 0
    assert (tmp_path / "out" / "networks.md").is_file()


class Seen(Fake):
    """With pictures."""

    def measure(self) -> dict:
        picture = np.full((2, 4, 4), float(self.step), dtype=np.float16)
        return super().measure() | {"shown": picture, "shown_nearest": picture}


def test_pictures_are_kept_of_some(tmp_path: Path) -> None:
    big, small = Store(tmp_path / "big.h5"), Store(tmp_path / "small.h5")
    run(big, TWO, Seen, quiet=True)
    assert merge(small, [big.path], pictures=[TWO[0].key]) == (2, 0)
    first, second = (Store(small.path).runs[setting.key] for setting in TWO)
    assert first.curves.keys() >= PICTURES
    assert not PICTURES & second.curves.keys()
    whole = big.runs[TWO[1].key].curves
    assert whole.keys() - PICTURES == second.curves.keys()
    assert all(np.array_equal(second.curves[k], whole[k]) for k in second.curves)
    # they are the same runs still, in both directions, unless pictures that both have differ
    assert merge(Store(small.path), [big.path]) == (0, 2)
    assert merge(Store(big.path), [small.path]) == (0, 2)
    other = {name: first.curves[name] + np.float16(1.0) for name in PICTURES}
    changed = dataclasses.replace(first, curves=first.curves | other)
    assert not first.same_numbers(changed)
    assert first.same_numbers(changed.without_pictures())


class Other(Fake):
    """The same setting, other numbers."""

    def measure(self) -> dict:
        row = super().measure()
        return row | {"frechet": row["frechet"] * (1.0 + 1e-15)}


@pytest.mark.parametrize("other", [Other, Diverging])
def test_other_numbers_under_one_name_are_refused(other: type[Fake], tmp_path: Path) -> None:
    work: list[Setting] = [*TWO, dataclasses.replace(SMALL, seed=2)]
    target, file = Store(tmp_path / "a.h5"), Store(tmp_path / "b.h5")
    run(target, work[:2], Fake, quiet=True)
    run(file, work[1:], other, quiet=True)
    before = target.path.read_bytes()
    with pytest.raises(DataError, match=rf"{TWO[1].key}: .* hold different numbers"):
        merge(target, [file.path])
    assert target.path.read_bytes() == before
    with pytest.raises(DataError, match="no such store"):
        merge(target, [tmp_path / "missing.h5"])
    with target.filling(), pytest.raises(DataError, match="another process"):
        merge(Store(target.path), [file.path])


def test_a_merged_run_needs_no_checkpoint(tmp_path: Path) -> None:
    target, file = Store(tmp_path / "a.h5"), Store(tmp_path / "b.h5")
    seconds = itertools.count(0.0).__next__  # every look at the clock costs one
    assert run(target, TWO[:1], Fake, hours=5 / 3600, quiet=True, clock=seconds) == 1
    assert target.checkpoint(TWO[0]) is not None
    run(file, TWO[:1], Fake, quiet=True)
    assert merge(target, [file.path]) == (1, 0)
    assert target.checkpoint(TWO[0]) is None
    assert contents(target)
