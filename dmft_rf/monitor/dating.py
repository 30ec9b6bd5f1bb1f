"""When a run generalizes, when it is at its best, when it memorizes: dates read off its log.

The definitions are those of docs/networks.md. A level counts as reached where two measurements in a
row are beyond it, and is interpolated linearly in the logarithm of the step. Measurements that are
denser than 20 a decade are averaged to that, so that noise does not look like a rise. A range goes
from the last measurement before to the first one after, widened to where the scatter of the
measurements (two standard deviations) leaves open on which side of the level they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._arithmetic import ieee
from dmft_rf._convert import instance
from dmft_rf._frozen import Frozen, FrozenDict
from dmft_rf._show import Shown, Table
from dmft_rf.errors import DataError
from dmft_rf.monitor.logs import Log

__all__ = ["DEFINITIONS", "Date", "Dates", "date"]

Array = NDArray[np.float64]

RATIO, FRACTIONS, NEAR, QUALITY = 2.0, (0.1, 0.5), 1.1, 1.5

DEFINITIONS = {
    "best": "least held-out loss",
    "generalization": "held-out loss within 10 % of its least value",
    "usable_end": "held-out loss more than 10 % above its least value again",
    "ratio_2": "held-out loss twice the train loss",
    "memorized_0.1": "a tenth of the generated images are copies (ratio of distances below 1/3)",
    "memorized_0.5": "half of the generated images are copies (ratio of distances below 1/3)",
    "frechet": "Frechet distance within a factor 1.5 of its least value",
}

_SIGNS = {
    "memorized_0.1": DEFINITIONS["memorized_0.1"],
    "ratio_2": "the held-out loss is twice the train loss",
}

FEWEST = 5
"""Held-out losses that dates need: with fewer a rise cannot be told from scatter."""

_FEWEST_SAMPLES = 3
_PER_DECADE = 20


@dataclass(frozen=True, eq=False)
class Date(Frozen):
    """A step at which something happens.

    Attributes
    ----------
    step : float
        nan if it has not happened, or had happened before the first measurement.
    low, high : float
        Its range; where there is no step: nan, or what is known (before or after which step).
    why : str
        Why there is none, "" if there is one.
    """

    step: float
    low: float = math.nan
    high: float = math.nan
    why: str = ""

    @property
    def is_known(self) -> bool:
        """Whether there is a step."""
        return math.isfinite(self.step)


@dataclass(frozen=True, eq=False, repr=False)
class Dates(Shown):
    """The dates of a run.

    Attributes
    ----------
    dates : dict of Date
        By the names of `DEFINITIONS`; those whose quantity was not measured are left out.
    least : float
        Least held-out loss that was measured.
    scatter : float
        Standard deviation of one held-out loss about a smooth curve. Sharp bends of the curve count
        as scatter, so that it is rather too large.
    last : float
        Last step of the log.
    unit : str
    """

    dates: dict[str, Date]
    least: float
    scatter: float
    last: float
    unit: str

    def __getitem__(self, name: str) -> Date:
        return self.dates[name]

    @property
    def is_past_best(self) -> bool:
        """Whether the held-out loss has risen from its least value by more than its scatter."""
        return self.dates["best"].is_known

    def _has(self, name: str) -> bool:
        """Whether something has happened, be it before the first measurement."""
        found = self.dates.get(name)
        return found is not None and (found.is_known or found.why == _BEFORE)

    @property
    def verdict(self) -> str:
        """Whether to stop, in one sentence."""
        best, unit = self.dates["best"], self.unit
        signs = [sign for name, sign in _SIGNS.items() if self._has(name)]
        if best.is_known:
            more = f"; by now {signs[0]}" if signs else ""
            return (
                f"Stop: the held-out loss was least at {unit} {_number(best.step)} "
                f"({_number(best.low)} to {_number(best.high)}), use the weights nearest to it"
                f"{more}."
            )
        if self._has("memorized_0.1"):
            return f"Stop: {signs[0]}, though the held-out loss has not risen."
        if signs:
            return f"Go on, and look for copies: {signs[0]}, though it has not risen."
        if best.why != _NOT_RISEN:
            return f"Go on: {best.why}, which is no overfitting; if it lasts, the rate is too high."
        return f"Go on: {best.why} up to {unit} {_number(self.last)}."

    def _about(self) -> str:
        return f"to {self.unit} {self.last:g}. {self.verdict}"

    def _table(self) -> Table:
        rows = ("name",)
        columns: dict[str, tuple[Any, ...]] = {
            what: (rows, np.array([getattr(found, what) for found in self.dates.values()]))
            for what in ("step", "low", "high", "why")
        }
        return Table(rows, {"name": (rows, np.array(list(self.dates)))}, columns)


_BEFORE = "it was so from the first measurement on"
_NOT_YET = "it has not been reached"
_NOT_RISEN = "the held-out loss has not risen"


@ieee
def date(log: Log) -> Dates:
    """Read the dates of a run off its log.

    Parameters
    ----------
    log : Log
        With at least 5 measurements at steps > 0 and losses > 0.

    Returns
    -------
    Dates

    Raises
    ------
    DataError
        If there are fewer, or a loss is not positive.
    """
    instance(log, Log, "log", "read_log('log.csv')")
    late = log.step > 0.0  # a logarithmic axis has no 0
    step, train, test = (part[late] for part in (log.step, log.train, log.test))
    whole_step = step
    if step.size < FEWEST:
        raise DataError(
            f"{log.name}: has {step.size} held-out losses at a {log.unit} above 0; dates need at "
            f"least {FEWEST}"
        )
    for what, values in (("train", train), ("held-out", test)):
        if values.min() <= 0.0:
            at = step[np.argmin(values)]
            raise DataError(
                f"{log.name}: the {what} loss at {log.unit} {at:g} is {values.min():g}; a loss "
                "must be above 0 for ratios to mean anything"
            )
    noise, ratio_noise = scatter(np.log(step), test), scatter(np.log(step), test / train)
    step, count, (train, test) = _thinned(step, train, test)
    x, ratio = np.log(step), test / train
    # of means, or what they scatter by where losses hang together
    each, each_ratio = (
        np.maximum(one / np.sqrt(count), scatter(x, values))
        for one, values in ((noise, test), (ratio_noise, ratio))
    )
    found = {"best": _least(step, test, train, each)}
    near = NEAR * test.min()
    bottom = int(test.argmin())
    found["generalization"] = _rise(step, -test, -near, each)
    end = _rise(step[bottom:], test[bottom:], near, each[bottom:])
    found["usable_end"] = end if bottom < step.size - 1 else Date(math.nan, why=_NOT_YET)
    found["ratio_2"] = _rise(step, ratio, RATIO, each_ratio)
    known = {name: values[late] for name, values in log.measured.items()}
    fraction = known.get("memorized_fraction")
    if fraction is not None and np.isfinite(fraction).sum() >= _FEWEST_SAMPLES:
        there = np.isfinite(fraction)
        error = known.get("memorized_error", np.zeros(whole_step.size))[there]
        for level in FRACTIONS:
            found[f"memorized_{level}"] = _rise(whole_step[there], fraction[there], level, error)
    frechet = known.get("frechet_distance")
    if frechet is not None and np.isfinite(frechet).sum() >= _FEWEST_SAMPLES:
        there = np.isfinite(frechet)
        values = frechet[there]
        if values.argmin() < values.size - 1:
            at = whole_step[there]
            noise_f = scatter(np.log(at), values)
            found["frechet"] = _rise(at, -values, -QUALITY * values.min(), noise_f)
    return Dates(FrozenDict(found), float(test.min()), noise, float(step[-1]), log.unit)


def _thinned(step: Array, *values: Array) -> tuple[Array, Array, list[Array]]:
    """Means of steps, in the logarithm, and of values over twentieths of a decade; their counts."""
    cell = np.floor(_PER_DECADE * np.log10(step)).astype(np.intp)
    _, which, count = np.unique(cell, return_inverse=True, return_counts=True)
    x, *means = (np.bincount(which, weights=part) / count for part in (np.log(step), *values))
    if count.size < FEWEST:
        return step, np.ones(step.size), list(values)
    alone = count == 1
    # what stands alone stays as it is, without rounding
    first = np.searchsorted(which, np.arange(count.size))
    kept = [
        np.where(alone, part[first], mean)
        for part, mean in zip((step, *values), (np.exp(x), *means), strict=True)
    ]
    return kept[0], count.astype(float), kept[1:]


def scatter(x: Array, y: Array) -> float:
    """Standard deviation of values about a smooth curve, nan for fewer than 5.

    From the third divided differences, which no parabola has, by the median, so that a few jumps
    do not count.
    """
    if x.size < FEWEST:
        return math.nan
    points = np.stack([x[k : x.size - 3 + k] for k in range(4)])
    values = np.stack([y[k : y.size - 3 + k] for k in range(4)])
    gaps = points[:, None] - points[None, :] + np.eye(4)[:, :, None]
    weights = 1.0 / gaps.prod(axis=1)
    off = np.sum(weights * values, axis=0) / np.sqrt(np.sum(weights**2, axis=0))
    return float(np.median(np.abs(off)) / 0.6745)


def _least(step: Array, y: Array, train: Array, noise: Array) -> Date:
    """The minimum of y, by a parabola through the least value and its neighbours.

    It counts once y has risen while the train loss has not: momentum overshoots at first, and a
    rate that is too high raises both, which is no overfitting.
    """
    x, k = np.log(step), int(y.argmin())
    # the least of many lies below the curve by two standard deviations or so
    margin = 2.0 * (noise + noise[k])
    above = (y > y[k] + margin)[k + 1 :]
    if _first_pair(above & (train[k + 1 :] <= train[k])) is None:
        why = "both losses have risen" if _first_pair(above) is not None else _NOT_RISEN
        return Date(math.nan, float(step[max(k - 1, 0)]), why=why)
    like = np.flatnonzero(y <= y[k] + 0.5 * margin)
    # those that hang together with the least one, one exception allowed
    first = last = k
    while first > 0 and np.isin([first - 1, first - 2], like).any():
        first -= 1
    while last < y.size - 1 and np.isin([last + 1, last + 2], like).any():
        last += 1
    low, high = step[max(first - 1, 0)], step[min(last + 1, y.size - 1)]
    at = float(x[k])
    if k > 0:
        (a, b), (p, q) = (x[k - 1] - x[k], x[k + 1] - x[k]), (y[k - 1] - y[k], y[k + 1] - y[k])
        # p = u a + v a^2, q = u b + v b^2; the vertex is at -u/(2 v)
        v = (p / a - q / b) / (a - b)
        u = p / a - v * a
        if v > 0.0:
            at += float(np.clip(-u / (2.0 * v), a, b))
    return Date(math.exp(at), float(low), float(high))


def _rise(step: Array, y: Array, level: float, noise: float | Array) -> Date:
    """Where y, with a standard deviation or one each, rises to a level and stays there twice."""
    margin = 2.0 * np.broadcast_to(np.nan_to_num(noise), y.shape)
    at = _first_pair(y >= level)
    if at is None:
        return Date(math.nan, float(step[-1]), math.inf, _NOT_YET)
    if at == 0:
        return Date(math.nan, 0.0, float(step[0]), _BEFORE)
    share = (level - y[at - 1]) / (y[at] - y[at - 1])
    found = step[at - 1] * (step[at] / step[at - 1]) ** share
    # the last measurement that is below for certain, the first pair that is above for certain
    below = np.flatnonzero((y < level - margin)[:at])
    low = step[below[-1]] if below.size else step[0]
    sure = _first_pair(y >= level + margin)
    high = step[max(at, sure)] if sure is not None else step[-1]
    return Date(float(found), float(low), float(high))


def _first_pair(holds: NDArray[np.bool_]) -> int | None:
    """The first place at which something holds twice in a row."""
    both = np.flatnonzero(holds[1:] & holds[:-1])
    return int(both[0]) if both.size else None


def _number(value: float) -> str:
    """A step as people write it."""
    return f"{value:,.0f}" if value >= 100.0 else f"{value:.3g}"
