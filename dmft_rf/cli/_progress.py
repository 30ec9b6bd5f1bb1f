"""What sweeping commands share: where to compute, and a bar with rate and remaining time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmft_rf._convert import whole
from dmft_rf.errors import ModelError

if TYPE_CHECKING:
    from dmft_rf.cli._options import OutputOptions, RunOptions

_MOST_WORKERS = 1024


@contextmanager
def running(run: RunOptions, output: OutputOptions, what: str) -> Iterator[dict[str, Any]]:
    """Give the arguments of a sweep that say where it is computed and kept."""
    with _computing(run) as place, progress(what) as advance, _keeping(output.out):
        kept = {"path": output.out, "overwrite": output.overwrite}
        yield {**place, **kept, "progress": advance}


@contextmanager
def _computing(run: RunOptions) -> Iterator[dict[str, Any]]:
    """Give the arguments ``executor`` and ``workers`` of a sweep."""
    places = {"--threads": run.threads, "--workers": run.workers, "--dask": run.dask}
    given = [name for name, value in places.items() if value is not None]
    if len(given) > 1:
        raise ModelError(f"{' and '.join(given)} exclude one another: points have one place")
    if run.workers is not None:
        whole(run.workers, "--workers", most=_MOST_WORKERS)
    if run.threads is not None:
        with _threads(whole(run.threads, "--threads", most=_MOST_WORKERS)) as executor:
            yield {"executor": executor}
    elif run.dask is not None:
        from dmft_rf.sweeps.workers import dask_executor

        with dask_executor(run.dask) as executor:
            yield {"executor": executor}
    else:
        yield {"workers": run.workers}


@contextmanager
def _threads(count: int) -> Iterator[Executor]:
    """Threads that end with the body: what they have not begun is left undone."""
    executor = ThreadPoolExecutor(count)
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr if it is a terminal: points, rate, remaining time."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )

    def rate(task: Task) -> str:
        return "" if task.speed is None else f"{task.speed:.3g}/s"

    class Rate(TextColumn):
        def render(self, task: Task) -> Any:
            task.fields["rate"] = rate(task)
            return super().render(task)

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None, rate="")
        first = True

        def advance(done: int, total: int) -> None:
            nonlocal first
            if first:  # what an earlier run has left counts as done, not as fast
                bar.reset(task, total=total, completed=done)
                first = False
            else:
                bar.update(task, completed=done)

        yield advance


@contextmanager
def _keeping(out: Path | None) -> Iterator[None]:
    """Say on an interruption where the finished points are."""
    try:
        yield
    except KeyboardInterrupt:
        if out is None:
            raise
        raise KeyboardInterrupt(
            f"finished points are kept beside {out}; the same command completes the rest"
        ) from None
