"""What the runs of a store say: training times of every run, exponents, and the (n, W) regions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dmft_rf._typing import Array
from validation.networks.analysis import dating
from validation.networks.analysis.dating import (
    FRACTIONS,
    GOOD,
    NEAR,
    QUALITY,
    RATIO,
    SPOILED,
    Slope,
)
from validation.networks.run.plan import Setting
from validation.networks.run.store import Run

#: column of each date: what a table calls it
DATES = {
    "mem_loss": "test/train loss = 2",
    "mem_0.1": "f_mem = 0.1",
    "mem_0.5": "f_mem = 0.5",
    "mem_divergence": f"KL per dimension back at {SPOILED:g}",
    "gen_loss_common": "test loss at common level",
    "gen_frechet_common": "Frechet distance at common level",
    "gen_half": "Frechet distance halved",
    "gen_divergence": f"KL per dimension down to {GOOD:g}",
    "gen_loss": "test loss near its minimum",
    "gen_frechet": "Frechet distance near its minimum",
    "gen_score": "score error near its minimum",
}


@dataclass(frozen=True)
class Levels:
    """Test loss at the first time index and Frechet distance that date tau_gen for all n.

    The minimum that the smallest n of the main line reaches (geometric mean over its seeds), times
    `NEAR` and `QUALITY`; nan where that is not known.
    """

    loss: float = math.nan
    frechet: float = math.nan


@dataclass(frozen=True)
class Dated:
    """A run and its training times in steps, by the names in `DATES`; nan where not reached."""

    setting: Setting
    times: dict[str, float]
    gen_by_index: Array


def main_line(runs: Iterable[Run]) -> list[Run]:
    """Runs of one data set, protocol and width: those with most sizes, then most runs."""

    def label(s: Setting) -> tuple:
        return s.case, s.data, s.side, s.protocol, s.width

    groups = [group.members for group in grouped(runs, label)]
    return max(groups, key=lambda g: (len({r.setting.n for r in g}), len(g)), default=[])


def lines(runs: Iterable[Run]) -> list[list[Run]]:
    """The main line of each data set."""
    return [main_line(group.members) for group in grouped(runs, _data)]


def alike(runs: Iterable[Run], line: list[Run]) -> list[Run]:
    """Those on the data of a line."""
    return [run for run in runs if _data(run.setting) == _data(line[0].setting)]


def protocols(runs: Iterable[Run], line: list[Run]) -> list[tuple[str, list[Run]]]:
    """Runs on the data and at the width of a line, by protocol."""
    width = line[0].setting.width
    same = [run for run in alike(runs, line) if run.setting.width == width]
    return [(g.label[0], g.members) for g in grouped(same, lambda s: (s.protocol,))]


def levels(runs: Iterable[Run]) -> Levels:
    """The common levels of runs of one data set."""
    line = main_line(runs)
    small = [run for run in line if run.setting.n == min(r.setting.n for r in line)]
    loss = [_least(run.curves["test"][:, 0]) for run in small]
    frechet = [_least(run.curves["frechet"]) for run in small if "frechet" in run.curves]
    return Levels(NEAR * _mean(loss), QUALITY * _mean(frechet))


def _least(value: Array) -> float:
    """Minimum of a curve; nan if it is the last value, which is that of the budget."""
    return math.nan if int(np.argmin(value)) == len(value) - 1 else float(value.min())


def _mean(values: list[float]) -> float:
    good = [value for value in values if value > 0.0]
    return math.exp(sum(map(math.log, good)) / len(good)) if good else math.nan


def dates(runs: Iterable[Run]) -> list[Dated]:
    """Training times of runs, in their order, with the common levels of each data set."""
    everything = list(runs)
    groups = grouped(everything, _data)
    common = {group.label: levels(group.members) for group in groups}
    return [date(run, common[_data(run.setting)]) for run in everything]


def _data(setting: Setting) -> tuple:
    return setting.case, setting.data, setting.side


def data_set(setting: Setting) -> str:
    """The data of a run in words."""
    if setting.case == "mixture":
        return f"mixture, d = {setting.side}"
    return f"{setting.data}, {setting.side} x {setting.side}"


def date(run: Run, common: Levels = Levels()) -> Dated:
    """Training times of one run; those at a common level are nan without it."""
    step, curves = run.step, run.curves
    test = curves["test"][:, 0]
    by_index = np.array([_near(step, losses, NEAR) for losses in curves["test"].T])
    times = {
        "mem_loss": dating.reach(step, test / curves["train"][:, 0], RATIO),
        "gen_loss": float(by_index[0]),
        "gen_loss_common": dating.fall(step, test, common.loss),
    }
    if "memorized" in curves:
        for level in FRACTIONS:
            times[f"mem_{level:g}"] = dating.reach(step, curves["memorized"][:, 0], level)
        distance = curves["frechet"]
        times["gen_frechet"] = _near(step, distance, QUALITY)
        times["gen_half"] = dating.fall(step, distance, 0.5 * float(distance[0]))
        times["gen_frechet_common"] = dating.fall(step, distance, common.frechet)
    if "divergence" in curves:
        divergence = curves["divergence"]
        after = int(np.argmin(divergence))
        times["gen_divergence"] = dating.fall(step, divergence, GOOD)
        times["mem_divergence"] = dating.reach(step[after:], divergence[after:], SPOILED)
    if "score_error" in curves:
        times["gen_score"] = _near(step, curves["score_error"][:, 0], NEAR)
    return Dated(run.setting, {name: times.get(name, math.nan) for name in DATES}, by_index)


def _near(step: Array, value: Array, factor: float) -> float:
    """When ``value`` falls to ``factor`` times its minimum; nan if there is none, see `_least`."""
    return dating.fall(step, value, factor * _least(value))


@dataclass(frozen=True)
class Law:
    """An exponent: which date, against n or W, for which runs; ``last`` between the largest two."""

    data: str
    protocol: str
    against: str
    fixed: str
    date: str
    slope: Slope
    last: Slope


def laws(dated: Iterable[Dated]) -> list[Law]:
    """Exponents against n at fixed W and against W at fixed n, for every protocol."""
    everything = list(dated)
    found = []
    for against, fixed in (("n", "width"), ("width", "n")):

        def label(setting: Setting, fixed: str = fixed) -> tuple:
            return *_data(setting), setting.protocol, getattr(setting, fixed)

        for group in grouped(everything, label):
            *_, protocol, value = group.label
            data = data_set(group.members[0].setting)
            if len({getattr(one.setting, against) for one in group.members}) < 2:
                continue
            held = f"{'W' if fixed == 'width' else 'n'} = {value}"
            for name in DATES:
                if any(math.isfinite(one.times[name]) for one in group.members):
                    points = points_of(group.members, name, against)
                    found.append(
                        Law(data, protocol, "n" if against == "n" else "W", held, name,
                            dating.slope(*points), dating.last_slope(*points))
                    )  # fmt: skip
    return found


def points_of(members: Iterable[Dated], name: str, against: str) -> tuple[Array, Array, Array]:
    """n or width, the date of this name and the seed of every run."""
    rows = [(getattr(d.setting, against), d.times[name], d.setting.seed) for d in members]
    x, y, seed = np.array(rows, dtype=float).T
    return x, y, seed


def local_slopes(members: Iterable[Dated], name: str) -> list[tuple[int, int, Slope]]:
    """Exponents of a date against n between successive sizes: both sizes, slope."""
    everything = list(members)
    sizes = sorted({one.setting.n for one in everything})
    return [
        (*pair, dating.slope(*points_of([o for o in everything if o.setting.n in pair], name, "n")))
        for pair in itertools.pairwise(sizes)
    ]


@dataclass(frozen=True)
class Group:
    """Runs with one label."""

    label: tuple
    members: list


def grouped(items: Iterable, label: Callable[[Setting], tuple]) -> list[Group]:
    """Items with a ``setting``, by label, both in order; n, W and seed order the items."""
    groups: dict[tuple, list] = {}
    for item in items:
        groups.setdefault(label(item.setting), []).append(item)
    return [Group(key, sorted(groups[key], key=_order)) for key in sorted(groups)]


def _order(item: Any) -> tuple:
    return item.setting.n, item.setting.width, item.setting.seed


#: regions of the (n, W) diagram
REGIONS = ("memorizes within the budget", "generalizes at its end", "has not learned yet")


def region(run: Run, budget: float, common: Levels) -> int:
    """Which of `REGIONS` a run is in after ``budget`` steps; -1 if that is not decided.

    Memorizes: the loss ratio 2 was reached. Generalizes: not yet, but the Frechet distance (without
    generated samples the test loss) has come to the common level, as for tau_gen. Has not learned:
    neither. Undecided is what ended before the budget, and everything without a common level.
    """
    if date(run).times["mem_loss"] <= budget:
        return 0
    name, level = ("frechet", common.frechet) if "frechet" in run.curves else ("test", common.loss)
    if run.step[-1] < 0.99 * budget or math.isnan(level):
        return -1
    values = run.curves[name][run.step <= budget]
    return 1 if np.min(values if values.ndim == 1 else values[:, 0]) <= level else 2


def mean_dates(members: list[Dated], name: str, against: str) -> tuple[Array, Array, Array]:
    """x, geometric mean over the seeds, and its relative standard error (nan for one seed)."""
    xs, means, errors = [], [], []
    for x in sorted({getattr(one.setting, against) for one in members}):
        values = np.array(
            [one.times[name] for one in members if getattr(one.setting, against) == x]
        )
        logs = np.log(values[np.isfinite(values)])
        if logs.size:
            xs.append(x)
            means.append(math.exp(float(logs.mean())))
            several = logs.size > 1
            errors.append(float(logs.std(ddof=1)) / math.sqrt(logs.size) if several else math.nan)
    return np.asarray(xs, dtype=float), np.asarray(means), np.asarray(errors)
