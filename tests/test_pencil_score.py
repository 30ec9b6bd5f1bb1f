"""Pencils of the score model: against the closed form, and m noise draws against exact values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from plain import REFERENCE, reference_model, two_point

from dmft_rf import Covariance, ScoreModel, resolvent, spectrum
from dmft_rf.contour import half_plane_contour
from dmft_rf.pencil import zoo

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
    system = zoo.score_model().bind(model.covariance, **zoo.score_values(model))
    points, exact = system.solve(z), resolvent(model, z)
    gamma = float(system.values["gamma"])
    assert_allclose(points.q, exact.q, rtol=1e-12)
    for weight in (1.0, model.diffused):
        assert_allclose(-points.trace("f", "e", weight) / gamma, exact.S(weight), rtol=1e-12)


def test_two_point_function(model: ScoreModel) -> None:
    z = points_for(model)[:4]
    system = zoo.score_model().bind(model.covariance, **zoo.score_values(model))
    points, exact = system.solve(z), resolvent(model, z)
    gamma = float(system.values["gamma"])
    for Q in (np.ones_like(model.diffused), model.diffused):
        T = points.two_point(points, {("e", "f"): Q}, {("f", "e"): 1.0}) / gamma**2
        for i in range(z.size):
            for j in range(z.size):
                pair = tuple((exact.q[k], exact.E[k]) for k in (i, j))
                expected = two_point(model, z[i], z[j], Q, pair).T
                assert_allclose(T[i, j], expected, rtol=1e-12)


# ends of a contour around the support, well inside which it lies
SUPPORT = {"M1": (4e-5, 20.0), "M1r": (4e-5, 20.0), "M2": (3e-3, 12.0)}


@pytest.mark.parametrize("name", SUPPORT)
def test_losses_with_m_noise_draws(name: str) -> None:
    """Sections 6 and 10 of the theory on a contour, for every time of reference.json."""
    case = REFERENCE[name]
    model, c = reference_model(name), reference_model(name).coefficients
    pencil = zoo.NoiseDraws.of(model, case["noise_draws"])
    contour = half_plane_contour(*SUPPORT[name], 96)
    z, w = contour.z, contour.weights
    points, mirrored = pencil.system.solve(z), pencil.system.solve(z.conj())
    S_VV, S_VW = pencil.S_VV(points), pencil.S_VW(points)
    same = pencil.T(points, points, model.diffused)
    mixed = pencil.T(points, mirrored, model.diffused)
    ridge = case["ridge"]

    def integral(f: np.ndarray, transform: np.ndarray) -> float:
        return 2.0 * float(np.sum(w * f * transform).real)

    noise = c.second_moment - c.mu0**2 - c.mu1**2
    for k, tau in enumerate(float(t) for t in case["tau"]):
        x = z + ridge
        h = 1.0 / x if math.isinf(tau) else -np.expm1(-model.rate * x * tau) / x
        u = w * h
        T = 2.0 * float((u @ same @ u + u @ mixed @ u.conj()).real)
        penalty = ridge * integral(h * h, S_VV)
        train = 1.0 - integral(2.0 * h - z * h * h, S_VV)
        test = 1.0 - 2.0 * c.b * integral(h, S_VW) + noise * integral(h * h, S_VV)
        test += c.mu1**2 / c.Gamma_t**2 * T
        assert_allclose(train, case["train"][k], rtol=1e-9)
        assert_allclose(test, case["test"][k], rtol=1e-9)
        assert_allclose(penalty, case["ridge_penalty"][k], rtol=1e-9, atol=1e-15)
