"""What ``result.plot(ax)`` draws, for every result: the drawings of the figures, one at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

import dmft_rf
from dmft_rf._convert import instance, one_of, shown, string
from dmft_rf.curves.automatic_times import automatic_times
from dmft_rf.curves.definitions import PARTS
from dmft_rf.curves.definitions import TIMES as ERROR_TIMES
from dmft_rf.errors import ModelError
from dmft_rf.generated.divergences import NAMES as DIVERGENCES
from dmft_rf.plotting.advice import draw_advice
from dmft_rf.plotting.covariance import draw_covariance
from dmft_rf.plotting.curves import (
    SCALED,
    draw_curve,
    draw_derivatives,
    draw_power_law,
    draw_scaling,
)
from dmft_rf.plotting.fits import RESIDUALS, STYLES, draw_fit
from dmft_rf.plotting.generated import draw_generation_times
from dmft_rf.plotting.measured import (
    draw_dates,
    draw_frechet,
    draw_log,
    draw_memorized,
    draw_neighbours,
    draw_prediction,
)
from dmft_rf.plotting.phases import LABELS, MAPS, draw_phases
from dmft_rf.plotting.spectra import draw_ends, draw_pencil, draw_resolvent, draw_spectrum
from dmft_rf.plotting.style import (
    COLOURS,
    GREEN,
    GREY,
    MARK,
    SYMBOLS,
    WIDTH,
    drawings,
    label_decades,
    letters,
    load_matplotlib,
    log_if_wide,
    new_figure,
    positive,
    styled,
    titles,
    unformatted,
)
from dmft_rf.plotting.timescales import (
    ABOVE_FLOOR,
    LOSSES,
    TIMES,
    above_floor,
    draw_timescales,
    floor_name,
    floor_of,
)
from dmft_rf.rules.flow import GradientFlow
from dmft_rf.sweeps.results import QUANTITIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dmft_rf.curves.bulk_split import BulkSplit
    from dmft_rf.curves.error_parts import ErrorParts
    from dmft_rf.curves.error_times import ErrorTimes
    from dmft_rf.curves.finite_size import FiniteCurves, FiniteSize
    from dmft_rf.curves.losses import LearningCurves
    from dmft_rf.curves.many import ManyCurves
    from dmft_rf.curves.solve import Solution
    from dmft_rf.generated.path_bound import PathBound
    from dmft_rf.generated.result import Generation
    from dmft_rf.sweeps.results import PhaseDiagram, Scaling, Sweep

_LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)))
_MOST_LINES = 30
_STYLES: dict[str, tuple[str, str, Any]] = {
    **{name: (text, colour, line) for name, text, colour, line in LOSSES},
    "score_error": (r"score error $E_{\rm score}$", GREEN, "-"),
}


class Request(NamedTuple):
    """What to draw: which quantities, under which name, in which colour (None: the usual ones)."""

    names: tuple[str, ...]
    label: str | None
    colour: str | None

    def style(self, k: int, text: str, colour: str, line: Any) -> tuple[str, str, Any]:
        """Label, colour and style of the k-th line."""
        named = f"{self.label}, {text}" if self.label and len(self.names) > 1 else self.label
        if self.colour is None:
            return named or text, colour, line
        return named or text, self.colour, _LINES[k % len(_LINES)]


@styled
def plot(result: Any, ax: Any, quantity: Any, label: Any) -> Axes:
    """Draw a result on axes, by default on new ones: see `dmft_rf._show.Shown.plot`."""
    load_matplotlib()
    from matplotlib.axes import Axes

    kinds = (kind.__name__ for kind in type(result).__mro__)
    drawing = next(_DRAWINGS[name] for name in kinds if name in _DRAWINGS)
    names = _chosen(quantity, drawing, result)
    if label is not None:
        label = unformatted(string(label, "label"))
    axes = _new_axes() if ax is None else instance(ax, Axes, "ax", "plt.subplots()[1]")
    before = list(axes.lines)
    count = len(drawings(axes))
    colour = COLOURS[count % len(COLOURS)] if count or label is not None else None
    drawing.draw(axes, result, Request(names, label, colour))
    for line in axes.lines:
        if line not in before:
            line.set_gid(f"{MARK}{count}")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc=drawing.legend)
    return axes


@styled
def plot_sweep(sweep: Sweep) -> Figure:
    """Draw every quantity of a sweep, one panel for each.

    Parameters
    ----------
    sweep : Sweep

    Returns
    -------
    matplotlib.figure.Figure
        Against tau, or the parameter of most values; one line for each value of the others.
    """
    instance(sweep, dmft_rf.Sweep, "sweep", 'sweep(model, {"psi_n": [1, 2]}, "tau_gen")')
    names = [name for name in sweep.quantities if name != "edges"]
    if not names:
        raise ModelError("quantities are edges alone; a picture of a sweep needs another one")
    figure = new_figure(WIDTH, 0.8 + 1.9 * len(names))
    panels = figure.subplots(len(names), 1, squeeze=False)[:, 0]
    for axes, name in zip(panels, names, strict=True):
        plot(sweep, axes, name, None)
    if len(names) > 1:
        letters(panels.tolist())
    titles(figure, "Sweep", sweep.model, without=tuple(sweep.axes), pad=6.0)
    return figure


def _new_axes() -> Axes:
    """Axes of a figure that pyplot knows, and shows once."""
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(WIDTH, 3.0))[1]


def _chosen(quantity: Any, drawing: Drawing, result: Any) -> tuple[str, ...]:
    """The quantities that are asked for, each one that can be drawn."""
    known = tuple(drawing.names(result))
    if quantity is None:
        return drawing.usual or known[:1]
    if not known:
        raise ModelError(
            f"quantity is {shown(quantity)}; a {type(result).__name__} is drawn as a whole"
        )
    several = not isinstance(quantity, str) and isinstance(quantity, Sequence) and len(quantity)
    wanted = tuple(quantity) if several else (quantity,)
    return tuple(one_of(name, known, "quantity") for name in wanted)


def _draw_curves(ax: Axes, curves: LearningCurves, request: Request) -> None:
    # on axes with something on them as what is there
    floor = floor_of(curves.model) if {"test", "train"} >= set(request.names) else 0.0
    floor = floor if not drawings(ax) or ax.get_ylabel() == ABOVE_FLOOR else 0.0
    for k, name in enumerate(request.names):
        usual = _STYLES.get(name, (name.replace("_", " "), GREY, _LINES[k % len(_LINES)]))
        values = above_floor(name, getattr(curves, name), floor)
        draw_curve(ax, curves.tau, values, *request.style(k, *usual))
    if "test" in request.names and request.colour is None and not floor:
        ax.axhline(curves.model.floor, color=GREY, linestyle=":", label=floor_name(curves.model))
    _finish(ax, request.names)
    if floor:
        ax.set_ylabel(ABOVE_FLOOR)


def _draw_many(ax: Axes, many: ManyCurves, request: Request) -> None:
    places = list(np.ndindex(many.shape))
    if len(places) * len(request.names) > _MOST_LINES:
        raise ModelError(
            f"there are {len(places)} models; {_MOST_LINES} lines can be told apart: "
            "many.to_xarray() gives a part of them"
        )
    for k, name in enumerate(request.names):
        for j, place in enumerate(places):
            text = f"model {', '.join(map(str, place))}"
            parts = [request.label, name if len(request.names) > 1 else None, text]
            label = ", ".join(part for part in parts if part)
            line = _LINES[k % len(_LINES)]
            colour = COLOURS[j % len(COLOURS)]
            draw_curve(ax, many.tau, getattr(many, name)[place], label, colour, line)
    _finish(ax, request.names)


def _draw_solution(ax: Axes, solution: Solution, request: Request) -> None:
    _draw_curves(ax, solution.learning_curves(automatic_times(solution, GradientFlow())), request)


def _draw_finite(ax: Axes, finite: FiniteCurves, request: Request) -> None:
    """The mean, in a band of one standard deviation of a network."""
    for k, name in enumerate(request.names):
        label, colour, line = request.style(k, *_STYLES[name])
        tau, mean, spread = map(np.ravel, (finite.tau, finite.mean[name], finite.spread[name]))
        draw_curve(ax, tau, mean, label, colour, line)
        ax.fill_between(tau, mean - spread, mean + spread, color=colour, alpha=0.2, linewidth=0.0)
    _finish(ax, request.names)


def _draw_finite_size(ax: Axes, finite: FiniteSize, request: Request) -> None:
    times = automatic_times(finite.solutions[0], GradientFlow())[1:-1]
    _draw_finite(ax, finite.learning_curves(times), request)


def _draw_bulks(ax: Axes, split: BulkSplit, request: Request) -> None:
    for k, name in enumerate(request.names):
        for bulk, values in enumerate(getattr(split, name)):
            label = f"{request.label or name.replace('_', ' ')}, bulk {bulk}"
            colour = request.colour or COLOURS[bulk % len(COLOURS)]
            line = _LINES[(k if request.colour is None else k + bulk) % len(_LINES)]
            draw_curve(ax, split.tau, values, label, colour, line)
    _finish(ax, request.names)


def _draw_over_tau(ax: Axes, result: Generation | PathBound | ErrorParts, request: Request) -> None:
    total = getattr(result, "total", None)
    for k, name in enumerate(request.names):
        usual = name.replace("_", " "), COLOURS[k % len(COLOURS)], _LINES[k % len(_LINES)]
        values = getattr(result, name) if total is None else total[name]
        draw_curve(ax, result.tau, values, *request.style(k, *usual))
    _finish(ax, request.names)


def _draw_sweep(ax: Axes, sweep: Sweep, request: Request) -> None:
    """Against tau, or the axis of most numbers; one line for each value of the others."""
    axes = {name: np.asarray(values) for name, values in sweep.axes.items()}
    if sweep.is_list:
        axes = axes if len(axes) == 1 else {"point": np.arange(sweep.status.size)}
    if sweep[request.names[0]].ndim > len(axes):
        axes["tau"] = sweep.request["tau"]
    of_numbers = [name for name, values in axes.items() if values.dtype.kind in "fiu"]
    along = "tau" if "tau" in axes else max(of_numbers, key=lambda n: axes[n].size, default="")
    along = along or next(iter(axes))
    others = [name for name in axes if name != along]
    places = list(itertools.product(*(range(axes[name].size) for name in others)))
    if len(places) * len(request.names) > _MOST_LINES:
        raise ModelError(
            f"the sweep has {len(places)} curves of {along}; {_MOST_LINES} can be told apart: "
            "sweep.to_xarray() gives a part of it"
        )
    names = list(axes)
    for k, name in enumerate(request.names):
        values = np.moveaxis(sweep[name], [names.index(o) for o in others], range(len(others)))
        for j, place in enumerate(places):
            at = [
                rf"{SYMBOLS.get(o, o)} = {unformatted(_short(axes[o][i]))}"
                for o, i in zip(others, place, strict=True)
            ]
            own = _text_of(name) if len(request.names) > 1 or not at else None
            parts = [request.label, own, *at]
            colour = request.colour or COLOURS[(j if at else k) % len(COLOURS)]
            by_colour = request.colour is None and at and len(request.names) > 1
            line = _LINES[(k if by_colour else k + j) % len(_LINES)]
            label = ", ".join(part for part in parts if part)
            if along == "tau":
                draw_curve(ax, axes[along], values[place], label, colour, line)
            else:
                style = {"color": colour, "linestyle": line, "marker": "o"}
                ax.plot(axes[along], values[place], label=label, **style)
    x = axes[along]
    if along != "tau":
        if x.dtype.kind in "fiu" and x.min() > 0.0 and x.max() > 5.0 * x.min():
            ax.set_xscale("log")
            label_decades(ax.xaxis, x)
        ax.set_xlabel(LABELS.get(along, along))
    _finish(ax, request.names)


def _text_of(name: str) -> str:
    """What a quantity is called."""
    known = {**TIMES, **_STYLES}
    return known[name][0] if name in known else name.replace("_", " ")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


def _finish(ax: Axes, names: Sequence[str]) -> None:
    """The name of the y axis, and its scale by all that is on it."""
    losses = {"test", "train", "generalization_gap"}
    ax.set_ylabel("loss per dimension" if losses >= set(names) else _text_of(names[0]))
    if len(names) > 1 and not losses >= set(names):
        ax.set_ylabel("")
    drawn = [np.ravel(line.get_ydata()) for line in ax.lines if line.get_xdata() is not None]
    values = np.concatenate([array.astype(float) for array in drawn])
    if not np.any(values[np.isfinite(values)] < 0.0):
        log_if_wide(ax, values)


def _draw_scaling(ax: Axes, scaling: Scaling, request: Request) -> None:
    draw_scaling(ax, scaling, request.names, request.label, request.colour)


def _draw_phases(ax: Axes, diagram: PhaseDiagram, request: Request) -> None:
    if len(request.names) > 1:
        raise ModelError(f"quantity is {shown(list(request.names))}; one map fits one pair of axes")
    draw_phases(ax, diagram, request.names[0])


def _draw_directions(ax: Axes, times: ErrorTimes, request: Request) -> None:
    x = times.model.classes[0].eigenvalues
    for k, name in enumerate(request.names):
        usual = name.replace("_", " "), COLOURS[k % len(COLOURS)], _LINES[k % len(_LINES)]
        label, colour, line = request.style(k, *usual)
        y = positive(times.by_direction[name])
        ax.plot(x, y, label=label, color=colour, linestyle=line, marker="o")
    ax.set_yscale("log")
    if x.min() > 0.0 and x.max() > 5.0 * x.min():
        ax.set_xscale("log")
    ax.set_xlabel("eigenvalue of the direction")
    ax.set_ylabel(r"training time $\tau$")


class Drawing(NamedTuple):
    """How a kind of result is drawn, what can be drawn of it, and what is without being asked.

    ``legend`` is where the legend stands.
    """

    draw: Callable[[Axes, Any, Request], None]
    names: Callable[[Any], Sequence[str]] = lambda _: ()
    usual: tuple[str, ...] = ()
    legend: Literal["best", "upper left"] = "best"


def _whole(draw: Callable[..., None]) -> Drawing:
    return Drawing(lambda ax, result, request: draw(ax, result, request.label, request.colour))


def _alone(draw: Callable[[Axes, Any], Any], **legend: Any) -> Drawing:
    return Drawing(lambda ax, result, _: draw(ax, result), **legend)


_LOSSES = ("test", "train")
_OF_ERROR = ("bias", "variance", "noise", "score_error")
# by the name of the class, or of one that it derives from
_DRAWINGS: dict[str, Drawing] = {
    "Covariance": _whole(draw_covariance),
    "Spectrum": _whole(draw_spectrum),
    "ImageLaw": _whole(draw_ends),
    "PencilSpectrum": _whole(draw_pencil),
    "LearningCurves": Drawing(_draw_curves, lambda curves: curves.curves, _LOSSES),
    "ManyCurves": Drawing(_draw_many, lambda many: many.curves, ("test",)),
    "FiniteCurves": Drawing(_draw_finite, lambda finite: tuple(finite.mean), _LOSSES),
    "FiniteSize": Drawing(_draw_finite_size, lambda _: tuple(_STYLES), _LOSSES),
    "Solution": Drawing(_draw_solution, lambda _: dmft_rf.LearningCurves.curves, _LOSSES),
    # the sentence of when to stop stands below
    "Timescales": _alone(draw_timescales, legend="upper left"),
    "Derivatives": Drawing(draw_derivatives, lambda slopes: slopes.curves, ("test",)),
    "Fit": Drawing(draw_fit, lambda _: (*STYLES, RESIDUALS), _LOSSES),
    "BulkSplit": Drawing(_draw_bulks, lambda _: ("removed", "test", "score_error")),
    "Generation": Drawing(_draw_over_tau, lambda _: DIVERGENCES, ("kl", "reverse_kl")),
    "PathBound": Drawing(_draw_over_tau, lambda _: ("kl_bound", "integral")),
    "GenerationTimes": _alone(draw_generation_times),
    "ErrorParts": Drawing(_draw_over_tau, lambda _: (*PARTS, "variance", "score_error"), _OF_ERROR),
    "Advice": _alone(draw_advice),
    "Log": _whole(draw_log),
    "Dates": _whole(draw_dates),
    "Prediction": _whole(draw_prediction),
    "Neighbours": _whole(draw_neighbours),
    "MemorizedFraction": _whole(draw_memorized),
    "FrechetDistance": _whole(draw_frechet),
    "PowerLaw": _whole(draw_power_law),
    "Resolvent": _whole(draw_resolvent),
    "ErrorTimes": Drawing(
        _draw_directions, lambda _: tuple(ERROR_TIMES), ("learned", "best", "lost")
    ),
    "Scaling": Drawing(_draw_scaling, lambda _: QUANTITIES, SCALED),
    "Sweep": Drawing(
        _draw_sweep, lambda sweep: [name for name in sweep.quantities if name != "edges"]
    ),
    "PhaseDiagram": Drawing(_draw_phases, lambda _: tuple(MAPS)),
}
