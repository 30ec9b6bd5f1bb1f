"""Drawn networks behind the same call, against the exact losses of each."""

import math
from functools import cache

import numpy as np
import pytest

import dmft_rf as rf
from dmft_rf.curves.image_nodes import DrawnNodes
from dmft_rf.images.networks import DRAWS, drawn_networks
from dmft_rf.rules.flow import Rule
from tests.images.test_image_model import N, P, T, clusters, small
from validation.finite.losses import Trained
from validation.finite.network import network_on_rows


@cache
def drawn() -> rf.Solution:
    return rf.solve(rf.ImageModel(clusters(), T, 40, features=P, seed=3))


@pytest.mark.parametrize(
    "rule",
    [
        rf.GradientFlow(initial_std=0.4),
        rf.GradientFlow(weight_decay=0.1),
        rf.HeavyBall(step=0.125, momentum=0.99),  # no contour carries it
    ],
)
def test_every_network_is_exact(rule: Rule) -> None:
    solution = drawn()
    assert isinstance(solution.model, rf.ImageModel)
    tau = np.array([0.0, 1.0, 30.0, 1e3])
    train, test = [], []
    for draw in range(DRAWS):
        order = np.random.default_rng([3, draw]).permutation(N)
        network = network_on_rows(
            np.random.default_rng(3), clusters()[order[:40]], clusters()[order[40:]], P, T,
            solution.model.activation,
        )  # fmt: skip
        losses = Trained(network).losses(rule, tau)
        train.append(losses.train)
        test.append(losses.test)
    curves = solution.learning_curves(tau, rule)
    np.testing.assert_allclose(curves.train, np.mean(train, axis=0), rtol=1e-7)
    np.testing.assert_allclose(curves.test, np.mean(test, axis=0), rtol=1e-7)
    error = np.std(test, axis=0, ddof=1) / math.sqrt(DRAWS)
    np.testing.assert_allclose(solution.scatter(tau, rule)["test"], error, rtol=1e-5, atol=1e-9)


def test_more_networks_begin_with_the_same() -> None:
    model = rf.ImageModel(clusters(), T, 40, features=P, seed=3)
    few, usual = drawn_networks(model, 2), drawn_networks(model)
    assert (len(few.places), len(usual.places)) == (2, DRAWS)
    np.testing.assert_array_equal(few.pairs, usual.pairs[:2])


def test_the_rule_that_picks() -> None:
    solution = drawn()
    model = solution.model
    assert solution.diagnostics["route"] == model.route == "networks"
    assert isinstance(solution.nodes, DrawnNodes)
    assert small().diagnostics["route"] == "equations"
    assert model.replace(n=136).route == "equations"
    assert model.replace(n=135).route == "networks"
    assert model.replace(classes=2).route == "equations"
    assert model.replace(features=1001).route == "equations"
    assert model.model_error == 0.0
    with pytest.raises(rf.ModelError, match="one sample in ten"):
        model.replace(n=136, route="networks")
    with pytest.raises(rf.ModelError, match="route"):
        model.replace(route="guess")
    with pytest.raises(rf.ModelError, match="no scatter"):
        small().scatter(1.0)


def test_timescales_agree_with_the_equations() -> None:
    found, expected = rf.timescales(drawn()), rf.timescales(small())
    assert not found.reasons
    # ten networks of 36 features on twelve dimensions
    for name in ("tau_mem", "tau_opt", "test_min"):
        assert found.value(name) == pytest.approx(expected.value(name), rel=0.15)
    assert found.final_gap == pytest.approx(expected.final_gap, rel=0.1)


def test_the_end_of_weight_decay_is_ridge() -> None:
    late = drawn().learning_curves(math.inf, rf.GradientFlow(weight_decay=0.2))
    ridge = drawn().learning_curves(1.0, rf.Ridge(0.2))
    assert float(late.test) == pytest.approx(float(ridge.test), rel=1e-9)
