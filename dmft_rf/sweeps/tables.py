"""The values of all points of a plan, and how a finished point stands in a ledger."""

from __future__ import annotations

import math
import os
import struct
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dmft_rf.errors import ModelError
from dmft_rf.sweeps.plan import Plan
from dmft_rf.sweeps.quantities import unpacked

Array = NDArray[np.float64]
Shapes: TypeAlias = dict[str, tuple[int, ...]]
#: index of a point, and its values or, in their place, why there are none
Result: TypeAlias = tuple[int, Array | None, str]

MISSING, DONE, FAILED = 0, 1, 2

_LENGTH = struct.Struct("<I")


class Table:
    """Values of all points of a plan.

    Attributes
    ----------
    rows : array (size, width)
        Packed values, nan where a point is missing or failed.
    status : uint8 array (size,)
        MISSING, DONE or FAILED.
    reasons : dict
        Why, by index of a failed point.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        self.shapes: Shapes = plan.request.shapes(plan.most_atoms)
        width = sum(math.prod(shape) for shape in self.shapes.values())
        size = 8 * plan.size * width
        if size > _memory():
            raise ModelError(
                f"the sweep has {plan.size} points of {width} numbers, {1e-9 * size:.3g} GB, more "
                "than this machine's memory: split it, or ask for less at each point"
            )
        self.rows: Array = np.full((plan.size, width), np.nan)
        self.status = np.zeros(plan.size, dtype=np.uint8)
        self.reasons: dict[int, str] = {}

    def put(self, result: Result) -> None:
        """Enter a finished point."""
        index, values, reason = result
        if values is None:
            self.reasons[index] = reason
            self.status[index] = FAILED
        else:
            self.rows[index] = values
            self.status[index] = DONE

    @property
    def missing(self) -> int:
        """Number of points that are neither done nor failed."""
        return int(np.count_nonzero(self.status == MISSING))

    def quantities(self) -> dict[str, Array]:
        """Arrays by name, shaped like the plan and then like the quantity."""
        shape = self.plan.shape
        return {
            name: array.reshape(shape + array.shape[1:])
            for name, array in unpacked(self.rows, self.shapes).items()
        }

    def record(self, result: Result) -> bytes:
        """A finished point as bytes: length of the reason, the reason in UTF-8, the values."""
        _, values, reason = result
        text = reason.encode()
        numbers = b"" if values is None else np.ascontiguousarray(values, dtype="<f8").tobytes()
        return _LENGTH.pack(len(text)) + text + numbers

    def take(self, index: int, record: bytes) -> None:
        """Enter a point that a ledger holds, if it is one of this plan."""
        (length,) = _LENGTH.unpack_from(record)
        end = _LENGTH.size + length
        values = np.frombuffer(record, dtype="<f8", offset=end).astype(np.float64)
        if 0 <= index < self.plan.size and (length or values.size == self.rows.shape[1]):
            self.put((index, None if length else values, record[_LENGTH.size : end].decode()))


def _memory() -> float:
    """Bytes of memory of this machine; inf if it does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return math.inf
