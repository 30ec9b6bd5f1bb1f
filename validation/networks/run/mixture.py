r"""Two Gaussians of unit covariance in d dimensions with means +1 and -1 in every coordinate.

Diffused to x_t = a x + s xi it is the same mixture with means +-a, since a^2 + s^2 = 1:

    score(x) = -x + a tanh(a sum_i x_i) (1, ..., 1).

The noise that the exact denoiser predicts is -s score(x).
"""

import numpy as np

from dmft_rf import ModelError
from dmft_rf._typing import Array


def draw(rng: np.random.Generator, count: int, d: int) -> Array:
    """``count`` independent samples, shape (count, d)."""
    if count < 1 or d < 1:
        raise ModelError(f"count is {count} and d is {d}; both must be 1 or more")
    signs = rng.choice([-1.0, 1.0], size=(count, 1))
    return np.asarray(signs + rng.standard_normal((count, d)))


def score(x: Array, signal: float) -> Array:
    """Score of the diffused mixture at x (m, d) for a = ``signal``; shape (m, d)."""
    return np.asarray(-x + signal * np.tanh(signal * x.sum(axis=-1, keepdims=True)))


def log_normal(x: Array) -> Array:
    """Logarithm of the density of N(0, 1) in every coordinate, at x (m, d); shape (m,)."""
    return np.asarray(-0.5 * (x**2).sum(axis=-1) - 0.5 * x.shape[-1] * np.log(2.0 * np.pi))


def log_density(x: Array) -> Array:
    """Logarithm of the density of the mixture at x (m, d); shape (m,)."""
    return np.asarray(np.logaddexp(log_normal(x - 1.0), log_normal(x + 1.0)) - np.log(2.0))
