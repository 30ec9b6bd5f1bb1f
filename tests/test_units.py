"""Diffusion times and the noise levels that other programs state: one process, several names."""

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

from dmft_rf import ModelError, units
from dmft_rf.units import steps_from_time, time_from_steps

# from where a noise level can hardly be told from none to where nothing of the data is left
TIMES = np.geomspace(1e-300, 300.0, 200)


@pytest.mark.parametrize("t", [1e-12, 1e-3, 0.1, 1.0, 20.0])
def test_levels_are_those_of_the_process(t: float) -> None:
    """x_t = e^{-t} x_0 + sqrt(Delta_t) z, read as the other conventions write it."""
    with mpmath.workdps(40):
        signal = mpmath.exp(-mpmath.mpf(t))
        noise = mpmath.sqrt(1 - signal**2)
        expected = {
            "alpha_bar": signal**2,
            "sigma": noise / signal,
            "log_snr": mpmath.log(signal**2 / noise**2),
        }
    for name, value in expected.items():
        found = getattr(units, f"{name}_from_t")(t)
        assert found.shape == ()
        assert float(found) == pytest.approx(float(value), rel=1e-14, abs=1e-14)
        # a share of 1 - 2e-12 itself has four digits of t
        accuracy = 1e-3 if name == "alpha_bar" and t < 1e-6 else 1e-12
        assert float(getattr(units, f"t_from_{name}")(float(value))) == pytest.approx(
            t, rel=accuracy
        )


def test_there_and_back() -> None:
    np.testing.assert_allclose(units.t_from_sigma(units.sigma_from_t(TIMES)), TIMES, rtol=1e-13)
    # the logarithm of a ratio of 1e300 is known to 1e-13
    np.testing.assert_allclose(units.t_from_log_snr(units.log_snr_from_t(TIMES)), TIMES, rtol=1e-12)
    late = TIMES[TIMES > 1e-12].reshape(-1, 2)
    back = units.t_from_alpha_bar(units.alpha_bar_from_t(late))
    assert back.shape == late.shape
    np.testing.assert_allclose(back, late, rtol=0.0, atol=1e-13)
    sigma = np.geomspace(1e-150, 1e300, 200)
    np.testing.assert_allclose(units.sigma_from_t(units.t_from_sigma(sigma)), sigma, rtol=1e-12)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("steps", [2, 100, 1000])
def test_steps_of_a_schedule(schedule: str, steps: int) -> None:
    index = np.linspace(0.0, steps - 1.0, 37)
    t = units.t_from_ddpm(index, schedule=schedule, steps=steps)
    assert (np.diff(t) > 0.0).all()
    back = units.ddpm_index_from_t(t, schedule=schedule, steps=steps)
    np.testing.assert_allclose(back, index, rtol=1e-9, atol=1e-9)
    if schedule == "linear":
        kept = np.cumprod(1.0 - np.linspace(1e-4, 0.02, steps))
    else:  # the closed form, up to the last step, whose beta is cut off at 0.999
        share = np.cos((np.arange(1, steps) / steps + 0.008) / 1.008 * np.pi / 2.0) ** 2
        kept = share / np.cos(0.008 / 1.008 * np.pi / 2.0) ** 2
    whole = np.arange(kept.size)
    shares = units.alpha_bar_from_t(units.t_from_ddpm(whole, schedule=schedule, steps=steps))
    np.testing.assert_allclose(shares, kept, rtol=1e-11)


def test_the_schedule_of_ddpm_ends_where_it_is_known_to() -> None:
    """The last of alphas_cumprod in common programs is 4.036e-5."""
    t = units.t_from_ddpm(999)
    assert float(units.alpha_bar_from_t(t)) == pytest.approx(4.036e-5, rel=1e-4)
    assert t == units.t_from_ddpm(999, np.linspace(1e-4, 0.02, 1000))


