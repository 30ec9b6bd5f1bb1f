"""The loop over runs: trains, measures, keeps checkpoints, stops in time, goes on where it was.

What trains is handed in, so that nothing here needs JAX.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dmft_rf import DataError
from validation.networks.plan import Setting
from validation.networks.store import Checkpoint, Run, Store, versions

Row = dict[str, NDArray[Any]]

# seconds of work that a kill may cost, and seconds of a stretch of training without a look around
_SAVE, _STRETCH = 60.0, 10.0


class Trains(Protocol):
    """What the loop needs of a trainer; see `validation.networks.trainer.Trainer`."""

    step: int

    def advance(self, to: int) -> None:
        """Train up to a step."""

    def measure(self) -> Row:
        """One row of every curve."""

    def state(self) -> list[NDArray[Any]]:
        """Arrays of a checkpoint."""

    def restore(self, step: int, leaves: list[NDArray[Any]]) -> None:
        """Go on from a checkpoint."""

    def facts(self) -> dict[str, Any]:
        """What to write down besides the setting; holds ``digest``."""


class _OutOfTime(Exception):
    """The time that was given is over; the checkpoint is written."""


def run(
    store: Store,
    settings: Sequence[Setting],
    make: Callable[[Setting], Trains],
    hours: float | None = None,
    quiet: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> int:
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
    """
    deadline = None if hours is None else clock() + 3600.0 * hours
    with store.locked():
        todo = [setting for setting in settings if not store.has(setting)]
        progress = _Progress(todo, len(settings), quiet, clock)
        for i, setting in enumerate(todo):
            try:
                _one(store, setting, make, deadline, progress, clock)
            except _OutOfTime:
                return len(todo) - i
            progress.finished(setting)
    return 0


def _one(
    store: Store, setting: Setting, make: Callable[[Setting], Trains], deadline: float | None,
    progress: _Progress, clock: Callable[[], float],
) -> None:  # fmt: skip
    if deadline is not None and clock() >= deadline:
        raise _OutOfTime
    trainer = make(setting)
    digest = str(trainer.facts()["digest"])
    rows: list[Row] = []
    before = 0.0
    left = store.checkpoint(setting)
    if left is not None:
        if left.digest != digest:
            raise DataError(f"{setting.key}: its checkpoint was trained on other data")
        trainer.restore(left.step, left.leaves)
        rows = unstack(left.curves)
        before = left.seconds
    start = saved = clock()

    def save() -> None:
        nonlocal saved
        seconds = before + clock() - start
        curves = stack(rows)
        store.save_checkpoint(
            setting, Checkpoint(trainer.step, seconds, curves, trainer.state(), digest)
        )
        saved = clock()

    measured = {int(row["step"]) for row in rows}
    pace = 1.0  # steps per second; learned from a first short stretch
    ended = ended_early(setting, rows)
    for target in setting.grid:
        if ended:
            break
        while trainer.step < target:
            began, first = clock(), trainer.step
            trainer.advance(min(int(target), first + max(1, int(pace * _STRETCH))))
            pace = (trainer.step - first) / max(clock() - began, 1e-9)
            progress.show(setting, trainer.step)
            late = deadline is not None and clock() >= deadline
            if late or clock() - saved > _SAVE:
                save()
            if late:
                raise _OutOfTime
        if trainer.step == target and int(target) not in measured:
            rows.append(trainer.measure())
            ended = ended_early(setting, rows)
    facts = {
        **versions(),
        **trainer.facts(),
        "seconds": before + clock() - start,
        "ended": "memorized" if ended else "steps",
    }
    store.add(Run(setting, stack(rows), facts))


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


class _Progress:
    """One line on stderr: what is trained, at which step, and how long the rest may take."""

    def __init__(
        self, todo: Sequence[Setting], total: int, quiet: bool, clock: Callable[[], float]
    ):
        self._costs = {setting.key: cost(setting) for setting in todo}
        self._total, self._done = total, total - len(todo)
        self._clock, self._quiet = clock, quiet
        self._start = self._last = clock()
        self._first: float | None = None  # share of the first run that a checkpoint had done
        self._spent = 0.0
        self._terminal = sys.stderr.isatty()

    def show(self, setting: Setting, step: int) -> None:
        """Say where the run is."""
        now = self._clock()
        share = self._costs[setting.key] * step / setting.steps
        if self._first is None:
            self._first, self._start = share, now  # compiling does not count
        if self._quiet or now - self._last < (0.5 if self._terminal else 30.0):
            return
        self._last = now
        done = self._spent + share - self._first
        left = sum(self._costs.values()) - share
        rest = "unknown time"
        if done > 0.002 * (left + done):  # the first steps and measurements compile
            rest = f"at most about {_time((now - self._start) * left / done)}"
        line = (
            f"run {self._done + 1}/{self._total} {setting.key}: step {step} of at most "
            f"{setting.steps}, {rest} left for all"
        )
        end = "" if self._terminal else "\n"
        print(f"\r{line:<110.110}" if self._terminal else line, end=end, file=sys.stderr,
              flush=True)  # fmt: skip

    def finished(self, setting: Setting) -> None:
        """Count a finished run."""
        self._spent += self._costs.pop(setting.key)
        self._done += 1
        if not self._quiet:
            start = "\n" if self._terminal else ""
            print(f"{start}finished {setting.key}", file=sys.stderr)


def cost(setting: Setting) -> float:
    """Work of a run at its full number of steps, in steps of a batch of 64 at W = 32.

    Measured on one core, U-Net at 16 x 16: a + b W^2 with equal parts at W = 32; the residual
    network of width 128 costs a tenth.
    """
    batch = setting.noisy_per_step
    if setting.case == "mixture":
        unit = 0.1 * (setting.width / 128) ** 2
    else:
        unit = 0.3 * setting.width / 32 + 0.7 * (setting.width / 32) ** 2
    return setting.steps * unit * max(batch, 8) / 64


def _time(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds > 5400 else f"{seconds / 60:.0f} min"
