"""SGD at infinite width: its limits, and that finite widths approach it like 1/psi_p."""

import math

import numpy as np
import pytest

import dmft_rf as rf

SGD = rf.StochasticGradientDescent
INF = math.inf
WIDE = rf.ScoreModel(0.1, INF, 4)
TIMES = np.array([0.1, 1.0, 10.0, 100.0, 1e3, INF])
WIDTHS = (1e3, 1e4, 1e5, 1e6)
TWO = rf.Covariance([0.4, 1.6])


def rule_for(options, width):
    """The same rule at a finite width, whose weight decay is not in units of psi_p."""
    decay = options.get("weight_decay", 0.0) * width
    return SGD(**{**options, "weight_decay": decay})


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (WIDE, {"noise": 5.0}),
        (WIDE, {"noise": 1.0, "momentum": 0.8}),
        (WIDE, {"noise": rf.schedules.InverseTime(10.0, 50.0)}),
        (WIDE, {"noise": 5.0, "average": 20.0}),
        (WIDE, {"noise": 5.0, "weight_decay": 0.01, "initial_std": 0.7}),
        (WIDE, {"noise": 2.0, "finite_steps": 0.1, "momentum": 0.5}),
        (WIDE.replace(psi_n=0.5, covariance=TWO), {"noise": 5.0}),
        (WIDE.replace(psi_n=3.0, covariance=TWO, activation="relu"), {"noise": 4.0}),
        (WIDE.replace(activation="linear"), {"noise": 4.0}),
    ],
)
def test_finite_widths_approach_it(model, options):
    """psi_p times the difference settles: its changes fall by about 10 for each factor of 10."""
    tau = TIMES[:4] if "finite_steps" in options else TIMES
    rule = SGD(**options)
    wide = rf.solve(model).learning_curves(tau, rule)
    curves = [
        rf.solve(model.replace(psi_p=width)).learning_curves(tau, rule_for(options, width))
        for width in WIDTHS
    ]
    for name in ("train", "test", "score_error"):
        limit = getattr(wide, name)
        scaled, error = [], []
        for width, one in zip(WIDTHS, curves, strict=True):
            scaled.append(width * (getattr(one, name) - limit))
            # what the stated errors leave of it
            stated = one.error[name] + wide.error[name] + 1e-14 * np.abs(limit)
            error.append(width * stated)
        room = 0.2 * np.abs(scaled[1]) + 1e-6
        assert np.all(np.abs(scaled[2] - scaled[1]) <= room + error[2]), name
        assert np.all(np.abs(scaled[3] - scaled[2]) <= 0.2 * room + error[3]), name


@pytest.mark.parametrize("options", [{}, {"momentum": 0.5}, {"weight_decay": 0.01}])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_load_and_threshold(activation, options):
    wide = rf.solve(WIDE.replace(activation=activation))
    rule = SGD(0.5, **options)
    for width in (1e4, 1e6):
        finite = rf.spectrum(wide.model.replace(psi_p=width))
        same = rule_for({"noise": 0.5, **options}, width)
        near = {"rel": 1e2 / width if rule.weight_decay else 1e-12}
        assert rf.sgd.load(wide, rule) == pytest.approx(float(rf.sgd.load(finite, same)), **near)
        assert rf.sgd.threshold(wide, rule) == pytest.approx(rf.sgd.threshold(finite, same), **near)


def test_the_load_is_that_of_the_kernel_and_of_idle_modes():
    law, c = rf.spectrum(WIDE), WIDE.coefficients
    load = WIDE.Delta_t * (law.integrate(lambda k: k) + c.s2)
    assert rf.sgd.load(law, SGD(1.0)) == pytest.approx(load, rel=1e-10)
    decayed = WIDE.Delta_t * law.integrate(lambda k: k * k / (k + 0.02))
    assert rf.sgd.load(law, SGD(1.0, weight_decay=0.02)) == pytest.approx(decayed, rel=1e-10)


def test_beyond_the_threshold_is_refused():
    """Where only networks of finite width diverge as well."""
    solution, c = rf.solve(WIDE), WIDE.coefficients
    limit = rf.sgd.threshold(solution, SGD(1.0))
    held = limit * WIDE.Delta_t * (rf.spectrum(WIDE).integrate(lambda k: k) + 0.5 * c.s2)
    assert held < 1.0
    with pytest.raises(rf.ModelError, match="the losses grow without end"):
        solution.learning_curves(1.0, SGD(limit / held))


@pytest.mark.parametrize("activation", ["tanh", "relu", "linear"])
def test_no_noise_is_gradient_flow(activation):
    solution = rf.solve(WIDE.replace(activation=activation))
    flow = solution.learning_curves(TIMES)
    none = solution.learning_curves(TIMES, SGD(0.0))
    for name in ("train", "test", "score_error"):
        assert np.array_equal(getattr(none, name), getattr(flow, name))
    little = [solution.learning_curves(TIMES[:-1], SGD(eps)).train_noise for eps in (1e-4, 1e-5)]
    assert little[0] == pytest.approx(10.0 * little[1], rel=1e-3)
    assert np.all(little[1] > 0.0)


def test_a_network_that_interpolates_forgets_the_noise():
    solution = rf.solve(WIDE)
    end = solution.learning_curves(INF, SGD(5.0))
    assert end.train == 0.0
    assert end.test == end.gradient_flow.test
    late = solution.learning_curves(1e5, SGD(5.0))
    assert late.test == pytest.approx(float(end.test), rel=1e-6)


def test_random_weights_of_idle_features_are_never_forgotten():
    """The plateau at times far below psi_p."""
    rule, c = SGD(5.0, initial_std=0.7), WIDE.coefficients
    end = rf.solve(WIDE).learning_curves(INF, rule)
    F = 0.49 * WIDE.Delta_t * c.s2
    flow = rf.solve(WIDE).learning_curves(INF, rf.GradientFlow(initial_std=0.7))
    assert flow.train == pytest.approx(F, rel=1e-10)
    moving = 5.0 * WIDE.Delta_t * rf.spectrum(WIDE).integrate(lambda k: k)
    assert end.train == pytest.approx(F / (1.0 - moving), rel=1e-10)
    late = rf.solve(WIDE).learning_curves(1e6, rule)
    assert late.train == pytest.approx(float(end.train), rel=1e-8)