def test_betas_of_ones_own() -> None:
    betas = [0.1, 0.5]
    np.testing.assert_allclose(
        units.t_from_ddpm([0, 0.5, 1], betas),
        -0.5 * np.log([0.9, 0.9 * np.sqrt(0.5), 0.45]),
        rtol=1e-14,
    )


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        (units.t_from_alpha_bar, ([0.5, 1.0],), "alpha_bar is 1.0; it must be strictly between"),
        (units.t_from_alpha_bar, (0.0,), "alpha_bar is 0.0"),
        (units.t_from_sigma, (0.0,), "sigma is 0.0; it must be finite and > 0"),
        (units.t_from_sigma, (1e-200,), "above 2.2e-154"),
        (units.t_from_sigma, (np.inf,), "sigma must be finite"),
        (units.t_from_log_snr, (710.0,), "log_snr is 710.0; it must be below 707"),
        (units.t_from_log_snr, (np.nan,), "log_snr must be finite"),
        (units.alpha_bar_from_t, (0.0,), "t is 0.0; it must be finite and > 0"),
        (units.alpha_bar_from_t, (1e-20,), "noise level is a float"),
        (units.alpha_bar_from_t, (400.0,), "noise level is a float"),
        (units.sigma_from_t, (1000.0,), "noise level is a float"),
        (units.log_snr_from_t, (-1.0,), "t is -1.0"),
        (units.t_from_ddpm, (1000,), "index is 1000.0; it must be between 0 and 999"),
        (units.t_from_ddpm, (-1,), "index must be finite and >= 0"),
        (units.t_from_ddpm, (0, [0.1, 1.0]), "betas is 1.0; it must be strictly between"),
        (units.t_from_ddpm, (0, []), "betas must not be empty"),
        (units.t_from_ddpm, (1, [0.1, 1e-20]), "lost in rounding"),
        (units.ddpm_index_from_t, (5.1,), "t is 5.1; it must be between 5.0002"),
        (units.ddpm_index_from_t, (1e-6,), "the first and the last step"),
    ],
)
def test_domains(function: Callable[..., Any], arguments: tuple[Any, ...], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        function(*arguments)


def test_a_schedule_is_stated_once() -> None:
    with pytest.raises(ModelError, match="steps is 10, but betas"):
        units.t_from_ddpm(0, [0.1], steps=10)
    with pytest.raises(ModelError, match="schedule is 'cosine', but betas"):
        units.ddpm_index_from_t(0.1, [0.1], schedule="cosine")
    with pytest.raises(ModelError, match="schedule is 'sqrt'; it must be one of linear, cosine"):
        units.t_from_ddpm(0, schedule="sqrt")


def test_steps_and_time_convert_both_ways():
    steps = np.array([0.0, 1.0, 1e6, np.inf])
    assert np.array_equal(time_from_steps(steps, 0.5, 10.0), steps * 0.5 / 100.0)
    assert np.array_equal(time_from_steps(steps, 0.5, 10.0, 8.0), steps * 0.5 * 8.0 / 10.0)
    for psi_p in (None, 8.0):
        tau = time_from_steps(steps, 0.3, 64, psi_p)
        np.testing.assert_allclose(steps_from_time(tau, 0.3, 64, psi_p), steps, rtol=1e-15)


def test_gradient_descent_with_the_learning_rate_is_the_step_of_the_theory():
    # a step of eta on L(A) = (1/d) |..|^2 in both writings of a small network
    rng = np.random.default_rng(0)
    d, p, eta = 3, 5, 0.1
    phi, xi = rng.normal(size=p), rng.normal(size=d)
    A = rng.normal(size=(d, p))

    def gradient(weights: np.ndarray, scale: float) -> np.ndarray:
        return 2.0 / d * scale * np.outer(weights @ phi * scale + xi, phi)

    paper = -gradient(A, p**-0.5)  # dA/(eta) of the network with 1/sqrt(p)
    per_step = float(time_from_steps(1, eta, d))
    np.testing.assert_allclose(eta * paper, per_step * d**2 * paper)
    plain = -gradient(A / p**0.5, 1.0) * p**0.5  # seen in A = sqrt(p) A'
    per_step = float(time_from_steps(1, eta, d, p / d))
    np.testing.assert_allclose(eta * plain, per_step * d**2 * paper)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((-1.0, 0.1, 10), "steps must be >= 0, inf allowed, not -1.0"),
        ((math.nan, 0.1, 10), "steps must be >= 0, inf allowed, not nan"),
        (("x", 0.1, 10), "steps must be real numbers, not 'x'"),
        ((1, 0.0, 10), "learning_rate is 0.0"),
        ((1, math.inf, 10), "learning_rate is inf"),
        ((1, 0.1, -3), "dimension is -3"),
        ((1, 0.1, "y"), "dimension is 'y'"),
        ((1, 0.1, 10, 0), "psi_p is 0"),
    ],
)
def test_bad_units_are_named(arguments, name):
    with pytest.raises(ModelError, match=name):
        time_from_steps(*arguments)
    with pytest.raises(ModelError, match=name.replace("steps", "tau")):
        steps_from_time(*arguments)
