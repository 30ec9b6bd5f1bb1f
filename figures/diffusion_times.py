"""Learning curves at several diffusion times (supplement of arXiv:2505.17638)."""

from __future__ import annotations

from typing import Any

import numpy as np

from dmft_rf import ScoreModel
from figures.figure import Figure
from figures.numbers import Numbers
from figures.shared import curves
from figures.simulations import Simulations, case
from validation.common import style
from validation.finite.case import Case, Sizes

PSI_P, PSI_N, TIMES = 32.0, 8.0, (0.01, 0.1, 0.5, 1.0)
SIZES: Sizes = ((12, 12), (25, 8), (50, 4), (100, 1))
TAU = np.geomspace(0.1, 1e7, 180)


def cases(profile: str) -> list[Case]:
    """Networks at every t."""
    return [
        case(
            f"time_t{t:g}", f"psi_p = {PSI_P:g}, psi_n = {PSI_N:g}, t = {t:g}",
            ScoreModel(t, PSI_P, PSI_N), SIZES, (10.0, 3e5),
        )
        for t in TIMES
    ]  # fmt: skip


def compute(profile: str, simulations: Simulations) -> Numbers:
    """Theory and networks for every t."""
    numbers = Numbers(remarks={"psi_p": PSI_P, "psi_n": PSI_N})
    for networks in cases(profile):
        path = f"t={networks.model.t:g}"
        curves.put_curves(numbers, path, networks, simulations, TAU)
        numbers[f"{path}/floor"] = networks.model.floor
        numbers[f"{path}/untrained"] = networks.model.initial_score_error
    return numbers


def draw(numbers: Numbers) -> Any:
    """Score error, test loss and train loss."""
    figure, axes = style.canvas(1, 3, 2.8)
    paths = [f"t={t:g}" for t in TIMES]
    colours = style.ordered(len(paths))
    labels = (
        ("score_error", style.SCORE),
        ("test", r"test loss $L_{\rm test}$"),
        ("train", r"train loss $L_{\rm train}$"),
    )
    for ax, (name, label) in zip(axes[0], labels, strict=True):
        style.log(ax)
        for path, colour, marker, line in zip(
            paths, colours, style.MARKERS, style.LINES, strict=False
        ):
            curves.draw_curve(ax, numbers, path, name, colour=colour, marker=marker, line=line)
        curves.limits(ax, numbers, paths, [name])
        ax.set_xlim(TAU[0], TAU[-1])
        ax.set_xlabel(style.TAU)
        ax.set_ylabel(label)
    style.letters(list(axes[0]))
    handles = [
        style.handle(rf"$t = {t:g}$", colour, line, marker)
        for t, colour, marker, line in zip(TIMES, colours, style.MARKERS, style.LINES, strict=False)
    ]
    handles += curves.size_handles(numbers, paths[0])
    style.legend_over(figure, handles, 3)
    return figure


FIGURE = Figure(
    "Learning curves at several diffusion times, psi_p = 32, psi_n = 8",
    "The smaller the diffusion time, the longer training takes and the wider the window between "
    "learning the score and fitting the sample (tau_mem/tau_gen is 3,782 at t = 0.01 and 2.4 at "
    "t = 1), and the worse the damage of overfitting to the score (a). At t = 1 the noise hides "
    "the sample: the test loss ends 0.7 % above its minimum. Lines: theory. Markers: exact "
    "nonlinear networks of d = 12, 25, 50 and 100, extrapolated to d = infinity (the logarithm of "
    "each loss, by a polynomial in 1/d), with one standard error; crosses: those of d = 100.",
    compute, draw, cases,
)  # fmt: skip
