"""Columns of a table that are no features: row numbers, times, labels.

One such column changes every eigenvalue, and nothing in its numbers is wrong. They stand first or
last, and differ from the column beside them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ._readers import advice

_FEWEST = 20  # rows from which on something is said
_MOST_LABELS = 100
_RARE = 0.2  # a label is at least this often there, in units of an even share


class ColumnWatch:
    """Looks at the outer columns of blocks of rows that pass by."""

    def __init__(self) -> None:
        self._columns: dict[int, _Column] = {}

    def update(self, block: NDArray[np.float64]) -> None:
        """Look at a block, shape (rows, d)."""
        d = block.shape[1]
        if d < 2:
            return
        for column in {0, 1, d - 2, d - 1}:
            self._columns.setdefault(column, _Column()).update(block[:, column])

    def verdict(self) -> str:
        """What is wrong with a column and what to do about it, "" if nothing is."""
        last = max(self._columns, default=0)
        for column, beside in ((0, 1), (last, last - 1)) if last else ():
            mine, other = self._columns[column], self._columns[beside]
            if mine.count < _FEWEST:
                continue
            if mine.is_even and not other.is_even:
                what = "is evenly spaced, as row numbers and times are"
            elif mine.is_label and not other.is_label and mine.seen.keys() != other.seen.keys():
                what = f"holds {len(mine.seen)} integers about equally often, as labels do"
            else:
                continue
            return f"column {column + 1} {what}: {advice(column + 1)}"
        return ""


class _Column:
    """What is known of a column of which ever more is seen."""

    def __init__(self) -> None:
        self.count = 0
        self.seen: dict[float, int] = {}
        self._step = np.nan
        self._last: NDArray[np.float64] = np.empty(0)
        self._even = self._integers = True

    @property
    def is_even(self) -> bool:
        """Whether each number is larger (or smaller) than the one before by the same step."""
        return self._even and self.count > 2

    @property
    def is_label(self) -> bool:
        """Whether the numbers are 0 to k - 1 or 1 to k, each of them often enough."""
        k = len(self.seen)
        if not self._integers or not 2 <= k <= min(_MOST_LABELS, self.count // 10):
            return False
        low, high = min(self.seen), max(self.seen)
        return (
            low in (0.0, 1.0)
            and high - low == k - 1
            and min(self.seen.values()) * k >= _RARE * self.count
        )

    def update(self, values: NDArray[np.float64]) -> None:
        """Look at further numbers."""
        self.count += values.size
        if self._even:
            row = np.concatenate([self._last, values])
            steps = np.diff(row)
            if np.isnan(self._step) and steps.size:
                self._step = steps[0]
            with np.errstate(invalid="ignore"):
                off = np.abs(steps - self._step) > 1e-3 * abs(self._step)
            self._even = self._step != 0 and not off.any()
            self._last = values[-1:]
        if self._integers:
            found, counts = np.unique(values, return_counts=True)
            self._integers = bool(found.size <= _MOST_LABELS and (found == np.rint(found)).all())
            for value, number in zip(found.tolist(), counts.tolist(), strict=True):
                if not self._integers:
                    break
                self.seen[value] = self.seen.get(value, 0) + number
            self._integers &= len(self.seen) <= _MOST_LABELS
