"""Spectrum of U for more samples (supplement of arXiv:2505.17638)."""

from __future__ import annotations

from typing import Any

from dmft_rf import ScoreModel
from figures.figure import Figure
from figures.numbers import Numbers
from figures.shared import laws
from figures.simulations import Simulations
from figures.spectrum import NETWORKS, PSI_P, T
from validation.common import style

PSI_N = (8, 32)
# d and draws of the Gaussian equivalent
EQUIVALENT = {"quick": (40, 2), "paper": (100, 4)}


def compute(profile: str, simulations: Simulations) -> Numbers:
    """Exact and leading-order laws, and eigenvalues of networks."""
    numbers = Numbers(remarks={"t": T, "psi_p": PSI_P})
    for psi_n in PSI_N:
        path, model = f"psi_n={psi_n}", ScoreModel(T, PSI_P, float(psi_n))
        laws.put_law(numbers, path, model)
        laws.put_leading_order(numbers, f"{path}/leading", model)
        laws.put_eigenvalues(numbers, path, model, simulations, *NETWORKS)
        laws.put_equivalent(numbers, path, model, *EQUIVALENT[profile])
    return numbers


def draw(numbers: Numbers) -> Any:
    """One panel for each number of samples."""
    figure, axes = style.canvas(1, 2, 2.9, sharey=True, sharex=True)
    for ax, psi_n in zip(axes[0], PSI_N, strict=True):
        path = f"psi_n={psi_n}"
        laws.draw_overview(ax, numbers, path)
        mass = numbers[f"{path}/atoms"][0, 1]
        ax.set_title(rf"$\psi_n = {psi_n}$, atom of mass {mass:.3f}", loc="left", x=0.04)
        for (start, _), name in zip(numbers[f"{path}/edges"], laws.BULKS, strict=True):
            ax.text(start, 0.8, name, fontsize=7.0)
    low = min(ax.get_xlim()[0] for ax in axes[0])
    high = max(ax.get_xlim()[1] for ax in axes[0])
    axes[0, 0].set_xlim(low, high)
    axes[0, 1].set_ylabel("")
    style.letters(list(axes[0]))
    style.legend_over(figure, laws.law_handles(numbers, f"psi_n={PSI_N[0]}"), 3)
    return figure


FIGURE = Figure(
    "Spectrum of U for psi_n = 8 and 32 (t = 0.01, psi_p = 64)",
    "More samples move the lower bulks towards the atom: the sample is memorized later. From "
    "psi_n = 4 to 8, 16 and 32 tau_mem grows with the powers 0.93, 0.74 and 0.50 of n: at this "
    "width there is no room for the law tau_mem ~ n (see timescales). The upper bulk narrows "
    "towards the population law. Lines: exact law; dashed: leading order; outlines: Gaussian "
    "equivalent; filled: one exact nonlinear network of the paper's size for each psi_n, d = 100 "
    "and p = 6400. Its atom is spread out by finite size, and in (b) covers the thin bulk.",
    compute, draw,
)  # fmt: skip
