"""Memorized fraction, Frechet distance, training times and exponents of trained networks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.linalg import sqrtm

from dmft_rf import Covariance, DataError, ModelError
from validation.networks.analysis import dating, solvable
from validation.networks.run import measures


def test_ratio_of_distances() -> None:
    train = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 100.0]])
    ratio, index = measures.nearest(np.array([[1.0, 0.0], [3.5, 0.0], [4.0, 0.0]]), train)
    assert np.allclose(ratio, [1 / 3, 1 / 7, 0.0])
    assert index.tolist() == [0, 1, 1]


def test_copies_are_found_at_any_offset() -> None:
    """Distances are differences: a copy shows however far the data are from the origin."""
    rng = np.random.default_rng(0)
    train = rng.standard_normal((20, 5)) + 1e8
    ratio, index = measures.nearest(train[[3, 11]] + 1e-7, train)
    assert index.tolist() == [3, 11]
    assert ratio.max() < 1e-5


def test_strangers_are_not_memorized() -> None:
    """In d dimensions the ratio of independent samples is below k with a chance of order k^d."""
    rng = np.random.default_rng(1)
    ratio, _ = measures.nearest(rng.standard_normal((2000, 16)), rng.standard_normal((50, 16)))
    fraction, _ = measures.memorized(ratio, rng)
    assert (fraction <= np.array([0.0, 2e-3, 0.0])).all()


def test_fractions_are_ordered_and_their_errors_binomial() -> None:
    ratio = np.random.default_rng(2).random(4000)
    fraction, error = measures.memorized(ratio, np.random.default_rng(3))
    third, half, quarter = fraction
    assert quarter < third < half
    # 400 resamples give an error to about 4 %
    assert np.allclose(error, np.sqrt(fraction * (1 - fraction) / 4000), rtol=0.15)
    assert np.abs(fraction - measures.THRESHOLDS).max() < 5 * error.max()


@pytest.mark.parametrize(
    ("samples", "train"),
    [
        (np.zeros((3, 2)), np.zeros((4, 3))),
        (np.zeros((3, 2)), np.zeros((1, 2))),
        (np.full((3, 2), np.nan), np.eye(2)),
        (np.zeros((1, 2)), np.zeros((2, 2))),
    ],
)
def test_what_has_no_ratio(samples: np.ndarray, train: np.ndarray) -> None:
    with pytest.raises(DataError):
        measures.nearest(samples, train)


def test_frechet_distance() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.standard_normal((2, 5, 9))
    one, two = a @ a.T, b @ b.T
    m1, m2 = rng.standard_normal((2, 5))
    direct = np.sum((m1 - m2) ** 2) + np.trace(one + two - 2.0 * sqrtm(one @ two).real)
    assert math.isclose(measures.frechet(m1, one, m2, two), direct, rel_tol=1e-9)
    assert math.isclose(measures.frechet(m2, two, m1, one), direct, rel_tol=1e-9)
    assert measures.frechet(m1, one, m1, one) < 1e-12
    # commuting covariances: squared difference of the standard deviations
    assert math.isclose(
        measures.frechet(m1, np.diag([4.0, 9.0, 1.0, 1.0, 0.0]), m1, np.eye(5)), 1 + 4 + 0 + 0 + 1
    )


def test_features_are_white_on_the_reference_and_scale_free() -> None:
    rng = np.random.default_rng(5)
    reference = rng.standard_normal((4000, 6)) * np.array([5.0, 3.0, 1.0, 0.5, 0.1, 1e-9])
    features = measures.Features.of(reference, 5)
    assert np.allclose(np.cov(features(reference), rowvar=False), np.eye(5), atol=1e-9)
    assert features.distance(reference) < 1e-9
    real = rng.standard_normal((3000, 6)) * np.array([5.0, 3.0, 1.0, 0.5, 0.1, 1e-9])
    mean, spread = features.yardstick(real, 200, rng)
    assert features.distance(real[:200] + np.eye(6)[0]) > mean
    assert features.distance(1.5 * real[:200]) > mean + 5 * spread
    # the bias of a finite set falls with its size
    assert features.yardstick(real, 800, rng)[0] < mean
    with pytest.raises(DataError, match="cannot be drawn"):
        features.yardstick(real, 5000, rng)
    with pytest.raises(DataError, match="no variance"):
        measures.Features.of(np.ones((40, 3)))


def test_reach_interpolates_in_log_time() -> None:
    step = np.geomspace(1, 1e4, 9)
    value = np.log10(step)
    assert math.isclose(dating.reach(step, value, 1.3), 10**1.3, rel_tol=1e-12)
    assert math.isclose(dating.fall(step, -value, -1.3), 10**1.3, rel_tol=1e-12)


def test_reach_needs_two_in_a_row() -> None:
    step = np.arange(1.0, 8.0)
    outlier = np.array([0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0])
    assert 5.0 < dating.reach(step, outlier, 0.5) < 6.0
    assert math.isnan(dating.reach(step, np.array([0, 0, 0, 0, 0, 0, 1.0]), 0.5))
    assert math.isnan(dating.reach(step, np.ones(7), 0.5))  # only an upper bound is known
    assert math.isnan(dating.reach(step, np.zeros(7), 0.5))
    with pytest.raises(ModelError):
        dating.reach([1.0, 1.0], [0.0, 1.0], 0.5)


def test_slope_of_a_power_law() -> None:
    n = np.tile([16.0, 32.0, 64.0, 128.0], 3)
    seed = np.repeat([0, 1, 2], 4)
    exact = dating.slope(n, 7.0 * n**1.1, seed)
    assert math.isclose(exact.value, 1.1, rel_tol=1e-12)
    assert exact.seed_error < 1e-12
    assert exact.fit_error < 1e-7
    assert (exact.seeds, exact.points) == (3, 12)
    holes = 7.0 * n**1.1
    holes[[1, 6]] = np.nan
    assert math.isclose(dating.slope(n, holes, seed).value, 1.1, rel_tol=1e-12)


def test_seeds_with_few_sizes_count_little() -> None:
    """The exponent is that of one fit with a factor for each seed, whatever sizes each has."""
    rng = np.random.default_rng(8)
    n = np.array([16, 32, 64, 128, 16, 32, 32, 64.0])
    seed = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    tau = n * np.exp(0.3 * rng.standard_normal(8))
    design = np.column_stack([np.log(n), *(seed == s for s in range(3))])
    direct = np.linalg.lstsq(design, np.log(tau), rcond=None)[0][0]
    assert math.isclose(dating.slope(n, tau, seed).value, direct, rel_tol=1e-12)


def test_errors_of_a_slope_are_those_of_the_noise() -> None:
    """Over many data sets the stated errors are what the slopes scatter by."""
    rng = np.random.default_rng(6)
    n, seed = np.tile([16.0, 32.0, 64.0, 128.0], 6), np.repeat(np.arange(6), 4)
    fits = [dating.slope(n, n * np.exp(0.2 * rng.standard_normal(24)), seed) for _ in range(300)]
    scatter = np.std([fit.value for fit in fits])
    assert math.isclose(np.mean([fit.fit_error for fit in fits]), scatter, rel_tol=0.12)
    assert math.isclose(np.mean([fit.seed_error for fit in fits]), scatter, rel_tol=0.15)


def test_slope_says_what_it_does_not_know() -> None:
    one = dating.slope([16, 32, 64], [1.0, 2.0, 4.0], [0, 0, 0])
    assert math.isnan(one.seed_error)
    assert str(one) == f"1.00 ± {one.fit_error:.2f} (one seed)"
    none = dating.slope([16, 32], [math.nan, 2.0], [0, 0])
    assert none.seeds == 0
    assert str(none) == "not dated"


def test_collapse() -> None:
    sizes = (16.0, 32.0, 64.0)
    raw = [
        (np.geomspace(10, 1e5, 60), np.tanh(np.geomspace(10, 1e5, 60) / (40 * n))) for n in sizes
    ]
    scaled = [(x / n, y) for (x, y), n in zip(raw, sizes, strict=True)]
    # interpolation on 15 points per decade
    assert dating.spread(scaled) < 5e-3
    assert dating.spread(raw) > 0.08
    assert math.isnan(dating.spread(raw[:1]))


def test_the_solvable_model_beside_the_networks() -> None:
    """Its tau_mem is where its own losses say, and grows with n."""
    law = Covariance([0.1, 0.5], [0.75, 0.25])
    found = {n: solvable.curves(law, n, 64, 64 * 64 * 16, 100) for n in (64, 128, 256)}
    for curves in found.values():
        ratio = np.interp(np.log(curves.tau_mem), np.log(curves.tau), curves.test / curves.train)
        # 120 points over six decades
        assert math.isclose(ratio, dating.RATIO, rel_tol=2e-2)
        assert (np.diff(curves.train) < 1e-12).all()  # falls, to rounding where it has arrived
        # the definition of the networks, on the curves of the model
        again = dating.reach(curves.tau, curves.test / curves.train, dating.RATIO)
        assert math.isclose(again, curves.tau_mem, rel_tol=2e-2)
    assert found[64].tau_mem < found[128].tau_mem < found[256].tau_mem


def test_tau_mem_of_unlimited_parameters_is_proportional_to_n_far_above_d() -> None:
    law, d = Covariance([0.1, 0.5], [0.75, 0.25]), 64

    def tau_mem(n: int, parameters: float) -> float:
        return solvable.curves(law, n, d, parameters, 100, points=2).tau_mem

    many = solvable.UNLIMITED * d**2
    assert math.isclose(tau_mem(32 * d, many) / tau_mem(16 * d, many), 2.0, rel_tol=0.03)
    for n in (d // 4, 8 * d):  # more parameters change nothing
        assert math.isclose(tau_mem(n, many), tau_mem(n, 100.0 * many), rel_tol=1e-3)


def test_a_model_that_never_overfits_has_no_tau_mem() -> None:
    # fewer features than samples: the two losses stay close
    curves = solvable.curves(Covariance.isotropic(), 64 * 64, 64, 64 * 64, 400)
    assert math.isnan(curves.tau_mem)
    assert (curves.test < dating.RATIO * curves.train).all()
