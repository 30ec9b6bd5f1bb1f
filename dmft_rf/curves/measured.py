"""Measured learning curves: columns of a caller's, checked, as rows of values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._convert import as_float, floats, shown
from dmft_rf._frozen import Frozen
from dmft_rf._show import Shown
from dmft_rf._typing import Array
from dmft_rf.curves.losses import LearningCurves
from dmft_rf.errors import ModelError

CLOCKS = ("tau", "steps", "step")
FITTED = ("train", "test")


@dataclass(frozen=True, eq=False)
class Measured(Frozen):
    """What was measured, one row for each value.

    Attributes
    ----------
    clock : (n,) array
        Times or steps.
    curve : (n,) array of str
        "train" or "test".
    loss : (n,) array
    deviation : (n,) array
        Standard error of each loss; the loss itself where none was given.
    known : bool
        Whether standard errors were given.
    steps : bool
        Whether the clock counts steps.
    """

    clock: Array
    curve: NDArray[np.str_]
    loss: Array
    deviation: Array
    known: bool
    steps: bool


def measured(curves: Any) -> Measured:
    """The values that a mapping of columns, a data frame or a result holds.

    Raises ModelError if a column is missing, of another length, or holds what is no loss.
    """
    columns = _columns(curves)
    clocks = [name for name in CLOCKS if name in columns]
    there = [name for name in FITTED if name in columns]
    if len(clocks) != 1 or not there:
        names = ", ".join(map(str, columns))
        raise ModelError(
            f"curves has the columns {shown(names)}; it must have tau or steps, and train or test, "
            "with train_error and test_error where standard errors are known"
        )
    clock = floats(columns[clocks[0]], clocks[0], ndim=1, least=0.0, infinite=True)
    with_error = [f"{name}_error" in columns for name in there]
    if any(with_error) and not all(with_error):
        raise ModelError(
            "curves has standard errors of one loss only; give them of both, or of none"
        )
    parts: list[tuple[Any, ...]] = []
    for name in there:
        loss = _losses(columns[name], name, clock.size)
        error = loss
        if with_error[0]:
            error = _losses(columns[f"{name}_error"], f"{name}_error", clock.size)
        use = np.isfinite(loss)
        if not (error[use] > 0.0).all():
            bad = int(np.flatnonzero(use & ~(error > 0.0))[0])
            what = f"{name}_error" if with_error[0] else name
            raise ModelError(f"{what} must be > 0: entry {bad} is {float(error[bad])!r}")
        parts.append((clock[use], np.full(use.sum(), name), loss[use], error[use]))
    times, curve, losses, deviation = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Measured(times, curve, losses, deviation, with_error[0], clocks[0] != "tau")


def _columns(curves: Any) -> dict[Any, Any]:
    if isinstance(curves, LearningCurves):  # exact: their errors are no noise
        return {name: getattr(curves, name).ravel() for name in ("tau", *FITTED)}
    if isinstance(curves, Shown):
        return dict(curves._table().flat())
    if isinstance(curves, Mapping) or hasattr(curves, "to_dict"):
        return dict(curves.items())
    raise ModelError(
        f"curves is {shown(curves)}; it must hold columns, as "
        '{"steps": [...], "train": [...], "test": [...]} or a data frame'
    )


def _losses(values: Any, name: str, size: int) -> Array:
    """Losses as floats; NaN and None where nothing was measured."""
    entries = values.tolist() if hasattr(values, "tolist") else values
    try:
        found = [
            math.nan if entry is None or entry is math.nan or entry != entry else as_float(entry)
            for entry in entries
        ]
    except TypeError:
        found = [None]
    if any(entry is None for entry in found) or len(found) != size:
        raise ModelError(
            f"{name} is {shown(values)}; it must be {size} numbers, one for each time, NaN where "
            "nothing was measured"
        )
    array = np.array(found, dtype=np.float64)
    if np.isinf(array).any():
        raise ModelError(f"{name} holds infinity: entry {int(np.argmax(np.isinf(array)))}")
    return array
