"""The store of simulated cells: nothing finished is ever lost, nothing foreign is touched."""

import contextlib
import os
import random
import signal
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import h5py
import numpy as np
import pytest

from dmft_rf import DataError, ScoreModel, WorkerError, __version__
from dmft_rf.files.replace import replacing_hdf5
from tests.helpers import sweeping
from tests.helpers.nursery import nursery
from validation.finite import runner
from validation.finite import store as store_module
from validation.finite.case import Case
from validation.finite.runner import pending, run
from validation.finite.simulate import Cell, simulate
from validation.finite.store import Store

TINY = Case("tiny", "for the tests", ScoreModel(0.3, 2.0, 1.0), ((6, 40), (8, 20)), (1.0, 10.0))

WORK = f"""
import dataclasses
from dmft_rf import ScoreModel
from validation.finite.case import Case
from validation.finite.runner import pending
from validation.finite.simulate import simulate
from validation.finite.store import Store

TINY = Case("tiny", "for the tests", ScoreModel(0.3, 2.0, 1.0), {TINY.sizes}, {TINY.judged})

def work(path):
    store = Store(path)
    with store.filling([TINY]):
        for job in pending(store, [TINY]):
            key = f"tiny.d{{job[1]}}.s{{job[2]}}"
            say("begin " + key)
            store.add(dataclasses.replace(simulate(*job), seconds=0.0))  # files can be compared
            say("safe " + key)
"""


def test_kill_at_random_moments_never_loses_a_finished_cell(tmp_path):
    with nursery(WORK) as started:
        kill_at_random_moments(tmp_path, started)


def kill_at_random_moments(tmp_path, started):
    undisturbed = tmp_path / "undisturbed.h5"
    assert started.run(undisturbed, None)[0] == 0
    expected = undisturbed.read_bytes()
    assert len(Store(undisturbed).cells) == sum(seeds for _, seeds in TINY.sizes)
    rng = random.Random(20)
    kills = files = 0
    while kills < 20:  # a run that comes to its end is followed by another one
        files += 1
        path = tmp_path / f"killed{files}.h5"
        safe: set[str] = set()
        status = -1
        while status != 0:
            there = set(Store(path).cells)
            assert safe <= there  # what was reported as safe is there
            status, lines = started.run(path, rng.uniform(0.0, 0.06) if kills < 20 else None)
            begun = {line[6:] for line in lines if line.startswith("begin ")}
            assert not begun & there  # nothing is computed twice
            safe |= there | {line[5:] for line in lines if line.startswith("safe ")}
            assert status in (0, signal.SIGKILL)
            kills += status != 0
        assert path.read_bytes() == expected
        assert not list(tmp_path.glob(f"{path.name}.*"))


def test_worker_processes_give_the_same_cells_and_resume(tmp_path):
    case = Case("tiny", "for the tests", TINY.model, ((6, 4), (8, 2)), TINY.judged)
    store = Store(tmp_path / "a.h5")
    with contextlib.suppress(ZeroDivisionError), store.filling([case]):
        store.add(simulate(case, 6, 1))
        raise ZeroDivisionError  # ends before the file is written
    before = store.cells["tiny.d6.s1"]
    assert run(store, [case], workers=2, quiet=True) == 5
    again = Store(tmp_path / "a.h5")
    assert pending(again, [case]) == []
    assert run(again, [case], workers=2, quiet=True) == 0
    np.testing.assert_array_equal(
        again.cells["tiny.d6.s1"].arrays["0/test"], before.arrays["0/test"]
    )
    assert [cell.key for cell in again.of(case)][:2] == ["tiny.d6.s0", "tiny.d6.s1"]
    with h5py.File(tmp_path / "a.h5") as file:
        assert {"validation_schema", "package_version", "git_commit", "versions"} <= set(file.attrs)
        assert file["tiny"].attrs["psi_p"] == 2.0
        assert file["tiny/d6.s1"].attrs["seed"] == 1


def test_what_has_finished_is_kept_when_another_cell_fails(tmp_path, monkeypatch):
    def fails(case, d, seed):
        if seed == 0:
            raise MemoryError
        return of(case, seed)

    class Threads(ThreadPoolExecutor):
        workers = 2

        def __init__(self, workers):
            super().__init__(workers)

        def end(self):
            self.shutdown()

    def all_of_them(running, return_when):
        return sorted(wait(running).done, key=lambda future: future.exception() is None), set()

    monkeypatch.setattr(runner, "simulate", fails)
    monkeypatch.setattr(runner, "Pool", Threads)
    monkeypatch.setattr(runner, "wait", all_of_them)
    with pytest.raises(MemoryError):
        run(Store(tmp_path / "a.h5"), [OTHER], workers=2, quiet=True)
    assert sorted(Store(tmp_path / "a.h5").cells) == ["other.d6.s1", "other.d6.s2"]


def die(case, d, seed):
    os._exit(9)


def test_a_worker_that_dies_is_one_error(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "simulate", die)
    with pytest.raises(WorkerError, match="a worker process has died"):
        run(Store(tmp_path / "a.h5"), [OTHER], workers=1, quiet=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["truncated", "text", "foreign", "later"])
