"""Steps of SGD on finite networks: against gradient descent, and the theory in the limit."""

import math

import numpy as np
import pytest

from dmft_rf import GradientDescent, ScoreModel, StochasticGradientDescent, schedules
from validation.compare.compare import compare, judge
from validation.compare.mutate import MUTATIONS
from validation.compare.theory import predict
from validation.finite.case import FLOW, Case
from validation.finite.cases import GradientFlow
from validation.finite.losses import Trained
from validation.finite.network import draw_network
from validation.finite.simulate import simulate
from validation.finite.stochastic import sgd_losses

SGD = StochasticGradientDescent
CASE = Case(
    "sgd_tanh", "few steps of SGD", ScoreModel(0.1, 4.0, 2.0), ((10, 64), (20, 64), (40, 32)),
    (2.0, 20.0),
    {FLOW: GradientFlow(), "loud": SGD(9.0, batch=2), "momentum": SGD(2.0, batch=2, momentum=0.6),
     "averaged": SGD(6.0, batch=2, average=5.0)},
)  # fmt: skip
MEAN = Case(
    "sgd_relu", "few steps of SGD with a mean", ScoreModel(0.1, 4.0, 2.0, "relu"),
    ((24, 64), (40, 40), (64, 20)), (2.0, 20.0), {FLOW: GradientFlow(), "large steps": SGD(4.0, 3)},
)  # fmt: skip
OF_SGD = [mutation for mutation in MUTATIONS if mutation.name.startswith("sgd_")]
# larger than in the report, for fewer draws
LARGER = 0.1


@pytest.fixture(scope="module")
def cells():
    return {
        case.name: [simulate(case, d, seed) for d, n in case.sizes for seed in range(n)]
        for case in (CASE, MEAN)
    }


def test_steps_without_noise_are_gradient_descent() -> None:
    """Large batches of many samples: the same steps as the exact filter, within their noise."""
    rng, model = np.random.default_rng(5), ScoreModel(0.1, 4.0, 2.0)
    network = draw_network(np.random.default_rng(5), np.ones(12), 48, 24, 0.1, model.activation)
    W, X = rng.standard_normal((48, 12)), rng.standard_normal((24, 12))
    batch, step = 20_000, 2.0
    rule = SGD(schedules.Piecewise((4.0,), (step * 12 / batch, 0.5 * step * 12 / batch)), batch)
    tau = np.array([2.0, 4.0, 6.0])
    found = sgd_losses(network, W, X, model.activation, rule, tau, np.random.default_rng(1))
    exact = Trained(network).losses(GradientDescent(step), tau[:2])
    # the noise that is left: the load eps Delta_t m_1 of one step over the batch
    assert found.train[:2] == pytest.approx(exact.train, rel=1e-3)
    assert found.test[:2] == pytest.approx(exact.test, rel=1e-3)
    assert found.train[2] < found.train[1]  # two steps of half the size


def test_the_theory_passes(cells) -> None:
    verdict = judge([compare(case, cells[case.name], shape=False) for case in (CASE, MEAN)])
    assert verdict.reasons == []
    judged = [row for row in verdict.comparisons[0].rows if row.rule == "averaged" and row.judged]
    assert all(row.error < 0.03 * row.theory for row in judged)


@pytest.mark.parametrize("mutation", OF_SGD, ids=lambda m: m.name)
def test_every_mutation_is_caught(cells, mutation) -> None:
    case = MEAN if mutation.name in ("sgd_outlier", "sgd_features") else CASE
    assert mutation.concerns(case)
    wrong = mutation.predict(case, LARGER)
    assert not judge([compare(case, cells[case.name], wrong, shape=False)]).passed


@pytest.mark.parametrize("mutation", OF_SGD, ids=lambda m: m.name)
def test_a_mutation_of_no_size_changes_nothing(mutation) -> None:
    case = MEAN if mutation.name == "sgd_outlier" else CASE
    right, wrong = predict(case), mutation.predict(case, 0.0)
    for label in case.rules:
        assert wrong.curves[label].test == pytest.approx(right.curves[label].test, rel=1e-12)


def test_only_cases_with_sgd_are_concerned() -> None:
    plain = Case("plain", "", ScoreModel(0.1, 4.0, 2.0), ((10, 2),), (1.0, math.inf))
    assert not any(mutation.concerns(plain) for mutation in OF_SGD)
