r"""Two resolvents of a medium at all pairs of points, equation (2) of `dmft_rf.images.medium`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array
from dmft_rf.images.medium import Medium
from dmft_rf.images.path import Solved, put_away, solved_on

# rows of the matrices that are multiplied at once, times numbers in a row (bounds the memory)
_BLOCK = 2**22


@dataclass(frozen=True, eq=False)
class AtPoints(Frozen):
    """What losses need of the solution at points z (n_z,): numbers, no matrices.

    Attributes
    ----------
    h : (n_z, J) array
    S_VV, trace, seen : (n_z,) arrays
        Tr V^T R V/d, Tr R/p and Tr R U_test/d.
    plain, mixed : (n_z, n_z) arrays
        T at (z_i, z_j) and at (z_i, conj z_j).
    residual : (n_z,) array
        Relative size of the last step.
    iterations : int
        Inverses in total.
    rounding : float
        Relative rounding of single precision, 0 in double.
    """

    h: NDArray[Any]
    S_VV: NDArray[Any]
    trace: NDArray[Any]
    seen: NDArray[Any]
    plain: NDArray[Any]
    mixed: NDArray[Any]
    residual: Array
    iterations: int
    rounding: float


def at_points(
    medium: Medium,
    z: NDArray[Any],
    pace: NDArray[Any] | None = None,
    tolerance: float | None = None,
) -> AtPoints:
    """Solve (1) and (2) at points ``z``; parameters and errors are those of `solved_on`."""
    s = solved_on(medium, z, pace, tolerance)
    return AtPoints(s.h, s.S_VV, s.trace, s.seen, *pairs(s), s.residual, s.iterations, s.rounding)


def pairs(solved: Solved) -> tuple[NDArray[Any], NDArray[Any]]:
    """T of (2) at (z_i, z_j) and at (z_i, conj z_j), each (n_z, n_z)."""
    m, RV = solved.medium, solved.RV
    J, count = m.shares.size, solved.z.size
    plain, mixed = _traces(solved.X, solved.R, m.noise)
    d = m.V.shape[1]
    S = m.S.astype(RV.real.dtype, copy=False)
    left = np.stack([one @ RV for one in S], axis=1).reshape(count * J, -1)
    middle = (m.noise[:, None] * RV).reshape(count, -1)
    right = RV.reshape(count, -1)
    found = []
    for traces, other, h in ((plain, right, solved.h), (mixed, right.conj(), solved.h.conj())):
        K = (left @ other.T / d).reshape(count, J, count).transpose(0, 2, 1)
        start = middle @ other.T / d
        found.append(_assembled(solved, traces, K, start, h))
    return found[0], found[1]


def _assembled(
    solved: Solved,
    traces: NDArray[Any],
    K: NDArray[Any],
    start: NDArray[Any],
    other: NDArray[Any],
) -> NDArray[Any]:
    m = solved.medium
    J = m.shares.size
    h1, h2 = solved.h[:, None, :], other[None, :, :]
    w1, w2 = m.q / (1.0 + m.a * h1), m.q / (1.0 + m.a * h2)
    u = (1.0 + w1 * h1) * (1.0 + w2 * h2)
    # (a/q) w_1 w_2, without the division where q = 0
    again = m.a * m.q / ((1.0 + m.a * h1) * (1.0 + m.a * h2))
    t = u * ((1.0 - w1) * (1.0 - w2) / ((1.0 + h1) * (1.0 + h2)) + again)
    s = 1.0 / (1.0 + m.q * t * h1 * h2 / u)
    factor = m.shares * t * s / m.n
    P, M = traces[..., :J], traces[..., J]
    system = np.eye(J) - P * factor[..., None, :]
    Y = np.linalg.solve(system, K[..., None])[..., 0]
    total: NDArray[Any] = start + ((m.shares * u * s + factor * M) * Y).sum(axis=-1)
    return total


def _traces(X: NDArray[Any], R: NDArray[Any], noise: Array) -> tuple[NDArray[Any], NDArray[Any]]:
    """Tr X_j(1) X_k(2) for k < J and Tr X_j(1) N_0 R_2 for k = J, plain and with conj of 2.

    Each (n_z, n_z, J, J + 1).
    """
    count, J, p, _ = X.shape
    part = X.real.dtype
    size = max(1, _BLOCK // (count * (J + 1) * p))
    total: NDArray[Any] = np.zeros((2, count * J, 2, count * (J + 1)))
    put_away(R)
    for start in range(0, p, size):
        rows = slice(start, min(start + size, p))
        width = rows.stop - start
        left = np.empty((2, count, J, width, p), dtype=part)
        right = np.empty((2, count, J + 1, width, p), dtype=part)
        for i in range(count):
            for k, name in enumerate(("real", "imag")):
                x, r = getattr(X[i], name), getattr(R[i], name)
                left[k, i] = x[:, rows, :]
                right[k, i, :J] = x[:, :, rows].swapaxes(1, 2)
                right[k, i, J] = r[rows, :] * noise  # R is symmetric
            put_away(X, R)
        stacked = left.reshape(2 * count * J, -1), right.reshape(2 * count * (J + 1), -1)
        total += (stacked[0] @ stacked[1].T).reshape(total.shape)
    rr, ri, ir, ii = total[0, :, 0], total[0, :, 1], total[1, :, 0], total[1, :, 1]
    both = (rr - ii + 1j * (ri + ir), rr + ii + 1j * (ir - ri))
    shaped = [one.reshape(count, J, count, J + 1).transpose(0, 2, 1, 3) for one in both]
    return shaped[0], shaped[1]
