"""SGD with steps of finite size."""

import math

import numpy as np
import pytest

import dmft_rf as rf
from tests.curves.test_stochastic import check

SGD = rf.StochasticGradientDescent
A = rf.ScoreModel(0.1, 4, 2)
RELU = rf.ScoreModel(0.1, 4, 2, activation="relu")
INF = math.inf


@pytest.mark.parametrize(
    ("rule", "steps", "row"),
    [
        (SGD(5.0, finite_steps=0.3), 100, (1.17015506, 1.28244938, 2.55817594)),
        (SGD(0.4, momentum=0.9, finite_steps=0.02), 1000, (0.9435584, 1.32189382, 2.77577733)),
    ],
)
def test_the_values_of_the_note(rule, steps, row):
    """Nine digits by one method."""
    tau = steps * rule.finite_steps
    check(rf.solve(A).learning_curves([tau], rule), [(tau, *row)], 5e-9)


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (A, {}),
        (A, {"momentum": 0.5}),
        (A, {"momentum": 0.5, "weight_decay": 0.05, "initial_std": 0.3}),
        (RELU, {"batch": 3, "momentum": 0.3}),
        (rf.ScoreModel(0.1, 4, 2, noise_draws=3), {"weight_decay": 0.05}),
        # p = n m: the spectrum touches 0
        pytest.param(rf.ScoreModel(0.1, 4, 2, noise_draws=2), {}, marks=pytest.mark.compiled),
        (rf.ScoreModel(0.1, math.inf, 2), {"momentum": 0.5}),
        (rf.ScoreModel(0.1, math.inf, 0.5), {"weight_decay": 0.05, "initial_std": 0.3}),
    ],
)
def test_the_first_steps_from_the_spectrum(model, options):
    """The sum over past steps itself, with integrals over the spectrum and powers of a matrix."""
    step, eps, count = 0.4, 1.3, 6
    rule = SGD(eps, finite_steps=step, **options)
    law, m = rf.spectrum(model), rule.momentum
    solution = rf.solve(model)
    tau = step * np.arange(count + 1)
    F = solution.learning_curves(tau, rule.mean_rule).train

    def moved(y, k):
        turn = np.array([[1.0 + m - y, -m], [1.0, 0.0]])
        return np.linalg.matrix_power(turn, k)[0, 0]

    def kernel(k):
        def f(x):
            y = model.rate * step * (x + rule.weight_decay)
            return x * x * np.array([moved(one, k) for one in y]) ** 2

        return 4.0 * model.Delta_t**2 / model.unit * step * law.integrate(f)

    X = 2.0 * eps * rule.batch * model.Delta_t * model.coefficients.mu0**2
    K = [kernel(k) for k in range(count)]
    outlier = [X * X / rule.batch * moved(X, k) ** 2 for k in range(count)]
    bulk, whole = [], []
    for k in range(count + 1):
        bulk.append(F[k] + eps * sum(K[k - 1 - j] * whole[j] for j in range(k)))
        whole.append(bulk[k] + sum(outlier[k - 1 - j] * bulk[j] for j in range(k)))
    assert solution.learning_curves(tau, rule).train == pytest.approx(whole, rel=1e-10)


@pytest.mark.parametrize("model", [A, RELU])
@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_small_steps_are_the_limit(model, momentum):
    """The difference falls in proportion to the step."""
    solution, tau = rf.solve(model), np.array([30.0, INF])
    limit = solution.learning_curves(tau, SGD(1.5, momentum=momentum))
    off = []
    for step in (0.02, 0.01):
        rule = SGD(1.5, momentum=momentum, finite_steps=step)
        curves = solution.learning_curves(tau, rule)
        off.append(np.abs(curves.test - limit.test))
    assert off[1] == pytest.approx(0.5 * off[0], rel=0.03)
    assert np.all(off[1] < 0.01)


@pytest.mark.parametrize("model", [A, RELU])
@pytest.mark.parametrize("options", [{}, {"momentum": 0.5, "weight_decay": 0.05}])
def test_late_steps_reach_the_stationary_loss(model, options):
    rule = SGD(2.0, finite_steps=2.0, **options)
    solution = rf.solve(model)
    late, end = solution.learning_curves([3e4, INF], rule).test
    assert late == pytest.approx(end, rel=1e-9)
    limit = rf.sgd.threshold(solution, rule)
    assert rf.sgd.load(solution, SGD(limit, finite_steps=2.0, **options)) == pytest.approx(1.0)
    with pytest.raises(rf.ModelError, match="allows eps below"):
        solution.learning_curves(1.0, SGD(1.01 * limit, finite_steps=2.0, **options))


def test_batches_that_grow():
    """A schedule of batches at one learning rate: constant values agree with the number."""
    solution, tau = rf.solve(A), np.array([0.0, 4.0, 20.0])
    plain = solution.learning_curves(tau, SGD(5.0, finite_steps=0.5))
    table = rf.schedules.Piecewise([7.0], [5.0, 5.0])
    same = solution.learning_curves(tau, SGD(table, finite_steps=0.5))
    assert same.test == pytest.approx(plain.test, rel=1e-12)
    less = rf.schedules.Piecewise([7.0], [5.0, 1.0])
    fewer = solution.learning_curves(tau, SGD(less, finite_steps=0.5))
    assert fewer.test[:2] == pytest.approx(plain.test[:2], rel=1e-12)
    assert fewer.test_noise[2] < 0.7 * plain.test_noise[2]


def test_what_is_refused():
    solution = rf.solve(A)
    with pytest.raises(rf.ModelError, match="not a whole number of steps"):
        solution.learning_curves(0.25, SGD(1.0, finite_steps=0.1))
    with pytest.raises(rf.ModelError, match="training diverges"):
        solution.learning_curves(0.0, SGD(1.0, finite_steps=1e3))
    with pytest.raises(rf.ModelError, match="are followed one by one"):
        solution.learning_curves(1e6, SGD(1.0, finite_steps=0.1))
    with pytest.raises(rf.ModelError, match="activation with a mean"):
        rf.solve(RELU).learning_curves(1.0, SGD(lambda tau: 1.0 / (1.0 + tau), finite_steps=0.5))
