r"""Times of training: from when and until when the score is good, and when it is learned and lost.

The first thing to read is the *usable interval*: the times at which the score error is within a
factor of its least value. Everything else dates one event on the way:

    tau_gen         the score error has made most of its way to its minimum
    tau_opt         the test loss is least
    tau_overfit     the generalization gap reaches a level of what there is to learn
    tau_ratio(r)    test loss over train loss reaches r: what a training run can measure
    tau_mem         the gap reaches half its final value: a property of the very end of training

Each is the root of an exact curve. Two more come from the spectrum: an eigenvalue lambda of U
relaxes on the time psi_p/(2 Delta_t lambda), so the slowest mode of the upper bulk ends
generalization and the slowest mode of all ends memorization (Bonnaire et al., arXiv:2505.17638,
section 4, who leave out the factor 2).

The score is damaged long before tau_mem; whether generated samples are copies needs samples to say.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import numpy as np

from dmft_rf._arithmetic import ieee, lazy
from dmft_rf._convert import number, one_of
from dmft_rf._frozen import FrozenDict
from dmft_rf._show import Shown, Table
from dmft_rf._stored import Stored
from dmft_rf.curves.clock import Clock
from dmft_rf.curves.definitions import DEFINITIONS, FACTOR, NOTHING, RATIO, definitions
from dmft_rf.curves.event_times import (
    generation_time,
    memorization_time,
    ratio_time,
    usable_interval,
)
from dmft_rf.curves.events import Event, Events, gap_above, unit_gap
from dmft_rf.curves.losses import LearningCurves
from dmft_rf.curves.solve import Solution, solved
from dmft_rf.errors import ConvergenceError
from dmft_rf.model.feature_model import FeatureModel
from dmft_rf.rules.flow import GradientFlow
from dmft_rf.rules.stochastic import TrainingRule
from dmft_rf.rules.stored import named

# relative error of an edge of the spectrum, found as a root of a real equation
_EDGE_KNOWN = 1e-13


class Interval(NamedTuple):
    """Times from ``start`` to ``end``, in units of tau; ``end`` may be inf."""

    start: float
    end: float


@ieee
def timescales(
    solution: Solution,
    level: float = 0.1,
    gap_level: float = NOTHING,
    rule: TrainingRule | None = None,
) -> Timescales:
    """Timescales of a solved model under a training rule.

    Parameters
    ----------
    solution : Solution
        From ``solve(model)``.
    level : float
        What of the score error's fall may be missing at tau_gen, in (0, 1).
    gap_level : float
        The generalization gap at tau_overfit in units of 1 - L_floor, > 0.
    rule : Rule or StochasticGradientDescent
        GradientFlow() by default; any rule that takes time, with weight decay or not. Under
        GradientDescent, HeavyBall and SGD with finite steps the times are those of whole steps: the
        first one at which an event has happened.

    Returns
    -------
    Timescales
        Each number is computed when it is first read.

    Raises
    ------
    ModelError
        If an argument is outside its domain, the rule is Ridge, or it diverges on this spectrum.

    Notes
    -----
    Under gradient flow tau_opt is a root of the exact slope of the score error and is as accurate
    as the other times, which are roots on the curves: the error of the curve over its slope. Under
    another rule the slope is that of a polynomial through 17 values, which multiplies their errors
    by 5 to 50: of curves known to 1e-12, tau_opt is known to 5e-12 or 5e-11, and to less where
    the minimum is flat; `Timescales.error` says how well each time is known.

    Events are looked for at 12 times per decade (8 for rtol >= 1e-7), and after every jump of a
    schedule: a wave between two neighbours is not seen. Of whole steps the first
    40/(1 - momentum) are looked at one by one, up to 1000; a step is exact, error 0, unless the
    curve does not tell it from the one before.

    Examples
    --------
    >>> from dmft_rf import ScoreModel, solve, timescales
    >>> times = timescales(solve(ScoreModel(t=0.01, psi_p=64, psi_n=8)))
    >>> start, end = times.usable()  # score error within 10 % of its best
    >>> print(f"{start:.1f} to {end:.1f}, best at {times.tau_opt:.1f}")
    112.5 to 158.0, best at 132.8
    """
    return Timescales(solution, level, gap_level, rule=rule)


@ieee
class Timescales(Shown):
    """Times of training in units of tau, under one training rule.

    A number is computed when it is first read and raises ConvergenceError where it cannot be told;
    the others are there all the same (`reasons` lists what is not).

    Parameters
    ----------
    solution : Solution
    level, gap_level : float
        As in ``timescales``.
    known : LearningCurves, optional
        Curves of gradient flow on this solution; where their times are many and wide enough the
        minimum of gradient flow is looked for between them.
    rule : Rule or StochasticGradientDescent, optional
        As in ``timescales``.

    Raises
    ------
    ModelError
        As ``timescales``.
    """

    kind: ClassVar[str] = "timescales"
    _content = ("solution", "level", "gap_level", "rule")

    def __init__(
        self,
        solution: Solution,
        level: float = 0.1,
        gap_level: float = NOTHING,
        known: LearningCurves | None = None,
        rule: TrainingRule | None = None,
    ):
        self.solution = solved(solution, "timescales")
        self.level = number(level, "level", above=0.0, below=1.0)
        self.gap_level = number(gap_level, "gap_level", above=0.0)
        self.rule = GradientFlow() if rule is None else rule
        self._clock = Clock(self.solution.spectrum, self.rule)
        self._known = known
        self.seal()

    @lazy
    def _events(self) -> Events:
        return Events(self.solution, self._clock, self._known)

    @property
    def model(self) -> FeatureModel:
        """What was trained."""
        return self.solution.model

    @property
    def definitions(self) -> FrozenDict[str, str]:
        """What each number is, in one sentence, by name."""
        rule = None if self._events.clock.plain else named(self.rule)
        return FrozenDict(definitions(self.level, self.gap_level, rule))

    @lazy
    def _found(self) -> FrozenDict[str, tuple[float, float, str]]:
        """Value, error, and why there is no value ("" if there is one) by name."""
        found = {}
        for name in DEFINITIONS:
            try:
                found[name] = (self.value(name), self._error_of(name), "")
            except ConvergenceError as error:
                found[name] = (math.nan, math.nan, str(error))
        return FrozenDict(found)

    @property
    @ieee
    def values(self) -> FrozenDict[str, float]:
        """Every number by name; nan where it could not be told (see `reasons`)."""
        return FrozenDict({name: value for name, (value, _, _) in self._found.items()})

    @property
    @ieee
    def error(self) -> FrozenDict[str, float]:
        """Estimated absolute error of every number by name; nan where there is none."""
        return FrozenDict({name: error for name, (_, error, _) in self._found.items()})

    @property
    @ieee
    def reasons(self) -> FrozenDict[str, str]:
        """Why a number could not be told, by name; empty if all could."""
        return FrozenDict({name: why for name, (_, _, why) in self._found.items() if why})

    def value(self, name: str) -> float:
        """The number of that name of `definitions`, computed alone.

        Raises ModelError if there is none of that name, ConvergenceError if it cannot be told.
        """
        one_of(name, DEFINITIONS, "name")
        if name.startswith("usable_"):
            return float(getattr(self.usable(), name.removeprefix("usable_")))
        if name == "tau_ratio":
            return self.tau_ratio()
        return float(getattr(self, name))

    def usable(self, factor: float = FACTOR) -> Interval:
        """Times around tau_opt at which the score error is within ``factor`` of its least value.

        The number to stop by. Its start is 0 where there is nothing to learn, its end inf where
        training may go on for ever.

        Raises
        ------
        ModelError
            Unless ``factor`` > 1.
        ConvergenceError
            If an end cannot be told.
        """
        factor = number(factor, "factor", above=1.0)
        start, end = self._usual if factor == FACTOR else usable_interval(self._events, factor)
        return Interval(start.at, end.at)

    def tau_ratio(self, ratio: float = RATIO) -> float:
        """First time at which test loss over train loss reaches ``ratio`` > 1; inf if never.

        What a training run shows by its two losses.
        """
        ratio = number(ratio, "ratio", above=1.0)
        return (self._doubled if ratio == RATIO else ratio_time(self._events, ratio)).at

    @property
    @ieee
    def tau_gen(self) -> float:
        """First time at which all but ``level`` of the score error's fall has been made."""
        return self._gen.at

    @property
    @ieee
    def tau_opt(self) -> float:
        """Time of the global minimum of the test loss; inf if it never rises again."""
        return self._events.minimum.at

    @property
    @ieee
    def tau_overfit(self) -> float:
        """First time at which the gap reaches ``gap_level`` of what there is to learn; or inf."""
        return self._overfit.at

    @property
    @ieee
    def tau_mem(self) -> float:
        """First time at which the generalization gap reaches half its final value.

        It dates the end of memorizing, however little there is to memorize: see `memorizes`.
        """
        return self._mem.at

    @property
    @ieee
    def window(self) -> float:
        """tau_mem/tau_gen; inf where nothing falls and tau_gen is 0."""
        return self.tau_mem / self.tau_gen if self.tau_gen > 0.0 else math.inf

    @property
    @ieee
    def tau_gen_spectrum(self) -> float:
        """Relaxation time of the slowest data direction; nan while the bulks are merged."""
        return self._relaxation(self.solution.spectrum.lowest_data_direction)

    @property
    @ieee
    def tau_mem_spectrum(self) -> float:
        """Relaxation time of the slowest mode that is trained."""
        return self._relaxation(self.solution.spectrum.ends[0])

    @property
    @ieee
    def test_min(self) -> float:
        """Test loss at tau_opt."""
        return float(self._events.best.test)

    @property
    @ieee
    def score_error_min(self) -> float:
        """Score error at tau_opt."""
        return self._events.least.value

    @property
    @ieee
    def untrained(self) -> float:
        """Score error at tau = 0."""
        return self._events.untrained

    @property
    @ieee
    def final_gap(self) -> float:
        """Generalization gap at tau = inf."""
        return float(self.end.generalization_gap)

    @property
    @ieee
    def relative_gap(self) -> float:
        """Generalization gap at tau = inf in units of what there is to learn, 1 - L_floor."""
        return self.final_gap / unit_gap(self.model)

    @property
    @ieee
    def memorizes(self) -> bool:
        """Whether there is something to memorize: the gap reaches ``gap_level`` at some time."""
        return math.isfinite(self.tau_overfit)

    @property
    @ieee
    def end(self) -> LearningCurves:
        """The curves at tau = inf."""
        return self._events.end

    def _about(self) -> str:
        return f"{self.model.label}; level {self.level:g}, gap level {self.gap_level:g}"

    def _table(self) -> Table:
        names, rows = list(self.definitions), ("name",)
        columns: dict[str, list[Any]] = {
            "value": [self.values[name] for name in names],
            "error": [self.error[name] for name in names],
            "definition": [self.definitions[name] for name in names],
            "reason": [self.reasons.get(name, "") for name in names],
        }
        held = {name: (rows, np.array(values)) for name, values in columns.items()}
        return Table(rows, {"name": (rows, np.array(names))}, held)

    def stored(self) -> Stored:
        """What a file holds of the times: every number, its error and what it is."""
        attributes, arrays = self.solution.stored()
        attributes |= {"level": self.level, "gap_level": self.gap_level} | dict(self.values)
        attributes |= self.rule.stored()[0]
        attributes |= {f"{name}_error": error for name, error in self.error.items()}
        attributes |= {f"{name}_reason": reason for name, reason in self.reasons.items()}
        attributes |= {f"definition_{name}": text for name, text in self.definitions.items()}
        return attributes | {"memorizes": self.memorizes}, arrays

    def _error_of(self, name: str) -> float:
        """Absolute error of a number."""
        dated = {
            "usable_start": lambda: self._usual[0],
            "usable_end": lambda: self._usual[1],
            "tau_gen": lambda: self._gen,
            "tau_opt": lambda: self._events.minimum,
            "tau_overfit": lambda: self._overfit,
            "tau_ratio": lambda: self._doubled,
            "tau_mem": lambda: self._mem,
        }
        if name in dated:
            return dated[name]().error
        if name == "window":
            if not math.isfinite(self.window):
                return 0.0
            return (self._mem.error + self.window * self._gen.error) / self.tau_gen
        if name.endswith("_spectrum"):
            return _EDGE_KNOWN * self.value(name)
        gap = float(self.end.error["generalization_gap"])
        return {
            "test_min": float(self._events.best.error["test"]),
            "score_error_min": self._events.least.error,
            "final_gap": gap,
            "relative_gap": gap / unit_gap(self.model),
        }[name]

    @lazy
    def _usual(self) -> tuple[Event, Event]:
        return usable_interval(self._events, FACTOR)

    @lazy
    def _doubled(self) -> Event:
        return ratio_time(self._events, RATIO)

    @lazy
    def _overfit(self) -> Event:
        gap = self.gap_level * unit_gap(self.model)
        return self._events.first_crossing(gap_above(gap, 0.0), "tau_overfit", may_miss=True)

    @lazy
    def _gen(self) -> Event:
        return generation_time(self._events, self.level)

    @lazy
    def _mem(self) -> Event:
        return memorization_time(self._events)

    def _relaxation(self, eigenvalue: float) -> float:
        return 1.0 / (self.model.rate * eigenvalue) if not eigenvalue <= 0.0 else math.inf
