r"""Drawn features, averaged over the noise of the diffusion exactly for every sample.

Given a sample x the pre-activations h_i = m_i + s_i z_i of its noisy copy are Gaussian with
correlations corr_ij = w_i . w_j/(|w_i| |w_j|), so that by Mehler's expansion and Stein's lemma,
with the Hermite coefficients c_k of `dmft_rf.images.hermite`,

    E_xi[sigma(h_i)] = c_0(i),    E_xi[sigma(h_i) xi] = (w_i/|w_i|) c_1(i),
    E_xi[sigma(h_i) sigma(h_j)] = sum_k corr_ij^k c_k(i) c_k(j),    E_xi[sigma(h_i)^2] = M(i).

Nothing is sampled. Cutting the sum at k = K changes the average over the samples by no more than

    |corr_ij|^{K+1} sqrt(R_i R_j),    R_i = < M(i) - sum_{k<=K} c_k(i)^2 >

(Cauchy-Schwarz); K is chosen so that the Frobenius norm of this bound is negligible.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array
from dmft_rf.errors import ConvergenceError
from dmft_rf.images.hermite import HermiteRule

if TYPE_CHECKING:
    from dmft_rf.model.activation import Activation

_MOST_ORDERS = 400
_PILOT_ROWS = 24
# coefficients c_k(i, nu) that are held at once (floats)
_BLOCK = 2**25


@dataclass(frozen=True, eq=False)
class NoiseMoments(Frozen):
    """Features and targets of every sample, averaged over its noise.

    Attributes
    ----------
    means : (p, n) array
        f = E_xi[sigma] of every sample.
    noise : (p, p) array
        N_0 = (1/n) sum_nu (E_xi[sigma sigma^T] - f f^T).
    V : (p, d) array
        (1/n) sum_nu E_xi[sigma xi^T].
    order : int
        K.
    bound : float
        Bound on the Frobenius norm of what the expansion leaves out of N_0.
    """

    means: Array
    noise: Array
    V: Array
    order: int
    bound: float

    @property
    def U(self) -> Array:
        """(1/n) sum_nu E_xi[sigma sigma^T], shape (p, p)."""
        total: Array = self.noise + self.means @ self.means.T / self.means.shape[1]
        return total


def noise_moments(
    W: Array,
    X: Array,
    t: float,
    activation: Activation,
    tolerance: float = 1e-9,
    progress: Callable[[int, int], None] | None = None,
) -> NoiseMoments:
    """The moments of the features W (p, d) on the samples X (n, d) at the diffusion time t.

    Parameters
    ----------
    tolerance : float
        Allowed Frobenius norm of what is cut off the expansion.
    progress : callable, optional
        Called with samples done and samples in all.

    Raises
    ------
    ConvergenceError
        If the expansion needs too many orders (two weights are nearly parallel).
    """
    (p, d), n = W.shape, X.shape[0]
    norm = np.linalg.norm(W, axis=1)
    direction = W / norm[:, None]
    corr = direction @ direction.T
    np.fill_diagonal(corr, 0.0)
    width = math.sqrt(-math.expm1(-2.0 * t) / d) * norm
    means = (math.exp(-t) / math.sqrt(d)) * (W @ X.T)  # (p, n)

    def residuals(count: int) -> Array:
        rule = HermiteRule.of(activation, count, float(width.max()))
        pilot = means[:, : min(n, _PILOT_ROWS)]
        c, M = rule(pilot, np.broadcast_to(width[:, None], pilot.shape))
        power = np.cumsum(np.mean(c * c, axis=2), axis=0)
        return np.maximum(M.mean(axis=1) - power, 0.0)  # (count, p), by highest order kept

    K = choose_order(corr, residuals, tolerance)
    rule = HermiteRule.of(activation, K + 1, float(width.max()))
    noise = np.zeros((p, p))
    diagonal, power, slope = np.zeros(p), np.zeros(p), np.zeros(p)
    block = max(1, _BLOCK // ((K + 1) * p))
    for start in range(0, n, block):
        part = means[:, start : start + block]
        c, M = rule(part, np.broadcast_to(width[:, None], part.shape))
        diagonal += (M - c[0] * c[0]).sum(axis=1)
        power += np.einsum("kin,kin->i", c[1:], c[1:])
        slope += c[1].sum(axis=1)
        noise += corr * expansion(c[1:], corr)
        part[...] = c[0]
        if progress is not None:
            progress(min(start + block, n), n)
    noise /= n
    bound = left_out(corr, np.maximum(diagonal - power, 0.0) / n, K)
    np.fill_diagonal(noise, diagonal / n)
    return NoiseMoments(means, noise, direction * (slope / n)[:, None], K, bound)


def expansion(c: Array, corr: Array) -> Array:
    """sum_k corr^k * (c_k c_k^T) for c (K + 1, p, n), elementwise powers; shape (p, p)."""
    total = c[-1] @ c[-1].T
    for layer in c[-2::-1]:
        total *= corr
        total += layer @ layer.T
    return total


def left_out(corr: Array, residual: Array, K: int) -> float:
    """Frobenius norm of |corr_ij|^{K+1} sqrt(R_i R_j), with corr_ii = 0."""
    total = 0.0
    for start in range(0, residual.size, 512):
        rows = np.abs(corr[start : start + 512]) ** (2 * (K + 1))
        total += float(residual[start : start + 512] @ (rows @ residual))
    return math.sqrt(total)


def choose_order(corr: Array, residuals: Callable[[int], Array], tolerance: float) -> int:
    """Smallest K >= 3 whose bound, from a pilot of few samples, is below half the tolerance."""
    count = 16
    while count <= _MOST_ORDERS:
        left = residuals(count)
        low, high = 3, count - 1
        if left_out(corr, left[high], high) <= 0.5 * tolerance:
            while low < high:
                middle = (low + high) // 2
                if left_out(corr, left[middle], middle) <= 0.5 * tolerance:
                    high = middle
                else:
                    low = middle + 1
            return high
        count = count * 3 // 2
    raise ConvergenceError(
        f"{_MOST_ORDERS} orders do not bring the Hermite expansion of U within {tolerance:g}: the "
        "largest correlation of two features is "
        f"{float(np.abs(corr).max()):.4f}; this d is too small for the activation"
    )
