"""Pictures of spectral laws: of the feature matrix U, and of a pencil."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

import dmft_rf
from dmft_rf._convert import instance, string
from dmft_rf._typing import Array
from dmft_rf.plotting import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dmft_rf.pencil.spectrum import PencilSpectrum
    from dmft_rf.spectra.resolvent import Resolvent
    from dmft_rf.spectra.spectrum import Spectrum

# so many bulks of one family are drawn one by one; more are one shape of so many steps
_SEPARATE, _STEPS = 4, 16


@style.styled
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
    figure, (ax,) = style.figure_of(1)
    draw_spectrum(ax, spectrum)
    wide = math.isinf(spectrum.model.psi_p)
    rate = spectrum.model.rate

    def relaxation(x: ArrayLike) -> ArrayLike:
        with np.errstate(divide="ignore"):  # matplotlib tries 0
            return 1.0 / (rate * np.asarray(x, dtype=float))

    upper = ax.secondary_xaxis("top", functions=(relaxation, relaxation))
    unit = "1" if wide else r"\psi_p"
    text = rf"relaxation time ${unit}/(2\Delta_t\lambda)$ in units of $\tau$"
    upper.set_xlabel(text)
    ax.tick_params(top=False, which="both")
    ax.legend(loc="upper right")
    style.titles(figure, "Spectrum of the feature matrix $U$", spectrum.model, pad=4.0)
    return figure


def draw_spectrum(
    ax: Axes, spectrum: Spectrum, label: str | None = None, colour: str | None = None
) -> None:
    """Draw lambda rho(lambda), the edges and the atom; many bulks of one family as one shape.

    In one colour, and without the numbers at the edges, where there is a ``colour``.
    """
    edges, masses = spectrum.edges, spectrum.bulk_masses
    each = min(max(20000 // len(masses), 8), 150)  # a law of many atoms has many bulks
    lam = spectrum.grid(max(600, each * len(masses)))
    height = lam * spectrum.density(lam)
    bulks = height.reshape(len(masses), -1)
    bottom = 10.0 ** math.floor(math.log10(0.03 * bulks.max(axis=1).min()))
    peak = height.max()
    lams, names = lam.reshape(bulks.shape), np.array(spectrum.bulk_names)
    ends: list[float] = []
    for k, name in enumerate(dict.fromkeys(names.tolist())):
        members = np.flatnonzero(names == name)
        text, shade, line = style.BULKS[name]
        text = f"{text}, mass {masses[members].sum():.4g}"
        if members.size > _SEPARATE:
            text += f" ({members.size} bulks)"
            shapes = [_averaged(lams[members], bulks[members])]
            ends += [edges[members[0], 0], edges[members[-1], 1]]
        else:
            shapes = [_outline(spectrum, int(i), lams[i], bulks[i]) for i in members]
            ends += edges[members].ravel().tolist()
        if label is not None or colour is not None:
            text, shade, line = (label or "") if k == 0 else "", colour or style.BLUE, "-"
        for j, (x, y) in enumerate(shapes):
            shown = text if j == 0 and text else None
            ax.plot(x, y, color=shade, linestyle=line, label=shown)
            ax.fill_between(x, bottom, y, color=shade, alpha=0.18, linewidth=0)
    rug = ax.get_xaxis_transform()
    places = [x for x in ends if x > 0.0]  # 0 has no place on a logarithmic axis
    ax.vlines(places, 0.0, 0.025, colors=colour or "black", linewidth=0.8, transform=rug)
    if len(masses) <= 3 and colour is None:
        for low, high in edges:
            for x, side in ((low, "left"), (high, "right")):
                if not x > 0.0:
                    continue
                ax.annotate(
                    f"{x:.3g}", (x, 0.03), xycoords=rug, fontsize=7, rotation=90,
                    ha=side, va="bottom", xytext=(1.5 if side == "left" else -1.5, 0),
                    textcoords="offset points",
                )  # fmt: skip
    at = "" if math.isinf(spectrum.model.psi_p) else "s_t^2 = "
    for location, mass in spectrum.atoms:
        if location == 0.0:
            if colour is None:
                ax.plot([], [], " ", label=f"atom at 0, mass {mass:.4g}")
            continue
        ax.plot(
            [location, location], [bottom, 2.0 * peak], color=colour or "black", linewidth=1.4,
            marker="^", markevery=[1],
            label=None if colour else rf"atom at ${at}{style.tex(location)}$, mass {mass:.4g}",
        )  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log", nonpositive="clip")
    # the data end at 70 % of the height, the legend is above
    top = bottom * (2.0 * peak / bottom) ** (1.0 / 0.7)
    ax.set_ylim(*_including(ax, bottom, top))
    scaled = r"/\psi_p$ for $\psi_p \to \infty" if math.isinf(spectrum.model.psi_p) else ""
    ax.set_xlabel(rf"eigenvalue $\lambda$ of $U{scaled}$")
    ax.set_ylabel(r"$\lambda\,\rho(\lambda)$, density per unit of $\ln\lambda$")


def _outline(spectrum: Spectrum, k: int, x: Array, y: Array) -> tuple[Array, Array]:
    """A bulk, down to the axis at both edges but for one where the density is infinite."""
    low, high = spectrum.edges[k]
    hard = spectrum.density(low) > 0.0
    x = np.concatenate([x[:1] if hard else [low], x, [high]])
    return x, np.concatenate([y[:1] if hard else [0.0], y, [0.0]])


def _averaged(x: Array, y: Array) -> tuple[Array, Array]:
    """Many bulks, (bulks, points), as one shape: steps of the same width in ln(lambda)."""
    log = np.log(x)
    pieces = 0.5 * (y[:, 1:] + y[:, :-1]) * np.diff(log, axis=1)
    mass = np.concatenate([np.zeros((len(x), 1)), pieces], axis=1).ravel().cumsum()
    places = np.linspace(log[0, 0], log[-1, -1], min(len(x) // 2, _STEPS) + 1)
    height = np.diff(np.interp(places, log.ravel(), mass)) / np.diff(places)
    return (np.exp(np.repeat(places, 2)), np.concatenate([[0.0], np.repeat(height, 2), [0.0]]))


@style.styled
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
    figure, (ax,) = style.figure_of(1)
    draw_pencil(ax, spectrum)
    ax.set_title(style.unformatted(title), loc="left", pad=20.0)
    style.legend_above(ax)
    return figure


def draw_pencil(
    ax: Axes, spectrum: PencilSpectrum, label: str | None = None, colour: str | None = None
) -> None:
    """Draw the density, the edges and the atoms of the law of a pencil."""
    edges, masses = spectrum.edges, spectrum.bulk_masses
    shade = colour or style.BLUE
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
        name = label or f"{'bulk' if len(masses) == 1 else 'bulks'}, mass {masses.sum():.4g}"
        ax.plot(x, y, color=shade, label=None if k else name)
        ax.fill_between(lam[here], bottom, rho[here], color=shade, alpha=0.18, linewidth=0)
    rug = ax.get_xaxis_transform()
    ax.vlines(edges.ravel(), 0.0, 0.025, colors=colour or "black", linewidth=0.8, transform=rug)
    for k, (location, mass) in enumerate(spectrum.atoms[:12]):
        name = f"atom at {location:.4g}, mass {mass:.4g}"
        ax.plot(
            [location, location], [0.0, 0.93], color=colour or style.VERMILION, linestyle="--",
            linewidth=1.4, transform=rug,
            label=name if len(spectrum.atoms) <= 3 else (None if k else "atoms"),
        )  # fmt: skip
    if wide:
        ax.set_xscale("log")
        ax.set_yscale("log", nonpositive="clip")
        ax.set_ylim(*_including(ax, bottom, 3.0 * top))
        ax.set_ylabel(r"$\lambda\,\rho(\lambda)$, density per unit of $\ln\lambda$")
    else:
        ax.set_ylim(*_including(ax, 0.0, 1.08 * top))
        ax.set_ylabel(r"density $\rho(\lambda)$")
    ax.set_xlabel(r"$\lambda$")


def _including(ax: Axes, low: float, high: float) -> tuple[float, float]:
    """Limits for what is drawn, and for what has been drawn before."""
    if not style.drawings(ax):
        return low, high
    first, last = ax.get_ylim()
    if low <= 0.0 and ax.get_yscale() == "log":
        low = first
    return min(low, first), max(high, last)


def draw_ends(ax: Axes, law: Spectrum, label: str | None = None, colour: str | None = None) -> None:
    """The ends of a law that has no density."""
    low, high = law.ends
    name = label or "all eigenvalues are within"
    ax.axvspan(low, high, color=colour or style.BLUE, alpha=0.18, linewidth=0, label=name)
    for x in (low, high):
        ax.axvline(x, color=colour or style.BLUE)
    ax.set_yticks([])
    ax.set_xlabel(r"eigenvalue $\lambda$ of $U$")


def draw_resolvent(
    ax: Axes, found: Resolvent, label: str | None = None, colour: str | None = None
) -> None:
    """Real and imaginary part of the Stieltjes transform q against the real part of z."""
    order = np.argsort(found.z.real, axis=None)
    z, q = found.z.ravel()[order], found.q.ravel()[order]
    for values, name, shade, line in (
        (q.real, r"${\rm Re}\,q$", style.BLUE, "-"),
        (q.imag, r"${\rm Im}\,q$", style.VERMILION, "--"),
    ):
        text = f"{label}, {name}" if label else name
        ax.plot(z.real, values, color=colour or shade, linestyle=line, marker=".", label=text)
    ax.set(xlabel=r"${\rm Re}\,z$", ylabel=r"transform $q(z)$")
