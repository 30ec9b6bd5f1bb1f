"""Running the points of one or several plans: in order or spread over workers, and resumed.

Whatever happens, a point that was finished is in the journal, and a point's values do not depend on
where, in which order or beside which others it was computed.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dmft_rf._interrupt import recognized
from dmft_rf._journal import Entry, Journal
from dmft_rf.errors import ModelError, WorkerError
from dmft_rf.plans import Job, Plan, apply
from dmft_rf.points import attempt, unpacked
from dmft_rf.workers import Pool, is_loss, single_threaded

Array = NDArray[np.float64]
Progress: TypeAlias = Callable[[int, int], None]
Shapes: TypeAlias = dict[str, tuple[int, ...]]
Chunk: TypeAlias = tuple[int, tuple[int, ...]]  # number of the plan, indices of points

MISSING, DONE, FAILED = 0, 1, 2

# a task should take about this long: far above the cost of sending it, far below a user's patience
_TASK_SECONDS = 0.2
_LARGEST_CHUNK = 256
# tasks per worker that are sent ahead: what bounds the memory of a sweep of any size
_AHEAD = 2
# workers may die this often in a row without finishing a point
_STRIKES = 5


class Table:
    """Values of all points of a plan.

    Attributes
    ----------
    rows : array (size, width)
        Packed values, nan where a point is missing or failed.
    status : uint8 array (size,)
        MISSING, DONE or FAILED.
    reasons : dict
        Why, by index of a failed point.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        self.shapes: Shapes = plan.request.shapes(plan.most_atoms)
        width = sum(int(np.prod(shape, dtype=np.int64)) for shape in self.shapes.values())
        self.rows: Array = np.full((plan.size, width), np.nan)
        self.status = np.zeros(plan.size, dtype=np.uint8)
        self.reasons: dict[int, str] = {}

    def put(self, index: int, values: Array, reason: str = "") -> None:
        """Enter a finished point."""
        if reason:
            self.reasons[index] = reason
            self.status[index] = FAILED
        else:
            self.rows[index] = values
            self.status[index] = DONE

    @property
    def missing(self) -> int:
        """Number of points that are neither done nor failed."""
        return int(np.count_nonzero(self.status == MISSING))

    def quantities(self) -> dict[str, Array]:
        """Arrays by name, shaped like the plan and then like the quantity."""
        shape = self.plan.shape
        return {
            name: array.reshape(shape + array.shape[1:])
            for name, array in unpacked(self.rows, self.shapes).items()
        }


@dataclass(frozen=True)
class Campaign:
    """Plans that are run together, with one journal.

    Parameters
    ----------
    plans : dict of Plan
        By name, in the order in which they are run.
    """

    plans: dict[str, Plan]

    @property
    def fingerprint(self) -> str:
        """Identity of everything that decides a number."""
        text = "\n".join(f"{name} {plan.fingerprint}" for name, plan in self.plans.items())
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def tables(self) -> dict[str, Table]:
        """Empty tables."""
        return {name: Table(plan) for name, plan in self.plans.items()}

    def identity(self, version: str, commit: str) -> dict[str, str]:
        """What must agree before points of one run are used by another."""
        return {"work": self.fingerprint, "package_version": version, "git_commit": commit}

    def run(
        self,
        tables: dict[str, Table],
        *,
        journal: Journal | None = None,
        executor: Executor | None = None,
        workers: int | None = None,
        progress: Progress | None = None,
        recorded: Callable[[], None] | None = None,
    ) -> None:
        """Compute the points that ``tables`` miss.

        Parameters
        ----------
        tables : dict of Table
            Filled; points that the journal holds are taken from it.
        journal : Journal, optional
            Where finished points are kept.
        executor : concurrent.futures.Executor, optional
            Computes the points; this process by default.
        workers : int, optional
            Own worker processes in its place.
        progress : callable, optional
            Called with the points finished and their total, after each batch.
        recorded : callable, optional
            Called after each batch.

        Raises
        ------
        WorkerError
            If workers keep dying.
        DataError
            If the journal cannot be written.
        ModelError
            If the work cannot be sent to another process.
        """
        ordered = list(tables.values())
        if journal is not None:
            for entry in journal.entries:
                ordered[entry.plan].put(entry.index, entry.values, entry.reason)
        total = sum(table.plan.size for table in ordered)
        left = sum(table.missing for table in ordered)

        def record(plan: int, results: list[tuple[int, Array | None, str]]) -> None:
            nonlocal left
            nothing = np.empty(0)
            entries = [
                Entry(plan, index, nothing if values is None else values, reason)
                for index, values, reason in results
            ]
            if journal is not None:
                journal.add(entries)
            for entry in entries:
                ordered[plan].put(entry.index, entry.values, entry.reason)
            left -= len(entries)
            if progress is not None:
                progress(total - left, total)
            if recorded is not None:
                recorded()

        if progress is not None:
            progress(total - left, total)
        if left == 0:
            return
        if executor is None and workers is None:
            for number, indices in _chunks(ordered, [1] * len(ordered)):
                with recognized():
                    results, _ = work(ordered[number].plan.job(indices), ordered[number].shapes)
                record(number, results)
            return
        pool = Pool(workers, executor)
        with ExitStack() as stack:
            stack.callback(pool.end)
            if pool.own:
                stack.enter_context(single_threaded())
            _spread(ordered, pool, record)


