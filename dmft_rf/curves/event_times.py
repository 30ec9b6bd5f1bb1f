"""When the score is good, learned and lost: times as roots on curves, each with its error."""

from __future__ import annotations

import math

import numpy as np

from dmft_rf._typing import Array
from dmft_rf.curves.events import Event, Events, gap_above
from dmft_rf.curves.losses import LearningCurves
from dmft_rf.errors import ConvergenceError
from dmft_rf.numerics.estimate import Estimate

# half the final gap must be known to this part of it
_GAP_KNOWN = 1e-3


def usable_interval(events: Events, factor: float) -> tuple[Event, Event]:
    """From when and until when the score error is within ``factor`` of its least value."""
    most = factor * float(events.best.score_error)
    off = factor * float(events.best.error["score_error"])

    def excess(tau: Array) -> Estimate:
        curves = events.at(tau)
        return Estimate(curves.score_error - most, curves.error["score_error"] + off)

    tau, best = events.tau, events.minimum.at
    outside = events.curves.score_error > most
    before = np.flatnonzero(outside & (tau < best))
    after = np.flatnonzero(outside & (tau > best))
    start, end = Event(0.0), Event(math.inf)
    if before.size > 0:
        i = int(before[-1])
        high = min(float(tau[min(i + 1, tau.size - 1)]), best)
        start = events.root(excess, float(tau[i]), high, "the start of the usable interval")
    elif events.untrained > most + off:
        raise events.not_bracketed("the start of the usable interval")
    step = events.clock.step
    if after.size > 0 and (after[0] > 0 or step is not None):
        i = int(after[0])
        low = max(float(tau[i - 1]), best) if i > 0 else best
        end = events.root(excess, low, float(tau[i]), "the end of the usable interval")
        if step is not None:  # the last one inside
            end = end._replace(at=end.at - step)
    elif after.size > 0 or float(events.end.score_error) > most:
        raise events.not_bracketed("the end of the usable interval")
    return start, end


def ratio_time(events: Events, ratio: float) -> Event:
    """When test loss over train loss first reaches ``ratio``; at inf if it never does."""

    def excess(curves: LearningCurves) -> Estimate:
        value = curves.test - ratio * curves.train
        return Estimate(value, curves.error["test"] + ratio * curves.error["train"])

    return events.first_crossing(excess, f"tau_ratio({ratio:g})", may_miss=True)


def generation_time(events: Events, level: float) -> Event:
    """When all but ``level`` of the score error's fall to its minimum has been made."""
    best, least, error = events.least
    start = events.untrained
    target = least + level * (start - least)
    off = (1.0 - level) * error

    def fallen(curves: LearningCurves) -> Estimate:
        return Estimate(target - curves.score_error, curves.error["score_error"] + off)

    if best == 0.0:  # nothing falls
        return Event(0.0)
    # it is reached before the minimum
    until = max(2, int(np.searchsorted(events.tau, best)) + 1)
    curves = None
    if until < events.tau.size and "curves" not in vars(events):
        curves = events.at(events.tau[:until])
    return events.first_crossing(fallen, "tau_gen", curves=curves)


def memorization_time(events: Events) -> Event:
    """When the generalization gap reaches half its final value; at inf if that diverges."""
    half = 0.5 * float(events.end.generalization_gap)
    if math.isinf(half):
        return Event(math.inf)
    known = float(events.end.error["generalization_gap"])
    if not known <= _GAP_KNOWN * half:
        raise ConvergenceError(
            f"tau_mem: half the final generalization gap, {half:.3g}, is known to {known:.1g} "
            f"only with rtol = {events.rtol:g} ({events.parameters})"
        )
    return events.first_crossing(gap_above(half, 0.5 * known), "tau_mem")
