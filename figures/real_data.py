"""Real data: predicted from their covariance and from the samples, against exact networks.

The numbers are those of `python -m validation samples`, which come with the project: not every data
set does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from figures.figure import Figure
from figures.numbers import Numbers
from figures.simulations import SHIPPED, Simulations
from validation.common import style
from validation.compare.samples import FEATURES, PARTS, TAU, Results, Sizes, cases

STORED: Path = SHIPPED.parent
NAMES = {"digits": "digits", "mnist": "MNIST", "fashion": "Fashion-MNIST", "patches": "patches"}
SOURCES = ("theory", "gauss", "samples", "rows")


def shown(results: Results) -> list[Sizes]:
    """The case of every data set that is drawn, where all of it is stored."""
    return [case for case in cases() if case.drawn and results.has(case)]


def compute(profile: str, simulations: Simulations) -> Numbers:
    """Limit theory, networks on Gaussian data, equations on the samples, networks on them."""
    results = Results(STORED)
    numbers = Numbers()
    for case in shown(results):
        networks, equations, theory = (results.known[case.name, part] for part in PARTS)
        curves = (theory["curves"], theory["gaussian"], equations["curves"], networks["curves"])
        for source, found in zip(SOURCES, curves, strict=True):
            numbers.put(f"{case.data}/{source}", found)
        for source, held in (("theory", theory), ("samples", equations), ("rows", networks)):
            numbers[f"{case.data}/{source}/final_gap"] = held["values"]["final_gap"]
        numbers[f"{case.data}/d_eff"] = theory["d_eff"]
        numbers[f"{case.data}/d"] = networks["rows"][1]
        numbers.remarks |= {"t": case.t, "n": case.n, "features": FEATURES}
    return numbers


def draw(numbers: Numbers) -> Any:
    """Test and train loss for each data set."""
    names = [name for name in NAMES if f"{name}/d" in numbers]
    rows = -(-len(names) // 2)
    figure, axes = style.canvas(rows, 2, 2.1 * rows + 0.7, sharey=True, sharex=True)
    dashes = (0, (4, 1.3))
    for ax, data in zip(axes.flat, names, strict=False):
        style.log(ax)
        for source, colour, width in (("theory", style.BLACK, 1.0), ("samples", style.GREEN, 1.6)):
            for name, line in (("test", "-"), ("train", dashes)):
                values = numbers[f"{data}/{source}/{name}"]
                ax.plot(TAU, values, color=colour, linestyle=line, linewidth=width)
        # the two kinds of networks beside one another, not on top
        for source, colour, marker, first in (
            ("gauss", style.BLUE, "o", 1), ("rows", style.VERMILION, "s", 3),
        ):  # fmt: skip
            at = slice(first, None, 4)
            for name in ("test", "train"):
                style.points(
                    ax, TAU[at], numbers[f"{data}/{source}/{name}"][at],
                    numbers[f"{data}/{source}/{name}_error"][at], colour=colour, marker=marker,
                    hollow=name == "train",
                )  # fmt: skip
        ax.set_xlim(0.5, 2e4)
        d, d_eff = (numbers.number(f"{data}/{name}") for name in ("d", "d_eff"))
        title = rf"{NAMES[data]}, $d = {d:.0f}$, $d_{{\rm eff}} = {d_eff:.1f}$"
        ax.set_title(title, loc="left", x=0.06)
    for ax in axes[-1]:
        ax.set_xlabel(style.TAU)
    values = np.concatenate(
        [
            numbers[f"{data}/{source}/{name}"]
            for data in names
            for source in SOURCES
            for name in ("train", "test")
        ]
    )
    style.limits(axes[0, 0], float(values.min()), float(values.max()))
    for ax in axes[:, 0]:
        ax.set_ylabel("loss per dimension")
    style.letters(list(axes.flat))
    handles = [
        style.handle("limit theory of the covariance", style.BLACK, "-"),
        style.handle("equations on the samples", style.GREEN, "-"),
        style.handle("train loss", style.GREY, dashes),
        style.handle("networks, Gaussian data", style.BLUE, "", "o"),
        style.handle("networks, these data", style.VERMILION, "", "s"),
    ]
    style.legend_over(figure, handles, 3)
    return figure


FIGURE = Figure(
    "Images against the theories (t = 0.1, 512 features, 128 samples)",
    "What is known of the data decides what is predicted. The limit theory, which knows the "
    "eigenvalues of their covariance alone, over-estimates the final gap between test and train "
    "loss by 43, 13, 113, 57 % for (a), (b), (c), (d). Exact networks on Gaussian data of the "
    "same covariance and dimension show what of it is finite size; the rest is that images are "
    "not Gaussian. The equations on the samples (ImageModel) know both and are within 5.7 % of "
    "exact networks on these images. The first fall of the test loss is that of the theory for "
    "all but the patches, whose loss at tau = 100 is a quarter below it. Open markers and "
    "dashes: train loss.",
    compute, draw,
)  # fmt: skip
