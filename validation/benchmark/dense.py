"""One finite draw of the Gaussian-equivalent matrices, and its losses by eigendecomposition.

The matrices are those of docs/theory.md (arXiv:2505.17638, section 4): with X of covariance Sigma
and standard Gaussian W, Omega,

    G = gamma W X/sqrt(d) + v Omega,    U = G G^T/n + b^2 W W^T/d + s^2,    V = b W/sqrt(d).
"""

from __future__ import annotations

import math

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from dmft_rf import ScoreModel
from validation.benchmark.plain import Curves

Array = NDArray[np.float64]


def learning_curves(model: ScoreModel, tau: Array, d: int, seed: int) -> Curves:
    """Losses of one draw at the finite times ``tau``; the weights of Sigma must fit d."""
    c, cov = model.coefficients, model.covariance
    counts = np.rint(cov.weights * d).astype(int)
    if counts.sum() != d or np.abs(counts - cov.weights * d).max() > 1e-9:
        raise ValueError(f"weights {cov.weights} do not fit the dimension {d}")
    sigma = np.repeat(cov.eigenvalues, counts)
    n, p = round(model.psi_n * d), round(model.psi_p * d)
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((p, d))
    X = np.sqrt(sigma)[:, None] * rng.standard_normal((d, n))
    G = math.sqrt(c.gamma2 / d) * W @ X + math.sqrt(c.v2) * rng.standard_normal((p, n))
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
