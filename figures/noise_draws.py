"""A finite number of noise draws per sample: interpolation, in time and over the width."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from dmft_rf import GradientFlow, Ridge, ScoreModel, solve
from dmft_rf.model.activation import Activation
from figures.figure import Figure
from figures.numbers import Array, Numbers
from figures.shared.curves import networks_label
from figures.simulations import Simulations, described, estimate
from validation.common import style
from validation.finite.case import Sizes
from validation.finite.losses import Trained
from validation.finite.network import FiniteNetwork, draw_network

T, PSI_N, PSI_P, RIDGE = 0.1, 8.0, 32.0, 1e-3
SHOWN = (1, 4, 16, math.inf)
CUTS = (1, 4, 16)
TAU = np.geomspace(0.3, 1e6, 140)
AT = np.geomspace(1.0, 1e6, 13)
DRAWS = {"quick": 25, "paper": 25}
WIDTHS = {"quick": 45, "paper": 91}
MOST_DRAWS = 64
LOW, HIGH = 0.5, 256.0
NETWORKS: Sizes = ((12, 12), (25, 6), (50, 2))


def model_of(draws: float, psi_p: float = PSI_P) -> ScoreModel:
    """The model with this number of noise draws per sample."""
    return ScoreModel(T, psi_p, PSI_N, noise_draws=draws)


def draw_counts(profile: str) -> Array:
    """Whole numbers from 1 to MOST_DRAWS, about evenly spaced in the logarithm."""
    return np.unique(np.rint(np.geomspace(1, MOST_DRAWS, DRAWS[profile])))


def network_with(draws: int, d: int, seed: int) -> FiniteNetwork:
    """A network whose training averages are over fixed noise draws; the population is exact."""
    activation = model_of(draws).activation
    assert isinstance(activation, Activation)
    p, n = round(PSI_P * d), round(PSI_N * d)
    exact = draw_network(np.random.default_rng([seed, d]), np.ones(d), p, n, T, activation)
    rng = np.random.default_rng([seed, d])  # the same weights and samples again
    W, X = rng.standard_normal((p, d)), rng.standard_normal((n, d))
    U, V = np.zeros((p, p)), np.zeros((p, d))
    for _ in range(draws):
        noise = rng.standard_normal((n, d))
        x_t = math.exp(-T) * X + math.sqrt(exact.Delta_t) * noise
        features = activation(x_t @ W.T / math.sqrt(d))
        U += features.T @ features / (n * draws)
        V += features.T @ noise / (n * draws)
    return dataclasses.replace(exact, U=U, V=V)


def networks(draws: int, sizes: Sizes) -> dict[str, Array]:
    """Dimension of every network, (N,), and its test losses under gradient flow, (N, n_tau)."""
    runs = [(d, seed) for d, seeds in sizes for seed in range(seeds)]
    test = [Trained(network_with(draws, *run)).losses(GradientFlow(), AT).test for run in runs]
    return {"d": np.array([d for d, _ in runs]), "test": np.array(test)}


def kept(simulations: Simulations, draws: int) -> Numbers:
    """`networks` of the figure."""
    key = f"draws 2, {draws}, {NETWORKS}"
    return simulations.kept("draws", key, lambda: networks(draws, NETWORKS))


def final(draws: float, psi_p: float) -> float:
    """Test loss of ridge regression with the small weight RIDGE."""
    solution = solve(model_of(draws, psi_p), rtol=1e-7)
    return float(solution.learning_curves([math.inf], Ridge(RIDGE)).test[0])


def compute(profile: str, simulations: Simulations) -> Numbers:
    """Curves, maps and cuts."""
    numbers = Numbers(remarks={"t": T, "psi_n": PSI_N, "psi_p": PSI_P, "ridge": RIDGE})
    numbers["tau"] = TAU
    for draws in SHOWN:
        path = f"m={draws:g}"
        numbers[f"{path}/test"] = solve(model_of(draws), rtol=1e-8).learning_curves(TAU).test
        if draws in CUTS:
            found = kept(simulations, int(draws))
            d, test = found["d"], found["test"]
            value, error = estimate(d, test)
            most = test[d == d.max()].mean(axis=0)
            numbers.put(f"{path}/networks", {"test": value, "test_error": error, "largest": most})
            numbers.put("networks", {"tau": AT, "largest": d.max(), **described(d)})
    counts = draw_counts(profile)
    numbers["draws"] = counts
    numbers["in_time"] = [
        solve(model_of(m), rtol=1e-7).learning_curves(TAU).test for m in counts.tolist()
    ]
    # a width between those at which p = n m, where the peak is, for every m
    widths = np.geomspace(LOW, HIGH, WIDTHS[profile])
    numbers["psi_p"] = widths
    numbers["over_width"] = [[final(m, w) for w in widths.tolist()] for m in counts.tolist()]
    for draws in CUTS:
        near = draws * PSI_N * np.array([0.7, 0.85, 0.95, 1.0, 1.05, 1.18, 1.4])
        fine = np.unique(np.concatenate([widths, near[near < HIGH]]))
        numbers[f"m={draws}/psi_p"] = fine
        numbers[f"m={draws}/final"] = [final(draws, w) for w in fine.tolist()]
    return numbers


def draw(numbers: Numbers) -> Any:
    """Curves and map in time above, cuts and map over the width below."""
    from matplotlib.colors import LogNorm

    figure, axes = style.canvas(2, 2, 5.2)
    (along, in_time), (cuts, over_width) = axes
    colours = (style.VERMILION, style.BLUE, style.GREEN, style.BLACK)
    for ax in (along, cuts):
        style.log(ax)
    tau = numbers["tau"]
    values = []
    for draws, colour, marker, line in zip(
        SHOWN, colours, style.MARKERS, style.LINES, strict=False
    ):
        path = f"m={draws:g}"
        along.plot(tau, numbers[f"{path}/test"], color=colour, linestyle=line)
        values.append(numbers[f"{path}/test"])
        if f"{path}/networks/test" in numbers:
            style.points(
                along, numbers["networks/tau"], numbers[f"{path}/networks/test"],
                numbers[f"{path}/networks/test_error"], colour=colour, marker=marker,
            )  # fmt: skip
            style.points(along, numbers["networks/tau"], numbers[f"{path}/networks/largest"],
                         colour=colour, marker="+")  # fmt: skip
            cuts.plot(numbers[f"{path}/psi_p"], numbers[f"{path}/final"], color=colour,
                      linestyle=line)  # fmt: skip
            cuts.axvline(draws * PSI_N, color=colour, linewidth=0.8, linestyle=(0, (1, 1.5)))
    style.limits(along, min(v.min() for v in values), max(v.max() for v in values))
    along.set_xlim(tau[0], tau[-1])
    along.set_xlabel(style.TAU)
    along.set_ylabel(r"test loss $L_{\rm test}$")
    along.set_title(r"$\psi_p = 32$, $m$ draws", loc="left", x=0.04)
    last = np.concatenate([numbers[f"m={m}/final"] for m in CUTS])
    style.limits(cuts, float(last.min()), float(last.max()))
    cuts.set_xlim(LOW, HIGH)
    cuts.set_xlabel(style.PSI_P)
    cuts.set_ylabel(r"test loss at $\tau = \infty$, ridge $10^{-3}$")
    counts = numbers["draws"]
    for ax, x, shown in (
        (in_time, tau, numbers["in_time"]),
        (over_width, numbers["psi_p"], numbers["over_width"]),
    ):
        style.log(ax)
        norm = LogNorm(float(shown.min()), float(shown.max()))
        drawn = ax.pcolormesh(x, counts, shown, norm=norm, cmap="viridis", shading="gouraud",
                              rasterized=True)  # fmt: skip
        bar = figure.colorbar(drawn, ax=ax, pad=0.02)
        bar.set_label(r"$L_{\rm test}$")
        style.short_labels(bar.ax.yaxis, float(shown.min()), float(shown.max()))
        bar.ax.minorticks_off()
        ax.set_xlim(x[0], x[-1])
        ax.set_ylim(1.0, counts[-1])
        style.short_labels(ax.yaxis, 1.0, counts[-1])
        ax.set_ylabel("noise draws per sample $m$")
    in_time.set_xlabel(style.TAU)
    in_time.axhline(PSI_P / PSI_N, color="white", linewidth=0.9, linestyle=(0, (5, 2)))
    over_width.set_xlabel(style.PSI_P)
    at_one = [PSI_N, PSI_N * counts[-1]]
    over_width.plot(at_one, [1.0, counts[-1]], color="white", linewidth=0.9, linestyle=(0, (5, 2)))
    style.letters([along, in_time, cuts, over_width])
    d, seeds = (numbers.number(f"networks/{name}") for name in ("d", "seeds"))
    handles = [
        style.handle(rf"$m = {draws}$" if draws < math.inf else r"$m = \infty$", colour, line,
                     marker if draws in CUTS else "")
        for draws, colour, marker, line in zip(
            SHOWN, colours, style.MARKERS, style.LINES, strict=False
        )
    ]  # fmt: skip
    handles.append(style.handle(r"$p = n m$ (maps: white)", style.GREY, (0, (1, 1.5))))
    handles.append(style.handle(networks_label(d, seeds), style.GREY, "", "o"))
    d = numbers.number("networks/largest")
    handles.append(style.handle(f"networks, d = {d:g}", style.GREY, "", "+"))
    style.legend_over(figure, handles, 4)
    return figure


FIGURE = Figure(
    "A finite number of noise draws per sample (t = 0.1, psi_n = 8)",
    "Training on m noise draws per sample that are fixed once and for all. (a, b) The test loss "
    "along gradient flow at psi_p = 32. A single draw costs early (least loss 0.89 instead of "
    "0.83 for the exact average) and rises less late, where p is far above n m (to 1.21 instead "
    "of 1.77); at p = n m (m = 4, dashed) the loss never stops rising. (c, d) The loss of ridge "
    "regression with weight 10^-3 against the width peaks near p = n m for every m, within a "
    "tenth; that is the line in the map. (m is a whole number; between them the maps are "
    "interpolated.) Markers: exact nonlinear networks of d = 12, 25 and 50, trained on m draws, "
    "extrapolated to d = infinity (the logarithm, by a polynomial in 1/d), with one standard "
    "error; crosses: those of d = 50.",
    compute, draw,
)  # fmt: skip
