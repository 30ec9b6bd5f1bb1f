"""Running the points of one or several plans: in order or spread over workers, and resumed.

Whatever happens, a point that was finished is in the ledger, and a point's values do not depend on
where, in which order or beside which others it was computed. Whatever an exception ends a point is
its reason, and the others go on.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dmft_rf._convert import shown
from dmft_rf._interrupt import recognized
from dmft_rf._paths import path_of
from dmft_rf.errors import ModelError, WorkerError
from dmft_rf.sweeps.plan import Job, Plan, Values, apply
from dmft_rf.sweeps.quantities import packed_values, reason_of
from dmft_rf.sweeps.tables import MISSING, Result, Shapes, Table
from dmft_rf.sweeps.workers import Pool, checked_workers, is_loss, starting

if TYPE_CHECKING:
    from dmft_rf.files.ledger import Ledger

Progress: TypeAlias = Callable[[int, int], None]
Array = NDArray[np.float64]
Record: TypeAlias = Callable[[int, list[Result]], None]
Chunk: TypeAlias = tuple[int, tuple[int, ...]]  # number of the plan, indices of points
Done: TypeAlias = tuple[list[Result], float]  # of a job, and the seconds it took

# a task should take about this long: far above the cost of sending it, far below a user's patience
_TASK_SECONDS = 0.2
_LARGEST_CHUNK = 256
# tasks per worker that are sent ahead: what bounds the memory of a sweep of any size
_AHEAD = 2
# workers may die this often in a row without finishing a point
_STRIKES = 5


@dataclass(frozen=True)
class Campaign:
    """Plans that are run together, with one ledger.

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
        ledger: Ledger | None = None,
        executor: Executor | None = None,
        workers: int | None = None,
        progress: Progress | None = None,
        recorded: Callable[[], None] | None = None,
    ) -> None:
        """Compute the points that ``tables`` miss.

        Parameters
        ----------
        tables : dict of Table
            Filled; points that the ledger holds are taken from it.
        ledger : Ledger, optional
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
            If workers keep dying, or an executor computes nothing.
        DataError
            If the ledger cannot be written.
        ModelError
            If the work cannot be sent to another process, or an activation is not what it was when
            the sweep was stated.
        """
        ordered, names = list(tables.values()), list(tables)
        if ledger is not None:
            for name, content in ledger.records():
                plan, _, index = name.rpartition("/")
                if plan in tables and index.isdecimal():
                    tables[plan].take(int(index), content)
        total = sum(table.plan.size for table in ordered)
        left = sum(table.missing for table in ordered)

        def record(number: int, results: list[Result]) -> None:
            nonlocal left
            table, name = ordered[number], names[number]
            if ledger is not None:
                ledger.add((f"{name}/{one[0]}", table.record(one)) for one in results)
            for one in results:
                table.put(one)
            left -= len(results)
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
                results, _ = work(ordered[number].plan.job(indices), ordered[number].shapes)
                record(number, results)
            return
        pool = Pool(workers, executor)
        with ExitStack() as stack:
            stack.callback(pool.end)
            if pool.own:
                stack.enter_context(starting())
            _spread(ordered, pool, record)


def work(job: Job, shapes: Shapes) -> Done:
    """Compute the points of a job, each with its values or the reason why it has none.

    Raises
    ------
    ModelError
        If an activation gives other values here than where the sweep was stated.
    """
    start = time.perf_counter()
    results: list[Result] = []
    for index, values in job.points:
        try:
            # numpy's own settings, as in a fresh process: the user may have chosen others in this
            with recognized(), np.errstate(all="warn", under="ignore"):
                results.append((index, _packed_point(job, values, shapes), ""))
        except _OtherActivation as error:
            raise ModelError(str(error)) from None
        except Exception as error:
            results.append((index, None, reason_of(error)))
    return results, time.perf_counter() - start


def work_sent(sent: bytes) -> Done:
    """As `work`, for a job that was sent to another process."""
    try:
        job, shapes = pickle.loads(sent)
    except Exception as error:
        raise ModelError(
            f"a worker process cannot load the model ({reason_of(error)}): an activation of your "
            "own must be a function at the top level of a module that workers can import, outside "
            'of `if __name__ == "__main__":`'
        ) from None
    return work(job, shapes)


class _OtherActivation(Exception):
    """An activation that is not the one that the sweep was stated with."""


def _packed_point(job: Job, values: Values, shapes: Shapes) -> Array:
    """The values of a point, or whatever it raises."""
    stated = values.get("activation", job.model.activation)
    same = True
    try:
        model, rule = apply(job.model, job.rule, values)
        same = model.activation == stated
        found = packed_values(model, rule, job.request, shapes)
    except Exception:
        _require_unchanged(stated, same)
        raise
    _require_unchanged(stated, same)
    return found


