"""Properties over the whole parameter box of the package, by hypothesis.

t in [1e-6, 10], psi_p and psi_n in [0.05, 1e4] (log-uniform), every named activation, covariances
with one to three atoms (ratio up to 1e4) or a power law.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import dmft_rf as rf
from dmft_rf.curves.nodes import Nodes
from dmft_rf.model.activation import NAMED
from dmft_rf.numerics.contour import half_plane_contour
from tests.helpers.box import EXAMPLES, box, log_uniform

pytestmark = pytest.mark.compiled
ATOMS = 64  # of a power law
CURVES = ("train", "test", "score_error")


@st.composite
def covariances(draw: st.DrawFn, power_law: bool = True) -> rf.Covariance:
    kind = draw(st.sampled_from(["isotropic", "atoms", "power law"][: 3 if power_law else 2]))
    if kind == "isotropic":
        return rf.Covariance.isotropic()
    if kind == "power law":
        return rf.Covariance.power_law(draw(st.floats(0.0, 2.5)), atoms=ATOMS)
    others = draw(st.lists(log_uniform(1e-4, 1.0) | st.just(0.0), min_size=1, max_size=2))
    shares = draw(
        st.lists(st.floats(0.01, 1.0), min_size=len(others) + 1, max_size=len(others) + 1)
    )
    return rf.Covariance([1.0, *others], np.array(shares) / sum(shares)).normalized()


@st.composite
def models(draw: st.DrawFn, power_law: bool = True) -> rf.ScoreModel:
    psi_n = draw(log_uniform(0.05, 1e4))
    psi_p = draw(log_uniform(0.05, 1e4) | st.sampled_from([psi_n, psi_n + 1.0]))
    activation = draw(st.sampled_from(sorted(NAMED)))
    if activation == "linear" and abs(psi_p - 1.0) < 1e-14:
        psi_p = 1.5  # the hard edge at 0, which has no contour: see test_solution
    return rf.ScoreModel(
        draw(log_uniform(1e-6, 10.0)), psi_p, psi_n, activation, draw(covariances(power_law))
    )


# cases that once failed, kept whatever the random examples are
LINEAR = rf.ScoreModel(0.1, 2.0, 4.0, "linear")
LATE = rf.ScoreModel(8.0, 5000.0, 10.0)
STEEP = rf.ScoreModel(0.14, 544.5, 8424.9, "sigmoid")
NARROW = rf.ScoreModel(7.35e-4, 471.4471, 0.066855, "gelu")
HEAVY = rf.ScoreModel(
    1.9456132035504285e-06,
    3735.588219284975,
    62.4277002012066,
    "sigmoid",
    rf.Covariance([1.0, 0.000198], [0.01466702108309843, 0.9853329789169016]).normalized(),
)
EMPTY = rf.ScoreModel(
    1.2e-4, 1.33, 0.33, "linear", rf.Covariance([1.0, 0.0], [0.156, 0.844]).normalized()
)
NULL = rf.ScoreModel(
    2.65e-6, 5426.148, 3219.405, "relu", rf.Covariance([1.0, 0.0], [0.28, 0.72]).normalized()
)
# failed with the oldest versions of the dependencies
POWER = rf.ScoreModel(
    0.0024787521766663585,
    1.5,
    0.0820849986238988,
    "linear",
    rf.Covariance.power_law(1.0, 64).normalized(),
)


def grid(model: rf.ScoreModel, low: float, high: float, count: int = 40) -> np.ndarray:
    middle = np.geomspace(0.01 / (model.rate * high), 50.0 / (model.rate * low), count)
    return np.concatenate([[0.0], middle, [math.inf]])


def assert_close(a: rf.LearningCurves, b: rf.LearningCurves) -> None:
    """Equal within both errors; 2e-14 of the untrained value is the rounding of 200 nodes."""
    for name in CURVES:
        x, y = getattr(a, name), getattr(b, name)
        start = a.model.initial_score_error if name == "score_error" else 1.0
        assert np.all(np.abs(x - y) <= a.error[name] + b.error[name] + 2e-14 * start), name


@box
@given(models())
@example(LATE)
@example(EMPTY)
@example(HEAVY)
@example(POWER)
def test_spectrum(model: rf.ScoreModel) -> None:
    law, c = rf.spectrum(model), model.coefficients
    assert np.all(law.bulk_masses > 0.0)
    assert law.bulk_masses.sum() + law.atoms[:, 1].sum() == pytest.approx(1.0, abs=1e-13)
    rank = 1.0 + model.psi_n if c.v2 > 0.0 else 1.0
    atom = max(0.0, 1.0 - rank / model.psi_p)
    assert law.atoms[:, 1].sum() == pytest.approx(atom, abs=1e-13)
    assert law.edges[0, 0] >= c.s2
    assert np.all(np.diff(law.support.offsets.ravel()) > 0.0)
    assert law.mass == pytest.approx(1.0, abs=1e-10)
    assert law.moment(1) == pytest.approx(c.second_moment - c.mu0**2, rel=1e-8)
    # second moment: derived in test_law
    cov = model.covariance
    mean = float(np.sum(cov.weights * cov.eigenvalues))
    square = float(np.sum(cov.weights * cov.eigenvalues**2)) + mean**2 / model.psi_n
    one = c.b**2 + c.gamma2 * mean + c.v2
    two = c.b**4 + 2.0 * c.b**2 * c.gamma2 * mean + c.gamma2**2 * square
    two += (2.0 * c.gamma2 * c.v2 * mean + c.v2**2) / model.psi_n
    second = (c.s2 + one) ** 2 + model.psi_p * two
    assert law.moment(2) == pytest.approx(second, rel=1e-8)
    assert np.all(law.density(law.grid(50)) >= 0.0)


@box
@given(models(), st.floats(-6.0, 3.0), st.floats(0.02, 3.1))
def test_transform(model: rf.ScoreModel, exponent: float, angle: float) -> None:
    edges = rf.spectrum(model).edges
    z = edges[-1, 1] * 10.0**exponent * np.exp(1j * angle)
    r = rf.resolvent(model, z)
    assert r.q.imag > 0.0
    assert (z * r.q).imag >= -1e-13 * abs(z * r.q)  # the measure lives on x >= 0
    assert np.all(r.E.imag > -1e-12 * np.abs(r.E)) or np.all(
        r.E.imag * r.q.imag >= -1e-13 * np.abs(r.E) * abs(r.q)
    )
    assert abs(r.q) * abs(z.imag) <= 1.0 + 1e-12
    mirrored = rf.resolvent(model, np.conj(z))
    assert mirrored.q == np.conj(r.q)
    step = 1e-4 * z.imag
    slope = (rf.resolvent(model, z + step).q - rf.resolvent(model, z - step).q) / (2.0 * step)
    # second order: (step/Im z)^2, and rounding of the difference
    assert abs(slope - r.dq) <= 1e-7 * abs(r.q) / z.imag


@box
@given(models())
@example(LINEAR)
@example(LATE)
@example(STEEP)
@example(NARROW)
@example(HEAVY)
@example(EMPTY)
@example(NULL)
@example(POWER)
def test_learning_curves(model: rf.ScoreModel) -> None:
    solution = rf.solve(model)
    assert solution.error_estimate <= 1e-10
    low, high = solution.diagnostics["support"]
    tau = grid(model, low, high)
    curves = solution.learning_curves(tau)
    error = curves.error
    # start, signs, monotonicity, floor
    for name in ("train", "test"):
        assert abs(getattr(curves, name)[0] - 1.0) <= error[name][0] + 4e-15
    assert np.all(np.diff(curves.train) <= error["train"][1:] + error["train"][:-1])
    assert np.all(curves.train > 0.0)
    assert np.all(curves.score_error >= -curves.error["score_error"])
    assert np.all(curves.test >= model.floor - error["test"])
    # the end is ridgeless regression
    ridgeless = solution.learning_curves(1.0, rf.Ridge(0.0))
    for name in CURVES:
        end = getattr(curves, name)[-1]
        allowed = error[name][-1] + ridgeless.error[name]
        assert abs(end - float(getattr(ridgeless, name))) <= allowed
    # N against 2N nodes
    contour = half_plane_contour(low, high, 2 * solution.diagnostics["nodes"])
    doubled = replace(solution, nodes=Nodes(solution.spectrum, contour))
    fine = doubled.learning_curves(tau)
    assert_close(curves, fine)
    start = {"train": 1.0, "test": 1.0, "score_error": model.initial_score_error}
    for name in CURVES:
        # values below 1e-3 of the untrained network's count as that (docstring of solve)
        size = np.maximum(np.abs(getattr(fine, name)), 1e-3 * start[name])
        assert np.all(np.abs(getattr(curves, name) - getattr(fine, name)) <= 1e-10 * size)


@box
@given(models(), st.floats(-6.0, 1.0), st.floats(-4.0, 4.0))
@example(rf.ScoreModel(1e-6, 6.0, 3.0), -3.0, 0.0)
def test_other_rules(model: rf.ScoreModel, ridge: float, average: float) -> None:
    solution = rf.solve(model)
    low, high = solution.diagnostics["support"]
    tau = grid(model, low, high, 12)
    omega = high * 10.0**ridge
    contour = half_plane_contour(low, high, 2 * solution.diagnostics["nodes"])
    doubled = replace(solution, nodes=Nodes(solution.spectrum, contour))
    decay_time = 10.0**average / (model.rate * math.sqrt(low * high))
    for rule in (
        rf.GradientFlow(weight_decay=omega),
        rf.WeightAverage(decay_time),
        rf.Ridge(omega),
    ):
        curves = solution.learning_curves(tau, rule)
        assert_close(curves, doubled.learning_curves(tau, rule))
        assert np.all(curves.train > 0.0)
        assert np.all(curves.train <= 1.0 + curves.error["train"])
        assert np.all(curves.score_error >= -curves.error["score_error"])
    decayed = solution.learning_curves(math.inf, rf.GradientFlow(weight_decay=omega))
    assert_close(decayed, solution.learning_curves(1.0, rf.Ridge(omega)))
    averaged = solution.learning_curves(tau, rf.WeightAverage(decay_time))
    flow = solution.learning_curves(tau)
    late = averaged.train - flow.train
    assert np.all(late >= -averaged.error["train"] - flow.error["train"])


@settings(box, max_examples=max(4, EXAMPLES // 4))
@given(models(), st.floats(0.05, 1.5))
def test_initial_weights(model: rf.ScoreModel, std: float) -> None:
    solution = rf.solve(model)
    low, high = solution.diagnostics["support"]
    tau = grid(model, low, high, 12)
    rule = rf.GradientFlow(initial_std=std)
    curves, plain = solution.learning_curves(tau, rule), solution.learning_curves(tau)
    c = model.coefficients
    start = 1.0 + std**2 * c.Delta_t * (c.second_moment - c.mu0**2)
    assert curves.train[0] == pytest.approx(start, rel=1e-10)
    assert curves.test[0] == pytest.approx(start, rel=1e-10)
    for name in CURVES:
        added = getattr(curves, name) - getattr(plain, name)
        allowed = curves.error[name] + plain.error[name]
        assert np.all(added >= -allowed)
        assert np.all(np.diff(added) <= allowed[1:] + allowed[:-1])  # forgetting is monotone
        assert abs(added[-1]) <= allowed[-1]


@box
@given(models(), st.floats(-3.0, 0.0))
@example(rf.ScoreModel(0.1, 1e4, 2.0, "tanh", rf.Covariance([0.5, 1.5])), -2.0)
def test_one_step_of_gradient_descent(model: rf.ScoreModel, size: float) -> None:
    rate, top = model.rate, float(rf.spectrum(model).edges[-1, 1])
    rule = rf.GradientDescent(1.9 * 10.0**size / (rate * top))
    # one step: B = -step' V^T/sqrt(Delta_t), so L = 1 - 2 b^2 psi_p s + b^2 s^2 (first moment of
    # nu), with the moment of test_solution.test_moments_of_nu
    c, s = model.coefficients, rate * rule.step
    cov = model.covariance
    mean = float(np.sum(cov.weights * cov.eigenvalues))
    first = model.psi_p * (c.s2 + c.v2 + (c.b**2 + c.gamma2 * mean) * (1.0 + model.psi_p))
    expected = 1.0 - 2.0 * c.b**2 * model.psi_p * s + c.b**2 * s * s * first
    one = rf.solve(model, 1e-9).learning_curves(rule.times([1]), rule)
    assert abs(one.train[0] - expected) <= one.error["train"][0] + 1e-12
