"""Sums over nodes and their errors, term by term as the formulas say, in exact summation."""

import math

import numpy as np
import pytest

from dmft_rf import Covariance, GradientDescent, GradientFlow, ScoreModel, WeightAverage, solve
from dmft_rf.curves.forms import Form
from dmft_rf.curves.losses import LearningCurves, curves_on
from dmft_rf.curves.majorants import Few
from dmft_rf.kernels.contour_sums import one_point, two_point
from dmft_rf.numerics.estimate import ROUNDING

TIMES, NODES, FEW = 5, 7, 3
LOW, HIGH = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 2, 2])
NONE = np.empty((0, NODES), complex)
RNG = np.random.default_rng(5)
SIZES, NOISE, DEFECT = RNG.random(NODES) * 1e-3, RNG.random(NODES) * 1e-3, 1e-4


def drawn(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape) + 1j * RNG.normal(size=shape)


F, G, ROWS, ROWS_TOO = (
    drawn(TIMES, NODES),
    drawn(TIMES, NODES),
    drawn(FEW, NODES),
    drawn(FEW, NODES),
)
WEIGHTS, PLAIN, MIXED = drawn(NODES), drawn(NODES, NODES), drawn(NODES, NODES)
SIZE = RNG.random((NODES, NODES))
READINGS = RNG.normal(size=(17, 2 * NODES))
READINGS[0] = np.tile([1.0, 0.0], NODES)


def total(terms: np.ndarray) -> float:
    return math.fsum(terms.real)


def missed(terms: np.ndarray) -> float:
    """What the trapezoidal rule aliases of a sum of these terms: 8 times the largest two readings.

    Readings after the first are those of eight orders, then those of their negatives.
    """
    seen = [
        abs(math.fsum(row[0::2] * terms.real) + math.fsum(row[1::2] * terms.imag))
        for row in READINGS[1:]
    ]
    return 8.0 * (max(seen[:8]) + max(seen[8:]))


