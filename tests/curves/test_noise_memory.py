"""SGD with noise that depends on time, averaged weights and weight decay."""

import math

import numpy as np
import pytest

import dmft_rf as rf
from tests.curves.test_stochastic import check

SGD = rf.StochasticGradientDescent
A = rf.ScoreModel(0.1, 4, 2)
WIDE = rf.ScoreModel(0.1, math.inf, 2)
INF = math.inf
TIMES = np.array([0.0, 0.01, 1.0, 30.0, 1e3, 1e5])


def ten(tau):
    return 10.0 / (1.0 + tau / 50.0)


@pytest.mark.parametrize("noise", [ten, rf.schedules.InverseTime(10.0, 50.0)])
def test_the_schedule_of_the_note(noise):
    curves = rf.solve(A).learning_curves([100.0], SGD(noise))
    check(curves, [(100.0, 0.939428811280, 1.225656516114, 2.244869275654)])


def test_the_average_of_the_note():
    curves = rf.solve(A).learning_curves([100.0], SGD(5.0, average=20.0))
    check(curves, [(100.0, 0.812078557320, 1.078439894964, 1.432725883159)])


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (A, {}),
        (A, {"initial_std": 0.5}),
        (rf.ScoreModel(0.1, 4, 2, activation="relu"), {"batch": 2}),
        (rf.ScoreModel(0.1, 4, 2, activation="relu"), {"momentum": 0.6}),
        (rf.ScoreModel(0.1, 4, 2, noise_draws=3), {}),
        # p = n m: the spectrum touches 0
        pytest.param(rf.ScoreModel(0.1, 4, 2, noise_draws=2), {}, marks=pytest.mark.compiled),
        (WIDE, {}),
        (WIDE, {"initial_std": 0.5}),
    ],
)
def test_constant_noise_by_both_routes(model, options):
    """The closed form on the contour and the equation solved in time."""
    solution = rf.solve(model)
    closed = solution.learning_curves(TIMES, SGD(1.5, **options))
    stepped = solution.learning_curves(TIMES, SGD(lambda tau: 1.5 + 0.0 * tau, **options))
    for name in ("train", "test", "score_error", "weight_norm"):
        one, two = getattr(closed, name), getattr(stepped, name)
        if name == "weight_norm" and model is WIDE:  # not known
            assert np.isnan([one, two]).all()
            continue
        assert np.all(np.abs(one - two) <= closed.error[name] + stepped.error[name]), name


