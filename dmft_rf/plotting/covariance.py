"""A picture of the eigenvalues of a covariance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dmft_rf._convert import instance
from dmft_rf.model.covariance import Covariance
from dmft_rf.plotting.style import BLUE, GREY, figure_of, positive, styled, unformatted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_covariance"]


@styled
def plot_covariance(covariance: Covariance) -> Figure:
    """Draw the eigenvalues of a covariance against their rank.

    Parameters
    ----------
    covariance : Covariance

    Returns
    -------
    matplotlib.figure.Figure
        Eigenvalues, from the largest on, against their number, or against the share of all where
        the dimension is not known; a line marks their mean.
    """
    instance(covariance, Covariance, "covariance", "Covariance([0.5, 1.5])")
    figure, (ax,) = figure_of(1)
    draw_covariance(ax, covariance)
    ax.legend(loc="upper right")
    d = covariance.dimension
    known = "" if d is None else rf", $d = {d}$, $d_{{\rm eff}} = "
    known += "" if d is None else f"{covariance.effective_dimension:.1f}$"
    title = f"Eigenvalues of the covariance\n{unformatted(covariance.label)}{known}"
    ax.set_title(title, loc="left")
    return figure


def draw_covariance(
    ax: Axes, covariance: Covariance, label: str | None = None, colour: str | None = None
) -> None:
    """Draw the eigenvalues against their rank; a line at their mean where it is the only one."""
    d = covariance.dimension
    rank = np.cumsum(covariance.weights[::-1]) * (1.0 if d is None else d)
    start = np.concatenate([[0.0], rank])[:-1] + (0.0 if d is None else 1.0)
    # an eigenvalue of several directions is a step
    x = np.column_stack([np.minimum(start, rank), rank]).ravel()
    y = np.repeat(positive(covariance.eigenvalues[::-1]), 2)
    marker = "." if covariance.n_atoms <= 200 else ""
    ax.plot(x, y, color=colour or BLUE, marker=marker, markersize=4, label=label)
    if colour is None:
        ax.axhline(covariance.mean, color=GREY, linestyle="--", linewidth=1.0, label="mean")
    ax.set_yscale("log")
    if d is not None:
        ax.set_xscale("log")
    ax.set_xlabel("share of the eigenvalues" if d is None else "number of the eigenvalue")
    ax.set_ylabel(r"eigenvalue of $\Sigma$")
