"""Learning curves for data of another variance (supplement of arXiv:2505.17638)."""

from __future__ import annotations

from typing import Any

import numpy as np

from dmft_rf import ScoreModel
from figures.figure import Figure
from figures.numbers import Numbers
from figures.shared import curves
from figures.simulations import Simulations, case, isotropic
from validation.common import style
from validation.finite.case import Case, Sizes

T, PSI_P, PSI_N, SCALES = 0.1, 64.0, (4, 8, 16, 32), (0.5, 2.0)
SIZES: Sizes = ((12, 12), (25, 4), (50, 1))
TAU = np.geomspace(0.3, 1e6, 160)


def cases(profile: str) -> list[Case]:
    """Networks for every sigma_x and psi_n."""
    return [
        case(
            f"scale{scale:g}_n{psi_n}", f"sigma_x = {scale:g}, psi_p = 64, psi_n = {psi_n}",
            ScoreModel(T, PSI_P, float(psi_n), covariance=isotropic(scale**2)),
            SIZES, (10.0, 1e4),
        )
        for scale in SCALES
        for psi_n in PSI_N
    ]  # fmt: skip


def compute(profile: str, simulations: Simulations) -> Numbers:
    """Theory and networks."""
    numbers = Numbers(remarks={"t": T, "psi_p": PSI_P})
    for networks in cases(profile):
        scale = networks.model.covariance.mean**0.5
        path = f"sigma={scale:g}/psi_n={networks.model.psi_n:g}"
        curves.put_curves(numbers, path, networks, simulations, TAU)
    return numbers


def draw(numbers: Numbers) -> Any:
    """A column for each sigma_x: score error above, losses below."""
    figure, axes = style.canvas(2, 2, 4.8, sharex=True, sharey="row")
    colours = style.ordered(len(PSI_N))
    for column, scale in enumerate(SCALES):
        above, below = axes[:, column]
        for ax in (above, below):
            style.log(ax)
        for psi_n, colour, marker in zip(PSI_N, colours, style.MARKERS, strict=False):
            path = f"sigma={scale:g}/psi_n={psi_n}"
            keys: dict[str, Any] = {"colour": colour, "marker": marker}
            curves.draw_curve(above, numbers, path, "score_error", **keys)
            curves.draw_curve(below, numbers, path, "test", **keys)
            curves.draw_curve(
                below, numbers, path, "train", line=(0, (4, 1.3)), hollow=True, **keys
            )
        above.set_title(rf"$\sigma_x = {scale:g}$", loc="left", x=0.04)
        below.set_xlabel(style.TAU)
    paths = [f"sigma={scale:g}/psi_n={psi_n}" for scale in SCALES for psi_n in PSI_N]
    curves.limits(axes[0, 0], numbers, paths, ["score_error"])
    curves.limits(axes[1, 0], numbers, paths, ["train", "test"])
    axes[0, 0].set_xlim(TAU[0], TAU[-1])
    axes[0, 0].set_ylabel(style.SCORE)
    axes[1, 0].set_ylabel("loss per dimension")
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
    "Learning curves for data of standard deviation 0.5 and 2 (t = 0.1, psi_p = 64)",
    "The same picture for data of another variance. For wider data (sigma_x = 2) the same noise "
    "is relatively small: the score is learned 2.4 to 2.6 times sooner (tau_gen), the sample is "
    "fitted 2.3 to 3.8 times sooner (tau_mem), and overfitting damages the score more: its error "
    "ends 18 to 31 times higher. The untrained network's error is 2.6 and 0.29. Lines: theory; "
    "markers: exact nonlinear networks of d = 12, 25 and 50, extrapolated to d = infinity (the "
    "logarithm of each loss, by a polynomial in 1/d), with one standard error; crosses: those of "
    "d = 50 themselves, which finite size keeps from the lines at late times. Open markers: train "
    "loss. The paper shows simulations here.",
    compute, draw, cases,
)  # fmt: skip
