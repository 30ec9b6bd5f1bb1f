"""Noise draws and classes of data: the nonlinear network against brute force, and the verdict."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.integrate

import dmft_rf.curves.nodes
from dmft_rf import Covariance, GradientFlow, Mixture, ModelError, Ridge, ScoreModel
from dmft_rf.model.activation import Activation
from validation.compare.compare import compare, judge
from validation.compare.mutate import MUTATIONS
from validation.compare.theory import predict
from validation.finite.case import Case
from validation.finite.cases import grid
from validation.finite.losses import Trained, losses_from_weights
from validation.finite.network import (
    conditional_average,
    draw_network,
    drawn_average,
    population_average,
)
from validation.finite.simulate import simulate

T, DELTA = 0.15, -math.expm1(-0.3)
D, P, N = 8, 12, 6
LAM = np.array([[0.2, 0.2, 0.5, 0.5, 1.0, 1.6, 2.0, 2.0], [1.5, 1.0, 0.1, 3.0, 0.3, 0.3, 1.0, 0.5]])


def drawn(m: float, name: str = "tanh", lam=LAM, sizes=(4, 2), seed=5):
    return draw_network(
        np.random.default_rng(seed), lam, P, N, T, Activation.of(name), sizes=sizes, draws=m
    )


def weights(net, h=lambda x: 1.0 / (x + 0.05)):
    """B of a filter, from the definition."""
    values, Q = np.linalg.eigh(net.U)
    return -(net.V.T @ (Q * h(values)) @ Q.T) / math.sqrt(DELTA)


def random_numbers(m: int, seed=5):
    """What draw_network draws: weights, samples, and noise (m, N, D)."""
    rng = np.random.default_rng(seed)
    W, X = rng.standard_normal((P, D)), rng.standard_normal((N, D))
    X *= np.sqrt(LAM[[0, 0, 0, 0, 1, 1]])
    return W, X, rng.standard_normal((m, N, D))


def features(W, X, xi, name="tanh"):
    return Activation.of(name)((math.exp(-T) * X + math.sqrt(DELTA) * xi) @ W.T / math.sqrt(D))


def z_scores(exact, samples):
    mean, error = np.mean(samples, axis=0), np.std(samples, axis=0, ddof=1) / len(samples) ** 0.5
    return (exact - mean) / error


def within_noise(exact, samples):
    z = z_scores(exact, samples)
    assert np.abs(z).max() < 5.0
    assert 0.6 < np.sqrt(np.mean(z**2)) < 1.5


# noise draws ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tanh", "relu"])
def test_many_draws_are_the_average_over_the_noise(name):
    act = Activation.of(name)
    W, X, _ = random_numbers(1)
    rng = np.random.default_rng(0)
    batches = [drawn_average(rng, W, X, T, act, 120) for _ in range(60)]
    U, V, _ = conditional_average(W, X, T, act, 1e-9)
    within_noise(U, [b[0] for b in batches])
    within_noise(V, [b[1] for b in batches])
    power = np.array([b[2] for b in batches])
    assert abs(power.mean() - 1.0) < 5.0 * power.std() / math.sqrt(60)


def test_the_distance_to_the_average_falls_like_one_over_m():
    """E |U_m - U|^2 = c/m, so that m times it is the same for all m."""
    act = Activation.of("softplus")
    W, X, _ = random_numbers(1)
    U, V, _ = conditional_average(W, X, T, act, 1e-9)
    rng = np.random.default_rng(1)
    size = []
    for m in (1, 4, 16):
        found = [drawn_average(rng, W, X, T, act, m)[:2] for _ in range(1600 // m)]
        size.append(m * np.mean([np.sum((u - U) ** 2) + np.sum((v - V) ** 2) for u, v in found]))
    np.testing.assert_allclose(size, size[0], rtol=0.25)


@pytest.mark.parametrize("m", [1, 3])
def test_losses_are_those_of_the_draws(m):
    """L_train sample by sample, and by fresh noise: both from the definition."""
    net = drawn(m)
    W, X, xi = random_numbers(m)
    B = weights(net)
    residual = math.sqrt(DELTA) * features(W, X, xi) @ B.T + xi
    by_hand = np.mean(residual**2)
    train, test = losses_from_weights(net, B)
    assert train == pytest.approx(by_hand, rel=1e-12)
    losses = Trained(dataclasses.replace(net, U=net.U.copy())).losses(Ridge(0.05), np.array([1.0]))
    assert losses.train[0] == pytest.approx(by_hand, rel=1e-10)
    assert losses.test[0] == pytest.approx(test, rel=1e-10)
    fresh = np.random.default_rng(2).standard_normal((20_000, N, D))
    sampled = np.mean((math.sqrt(DELTA) * features(W, X, fresh) @ B.T + fresh) ** 2, axis=(1, 2))
    assert abs(z_scores(losses.fresh[0], sampled)) < 4.5
    assert losses.train[0] < losses.fresh[0]


def test_averaged_noise_is_fresh_noise():
    losses = Trained(drawn(math.inf)).losses(GradientFlow(), np.array([1.0, 50.0, math.inf]))
    np.testing.assert_array_equal(losses.fresh, losses.train)


@pytest.mark.parametrize(("m", "rank"), [(1, 6), (2, 12), (5, 12)])
def test_rank_and_interpolation(m, rank):
    net = drawn(m)
    power = net.noise_power
    trained = Trained(net)
    assert np.count_nonzero(trained.eigenvalues) == rank
    assert np.all(trained.eigenvalues[P - rank :] > 0.0)
    losses = trained.losses(GradientFlow(), np.array([0.0, 1.0, 100.0, math.inf]))
    assert losses.train[0] == pytest.approx(power, rel=1e-14)
    assert losses.fresh[0] == losses.test[0] == 1.0
    assert np.all(np.isfinite(losses.test))
    if N * m <= P:
        assert losses.train[-1] == pytest.approx(0.0, abs=1e-9)
    else:
        assert losses.train[-1] > 0.01
    random = trained.losses(GradientFlow(initial_std=1.0), np.array([1.0]))
    assert math.isnan(random.fresh[0])
    assert random.test[0] > losses.test[1]


# classes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("m", [2, math.inf])
def test_equal_classes_are_one(m):
    one = drawn(m, lam=LAM[0], sizes=())
    two = drawn(m, lam=LAM[[0, 0]], sizes=(4, 2))
    for name in ("U", "V", "U_test", "V_test", "floor", "noise_power"):
        np.testing.assert_allclose(getattr(one, name), getattr(two, name), rtol=1e-13)


@pytest.mark.parametrize("name", ["tanh", "relu"])
def test_the_population_is_that_of_the_classes(name):
    act = Activation.of(name)
    net = drawn(math.inf, name)
    W, X, _ = random_numbers(1)
    rng = np.random.default_rng(3)
    found_U, found_V = [], []
    for _ in range(60):
        x = rng.standard_normal((3000, D)) * np.sqrt(np.repeat(LAM, (2000, 1000), axis=0))
        xi = rng.standard_normal(x.shape)
        s = features(W, x, xi, name)
        found_U.append(s.T @ s / len(x))
        found_V.append(s.T @ xi / len(x))
    within_noise(net.U_test, found_U)
    within_noise(net.V_test, found_V)
    np.testing.assert_array_equal(net.U, conditional_average(W, X, T, act, 1e-9)[0])
    rare = population_average(W, math.exp(-2 * T) * LAM[1] + DELTA, T, act, 1e-9)[0]
    assert np.abs(z_scores(rare, found_U)).max() > 20.0  # the classes do differ
    diffused = math.exp(-2 * T) * LAM + DELTA
    exact = 1.0 - DELTA * np.array([4, 2]) / 6 @ np.mean(1.0 / diffused, axis=1)
    assert net.floor == pytest.approx(exact, rel=1e-13)


def test_class_sizes_are_exact():
    mix = Mixture([0.25, 0.75], [[1.0, 2.0], [2.0, 0.5]])
    case = Case("mixed", "", ScoreModel(0.1, 2.0, 1.0, covariance=mix), ((8, 1),), (1.0,))
    assert case.class_sizes(8) == [2, 6]
    assert case.eigenvalues(8).shape == (2, 8)
    with pytest.raises(ModelError, match="shares"):
        case.class_sizes(6)
    with pytest.raises(ModelError, match="classes"):
        drawn(1, sizes=(4, 1))
    with pytest.raises(ModelError, match="classes"):
        drawn(1, sizes=())


def test_fingerprints_tell_draws_and_shares_apart():
    model = ScoreModel(0.1, 2.0, 1.0, covariance=Mixture([0.25, 0.75], [[1.0], [2.0]]))
    other = Mixture([0.5, 0.5], [[1.0], [2.0]])
    models = [model, model.replace(noise_draws=1), model.replace(noise_draws=2)]
    models.append(model.replace(covariance=other))
    prints = {Case("x", "", one, ((8, 1),), (1.0,)).fingerprint for one in models}
    assert len(prints) == 4


def test_stored_cells_stay_valid():
    """A digest that files hold; it is the same on every processor."""
    by_name = {case.name: case for case in grid("paper")}
    assert by_name["A_iso"].fingerprint == "1f30c26699bde026"


# the theory ----------------------------------------------------------------------------------

MIXED = Case(
    "mixed", "two classes, two draws",
    ScoreModel(1.0, 1.0, 2.0, "relu", Mixture([0.5, 0.5], [[0.1, 0.1], [2.0, 2.0]]), 2),
    ((16, 192), (32, 192), (64, 160), (128, 64)), (1.0, 10.0, 100.0, math.inf),
)  # fmt: skip
EDGE = Case(
    "edge", "p = n m", ScoreModel(0.1, 4.0, 2.0, noise_draws=2), ((10, 1),), (1.0, 10.0, 100.0)
)
CONCERNED = [mutation for mutation in MUTATIONS if mutation.concerns(MIXED)]


@pytest.fixture(scope="module")
def cells():
    return [simulate(MIXED, d, seed) for d, n in MIXED.sizes for seed in range(n)]


def test_the_theory_passes(cells):
    verdict = judge([compare(MIXED, cells)])
    assert verdict.reasons == []
    assert {row.quantity for row in verdict.comparisons[0].rows if row.judged} == {
        "train", "test", "fresh", "resolvent",
    }  # fmt: skip


@pytest.mark.parametrize("mutation", CONCERNED, ids=lambda m: m.name)
def test_every_mutation_is_caught(cells, mutation):
    # 0.03 in the real run, at larger sizes; what this case sees of some is less
    size = {"draws_b2": 0.1, "draws_s2": 0.2, "draws_tau": 0.05, "class_b": 0.1, "class_share": 0.1}
    kernel, label = (dmft_rf.kernels.grouped_pairs.assemble, dmft_rf.curves.nodes.Nodes.S_VV)
    prediction = mutation.predict(MIXED, size.get(mutation.name, 0.03))
    assert not judge([compare(MIXED, cells, prediction, shape=False)]).passed
    assert dmft_rf.kernels.grouped_pairs.assemble is kernel
    assert dmft_rf.curves.nodes.Nodes.S_VV is label


@pytest.mark.parametrize("mutation", CONCERNED, ids=lambda m: m.name)
def test_mutations_change_what_they_say(mutation):
    right, none, wrong = (
        predict(MIXED), mutation.predict(MIXED, 0.0), mutation.predict(MIXED, 0.03)
    )  # fmt: skip
    flow = "gradient flow"
    for name in ("train", "test", "fresh"):
        np.testing.assert_allclose(
            none.values(flow, name), right.values(flow, name), rtol=1e-10
        )  # fmt: skip
    change = np.abs(wrong.values(flow, "test") / right.values(flow, "test") - 1.0)
    train = np.abs(wrong.values(flow, "train") / right.values(flow, "train") - 1.0)
    if mutation.name == "draws_cross":  # the two-point function does not enter the training loss
        assert train.max() < 1e-9
    else:
        assert train.max() > 1e-4
    assert change.max() > 1e-4
    spectral = mutation.name in ("draws_b2", "draws_s2", "class_b", "class_share")
    assert np.allclose(wrong.resolvent, right.resolvent, rtol=1e-12) != spectral


def test_old_mutations_leave_groups_alone():
    assert {m.name for m in CONCERNED} == {
        "draws_b2", "draws_s2", "draws_eta", "draws_tau", "draws_label", "draws_cross",
        "class_share", "class_b",
    }  # fmt: skip
    plain = Case("x", "", ScoreModel(0.1, 2.0, 1.0, covariance=Covariance([1.0])), (), (1.0,))
    assert not {m.name for m in MUTATIONS if m.concerns(plain)} & {m.name for m in CONCERNED}


@pytest.mark.parametrize("case", [MIXED, EDGE], ids=lambda c: c.name)
def test_distribution_function(case):
    """Against the integral of the density from the upper edge of the first bulk down."""
    prediction = predict(case)
    law = prediction.spectrum
    points, mass = prediction.cdf
    assert mass[-1] + law.atoms[:, 1].sum() == pytest.approx(1.0, abs=1e-9)
    low, high = law.edges[0]
    for share in (0.02, 0.3, 0.8):
        x = low + share * (high - low)
        above = scipy.integrate.quad(
            lambda y: float(law.density(np.array([y]))[0]), x, high, limit=200
        )[0]
        assert law.bulk_masses[0] - np.interp(x, points, mass) == pytest.approx(above, abs=2e-5)
