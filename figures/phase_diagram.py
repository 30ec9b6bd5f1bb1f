"""Where a network memorizes, where stopping saves it, and where it need not be stopped."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dmft_rf import ScoreModel, phase_diagram, solve, timescales
from dmft_rf.curves.thresholds import n_star, n_window, relative_gap
from figures.figure import Figure
from figures.numbers import Numbers
from figures.simulations import Simulations
from validation.common import style

T, LEVEL, MULTIPLE, LEARNED = 0.1, 0.1, 3.0, 0.1
TIMES = (1e3,)
LOW, HIGH, HIGHEST = 0.3, 300.0, 3e3
PSI_P_WINDOW, EARLY, LATE = 64.0, 2.0, 1e5
POINTS = {"quick": 49, "paper": 121}
# where the borders at a given time are looked for
_FIRST, _LAST = 0.01, 3e4
_RTOL = 1e-6
_LEARNED = (0, (6, 1.2, 1, 1.2, 1, 1.2))  # apart from the grey line without colour, too


def border(psi_p: float, tau: float) -> float:
    """psi_n at which the relative gap at ``tau`` is LEVEL; 0 if it is below _FIRST."""
    from scipy.optimize import brentq

    def excess(u: float) -> float:
        solution = solve(ScoreModel(T, psi_p, math.exp(u)), _RTOL)
        return math.log(max(relative_gap(solution, tau), 1e-300) / LEVEL)

    low, high = math.log(_FIRST), math.log(_LAST)
    if excess(low) <= 0.0:
        return 0.0
    return math.exp(brentq(excess, low, high, xtol=1e-5))


def smallest_width(psi_n: float) -> float:
    """psi_p at which the best score error is LEARNED times the untrained network's.

    inf if even HIGH is not enough.
    """
    from scipy.optimize import brentq

    def excess(u: float) -> float:
        solution = solve(ScoreModel(T, math.exp(u), psi_n), _RTOL)
        best = timescales(solution).score_error_min
        return math.log(best / (LEARNED * solution.model.initial_score_error))

    low, high = math.log(LOW), math.log(HIGH)
    if excess(high) >= 0.0:
        return math.inf
    return math.exp(brentq(excess, low, high, xtol=1e-5))


def compute(profile: str, simulations: Simulations) -> Numbers:
    """The borders, each a root, in the planes (n, p) and (n, tau)."""
    numbers = Numbers(
        remarks={"t": T, "level": LEVEL, "multiple": MULTIPLE, "psi_p_window": PSI_P_WINDOW}
    )
    grid = np.geomspace(LOW, HIGH, POINTS[profile])
    numbers["psi"] = grid
    models = [ScoreModel(T, float(psi_p), 1.0) for psi_p in grid]
    numbers["n_star"] = [n_star(model, LEVEL, rtol=_RTOL) for model in models]
    numbers["n_window"] = [n_window(model, LEVEL, MULTIPLE, rtol=_RTOL) for model in models]
    numbers["times"] = TIMES
    numbers["borders"] = [[border(float(psi_p), tau) for psi_p in grid] for tau in TIMES]
    numbers["smallest_width"] = [smallest_width(float(psi_n)) for psi_n in grid]
    fine = np.geomspace(LOW, HIGHEST, POINTS[profile])
    # tau_overfit has no end below n*: more points where it rises there
    star = n_star(ScoreModel(T, PSI_P_WINDOW, 1.0), LEVEL, rtol=_RTOL)
    fine = np.union1d(fine, star * (1.0 - np.geomspace(1e-6, 0.3, POINTS[profile] // 3)))
    window = phase_diagram(
        ScoreModel(T, PSI_P_WINDOW, 1.0), {"psi_n": fine, "tau": [1.0]}, level=LEVEL, rtol=_RTOL
    )
    numbers["window/psi_n"] = fine
    for name in ("tau_gen", "tau_opt", "tau_overfit", "n_star"):
        numbers[f"window/{name}"] = window.boundaries[name]
    return numbers


def draw(numbers: Numbers) -> Any:
    """Regions in the planes of samples and features, and of samples and training time."""
    figure, axes = style.canvas(1, 2, 3.7)
    plane, window = axes[0]
    for ax in (plane, window):
        style.log(ax)
        ax.set_xlabel(style.PSI_N)
    _draw_plane(plane, numbers)
    _draw_window(window, numbers)
    style.letters([plane, window])
    dashes = (0, (4, 1.3))
    handles = [
        style.handle(r"$n^*$: $g(\infty) = 0.1$", style.BLACK, "-"),
        style.handle(r"$g(3\,\tau_{\rm gen}) = 0.1$", style.BLACK, dashes),
        style.handle(r"$g(10^3) = 0.1$", style.GREY, "-"),
        style.handle(r"score learned to 10 %", style.PURPLE, _LEARNED),
        style.handle(r"$p = n$", style.GREY, (0, (1, 1.5))),
        style.handle(r"$\tau_{\rm gen}$", style.BLUE, (0, (1, 1))),
        style.handle(r"$\tau_{\rm opt}$", style.GREEN, (0, (3, 1.2, 1, 1.2))),
        style.handle(r"$g(\tau) = 0.1$", style.VERMILION, "-"),
    ]
    style.legend_over(figure, handles, 4)
    return figure


def _draw_plane(ax: Any, numbers: Numbers) -> None:
    psi, star, window = (numbers[name] for name in ("psi", "n_star", "n_window"))
    first, last = np.clip(window, LOW, HIGH), np.clip(star, LOW, HIGH)
    ends = [LOW, np.minimum(first, last), last, HIGH]
    names = ("memorization", "dynamical regularization", "architectural regularization")
    for name, start, end in zip(names, ends, ends[1:], strict=False):
        ax.fill_betweenx(psi, start, end, color=style.REGIONS[name], lw=0)
    ax.plot(star, psi, color=style.BLACK)
    between = window < star
    ax.plot(window[between], psi[between], color=style.BLACK, linestyle=(0, (4, 1.3)))
    for row in numbers["borders"]:
        shown = (row > 0.0) & (row < 0.97 * star)
        ax.plot(row[shown], psi[shown], color=style.GREY, linewidth=0.9)
    ax.plot([LOW, HIGH], [LOW, HIGH], color=style.GREY, linewidth=0.8, linestyle=(0, (1, 1.5)))
    width = numbers["smallest_width"]
    shown = np.isfinite(width)
    ax.plot(psi[shown], width[shown], color=style.PURPLE, linestyle=_LEARNED)
    for place, text in (
        ((0.36, 17.0), "memorization"), ((16.0, 190.0), "dynamical\nregularization"),
        ((32.0, 0.7), "architectural\nregularization"),
    ):  # fmt: skip
        ax.text(*place, text, fontsize=7.5, va="center")
    ax.set_xlim(LOW, HIGH)
    ax.set_ylim(LOW, HIGH)
    ax.set_ylabel(style.PSI_P)


def _draw_window(ax: Any, numbers: Numbers) -> None:
    x = numbers["window/psi_n"]
    gen, best, end = (numbers[f"window/{name}"] for name in ("tau_gen", "tau_opt", "tau_overfit"))
    # at n* the gap reaches the level at tau = infinity only
    star = numbers.number("window/n_star")
    i = int(np.searchsorted(x, star))
    x = np.insert(x, i, star)
    gen, best = (np.insert(row, i, 0.5 * (row[i - 1] + row[i])) for row in (gen, best))
    end = np.insert(end, i, math.inf)
    top = np.where(np.isfinite(end), np.minimum(end, LATE), LATE)
    ends = [EARLY, np.minimum(gen, top), top, LATE]
    for name, low, high in zip(
        ("learning", "generalization", "memorization"), ends, ends[1:], strict=False
    ):
        ax.fill_between(x, low, high, color=style.REGIONS[name], lw=0)
    ax.plot(x, gen, color=style.BLUE, linestyle=(0, (1, 1)))
    ax.plot(x, best, color=style.GREEN, linestyle=(0, (3, 1.2, 1, 1.2)))
    ax.plot(x[: i + 1], top[: i + 1], color=style.VERMILION)
    ax.axvline(star, color=style.BLACK)
    for place, text in (
        ((0.6, 3e3), "memorization"), ((40.0, 80.0), "generalization"), ((60.0, 4.0), "learning"),
    ):  # fmt: skip
        ax.text(*place, text, fontsize=7.5, va="center")
    ax.set_xlim(LOW, HIGHEST)
    ax.set_ylim(EARLY, LATE)
    ax.set_ylabel(style.TAU)
    ax.set_title(rf"$\psi_p = {numbers.remarks['psi_p_window']:g}$", loc="left", x=0.04)


FIGURE = Figure(
    "Phase diagram of training at t = 0.1, Sigma = I",
    "Overfitting is measured by g(tau) = (L_test - L_train)/(1 - L_floor), the gap in units of "
    "what there is to learn; every line is a root of exact curves. (a) Memorization (red): g has "
    "passed 0.1 by the time 3 tau_gen at which the score is learned. Dynamical regularization "
    "(yellow): the score is good if training stops in time; grey line: how far one gets by "
    "stopping at tau = 10^3. Architectural regularization (blue), n > n*: g stays below 0.1 for "
    "ever. Below the purple line (dash and dots) no stopping time brings the score error under a "
    "tenth of the untrained network's; left of its end not even psi_p = 300 is enough. (b) The "
    "window in training time at psi_p = 64: learning (grey), generalization (yellow), "
    "memorization (red). The paper's Fig. 1 sketches both; the levels are ours.",
    compute, draw,
)  # fmt: skip
