"""One solution used by many threads and rules: the numbers of one thread, whatever came before."""

import math
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import dmft_rf as rf
from dmft_rf.curves.contour_cache import Kept
from dmft_rf.rules.flow import Rule

pytestmark = pytest.mark.compiled
MODELS = {
    "closed form": rf.ScoreModel(0.1, 8.0, 4.0, covariance=rf.Covariance([0.5, 1.5])),
    "hard edge": rf.ScoreModel(0.1, 8.0, 4.0, noise_draws=2),
    "an atom at 0": rf.ScoreModel(0.2, 12.0, 4.0, "relu", noise_draws=2),
}


def calls(solution: rf.Solution) -> list[tuple[np.ndarray, Rule]]:
    """More rules than a solution keeps nodes of; some need more nodes than gradient flow."""
    top = solution.diagnostics["support"][1]
    unit = 1.0 / (solution.model.rate * top)
    rules: list[Rule] = [
        rf.GradientFlow(),
        rf.GradientFlow(0.0, 300.0),
        rf.Ridge(0.1),
        rf.WeightAverage(100.0 * unit, 1e-2, 3.0),
        *(rf.GradientDescent(unit * (1.3 + 0.1 * i), 1e-3, 300.0) for i in range(5)),
        *(rf.HeavyBall(unit, 1e-3, 300.0, momentum=beta) for beta in (0.3, 0.6)),
    ]
    found = []
    for rule in rules:
        steps = isinstance(rule, rf.GradientDescent | rf.HeavyBall)
        tau = rule.times([0, 1, 9, 30]) if steps else unit * np.array([0.0, 1.0, 40.0, 3e3])
        found.append((tau, rule))
    return found


def numbers(curves: rf.LearningCurves) -> np.ndarray:
    return np.stack([getattr(curves, name) for name in curves.error] + [*curves.error.values()])


@pytest.mark.parametrize("name", MODELS)
def test_many_threads_and_rules(name: str) -> None:
    model = MODELS[name]
    todo = calls(rf.solve(model, 1e-7))
    alone = [numbers(rf.solve(model, 1e-7).learning_curves(*call)) for call in todo]
    shared = rf.solve(model, 1e-7)
    rng = np.random.default_rng(3)
    orders = [rng.permutation(len(todo)) for _ in range(5)]
    gate = threading.Barrier(len(orders))

    def work(order: np.ndarray) -> list[tuple[int, np.ndarray]]:
        gate.wait()
        return [(int(i), numbers(shared.learning_curves(*todo[i]))) for i in order]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(len(orders)) as pool:
            results = list(pool.map(work, orders))
    finally:
        sys.setswitchinterval(interval)
    for result in results:
        for i, found in result:
            np.testing.assert_array_equal(found, alone[i], err_msg=str(todo[i][1]))
    # and once more, with whatever has been kept
    for call, expected in zip(todo, alone, strict=True):
        np.testing.assert_array_equal(numbers(shared.learning_curves(*call)), expected)


@pytest.mark.parametrize("fraction", [0.95, 0.995])
def test_what_came_before_does_not_matter(fraction: float) -> None:
    """A call that needed more nodes than others leaves them no other numbers."""
    model = rf.ScoreModel(2.0, 0.1, 0.3)
    shared, fresh = rf.solve(model, 1e-3), rf.solve(model, 1e-3)
    limit = 2.0 * 1.8 / (model.rate * shared.diagnostics["support"][1])
    rule = rf.HeavyBall(fraction * limit, 0.0, 100.0, momentum=0.8)
    shared.learning_curves(rule.times([1, 7, 40, 200, 10_000]), rule)
    early = rule.times([1, 7])
    expected = numbers(fresh.learning_curves(early, rule))
    np.testing.assert_array_equal(numbers(shared.learning_curves(early, rule)), expected)


