"""Several runs at once, each in a process of its own with one thread; only this one writes.

A training step is too short for two threads to share. A worker trains one run after the other, so
that what it has compiled serves again; it hands checkpoints and the finished `Run` over through its
pipe. The parent alone holds and writes the store. Workers leave signals to it: it asks them to stop
by a word on the pipe, which they hear at the end of a stretch, when they send a checkpoint. A
parent that was killed takes its workers with it.

`dmft_rf.sweeps.workers.Pool` is not used: an executor that loses a worker ends the others on the
spot.
"""

import contextlib
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from dmft_rf import DataError, ModelError, WorkerError
from dmft_rf.sweeps.workers import begin_worker, single_threaded
from validation.networks.run.engine import Make, run, train
from validation.networks.run.plan import Setting
from validation.networks.run.progress import Progress
from validation.networks.run.stopping import SIGNALS, Stop
from validation.networks.run.store import Checkpoint, Store

_XLA, _ONE_THREAD = "XLA_FLAGS", "--xla_cpu_multi_thread_eigen"
# seconds between two looks at the time and at signals, and those that a worker has to stop in
_LOOK, _PATIENCE = 0.25, 120.0


def run_at_once(
    store: Store, settings: Sequence[Setting], make: Make, jobs: int,
    hours: float | None = None, quiet: bool = False,
) -> int:  # fmt: skip
    """As `validation.networks.run.engine.run`, ``jobs`` runs at a time.

    Parameters
    ----------
    jobs : int
        With 1 this process trains, with the threads it has.
    make : callable
        As there; can be pickled. What it imports is imported in the workers alone.

    Raises
    ------
    ModelError
        If ``jobs`` is below 1.
    DataError, KeyboardInterrupt
        As there; the other runs are stopped and leave checkpoints first.
    WorkerError
        If a worker dies or fails unexpectedly; the others are stopped in the same way.
    """
    if jobs < 1:
        raise ModelError(f"jobs is {jobs}; it must be 1 or more")
    if jobs == 1:
        return run(store, settings, make, hours, quiet)
    with store.filling(), Stop(hours) as stop:
        todo = [setting for setting in settings if not store.has(setting)]
        with Progress(todo, len(settings), quiet) as progress:
            crew = _Crew(store, make, progress)
            try:
                left = crew.work(todo, jobs, stop)
            except KeyboardInterrupt:
                crew.abandon()
                raise
            finally:
                crew.end()
        if left:
            stop.raise_if_signalled()
    return left


class _Crew:
    """The worker processes, and the run that each is training."""

    def __init__(self, store: Store, make: Make, progress: Progress):
        self._store, self._make, self._progress = store, make, progress
        self._processes: dict[Connection, Any] = {}
        self._at: dict[Connection, Setting] = {}

    def work(self, todo: Sequence[Setting], jobs: int, stop: Stop) -> int:
        """Train until nothing is left or it is time to stop; how many runs are left."""
        queue = list(reversed(todo))
        left = len(todo)
        with _one_thread_each():
            for _ in range(min(jobs, len(todo))):
                self._start()
        for pipe in list(self._processes):
            self._send(pipe, queue.pop())
        while self._at and not stop():
            for pipe in self._ready():
                if self._hear(pipe):
                    left -= 1
                    if queue:
                        self._send(pipe, queue.pop())
        return left - self._stop()

    def _ready(self) -> list[Connection]:
        """Those who have something to say."""
        ready: list[Any] = wait(list(self._at), _LOOK)
        return ready

    def abandon(self) -> None:
        """End everybody at once; what is lost is what came after the last checkpoints."""
        self._at.clear()
        for process in self._processes.values():
            process.kill()

    def end(self) -> None:
        """Stop who still works, let checkpoints be written, and see all processes end."""
        try:
            with contextlib.suppress(
                DataError, WorkerError
            ):  # the first error is the one that counts
                self._stop()
        finally:
            for pipe, process in self._processes.items():
                pipe.close()
                process.join(5.0)
                if process.is_alive():
                    process.kill()
                    process.join()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        mine, theirs = context.Pipe()
        process = context.Process(target=_worker, args=(theirs, self._make), daemon=True)
        # a signal to the whole group while the worker still starts would kill it
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        theirs.close()  # what is left of it is the worker's: the pipe ends when that dies
        self._processes[mine] = process

    def _send(self, pipe: Connection, setting: Setting) -> None:
        left = self._store.checkpoint(setting)
        self._at[pipe] = setting
        with contextlib.suppress(OSError):  # it is dead, as the next look at it shows
            pipe.send((setting, left))

    def _hear(self, pipe: Connection) -> bool:
        """Take one message in; whether a run has ended."""
        setting = self._at[pipe]
        try:
            kind, what = pipe.recv()
        except (EOFError, OSError):
            del self._at[pipe]
            process = self._processes[pipe]
            process.join(5.0)
            raise WorkerError(
                f"{setting.key}: its process has died (exit code {process.exitcode}); the others "
                "were stopped and left checkpoints"
            ) from None
        if kind == "step":
            self._progress.show(setting, what)
            return False
        if kind == "checkpoint":
            self._store.save(setting, what)
            return False
        del self._at[pipe]
        if kind == "ended":
            self._store.add(what)
            self._progress.ended(what)
        elif kind == "unfit":
            raise DataError(what)
        elif kind == "failed":
            raise WorkerError(f"{setting.key}: {what}")
        return bool(kind == "ended")

    def _stop(self) -> int:
        """Ask everybody to leave a checkpoint; how many runs ended instead."""
        for pipe in self._at:
            with contextlib.suppress(OSError):
                pipe.send(None)
        ended, first = 0, None
        until = time.monotonic() + _PATIENCE
        while self._at and time.monotonic() < until:
            for pipe in self._ready():
                try:
                    ended += self._hear(pipe)
                except (DataError, WorkerError) as error:
                    first = first or error
        self._at.clear()
        if first is not None:
            raise first
        return ended


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started in the body compute in one thread; what the user has set stays."""
    before = os.environ.get(_XLA)
    with single_threaded():
        if _ONE_THREAD not in (before or ""):
            os.environ[_XLA] = f"{before or ''} {_ONE_THREAD}=false".strip()
        try:
            yield
        finally:
            if before is None:
                os.environ.pop(_XLA, None)
            else:
                os.environ[_XLA] = before


def _worker(pipe: Connection, make: Make) -> None:
    """Train what comes through the pipe until it says None or ends."""
    begin_worker()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def show(_: Setting, step: int) -> None:
        pipe.send(("step", step))

    def save(checkpoint: Checkpoint) -> None:
        pipe.send(("checkpoint", checkpoint))

    with contextlib.suppress(EOFError, OSError):  # the parent has gone
        while (work := pipe.recv()) is not None:
            message: tuple[str, Any]
            try:
                setting, left = work
                ended = train(setting, make, left, save, pipe.poll, show)
                message = ("stopped", None) if ended is None else ("ended", ended)
            except DataError as error:
                message = ("unfit", str(error))
            except Exception:
                message = ("failed", traceback.format_exc().strip())
            pipe.send(message)
