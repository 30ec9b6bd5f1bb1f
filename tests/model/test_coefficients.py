"""Coefficients against closed forms, mpmath, and a second formula; and every bad input."""

import math
from collections.abc import Callable
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest

import dmft_rf.model.coefficients as module
from dmft_rf.errors import ConvergenceError, ModelError
from dmft_rf.model.activation import NAMED, Activation
from dmft_rf.model.coefficients import Coefficients, coefficients
from dmft_rf.model.gaussian_averages import hermite_averages, panel_points, resolve
from tests.helpers.coefficient_references import (
    by_trapezoid,
    erf_closed,
    from_kernel,
    hermite_closed,
    mp_parameters,
    relative,
    relu_closed,
    shifted_relu_by_quadrature,
)

# The accuracy the docstring promises is 1e-11 (between two quadratures); what is reached, and
# tested, is a few hundred roundings: the integrands of s2 at t = 1e-6 are differences that have
# lost up to seven digits, whose rounding errors then average out.
RTOL = 2e-13
TIMES = (1e-6, 1e-3, 0.1, 1.0, 10.0)
VARIANCES = (0.01, 0.25, 1.0, 9.0, 1e4)

# activation, t, sigma_x2, mu_1, v_t^2, s_t^2 from mpmath at 40 digits, by the function
# `by_trapezoid` below with step 0.13 (tanh, sigmoid; 0.16 at 1e4) or 0.2 (softplus, gelu) in x;
# the step of 0.08 or 0.12 gives the same 17 digits.
TABLE = Path(__file__).parents[1] / "helpers" / "coefficients.txt"
ROWS = [
    (name, float(t), float(sigma_x2), *values)
    for name, t, sigma_x2, *values in map(str.split, TABLE.read_text().splitlines())
]


def assert_close(c: Coefficients, exact: dict[str, mp.mpf], rtol: float = RTOL) -> None:
    for name, reference in exact.items():
        assert relative(getattr(c, name), reference) < rtol, (name, getattr(c, name), reference)


@pytest.fixture(autouse=True)
def _digits():
    with mp.workdps(60):
        yield


@pytest.mark.parametrize(("name", "t", "sigma_x2", "mu1", "v2", "s2"), ROWS)
def test_smooth_activations_against_stored_values(
    name: str, t: float, sigma_x2: float, mu1: str, v2: str, s2: str
) -> None:
    c = coefficients(name, t, sigma_x2)
    assert relative(c.mu1, mu1) < c.error_estimate
    assert relative(c.v2, v2) < RTOL
    assert relative(c.s2, s2) < RTOL
    assert c.error_estimate < 1e-12


@pytest.mark.parametrize(
    ("name", "t", "step"),
    [("tanh", 1e-6, 0.13), ("softplus", 0.1, 0.2), ("gelu", 1e-3, 0.2), ("sigmoid", 10.0, 0.13)],
)
def test_smooth_activations_against_live_mpmath(name: str, t: float, step: float) -> None:
    with mp.workdps(40):
        exact = by_trapezoid(name, t, 0.6, step)
        c = coefficients(name, t, 0.6)
        assert abs(c.mu0 - exact["mu0"]) < c.error_estimate * math.sqrt(c.second_moment)
        del exact["mu0"]
        assert_close(c, exact)


@pytest.mark.parametrize("sigma_x2", VARIANCES)
@pytest.mark.parametrize("t", TIMES)
def test_relu_against_the_arc_cosine_kernel(t: float, sigma_x2: float) -> None:
    assert_close(coefficients("relu", t, sigma_x2), relu_closed(t, sigma_x2))
    # the same kink, undeclared
    assert_close(coefficients(lambda x: np.maximum(x, 0.0), t, sigma_x2), relu_closed(t, sigma_x2))


@pytest.mark.parametrize("sigma_x2", VARIANCES)
@pytest.mark.parametrize("t", TIMES)
def test_erf_against_the_arcsine_kernel(t: float, sigma_x2: float) -> None:
    exact = erf_closed(t, sigma_x2)
    c = coefficients("erf", t, sigma_x2)
    assert abs(c.mu0) < c.error_estimate * math.sqrt(c.second_moment)
    del exact["mu0"]
    assert_close(c, exact)


