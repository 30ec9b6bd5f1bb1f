"""Finite Gaussian-equivalent matrices of any model: classes of data, any number of noise draws.

Written from sections 1, 2 and 10 of the theory alone: every draw of noise is drawn, nothing is
rotated or averaged that training does not average.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from dmft_rf import ScoreModel


@dataclass
class Draw:
    """One draw; M = W/sqrt(d)."""

    model: ScoreModel
    U: np.ndarray
    V: np.ndarray
    M: np.ndarray
    fresh: np.ndarray  # U of the same samples under fresh noise
    sigma: np.ndarray  # (n_classes, d)

    def losses(self, h: Callable[[np.ndarray], np.ndarray]) -> dict[str, float]:
        """Losses of B = -V^T h(U)/sqrt(Delta_t), and its weight norm."""
        d = self.V.shape[1]
        x, Q = eigh(self.U)
        B = (Q * h(np.maximum(x, 0.0))) @ (Q.T @ self.V)  # h(U) V
        train = 1.0 - (2.0 * np.sum(B * self.V) - np.sum(B * (self.U @ B))) / d
        test = emp = 1.0
        for one, sigma in zip(self.model.classes, self.sigma, strict=True):
            c = one.coefficients
            MB = self.M.T @ B
            diffused = math.exp(-2.0 * self.model.t) * sigma + c.Delta_t
            linear = 2.0 * c.b * np.trace(MB) / d
            square = (c.mu1 / c.Gamma_t) ** 2 * np.sum(diffused[:, None] * MB**2) / d
            square += c.residual_variance * np.sum(B * B) / d
            test += one.share * (square - linear)
            emp -= one.share * linear
        emp += np.sum(B * (self.fresh @ B)) / d
        return {"train": train, "test": test, "fresh": emp, "weight_norm": np.sum(B * B) / d}


def draw(model: ScoreModel, d: int, seed: int) -> Draw:
    """Draw the Gaussian equivalents at dimension d; infinitely many draws are averaged exactly."""
    rng = np.random.default_rng(seed)
    counts = np.rint(model.weights * d).astype(int)
    assert counts.sum() == d
    sigma = np.stack([np.repeat(one.eigenvalues, counts) for one in model.classes])
    n, p = round(model.psi_n * d), round(model.psi_p * d)
    M = rng.standard_normal((p, d)) / math.sqrt(d)
    U, V, fresh = np.zeros((p, p)), np.zeros((p, d)), np.zeros((p, p))
    sizes = np.rint(np.array([one.share for one in model.classes]) * n).astype(int)
    assert sizes.sum() == n
    for one, lam, size in zip(model.classes, sigma, sizes, strict=True):
        c = one.coefficients
        X = np.sqrt(lam)[:, None] * rng.standard_normal((d, size))
        D = math.sqrt(c.gamma2) * M @ X + math.sqrt(c.v2) * rng.standard_normal((p, size))
        average = D @ D.T / n + size / n * (c.b**2 * M @ M.T + c.s2 * np.eye(p))
        fresh += average
        if math.isinf(model.noise_draws):
            U += average
            V += size / n * c.b * M
            continue
        m = int(model.noise_draws)
        for _ in range(m):
            xi = rng.standard_normal((d, size))
            phi = D + c.b * M @ xi + math.sqrt(c.s2) * rng.standard_normal((p, size))
            U += phi @ phi.T / (n * m)
            V += phi @ xi.T / (n * m)
    return Draw(model, U, V, M, fresh, sigma)
