r"""The inverse of a symmetric matrix, real or complex, from products of its quarters.

With A = [[a, b^T], [b, c]], g = a^{-1}, t = b g and e = (c - t b^T)^{-1},

    A^{-1} = [[g + t^T e t, -(e t)^T], [-e t, e]],

and so on within a and c - t b^T. For R^{-1} of `dmft_rf.images.medium` no pivots are needed: while
its coefficients 1/(1 + a h_j) and N_0 - z lie in a half-plane around 0, some e^{i phi} R^{-1} has a
positive definite real part, and so has every c - t b^T.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# below these sizes elimination, and a whole product, are as fast
_SMALL, _WHOLE = 32, 128


def symmetric_inverse(A: NDArray[Any]) -> NDArray[Any]:
    """A^{-1} of a matrix (p, p) that equals its transpose, in the precision of A."""
    p = A.shape[0]
    if p <= _SMALL:
        return np.linalg.inv(A)
    k = p // 2
    b = A[k:, :k]
    g = symmetric_inverse(A[:k, :k])
    t = b @ g
    rest = np.empty((p - k, p - k), dtype=A.dtype)
    _symmetric_product(t, b.T, rest)
    e = symmetric_inverse(np.subtract(A[k:, k:], rest, out=rest))
    et = e @ t
    found = np.empty_like(A)
    _symmetric_product(t.T, et, found[:k, :k])
    found[:k, :k] += g
    np.negative(et, out=found[k:, :k])
    found[:k, k:] = found[k:, :k].T
    found[k:, k:] = e
    return found


def _symmetric_product(x: NDArray[Any], y: NDArray[Any], out: NDArray[Any]) -> None:
    """x y into ``out``, where it equals its transpose: what lies above the diagonal is copied."""
    p = out.shape[0]
    if p <= _WHOLE:
        np.matmul(x, y, out=out)
        return
    k = p // 2
    _symmetric_product(x[:k], y[:, :k], out[:k, :k])
    np.matmul(x[k:], y[:, :k], out=out[k:, :k])
    out[:k, k:] = out[k:, :k].T
    _symmetric_product(x[k:], y[:, k:], out[k:, k:])
