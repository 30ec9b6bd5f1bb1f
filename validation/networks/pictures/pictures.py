"""The pictures of trained networks, each from its numbers alone, and the list of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from validation.common.style import BLACK, BLUE, GREEN, GREY, LINES, VERMILION, ordered
from validation.networks.analysis import gather, gather_laws, gather_theory
from validation.networks.analysis.dating import GOOD, SPOILED
from validation.networks.pictures import draw_laws
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
    ratio,
    size,
)
from validation.networks.run.store import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A picture: title, caption, numbers from a store, drawing from the numbers."""

    title: str
    caption: str
    gather: Callable[[Store], Numbers]
    draw: Callable[[Numbers], Any]


def draw_regimes(numbers: Numbers) -> Figure:
    """Rows of generated pictures over rows of their nearest training pictures."""
    count = len(numbers["step"])
    figure, axes = canvas(1, 1.75 * count, rows=count)
    pairs = [[np.concatenate(list(numbers[f"at{i}/{name}"]), axis=1)
              for name in ("shown", "nearest")] for i in range(count)]  # fmt: skip
    # the grey values of training pictures; what noise adds to them is cut off
    low, high = np.quantile(np.stack([pair[1] for pair in pairs]), (0.005, 0.995))
    for i, (ax, pair) in enumerate(zip(axes[:, 0], pairs, strict=True)):
        side = pair[0].shape[0]
        gap = np.full((max(1, side // 8), pair[0].shape[1]), high)
        ax.imshow(np.concatenate([pair[0], gap, pair[1]]), cmap="gray", vmin=low, vmax=high)
        ax.set_xticks([])
        ax.set_yticks([0.5 * side, side + len(gap) + 0.5 * side],
                      ["generated", "nearest in the\ntraining set"], fontsize=7)  # fmt: skip
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set_title(
            f"n = {numbers['n'][i]:g}, step {numbers['step'][i]:.0f}, memorized "
            f"{100 * numbers['memorized'][i]:.0f} %, Frechet distance {numbers['frechet'][i]:.1f} "
            f"(real sets {float(numbers['real']):.1f})",
            fontsize=8, loc="left",
        )  # fmt: skip
    return figure


def draw_times(numbers: Numbers) -> Figure:
    """Frechet distance; memorized fraction over tau and over tau/n."""
    figure, (axes,) = canvas(3)
    curves(axes[0], numbers, "n", get(numbers, "frechet"))
    _real_sets(axes[0], numbers)
    log_y(axes[0])
    axes[0].set_ylabel("Frechet distance")
    curves(axes[1], numbers, "n", get(numbers, "memorized"), named=False)
    curves(axes[2], numbers, "n", get(numbers, "memorized"), over=size, named=False)
    axes[1].set_ylabel(r"memorized fraction $f_{\rm mem}$")
    axes[2].set_xlabel(r"$\tau/n$")
    legend_below(figure, axes[0])
    return figure


def _real_sets(ax: Any, numbers: Numbers) -> None:
    real = [values for path, values in numbers.items() if path.endswith("/frechet_real")]
    if real:
        ax.axhline(float(np.mean([r[0] for r in real])), color=GREY, linestyle="--", linewidth=1.0,
                   label="real sets")  # fmt: skip


def draw_losses(numbers: Numbers) -> Figure:
    """Losses, and their ratio over tau and over tau/n."""
    figure, (axes,) = canvas(3)
    curves(axes[0], numbers, "n", get(numbers, "test"))
    curves(axes[0], numbers, "n", get(numbers, "train"), line=":", named=False)
    log_y(axes[0])
    axes[0].set_ylabel(f"loss of the noise, time index {float(numbers['index']):g}")
    axes[0].set_title("full: test, dotted: train", fontsize=7)
    for ax, over, name in ((axes[1], lambda label: 1.0, "spread_raw"), (axes[2], size, "spread")):
        curves(ax, numbers, "n", ratio(numbers), over=over, named=False)
        ax.axhline(2.0, color=GREY, linewidth=0.8)
        log_y(ax)
        if np.isfinite(numbers[name]):
            ax.set_title(f"distance from one curve: {float(numbers[name]):.2f}", fontsize=7)
    axes[1].set_ylabel("test over train loss")
    axes[2].set_xlabel(r"$\tau/n$")
    legend_below(figure, axes[0])
    return figure


def draw_width(numbers: Numbers) -> Figure:
    """Quality and loss ratio for several widths; below over W tau and W tau/n."""
    figure, axes = canvas(2, 4.8, rows=2)
    most, sizes = f"n={float(numbers['n']):g}/", labels(numbers, "n")
    for row, over in zip(axes, (lambda label: 1.0, lambda label: 1.0 / size(label)), strict=True):
        curves(row[0], numbers, "W", get(numbers, "frechet"), over=over, under=most)
        _real_sets(row[0], numbers)
        for n, line in zip(sizes, LINES, strict=False):
            per = size(n) if row is axes[1] else 1.0

            def scale(label: str, over: Any = over, per: float = per) -> float:
                return float(per * over(label))

            curves(row[1], numbers, "W", ratio(numbers), over=scale, under=f"{n}/", line=line,
                   named=False)  # fmt: skip
        for ax in row:
            log_y(ax)
        row[0].set_ylabel("Frechet distance")
        row[1].set_ylabel("test over train loss")
        row[0].set_title(most.replace("=", " = ").strip("/"), fontsize=8, loc="left")
    axes[1, 0].set_xlabel(r"$W\,\tau$")
    axes[1, 1].set_xlabel(r"$W\,\tau/n$")
    for n, line in zip(sizes, LINES, strict=False):
        axes[0, 1].plot([], [], color=BLACK, linestyle=line, label=n.replace("=", " = "))
    legend(axes[0, 1], loc="upper left")
    legend_below(figure, axes[0, 0])
    return figure


def draw_criteria(numbers: Numbers) -> Figure:
    """How the memorized fraction depends on its threshold."""
    figure, ((ax,),) = canvas(1, 2.9, 4.6)
    thresholds = (("1/3, as in the paper", BLUE), ("1/2", VERMILION), ("1/4", GREEN))
    for i, (name, colour) in enumerate(thresholds):
        ax.errorbar(numbers["step"], numbers["memorized"][:, i], yerr=numbers["error"][:, i],
                    color=colour, marker=MARKS[i], markersize=3, linewidth=1.0,
                    label=f"below {name}")  # fmt: skip
    ax.set_xscale("log")
    ax.set_xlabel(TAU)
    ax.set_ylabel("memorized fraction")
    ax.set_title(f"n = {float(numbers['n']):g} training samples", fontsize=8)
    legend(ax, title="distance to the nearest\nover the second nearest", title_fontsize=7)
    return figure


def draw_mixture(numbers: Numbers) -> Figure:
    """Losses, score error, memorized fraction."""
    figure, (axes,) = canvas(3)
    curves(axes[0], numbers, "n", get(numbers, "test"))
    curves(axes[0], numbers, "n", get(numbers, "train"), line=":", named=False)
    curves(axes[1], numbers, "n", get(numbers, "score_error"), named=False)
    curves(axes[2], numbers, "n", get(numbers, "memorized"), named=False)
    axes[0].set_title("test: full; train: dotted", fontsize=7)
    for ax, name in zip(
        axes, ("loss of the noise", "score error per dimension", "memorized fraction"), strict=True
    ):
        ax.set_ylabel(name)
    log_y(axes[0])
    log_y(axes[1])
    legend_below(figure, axes[0])
    return figure


def draw_divergence(numbers: Numbers) -> Figure:
    """KL over tau by n and by W, and the memorized fraction."""
    figure, axes = canvas(2, 4.6, rows=2)
    for row, label, fixed in zip(axes, ("n", "W"), ("W", "n"), strict=True):
        curves(row[0], numbers, label, get(numbers, "divergence"))
        curves(row[1], numbers, label, get(numbers, "memorized"), named=False)
        log_y(row[0])
        for level in (GOOD, SPOILED):
            row[0].axhline(level, color=GREY, linewidth=0.8)
        row[0].set_ylabel("KL(generated || data)/d")
        row[1].set_ylabel(r"memorized fraction $f_{\rm mem}$")
        legend(row[0], loc="upper left", ncols=2)
        for ax in row:
            ax.set_title(f"{fixed} = {float(numbers[fixed]):g}", fontsize=8, loc="right")
    return figure


def draw_theory(numbers: Numbers) -> Figure:
    """Gap over test loss, network and solvable model, and the two tau_mem against n."""
    figure, (axes,) = canvas(3, 3.1)
    found = labels(numbers, "n")
    for label, colour in zip(found, ordered(len(found)), strict=False):
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
    for ax in axes[:2]:
        ax.set_title("points: networks, dashed: model", fontsize=7)
    axes[2].set_title("time to memorize", fontsize=7)
    log_y(axes[1])
    n = np.array([size(label) for label in found])
    times = {
        kind: (n, np.array([float(numbers[f"{label}/{kind}/tau_mem"]) for label in found]))
        for kind in ("network", "model")
    } | {"unlimited": (numbers["unlimited/n"], numbers["unlimited/tau_mem"])}
    names = ("network", "model", "model, unlimited\nparameters")
    for (x, tau), name, mark, colour in zip(
        times.values(), names, ("o-", "s--", "^:"), (BLUE, VERMILION, GREEN), strict=True
    ):
        axes[2].plot(x, tau / tau[0], mark, color=colour, markersize=4, label=name)
    n = numbers["unlimited/n"]
    axes[2].plot(n, n / n[0], color=GREY, linewidth=0.8, label="proportional to n")
    log2_x(axes[2], n[::2])
    axes[2].tick_params(axis="x", labelsize=7)
    log_y(axes[2])
    axes[2].set_xlabel("training samples n")
    axes[2].set_ylabel(r"$\tau_{\rm mem}(n)/\tau_{\rm mem}(n_{\min})$")
    legend_below(figure, axes[0])
    axes[2].set_ylim(top=30.0 * axes[2].get_ylim()[1])  # room for the legend
    legend(axes[2], loc="upper left")
    return figure


PICTURES: dict[str, Picture] = {
    "networks-regimes": Picture(
        "Generated pictures along training",
        "Upper rows: generated from the same noise; lower rows: the nearest training picture (the "
        "mean picture is taken out). At the largest n before and at its least test loss, then "
        "the largest set of which samples were memorized, at its end.",
        gather.regimes, draw_regimes,
    ),
    "networks-times": Picture(
        "Quality comes first, memorization later, and later for more samples",
        "U-Net with momentum; averaged weights, one line per seed. On tau/n the memorized "
        "fractions come together where the law tau_mem ~ n holds. Dashed: real sets of that size.",
        gather.times, draw_times,
    ),
    "networks-losses": Picture(
        "When train and test loss part",
        "Losses of the prediction of the noise at one fixed diffusion time. Distance from one "
        "curve: root mean square distance of the curves from their mean, over the range of it; 0 "
        "where they all lie on one another.",
        gather.losses, draw_losses,
    ),
    "networks-scaling": Picture(
        "Training times against the number of samples",
        "Geometric means over the seeds; slopes of logarithm against logarithm, the scatter of "
        "three seeds or more and the standard error of one straight line in quadrature. Dotted, "
        "open: dated by each curve's own minimum, which moves with n. Full: the level is the same "
        "for all n.",
        gather_laws.scaling, draw_laws.draw_scaling,
    ),
    "networks-scaling-width": Picture(
        "Training times against the width",
        "One line per number of samples, with its slope of logarithm against logarithm. The "
        "rate of the optimiser is the same at all widths.",
        gather_laws.scaling_width, draw_laws.draw_scaling_width,
    ),
    "networks-width": Picture(
        "Networks of several widths, on the training time and rescaled",
        "First seed. Left: Frechet distance at the largest n; right: test over train loss at all "
        "n. Above over the steps tau, below over W tau and W tau/n, the paper's scales of tau_gen "
        "and tau_mem: the curves of W = 32 and 48 come together there for each n, narrower "
        "networks are later. The rate is the same at all widths.",
        gather.width, draw_width,
    ),
    "networks-diagram": Picture(
        "Three regions of samples and width",
        "After one budget of steps; the region of most seeds, open where they differ. What ended "
        "before the budget without memorizing is not shown.",
        gather_laws.diagram, draw_laws.draw_diagram,
    ),
    "networks-boundary": Picture(
        "From how many samples on a network does not memorize in time",
        "n(p): the n whose loss ratio is 2 after 3, 8, 30 and 100 tau_gen, against the number of "
        "parameters; Frechet distance at the common level dates tau_gen. (a) That of each width; "
        "(b) that of the width of the main line for all, so that a line has one training time. "
        "Smaller multiples end below the smallest n trained. Errors over seeds, mostly smaller "
        "than the markers.",
        gather_laws.boundary, draw_laws.draw_boundary,
    ),
    "networks-quiet": Picture(
        "The exponent of memorization with less noise in the gradient",
        "Momentum; exponent of tau_mem (loss ratio 2) in n from size to size, against the noise "
        "of the gradient, rate over batch, in units of the largest. Full: batches of 64 at "
        "falling rates; open: batches of 512. One seed at the least noise (no error bar), three "
        "elsewhere (n = 512: two). The paper's law is the exponent 1 (line).",
        gather_laws.noise, draw_laws.draw_noise,
    ),
    "networks-criteria": Picture(
        "The threshold on the ratio of distances",
        "The memorized fraction with thresholds 1/2, 1/3 and 1/4; bootstrap errors.",
        gather.criteria, draw_criteria,
    ),
    "networks-optimisers": Picture(
        "Optimisers: steps and passes until memorization",
        "Slopes against n. A full batch shows every sample equally often at equal steps whatever "
        "n is. The noise of its gradient falls with n, by which Adam divides: it speeds up, less "
        "with several noises for each sample; momentum does not.",
        gather_laws.optimisers, draw_laws.draw_optimisers,
    ),
    "networks-passes": Picture(
        "The same number of passes over the data",
        "Were memorization a matter of how often a sample has been seen, the loss ratio after "
        "equally many passes would not depend on n. Right: at the geometric mean of the passes "
        "after which it is 2.",
        gather_laws.passes, draw_laws.draw_passes,
    ),
    "networks-mixture": Picture(
        "A Gaussian mixture, whose score is known",
        "Residual network, d = 8, means +-1. The score error has its minimum "
        "before the losses part widely.",
        gather.mixture, draw_mixture,
    ),
    "networks-divergence": Picture(
        "Quality by the Kullback-Leibler divergence on the Gaussian mixture",
        "Momentum, batches of 512; averaged weights, one line per seed. KL of the generated law "
        "from the mixture per dimension, with the exact density of what the sampler generates; "
        "horizontal: 0.1 and 0.2, which date when quality has come and gone. Above by the number "
        "of samples, below by the width.",
        gather.divergence, draw_divergence,
    ),
    "networks-guidance": Picture(
        "Classifier-free guidance on labelled pictures",
        "Residual network on labelled pictures of 8 x 8, guidance 1, Adam, batch 64; averaged "
        "weights, one line per seed. Guided samples, too, are memorized later for more samples. "
        "Their Frechet distance stays above that of real sets.",
        gather.guided, draw_times,
    ),
    "networks-mixture-scaling": Picture(
        "Training times on the Gaussian mixture",
        "As for the pictures; the score error dates the end of generalization directly.",
        lambda store: gather_laws.scaling(store, "mixture"), draw_laws.draw_scaling,
    ),
    "networks-theory": Picture(
        "The solvable model beside the networks",
        "Random features with the covariance of the same pictures, the same t and n/d, and as many "
        "trained parameters; each time over its own tau_mem (loss ratio 2). Nothing is fitted. "
        "Seed 0; where the model never reaches the ratio 2, it is not drawn. With unlimited "
        "parameters its tau_mem becomes proportional to n where n is far above d. Before training "
        "the model says nothing (loss 1), the networks, which predict v, a little (0.83).",
        gather_theory.theory, draw_theory,
    ),
    "networks-exponents": Picture(
        "Where memorization takes a time proportional to n",
        "Exponent of tau_mem (loss ratio 2) against n between successive sizes, up to three seeds, "
        "with its error; for pictures beside random features with the same covariance, t and n/d. "
        "The law tau_mem ~ n is the exponent 1.",
        gather_theory.local_exponents, draw_laws.draw_local_exponents,
    ),
}  # fmt: skip
