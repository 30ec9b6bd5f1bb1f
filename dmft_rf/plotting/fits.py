"""Pictures of fits to measured curves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

import dmft_rf
from dmft_rf._convert import instance
from dmft_rf.plotting.style import (
    BLUE,
    GREY,
    SYMBOLS,
    VERMILION,
    figure_of,
    label_decades,
    legend_above,
    log_if_wide,
    positive,
    rule_text,
    styled,
    titles,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dmft_rf._typing import Array
    from dmft_rf.curves.fit import Fit

# curve: what it is called, colour, marker of the data and line of the fit
STYLES: dict[str, tuple[str, str, str, Any]] = {
    "test": ("test", VERMILION, "o", "-"),
    "train": ("training", BLUE, "s", "--"),
}
RESIDUALS = "residuals"
# points of a fitted line
_DENSE = 200


@styled
def plot_fit(fit: Fit) -> Figure:
    """Draw measured losses with the fitted curves, and the residuals below.

    Parameters
    ----------
    fit : Fit

    Returns
    -------
    matplotlib.figure.Figure
        What was measured at time 0 or inf has no place on the axis.
    """
    instance(fit, dmft_rf.Fit, "fit", "fit(curves, model)")
    figure, (ax, below) = figure_of(2, (1.5, 1.0))
    for name in STYLES:
        if name in fit.curve:
            _losses(ax, fit, name)
    ax.set_ylabel("loss per dimension")
    _axis(ax, fit)
    ax.set_xlabel("")
    draw_residuals(below, fit)
    legend_above(ax, 2)
    found = [
        f"{SYMBOLS.get(name, name)} = {_with_error(value, fit.errors[name])}"
        for name, value in fit.values.items()
    ]
    ax.text(
        0.02, 0.05, "\n".join(found), transform=ax.transAxes, fontsize=7.0, va="bottom",
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1.0},
    )  # fmt: skip
    titles(figure, "Fit", fit.model, rule_text(fit.rule), pad=30.0)
    return figure


def draw_fit(ax: Axes, fit: Fit, request: Any) -> None:
    """Losses with the fitted curves, or residuals, of a `Request` of `results`."""
    if RESIDUALS in request.names:
        draw_residuals(ax, fit, request.label, request.colour)
        return
    for name in request.names:
        if name in fit.curve:
            _losses(ax, fit, name, request.label, request.colour)
    ax.set_ylabel("loss per dimension")
    _axis(ax, fit)


def draw_residuals(ax: Axes, fit: Fit, label: str | None = None, colour: str | None = None) -> None:
    """Measured less fitted losses, over the standard error."""
    for name, (text, shade, marker, _) in STYLES.items():
        own = fit.curve == name
        if own.any():
            named = f"{label}, {text}" if label else text
            ax.plot(
                positive(fit.clock[own]), fit.residuals[own], linestyle="", marker=marker,
                color=colour or shade, fillstyle="none", label=named,
            )  # fmt: skip
    ax.axhline(0.0, color=GREY, linewidth=0.8)
    for side in (-2.0, 2.0):
        ax.axhline(side, color=GREY, linewidth=0.6, linestyle=":")
    ax.set_ylabel("residual /\nstandard error")
    _axis(ax, fit, log=False)


def _losses(
    ax: Axes, fit: Fit, name: str, label: str | None = None, colour: str | None = None
) -> None:
    """Data as marks with error bars, the fit as a line."""
    text, shade, marker, line = STYLES[name]
    shade, text = colour or shade, f"{label}, {text}" if label else text
    own = fit.curve == name
    clock, loss = positive(fit.clock[own]), fit.loss[own]
    ax.errorbar(
        clock, loss, fit.deviation[own], linestyle="", marker=marker, color=shade,
        fillstyle="none", elinewidth=0.8, label=f"{text}, measured",
    )  # fmt: skip
    times = _dense(fit)
    curve = getattr(fit.solution.learning_curves(fit.rate * times, fit.rule), name)
    ax.plot(times, curve, color=shade, linestyle=line, label=f"{text}, fitted")


def _with_error(value: float, error: float) -> str:
    """A value to two digits of its error."""
    if not 0.0 < error < abs(value):
        return f"{value:.4g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return rf"{value:.{digits}f} $\pm$ {error:.{digits}f}"


def _dense(fit: Fit) -> Array:
    clock = fit.clock[np.isfinite(fit.clock) & (fit.clock > 0.0)]
    low, high = (clock.min(), clock.max()) if clock.size else (1.0, 1.0)
    return np.geomspace(low, high, _DENSE)


def _axis(ax: Axes, fit: Fit, log: bool = True) -> None:
    ax.set_xscale("log")
    ax.set_xlabel("steps" if fit.unit == "steps" else r"training time $\tau$")
    label_decades(ax.xaxis, _dense(fit))
    if log:
        log_if_wide(ax, fit.loss)
