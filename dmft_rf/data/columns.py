"""Columns of a table that are no features: row numbers, times, labels.

One such column changes every eigenvalue, and nothing in its numbers is wrong. They stand first or
last, and differ from the column beside them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dmft_rf.data.readers import advice

_FEWEST = 20  # with fewer rows no column is judged
_HEAD = 10_000  # rows among which numbers are looked for that occur twice
_REPEATED = 5.0  # so many would be expected if they were no row numbers
_MOST_LABELS = 100
_FEW_LABELS = 20
_RARE = 0.2  # a label is at least this often there, in units of an even share


class ColumnWatch:
    """Judges the first and the last column of a table while its rows are read."""

    def __init__(self) -> None:
        self._columns: dict[int, _Column] = {}

    def update(self, block: NDArray[np.float64]) -> None:
        """Take in a block of rows, shape (rows, d)."""
        d = block.shape[1]
        if d < 2:
            return
        for column in {0, 1, d - 2, d - 1}:
            self._columns.setdefault(column, _Column()).update(block[:, column])

    def verdict(self) -> str:
        """What is wrong with a column and what to do about it, "" if nothing is."""
        last = max(self._columns, default=0)
        for column, beside in ((0, 1), (last, last - 1)) if last else ():
            if what := self._columns[column].unlike(self._columns[beside]):
                return f"column {column + 1} {what}: {advice(column + 1)}"
        return ""


class _Column:
    """What is known of a column after the rows that were read so far."""

    def __init__(self) -> None:
        self.count = 0
        self.seen: dict[float, int] = {}  # how often each number is there, while they are few
        self.is_even = True  # whether each number is larger than the one before by the same step
        self.has_integers = True
        self._step = np.nan
        self._last = self._head = np.empty(0)

    def unlike(self, other: _Column) -> str:
        """Why it can be no feature, seen beside the next column; "" if it can be one."""
        if self.count < _FEWEST:
            return ""
        if self.is_even and not other.is_even:
            return "is evenly spaced, as row numbers and times are"
        if self._numbers_rows() and not other._numbers_rows():
            return "holds integers of which none is there twice, as row numbers are"
        alike = self.seen.keys() == other.seen.keys() or other._is_label(_MOST_LABELS)
        # beside numbers that are no integers, they need not be consecutive
        codes = not other.has_integers and self._is_label(_FEW_LABELS, gaps=True)
        if not alike and (codes or self._is_label(_MOST_LABELS)):
            return f"holds {len(self.seen)} integers about equally often, as labels do"
        return ""

    def _is_label(self, most: int, *, gaps: bool = False) -> bool:
        """Whether the numbers are 0 to k - 1 or 1 to k, each of them often enough."""
        k = len(self.seen)
        if not self.has_integers or not 2 <= k <= min(most, self.count // 10):
            return False
        low, high = min(self.seen), max(self.seen)
        consecutive = low in (0.0, 1.0) and high - low == k - 1
        return (consecutive or gaps) and min(self.seen.values()) * k >= _RARE * self.count

    def _numbers_rows(self) -> bool:
        """Whether they are distinct integers, in so small a range that random ones would repeat."""
        n = self._head.size
        if not self.has_integers or n < _FEWEST or np.unique(self._head).size < n:
            return False
        return bool(n * n >= 2.0 * _REPEATED * (np.ptp(self._head) + 1.0))

    def update(self, values: NDArray[np.float64]) -> None:
        """Take in further numbers."""
        self.count += values.size
        self._head = np.concatenate([self._head, values[: _HEAD - self._head.size]])
        if self.is_even:
            steps = np.diff(np.concatenate([self._last, values]))
            if np.isnan(self._step) and steps.size:
                self._step = steps[0]
            with np.errstate(invalid="ignore"):
                off = np.abs(steps - self._step) > 1e-3 * abs(self._step)
            self.is_even = bool(self._step != 0 and not off.any())
            self._last = values[-1:]
        if self.has_integers:
            self.has_integers = bool((values == np.rint(values)).all())
        if self.has_integers and len(self.seen) <= _MOST_LABELS:
            found, counts = np.unique(values, return_counts=True)
            for value, number in zip(found[: _MOST_LABELS + 1], counts, strict=False):
                self.seen[float(value)] = self.seen.get(float(value), 0) + int(number)
