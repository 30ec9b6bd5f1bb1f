"""Learning curves for figures: theory lines, points of finite networks, the time unit tau_mem."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dmft_rf import Solution, solve
from dmft_rf._typing import Array
from figures.numbers import Numbers
from figures.simulations import LOSSES, Simulations, largest, means
from validation.common import style
from validation.finite.case import FLOW, Case

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def put_theory(numbers: Numbers, path: str, solution: Solution, tau: Array) -> None:
    """Losses at ``tau`` with their error estimates, and the timescale of the lowest edge."""
    curves = solution.learning_curves(tau)
    for name in LOSSES:
        numbers[f"{path}/{name}"] = getattr(curves, name)
        numbers[f"{path}/{name}_error"] = curves.error[name]
    numbers[f"{path}/tau"] = tau
    numbers[f"{path}/tau_mem"] = memorization_time(solution)


def memorization_time(solution: Solution) -> float:
    """psi_p/(Delta_t lambda_min), the paper's tau_mem (without the factor 2), at the exact edge."""
    model = solution.model
    lowest = float(solution.spectrum.edges[0, 0])
    return model.psi_p / (model.Delta_t * lowest)


def put_curves(
    numbers: Numbers, path: str, networks: Case, simulations: Simulations | None, tau: Array
) -> None:
    """Theory and finite networks of one case."""
    put_theory(numbers, f"{path}/theory", solve(networks.model), tau)
    if simulations is not None:
        cells = simulations.cells(networks)
        flow = networks.tau(networks.rules[FLOW])
        found = means(cells, flow)
        numbers.put(f"{path}/networks", found)
        most = largest(cells, flow)
        if most["d"] != found["d"]:  # without an error: one seed, or beside the extrapolation
            numbers.put(f"{path}/largest", most)


def draw_curve(
    ax: Axes, numbers: Numbers, path: str, name: str, *, colour: str, marker: str = "o",
    line: Any = "-", unit: float = 1.0, hollow: bool = False,
) -> None:  # fmt: skip
    """One loss of one case: a line, and markers where they lie within its times."""
    tau = numbers[f"{path}/theory/tau"]
    ax.plot(tau / unit, numbers[f"{path}/theory/{name}"], color=colour, linestyle=line, zorder=3)
    if f"{path}/networks/tau" not in numbers:
        return
    at = numbers[f"{path}/networks/tau"]
    inside = (at >= tau[0]) & (at <= tau[-1])
    # times that are nearly the same would hide one another
    kept: list[int] = []
    for i in np.flatnonzero(inside):
        if not kept or at[i] > 1.5 * at[kept[-1]]:
            kept.append(int(i))
    mean = numbers[f"{path}/networks/{name}"][kept]
    error = numbers[f"{path}/networks/{name}_error"][kept]
    style.points(ax, at[kept] / unit, mean, error, colour=colour, marker=marker, hollow=hollow)
    if f"{path}/largest/tau" in numbers:
        at, mean = (numbers[f"{path}/largest/{key}"][kept] for key in ("tau", name))
        style.points(ax, at / unit, mean, colour=colour, marker="+")


def limits(ax: Axes, numbers: Numbers, paths: Sequence[str], names: Sequence[str]) -> None:
    """The y limits that show these theory curves."""
    values = np.concatenate([numbers[f"{path}/theory/{name}"] for path in paths for name in names])
    style.limits(ax, float(values.min()), float(values.max()))


def size_handles(numbers: Numbers, path: str) -> list[Any]:
    """What the markers are, for a legend."""
    d, seeds = (numbers.number(f"{path}/networks/{name}") for name in ("d", "seeds"))
    handles = [style.handle(networks_label(d, seeds), style.GREY, "", "o")]
    if f"{path}/largest/d" in numbers:
        d = numbers.number(f"{path}/largest/d")
        handles.append(style.handle(f"networks, d = {d:g}", style.GREY, "", "+"))
    return handles


def networks_label(d: float, seeds: float) -> str:
    """What the markers of `figures.simulations.estimate` are, for a legend."""
    if math.isinf(d):
        return r"networks, extrapolated to $d = \infty$"
    return f"networks, d = {d:g}, {seeds:g} seeds"
