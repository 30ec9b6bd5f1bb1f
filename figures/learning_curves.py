"""Learning curves for several sample sizes (figure 5 of arXiv:2505.17638)."""

from __future__ import annotations

from typing import Any

import numpy as np

from dmft_rf import ScoreModel
from figures.figure import Figure
from figures.numbers import Numbers
from figures.shared import curves
from figures.simulations import Simulations
from validation.common import style
from validation.finite.case import Case, Sizes

T, PSI_P, PSI_N = 0.1, 64.0, (4, 8, 16, 32)
QUICK: Sizes = ((12, 8), (25, 5), (50, 2))
PAPER: Sizes = ((50, 8), (100, 1))
TAU = np.geomspace(0.3, 1e6, 160)


def cases(profile: str) -> list[Case]:
    """The networks of `validation` at the paper's parameters."""
    sizes = QUICK if profile == "quick" else PAPER
    return [
        Case(
            f"paper_t{T:g}_n{psi_n}", f"psi_p = 64, psi_n = {psi_n}, t = {T:g}",
            ScoreModel(T, PSI_P, float(psi_n)), sizes, (10.0, 100.0, 1e3, 1e4),
        )
        for psi_n in PSI_N
    ]  # fmt: skip


def compute(profile: str, simulations: Simulations) -> Numbers:
    """Theory and networks for every psi_n."""
    numbers = Numbers(remarks={"t": T, "psi_p": PSI_P})
    for networks in cases(profile):
        path = f"psi_n={networks.model.psi_n:g}"
        curves.put_curves(numbers, path, networks, simulations, TAU)
    return numbers


def draw(numbers: Numbers) -> Any:
    """Score error and losses, against tau (above) and tau/tau_mem (below)."""
    figure, axes = style.canvas(2, 2, 4.9)
    paths = [f"psi_n={psi_n}" for psi_n in PSI_N]
    colours = style.ordered(len(paths))
    for row, panels in enumerate(axes):
        for ax in panels:
            style.log(ax)
        for path, colour, marker in zip(paths, colours, style.MARKERS, strict=False):
            unit = numbers.number(f"{path}/theory/tau_mem") if row else 1.0
            keys: dict[str, Any] = {"colour": colour, "marker": marker, "unit": unit}
            curves.draw_curve(panels[0], numbers, path, "score_error", **keys)
            curves.draw_curve(panels[1], numbers, path, "test", **keys)
            curves.draw_curve(
                panels[1], numbers, path, "train", line=(0, (4, 1.3)), hollow=True, **keys
            )
        curves.limits(panels[0], numbers, paths, ["score_error"])
        curves.limits(panels[1], numbers, paths, ["train", "test"])
        for ax in panels:
            ax.set_xlabel(r"$\tau / \tau_{\rm mem}$" if row else style.TAU)
            ax.set_xlim(*((3e-5, 10.0) if row else (TAU[0], TAU[-1])))
        panels[0].set_ylabel(style.SCORE)
        panels[1].set_ylabel("loss per dimension")
    style.letters(list(axes.ravel()))
    handles = [
        style.handle(rf"$\psi_n = {psi_n}$", colour, "-", marker)
        for psi_n, colour, marker in zip(PSI_N, colours, style.MARKERS, strict=False)
    ]
    handles += [
        style.handle("test loss", style.BLACK, "-"),
        style.handle("train loss", style.BLACK, (0, (4, 1.3))),
        *curves.size_handles(numbers, paths[0]),
    ]
    style.legend_over(figure, handles, 4)
    return figure


FIGURE = Figure(
    "Learning curves at t = 0.1, psi_p = 64 for psi_n = 4, 8, 16, 32",
    "The score error falls to a minimum at about the same time for every sample size (tau = 14 to "
    "22) and rises again when the sample is fitted, later for more samples (a, b). The paper's "
    "unit tau_mem = psi_p/(Delta_t lambda_min), with the exact lowest edge lambda_min of U, "
    "brings the curves closer together (c, d), though not onto one another: the times at which "
    "the gap is half of its final value differ by a factor of 1.4 instead of 2.7, and those at "
    "which the score error is by 1.5 instead of 3.1. Lines: theory at d = infinity; markers: "
    "exact nonlinear networks of d = 12, 25 and 50, extrapolated to d = infinity (the logarithm "
    "of each loss, by a polynomial in 1/d), with one standard error; crosses: those of d = 50. "
    "Open markers: train loss.",
    compute, draw, cases,
)  # fmt: skip
