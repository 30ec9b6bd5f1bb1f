"""Infinite width: reference values, the density as a second route, and finite widths."""

import itertools
import math

import numpy as np
import pytest

import dmft_rf as rf
from dmft_rf.curves.thresholds import n_star
from dmft_rf.errors import ConvergenceError
from dmft_rf.kernels.infinite_width import modes
from dmft_rf.model.coefficients import coefficients
from dmft_rf.model.covariance import Covariance
from dmft_rf.rules.flow import Rule
from dmft_rf.spectra.sample_law import SampleLaw

INF = math.inf
FLOW = rf.GradientFlow()
ISOTROPIC = Covariance.isotropic()
NEAR, FAR = Covariance([0.5, 1.5]), Covariance([0.2, 1.8])

# converged values by two other methods that agree to 1e-13: train, test, score error
REFERENCE = {
    "R1": ("tanh", 0.1, 4.0, ISOTROPIC, 1e3, FLOW,
           (0.4833254349507, 1.143992894532, 1.794359203101)),
    "R2": ("relu", 0.01, 3.0, NEAR, 1e3, FLOW, (0.9176333866884, 1.025946723000, 2.626484007587)),
    "R3": ("tanh", 0.01, 0.5, FAR, 1e4, FLOW, (0.2633759923268, 17.16058993465, 818.7334893004)),
    "R4": ("tanh", 0.1, 3.0, NEAR, 1.0, rf.Ridge(1e-3),
           (0.2215138804744, 1.663346811405, 4.860772539059)),
    "R5": ("tanh", 0.1, 3.0, NEAR, 500.0, rf.HeavyBall(0.5, momentum=0.5),
           (0.376138264951, 1.246476247274, 2.561041221094)),
}  # fmt: skip


def wide(activation: str, t: float, psi_n: float, data: Covariance = ISOTROPIC) -> rf.ScoreModel:
    return rf.ScoreModel(t, INF, psi_n, activation, data)


def losses(curves: rf.LearningCurves) -> np.ndarray:
    return np.array([curves.train, curves.test, curves.score_error])


@pytest.mark.parametrize("name", REFERENCE)
def test_reference_values(name: str) -> None:
    activation, t, psi_n, data, tau, rule, expected = REFERENCE[name]
    curves = rf.solve(wide(activation, t, psi_n, data)).learning_curves(tau, rule)
    # the last digit that is printed
    np.testing.assert_allclose(losses(curves), expected, rtol=2e-12)
    assert curves.relative_error < 1e-11


