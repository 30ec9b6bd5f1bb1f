"""Draws of the Gaussian-equivalent matrices of a model (docs/theory.md; arXiv:2505.17638).

With X of covariance Sigma and standard Gaussian W, Omega,

    G = gamma W X/sqrt(d) + v Omega,    U = G G^T/n + b^2 W W^T/d + s^2,    V = b W/sqrt(d).
"""

import math
from typing import NamedTuple

import numpy as np

from dmft_rf import ModelError, ScoreModel
from dmft_rf._typing import Array


class Draw(NamedTuple):
    """Weights W (p, d), features G (p, n), eigenvalues of Sigma (d,)."""

    W: Array
    G: Array
    sigma: Array


def draw_equivalent(model: ScoreModel, d: int, rng: np.random.Generator) -> Draw:
    """One draw of the matrices at dimension d.

    Raises
    ------
    ModelError
        If the weights of Sigma times d are not whole numbers.
    """
    c, cov = model.coefficients, model.covariance
    counts = np.rint(cov.weights * d).astype(int)
    if counts.sum() != d or np.abs(counts - cov.weights * d).max() > 1e-9:
        raise ModelError(f"weights {cov.weights} do not fit the dimension {d}")
    sigma = np.repeat(cov.eigenvalues, counts)
    n, p = round(model.psi_n * d), round(model.psi_p * d)
    W = rng.standard_normal((p, d))
    X = np.sqrt(sigma)[:, None] * rng.standard_normal((d, n))
    G = math.sqrt(c.gamma2 / d) * (W @ X) + math.sqrt(c.v2) * rng.standard_normal((p, n))
    return Draw(W, G, sigma)
