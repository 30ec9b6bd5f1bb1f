r"""Two resolvents of a medium at all pairs of points, equation (2) of `dmft_rf.images.medium`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array
from dmft_rf.images.medium import Medium
from dmft_rf.images.path import Solved, complex_part, evaluated, solved_on

# what transforms at other points may be off by, in units of those at one
_ROUNDINGS = 3.0


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
    plain, mixed = pairs(s)
    rounding = _rounding(s, plain[0, 0], mixed[0, 0])
    return AtPoints(s.h, s.S_VV, s.trace, s.seen, plain, mixed, s.residual, s.iterations, rounding)


def _rounding(solved: Solved, plain: complex, mixed: complex) -> float:
    """Relative rounding of all transforms in single precision; 0 in double.

    Three times the largest that one is off by at the point nearest to zero, and at least three
    times the precision. Measured on digits, the root mean square over all pairs is 0.1 to 0.9 of
    that, single pairs are off by up to 6 times as much; sums, which add squares, count it six
    times. A bound by the condition of R is too large by orders, because rows of R^{-1} differ.
    """
    if not solved.X.single:
        return 0.0
    first = slice(0, 1)
    exact = evaluated(solved.medium, solved.z[first], solved.h[first])
    found = np.array([solved.S_VV[0], plain, mixed])
    true = np.array([exact.S_VV[0], *np.ravel(pairs(exact))])
    off = float(np.max(np.abs(found / true - 1.0)))
    return _ROUNDINGS * max(off, float(np.finfo(np.float32).eps))


def pairs(solved: Solved) -> tuple[NDArray[Any], NDArray[Any]]:
    """T of (2) at (z_i, z_j) and at (z_i, conj z_j), each (n_z, n_z)."""
    m, RV = solved.medium, solved.RV
    J, count = m.shares.size, solved.z.size
    d = m.V.shape[1]
    left = solved.XV.reshape(count * J, -1)
    middle = (m.noise[:, None] * RV).reshape(count, -1)
    right = RV.reshape(count, -1)
    parts = 2 if solved.z.dtype.kind == "c" else 1
    shaped = solved.X.traces().reshape(count, parts, J, count, parts, J)
    sums = shaped.transpose(1, 0, 2, 4, 3, 5)
    found = []
    for conjugate in (False, True):
        other = right.conj() if conjugate else right
        K = (left @ other.T / d).reshape(count, J, count).transpose(0, 2, 1)
        start = middle @ other.T / d
        traces = complex_part(sums, conjugate).transpose(0, 2, 1, 3)
        h1, h2 = solved.h[:, None], (solved.h.conj() if conjugate else solved.h)[None]
        M = _noise_traces(solved, traces, h1, h2, conjugate)
        found.append(assembled(m, h1, h2, traces, K, M, start))
    return found[0], found[1]


def assembled(
    m: Medium,
    h1: NDArray[Any],
    h2: NDArray[Any],
    P: NDArray[Any],
    K: NDArray[Any],
    M: NDArray[Any],
    start: NDArray[Any],
) -> NDArray[Any]:
    """T of (2) from h (n_z, 1, J) and (1, n_z, J), P, K, M and Tr V^T R_1 N_0 R_2 V/d."""
    J = m.shares.size
    w1, w2 = m.q / (1.0 + m.a * h1), m.q / (1.0 + m.a * h2)
    u = (1.0 + w1 * h1) * (1.0 + w2 * h2)
    # (a/q) w_1 w_2, without the division where q = 0
    again = m.a * m.q / ((1.0 + m.a * h1) * (1.0 + m.a * h2))
    t = u * ((1.0 - w1) * (1.0 - w2) / ((1.0 + h1) * (1.0 + h2)) + again)
    s = 1.0 / (1.0 + m.q * t * h1 * h2 / u)
    factor = m.shares * t * s / m.n
    system = np.eye(J) - P * factor[..., None, :]
    Y = np.linalg.solve(system, K[..., None])[..., 0]
    total: NDArray[Any] = start + ((m.shares * u * s + factor * M) * Y).sum(axis=-1)
    return total


def _noise_traces(
    solved: Solved, P: NDArray[Any], h1: NDArray[Any], h2: NDArray[Any], conjugate: bool
) -> NDArray[Any]:
    r"""M_j = Tr S_j R_1 N_0 R_2 from P_jk, without a further product; shape (n_z, n_z, J).

    With beta_k = c_k/(1 + a h_k), R^{-1} = sum_k beta_k S_k + N_0 - z gives

        R_1 - R_2 = R_1 (sum_k (beta_k(2) - beta_k(1)) S_k - (z_2 - z_1)) R_2,
        N_0 R_2 = 1 + z_2 R_2 - sum_k beta_k(2) S_k R_2.
    """
    m, z, own = solved.medium, solved.z, solved.responses
    first, second = m.shares / (1.0 + m.a * h1), m.shares / (1.0 + m.a * h2)
    z2, other = (z.conj(), own.conj()) if conjugate else (z, own)
    apart = (z2[None, :] - z[:, None])[..., None]
    moved = np.einsum("xyjk,xyk->xyj", P, second - first) - (own[:, None, :] - other[None, :, :])
    same = apart == 0.0
    squares = np.where(same, solved.squares[:, None, :], moved) / np.where(same, 1.0, apart)
    found: NDArray[Any] = (
        own[:, None, :] + z2[None, :, None] * squares - np.einsum("xyjk,xyk->xyj", P, second)
    )
    return found
