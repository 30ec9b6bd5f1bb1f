"""Features averaged over the noise of one sample, against quadrature."""

import math

import numpy as np
import pytest

from dmft_rf.images.averages import noise_moments
from dmft_rf.model.activation import Activation

T = 0.2
SCALE, DEVIATION = math.exp(-T), math.sqrt(-math.expm1(-2.0 * T))


@pytest.mark.parametrize("name", ["tanh", "gelu"])
def test_moments_are_averages_over_the_noise(name: str) -> None:
    rng = np.random.default_rng(3)
    W, X = rng.standard_normal((3, 2)), rng.standard_normal((4, 2))
    activation = Activation.of(name)
    found = noise_moments(W, X, T, activation, 1e-10)
    # both components of the noise by Gauss-Hermite rules
    x, w = np.polynomial.hermite_e.hermegauss(80)
    w = w / w.sum()
    xi = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2)
    weight = np.outer(w, w).ravel()
    means, U, V = np.empty((3, 4)), np.zeros((3, 3)), np.zeros((3, 2))
    for i, row in enumerate(X):
        phi = activation((SCALE * row + DEVIATION * xi) @ W.T / math.sqrt(2.0))
        means[:, i] = weight @ phi
        U += (phi * weight[:, None]).T @ phi / 4.0
        V += (phi * weight[:, None]).T @ xi / 4.0
    np.testing.assert_allclose(found.means, means, atol=1e-9)
    np.testing.assert_allclose(found.noise, U - means @ means.T / 4.0, atol=1e-9)
    np.testing.assert_allclose(found.V, V, atol=1e-9)
    np.testing.assert_allclose(found.U, U, atol=1e-9)
    assert found.bound <= 1e-10  # below that it is rounding, which differs between processors


def test_progress_and_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    W, X = rng.standard_normal((5, 6)), rng.standard_normal((7, 6))
    whole = noise_moments(W, X, T, Activation.of("relu"))
    monkeypatch.setattr("dmft_rf.images.averages._BLOCK", 1)
    told: list[tuple[int, int]] = []
    parts = noise_moments(W, X, T, Activation.of("relu"), progress=lambda i, n: told.append((i, n)))
    assert told == [(i, 7) for i in range(1, 8)]
    np.testing.assert_allclose(parts.noise, whole.noise, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(parts.means, whole.means, rtol=1e-12)
