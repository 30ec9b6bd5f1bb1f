r"""Schedules: a quantity of training, here the noise of its steps, as a function of tau.

Any function of an array of times will do in place of these. A schedule of this module also says
where it has a kink or a jump (``breaks``), so that no solver has to find it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dmft_rf._arithmetic import ieee
from dmft_rf._convert import floats, number
from dmft_rf._typing import Array
from dmft_rf.errors import ModelError

__all__ = [
    "Cosine",
    "Exponential",
    "InverseTime",
    "Piecewise",
    "Scaled",
    "Schedule",
    "Table",
    "WarmUp",
]


# so that products of values and of times are floats
_LEAST, _MOST = 1e-100, 1e100


@dataclass(frozen=True)
class Schedule:
    """A function of tau, which may be inf: ``schedule(tau)`` has the shape of ``tau``."""

    @property
    def breaks(self) -> tuple[float, ...]:
        """Times > 0 at which the schedule or its slope jumps."""
        return ()

    def at(self, tau: Array) -> Array:
        """The values at times >= 0, inf included."""
        raise NotImplementedError

    @ieee
    def __call__(self, tau: ArrayLike) -> Array:
        """The values at the times ``tau``, in its shape."""
        return np.asarray(self.at(floats(tau, "tau", least=0.0, infinite=True)))

    def _convert(self, *names: str, positive: bool = False) -> None:
        above, least = (0.0, _LEAST) if positive else (-math.inf, 0.0)
        for name in names:
            value = number(getattr(self, name), name, above=above, least=least, most=_MOST)
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class InverseTime(Schedule):
    """start/(1 + tau/decay_time)."""

    start: float
    decay_time: float

    def __post_init__(self) -> None:
        self._convert("start")
        self._convert("decay_time", positive=True)

    def at(self, tau: Array) -> Array:
        """start/(1 + tau/decay_time); 0 at tau = inf."""
        return self.start / (1.0 + tau / self.decay_time)


@dataclass(frozen=True)
class Exponential(Schedule):
    """final + (start - final) e^{-tau/decay_time}."""

    start: float
    decay_time: float
    final: float = 0.0

    def __post_init__(self) -> None:
        self._convert("start", "final")
        self._convert("decay_time", positive=True)

    def at(self, tau: Array) -> Array:
        """final + (start - final) e^{-tau/decay_time}."""
        return self.final + (self.start - self.final) * np.exp(-tau / self.decay_time)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a period of a cosine from ``start`` to ``final`` at ``end_time``, constant after it."""

    start: float
    end_time: float
    final: float = 0.0

    def __post_init__(self) -> None:
        self._convert("start", "final")
        self._convert("end_time", positive=True)

    @property
    def breaks(self) -> tuple[float, ...]:
        """The end of the period, where the second derivative jumps."""
        return (self.end_time,)

    def at(self, tau: Array) -> Array:
        """final + (start - final) (1 + cos(pi tau/end_time))/2."""
        turned = np.cos(math.pi * np.minimum(tau / self.end_time, 1.0))
        return self.final + 0.5 * (self.start - self.final) * (1.0 + turned)


@dataclass(frozen=True)
class WarmUp(Schedule):
    """A rise from 0, linear in tau, until ``duration``; from there on ``then``.

    Parameters
    ----------
    duration : float
    then : float or Schedule
        A number, or a schedule whose own clock starts at the end of the rise.
    """

    duration: float
    then: Any

    def __post_init__(self) -> None:
        self._convert("duration", positive=True)
        if not isinstance(self.then, Schedule):
            self._convert("then")

    @property
    def breaks(self) -> tuple[float, ...]:
        """The end of the rise, and the breaks of what follows."""
        later = self.then.breaks if isinstance(self.then, Schedule) else ()
        return (self.duration, *(self.duration + time for time in later))

    def at(self, tau: Array) -> Array:
        """tau/duration times the value that follows, then that."""
        later = np.maximum(tau - self.duration, 0.0)
        after = self.then.at(later) if isinstance(self.then, Schedule) else self.then
        return np.minimum(tau / self.duration, 1.0) * after


@dataclass(frozen=True)
class Piecewise(Schedule):
    """values[0] until times[0], values[1] until times[1], ...; the last value for ever.

    Parameters
    ----------
    times : sequence of k ascending times > 0
    values : sequence of k + 1 numbers >= 0
    """

    times: tuple[float, ...] = field()
    values: tuple[float, ...] = field()

    def __post_init__(self) -> None:
        _vectors(self, 1)

    @property
    def breaks(self) -> tuple[float, ...]:
        """The times of the jumps."""
        return self.times

    def at(self, tau: Array) -> Array:
        """The value that begins at the last of ``times`` up to tau."""
        return np.array(self.values)[np.searchsorted(np.array(self.times), tau, side="right")]


@dataclass(frozen=True)
class Table(Schedule):
    """Linear interpolation between values at given times; constant before and after them.

    Parameters
    ----------
    times : sequence of k ascending times > 0
    values : sequence of k numbers >= 0
    """

    times: tuple[float, ...] = field()
    values: tuple[float, ...] = field()

    def __post_init__(self) -> None:
        _vectors(self, 0)

    @property
    def breaks(self) -> tuple[float, ...]:
        """The times of the table."""
        return self.times

    def at(self, tau: Array) -> Array:
        """Linear between the two neighbours."""
        return np.asarray(np.interp(tau, self.times, self.values))


@dataclass(frozen=True)
class Scaled(Schedule):
    """A multiple of a schedule or of any function of tau.

    Parameters
    ----------
    schedule : Schedule or function of an array of times
    factor : float
    """

    schedule: Any
    factor: float

    def __post_init__(self) -> None:
        self._convert("factor", positive=True)
        if not callable(self.schedule):
            raise ModelError(f"schedule is {self.schedule!r}; it must be a function of tau")

    @property
    def breaks(self) -> tuple[float, ...]:
        """Those of the schedule."""
        return self.schedule.breaks if isinstance(self.schedule, Schedule) else ()

    def at(self, tau: Array) -> Array:
        """factor times the schedule."""
        return self.factor * np.asarray(self.schedule(tau))


def _vectors(schedule: Piecewise | Table, more: int) -> None:
    """Tuples of floats in place of ``times`` and ``values``, ``more`` values than times."""
    times = floats(schedule.times, "times", ndim=1, empty=False)
    values = floats(schedule.values, "values", ndim=1, least=0.0)
    if not (times[0] > 0.0 and np.all(np.diff(times) > 0.0)):
        raise ModelError(f"times are {times.tolist()}; they must be > 0 and ascending")
    if values.size != times.size + more:
        raise ModelError(
            f"{values.size} values for {times.size} times; {times.size + more} are needed"
        )
    object.__setattr__(schedule, "times", tuple(times.tolist()))
    object.__setattr__(schedule, "values", tuple(values.tolist()))
