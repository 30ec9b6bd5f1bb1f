"""Finite networks that share their features, their training set, both or neither.

Products of two of them give each part of the score error apart: what is common to networks with
nothing in common is the mean, what is common besides to those with the same training set is its
variance, and so on. Written from the model alone: every draw of noise is drawn.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.linalg import eigh

from dmft_rf import ScoreModel

Filter = Callable[[np.ndarray], np.ndarray]


def _training_set(
    model: ScoreModel, sigma: np.ndarray, rng: np.random.Generator
) -> list[tuple[np.ndarray, list[np.ndarray]]]:
    """Samples and noise draws of each class."""
    d, n = sigma.shape[1], round(model.psi_n * sigma.shape[1])
    draws = 0 if math.isinf(model.noise_draws) else int(model.noise_draws)
    found = []
    for one, lam in zip(model.classes, sigma, strict=True):
        size = round(one.share * n)
        X = np.sqrt(lam)[:, None] * rng.standard_normal((d, size))
        found.append((X, [rng.standard_normal((d, size)) for _ in range(draws)]))
    return found


def _trained(
    model: ScoreModel,
    M: np.ndarray,
    data: list[tuple[np.ndarray, list[np.ndarray]]],
    h: Filter,
    rng: np.random.Generator,
) -> np.ndarray:
    """B (d, p) after training, with nonlinear parts of the features of its own."""
    p, d = M.shape
    n = sum(X.shape[1] for X, _ in data)
    U, V = np.zeros((p, p)), np.zeros((p, d))
    for one, (X, noise) in zip(model.classes, data, strict=True):
        c, size = one.coefficients, X.shape[1]
        D = math.sqrt(c.gamma2) * M @ X + math.sqrt(c.v2) * rng.standard_normal((p, size))
        if not noise:
            U += D @ D.T / n + size / n * (c.b**2 * M @ M.T + c.s2 * np.eye(p))
            V += size / n * c.b * M
        for xi in noise:
            phi = D + c.b * M @ xi + math.sqrt(c.s2) * rng.standard_normal((p, size))
            U += phi @ phi.T / (n * len(noise))
            V += phi @ xi.T / (n * len(noise))
    x, Q = eigh(U)
    return -((Q * h(np.maximum(x, 0.0))) @ (Q.T @ V)).T / math.sqrt(model.Delta_t)


def drawn_parts(model: ScoreModel, d: int, h: Filter, seed: int) -> dict[str, np.ndarray]:
    """bias, sample, features, both and noise, each (classes, eigenvalues), from four networks."""
    rng = np.random.default_rng(seed)
    counts = np.rint(model.weights * d).astype(int)
    assert counts.sum() == d
    ends = np.cumsum(counts)[:-1]
    sigma = np.stack([np.repeat(one.eigenvalues, counts) for one in model.classes])
    p = round(model.psi_p * d)
    M = [rng.standard_normal((p, d)) / math.sqrt(d) for _ in range(2)]
    data = [_training_set(model, sigma, rng) for _ in range(2)]
    B = [[_trained(model, M[i], data[j], h, rng) for j in range(2)] for i in range(2)]
    found: dict[str, list[list[float]]] = {
        name: [] for name in ("bias", "sample", "features", "both", "noise")
    }
    for one, lam in zip(model.classes, sigma, strict=True):
        diffused = math.exp(-2.0 * model.t) * lam + model.Delta_t
        off = [
            [one.linear * B[i][j] @ M[i] + np.diag(1.0 / diffused) for j in range(2)]
            for i in range(2)
        ]

        def common(a: np.ndarray, b: np.ndarray, seen: np.ndarray = diffused) -> np.ndarray:
            rows = (a * b) @ seen
            return np.array([part.mean() for part in np.split(rows, ends)])

        none = 0.5 * (common(off[0][0], off[1][1]) + common(off[0][1], off[1][0]))
        data_only = 0.5 * (common(off[0][0], off[1][0]) + common(off[0][1], off[1][1]))
        features_only = 0.5 * (common(off[0][0], off[0][1]) + common(off[1][0], off[1][1]))
        all_ = 0.25 * sum(common(off[i][j], off[i][j]) for i in range(2) for j in range(2))
        norms = 0.25 * sum((B[i][j] ** 2).sum(axis=1) for i in range(2) for j in range(2))
        N = one.coefficients.residual_variance
        found["bias"].append(none)
        found["sample"].append(data_only - none)
        found["features"].append(features_only - none)
        found["both"].append(all_ - data_only - features_only + none)
        found["noise"].append([N * part.mean() for part in np.split(norms, ends)])
    return {name: np.array(values) for name, values in found.items()}
