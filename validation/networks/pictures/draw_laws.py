"""The pictures of laws, from the numbers of `validation.networks.analysis.gather_laws` alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from validation.common.style import (
    BLUE,
    COLOURS,
    GREEN,
    GREY,
    LINES,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    letters,
    ordered,
)
from validation.networks.analysis.summary import DATES, REGIONS
from validation.networks.pictures.drawing import (
    MARKS,
    TAU,
    Numbers,
    canvas,
    curves,
    get,
    labels,
    legend,
    legend_below,
    log2_x,
    log_y,
    size,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOUR = dict(zip(DATES, (BLUE, VERMILION, ORANGE, PURPLE, GREEN, PURPLE, SKY, ORANGE, GREEN,
                           PURPLE, GREY), strict=True))  # fmt: skip
_MARK = dict(zip(DATES, "os^<DvP>DvX", strict=True))
#: tau_gen whose level is each curve's own minimum, which moves with n
_MOVING = ("gen_loss", "gen_frechet", "gen_score")


def _slope(values: np.ndarray) -> str:
    """Exponent with its error; how many seeds where they are fewer than three."""
    value, error, _, seeds = values
    if np.isnan(value):
        return "one point"
    text = f"{value:z.2f}" if np.isnan(error) else rf"{value:z.2f} $\pm$ {error:.2f}"
    return text + {1: ", one seed", 2: ", two seeds"}.get(int(seeds), "")


def _points(ax: Axes, numbers: Numbers, path: str, name: str, **style: Any) -> None:
    tau = numbers[f"{path}/tau"]
    error = np.nan_to_num(numbers[f"{path}/error"]) * tau
    text = _slope(numbers[f"{path}/slope"])
    ax.errorbar(numbers[f"{path}/x"], tau, yerr=error, markersize=4, linewidth=1.0,
                label=f"{name}: {text}", **style)  # fmt: skip


def draw_scaling(numbers: Numbers) -> Figure:
    """Training times against n: memorization, generalization."""
    figure, (axes,) = canvas(2, 4.3)
    for ax, kind in zip(axes, ("mem", "gen"), strict=True):
        every = []
        for name, label in DATES.items():
            if not name.startswith(kind) or f"{name}/x" not in numbers:
                continue
            moving = name in _MOVING
            _points(ax, numbers, name, label, color=_COLOUR[name], marker=_MARK[name],
                    linestyle=":" if moving else "-",
                    markerfacecolor="white" if moving else _COLOUR[name])  # fmt: skip
            every += [(x, tau) for x, tau in zip(numbers[f"{name}/x"], numbers[f"{name}/tau"],
                                                 strict=True)]  # fmt: skip
        if every:
            x, tau = np.array(every).T
            low, high = x.min(), x.max()
            # through the middle of the points
            middle = np.exp(np.mean(np.log(tau / x)))
            ax.plot([low, high], [middle * low, middle * high], color=GREY, linewidth=0.8,
                    linestyle="--", label="proportional to n", zorder=0)  # fmt: skip
            log2_x(ax, x)
        log_y(ax)
        ax.set_xlabel(f"training samples n (W = {float(numbers['W']):g})")
        ax.set_title({"mem": "memorization", "gen": "generalization"}[kind], fontsize=8)
        legend(ax, loc="upper center", bbox_to_anchor=(0.45, -0.17))
    axes[0].set_ylabel(TAU)
    return figure


def draw_scaling_width(numbers: Numbers) -> Figure:
    """Training times against W, one colour per n."""
    found = labels(numbers, "n")
    names = ("mem_loss", "mem_0.1", "gen_frechet_common", "gen_loss_common")
    figure, axes = canvas(2, 7.2, rows=2)
    for ax, name in zip(axes.ravel(), names, strict=True):
        every: list[float] = []
        for label, colour, mark in zip(found, ordered(len(found)), MARKS * 3, strict=False):
            path = f"{label}/{name}"
            if f"{path}/x" in numbers:
                _points(ax, numbers, path, label.replace("=", " = "), color=colour, marker=mark)
                every += numbers[f"{path}/x"].tolist()
        ax.set_title(DATES[name], fontsize=8)
        if every:
            log2_x(ax, every)
            log_y(ax)
        else:
            ax.text(0.5, 0.5, "not reached", transform=ax.transAxes, ha="center", color=GREY)
        ax.set_xlabel("width W")
        legend(ax, loc="upper center", bbox_to_anchor=(0.45, -0.17))
    for ax in axes[:, 0]:
        ax.set_ylabel(TAU)
    return figure


def draw_diagram(numbers: Numbers) -> Figure:
    """Three regions of (n, W): that of most seeds, open where they differ."""
    figure, ((ax,),) = canvas(1, 3.4, 4.6)
    table = numbers["table"]
    places = np.unique(table[:, :2], axis=0)
    votes = [table[(table[:, :2] == place).all(axis=1), 2] for place in places]
    most = np.array([np.bincount(vote.astype(int), minlength=3).argmax() for vote in votes])
    agreed = np.array([np.ptp(vote) == 0.0 for vote in votes])
    for value, (name, colour, mark) in enumerate(
        zip(REGIONS, (VERMILION, GREEN, BLUE), "so^", strict=True)
    ):
        ax.plot([], [], mark, color=colour, label=name, markersize=5)
        for same, face in ((True, colour), (False, "white")):
            here = places[(most == value) & (agreed == same)]
            ax.plot(here[:, 0], here[:, 1], mark, color=colour, markerfacecolor=face, markersize=6)
    log2_x(ax, table[:, 0])
    ax.set_yscale("log", base=2)
    widths = np.unique(table[:, 1])
    ax.set_yticks(widths, [f"{width:g}" for width in widths], minor=False)
    ax.set_ylim(widths.min() / 1.3, widths.max() * 1.3)
    ax.tick_params(axis="x", labelsize=7)
    ax.set_xlabel("training samples n")
    ax.set_ylabel("width W")
    ax.set_title(f"after {float(numbers['budget']):g} steps", fontsize=8)
    legend(ax, loc="upper center", bbox_to_anchor=(0.45, -0.17), ncols=1)
    return figure


def draw_boundary(numbers: Numbers) -> Figure:
    """n(p) at several multiples of tau_gen, of each width and of one for all."""
    figure, (axes,) = canvas(2, 3.0)
    p = numbers["p"]
    found = [path.split("/")[1] for path in numbers if path.startswith("own/")]
    multiples = list(dict.fromkeys(found))
    colours = ordered(len(multiples))
    every: list[float] = []
    for ax, kind in zip(axes, ("own", "common"), strict=True):
        for multiple, colour, mark in zip(multiples, colours, MARKS, strict=False):
            n = numbers[f"{kind}/{multiple}/n"]
            if np.isfinite(n).any():
                error = np.nan_to_num(numbers[f"{kind}/{multiple}/error"]) * n
                ax.errorbar(p, n, yerr=error, color=colour, marker=mark, markersize=4.5,
                            linewidth=1.1, label=rf"{multiple} $\tau_{{\rm gen}}$")  # fmt: skip
                every += n[np.isfinite(n)].tolist()
    for ax, kind in zip(axes, ("of each width", "one for all widths"), strict=True):
        ax.set_xscale("log")
        ax.set_xticks(p, [f"{1e-3 * value:.0f}k" for value in p])
        ax.minorticks_off()
        ax.set_yscale("log", base=2)
        ax.set_xlim(0.8 * p.min(), 1.25 * p.max())
        ticks = 2.0 ** np.arange(np.floor(np.log2(min(every))), np.ceil(np.log2(max(every))) + 1)
        ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.set_xlabel("parameters p")
        ax.set_title(rf"$\tau_{{\rm gen}}$ {kind}", fontsize=8)
    axes[0].set_ylabel("n(p): samples until ratio 2")
    letters(axes)
    legend_below(figure, axes[0])
    return figure


def draw_noise(numbers: Numbers) -> Figure:
    """The exponent of each octave against the noise of the gradient."""
    figure, ((ax,),) = canvas(1, 2.9, 3.9)
    found = list(dict.fromkeys(path.split("/")[0] for path in numbers))
    for name, colour, mark, line in zip(found, ordered(len(found)), MARKS, LINES, strict=False):
        x, y, error, batch = (numbers[f"{name}/{k}"] for k in ("x", "value", "error", "batch"))
        small = batch == batch.min()
        for which, face in ((small, colour), (~small, "white")):
            ax.errorbar(x[which], y[which], yerr=np.nan_to_num(error[which]), color=colour,
                        marker=mark, markersize=5, markerfacecolor=face,
                        linestyle=line if which is small else "none",
                        label=f"n = {name}" if which is small else None)  # fmt: skip
    ax.axhline(1.0, color=GREY, linewidth=0.8)
    ax.set_xscale("log", base=2)
    ax.set_ylim(0.7, 2.5)
    ax.set_xlabel("noise of the gradient (rate/batch)")
    ax.set_ylabel(r"$d\log\tau_{\rm mem}/d\log n$")
    legend(ax, loc="upper left")
    return figure


def draw_optimisers(numbers: Numbers) -> Figure:
    """tau_mem against n in steps and in passes."""
    figure, (axes,) = canvas(2, 3.2)
    names = list(dict.fromkeys(path.rsplit("/", 1)[0] for path in numbers))
    for i, name in enumerate(names):
        n, tau = numbers[f"{name}/n"], numbers[f"{name}/tau"]
        relative = np.nan_to_num(numbers[f"{name}/error"])
        fit, error = numbers[f"{name}/slope"]
        text = "" if np.isnan(fit) else f": {fit:z.2f}"
        text += "" if np.isnan(error) else rf" $\pm$ {error:.2f}"
        for ax, y in zip(axes, (tau, numbers[f"{name}/passes"]), strict=True):
            ax.errorbar(n, y, yerr=relative * y, marker=MARKS[i % 7], markersize=4, linewidth=1.0,
                        color=COLOURS[i % 6], label=name + text)  # fmt: skip
    sizes = np.concatenate([numbers[f"{name}/n"] for name in names])
    for ax, name in zip(axes, ("steps", "passes over the data"), strict=True):
        log2_x(ax, sizes)
        log_y(ax)
        ax.set_xlabel("training samples n")
        ax.set_ylabel(name)
        ax.set_title(f"{name} until the loss ratio is 2", fontsize=8)
    legend(axes[0])
    return figure


def draw_passes(numbers: Numbers) -> Figure:
    """Loss ratio of full batches along the passes; of all protocols after equally many."""
    full = sorted({path.split("/")[0] for path in numbers if "full batch" in path.split("/")[0]})
    columns = len(full) + 1 if len(full) < 3 else 2
    rows = -(-(len(full) + 1) // columns)
    figure, grid = canvas(columns, 0.4 + 2.8 * rows, rows=rows)
    axes = grid.ravel()
    where = float(numbers["passes"])
    sizes = sorted({label for name in full for label in labels(numbers, "n", f"{name}/")}, key=size)
    most = max(
        (
            numbers[path].max()
            for path in numbers
            if "full batch" in path and path.endswith("/ratio") and "/at/" not in path
        ),
        default=2.0,
    )
    for ax, name in zip(axes, full, strict=False):
        curves(ax, numbers, "n", get(numbers, "ratio"), under=f"{name}/", among=sizes)
        ax.axvline(where, color=GREY, linewidth=0.8)
        ax.set_ylim(0.9, 1.1 * most)
        log_y(ax)
        ax.set_title(name, fontsize=8)
        ax.set_xlabel("passes over the data")
        legend(ax)
    for ax in grid[:, 0]:
        ax.set_ylabel("test over train loss")
    last = axes[len(full)]
    for ax in axes[len(full) + 1 :]:
        ax.set_visible(False)
    names = sorted({path.split("/")[0] for path in numbers if "/at/" in path})
    for i, name in enumerate(names):
        n, ratio, error = (numbers[f"{name}/at/{what}"] for what in ("n", "ratio", "error"))
        last.errorbar(n, ratio, yerr=np.nan_to_num(error) * ratio, marker=MARKS[i % 7],
                      markersize=4, linewidth=1.0, color=COLOURS[i % 6], label=name)  # fmt: skip
    log2_x(last, np.concatenate([numbers[f"{name}/at/n"] for name in names]))
    log_y(last)
    last.set_title(f"after {where:.0f} passes", fontsize=8)
    last.set_xlabel("training samples n")
    legend_below(figure, last)
    return figure


def draw_local_exponents(numbers: Numbers) -> Figure:
    """The exponent between successive sizes against n/d, a panel for each data set."""
    found = list(dict.fromkeys(path.split("/")[0] for path in numbers))
    protocols = sorted({path.split("/")[2] for path in numbers if "/network/" in path})
    style = {  # marks are open where colours come again
        name: (COLOURS[i % len(COLOURS)], MARKS[i % len(MARKS)], i < len(COLOURS))
        for i, name in enumerate(protocols)
    }
    figure, (axes,) = canvas(len(found), 3.4)
    for ax, data in zip(axes, found, strict=True):
        for name, label, line in (("same", "model, as many parameters", "--"),
                                 ("unlimited", "model, unlimited parameters", ":")):  # fmt: skip
            if f"{data}/{name}/x" in numbers:
                ax.plot(numbers[f"{data}/{name}/x"], numbers[f"{data}/{name}/value"], line,
                        color="black", linewidth=1.2, label=label)  # fmt: skip
        for protocol, (colour, mark, filled) in style.items():
            path = f"{data}/network/{protocol}"
            if f"{path}/x" in numbers:
                ax.errorbar(
                    numbers[f"{path}/x"], numbers[f"{path}/value"],
                    yerr=np.nan_to_num(numbers[f"{path}/error"]), fmt=f"{mark}-", color=colour,
                    markerfacecolor=colour if filled else "white", markersize=4.5,
                    linewidth=1.1 if filled else 0.8, label=protocol,
                )  # fmt: skip
        ax.axhline(1.0, color=GREY, linewidth=0.8)
        ax.set_xscale("log", base=2)
        ax.set_ylim(0.0, 3.0)
        ax.set_xlabel("samples over dimensions n/d")
        ax.set_title(data, fontsize=8)
    axes[0].set_ylabel(r"$d\log\tau_{\rm mem}/d\log n$")
    named: dict[str, Any] = {}
    for ax in axes:
        named |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    figure.legend(named.values(), named, loc="outside lower center", ncols=3, fontsize=7,
                  frameon=False)  # fmt: skip
    return figure
