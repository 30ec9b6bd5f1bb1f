r"""Jitter or other dynamics: what the noise of the gradient does to momentum, from probed runs.

In the solvable model the noise of SGD moves the weights about a mean that follows gradient flow
(docs/theory.md, section on mini-batches). Jitter of that kind goes away when the rate falls, at
the pace of its modes, and a load f delays test/train = 2 until the ratio without noise is
(2 - f)/(1 - f). Both are looked at: dates of the ratio after a calm stretch, and the date that a
load predicts on the run with the least noise (rate/batch) of the same setting.

Times are rate x steps. A ratio counts from one measurement, because only every second one has
probes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from dmft_rf._typing import Array
from validation.common.page import Table
from validation.networks.analysis.dating import RATIO
from validation.networks.analysis.summary import grouped
from validation.networks.analysis.tables import Section
from validation.networks.run.store import Run, Store

#: runs without probes, where a store does not have those with little noise
REFERENCE = Path(__file__).parents[3] / "docs" / "data" / "networks.h5"
#: ratios of losses between which paces are compared
_BETWEEN = (1.2, 2.0)


@dataclass(frozen=True)
class Probed:
    """What one probed run says.

    Attributes
    ----------
    run, quiet : Run
        The run, and one of the same setting with the least noise.
    averaged, last : float
        When test over train loss of the averaged and of the last weights reach 2.
    calm : tuple of float
        When that of the copy does, after each stretch.
    least : float
        When that of the quiet run does (averaged weights).
    load, load_error : float
        f at the last probe at or before ``averaged``, over all noise levels.
    share : float
        Share of the training loss of the last weights that the second stretch takes away there, at
        the first time index. What is learned in the stretch counts too, so that this bounds the
        share that the noise sustains from above.
    predicted : tuple of float
        When the quiet run reaches (2 - f)/(1 - f) with the load, and with the share, as f; inf
        if it ended before.
    paces : tuple of float
        d log(test/train)/d time of the averaged weights, of the calm copies from the second to the
        last stretch, and of the quiet run at the same ratio: means over the probes with a ratio
        between 1.2 and 2.
    """

    run: Run
    quiet: Run
    averaged: float
    last: float
    calm: tuple[float, ...]
    least: float
    load: float
    load_error: float
    share: float
    predicted: tuple[float, float]
    paces: tuple[float, float, float]

    @property
    def relaxed(self) -> float:
        """The share of log(last/least) that is gone after the second stretch."""
        return math.log(self.last / self.calm[1]) / math.log(self.last / self.least)


def probed(run: Run, quiet: Run) -> Probed:
    """What a run with probes says beside one with little noise."""
    time, curves = _time(run), run.curves
    at = np.isfinite(curves["load"][:, 0])
    after = curves["calm_test"][at, :, 0] / curves["calm_train"][at, :, 0]
    averaged = first(time, _ratio(run), RATIO)
    before = np.flatnonzero(at & ~(time > averaged))[-1]  # the last one where it was not reached
    load, error = curves["load"][before]
    share = 1.0 - float(curves["calm_train"][before, 1, 0] / curves["last_train"][before, 0])
    known, ratios = _time(quiet), _ratio(quiet)
    dates = (first(known, ratios, higher(f)) for f in (load, share))
    by_load, by_share = (date if math.isfinite(date) else math.inf for date in dates)
    return Probed(
        run=run,
        quiet=quiet,
        averaged=averaged,
        last=first(time, _ratio(run, "last_"), RATIO),
        calm=tuple(first(time[at], after[:, k], RATIO) for k in range(after.shape[1])),
        least=first(known, ratios, RATIO),
        load=float(load),
        load_error=float(error),
        share=share,
        predicted=(by_load, by_share),
        paces=_paces(run, at, after, quiet),
    )


def higher(load: float) -> float:
    """The ratio without noise at which it is 2 with a load, in the solvable model."""
    return (RATIO - load) / (1.0 - load)


def first(time: Array, ratio: Array, level: float) -> float:
    """When a ratio first rises to a level, on a logarithmic axis; nan if not after the start."""
    above = np.flatnonzero(ratio >= level)
    if not above.size or above[0] == 0:
        return math.nan
    pair = slice(above[0] - 1, above[0] + 1)
    return float(np.exp(np.interp(level, ratio[pair], np.log(time[pair]))))


def _paces(run: Run, at: Array, after: Array, quiet: Run) -> tuple[float, float, float]:
    """Of the run, of its calm copies and of the quiet run at their ratio."""
    time, (low, high) = _time(run), _BETWEEN
    own = np.gradient(np.log(_ratio(run)), time)[at]
    stretch = run.setting.calm[-1] - run.setting.calm[1]
    calm = np.log(after[:, -1] / after[:, 1]) / stretch
    known, ratios = _time(quiet), np.log(_ratio(quiet))
    middle = 0.5 * np.log(after[:, -1] * after[:, 1])
    order = np.argsort(ratios)
    reference = np.interp(middle, ratios[order], np.gradient(ratios, known)[order])
    used = (after[:, 1] > low) & (after[:, -1] < high)
    if not used.any():
        return math.nan, math.nan, math.nan
    return float(own[used].mean()), float(calm[used].mean()), float(reference[used].mean())


def _time(run: Run) -> Array:
    return np.asarray(run.step * run.setting.rate)


def _ratio(run: Run, prefix: str = "") -> Array:
    """Test over train loss at the first time index."""
    return np.asarray(run.curves[f"{prefix}test"][:, 0] / run.curves[f"{prefix}train"][:, 0])


def averaging(run: Run, quiet: Run) -> tuple[float, float, float]:
    """Share of the loss that averaging the weights removes, the delay it predicts, the delay.

    The share is that of the last weights' training loss, measured last before test over train loss
    of the averaged weights reaches 2 (nan where it does not); delays are over the quiet run.
    """
    time, curves, known = _time(run), run.curves, _time(quiet)
    date = first(time, _ratio(run), RATIO)
    if not math.isfinite(date):
        return math.nan, math.nan, math.nan
    before = np.flatnonzero(time <= date)[-1]
    share = 1.0 - float(curves["train"][before, 0] / curves["last_train"][before, 0])
    ratios = _ratio(quiet)
    least = first(known, ratios, RATIO)
    return share, first(known, ratios, higher(share)) / least, date / least


def quietest(run: Run, others: Iterable[Run]) -> Run | None:
    """The run of the same setting with the least rate/batch, of the same seed if there is one."""

    def same(other: Run) -> bool:
        names = ("case", "data", "side", "n", "width", "network", "optimiser", "indices")
        return all(getattr(run.setting, name) == getattr(other.setting, name) for name in names)

    found = [other for other in others if same(other) and other.setting.rate < run.setting.rate]
    if not found:
        return None
    return min(
        found,
        key=lambda one: (
            one.setting.rate / one.setting.noisy_per_step,
            one.setting.seed != run.setting.seed,
            one.setting.seed,
        ),
    )


@cache
def _reference() -> tuple[Run, ...]:
    return tuple(Store(REFERENCE).runs.values())


def sections(runs: Sequence[Run]) -> list[Section]:
    """Tables of the report, of what there is."""
    return [*_averages(runs), *_probes(runs)]


def _averages(runs: Sequence[Run]) -> list[Section]:
    """What averaging removes, with momentum; one line for all seeds."""
    rows = []
    for group in grouped(runs, lambda s: (s.data, s.side, s.n, s.protocol)):
        pairs = [(run, quietest(run, runs)) for run in group.members]
        noisy = [(run, quiet) for run, quiet in pairs if quiet and run.setting.optimiser == "sgd"]
        found = [one for one in (averaging(*pair) for pair in noisy) if math.isfinite(one[0])]
        if found:
            share, predicted, delay = np.array(found).T
            rows.append(
                [str(group.label[2]), str(group.label[-1]), str(len(found)),
                 f"{share.min():.2f} to {share.max():.2f}", _number(predicted.mean()),
                 _number(np.exp(np.log(delay).mean())), noisy[0][1].setting.protocol]
            )  # fmt: skip
    head = ["n", "rule", "seeds", "share of the loss", "delay by share", "delay", "over"]
    title = "Noise of the gradient: what averaging removes"
    return [(title, _AVERAGES, Table(head, rows))] if rows else []


_AVERAGES = (
    "The share of the last weights' training loss that the average over the last few per cent of "
    "the steps is without, just before its test over train loss reaches 2; the delay of that date "
    "that jitter with this share would cause in the solvable model, and the delay itself, both "
    "over the run with the least noise of the same size. All seeds that reach it."
)


def _probes(runs: Sequence[Run]) -> list[Section]:
    """What probes say."""
    found = []
    for run in runs:
        if run.setting.calm and (quiet := quietest(run, [*runs, *_reference()])) is not None:
            found.append(probed(run, quiet))
    if not found:
        return []
    found.sort(key=lambda one: (one.run.setting.n, one.run.setting.seed))
    stretches = found[0].run.setting.calm
    head = ["n", "seed", "averaged weights", "last weights",
            *(f"after {stretch:g} of calm" for stretch in stretches),
            "least noise", "relaxes at once"]  # fmt: skip
    dates = [
        [*_names(one), *map(_number, (one.averaged, one.last, *one.calm, one.least)),
         f"{100.0 * one.relaxed:.0f} %" if math.isfinite(one.relaxed) else "-"]
        for one in found
    ]  # fmt: skip
    text = (
        "When test over train loss reaches 2, in rate x steps: of the averaged weights, of the "
        "last ones, of a copy that has trained on at the lower rate for a stretch, and of the run "
        f"with the least noise. Last column: the share of the logarithm of the delay (last weights "
        f"over least noise) that {stretches[1]:g} of calm takes away; - where a ratio was not "
        "reached."
    )
    loads = [
        [*_names(one), f"{one.load:.3f} ± {one.load_error:.3f}", f"{one.share:.2f}",
         *(_number(date / one.least) for date in one.predicted),
         _number(one.averaged / one.least), *map(_number, one.paces)]
        for one in found
    ]  # fmt: skip
    about = (
        "The load f and the share of the last weights' training loss that "
        f"{stretches[1]:g} of calm takes away (an upper bound of what noise sustains), both "
        "measured last before the ratio is 2; the delay that each predicts, from when the run with "
        "the least noise reaches (2 - f)/(1 - f); the delay itself (averaged weights over least "
        "noise). Paces: d log(test/train)/d time of the averaged weights, of the calm copies, and "
        "of the run with the least noise at the same ratio."
    )
    columns = ["n", "seed", "load f", "share", "delay by load", "delay by share", "delay",
               "pace, noisy", "pace, calm", "pace, least noise"]  # fmt: skip
    return [
        ("Noise of the gradient: what relaxes", text, Table(head, dates)),
        ("Noise of the gradient: load and pace", about, Table(columns, loads)),
    ]


def _names(one: Probed) -> list[str]:
    return [str(one.run.setting.n), str(one.run.setting.seed)]


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "-"
