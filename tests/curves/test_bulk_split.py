"""What each bulk has learned: sum rules, a second route, finite networks, refusals."""

import dataclasses
import math

import numpy as np
import pytest

import dmft_rf as rf
from dmft_rf.curves.bulk_split import OneBulk, nodes_on_bulk
from dmft_rf.curves.spectral_nodes import SpectralNodes
from dmft_rf.model.activation import Activation
from dmft_rf.numerics.region import Region
from dmft_rf.rules.flow import Rule
from validation.finite.losses import Trained
from validation.finite.network import draw_network

TAU = np.array([0.0, 1.0, 300.0, 1e5, math.inf])
MODELS = {
    "paper": rf.ScoreModel(0.01, 64.0, 8.0),
    "two_bulks": rf.ScoreModel(0.1, 64.0, 32.0),
    "hard_edge": rf.ScoreModel(0.1, 2.0, 1.0),
    "five_bulks": rf.ScoreModel(0.01, 64.0, 8.0, covariance=rf.Covariance([0.5, 1.5])),
    "under": rf.ScoreModel(0.05, 4.0, 16.0, "erf", rf.Covariance([0.5, 1.5])),
}


@pytest.fixture(params=MODELS, scope="module")
def solution(request: pytest.FixtureRequest) -> rf.Solution:
    return rf.solve(MODELS[request.param])


@pytest.mark.parametrize(
    "rule",
    [
        rf.GradientFlow(),
        rf.GradientFlow(weight_decay=0.01),
        rf.Ridge(0.003),
        rf.WeightAverage(30.0),
    ],
    ids=lambda rule: type(rule).__name__,
)
def test_bulks_add_up_to_the_train_loss(solution: rf.Solution, rule: Rule) -> None:
    split = rf.bulk_split(solution, TAU, rule)
    whole = solution.learning_curves(TAU, rule)
    allowed = split.error["removed"].sum(axis=0) + whole.error["train"]
    assert np.all(np.abs(split.removed.sum(axis=0) - (1.0 - whole.train)) <= allowed)
    assert abs(split.removable.sum() - (1.0 - solution.train_limit)) <= (
        split.error["removable"].sum() + 1e-14
    )
    assert split.share.sum() == pytest.approx(1.0, abs=1e-10)


def test_a_discrete_rule() -> None:
    solution = rf.solve(MODELS["two_bulks"])
    rule = rf.GradientDescent(step=1.0)
    tau = rule.times([0, 1, 10, 1000])
    split, whole = rf.bulk_split(solution, tau, rule), solution.learning_curves(tau, rule)
    allowed = split.error["removed"].sum(axis=0) + whole.error["train"]
    assert np.all(np.abs(split.removed.sum(axis=0) - (1.0 - whole.train)) <= allowed)


def test_limits_in_time(solution: rf.Solution) -> None:
    split = rf.bulk_split(solution, np.geomspace(1e-3, 1e9, 25).reshape(5, 5))
    assert split.removed.shape == (len(split.edges), 5, 5)
    removed = split.removed.reshape(len(split.edges), -1)
    assert np.all(np.diff(removed, axis=1) >= -1e-13)  # gradient flow never unlearns
    assert np.all(removed >= 0.0)
    assert np.all(removed <= split.removable[:, None] + 1e-12)
    ends = rf.bulk_split(solution, [0.0, math.inf])
    assert np.all(ends.removed[:, 0] == 0.0)
    np.testing.assert_allclose(ends.removed[:, 1], split.removable, rtol=1e-12)
    np.testing.assert_allclose(ends.test[:, 0], 1.0, rtol=1e-12)
    np.testing.assert_allclose(
        ends.score_error[:, 0], solution.model.initial_score_error, rtol=1e-12
    )


def test_against_the_measures_on_the_spectrum(solution: rf.Solution) -> None:
    """The same integrals over the densities on the real axis, one bulk at a time."""
    model, law = solution.model, solution.spectrum
    probes = np.array([10.0, 1e3])
    nodes = SpectralNodes(law, law.panels, solution.nodes, probes)
    rule, tau = rf.GradientFlow(), np.array([1.0, 300.0, 1e5])
    split = rf.bulk_split(solution, tau)
    h, left = (f(nodes.points, tau, model.rate) for f in (rule.filter, rule.residual))
    c = model.coefficients
    a2 = (c.mu1 / c.Gamma_t) ** 2
    w, diffused = model.covariance.weights, model.diffused
    for bulk, (low, high) in enumerate(split.edges):
        on = h * ((nodes.points >= low) & (nodes.points <= high))
        carried = nodes.integral(on * (1.0 + left), nodes.S_VV).value
        np.testing.assert_allclose(split.removed[bulk], carried, rtol=1e-9, atol=1e-12)
        bias = (a2 / c.b * nodes.mean(on) * diffused - 1.0) ** 2 @ (w / diffused)
        noise = c.residual_variance * nodes.integral(on * on, nodes.S_VV / c.b**2).value
        score = bias + a2 * noise + nodes.quadratic(on).value / c.Delta_t
        np.testing.assert_allclose(split.score_error[bulk], score, rtol=1e-7)
        test = model.floor + c.Delta_t * score
        np.testing.assert_allclose(split.test[bulk], test, rtol=1e-7)


