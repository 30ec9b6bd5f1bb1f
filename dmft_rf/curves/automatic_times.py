"""Times at which something happens, where the caller has not given any."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from dmft_rf._typing import Array
from dmft_rf.errors import ConvergenceError
from dmft_rf.model.feature_model import FeatureModel
from dmft_rf.rules.flow import Ridge, Rule
from dmft_rf.rules.stochastic import StochasticGradientDescent

if TYPE_CHECKING:
    from dmft_rf.spectra.spectrum import Spectrum

PER_DECADE = 24


class Solved(Protocol):
    """What is needed of a `Solution`."""

    @property
    def diagnostics(self) -> dict[str, Any]:
        """How it was solved."""

    @property
    def model(self) -> FeatureModel:
        """What was solved."""

    @property
    def spectrum(self) -> Spectrum:
        """Its spectral law."""

    @property
    def hard_edge(self) -> bool:
        """Whether the spectrum reaches down to 0."""

    @property
    def horizon(self) -> float:
        """The latest time that its nodes carry."""

    def learning_curves(self, tau: float, rule: Rule) -> Any:
        """Learning curves at a time."""


def automatic_times(
    solution: Solved, rule: Rule | StochasticGradientDescent, per_decade: int = PER_DECADE
) -> Array:
    """0, a logarithmic grid of round values, and inf.

    The grid goes from 0.03 times the shortest to 30 times the longest relaxation time of the
    spectrum, out to whole decades; discrete rules get the nearest whole steps.
    """
    if isinstance(rule, StochasticGradientDescent):
        return automatic_times(solution, rule.mean_rule, per_decade) / rule.pace
    if isinstance(rule, Ridge):  # the same at every time
        return np.array([math.inf])
    low, high = solution.diagnostics["support"]
    ends = [math.inf]
    if solution.hard_edge:  # there is no longest time, or the last ones are lost in rounding
        low = max(low, 1e-6 * high)
        try:
            solution.learning_curves(math.inf, rule)
        except ConvergenceError:
            ends = []
    elif rule.initial_scale > 0.0 and np.any(solution.spectrum.atoms[:, 0] > 0.0):
        low = float(solution.spectrum.atoms[0, 0])  # initial weights also decay there
    rate = solution.model.rate
    last = 30.0 / (rate * low) + 30.0 * getattr(rule, "decay_time", 0.0)
    first_power = math.floor(math.log10(0.03 / (rate * high)))
    last_power = math.ceil(math.log10(last))
    if solution.hard_edge:
        last_power = min(last_power, math.floor(math.log10(solution.horizon)))
    count = per_decade * (last_power - first_power) + 1
    times = 10.0 ** (first_power + np.arange(count) / per_decade)
    step = getattr(rule, "step", None)
    if step is not None:
        times = np.unique(np.rint(times / step)) * step
        times = times[times > 0.0]
    return np.concatenate([[0.0], times, ends])
