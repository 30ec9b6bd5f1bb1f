"""Losses under mini-batch SGD at several noises, beside networks that are trained step by step."""

from __future__ import annotations

from typing import Any

import numpy as np

from dmft_rf import GradientFlow, ScoreModel, StochasticGradientDescent, sgd, solve
from dmft_rf.rules.stochastic import TrainingRule
from figures.figure import Figure
from figures.numbers import Numbers
from figures.simulations import Simulations, standard_error
from validation.common import style
from validation.finite.case import FLOW, Case, Sizes

MODEL = ScoreModel(0.1, 4.0, 2.0)
NOISES = (2.0, 5.0, 10.0)
AT = (1.0, 3.0, 10.0, 30.0, 100.0)
SIZES: dict[str, Sizes] = {"quick": ((40, 24),), "paper": ((160, 24),)}
TAU = np.geomspace(0.3, 300.0, 100)


def rules() -> dict[str, TrainingRule]:
    """The rules by label: gradient flow, and batches of 1 at each noise."""
    return {FLOW: GradientFlow(), **{f"eps={e:g}": StochasticGradientDescent(e) for e in NOISES}}


def cases(profile: str) -> list[Case]:
    """Networks that take every step of every rule."""
    about = "SGD at several noises, psi_p = 4, psi_n = 2, t = 0.1"
    return [Case("figure_sgd", about, MODEL, SIZES[profile], AT, rules())]


def compute(profile: str, simulations: Simulations) -> Numbers:
    """Theory, and networks of the largest d, for each rule."""
    numbers = Numbers(remarks={"t": MODEL.t, "psi_p": MODEL.psi_p, "psi_n": MODEL.psi_n})
    solution = solve(MODEL)
    networks = cases(profile)[0]
    d = max(size for size, _ in networks.sizes)
    cells = [cell for cell in simulations.cells(networks) if cell.d == d]
    numbers.put("networks", {"d": d, "seeds": len(cells)})
    for i, (label, rule) in enumerate(networks.rules.items()):
        found = solution.learning_curves(TAU, rule)
        load = float(sgd.load(solution, rule)) if label != FLOW else 0.0
        at = networks.tau(rule)
        shown = np.isin(at, AT)
        numbers.put(label, {"tau": TAU, "train": found.train, "test": found.test, "load": load})
        numbers[f"{label}/networks/tau"] = at[shown]
        for name in ("train", "test"):
            values = np.stack([cell.arrays[f"{i}/{name}"] for cell in cells])[:, shown]
            numbers[f"{label}/networks/{name}"] = values.mean(axis=0)
            numbers[f"{label}/networks/{name}_error"] = standard_error(values)
    return numbers


def draw(numbers: Numbers) -> Any:
    """Train and test loss, a panel each."""
    figure, axes = style.canvas(1, 2, 2.9, sharey=True)
    labels = list(rules())
    colours = style.ordered(len(labels))
    handles = []
    for label, colour, marker, line in zip(
        labels, colours, style.MARKERS, style.LINES, strict=False
    ):
        for ax, name in zip(axes[0], ("train", "test"), strict=True):
            ax.plot(numbers[f"{label}/tau"], numbers[f"{label}/{name}"], color=colour,
                    linestyle=line)  # fmt: skip
            path = f"{label}/networks"
            style.points(
                ax, numbers[f"{path}/tau"], numbers[f"{path}/{name}"],
                numbers[f"{path}/{name}_error"], colour=colour, marker=marker,
            )  # fmt: skip
        load = numbers.number(f"{label}/load")
        text = rf"$\epsilon = {label[4:]}$, load {load:.2f}" if load else "gradient flow"
        handles.append(style.handle(text, colour, line, marker))
    for ax, name in zip(axes[0], ("train", "test"), strict=True):
        ax.set_xscale("log")
        ax.set_xlim(TAU[0], TAU[-1])
        ax.set_xlabel(style.TAU)
        ax.set_ylabel(f"{name} loss")
        ax.set_ylim(0.4, 3.2)
        ax.tick_params(labelleft=True)
    d = numbers.number("networks/d")
    handles.append(style.handle(f"networks, $d = {d:g}$", style.GREY, "", "o"))
    style.letters(list(axes[0]))
    style.legend_over(figure, handles, 5)
    return figure


FIGURE = Figure(
    "Losses under mini-batch SGD beside networks trained step by step (t = 0.1, psi_p = 4, "
    "psi_n = 2)",
    "Batches of one sample at the noise eps = eta/(d batch) of its steps; the load is the share "
    "of the train loss that noise sustains, 1 where SGD stops being stable. (a) The train loss "
    "ends, later than is drawn, at 0.71, 0.95 and 2.15, that of gradient flow, 0.61, over 1 - "
    "load. (b) The test loss gains as much, so that the gap ends at 0.84 under every noise and is "
    "half of it at about the same time (tau = 249 under gradient flow, 250, 254 and 273); at a "
    "load of 0.71 neither loss ever falls below that of the untrained network. Lines: theory at d "
    "= infinity; markers: finite nonlinear networks that take every step, their errors smaller "
    "than the markers.",
    compute, draw, cases,
)  # fmt: skip