def _require_unchanged(stated: Any, same: bool) -> None:
    """Raise _OtherActivation if it is known not to be the ``same``, or has changed meanwhile."""
    try:
        same = same and stated.restated() == stated
    except ModelError:
        same = False
    if not same:
        raise _OtherActivation(
            f"activation {stated.name!r} gives other values than when the sweep was stated: what "
            "it reads has changed since, or is different in a worker process. Make it a function "
            "of its argument alone, another one for another parameter"
        )


def _chunks(tables: list[Table], sizes: list[int]) -> Iterator[Chunk]:
    """What is missing, plan by plan, in chunks of the current ``sizes``."""
    for number, table in enumerate(tables):
        todo = np.flatnonzero(table.status == MISSING)
        start = 0
        while start < todo.size:
            stop = start + sizes[number]
            yield number, tuple(todo[start:stop].tolist())
            start = stop


def _spread(tables: list[Table], pool: Pool, record: Record) -> None:
    """Keep the workers of a pool busy until nothing is missing."""
    sizes = [1] * len(tables)
    fresh = _chunks(tables, sizes)
    again: deque[Chunk] = deque()  # of workers that died, and of tasks that failed
    flight: dict[Future[Done], Chunk] = {}
    refused: list[tuple[int, int, Exception]] = []
    strikes = computed = 0
    while True:
        while len(flight) < _AHEAD * pool.workers:
            chunk = again.popleft() if again else next(fresh, None)
            if chunk is None:
                break
            try:
                flight[_submitted(pool, tables[chunk[0]], chunk[1])] = chunk
            except (ModelError, WorkerError):
                raise
            except Exception as error:
                if not is_loss(error):
                    raise WorkerError(f"the executor takes no work ({reason_of(error)})") from error
                again.appendleft(chunk)
                if not flight:
                    strikes = _strike(strikes, error)
                    pool.renew(error)
                break
        if not flight:
            if again:
                continue
            break
        dead: BaseException | None = None
        ready = wait(flight, return_when=FIRST_COMPLETED).done
        if any(_broken(future) for future in ready):
            ready = wait(flight).done  # none of a dead pool will ever come
        for future in ready:
            number, indices = flight.pop(future)
            try:
                results, seconds = future.result()
            except ModelError:
                raise
            except Exception as error:
                if is_loss(error):
                    dead = error
                if is_loss(error) or len(indices) > 1:
                    # alone, so that one point takes no other with it
                    again.extend((number, (index,)) for index in indices)
                else:
                    refused.append((number, indices[0], error))
                continue
            strikes = 0
            computed += len(results)
            record(number, results)
            wanted = _TASK_SECONDS * len(results) / max(seconds, 1e-9)
            sizes[number] = max(1, min(_LARGEST_CHUNK, 2 * sizes[number], int(wanted)))
        if dead is not None:
            strikes = _strike(strikes, dead)
            pool.renew(dead)
    if refused and not computed:
        first = refused[0][2]
        raise WorkerError(f"the executor computes nothing ({reason_of(first)})") from first
    for number, index, why in refused:
        record(number, [(index, None, reason_of(why))])


def _submitted(pool: Pool, table: Table, indices: tuple[int, ...]) -> Future[Done]:
    job = table.plan.job(indices)
    if not pool.needs_pickle:
        return pool.submit(work, job, table.shapes)
    try:
        sent = pickle.dumps((job, table.shapes))
    except Exception as error:
        name = getattr(job.model.activation, "name", job.model.activation)
        raise ModelError(
            f"the model cannot be sent to another process ({reason_of(error)}): an "
            f"activation like {name!r} must be a function at the top level of a module, no lambda"
        ) from None
    pool.check(sent)
    return pool.submit(work_sent, sent)


def _broken(future: Future[Any]) -> bool:
    return not future.cancelled() and isinstance(future.exception(), BrokenExecutor)


def _strike(strikes: int, error: BaseException) -> int:
    if strikes + 1 >= _STRIKES:
        raise WorkerError(
            f"workers died {_STRIKES} times in a row without finishing a point "
            f"({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        ) from error
    return strikes + 1


def ledger_path(path: str | os.PathLike[str]) -> Path:
    """Where the finished points of an unfinished file are kept: beside it, FILE.points.

    Where that name would be too long, a short one that is made of it.
    """
    place = Path(os.path.realpath(path))
    name = place.name + ".points"
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = f".{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}.points"
    return place.with_name(name)


# less than the 255 bytes that most file systems take, for SQLite's file beside it
_LONGEST_NAME = 240


def checked_call(
    path: Any, executor: Any, workers: Any, progress: Any, extra: Any = None
) -> int | None:
    """The number of own workers; called before anything is done.

    Raises
    ------
    ModelError
        If one of what sweeps share is not what it must be.
    DataError
        If ``path`` cannot be the name of a file.
    """
    found = checked_workers(workers, executor)
    if path is not None:
        path_of(path)
    if progress is not None and not callable(progress):
        raise ModelError(f"progress is {shown(progress)}; it must be a function of two numbers")
    if extra is not None and not isinstance(extra, Mapping):
        raise ModelError(f"extra is {shown(extra)}; it must be a mapping of names to values")
    return found