@pytest.mark.parametrize(("model", "omega"), [(A, 0.0), (A, 0.02), (WIDE, 0.02)])
def test_against_the_trapezoidal_rule(model, omega):
    """The equation with K from integrals over the spectrum, on equal steps, extrapolated."""
    law, end = rf.spectrum(model), 6.0
    solution, rate = rf.solve(model), model.rate

    def noise(tau):
        return 8.0 / (1.0 + tau)

    def values(steps):
        tau = np.linspace(0.0, end, steps + 1)
        h = tau[1]
        F = solution.learning_curves(tau, rf.GradientFlow(omega)).train
        scale = 4.0 * model.Delta_t**2 / model.unit
        K = [
            scale * law.integrate(lambda x, s=s: x * x * np.exp(-2 * rate * (x + omega) * s))
            for s in tau
        ]
        K, e, L = np.array(K), noise(tau), np.zeros(tau.size)
        for i in range(tau.size):
            drive = h * e[:i] * L[:i] * K[i:0:-1]
            past = drive.sum() - 0.5 * drive[0] if i else 0.0
            L[i] = (F[i] + past) / (1.0 - (0.5 * h * K[0] * e[i] if i else 0.0))
        return L[:: steps // 3]

    one, two, four = values(48), values(96), values(192)
    better = [two + (two - one) / 3.0, four + (four - two) / 3.0]
    best = better[1] + (better[1] - better[0]) / 15.0
    found = solution.learning_curves(np.linspace(0.0, end, 4), SGD(noise, weight_decay=omega))
    assert found.train == pytest.approx(best, abs=3.0 * float(np.abs(best - better[1]).max()))
    assert np.abs(best - better[1]).max() < 1e-6


SLOW = pytest.mark.compiled


@pytest.mark.parametrize(
    ("known", "plain"),
    [
        pytest.param(
            rf.schedules.Piecewise([5.0, 40.0], [6.0, 3.0, 0.5]),
            lambda tau: np.where(tau < 5.0, 6.0, np.where(tau < 40.0, 3.0, 0.5)),
            marks=SLOW,
        ),
        pytest.param(
            rf.schedules.WarmUp(3.0, 4.0), lambda tau: 4.0 * np.minimum(tau / 3.0, 1.0), marks=SLOW
        ),
        pytest.param(
            rf.schedules.Table([2.0, 9.0], [1.0, 5.0]),
            lambda tau: np.interp(tau, [2, 9], [1, 5]),
            marks=SLOW,
        ),
        pytest.param(
            rf.schedules.Cosine(6.0, 80.0, 1.0),
            lambda tau: 1.0 + 2.5 * (1.0 + np.cos(np.pi * np.minimum(tau / 80.0, 1.0))),
            marks=SLOW,
        ),
        (rf.schedules.Exponential(6.0, 30.0, 1.0), lambda tau: 1.0 + 5.0 * np.exp(-tau / 30.0)),
        pytest.param(
            rf.schedules.WarmUp(2.0, rf.schedules.InverseTime(6.0, 10.0)),
            lambda tau: np.where(tau < 2, tau / 2, 1) * 6 / (1 + np.maximum(tau - 2, 0) / 10),
            marks=SLOW,
        ),
    ],
)
def test_schedules(known, plain):
    """What knows its kinks and what does not agree, and the floor is that of the last value."""
    solution, tau = rf.solve(A), np.array([0.5, 4.0, 20.0, 90.0, 1e6, INF])
    assert known(tau) == pytest.approx(plain(tau), rel=1e-14)
    one = solution.learning_curves(tau, SGD(known))
    two = solution.learning_curves(tau, SGD(plain))
    assert np.all(np.abs(one.test - two.test) <= one.error["test"] + two.error["test"])
    last = float(known(INF))
    floor = float(solution.learning_curves(INF, SGD(last)).test)
    assert one.test[-1] == pytest.approx(floor, rel=1e-12)


def test_an_average_over_a_short_time_changes_nothing():
    solution, tau = rf.solve(A), np.array([20.0, 500.0])
    raw = solution.learning_curves(tau, SGD(5.0)).test
    off = [
        np.abs(solution.learning_curves(tau, SGD(5.0, average=T)).test / raw - 1.0)
        for T in (1e-3, 1e-4)
    ]
    assert off[1] == pytest.approx(0.1 * off[0], rel=0.01)


@pytest.mark.compiled
def test_a_long_average_removes_the_noise():
    """At tau = inf only modes slower than the average keep theirs; late times come close."""
    solution = rf.solve(A)
    flow = solution.learning_curves(INF)
    before = float(solution.learning_curves(INF, SGD(5.0)).test_noise)
    for T in (10.0, 1e3, 1e5):
        late, end = solution.learning_curves([1e8, INF], SGD(5.0, average=T)).test
        assert late == pytest.approx(end, rel=1e-8)
        assert 0.0 < end - float(flow.test) < 0.9 * before
        before = end - float(flow.test)
    # integral of x/(1 + alpha x T) d rho, with T in units of the clock
    load = 5.0 * A.Delta_t * rf.spectrum(A).integrate(lambda x: x / (1.0 + A.rate * x * 1e3))
    whole = float(solution.learning_curves(INF, SGD(5.0)).train)
    found = solution.learning_curves(INF, SGD(5.0, average=1e3))
    assert float(found.train_noise) == pytest.approx(load * whole, rel=1e-9)


def test_weight_decay_moves_the_threshold():
    """The load is the mean of x^2/(x + omega), and late times come close to the stationary loss."""
    solution, omega = rf.solve(A), 0.1
    rule = SGD(5.0, weight_decay=omega)
    load = 5.0 * A.Delta_t * rf.spectrum(A).integrate(lambda x: x * x / (x + omega))
    assert rf.sgd.load(solution, rule) == pytest.approx(load, rel=1e-11)
    assert rf.sgd.threshold(solution, rule) == pytest.approx(5.0 / load, rel=1e-11)
    late, end = solution.learning_curves([1e6, INF], rule).test
    assert late == pytest.approx(end, rel=1e-9)
    norm = solution.learning_curves([1e6, INF], rule).weight_norm
    assert norm[0] == pytest.approx(norm[1], rel=1e-9)


def test_a_load_above_1_for_a_while_is_no_divergence():
    solution = rf.solve(A)
    high = rf.schedules.Exponential(20.0, 30.0)
    curves = solution.learning_curves([0.0, 10.0, 1e5], SGD(high))
    assert curves.load[0] > 1.0
    assert curves.train[1] > 2.0
    assert curves.train[2] == pytest.approx(float(solution.learning_curves(1e5).train), rel=1e-3)


def test_what_cannot_be_solved_is_refused(monkeypatch):
    monkeypatch.setattr("dmft_rf.numerics.volterra._MOST_PANELS", 150)
    solution = rf.solve(A)
    with pytest.raises(rf.ModelError, match=r"noise is 20\.0 at tau = inf; the losses grow"):
        solution.learning_curves([1.0, INF], SGD(lambda tau: np.full_like(tau, 20.0)))
    with pytest.raises(rf.ModelError, match=r"noise is -1\.0 at tau"):
        solution.learning_curves(1.0, SGD(lambda tau: -1.0 + 0.0 * tau))
    with pytest.raises(rf.ConvergenceError, match="jumps or turns too often"):
        solution.learning_curves(1e4, SGD(lambda tau: 1.0 + np.sin(100.0 * tau) ** 2))
    with pytest.raises(rf.ModelError, match="times are"):
        rf.schedules.Piecewise([2.0, 1.0], [1.0, 2.0, 3.0])
    with pytest.raises(rf.ModelError, match="2 values for 2 times; 3 are needed"):
        rf.schedules.Piecewise([1.0, 2.0], [1.0, 2.0])


def test_without_times():
    assert rf.solve(A).learning_curves([], SGD(ten)).train.shape == (0,)
    assert rf.solve(A).learning_curves(np.ones((2, 3)), SGD(ten)).test.shape == (2, 3)
