"""Pencils of the score model: against the closed form, and m noise draws against exact values."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dmft_rf import Covariance, ScoreModel, resolvent, spectrum
from dmft_rf.pencil import zoo
from tests.helpers.pencils import score_values
from tests.helpers.plain import two_point

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
    low, high = spectrum(model).edges[-1]
    inside = 0.3 * low + 0.7 * high
    return np.array(
        [inside + 0.1j, 0.5 * low - 1e-3j, inside, -1.0, 2.0 * high, 1e3j, low + 1e-3j * high]
    )


def test_one_point_functions(model: ScoreModel) -> None:
    z = points_for(model)
    system = zoo.score_model().bind(model.covariance, **score_values(model))
    points, exact = system.solve(z), resolvent(model, z)
    gamma = float(system.values["gamma"])
    assert_allclose(points.q, exact.q, rtol=1e-12)
    for weight in (1.0, model.diffused):
        assert_allclose(-points.trace("f", "e", weight) / gamma, exact.S(weight), rtol=1e-12)


def test_two_point_function(model: ScoreModel) -> None:
    z = points_for(model)[:4]
    system = zoo.score_model().bind(model.covariance, **score_values(model))
    points, exact = system.solve(z), resolvent(model, z)
    gamma = float(system.values["gamma"])
    for Q in (np.ones_like(model.diffused), model.diffused):
        T = points.two_point(points, {("e", "f"): Q}, {("f", "e"): 1.0}) / gamma**2
        for i in range(z.size):
            for j in range(z.size):
                one, other = ((exact.q[k], exact.E[k, 0]) for k in (i, j))
                expected = two_point(model, one, other, Q)
                assert_allclose(T[i, j], expected, rtol=1e-12)


def test_spectrum(model: ScoreModel) -> None:
    law = zoo.score_model().bind(model.covariance, **score_values(model)).spectrum()
    exact = spectrum(model)
    assert_allclose(law.edges, exact.edges, rtol=1e-13)
    assert_allclose(law.bulk_masses, exact.bulk_masses, rtol=1e-13)
    assert_allclose(law.atoms, exact.atoms, rtol=1e-12)
    lam = exact.grid(24)
    # within 1e-3 of a bulk's width from its edges the density forgets digits of lambda
    assert_allclose(law.density(lam), exact.density(lam), rtol=1e-10)
    assert_allclose(law.moment(1), model.coefficients.residual_variance + model.coefficients.mu1**2)


def test_four_scalars_of_george_veiga_macris() -> None:
    """For Sigma = I the pencil closes in the four scalars of arXiv:2502.00336 (infinite m)."""
    model = ScoreModel(0.2, 3.0, 2.0)
    c = model.coefficients
    z = np.array([-0.5, 0.3 + 0.2j, 1.0, 2.0 + 1e-3j])
    points = zoo.score_model().bind(**score_values(model)).solve(z)
    one = points.q
    two = points.trace("a", "a") / model.psi_n
    three = points.trace("f", "f")
    four = points.trace("e", "f") / math.sqrt(c.gamma2)
    inner = 1.0 + model.psi_p * one * (c.b**2 + c.gamma2 * two)
    ratio = model.psi_p / model.psi_n
    equations = [
        one * (c.s2 - z + c.v2 * two + c.b**2 * three + c.gamma2 * four),
        two * (1.0 + ratio * one * (c.v2 + c.gamma2 * three)),
        three * inner,
        four * inner / two,
    ]
    assert_allclose(equations, np.ones((4, z.size)), rtol=1e-12)
