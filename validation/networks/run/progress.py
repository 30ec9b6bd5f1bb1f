"""One line on stderr for everything that is being trained, and how long the rest may take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from rich.console import Console

from validation.networks.run.plan import Setting
from validation.networks.run.store import Run

# seconds between two lines where stderr is no terminal
_LINES = 30.0


class Progress:
    """How far the runs are; a context manager.

    Parameters
    ----------
    todo : sequence of Setting
        Runs that have not ended.
    total : int
        All runs.
    quiet : bool
        Say nothing.
    clock : callable
        Seconds, monotonic.
    """

    def __init__(
        self,
        todo: Sequence[Setting],
        total: int,
        quiet: bool,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._costs = {setting.key: cost(setting) for setting in todo}
        self._total, self._done = total, total - len(todo)
        self._clock = clock
        self._start = self._last = clock()
        self._steps: dict[str, tuple[Setting, int, int]] = {}  # setting, first step seen, last
        self._spent = 0.0
        self._console = Console(stderr=True, quiet=quiet, markup=False, highlight=False)
        self._status = self._console.status("compiling")
        self._stack = ExitStack()

    def __enter__(self) -> Progress:
        if self._console.is_terminal and not self._console.quiet:
            self._stack.enter_context(self._status)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def show(self, setting: Setting, step: int) -> None:
        """Say where a run is."""
        now = self._clock()
        if not self._steps and not self._spent:
            self._start = now  # compiling does not count
        _, first, _ = self._steps.get(setting.key, (setting, step, step))
        self._steps[setting.key] = setting, first, step
        line = f"{self._done} of {self._total} done, {self._rest(now)}: {self._where()}"
        if self._console.is_terminal:
            self._status.update(line)
        elif now - self._last >= _LINES:
            self._last = now
            self._console.print(line, soft_wrap=True)

    def ended(self, run: Run) -> None:
        """Count a run that has ended."""
        setting, first, last = self._steps.pop(run.setting.key, (run.setting, 0, 0))
        self._spent += cost(setting) * (last - first) / setting.steps
        self._costs.pop(run.setting.key)
        self._done += 1
        said = "diverged" if run.diverged else "finished"
        self._console.print(f"{said} {run.setting.key}", soft_wrap=True)

    def _where(self) -> str:
        under_way = self._steps.values()
        if len(under_way) == 1:
            setting, _, step = next(iter(under_way))
            return f"{setting.key}, step {step} of at most {setting.steps}"
        return ", ".join(f"{s.key} {100 * step // s.steps} %" for s, _, step in under_way)

    def _rest(self, now: float) -> str:
        """An upper bound, since runs end early: only steps that were made count as work."""
        done, left = self._spent, sum(self._costs.values())
        for setting, first, last in self._steps.values():
            unit = cost(setting) / setting.steps
            done += unit * (last - first)
            left -= unit * last
        if not done > 0.002 * (left + done):  # the first steps and measurements compile
            return "time left not known yet"
        return f"at most about {_time((now - self._start) * left / done)} left"


def cost(setting: Setting) -> float:
    """Work of a run at its full number of steps, in steps of a batch of 64 at W = 32.

    Measured on one core, U-Net at 16 x 16: a + b W^2 with equal parts at W = 32; the residual
    network of width 128 costs a tenth.
    """
    batch = setting.noisy_per_step
    if setting.case == "mixture" or setting.network:
        unit = 0.1 * (setting.width / 128) ** 2
    else:
        unit = 0.3 * setting.width / 32 + 0.7 * (setting.width / 32) ** 2
    return setting.steps * unit * max(batch, 8) / 64


def _time(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds > 5400 else f"{seconds / 60:.0f} min"
