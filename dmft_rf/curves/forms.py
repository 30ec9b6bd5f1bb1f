"""Arrays at nodes: two-point functions as real matrix products."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array, Complex


def parts(rows: NDArray[Any]) -> Array:
    """Complex rows (n, N) as real ones (n, 2 N), real and imaginary parts in turns."""
    return np.ascontiguousarray(rows, dtype=np.complex128).view(np.float64)


def real_of_product(columns: Complex) -> Array:
    """K (2 N, m) with Re(rows @ columns) = parts(rows) @ K for columns (N, m)."""
    return np.stack([columns.real, -columns.imag], axis=1).reshape(-1, columns.shape[1])


@dataclass(frozen=True, eq=False)
class Form(Frozen):
    """A two-point function on pairs of nodes, ready to be applied to rows u.

    Attributes
    ----------
    real : (2 N, 2 N) array
        u -> u P + conj(u) M^T for P at (z_i, z_j) and M at (z_i, conj z_j), as one real product of
        rows (Re u_1, Im u_1, Re u_2, ...).
    size : (N, N) array
        The sizes of what P and M are made of.
    """

    real: Array
    size: Array

    @classmethod
    def of(cls, plain: Complex, mixed: Complex, size: Array) -> Form:
        """From the values at (z_i, z_j) and (z_i, conj z_j), and their sizes, each (N, N)."""
        n = plain.shape[0]
        even, odd = plain + mixed.T, plain - mixed.T
        real = np.empty((n, 2, n, 2))
        real[:, 0, :, 0], real[:, 0, :, 1] = even.real, even.imag
        real[:, 1, :, 0], real[:, 1, :, 1] = -odd.imag, odd.real
        return cls(real.reshape(2 * n, 2 * n), size)

    @classmethod
    def combined(cls, terms: Iterable[tuple[float, Form]]) -> Form:
        """The sum of forms with factors >= 0."""
        (factor, first), *rest = terms
        real, size = factor * first.real, factor * first.size
        for factor, form in rest:
            real, size = real + factor * form.real, size + factor * form.size
        return cls(real, size)


def lost(x: Complex, y: Complex) -> Array:
    """(|x| + |y|)/|x - y| of all pairs, what a difference loses; 1 where they coincide."""
    gap = np.abs(np.subtract.outer(x, y))
    whole = np.add.outer(np.abs(x), np.abs(y))
    return whole / np.where(gap == 0.0, whole, gap)
