"""The Frechet distance, against closed forms, and its error and bias, against repeated draws."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dmft_rf import ModelError
from dmft_rf.monitor import frechet_distance
from dmft_rf.monitor.frechet import _distance

Array = NDArray[np.float64]


def as_given(rows: Array) -> Array:
    return rows


def shaped(rng: np.random.Generator, n: int, mean: Array, covariance: Array) -> Array:
    """Rows whose sample mean and covariance are these, but for rounding."""
    rows = rng.normal(size=(n, len(mean)))
    rows -= rows.mean(axis=0)
    rows = rows @ np.linalg.inv(np.linalg.cholesky(np.cov(rows.T))).T
    return rows @ np.linalg.cholesky(covariance).T + mean


def test_covariances_that_commute() -> None:
    """|m_1 - m_2|^2 + sum of (s_1 - s_2)^2, in any common basis."""
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    one, two = np.array([3.0, 1.0, 0.5, 2.0, 1e-3]), np.array([1.0, 1.5, 0.5, 1e-2, 1.0])
    shift = np.array([1.0, -2.0, 0.0, 0.5, 0.25])
    a = shaped(rng, 100, shift, (q * one**2) @ q.T)
    b = shaped(rng, 80, np.zeros(5), (q * two**2) @ q.T)
    expected = np.sum(shift**2) + np.sum((one - two) ** 2)
    found = frechet_distance(a, b, features=as_given)
    assert float(found) == found.distance == pytest.approx(expected, rel=1e-9)
    assert (found.features, found.sizes) == (5, (100, 80))


def test_two_dimensions_in_closed_form() -> None:
    """Tr M^(1/2) = sqrt(Tr M + 2 sqrt(det M)) for M of size 2, M = C_1 C_2."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        one, two = (part @ part.T for part in rng.normal(size=(2, 2, 2)))
        product = one @ two
        cross = math.sqrt(np.trace(product) + 2.0 * math.sqrt(np.linalg.det(product)))
        expected = 1.0 + np.trace(one) + np.trace(two) - 2.0 * cross
        found = _distance((np.zeros(2), one), (np.array([0.6, 0.8]), two))
        assert found == pytest.approx(expected, rel=1e-10)


def test_singular_covariances_keep_their_digits() -> None:
    """A covariance with itself: rounding is that of the trace, not of its root."""
    rng = np.random.default_rng(2)
    root = rng.normal(size=(30, 4))
    found = _distance((np.zeros(30), root @ root.T), (np.zeros(30), root @ root.T))
    # 30 eigenvalues, of which 26 are rounding, each with a root of 1e-7 at most
    assert found <= 30 * 2 * math.sqrt(2.0**-52 * np.sum(root**2)) * math.sqrt(2.0**-52)


def test_a_rotation_and_a_shift_of_both_change_nothing() -> None:
    rng = np.random.default_rng(3)
    a, b = 1.3 * rng.normal(size=(200, 12)) + 0.2, rng.normal(size=(300, 12)) * np.arange(1, 13)
    q, _ = np.linalg.qr(rng.normal(size=(12, 12)))
    expected = frechet_distance(a, b, 6).distance
    assert frechet_distance(a @ q + 5.0, b @ q + 5.0, 6).distance == pytest.approx(expected)
    order = rng.permutation(200)
    assert frechet_distance(a[order], b, 6).distance == pytest.approx(expected)
    # components have unit variance, whatever the scale of the images
    assert frechet_distance(100.0 * a, 100.0 * b, 6).distance == pytest.approx(expected)


def test_images_from_themselves() -> None:
    x = np.random.default_rng(4).normal(size=(150, 4, 5))
    found = frechet_distance(x, x)
    assert found.distance == pytest.approx(0.0, abs=1e-10)
    assert found.features == 20


@pytest.mark.parametrize("scale", [1.0, 1.2])
def test_error_and_bias_are_those_of_repeated_draws(scale: float) -> None:
    """Of two sets of the same Gaussian the bias is k (k + 5)/4 (1/n_1 + 1/n_2)."""
    rng = np.random.default_rng(5)
    k, sizes = 6, (200, 500)
    found = [
        frechet_distance(
            scale * rng.normal(size=(sizes[0], k)), rng.normal(size=(sizes[1], k)),
            features=as_given,
        )
        for _ in range(300)
    ]  # fmt: skip
    values = np.array([one.distance for one in found])
    truth = k * (scale - 1.0) ** 2
    error_of_mean = values.std() / math.sqrt(300)
    corrected = np.mean([one.corrected for one in found])
    bias = np.mean([one.bias for one in found])
    if scale == 1.0:
        assert bias == pytest.approx(k * (k + 5) / 4 * (1 / 200 + 1 / 500), rel=0.1)
    # the correction is to first order in 1/n: 5 % of it is left
    assert corrected == pytest.approx(truth, abs=4.0 * error_of_mean + 0.05 * bias)
    # the jackknife errs on the large side where the distance is nothing but noise
    mean_error = math.sqrt(np.mean([one.standard_error**2 for one in found]))
    assert 0.85 < mean_error / values.std() < (1.6 if scale == 1.0 else 1.25)


def test_the_distance_does_not_depend_on_the_seed() -> None:
    rng = np.random.default_rng(6)
    a, b = rng.normal(size=(100, 5)), rng.normal(size=(100, 5))
    one, two = (frechet_distance(a, b, 3, seed=seed) for seed in (0, 1))
    assert one.distance == pytest.approx(two.distance, rel=1e-10)
    assert one.standard_error != two.standard_error
    assert one == frechet_distance(a, b, 3)


X = np.random.default_rng(7).normal(size=(60, 12))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((X[:3], X), "a has 3 images; a Frechet distance needs at least 40"),
        ((X, np.ones((60, 12))), "b: all images are equal"),
        ((X, X[:, :5]), "12 numbers, those of b have 5"),
        ((X, X, 16), "components is 16; with 60 and 60 images it must be at most 15"),
        ((X, X, 0), "components is 0"),
        ((X, X, 3, as_given), "without components"),
        ((X, X, None, 3), "features must be a function"),
        ((X, X, None, lambda rows: rows[:5]), "a row for each"),
        ((X, X, None, lambda rows: rows * np.nan), "what features returns must be finite"),
    ],
)
def test_one_line_for_what_cannot_be_used(arguments: Any, words: str) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        frechet_distance(*arguments)
    assert "\n" not in str(caught.value)
