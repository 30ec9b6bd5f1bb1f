"""Curves at times between those at which they are known, as polynomials in log tau."""

from __future__ import annotations

import numpy as np

from dmft_rf._typing import Array
from dmft_rf.errors import ModelError
from dmft_rf.numerics.between import POINTS, between
from dmft_rf.numerics.estimate import Estimate

# Known times may be this factor apart: curves are sums of e^{-x tau}, which polynomials through
# points that lie farther apart miss by more than these tell.
_APART = 1.5
# times handled at once: arrays of fourteen times as many numbers stay in a processor's caches
_BLOCK = 4096


def interpolated(tau: Array, curves: list[Estimate], at: Array) -> list[Estimate]:
    """The curves at the times ``at`` from those at the times ``tau``, both of any shape.

    0 and inf, and every known time, keep their values.

    Raises
    ------
    ModelError
        If a time lies beyond the known ones, or these are too few or too far apart.
    """
    known, where = np.unique(tau, return_index=True)
    held = [Estimate(one.value.ravel()[where], one.error.ravel()[where]) for one in curves]
    moving = np.isfinite(known) & (known > 0.0)
    flat = at.ravel()
    place = np.minimum(np.searchsorted(known, flat), known.size - 1) if known.size else None
    given = np.zeros(flat.size, np.bool_) if place is None else known[place] == flat
    steps = known[moving]
    if steps.size < POINTS:
        beyond, said = ~given, f"fewer than the {POINTS} that a polynomial goes through"
    else:
        beyond = ~given & ~((flat > steps[0]) & (flat < steps[-1]))
        said = f"from {steps[0]:g} to {steps[-1]:g}"
    if beyond.any():
        raise ModelError(
            f"tau holds {flat[beyond][0]:g}; the curves are known at {steps.size} finite times "
            f"> 0, {said}"
        )
    if not given.all() and (wide := np.flatnonzero(steps[1:] > _APART * steps[:-1])).size:
        one, next_one = steps[wide[0] : wide[0] + 2]
        raise ModelError(
            f"the curves are known at {one:g} and {next_one:g} and at no time between; to be "
            f"interpolated they must be known at times that are at most a factor {_APART:g} apart"
        )
    found = [Estimate(np.empty(flat.size), np.empty(flat.size)) for _ in held]
    if place is not None:
        for one, out in zip(held, found, strict=True):
            out.value[given], out.error[given] = one.value[place[given]], one.error[place[given]]
    new, few = np.flatnonzero(~given), [Estimate(v.value[moving], v.error[moving]) for v in held]
    for i in range(0, new.size, _BLOCK):
        part = new[i : i + _BLOCK]
        for one, out in zip(between(np.log(steps), few, np.log(flat[part])), found, strict=True):
            out.value[part], out.error[part] = one.value, one.error
    return [Estimate(one.value.reshape(at.shape), one.error.reshape(at.shape)) for one in found]