@pytest.mark.parametrize("sigma_x2", [0.25, 1.0, 9.0])
@pytest.mark.parametrize("t", TIMES)
@pytest.mark.parametrize(
    "power",
    [{1: 1, 3: 1}, {0: -1, 1: -2, 2: 1, 3: 1}, {0: 3, 1: 1, 4: 1}, {1: 1, 2: 1}],
    ids=["x^3 + x", "He_1 + He_2 + He_3", "x^4 + x + 3", "x^2 + x"],
)
def test_polynomials_exactly(power: dict[int, int], t: float, sigma_x2: float) -> None:
    def polynomial(x: np.ndarray) -> np.ndarray:
        return sum(factor * x**n for n, factor in power.items())

    exact = hermite_closed(t, sigma_x2, power)
    c = coefficients(polynomial, t, sigma_x2)
    assert abs(c.mu0 - exact.pop("mu0")) < c.error_estimate * math.sqrt(c.second_moment)
    # c_1 = 1 next to ||sigma|| of 10 or 100 keeps the digits of ||sigma||.
    assert abs(c.mu1 - exact.pop("mu1")) < c.error_estimate * math.sqrt(c.second_moment)
    assert_close(c, exact)


@pytest.mark.parametrize("t", [1e-6, 1e-3, 0.1, 1.0])
def test_a_high_hermite_polynomial(t: float) -> None:
    exact = hermite_closed(t, 1.0, {1: 16, 3: -10, 5: 1})
    c = coefficients(lambda x: x**5 - 10 * x**3 + 16 * x, t, 1.0)
    assert abs(c.mu0) < c.error_estimate * math.sqrt(c.second_moment)
    del exact["mu0"]
    assert_close(c, exact)


def test_leading_term_is_found_as_rho_vanishes() -> None:
    # He_1 + He_5 at t = 10: v_t^2 = 120 varrho^5 ~ 1e-42; a c_2 of 1e-17 would swamp it.
    c = coefficients(lambda x: x**5 - 10 * x**3 + 16 * x, 10.0, 1.0)
    assert c.v2 == pytest.approx(120 * math.exp(-100.0), rel=1e-13)
    far = coefficients("tanh", 400.0, 1.0)
    assert far.v2 == 0.0  # e^{-2400} underflows
    assert far.s2 == far.residual_variance


