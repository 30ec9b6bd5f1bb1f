r"""When each direction of the data is learned and lost, and each class of a mixture.

Along a direction, and for a class, the score has an error of its own (`ErrorParts`), with times of
its own under gradient flow from A = 0: when the bias has fallen to a level of what it was, when the
error is least, from when until when it is within a factor of that, and when all is lost again.
docs/times.md says what they are for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dmft_rf._arithmetic import ieee
from dmft_rf._convert import number
from dmft_rf._frozen import FrozenDict
from dmft_rf._show import Shown, Table
from dmft_rf._stored import Stored
from dmft_rf._typing import Array
from dmft_rf.curves.clock import Clock
from dmft_rf.curves.definitions import FACTOR, TIMES
from dmft_rf.curves.error_parts import Direction, error_parts, nodes_of
from dmft_rf.curves.events import Event, Events
from dmft_rf.curves.forms import Form
from dmft_rf.curves.majorants import Turning
from dmft_rf.curves.measures import Values
from dmft_rf.curves.nodes import Nodes
from dmft_rf.curves.solve import Solution, solved
from dmft_rf.errors import ConvergenceError
from dmft_rf.model.feature_model import FeatureModel
from dmft_rf.numerics.estimate import Estimate
from dmft_rf.rules.flow import GradientFlow

# (weight, class, eigenvalue) of what an error is a sum of
_Members = list[tuple[float, int, int]]


@ieee
@dataclass(frozen=True, eq=False, repr=False)
class ErrorTimes(Shown):
    """Times of each direction and class, in units of tau (gradient flow from A = 0).

    Attributes
    ----------
    model : FeatureModel
    level, factor : float
        As in ``error_times``.
    by_direction, by_class : dict of (A,) and (C,) arrays
        Each time of `TIMES` (``learned``, ``usable_start``, ``best``, ``usable_end``, ``lost``) by
        name, nan where it cannot be told, and the least error, ``error_min``.
    direction_error, class_error : dict of arrays
        Estimated absolute errors of the same.
    reasons : dict
        Why a time could not be told, such as "direction 3: lost".
    """

    kind: ClassVar[str] = "error-times"

    model: FeatureModel
    level: float
    factor: float
    by_direction: dict[str, Array]
    by_class: dict[str, Array]
    direction_error: dict[str, Array]
    class_error: dict[str, Array]
    reasons: dict[str, str]

    @property
    def definitions(self) -> FrozenDict[str, str]:
        """What each time is, by name."""
        used = {"level": self.level, "factor": self.factor}
        return FrozenDict({name: text.format(**used) for name, text in TIMES.items()})

    def _about(self) -> str:
        return f"{self.model.label}; level {self.level:g}, factor {self.factor:g}"

    def _table(self) -> Table:
        rows = ("direction",)
        eigenvalues = self.model.classes[0].eigenvalues
        coordinates = {"eigenvalue": (rows, eigenvalues), "weight": (rows, self.model.weights)}
        columns = {name: (rows, values) for name, values in self.by_direction.items()}
        columns |= {f"{name}_error": (rows, x) for name, x in self.direction_error.items()}
        more = {f"{name}_by_class": (("class",), x) for name, x in self.by_class.items()}
        return Table(rows, coordinates, columns, more)

    def stored(self) -> Stored:
        """What a file holds of the times."""
        attributes, arrays = self.model.stored()
        attributes |= {"level": self.level, "factor": self.factor}
        attributes |= {f"definition_{name}": text for name, text in self.definitions.items()}
        attributes |= {f"reason_{place}": reason for place, reason in self.reasons.items()}
        for of in ("by_direction", "by_class", "direction_error", "class_error"):
            arrays |= {f"{of}_{name}": values for name, values in getattr(self, of).items()}
        return attributes, arrays


@ieee
def error_times(solution: Solution, level: float = 0.1, factor: float = FACTOR) -> ErrorTimes:
    """When each direction of the data, and each class, is learned and lost under gradient flow.

    Parameters
    ----------
    solution : Solution
        From ``solve(model)``.
    level : float
        Of the untrained network's bias, at which a direction counts as learned, in (0, 1).
    factor : float
        Of the least error, within which the score is usable, > 1.

    Returns
    -------
    ErrorTimes
        Times by direction and by class.

    Raises
    ------
    ModelError
        If an argument is outside its domain.
    ConvergenceError
        If the curves miss ``solution.rtol``.

    Examples
    --------
    >>> from dmft_rf import Covariance, ScoreModel, error_times, solve
    >>> times = error_times(solve(ScoreModel(0.01, 64, 8, covariance=Covariance([0.2, 1.8]))))
    >>> print(times.by_direction["learned"].round(1))  # the larger eigenvalue first
    [349.9  43.7]
    """
    solved(solution, "error_times")
    level = number(level, "level", above=0.0, below=1.0)
    factor = number(factor, "factor", above=1.0)
    events = Events(solution, Clock(solution.spectrum, GradientFlow()))
    ends = [] if solution.hard_edge else [math.inf]
    parts = error_parts(solution, np.concatenate([[0.0], events.tau, ends]))
    nodes, _ = nodes_of(solution, np.array([0.0]), None)
    shares, weights = parts.shares, parts.weights
    reasons: dict[str, str] = {}

    def dated(
        label: str, grid: Mapping[str, Array], rows: list[_Members]
    ) -> list[dict[str, Array]]:
        found = []
        for i, members in enumerate(rows):
            own = {name: grid[name][i] for name in ("bias", "score_error")}
            times, why = _Row(nodes, members, own).times(events, level, factor)
            found.append(times)
            reasons.update({f"{label} {i}: {name}": text for name, text in why.items()})
        return [
            {name: np.array([one[name][which] for one in found]) for name in (*TIMES, "error_min")}
            for which in range(2)
        ]

    C, A = range(shares.size), range(weights.size)
    directions = [[(float(shares[c]), c, a) for c in C] for a in A]
    classes = [[(float(weights[a]), c, a) for a in A] for c in C]
    by_direction, direction_error = dated("direction", parts.by_direction, directions)
    by_class, class_error = dated("class", parts.by_class, classes)
    return ErrorTimes(
        model=solution.model,
        level=level,
        factor=factor,
        by_direction=by_direction,
        by_class=by_class,
        direction_error=direction_error,
        class_error=class_error,
        reasons=reasons,
    )


class _Row:
    """The error of the score along a direction or for a class, at every time.

    ``members`` are (weight, class, eigenvalue); ``grid`` has bias and score_error at tau = 0, the
    times of the events, and inf where it has a limit.
    """

    def __init__(self, nodes: Nodes, members: _Members, grid: dict[str, Array]):
        rule = GradientFlow()
        self.nodes, self.rule, self.grid = nodes, rule, grid
        self.members = [(w, Direction(nodes, rule, c, a)) for w, c, a in members]
        self.form = Form.combined((w, form) for w, one in self.members for form in one.forms)
        self.own = np.sum([w * one.own for w, one in self.members], axis=0)

    def _bias(self, h: Values, turning: Turning) -> Estimate:
        terms = [(w, one.bias(one.learned(h, turning))) for w, one in self.members]
        zero = np.zeros(h.shape[0])
        return Estimate(zero, zero).plus(*terms)

    def bias(self, tau: Array) -> Estimate:
        """The bias at the times ``tau``, (n_tau,)."""
        h = self.rule.filter(self.nodes.points, tau, self.nodes.model.rate)
        return self._bias(h, self.nodes.turning(self.rule, tau).filter)

    def error(self, tau: Array) -> Estimate:
        """The error at the times ``tau``, (n_tau,)."""
        nodes = self.nodes
        h = self.rule.filter(nodes.points, tau, nodes.model.rate)
        turns = nodes.turning(self.rule, tau)
        variance = nodes.form(h, self.form, turns.filter)
        noise = nodes.integral(h * h, self.own, turns.square)
        per = 1.0 / nodes.model.Delta_t
        return self._bias(h, turns.filter).plus((per, variance), (per, noise))

    def slope(self, tau: Array) -> Estimate:
        """Half of d error/d tau at the times ``tau``, (n_tau,)."""
        nodes, rate = self.nodes, self.nodes.model.rate
        h = self.rule.filter(nodes.points, tau, rate)
        v = self.rule.velocity(nodes.points, tau, rate)
        turns = nodes.turning(self.rule, tau)
        found = Estimate(np.zeros(tau.size), np.zeros(tau.size))
        for w, one in self.members:
            f, moved = one.learned(h, turns.filter), one.learned(v, turns.velocity)
            left = f.value - 1.0
            off = np.abs(left) * moved.error + np.abs(moved.value) * f.error
            found = found.plus((w / one.sigma, Estimate(left * moved.value, off)))
        variance = nodes.mixed(self.form, h, v, turns.whole, turns.velocity)
        noise = nodes.integral(h * v, self.own, turns.whole * turns.velocity)
        per = 1.0 / nodes.model.Delta_t
        return found.plus((per, variance), (per, noise))

    def times(
        self, events: Events, level: float, factor: float
    ) -> tuple[dict[str, tuple[float, float]], dict[str, str]]:
        """Value and error of each time, and why there is none, by name."""
        found = dict.fromkeys((*TIMES, "error_min"), (math.nan, math.nan))
        why: dict[str, str] = {}

        def date(name: str, find: Callable[[], Event]) -> None:
            try:
                event = find()
                found[name] = (event.at, event.error)
            except ConvergenceError as error:
                why[name] = str(error)

        untrained = self.grid["score_error"][0]
        date("learned", lambda: self._learned(events, level))
        date("best", lambda: self._best(events))
        best = found["best"][0]
        if math.isnan(best):
            return found, why | dict.fromkeys(set(TIMES) - {"learned"} - set(why), why["best"])
        least = self._at(best)
        found["error_min"] = (float(least.value), float(least.error))
        most, off = factor * float(least.value), factor * float(least.error)
        date("usable_start", lambda: self._start(events, best, most, off))
        date("usable_end", lambda: self._rise(events, best, most, off, "the end of the usable"))
        date("lost", lambda: self._rise(events, best, untrained, 0.0, "the loss of all learned"))
        return found, why

    def _at(self, tau: float) -> Estimate:
        found = self.error(np.array([tau]))
        return Estimate(found.value[0], found.error[0])

    def _above(self, most: float, off: float) -> Callable[[Array], Estimate]:
        def excess(tau: Array) -> Estimate:
            found = self.error(tau)
            return Estimate(found.value - most, found.error + off)

        return excess

    def _learned(self, events: Events, level: float) -> Event:
        bias, n = self.grid["bias"], events.tau.size
        most = level * bias[0]

        def missing(tau: Array) -> Estimate:
            found = self.bias(tau)
            return Estimate(found.value - most, found.error)

        below = np.flatnonzero(bias[1 : n + 1] <= most)
        if below.size == 0:
            if np.all(bias[n + 1 :] > most):
                return Event(math.inf)
            raise events.not_bracketed("the time at which it is learned")
        i = int(below[0])
        if i == 0:
            raise events.not_bracketed("the time at which it is learned")
        return events.root(missing, float(events.tau[i - 1]), float(events.tau[i]), "learned")

    def _best(self, events: Events) -> Event:
        slope = self.slope(events.tau)
        known = np.flatnonzero(np.abs(slope.value) > 2.0 * slope.error)
        tau, rising = events.tau[known], slope.value[known] > 0.0
        if tau.size == 0 or rising[0]:
            raise events.not_bracketed("the time of the least error")
        turns = np.flatnonzero(~rising[:-1] & rising[1:])
        found = [events.root(self.slope, float(tau[i]), float(tau[i + 1]), "best") for i in turns]
        if self.grid["score_error"].size > events.tau.size + 1:
            found.append(Event(math.inf))
        if not found:
            raise events.not_bracketed("the time of the least error")
        values = self.error(np.array([one.at for one in found])).value
        return found[int(np.argmin(values))]

    def _start(self, events: Events, best: float, most: float, off: float) -> Event:
        """First time of the interval around ``best`` in which the error is below ``most``."""
        error, tau = self.grid["score_error"][1 : events.tau.size + 1], events.tau
        before = np.flatnonzero((error > most) & (tau < best))
        if before.size == 0:
            if self.grid["score_error"][0] <= most:
                return Event(0.0)
            raise events.not_bracketed("the start of the usable interval")
        i = int(before[-1])
        high = min(float(tau[min(i + 1, tau.size - 1)]), best)
        return events.root(self._above(most, off), float(tau[i]), high, "usable_start")

    def _rise(self, events: Events, best: float, most: float, off: float, name: str) -> Event:
        """First time after ``best`` at which the error is above ``most``; inf if never."""
        n, tau = events.tau.size, events.tau
        error, end = self.grid["score_error"][1 : n + 1], self.grid["score_error"][n + 1 :]
        after = np.flatnonzero((error > most) & (tau > best))
        if after.size == 0:
            if end.size and np.all(end <= most):
                return Event(math.inf)
            raise events.not_bracketed(name)
        i = int(after[0])
        low = max(float(tau[i - 1]), best) if i else best
        return events.root(self._above(most, off), low, float(tau[i]), name)
