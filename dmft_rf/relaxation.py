r"""Timescales of training: when the score is learned, when to stop, when the sample is fitted.

Two routes to each. From the curves: what a user would read off a learning curve, found by root
finding on the exact curve. From the spectrum: an eigenvalue lambda of U relaxes on the time
psi_p/(2 Delta_t lambda), so the slowest mode of the upper bulk ends generalization and the
slowest mode of all ends memorization (Bonnaire et al., arXiv:2505.17638, section 4, who leave out
the factor 2). tau_mem is an overfitting time: the score starts to fit the sample. Whether samples
are then copies of the data is another question, that needs samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dmft_rf.dynamics import score_error_slope
from dmft_rf.errors import ConvergenceError, ModelError
from dmft_rf.rules import GradientFlow
from dmft_rf.solution import Solution

Array = NDArray[np.float64]

DEFINITIONS = {
    "tau_gen": "first time at which the score error has made (1 - level) of its way from its "
    "initial value to its minimum over time (level = {level:g})",
    "tau_opt": "time of the global minimum of the test loss (early stopping); inf if the loss "
    "never rises again",
    "tau_mem": "first time at which the generalization gap, test minus train loss, reaches half "
    "its final value",
    "window": "tau_mem/tau_gen",
    "tau_gen_spectrum": "psi_p/(2 Delta_t lambda), lambda the lower edge of the bulks of the data "
    "directions; nan while they are merged with the others",
    "tau_mem_spectrum": "psi_p/(2 Delta_t lambda), lambda the lowest edge of the spectrum of U "
    "(the atom at s_t^2 is not trained)",
    "test_min": "test loss at tau_opt",
    "score_error_min": "score error at tau_opt",
    "final_gap": "generalization gap at tau = inf",
}

# points per decade on which sign changes are looked for; roots are then refined
_PER_DECADE = 24
_EARLY = 1e-6
_LATE = 60.0


@dataclass(frozen=True)
class Timescales:
    """Times of training in units of tau (gradient flow from A = 0, without weight decay).

    Attributes
    ----------
    tau_gen, tau_opt, tau_mem : float
        Generalization, early-stopping and memorization (overfitting) times, from the curves.
    window : float
        tau_mem/tau_gen.
    tau_gen_spectrum, tau_mem_spectrum : float
        The same from the edges of the spectrum of U.
    test_min, score_error_min : float
        Test loss and score error at tau_opt.
    final_gap : float
        Generalization gap at tau = inf.
    definitions : dict
        What each number is, in one sentence, by name.
    """

    tau_gen: float
    tau_opt: float
    tau_mem: float
    window: float
    tau_gen_spectrum: float
    tau_mem_spectrum: float
    test_min: float
    score_error_min: float
    final_gap: float
    definitions: dict[str, str]


def timescales(solution: Solution, level: float = 0.1) -> Timescales:
    """Timescales of a solved model.

    Parameters
    ----------
    solution : Solution
        From ``solve(model)``.
    level : float
        What of the score error's fall may be missing at tau_gen, in (0, 1).

    Raises
    ------
    ModelError
        If ``level`` is outside (0, 1).
    ConvergenceError
        If a root cannot be bracketed or the curves are not accurate to the solution's rtol.
    """
    if not 0.0 < level < 1.0:
        raise ModelError(f"level is {level!r}; it must be between 0 and 1")
    tau_opt = _early_stopping(solution)
    best = solution.learning_curves(tau_opt)
    score_min = float(best.score_error)
    start = solution.model.initial_score_error
    target = score_min + level * (start - score_min)
    tau_gen = _first_crossing(
        solution, lambda tau: target - solution.learning_curves(tau).score_error, "tau_gen"
    )
    final_gap = float(solution.learning_curves(math.inf).generalization_gap)
    tau_mem = _first_crossing(
        solution,
        lambda tau: solution.learning_curves(tau).generalization_gap - 0.5 * final_gap,
        "tau_mem",
    )
    edges = solution.spectrum.edges[:, 0]
    learning = solution.spectrum.learning_bulks
    rate = solution.model.rate
    upper = math.nan if learning is None else 1.0 / (rate * float(edges[learning][0]))
    return Timescales(
        tau_gen=tau_gen,
        tau_opt=tau_opt,
        tau_mem=tau_mem,
        window=tau_mem / tau_gen,
        tau_gen_spectrum=upper,
        tau_mem_spectrum=1.0 / (rate * float(edges[0])),
        test_min=float(best.test),
        score_error_min=score_min,
        final_gap=final_gap,
        definitions={name: text.format(level=level) for name, text in DEFINITIONS.items()},
    )


def _grid(solution: Solution) -> Array:
    """Times from before the fastest mode moves to after the slowest has stopped."""
    m, M = solution.diagnostics["support"]
    rate = solution.model.rate
    first, last = _EARLY / (rate * M), _LATE / (rate * m)
    return np.geomspace(first, last, 2 + int(_PER_DECADE * math.log10(last / first)))


def _early_stopping(solution: Solution) -> float:
    """Global minimum of the test loss: roots of its slope, and the limit tau = inf."""

    def slope(tau: Array) -> Array:
        return score_error_slope(solution.nodes, np.asarray(tau).ravel(), GradientFlow())

    tau = _grid(solution)
    values = slope(tau)
    # beyond the point where the slope is lost in rounding its sign means nothing
    scale = np.abs(tau * values)
    known = scale > 1e-13 * np.abs(solution.learning_curves(tau).score_error)
    turns = np.flatnonzero((values[:-1] < 0.0) & (values[1:] >= 0.0) & known[:-1] & known[1:])
    candidates = [_refined(slope, tau[i], tau[i + 1]) for i in turns]
    candidates.append(math.inf)
    losses = solution.learning_curves(np.array(candidates)).score_error
    return float(candidates[int(np.argmin(losses))])


def _first_crossing(solution: Solution, f: Callable[[Array], Array], name: str) -> float:
    """Smallest root of ``f``, which is negative at tau = 0."""
    tau = _grid(solution)
    above = np.flatnonzero(f(tau) >= 0.0)
    if above.size == 0 or above[0] == 0:
        raise ConvergenceError(
            f"{name} was not bracketed between tau = {tau[0]:.3g} and {tau[-1]:.3g} "
            f"(t = {solution.model.t}, psi_p = {solution.model.psi_p}, "
            f"psi_n = {solution.model.psi_n})"
        )
    i = int(above[0])
    return _refined(f, tau[i - 1], tau[i])


def _refined(f: Callable[[Array], Array], low: float, high: float) -> float:
    """Root of ``f`` between two times, to a relative 1e-12, in log tau."""
    from scipy.optimize import brentq

    root = brentq(
        lambda u: float(np.ravel(f(np.array([math.exp(u)])))[0]),
        math.log(low),
        math.log(high),
        xtol=1e-13,
        rtol=1e-13,
    )
    return math.exp(root)
