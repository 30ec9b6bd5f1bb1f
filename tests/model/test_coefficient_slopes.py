"""Derivatives of the activation's coefficients against differences and scaling laws."""

import math

import numpy as np
import pytest

from dmft_rf.model.activation import Activation
from dmft_rf.model.coefficient_slopes import CoefficientSlopes, coefficient_slopes
from dmft_rf.model.coefficients import coefficients

NAMES = ("a", "v2", "s2", "residual_variance")


def slopes(activation: Activation, t: float, sigma_x2: float) -> CoefficientSlopes:
    return coefficient_slopes(activation, t, sigma_x2, coefficients(activation, t, sigma_x2))


@pytest.mark.parametrize("name", ["tanh", "relu", "sigmoid"])
@pytest.mark.parametrize(("t", "sigma_x2"), [(0.002, 1.0), (0.1, 1.7), (0.6, 0.7), (1.5, 2.0)])
def test_against_differences(name: str, t: float, sigma_x2: float) -> None:
    """By increments and by the series; differences of fourth order in 1 % and 0.5 %."""
    activation, h = Activation.of(name), 0.01
    found = slopes(activation, t, sigma_x2)
    assert found.error < 1e-11

    def values(in_t: float, in_x: float) -> np.ndarray:
        c = coefficients(activation, t * in_t, sigma_x2 * in_x)
        return np.array([getattr(c, name) for name in NAMES])

    size = np.abs(values(1.0, 1.0))
    for k, step in enumerate([(1.0, 0.0), (0.0, 1.0)]):

        def central(x: float, step: tuple[float, float] = step) -> np.ndarray:
            ends = [values(1.0 + s * x * step[0], 1.0 + s * x * step[1]) for s in (1.0, -1.0)]
            return np.asarray(ends[0] - ends[1]) / (2.0 * x)

        expected = (4.0 * central(0.5 * h) - central(h)) / 3.0
        unit = (t, sigma_x2)[k]
        own = np.array([getattr(found, name)[k] * unit for name in NAMES])
        np.testing.assert_allclose(own / size, expected / size, rtol=0.0, atol=2e-6)
        # the differences themselves are good to h^4 times a fifth derivative of some 10^2 at most
        first = slice(0, 1) if t < 1.0 else slice(0, 0)
        np.testing.assert_allclose((own / size)[first], (expected / size)[first], atol=1e-8)


def test_a_jump_has_no_derivative_and_needs_none() -> None:
    """sign has s^2 = 1 - v^2 - 2/pi and v^2 + 2 rho/pi = (2/pi) arcsin rho."""
    sign = Activation.of(np.sign)
    for t in (0.05, 0.9):
        found = slopes(sign, t, 1.0)
        rho = math.exp(-2.0 * t)  # Gamma_t = 1
        in_rho = 2.0 / math.pi * (1.0 / math.sqrt(1.0 - rho * rho) - 1.0)
        assert found.v2[0] == pytest.approx(-2.0 * rho * in_rho, rel=1e-9)
        assert found.s2[0] == pytest.approx(2.0 * rho * in_rho, rel=1e-9)
        assert found.residual_variance[0] == pytest.approx(0.0, abs=1e-10)


def test_relu_scales() -> None:
    """Homogeneous: a is 1/2 whatever Gamma_t is, and N is proportional to Gamma_t^2."""
    activation, t, sigma_x2 = Activation.of("relu"), 0.1, 1.7
    found, c = slopes(activation, t, sigma_x2), coefficients(activation, t, sigma_x2)
    signal = math.exp(-2.0 * t)
    in_gamma2 = np.array([2.0 * signal * (1.0 - sigma_x2), signal]) / c.Gamma_t**2
    np.testing.assert_allclose(found.a, 0.0, atol=1e-13)
    np.testing.assert_allclose(found.residual_variance, c.residual_variance * in_gamma2, rtol=1e-12)


def test_linear_has_no_residual() -> None:
    found = slopes(Activation.of("linear"), 0.1, 1.7)
    assert found.v2 == found.s2 == found.residual_variance == (0.0, 0.0)
    np.testing.assert_allclose(found.a, 0.0, atol=1e-14)
