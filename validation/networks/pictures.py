"""The pictures of trained networks, each from its numbers alone (`validation.networks.gather`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from validation.networks import gather
from validation.networks.store import Store
from validation.networks.summary import DATES, REGIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
Numbers = dict[str, Array]

BLUE, VERMILION, GREEN, PURPLE, ORANGE = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"
GREY, SKY = "#6B6B6B", "#56B4E9"
_TAU = r"training time $\tau$ (steps)"
_MARKS = "os^DvPX"
_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE)


@dataclass(frozen=True)
class Picture:
    """A picture: title, caption, numbers from a store, drawing from the numbers."""

    title: str
    caption: str
    gather: Callable[[Store], Numbers]
    draw: Callable[[Numbers], Any]


def _canvas(columns: int, height: float = 2.7, width: float = 7.0, rows: int = 1) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _labels(numbers: Numbers, start: str) -> list[str]:
    """``n=16``, ``n=32``, ... in numerical order."""
    found = {path.split("/")[0] for path in numbers if path.startswith(f"{start}=")}
    return sorted(found, key=lambda label: int(label.split("=")[1]))


def _curves(
    ax: Axes, numbers: Numbers, start: str, value: Callable[[str], Array | None],
    over: Callable[[str], float] = lambda label: 1.0, line: str = "-", named: bool = True,
) -> None:  # fmt: skip
    """One colour per label, one thin line per seed."""
    import matplotlib

    labels = _labels(numbers, start)
    colours = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.82, max(2, len(labels))))
    for label, colour in zip(labels, colours, strict=False):
        paths = sorted(p.removesuffix("/step") for p in numbers if p.startswith(f"{label}/s")
                       and p.endswith("/step"))  # fmt: skip
        for i, path in enumerate(paths):
            y = value(path)
            if y is not None:
                ax.plot(numbers[f"{path}/step"] / over(label), y, line, color=colour, linewidth=1.1,
                        label=label.replace("=", " = ") if named and i == 0 else None)  # fmt: skip
    ax.set_xscale("log")
    ax.set_xlabel(_TAU)


def _get(numbers: Numbers, name: str) -> Callable[[str], Array | None]:
    return lambda path: numbers.get(f"{path}/{name}")


def _ratio(numbers: Numbers) -> Callable[[str], Array | None]:
    return lambda path: numbers[f"{path}/test"] / numbers[f"{path}/train"]


def _size(label: str) -> float:
    return float(label.split("=")[1])


def _legend(ax: Axes, **keywords: Any) -> None:
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize=7, frameon=False, **keywords)


def draw_regimes(numbers: Numbers) -> Figure:
    """Rows of generated pictures over rows of their nearest training pictures."""
    count = len(numbers["step"])
    figure, axes = _canvas(1, 1.65 * count, rows=count)
    for i, ax in enumerate(axes[:, 0]):
        rows = [np.concatenate(list(numbers[f"at{i}/{name}"]), axis=1)
                for name in ("shown", "nearest")]  # fmt: skip
        ax.imshow(np.concatenate(rows), cmap="gray", vmin=-2.0, vmax=3.0)
        ax.set_xticks([])
        ax.set_yticks([])
        ax.set_title(
            f"step {numbers['step'][i]:.0f}, memorized {100 * numbers['memorized'][i]:.0f} %",
            fontsize=8, loc="left",
        )  # fmt: skip
    return figure


def draw_times(numbers: Numbers) -> Figure:
    """Frechet distance; memorized fraction over tau and over tau/n."""
    figure, (axes,) = _canvas(3)
    _curves(axes[0], numbers, "n", _get(numbers, "frechet"))
    real = [values for path, values in numbers.items() if path.endswith("/frechet_real")]
    if real:
        axes[0].axhline(float(np.mean([r[0] for r in real])), color=GREY, linestyle="--",
                        linewidth=1.0, label="real sets")  # fmt: skip
    axes[0].set_yscale("log")
    axes[0].set_ylabel("Frechet distance")
    _curves(axes[1], numbers, "n", _get(numbers, "memorized"), named=False)
    _curves(axes[2], numbers, "n", _get(numbers, "memorized"), over=_size, named=False)
    axes[1].set_ylabel(r"memorized fraction $f_{\rm mem}$")
    axes[2].set_xlabel(r"$\tau/n$")
    _legend(axes[0])
    return figure


def draw_losses(numbers: Numbers) -> Figure:
    """Losses, and their ratio over tau and over tau/n."""
    figure, (axes,) = _canvas(3)
    _curves(axes[0], numbers, "n", _get(numbers, "test"))
    _curves(axes[0], numbers, "n", _get(numbers, "train"), line=":", named=False)
    axes[0].set_yscale("log")
    axes[0].set_ylabel(f"loss of the noise at k = {float(numbers['index']):g}")
    axes[0].set_title("test: full; train: dotted", fontsize=7)
    for ax, over, name in ((axes[1], lambda label: 1.0, "spread_raw"), (axes[2], _size, "spread")):
        _curves(ax, numbers, "n", _ratio(numbers), over=over, named=False)
        ax.axhline(2.0, color=GREY, linewidth=0.8)
        ax.set_yscale("log")
        if np.isfinite(numbers[name]):
            ax.set_title(f"spread {float(numbers[name]):.2f}", fontsize=7)
    axes[1].set_ylabel("test over train loss")
    axes[2].set_xlabel(r"$\tau/n$")
    _legend(axes[0])
    return figure


def draw_scaling(numbers: Numbers) -> Figure:
    """Training times against n and against W."""
    panels = [
        name for name in "nW" if any(p.startswith((f"{name}/gen", f"{name}/mem")) for p in numbers)
    ]
    figure, (axes,) = _canvas(len(panels), 3.9, 3.5 * len(panels) + 0.5)
    fixed = {"n": "n/W", "W": "W/n"}
    names = {"n": "training samples n (W = {:g})", "W": "width W (n = {:g})"}
    colours = dict(zip(DATES, (BLUE, VERMILION, ORANGE, GREEN, PURPLE, SKY, GREY), strict=True))
    marks = dict(zip(DATES, _MARKS, strict=True))
    for ax, against in zip(axes, panels, strict=True):
        for which, name in DATES.items():
            path = f"{against}/{which}"
            if f"{path}/x" not in numbers:
                continue
            x, tau = numbers[f"{path}/x"], numbers[f"{path}/tau"]
            error = np.nan_to_num(numbers[f"{path}/error"]) * tau
            fit, by_seed, by_line = numbers[f"{path}/slope"]
            told = by_seed if np.isfinite(by_seed) else by_line
            text = "" if np.isnan(fit) else f": slope {fit:.2f}"
            text += "" if np.isnan(told) else rf" $\pm$ {told:.2f}"
            ax.errorbar(x, tau, yerr=error, color=colours[which], marker=marks[which], markersize=4,
                        linewidth=1.0, label=name + text)  # fmt: skip
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        _legend(ax, loc="upper center", bbox_to_anchor=(0.45, -0.18))
        ax.set_xlabel(names[against].format(float(numbers[fixed[against]])))
    axes[0].set_ylabel(_TAU)
    return figure


def draw_width(numbers: Numbers) -> Figure:
    """The same n with several widths."""
    figure, (axes,) = _canvas(3)
    _curves(axes[0], numbers, "W", _get(numbers, "frechet"))
    _curves(axes[1], numbers, "W", _get(numbers, "memorized"), named=False)
    _curves(axes[2], numbers, "W", _ratio(numbers), named=False)
    for ax, name in zip(axes, ("Frechet distance", "memorized fraction", "test over train loss"),
                        strict=True):  # fmt: skip
        ax.set_ylabel(name)
    axes[0].set_yscale("log")
    axes[2].set_yscale("log")
    axes[1].set_title(f"n = {float(numbers['n']):g}", fontsize=8)
    _legend(axes[0])
    return figure


def draw_diagram(numbers: Numbers) -> Figure:
    """Three regions of (n, W)."""
    figure, ((ax,),) = _canvas(1, 3.0, 4.4)
    table = numbers["table"]
    for value, (name, colour, mark) in enumerate(
        zip(REGIONS, (VERMILION, GREEN, BLUE), "so^", strict=True)
    ):
        here = table[table[:, 2] == value]
        ax.plot(here[:, 0], here[:, 1], mark, color=colour, label=name, markersize=7, alpha=0.7)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    ax.set_xlabel("training samples n")
    ax.set_ylabel("width W")
    ax.set_title(f"after {float(numbers['budget']):g} steps", fontsize=8)
    _legend(ax, loc="upper left", bbox_to_anchor=(0.0, -0.2))
    return figure


def draw_criteria(numbers: Numbers) -> Figure:
    """How the memorized fraction depends on its threshold."""
    figure, ((ax,),) = _canvas(1, 2.7, 4.4)
    for i, (name, colour) in enumerate((("1/3", BLUE), ("1/2", VERMILION), ("1/4", GREEN))):
        ax.errorbar(numbers["step"], numbers["memorized"][:, i], yerr=numbers["error"][:, i],
                    color=colour, marker=_MARKS[i], markersize=3, linewidth=1.0,
                    label=f"ratio below {name}")  # fmt: skip
    ax.set_xscale("log")
    ax.set_xlabel(_TAU)
    ax.set_ylabel("memorized fraction")
    ax.set_title(f"n = {float(numbers['n']):g}", fontsize=8)
    _legend(ax)
    return figure


def draw_optimisers(numbers: Numbers) -> Figure:
    """tau_mem against n in steps and in passes."""
    figure, (axes,) = _canvas(2, 2.9)
    names = list(dict.fromkeys(path.rsplit("/", 1)[0] for path in numbers))
    for i, name in enumerate(names):
        n, tau = numbers[f"{name}/n"], numbers[f"{name}/tau"]
        relative = np.nan_to_num(numbers[f"{name}/error"])
        for ax, y in zip(axes, (tau, numbers[f"{name}/passes"]), strict=True):
            ax.errorbar(n, y, yerr=relative * y, marker=_MARKS[i % 5], markersize=4, linewidth=1.0,
                        color=_COLOURS[i % 5], label=name)  # fmt: skip
    for ax, name in zip(axes, ("steps", "passes over the data"), strict=True):
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_xlabel("training samples n")
        ax.set_ylabel(f"{name} until the loss ratio is 2")
    _legend(axes[0])
    return figure


def draw_mixture(numbers: Numbers) -> Figure:
    """Losses, score error, memorized fraction."""
    figure, (axes,) = _canvas(3)
    _curves(axes[0], numbers, "n", _get(numbers, "test"))
    _curves(axes[0], numbers, "n", _get(numbers, "train"), line=":", named=False)
    _curves(axes[1], numbers, "n", _get(numbers, "score_error"), named=False)
    _curves(axes[2], numbers, "n", _get(numbers, "memorized"), named=False)
    axes[0].set_title("test: full; train: dotted", fontsize=7)
    for ax, name in zip(
        axes, ("loss of the noise", "score error per dimension", "memorized fraction"), strict=True
    ):
        ax.set_ylabel(name)
    axes[0].set_yscale("log")
    axes[1].set_yscale("log")
    _legend(axes[0])
    return figure


def draw_theory(numbers: Numbers) -> Figure:
    """Gap over test loss, network and solvable model, and the two tau_mem against n."""
    figure, (axes,) = _canvas(3, 2.8)
    labels = _labels(numbers, "n")
    import matplotlib

    colours = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.82, max(2, len(labels))))
    for label, colour in zip(labels, colours, strict=False):
        for kind, line in (("network", "o-"), ("model", "--")):
            tau, train, test = (numbers[f"{label}/{kind}/{x}"] for x in ("tau", "train", "test"))
            if np.isnan(tau).all():
                continue
            style = {"color": colour, "linewidth": 1.1, "markersize": 2.5}
            text = label.replace("=", " = ") if kind == "network" else None
            axes[0].plot(tau, (test - train) / test, line, label=text, **style)
            axes[1].plot(tau, test, line, **style)
    for ax, name in zip(axes, ("(test - train)/test loss", "test loss"), strict=False):
        ax.set_xscale("log")
        ax.set_xlim(1e-3, 1e2)
        ax.set_xlabel(r"$\tau/\tau_{\rm mem}$")
        ax.set_ylabel(name)
    axes[0].set_title("networks: points; solvable model: dashed", fontsize=7)
    axes[1].set_yscale("log")
    n = np.array([_size(label) for label in labels])
    for kind, mark in (("network", "o-"), ("model", "s--")):
        tau = np.array([float(numbers[f"{label}/{kind}/tau_mem"]) for label in labels])
        axes[2].plot(n, tau / tau[0], mark, color=BLUE if kind == "network" else VERMILION,
                     markersize=4, label=kind)  # fmt: skip
    axes[2].plot(n, n / n[0], ":", color=GREY, label="proportional to n")
    axes[2].set_xscale("log", base=2)
    axes[2].set_yscale("log", base=2)
    axes[2].set_xlabel("training samples n")
    axes[2].set_ylabel(r"$\tau_{\rm mem}(n)/\tau_{\rm mem}(n_{\min})$")
    _legend(axes[0])
    _legend(axes[2])
    return figure


PICTURES: dict[str, Picture] = {
    "networks-regimes": Picture(
        "Generated pictures along training",
        "Upper rows: generated from the same noise; lower rows: the nearest training picture (the "
        "mean picture is taken out). "
        "Before, at and after the least test loss of the largest set that was memorized.",
        gather.regimes, draw_regimes,
    ),
    "networks-times": Picture(
        "Quality comes first, memorization later, and later for more samples",
        "U-Net; averaged weights, one line per seed. On tau/n the memorized fractions come "
        "together where the law tau_mem ~ n holds. Dashed: real sets of the same size.",
        gather.times, draw_times,
    ),
    "networks-losses": Picture(
        "Train and test loss part at a time proportional to n",
        "Losses of the prediction of the noise at one fixed diffusion time. Spread: root mean "
        "square distance of the curves from their mean over its range; 0 is a perfect collapse.",
        gather.losses, draw_losses,
    ),
    "networks-scaling": Picture(
        "Training times against the number of samples and against the width",
        "Geometric means over the seeds; slopes of logarithm against logarithm with the standard "
        "error over three seeds or more, else that of the straight line.",
        gather.scaling, draw_scaling,
    ),
    "networks-width": Picture(
        "The same data, networks of several widths", "Wider networks do everything sooner.",
        gather.width, draw_width,
    ),
    "networks-diagram": Picture(
        "Three regions of samples and width",
        "After one budget of steps. What ended before the budget without memorizing is not shown.",
        gather.diagram, draw_diagram,
    ),
    "networks-criteria": Picture(
        "The threshold on the ratio of distances",
        "The memorized fraction with thresholds 1/2, 1/3 and 1/4; bootstrap errors.",
        gather.criteria, draw_criteria,
    ),
    "networks-optimisers": Picture(
        "The law does not come from repeating the data",
        "With full batches all n see every sample once a step: were repetition the cause, the "
        "times would not depend on n.",
        gather.optimisers, draw_optimisers,
    ),
    "networks-mixture": Picture(
        "A Gaussian mixture, whose score is known",
        "Residual network, d = 8, means +-1. The score error has its minimum "
        "before the losses part widely.",
        gather.mixture, draw_mixture,
    ),
    "networks-mixture-scaling": Picture(
        "Training times on the Gaussian mixture",
        "As for the pictures; the score error dates the end of generalization directly.",
        lambda store: gather.scaling(store, "mixture"), draw_scaling,
    ),
    "networks-theory": Picture(
        "The solvable model beside the networks",
        "Random features with the covariance of the same pictures, the same t and n/d, and as many "
        "trained parameters; each time over its own tau_mem (loss ratio 2). Nothing is fitted.",
        gather.theory, draw_theory,
    ),
}  # fmt: skip
