"""Pencils of the score model: against the closed form, and m noise draws against exact values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dmft_rf import Covariance, ScoreModel, resolvent, spectrum
from dmft_rf.pencil import zoo
from tests.helpers.pencils import NoiseDraws, score_values
from tests.helpers.plain import REFERENCE, reference_model, two_point

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
                pair = tuple((exact.q[k], exact.E[k, 0]) for k in (i, j))
                expected = two_point(model, z[i], z[j], Q, pair).T
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


@pytest.mark.parametrize("name", ["M1", "M1r", "M2"])
def test_losses_with_m_noise_draws(name: str) -> None:
    """Sections 6 and 10 of the theory on a contour, for every time of reference.json."""
    case, model = REFERENCE[name], reference_model(name)
    tau = np.array([float(t) for t in case["tau"]])
    draws = NoiseDraws.of(model, case["noise_draws"])
    train, test = draws.losses(model, tau, case["ridge"])
    assert_allclose(train, case["train"], rtol=1e-9)
    assert_allclose(test, case["test"], rtol=1e-9)


@pytest.mark.parametrize(
    ("m", "psi_p", "expected"), [(1, 8.0, 2.7979), (4, 16.0, 1.8322), (16, 8.0, 1.0348)]
)
def test_static_losses_from_other_equations(m: int, psi_p: float, expected: float) -> None:
    """Ridge regression at tau = inf, to four decimals from the equations of arXiv:2609.26392."""
    model = ScoreModel(0.1, psi_p, 8.0)
    _, test = NoiseDraws.of(model, m).losses(model, math.inf, ridge=1e-3, rtol=1e-7)
    assert abs(float(test) - expected) < 6e-5


def test_many_noise_draws_approach_the_average() -> None:
    """The spectrum of U for m draws tends to that of the exact average like 1/m."""
    model = ScoreModel(0.1, 3.0, 2.0)
    z = np.array([0.5 + 0.3j])
    exact = resolvent(model, z).q
    error = [abs(NoiseDraws.of(model, m).system.solve(z).q - exact)[0] for m in (100, 1000, 10000)]
    assert error[0] > error[1] > error[2]
    assert_allclose(error[1] / error[2], 10.0, rtol=0.02)
