"""Curves at infinite width: reference values, the density as a second route, and finite widths."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from dmft_rf import (
    GradientDescent,
    GradientFlow,
    HeavyBall,
    Ridge,
    ScoreModel,
    WeightAverage,
    solve,
)
from dmft_rf.curves.infinite_width import OnePointNodes, curves_at_infinite_width, one_point_nodes
from dmft_rf.errors import ConvergenceError
from dmft_rf.kernels.infinite_width import modes
from dmft_rf.model.coefficients import coefficients
from dmft_rf.model.covariance import Covariance
from dmft_rf.numerics.region import Region
from dmft_rf.rules.flow import Rule
from dmft_rf.spectra.sample_law import SampleLaw

FLOW = GradientFlow()
ISOTROPIC = Covariance.isotropic()
NEAR, FAR = Covariance([0.5, 1.5]), Covariance([0.2, 1.8])

# converged values by two other methods that agree to 1e-13: train, test, score error
REFERENCE = {
    "R1": ("tanh", 0.1, 4.0, ISOTROPIC, 1e3, FLOW,
           (0.4833254349507, 1.143992894532, 1.794359203101)),
    "R2": ("relu", 0.01, 3.0, NEAR, 1e3, FLOW, (0.9176333866884, 1.025946723000, 2.626484007587)),
    "R3": ("tanh", 0.01, 0.5, FAR, 1e4, FLOW, (0.2633759923268, 17.16058993465, 818.7334893004)),
    "R4": ("tanh", 0.1, 3.0, NEAR, 1.0, Ridge(1e-3),
           (0.2215138804744, 1.663346811405, 4.860772539059)),
    "R5": ("tanh", 0.1, 3.0, NEAR, 500.0, HeavyBall(0.5, momentum=0.5),
           (0.376138264951, 1.246476247274, 2.561041221094)),
}  # fmt: skip


def nodes_of(
    activation: str, t: float, psi_n: float, data: Covariance, rule: Rule = FLOW
) -> OnePointNodes:
    c = coefficients(activation, t, data.mean)
    law = SampleLaw(psi_n, data.eigenvalues, data.weights)
    return one_point_nodes(law, c, rule.region(2.0 * c.Delta_t))


@pytest.mark.parametrize("name", REFERENCE)
def test_reference_values(name: str) -> None:
    activation, t, psi_n, data, tau, rule, expected = REFERENCE[name]
    nodes = nodes_of(activation, t, psi_n, data, rule)
    found = curves_at_infinite_width(nodes, np.array([tau]), rule)
    # the last digit that is printed
    np.testing.assert_allclose(np.ravel(found), expected, rtol=2e-12)


RULES = [
    GradientFlow(0.01, initial_std=0.5),
    Ridge(1e-4),
    WeightAverage(30.0),
    GradientDescent(0.5),
    HeavyBall(0.5, momentum=0.5),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("psi_n", [0.4, 4.0])
def test_the_density_of_the_sample_covariance_gives_the_same(rule: Rule, psi_n: float) -> None:
    """Plain sums over real eigenvalues x, with no contour."""
    t, tau = 0.1, np.array([1.0, 30.0, 1e4])
    c = coefficients("tanh", t, 1.0)
    found = curves_at_infinite_width(nodes_of("tanh", t, psi_n, FAR, rule), tau, rule)
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
        assert found[0][i] == pytest.approx(train, rel=1e-10)
        assert found[2][i] == pytest.approx(error, rel=1e-10)


MODELS = [
    ("tanh", 0.1, 4.0, ISOTROPIC),
    ("relu", 0.03, 3.0, NEAR),
    ("erf", 0.2, 0.5, FAR),
    ("softplus", 0.1, 1.5, Covariance([0.0, 1.0, 3.0])),
]
WIDTHS = (1e4, 1e5, 1e6)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model[0])
def test_finite_widths_approach_like_one_over_psi_p(
    model: tuple[str, float, float, Covariance],
) -> None:
    """psi_p (finite - infinite) tends to a constant, and so does its rest times psi_p."""
    activation, t, psi_n, data = model
    tau = np.array([1.0, 100.0, 1e4, np.inf])
    limit = np.array(curves_at_infinite_width(nodes_of(activation, t, psi_n, data), tau, FLOW))
    slopes = []
    for psi_p in WIDTHS:
        curves = solve(ScoreModel(t, psi_p, psi_n, activation, data)).learning_curves(tau)
        finite = np.array([curves.train, curves.test, curves.score_error])
        slopes.append(psi_p * (finite - limit))
    size = np.abs(slopes[-1]) + 1e-6 * limit * WIDTHS[-1]
    first, second = (np.abs(a - b) / size for a, b in itertools.pairwise(slopes))
    assert (second < 0.05).all()
    assert (second < 0.2 * first + 0.02).all()


def test_the_first_correction_of_the_width() -> None:
    """psi_p (L_test - limit) of the first model of MODELS, by another program."""
    tau = np.array([1e3, np.inf])
    limit = curves_at_infinite_width(nodes_of("tanh", 0.1, 4.0, ISOTROPIC), tau, FLOW)[1]
    psi_p = np.array([1e5, 2e5])
    slopes = [x * (solve(ScoreModel(0.1, x, 4.0)).learning_curves(tau).test - limit) for x in psi_p]
    extrapolated = 2.0 * slopes[1] - slopes[0]
    np.testing.assert_allclose(extrapolated, [-0.40862, -125.69], rtol=2e-4)


def test_limits_of_time() -> None:
    nodes = nodes_of("tanh", 0.1, 4.0, ISOTROPIC)
    train, test, score = curves_at_infinite_width(nodes, np.array([0.0, np.inf]), FLOW)
    assert train[0] == pytest.approx(1.0, rel=1e-12)
    assert test[0] == pytest.approx(1.0, rel=1e-12)
    # interpolation: every sample's own noise is fitted, and G = 1/Delta_t for every x
    assert train[1] == 0.0
    delta = -math.expm1(-0.2)
    assert score[1] == pytest.approx((1.0 / delta - 1.0) ** 2, rel=1e-11)


def test_a_contour_that_has_no_room_is_refused() -> None:
    """Momentum close to 1: an ellipse so thin that no affordable number of nodes fits."""
    c = coefficients("tanh", 0.1, 1.0)
    law = SampleLaw(4.0, ISOTROPIC.eigenvalues, ISOTROPIC.weights)
    with pytest.raises(ConvergenceError, match="nodes; allowed are"):
        one_point_nodes(law, c, Region(20.0, 0.999))
