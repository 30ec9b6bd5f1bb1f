"""Pictures of results: matplotlib figures that need no display and no global state.

Colours are those of Okabe and Ito, which survive colour blindness; each also has its own line
style, so that a grey print can be read. Every function returns a new `matplotlib.figure.Figure`.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import dmft_rf
from dmft_rf._convert import flag, instance, string
from dmft_rf._version import __version__
from dmft_rf.files.replace import check_output, replacing
from dmft_rf.plotting.style import (
    BLUE,
    GREEN,
    GREY,
    PURPLE,
    VERMILION,
    bulk_groups,
    figure_of,
    label_decades,
    legend_above,
    log_if_wide,
    positive,
    styled,
    tex,
    titles,
    unformatted,
)
from dmft_rf.rules.flow import GradientFlow, Rule

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dmft_rf.curves.losses import LearningCurves
    from dmft_rf.curves.solve import Solution
    from dmft_rf.curves.timescales import Timescales
    from dmft_rf.pencil.spectrum import PencilSpectrum
    from dmft_rf.spectra.spectrum import Spectrum
    from dmft_rf.sweeps.results import Scaling

__all__ = [
    "ENDINGS",
    "plot_curves",
    "plot_pencil",
    "plot_scaling",
    "plot_spectrum",
    "plot_timescales",
    "save_figure",
]

ENDINGS = (".png", ".pdf")
"""Formats of `save_figure`."""

_TAU = r"training time $\tau$ (gradient flow, $dA/d\tau = -d^2\,\nabla_{\!A} L_{\rm train}$)"
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
# name -> label, colour, line style, marker
_TIMES = {
    "tau_gen": (r"$\tau_{\rm gen}$", BLUE, "-", "o"),
    "tau_opt": (r"$\tau_{\rm opt}$", GREEN, "--", "s"),
    "tau_mem": (r"$\tau_{\rm mem}$", VERMILION, "-.", "^"),
}


@styled
def save_figure(figure: Figure, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a figure as PNG or PDF, by the ending of ``path``.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : path
        In an existing folder, ending in .png or .pdf.
    overwrite : bool, default False
        Whether an existing file may be replaced.

    Returns
    -------
    pathlib.Path
        The file, complete: it is written beside its place and renamed.

    Raises
    ------
    DataError
        If the ending is another, the folder is missing, the file exists or cannot be written.
    """
    from matplotlib.figure import Figure

    instance(figure, Figure, "figure", "plot_curves(curves)")
    overwrite = flag(overwrite, "overwrite")
    place = check_output(path, overwrite=overwrite, endings=ENDINGS)
    kind = place.suffix.lower()[1:]
    software = f"dmft_rf {__version__}"
    # without a date, so that the same result gives the same file
    metadata = (
        {"Creator": software, "CreationDate": None} if kind == "pdf" else {"Software": software}
    )
    with replacing(place, overwrite=overwrite) as temporary:
        backend = {"png": "agg", "pdf": "pdf"}[kind]
        figure.savefig(temporary, format=kind, metadata=metadata, backend=backend)
    return place


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
            markevery=[1], label=rf"atom at $s_t^2 = {tex(location)}$, mass {mass:.4g}",
        )  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log", nonpositive="clip")
    # the data end at 70 % of the height, the legend is above
    ax.set_ylim(bottom, bottom * (2.0 * peak / bottom) ** (1.0 / 0.7))
    ax.set_xlabel(r"eigenvalue $\lambda$ of $U$")
    ax.set_ylabel(r"$\lambda\,\rho(\lambda)$, density per unit of $\ln\lambda$")

    def relaxation(x: ArrayLike) -> ArrayLike:
        with np.errstate(divide="ignore"):  # matplotlib tries 0
            return 1.0 / (model.rate * np.asarray(x, dtype=float))

    upper = ax.secondary_xaxis("top", functions=(relaxation, relaxation))
    upper.set_xlabel(r"relaxation time $\psi_p/(2\Delta_t\lambda)$ in units of $\tau$", fontsize=9)
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
        (ax, "test", r"test $L_{\rm test}$", VERMILION, "-"),
        (ax, "train", r"training $L_{\rm train}$", BLUE, "--"),
        (ax, "generalization_gap", r"gap $L_{\rm test}-L_{\rm train}$", PURPLE, "-."),
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
    below.set_xlabel(_TAU)
    below.set_xscale("log")
    log_if_wide(ax, np.concatenate(losses), floor=True)
    log_if_wide(below, np.ravel(curves.score_error))
    ends = [text for end, text in ((0.0, "0"), (math.inf, r"\infty")) if np.any(tau == end)]
    if ends:
        text = rf"limits $\tau = {', '.join(ends)}$ (not on this scale)"
        below.plot([], [], "D", color=GREY, markersize=5, label=text)
        legend_above(below)
    legend_above(ax)
    titles(figure, "Learning curves", model, _rule_text(curves.rule))
    return figure


