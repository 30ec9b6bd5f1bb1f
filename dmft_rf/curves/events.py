r"""Events on learning curves: where they turn, and where they first cross a level.

Under gradient flow the minimum of the test loss is a root of its exact slope. Under another rule
it is one of a slope that is taken from values of the curves, of whose errors it has its own
(numerics.minimum), or a whole step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dmft_rf._arithmetic import ieee, lazy
from dmft_rf._convert import instance
from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array
from dmft_rf.curves.losses import LearningCurves
from dmft_rf.curves.measures import ContourMeasures
from dmft_rf.errors import ConvergenceError
from dmft_rf.model.feature_model import FeatureModel
from dmft_rf.numerics.estimate import ROUNDING, Estimate
from dmft_rf.numerics.minimum import Least, least_values
from dmft_rf.numerics.roots import first_root, root_error
from dmft_rf.rules.flow import GradientFlow

if TYPE_CHECKING:
    from dmft_rf.curves.clock import Clock
    from dmft_rf.curves.solve import Solution

# Points per decade on which sign changes are looked for; roots are then refined. Curves are sums
# of e^{-x tau}, whose waves of frequency omega in log tau are smaller by e^{-pi omega/2}: two turns
# between neighbouring points would be smaller than 1e-11 of the curve, or 1e-7 with the fewer
# points that are enough where curves are only known to _ROUGH.
_PER_DECADE, _FEW_PER_DECADE = 12, 8
_ROUGH = 1e-7
# From and to these multiples of the shortest and the longest relaxation time of U. With exactly
# averaged noise no minimum of the test loss was found before 3.7 of the shortest. The noise of few
# draws is learned much sooner (at t = 1e-7 the slope turns at 1e-5 of it), so both searches begin
# earlier where the slope of the score error has left its initial value by these parts of it.
_EARLY, LATE = 1e-6, 60.0
_FIRST_TURN, _LAST_TURN = 0.03, 30.0
_STEADY, _TURNED = 1e-5, 0.1


class Event(NamedTuple):
    """A time, and the function of which it is a root, or else its error (0: a limit)."""

    at: float
    f: Callable[[Array], Estimate] | None = None
    off: float = 0.0

    @property
    def error(self) -> float:
        """Estimated absolute error of the time."""
        return self.off if self.f is None else root_error(self.f, self.at)


class Events(Frozen):
    """Finds events of a training rule on one solution.

    Parameters
    ----------
    solution : Solution
    clock : Clock
        Of the training rule, on the spectrum of the solution.
    known : LearningCurves, optional
        Curves of gradient flow on it; where their times are many and wide enough the minimum is
        looked for between them.
    """

    _content = ("solution", "clock")

    def __init__(self, solution: Solution, clock: Clock, known: LearningCurves | None = None):
        self.solution = solution
        self.clock = clock
        self.rtol = solution.rtol
        self.rate = solution.model.rate
        self.support: tuple[float, float] = solution.diagnostics["support"]
        self._known = known
        self.seal()

    def at(self, tau: ArrayLike) -> LearningCurves:
        """The curves at the times ``tau``."""
        return self.solution.learning_curves(tau, self.clock.rule)

    @lazy
    def end(self) -> LearningCurves:
        """The curves at tau = inf."""
        return self.at(math.inf)

    @lazy
    def untrained(self) -> float:
        """The score error at tau = 0."""
        if self.clock.plain:
            return self.solution.model.initial_score_error
        return float(self.at(0.0).score_error)

    @lazy
    def minimum(self) -> Event:
        """Where the test loss is least: the best of where it turns and of tau = inf.

        Under another rule than gradient flow also of tau = 0: noise may do more harm than training
        does good.
        """
        if not self.clock.plain:
            return self._least_of_turns()
        brackets = self._turns_of_known()
        if brackets is None:
            brackets = self._turns()
        roots = [self.root(self._slope, low, high, "tau_opt") for low, high in brackets]
        candidates = [*roots, Event(math.inf)]
        curves = self.at(np.array([one.at for one in candidates]))
        return candidates[int(np.argmin(curves.score_error))]

    @lazy
    def best(self) -> LearningCurves:
        """The curves at the minimum of the test loss."""
        return self.at(self.minimum.at)

    @lazy
    def least(self) -> Least:
        """The least score error, without its exact place where that takes longer.

        From polynomials through exact values around the least of those that are known anyway.
        """
        curves = self._covering if self.clock.plain else None
        if curves is not None:
            moving = np.isfinite(curves.tau) & (curves.tau > 0.0)
            tau, score = curves.tau[moving], curves.score_error[moving]
            turns = _turns_between(score)
            ends = curves if math.isinf(curves.tau[-1]) else self.end
            found = [_least(math.inf, ends)]
            if turns.size:
                found += least_values(lambda at: _score(self.at(at)), tau[turns], tau[turns + 2])
            best = min(found, key=lambda one: one.value)
            if best.error <= self.rtol * best.value:
                return best
        return _least(self.minimum.at, self.best)

    @property
    def _covering(self) -> LearningCurves | None:
        """Curves of gradient flow from before its first turn to after its last; or none."""
        if math.isinf(self.solution.model.noise_draws) and self._dense(self._before_any_turn):
            return self._known
        return self.curves if math.isinf(self.solution.horizon) else None

    def _least_of_turns(self) -> Event:
        """The best minimum between neighbours of the times `tau`, or one of the ends of training.

        A minimum that is no deeper than the errors of the curves is none.
        """
        tau, curves = self.tau, self.curves
        score, error = curves.score_error, curves.error["score_error"]
        depth = np.minimum(score[:-2], score[2:]) - score[1:-1]
        brackets = np.flatnonzero(depth > 2.0 * error[1:-1])

        def value(times: Array) -> Estimate:
            return _score(self.at(times))

        name = f"tau_opt ({self.parameters})"
        found = [
            self.clock.minimum(value, float(tau[i]), float(tau[i + 2]), name) for i in brackets
        ]
        events = [Event(0.0), *(Event(at, None, off) for at, off in found), Event(math.inf)]
        values = [self.untrained, *(float(self.at(one.at).score_error) for one in events[1:])]
        return events[int(np.argmin(values))]

    def _turns(self) -> list[tuple[float, float]]:
        """Intervals in which the slope of the test loss changes from negative to positive."""
        tau = self.tau[self.tau >= self._before_turns]
        slope = self._slope(tau)
        # where the slope is lost in rounding its sign means nothing
        known = np.flatnonzero(np.abs(slope.value) > 2.0 * slope.error)
        tau, rising = tau[known], slope.value[known] > 0.0
        turns = np.flatnonzero(~rising[:-1] & rising[1:])
        return [(float(tau[i]), float(tau[i + 1])) for i in turns]

    def _turns_of_known(self) -> list[tuple[float, float]] | None:
        """The same from the known curves; None if they have too few times."""
        if not self._dense(self._before_turns):
            return None
        assert self._known is not None
        used = np.isfinite(self._known.tau) & (self._known.tau > 0.0)
        tau, score = self._known.tau[used], self._known.score_error[used]
        turns = _turns_between(score)
        brackets = [(float(tau[i]), float(tau[i + 2])) for i in turns]
        slope = self._slope(np.array(brackets).ravel())
        beyond = np.abs(slope.value) > 2.0 * slope.error
        signs = np.where(beyond, np.sign(slope.value), 0.0).reshape(-1, 2)
        real = np.any(signs != 0.0, axis=1)  # others lie where the slope is lost in rounding
        if np.any(signs[real, 0] >= 0.0) or np.any(signs[real, 1] <= 0.0):
            return None  # the interval does not enclose the root
        return [bracket for bracket, there in zip(brackets, real, strict=True) if there]

    def _dense(self, first: float) -> bool:
        """Whether curves are known, and densely, from before ``first`` to after the last turn."""
        if self._known is None:
            return False
        tau = self._known.tau[np.isfinite(self._known.tau) & (self._known.tau > 0.0)]
        if tau.size < 3 or tau[0] > first or tau[-1] * self.rate * self.support[0] < _LAST_TURN:
            return False
        apart = tau[1:] / tau[:-1]
        return bool(np.all((apart > 1.0) & (apart <= 10.0 ** (1.0 / self._density))))

    @lazy
    def tau(self) -> Array:
        """Times from before the fastest mode moves to after the slowest has stopped."""
        m = self.support[0]
        first = self._steady(_EARLY, _STEADY)
        last = min(self.solution.horizon, LATE / (self.rate * m) if m > 0.0 else math.inf)
        if not self.clock.plain:
            return self.clock.times(first, last, self._density)
        return self._between(first, last)

    def _between(self, first: float, last: float) -> Array:
        """Times so dense that nothing is missed between two of them."""
        a, b = math.log(first), math.log(last)
        return np.exp(np.linspace(a, b, 2 + int(self._density * (b - a) / math.log(10.0))))

    @property
    def _before_any_turn(self) -> float:
        """A time before every minimum of the test loss, if noise is averaged exactly."""
        return _FIRST_TURN / (self.rate * self.support[1])

    @lazy
    def _before_turns(self) -> float:
        """A time before every minimum of the test loss."""
        return self._steady(_FIRST_TURN, _TURNED)

    def _steady(self, start: float, part: float) -> float:
        """``start`` times the shortest relaxation time, or earlier.

        A time until which the slope of the score error has not left its value at tau = 0 by
        ``part`` of that: it is a smooth function, looked at decade by decade back to where it does
        not move.
        """
        tau = start / (self.rate * self.support[1]) * 10.0 ** -np.arange(0.0, 31.0)
        slope = self._slope(np.append(tau, 0.0)).value
        moved = np.flatnonzero(np.abs(slope[:-1] - slope[-1]) > part * abs(slope[-1]))
        at = 0 if moved.size == 0 else int(moved[-1]) + 1
        if at == tau.size:
            raise ConvergenceError(
                f"the score error turns before tau = {tau[-1]:.3g} ({self.parameters})"
            )
        return float(tau[at])

    @property
    def parameters(self) -> str:
        """The parameters of the model, for messages."""
        model, rule = self.solution.model, self.clock.rule
        under = "" if self.clock.plain else f", {rule}"
        return f"t = {model.t}, psi_p = {model.psi_p}, psi_n = {model.psi_n}{under}"

    @property
    def _density(self) -> int:
        return _PER_DECADE if self.rtol < _ROUGH else _FEW_PER_DECADE

    @lazy
    def curves(self) -> LearningCurves:
        """The curves at the times `tau`."""
        return self.at(self.tau)

    def _slope(self, tau: Array) -> Estimate:
        return score_error_slope(self.solution.nodes, tau, GradientFlow())

    def first_crossing(
        self,
        f: Callable[[LearningCurves], Estimate],
        name: str,
        *,
        may_miss: bool = False,
        curves: LearningCurves | None = None,
    ) -> Event:
        """Smallest root of ``f`` between the times of ``curves``; 0 if it is not negative there.

        With ``may_miss`` it is inf if ``f`` is negative up to and at tau = inf.
        """
        curves = self.curves if curves is None else curves
        above = np.flatnonzero(f(curves).value >= 0.0)
        if above.size == 0 and may_miss and float(f(self.end).value) < 0.0:
            return Event(math.inf)
        if above.size > 0 and above[0] == 0 and float(f(self.at(0.0)).value) >= 0.0:
            return Event(0.0)
        if above.size == 0 or above[0] == 0:
            raise self.not_bracketed(name)
        i = int(above[0])
        return self.root(
            lambda tau: f(self.at(tau)), float(curves.tau[i - 1]), float(curves.tau[i]), name
        )

    def root(self, f: Callable[[Array], Estimate], low: float, high: float, name: str) -> Event:
        """The first root of ``f`` between two times; ConvergenceError if rounding hides it.

        Where the rule makes whole steps, the first at which ``f`` has another sign than at ``low``.
        """
        if self.clock.step is not None:
            at, off = self.clock.first_step(f, low, high)
            return Event(at, None, off)
        text = f"{name} ({self.parameters})"
        return Event(first_root(lambda tau: f(tau).value, low, high, text), f)

    def not_bracketed(self, name: str) -> ConvergenceError:
        """The error of an event that lies outside the times of the search."""
        return ConvergenceError(
            f"{name} was not bracketed between tau = {self.tau[0]:.3g} and {self.tau[-1]:.3g} "
            f"({self.parameters})"
        )


def _score(curves: LearningCurves) -> Estimate:
    return Estimate(curves.score_error, curves.error["score_error"])


def _least(at: float, curves: LearningCurves) -> Least:
    """The score error at the last of the times."""
    score = _score(curves)
    return Least(at, float(score.value.flat[-1]), float(score.error.flat[-1]))


def _turns_between(score: Array) -> NDArray[np.intp]:
    """The values before those that lie below both of their neighbours."""
    low = np.minimum(score[:-2], score[2:]) - score[1:-1] > ROUNDING * score[1:-1]
    return np.flatnonzero(low)


def gap_above(gap: float, error: float) -> Callable[[LearningCurves], Estimate]:
    """The generalization gap beyond ``gap``, which is known to ``error``."""

    def excess(curves: LearningCurves) -> Estimate:
        value = curves.generalization_gap - gap
        return Estimate(value, curves.error["generalization_gap"] + error)

    return excess


@ieee
def unit_gap(model: FeatureModel) -> float:
    """1 - L_floor = Delta_t Tr Sigma_t^{-1}/d, what the exact score gains on no network."""
    instance(model, FeatureModel, "model", "ScoreModel(0.01, 64, 8)")
    return model.Delta_t * model.initial_score_error


def score_error_slope(nodes: ContourMeasures, tau: Array, rule: GradientFlow) -> Estimate:
    """d E_score/d tau, which is d L_test/d tau over Delta_t, shape (n_tau,)."""
    model = nodes.model
    h = rule.filter(nodes.points, tau, model.rate)
    v = rule.velocity(nodes.points, tau, model.rate)
    turns = nodes.turning(rule, tau)
    learned, gained = nodes.mean(h), nodes.mean(v)
    # both are off by as much as their averages over Sigma
    of_h = nodes.integral(h, nodes.S_VW, turns.filter)
    of_v = nodes.integral(v, nodes.S_VW, turns.velocity)
    share = of_h.error / np.where(of_h.value != 0.0, np.abs(of_h.value), 1.0)
    bias = Estimate(np.zeros(tau.size), np.zeros(tau.size))
    for one in model.classes:
        factor = one.share * one.linear
        missing = one.linear * learned * one.diffused - math.sqrt(model.Delta_t)
        moved = np.abs(one.linear * learned * one.diffused * gained) @ model.weights
        spread = np.abs(missing) @ model.weights * of_v.error
        value = (missing * gained) @ model.weights
        bias = bias.plus((factor, Estimate(value, moved * share + spread)))
    slope = bias.plus(
        (1.0, nodes.bilinear(h, v, turns.whole, turns.velocity)),
        (model.learned_noise, nodes.integral(h * v, nodes.S_VV, turns.whole * turns.velocity)),
    )
    return Estimate(2.0 * slope.value, 2.0 * slope.error).over(model.Delta_t)
