"""Derivatives of filters against forty digits."""

import math

import mpmath as mp
import numpy as np
import pytest

from dmft_rf import GradientFlow, HeavyBall, ModelError, Ridge
from dmft_rf.rules.slopes import filter_slopes

X = np.array([0.3 + 0.2j, 1e-4 + 3.0j, 40.0 + 0.1j, 2.0 + 0.0j])
TAU = np.array([0.0, 1e-9, 0.02, 0.4, 3.0, 1e4, math.inf])
RATE = 0.7


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_gradient_flow(decay: float) -> None:
    found = filter_slopes(GradientFlow(decay), X, TAU, RATE)
    with mp.workdps(40):
        for i, tau in enumerate(TAU.tolist()):
            for j, x in enumerate(X.tolist()):
                y = mp.mpmathify(x) + mp.mpf(decay)
                u = mp.mpf(RATE) * (mp.mpf(tau) if math.isfinite(tau) else 0) * y
                left = mp.exp(-u) if math.isfinite(tau) else mp.mpf(0)
                expected = u / y * left, -(1 - left - u * left) / y**2, mp.mpf(RATE) * left
                for slope, exact in zip(found, expected, strict=True):
                    value = complex(exact)
                    rounding = 2e-13 + 1e-15 * float(abs(u))  # e^{-u} has that of u
                    assert abs(slope[i, j] - value) <= rounding * abs(value) + 1e-300


def test_ridge() -> None:
    found = filter_slopes(Ridge(0.5), X, TAU, RATE)
    assert not found.log_rate.any()
    assert not found.tau.any()
    np.testing.assert_allclose(found.decay, np.tile(-1.0 / (X + 0.5) ** 2, (TAU.size, 1)))


def test_other_rules() -> None:
    with pytest.raises(ModelError, match="known for GradientFlow"):
        filter_slopes(HeavyBall(0.1), X, TAU, RATE)
