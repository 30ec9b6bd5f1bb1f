"""Pictures of spectral laws: of the feature matrix U, and of a pencil."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

import dmft_rf
from dmft_rf._convert import instance, string
from dmft_rf.plotting.style import (
    BLUE,
    VERMILION,
    bulk_groups,
    figure_of,
    legend_above,
    styled,
    tex,
    titles,
    unformatted,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dmft_rf.pencil.spectrum import PencilSpectrum
    from dmft_rf.spectra.spectrum import Spectrum


@styled
def plot_spectrum(spectrum: Spectrum) -> Figure:
    """Draw the spectral law of U: density of every bulk, edges, atom, relaxation times.

    Parameters
    ----------
    spectrum : Spectrum

    Returns
    -------
    matplotlib.figure.Figure
        lambda rho(lambda), the density per unit of ln(lambda), at ``spectrum.grid()``. The upper
        axis has the time 1/(alpha lambda) on which a mode relaxes.
    """
    instance(spectrum, dmft_rf.Spectrum, "spectrum", "dmft_rf.spectrum(model)")
    model, edges, masses = spectrum.model, spectrum.edges, spectrum.bulk_masses
    figure, (ax,) = figure_of(1)
    each = min(max(20000 // len(masses), 8), 150)  # a law of many atoms has many bulks
    lam = spectrum.grid(max(600, each * len(masses)))
    height = lam * spectrum.density(lam)
    bulks = height.reshape(len(masses), -1)
    bottom = 10.0 ** math.floor(math.log10(0.03 * bulks.max(axis=1).min()))
    peak = height.max()
    groups = bulk_groups(spectrum.learning_bulks, masses)
    for k, (x, y) in enumerate(zip(lam.reshape(bulks.shape), bulks, strict=True)):
        label, colour, line = groups[k]
        # down to the axis at both edges, except where the density is infinite (hard edge)
        hard = spectrum.density(edges[k, 0]) > 0.0
        x = np.concatenate([x[:1] if hard else edges[k, :1], x, edges[k, 1:]])
        y = np.concatenate([y[:1] if hard else [0.0], y, [0.0]])
        ax.plot(x, y, color=colour, linestyle=line, label=label, linewidth=1.4)
        ax.fill_between(x, bottom, y, color=colour, alpha=0.18, linewidth=0)
    wide = math.isinf(model.psi_p)
    at = "" if wide else "s_t^2 = "
    rug = ax.get_xaxis_transform()
    shown = edges.ravel()
    shown = shown[shown > 0.0]  # 0 has no place on a logarithmic axis
    ax.vlines(shown, 0.0, 0.025, colors="black", linewidth=0.8, transform=rug)
    if len(masses) <= 3:
        for low, high in edges:
            for x, side in ((low, "left"), (high, "right")):
                if not x > 0.0:
                    continue
                ax.annotate(
                    f"{x:.3g}", (x, 0.03), xycoords=rug, fontsize=7.5, rotation=90,
                    ha=side, va="bottom", xytext=(1.5 if side == "left" else -1.5, 0),
                    textcoords="offset points",
                )  # fmt: skip
    for location, mass in spectrum.atoms:
        if location == 0.0:
            ax.plot([], [], " ", label=f"atom at 0, mass {mass:.4g}")
            continue
        ax.plot(
            [location, location], [bottom, 2.0 * peak], color="black", linewidth=1.4, marker="^",
            markevery=[1], label=rf"atom at ${at}{tex(location)}$, mass {mass:.4g}",
        )  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log", nonpositive="clip")
    # the data end at 70 % of the height, the legend is above
    ax.set_ylim(bottom, bottom * (2.0 * peak / bottom) ** (1.0 / 0.7))
    scaled = r"/\psi_p$ for $\psi_p \to \infty" if wide else ""
    ax.set_xlabel(rf"eigenvalue $\lambda$ of $U{scaled}$")
    ax.set_ylabel(r"$\lambda\,\rho(\lambda)$, density per unit of $\ln\lambda$")

    def relaxation(x: ArrayLike) -> ArrayLike:
        with np.errstate(divide="ignore"):  # matplotlib tries 0
            return 1.0 / (model.rate * np.asarray(x, dtype=float))

    upper = ax.secondary_xaxis("top", functions=(relaxation, relaxation))
    unit = "1" if wide else r"\psi_p"
    text = rf"relaxation time ${unit}/(2\Delta_t\lambda)$ in units of $\tau$"
    upper.set_xlabel(text, fontsize=9)
    ax.legend(loc="upper right")
    titles(figure, "Spectrum of the feature matrix $U$", model, pad=6.0)
    return figure


@styled
def plot_pencil(spectrum: PencilSpectrum, title: str = "Spectrum of a pencil") -> Figure:
    """Draw the spectral law of a pencil: density of every bulk, edges, atoms.

    Parameters
    ----------
    spectrum : PencilSpectrum
    title : str
        Shown as it is: without formulas.

    Returns
    -------
    matplotlib.figure.Figure
        The density; where the support is positive and spans decades, lambda rho(lambda) on
        logarithmic axes.
    """
    from dmft_rf.pencil.spectrum import PencilSpectrum

    instance(spectrum, PencilSpectrum, "spectrum", "pencil.bind().spectrum()")
    title = string(title, "title")
    edges, masses = spectrum.edges, spectrum.bulk_masses
    figure, (ax,) = figure_of(1)
    wide = edges.size > 0 and edges[0, 0] > 0.0 and edges[-1, 1] > 30.0 * edges[0, 0]
    lam = spectrum.grid(max(600, 60 * len(masses)))
    rho = spectrum.density(lam) * (lam if wide else 1.0)
    # a hard edge is infinite: cut above what all but its neighbourhood reaches
    top = min(rho.max(initial=0.0), 4.0 * np.percentile(rho, 80)) if lam.size else 1.0
    bottom = 0.0
    if wide:
        peaks = [rho[(lam > low) & (lam < high)].max() for low, high in edges]
        top, bottom = rho.max(), 10.0 ** math.floor(math.log10(0.03 * min(peaks)))
    for k, (low, high) in enumerate(edges):
        here = (lam > low) & (lam < high)
        ends = [0.0 if np.isfinite(spectrum.density(x)) else np.nan for x in (low, high)]
        x = np.concatenate([[low], lam[here], [high]])
        y = np.concatenate([ends[:1], rho[here], ends[1:]])
        label = f"{'bulk' if len(masses) == 1 else 'bulks'}, mass {masses.sum():.4g}"
        ax.plot(x, y, color=BLUE, label=None if k else label, linewidth=1.4)
        ax.fill_between(lam[here], bottom, rho[here], color=BLUE, alpha=0.18, linewidth=0)
    rug = ax.get_xaxis_transform()
    ax.vlines(edges.ravel(), 0.0, 0.025, colors="black", linewidth=0.8, transform=rug)
    for k, (location, mass) in enumerate(spectrum.atoms[:12]):
        name = f"atom at {location:.4g}, mass {mass:.4g}"
        ax.plot(
            [location, location], [0.0, 0.93], color=VERMILION, linestyle="--", linewidth=1.4,
            transform=rug, label=name if len(spectrum.atoms) <= 3 else (None if k else "atoms"),
        )  # fmt: skip
    if wide:
        ax.set_xscale("log")
        ax.set_yscale("log", nonpositive="clip")
        ax.set_ylim(bottom, 3.0 * top)
        ax.set_ylabel(r"$\lambda\,\rho(\lambda)$, density per unit of $\ln\lambda$")
    else:
        ax.set_ylim(0.0, 1.08 * top)
        ax.set_ylabel(r"density $\rho(\lambda)$")
    ax.set_xlabel(r"$\lambda$")
    ax.set_title(unformatted(title), loc="left", pad=24.0)
    legend_above(ax)
    return figure
