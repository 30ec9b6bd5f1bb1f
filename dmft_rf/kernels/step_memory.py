r"""The noise of SGD step by step: second moments of every mode.

With eta = alpha dtau, y = eta (x + omega) and momentum m, a unit of noise has moved after k steps
by g_k,

    g_0 = 1, g_1 = 1 + m - y, g_{k+1} = (1 + m - y) g_k - m g_{k-1},

and A_k = sum_{j<k} g_{k-1-j}^2 e_j L_j follows from the second moments of (g_k, g_{k-1}).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dmft_rf.kernels._jit import njit

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


@njit
def second_moments(
    y: Complex,
    momentum: float,
    kept: Complex,
    moved: Complex,
    c: Complex,
    d: Complex,
    initial: Complex,
    F_0: float,
    drive: Array,
    outlier: float,
    outlier_weight: float,
    wanted: NDArray[np.int64],
) -> tuple[Complex, Array, Array, Array]:
    """A_k at the steps ``wanted``, and F, the bulk's and the whole training loss at every step.

    Parameters
    ----------
    y : (N,) complex array
        eta (x + omega).
    momentum : float
    kept, moved : (N,) complex arrays
        1 - x h = kept + moved r with the memory r of the mean weights.
    c, d, initial : (N,) complex arrays
        L_bulk = F + Re sum c A, F = F_0 + Re sum [d (1 - x h)^2 + initial r^2].
    F_0 : float
    drive : (K,) array
        e_k, at least as many as the last step that is wanted.
    outlier, outlier_weight : float
        y of the outlying mode, and what its A, driven by the bulk's loss, adds to the loss.
    wanted : (T,) array
        Ascending.

    Returns
    -------
    A (T, N), and F, L_bulk and L, (K + 1,) each.
    """
    N, T = y.size, wanted.size
    last = wanted[-1] if T else 0
    out = np.zeros((T, N), np.complex128)
    F, bulk, whole = np.zeros(last + 1), np.zeros(last + 1), np.zeros(last + 1)
    A, B, C = np.zeros_like(y), np.zeros_like(y), np.zeros_like(y)
    r, before = np.ones_like(y), np.ones_like(y)
    a, b, old = 0.0, 0.0, 0.0
    t = 0
    for k in range(last + 1):
        total, free = 0.0, F_0
        for i in range(N):
            left = kept[i] + moved[i] * r[i]
            free += (d[i] * left * left + initial[i] * r[i] * r[i]).real
            total += (c[i] * A[i]).real
        F[k] = free
        bulk[k] = free + total
        whole[k] = bulk[k] + outlier_weight * a
        while t < T and wanted[t] == k:
            for i in range(N):
                out[t, i] = A[i]
            t += 1
        if k == last:
            break
        fed = drive[k] * whole[k]
        for i in range(N):
            step = 1.0 + momentum - y[i]
            first = step * step * A[i] - 2.0 * step * momentum * B[i] + momentum**2 * C[i] + fed
            B[i] = step * A[i] - momentum * B[i]
            C[i] = A[i]
            A[i] = first
            # r_1 = 1 - y: the first step has no momentum yet
            r[i], before[i] = step * r[i] - momentum * before[i], r[i]
        step_o = 1.0 + momentum - outlier
        first_o = step_o**2 * a - 2.0 * step_o * momentum * b + momentum**2 * old + bulk[k]
        b = step_o * a - momentum * b
        old = a
        a = first_o
    return out, F, bulk, whole
