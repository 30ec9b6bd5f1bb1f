"""The picture of what is generated: its quality along training, and its covariance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import dmft_rf
from dmft_rf._convert import instance
from dmft_rf.curves.definitions import FACTOR
from dmft_rf.plotting import style
from dmft_rf.plotting.timescales import TIMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dmft_rf.generated.result import Generation
    from dmft_rf.generated.times import GenerationTimes

# places of the curves, and how far they go beyond the times that are marked
_POINTS, _BEYOND = 41, 10.0


@style.styled
def plot_generation(times: GenerationTimes) -> Figure:
    """Draw how good what is generated is along training, and its covariance at the best time.

    Parameters
    ----------
    times : GenerationTimes
        From `generation_times`; what it was made of is generated again at the times of the curves.

    Returns
    -------
    matplotlib.figure.Figure
        Above the divergences against training time, with the interval shaded in which
        KL(data || generated) is within 10 % of its least value. Below, for the data, the sample and
        what is generated at tau_opt and at tau_mem, the share of directions whose variance is less.
    """
    instance(times, dmft_rf.GenerationTimes, "times", "generation_times(generation(model, 1.0))")
    best = times.like
    figure, (above, below) = style.figure_of(2, (1.1, 1.0), shared=False)
    draw_generation_times(above, times)
    style.legend_above(above, columns=3)
    style.titles(figure, "What is generated", best.model, f"{_named(best)}", without="t", pad=30.0)
    _draw_covariances(below, times, _marks(times))
    return figure


def draw_generation_times(axes: Axes, times: GenerationTimes) -> None:
    """Draw the divergences against training time, with the usable interval and every time."""
    marks, (start, end) = _marks(times), times.usable(FACTOR)
    known = [*marks.values(), *(x for x in (start, end) if 0.0 < x < math.inf)]
    tau = np.geomspace(min(known) / _BEYOND, max(known) * _BEYOND, _POINTS)
    _draw_quality(axes, _like(times.like, tau), marks, (start, end))


def _marks(times: GenerationTimes) -> dict[str, float]:
    """The times that exist."""
    found = {name: getattr(times, name) for name in ("tau_gen", "tau_opt", "tau_mem")}
    return {name: value for name, value in found.items() if 0.0 < value < math.inf}


def _named(g: Generation) -> str:
    schedule = g.schedule if isinstance(g.schedule, str) else "stated"
    return f"{schedule} schedule, {g.sampler.upper()}"


def _like(g: Generation, tau: NDArray[np.float64]) -> Generation:
    """The same at other training times."""
    found = dmft_rf.generation(g.model, tau, g.schedule, g.sampler, g.t_start, g.t_end)
    assert isinstance(found, dmft_rf.Generation)
    return found


def _draw_quality(
    axes: Axes, g: Generation, marks: dict[str, float], usable: tuple[float, float]
) -> None:
    for name, label, colour, line in (
        ("kl", r"KL(data $\|$ generated)", style.GREEN, "-"),
        ("reverse_kl", r"KL(generated $\|$ data)", style.BLUE, "--"),
        ("frechet", r"$W_2^2$" if g.data.is_isotropic else r"bound of $W_2^2$", style.PURPLE, "-."),
    ):
        axes.plot(g.tau, getattr(g, name), color=colour, linestyle=line, label=label)
    start, end = usable
    axes.axvspan(max(start, g.tau[0]), min(end, g.tau[-1]), **style.USABLE)
    for name in ("tau_gen", "tau_opt", "tau_mem"):
        if name in marks:
            text, colour, line, _ = TIMES[name]
            text = rf"{text} $= {style.tex(marks[name])}$"
            axes.axvline(marks[name], color=colour, linestyle=line, linewidth=1.0, label=text)
    axes.set_xscale("log")
    style.log_if_wide(axes, np.concatenate([g.kl, g.reverse_kl, g.frechet]))
    axes.set(xlabel=r"training time $\tau$", ylabel="per dimension")


def _draw_covariances(axes: Axes, times: GenerationTimes, marks: dict[str, float]) -> None:
    g = times.like
    signal, noise = math.exp(-2.0 * g.t_end), -math.expm1(-2.0 * g.t_end)
    law = g.covariance
    atom = law.sample == 0.0
    every_atom = np.ones(g.data.n_atoms, dtype=bool)
    parts = [
        (signal * g.data.eigenvalues + noise, g.data.weights, every_atom, "data", "black", "-"),
        (signal * law.sample + noise, law.weights, atom, "sample", style.GREY, "--"),
        (law.eigenvalues, law.weights, atom, r"generated at $\tau_{\rm opt}$", style.GREEN, "-"),
    ]
    if "tau_mem" in marks:
        late = _like(g, np.array([marks["tau_mem"]])).covariance
        text = r"generated at $\tau_{\rm mem}$"
        parts.append((late.eigenvalues, late.weights, atom, text, style.VERMILION, "-."))
    for variance, weights, jumps, label, colour, line in parts:
        x, share = _distribution(variance.ravel(), weights, jumps)
        axes.plot(x, share, color=colour, linestyle=line, label=label)
    every = np.concatenate([part[0].ravel() for part in parts])
    if every.min() > 0.0 and every.max() > 10.0 * every.min():
        axes.set_xscale("log")
        style.label_decades(axes.xaxis, every)
    axes.set(xlabel="variance along an eigenvector", ylabel="share of directions with less")
    style.legend_above(axes, columns=4)


def _distribution(
    variance: NDArray[np.float64], weights: NDArray[np.float64], jumps: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The distribution function of a law: jumps at atoms, a line through the others' middles."""
    order = np.argsort(variance)
    x, weight, jump = variance[order], weights[order], jumps[order]
    upper = np.cumsum(weight)
    lower, middle = upper - weight, upper - 0.5 * weight
    left, right = np.where(jump, lower, middle), np.where(jump, upper, middle)
    return np.repeat(x, 2), np.stack([left, right], axis=1).ravel()
