"""Early stopping against ridge regression, each at its optimum."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dmft_rf import ConvergenceError, Covariance, Ridge, ScoreModel, Solution, solve, timescales
from figures.figure import Figure
from figures.numbers import Numbers
from figures.simulations import Simulations
from validation.common import style

T, PSI_P, PSI_N_PATH = 0.1, 64.0, 8.0
POINTS = {"quick": 41, "paper": 81}
DATA = {
    "isotropic": Covariance.isotropic(),
    "power law, exponent 1": Covariance.power_law(1.0, 32),
}


def best_ridge(solution: Solution) -> tuple[float, float]:
    """Weight and score error of the best ridge, by minimisation between the ends of the spectrum.

    Raises
    ------
    ConvergenceError
        If there is no minimum inside: then no ridge, or an infinite one, would be the best.
    """
    from scipy.optimize import minimize_scalar

    low, high = solution.diagnostics["support"]

    def score(u: float) -> float:
        curves = solution.learning_curves([math.inf], Ridge(math.exp(u)))
        return float(curves.score_error[0])

    u = np.linspace(math.log(1e-3 * low), math.log(1e3 * high), 41)
    values = [score(x) for x in u]
    i = int(np.argmin(values))
    if not 0 < i < u.size - 1:
        raise ConvergenceError(f"the best ridge of {solution.model} is not inside the spectrum")
    found = minimize_scalar(score, bracket=(u[i - 1], u[i], u[i + 1]), tol=1e-9)
    return math.exp(float(found.x)), float(found.fun)


def compute(profile: str, simulations: Simulations) -> Numbers:
    """Optima against psi_n, and the two paths at one psi_n."""
    numbers = Numbers(remarks={"t": T, "psi_p": PSI_P, "path_psi_n": PSI_N_PATH})
    values = np.geomspace(1.0, 1e3, POINTS[profile])
    for name, covariance in DATA.items():
        rows = []
        for psi_n in values:
            solution = solve(ScoreModel(T, PSI_P, psi_n, covariance=covariance))
            stopped = timescales(solution)
            weight, ridge = best_ridge(solution)
            forever = float(solution.learning_curves([math.inf]).score_error[0])
            rows.append([stopped.score_error_min, ridge, forever, stopped.tau_opt, weight])
        table = np.array(rows)
        for k, column in enumerate(("stopped", "ridge", "forever", "tau_opt", "weight")):
            numbers[f"{name}/{column}"] = table[:, k]
        numbers[f"{name}/psi_n"] = values
        model = ScoreModel(T, PSI_P, PSI_N_PATH, covariance=covariance)
        solution = solve(model)
        tau = np.geomspace(1.0, 1e6, 140)
        ridge_path = [
            solution.learning_curves([math.inf], Ridge(1.0 / (model.rate * x))).score_error[0]
            for x in tau
        ]
        numbers.put(
            f"{name}/path",
            {"tau": tau, "flow": solution.learning_curves(tau).score_error, "ridge": ridge_path},
        )
    return numbers


def draw(numbers: Numbers) -> Any:
    """The two paths, the optima, and their ratio."""
    figure, axes = style.canvas(1, 3, 2.8)
    path, optima, ratio = axes[0]
    for ax in (path, optima):
        style.log(ax)
    ratio.set_xscale("log")
    dashes = (0, (4, 1.3))
    for name, colour in zip(DATA, (style.BLACK, style.BLUE), strict=True):
        tau = numbers[f"{name}/path/tau"]
        path.plot(tau, numbers[f"{name}/path/flow"], color=colour)
        path.plot(tau, numbers[f"{name}/path/ridge"], color=colour, linestyle=dashes)
        x = numbers[f"{name}/psi_n"]
        stopped, ridge = numbers[f"{name}/stopped"], numbers[f"{name}/ridge"]
        optima.plot(x, stopped, color=colour)
        optima.plot(x, ridge, color=colour, linestyle=dashes)
        optima.plot(x, numbers[f"{name}/forever"], color=colour, linestyle=(0, (1, 1.2)))
        ratio.plot(x, ridge / stopped, color=colour)
    path.set_xlabel(r"$\tau$,  or  $1/(\alpha\,\omega)$ of the ridge")
    path.set_ylabel(style.SCORE)
    path.set_xlim(1.0, 1e6)
    optima.set_xlabel(r"$\psi_n$")
    optima.set_ylabel(style.SCORE)
    ratio.set_xlabel(r"$\psi_n$")
    ratio.set_ylabel("best ridge / best stopping")
    ratio.axhline(1.0, color=style.GREY, linewidth=0.7)
    for ax in (optima, ratio):
        ax.set_xlim(1.0, 1e3)
    style.letters(list(axes[0]))
    handles = [
        style.handle(name, colour, "-")
        for name, colour in zip(DATA, (style.BLACK, style.BLUE), strict=True)
    ]
    handles += [
        style.handle("gradient flow, stopped", style.GREY, "-"),
        style.handle("ridge", style.GREY, dashes),
        style.handle("neither", style.GREY, (0, (1, 1.2))),
    ]
    style.legend_over(figure, handles, 5)
    return figure


FIGURE = Figure(
    "Early stopping against ridge (t = 0.1, psi_p = 64)",
    "(a) The score error along gradient flow and along ridge regression with the weight omega = "
    "1/(alpha tau), alpha = 2 Delta_t/psi_p, at psi_n = 8. (b) Their minima, found by "
    "minimisation, against the number of samples, and the score error of training forever "
    "(neither). (c) The ratio of the minima: above 1 stopping is better than the best ridge.",
    compute, draw,
)  # fmt: skip
