"""Runs the missing cells of a list of cases in worker processes; only the parent writes."""

import math
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack

from dmft_rf import WorkerError
from dmft_rf.sweeps.workers import Pool, is_loss, starting
from validation.common.command import bar
from validation.finite.case import Case
from validation.finite.simulate import Cell, simulate
from validation.finite.store import Store


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


def run(
    store: Store,
    cases: list[Case],
    workers: int | None = 1,
    quiet: bool = False,
    known: Mapping[str, Cell] | None = None,
) -> int:
    """Simulate what is missing and write the store.

    Parameters
    ----------
    store : Store
    cases : list of Case
    workers : int or None
        Processes; each uses a single thread of BLAS, so that results do not depend on the number.
        None: this process, with the threads that it has.
    quiet : bool
        No progress on stderr.
    known : mapping of str to Cell, optional
        Cells of another store by key; those that fit are taken from it.

    Returns
    -------
    int
        Number of cells that were simulated.

    Raises
    ------
    DataError
        If the store cannot be written or another process is writing it.
    WorkerError
        If a worker process dies. Finished cells are kept, as after any other error.
    """
    if not pending(store, cases) and not store.unfinished.exists():
        return 0
    with store.filling(cases):
        for case, d, seed in pending(store, cases):
            cell = (known or {}).get(f"{case.name}.d{d}.s{seed}")
            if cell is not None and cell.fingerprint == case.fingerprint:
                store.add(cell)
        todo = pending(store, cases)
        done = 0
        with ExitStack() as stack:
            show = stack.enter_context(bar("cells", quiet=quiet or not todo))

            def finished(cell: Cell) -> None:
                nonlocal done
                store.add(cell)
                done += 1
                show(done, len(todo))

            show(done, len(todo))
            if workers is None:
                for job in todo:
                    finished(simulate(*job))
            elif todo:
                pool = Pool(workers)
                stack.callback(pool.end)
                stack.enter_context(starting())
                _spread(todo, pool, finished)
    return len(todo)


def _spread(
    todo: list[tuple[Case, int, int]], pool: Pool, finished: Callable[[Cell], None]
) -> None:
    """Keep the workers busy until every cell is finished, or one fails."""
    queue = iter(todo)
    running: set[Future[Cell]] = set()
    while True:
        # two jobs per worker in flight: a large queue would only hold results back
        while len(running) < 2 * pool.workers and (job := next(queue, None)) is not None:
            running.add(pool.submit(simulate, *job))
        if not running:
            return
        done, running = wait(running, return_when=FIRST_COMPLETED)
        # an error ends the run: what else has finished is kept first
        for future in sorted(done, key=lambda one: one.exception() is not None):
            error = future.exception()
            if error is not None and is_loss(error):
                raise WorkerError("a worker process has died; finished cells are kept") from error
            finished(future.result())
