"""Learning curves of SGD: values of the note that they come from, limits, and refusals."""

import math

import numpy as np
import pytest

import dmft_rf as rf
from dmft_rf.curves.noise_transforms import outlier

SGD = rf.StochasticGradientDescent
A = rf.ScoreModel(0.1, 4, 2)
INF = math.inf

# made with two contours and a collocation that agree to 4e-10: tau, train, test, score error
CASES = {
    "isotropic": (
        A,
        SGD(5.0),
        [
            (1.0, 1.077533708719, 1.054117653040, 1.298548451868),
            (100.0, 1.088473510556, 1.366849139148, 3.023780345412),
            (INF, 0.952630428237, 1.791063194912, 5.364023177370),
        ],
    ),
    "small t": (
        rf.ScoreModel(0.01, 64, 8),
        SGD(20.0),
        [
            (100.0, 1.134321246561, 1.129527653938, 7.541362401864),
            (1e5, 0.763142166298, 3.705992319083, 137.6571220708),
        ],
    ),
    "two eigenvalues": (
        rf.ScoreModel(0.1, 8, 4, covariance=rf.Covariance([0.4, 1.6])),
        SGD(4.0),
        [
            (100.0, 0.970045950703, 1.080831586896, 1.763990481807),
            (INF, 0.806068670125, 1.432907121740, 3.706269940800),
        ],
    ),
    "no atom, load 0.86": (
        rf.ScoreModel(0.1, 2, 4),
        SGD(12.0),
        [(100.0, 4.970599892578, 5.033519460049, 23.25153758036)],
    ),
    "a mean": (
        rf.ScoreModel(0.1, 4, 2, activation="relu"),
        SGD(4.0, batch=1),
        [(100.0, 1.053560490458, 1.401927748652, 3.217296951784)],
    ),
}


def check(curves, rows, tolerance=1e-9):
    """The curves at the times of the rows; what is left of them is the last digit printed."""
    found = np.stack([curves.train, curves.test, curves.score_error], axis=-1)
    wanted = np.array([row[1:] for row in rows])
    assert np.abs(found / wanted - 1.0).max() < tolerance


@pytest.mark.parametrize("name", CASES)
def test_the_values_of_the_note(name):
    model, rule, rows = CASES[name]
    curves = rf.solve(model).learning_curves([row[0] for row in rows], rule)
    check(curves, rows)
    assert curves.relative_error < 1e-10


def test_the_load_of_the_note():
    assert rf.sgd.load(rf.solve(A), SGD(5.0)) == pytest.approx(0.357367326700, abs=1e-12)
    relu = CASES["a mean"][0]
    assert rf.sgd.load(rf.solve(relu), SGD(4.0)) == pytest.approx(0.279379145, abs=1e-9)
    y = outlier(relu, SGD(4.0), np.array(4.0))[1]
    assert y == pytest.approx(0.130453914535, abs=1e-11)


def test_no_noise_is_gradient_flow():
    """Exactly so for eps = 0; what a little noise adds is proportional to it."""
    tau = np.array([0.0, 0.3, 20.0, 1e4, INF])
    solution = rf.solve(A)
    flow = solution.learning_curves(tau)
    none = solution.learning_curves(tau, SGD(0.0))
    assert np.array_equal(none.train, flow.train)
    assert np.array_equal(none.test, flow.test)
    one, two = (solution.learning_curves(tau, SGD(eps)) for eps in (1e-6, 2e-6))
    assert two.test_noise == pytest.approx(2.0 * one.test_noise, rel=1e-6)


@pytest.mark.parametrize("draws", [INF, 3])
def test_noise_only_adds(draws):
    tau = np.geomspace(1e-3, 1e5, 40)
    model = rf.ScoreModel(0.1, 4, 2, noise_draws=draws)
    solution = rf.solve(model)
    flow = solution.learning_curves(tau)
    before = flow
    for eps in (0.5, 2.0, 8.0):
        curves = solution.learning_curves(tau, SGD(eps))
        assert np.all(curves.train > before.train)
        assert np.all(curves.test > before.test)
        assert curves.train == pytest.approx(flow.train + curves.train_noise, rel=1e-13)
        assert curves.gradient_flow.test == pytest.approx(flow.test, rel=1e-14)
        before = curves


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_stationary_floor(activation):
    """L_train = (1 + y) F/(1 - load) at tau = inf; late times come close to it, the gap is F's."""
    model = rf.ScoreModel(0.1, 3, 2, activation=activation)
    solution, rule = rf.solve(model), SGD(5.0, batch=2)
    late, end = solution.learning_curves([1e7, INF], rule).test
    assert late == pytest.approx(end, rel=1e-9)
    curves = solution.learning_curves(INF, rule)
    flow = solution.learning_curves(INF)
    assert float(curves.generalization_gap) == pytest.approx(
        float(flow.generalization_gap), rel=1e-10
    )
    y = float(outlier(model, rule, np.array(5.0))[1])
    assert float(curves.train) == pytest.approx(
        (1.0 + y) * float(flow.train) / (1.0 - float(curves.load)), rel=1e-10
    )


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_beyond_the_threshold_is_refused(activation, momentum):
    model = rf.ScoreModel(0.1, 4, 2, activation=activation)
    solution = rf.solve(model)
    limit = rf.sgd.threshold(solution, SGD(1.0, momentum=momentum))
    assert rf.sgd.load(solution, SGD(limit, momentum=momentum)) == pytest.approx(1.0, abs=1e-12)
    near = solution.learning_curves(INF, SGD(0.999 * limit, momentum=momentum))
    assert near.train > 300 * near.gradient_flow.train
    with pytest.raises(rf.ModelError, match=f"noise is .*allows eps below {limit:.9g}"):
        solution.learning_curves(1.0, SGD(1.001 * limit, momentum=momentum))


