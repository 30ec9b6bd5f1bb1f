"""Spectrum of U: isotropic data and two eigenvalues (figure 4 of arXiv:2505.17638)."""

from __future__ import annotations

from typing import Any

import numpy as np

from dmft_rf import Covariance, ScoreModel
from figures.figure import Figure
from figures.numbers import Numbers
from figures.shared import laws
from figures.simulations import Simulations
from validation.common import style

T, PSI_P, PSI_N = 0.01, 64.0, 8.0
ROWS = {
    "iso": (r"$\Sigma = I$", Covariance.isotropic()),
    "two": (r"$\Sigma$: 0.5 and 1.5", Covariance([0.5, 1.5], label="two eigenvalues")),
}
# d and seeds of the networks, the paper's size
NETWORKS = (100, 1)
# d and draws of the Gaussian equivalent
EQUIVALENT = {"quick": (60, 3), "paper": (100, 10)}


def models() -> dict[str, ScoreModel]:
    """The model of each row."""
    return {row: ScoreModel(T, PSI_P, PSI_N, covariance=law) for row, (_, law) in ROWS.items()}


def compute(profile: str, simulations: Simulations) -> Numbers:
    """Exact and leading-order laws, and eigenvalues of networks."""
    numbers = Numbers(remarks={"t": T, "psi_p": PSI_P, "psi_n": PSI_N})
    for row, model in models().items():
        laws.put_law(numbers, row, model)
        laws.put_leading_order(numbers, f"{row}/leading", model)
        laws.put_eigenvalues(numbers, row, model, simulations, *NETWORKS)
        laws.put_equivalent(numbers, row, model, *EQUIVALENT[profile])
    return numbers


def draw(numbers: Numbers) -> Any:
    """A row for each Sigma: all decades, then each group of bulks."""
    figure, axes = style.canvas(2, 4, 4.7, gridspec_kw={"width_ratios": [2.3, 1.15, 1.15, 1.15]})
    for panels, (row, (label, _)) in zip(axes, ROWS.items(), strict=True):
        laws.draw_overview(panels[0], numbers, row)
        panels[0].set_title(label, loc="left", x=0.04)
        edges = numbers[f"{row}/edges"]
        mass = numbers[f"{row}/masses"]
        # groups of bulks between the wide gaps
        ratio = edges[1:, 0] / edges[:-1, 1]
        cuts = np.flatnonzero(ratio > 2.0) + 1
        groups = np.split(np.arange(len(edges)), cuts)
        for ax, group, name in zip(panels[1:], groups, laws.BULKS, strict=True):
            laws.draw_zoom(ax, numbers, row, group, 26)
            total = float(mass[group].sum())
            ax.set_title(f"{name}, mass {total * PSI_P:.3g}/64", fontsize=7.0)
            ax.locator_params(axis="x", nbins=3)
            ax.locator_params(axis="y", nbins=5)
    axes[0, 1].set_ylabel(r"density $\rho(\lambda)$ / mass", labelpad=2)
    axes[1, 1].set_ylabel(r"density $\rho(\lambda)$ / mass", labelpad=2)
    style.letters([axes[0, 0], axes[0, 1], axes[0, 2], axes[0, 3], *axes[1]])
    style.legend_over(figure, laws.law_handles(numbers, "iso"), 3)
    return figure


FIGURE = Figure(
    "Spectrum of U at t = 0.01, psi_p = 64, psi_n = 8 (tanh)",
    "The whole spectrum of the feature matrix on a logarithmic axis (left) and each group of "
    "bulks (thin, of the samples, of the data) on linear axes, divided by its mass; below, half of "
    "the eigenvalues of Sigma are 0.5 and half 1.5. Besides the atom at s_t^2 (dashed) and the "
    "two bulks of the leading-order "
    "picture, the exact law has a third, thin bulk of mass 1/64 just above the atom: it is what "
    "the training sample is memorized with (see bulk-learning). The leading-order laws (dashed) "
    "give the edges of the middle bulk within 5 %; the upper bulk is 3.0 times as wide as the "
    "population law, because at psi_n = 8 the spectrum of the sample covariance is wide. "
    "Outlines: Gaussian-equivalent matrices, which follow the exact law; filled: one exact "
    "nonlinear network of the paper's size, d = 100 and p = 6400. For Sigma = I its three bulks "
    "hold 100, 700 and 100 eigenvalues, as the law says, and their means lie within 2.3 % of it; "
    "its middle bulk is a little wider than the law, and its atom is still spread out, from "
    "0.0007 to 0.0035.",
    compute, draw,
)  # fmt: skip
