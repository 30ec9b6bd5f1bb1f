"""What finite networks generate: steps, estimators, and the linear process beside them."""

import math

import numpy as np
import pytest

from dmft_rf import ScoreModel, generation
from validation.finite.cases import grid
from validation.finite.reverse import (
    QUANTITIES,
    ReverseProcess,
    generated,
    measured,
    of_covariance,
    step_free,
    trained,
)
from validation.finite.reverse_control import LinearProcess
from validation.finite.simulate import simulate

RELU = ScoreModel(1.0, math.inf, 4.0, "relu")


@pytest.mark.parametrize("sampler", ["sde", "ode"])
def test_steps_reach_the_gaussian_law_of_the_exact_score(sampler):
    # the exact score of N(0, s): its process ends at N(0, s) up to what t_start leaves
    rule, d, s = ReverseProcess(sampler, t_start=5.0, samples=400), 6, 2.5
    times = rule.edges
    variance = s * np.exp(-2.0 * times) - np.expm1(-2.0 * times)
    fine, coarse = generated([lambda x, i: -x / variance[i]], rule, d, np.random.default_rng(1))
    X = np.eye(d) * math.sqrt(s * d)  # C = s
    found = step_free(*(measured(x[0], X, np.full(d, s), rule.t_end) for x in (fine, coarse)))
    scatter = math.sqrt(2.0 / (rule.samples * d * d))
    assert found["trace"] == pytest.approx(variance[-1], rel=5.0 * scatter)
    assert found["kl"] == pytest.approx(0.0, abs=3.0 / (rule.samples * d) ** 0.5 / d)


def test_weights_are_interpolated_in_time():
    rule = ReverseProcess(nodes=12)
    at = np.log(np.expm1(2.0 * rule.trained_at))
    t = 0.3
    there = sum(w * y**5 for w, y in zip(rule.interpolation(t), at, strict=True))
    assert there == pytest.approx(math.log(math.expm1(2.0 * t)) ** 5, rel=1e-10)


@pytest.mark.parametrize("schedule", ["score", "noise"])
def test_trained_weights_follow_gradient_flow(schedule):
    # after a short time B = -2 sqrt(Delta_t) (d/p) tau V^T
    rng = np.random.default_rng(2)
    rule = ReverseProcess(schedule=schedule, nodes=2)
    W, X = rng.standard_normal((7, 4)), rng.standard_normal((9, 4))
    short = trained(W, X, 1e-6, rule, RELU.activation) / 1e-6
    longer = trained(W, X, 2e-6, rule, RELU.activation) / 2e-6
    np.testing.assert_allclose(short, longer, rtol=1e-4, atol=1e-6)
    delta = -np.expm1(-2.0 * rule.trained_at)
    step = -2.0 * np.sqrt(delta) * 4.0 / 7.0 / (delta if schedule == "noise" else 1.0)
    # E sigma(h) xi = (w/sqrt(d)) sqrt(Delta) E sigma'(h): for ReLU the probability of h > 0
    from scipy.special import ndtr

    for k, t in enumerate(rule.trained_at):
        deviation = np.sqrt(delta[k]) * np.linalg.norm(W, axis=1)
        active = ndtr(math.exp(-t) * (W @ X.T) / deviation[:, None]).mean(axis=1)
        V = math.sqrt(delta[k] / 4.0) * W * active[:, None]
        np.testing.assert_allclose(short[k], step[k] * V.T, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("sampler", ["sde", "ode"])
def test_linear_process_is_known_without_noise(sampler):
    rng, d = np.random.default_rng(3), 8
    rule = ReverseProcess(sampler, samples=200)
    linear = LinearProcess(rule, 20.0, 4.0, RELU.activation, 1.0)
    X = rng.standard_normal((4 * d, d))
    fine, coarse = generated([linear.score(X)], rule, d, rng)
    found = step_free(*(measured(x[0], X, np.ones(d), rule.t_end) for x in (fine, coarse)))
    expected = linear.expected(X, np.ones(d))
    for name in QUANTITIES:
        assert found[name] == pytest.approx(expected[name], rel=0.1, abs=0.004)


def test_linear_process_tends_to_the_theory():
    d = 160
    for rule in (ReverseProcess(), ReverseProcess("ode", "noise")):
        linear = LinearProcess(rule, 20.0, 4.0, RELU.activation, 1.0)
        law = generation(
            RELU, 20.0, rule.schedule, rule.sampler, rule.t_start, rule.t_end, rtol=1e-6
        )
        found = linear.expected(np.random.default_rng(4).standard_normal((4 * d, d)), np.ones(d))
        for name in QUANTITIES:
            assert found[name] == pytest.approx(float(getattr(law, name)), rel=0.06)


def test_estimators_of_a_covariance():
    rng, d = np.random.default_rng(5), 4
    root = rng.standard_normal((d, d))
    covariance, X = root @ root.T + np.eye(d), rng.standard_normal((20, d))
    inverse, log = np.linalg.inv(covariance), float(np.linalg.slogdet(covariance)[1])
    exact = of_covariance(covariance, inverse, log, X, np.ones(d), 0.1)
    rows = [
        measured(rng.multivariate_normal(np.zeros(d), covariance, 40), X, np.ones(d), 0.1)
        for _ in range(400)
    ]
    for name in ("trace", "kl", "reverse_kl", "likelihood_gap"):
        values = np.array([row[name] for row in rows])
        assert abs(values.mean() - exact[name]) < 4.0 * values.std() / 20.0


def test_cells_of_the_cases():
    case = next(case for case in grid("paper") if case.generated)
    cell = simulate(case, 12, 999)
    assert cell.arrays["eigenvalues"].shape == (12,)
    for i in range(len(case.rules)):
        assert all(np.isfinite(cell.arrays[f"{i}/{name}"]).all() for name in case.quantities)
        assert cell.arrays[f"{i}/copies"] == 0.0
