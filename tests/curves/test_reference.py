"""The values of reference.json, converged to 1e-12 or better by another program."""

import math

import numpy as np
import pytest

from dmft_rf import solve, spectrum
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
    computed = {"mu1": c.mu1, "n2": c.second_moment, "a": c.a, "b": c.b, "v2": c.v2, "s2": c.s2}
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
