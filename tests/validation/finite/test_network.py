"""The exact finite network against brute force, and its losses against their definition."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

import dmft_rf as rf
from dmft_rf.images.hermite import HermiteRule, hermite_values
from dmft_rf.model.activation import Activation
from validation.finite.losses import Trained, losses_from_weights
from validation.finite.network import conditional_average, draw_network, population_average
from validation.finite.training import Protocol, Training

T = 0.15


D, P, N = 8, 12, 6


DELTA = -math.expm1(-2.0 * T)
LAM = np.array([0.2, 0.2, 0.5, 0.5, 1.0, 1.6, 2.0, 2.0])
ACTIVATIONS = ["tanh", "relu", "sigmoid", "gelu"]


def weights_and_samples(seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((P, D)), rng.standard_normal((N, D)) * np.sqrt(LAM)


# Hermite coefficients ------------------------------------------------------------------------


def test_hermite_polynomials_are_orthonormal():
    z, w = np.polynomial.hermite_e.hermegauss(40)
    h = hermite_values(z, 12)
    np.testing.assert_allclose(h * w @ h.T / math.sqrt(2 * math.pi), np.eye(12), atol=1e-11)


@pytest.mark.parametrize("width", [0.02, 0.3, 1.0])
def test_relu_closed_form_agrees_with_panels(width):
    relu = Activation.of("relu")
    same = Activation("ramp", relu.function, (0.0,))  # another name: no closed form
    m = np.linspace(-3, 3, 41)
    closed = HermiteRule.of(relu, 20, width)(m, np.full(41, width))
    panels = HermiteRule.of(same, 20, width)(m, np.full(41, width))
    np.testing.assert_allclose(closed[0], panels[0], atol=2e-14)
    np.testing.assert_allclose(closed[1], panels[1], atol=2e-14)


@pytest.mark.parametrize("name", ["tanh", "erf", "sigmoid", "softplus", "gelu"])
def test_smooth_rule_agrees_with_panels(name):
    act = Activation.of(name)
    cut = Activation("cut", act.function, (0.0,))
    m = np.linspace(-4, 4, 33)
    smooth = HermiteRule.of(act, 16, 0.7)(m, np.full(33, 0.7))
    panels = HermiteRule.of(cut, 16, 0.7)(m, np.full(33, 0.7))
    np.testing.assert_allclose(smooth[0], panels[0], atol=2e-13)
    np.testing.assert_allclose(smooth[1], panels[1], atol=2e-13)


def test_unresolved_activation_is_refused():
    with pytest.raises(rf.ConvergenceError, match="not resolved"):
        HermiteRule.of(Activation("undeclared jump", np.sign), 8, 1.0)


def test_coefficients_sum_to_the_second_moment():
    rule = HermiteRule.of(Activation.of("tanh"), 120, 0.5)
    c, M = rule(np.linspace(-2, 2, 9), np.full(9, 0.5))
    np.testing.assert_allclose((c**2).sum(axis=0), M, rtol=1e-12)


# U and V -------------------------------------------------------------------------------------


def brute_force(W, X, activation, draws, population=None, seed=3):
    """Monte Carlo averages of sigma sigma^T and sigma xi^T, with their standard errors."""
    rng = np.random.default_rng(seed)
    batches_U, batches_V = [], []
    for _ in range(50):
        if population is None:
            x = np.repeat(X, draws // 50, axis=0)
        else:
            x = rng.standard_normal((draws // 50 * N, D)) * np.sqrt(population)
        xi = rng.standard_normal(x.shape)
        s = activation((math.exp(-T) * x + math.sqrt(DELTA) * xi) @ W.T / math.sqrt(D))
        batches_U.append(s.T @ s / x.shape[0])
        batches_V.append(s.T @ xi / x.shape[0])
    return [
        (np.mean(b, axis=0), np.std(b, axis=0, ddof=1) / math.sqrt(50))
        for b in (batches_U, batches_V)
    ]


def within_noise(exact, estimate, error):
    z = (exact - estimate) / error
    # every entry, and all of them together
    assert np.abs(z).max() < 5.0
    assert 0.6 < np.sqrt(np.mean(z**2)) < 1.5


@pytest.mark.parametrize("name", ["tanh", "relu"])
def test_training_averages_against_sampled_noise(name):
    W, X = weights_and_samples()
    act = Activation.of(name)
    U, V, (order, bound) = conditional_average(W, X, T, act, 1e-9)
    (mc_U, err_U), (mc_V, err_V) = brute_force(W, X, act, 40_000)
    within_noise(U, mc_U, err_U)
    within_noise(V, mc_V, err_V)
    assert bound <= 1e-9
    assert order < 200
    np.testing.assert_allclose(U, U.T, atol=1e-14)
    assert np.linalg.eigvalsh(U)[0] > 0.0


@pytest.mark.parametrize("name", ["tanh", "relu"])
def test_population_averages_against_sampled_data(name):
    W, X = weights_and_samples()
    act = Activation.of(name)
    U, V, _ = population_average(W, math.exp(-2 * T) * LAM + DELTA, T, act, 1e-9)
    (mc_U, err_U), (mc_V, err_V) = brute_force(W, X, act, 40_000, population=LAM)
    within_noise(U, mc_U, err_U)
    within_noise(V, mc_V, err_V)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_entries_against_two_dimensional_quadrature(name):
    W, X = weights_and_samples(4)
    act = Activation.of(name)
    U, _, _ = conditional_average(W[:2], X[:1], T, act, 1e-10)
    cov = DELTA * W[:2] @ W[:2].T / D
    mean = math.exp(-T) * W[:2] @ X[0] / math.sqrt(D)
    L = np.linalg.cholesky(cov)
    # panels in both directions, cut at the kinks of either feature
    z, w = np.polynomial.legendre.leggauss(24)
    total = np.zeros((2, 2))
    first = np.unique(np.append(np.linspace(-9, 9, 19), -mean[0] / L[0, 0]))
    for a, b in itertools.pairwise(first):
        for u, wu in zip(0.5 * (a + b) + 0.5 * (b - a) * z, 0.5 * (b - a) * w, strict=True):
            kink = -(mean[1] + L[1, 0] * u) / L[1, 1]
            edges = np.unique(np.append(np.linspace(-9, 9, 10), np.clip(kink, -9, 9)))
            half = 0.5 * np.diff(edges)[:, None]
            v = (0.5 * (edges[:-1] + edges[1:])[:, None] + half * z).ravel()
            wv = (half * w).ravel() * np.exp(-0.5 * (u * u + v * v)) / (2 * math.pi)
            s = np.stack(
                [
                    act(np.full(v.size, mean[0] + L[0, 0] * u)),
                    act(mean[1] + L[1, 0] * u + L[1, 1] * v),
                ]
            )
            total += wu * (s * wv) @ s.T
    np.testing.assert_allclose(U, total, atol=2e-10)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_diagonal_is_exact_and_truncation_is_bounded(name):
    W, X = weights_and_samples()
    act = Activation.of(name)
    fine, _, _ = conditional_average(W, X, T, act, 1e-12)
    for tolerance in (1e-2, 1e-5):
        coarse, _, (_, bound) = conditional_average(W, X, T, act, tolerance)
        np.testing.assert_allclose(np.diag(coarse), np.diag(fine), rtol=1e-13)
        assert np.linalg.norm(coarse - fine) <= bound + 1e-11
        assert bound <= tolerance


def test_blocks_of_samples_change_nothing(monkeypatch):
    W, X = weights_and_samples()
    act = Activation.of("tanh")
    whole = conditional_average(W, X, T, act, 1e-9)[0]
    monkeypatch.setattr("dmft_rf.images.averages._BLOCK", 1)
    np.testing.assert_allclose(conditional_average(W, X, T, act, 1e-9)[0], whole, rtol=1e-13)


def test_a_linear_network_is_a_wishart_matrix():
    W, X = weights_and_samples()
    U, V, _ = conditional_average(W, X, T, Activation.of("linear"), 1e-9)
    H = W @ X.T / math.sqrt(D)
    expected = math.exp(-2 * T) * H @ H.T / N + DELTA * W @ W.T / D
    np.testing.assert_allclose(U, expected, atol=1e-12)
    np.testing.assert_allclose(V, math.sqrt(DELTA / D) * W, atol=1e-12)


def test_too_small_a_dimension_is_refused():
    W = np.ones((3, 2)) + 1e-9 * np.arange(6).reshape(3, 2)
    with pytest.raises(rf.ConvergenceError, match="correlation"):
        conditional_average(W, np.ones((2, 2)), 2.0, Activation.of("relu"), 1e-14)


# losses --------------------------------------------------------------------------------------


RULES = [
    rf.GradientFlow(),
    rf.GradientFlow(weight_decay=0.1),
    rf.GradientDescent(step=2.0),
    rf.HeavyBall(step=2.0, momentum=0.8),
    rf.WeightAverage(decay_time=4.0),
    rf.Ridge(0.05),
]


def network(seed=5, name="tanh"):
    return draw_network(np.random.default_rng(seed), LAM, P, N, T, Activation.of(name))


def kept(net):
    """Trained, without overwriting U."""
    return Trained(dataclasses.replace(net, U=net.U.copy()))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_losses_are_those_of_the_weights(rule):
    net = network()
    U = net.U
    trained = kept(net)
    tau = np.array([0.0, 2.0, 20.0, np.inf])
    losses = trained.losses(rule, tau)
    values, Q = np.linalg.eigh(U)
    for i, h in enumerate(rule.filter(values, tau, net.rate)):
        B = -(net.V.T @ (Q * h) @ Q.T) / math.sqrt(net.Delta_t)
        train, test = losses_from_weights(net, B)
        assert losses.train[i] == pytest.approx(train, rel=1e-10)
        assert losses.test[i] == pytest.approx(test, rel=1e-10)


def test_random_initial_weights_are_averaged():
    net = network()
    U = net.U
    rule = rf.GradientFlow(initial_std=0.7)
    tau = np.array([0.0, 5.0])
    mean = kept(net).losses(rule, tau)
    rng = np.random.default_rng(0)
    values, Q = np.linalg.eigh(U)
    samples = []
    for _ in range(400):
        B0 = 0.7 * rng.standard_normal((D, P)) / math.sqrt(P)
        row = []
        for h, g in zip(
            rule.filter(values, tau, net.rate), rule.memory(values, tau, net.rate), strict=True
        ):
            B = B0 @ (Q * g) @ Q.T - net.V.T @ (Q * h) @ Q.T / math.sqrt(net.Delta_t)
            row += losses_from_weights(net, B)
        samples.append(row)
    error = np.std(samples, axis=0) / 20.0
    exact = np.stack([mean.train, mean.test], axis=1).ravel()
    assert np.abs((np.mean(samples, axis=0) - exact) / error).max() < 4.5


def test_score_error_is_the_distance_to_the_score():
    """E|s - s*|^2/d by sampling x_t, for the trained network itself."""
    net = network()
    U = net.U
    loss = kept(net).losses(rf.GradientFlow(), np.array([10.0]))
    values, Q = np.linalg.eigh(U)
    rng = np.random.default_rng(5)
    W = rng.standard_normal((P, D))
    h = rf.GradientFlow().filter(values, np.array([10.0]), net.rate)[0]
    B = -(net.V.T @ (Q * h) @ Q.T) / math.sqrt(DELTA)
    diffused = math.exp(-2 * T) * LAM + DELTA
    x = np.random.default_rng(0).standard_normal((400_000, D)) * np.sqrt(diffused)
    s = np.tanh(x @ W.T / math.sqrt(D)) @ B.T
    each = np.mean((s + x / diffused) ** 2, axis=1)
    error = each.std() / math.sqrt(each.size)
    assert abs(each.mean() - loss.score_error[0]) < 4.5 * error


# training ------------------------------------------------------------------------------------


def test_mean_of_fresh_noise_training_is_the_filter():
    W, X = weights_and_samples(5)
    act = Activation.of("tanh")
    training = Training(W, X, T, act, Protocol(step=1.0, draws=8), runs=400, seed=1)
    training.advance(12)
    U, V, _ = conditional_average(W, X, T, act, 1e-9)
    values, Q = np.linalg.eigh(U)
    rate = 2 * DELTA * D / P
    h = rf.GradientDescent(step=1.0).filter(values, np.array([12.0]), rate)[0]
    exact = -(V.T @ (Q * h) @ Q.T) / math.sqrt(DELTA)
    error = training.B.std(axis=0, ddof=1) / math.sqrt(400)
    z = (training.B.mean(axis=0) - exact) / error
    assert np.abs(z).max() < 5.0
    assert 0.7 < np.sqrt(np.mean(z**2)) < 1.4


@pytest.mark.parametrize(
    "protocol",
    [
        Protocol(draws=2, batch=3),
        Protocol(draws=2, fresh=False),
        Protocol("heavy ball", 0.5, fresh=False, batch=2),
        Protocol("adam", 0.1),
    ],
)
def test_training_in_two_stretches_is_the_same(protocol):
    W, X = weights_and_samples()
    whole, parts = (
        Training(W, X, T, Activation.of("tanh"), protocol, runs=2, seed=3) for _ in range(2)
    )
    whole.advance(9)
    parts.advance(4)
    assert (parts.steps, np.abs(parts.B - whole.B).max() > 0.0) == (4, True)
    parts.advance(9)
    np.testing.assert_array_equal(parts.B, whole.B)
    assert np.isfinite(whole.B).all()


def test_protocols_that_make_no_sense():
    W, X = weights_and_samples()
    with pytest.raises(rf.ModelError, match="optimizer"):
        Protocol("newton")
    with pytest.raises(rf.ModelError, match="step"):
        Protocol(step=0.0)
    with pytest.raises(rf.ModelError, match="batch"):
        Training(W, X, T, Activation.of("tanh"), Protocol(batch=99))
