"""Pictures of learning curves, timescales and scaling laws."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import dmft_rf
from dmft_rf._convert import instance
from dmft_rf.plotting.style import (
    GREEN,
    GREY,
    figure_of,
    label_decades,
    legend_above,
    log_if_wide,
    positive,
    rule_text,
    styled,
    titles,
)
from dmft_rf.plotting.timescales import LOSSES, TAU, TIMES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dmft_rf.curves.losses import LearningCurves
    from dmft_rf.sweeps.results import Scaling

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
# the times of a scaling law
_SCALED = ("tau_gen", "tau_opt", "usable_end", "tau_mem")


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
        *((ax, *loss) for loss in LOSSES),
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
    below.set_xlabel(TAU)
    below.set_xscale("log")
    log_if_wide(ax, np.concatenate(losses), floor=True)
    log_if_wide(below, np.ravel(curves.score_error))
    ends = [text for end, text in ((0.0, "0"), (math.inf, r"\infty")) if np.any(tau == end)]
    if ends:
        text = rf"limits $\tau = {', '.join(ends)}$ (not on this scale)"
        below.plot([], [], "D", color=GREY, markersize=5, label=text)
        legend_above(below)
    legend_above(ax)
    titles(figure, "Learning curves", model, rule_text(curves.rule))
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
    for name in _SCALED:
        label, colour, line, marker = TIMES[name]
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
    legend_above(below, columns=2)
    what = _PARAMETERS[scaling.parameter]
    title = f"Training times against {what}"
    titles(figure, title, scaling.model, without=scaling.parameter, pad=6.0)
    return figure


def _times(factor: float) -> Callable[[ArrayLike], ArrayLike]:
    return lambda values: np.asarray(values, dtype=float) * factor