def test_unusable_files_are_refused_and_left_alone(tmp_path, damage):
    path = tmp_path / "results.h5"
    fill(Store(path), [TINY], simulate(TINY, 6, 0))
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-700])
    elif damage == "text":
        path.write_text("notes on something else\n")
    elif damage == "foreign":
        with h5py.File(path, "w") as file:
            file["x"] = 1.0
    else:
        with replacing_hdf5(path, overwrite=True, start=path) as file:
            file.attrs["validation_schema"] = 99
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"results\.h5"):
        Store(path)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["results.h5"]


def test_a_foreign_ledger_is_refused_and_left_alone(tmp_path):
    store = Store(tmp_path / "results.h5")
    store.unfinished.write_text("notes on something else\n")
    for refused in (lambda: Store(store.path), lambda: fill(store, [])):
        with pytest.raises(DataError, match=r"results\.h5\.unfinished: is not"):
            refused()
    assert store.unfinished.read_text() == "notes on something else\n"


def test_cells_of_other_parameters_are_not_mixed_in(tmp_path):
    store = Store(tmp_path / "results.h5")
    fill(store, [TINY], simulate(TINY, 6, 0))
    other = Case("tiny", "", ScoreModel(0.4, 2.0, 1.0), ((6, 1),), TINY.judged)
    with pytest.raises(DataError, match="other parameters"):
        store.of(other)


def test_seeds_are_independent_and_reproducible():
    first, again, other = (simulate(TINY, 6, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.arrays["0/test"], again.arrays["0/test"])
    assert abs(first.arrays["0/test"][-1] - other.arrays["0/test"][-1]) > 1e-6


# -- several processes in one folder -----------------------------------------------------------

OTHER = Case("other", "", ScoreModel(0.4, 2.0, 1.0), ((6, 3),), TINY.judged)


def of(case: Case, seed: int) -> Cell:
    return Cell(case.name, 6, seed, case.fingerprint, {"x": np.full(3, float(seed))})


def fill(store: Store, cases: list[Case], *cells: Cell) -> None:
    with store.filling(cases):
        for one in cells:
            store.add(one)


def test_two_processes_write_one_after_the_other(tmp_path):
    """The second is refused while the first writes; nothing of either is lost."""
    path = tmp_path / "a.h5"
    first, second = Store(path), Store(path)
    with first.filling([TINY]):
        first.add(of(TINY, 0))
        with pytest.raises(DataError, match="another process is writing it"):
            fill(second, [OTHER], of(OTHER, 0))
        assert sorted(Store(path).cells) == ["tiny.d6.s0"]  # seen before the file is there
        first.add(of(TINY, 1))
    fill(second, [OTHER], of(OTHER, 0))
    assert sorted(Store(path).cells) == ["other.d6.s0", "tiny.d6.s0", "tiny.d6.s1"]
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


def test_cells_that_are_completed_while_they_are_read(tmp_path, monkeypatch):
    store = Store(tmp_path / "a.h5")
    with contextlib.suppress(ZeroDivisionError), store.filling([OTHER]):
        for seed in range(3):
            store.add(of(OTHER, seed))
        raise ZeroDivisionError
    read = store_module._read_all
    found = store_module.peek(store.unfinished, store_module._IDENTITY)

    def late(path, identity):
        yield from found
        fill(store, [OTHER])

    monkeypatch.setattr(store_module, "peek", late)
    assert len(Store(tmp_path / "a.h5").of(OTHER)) == 3
    assert len(read(tmp_path / "a.h5")) == 3
    assert not store.unfinished.exists()


def test_a_reader_does_not_stop_a_writer(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    store = Store(path)
    fill(store, [OTHER], of(OTHER, 0))
    read = store_module._read_cell

    def late(group):
        monkeypatch.setattr(store_module, "_read_cell", read)
        fill(store, [OTHER], of(OTHER, 1))
        return read(group)

    monkeypatch.setattr(store_module, "_read_cell", late)
    assert len(store_module._read_all(path)) == 1
    assert len(Store(path).cells) == 2


def test_a_later_version_and_other_cases_leave_old_groups_as_they_are(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    fill(Store(path), [TINY], of(TINY, 0))
    before = sweeping.contents(path)
    store = Store(path)
    with contextlib.suppress(ZeroDivisionError), store.filling([TINY]):
        store.add(of(TINY, 1))
        raise ZeroDivisionError
    monkeypatch.setattr(store_module, "__version__", "9.9")
    fill(Store(path), [OTHER], of(OTHER, 0))
    after = sweeping.contents(path)
    assert {name: after[name] for name in before if name[0] != "/"} == {
        name: value for name, value in before.items() if name[0] != "/"
    }
    cells = Store(path).cells
    versions = {key: cell.package_version for key, cell in cells.items()}
    assert versions == {"tiny.d6.s0": __version__, "tiny.d6.s1": __version__, "other.d6.s0": "9.9"}
    copy = Store(tmp_path / "copy.h5")
    fill(copy, [TINY], cells["tiny.d6.s0"])
    assert Store(tmp_path / "copy.h5").cells["tiny.d6.s0"].package_version == __version__


def test_half_written_files_of_a_killed_process_are_removed(tmp_path, monkeypatch):
    def kill(*_):
        raise SystemExit

    store = Store(tmp_path / "a.h5")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", kill)
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(SystemExit):
            fill(store, [OTHER], of(OTHER, 0))
    assert len([*tmp_path.glob(".*.part.*")]) == 1
    fill(Store(tmp_path / "a.h5"), [OTHER])
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]
    assert len(Store(tmp_path / "a.h5").cells) == 1