@styled
def plot_timescales(solution: Solution, timescales: Timescales) -> Figure:
    """Draw the learning curves of gradient flow with tau_gen, tau_opt and tau_mem marked.

    Parameters
    ----------
    solution : Solution
    timescales : Timescales
        Of the same solution.

    Returns
    -------
    matplotlib.figure.Figure
        The window from tau_gen to tau_mem is shaded.
    """
    instance(solution, dmft_rf.Solution, "solution", "solve(model)")
    instance(timescales, dmft_rf.Timescales, "timescales", "dmft_rf.timescales(solution)")
    low, high = solution.diagnostics["support"]
    rate = solution.model.rate
    marks = {name: getattr(timescales, name) for name in _TIMES}
    known = [value for value in marks.values() if math.isfinite(value) and value > 0.0]
    first = min([0.03 / (rate * high), *(0.3 * v for v in known)])
    slowest = max(low, 1e-6 * high) if solution.hard_edge else low
    last = min(30.0 / (rate * slowest), solution.horizon)
    last = max([last, *(3.0 * v for v in known)])
    curves = solution.learning_curves(np.geomspace(first, last, 301))
    figure, (ax, below) = figure_of(2)
    for name, label, colour, line in (
        ("test", r"test $L_{\rm test}$", VERMILION, "-"),
        ("train", r"training $L_{\rm train}$", BLUE, "--"),
        ("generalization_gap", r"gap $L_{\rm test}-L_{\rm train}$", PURPLE, "-."),
    ):
        ax.plot(curves.tau, getattr(curves, name), label=label, color=colour, linestyle=line)
    below.plot(curves.tau, curves.score_error, color=GREEN)
    ax.axhline(solution.model.floor, color=GREY, linestyle=":", linewidth=1.2, label="exact score")
    gen, mem = marks["tau_gen"], marks["tau_mem"]
    for axes in (ax, below):
        if gen < mem < math.inf:
            axes.axvspan(gen, mem, color="#F0E442", alpha=0.18, linewidth=0, zorder=0)
        for name, value in marks.items():
            if math.isfinite(value) and value > 0.0:
                text, colour, line, _ = _TIMES[name]
                axes.axvline(
                    value, color=colour, linewidth=1.3, linestyle=line,
                    label=rf"{text} $= {tex(value)}$" if axes is below else None,
                )  # fmt: skip
    ax.set_ylabel("loss per dimension")
    below.set_ylabel(r"score error $E_{\rm score}$")
    below.set_xlabel(_TAU)
    below.set_xscale("log")
    log_if_wide(ax, np.concatenate([curves.test, curves.train]), floor=True)
    log_if_wide(below, curves.score_error)
    for axes in (ax, below):
        legend_above(axes)
    titles(figure, "Timescales of learning", solution.model, _rule_text(GradientFlow()))
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
    for name, (label, colour, line, marker) in _TIMES.items():
        if name not in scaling.quantities:
            continue
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
    legend_above(below)
    what = _PARAMETERS[scaling.parameter]
    title = f"Training times against {what}"
    titles(figure, title, scaling.model, without=scaling.parameter, pad=6.0)
    return figure


def _times(factor: float) -> Callable[[ArrayLike], ArrayLike]:
    return lambda values: np.asarray(values, dtype=float) * factor


def _rule_text(rule: Rule) -> str:
    """Return the rule and its parameters other than 0, in words."""
    name = unformatted(re.sub(r"(?<!^)(?=[A-Z])", " ", type(rule).__name__).lower())
    values = [
        f"{f.name.replace('_', ' ')} {getattr(rule, f.name):g}"
        for f in fields(rule)
        if getattr(rule, f.name) != 0.0
    ]
    return " ".join([name, *([f"({', '.join(values)})"] if values else [])])