def test_a_single_bulk_is_everything() -> None:
    solution = rf.solve(rf.ScoreModel(0.3, 0.75, 0.5))
    if len(solution.spectrum.edges) != 1:
        solution = rf.solve(rf.ScoreModel(1.0, 1.0, 1.0))
    assert len(solution.spectrum.edges) == 1
    split, whole = rf.bulk_split(solution, TAU), solution.learning_curves(TAU)
    np.testing.assert_allclose(split.test[0], whole.test, rtol=1e-9)
    np.testing.assert_allclose(split.score_error[0], whole.score_error, rtol=1e-9)
    assert split.share[0] == pytest.approx(1.0, abs=1e-11)


def test_memorization_is_carried_by_the_thin_bulk() -> None:
    """At the paper's parameters one eigenvalue in 64 carries almost all of the train loss.

    Finite networks of d = 16 hold their eigenvalues in the same three groups; they differ from the
    limit by about 1/d.
    """
    model, d = MODELS["paper"], 16
    split = rf.bulk_split(rf.solve(model), TAU)
    assert split.masses == pytest.approx([1 / 64, 7 / 64, 1 / 64], abs=1e-12)
    assert split.removable == pytest.approx([0.641, 0.003, 0.022], abs=5e-4)
    assert isinstance(model.activation, Activation)
    found = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        trained = Trained(draw_network(rng, np.ones(d), 64 * d, 8 * d, 0.01, model.activation))
        cuts = [0.0, *np.sqrt(split.edges[:-1, 1] * split.edges[1:, 0]), math.inf]
        groups = np.digitize(trained.eigenvalues, cuts) - 1
        assert np.sum(groups == 2) == d
        found.append(np.bincount(groups, trained.measure / trained.eigenvalues, 3))
    assert np.all(np.abs(np.mean(found, axis=0) - split.removable) < 1.0 / d)
    # only the network that has learned the upper bulk beats the one that has learned nothing by
    # what is there to learn; the thin bulk alone is memory
    assert split.test[2, -1] < 1.0 < split.test[0, -1]
    assert split.removed[0, 2] < 0.01 * split.removable[0]
    assert split.removed[2, 2] > 0.99 * split.removable[2]


def test_errors_are_honest() -> None:
    """A looser solution is as far from a tighter one as it says."""
    for name in ("paper", "five_bulks"):
        loose = rf.bulk_split(rf.solve(MODELS[name], rtol=1e-5), TAU)
        tight = rf.bulk_split(rf.solve(MODELS[name], rtol=1e-11), TAU)
        for what in ("removable", "share", "removed", "test", "score_error"):
            miss = np.abs(getattr(loose, what) - getattr(tight, what))
            assert np.all(miss <= loose.error[what] + tight.error[what]), what
        assert loose.error["test"].max() > tight.error["test"].max()


def test_what_is_refused() -> None:
    solution = rf.solve(MODELS["two_bulks"])
    with pytest.raises(rf.ModelError, match="A = 0"):
        rf.bulk_split(solution, 1.0, rf.GradientFlow(initial_std=1.0))
    with pytest.raises(rf.ModelError, match="momentum"):
        rf.bulk_split(solution, 1.0, rf.HeavyBall(step=1.0, momentum=0.5))
    with pytest.raises(rf.ModelError, match="tau"):
        rf.bulk_split(solution, -1.0)
    with pytest.raises(rf.ModelError):  # diverges
        rf.bulk_split(solution, 1e3, rf.GradientDescent(step=1e3))


def test_a_bulk_without_room_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dmft_rf.curves.bulk_split.MOST_NODES", 10)
    with pytest.raises(rf.ConvergenceError, match="close to its neighbours"):
        nodes_on_bulk(rf.solve(MODELS["paper"]).spectrum, 0, Region(), 1e-10)


def test_the_defect_sees_wrong_weights() -> None:
    """The mass of each bulk is known exactly; a contour that misses it says by how much."""
    law = rf.solve(MODELS["paper"]).spectrum
    for bulk in range(3):
        nodes = nodes_on_bulk(law, bulk, Region(), 1e-10)
        assert nodes.defect < 1e-9
        contour = nodes.contour
        wrong = dataclasses.replace(contour, weights=1.01 * contour.weights)
        assert OneBulk(law, wrong, bulk).defect == pytest.approx(0.01, rel=1e-6)


def test_bulks_that_do_not_add_up_are_noticed() -> None:
    solution = rf.solve(MODELS["two_bulks"])
    exact = solution.nodes.exact
    solution.nodes.__dict__["exact"] = dataclasses.replace(exact, train_limit=0.5)
    with pytest.raises(rf.ConvergenceError, match="together they must carry"):
        rf.bulk_split(solution, 1.0)


@pytest.mark.parametrize("m", [2, 40])
def test_with_noise_draws(m: int) -> None:
    """What the bulks carry adds up to the train loss; few draws are memorised bulk by bulk."""
    solution = rf.solve(rf.ScoreModel(0.01, 64, 8, noise_draws=m))
    split, whole = rf.bulk_split(solution, TAU), solution.learning_curves(TAU)
    np.testing.assert_allclose(split.removed.sum(axis=0), 1.0 - whole.train, rtol=1e-9, atol=1e-12)
    assert split.share.sum() == pytest.approx(1.0, abs=1e-10)
    assert np.all(split.share > 0.0)


@pytest.mark.compiled
def test_a_bulk_that_reaches_zero_has_no_contour() -> None:
    solution = rf.solve(rf.ScoreModel(0.1, 8, 4, noise_draws=2))
    with pytest.raises(rf.ConvergenceError, match="down to 0"):
        rf.bulk_split(solution, 1.0)
