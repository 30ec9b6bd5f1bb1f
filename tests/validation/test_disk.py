"""A disk that is full: the old files stay, nothing half written does, and the error says why."""

import contextlib
import dataclasses
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dmft_rf import DataError
from dmft_rf.files.results import git_commit
from figures.numbers import Numbers
from tests.helpers.fake_training import SMALL
from validation import golden
from validation.benchmark import report as benchmark
from validation.compare.compare import Verdict
from validation.compare.report import Report
from validation.finite.simulate import Cell
from validation.finite.store import Store
from validation.networks.run.store import Checkpoint, Run
from validation.networks.run.store import Store as NetworkStore

Write = Callable[[Path, int], None]


def array(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(3000)


def numbers(folder: Path, seed: int) -> None:
    Numbers({f"a{i}": array(seed) for i in range(3)}).save(folder / "figure.h5")


def cells(folder: Path, seed: int) -> None:
    store = Store(folder / "a.h5")
    with store.filling([]):
        store.add(Cell("case", 6, seed, "", {"x": array(seed)}))


def run(folder: Path, seed: int) -> None:
    setting = dataclasses.replace(SMALL, seed=seed)
    store = NetworkStore(folder / "a.h5")
    with store.filling():
        store.add(Run(setting, {"step": array(seed)}, {"ended": "steps"}))


def checkpoint(folder: Path, seed: int) -> None:
    store = NetworkStore(folder / "a.h5")
    with store.filling():
        store.save(SMALL, Checkpoint(1, 1.0, {}, [array(seed)] * 3, "digest"))


def values(folder: Path, seed: int) -> None:
    golden._write(folder / "library.h5", {f"a/{i}": array(seed) for i in range(3)})


def table(folder: Path, seed: int) -> None:
    benchmark.write(f"{seed}" * 30_000, folder / "page.md")


def report(folder: Path, seed: int) -> None:
    class Short(Report):
        def _sections(self) -> list[str]:
            return [f"{seed}" * 30_000]

    Short("quick", Verdict([])).write(folder)


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def outcome(write: Write, folder: Path, limit: int) -> int:
    """Exit status of a process whose files may not grow beyond the limit: 3 if it is told."""
    child = os.fork()
    if child == 0:
        signal.alarm(300)  # it fails rather than hangs
        status = 1
        with contextlib.suppress(BaseException):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            try:
                write(folder, 2)
            except DataError as error:
                status = 3 if "cannot be written" in str(error) else 2
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


# the threads of who runs the tests hold nothing that the child needs
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("write", [numbers, cells, run, checkpoint, values, table, report])
def test_files(write: Write, there: bool, tmp_path: Path) -> None:
    git_commit()  # is remembered: the limited processes need not ask git
    if there:
        write(tmp_path, 1)
    before = files(tmp_path)
    for limit in (0, 1000, 5000, 20_000):
        assert outcome(write, tmp_path, limit) == 3
        assert files(tmp_path) == before
    write(tmp_path, 2)
    assert files(tmp_path) != before
