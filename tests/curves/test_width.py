"""How wide a network has to be."""

import math

import numpy as np
import pytest

from dmft_rf import Covariance, Mixture, ModelError, ScoreModel, solve, timescales, width_needed
from dmft_rf.curves.width import critical_width

MODEL = ScoreModel(0.1, 8.0, 4.0)


@pytest.mark.parametrize(
    ("tau", "limit", "correction"),
    [(1e3, 1.143992894532, -0.40862), (math.inf, 4.51665556613, -125.69)],
)
def test_from_the_first_correction(tau: float, limit: float, correction: float) -> None:
    """psi_p (L_test - limit), by another program."""
    error = 1e-4
    expected = abs(correction) / limit / error
    # the correction has a next one, of relative order 1/(psi_p error)
    assert width_needed(MODEL, error, tau) == pytest.approx(expected, rel=3e-3)


@pytest.mark.parametrize(
    "model",
    [
        MODEL,
        ScoreModel(0.03, 8.0, 3.0, "relu", Covariance([0.5, 1.5])),
        ScoreModel(0.1, 8.0, 3.0, "linear", Covariance([0.5, 1.5])),
    ],
    ids=["tanh", "relu", "linear"],
)
def test_from_there_on_the_test_loss_is_within_the_error(model: ScoreModel) -> None:
    tau = np.append(np.geomspace(0.1, 1e6, 30), math.inf)
    limit = solve(model.replace(psi_p=math.inf)).learning_curves(tau).test
    needed = width_needed(model, 0.05, tau)

    def difference(psi_p: float) -> float:
        finite = solve(model.replace(psi_p=psi_p)).learning_curves(tau).test
        return float(np.abs(finite / limit - 1.0).max())

    assert difference(needed) == pytest.approx(0.05, rel=1e-6)
    for factor in (1.1, 2.0, 10.0, 1e3):
        assert difference(factor * needed) < 0.05
    assert difference(0.9 * needed) > 0.05
    # over all of training at least as much, and about as much on a grid as fine as this
    assert width_needed(model, 0.05) == pytest.approx(needed, rel=0.1)


def test_the_scale_of_late_times() -> None:
    """tau_mem over that of infinite width is 1 - 1.2 psi_p*/psi_p."""
    model = MODEL.replace(psi_p=1e5)
    ratio = (
        timescales(solve(model)).tau_mem / timescales(solve(MODEL.replace(psi_p=math.inf))).tau_mem
    )
    assert (ratio - 1.0) * 1e5 / critical_width(MODEL) == pytest.approx(-1.2, abs=0.05)
    c = MODEL.coefficients
    A, vn = c.b**2 + c.gamma2, c.v2 / 4.0
    k = 0.5 * (A + vn) + math.sqrt((0.5 * (A - vn)) ** 2 + c.gamma2 * vn)
    assert critical_width(MODEL) == pytest.approx(c.s2 * 4.0 * k / (c.b**2 * c.v2), rel=1e-12)
    assert critical_width(MODEL.replace(activation="linear")) == 0.0


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, {"error": 0.0}, "error is 0.0"),
        ({}, {"error": 1e-9}, "error is 1e-09"),
        ({}, {"tau": []}, "tau is empty"),
        ({}, {"tau": -1.0}, "tau"),
        ({"noise_draws": 2}, {}, "psi_p is inf with noise_draws = 2"),
        ({"covariance": Mixture([0.5, 0.5], [[1.0], [2.0]])}, {}, "psi_p is inf with a Mixture"),
    ],
)
def test_wrong_arguments(changes: dict, options: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        width_needed(MODEL.replace(**changes), **options)