def work(job: Job, shapes: Shapes) -> tuple[list[tuple[int, Array | None, str]], float]:
    """Compute the points of a job: (index, values or None, reason) of each, and the seconds."""
    start = time.perf_counter()
    results: list[tuple[int, Array | None, str]] = []
    for index, values in job.points:
        try:
            model, rule = apply(job.model, job.rule, values)
        except ModelError as error:
            results.append((index, None, f"ModelError: {' '.join(str(error).split())}"))
            continue
        results.append((index, *attempt(model, rule, job.request, shapes)))
    return results, time.perf_counter() - start


def _chunks(tables: list[Table], sizes: list[int]) -> Iterator[Chunk]:
    """What is missing, plan by plan, in chunks of the current ``sizes``."""
    for number, table in enumerate(tables):
        todo = np.flatnonzero(table.status == MISSING)
        start = 0
        while start < todo.size:
            stop = start + sizes[number]
            yield number, tuple(todo[start:stop].tolist())
            start = stop


def _spread(
    tables: list[Table],
    pool: Pool,
    record: Callable[[int, list[tuple[int, Array | None, str]]], None],
) -> None:
    """Keep the workers of a pool busy until nothing is missing."""
    sizes = [1] * len(tables)
    fresh = _chunks(tables, sizes)
    again: deque[Chunk] = deque()  # of workers that died
    flight: dict[Future[tuple[list[tuple[int, Array | None, str]], float]], Chunk] = {}
    strikes = 0
    checked = not pool.needs_pickle
    while True:
        while len(flight) < _AHEAD * pool.workers:
            chunk = again.popleft() if again else next(fresh, None)
            if chunk is None:
                break
            table = tables[chunk[0]]
            job = table.plan.job(chunk[1])
            if not checked:
                _require_pickle(job)
                checked = True
            try:
                flight[pool.executor.submit(work, job, table.shapes)] = chunk
            except Exception as error:
                if not is_loss(error):
                    raise
                again.appendleft(chunk)
                if not flight:
                    strikes = _strike(strikes, error)
                    pool.renew(error)
                break
        if not flight:
            if again:
                continue
            return
        dead: BaseException | None = None
        ready = wait(flight, return_when=FIRST_COMPLETED).done
        if any(_broken(future) for future in ready):
            ready = wait(flight).done  # none of a dead pool will ever come
        for future in ready:
            number, indices = flight.pop(future)
            try:
                results, seconds = future.result()
            except Exception as error:
                if not is_loss(error):
                    raise
                dead = error
                # alone, so that a point that kills its worker takes no other with it
                again.extend((number, (index,)) for index in indices)
                continue
            strikes = 0
            record(number, results)
            wanted = _TASK_SECONDS * len(results) / max(seconds, 1e-9)
            sizes[number] = max(1, min(_LARGEST_CHUNK, 2 * sizes[number], int(wanted)))
        if dead is not None:
            strikes = _strike(strikes, dead)
            pool.renew(dead)


def _broken(future: Future[Any]) -> bool:
    return not future.cancelled() and isinstance(future.exception(), BrokenExecutor)


def _strike(strikes: int, error: BaseException) -> int:
    if strikes + 1 >= _STRIKES:
        raise WorkerError(
            f"workers died {_STRIKES} times in a row without finishing a point "
            f"({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        ) from error
    return strikes + 1


def _require_pickle(job: Job) -> None:
    try:
        pickle.dumps(job)
    except Exception as error:
        name = getattr(job.model.activation, "name", job.model.activation)
        raise ModelError(
            f"the model cannot be sent to another process ({' '.join(str(error).split())}): an "
            f"activation like {name!r} must be a function at the top level of a module, no lambda"
        ) from None


def journal_path(path: str | os.PathLike[str]) -> Path:
    """Where the finished points of an unfinished file are kept."""
    place = Path(os.path.realpath(path))
    return place.with_name(place.name + ".points")
