"""The series in diffusion time against the quadratures that they replace."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dmft_rf.generated.activation_in_time import in_time
from dmft_rf.model.activation import Activation
from dmft_rf.model.coefficients import coefficients, linear_part


def clipped(x: np.ndarray) -> np.ndarray:
    return np.clip(x, -0.7, 1.3)


CASES: list[tuple[str | Callable[..., Any], float]] = [
    ("tanh", 1.0), ("relu", 1.0), ("relu", 0.3), ("gelu", 5.0), (clipped, 1.0), ("linear", 2.0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("activation", "sigma_x2"), CASES, ids=lambda case: getattr(case, "__name__", str(case))
)
def test_both_coefficients(activation: Any, sigma_x2: float) -> None:
    series = in_time(Activation.of(activation), sigma_x2)
    t = np.array([1e-8, 3e-5, 2e-3, 0.04, 0.3, 1.2, 3.0, 7.5])
    exact = [coefficients(activation, float(one), sigma_x2) for one in t]
    # relative to varrho^2, the first term of v^2, which vanishes for an odd function
    square = np.array([c.rho for c in exact]) ** 2
    v2 = np.array([c.v2 for c in exact]) / square
    np.testing.assert_allclose(series.v2(t) / square, v2, rtol=1e-11, atol=2e-12 * v2.max())
    log = np.log([c.Gamma_t**2 for c in exact])
    a = series.linear(float(log.min()), float(log.max()))(log)
    np.testing.assert_allclose(a, [c.a for c in exact], rtol=1e-12)
    assert series.error <= 1e-12


def test_the_start_is_the_residual_variance() -> None:
    c = coefficients("tanh", 1e-9)
    start = in_time(Activation.of("tanh"), 1.0).v2(np.zeros(1))[0]
    assert start == pytest.approx(c.residual_variance, rel=1e-9)


def test_linear_part_at_any_deviation() -> None:
    """E[tanh'(gamma z)], and that of a step of height 2 far out: sqrt(2/pi) 2/(2 gamma)."""
    z = np.linspace(-14.0, 14.0, 40001)
    weight = np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi) * (z[1] - z[0])
    tanh = Activation.of("tanh")
    for gamma in (0.05, 1.0, 6.0):
        assert linear_part(tanh, gamma) == pytest.approx(
            float(weight @ np.cosh(gamma * z) ** -2.0), rel=1e-12
        )
    assert linear_part(tanh, 3e3) == pytest.approx(math.sqrt(2.0 / math.pi) / 3e3, rel=1e-6)
    series = in_time(tanh, 1.0).linear(-8.0, 9.0)
    log = np.linspace(-8.0, 9.0, 30)
    exact = [linear_part(tanh, math.exp(0.5 * float(one))) for one in log]
    np.testing.assert_allclose(series(log), exact, rtol=1e-11)
