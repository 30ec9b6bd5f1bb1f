"""One run from its checkpoint to its end, and the loop over runs in this process.

What trains is handed in, so that nothing here needs JAX.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dmft_rf import DataError
from validation.common.hdf5 import versions
from validation.networks.run.plan import Setting
from validation.networks.run.progress import Progress
from validation.networks.run.stopping import Stop
from validation.networks.run.store import DIVERGED, Checkpoint, Run, Store

Row = dict[str, NDArray[Any]]
Clock = Callable[[], float]

# seconds of work that a kill may cost, and seconds of a stretch of training without a look around
_SAVE, _STRETCH = 60.0, 10.0


class Diverged(DataError):
    """A loss or a generated sample is not finite: the run has no result."""


class Trains(Protocol):
    """What the loop needs of a trainer; see `validation.networks.run.trainer.Trainer`."""

    step: int

    def advance(self, to: int) -> None:
        """Train up to a step."""

    def measure(self) -> Row:
        """One row of every curve; `Diverged` if there is none."""

    def state(self) -> list[NDArray[Any]]:
        """Arrays of a checkpoint."""

    def restore(self, step: int, leaves: list[NDArray[Any]]) -> None:
        """Go on from a checkpoint."""

    def facts(self) -> dict[str, Any]:
        """What to write down besides the setting; holds ``digest``."""


Make = Callable[[Setting], Trains]


def run(
    store: Store, settings: Sequence[Setting], make: Make, hours: float | None = None,
    quiet: bool = False, clock: Clock = time.monotonic,
) -> int:  # fmt: skip
    """Finish what is missing, in order; returns how many runs are left.

    Parameters
    ----------
    store : Store
    settings : sequence of Setting
    make : callable
        Setting -> trainer at step 0.
    hours : float, optional
        Stop after this time; what is under way is kept as a checkpoint.
    quiet : bool
        No progress on stderr.
    clock : callable
        Seconds, monotonic.

    Raises
    ------
    DataError
        If the store or a checkpoint does not fit, or a run cannot be trained.
    KeyboardInterrupt
        After a signal, when what is under way has been kept as a checkpoint.
    """
    with store.filling(), Stop(hours, clock) as stop:
        todo = [setting for setting in settings if not store.has(setting)]
        with Progress(todo, len(settings), quiet, clock) as progress:
            for i, setting in enumerate(todo):
                ended = None
                if not stop():
                    left, save = store.checkpoint(setting), partial(store.save, setting)
                    ended = train(setting, make, left, save, stop, progress.show, clock)
                if ended is None:
                    stop.raise_if_signalled()
                    return len(todo) - i
                store.add(ended)
                progress.ended(ended)
    return 0


def train(
    setting: Setting,
    make: Make,
    left: Checkpoint | None,
    save: Callable[[Checkpoint], None],
    stop: Callable[[], bool],
    show: Callable[[Setting, int], None],
    clock: Clock = time.monotonic,
) -> Run | None:
    """Bring one run to its end; None if ``stop()`` became true and a checkpoint was saved.

    Parameters
    ----------
    setting : Setting
    make : callable
        Setting -> trainer at step 0.
    left : Checkpoint or None
        Where the run was left.
    save : callable
        Keeps a checkpoint: once a minute, and before it stops.
    stop : callable
        Asked after every stretch.
    show : callable
        Called with the setting and its step after every stretch.
    clock : callable
        Seconds, monotonic.

    Returns
    -------
    Run or None
        A run that diverges is a result too, with the curves up to there.

    Raises
    ------
    DataError
        If the checkpoint does not fit or the run cannot be trained.
    """
    trainer = make(setting)
    digest = str(trainer.facts()["digest"])
    rows: list[Row] = []
    before = 0.0
    if left is not None:
        if left.digest != digest:
            raise DataError(f"{setting.key}: its checkpoint was trained on other data")
        trainer.restore(left.step, left.leaves)
        rows = unstack(left.curves)
        before = left.seconds
    start = saved = clock()

    measured = {int(row["step"]) for row in rows}
    pace = 1.0  # steps per second; learned from a first short stretch
    end = "memorized" if ended_early(setting, rows) else "steps"
    reason = {}
    for target in setting.grid:
        if end == "memorized":
            break
        while trainer.step < target:
            began, first = clock(), trainer.step
            trainer.advance(min(int(target), first + max(1, int(pace * _STRETCH))))
            pace = (trainer.step - first) / max(clock() - began, 1e-9)
            show(setting, trainer.step)
            stopping = stop()
            if stopping or clock() - saved > _SAVE:
                seconds = before + clock() - start
                save(Checkpoint(trainer.step, seconds, stack(rows), trainer.state(), digest))
                saved = clock()
            if stopping:
                return None
        if trainer.step == target and int(target) not in measured:
            try:
                rows.append(trainer.measure())
            except Diverged as error:
                end, reason = DIVERGED, {"reason": str(error)}
                break
            end = "memorized" if ended_early(setting, rows) else "steps"
    facts = {
        **versions(), **trainer.facts(), **reason, "seconds": before + clock() - start,
        "ended": end,
    }  # fmt: skip
    return Run(setting, stack(rows), facts)


def ended_early(setting: Setting, rows: list[Row]) -> bool:
    """Whether loss ratio and memorized fraction were beyond their limits twice in a row."""

    def beyond(row: Row) -> bool:
        ratio = float(row["test"][0] / row["train"][0])
        fraction = float(row["memorized"][0]) if "memorized" in row else np.inf
        return ratio >= setting.stop_ratio and fraction >= setting.stop_memorized

    return len(rows) > 1 and beyond(rows[-1]) and beyond(rows[-2])


def stack(rows: list[Row]) -> Row:
    """Curves from rows: one more axis, in front."""
    return {name: np.stack([row[name] for row in rows]) for name in (rows[0] if rows else ())}


def unstack(curves: Row) -> list[Row]:
    """Rows from curves."""
    count = len(curves["step"]) if curves else 0
    return [{name: values[i] for name, values in curves.items()} for i in range(count)]
