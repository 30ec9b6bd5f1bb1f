"""One finite draw of the Gaussian-equivalent matrices, and its losses by eigendecomposition."""

import math

import numpy as np
import scipy.linalg

from dmft_rf import ScoreModel
from dmft_rf._typing import Array
from validation.benchmark.plain import Curves
from validation.common.equivalent import draw_equivalent


def learning_curves(model: ScoreModel, tau: Array, d: int, seed: int) -> Curves:
    """Losses of one draw at the finite times ``tau``; the weights of Sigma must fit d."""
    c = model.coefficients
    W, G, sigma = draw_equivalent(model, d, np.random.default_rng(seed))
    p, n = G.shape
    U = G @ G.T / n + c.b**2 / d * W @ W.T + c.s2 * np.eye(p)
    lam, Q = scipy.linalg.eigh(U)

    rotated = Q.T @ W / math.sqrt(d)
    V = c.b * rotated
    diffused = math.exp(-2.0 * model.t) * sigma + c.Delta_t
    noise = c.residual_variance
    U_test = (c.mu1 / c.Gamma_t) ** 2 * (rotated * diffused) @ rotated.T + noise * np.eye(p)
    h = -np.expm1(np.multiply.outer(-model.rate * tau, lam)) / lam
    overlap = V @ V.T
    learned = np.diag(overlap) / d
    train = 1.0 - (2.0 * h - lam * h * h) @ learned
    test = 1.0 - 2.0 * h @ learned + np.einsum("ti,ti->t", h @ (U_test * overlap), h) / d
    return Curves(train, test, (test - model.floor) / c.Delta_t)
