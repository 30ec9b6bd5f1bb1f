"""What is read off gradient flow on a model that compiled calls solve: values and dates, in bare
arrays.

A sweep asks thousands of models for a few numbers each. `FlowEvents` finds them as `Events` does,
without the objects that a `Solution` consists of, which take longer to make than to compute. What
compiled calls do not take, or do not date (the slope of a curve), raises `Unusual`: the route by
``solve`` answers then, or says why there is no answer.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dmft_rf._arithmetic import lazy
from dmft_rf._typing import Array
from dmft_rf.curves.event_times import generation_time
from dmft_rf.curves.events import LATE, Events
from dmft_rf.curves.fused import Flow, Statement
from dmft_rf.errors import ConvergenceError
from dmft_rf.numerics.estimate import Estimate
from dmft_rf.rules.flow import GradientFlow


class Unusual(Exception):
    """Compiled calls do not take this, or do not reach the accuracy."""


class FlowCurves(NamedTuple):
    """Losses at the times ``tau``; ``found`` holds values and errors, (2, 5, ...)."""

    tau: Array
    found: Array

    @property
    def train(self) -> Array:
        """L_train."""
        return np.asarray(self.found[0, 0])

    @property
    def score_error(self) -> Array:
        """E_score."""
        return np.asarray(self.found[0, 1])

    @property
    def test(self) -> Array:
        """L_test."""
        return np.asarray(self.found[0, 2])

    @property
    def generalization_gap(self) -> Array:
        """L_test - L_train."""
        return self.test - self.train

    @property
    def error(self) -> dict[str, Array]:
        """Estimated absolute errors by name."""
        train, score, test = self.found[1, :3]
        return {
            "train": train,
            "score_error": score,
            "test": test,
            "generalization_gap": train + test,
        }


class _Always(NamedTuple):
    """The clock of gradient flow: it has curves at every time."""

    rule: GradientFlow = GradientFlow()
    plain: bool = True
    step: None = None


_CLOCK = _Always()


class FlowEvents(Events):
    """Events of gradient flow from A = 0 on one model with exactly averaged noise.

    Parameters
    ----------
    stated : Statement or None
        Of the model; None where compiled calls do not take it.
    psi_p, psi_n : float
    rtol : float
    tau : array, optional
        Ascending times of curves that are wanted anyway; events are looked for between them where
        they are dense enough.

    Raises
    ------
    Unusual
        If compiled calls do not solve this model. All that is read may raise it as well, and
        ConvergenceError.
    """

    _content = ("flow", "rtol")

    def __init__(
        self,
        stated: Statement | None,
        psi_p: float,
        psi_n: float,
        rtol: float,
        tau: NDArray[np.float64] | None = None,
    ):
        found = None if stated is None else stated.flow(psi_p, psi_n, rtol, tau)
        if found is None:
            raise Unusual
        self.flow: Flow
        self.flow, self.support, curves = found
        self.rtol = rtol
        self.rate = self.flow.rate
        self.clock = _CLOCK  # type: ignore[assignment]
        self.wanted = None if tau is None else FlowCurves(tau, curves)
        self._known = self.wanted  # type: ignore[assignment]

    def at(self, tau: ArrayLike) -> FlowCurves:  # type: ignore[override]
        """The curves at the times ``tau``."""
        times = np.asarray(tau, dtype=float)
        found = self.flow.curves(times.ravel(), 0.0)
        if found is None or not found[1] <= self.rtol:
            raise Unusual
        return FlowCurves(times, found[0].reshape(2, 5, *times.shape))

    @lazy
    def tau(self) -> Array:
        """Times from before anything turns to after the slowest mode has stopped."""
        return self._between(self._before_any_turn, LATE / (self.rate * self.support[0]))

    @lazy
    def _to_the_end(self) -> FlowCurves:
        return self.at(np.append(self.tau, math.inf))

    @lazy
    def curves(self) -> FlowCurves:  # type: ignore[override]
        """The curves at the times `tau`."""
        both = self._to_the_end
        return FlowCurves(both.tau[:-1], both.found[..., :-1])

    @lazy
    def end(self) -> FlowCurves:  # type: ignore[override]
        """The curves at tau = inf."""
        if "_to_the_end" not in vars(self):
            return self.at(math.inf)
        both = self._to_the_end
        return FlowCurves(both.tau[-1], both.found[..., -1])

    @property
    def untrained(self) -> float:
        """The score error at tau = 0."""
        return self.flow.stated.untrained

    @property
    def _covering(self) -> FlowCurves:  # type: ignore[override]
        wanted = self.wanted
        return self.curves if wanted is None or not self._dense(self._before_any_turn) else wanted

    def _slope(self, tau: Array) -> Estimate:
        raise Unusual

    @property
    def parameters(self) -> str:
        """Nothing: the route by ``solve`` says what cannot be found."""
        return ""

    @property
    def unit_gap(self) -> float:
        """1 - L_floor, what the exact score gains on no network."""
        return self.flow.stated.Delta_t * self.untrained

    def relative_gap(self, tau: float) -> float:
        """The generalization gap at ``tau`` over `unit_gap`."""
        at = self.end if math.isinf(tau) else self.at(tau)
        return float(at.generalization_gap) / self.unit_gap

    def tau_gen(self, level: float) -> float:
        """As `generation_time`."""
        return generation_time(self, level).at


NOT_HERE = (Unusual, ConvergenceError)
"""What says that the route by ``solve`` has to be taken."""
