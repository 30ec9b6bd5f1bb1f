"""Models stated in the numbers of a real run: samples, parameters, data as they are."""

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmft_rf import Covariance, DataError, Mixture, ModelError, ScoreModel, read_covariance
from dmft_rf.errors import DataScaleWarning
from dmft_rf.model.covariance import SampleSizeWarning

X = np.random.default_rng(0).normal(size=(200, 2, 3)) * [0.5, 1.0, 1.3]
LAW = Covariance.from_samples(X)


def test_sizes_are_those_of_the_data() -> None:
    """psi_n = n/d, and the trained layer has d p numbers: P = d p."""
    features = 48
    model = ScoreModel.of(t=0.1, data=X, parameters=6 * features, activation="relu", noise_draws=2)
    assert model == ScoreModel(0.1, features / 6, 200 / 6, "relu", LAW, 2)
    assert ScoreModel.of(t=0.1, data=LAW, psi_p=8.0, n=12) == ScoreModel(
        0.1, 8.0, 2.0, covariance=LAW
    )
    assert ScoreModel.of(t=0.1, data=LAW, psi_p=8.0, psi_n=2.0).psi_n == 2.0
    mixture = Mixture([0.5, 0.5], [[0.5, 0.5], [0.5, 2.5]], dimension=6)
    assert ScoreModel.of(t=0.1, data=mixture, psi_p=8.0, n=12).psi_n == 2.0


def test_data_in_every_form(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    expected = ScoreModel.of(t=0.1, data=X, psi_p=4.0)
    for data in (X.reshape(200, 6), tmp_path / "x.npy", str(tmp_path / "x.npy"), LAW):
        found = ScoreModel.of(t=0.1, data=data, psi_p=4.0)
        np.testing.assert_allclose(
            found.covariance.eigenvalues, expected.covariance.eigenvalues, rtol=1e-12
        )
        assert found.psi_n == 200 / 6
    with pytest.raises(DataError, match="no such file"):
        ScoreModel.of(t=0.1, data=tmp_path / "none.npy", psi_p=4.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"psi_p": 1.0, "parameters": 6.0}, "parameters is 6.0 and psi_p 1.0; give one"),
        ({"psi_p": 1.0, "n": 6, "psi_n": 1.0}, "n is 6 and psi_n 1.0; give one"),
        ({}, "parameters or psi_p must be given"),
        ({"psi_p": 1.0, "n": 6.0}, "n is 6.0; it must be an integer"),
        ({"parameters": 0.0}, "parameters is 0.0"),
        ({"psi_p": 1.0, "data": Covariance.isotropic()}, "n or psi_n must be given"),
        ({"psi_p": 1.0, "data": Covariance.isotropic(), "n": 3}, "n is 3; it also needs the dim"),
        ({"parameters": 9.0, "data": Covariance.isotropic(), "psi_n": 3.0}, "also needs the dim"),
        ({"psi_p": 1.0, "data": None}, "real numbers"),
        ({"psi_p": 1.0, "data": [1.0, 2.0]}, "at least two-dimensional"),
    ],
)
def test_domain(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        ScoreModel.of(**{"t": 0.1, "data": LAW, **arguments})


@pytest.mark.parametrize(
    ("factor", "words"), [(127.5, "from 0 to 255"), (0.3, "-1 to 1 or 0 to 1")]
)
def test_data_at_another_scale_than_the_noise(factor: float, words: str) -> None:
    with pytest.warns(DataScaleWarning, match=words) as caught:
        ScoreModel.of(t=0.1, data=X * factor, psi_p=4.0)
    assert [one.filename for one in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ScoreModel.of(t=0.1, data=X * 3.0, psi_p=4.0)
        ScoreModel.of(t=0.1, data=LAW.scaled(factor**2).normalized(), psi_p=4.0)
        # a law that is stated is meant
        ScoreModel.of(t=0.1, data=Covariance([factor**2], dimension=6), psi_p=4.0, n=12)


def test_few_samples_warn_where_the_model_is_made() -> None:
    with pytest.warns(SampleSizeWarning):
        ScoreModel.of(t=0.1, data=X[:20], psi_p=4.0)


def test_the_digits() -> None:
    law = read_covariance("digits").normalized()
    model = ScoreModel.of(t=0.1, data=law, parameters=64 * 512)
    assert (model.psi_n, model.psi_p) == (1797 / 64, 8.0)
    assert math.isinf(model.noise_draws)