RULES = [
    rf.GradientFlow(0.01, initial_std=0.5),
    rf.Ridge(1e-4),
    rf.WeightAverage(30.0),
    rf.GradientDescent(0.5),
    rf.HeavyBall(0.5, momentum=0.5),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("psi_n", [0.4, 4.0])
def test_the_density_of_the_sample_covariance_gives_the_same(rule: Rule, psi_n: float) -> None:
    """Plain sums over real eigenvalues x, with no contour; the errors are what is estimated."""
    t, tau = 0.1, np.array([1.0, 30.0, 1e4])
    c = coefficients("tanh", t, 1.0)
    found = rf.solve(wide("tanh", t, psi_n, FAR)).learning_curves(tau, rule)
    law = SampleLaw(psi_n, FAR.eigenvalues, FAR.weights)
    x, weights = law.on_axis
    vn, rate = c.v2 / psi_n, 2.0 * c.Delta_t
    both = modes(x.astype(complex), c.b**2, vn, c.gamma2).real
    k, shares = both[:2], both[2:]
    own = law.w @ weights
    sigma = math.exp(-2.0 * t) * law.lam + c.Delta_t
    for i, time in enumerate(tau):
        at = np.array([time])
        h, left = (f.reshape(2, -1) for f in rule.filter_and_residual(k.ravel(), at, rate))
        g2 = rule.memory(k.ravel(), at, rate).reshape(2, -1) ** 2
        far = rule.memory(np.array([0.0, vn]), at, rate)[0] ** 2
        scale = rule.initial_scale**2
        train = c.b**2 * own @ (shares * left**2 / k).sum(axis=0)
        train += (
            scale
            * c.Delta_t
            * (c.s2 * far[0] + own @ (k * g2).sum(axis=0) + (psi_n - 1.0) * vn * far[1])
        )
        G = c.a**2 * (shares * h).sum(axis=0)
        error = (law.w * sigma) @ ((weights * (G - 1.0 / sigma[:, None]) ** 2).sum(axis=1))
        error += scale * (
            c.residual_variance * far[0]
            + c.a**2 * (law.w * sigma) @ weights @ (shares * g2).sum(axis=0)
        )
        assert found.train[i] == pytest.approx(train, rel=1e-10)
        assert found.score_error[i] == pytest.approx(error, rel=1e-10)
        if scale == 0.0:  # the size of the weights times psi_p
            norm = c.b**2 * own @ (shares * h**2).sum(axis=0)
            assert found.weight_norm[i] == pytest.approx(norm, rel=1e-10)
        else:
            assert math.isnan(found.weight_norm[i])


MODELS = [
    ("tanh", 0.1, 4.0, ISOTROPIC),
    ("tanh", 0.01, 0.5, FAR),
    ("tanh", 0.3, 1.0, NEAR),
    ("relu", 0.03, 3.0, NEAR),
    ("relu", 0.1, 0.3, ISOTROPIC),
    ("erf", 0.2, 0.5, FAR),
    ("erf", 0.05, 8.0, NEAR),
    ("sigmoid", 0.1, 2.0, FAR),
    ("softplus", 0.1, 1.5, Covariance([0.0, 1.0, 3.0])),
    ("gelu", 0.1, 2.0, Covariance.power_law(1.0, 20)),
    ("linear", 0.1, 3.0, NEAR),
    ("linear", 0.1, 0.5, FAR),
]
# of rules; weight decay is in units of psi_p at infinite width
OF_WIDTH = (
    lambda unit: FLOW,
    lambda unit: rf.GradientFlow(0.003 * unit, initial_std=0.5),
    lambda unit: rf.Ridge(1e-3 * unit),
    lambda unit: rf.WeightAverage(30.0),
    lambda unit: rf.GradientDescent(0.5),
    lambda unit: rf.HeavyBall(0.5, momentum=0.5),
)
WIDTHS = (1e3, 1e4, 1e5, 1e6)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model[0]}-{model[1]}-{model[2]}")
def test_finite_widths_approach_like_one_over_psi_p(
    model: tuple[str, float, float, Covariance],
) -> None:
    """psi_p (finite - infinite) tends to a constant, like 1/psi_p itself, under every rule."""
    tau = np.array([1.0, 30.0, 1e3, INF])
    limit = rf.solve(wide(*model))
    finite = [rf.solve(wide(*model).replace(psi_p=psi_p)) for psi_p in WIDTHS]
    for rule in OF_WIDTH:
        curves = limit.learning_curves(tau, rule(1.0))
        end = losses(curves)
        scaled = np.array(
            [
                psi_p * (losses(one.learning_curves(tau, rule(psi_p))) - end)
                for psi_p, one in zip(WIDTHS, finite, strict=True)
            ]
        )
        # what is known of them times the width, and nothing finer
        size = np.abs(scaled[-1]) + 2e-9 * WIDTHS[-1] * np.maximum(np.abs(end), 1e-3)
        first, second, third = (np.abs(b - a) / size for a, b in itertools.pairwise(scaled))
        assert (first < 0.08).all()
        assert (second < 0.12 * first + 2e-4).all()
        assert (third < 0.12 * second + 2e-4).all()


def test_the_first_correction_of_the_width() -> None:
    """psi_p (L_test - limit) of the first model of MODELS, by another program."""
    tau = np.array([1e3, INF])
    limit = rf.solve(wide("tanh", 0.1, 4.0)).learning_curves(tau).test
    psi_p = np.array([1e5, 2e5])
    slopes = [
        x * (rf.solve(rf.ScoreModel(0.1, x, 4.0)).learning_curves(tau).test - limit) for x in psi_p
    ]
    extrapolated = 2.0 * slopes[1] - slopes[0]
    np.testing.assert_allclose(extrapolated, [-0.40862, -125.69], rtol=2e-4)