@pytest.mark.parametrize("t", [1e-6, 1e-3, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("shift", ["0.3", "0.499", "0.5", "1e-4", "-2.0"])
def test_undeclared_kink(shift: str, t: float) -> None:
    # 0.499 hides between the last node and the edge of a panel
    kink = float(shift)
    exact = shifted_relu_by_quadrature(shift, t)
    assert_close(coefficients(lambda x: np.maximum(x - kink, 0.0), t, 1.0), exact)
    declared = Activation("shifted", lambda x: np.maximum(x - kink, 0.0), (kink,))
    assert_close(coefficients(declared, t, 1.0), exact)


@pytest.mark.parametrize("t", [1e-6, 1e-3, 0.1, 1.0])
def test_undeclared_kink_far_out(t: float) -> None:
    # Gamma = 0.14 at small t: the kinks lie at 7 standard deviations, and N is 1e-13 ||sigma||^2
    def clip(x: np.ndarray) -> np.ndarray:
        return np.clip(x, -1.0, 1.0)

    found = coefficients(clip, t, 0.02)
    declared = coefficients(Activation("declared", clip, (-1.0, 1.0)), t, 0.02)
    assert (found.v2, found.s2) == pytest.approx((declared.v2, declared.s2), rel=RTOL, abs=0)


@pytest.mark.parametrize("t", [1e-6, 1e-3, 0.1, 1.0, 10.0])
def test_jumps(t: float) -> None:
    # E[sign X_1 sign X_2] = (2/pi) asin(varrho)
    _, rho = mp_parameters(t, 1.0)
    exact = from_kernel(lambda r: 2 / mp.pi * mp.asin(r), mp.mpf(0), mp.sqrt(2 / mp.pi), rho)
    c = coefficients(np.sign, t, 1.0)
    assert abs(c.mu0) < c.error_estimate * math.sqrt(c.second_moment)
    del exact["mu0"]
    assert_close(c, exact)


def test_infinite_slope_and_many_jumps() -> None:
    root = coefficients(lambda x: x + np.sqrt(np.abs(x - 0.3)), 0.01, 1.0)
    assert root.error_estimate < 1e-12
    # E|z - 0.3| is elementary: second moment of sqrt|x - 0.3| alone
    alone = coefficients(lambda x: np.sqrt(np.abs(x - 0.3)), 0.01, 1.0)
    pdf, erf = math.exp(-0.045) / math.sqrt(2 * math.pi), math.erf(0.3 / math.sqrt(2))
    assert alone.second_moment == pytest.approx(2 * pdf + 0.3 * erf, rel=1e-13)
    stairs = coefficients(lambda x: np.floor(5 * x) / 5, 1e-3, 1.0)
    assert stairs.error_estimate < 1e-12
    # floor(5 x) = sum_j 1[x > j/5] up to a constant: mu_1 is a sum of densities
    levels = np.arange(-60, 61) / 5
    slope = np.exp(-0.5 * levels**2).sum() / math.sqrt(2 * math.pi) / 5
    assert stairs.mu1 == pytest.approx(slope, rel=1e-13)


@pytest.mark.parametrize("name", [name for name in NAMED if name != "linear"])
@pytest.mark.parametrize("sigma_x2", [0.01, 1.0, 50.0])
@pytest.mark.parametrize("t", [1e-6, 0.05, 0.5, 3.0])
def test_identities(name: str, t: float, sigma_x2: float) -> None:
    c = coefficients(name, t, sigma_x2)
    assert c.v2 + c.s2 == pytest.approx(c.residual_variance, rel=1e-15)
    total = c.mu0**2 + c.mu1**2 + c.v2 + c.s2
    assert total == pytest.approx(c.second_moment, rel=2e-15)
    assert c.Delta_t == -math.expm1(-2 * t)
    assert c.Gamma_t**2 == pytest.approx(math.exp(-2 * t) * sigma_x2 + c.Delta_t, rel=1e-15)
    assert c.rho + c.one_minus_rho == pytest.approx(1.0, rel=1e-15)
    assert c.one_minus_rho == pytest.approx(c.Delta_t / c.Gamma_t**2, rel=1e-15)
    assert c.a == c.mu1 / c.Gamma_t
    assert c.b == pytest.approx(math.sqrt(c.Delta_t) * c.a, rel=1e-15)
    assert c.gamma2 == pytest.approx(math.exp(-2 * t) * c.a**2, rel=1e-15)
    assert c.v2 > 0
    assert c.s2 > 0


@pytest.mark.parametrize("name", ["tanh", "relu", "gelu"])
def test_the_two_methods_agree_across_the_switch(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    t = 0.16  # varrho = 0.726, a series by default
    by_series = coefficients(name, t, 1.0)
    monkeypatch.setattr(module, "SERIES_UP_TO", 0.5)
    by_increments = module._coefficients.__wrapped__(NAMED[name], t, 1.0)
    # another route, with another estimate of its error (the values may agree to the last bit)
    assert by_increments.error_estimate != by_series.error_estimate
    assert by_increments.v2 == pytest.approx(by_series.v2, rel=1e-14)
    assert by_increments.s2 == pytest.approx(by_series.s2, rel=1e-14)


def test_fast_oscillation_beside_a_slow_part() -> None:
    # v_t^2 is 1 % of N here, and N - s_t^2 would lose two digits
    def bumpy(x: np.ndarray) -> np.ndarray:
        return x + np.exp(-(((x - 0.777) / 0.02) ** 2))

    c = coefficients(bumpy, 0.1, 1.0)
    assert c.v2 < 0.05 * c.residual_variance
    assert c.error_estimate < 1e-12


def test_error_estimate_covers_the_error() -> None:
    for t in TIMES:
        for sigma_x2 in VARIANCES:
            for name, closed in (("relu", relu_closed), ("erf", erf_closed)):
                c, exact = coefficients(name, t, sigma_x2), closed(t, sigma_x2)
                worst = max(relative(getattr(c, key), exact[key]) for key in ("v2", "s2", "mu1"))
                assert worst < c.error_estimate


def test_s2_is_linear_and_v2_constant_as_t_vanishes() -> None:
    for name in ("tanh", "relu", "softplus"):
        one, two = coefficients(name, 1e-6, 1.0), coefficients(name, 2e-6, 1.0)
        # s_t^2 = 2 t E[g'^2] (1 + O(t^(1/2))), the square root for kinked activations
        assert two.s2 / one.s2 == pytest.approx(2.0, rel=2e-3)
        assert two.v2 == pytest.approx(one.v2, rel=2e-5)


@pytest.mark.parametrize(
    "function",
    ["linear", lambda x: x + 1000.0, lambda x: (3 * x + 1 - 1) / 3, lambda x: np.log(np.exp(x))],
)
@pytest.mark.parametrize(("t", "sigma_x2"), [(1e-6, 1.0), (0.5, 4.0), (10.0, 0.1)])
def test_linear_activations_are_exactly_linear(function: object, t: float, sigma_x2: float) -> None:
    c = coefficients(function, t, sigma_x2)
    assert c.v2 == c.s2 == c.residual_variance == 0.0
    assert c.a == pytest.approx(1.0, rel=1e-12)  # x + 1000 has lost three digits


def test_sign_and_scale() -> None:
    plus, minus = coefficients("tanh", 0.1, 1.0), coefficients(lambda x: -np.tanh(x), 0.1, 1.0)
    assert (minus.mu1, minus.a, minus.b) == (-plus.mu1, -plus.a, -plus.b)
    assert (minus.v2, minus.s2, minus.gamma2) == (plus.v2, plus.s2, plus.gamma2)
    large = coefficients(lambda x: 1e100 * np.tanh(x), 0.1, 1.0)
    assert large.s2 == pytest.approx(1e200 * plus.s2, rel=1e-13)


def test_cached() -> None:
    assert coefficients("tanh", 0.3, 2.0) is coefficients(Activation.of("tanh"), 0.3, 2.0)
    assert coefficients("tanh", np.float64(0.3), 2) is coefficients("tanh", 0.3, 2.0)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf, "x", None, 1j, [0.1, 0.2]])
@pytest.mark.parametrize("name", ["t", "sigma_x2"])
def test_bad_parameters(name: str, bad: object) -> None:
    arguments = {"t": 0.1, "sigma_x2": 1.0, name: bad}
    with pytest.raises(ModelError, match=rf"^{name} is .*; it must be finite and > 0"):
        coefficients("tanh", **arguments)


@pytest.mark.parametrize(
    "function", [np.cos, np.abs, np.ones_like, np.zeros_like, lambda x: x**2 - 1]
)
def test_no_linear_part(function: Callable[[np.ndarray], np.ndarray]) -> None:
    with pytest.raises(ModelError, match="cannot learn the score"):
        coefficients(function, 0.1, 1.0)


def test_unsuitable_activations() -> None:
    generator = np.random.default_rng(1)
    for noisy in (
        lambda x: np.tanh(x.astype(np.float32)),
        lambda x: x + 1e-6 * generator.standard_normal(x.size),
    ):
        with pytest.raises(ModelError, match="cannot be resolved to double precision"):
            coefficients(noisy, 0.1, 1.0)
    with pytest.raises(ModelError, match="grows too fast"):
        coefficients(lambda x: x * np.exp(x**2 / 4), 0.1, 1.0)
    with pytest.raises(ModelError, match="must be finite, but is inf at"):
        coefficients(np.exp, 0.1, 1e4)
    with pytest.raises(ModelError, match="must be finite, but is nan at"):
        coefficients(lambda x: np.sqrt(x + 4), 0.1, 1.0)
    with pytest.raises(ModelError, match="unknown"):
        coefficients("swish", 0.1, 1.0)


def test_growing_activations_are_fine_within_reach() -> None:
    # e^{c x}: c_k = e^{c^2/2} c^k/sqrt(k!)
    for c in (1.0, 2.0):
        found = coefficients(lambda x, c=c: np.exp(c * x), 0.2, 1.0)
        c2, rho = mp.mpf(c) ** 2, mp_parameters(0.2, 1.0)[1]
        v2 = mp.exp(c2) * (mp.exp(c2 * rho) - 1 - c2 * rho)
        s2 = mp.exp(c2) * (mp.exp(c2) - 1 - c2) - v2
        assert relative(found.v2, v2) < RTOL
        assert relative(found.s2, s2) < RTOL


def test_unconverged_is_reported() -> None:
    # v_t^2 ~ 1e-17 from coefficients at the level of rounding
    with pytest.raises(ConvergenceError, match="two quadratures differ by") as info:
        coefficients(lambda x: x + np.sin(20 * x), 0.1, 1.0)
    assert isinstance(info.value.partial, Coefficients)
    assert info.value.residual == info.value.partial.error_estimate > 1e-11


@pytest.mark.parametrize(("t", "sigma_x2"), [(1e-300, 1.0), (5e-324, 1.0), (1e-200, 1e200)])
def test_out_of_the_range_of_doubles(t: float, sigma_x2: float) -> None:
    with pytest.raises(ConvergenceError) as info:
        coefficients("tanh", t, sigma_x2)
    assert info.value.residual == math.inf


def test_hermite_averages_are_orthonormal() -> None:
    mesh = resolve(np.tanh, (), 13.0, "tanh")
    z, weight = (array.ravel() for array in panel_points(mesh.edges, 16))
    he3 = (z**3 - 3 * z) / math.sqrt(6)
    expected = np.zeros(60)
    expected[3] = 1.0
    np.testing.assert_allclose(hermite_averages(z, weight * he3, 60), expected, atol=5e-15)


def test_kinks_are_located() -> None:
    mesh = resolve(lambda z: np.abs(z - 0.3) + np.sign(z + 1.1), (), 13.0, "kinked")
    assert mesh.kinks == pytest.approx((-1.1, 0.3), abs=1e-10)
    assert mesh.edges.size < 60
    assert np.all(np.diff(mesh.edges) > 0)
    assert resolve(np.abs, (0.0, 20.0), 13.0, "abs").kinks == (0.0,)
