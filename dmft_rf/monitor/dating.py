"""When a run generalizes, when it is at its best, when it memorizes: dates read off its log.

The definitions are those of docs/networks.md. A level counts as reached where two measurements in a
row are beyond it, and is interpolated linearly in the logarithm of the step. Each date has a range:
from the last measurement before to the first one after, widened to where the scatter of the
measurements (two standard deviations) leaves open on which side of the level they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dmft_rf._arithmetic import ieee
from dmft_rf._convert import instance
from dmft_rf._frozen import Frozen, FrozenDict
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

_FEWEST = 3


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
class Dates(Frozen):
    """The dates of a run.

    Attributes
    ----------
    dates : dict of Date
        By the names of `DEFINITIONS`; those whose quantity was not measured are left out.
    least : float
        Least held-out loss that was measured.
    scatter : float
        Standard deviation of one held-out loss about a smooth curve, nan below 5 of them. Bends of
        the curve count as scatter, so that it is rather too large.
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

    @property
    def memorizes(self) -> str:
        """Which sign of memorization there is, "" if none."""
        for name in ("memorized_0.1", "ratio_2"):
            found = self.dates.get(name)
            if found is not None and (found.is_known or found.why == _BEFORE):
                return DEFINITIONS[name]
        return ""

    @property
    def verdict(self) -> str:
        """Whether to stop, in one sentence."""
        best, unit = self.dates["best"], self.unit
        if not best.is_known:
            if self.memorizes:
                return f"Stop: {self.memorizes}."
            return f"Go on: {best.why} up to {unit} {_number(self.last)}."
        at = (
            f"the held-out loss was least at {unit} {_number(best.step)} ({_number(best.low)} to "
            f"{_number(best.high)})"
        )
        more = f"; by now {self.memorizes}" if self.memorizes else ""
        return f"Stop: {at}, use the weights of that {unit}{more}."

    def __repr__(self) -> str:
        return f"<Dates to {self.unit} {self.last:g}: {self.verdict}>"


_BEFORE = "it was so from the first measurement on"
_NOT_YET = "it has not been reached"


@ieee
def date(log: Log) -> Dates:
    """Read the dates of a run off its log.

    Parameters
    ----------
    log : Log
        With at least 3 measurements at steps > 0 and losses > 0.

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
    if step.size < _FEWEST:
        raise DataError(
            f"{log.name}: has {step.size} held-out losses at a {log.unit} above 0; dates need at "
            f"least {_FEWEST}"
        )
    for what, values in (("train", train), ("held-out", test)):
        if values.min() <= 0.0:
            at = step[np.argmin(values)]
            raise DataError(
                f"{log.name}: the {what} loss at {log.unit} {at:g} is {values.min():g}; a loss "
                "must be above 0 for ratios to mean anything"
            )
    x, ratio = np.log(step), test / train
    noise = scatter(x, test)
    found = {"best": _least(x, test, noise)}
    near = NEAR * test.min()
    bottom = int(test.argmin())
    found["generalization"] = _rise(x, -test, -near, noise)
    end = _rise(x[bottom:], test[bottom:], near, noise)
    found["usable_end"] = end if bottom < step.size - 1 else Date(math.nan, why=_NOT_YET)
    found["ratio_2"] = _rise(x, ratio, RATIO, scatter(x, ratio))
    known = {name: values[late] for name, values in log.measured.items()}
    fraction = known.get("memorized_fraction")
    if fraction is not None and np.isfinite(fraction).sum() >= _FEWEST:
        there = np.isfinite(fraction)
        # the error of each is known and differs: the largest counts
        error = known.get("memorized_error", np.zeros(step.size))[there]
        for level in FRACTIONS:
            found[f"memorized_{level}"] = _rise(
                x[there], fraction[there], level, float(np.nan_to_num(error).max())
            )
    frechet = known.get("frechet_distance")
    if frechet is not None and np.isfinite(frechet).sum() >= _FEWEST:
        there = np.isfinite(frechet)
        values = frechet[there]
        if values.argmin() < values.size - 1:
            noise_f = scatter(x[there], values)
            found["frechet"] = _rise(x[there], -values, -QUALITY * values.min(), noise_f)
    return Dates(FrozenDict(found), float(test.min()), noise, float(step[-1]), log.unit)


def scatter(x: Array, y: Array) -> float:
    """Standard deviation of values about a smooth curve, nan for fewer than 5.

    From what each of them differs by from the line between its neighbours, by the median, so that a
    few jumps do not count.
    """
    if x.size < 5:
        return math.nan
    share = (x[1:-1] - x[:-2]) / (x[2:] - x[:-2])
    off = y[1:-1] - (1.0 - share) * y[:-2] - share * y[2:]
    off /= np.sqrt(1.0 + share**2 + (1.0 - share) ** 2)
    return float(np.median(np.abs(off)) / 0.6745)


def _least(x: Array, y: Array, noise: float) -> Date:
    """The minimum of y, by a parabola through the least value and its neighbours."""
    margin = 0.0 if math.isnan(noise) else 2.0 * noise
    k = int(y.argmin())
    above = y[k + 1 :] > y[k] + margin
    if not np.any(above[1:] & above[:-1]):
        return Date(math.nan, math.exp(x[max(k - 1, 0)]), why="the held-out loss does not rise")
    like = np.flatnonzero(y <= y[k] + margin)
    # those that hang together with the least one, one exception allowed
    first = last = k
    while first > 0 and np.isin([first - 1, first - 2], like).any():
        first -= 1
    while last < y.size - 1 and np.isin([last + 1, last + 2], like).any():
        last += 1
    low, high = x[max(first - 1, 0)], x[min(last + 1, y.size - 1)]
    at = x[k]
    if k > 0:
        (a, b), (p, q) = (x[k - 1] - x[k], x[k + 1] - x[k]), (y[k - 1] - y[k], y[k + 1] - y[k])
        # p = u a + v a^2, q = u b + v b^2; the vertex is at -u/(2 v)
        v = (p / a - q / b) / (a - b)
        u = p / a - v * a
        if v > 0.0:
            at += float(np.clip(-u / (2.0 * v), a, b))
    return Date(math.exp(at), math.exp(low), math.exp(high))


def _rise(x: Array, y: Array, level: float, noise: float) -> Date:
    """Where y first rises to a level and stays for a second measurement."""
    margin = 0.0 if math.isnan(noise) else 2.0 * noise
    at = _first_pair(y >= level)
    if at is None:
        return Date(math.nan, math.exp(x[-1]), math.inf, _NOT_YET)
    if at == 0:
        return Date(math.nan, 0.0, math.exp(x[0]), _BEFORE)
    share = (level - y[at - 1]) / (y[at] - y[at - 1])
    step = x[at - 1] + share * (x[at] - x[at - 1])
    # the last measurement that is below for certain, the first pair that is above for certain
    below = np.flatnonzero(y[:at] < level - margin)
    low = x[below[-1]] if below.size else x[0]
    sure = _first_pair(y >= level + margin)
    high = x[max(at, sure)] if sure is not None else x[-1]
    return Date(math.exp(step), math.exp(low), math.exp(high))


def _first_pair(holds: NDArray[np.bool_]) -> int | None:
    """The first place at which something holds twice in a row."""
    both = np.flatnonzero(holds[1:] & holds[:-1])
    return int(both[0]) if both.size else None


def _number(value: float) -> str:
    """A step as people write it."""
    return f"{value:,.0f}" if value >= 1000.0 else f"{value:.4g}"