def test_limits_of_time() -> None:
    curves = rf.solve(wide("tanh", 0.1, 4.0)).learning_curves([0.0, INF])
    assert curves.train[0] == pytest.approx(1.0, rel=1e-12)
    assert curves.test[0] == pytest.approx(1.0, rel=1e-12)
    # interpolation: every sample's own noise is fitted, and G = 1/Delta_t for every x
    assert curves.train[1] == 0.0
    delta = -math.expm1(-0.2)
    assert curves.score_error[1] == pytest.approx((1.0 / delta - 1.0) ** 2, rel=1e-11)


@pytest.mark.parametrize("model", MODELS[:4] + MODELS[-1:], ids=lambda model: model[0])
def test_times_of_finite_widths_tend_to_those_of_infinite_width(
    model: tuple[str, float, float, Covariance],
) -> None:
    limit = rf.timescales(rf.solve(wide(*model)))
    near, far = (rf.timescales(rf.solve(wide(*model).replace(psi_p=psi_p))) for psi_p in (1e4, 1e5))
    for name in ("usable_start", "usable_end", "tau_gen", "tau_opt", "tau_overfit", "tau_mem"):
        end = limit.value(name)
        first, second = (one.value(name) / end - 1.0 for one in (near, far))
        assert abs(second) < 1e-2
        assert second == pytest.approx(0.1 * first, rel=0.05, abs=1e-9)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model[0]}-{model[1]}-{model[2]}")
def test_spectrum_per_dimension_in_units_of_the_width(
    model: tuple[str, float, float, Covariance],
) -> None:
    """The eigenvalues of K: as many as columns and directions, with the traces of K and K^2."""
    law = rf.spectrum(wide(*model))
    c, psi_n, data = law.model.coefficients, model[2], model[3]
    vn, b2, mean = c.v2 / psi_n, c.b**2, data.mean
    second = float(data.weights @ data.eigenvalues**2)
    assert law.total == (1.0 + psi_n if c.v2 > 0.0 else 1.0)
    assert law.mass == pytest.approx(law.total, rel=1e-11)
    # K holds b^2 + gamma^2 C on the directions, v_n on the samples, and what mixes them
    trace = b2 + c.gamma2 * mean + c.v2
    assert law.moment(1) == pytest.approx(trace, rel=1e-10)
    of_C2 = second + mean**2 / psi_n
    square = b2**2 + 2.0 * b2 * c.gamma2 * mean + c.gamma2**2 * of_C2
    square += psi_n * vn**2 + 2.0 * c.gamma2 * vn * mean
    assert law.moment(2) == pytest.approx(square, rel=1e-10)
    wide_top = rf.spectrum(wide(*model).replace(psi_p=1e6)).edges[-1, 1] / 1e6
    assert wide_top == pytest.approx(law.edges[-1, 1], rel=1e-2)


def test_what_infinite_width_is_not_solved_for() -> None:
    model = wide("tanh", 0.1, 4.0)
    with pytest.raises(rf.ModelError, match=r"psi_p is inf with noise_draws = 3; .* 1e4 and 1e5"):
        model.replace(noise_draws=3)
    with pytest.raises(rf.ModelError, match="psi_p is inf with a Mixture"):
        model.replace(covariance=rf.Mixture([0.5, 0.5], [[1.0], [2.0]]))
    with pytest.raises(rf.ModelError, match=r"psi_p is inf; .* finite width only"):
        rf.resolvent(model, 1.0 + 1.0j)
    solution = rf.solve(model)
    with pytest.raises(rf.ModelError, match=r"psi_p is inf; what bulks learn"):
        rf.bulk_split(solution, [1.0])
    with pytest.raises(ConvergenceError, match="a momentum this close to 1"):
        solution.learning_curves([10.0], rf.HeavyBall(0.01, momentum=0.9999))


def test_nothing_ends_overfitting_of_infinite_width_but_a_level_above_it() -> None:
    """The final gap does not depend on psi_n: G = 1/Delta_t for every sample."""
    model = wide("tanh", 0.1, 4.0)
    gap = rf.timescales(rf.solve(model)).relative_gap
    assert rf.timescales(rf.solve(model.replace(psi_n=400.0))).relative_gap == pytest.approx(gap)
    assert n_star(model, 0.99 * gap) == INF
    assert n_star(model, 1.01 * gap) == 0.0
    # a linear network cannot fit the noise: its root is that of wide ones
    line = wide("linear", 0.1, 3.0, NEAR)
    assert n_star(line.replace(psi_p=1e5)) == pytest.approx(n_star(line), rel=1e-3)
