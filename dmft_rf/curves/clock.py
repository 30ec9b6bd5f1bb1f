"""When a training rule has curves: at any time, or after whole steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dmft_rf._convert import shown
from dmft_rf._typing import Array
from dmft_rf.curves.stochastic import check_stable, checked, loads
from dmft_rf.errors import ModelError
from dmft_rf.numerics.estimate import Estimate
from dmft_rf.numerics.minimum import least
from dmft_rf.rules.flow import GradientFlow, Ridge, Rule
from dmft_rf.rules.stochastic import StochasticGradientDescent, TrainingRule, step_of

if TYPE_CHECKING:
    from dmft_rf.spectra.spectrum import Spectrum

# a process that relaxes is over after so many of its longest relaxation times
_OVER = 60.0
# noise that still differs from its limit by this part of the most that is stable has not ended;
# the search follows it for so many decades
_STILL, _MOST_DECADES = 1e-3, 6
# times after every jump of a schedule, of those of the search one in
_AFTER_BREAK = 4
# steps that are all looked at: momentum beta swings for about 1/(1 - beta) of them
_SWINGS, _MOST_SWINGS = 40.0, 1000.0
# more steps are no whole floats
_MOST_STEPS = 2.0**52
# places in an interval of steps that is narrowed
_PLACES = 17


@dataclass(frozen=True)
class Clock:
    """The clock of a training rule on one spectrum.

    Parameters
    ----------
    law : Spectrum
    rule : Rule or StochasticGradientDescent

    Raises
    ------
    ModelError
        If the rule has no time (Ridge), diverges on this spectrum, or is none.
    """

    law: Spectrum
    rule: TrainingRule

    def __post_init__(self) -> None:
        rule, model = self.rule, self.law.model
        if isinstance(rule, StochasticGradientDescent):
            checked(model, rule)
            check_stable(self.law, rule)
            rule = rule.mean_rule
        if not isinstance(rule, Rule) or isinstance(rule, Ridge):
            raise ModelError(
                f"rule is {shown(self.rule)}; timescales need a rule that takes time, such as "
                "WeightAverage(50.0) or StochasticGradientDescent(noise=1.0)"
            )
        if rule.can_diverge:
            rule.check(self.law.ends[1], model.rate)

    @property
    def plain(self) -> bool:
        """Whether the rule is gradient flow from A = 0 without weight decay."""
        return self.rule == GradientFlow()

    @property
    def step(self) -> float | None:
        """tau of one step; None if the rule has curves at every time."""
        return step_of(self.rule)

    @property
    def _mean(self) -> Rule:
        if isinstance(self.rule, StochasticGradientDescent):
            return self.rule.mean_rule
        return self.rule

    @property
    def _pace(self) -> float:
        stochastic = isinstance(self.rule, StochasticGradientDescent)
        return self._mean.pace * (self.rule.pace if stochastic else 1.0)

    def times(self, first: float, last: float, density: int) -> Array:
        """Times at which events are looked for.

        Parameters
        ----------
        first, last : float
            From and until when something happens under gradient flow.
        density : int
            Times per decade.
        """
        rule, pace = self.rule, self._pace
        first, last = first / pace, last / pace
        last += _OVER * getattr(self._mean, "decay_time", 0.0)
        breaks: tuple[float, ...] = ()
        if isinstance(rule, StochasticGradientDescent):
            load = float(loads(self.law, rule, rule.noise_at(np.array(math.inf))))
            last = self._noise_ends(max(last, 0.5 * last / (1.0 - load)))
            breaks = rule.breaks
        if self.step is not None:
            first = max(first, self.step)
            last = max(last, first)
            if not last < _MOST_STEPS * self.step:
                raise ModelError(
                    f"step is {self.step!r}; times of whole steps need one above "
                    f"{last / _MOST_STEPS:.3g} on this spectrum"
                )
        count = 2 + int(density * math.log10(last / first))
        tau = np.geomspace(first, last, count)
        for time in breaks:
            after = time + tau[tau <= time][::_AFTER_BREAK]
            tau = np.concatenate([tau, [time], after])
        if self.step is None:
            return np.unique(tau)
        swings = min(_SWINGS / (1.0 - getattr(rule, "momentum", 0.0)), _MOST_SWINGS)
        steps = np.append(np.arange(1.0, swings), np.rint(tau / self.step))
        return np.asarray(np.unique(steps) * self.step, dtype=float)

    def _noise_ends(self, last: float) -> float:
        """A time from which on the noise is what it stays, or ``last`` if that is later."""
        rule = self.rule
        assert isinstance(rule, StochasticGradientDescent)
        if rule.constant:
            return last
        later = last * 10.0 ** np.arange(_MOST_DECADES + 1.0)
        eps = rule.noise_at(np.append(later, math.inf))
        part = np.abs(loads(self.law, rule, eps) - loads(self.law, rule, eps[-1:]))[:-1]
        still = np.flatnonzero(part > _STILL)
        return float(later[min(int(still[-1]) + 1, later.size - 1)]) if still.size else last

    def minimum(
        self, f: Callable[[Array], Estimate], low: float, high: float, name: str
    ) -> tuple[float, float]:
        """Time between two others at which ``f`` is least, and its absolute error."""
        step = self.step
        if step is None:
            return least(f, low, high, name)
        a, b = round(low / step), round(high / step)
        while b - a > _PLACES:
            k = _whole(a, b)
            i = int(np.argmin(f(k * step).value))
            a, b = int(k[max(i - 1, 0)]), int(k[min(i + 1, k.size - 1)])
        k = np.arange(max(a - 1.0, 0.0), b + 2.0)
        found = f(k * step)
        i = 1 + int(np.argmin(found.value[1:-1]))
        above = found.value[[i - 1, i + 1]] - found.value[i]
        off = found.error[[i - 1, i + 1]] + found.error[i]
        if np.all(above > off):
            return float(k[i]) * step, 0.0
        bend = float(above.sum())
        steps = 1.0 + math.sqrt(2.0 * float(off.sum()) / bend) if bend > 0.0 else math.inf
        return float(k[i]) * step, steps * step

    def first_step(
        self, f: Callable[[Array], Estimate], low: float, high: float
    ) -> tuple[float, float]:
        """First whole step after ``low`` at which ``f`` has another sign, and its error."""
        step = self.step
        assert step is not None
        a, b = round(low / step), round(high / step)
        while b - a > 1:
            k = _whole(a, b)
            v = f(k * step).value
            changed = np.flatnonzero((v < 0.0) != (v[0] < 0.0))
            i = int(changed[0]) if changed.size else k.size - 1
            a, b = int(k[i - 1]), int(k[i])
        found = f(np.array([a, b]) * step)
        if np.all(np.abs(found.value) > found.error):
            return b * step, 0.0
        slope = abs(float(found.value[1] - found.value[0]))
        steps = 1.0 + float(found.error.max()) / slope if slope > 0.0 else math.inf
        return b * step, steps * step


def _whole(a: int, b: int) -> Array:
    """Whole numbers from ``a`` to ``b``, spread evenly."""
    return np.asarray(np.unique(np.rint(np.linspace(a, b, _PLACES))), dtype=np.float64)
