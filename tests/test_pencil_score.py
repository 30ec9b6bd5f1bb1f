"""Pencils of the score model: against the closed form, and m noise draws against exact values."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dmft_rf import Covariance, ScoreModel
from dmft_rf.pencil import zoo
from dmft_rf.stieltjes import resolvent

MODELS = {
    "two atoms": ScoreModel(0.1, 8.0, 4.0, covariance=Covariance([0.5, 1.5])),
    "few features, erf": ScoreModel(0.05, 0.7, 3.0, "erf", Covariance([0.2, 1.0, 3.0])),
    "relu, small t": ScoreModel(0.01, 20.0, 8.0, "relu"),
}


@pytest.fixture(params=MODELS.values(), ids=MODELS.keys())
def model(request: pytest.FixtureRequest) -> ScoreModel:
    return request.param


def points_for(model: ScoreModel) -> np.ndarray:
    """Off the axis on both sides, on it inside and outside the support, and far away."""
    from dmft_rf import spectrum

    (low, high) = spectrum(model).edges[-1]
    inside = 0.3 * low + 0.7 * high
    return np.array(
        [inside + 0.1j, 0.5 * low - 1e-3j, inside, -1.0, 2.0 * high, 1e3j, low + 1e-6j * high]
    )


def test_one_point_functions(model: ScoreModel) -> None:
    z = points_for(model)
    pencil = zoo.score_model().bind(model.covariance, **zoo.score_values(model))
    points, exact = pencil.solve(z), resolvent(model, z)
    gamma = float(pencil.values["gamma"])
    assert_allclose(points.q, exact.q, rtol=1e-12)
    assert_allclose(-points.trace("f", "e") / gamma, exact.S(), rtol=1e-12)
    weight = model.diffused
    assert_allclose(-points.trace("f", "e", weight) / gamma, exact.S(weight), rtol=1e-12)


REFERENCE = Path(__file__).parent / "data" / "noise_draws.json"
