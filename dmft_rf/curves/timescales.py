r"""Timescales of training: when the score is learned, when to stop, when the loss overfits.

Two routes to each. From the curves: what a user would read off a learning curve, found by root
finding on the exact curve. From the spectrum: an eigenvalue lambda of U relaxes on the time
psi_p/(2 Delta_t lambda), so the slowest mode of the upper bulk ends generalization and the
slowest mode of all ends memorization (Bonnaire et al., arXiv:2505.17638, section 4, who leave out
the factor 2). tau_mem is an overfitting time: the gap between test and train loss has reached half
its final value. The score is damaged long before that. Whether generated samples are then copies of
the data is another question, that needs samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dmft_rf._arithmetic import ieee, lazy
from dmft_rf._convert import number
from dmft_rf._frozen import Frozen
from dmft_rf.curves.losses import LearningCurves, score_error_slope
from dmft_rf.curves.solve import Solution, solved
from dmft_rf.errors import ConvergenceError
from dmft_rf.numerics.estimate import ROUNDING, Estimate
from dmft_rf.rules.flow import GradientFlow

Array = NDArray[np.float64]

DEFINITIONS = {
    "tau_gen": "first time at which the score error has made (1 - level) of its way from its "
    "initial value to its minimum over time (level = {level:g})",
    "tau_opt": "time of the global minimum of the test loss (early stopping); inf if the loss "
    "never rises again",
    "tau_mem": "first time at which the generalization gap, test minus train loss, reaches half "
    "its final value; inf if the gap diverges (spectrum down to 0)",
    "window": "tau_mem/tau_gen",
    "tau_gen_spectrum": "psi_p/(2 Delta_t lambda), lambda the lower edge of the bulks of the data "
    "directions; nan while they are merged with the others",
    "tau_mem_spectrum": "psi_p/(2 Delta_t lambda), lambda the lowest edge of the spectrum of U "
    "(the atom at s_t^2 is not trained)",
    "test_min": "test loss at tau_opt",
    "score_error_min": "score error at tau_opt",
    "final_gap": "generalization gap at tau = inf",
}

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
_EARLY, _LATE = 1e-6, 60.0
_FIRST_TURN, _LAST_TURN = 0.03, 30.0
_STEADY, _TURNED = 1e-5, 0.1
# half the final gap is told if it is known to this part of it
_GAP_KNOWN = 1e-3
# for a root: places in the interval of the search, and half the width of the last one in log tau
_PLACES = 0.5 - 0.5 * np.cos(np.linspace(0.0, math.pi, 9))
_CLOSE = 1e-5


@dataclass(frozen=True, eq=False)
class Timescales(Frozen):
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


@ieee
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
        If a root cannot be bracketed, the curves are not accurate to the solution's rtol, or half
        the final gap, which dates tau_mem, is not known to a thousandth (t or n far too large for
        a gap that rounding leaves).
    """
    course = Course(solved(solution, "timescales"), level)
    return Timescales(
        **{name: getattr(course, name) for name in DEFINITIONS},
        definitions={name: text.format(level=course.level) for name, text in DEFINITIONS.items()},
    )


