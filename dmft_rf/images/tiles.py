"""Matrices at many points, kept so that the traces of all their products are matrix products.

Tr A B is the sum of the elements of A times those of B^T. A tile of A beside the tile of B^T across
the diagonal, each as one row, makes that a product of rows for all A and B at once; what the two
tiles give in the other order is the same transposed.
"""

from __future__ import annotations

import math
import mmap
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._typing import Array

# edge of a tile: longer rows lose more to rounding in single precision, shorter ones are slow
_EDGE = 128
# bytes of matrices that are held in memory; more are held in a temporary file
_IN_MEMORY = 2**29


class Tiles:
    """The same number of real matrices (p, p) at each of several points.

    Parameters
    ----------
    points, members, p : int
    kind : dtype
        float32 or float64.
    """

    def __init__(self, points: int, members: int, p: int, kind: np.dtype[Any]):
        self._rows = points, members
        cuts = range(0, p, _EDGE)
        self._parts = [slice(start, min(start + _EDGE, p)) for start in cuts]
        sizes = [_length(a) * _length(b) for a, b in self._pairs()]
        self._ends = np.cumsum([0, *sizes])
        self._held = _space((2 * points * members * int(self._ends[-1]),), kind)

    @property
    def single(self) -> bool:
        """Whether they are in single precision."""
        return self._held.dtype == np.float32

    def put(self, i: int, X: NDArray[Any]) -> Array:
        """Keep the matrices X (members, p, p) of point i; Tr X_a X_b of all, (members, members)."""
        members = X.shape[0]
        total = np.zeros((members, members))
        for (across, down), (left, right) in zip(self._pairs(), self._tiles(), strict=True):
            left[i] = X[:, across, down].reshape(members, -1)
            right[i] = X[:, down, across].swapaxes(1, 2).reshape(members, -1)
            _add(total, left[i], right[i], across == down)
        self._put_away()
        return total

    def traces(self) -> Array:
        """Tr X_a(i) X_b(j), shape (points, members, points, members)."""
        points, members = self._rows
        rows = points * members
        total = np.zeros((rows, rows))
        for (across, down), (left, right) in zip(self._pairs(), self._tiles(), strict=True):
            _add(total, left.reshape(rows, -1), right.reshape(rows, -1), across == down)
            self._put_away()
        return total.reshape(points, members, points, members)

    def _pairs(self) -> Iterator[tuple[slice, slice]]:
        """Tiles above the diagonal and on it, by their rows and columns."""
        for k, across in enumerate(self._parts):
            for down in self._parts[k:]:
                yield across, down

    def _tiles(self) -> Iterator[NDArray[Any]]:
        """Of each pair the tiles and those across, transposed: (2, points, members, numbers)."""
        each = 2 * math.prod(self._rows)
        for start, stop in zip(self._ends[:-1], self._ends[1:], strict=True):
            yield self._held[each * start : each * stop].reshape(2, *self._rows, stop - start)

    def _put_away(self) -> None:
        """Free the memory of matrices that are held in a file; they are read from it again."""
        pages: Any = self._held.base
        if isinstance(pages, mmap.mmap) and hasattr(pages, "madvise"):
            pages.madvise(mmap.MADV_DONTNEED)


def _length(part: slice) -> int:
    size: int = part.stop - part.start
    return size


def _add(total: Array, left: NDArray[Any], right: NDArray[Any], same: bool) -> None:
    found = left @ right.T
    total += found if same else found + found.T


def _space(shape: tuple[int, ...], kind: np.dtype[Any]) -> NDArray[Any]:
    """Room for numbers: in memory, or in a file without a name where they are too many."""
    if math.prod(shape) * kind.itemsize <= _IN_MEMORY:
        return np.empty(shape, dtype=kind)
    with tempfile.TemporaryFile(prefix="dmft_rf") as file:
        return np.memmap(file, dtype=kind, mode="w+", shape=shape)
