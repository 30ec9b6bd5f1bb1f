"""Curves between known times: against exact ones within their error, and what is refused."""

import math
from typing import Any

import numpy as np
import pytest

import dmft_rf as rf
from dmft_rf.curves.losses import LOSSES
from dmft_rf.numerics.between import POINTS, between
from dmft_rf.numerics.estimate import ROUNDING, Estimate

MODELS = [
    rf.ScoreModel(0.01, 64.0, 8.0, covariance=rf.Covariance([0.5, 1.5])),
    rf.ScoreModel(0.3, 2.0, 1.9),  # close to interpolation
    rf.ScoreModel(0.1, 4.0, 2.0, noise_draws=3),
]


def known_times(count: int) -> np.ndarray:
    return np.concatenate([[0.0], np.geomspace(1e-2, 1e9, count), [math.inf]])


@pytest.mark.parametrize("count", [64, 100, 300])
@pytest.mark.parametrize(
    "rule", [rf.GradientFlow(), rf.GradientFlow(0.01, 1.0), rf.WeightAverage(50.0)]
)
@pytest.mark.parametrize("model", MODELS)
def test_errors_hold_against_exact_curves(model: rf.ScoreModel, rule: Any, count: int) -> None:
    solution = rf.solve(model)
    known = solution.learning_curves(known_times(count), rule)
    tau = np.exp(np.random.default_rng(count).uniform(math.log(1e-2), math.log(1e9), 150))
    exact, found = solution.learning_curves(tau, rule), known.interpolate(tau)
    for name in (*LOSSES, "generalization_gap"):
        off = np.abs(getattr(found, name) - getattr(exact, name))
        claimed = found.error[name] + exact.error[name]
        assert np.all((off <= claimed) | np.isnan(getattr(exact, name)))
    # 6, 9 and 27 times a decade; at the ends the errors of known values grow a hundredfold
    assert found.relative_error < {64: 0.1, 100: 1e-4, 300: 1e-8}[count]


def test_known_times_keep_their_values() -> None:
    known = rf.solve(MODELS[0]).learning_curves(known_times(100))
    tau = known.tau[[0, 5, 101, 40]].reshape(2, 2)
    found = known.interpolate(tau)
    for name in (*LOSSES, "generalization_gap"):
        np.testing.assert_array_equal(
            getattr(found, name), getattr(known, name)[[0, 5, 101, 40]].reshape(2, 2)
        )
        np.testing.assert_array_equal(
            found.error[name], known.error[name][[0, 5, 101, 40]].reshape(2, 2)
        )
    few = rf.solve(MODELS[0]).learning_curves([0.0, 3.0, math.inf])
    np.testing.assert_array_equal(few.interpolate([3.0, 0.0]).test, few.test[[1, 0]])


def test_order_and_repetition_of_known_times_do_not_matter() -> None:
    solution = rf.solve(MODELS[0])
    times = np.geomspace(1.0, 1e4, 40)
    plain = solution.learning_curves(times).interpolate([2.5, 900.0])
    mixed = np.random.default_rng(0).permutation(np.concatenate([times, times[:7]]))
    other = solution.learning_curves(mixed).interpolate([2.5, 900.0])
    np.testing.assert_allclose(plain.test, other.test, rtol=1e-12)


def test_polynomials_are_exact() -> None:
    """Of degree w - 2 there is nothing to miss: what is left of the error is rounding."""
    x = np.linspace(-1.0, 2.0, 2 * POINTS)
    at = np.random.default_rng(4).uniform(x[0], x[-1], 50)
    p = np.polynomial.Polynomial(np.random.default_rng(5).normal(size=POINTS - 1))
    q = np.polynomial.Polynomial([0.3])
    terms = np.polynomial.Polynomial(np.abs(p.coef))
    zero = np.zeros(x.size)
    known = Estimate(p(x), ROUNDING * terms(np.abs(x)))
    found = between(x, [known, Estimate(q(x), zero + 1e-3)], at)
    off = np.abs(found[0].value - p(at))
    assert np.all(off <= found[0].error + ROUNDING * terms(np.abs(at)))
    assert np.all(found[0].error <= 1e-9 * terms(np.abs(at)))
    # errors of the known values pass through: they are never smaller than one of them
    assert np.all(found[1].error >= 1e-3)
    np.testing.assert_allclose(found[1].value, 0.3, rtol=1e-9)


@pytest.mark.parametrize("tau", [0.999, 1.001e4, 0.0, math.inf, [2.0, 1e5]])
def test_times_beyond_the_known_ones_are_refused(tau: Any) -> None:
    known = rf.solve(MODELS[0]).learning_curves(np.geomspace(1.0, 1e4, 40))
    with pytest.raises(rf.ModelError, match=r"known at 40 finite times > 0, from 1 to 10000"):
        known.interpolate(tau)


def test_what_else_is_refused() -> None:
    solution = rf.solve(MODELS[0])
    with pytest.raises(rf.ModelError, match="fewer than the 14"):
        solution.learning_curves(np.geomspace(1.0, 20.0, 13)).interpolate(2.0)
    with pytest.raises(rf.ModelError, match="at most a factor"):
        solution.learning_curves(np.geomspace(1.0, 1e7, 30)).interpolate(2.0)
    rule = rf.GradientDescent(0.01)
    with pytest.raises(rf.ModelError, match="not smooth"):
        solution.learning_curves(0.01 * np.arange(1, 30), rule).interpolate(0.015)
    noisy = solution.learning_curves(
        np.geomspace(1.0, 20.0, 20), rf.StochasticGradientDescent(0.01)
    )
    with pytest.raises(rf.ModelError, match="not smooth"):
        noisy.interpolate(2.0)
