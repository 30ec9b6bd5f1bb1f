"""A picture of the eigenvalues of a covariance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dmft_rf._convert import instance
from dmft_rf.model.covariance import Covariance
from dmft_rf.plotting.style import BLUE, GREY, figure_of, positive, styled, unformatted

if TYPE_CHECKING:
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
    d = covariance.dimension
    figure, (ax,) = figure_of(1)
    rank = np.cumsum(covariance.weights[::-1]) * (1.0 if d is None else d)
    start = np.concatenate([[0.0], rank])[:-1] + (0.0 if d is None else 1.0)
    # an eigenvalue of several directions is a step
    x = np.column_stack([np.minimum(start, rank), rank]).ravel()
    y = np.repeat(positive(covariance.eigenvalues[::-1]), 2)
    ax.plot(x, y, color=BLUE, marker="." if covariance.n_atoms <= 200 else "", markersize=4)
    ax.axhline(covariance.mean, color=GREY, linestyle="--", linewidth=1.0, label="mean")
    ax.set_yscale("log")
    if d is not None:
        ax.set_xscale("log")
    ax.set_xlabel("share of the eigenvalues" if d is None else "number of the eigenvalue")
    ax.set_ylabel(r"eigenvalue of $\Sigma$")
    ax.legend(loc="upper right")
    known = "" if d is None else rf", $d = {d}$, $d_{{\rm eff}} = "
    known += "" if d is None else f"{covariance.effective_dimension:.1f}$"
    title = f"Eigenvalues of the covariance\n{unformatted(covariance.label)}{known}"
    ax.set_title(title, fontsize=9.5, loc="left")
    return figure
