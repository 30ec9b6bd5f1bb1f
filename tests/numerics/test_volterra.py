"""Volterra equations with known solutions."""

import numpy as np
import pytest

from dmft_rf.numerics.volterra import solve_volterra


def _one(value):
    return lambda times: np.full(times.shape, value)


@pytest.mark.parametrize("mu", [0.03, 2.0, 4.0e3])
def test_one_exponential(mu):
    """F = 1, K = c e^{-mu s}: L = [mu - c e^{-(mu - c) t}]/(mu - c)."""
    c, times = 0.6 * mu, np.geomspace(1e-3, 1e3, 13)
    rates, part = np.array([mu + 0j]), np.array([c + 0j])
    found = solve_volterra(_one(1.0), _one(1.0), rates, part, 0.0 * part, 1.0, times[-1], (), 1e-12)
    L = (mu - c * np.exp(-(mu - c) * times)) / (mu - c)
    # L - 1 is K on L
    assert 1.0 + c * found.of(rates, times).real[:, 0] == pytest.approx(L, rel=1e-12)
    assert found.error.max() < 1e-11


def test_a_pair_of_complex_rates():
    """F = 1, K = cos(3 s) e^{-s} and e = 1/2, against a system of differential equations."""
    from scipy.integrate import solve_ivp

    rates, part = np.array([1.0 + 3.0j]), np.array([1.0 + 0j])
    found = solve_volterra(_one(0.5), _one(1.0), rates, part, 0.0 * part, 1.0, 7.0, (2.0,), 1e-12)

    def flow(_, y):
        drive = 0.5 * (1.0 + y[0])
        return [-y[0] + 3.0 * y[1] + drive, -y[1] - 3.0 * y[0]]

    times = np.array([0.5, 2.0, 7.0])
    exact = solve_ivp(flow, (0.0, 7.0), [0.0, 0.0], "DOP853", times, rtol=1e-12, atol=1e-14).y
    memory = found.of(rates, times)[:, 0]
    assert memory.real == pytest.approx(exact[0], abs=1e-11)
    assert memory.imag == pytest.approx(exact[1], abs=1e-11)


def test_the_slowest_and_the_fastest_mode_keep_their_digits():
    """Y of a constant drive is (1 - e^{-mu t})/mu, for rates from far below to far above 1/t."""
    rates = np.geomspace(1e-8, 1e6, 57) * np.exp(0.7j)
    none = np.zeros(rates.size, np.complex128)
    found = solve_volterra(_one(1.0), _one(1.0), rates, none, none, 1.0, 50.0, (), 1e-12)
    times = np.array([1e-5, 0.3, 20.0, 50.0])
    exact = -np.expm1(-np.multiply.outer(times, rates)) / rates
    assert np.abs(found.of(rates, times) / exact - 1.0).max() < 1e-11
