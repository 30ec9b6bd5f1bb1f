"""The losses split into what each bulk of the spectrum has learned."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from dmft_rf import GradientFlow, ScoreModel, bulk_split, solve
from dmft_rf.model.activation import Activation
from figures.figure import Figure
from figures.numbers import Array, Numbers
from figures.shared.curves import networks_label
from figures.simulations import Simulations, described, estimate
from validation.common import style
from validation.finite.case import Sizes
from validation.finite.losses import Trained
from validation.finite.network import draw_network

T, PSI_P, PSI_N = 0.01, 64.0, 8.0
TAU = np.geomspace(0.1, 1e8, 160)
AT = np.geomspace(1.0, 1e8, 13)
# d and seeds of the networks
NETWORKS = ((12, 12), (25, 8), (50, 3), (100, 1))
WIDTHS = {"quick": 9, "paper": 25}
NAMES = ("thin bulk above $s_t^2$", "bulk of the samples", "bulk of the data")


@dataclass(frozen=True)
class OnInterval(GradientFlow):
    """Gradient flow of the eigenvalues between two points; the others stay untrained."""

    low: float = 0.0
    high: float = math.inf

    def filter(self, x: Any, tau: Any, rate: float) -> Any:
        """h on the interval, 0 elsewhere."""
        return super().filter(x, tau, rate) * ((x >= self.low) & (x < self.high))


def cuts(edges: Array) -> Array:
    """Points between the bulks, in the middle of the gaps on a logarithmic axis."""
    return np.concatenate([[0.0], np.sqrt(edges[:-1, 1] * edges[1:, 0]), [math.inf]])


def networks(sizes: Sizes) -> dict[str, Array]:
    """Losses of finite networks that have learned one group of eigenvalues only, one row each."""
    model = ScoreModel(T, PSI_P, PSI_N)
    activation = model.activation
    assert isinstance(activation, Activation)
    borders = cuts(solve(model).spectrum.edges)
    drawn = [(d, seed) for d, seeds in sizes for seed in range(seeds)]
    found = np.zeros((2, len(drawn), borders.size - 1, AT.size))
    for i, (d, seed) in enumerate(drawn):
        rng = np.random.default_rng([seed, d])
        p, n = round(PSI_P * d), round(PSI_N * d)
        trained = Trained(draw_network(rng, np.ones(d), p, n, T, activation))
        for k in range(borders.size - 1):
            losses = trained.losses(OnInterval(low=borders[k], high=borders[k + 1]), AT)
            found[0, i, k], found[1, i, k] = 1.0 - losses.train, losses.test
    return {"d": np.array([d for d, _ in drawn]), "removed": found[0], "test": found[1]}


def compute(profile: str, simulations: Simulations) -> Numbers:
    """The split along training, of networks, and the shares against psi_n."""
    numbers = Numbers(remarks={"t": T, "psi_p": PSI_P, "psi_n": PSI_N})
    solution = solve(ScoreModel(T, PSI_P, PSI_N))
    split = bulk_split(solution, TAU)
    numbers.put(
        "split",
        {
            "tau": TAU,
            "edges": split.edges,
            "masses": split.masses,
            "share": split.share,
            "removable": split.removable,
            "removed": split.removed,
            "removed_error": split.error["removed"],
            "test": split.test,
        },
    )
    curves = solution.learning_curves(TAU)
    numbers.put("whole", {"train": curves.train, "test": curves.test})
    kept = simulations.kept("bulks", f"bulks 2, {NETWORKS}", lambda: networks(NETWORKS))
    numbers.put("networks", {"tau": AT, **described(kept["d"])})
    for name in ("removed", "test"):
        value, error = estimate(kept["d"], kept[name])
        numbers.put("networks", {name: value, f"{name}_error": error})
        at_largest = kept[name][kept["d"] == kept["d"].max()]
        numbers[f"networks/largest/{name}"] = at_largest.mean(axis=0)
    numbers["networks/largest/d"] = kept["d"].max()
    values = np.geomspace(2.0, 24.0, WIDTHS[profile])
    rows = []
    for psi_n in values:
        part = bulk_split(solve(ScoreModel(T, PSI_P, psi_n)), [math.inf])
        rows.append(part.removable)
    numbers.put("samples", {"psi_n": values, "removable": rows})
    return numbers


def draw(numbers: Numbers) -> Any:
    """Train loss removed, test loss of the parts, and the parts against psi_n."""
    figure, axes = style.canvas(1, 3, 2.9)
    removed, test, samples = axes[0]
    style.log(removed)
    style.log(test)
    style.log(samples)
    tau, at = numbers["split/tau"], numbers["networks/tau"]
    colours = (style.VERMILION, style.ORANGE, style.BLUE)
    for k, (colour, marker, line) in enumerate(
        zip(colours, style.MARKERS, style.LINES, strict=False)
    ):
        keys: dict[str, Any] = {"color": colour, "linestyle": line}
        removed.plot(tau, numbers["split/removed"][k], **keys)
        test.plot(tau, numbers["split/test"][k], **keys)
        samples.plot(numbers["samples/psi_n"], numbers["samples/removable"][:, k], **keys)
        for ax, name in ((removed, "removed"), (test, "test")):
            style.points(
                ax, at, numbers[f"networks/{name}"][k], numbers[f"networks/{name}_error"][k],
                colour=colour, marker=marker,
            )  # fmt: skip
            style.points(ax, at, numbers[f"networks/largest/{name}"][k], colour=colour, marker="+")
    removed.plot(tau, 1.0 - numbers["whole/train"], color=style.BLACK, linewidth=0.9)
    test.plot(tau, numbers["whole/test"], color=style.BLACK, linewidth=0.9)
    removed.set_ylim(1e-6, 2.0)
    removed.set_ylabel("train loss removed")
    style.limits(test, 0.9, float(numbers["whole/test"].max()))
    test.set_ylabel("test loss of the part")
    samples.set_ylabel(r"train loss removed at $\tau = \infty$")
    samples.set_xlabel(style.PSI_N.removeprefix("samples per dimension "))
    for ax in (removed, test):
        ax.set_xlabel(style.TAU)
        ax.set_xlim(1.0, tau[-1])
    style.short_labels(samples.xaxis, 2.0, 24.0)
    samples.set_xlim(2.0, 24.0)
    style.letters(list(axes[0]))
    d, seeds = numbers.number("networks/d"), numbers.number("networks/seeds")
    handles = [
        style.handle(name, colour, line, marker)
        for name, colour, line, marker in zip(
            NAMES, colours, style.LINES, style.MARKERS, strict=False
        )
    ]
    handles += [
        style.handle("all bulks", style.BLACK, "-"),
        style.handle(networks_label(d, seeds), style.GREY, "", "o"),
        style.handle(
            f"networks, d = {numbers.number('networks/largest/d'):g}", style.GREY, "", "+"
        ),
    ]
    style.legend_over(figure, handles, 3)
    return figure


FIGURE = Figure(
    "What each bulk of the spectrum learns (t = 0.01, psi_p = 64, psi_n = 8)",
    "(a) The train loss that each bulk has removed; the three add up to 1 - L_train exactly "
    "(black). The bulk of the data (mass 1/64) learns first and removes 0.022; the large bulk of "
    "the samples (7/64) removes 0.003; the thin bulk just above s_t^2 (1/64) removes 0.641, "
    "late: memorization is carried by the thin bulk. (b) The test loss of a network that has "
    "learned one bulk only: that of the bulk of the data alone ends within 0.3 % of its minimum, "
    "the thin bulk alone does the damage. (c) The final parts against the number of samples. "
    "Markers: exact nonlinear networks of d = 12, 25, 50 and 100, their eigenvalues grouped by the "
    "gaps of the law, extrapolated to d = infinity (the logarithm, by a polynomial in 1/d), with "
    "one standard error; crosses: d = 100 itself.",
    compute, draw,
)  # fmt: skip
