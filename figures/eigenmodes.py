"""When each eigenmode of a power-law covariance is learned."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dmft_rf import ConvergenceError, Covariance, GradientFlow, ScoreModel, Solution, solve
from dmft_rf.model.activation import Activation
from figures.figure import Figure
from figures.numbers import Array, Numbers
from figures.simulations import Simulations
from validation.common import style
from validation.compare.extrapolate import extrapolate
from validation.finite.losses import Trained
from validation.finite.network import FiniteNetwork, draw_network

T, PSI_P, PSI_N, MODES, EXPONENT = 0.1, 8.0, (2.0, 8.0, 64.0), 64, 1.0
PSI_N_CURVES = 8.0
SHOWN = (0, 20, 48, 63)
TAU = np.geomspace(0.05, 1e5, 140)
AT = np.geomspace(0.1, 1e5, 19)
HALF = 0.5
# how often networks use the spectrum, and their seeds
NETWORKS = ((1, 16), (2, 6), (4, 3))


def model_of(psi_n: float) -> ScoreModel:
    """The model: 64 eigenvalues proportional to 1/k."""
    return ScoreModel(T, PSI_P, psi_n, covariance=Covariance.power_law(EXPONENT, MODES))


def learned(solution: Solution, tau: Array) -> Array:
    r"""Share of each mode of the exact score that the average network has learned.

    a lambda_{t,k} F[h](lambda_k)/sqrt(Delta_t) with F the equivalent of V^T h(U) W/sqrt(d), shape
    (n_tau, n_modes): 1 when the mode is learned.
    """
    model, nodes = solution.model, solution.nodes
    assert isinstance(model, ScoreModel)
    c = model.coefficients
    h = GradientFlow().filter(nodes.points, np.asarray(tau), model.rate)
    scale = c.mu1 / (c.Gamma_t * math.sqrt(c.Delta_t))
    return np.asarray(scale * nodes.mean(h) * model.diffused)


def half_times(solution: Solution) -> Array:
    """First time at which each mode is half learned, by root finding, shape (n_modes,)."""
    from scipy.optimize import brentq

    grid = np.geomspace(1e-4, 1e9, 131)
    values = learned(solution, grid)
    times = np.empty(values.shape[1])
    for k in range(times.size):
        above = np.flatnonzero(values[:, k] >= HALF)
        if above.size == 0 or above[0] == 0:
            raise ConvergenceError(f"mode {k} of {solution.model} is never half learned")
        i = int(above[0])

        def excess(u: float, k: int = k) -> float:
            return float(learned(solution, np.array([math.exp(u)]))[0, k] - HALF)

        times[k] = math.exp(brentq(excess, math.log(grid[i - 1]), math.log(grid[i]), xtol=1e-10))
    return times


def population_times(model: ScoreModel) -> Array:
    """The same at psi_n = psi_p = infinity: ln 2/(2 Delta_t a^2 lambda_{t,k})."""
    c = model.coefficients
    a2 = (c.mu1 / c.Gamma_t) ** 2
    return np.asarray(math.log(2.0) / (2.0 * c.Delta_t * a2 * model.diffused))


def learned_by(network: FiniteNetwork, trained: Trained, diffused: Array, tau: Array) -> Array:
    """The share of each mode that a finite network has learned, (n_tau, d).

    -E[s_A(x_t) x_t^T] is 1 for the exact score; it is V^T h(U) V~ Sigma_t/Delta_t.
    """
    h = GradientFlow().filter(trained.eigenvalues, tau, network.rate)
    left = trained._modes  # Q^T V
    right = trained._Q.T @ network.V_test
    return np.asarray((h @ (left * right)) * diffused / network.Delta_t)


def networks(plan: tuple[tuple[int, int], ...]) -> dict[str, Array]:
    """Copies of the spectrum in every network, (N,), and shares learned, (N, n_tau, n_modes)."""
    model = model_of(PSI_N_CURVES)
    activation = model.activation
    assert isinstance(activation, Activation)
    runs = [(copies, seed) for copies, seeds in plan for seed in range(seeds)]
    found = []
    for copies, seed in runs:
        d = copies * MODES
        lam, diffused = (
            np.repeat(x, copies) for x in (model.covariance.eigenvalues, model.diffused)
        )
        rng = np.random.default_rng([seed, d])
        network = draw_network(rng, lam, round(PSI_P * d), round(PSI_N_CURVES * d), T, activation)
        share = learned_by(network, Trained(network), diffused, AT)
        found.append(share.reshape(AT.size, MODES, copies).mean(axis=2))
    return {"copies": np.array([copies for copies, _ in runs]), "learned": np.array(found)}


def kept(simulations: Simulations) -> Numbers:
    """`networks` of the figure."""
    return simulations.kept("modes", f"modes 2, {NETWORKS}", lambda: networks(NETWORKS))


def compute(profile: str, simulations: Simulations) -> Numbers:
    """Half-learning times for several psi_n, and shares along training for one."""
    numbers = Numbers(remarks={"t": T, "psi_p": PSI_P, "exponent": EXPONENT})
    for psi_n in PSI_N:
        numbers[f"psi_n={psi_n:g}/half_time"] = half_times(solve(model_of(psi_n)))
    model = model_of(PSI_N_CURVES)
    numbers["eigenvalues"] = model.covariance.eigenvalues
    numbers["population"] = population_times(model)
    numbers["tau"] = TAU
    numbers["learned"] = learned(solve(model), TAU)
    found = kept(simulations)
    copies, shares = found["copies"], found["learned"]
    limit = extrapolate(copies.astype(float), shares.reshape(copies.size, -1))
    numbers.put("networks", {
        "tau": AT, "d": MODES * copies.max(), "learned": limit.value.reshape(shares.shape[1:]),
        "learned_error": limit.error.reshape(shares.shape[1:]),
        "largest": shares[copies == copies.max()].mean(axis=0),
    })  # fmt: skip
    return numbers


def draw(numbers: Numbers) -> Any:
    """Shares learned along training; half times, and their ratio to the population's."""
    figure, axes = style.canvas(1, 3, 2.9, width_ratios=[1.35, 1.0, 1.0])
    along, times, ratio = axes[0]
    along.set_xscale("log")
    style.log(times)
    ratio.set_xscale("log")
    lam = numbers["eigenvalues"]
    shown = [lam.size - 1 - k for k in SHOWN]
    colours = style.ordered(len(SHOWN))
    at = numbers["networks/tau"]
    for k, colour, marker in zip(shown, colours, style.MARKERS, strict=False):
        along.plot(numbers["tau"], numbers["learned"][:, k], color=colour)
        style.points(
            along, at, numbers["networks/learned"][:, k],
            numbers["networks/learned_error"][:, k], colour=colour, marker=marker,
            label=rf"$k = {lam.size - k}$, $\lambda = {lam[k]:.3g}$",
        )  # fmt: skip
        style.points(along, at, numbers["networks/largest"][:, k], colour=colour, marker="+")
    along.axhline(1.0, color=style.GREY, linewidth=0.7)
    along.axhline(HALF, color=style.GREY, linewidth=0.6, linestyle=(0, (1, 2)))
    along.set_xlim(TAU[0], TAU[-1])
    along.set_ylim(-0.03, 1.25 * max(1.0, float(numbers["learned"][:, shown].max())))
    along.set_xlabel(style.TAU)
    along.set_ylabel("share of the mode learned")
    along.legend(loc="upper left", title=rf"$\psi_n = {PSI_N_CURVES:g}$", title_fontsize=7.0)
    for psi_n, colour, line in zip(
        PSI_N, (style.BLUE, style.BLACK, style.GREEN), style.LINES, strict=False
    ):
        times.plot(lam, numbers[f"psi_n={psi_n:g}/half_time"], color=colour, linestyle=line,
                   label=rf"$\psi_n = {psi_n:g}$")  # fmt: skip
        ratio.plot(lam, numbers[f"psi_n={psi_n:g}/half_time"] / numbers["population"],
                   color=colour, linestyle=line)  # fmt: skip
    times.plot(lam, numbers["population"], color=style.VERMILION, linestyle=(0, (1, 1)),
               label=r"population ($n = p = \infty$)")  # fmt: skip
    times.set_xlabel(r"eigenvalue $\lambda_k$ of $\Sigma$")
    times.set_ylabel(r"time to learn half of mode $k$")
    times.legend(loc="lower left")
    ratio.axhline(1.0, color=style.VERMILION, linestyle=(0, (1, 1)))
    ratio.set_xlabel(r"eigenvalue $\lambda_k$ of $\Sigma$")
    ratio.set_ylabel("this time over the population's")
    style.letters([along, times, ratio])
    return figure


FIGURE = Figure(
    "When each mode of a power-law covariance is learned (t = 0.1, psi_p = 8)",
    "Eigenvalues lambda_k proportional to 1/k, k = 1 to 64. (a) The share of mode k of the exact "
    "score that the average network has learned; large eigenvalues first. All modes overshoot 1 "
    "when the sample is fitted. (b) The time to learn half a mode, a root for each mode, against "
    "its eigenvalue, and (c) over the population's, ln 2/(2 Delta_t a^2 lambda_t): within 9 % of "
    "it for every sample size. It saturates below lambda = e^{2t} - 1, where the noise exceeds "
    "the signal. Markers: exact nonlinear networks with this spectrum (d_eff = 13.8) once, twice "
    "and four times, extrapolated to infinitely often by a polynomial in 1/d, with one standard "
    "error; crosses: those of d = 256.",
    compute, draw,
)  # fmt: skip
