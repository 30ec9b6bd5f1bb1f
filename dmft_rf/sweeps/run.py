"""Running a campaign: in order or spread over workers, in memory or into a file, and resumed.

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
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from dmft_rf._version import __version__
from dmft_rf.errors import DataError, ModelError, WorkerError, reason_of
from dmft_rf.files.ledger import Ledger
from dmft_rf.files.replace import check_output, remove_parts
from dmft_rf.files.results import git_commit
from dmft_rf.sweeps.campaign import Campaign, Job, Points, Result, Where
from dmft_rf.sweeps.workers import Pool, is_loss, starting

T = TypeVar("T")
Record: TypeAlias = Callable[[str, list[Result]], None]
Chunk: TypeAlias = tuple[str, tuple[int, ...]]  # name of a group, numbers of points in it
Done: TypeAlias = tuple[list[Result], float]  # of a job, and the seconds it took

# a task should take about this long: far above the cost of sending it and of entering its points
# in the ledger, far below a user's patience
_TASK_SECONDS = 0.2
_LARGEST_CHUNK = 256
# tasks per worker that are sent ahead: what bounds the memory of a campaign of any size
_AHEAD = 2
# workers may die this often in a row without finishing a point
_MOST_LOSSES = 5
# the file is renewed while the work goes on, at most this share of the time
_RENEWAL_SHARE = 0.02
_RENEWAL_SECONDS = 10.0
_ENDINGS = (".h5", ".hdf5")


def run(campaign: Campaign[T], where: Where) -> T:
    """Compute the points that a campaign misses, keep them in a file if there is one, and finish.

    Raises
    ------
    WorkerError
        If workers keep dying, or an executor computes nothing.
    DataError
        If the file belongs to something else (it is left alone), or it or the ledger cannot be
        written.
    ModelError
        If the work cannot be sent to another process, or ends the campaign by raising one.
    """
    if where.path is None:
        _compute(campaign, where)
    else:
        _compute_into(where.path, campaign, where)
    return campaign.result()


def identity(campaign: Campaign[Any], version: str, commit: str) -> dict[str, str]:
    """What must agree before points of one run are used by another."""
    return {"work": campaign.fingerprint, "package_version": version, "git_commit": commit}


def work(job: Job) -> Done:
    """Compute the points of a job."""
    start = time.perf_counter()
    return job.results(), time.perf_counter() - start


def work_sent(sent: bytes) -> Done:
    """As `work`, for a job that was sent to another process."""
    try:
        job = pickle.loads(sent)
    except Exception as error:
        raise ModelError(
            f"a worker process cannot load the model ({reason_of(error)}): an activation of your "
            "own must be a function at the top level of a module that workers can import, outside "
            'of `if __name__ == "__main__":`'
        ) from None
    return work(job)


# The points ------------------------------------------------------------------------------------


def _compute(
    campaign: Campaign[Any],
    where: Where,
    ledger: Ledger | None = None,
    renewal: Callable[[], None] | None = None,
) -> None:
    """Compute what is missing; finished points go to the ledger and are taken from it."""
    groups, progress = campaign.points, where.progress
    if ledger is not None:
        for name, content in ledger.records():
            group, _, point = name.rpartition("/")
            if group in groups:
                groups[group].take(point, content)
    total, left = campaign.size, campaign.missing

    def record(name: str, results: list[Result]) -> None:
        nonlocal left
        points = groups[name]
        if ledger is not None:
            ledger.add((f"{name}/{one[0]}", points.record(one)) for one in results)
        for one in results:
            points.put(one)
        left -= len(results)
        if progress is not None:
            progress(total - left, total)
        if renewal is not None:
            renewal()

    if progress is not None:
        progress(total - left, total)
    if left == 0:
        return
    if where.executor is None and where.workers is None:
        sizes = dict.fromkeys(groups, 1)
        for name, numbers in _chunks(groups, sizes):
            results, seconds = work(groups[name].job(numbers))
            record(name, results)
            sizes[name] = _next_size(sizes[name], len(results), seconds)
        return
    pool = Pool(where.workers, where.executor)
    with ExitStack() as stack:
        stack.callback(pool.end)
        if pool.own:
            stack.enter_context(starting())
        _spread(groups, pool, record)


def _chunks(groups: dict[str, Points], sizes: dict[str, int]) -> Iterator[Chunk]:
    """What is missing, group by group, in chunks of the current ``sizes``."""
    for name, points in groups.items():
        todo = points.missing()
        start = 0
        while start < len(todo):
            stop = start + sizes[name]
            yield name, tuple(todo[start:stop])
            start = stop


def _next_size(size: int, points: int, seconds: float) -> int:
    """How many points of a group the next task has, after one of ``points`` in ``seconds``."""
    wanted = _TASK_SECONDS * points / max(seconds, 1e-9)
    return max(1, min(_LARGEST_CHUNK, 2 * size, int(wanted)))


def _spread(groups: dict[str, Points], pool: Pool, record: Record) -> None:
    """Keep the workers of a pool busy until nothing is missing."""
    sizes = dict.fromkeys(groups, 1)
    fresh = _chunks(groups, sizes)
    again: deque[Chunk] = deque()  # of workers that died, and of tasks that failed
    sent: dict[Future[Done], Chunk] = {}
    refused: list[tuple[str, int, Exception]] = []
    losses = computed = 0  # how often workers were lost since a point was finished
    while True:
        while len(sent) < _AHEAD * pool.workers:
            chunk = again.popleft() if again else next(fresh, None)
            if chunk is None:
                break
            try:
                sent[_submitted(pool, groups[chunk[0]].job(chunk[1]))] = chunk
            except (ModelError, WorkerError):
                raise
            except Exception as error:
                if not is_loss(error):
                    raise WorkerError(f"the executor takes no work ({reason_of(error)})") from error
                again.appendleft(chunk)
                if not sent:
                    losses = _one_more(losses, error)
                    pool.renew(error)
                break
        if not sent:
            if again:
                continue
            break
        dead: BaseException | None = None
        ready = wait(sent, return_when=FIRST_COMPLETED).done
        if any(_broken(future) for future in ready):
            ready = wait(sent).done  # none of a dead pool will ever come
        for future in ready:
            name, numbers = sent.pop(future)
            try:
                results, seconds = future.result()
            except ModelError:
                raise
            except Exception as error:
                if is_loss(error):
                    dead = error
                if is_loss(error) or len(numbers) > 1:
                    # alone, so that one point takes no other with it
                    again.extend((name, (number,)) for number in numbers)
                else:
                    refused.append((name, numbers[0], error))
                continue
            losses = 0
            computed += len(results)
            record(name, results)
            sizes[name] = _next_size(sizes[name], len(results), seconds)
        if dead is not None:
            losses = _one_more(losses, dead)
            pool.renew(dead)
    if refused and not computed:
        first = refused[0][2]
        raise WorkerError(f"the executor computes nothing ({reason_of(first)})") from first
    for name, number, why in refused:
        record(name, [(number, None, reason_of(why))])


def _submitted(pool: Pool, job: Job) -> Future[Done]:
    if not pool.needs_pickle:
        return pool.submit(work, job)
    try:
        sent = pickle.dumps(job)
    except Exception as error:
        raise ModelError(job.cannot_be_sent(reason_of(error))) from None
    pool.check(sent)
    return pool.submit(work_sent, sent)


def _broken(future: Future[Any]) -> bool:
    return not future.cancelled() and isinstance(future.exception(), BrokenExecutor)


def _one_more(losses: int, error: BaseException) -> int:
    """One more loss of workers; WorkerError if there were too many in a row."""
    if losses + 1 >= _MOST_LOSSES:
        raise WorkerError(
            f"workers died {_MOST_LOSSES} times in a row without finishing a point "
            f"({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        ) from error
    return losses + 1


# The file --------------------------------------------------------------------------------------


def _compute_into(path: str | os.PathLike[str], campaign: Campaign[Any], where: Where) -> None:
    """Compute what is missing into the HDF5 file ``path``, or complete it."""
    start = time.perf_counter()
    has_file = _load(path, campaign, where.overwrite)
    if has_file and not campaign.missing:
        _compute(campaign, where)
        return
    with ExitStack() as stack:
        version = identity(campaign, __version__, git_commit())
        replace = where.overwrite and not has_file
        ledger = stack.enter_context(Ledger(ledger_path(path), version, replace=replace))
        stack.callback(ledger.remove_if_empty)
        # nobody else writes this file from here on; until here somebody may have
        remove_parts(path)
        campaign.clear()
        has_file = _load(path, campaign, where.overwrite)
        if has_file and not campaign.missing:
            ledger.remove()
            _compute(campaign, where)
            return

        def store() -> None:
            nonlocal has_file
            seconds = time.perf_counter() - start
            campaign.store(path, overwrite=where.overwrite or has_file, seconds=seconds)
            has_file = True

        try:
            _compute(campaign, where, ledger, _Renewal(store))
        except KeyboardInterrupt:
            with suppress(DataError):
                ledger.sync()
            raise
        store()
        ledger.remove()


class _Renewal:
    """Stores what there is from time to time, at a small share of the running time."""

    def __init__(self, store: Callable[[], None]):
        self._store = store
        self._next = time.monotonic() + _RENEWAL_SECONDS

    def __call__(self) -> None:
        start = time.monotonic()
        if start < self._next:
            return
        self._store()
        end = time.monotonic()
        self._next = end + max(_RENEWAL_SECONDS, (end - start) / _RENEWAL_SHARE)


def _load(path: str | os.PathLike[str], campaign: Campaign[Any], overwrite: bool) -> bool:
    """Enter the points that a file of this campaign holds; whether there is such a file."""
    if not os.path.lexists(path):
        check_output(path, endings=_ENDINGS)
        return False
    try:
        then = campaign.load(path)
    except DataError:
        if not overwrite:
            raise
        check_output(path, overwrite=True, endings=_ENDINGS)
        campaign.clear()
        return False
    now = (__version__, git_commit())
    if not campaign.missing:
        _remove_ledger(path, identity(campaign, *then))
    elif then != now and not overwrite:
        raise DataError(
            f"{os.fspath(path)}: was begun by version {' '.join(map(str, then))}, this is "
            f"{' '.join(now)}; complete it with the first or choose another file"
        )
    elif then != now:
        campaign.clear()
        return False
    return True


def _remove_ledger(path: str | os.PathLike[str], version: dict[str, str]) -> None:
    """Remove what a process has left that was killed when its file had just become complete.

    A ledger of anything else, or one that another process holds, is left alone; so is everything
    where nothing can be written.
    """
    place = ledger_path(path)
    if place.exists():
        with suppress(DataError, OSError), Ledger(place, version) as ledger:
            ledger.remove()


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