def pairs(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The terms of a double sum, by the second of their nodes."""
    return np.array(
        [
            sum(u[i] * PLAIN[i, j] + np.conj(u[i]) * np.conj(MIXED_T[i, j]) for i in range(NODES))
            * v[j]
            for j in range(NODES)
        ]
    )


# V(z_i, conj z_j) for the pair (j, i): Form takes u -> u P + conj(u) M^T
MIXED_T = np.conj(MIXED.T)


def test_one_point() -> None:
    found = one_point(F, ROWS, LOW, HIGH, WEIGHTS, SIZES, READINGS, DEFECT)
    bare = one_point(F, NONE, LOW[:0], LOW[:0], WEIGHTS, SIZES, READINGS, DEFECT)
    for i in range(TIMES):
        value = 2.0 * total(F[i] * WEIGHTS)
        size = 2.0 * np.abs(F[i] * WEIGHTS).sum()
        assert abs(found[0][i] - value) <= ROUNDING * size
        assert found[0][i] == bare[0][i]
        rounding = 6.0 * math.sqrt(math.fsum((np.abs(F[i]) * SIZES) ** 2))
        rest = rounding + 2.0 * DEFECT * abs(value)
        own = missed(F[i] * WEIGHTS)
        hidden = max(missed(ROWS[LOW[i]] * WEIGHTS), missed(ROWS[HIGH[i]] * WEIGHTS))
        # both are sums of sizes: rounding is relative to them
        assert bare[1][i] == pytest.approx(own + rest, rel=1e-12)
        assert found[1][i] == pytest.approx(max(own, hidden) + rest, rel=1e-12)


@pytest.mark.parametrize("same", [True, False])
def test_two_point(same: bool) -> None:
    g, rows = (F, ROWS) if same else (G, ROWS_TOO)
    form = Form.of(PLAIN, MIXED, SIZE)
    rest = (WEIGHTS, form.real, SIZE, NOISE, READINGS, DEFECT)
    found = two_point(F, g, same, ROWS, rows, LOW, HIGH, *rest)
    bare = two_point(F, g, same, NONE, NONE, LOW[:0], LOW[:0], *rest)
    for i in range(TIMES):
        u, v = F[i] * WEIGHTS, g[i] * WEIGHTS
        terms = pairs(u, v)
        value = 2.0 * total(terms)
        size = 2.0 * float(np.abs(u) @ (np.abs(PLAIN) + np.abs(MIXED.T)) @ np.abs(v))
        assert abs(found[0][i] - value) <= ROUNDING * size
        assert found[0][i] == bare[0][i]
        first, second = np.abs(u), np.abs(v)
        by_second = [second[j] * math.fsum(first * SIZE[:, j]) * NOISE[j] for j in range(NODES)]
        by_first = [first[j] * math.fsum(second * SIZE[:, j]) * NOISE[j] for j in range(NODES)]
        rounding = 6.0 * (math.hypot(*by_second) + math.hypot(*by_first))
        known = rounding + 4.0 * DEFECT * abs(value)
        at = [missed(pairs(ROWS[k] * WEIGHTS, rows[k] * WEIGHTS)) for k in (LOW[i], HIGH[i])]
        own = missed(terms)
        assert bare[1][i] == pytest.approx(2.0 * own + known, rel=1e-12)
        assert found[1][i] == pytest.approx(2.0 * max(own, *at) + known, rel=1e-12)


TAU = np.concatenate([[0.0], np.geomspace(1e-3, 1e9, 150), [np.inf]])


@pytest.mark.parametrize(
    "model",
    [
        ScoreModel(0.01, 64.0, 8.0, covariance=Covariance([0.5, 1.5])),
        ScoreModel(0.3, 2.0, 9.0, "relu", Covariance([0.1, 3.0]), noise_draws=3),
    ],
)
@pytest.mark.parametrize("rule", [GradientFlow(), GradientFlow(0.01), WeightAverage(30.0)])
def test_few_majorants_bound_what_all_do(model: ScoreModel, rule: GradientFlow) -> None:
    nodes = solve(model).nodes
    many = curves_on(nodes, TAU, rule)
    alone = [curves_on(nodes, TAU[i : i + 20], rule) for i in range(0, TAU.size, 20)]
    for name in ("train", "test", "score_error", "weight_norm"):
        values = np.concatenate([getattr(one, name) for one in alone])
        error = np.concatenate([one.error[name] for one in alone])
        # values do not depend on which other times there are, to the order of summation in BLAS
        np.testing.assert_allclose(getattr(many, name), values, rtol=1e-12, atol=1e-15)
        # bounds are wanted to a digit: at most two octaves lie between two of them, and what they
        # leave at the nodes grows like tau^2, and a little more while an average begins
        assert np.all(many.error[name] >= 0.5 * error)
        assert np.all(many.error[name] <= 32.0 * error)


def test_which_times_stand_for_all() -> None:
    tau = np.array([np.inf, 3.0, 0.0, *np.geomspace(1e-3, 1e9, 150), 0.0, np.inf])
    few = Few.of(tau)
    kept = tau[few.kept]
    assert few.kept.size < 50
    assert np.all(np.diff(few.kept) != 0)
    assert np.all(kept[few.low] <= tau)
    assert np.all(kept[few.high] >= tau)
    moving = np.isfinite(tau) & (tau > 0.0)
    assert np.all(kept[few.high][~moving] == tau[~moving])
    assert np.all(kept[few.low][~moving] == tau[~moving])
    # at most a factor of four between the two, two octaves, but for the first
    inner = moving & (kept[few.low] > 0.0)
    assert np.all(kept[few.high][inner] <= 4.0 * kept[few.low][inner])


def test_atoms_in_parts() -> None:
    """The bias of 300 eigenvalues, summed in parts, is that of one sum over all of them."""
    model = ScoreModel(0.05, 8.0, 4.0, covariance=Covariance(np.geomspace(0.1, 3.0, 300)))
    nodes = solve(model).nodes
    rule, tau = GradientFlow(), np.geomspace(0.1, 1e6, 40)
    h = rule.filter(nodes.points, tau, model.rate)
    learned = 2.0 * ((h * nodes.contour.weights) @ nodes.resolvent.signal).real
    missing = model.classes[0].linear * learned * model.diffused - math.sqrt(model.Delta_t)
    bias = (missing * missing) @ (model.weights / model.diffused)
    curves: LearningCurves = curves_on(nodes, tau, rule)
    rest = nodes.quadratic(h).value
    rest += model.learned_noise * nodes.integral(h * h, nodes.S_VV).value
    score = (bias + rest) / model.Delta_t
    assert np.all(np.abs(curves.score_error - score) <= curves.error["score_error"])


def test_steps_are_bounded_one_by_one_too() -> None:
    model = ScoreModel(0.1, 4.0, 2.0)
    solution = solve(model)
    rule = GradientDescent(step=0.5)
    steps = 0.5 * np.unique(np.round(np.geomspace(1, 1e7, 60)))
    many = solution.learning_curves(steps, rule)
    for i in range(0, steps.size, 7):
        alone = solution.learning_curves(steps[i], rule)
        off = many.error["test"][i] + alone.error["test"]
        assert abs(many.test[i] - alone.test) <= off
