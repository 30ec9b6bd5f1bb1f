"""A run that is known, and the steps that it tells for other numbers of images."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dmft_rf._convert import number, shown, whole
from dmft_rf.errors import ModelError
from dmft_rf.model.covariance import Covariance
from dmft_rf.monitor import sentences
from dmft_rf.monitor.dating import Dates, date
from dmft_rf.monitor.logs import Log, read_log, sized
from dmft_rf.monitor.transfer import extrapolate, predict, table

if TYPE_CHECKING:
    from dmft_rf.model.score_model import ScoreModel

#: what a pilot tells for a number of images
STEPS = ("best_step", "low", "high", "ratio_2", "ratio_2_low", "ratio_2_high")


_NUMBER = r"[-+]?[0-9.]+(e[-+]?[0-9]+)?"


@dataclass(frozen=True)
class Pilot:
    """A run that is known."""

    n: int
    name: str
    unit: str = "step"
    step: float = math.nan
    dates: Dates | None = field(default=None)


def pilot_of(pilot: Any, n: int) -> Pilot:
    """The pilot, checked against the number of images."""
    size: Any = n
    if isinstance(pilot, str):
        before, pilot = sized(pilot)
        size = n if before is None else before
    elif isinstance(pilot, tuple):
        if len(pilot) != 2:
            raise ModelError(f"pilot is {shown(pilot)}; a pair must be (images, step or log)")
        before, pilot = pilot
        size = n if before is None else before
    size = whole(size, "the number of images of the pilot")
    if size > n:
        raise ModelError(
            f"the pilot has {size} images, more than the {n} of the data: steps for fewer images "
            "than in a pilot were not studied"
        )
    if isinstance(pilot, str) and re.fullmatch(_NUMBER, pilot, re.ASCII):
        try:
            pilot = float(pilot)
        except ValueError:
            raise ModelError(f"pilot is {shown(pilot)}; that is neither a step nor a log") from None
    if not isinstance(pilot, str | bytes | os.PathLike | Log):
        step = number(pilot, "the step of the pilot", above=0.0)
        return Pilot(size, f"best step {step:g} with {size} images", step=step)
    log = pilot if isinstance(pilot, Log) else read_log(pilot)  # type: ignore[arg-type]
    dates = date(log)
    best = dates["best"]
    if not best.is_known:
        raise ModelError(
            f"{log.name}: the pilot has no best {log.unit} yet: {best.why} up to {dates.last:g}; "
            "train it on until it has"
        )
    return Pilot(size, f"{log.name} with {size} images", log.unit, best.step, dates)


def steps_of(run: Pilot | None, n: int, model: ScoreModel, full_batch: bool) -> tuple[float, ...]:
    """The columns of `STEPS` of a number of images."""
    nothing = (math.nan,) * len(STEPS)
    if run is None or not 1.0 <= n / run.n <= reach_of(full_batch):
        return nothing
    measured = (run.step, run.step)
    if run.dates is not None:
        measured = (run.dates["best"].low, run.dates["best"].high)
    if full_batch:  # whose epochs are steps
        guess = run.step * (n / run.n) ** sentences.FULL_BATCH_EXPONENT
        early, late = sentences.FULL_BATCH_SHARES
        ends = measured if n == run.n else (guess / late, guess / early)
        return guess, *ends, *nothing[3:]
    if run.dates is None:
        found = extrapolate(run.n, run.step, n)
        ends = measured if n == run.n else (found.low, found.high)
        return found.best_step, *ends, *nothing[3:]
    assert isinstance(model.covariance, Covariance)
    found = predict(run.dates, run.n, n, model.covariance, model.t)
    ends = measured if n == run.n else (found.low, found.high)
    return found.best_step, *ends, found.ratio_2, found.ratio_2_low, found.ratio_2_high


def reach_of(full_batch: bool) -> float:
    """How many times the images of a pilot the evidence reaches."""
    reach: float = table()["best_step"][-1]["times"]
    return sentences.FULL_BATCH_TIMES if full_batch else reach
