"""Parts of the score error: sums, signs, limits, closed forms, finite networks, refusals."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import dmft_rf as rf
from dmft_rf.curves.definitions import PARTS
from dmft_rf.curves.error_parts import ErrorParts
from dmft_rf.rules.flow import Rule
from tests.helpers.crossed import drawn_parts

TWO = rf.Covariance([0.3, 1.7])
CLASSES = rf.Mixture([0.5, 0.5], [[0.4, 0.6], [1.5, 0.5]])
MODELS = {
    "paper": rf.ScoreModel(0.01, 64.0, 8.0),
    "relu": rf.ScoreModel(0.1, 4.0, 2.0, "relu", rf.Covariance([0.2, 1.0, 3.0])),
    "few samples": rf.ScoreModel(0.1, 0.5, 0.3, covariance=TWO),
    "draws": rf.ScoreModel(0.1, 8.0, 4.0, covariance=TWO, noise_draws=4),
    "atom at 0": rf.ScoreModel(0.1, 8.0, 2.0, covariance=TWO, noise_draws=1),
    "classes": rf.ScoreModel(0.1, 8.0, 4.0, covariance=CLASSES),
    "draws of classes": rf.ScoreModel(0.1, 3.0, 2.0, "relu", CLASSES, noise_draws=2),
}
RULES = {
    "flow": rf.GradientFlow(),
    "initial": rf.GradientFlow(weight_decay=0.01, initial_std=0.5),
    "ridge": rf.Ridge(0.01),
    "average": rf.WeightAverage(30.0),
    "descent": rf.GradientDescent(0.5),
    "momentum": rf.HeavyBall(0.05, momentum=0.5),
}
TAU = np.array([0.0, 1.0, 30.0, 300.0, 1e4, math.inf])


def parts_of(model: str, rule: Rule) -> ErrorParts:
    times = rule.times([0, 1, 30, 1000]) if hasattr(rule, "times") else TAU
    return rf.error_parts(rf.solve(MODELS[model]), times, rule)


def above_zero(values: np.ndarray, errors: np.ndarray) -> bool:
    return bool(np.all(values >= -errors))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("model", MODELS)
def test_parts_are_positive_and_add_up(model: str, rule: str) -> None:
    parts = parts_of(model, RULES[rule])
    curves = parts.curves
    allowed = parts.error["score_error"] + curves.error["score_error"]
    assert np.all(np.abs(parts.total["score_error"] - curves.score_error) <= allowed)
    for name in PARTS:
        assert above_zero(parts.detail[name], parts.detail_error[name]), name
    # directions and classes are two ways to the same sum
    one, two = parts.by_direction["score_error"], parts.by_class["score_error"]
    assert_allclose(np.tensordot(parts.weights, one, 1), curves.score_error, rtol=1e-10)
    assert_allclose(np.tensordot(parts.shares, two, 1), curves.score_error, rtol=1e-10)
    assert np.all(parts.error["score_error"] <= 1e-10 * parts.total["score_error"])


@pytest.mark.parametrize("model", MODELS)
def test_nothing_but_bias_before_training(model: str) -> None:
    parts = rf.error_parts(rf.solve(MODELS[model]), 0.0)
    for c, one in enumerate(parts.model.classes):
        assert_allclose(parts.detail["bias"][c], 1.0 / one.diffused, rtol=1e-13)
    for name in PARTS[1:]:
        assert np.all(np.abs(parts.detail[name]) <= parts.detail_error[name])
    assert np.all(np.abs(parts.learned) <= 1e-13)


@pytest.mark.parametrize("model", MODELS)
def test_the_mean_network_learns_all_the_time(model: str) -> None:
    """The slope of the mean network grows under gradient flow, so the bias falls until it is 1."""
    parts = rf.error_parts(rf.solve(MODELS[model]), np.geomspace(1e-2, 1e6, 60))
    steps = np.diff(parts.learned, axis=-1)
    assert np.all(steps >= -1e-11 * parts.learned[..., 1:])
    falling = parts.learned[..., 1:] < 1.0
    bias = parts.detail["bias"]
    assert np.all((np.diff(bias, axis=-1) <= 1e-11 * bias[..., 1:] + 1e-20)[falling])
    assert np.any(falling)


@pytest.mark.parametrize("rule", [rf.GradientFlow(), rf.Ridge(1e-3)], ids=["flow", "ridge"])
def test_endless_training_is_the_limit_of_late_times(rule: Rule) -> None:
    solution = rf.solve(MODELS["relu"])
    late = rf.error_parts(solution, [1e9, math.inf], rule)
    for name in PARTS:
        values, errors = late.detail[name], late.detail_error[name]
        assert_allclose(values[..., 0], values[..., 1], rtol=1e-12, atol=float(errors.max()))


def test_unlimited_data_leave_no_variance_of_the_sample() -> None:
    few, many = (
        rf.error_parts(rf.solve(rf.ScoreModel(0.1, 4.0, n)), 100.0).total for n in (1e3, 1e6)
    )
    # both vanish like 1/psi_n, with a correction of the next order at psi_n = 1e3
    for name in ("sample", "both"):
        assert float(few[name] / many[name]) == pytest.approx(1e3, rel=1e-2)
    assert float(few["features"]) == pytest.approx(float(many["features"]), rel=2e-2)


def test_wide_networks_have_no_variance_of_the_features() -> None:
    few, many = (
        rf.error_parts(rf.solve(rf.ScoreModel(0.1, p, 4.0)), 100.0).total for p in (1e3, 1e6)
    )
    for name in ("both", "noise"):
        assert float(few[name] / many[name]) == pytest.approx(1e3, rel=2e-2)
    # only the features' own fall faster: the responses of mean networks are functions of their law
    assert float(many["features"]) < 1e-5 * float(many["sample"])
    assert float(few["sample"]) == pytest.approx(float(many["sample"]), rel=2e-2)


@pytest.mark.parametrize("draws", [math.inf, 2.0])
def test_classes_that_are_alike_are_no_classes(draws: float) -> None:
    plain = rf.error_parts(
        rf.solve(rf.ScoreModel(0.1, 8.0, 3.0, covariance=TWO, noise_draws=draws)), TAU
    )
    rows = [TWO.eigenvalues] * 2
    alike = rf.Mixture([0.25, 0.75], rows, TWO.weights)
    one = rf.Mixture([1.0], rows[:1], TWO.weights)
    for mixture in (alike, one):
        model = rf.ScoreModel(0.1, 8.0, 3.0, covariance=mixture, noise_draws=draws)
        parts = rf.error_parts(rf.solve(model), TAU)
        for name in PARTS:
            for c in range(len(mixture.shares)):
                off = np.abs(parts.detail[name][c] - plain.detail[name][0])
                allowed = parts.detail_error[name][c] + plain.detail_error[name][0]
                assert np.all(off <= allowed + 1e-13), (name, off / allowed)


def test_mirrored_classes_are_equal() -> None:
    """Two classes whose directions are exchanged have the same errors, along the other one."""
    mirror = rf.Mixture([0.5, 0.5], [[0.4, 1.6], [1.6, 0.4]])
    parts = rf.error_parts(rf.solve(rf.ScoreModel(0.1, 8.0, 3.0, covariance=mirror)), TAU)
    for name in PARTS:
        detail = parts.detail[name]
        assert_allclose(detail[0], detail[1][::-1], rtol=1e-11, atol=1e-14)
        assert_allclose(parts.by_class[name][0], parts.by_class[name][1], rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize(
    ("psi_n", "m", "psi_p", "bias", "variance"),
    [(8, 4, 16, 0.657158, 4.93387), (16, 16, 1024, 10.9251, 0.798139)],
)
def test_static_values_from_other_equations(
    psi_n: float, m: int, psi_p: float, bias: float, variance: float
) -> None:
    """Bias and variance of arXiv:2609.26392, equations 134 to 153, t = 0.1 and ridge 1e-3.

    Their variance holds the noise of the features. All digits that were computed from them.
    """
    solution = rf.solve(rf.ScoreModel(0.1, psi_p, psi_n, noise_draws=m))
    total = rf.error_parts(solution, 1.0, rf.Ridge(1e-3)).total
    assert float(f"{total['bias']:.6g}") == bias
    assert float(f"{total['variance'] + total['noise']:.6g}") == variance


@pytest.mark.parametrize(
    ("model", "tau"),
    [
        (rf.ScoreModel(0.1, 4.0, 2.0, covariance=TWO), 200.0),
        (rf.ScoreModel(0.1, 4.0, 2.0, covariance=TWO, noise_draws=3), 100.0),
        (rf.ScoreModel(0.1, 4.0, 2.0, covariance=CLASSES), 200.0),
        (rf.ScoreModel(0.1, 3.0, 2.0, "relu", CLASSES, noise_draws=2), 50.0),
    ],
    ids=["plain", "draws", "classes", "draws of classes"],
)
def test_against_finite_networks(model: rf.ScoreModel, tau: float) -> None:
    """Means over drawn networks at two sizes, extrapolated in 1/d, within four of their errors.

    Of the eigenvalues and classes together: the parts are those of four networks that share their
    features, their training set, both or neither.
    """
    rule = rf.GradientFlow()

    def h(x: np.ndarray) -> np.ndarray:
        return rule.filter(x, np.array([tau]), model.rate)[0]

    means, errors = [], []
    for d, draws in ((32, 40), (64, 20)):
        drawn = [drawn_parts(model, d, h, seed) for seed in range(draws)]
        stack = {name: np.stack([one[name] for one in drawn]) for name in drawn[0]}
        means.append({name: values.mean(axis=0) for name, values in stack.items()})
        errors.append(
            {name: values.std(axis=0) / math.sqrt(draws - 1) for name, values in stack.items()}
        )
    parts = rf.error_parts(rf.solve(model), tau)
    for name in ("bias", "sample", "features", "both", "noise"):
        found = 2.0 * means[1][name] - means[0][name]
        error = np.hypot(2.0 * errors[1][name], errors[0][name])
        assert np.all(np.abs(found - parts.detail[name]) <= 4.0 * error), name


@pytest.mark.compiled
def test_hard_edge() -> None:
    """p = n m: parts at every finite time, and at the end where weight decay gives it a limit."""
    solution = rf.solve(rf.ScoreModel(0.1, 8.0, 4.0, covariance=TWO, noise_draws=2))
    late = rf.error_parts(solution, [1.0, 1e7])
    assert_allclose(late.total["score_error"], late.curves.score_error, rtol=1e-8)
    ridge = rf.error_parts(solution, math.inf, rf.GradientFlow(weight_decay=0.01))
    assert_allclose(ridge.total["score_error"], ridge.curves.score_error, rtol=1e-10)
    with pytest.raises(rf.ModelError, match="no limit at tau = inf"):
        rf.error_parts(solution, [1.0, math.inf])


def test_refusals() -> None:
    solution = rf.solve(MODELS["paper"])
    with pytest.raises(rf.ModelError, match="takes a Solution"):
        rf.error_parts(MODELS["paper"], 1.0)  # type: ignore[arg-type]
    with pytest.raises(rf.ModelError, match="noise of steps"):
        rf.error_parts(solution, 1.0, rf.StochasticGradientDescent(0.1))  # type: ignore[arg-type]
    with pytest.raises(rf.ModelError, match="diverge"):
        rf.error_parts(solution, 1e3, rf.GradientDescent(1e3))
    heavy = rf.HeavyBall(0.05, momentum=0.99999)
    with pytest.raises(rf.ConvergenceError, match="no contour"):
        rf.error_parts(solution, heavy.times([10]), heavy)


def test_a_compressed_solution_has_the_parts_of_its_data() -> None:
    model = rf.ScoreModel(0.1, 4.0, 2.0, covariance=rf.Covariance.power_law(1.0, 200))
    fewer = rf.solve(model, 1e-4, compress=True)
    assert fewer.compression is not None
    assert rf.error_parts(fewer, 1.0) == rf.error_parts(rf.solve(model, 1e-4), 1.0)


def test_shapes() -> None:
    solution = rf.solve(MODELS["classes"])
    grid = rf.error_parts(solution, np.array([[1.0, 10.0, 100.0], [2.0, 20.0, 200.0]]))
    assert grid.detail["bias"].shape == (2, 2, 2, 3)
    assert grid.by_class["noise"].shape == grid.by_direction["noise"].shape == (2, 2, 3)
    assert grid.total["variance"].shape == (2, 3)
    assert rf.error_parts(solution, []).total["bias"].shape == (0,)
