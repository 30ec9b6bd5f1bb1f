"""Picture of the parts of the score error, and of the error along single directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import dmft_rf
from dmft_rf._convert import instance
from dmft_rf.curves.definitions import PARTS
from dmft_rf.errors import ModelError
from dmft_rf.plotting import style
from dmft_rf.plotting.timescales import TAU

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dmft_rf.curves.error_parts import ErrorParts

# name of a part: label, colour, hatching that survives a grey print
_STYLES = {
    "bias": ("bias", style.BLUE, ""),
    "sample": ("variance: sample", style.ORANGE, "//"),
    "features": ("features", style.PURPLE, "xx"),
    "both": ("both", style.YELLOW, "\\\\"),
    "noise": ("noise of the features", "#BBBBBB", ".."),
    "initial": ("initial weights", style.SKY, "++"),
}
_LINES = (
    (style.BLUE, "-"),
    (style.GREEN, "--"),
    (style.VERMILION, "-."),
    (style.PURPLE, ":"),
    (style.GREY, (0, (5, 1, 1, 1))),
)
# of the untrained network's error, at which the upper panel ends
_TOP = 1.25


@style.styled
def plot_error_parts(parts: ErrorParts) -> Figure:
    """Draw the parts of the score error on top of one another, and the error along directions.

    Parameters
    ----------
    parts : ErrorParts
        At two or more finite times above 0; others have no place on the axis.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ModelError
        If there are fewer times.
    """
    instance(parts, dmft_rf.ErrorParts, "parts", "error_parts(solve(model), tau)")
    tau = np.ravel(parts.tau)
    order = np.argsort(tau, kind="stable")
    order = order[np.isfinite(tau[order]) & (tau[order] > 0.0)]
    if np.unique(tau[order]).size < 2:
        raise ModelError("a picture of parts needs two or more finite times above 0")
    figure, (ax, below) = style.figure_of(2, (1.3, 1.0))
    names = [name for name in PARTS if name != "initial" or parts.rule.initial_scale]
    stack = [np.ravel(parts.total[name])[order] for name in names]
    styles = [_STYLES[name] for name in names]
    areas = ax.stackplot(
        tau[order], *stack, labels=[label for label, _, _ in styles],
        colors=[colour for _, colour, _ in styles], edgecolor=style.BLACK, linewidth=0.3,
    )  # fmt: skip
    for area, (_, _, hatch) in zip(areas, styles, strict=True):
        area.set_hatch(hatch)
    start = parts.model.initial_score_error
    ax.axhline(start, color=style.GREY, linestyle=":", linewidth=1.2)
    ax.set_ylim(0.0, _TOP * start)
    ax.set_ylabel(r"score error $E_{\rm score}$")
    ax.set_xscale("log")
    ax.set_xlim(tau[order[0]], tau[order[-1]])
    style.legend_above(ax, 3)
    _directions(parts, order, below)
    below.set_xlabel(TAU)
    style.titles(
        figure, "Parts of the score error", parts.model, style.rule_text(parts.rule), pad=30.0
    )
    return figure


def _directions(parts: ErrorParts, order: NDArray[np.intp], axes: Axes) -> None:
    """The error along a few directions, over that of the untrained network."""
    mean = parts.shares @ parts.eigenvalues
    ranked = np.argsort(mean)[::-1]
    picked = np.unique(np.linspace(0, ranked.size - 1, len(_LINES)).round().astype(int))
    untrained = parts.shares @ np.stack([1.0 / one.diffused for one in parts.model.classes])
    tau = np.ravel(parts.tau)[order]
    for a, (colour, line) in zip(ranked[picked], _LINES, strict=False):
        error = np.reshape(parts.by_direction["score_error"][a], -1)[order] / untrained[a]
        label = rf"$\lambda = {style.tex(float(mean[a]), 3)}$"
        axes.plot(tau, style.positive(error), color=colour, linestyle=line, label=label)
    axes.axhline(1.0, color=style.GREY, linestyle=":", linewidth=1.2)
    axes.set(yscale="log", ylabel="error along directions\n(untrained = 1)")
    style.legend_above(axes)
