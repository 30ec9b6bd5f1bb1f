"""The picture of a phase diagram: maps, regions and their boundaries."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

import dmft_rf
from dmft_rf._convert import instance, number
from dmft_rf._typing import Array
from dmft_rf.plotting import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dmft_rf.sweeps.results import PhaseDiagram


#: the colour of a region
REGIONS = style.REGIONS
#: what an axis is called
LABELS = {
    "psi_n": r"samples per dimension $\psi_n = n/d$",
    "psi_p": r"features per dimension $\psi_p = p/d$",
    "t": r"diffusion time $t$",
    "tau": r"training time $\tau$ (gradient flow)",
}
# label, colour and style; light on the dark ends of the maps, with a dark rim
_LINES = {
    "n_window": (r"$g(c\,\tau_{\rm gen})$ = level", "#FFFFFF", "--"),
    "n_star": (r"$n^*$: $g(\infty)$ = level", "#FFFFFF", "-"),
    "tau_gen": (r"$\tau_{\rm gen}$", "#FFFFFF", ":"),
    "tau_opt": (r"$\tau_{\rm opt}$", "#FFFFFF", "-."),
    "tau_overfit": (r"$g(\tau)$ = level", "#FFFFFF", "--"),
}
#: what is drawn of a diagram, and what stands at its colour bar
MAPS = {
    "region": "",
    "relative_gap": r"relative gap $g(TIME)$",
    "ratio": r"$E_{\rm score}(TIME)\,/\,\min_\tau E_{\rm score}$",
}
# what is far below the level is all the same
_SMALLEST = 1e-4
# how much more room a word needs to its sides than above and below
_WORD = 3.0


@style.styled
def plot_phase_diagram(diagram: PhaseDiagram, tau: float = math.inf) -> Figure:
    """Draw regions, relative gap and ratio to the optimum, each with the boundaries.

    Parameters
    ----------
    diagram : PhaseDiagram
    tau : float
        The time of the maps, one of ``diagram.tau``; without a meaning for the plane (n, tau).

    Returns
    -------
    matplotlib.figure.Figure
        Lines are roots; the maps are values at the points of the grid.
    """
    example = 'phase_diagram(model, {"psi_n": n, "psi_p": p})'
    instance(diagram, dmft_rf.PhaseDiagram, "diagram", example)
    tau = number(tau, "tau", least=0.0, infinite=True)
    figure = style.new_figure(7.0, 2.9)
    axes = figure.subplots(1, 3, sharey=True)
    for ax, what in zip(axes, MAPS, strict=True):
        draw_phases(ax, diagram, what, tau)
        ax.label_outer()
    style.letters(axes)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    more = rf"level ${style.tex(diagram.level)}$, $c = {style.tex(diagram.multiple)}$"
    style.titles(
        figure, "Phases of training", diagram.model, more, without=("psi_n", diagram.y), pad=14.0
    )
    return figure


def draw_phases(
    ax: Axes, diagram: PhaseDiagram, what: str = "region", tau: float = math.inf
) -> None:
    """Draw the regions, or one of the maps at the time ``tau``, with the boundaries."""
    if what == "region":
        _draw_regions(ax, diagram)
    else:
        values, when = getattr(diagram, what), r"\tau"
        if diagram.y != "tau":
            k = int(np.argmin(np.abs(np.arctan(diagram.tau) - math.atan(tau))))
            values = values[..., k]
            when = r"\infty" if math.isinf(diagram.tau[k]) else style.tex(float(diagram.tau[k]))
        _draw_map(ax, diagram, values, MAPS[what].replace("TIME", when))
    _draw_boundaries(ax, diagram, dark=what == "region")
    ax.set(xscale="log", yscale="log")
    ax.grid(False)
    finite = diagram.axes[diagram.y][np.isfinite(diagram.axes[diagram.y])]
    style.label_decades(ax.xaxis, diagram.axes["psi_n"])
    style.label_decades(ax.yaxis, finite)
    ax.set_xlabel(LABELS["psi_n"])
    ax.set_ylabel(LABELS[diagram.y])
    ax.set_xlim(diagram.axes["psi_n"][0], diagram.axes["psi_n"][-1])
    ax.set_ylim(finite[0], finite[-1])


def _draw_regions(ax: Axes, diagram: PhaseDiagram) -> None:
    from matplotlib.colors import ListedColormap
    from scipy.ndimage import distance_transform_edt

    colours = [REGIONS[name] for name in diagram.region_names]
    x, y, values = _drawable(diagram, np.where(diagram.regions < 0, np.nan, diagram.regions))
    ax.pcolormesh(
        x, y, values.T, cmap=ListedColormap(colours), vmin=-0.5, vmax=len(colours) - 0.5,
        rasterized=True, shading="nearest", linewidth=0,
    )  # fmt: skip
    free = np.ones(values.shape, dtype=bool)  # of lines across a region
    for line in diagram.boundaries.values() if diagram.y == "tau" else ():
        if line.ndim == 0:
            free[np.argmin(np.abs(x - line))] = False
        else:
            drawn = np.flatnonzero(np.isfinite(line))
            free[drawn, np.argmin(np.abs(y - line[drawn, None]), axis=1)] = False
    for k, name in enumerate(diagram.region_names):
        inside = values == k
        if inside.any():  # named where there is most room for a word, which a grey print keeps
            cell = 1.0 / (_WORD * x.size), 1.0 / y.size
            room = distance_transform_edt(np.pad(inside & free, 1), sampling=cell)[1:-1, 1:-1]
            i, j = np.unravel_index(np.argmax(np.where(inside, room, -1.0)), room.shape)
            ax.text(
                x[i], y[j], name.replace(" ", "\n"), fontsize=6, ha="center", va="center",
                zorder=1.9,
            )  # fmt: skip


def _draw_map(ax: Axes, diagram: PhaseDiagram, values: Array, label: str) -> None:
    from matplotlib.colors import LogNorm

    x, y, shown = _drawable(diagram, np.where(values > 0.0, values, np.nan))
    finite = shown[np.isfinite(shown)]
    norm: Any = None
    if finite.size:
        low = max(float(finite.min()), _SMALLEST)
        norm = LogNorm(low, max(float(finite.max()), 1.01 * low))
    mesh = ax.pcolormesh(
        x, y, shown.T, norm=norm, cmap="cividis", rasterized=True, shading="nearest"
    )
    ax.figure.colorbar(
        mesh, ax=ax, label=label, pad=0.02, aspect=25,
        extend="min" if finite.size and finite.min() < _SMALLEST else "neither",
    )  # fmt: skip


def _drawable(diagram: PhaseDiagram, values: Array) -> tuple[Array, Array, Array]:
    """Grid and values without the times 0 and inf, which have no place on a logarithmic axis."""
    y = diagram.axes[diagram.y]
    shown = np.isfinite(y)
    return diagram.axes["psi_n"], y[shown], values[:, shown]


def _draw_boundaries(ax: Axes, diagram: PhaseDiagram, *, dark: bool) -> None:
    from matplotlib.patheffects import Normal, Stroke

    finite = diagram.axes[diagram.y][np.isfinite(diagram.axes[diagram.y])]
    for name, values in diagram.boundaries.items():
        label, colour, line = _LINES[name]
        if values.ndim == 0:
            x, y = np.full(2, float(values)), finite[[0, -1]]
        elif diagram.y == "tau":
            x, y = diagram.axes["psi_n"], np.where(np.isfinite(values), values, np.nan)
        else:
            x, y = np.where(values > 0.0, values, np.nan), diagram.axes[diagram.y]
        ax.plot(
            x, y, color="black" if dark else colour, linestyle=line, linewidth=1.3,
            label=label if dark else None, scaley=False, scalex=False,
            path_effects=None if dark else [Stroke(linewidth=2.4, foreground=style.GREY), Normal()],
        )  # fmt: skip
