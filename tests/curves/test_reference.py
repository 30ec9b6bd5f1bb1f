"""The values of reference.json, converged to 1e-12 or better by another program."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dmft_rf import Ridge, ScoreModel, solve, spectrum
from tests.helpers.plain import INFINITE_DRAWS, REFERENCE, reference_model

# The note promises that the reference itself is converged to this.
OF_THE_REFERENCE = 1e-12

CURVES = ("train", "test", "score_error")


@pytest.fixture(params=INFINITE_DRAWS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_all_five_cases_are_there() -> None:
    assert INFINITE_DRAWS == ["A_iso", "B_two", "C_paper", "D_under", "E_relu"]


def test_coefficients(name: str) -> None:
    c = reference_model(name).coefficients
    expected = {key: float(value) for key, value in REFERENCE[name]["coefficients"].items()}
    computed = {
        "mu1": c.mu1,
        "n2": c.second_moment,
        "a": c.a,
        "b": c.b,
        "v2": c.v2,
        "s2": c.s2,
    }
    for key, value in computed.items():
        assert value == pytest.approx(expected[key], rel=1e-12, abs=0.0), key
    # the mean of an odd activation is zero: absolute, in units of the rms of sigma
    assert c.mu0 == pytest.approx(expected["mu0"], rel=1e-12, abs=1e-15 * math.sqrt(expected["n2"]))


def test_curves(name: str) -> None:
    curves = solve(reference_model(name)).learning_curves(REFERENCE[name]["tau"])
    for curve in CURVES:
        np.testing.assert_allclose(
            getattr(curves, curve), REFERENCE[name][curve], rtol=1e-10, atol=0.0, err_msg=curve
        )


@pytest.mark.parametrize("rtol", [1e-12, 1e-10, 1e-7, 1e-4])
def test_curves_are_within_their_own_error(name: str, rtol: float) -> None:
    solution = solve(reference_model(name), rtol=rtol)
    curves = solution.learning_curves(REFERENCE[name]["tau"])
    assert solution.error_estimate <= rtol
    for curve in CURVES:
        expected = np.array(REFERENCE[name][curve])
        miss = np.abs(getattr(curves, curve) - expected)
        assert np.all(miss <= curves.error[curve] + OF_THE_REFERENCE * np.abs(expected)), curve
        assert np.all(miss <= (solution.error_estimate + OF_THE_REFERENCE) * np.abs(expected))


def test_gap_is_the_difference(name: str) -> None:
    curves = solve(reference_model(name)).learning_curves(REFERENCE[name]["tau"])
    gap = np.array(REFERENCE[name]["test"]) - np.array(REFERENCE[name]["train"])
    np.testing.assert_allclose(curves.generalization_gap, gap, rtol=0.0, atol=2e-10)


def test_infinite_time_is_least_squares(name: str) -> None:
    curves = solve(reference_model(name)).learning_curves(1.0, Ridge(0.0))
    for curve in CURVES:
        assert float(getattr(curves, curve)) == pytest.approx(REFERENCE[name][curve][-1], rel=1e-10)


def test_density(name: str) -> None:
    expected = np.array(REFERENCE[name]["density"])
    density = spectrum(reference_model(name)).density(REFERENCE[name]["density_at"])
    inside = expected > 1e-12  # the reference's own rounding off the support is 1e-18
    assert np.count_nonzero(inside) >= 3
    np.testing.assert_allclose(density[inside], expected[inside], rtol=1e-9, atol=0.0)
    assert np.all(np.abs(density[~inside]) < 1e-12)


def test_atom(name: str) -> None:
    atoms = spectrum(reference_model(name)).atoms
    expected = REFERENCE[name]["atom"]
    assert atoms[:, 1].sum() == pytest.approx(expected, rel=1e-14, abs=1e-15)
    if expected > 0.0:
        assert atoms[0, 0] == pytest.approx(float(REFERENCE[name]["coefficients"]["s2"]), rel=1e-12)


# theory section 7: the smallest score error over tau at psi_p = 32, t = 0.01, Sigma = I, tanh
SMALLEST_SCORE_ERROR = {
    1: 0.135089,
    2: 0.110637,
    4: 0.082922,
    8: 0.057735,
    16: 0.037823,
    32: 0.023694,
    64: 0.014532,
    10000: 0.002501,
}


@pytest.mark.parametrize("psi_n", SMALLEST_SCORE_ERROR)
def test_smallest_score_error(psi_n: int) -> None:
    solution = solve(ScoreModel(t=0.01, psi_p=32.0, psi_n=psi_n))
    # a minimum is flat: half a step of 3e-4 in log tau from it the value is off by about 1e-7
    # relative, a tenth of the last printed digit's half
    curves = solution.learning_curves(np.geomspace(30.0, 3000.0, 8000))
    assert curves.score_error.min() == pytest.approx(SMALLEST_SCORE_ERROR[psi_n], abs=5.5e-7)
