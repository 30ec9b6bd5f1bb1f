"""Where a network overfits, where stopping saves it, and where it need not be stopped."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from dmft_rf import ScoreModel, solve, timescales
from figures import style
from figures.catalogue import Figure
from figures.numbers import Numbers
from figures.simulations import Simulations

T, TIMES, DAMAGE, LEARNED = 0.1, (1e3, 1e4, math.inf), 0.1, 0.1
LOW, HIGH = 0.3, 300.0
POINTS = {"quick": 23, "paper": 41}
# where borders are looked for
_FIRST, _LAST = 0.03, 3e3
_RTOL = 1e-7


@lru_cache(maxsize=4096)
def _solved(psi_p: float, psi_n: float) -> tuple[float, float, Any]:
    solution = solve(ScoreModel(T, psi_p, psi_n), rtol=_RTOL)
    times = timescales(solution)
    return times.tau_opt, times.test_min, solution


def damage(psi_p: float, psi_n: float, tau: float) -> float:
    """What training to tau costs: (L_test(tau) - L_min)/(1 - L_min); 0 before tau_opt."""
    best, least, solution = _solved(psi_p, psi_n)
    if tau <= best:
        return 0.0
    return float((solution.learning_curves([tau]).test[0] - least) / (1.0 - least))


def border(psi_p: float, tau: float) -> float:
    """psi_n at which the damage is DAMAGE; 0 or inf if it is below _FIRST or above _LAST."""
    from scipy.optimize import brentq

    def excess(u: float) -> float:
        return damage(psi_p, math.exp(u), tau) - DAMAGE

    low, high = math.log(_FIRST), math.log(_LAST)
    if excess(low) <= 0.0:
        return 0.0
    if excess(high) >= 0.0:
        return math.inf
    return math.exp(brentq(excess, low, high, xtol=1e-4))


def smallest_width(psi_n: float) -> float:
    """psi_p at which the best score error is LEARNED times the untrained network's.

    inf if even HIGH is not enough.
    """
    from scipy.optimize import brentq

    def excess(u: float) -> float:
        tau, _, solution = _solved(math.exp(u), psi_n)
        score = solution.learning_curves([tau]).score_error[0]
        return float(math.log(score / (LEARNED * solution.model.initial_score_error)))

    low, high = math.log(LOW), math.log(HIGH)
    if excess(high) >= 0.0:
        return math.inf
    return math.exp(brentq(excess, low, high, xtol=1e-4))


def compute(profile: str, simulations: Simulations) -> Numbers:
    """The borders, by root finding."""
    numbers = Numbers(remarks={"t": T, "damage": DAMAGE, "learned": LEARNED})
    grid = np.geomspace(LOW, HIGH, POINTS[profile])
    numbers["psi"] = grid
    numbers["times"] = TIMES
    numbers["borders"] = [[border(float(p), tau) for p in grid] for tau in TIMES]
    numbers["smallest_width"] = [smallest_width(float(n)) for n in grid]
    _solved.cache_clear()
    return numbers


def draw(numbers: Numbers) -> Any:
    """Regions in the plane of samples and features."""
    figure, axes = style.canvas(1, 1, 3.6, 4.6)
    ax = axes[0, 0]
    style.log(ax)
    psi = numbers["psi"]
    borders = numbers["borders"]
    first, last = (np.clip(row, LOW, HIGH) for row in (borders[0], borders[-1]))
    ax.fill_betweenx(psi, LOW, first, color=style.VERMILION, alpha=0.30, linewidth=0)
    ax.fill_betweenx(psi, first, last, color=style.ORANGE, alpha=0.20, linewidth=0)
    ax.fill_betweenx(psi, last, HIGH, color=style.SKY, alpha=0.30, linewidth=0)
    for x, y, text in (
        (0.42, 25.0, "overfits\nby $\\tau = 10^3$"),
        (28.0, 200.0, "dynamical\nregularisation"),
        (45.0, 4.0, "architectural\nregularisation"),
    ):
        ax.text(x, y, text, fontsize=7.5, linespacing=1.3, va="center")
    for row, tau, line in zip(borders, numbers["times"], style.LINES[::-1][2:], strict=False):
        text = r"$\infty$" if math.isinf(tau) else rf"$10^{round(math.log10(tau))}$"
        shown = (row > 0.0) & np.isfinite(row)
        line = "-" if math.isinf(tau) else line
        ax.plot(row[shown], psi[shown], color=style.BLACK, linestyle=line,
                label=rf"border at $\tau$ = {text}")  # fmt: skip
    ax.plot([LOW, HIGH], [LOW, HIGH], color=style.GREY, linewidth=0.8, linestyle=(0, (1, 1.5)),
            label="$p = n$")  # fmt: skip
    width = numbers["smallest_width"]
    shown = np.isfinite(width)
    ax.plot(psi[shown], width[shown], color=style.PURPLE, linewidth=1.6,
            label="score learned to 10 %")  # fmt: skip
    ax.set_xlim(LOW, HIGH)
    ax.set_ylim(LOW, HIGH)
    ax.set_xlabel(style.PSI_N)
    ax.set_ylabel(style.PSI_P)
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, fontsize=7.0)
    return figure


FIGURE = Figure(
    "Phase diagram of training at t = 0.1, Sigma = I",
    "What training to tau costs is measured by damage = (L_test(tau) - L_min)/(1 - L_min); the "
    "black lines are where it is 10 %, found as roots. Left of the line of a training time the "
    "network overfits by then; between it and the line of tau = infinity the score is good "
    "because training has stopped (dynamical regularisation); right of the last line it is good "
    "however long training goes on (architectural regularisation). Below the purple line no "
    "stopping time brings the score error under a tenth of the untrained network's.",
    compute, draw,
)  # fmt: skip