def test_a_large_batch_has_no_noise():
    """At a fixed learning rate eps = eta/(d batch) falls, and with it what the noise adds."""
    solution = rf.solve(A)
    batches = (1, 10, 100, 1000)
    rules = [SGD.from_run(learning_rate=40.0, batch=b, dimension=10) for b in batches]
    added = [float(solution.learning_curves(50.0, rule).test_noise) for rule in rules]
    assert np.diff(np.log10(added)) == pytest.approx([-1.0] * 3, abs=0.25)
    assert added[-1] * 1000 == pytest.approx(added[-2] * 100, rel=0.01)


def test_momentum_is_a_faster_clock():
    solution, tau = rf.solve(A), np.array([0.5, 30.0, INF])
    with_it = solution.learning_curves(tau, SGD(1.0, momentum=0.75))
    without = solution.learning_curves(4.0 * tau, SGD(4.0))
    assert with_it.test == pytest.approx(without.test, rel=1e-13)


def test_initial_weights_are_forgotten():
    solution, rule = rf.solve(A), SGD(5.0, initial_std=0.7)
    curves = solution.learning_curves([0.0, INF], rule)
    flow = solution.learning_curves([0.0, INF], rf.GradientFlow(initial_std=0.7))
    assert curves.train[0] == flow.train[0]
    assert curves.train[1] == pytest.approx(flow.train[1] / (1 - curves.load[1]), rel=1e-10)


def test_from_run():
    assert SGD.from_run(learning_rate=30.0, batch=4, dimension=5).noise == pytest.approx(1.5)
    rule = SGD.from_run(learning_rate=0.1, batch=4, dimension=5, psi_p=8, momentum=0.5)
    assert (rule.noise, rule.momentum) == (pytest.approx(0.2), 0.5)
    steps = SGD.from_run(learning_rate=30.0, batch=4, dimension=5, finite_steps=True)
    assert steps.finite_steps == pytest.approx(30.0 / 25.0)
    with pytest.raises(rf.ModelError, match="learning_rate is -1"):
        SGD.from_run(learning_rate=-1, batch=4, dimension=5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise": -1.0}, "noise is -1"),
        ({"noise": 1.0, "batch": 0}, "batch is 0"),
        ({"noise": 1.0, "batch": 1.5}, "batch is 1.5"),
        ({"noise": 1.0, "momentum": 1.0}, "momentum is 1"),
        ({"noise": 1.0, "average": 0.0}, "average is 0"),
        ({"noise": 1.0, "average": 1.0, "finite_steps": 0.1}, "average is 1.0 and finite_steps"),
        ({"noise": "a"}, "noise is 'a'"),
    ],
)
def test_wrong_parameters(arguments, message):
    with pytest.raises(rf.ModelError, match=message):
        SGD(**arguments)


def test_what_is_not_derived_is_refused():
    mixture = rf.Mixture([0.5, 0.5], [[1.0, 2.0], [0.5, 3.0]])
    with pytest.raises(rf.ModelError, match="not derived for a Mixture"):
        rf.sgd.load(rf.spectrum(rf.ScoreModel(0.1, 4, 2, covariance=mixture)), SGD(1.0))


def test_the_mean_weights():
    assert SGD(1.0, weight_decay=0.1, initial_std=2.0).mean_rule == rf.GradientFlow(0.1, 2.0)
    assert SGD(1.0, average=3.0, momentum=0.5).mean_rule == rf.WeightAverage(6.0)
    assert SGD(1.0, momentum=0.5, finite_steps=0.1).mean_rule == rf.HeavyBall(0.1, 0.0, 0.0, 0.5)


def test_a_training_loss_that_vanishes_keeps_its_digits():
    """p > n m: every column is interpolated in the end, at a load of 0.95 as well."""
    model = rf.ScoreModel(0.043, 18.19, 1.74, noise_draws=1)
    solution = rf.solve(model)
    rule = SGD(0.95 * rf.sgd.threshold(solution, SGD(1.0)))
    curves = solution.learning_curves([1e4, 2e4], rule)
    assert curves.train[0] == pytest.approx(8.59e-11, rel=1e-3)
    assert abs(curves.train[1]) < curves.error["train"][1] < 1e-13
