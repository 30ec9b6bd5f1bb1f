"""Pictures of learning curves, timescales and scaling laws."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import dmft_rf
from dmft_rf._convert import instance
from dmft_rf.plotting.style import (
    COLOURS,
    GREEN,
    GREY,
    SYMBOLS,
    figure_of,
    label_decades,
    legend_above,
    log_if_wide,
    positive,
    rule_text,
    styled,
    titles,
)
from dmft_rf.plotting.timescales import LOSSES, TAU, TIMES, above_floor, finish_losses, floor_of
from dmft_rf.rules.flow import GradientFlow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dmft_rf.curves.derivatives import Derivatives
    from dmft_rf.curves.losses import LearningCurves
    from dmft_rf.sweeps.results import PowerLaw, Scaling

_SYMBOLS = {
    "psi_n": r"\psi_n",
    "psi_p": r"\psi_p",
    "t": r"\Delta_t",
    "power_law.exponent": r"e^\alpha",
    "noise": r"\epsilon",
    "batch": r"\beta",
    "n": "n",
}
_PARAMETERS = {
    "power_law.exponent": r"exponent $\alpha$ of the eigenvalues $\lambda_k \propto k^{-\alpha}$",
    "psi_n": r"samples per dimension $\psi_n = n/d$",
    "psi_p": r"features per dimension $\psi_p = p/d$",
    "t": r"variance of the noise $\Delta_t = 1 - e^{-2t}$",
    "noise": r"noise of SGD $\epsilon = \eta/(d\beta)$",
    "batch": r"batch $\beta$ of SGD at one learning rate",
    "n": "samples trained on, $n$",
}
_NAMES = {
    "train": "training loss",
    "test": "test loss",
    "generalization_gap": "gap",
    "score_error": "score error",
}
_LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)), (0, (1, 1)))
# the times of a scaling law
SCALED = ("tau_gen", "tau_opt", "usable_end", "tau_mem")


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
    model = curves.model
    floor = floor_of(model)
    for name, label, colour, line in LOSSES:
        values = above_floor(name, getattr(curves, name), floor)
        draw_curve(ax, curves.tau, values, label, colour, line)
    finish_losses(ax, curves, floor)
    draw_curve(below, curves.tau, curves.score_error, "_", GREEN, "-")
    below.set_ylabel(r"score error $E_{\rm score}$")
    ax.set_xlabel("")
    log_if_wide(below, np.ravel(curves.score_error))
    ends = [text for end, text in ((0.0, "0"), (math.inf, r"\infty")) if np.any(tau == end)]
    if ends:
        text = rf"limits $\tau = {', '.join(ends)}$ (not on this scale)"
        below.plot([], [], "D", color=GREY, markersize=5, label=text)
        legend_above(below)
    legend_above(ax)
    titles(figure, "Learning curves", model, rule_text(curves.rule))
    return figure


def draw_curve(
    ax: Axes, tau: ArrayLike, values: ArrayLike, label: str, colour: str, line: Any
) -> None:
    """Draw values against times; those at the times 0 and inf are marks on the ends of the axis."""
    tau, values = np.ravel(tau), np.ravel(values)
    order = np.argsort(tau, kind="stable")
    order = order[np.isfinite(tau[order]) & (tau[order] > 0.0)]
    marker = "o" if order.size == 1 else ""
    ax.plot(tau[order], values[order], label=label, color=colour, linestyle=line, marker=marker)
    for end, position in ((0.0, 0.012), (math.inf, 0.988)):
        for value in values[tau == end]:
            if value > 0.0:
                ax.plot(
                    [position], [value], marker="D", markersize=5, color=colour,
                    transform=ax.get_yaxis_transform(), zorder=5,
                )  # fmt: skip
    if not order.size:
        ax.set_xlim(0.1, 10.0)
    ax.set_xscale("log")
    ax.set_xlabel(TAU)


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
    steep, x, symbol = _abscissa(scaling)
    texts = draw_scaling(ax, scaling)
    for name, text in texts.items():
        exponents = scaling.local_exponents[name]
        _, colour, line, marker = TIMES[name]
        below.plot(
            x,
            exponents,
            color=colour,
            linestyle=line,
            label=text,
            marker=marker,
            markerfacecolor="white",
        )
    for level in (0.0, 1.0):
        below.axhline(level, color=GREY, linewidth=0.8, linestyle=":")
    ax.set_xlabel("")
    below.set_xlabel(_PARAMETERS[scaling.parameter])
    slope = r"\alpha" if steep else rf"\ln {symbol}"
    below.set_ylabel(f"local exponent\n" rf"$d\ln\tau\,/\,d{slope}$")
    low, high = below.get_ylim()
    below.set_ylim(max(low, -3.0), min(high, 3.0))  # a jump would hide the rest
    d = scaling.model.covariance.dimension if scaling.parameter in ("psi_n", "psi_p") else None
    if d is not None:
        letter = scaling.parameter[-1]
        upper = ax.secondary_xaxis("top", functions=(_times(d), _times(1.0 / d)))
        what = "samples" if letter == "n" else "features"
        label_decades(upper.xaxis, x * d)
        upper.set_xlabel(rf"{what} ${letter} = {symbol}\,d$  ($d = {d}$)")
        ax.tick_params(top=False, which="both")
        n = scaling.model.covariance.samples
        if letter == "n" and n is not None and x[0] <= n / d <= x[-1]:
            for axes in (ax, below):
                mark = f"$n = {n}$ of the data" if axes is below else None
                axes.axvline(n / d, color=GREY, linewidth=1.1, linestyle=(0, (4, 2)), label=mark)
    legend_above(below, columns=2)
    what = _PARAMETERS[scaling.parameter]
    title = f"Training times against {what}"
    more = [] if scaling.rule == GradientFlow() else [rule_text(scaling.rule)]
    more += ["in brackets local exponents"] if scaling.fits else []
    hidden = "psi_n" if scaling.parameter == "n" else scaling.parameter
    titles(figure, title, scaling.model, ", ".join(more), without=hidden, pad=4.0)
    return figure


def _abscissa(scaling: Scaling) -> tuple[bool, NDArray[np.float64], str]:
    """Whether the axis is linear, what it shows, and the symbol of what exponents refer to."""
    steep = scaling.parameter == "power_law.exponent"
    x = np.asarray(scaling.values if steep else scaling.abscissa, dtype=float)
    return steep, x, _SYMBOLS[scaling.parameter]


def draw_scaling(
    ax: Axes,
    scaling: Scaling,
    names: Sequence[str] = SCALED,
    label: str | None = None,
    colour: str | None = None,
) -> dict[str, str]:
    """Draw times, or other quantities, against the swept parameter, with their fits.

    Returns what a legend calls each.
    """
    steep, x, symbol = _abscissa(scaling)
    texts: dict[str, str] = {}
    for k, name in enumerate(names):
        own = (name, COLOURS[k % len(COLOURS)], "-", "o")
        text, shade, line, marker = TIMES.get(name, own)
        text, shade = f"{label}, {text}" if label else text, colour or shade
        fit = scaling.fits.get(name)
        if fit is not None:
            span = np.geomspace(fit.low, fit.high, 50)
            at = np.log(span) if steep else span
            ax.plot(at, fit.prefactor * span**fit.exponent, color=shade, linestyle=line)
            power = f"{fit.exponent:z.2f}"
            law = rf"e^{{{power}\,\alpha}}" if steep else rf"{symbol}^{{\,{power}}}"
            text += rf" $\propto {law}$ ({fit.exponent_low:z.2f} to {fit.exponent_high:z.2f})"
        ax.plot(
            x,
            positive(scaling.quantities[name]),
            linestyle="none",
            zorder=3,
            color=shade,
            marker=marker,
            markerfacecolor="white",
            label=text,
        )
        texts[name] = text
    times = all(name in TIMES for name in names)
    flow = " (gradient flow)" if scaling.rule == GradientFlow() else ""
    ax.set_ylabel(rf"training time $\tau${flow}" if times else ", ".join(names))
    ax.set_yscale("log")
    ax.set_xlabel(_PARAMETERS[scaling.parameter])
    if not steep:
        ax.set_xscale("log")
        label_decades(ax.xaxis, x)
    return texts


def _times(factor: float) -> Callable[[ArrayLike], ArrayLike]:
    return lambda values: np.asarray(values, dtype=float) * factor


def draw_power_law(
    ax: Axes, law: PowerLaw, label: str | None = None, colour: str | None = None
) -> None:
    """A power law over its range."""
    span = np.geomspace(law.low, law.high, 50)
    ax.plot(span, law.prefactor * span**law.exponent, color=colour or COLOURS[0], label=label)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("parameter $P$")
    ax.set_ylabel(rf"$Q \propto P^{{{law.exponent:z.2f}}}$")


def draw_derivatives(ax: Axes, slopes: Derivatives, request: Any) -> None:
    """Parameter times derivative, one line for each parameter; of a `Request` of `results`."""
    names, count = request.names, 0
    for curve in names:
        for name, values in slopes.logarithmic(curve).items():
            rows = values if values.ndim > slopes.tau.ndim else values[None]
            for i, row in enumerate(rows):
                symbol = SYMBOLS.get(name, name)
                own = symbol if len(rows) == 1 else f"{symbol} {i}"
                parts = [request.label, _NAMES[curve] if len(names) > 1 else None, own]
                colour = request.colour or COLOURS[count % len(COLOURS)]
                label = ", ".join(part for part in parts if part)
                draw_curve(ax, slopes.tau, row, label, colour, _LINES[count % len(_LINES)])
                count += 1
    ax.axhline(0.0, color=GREY, linewidth=0.6)
    what = f"the {_NAMES[names[0]]}" if len(names) == 1 else "losses"
    ax.set_ylabel(f"change of {what}\nper relative change")