def test_nodes_that_are_dropped_while_others_use_them() -> None:
    """Many short calls under more rules than are kept."""
    model = rf.ScoreModel(0.1, 8.0, 4.0)
    solution = rf.solve(model, 1e-2)
    step = 1.0 / (model.rate * solution.diagnostics["support"][1])
    rules = [rf.GradientDescent(step * (0.5 + 0.05 * i)) for i in range(12)]

    def train(one: rf.Solution, i: int) -> np.ndarray:
        return one.learning_curves(rules[i].times([0, 1, 2]), rules[i]).train

    alone = [train(rf.solve(model, 1e-2), i) for i in range(len(rules))]

    def work(seed: int) -> list[int]:
        order = np.random.default_rng(seed).integers(len(rules), size=120)
        return [int(i) for i in order if not np.array_equal(train(solution, i), alone[i])]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert all(wrong == [] for wrong in pool.map(work, range(8)))
    finally:
        sys.setswitchinterval(interval)


def test_nodes_on_the_spectrum() -> None:
    """Momentum that no contour carries: panels are halved until they resolve the filter."""
    model = rf.ScoreModel(0.1, 8.0, 4.0)
    solution = rf.solve(model, 1e-4)
    step = 1.0 / (model.rate * solution.diagnostics["support"][1])
    rules = [rf.HeavyBall(step, momentum=beta) for beta in (0.9995, 0.999, 0.9999)]
    steps = [[0, 1, 3], [0, 2, 60], [0, 1, 2]]
    alone = [
        numbers(rf.solve(model, 1e-4).learning_curves(rule.times(k), rule))
        for rule, k in zip(rules, steps, strict=True)
    ]
    with ThreadPoolExecutor(3) as pool:
        found = pool.map(
            lambda rule, k: solution.learning_curves(rule.times(k), rule), rules, steps
        )
        for curves, expected in zip(found, alone, strict=True):
            np.testing.assert_array_equal(numbers(curves), expected)
    assert len(solution._kept_spectral._values) > 0


def test_threads_ask_for_everything_at_once() -> None:
    """Spectra, times and curves of fresh objects, each first asked for by eight threads."""

    def asked(model: rf.ScoreModel) -> list[np.ndarray]:
        law, solution = rf.spectrum(model), rf.solve(model, 1e-7)
        gate = threading.Barrier(8)

        def work(_: int) -> np.ndarray:
            gate.wait()
            times = rf.timescales(solution)
            return np.concatenate([
                law.edges.ravel(), law.density(law.grid(20)), [law.mass, law.moment(2)],
                [times.tau_gen, times.tau_opt], numbers(solution.learning_curves([1.0])).ravel(),
            ])  # fmt: skip

        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(work, range(8)))

    for model in (MODELS["closed form"], MODELS["an atom at 0"]):
        first, *others = asked(model) + asked(model)
        for other in others:
            np.testing.assert_array_equal(first, other)


def test_an_error_is_the_same_for_all() -> None:
    solution = rf.solve(MODELS["closed form"], 1e-7)
    with pytest.raises(rf.ModelError, match="diverges"):
        solution.learning_curves([0.0], rf.GradientDescent(1e9))
    assert math.isfinite(float(solution.learning_curves(1.0).train))


def test_what_is_kept() -> None:
    kept: Kept[list[int]] = Kept(3)
    made: list[int] = []

    def value(key: int) -> list[int]:
        return kept.get(key, lambda: made.append(key) or [key])

    for key in (1, 2, 3, 1, 2, 3):
        assert value(key) == [key]
    assert made == [1, 2, 3]
    value(4)  # the oldest goes
    assert [value(2), value(3), value(4), value(1)] == [[2], [3], [4], [1]]
    assert made == [1, 2, 3, 4, 1]
    copy = pickle.loads(pickle.dumps(kept))
    assert copy.get(4, lambda: [0]) == [0]
    solution = rf.solve(MODELS["closed form"], 1e-7)
    before = numbers(solution.learning_curves(1.0, rf.GradientDescent(0.1)))
    again = pickle.loads(pickle.dumps(solution))
    np.testing.assert_array_equal(
        numbers(again.learning_curves(1.0, rf.GradientDescent(0.1))), before
    )
