"""The picture of when to stop: score error and losses with every time of training marked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import dmft_rf
from dmft_rf._convert import instance
from dmft_rf.curves.definitions import FACTOR
from dmft_rf.images.image_model import ImageModel
from dmft_rf.plotting.style import (
    BLUE,
    GREEN,
    GREY,
    PURPLE,
    USABLE,
    VERMILION,
    figure_of,
    legend_above,
    log_if_wide,
    positive,
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
    from dmft_rf.model.feature_model import FeatureModel

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
#: the axis of such losses
ABOVE_FLOOR = r"loss $-$ loss of exact score"
# of the untrained network's loss: less than this to learn is not seen beside it
_HIDDEN = 0.02
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
    floor = floor_of(solution.model)
    for name, label, colour, line in LOSSES:
        values = above_floor(name, getattr(curves, name), floor)
        losses.plot(curves.tau, values, label=label, color=colour, linestyle=line)
    finish_losses(losses, curves, floor)
    losses.set_xlabel(_axis(timescales))
    score.set_xlabel("")
    losses.set_xscale("log")
    legend_above(score, columns=3)
    legend_above(losses)
    pad = 8.0 + 11.0 * math.ceil(len(score.get_legend_handles_labels()[0]) / 3)
    titles(figure, "When to stop", solution.model, rule_text(timescales.rule), pad=pad)
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
        axes.axvspan(max(start, curves.tau[0]), min(end, curves.tau[-1]), **USABLE)
    for name, value in _marks(times).items():
        text, colour, style, _ = TIMES[name]
        relation = r"\,{\rm at}\," if name == "tau_ratio" else "="
        said = rf"{text} ${relation} {tex(value, 3)}$"
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


def floor_of(model: FeatureModel) -> float:
    """What is taken off the losses that are drawn: the exact score's, where they hide the rest.

    That is where all there is to learn is less than 2 % of the untrained network's loss, else 0.
    """
    return model.floor if 1.0 - model.floor < _HIDDEN else 0.0


def floor_name(model: FeatureModel) -> str:
    """Whose test loss ``model.floor`` is."""
    return "best network" if isinstance(model, ImageModel) else "exact score"


def above_floor(name: str, values: ArrayLike, floor: float) -> NDArray[np.float64]:
    """A loss less ``floor``, nan where it is below; a difference of losses as it is."""
    array = np.asarray(values, dtype=float)
    return positive(array - floor) if floor and name in ("test", "train") else array


def finish_losses(axes: Axes, curves: LearningCurves, floor: float) -> None:
    """The scale of losses and its name; without a ``floor`` that of the exact score is a line."""
    test, train = np.ravel(curves.test), np.ravel(curves.train)
    if floor:
        axes.set_ylabel(ABOVE_FLOOR)
        values = np.concatenate([test - floor, (train - floor)[train - floor > 0.1 * (1 - floor)]])
    else:
        axes.set_ylabel("loss per dimension")
        axes.axhline(curves.model.floor, color=GREY, linestyle=":", label=floor_name(curves.model))
        values = np.concatenate([test, train])
    log_if_wide(axes, values, floor=True)


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
        fontsize=7,
        color=GREY,
        ha="right",
        va="bottom",
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5},
    )
    axes.set_ylabel(r"score error $E_{\rm score}$")
    log_if_wide(axes, curves.score_error)
    low, high = axes.get_ylim()
    wide = axes.get_yscale() == "log"
    # room for the two texts: above the line, and on a logarithmic axis below the curve
    axes.set_ylim(*((low / 15.0, max(high, 4.0 * untrained)) if wide else (low, 1.12 * high)))
    start, end = (times.values[f"usable_{side}"] for side in ("start", "end"))
    if not start < math.inf:
        return
    text = f"stop here: score within {100 * (FACTOR - 1):.0f} %\nof its best, "
    text += rf"$\tau = {_short(start)}$ "
    text += rf"to ${_short(end)}$" if math.isfinite(end) else "and later"
    first, last = math.log(curves.tau[0]), math.log(curves.tau[-1])
    if not first <= math.log(max(times.tau_opt, 1e-300)) <= last - 0.1 * (last - first):
        inside = np.clip(np.log(np.clip([start, end], 1e-300, 1e300)), first, last)
        place = math.exp(inside.mean())
    else:
        place = times.tau_opt
    share = (math.log(place) - first) / (last - first)
    axes.annotate(
        text,
        (place, float(np.interp(place, curves.tau, curves.score_error))),
        xytext=(min(share + 0.06, 0.57), 0.05 if wide else 0.45),
        textcoords="axes fraction",
        va="bottom",
        fontsize=7.5,
        zorder=6,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0},
        arrowprops={"arrowstyle": "-|>", "color": "black", "linewidth": 0.8},
    )


def _short(tau: float) -> str:
    """A time in at most four digits, without an exponent where it needs none."""
    return f"{tau:.0f}" if 100.0 <= tau < 1e4 else tex(tau, 3)
