"""The picture of advice: the usable interval for every number of images, and the steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

import dmft_rf
from dmft_rf._convert import instance
from dmft_rf.plotting.style import (
    GREEN,
    GREY,
    YELLOW,
    figure_of,
    label_decades,
    legend_above,
    styled,
    unformatted,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dmft_rf.monitor.advice import Advice

_OPEN = 10.0  # how far an interval without an end is drawn, in units of its best time


@styled
def plot_advice(advice: Advice) -> Figure:
    """Draw steps from a pilot, or without one the usable interval in units of its best time.

    Parameters
    ----------
    advice : Advice

    Returns
    -------
    Figure
    """
    instance(advice, dmft_rf.Advice, "advice", "advise('digits', 260_000)")
    figure, (ax,) = figure_of(1)
    draw_advice(ax, advice)
    return figure


def draw_advice(ax: Axes, advice: Advice) -> None:
    """Draw on axes."""
    table = advice.table
    n = table["n"]
    if advice.pilot:
        middle = table["best_step"]
        known = np.isfinite(table["low"])
        for k in np.flatnonzero(known):
            ax.plot(
                [n[k], n[k]], [table["low"][k], table["high"][k]], color=GREEN, linewidth=5,
                alpha=0.35, solid_capstyle="butt",
                label="90 % range" if k == np.flatnonzero(known)[0] else None,
            )  # fmt: skip
        ax.plot(n, middle, color=GREEN, marker="s", linestyle="--", label=f"best {advice.unit}")
        if np.isfinite(table["ratio_2"]).any():
            ax.plot(n, table["ratio_2"], color=GREY, marker="v", linestyle=":", label="ratio 2")
        ax.set_ylabel(advice.unit)
        ax.set_yscale("log")
        shown = np.concatenate([table[name] for name in ("low", "high", "ratio_2")])
        label_decades(ax.yaxis, shown[np.isfinite(shown)])
    else:
        ends = [_OPEN if math.isinf(end) else end for end in table["usable_end"]]
        for i, end in enumerate(ends):
            ax.vlines(n[i], table["usable_start"][i], end, color=GREY, linewidth=8)
            ax.vlines(
                n[i], table["usable_start"][i], end, color=YELLOW, linewidth=7,
                label="usable" if i == 0 else "_",
            )  # fmt: skip
        ax.axhline(1.0, color=GREEN, linestyle="--", label="best time")
        ax.set_ylabel("time / best time")
    if n[0] < advice.n_star < 4 * n[-1]:
        ax.axvline(advice.n_star, color=GREY, linestyle=":", label="n*")
    ax.set_xscale("log")
    ax.set_xlabel("images")
    ax.set_xticks(n, [f"{size:,}" for size in n])
    ax.minorticks_off()
    legend_above(ax)
    ax.set_title(f"Advice for {unformatted(advice.name)}", loc="left", pad=18.0)
