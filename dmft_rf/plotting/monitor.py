"""The picture of a training run: losses, the usable interval, copies and their originals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._convert import instance
from dmft_rf.monitor.dating import RATIO, Dates
from dmft_rf.monitor.logs import Log
from dmft_rf.plotting import style
from dmft_rf.plotting.timescales import TIMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dmft_rf.monitor.neighbours import MemorizedFraction
    from dmft_rf.monitor.samples import Samples

__all__ = ["pictures_of", "plot_monitor", "shown_pairs"]

_PAIRS = 12


@style.styled
def plot_monitor(
    log: Log,
    dates: Dates,
    found: MemorizedFraction | None = None,
    generated: Samples | None = None,
    training: Samples | None = None,
) -> Figure:
    """Draw the losses of a run with its dates, and what was measured on samples.

    Parameters
    ----------
    log : Log
    dates : Dates
        Of the same log.
    found : MemorizedFraction, optional
        Of ``generated`` among ``training``: those nearest to a training image are shown above it.
    generated, training : Samples, optional

    Returns
    -------
    matplotlib.figure.Figure
        The usable interval, where the held-out loss is within 10 % of its least value, is shaded.
    """
    instance(log, Log, "log", "read_log('log.csv')")
    instance(dates, Dates, "dates", "date(log)")
    measured = [name for name in ("memorized_fraction", "frechet_distance") if name in log.measured]
    strip = None
    if found is not None and generated is not None and training is not None:
        strip = _strip(found, generated, training)
    heights = [1.7, 1.0, *(1.0 for _ in measured)]
    figure, axes = style.figure_of(len(heights), heights)
    ax, below, *more = axes
    step = style.positive(log.step)
    ax.plot(step, log.test, color=style.VERMILION, label="held-out")
    ax.plot(step, log.train, color=style.BLUE, linestyle="--", label="train")
    below.plot(step, log.ratio, color=style.PURPLE)
    below.axhline(RATIO, color=style.GREY, linewidth=0.8, linestyle=":")
    for where, name in zip(more, measured, strict=True):
        error = log.measured.get(name.replace("_fraction", "_error").replace("_distance", "_error"))
        where.errorbar(
            step, log.measured[name], yerr=error, color=style.GREEN, marker="o", markersize=4,
            linestyle="none", capsize=2,
        )  # fmt: skip
        where.set_ylabel(name.replace("_", "\n"))
    _mark(axes, dates)
    ax.set_ylabel("loss")
    below.set_ylabel("held-out\n/train")
    for panel, values in ((ax, np.concatenate([log.test, log.train])), (below, log.ratio)):
        style.log_if_wide(panel, values)
        if panel.get_yscale() == "log":
            style.label_decades(panel.yaxis, values)
    axes[-1].set(xscale="log", xlabel=dates.unit)
    style.legend_above(ax)
    run = style.unformatted(log.name)
    title = f"Training run: {run}\nusable: held-out loss within 10 % of its least"
    ax.set_title(title, fontsize=8, loc="left", pad=18.0)
    if strip is not None:
        _add_strip(figure, strip)
    return figure


def _mark(axes: list[Axes], dates: Dates) -> None:
    """The best step, its range, the usable interval and the step of ratio 2."""
    start, end = dates["generalization"], dates["usable_end"]
    for ax in axes:
        if start.is_known:
            last = end.step if end.is_known else dates.last
            label = "usable" if ax is axes[0] else None
            ax.axvspan(start.step, last, label=label, **style.USABLE)
        for name, of, label in (("best", "tau_opt", "best"), ("ratio_2", "tau_ratio", "ratio 2")):
            _, colour, line, _ = TIMES[of]
            if dates[name].is_known:
                ax.axvline(
                    dates[name].step, color=colour, linestyle=line, linewidth=1.2,
                    label=label if ax is axes[0] else None,
                )  # fmt: skip


def _add_strip(figure: Figure, strip: NDArray[Any]) -> None:
    """Add the pairs of images under the curves."""
    height = 1.6
    width, old = figure.get_size_inches()
    figure.set_size_inches(width, old + height)
    share = height / (old + height)
    figure.set_layout_engine("constrained", rect=(0.0, share, 1.0, 1.0 - share))
    ax = figure.add_axes((0.08, 0.02, 0.88, 0.8 * share))
    ax.set_in_layout(False)
    ax.imshow(strip, cmap="gray", interpolation="nearest", aspect="equal")
    ax.set_axis_off()
    ax.set_title("generated (above), nearest training image (below)", fontsize=8, loc="left")


def shown_pairs(found: MemorizedFraction, count: int = _PAIRS) -> NDArray[np.intp]:
    """Numbers of the generated images that are likest to copies, by the ratio of distances."""
    order = np.argsort(found.neighbours.ratio, kind="stable")
    return np.asarray(order[:count])


def pictures_of(samples: Samples, indices: NDArray[np.intp]) -> list[NDArray[Any]] | None:
    """Return images as grey or coloured pictures, None where it is not known how to draw them.

    Returns
    -------
    list of arrays of float64, shape (height, width) or (height, width, 3)
        In their own units.
    """
    shape = samples.shape
    if len(shape) == 1:
        side = math.isqrt(samples.dimension)
        if side * side != samples.dimension:
            return None
        shape = (side, side)
    rows = samples.take(indices).reshape(-1, *shape)
    if len(shape) == 3 and shape[0] in (1, 3) and shape[2] not in (1, 3):
        rows, shape = np.moveaxis(rows, 1, 3), (*shape[1:], shape[0])
    if len(shape) == 3 and shape[2] == 1:
        rows, shape = rows[..., 0], shape[:2]
    if len(shape) == 2 or (len(shape) == 3 and shape[2] == 3):
        return list(rows)
    return None


def _strip(
    found: MemorizedFraction, generated: Samples, training: Samples
) -> NDArray[np.uint8] | None:
    """Generated images over their nearest training images, as one picture."""
    chosen = shown_pairs(found)
    above = pictures_of(generated, chosen)
    below = pictures_of(training, found.neighbours.index[chosen, 0])
    if above is None or below is None or above[0].shape != below[0].shape:
        return None
    low, high = limits([*above, *below])
    pad = [(1, 1), (1, 1), *([(0, 0)] * (above[0].ndim - 2))]
    columns = [
        np.concatenate([np.pad(as_bytes(p, low, high), pad, constant_values=255) for p in pair])
        for pair in zip(above, below, strict=True)
    ]
    return np.concatenate(columns, axis=1)


def limits(pictures: list[NDArray[Any]]) -> tuple[float, float]:
    """The darkest and the brightest value of pictures that are shown together."""
    return min(float(p.min()) for p in pictures), max(float(p.max()) for p in pictures)


def as_bytes(picture: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """A picture with 0 for ``low`` and 255 for ``high``."""
    scaled = (picture - low) * (255.0 / (high - low if high > low else 1.0))
    return np.rint(np.clip(scaled, 0.0, 255.0)).astype(np.uint8)
