"""Times of directions and classes: limits, definitions, symmetries, a second route."""

import itertools
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import dmft_rf as rf
from dmft_rf.curves.definitions import TIMES

CLASSES = rf.Mixture([0.25, 0.75], [[0.5, 0.5], [0.5, 2.5]])
MODELS = {
    "one": rf.ScoreModel(0.01, 64.0, 8.0),
    "two": rf.ScoreModel(0.01, 64.0, 8.0, covariance=rf.Covariance([0.2, 1.8])),
    "draws": rf.ScoreModel(0.1, 8.0, 3.0, covariance=rf.Covariance([0.5, 1.5]), noise_draws=2),
    "classes": rf.ScoreModel(0.1, 8.0, 4.0, covariance=CLASSES),
    "hard edge": rf.ScoreModel(0.1, 8.0, 4.0, covariance=rf.Covariance([0.5, 1.5]), noise_draws=2),
}
HARD_EDGE = pytest.param("hard edge", marks=pytest.mark.compiled)


@pytest.mark.parametrize("model", ["one", "two", "draws", HARD_EDGE])
def test_one_class_has_the_times_of_the_whole(model: str) -> None:
    solution = rf.solve(MODELS[model])
    times, whole = rf.error_times(solution), rf.timescales(solution)
    start, end = whole.usable()
    expected = {"usable_start": start, "best": whole.tau_opt, "usable_end": end}
    for name, value in expected.items():
        known = {"best": "tau_opt"}.get(name, name)
        allowed = float(times.class_error[name][0]) + whole.error[known]
        assert abs(float(times.by_class[name][0]) - value) <= allowed
    least = float(times.by_class["error_min"][0])
    assert least == pytest.approx(whole.score_error_min, rel=1e-10)
    if MODELS[model].weights.size == 1:
        assert times.by_direction == times.by_class


@pytest.mark.parametrize("model", ["one", "two", "draws", "classes", HARD_EDGE])
def test_each_time_is_what_it_says(model: str) -> None:
    """At each time the parts, computed from another set of arrays, are at the level that it has."""
    solution = rf.solve(MODELS[model])
    times = rf.error_times(solution, level=0.2, factor=1.3)
    assert not times.reasons
    assert times.definitions.keys() == TIMES.keys()
    start = rf.error_parts(solution, 0.0)
    for of, found in (("by_direction", times.by_direction), ("by_class", times.by_class)):
        for i, least in enumerate(found["error_min"]):

            def at(name: str, part: str) -> float:
                parts = rf.error_parts(solution, found[name][i])  # noqa: B023
                return float(getattr(parts, of)[part][i])  # noqa: B023

            untrained = {name: float(values[i]) for name, values in getattr(start, of).items()}
            levels = {
                "learned": ("bias", 0.2 * untrained["bias"]),
                "usable_start": ("score_error", 1.3 * least),
                "best": ("score_error", least),
                "usable_end": ("score_error", 1.3 * least),
                "lost": ("score_error", untrained["score_error"]),
            }
            for name, (part, level) in levels.items():
                if math.isfinite(found[name][i]):
                    assert at(name, part) == pytest.approx(level, rel=1e-9)
            order = [found[name][i] for name in ("usable_start", "best", "usable_end", "lost")]
            assert all(a < b or math.isinf(b) for a, b in itertools.pairwise(order))


def test_the_least_error_is_least() -> None:
    solution = rf.solve(MODELS["classes"])
    times = rf.error_times(solution)
    parts = rf.error_parts(solution, np.geomspace(1e-2, 1e6, 200))
    for found, error in (
        (times.by_direction, parts.by_direction),
        (times.by_class, parts.by_class),
    ):
        least = error["score_error"].min(axis=-1)
        assert np.all(found["error_min"] <= least * (1.0 + 1e-10))
        assert_allclose(found["error_min"], least, rtol=1e-2)  # 25 times a decade beside a minimum


def test_large_eigenvalues_are_learned_first() -> None:
    eigenvalues = np.array([0.25, 0.5, 1.0, 2.25])
    times = rf.error_times(
        rf.solve(rf.ScoreModel(0.01, 64.0, 8.0, covariance=rf.Covariance(eigenvalues)))
    )
    for name in ("learned", "usable_start", "best"):
        assert np.all(np.diff(times.by_direction[name]) < 0.0)


def test_plenty_of_data_is_never_lost() -> None:
    times = rf.error_times(
        rf.solve(rf.ScoreModel(0.1, 64.0, 1e6, covariance=rf.Covariance([0.5, 1.5])))
    )
    assert np.all(np.isinf(times.by_direction["lost"]))
    assert np.all(np.isinf(times.by_direction["usable_end"]))


def test_mirrored_classes_have_the_same_times() -> None:
    mirror = rf.Mixture([0.5, 0.5], [[0.4, 1.6], [1.6, 0.4]])
    times = rf.error_times(rf.solve(rf.ScoreModel(0.1, 8.0, 3.0, covariance=mirror)))
    for found in (times.by_class, times.by_direction):
        for values in found.values():
            assert values[0] == pytest.approx(values[1], rel=1e-8)


def test_refusals() -> None:
    solution = rf.solve(MODELS["one"])
    with pytest.raises(rf.ModelError, match="level"):
        rf.error_times(solution, level=1.0)
    with pytest.raises(rf.ModelError, match="factor"):
        rf.error_times(solution, factor=1.0)
    with pytest.raises(rf.ModelError, match="takes a Solution"):
        rf.error_times(None)  # type: ignore[arg-type]
