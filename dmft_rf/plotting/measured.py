"""Drawings of what is measured on a training run: losses, dates, copies, distances."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dmft_rf.plotting.style import BLUE, GREEN, GREY, VERMILION, log_if_wide, positive
from dmft_rf.plotting.timescales import TIMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dmft_rf._typing import Array
    from dmft_rf.monitor.dating import Dates
    from dmft_rf.monitor.frechet import FrechetDistance
    from dmft_rf.monitor.logs import Log
    from dmft_rf.monitor.neighbours import MemorizedFraction, Neighbours
    from dmft_rf.monitor.transfer import Prediction


def draw_log(ax: Axes, log: Log, label: str | None = None, colour: str | None = None) -> None:
    """Held-out and train loss against the step."""
    for values, name, shade, line in (
        (log.test, "held-out loss", VERMILION, "-"),
        (log.train, "train loss", BLUE, "--"),
    ):
        text = f"{label}, {name}" if label else name
        ax.plot(positive(log.step), values, color=colour or shade, linestyle=line, label=text)
    ax.set(xscale="log", xlabel=log.unit, ylabel="loss")
    log_if_wide(ax, np.concatenate([log.test, log.train]))


def draw_dates(ax: Axes, dates: Dates, label: str | None = None, colour: str | None = None) -> None:
    """A row for each date: the step with its range, or why there is none."""
    names = list(dates.dates)
    for row, name in enumerate(names):
        found = dates[name]
        if found.is_known:
            _with_range(
                ax, np.array([found.step]), np.array([row]), found.low, found.high,
                colour or BLUE, label, across=True,
            )  # fmt: skip
            label = None
        else:
            ax.annotate(
                found.why, (0.98, row), xycoords=("axes fraction", "data"), ha="right", va="center",
                fontsize=7, color=GREY,
            )  # fmt: skip
    ax.axvline(dates.last, color=GREY, linestyle=":")
    ax.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    ax.set(ylim=(len(names) - 0.5, -0.5), xscale="log", xlabel=dates.unit)


def draw_prediction(
    ax: Axes, prediction: Prediction, label: str | None = None, colour: str | None = None
) -> None:
    """The best step and the one at ratio 2, with their ranges, at the number of images."""
    p = prediction
    n = np.array([float(p.n)])
    for step, low, high, name, of in (
        (p.best_step, p.low, p.high, "best step", "tau_opt"),
        (p.ratio_2, p.ratio_2_low, p.ratio_2_high, "ratio 2", "tau_ratio"),
    ):
        if np.isfinite([low, high]).all():
            text = f"{label}, {name}" if label else name
            _with_range(ax, n, np.array([step]), low, high, colour or TIMES[of][1], text)
    ax.set(yscale="log", xlabel="training images", ylabel="step")


def draw_neighbours(
    ax: Axes, neighbours: Neighbours, label: str | None = None, colour: str | None = None
) -> None:
    """The share of generated images whose ratio of distances is at most so much."""
    ratio = np.sort(neighbours.ratio[np.isfinite(neighbours.ratio)])
    share = np.arange(1, ratio.size + 1) / max(len(neighbours.index), 1)
    ax.step(ratio, share, where="post", color=colour or BLUE, label=label)
    ax.set_xlim(0.0, 1.0)
    ax.set_ylim(0.0, 1.0)
    ax.set_xlabel("distance to the nearest training image / to the next")
    ax.set_ylabel("share of generated images with less")


def draw_memorized(
    ax: Axes, found: MemorizedFraction, label: str | None = None, colour: str | None = None
) -> None:
    """The ratios of distances, and the one below which an image counts as a copy."""
    draw_neighbours(ax, found.neighbours, label, colour)
    ax.axvline(found.ratio, color=GREY, linestyle=":", label=f"copies: {found.fraction:.3g}")


def draw_frechet(
    ax: Axes, found: FrechetDistance, label: str | None = None, colour: str | None = None
) -> None:
    """The distance as measured and without its bias, with standard errors."""
    for x, value, shade in ((0, found.distance, BLUE), (1, found.corrected, GREEN)):
        ax.errorbar(
            [x], [value], found.standard_error, color=colour or shade, marker="o",
            label=label if x == 0 else None,
        )  # fmt: skip
    ax.set_xticks([0, 1], ["as measured", "less its bias"])
    ax.set(xlim=(-0.5, 1.5), xlabel=f"{found.features} features", ylabel="Frechet distance")


def _with_range(
    ax: Axes, x: Array, y: Array, low: float, high: float, colour: str, label: str | None,
    *, across: bool = False,
) -> None:  # fmt: skip
    """A point and its range; ``across`` along x."""
    ends = np.array([low, high])
    pair = (ends, np.repeat(y, 2)) if across else (np.repeat(x, 2), ends)
    ax.plot(*pair, color=colour, linewidth=4.0, alpha=0.35, solid_capstyle="butt")
    ax.plot(x, y, color=colour, marker="o", linestyle="none", label=label)
