"""One point of a sweep: the quantities that were asked for, as one array of floats.

`DESCRIPTIONS` says what a name means. A quantity that does not exist at a point (the lower
edge of the data's bulks while bulks are merged) is nan; one that could not be computed makes the
point a failure, with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from dmft_rf._arithmetic import ieee, lazy
from dmft_rf._typing import Array
from dmft_rf.curves.flow_events import NOT_HERE, FlowEvents
from dmft_rf.curves.fused import Statement
from dmft_rf.curves.losses import LearningCurves
from dmft_rf.curves.solve import Solution, solve
from dmft_rf.curves.thresholds import n_star, n_window, relative_gap
from dmft_rf.curves.timescales import Timescales
from dmft_rf.model.score_model import ScoreModel
from dmft_rf.rules.flow import GradientFlow
from dmft_rf.rules.stochastic import TrainingRule
from dmft_rf.spectra.spectrum import Spectrum, spectrum
from dmft_rf.sweeps.request import CURVES, DESCRIPTIONS, LIMITS, SPECTRAL, TIMES, Request

__all__ = ["DESCRIPTIONS", "TIMES", "Request", "compute"]


@ieee
def compute(model: ScoreModel, rule: TrainingRule, request: Request) -> dict[str, Array]:
    """The quantities of one point by name, each an array.

    Returns
    -------
    dict of str to array
        Named as in ``request``.

    Raises
    ------
    ModelError, ConvergenceError
        As ``solve``, ``learning_curves`` and ``timescales``.
    """
    point = _Point(model, rule, request)
    return {name: np.asarray(point.value(name), dtype=float) for name in request.quantities}


def packed(values: dict[str, Array], shapes: dict[str, tuple[int, ...]]) -> Array:
    """All values in one row, each padded with nan to its shape."""
    out = []
    for name, shape in shapes.items():
        full = np.full(shape, np.nan)
        full[tuple(slice(n) for n in values[name].shape)] = values[name]
        out.append(full.ravel())
    return np.concatenate(out)


def unpacked(rows: Array, shapes: dict[str, tuple[int, ...]]) -> dict[str, Array]:
    """The inverse of `packed` for an array of rows, shape (n, width)."""
    out, start = {}, 0
    for name, shape in shapes.items():
        size = math.prod(shape)
        out[name] = rows[:, start : start + size].reshape(rows.shape[0], *shape)
        start += size
    return out


class _Point:
    """Quantities of one point; what several of them need is computed once."""

    def __init__(self, model: ScoreModel, rule: TrainingRule, request: Request):
        self.model, self.rule, self.request = model, rule, request

    def value(self, name: str) -> Array | float:
        if name in CURVES:
            values: Array = getattr(self._curves, name)
            return values
        if name in SPECTRAL:
            return _SPECTRUM[name](self._law)
        if name in self._phases:
            return self._phases[name]()
        if name == "final_train" and self.rule == GradientFlow():
            return self._solution.train_limit
        if name in LIMITS:
            return float(getattr(self._times.end, name.removeprefix("final_")))
        return self._times.value(name)

    @lazy
    def _phases(self) -> dict[str, Callable[[], float]]:
        request, model = self.request, self.model
        return {
            "gap_final": lambda: self._times.relative_gap,
            "gap_window": lambda: relative_gap(
                self._solution, request.multiple * self._times.tau_gen
            ),
            "n_star": lambda: n_star(model, request.gap_level, rtol=request.rtol),
            "n_window": lambda: n_window(
                model, request.gap_level, request.multiple, level=request.level, rtol=request.rtol
            ),
        }

    @lazy
    def _law(self) -> Spectrum:
        solved = any(name not in SPECTRAL for name in self.request.quantities)
        return self._solution.spectrum if solved else spectrum(self.model)

    @lazy
    def _solution(self) -> Solution:
        return solve(self.model, self.request.rtol)

    @lazy
    def _times(self) -> Timescales:
        plain = self.rule == GradientFlow() and not CURVES.keys().isdisjoint(
            self.request.quantities
        )
        known = self._curves if plain else None
        levels = self.request.level, self.request.gap_level
        return Timescales(self._solution, *levels, known, self.rule)

    @lazy
    def _curves(self) -> LearningCurves:
        return self._solution.learning_curves(np.array(self.request.tau), self.rule)


def _known(name: str, events: FlowEvents) -> Array:
    values: Array = getattr(events.wanted, name)
    return values


_SPECTRUM: dict[str, Callable[[Spectrum], Array | float]] = {
    "edges": lambda law: law.edges,
    "edge_low": lambda law: float(law.edges[0, 0]),
    "edge_high": lambda law: float(law.edges[-1, 1]),
    "bulks": lambda law: float(len(law.edges)),
    "atom": lambda law: float(law.atoms[:, 1].sum()),
}


# what compiled calls give of gradient flow; times are those of `Timescales`, to the last bit
_QUICK: dict[str, Callable[[FlowEvents], Array | float]] = {
    **{name: partial(_known, name) for name in CURVES},
    "score_error_min": lambda events: events.least.value,
    "gap_final": lambda events: events.relative_gap(math.inf),
}


def is_quick(request: Request) -> bool:
    """Whether compiled calls give all that is asked for, of gradient flow on what they take."""
    return _QUICK.keys() >= {*request.quantities}


@ieee
def quick_values(
    stated: Statement | None,
    psi_p: float,
    psi_n: float,
    request: Request,
    shapes: dict[str, tuple[int, ...]],
) -> Array | None:
    """As `packed_values` where `is_quick`; None where the model needs the other route."""
    try:
        tau = np.array(request.tau) if not CURVES.keys().isdisjoint(request.quantities) else None
        events = FlowEvents(stated, psi_p, psi_n, request.rtol, tau)
        found = {name: np.asarray(_QUICK[name](events)) for name in request.quantities}
    except NOT_HERE:
        return None
    return packed(found, shapes)


@ieee
def packed_values(
    model: ScoreModel, rule: TrainingRule, request: Request, shapes: dict[str, tuple[int, ...]]
) -> Array:
    """All values of one point in one row; raises what `compute` raises."""
    return packed(compute(model, rule, request), shapes)