@ieee
class Course:
    """The course of gradient flow on one solution; every number is computed when it is asked for.

    Parameters
    ----------
    solution : Solution
    level : float
        As in ``timescales``.
    known : LearningCurves, optional
        Curves of gradient flow on this solution; where their times are many and wide enough the
        minimum is looked for between them.

    Raises
    ------
    ModelError
        If ``level`` is outside (0, 1).
    ConvergenceError
        By every number, as ``timescales``.
    """

    def __init__(self, solution: Solution, level: float = 0.1, known: LearningCurves | None = None):
        self.solution = solved(solution, "Course")
        self.level = number(level, "level", above=0.0, below=1.0)
        self._known = known

    @property
    def tau_opt(self) -> float:
        """Time of the global minimum of the test loss; inf if it never rises again."""
        return self._minimum[0]

    @property
    def score_error_min(self) -> float:
        """Score error at tau_opt."""
        return self._minimum[1]

    @property
    def test_min(self) -> float:
        """Test loss at tau_opt."""
        return self._minimum[2]

    @lazy
    def _minimum(self) -> tuple[float, float, float]:
        """tau_opt, score error and test loss there: roots of the slope, and the limit tau = inf."""
        brackets = self._turns_of_known()
        if brackets is None:
            brackets = self._turns()
        roots = [
            self._refined(lambda tau: self._slope(tau).value, low, high) for low, high in brackets
        ]
        candidates = np.array([*roots, math.inf])
        curves = self.solution.learning_curves(candidates)
        best = int(np.argmin(curves.score_error))
        return float(candidates[best]), float(curves.score_error[best]), float(curves.test[best])

    def _turns(self) -> list[tuple[float, float]]:
        """Intervals in which the slope of the test loss changes from negative to positive."""
        tau = self._tau[self._tau >= self._before_turns]
        slope = self._slope(tau)
        # where the slope is lost in rounding its sign means nothing
        known = np.flatnonzero(np.abs(slope.value) > 2.0 * slope.error)
        tau, rising = tau[known], slope.value[known] > 0.0
        turns = np.flatnonzero(~rising[:-1] & rising[1:])
        return [(float(tau[i]), float(tau[i + 1])) for i in turns]

    def _turns_of_known(self) -> list[tuple[float, float]] | None:
        """The same from the known curves; None if they have too few times."""
        if self._known is None:
            return None
        used = np.isfinite(self._known.tau) & (self._known.tau > 0.0)
        tau, score = self._known.tau[used], self._known.score_error[used]
        m, rate = self.solution.diagnostics["support"][0], self.solution.model.rate
        if tau.size < 3 or tau[0] > self._before_turns or tau[-1] * rate * m < _LAST_TURN:
            return None
        steps = np.diff(tau)
        if np.any(steps <= 0.0) or np.any(tau[1:] > tau[:-1] * 10.0 ** (1.0 / self._density)):
            return None
        low = np.minimum(score[:-2], score[2:]) - score[1:-1] > ROUNDING * score[1:-1]
        turns = np.flatnonzero(low)
        brackets = [(float(tau[i]), float(tau[i + 2])) for i in turns]
        slope = self._slope(np.array(brackets).ravel())
        beyond = np.abs(slope.value) > 2.0 * slope.error
        signs = np.where(beyond, np.sign(slope.value), 0.0).reshape(-1, 2)
        real = np.any(signs != 0.0, axis=1)  # others lie where the slope is lost in rounding
        if np.any(signs[real, 0] >= 0.0) or np.any(signs[real, 1] <= 0.0):
            return None  # the interval does not enclose the root
        return [bracket for bracket, there in zip(brackets, real, strict=True) if there]

    @lazy
    def tau_gen(self) -> float:
        """First time at which all but ``level`` of the score error's fall has been made."""
        start = self.solution.model.initial_score_error
        target = self.score_error_min + self.level * (start - self.score_error_min)
        # it is reached before the minimum
        until = max(2, int(np.searchsorted(self._tau, self.tau_opt)) + 1)
        tau = self._tau[:until]
        curves = self._curves if until >= self._tau.size else self.solution.learning_curves(tau)
        return self._first_crossing(lambda at: target - at.score_error, "tau_gen", curves)

    @lazy
    def tau_mem(self) -> float:
        """First time at which the generalization gap reaches half its final value."""
        half = 0.5 * self.final_gap
        if math.isinf(half):
            return math.inf
        known = float(self._end.error["generalization_gap"])
        if not known <= _GAP_KNOWN * half:
            raise ConvergenceError(
                f"tau_mem: half the final generalization gap, {half:.3g}, is known to {known:.1g} "
                f"only with rtol = {self.solution.rtol:g} ({self._parameters})"
            )
        return self._first_crossing(lambda curves: curves.generalization_gap - half, "tau_mem")

    @property
    def window(self) -> float:
        """tau_mem/tau_gen."""
        return self.tau_mem / self.tau_gen

    @property
    def tau_gen_spectrum(self) -> float:
        """Relaxation time of the slowest data direction; nan while the bulks are merged."""
        law = self.solution.spectrum
        if law.learning_bulks is None:
            return math.nan
        return self._relaxation(float(law.edges[law.learning_bulks][0, 0]))

    @property
    def tau_mem_spectrum(self) -> float:
        """Relaxation time of the slowest mode that is trained."""
        return self._relaxation(float(self.solution.spectrum.edges[0, 0]))

    def _relaxation(self, eigenvalue: float) -> float:
        rate = self.solution.model.rate
        return 1.0 / (rate * eigenvalue) if eigenvalue > 0.0 else math.inf

    def first_gap(self, gap: float) -> float:
        """First time at which the generalization gap reaches the value ``gap``; inf if never."""
        if max(float(np.max(self._curves.generalization_gap)), self.final_gap) < gap:
            return math.inf
        return self._first_crossing(lambda curves: curves.generalization_gap - gap, "tau_overfit")

    @property
    def final_gap(self) -> float:
        """Generalization gap at tau = inf."""
        return float(self._end.generalization_gap)

    @property
    def final_train(self) -> float:
        """Training loss at tau = inf, of minimum-norm least squares."""
        return self.solution.train_limit

    @property
    def final_test(self) -> float:
        """Test loss at tau = inf."""
        return float(self._end.test)

    @property
    def final_score_error(self) -> float:
        """Score error at tau = inf."""
        return float(self._end.score_error)

    @lazy
    def _end(self) -> LearningCurves:
        return self.solution.learning_curves(math.inf)

    @lazy
    def _tau(self) -> Array:
        """Times from before the fastest mode moves to after the slowest has stopped."""
        m, rate = self.solution.diagnostics["support"][0], self.solution.model.rate
        first = self._steady(_EARLY, _STEADY)
        last = min(self.solution.horizon, _LATE / (rate * m) if m > 0.0 else math.inf)
        a, b = math.log(first), math.log(last)
        return np.exp(np.linspace(a, b, 2 + int(self._density * (b - a) / math.log(10.0))))

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
        M = self.solution.diagnostics["support"][1]
        tau = start / (self.solution.model.rate * M) * 10.0 ** -np.arange(0.0, 31.0)
        slope = self._slope(np.append(tau, 0.0)).value
        moved = np.flatnonzero(np.abs(slope[:-1] - slope[-1]) > part * abs(slope[-1]))
        at = 0 if moved.size == 0 else int(moved[-1]) + 1
        if at == tau.size:
            raise ConvergenceError(
                f"the score error turns before tau = {tau[-1]:.3g} ({self._parameters})"
            )
        return float(tau[at])

    @property
    def _parameters(self) -> str:
        model = self.solution.model
        return f"t = {model.t}, psi_p = {model.psi_p}, psi_n = {model.psi_n}"

    @property
    def _density(self) -> int:
        return _PER_DECADE if self.solution.rtol < _ROUGH else _FEW_PER_DECADE

    @lazy
    def _curves(self) -> LearningCurves:
        return self.solution.learning_curves(self._tau)

    def _slope(self, tau: Array) -> Estimate:
        return score_error_slope(self.solution.nodes, tau, GradientFlow())

    def _first_crossing(
        self,
        f: Callable[[LearningCurves], Array],
        name: str,
        curves: LearningCurves | None = None,
    ) -> float:
        """Smallest root of ``f``, which is negative at tau = 0, between the times of ``curves``."""
        curves = self._curves if curves is None else curves
        tau = curves.tau
        above = np.flatnonzero(f(curves) >= 0.0)
        if above.size == 0 or above[0] == 0:
            raise ConvergenceError(
                f"{name} was not bracketed between tau = {tau[0]:.3g} and {tau[-1]:.3g} "
                f"({self._parameters})"
            )
        i = int(above[0])
        return self._refined(lambda u: f(self.solution.learning_curves(u)), tau[i - 1], tau[i])

    def _refined(self, f: Callable[[Array], Array], low: float, high: float) -> float:
        """First root of ``f`` between two times of the search, in log tau, to rounding.

        A call with many times costs little more than one with a single time: the root is
        interpolated between values in the whole interval, and once more between values that
        enclose it closely. Where that fails, Brent's method takes over.
        """
        a, b = math.log(low), math.log(high)
        u = a + (b - a) * _PLACES
        v = f(np.exp(u))
        changes = np.flatnonzero((v[:-1] < 0.0) != (v[1:] < 0.0))
        if changes.size == 0:  # the root is at an end, up to rounding
            return low if abs(v[0]) < abs(v[-1]) else high
        i = int(changes[0])
        steps = np.diff(v)
        if np.all(steps > 0.0) or np.all(steps < 0.0):
            near = min(max(_inverse(u, v), a), b) + _CLOSE * np.array([-1.0, 0.0, 1.0])
            w = f(np.exp(near))
            if w[0] * w[2] < 0.0 and (w[0] < w[1] < w[2] or w[0] > w[1] > w[2]):
                return math.exp(_inverse(near, w))
        from scipy.optimize import brentq

        def one(at: float) -> float:
            return float(f(np.array([math.exp(at)]))[0])

        if one(u[i]) * one(u[i + 1]) > 0.0:
            raise ConvergenceError(
                f"a root near tau = {math.exp(u[i]):.3g} is lost in rounding ({self._parameters})"
            )
        return math.exp(brentq(one, u[i], u[i + 1], xtol=1e-13, rtol=1e-13))


def _inverse(u: Array, v: Array) -> float:
    """Where the polynomial u(v) through all points has v = 0."""
    n = v.size
    factors = np.where(np.eye(n, dtype=bool), 1.0, -v / (v[:, None] - v + np.eye(n)))
    return float(u @ factors.prod(axis=1))
