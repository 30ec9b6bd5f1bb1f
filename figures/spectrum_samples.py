"""Spectrum of U for more samples (supplement of arXiv:2505.17638)."""

from __future__ import annotations

from typing import Any

from dmft_rf import ScoreModel
from figures.figure import Figure
from figures.numbers import Numbers
from figures.shared import laws
from figures.simulations import Simulations
from figures.spectrum import PAPER, PSI_P, QUICK, T
from validation.common import style
from validation.finite.case import Case

PSI_N = (8, 32)
# d and draws of the Gaussian equivalent
EQUIVALENT = {"quick": (40, 2), "paper": (100, 4)}


def cases(profile: str) -> list[Case]:
    """The networks of `validation` at the paper's parameters."""
    sizes = QUICK if profile == "quick" else PAPER
    return [
        Case(
            f"paper_t0.01_n{psi_n}", f"psi_p = 64, psi_n = {psi_n}, t = 0.01",
            ScoreModel(T, PSI_P, float(psi_n)), sizes, (10.0, 100.0, 1e4, 1e5),
        )
        for psi_n in PSI_N
    ]  # fmt: skip


def compute(profile: str, simulations: Simulations) -> Numbers:
    """Exact and leading-order laws, and eigenvalues of networks."""
    numbers = Numbers(remarks={"t": T, "psi_p": PSI_P})
    for networks in cases(profile):
        path = f"psi_n={networks.model.psi_n:g}"
        laws.put_law(numbers, path, networks.model)
        laws.put_leading_order(numbers, f"{path}/leading", networks.model)
        laws.put_eigenvalues(numbers, path, simulations.cells(networks))
        laws.put_equivalent(numbers, path, networks.model, *EQUIVALENT[profile])
    return numbers


def draw(numbers: Numbers) -> Any:
    """One panel for each number of samples."""
    figure, axes = style.canvas(1, 2, 2.9, sharey=True, sharex=True)
    for ax, psi_n in zip(axes[0], PSI_N, strict=True):
        path = f"psi_n={psi_n}"
        laws.draw_overview(ax, numbers, path)
        mass = numbers[f"{path}/atoms"][0, 1]
        ax.set_title(rf"$\psi_n = {psi_n}$, atom of mass {mass:.3f}", loc="left", x=0.04)
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
    "equivalent; filled: finite networks.",
    compute, draw, cases,
)  # fmt: skip
