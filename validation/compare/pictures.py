"""The pictures of the report, in the library's style: theory as lines, simulations as points."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dmft_rf import solve
from dmft_rf.plotting.style import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, styled
from validation.compare.compare import Comparison, Verdict
from validation.compare.universality import DataRun
from validation.finite.case import FLOW
from validation.finite.reverse import QUANTITIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_QUANTITIES = (
    ("train", r"training loss $L_{\rm train}$", BLUE, "o"),
    ("test", r"test loss $L_{\rm test}$", VERMILION, "s"),
    ("score_error", r"score error $E_{\rm score}$", GREEN, "^"),
    ("fresh", "training samples, fresh noise", PURPLE, "D"),
)
_TAU = r"training time $\tau$ (gradient flow)"


def _figure(columns: int, height: float = 3.4) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * columns, height), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


@styled
def case_figure(c: Comparison) -> Figure:
    """Learning curves, approach to the limit, and spectrum of one case."""
    if c.case.generated:
        return _generated_figure(c)
    figure, (curves, limit, spectrum) = _figure(3, 3.9)
    _learning_curves(curves, c)
    _approach(limit, c)
    _spectrum(spectrum, c)
    figure.suptitle(f"{c.case.name}: {c.case.about}", fontsize=11, x=0.01, ha="left")
    return figure


def _generated_figure(c: Comparison) -> Figure:
    """Every quantity of what is generated, over the theory, against 1/d; one panel for a rule."""
    figure, panels = _figure(len(c.case.rules), 3.9)
    colours = (BLUE, ORANGE, GREEN, VERMILION, PURPLE)
    for ax, label in zip(panels, c.case.rules, strict=True):
        for name, colour, marker in zip(QUANTITIES, colours, "os^Dv", strict=True):
            fit, theory = c.fits[label, name], c.prediction.values(label, name)[0]
            x = np.concatenate([[0.0], 1.0 / fit.sizes[::-1]])
            value = np.concatenate([fit.value[:1], fit.means[::-1, 0]]) / theory
            error = np.concatenate([fit.error[:1], fit.errors[::-1, 0]]) / theory
            ax.errorbar(x, value, yerr=error, fmt=marker + ":", color=colour, markersize=4,
                        capsize=2, linewidth=1, label=name.replace("_", " "))  # fmt: skip
        ax.axhline(1.0, color=GREY, linewidth=1.2)
        ax.set(xlabel=r"$1/d$, with $p = d^2$  (0: extrapolated)", ylabel="over theory")
        ax.set_title(label, fontsize=9)
    panels[0].legend(fontsize=7.5)
    figure.suptitle(f"{c.case.name}: {c.case.about}", fontsize=11, x=0.01, ha="left")
    return figure


def _learning_curves(ax: Axes, c: Comparison) -> None:
    tau = c.prediction.curves[FLOW].tau
    shown = np.isfinite(tau) & (tau > 0.0)
    grid = np.geomspace(tau[shown][0], tau[shown][-1], 160)
    theory = replace(c.prediction, curves={FLOW: solve(c.case.model).learning_curves(grid)})
    for name, label, colour, marker in _QUANTITIES:
        if name not in c.case.quantities:
            continue
        fit = c.fits[FLOW, name]
        ax.plot(grid, theory.values(FLOW, name), color=colour, linewidth=1.6)
        ax.errorbar(
            tau[shown], fit.value[shown], yerr=fit.error[shown], fmt=marker, color=colour,
            markersize=4, capsize=2, linewidth=1, label=label,
        )  # fmt: skip
        ax.plot(tau[shown], fit.means[-1, shown], marker, color=colour, markersize=6,
                markerfacecolor="none", markeredgewidth=0.8)  # fmt: skip
    ax.set(xscale="log", yscale="log")
    lowest = min(float(theory.values(FLOW, name).min()) for name in ("train", "score_error"))
    ax.set_ylim(bottom=0.5 * lowest)
    ax.set(xlabel=_TAU, ylabel="loss per dimension")
    ax.legend(fontsize=7.5)
    ax.set_title(
        r"lines: theory; points: networks at $d \to \infty$ (open: largest $d$)", fontsize=9
    )


def _approach(ax: Axes, c: Comparison) -> None:
    """Relative difference from theory against 1/d, at the judged times."""
    fit = c.fits[FLOW, "test"]
    curves = c.prediction.curves[FLOW]
    chosen = np.flatnonzero(c.case.is_judged(c.case.rules[FLOW], curves.tau))
    colours = (BLUE, ORANGE, GREEN, VERMILION, PURPLE)
    for i, colour, marker in zip(chosen, colours, "os^Dv", strict=False):
        scale = 100.0 / curves.test[i]
        x = np.concatenate([[0.0], 1.0 / fit.sizes[::-1]])
        value = np.concatenate([[fit.value[i]], fit.means[::-1, i]])
        error = np.concatenate([[fit.error[i]], fit.errors[::-1, i]])
        ax.errorbar(
            x, scale * (value - curves.test[i]), yerr=scale * error, fmt=marker + ":",
            color=colour, markersize=4, capsize=2, linewidth=1,
            label=rf"$\tau$ = {curves.tau[i]:g}",
        )  # fmt: skip
    ax.axhline(0.0, color=GREY, linewidth=1.2)
    ax.set(xlabel=r"$1/d$  (0: extrapolated)", ylabel="test loss against theory (%)")
    ax.legend(fontsize=7.5)
    ax.set_title("approach to the limit", fontsize=9)


def _spectrum(ax: Axes, c: Comparison) -> None:
    """Histogram of the eigenvalues at the largest d and the density of log10 lambda."""
    law = c.prediction.spectrum
    low, high = law.edges[0, 0], law.edges[-1, 1]
    floor = sum(one.share * one.coefficients.s2 for one in law.model.classes)
    grid = law.grid(600)
    # a hard edge has no logarithm: from where the law's own grid begins
    edges = np.geomspace(0.3 * min(low or float(grid[0]), floor), 1.5 * high, 70)
    pooled = c.pooled
    width = np.log10(edges[1] / edges[0])
    counts = np.histogram(pooled, edges)[0] / (pooled.size * width)
    ax.stairs(counts, edges, color=SKY, fill=True, alpha=0.7,
              label=f"networks, d = {int(c.fits[FLOW, 'test'].sizes[-1])}")  # fmt: skip
    density = law.density(grid) * grid * np.log(10.0)
    for a, b in law.edges:
        inside = (grid > a) & (grid < b)
        ax.plot(grid[inside], density[inside], color=BLUE, linewidth=1.4,
                label="theory" if a == low else None)  # fmt: skip
    for place, mass in law.atoms:
        if place == 0.0:  # off the logarithmic axis
            ax.plot([], [], " ", label=f"atom at 0, mass {mass:.3g}")
            continue
        ax.axvline(place, color=VERMILION, linestyle="--", linewidth=1.2,
                   label=f"atom, mass {mass:.3g}")  # fmt: skip
    ax.set_xscale("log")
    top = 1.3 * max(float(counts.max()), float(np.percentile(density, 90)))
    ax.set_ylim(0.0, top)
    ax.set_xlabel(r"eigenvalue $\lambda$ of $U$")
    ax.set_ylabel(r"density of $\log_{10}\lambda$")
    ax.legend(fontsize=7.5)
    ax.set_title("spectrum", fontsize=9)


@styled
def z_figure(verdict: Verdict) -> Figure:
    """Distribution of the judged z-scores, case by case."""
    figure, (ax,) = _figure(1, 0.32 * len(verdict.judged) + 1.6)
    names = [c.case.name for c in verdict.judged]
    rng = np.random.default_rng(0)
    seen: set[str] = set()
    for i, c in enumerate(verdict.judged):
        for kind, colour, marker in (
            ("train", BLUE, "o"), ("test", VERMILION, "s"), ("resolvent", GREEN, "^"),
            ("fresh", PURPLE, "D"), *((name, ORANGE, "v") for name in QUANTITIES),
        ):  # fmt: skip
            z = np.array([r.z for r in c.rows if r.judged and r.quantity == kind])
            if not z.size:
                continue
            ax.plot(z, i + 0.25 * rng.uniform(-1, 1, z.size), marker, color=colour, markersize=4,
                    alpha=0.7, linestyle="none", label=None if kind in seen else kind)  # fmt: skip
            seen.add(kind)
    ax.axvspan(-2.0, 2.0, color="#EEEEEE", zorder=0)
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.set_xlabel("(extrapolated - theory)/standard error")
    ax.legend(fontsize=7.5, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


@styled
def mutation_figure(verdict: Verdict, mutants: list[tuple[str, Verdict]]) -> Figure:
    """Global chi-square per degree of freedom of the theory and of each wrong theory."""
    figure, (ax,) = _figure(1, 0.3 * len(mutants) + 1.4)
    figure.set_size_inches(6.4, figure.get_size_inches()[1])
    names = ["theory", *(name.split(":")[0] for name, _ in mutants)]
    everyone = (verdict, *(mutant for _, mutant in mutants))
    place = np.arange(len(names))
    ax.plot(
        [v.chi2 / max(1, v.dof) for v in everyone], place, "o", color=BLUE,
        label="all cases together",
    )  # fmt: skip
    ax.plot(
        [max(c.chi2 / c.dof for c in v.judged) for v in everyone], place, "s", color=VERMILION,
        label="the case that sees it best",
    )  # fmt: skip
    ax.set_yticks(place, names)
    ax.invert_yaxis()
    ax.set_xscale("log")
    ax.axvline(1.0, color=GREY, linewidth=1.2)
    ax.set_xlabel("chi-square per degree of freedom")
    ax.legend(fontsize=7.5, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


@styled
def data_figure(run: DataRun) -> Figure:
    """Theory, Gaussian surrogate and real rows of one data set."""
    figure, axes = _figure(2, 3.9)
    tau = run.tau
    shown = np.isfinite(tau) & (tau > 0.0)
    grid = np.geomspace(tau[shown][0], tau[shown][-1], 160)
    theory = solve(run.theory.model).learning_curves(grid)
    for ax, name, label in zip(
        axes, ("train", "test"), ("training loss", "test loss"), strict=True
    ):  # fmt: skip
        ax.plot(grid, getattr(theory, name), color=BLUE, linewidth=1.6,
                label="theory, from the covariance")  # fmt: skip
        for (mean, error), colour, marker, text in (
            (run.surrogate[name], GREEN, "o", "Gaussian data, same covariance and size"),
            (run.rows[name], VERMILION, "s", run.about),
        ):  # fmt: skip
            ax.errorbar(tau[shown], mean[shown], yerr=error[shown], fmt=marker, color=colour,
                        markersize=4, capsize=2, linewidth=1, label=text)  # fmt: skip
        ax.set(xscale="log", xlabel=_TAU, ylabel=f"{label} per dimension")
    axes[0].legend(fontsize=7.5)
    figure.suptitle(run.name, fontsize=11, x=0.01, ha="left")
    return figure


@styled
def training_figure(curves: dict[str, Any]) -> Figure:
    """Explicit training against the theory."""
    figure, (ax,) = _figure(1, 3.9)
    figure.set_size_inches(6.4, 3.9)
    ax.plot(curves["tau"], curves["theory"], color=BLUE, linewidth=1.6, label="theory")
    styles = ((VERMILION, "o"), (GREEN, "s"), (ORANGE, "^"), (PURPLE, "D"), (SKY, "v"), (GREY, "P"))
    for (name, mean, error), (colour, marker) in zip(curves["runs"], styles, strict=False):
        ax.errorbar(curves["tau"], mean, yerr=error, fmt=marker, color=colour, markersize=4,
                    capsize=2, linewidth=1, label=name)  # fmt: skip
    ax.set_xscale("log")
    ax.set_xlabel(r"training time $\tau$ = steps $\times$ step")
    ax.set_ylabel("test loss per dimension")
    ax.legend(fontsize=7.5)
    return figure
