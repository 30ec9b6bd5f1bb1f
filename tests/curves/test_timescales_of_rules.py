"""Times of training under rules other than gradient flow, against other routes to them."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

import dmft_rf as rf
from dmft_rf.curves.noise_load import threshold
from dmft_rf.numerics.estimate import Estimate
from dmft_rf.numerics.minimum import least
from dmft_rf.store import load_results, save

MODEL = rf.ScoreModel(0.1, 4.0, 2.0)
DATED = ("usable_start", "usable_end", "tau_gen", "tau_opt", "tau_overfit", "tau_ratio", "tau_mem")


def slow(rule):
    """A rule whose times take a minute without the compiler."""
    return pytest.param(rule, marks=pytest.mark.compiled)


@pytest.fixture(scope="module")
def solution():
    return rf.solve(MODEL)


@pytest.mark.parametrize(
    "rule",
    [
        rf.GradientFlow(weight_decay=1e-90),
        rf.StochasticGradientDescent(0.0),
        slow(rf.StochasticGradientDescent(rf.schedules.Piecewise((10.0,), (0.0, 0.0)))),
    ],
)
def test_a_rule_that_is_gradient_flow_has_its_times(solution, rule) -> None:
    """The minimum without the exact slope is the one with it, within both error estimates."""
    flow, other = rf.timescales(solution), rf.timescales(solution, rule=rule)
    for name in DATED:
        off = abs(other.values[name] - flow.values[name])
        assert off <= 2.0 * (flow.error[name] + other.error[name]), name
        assert other.error[name] <= 1e-8 * flow.values[name], name


@pytest.mark.parametrize(
    "rule",
    [
        rf.GradientFlow(weight_decay=0.02),
        rf.GradientFlow(initial_std=0.5),
        rf.WeightAverage(50.0),
        rf.StochasticGradientDescent(0.2),
        slow(rf.StochasticGradientDescent(5.0, average=20.0)),
        slow(rf.StochasticGradientDescent(rf.schedules.Piecewise((5.0, 9.0), (1.0, 0.1, 0.5)))),
    ],
)
def test_every_time_is_what_its_sentence_says(solution, rule) -> None:
    times = rf.timescales(solution, rule=rule)
    assert all(text.startswith("under ") for text in times.definitions.values())
    assert type(rule).__name__ in times.definitions["tau_opt"]
    # the rate rises at tau = 9: a kink, and here the minimum
    tau = np.concatenate([[0.0, 9.0], np.geomspace(1e-3, 3e5, 800), [math.inf]])
    curves = solution.learning_curves(tau, rule)
    best = times.score_error_min
    least = int(np.argmin(curves.score_error))
    known = times.error["score_error_min"] + float(curves.error["score_error"][least])
    assert best <= curves.score_error[least] + known
    assert best >= curves.score_error[least] * (1.0 - 1e-3)  # the grid is that fine
    start, end = times.usable()
    within = curves.score_error <= 1.1 * best
    assert np.all(within[(tau > start) & (tau < end)])
    near = np.array([start * (1.0 - 1e-6), min(end, 1e9) * (1.0 + 1e-6)])
    outside = solution.learning_curves(near, rule).score_error > 1.1 * best
    assert outside[0] == (start > 0.0)
    assert outside[1] == (end < math.inf)
    ratio = curves.test >= 2.0 * curves.train
    assert not ratio[tau < times.tau_ratio()].any()
    if times.tau_ratio() < math.inf:
        at = solution.learning_curves(times.tau_ratio(), rule)
        assert at.test / at.train == pytest.approx(2.0, rel=1e-9)
    at = solution.learning_curves(np.array([times.tau_mem, math.inf]), rule).generalization_gap
    assert at[0] == pytest.approx(0.5 * at[1], rel=1e-9)


@pytest.mark.parametrize("rule", [rf.GradientDescent(0.3), rf.HeavyBall(0.02, momentum=0.9)])
def test_whole_steps_are_those_of_a_count(solution, rule) -> None:
    """Every step looked at one by one, up to well after the last event."""
    times = rf.timescales(solution, rule=rule)
    tau = rule.times(np.arange(4000))
    curves = solution.learning_curves(tau, rule)
    score, gap = curves.score_error, curves.generalization_gap
    best = int(np.argmin(score))
    good = np.flatnonzero(score <= 1.1 * score[best])
    low = score[best] + 0.1 * (score[0] - score[best])
    expected = {
        "tau_opt": best,
        "usable_start": good[0],
        "usable_end": good[-1],
        "tau_gen": np.argmax(score <= low),
        "tau_ratio": np.argmax(curves.test >= 2.0 * curves.train),
        "tau_mem": np.argmax(gap >= 0.5 * times.final_gap),
    }
    for name, step in expected.items():
        assert times.value(name) == pytest.approx(step * rule.step, rel=1e-12), name
        assert times.error[name] == 0.0, name


def test_momentum_is_sgd_on_a_faster_clock(solution) -> None:
    plain = rf.timescales(solution, rule=rf.StochasticGradientDescent(0.2))
    fast = rf.timescales(solution, rule=rf.StochasticGradientDescent(0.05, momentum=0.75))
    for name in DATED:
        expected, off = 0.25 * plain.values[name], 0.25 * plain.error[name] + fast.error[name]
        assert abs(fast.values[name] - expected) <= 2.0 * off, name


def test_noise_that_does_more_harm_than_training_does_good(solution) -> None:
    times = rf.timescales(solution, rule=rf.StochasticGradientDescent(5.0))
    assert times.tau_opt == times.tau_gen == 0.0
    assert times.usable()[0] == 0.0
    assert times.score_error_min == pytest.approx(times.untrained, rel=1e-12)
    at = solution.learning_curves(times.usable()[1], times.rule).score_error
    assert at == pytest.approx(1.1 * times.untrained, rel=1e-9)
    assert times.window == math.inf
    assert not times.reasons


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (rf.Ridge(0.1), "takes time"),
        ("sgd", "takes time"),
        (rf.StochasticGradientDescent(14.0), "allows eps below"),
        (rf.GradientDescent(30.0), "training diverges"),
        (rf.GradientDescent(1e-40), "times of whole steps"),
    ],
)
def test_rules_without_times(solution, rule, words) -> None:
    with pytest.raises(rf.ModelError, match=words):
        _ = rf.timescales(solution, rule=rule).tau_opt


@pytest.mark.parametrize(
    "rule", [slow(rf.StochasticGradientDescent(0.2, average=3.0)), rf.HeavyBall(0.02, momentum=0.9)]
)
def test_a_file_holds_the_rule(solution, rule, tmp_path) -> None:
    times = rf.timescales(solution, rule=rule)
    save(tmp_path / "a.h5", {"times": times})
    again = load_results(tmp_path / "a.h5")["times"]
    assert again == times
    assert again.rule == rule
    assert dict(again.values) == pytest.approx(dict(times.values), nan_ok=True)


def test_sweeps_over_the_noise_and_the_batch() -> None:
    names = ["tau_opt", "tau_ratio", "tau_mem", "final_train"]
    over = {"noise": [0.0, 0.1, 20.0]}
    found = rf.sweep(MODEL, over, names, rule=rf.StochasticGradientDescent(1.0))
    solution = rf.solve(MODEL)
    for i, noise in enumerate(over["noise"][:2]):
        times = rf.timescales(solution, rule=rf.StochasticGradientDescent(noise))
        for name in names[:3]:
            assert found.quantities[name][i] == pytest.approx(times.value(name), rel=1e-9)
        assert found.quantities["final_train"][i] == pytest.approx(float(times.end.train), rel=1e-9)
    assert np.isnan(found.quantities["tau_mem"][2])
    assert "allows eps below" in str(found.failures)
    relu = MODEL.replace(activation="relu")
    rule = rf.StochasticGradientDescent(0.1)
    batches = rf.sweep(relu, {"batch": [1, 2]}, "tau_ratio", rule=rule).quantities["tau_ratio"]
    # the outlying mode sees eta/d = eps batch: its noise delays the ratio more in large batches
    assert batches[0] != batches[1]
    with pytest.raises(rf.ModelError, match="belongs to gradient flow"):
        rf.sweep(MODEL, over, "n_star", rule=rule)


class TestLeast:
    """The minimum of a function that is known at points."""

    def test_known_minima(self) -> None:
        def f(x):
            return Estimate((np.log(x) - 0.3) ** 2 - 0.1 * np.log(x) ** 3, np.full(x.size, 1e-15))

        at, error = least(f, 1.0, 2.0, "it")
        # 2 (u - 0.3) = 0.3 u^2
        u = (2.0 - math.sqrt(4.0 - 4.0 * 0.3 * 0.6)) / 0.6
        assert abs(math.log(at) - u) <= error / at < 1e-11

    def test_a_kink(self) -> None:
        at, error = least(lambda x: Estimate(np.abs(np.log(x) - 0.3), 0.0 * x), 1.0, 2.0, "it")
        assert abs(at - math.exp(0.3)) <= 2.0 * error < 1e-10

    def test_noise_is_in_the_error(self) -> None:
        rng = np.random.default_rng(3)

        def f(x):
            noise = 1e-6 * rng.uniform(-1.0, 1.0, x.size)
            return Estimate((np.log(x) - 0.3) ** 2 + noise, np.full(x.size, 1e-6))

        at, error = least(f, 1.0, 2.0, "it")
        assert 0.0 < abs(math.log(at) - 0.3) <= error / at < 1e-3

    def test_a_minimum_that_rounding_hides(self) -> None:
        with pytest.raises(rf.ConvergenceError, match="lost in rounding"):
            least(lambda x: Estimate(np.log(x), 0.0 * x), 1.0, 2.0, "it")


@pytest.mark.compiled
def test_the_table_of_the_page_on_times() -> None:
    """docs/times.md: what the noise moves, recomputed."""
    page = (Path(__file__).parents[2] / "docs" / "times.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\d.]+)(?:, gradient flow)? \| ([\d.]+) to ([\d.]+) \| ([\d.]+) \| "
                      r"([\d,]+) \| ([\d,]+) \|$", page, re.MULTILINE)  # fmt: skip
    assert len(rows) == 5
    solution = rf.solve(rf.ScoreModel(0.01, 64, 8))
    most = threshold(solution, rf.StochasticGradientDescent(1.0))
    for load, *shown in rows:
        times = rf.timescales(solution, rule=rf.StochasticGradientDescent(float(load) * most))
        start, end = times.usable()
        ratio, mem = times.tau_ratio(2), times.tau_mem
        values = f"{start:.1f} {end:.1f} {times.score_error_min:.4f} {ratio:,.0f} {mem:,.0f}"
        assert " ".join(shown) == values, load
