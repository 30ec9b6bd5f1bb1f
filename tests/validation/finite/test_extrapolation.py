"""Extrapolation in powers of 1/d, and the tests of agreement."""

import numpy as np
import pytest
import scipy.stats

from validation.compare.extrapolate import extrapolate, hotelling

# extrapolation -------------------------------------------------------------------------------


def fake_seeds(rng, q=4, order=2):
    d = np.repeat([20.0, 40.0, 80.0, 160.0], [60, 40, 20, 8])
    mix = rng.standard_normal((q, q))
    noise = rng.standard_normal((d.size, q)) @ mix / d[:, None]
    curve = 1.0 + 2.0 / d[:, None] + (30.0 / d[:, None] ** 2)
    if order == 3:
        curve = curve + 4e4 / d[:, None] ** 3
    return d, curve + noise


def test_extrapolation_covers_the_truth():
    rng = np.random.default_rng(0)
    probabilities = []
    for _ in range(300):
        d, y = fake_seeds(rng, order=3)
        fit = extrapolate(d, y)
        assert fit.order == 3
        probabilities.append(hotelling(fit.value - 1.0, fit.statistical, fit.dof)[2])
    # the probabilities of a true hypothesis are uniform
    assert scipy.stats.kstest(probabilities, "uniform").pvalue > 1e-3


def test_a_missing_power_is_seen():
    d, y = fake_seeds(np.random.default_rng(1), order=3)
    low = extrapolate(d, y, 2)
    assert hotelling(low.value - 1.0, low.statistical, low.dof)[2] < 1e-6


def test_hotelling_is_an_exact_f_test():
    chi2, q, probability = hotelling(np.array([2.0]), np.array([[1.0]]), 30)
    assert q == 1
    assert probability == pytest.approx(2 * scipy.stats.t.sf(2.0, 30), rel=1e-10)
    assert chi2 == pytest.approx(scipy.stats.chi2.isf(probability, 1), rel=1e-10)
    with pytest.raises(ValueError, match="degrees of freedom"):
        hotelling(np.ones(5), np.eye(5), 6)
    with pytest.raises(ValueError, match="two sizes"):
        extrapolate(np.array([4.0, 4.0]), np.ones((2, 1)))


def test_repeated_quantities_are_counted_once():
    rng = np.random.default_rng(2)
    covariance = np.diag([1.0, 4.0, 0.25])
    difference = rng.standard_normal(3)
    once = hotelling(difference, covariance, 60)
    twice = np.array([0, 1, 2, 2, 0])
    again = hotelling(difference[twice], covariance[np.ix_(twice, twice)], 60)
    assert again[1] == once[1] == 3
    assert again == pytest.approx(once, rel=1e-9)
