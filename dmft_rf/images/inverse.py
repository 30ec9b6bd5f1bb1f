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

# below this size elimination is as fast
_SMALL = 48


def symmetric_inverse(A: NDArray[Any]) -> NDArray[Any]:
    """A^{-1} of a matrix (p, p) that equals its transpose, in the precision of A."""
    p = A.shape[0]
    if p <= _SMALL:
        return np.linalg.inv(A)
    k = p // 2
    b = A[k:, :k]
    g = symmetric_inverse(A[:k, :k])
    t = b @ g
    e = symmetric_inverse(A[k:, k:] - t @ b.T)
    et = e @ t
    found = np.empty_like(A)
    np.add(g, t.T @ et, out=found[:k, :k])
    np.negative(et, out=found[k:, :k])
    found[:k, k:] = found[k:, :k].T
    found[k:, k:] = e
    return found
