"""Runs the missing cells of a list of cases in worker processes; only the parent writes."""

from __future__ import annotations

import math
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager

from validation.cases import Case
from validation.simulate import Cell, simulate
from validation.store import Store

_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def pending(store: Store, cases: list[Case]) -> list[tuple[Case, int, int]]:
    """Cells that are not finished, the large ones first."""
    todo = [
        (case, d, seed)
        for case in cases
        for d, seeds in case.sizes
        for seed in range(seeds)
        if not store.has(case, d, seed)
    ]
    return sorted(todo, key=lambda job: -_cost(job[0], job[1]))


def _cost(case: Case, d: int) -> float:
    """Floating-point operations of a cell, roughly.

    Eigenvectors, twelve orders of U, the noise draws, the activation, and 50 ms that every cell
    costs.
    """
    p, n = case.shape(d)
    m = case.model.noise_draws if math.isfinite(case.model.noise_draws) else 0.0
    return 10.0 * p**3 + (12.0 + m) * p * p * n + 1e3 * p * n + 1e9


def run(store: Store, cases: list[Case], workers: int = 1, quiet: bool = False) -> int:
    """Simulate what is missing, then merge the store.

    Parameters
    ----------
    store : Store
    cases : list of Case
    workers : int
        Processes; each uses a single thread of BLAS, so that results do not depend on the number.
    quiet : bool
        No progress on stderr.

    Returns
    -------
    int
        Number of cells that were simulated.
    """
    todo = pending(store, cases)
    if todo:
        progress = _Progress([_cost(case, d) for case, d, _ in todo], quiet)
        with _single_threaded(), _pool(workers) as pool:
            queue = iter(todo)
            running: dict[Future[Cell], float] = {}

            def submit() -> None:
                job = next(queue, None)
                if job is not None:
                    running[pool.submit(simulate, *job)] = _cost(job[0], job[1])

            # two jobs per worker in flight: a large queue would only hold results back
            for _ in range(2 * workers):
                submit()
            while running:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                # an error ends the run: what else has finished is kept first
                for future in sorted(done, key=lambda f: f.exception() is not None):
                    cost = running.pop(future)
                    cell = future.result()
                    store.add(cell)
                    progress.step(cost, cell.key)
                    submit()
        progress.close()
    if todo or store.journal.exists():
        store.merge(cases)
    return len(todo)


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Children start with one thread of BLAS each (it reads the environment once, at import)."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_die_with_parent)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _die_with_parent() -> None:
    """End this worker when the parent is gone, even if it was killed."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class _Progress:
    """One line on stderr: share of the work, time left, last cell."""

    def __init__(self, costs: list[float], quiet: bool):
        self._total, self._count = sum(costs), len(costs)
        self._spent, self._done = 0.0, 0
        self._start = time.monotonic()
        self._last = 0.0
        self._terminal = sys.stderr.isatty()
        self._quiet = quiet

    def step(self, cost: float, name: str) -> None:
        """Count one finished cell."""
        self._spent += cost
        self._done += 1
        now = time.monotonic()
        every = 0.2 if self._terminal else 15.0
        if self._quiet or (now - self._last < every and self._done < self._count):
            return
        self._last = now
        left = (now - self._start) * (self._total / self._spent - 1.0)
        line = (
            f"simulated {self._done}/{self._count} cells, {100 * self._spent / self._total:.0f} % "
            f"of the work, about {left:.0f} s left, last {name}"
        )
        print(f"\r{line:<100.100}" if self._terminal else line, end="" if self._terminal else "\n",
              file=sys.stderr, flush=True)  # fmt: skip

    def close(self) -> None:
        """End the line."""
        if self._terminal and not self._quiet:
            print(file=sys.stderr)
