r"""Two-point functions of a pencil: products of two resolvents at all pairs of points.

G_12 = E[L(z_1)^{-1} P L(z_2)^{-1}] obeys G_12 = G_1 (P + S[G_12]) G_2, with the same S as the Dyson
equation, hence linear in the scalars x of G_12: (1 - M(z_1, z_2)) x = scalars of G_1 P G_2. This is
the doubled pencil of arXiv:2110.11805 without ever writing it. The sums over cells are matrix
products over all pairs of points at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dmft_rf._typing import Array, Complex

if TYPE_CHECKING:
    from dmft_rf.pencil.system import Arrays


@dataclass(frozen=True)
class Element:
    """Element (i, j) of a deterministic matrix on the cells of a space, ``values`` (n_cells,)."""

    cells: slice
    i: int
    j: int
    values: Array


def two_point(
    arrays: Arrays, G_1: Complex, G_2: Complex, inner: list[Element], outer: list[Element]
) -> Complex:
    """(1/d) Tr[Q L(z_1)^{-1} P L(z_2)^{-1}] for all pairs of points.

    Parameters
    ----------
    arrays : Arrays
    G_1, G_2 : complex arrays, shape (n_1, n_cells, K, K) and (n_2, n_cells, K, K)
        Solutions at the points.
    inner : list of Element
        P.
    outer : list of Element
        What is read: Q at the transposed places, with the masses of the cells in its values.

    Returns
    -------
    complex array, shape (n_1, n_2)
    """
    n = len(arrays.reads)
    shape = (G_1.shape[0], G_2.shape[0])

    def chain(place: tuple[int, int], weight: Array, cells: slice, k: int, m: int) -> Complex:
        """Sum over cells of weight (G_1)_ki (G_2)_jm for the element ``place`` = (i, j)."""
        i, j = place
        product: Complex = (G_1[:, cells, k, i] * weight) @ G_2[:, cells, j, m].T
        return product

    matrix = np.broadcast_to(np.eye(n), (*shape, n, n)).astype(np.complex128)
    right = np.zeros((*shape, n), np.complex128)
    for first, end, _, term, last_term, unknown, last_unknown in arrays.cells:
        cells = slice(first, end)
        for u in range(unknown, last_unknown):
            k, m = arrays.reads[u]
            weight = arrays.r[u, cells]
            for t in range(term, last_term):
                i, j, v = arrays.terms[t]
                matrix[..., u, v] -= chain((i, j), weight * arrays.h[t, cells], cells, k, m)
            for e in inner:
                if e.cells == cells:
                    right[..., u] += chain((e.i, e.j), weight * e.values, cells, k, m)
    x = np.linalg.solve(matrix, right[..., None])[..., 0]
    out = np.zeros(shape, np.complex128)
    for first, end, _, term, last_term, _, _ in arrays.cells:
        cells = slice(first, end)
        for q in outer:
            if q.cells != cells:
                continue
            for e in inner:
                if e.cells == cells:
                    out += chain((e.i, e.j), q.values * e.values, cells, q.i, q.j)
            for t in range(term, last_term):
                i, j, v = arrays.terms[t]
                out += x[..., v] * chain((i, j), q.values * arrays.h[t, cells], cells, q.i, q.j)
    return out
