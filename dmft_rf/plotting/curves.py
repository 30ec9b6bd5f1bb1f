"""Pictures of learning curves, timescales and scaling laws."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import dmft_rf
from dmft_rf._convert import instance
from dmft_rf.plotting.style import (
    BLUE,
    GREEN,
    GREY,
    PURPLE,
    VERMILION,
    figure_of,
    label_decades,
    legend_above,
    log_if_wide,
    positive,
    styled,
    tex,
    titles,
    unformatted,
)
from dmft_rf.rules.flow import GradientFlow, Rule

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dmft_rf.curves.losses import LearningCurves
    from dmft_rf.curves.solve import Solution
    from dmft_rf.curves.timescales import Timescales
    from dmft_rf.sweeps.results import Scaling

_TAU = r"training time $\tau$ (gradient flow, $dA/d\tau = -d^2\,\nabla_{\!A} L_{\rm train}$)"
_SYMBOLS = {
    "psi_n": r"\psi_n",
    "psi_p": r"\psi_p",
    "t": r"\Delta_t",
    "power_law.exponent": r"e^\alpha",
}
_PARAMETERS = {
    "power_law.exponent": r"exponent $\alpha$ of the eigenvalues $\lambda_k \propto k^{-\alpha}$",
    "psi_n": r"samples per dimension $\psi_n = n/d$",
    "psi_p": r"features per dimension $\psi_p = p/d$",
    "t": r"variance of the noise $\Delta_t = 1 - e^{-2t}$",
}
# name -> label, colour, line style, marker
_TIMES = {
    "tau_gen": (r"$\tau_{\rm gen}$", BLUE, "-", "o"),
    "tau_opt": (r"$\tau_{\rm opt}$", GREEN, "--", "s"),
    "tau_mem": (r"$\tau_{\rm mem}$", VERMILION, "-.", "^"),
}
# name, label, colour, line style
_LOSSES = (
    ("test", r"test $L_{\rm test}$", VERMILION, "-"),
    ("train", r"training $L_{\rm train}$", BLUE, "--"),
    ("generalization_gap", r"gap $L_{\rm test}-L_{\rm train}$", PURPLE, "-."),
)


@styled
def plot_curves(curves: LearningCurves) -> Figure:
    """Draw train loss, test loss and generalization gap, and the score error, against tau.

    Parameters
    ----------
    curves : LearningCurves
        Times 0 and inf have no place on a logarithmic axis: they are marks on its two ends.

    Returns
    -------
    matplotlib.figure.Figure
    """
    instance(curves, dmft_rf.LearningCurves, "curves", "solve(model).learning_curves(tau)")
    figure, (ax, below) = figure_of(2)
    tau = np.ravel(curves.tau)
    order = np.argsort(tau, kind="stable")
    order = order[np.isfinite(tau[order]) & (tau[order] > 0.0)]
    losses: list[NDArray[np.float64]] = []
    for where, name, label, colour, line in (
        *((ax, *loss) for loss in _LOSSES),
        (below, "score_error", "_", GREEN, "-"),
    ):
        values = np.ravel(getattr(curves, name))
        marker = "o" if order.size == 1 else ""
        where.plot(
            tau[order], values[order], label=label, color=colour, linestyle=line, marker=marker
        )
        for end, position in ((0.0, 0.012), (math.inf, 0.988)):
            for value in values[tau == end]:
                if value > 0.0:
                    where.plot(
                        [position], [value], marker="D", markersize=5, color=colour,
                        transform=where.get_yaxis_transform(), zorder=5,
                    )  # fmt: skip
        if name in ("test", "train"):
            losses.append(values)
    if not order.size:
        ax.set_xlim(0.1, 10.0)
    model = curves.model
    ax.axhline(model.floor, color=GREY, linestyle=":", linewidth=1.2, label="exact score")
    ax.set_ylabel("loss per dimension")
    below.set_ylabel(r"score error $E_{\rm score}$")
    below.set_xlabel(_TAU)
    below.set_xscale("log")
    log_if_wide(ax, np.concatenate(losses), floor=True)
    log_if_wide(below, np.ravel(curves.score_error))
    ends = [text for end, text in ((0.0, "0"), (math.inf, r"\infty")) if np.any(tau == end)]
    if ends:
        text = rf"limits $\tau = {', '.join(ends)}$ (not on this scale)"
        below.plot([], [], "D", color=GREY, markersize=5, label=text)
        legend_above(below)
    legend_above(ax)
    titles(figure, "Learning curves", model, _rule_text(curves.rule))
    return figure


@styled
def plot_timescales(solution: Solution, timescales: Timescales) -> Figure:
    """Draw the learning curves of gradient flow with tau_gen, tau_opt and tau_mem marked.

    Parameters
    ----------
    solution : Solution
    timescales : Timescales
        Of the same solution.

    Returns
    -------
    matplotlib.figure.Figure
        The window from tau_gen to tau_mem is shaded.
    """
    instance(solution, dmft_rf.Solution, "solution", "solve(model)")
    instance(timescales, dmft_rf.Timescales, "timescales", "dmft_rf.timescales(solution)")
    low, high = solution.diagnostics["support"]
    rate = solution.model.rate
    marks = {name: getattr(timescales, name) for name in _TIMES}
    known = [value for value in marks.values() if math.isfinite(value) and value > 0.0]
    first = min([0.03 / (rate * high), *(0.3 * v for v in known)])
    slowest = max(low, 1e-6 * high) if solution.hard_edge else low
    last = min(30.0 / (rate * slowest), solution.horizon)
    last = max([last, *(3.0 * v for v in known)])
    curves = solution.learning_curves(np.geomspace(first, last, 301))
    figure, (ax, below) = figure_of(2)
    for name, label, colour, line in _LOSSES:
        ax.plot(curves.tau, getattr(curves, name), label=label, color=colour, linestyle=line)
    below.plot(curves.tau, curves.score_error, color=GREEN)
    ax.axhline(solution.model.floor, color=GREY, linestyle=":", linewidth=1.2, label="exact score")
    gen, mem = marks["tau_gen"], marks["tau_mem"]
    for axes in (ax, below):
        if gen < mem < math.inf:
            axes.axvspan(gen, mem, color="#F0E442", alpha=0.18, linewidth=0, zorder=0)
        for name, value in marks.items():
            if math.isfinite(value) and value > 0.0:
                text, colour, line, _ = _TIMES[name]
                axes.axvline(
                    value, color=colour, linewidth=1.3, linestyle=line,
                    label=rf"{text} $= {tex(value)}$" if axes is below else None,
                )  # fmt: skip
    ax.set_ylabel("loss per dimension")
    below.set_ylabel(r"score error $E_{\rm score}$")
    below.set_xlabel(_TAU)
    below.set_xscale("log")
    log_if_wide(ax, np.concatenate([curves.test, curves.train]), floor=True)
    log_if_wide(below, curves.score_error)
    for axes in (ax, below):
        legend_above(axes)
    titles(figure, "Timescales of learning", solution.model, _rule_text(GradientFlow()))
    return figure


@styled
def plot_scaling(scaling: Scaling) -> Figure:
    """Draw the times against the swept parameter, their fits, and their local exponents.

    Parameters
    ----------
    scaling : Scaling

    Returns
    -------
    matplotlib.figure.Figure
        Markers are computed values; a line is a fitted power law over the range where it holds.
    """
    instance(scaling, dmft_rf.Scaling, "scaling", 'dmft_rf.scaling(model, "psi_n", values)')
    figure, (ax, below) = figure_of(2, heights=(1.7, 1.0))
    steep = scaling.parameter == "power_law.exponent"
    x = np.asarray(scaling.values if steep else scaling.abscissa, dtype=float)
    symbol = _SYMBOLS[scaling.parameter]
    for name, (label, colour, line, marker) in _TIMES.items():
        if name not in scaling.quantities:
            continue
        fit = scaling.fits.get(name)
        text = label
        if fit is not None:
            span = np.geomspace(fit.low, fit.high, 50)
            at = np.log(span) if steep else span
            ax.plot(at, fit.prefactor * span**fit.exponent, color=colour, linestyle=line)
            power = rf"{fit.exponent:.3f} \pm {fit.exponent_error:.3f}"
            text += (
                rf" $\propto e^{{({power})\alpha}}$"
                if steep
                else (rf" $\propto {symbol}^{{\,{power}}}$")
            )
        style: dict[str, Any] = {
            "color": colour,
            "marker": marker,
            "markersize": 5,
            "markerfacecolor": "white",
        }
        ax.plot(x, positive(scaling.quantities[name]), linestyle="none", zorder=3, **style)
        exponents = scaling.local_exponents[name]
        below.plot(x, exponents, linestyle=line, linewidth=1.2, label=text, **style)
    for level in (0.0, 1.0):
        below.axhline(level, color=GREY, linewidth=0.8, linestyle=":")
    ax.set_ylabel(r"training time $\tau$ (gradient flow)")
    ax.set_yscale("log")
    if not steep:
        below.set_xscale("log")
        label_decades(below.xaxis, x)
    below.set_xlabel(_PARAMETERS[scaling.parameter])
    slope = r"\alpha" if steep else rf"\ln {symbol}"
    below.set_ylabel(f"local exponent\n" rf"$d\ln\tau\,/\,d{slope}$")
    low, high = below.get_ylim()
    below.set_ylim(max(low, -3.0), min(high, 3.0))  # a jump would hide the rest
    d = scaling.model.covariance.dimension
    if d is not None and scaling.parameter in ("psi_n", "psi_p"):
        letter = scaling.parameter[-1]
        upper = ax.secondary_xaxis("top", functions=(_times(d), _times(1.0 / d)))
        what = "samples" if letter == "n" else "features"
        label_decades(upper.xaxis, x * d)
        upper.set_xlabel(rf"{what} ${letter} = {symbol}\,d$  ($d = {d}$)", fontsize=9)
        n = scaling.model.covariance.samples
        if letter == "n" and n is not None and x[0] <= n / d <= x[-1]:
            for axes in (ax, below):
                mark = f"$n = {n}$ of the data" if axes is below else None
                axes.axvline(n / d, color=GREY, linewidth=1.1, linestyle=(0, (4, 2)), label=mark)
    legend_above(below)
    what = _PARAMETERS[scaling.parameter]
    title = f"Training times against {what}"
    titles(figure, title, scaling.model, without=scaling.parameter, pad=6.0)
    return figure


def _times(factor: float) -> Callable[[ArrayLike], ArrayLike]:
    return lambda values: np.asarray(values, dtype=float) * factor


def _rule_text(rule: Rule) -> str:
    """Return the rule and its parameters other than 0, in words."""
    name = unformatted(re.sub(r"(?<!^)(?=[A-Z])", " ", type(rule).__name__).lower())
    values = [
        f"{f.name.replace('_', ' ')} {getattr(rule, f.name):g}"
        for f in fields(rule)
        if getattr(rule, f.name) != 0.0
    ]
    return " ".join([name, *([f"({', '.join(values)})"] if values else [])])
