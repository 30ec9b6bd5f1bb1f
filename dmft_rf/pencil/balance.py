r"""The natural unit of a pencil's eigenvalues, and of each of its blocks.

Nothing that is solved or compared may depend on the units that the user has chosen: c X in place of
X must give every number times its power of c. Before anything is solved, block i of the rows is
divided by 2^u_i, block j of the columns by 2^v_j, and z by 2^t, so that no block of L has a norm
above 1 and so many have the norm 1 that det L contains their product. t is the largest z at which
two products of norms in det L are equally large, the largest tropical eigenvalue of the pencil,
and has the size of the largest eigenvalues. Powers of 2 are exact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array

if TYPE_CHECKING:
    from dmft_rf.pencil.system import Arrays


# logarithm of a norm that is 0, and of a z that is larger or smaller than any number
_NEVER, _FAR = -1e7, 1e5


@dataclass(frozen=True)
class _Product:
    """The largest product of norms in det L at one z: 2^rest z^degree."""

    columns: NDArray[np.int64]
    degree: int
    rest: float


def _largest(fixed: Array, slope: Array, t: float) -> _Product:
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(np.maximum(fixed, slope + t), maximize=True)
    a, b = fixed[rows, columns], slope[rows, columns]
    with_z = b + t >= a
    return _Product(columns, int(with_z.sum()), float(np.where(with_z, b, a).sum()))


def units(fixed: Array, slope: Array) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
    """The exponents t, u_i, v_j of the units.

    Parameters
    ----------
    fixed, slope : float arrays, shape (n, n)
        Norm of every block of L at z = 0, and of what multiplies z in it.

    Returns
    -------
    t : int
    u, v : int arrays, shape (n,)
        All 0 where L is singular at every z.
    """
    with np.errstate(divide="ignore"):
        fixed, slope = (np.maximum(np.log2(a), _NEVER) for a in (fixed, slope))
    n = len(fixed)
    last, first = _largest(fixed, slope, _FAR), _largest(fixed, slope, -_FAR)
    if last.rest < 0.5 * _NEVER:
        return 0, np.zeros(n, np.int64), np.zeros(n, np.int64)
    t = 0.0
    while first.degree < last.degree:
        t = (first.rest - last.rest) / (last.degree - first.degree)
        here = _largest(fixed, slope, t)
        # the products are powers of z: lines in the logarithm, and the largest of all is convex
        if here.degree <= first.degree or here.degree >= last.degree:
            break
        first = here
    size = np.maximum(fixed, slope + t)
    columns = _largest(fixed, slope, t).columns
    matched = size[np.arange(n), columns]
    # u_i + v_j >= size_ij, with equality where matched: longest paths, both ways
    most, least = np.zeros(n), np.zeros(n)
    for _ in range(n):
        most = np.maximum(most, (most[columns, None] + size - matched[:, None]).max(axis=0))
        lower = (least - size + matched[:, None]).min(axis=1)
        least[columns] = np.minimum(least[columns], lower)
    v = 0.5 * (most + least)
    u = matched - v[columns]
    return round(t), np.rint(u).astype(np.int64), np.rint(v).astype(np.int64)


def in_units(A: NDArray[Any]) -> tuple[NDArray[Any], Array, Array]:
    """A with its rows and columns in natural units, and what both have been multiplied by."""
    _, u, v = units(np.abs(A), np.zeros(A.shape))
    rows, columns = np.ldexp(1.0, -u), np.ldexp(1.0, -v)
    return A * rows[:, None] * columns, rows, columns


def inverse(A: NDArray[Any]) -> NDArray[Any]:
    """Inverse of a matrix whose rows and columns may have any units."""
    natural, rows, columns = in_units(A)
    inverted: NDArray[Any] = np.linalg.inv(natural) * columns[:, None] * rows
    return inverted


@dataclass(frozen=True, eq=False)
class Balanced(Frozen):
    """A pencil in its natural units.

    Attributes
    ----------
    arrays : Arrays
    unit : float
        What its z is to be multiplied by.
    scalars : float array, shape (n_unknowns,)
        What its scalars are to be multiplied by.
    left, right : int arrays, shape (n_cells, K)
        G is its own times 2^(right_k + left_l) in the place (k, l).
    """

    arrays: Arrays
    unit: float
    scalars: Array
    left: NDArray[np.int64]
    right: NDArray[np.int64]

    def sized(self, cells: slice, k: int, l: int) -> float:  # noqa: E741 - as in the theory
        """What G at (k, l) in these cells is to be multiplied by."""
        return float(np.ldexp(1.0, int(self.right[cells.start, k] + self.left[cells.start, l])))


def balanced(arrays: Arrays, random: Array) -> Balanced:
    """The pencil of these arrays in its natural units.

    Parameters
    ----------
    arrays : Arrays
    random : float array, shape (n, n)
        Norms of the random blocks, in the order of the cells.
    """
    a = arrays
    fixed, slope = random.copy(), np.zeros_like(random)
    first = 0
    places = []
    for start, end, size, *_ in a.cells:
        mine = slice(first, first + size)
        places.append(mine)
        for norms, blocks in ((fixed, a.A0), (slope, a.A1)):
            here = np.abs(blocks[start:end, :size, :size]).max(axis=0)
            norms[mine, mine] = np.maximum(norms[mine, mine], here)
        first += size
    t, u, v = units(fixed, slope)
    left, right = np.zeros(a.A0.shape[:2], np.int64), np.zeros(a.A0.shape[:2], np.int64)
    scalars, h, r = np.zeros(len(a.reads), np.int64), a.h.copy(), a.r.copy()
    for mine, (start, end, size, *_, unknown, last_unknown) in zip(places, a.cells, strict=True):
        left[start:end, :size], right[start:end, :size] = -u[mine], -v[mine]
        for n in range(unknown, last_unknown):
            k, m = a.reads[n]
            weight = int(np.frexp(np.abs(a.r[n]).max())[1])
            r[n] = np.ldexp(a.r[n], -weight)
            scalars[n] = weight + right[start, k] + left[start, m]
    for start, _, _, term, last_term, *_ in a.cells:
        for n in range(term, last_term):
            i, j, w = a.terms[n]
            h[n] = np.ldexp(a.h[n], left[start, i] + right[start, j] + scalars[w])
    sides = left[:, :, None] + right[:, None, :]
    new = replace(a, A0=np.ldexp(a.A0, sides), A1=np.ldexp(a.A1, sides + t), r=r, h=h)
    return Balanced(new, float(np.ldexp(1.0, t)), np.ldexp(1.0, scalars), left, right)
