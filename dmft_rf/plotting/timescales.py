"""The picture of when to stop: score error and losses with every time of training marked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import dmft_rf
from dmft_rf._convert import instance
from dmft_rf.curves.definitions import FACTOR
from dmft_rf.plotting.style import (
    BLUE,
    GREEN,
    GREY,
    PURPLE,
    VERMILION,
    YELLOW,
    figure_of,
    legend_above,
    log_if_wide,
    rule_text,
    styled,
    tex,
    titles,
)
from dmft_rf.rules.flow import GradientFlow
from dmft_rf.rules.stochastic import step_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dmft_rf.curves.losses import LearningCurves
    from dmft_rf.curves.solve import Solution
    from dmft_rf.curves.timescales import Timescales

#: name of a time -> label, colour, line style, marker
TIMES: dict[str, tuple[str, str, Any, str]] = {
    "tau_gen": (r"$\tau_{\rm gen}$", BLUE, "-", "o"),
    "tau_opt": (r"$\tau_{\rm opt}$", GREEN, "--", "s"),
    "usable_end": ("usable until", PURPLE, ":", "D"),
    "tau_overfit": (r"$\tau_{\rm overfit}$", PURPLE, (0, (5, 1, 1, 1)), "D"),
    "tau_ratio": (r"test/train $= 2$", GREY, ":", "v"),
    "tau_mem": (r"$\tau_{\rm mem}$", VERMILION, "-.", "^"),
}
#: name of a loss, label, colour, line style
LOSSES = (
    ("test", r"test $L_{\rm test}$", VERMILION, "-"),
    ("train", r"training $L_{\rm train}$", BLUE, "--"),
    ("generalization_gap", r"gap $L_{\rm test}-L_{\rm train}$", PURPLE, "-."),
)
TAU = r"training time $\tau$ (gradient flow, $dA/d\tau = -d^2\,\nabla_{\!A} L_{\rm train}$)"


@styled
def plot_timescales(solution: Solution, timescales: Timescales) -> Figure:
    """Draw the learning curves of a rule with the usable interval and every time marked.

    Parameters
    ----------
    solution : Solution
    timescales : Timescales
        Of the same solution.

    Returns
    -------
    matplotlib.figure.Figure
        Above the score error with the usable interval shaded, below the losses. A time that is
        never reached, or dates nothing because there is nothing to memorize, is left out.
    """
    instance(solution, dmft_rf.Solution, "solution", "solve(model)")
    instance(timescales, dmft_rf.Timescales, "timescales", "dmft_rf.timescales(solution)")
    figure, (score, losses) = figure_of(2, (1.2, 1.0))
    curves = draw_timescales(score, timescales)
    _draw_marks(losses, curves, timescales)
    for name, label, colour, line in LOSSES:
        losses.plot(curves.tau, getattr(curves, name), label=label, color=colour, linestyle=line)
    losses.axhline(solution.model.floor, color=GREY, linestyle=":", label="exact score")
    losses.set_ylabel("loss per dimension")
    losses.set_xlabel(_axis(timescales))
    score.set_xlabel("")
    losses.set_xscale("log")
    log_if_wide(losses, np.concatenate([curves.test, curves.train]), floor=True)
    legend_above(score, columns=3)
    legend_above(losses)
    titles(figure, "When to stop", solution.model, rule_text(timescales.rule), pad=40.0)
    return figure


def draw_timescales(axes: Axes, times: Timescales) -> LearningCurves:
    """Draw the score error with the usable interval and every time; returns the curves."""
    solution = times.solution
    tau = _times(solution, times, list(_marks(times).values()))
    curves = solution.learning_curves(tau, times.rule)
    _draw_score(axes, curves, times)
    _draw_marks(axes, curves, times, labelled=True)
    axes.set_xlabel(_axis(times))
    axes.set_xscale("log")
    return curves


def _axis(times: Timescales) -> str:
    return TAU if times.rule == GradientFlow() else r"training time $\tau$"


def _draw_marks(
    axes: Axes, curves: LearningCurves, times: Timescales, labelled: bool = False
) -> None:
    """The usable interval, shaded, and a line at each time."""
    start, end = (times.values[f"usable_{side}"] for side in ("start", "end"))
    if start < math.inf:
        inside = max(start, curves.tau[0]), min(end, curves.tau[-1])
        axes.axvspan(*inside, color=YELLOW, alpha=0.55, linewidth=0, zorder=0)
    for name, value in _marks(times).items():
        text, colour, style, _ = TIMES[name]
        said = f"{text} at ${tex(value)}$" if name == "tau_ratio" else rf"{text} $= {tex(value)}$"
        label = said if labelled else None
        axes.axvline(value, color=colour, linewidth=1.1, linestyle=style, label=label)


def _marks(times: Timescales) -> dict[str, float]:
    """The times that exist and date something."""
    values = dict(times.values)
    if not times.memorizes:
        values["tau_mem"] = math.nan
    return {
        name: values[name]
        for name in TIMES
        if name != "usable_end" and 0.0 < values[name] < math.inf
    }


def _times(solution: Solution, times: Timescales, marks: list[float]) -> NDArray[np.float64]:
    """Times from before anything is learned until after the slowest mode has stopped."""
    low, high = solution.diagnostics["support"]
    rate = solution.model.rate
    ends = [times.values[name] for name in ("usable_start", "usable_end")]
    known = [*marks, *(x for x in ends if 0.0 < x < math.inf)]
    slowest = max(low, 1e-6 * high) if solution.hard_edge else low
    first = min([0.03 / (rate * high), *(0.3 * tau for tau in known)])
    last = min(30.0 / (rate * slowest), solution.horizon)
    tau = np.geomspace(first, max([last, *(3.0 * tau for tau in known)]), 401)
    step = step_of(times.rule)
    return tau if step is None else np.unique(np.maximum(np.rint(tau / step), 1.0)) * step


def _draw_score(axes: Axes, curves: LearningCurves, times: Timescales) -> None:
    """The score error, with the interval to stop in named on it."""
    axes.plot(curves.tau, curves.score_error, color=GREEN)
    untrained = times.untrained
    axes.axhline(untrained, color=GREY, linewidth=0.9, linestyle=":")
    axes.annotate(
        "untrained network; worse above",
        (1.0, untrained),
        xycoords=("axes fraction", "data"),
        xytext=(-3, 1),
        textcoords="offset points",
        fontsize=8,
        color=GREY,
        ha="right",
        va="bottom",
    )
    axes.set_ylabel(r"score error $E_{\rm score}$")
    log_if_wide(axes, curves.score_error)
    low, high = axes.get_ylim()
    axes.set_ylim(low / 30.0 if axes.get_yscale() == "log" else low, high)
    start, end = (times.values[f"usable_{side}"] for side in ("start", "end"))
    if not start < math.inf:
        return
    text = f"stop here: score within {100 * (FACTOR - 1):.0f} %\nof its best, "
    text += rf"$\tau = {_short(start)}$ "
    text += rf"to ${_short(end)}$" if math.isfinite(end) else "and later"
    axes.annotate(
        text,
        (min(max(times.tau_opt, curves.tau[0]), curves.tau[-1]), times.score_error_min),
        # a linear axis begins at 0, with no room below the curve
        xytext=(24, -26) if axes.get_yscale() == "log" else (-30, 60),
        textcoords="offset points",
        ha="left" if axes.get_yscale() == "log" else "right",
        va="center",
        fontsize=9,
        arrowprops={"arrowstyle": "-|>", "color": "black", "linewidth": 0.8},
    )


def _short(tau: float) -> str:
    """A time in at most four digits, without an exponent where it needs none."""
    return f"{tau:.0f}" if 100.0 <= tau < 1e4 else tex(tau, 3)
