"""Scaling laws in the number of samples, on the samples themselves."""

import math
import threading
from functools import cache

import numpy as np
import pytest

import dmft_rf as rf
from dmft_rf.plotting import plot_scaling

SIZES = [15, 30, 60, 120, 140]


@cache
def model() -> rf.ImageModel:
    rng = np.random.default_rng(4)
    X = rng.standard_normal((150, 10))
    return rf.ImageModel(X, 0.2, 20, features=30, route="equations")


@cache
def swept() -> rf.Scaling:
    return rf.scaling(model(), "n", SIZES[::-1])


def test_every_point_is_that_of_its_own_model() -> None:
    law = swept()
    np.testing.assert_array_equal(law.values, SIZES)
    assert law.rtol == 1e-4
    for i, n in enumerate(SIZES):
        times = rf.timescales(rf.solve(model().replace(n=n)))
        for name in law.quantities:
            assert law.quantities[name][i] == pytest.approx(times.values[name], nan_ok=True)
    assert law.routes == ("equations",) * len(SIZES)
    assert list(law.leverage_classes) == [model().leverage_classes] * len(SIZES)


def test_threads_change_nothing_and_progress_counts() -> None:
    told: list[tuple[int, int]] = []
    before = threading.active_count()
    law = rf.scaling(model(), "n", SIZES, workers=2, progress=lambda i, n: told.append((i, n)))
    assert threading.active_count() == before
    assert told == [(i, len(SIZES)) for i in range(len(SIZES) + 1)]
    for name, values in swept().quantities.items():
        np.testing.assert_array_equal(law.quantities[name], values)


def test_a_failure_costs_its_own_point() -> None:
    """Rows half of which are nearly nothing are refused where few of them decide."""
    X = model().pool.rows * np.repeat([1.0, 0.01], 75)[:, None]
    uneven = rf.ImageModel(X, 0.2, 20, features=30, classes=2)
    law = rf.scaling(uneven, "n", [40, 60, 138, 144, 149], workers=2)
    assert set(law.failures) == {40.0, 60.0}
    assert "the rows differ so much" in law.failures[40.0]
    there = np.isfinite(law.quantities["tau_opt"])
    np.testing.assert_array_equal(there, [False, False, True, True, True])
    np.testing.assert_array_equal(np.isfinite(law.model_error), there)
    assert np.isfinite(law.local_exponents["tau_opt"][2:]).all()
    with pytest.raises(rf.ConvergenceError, match="no n could be solved"):
        rf.scaling(uneven, "n", [10, 20, 30])


def test_exponents_are_those_of_a_finer_sweep() -> None:
    """Slopes through neighbours a few per cent apart against the difference of two models."""
    law = rf.scaling(model(), "n", [28, 30, 32])
    low, high = (rf.timescales(rf.solve(model().replace(n=n))).tau_opt for n in (29, 31))
    slope = math.log(high / low) / math.log(31 / 29)
    # 1e-4 of the times, as they are solved, over 0.07 of ln n
    assert law.local_exponents["tau_opt"][1] == pytest.approx(slope, abs=5e-3)


def test_pictures() -> None:
    ax = plot_scaling(swept()).axes[0]
    assert "30 features, on part of 150 samples" in ax.get_title("left")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("psi_n", SIZES), "parameter of an ImageModel"),
        (("n", [10, 20]), "at least 3"),
        (("n", [10, 20.5, 30]), "n is 20.5"),
        (("n", [10, 20, 400]), "n is 400"),
    ],
)
def test_refusals(arguments: tuple[str, list[float]], message: str) -> None:
    with pytest.raises(rf.ModelError, match=message):
        rf.scaling(model(), *arguments)
    with pytest.raises(rf.ModelError, match="path and executor"):
        rf.scaling(model(), "n", SIZES, path="a.h5")
    with pytest.raises(rf.ModelError, match="extra"):
        rf.scaling(model(), "n", SIZES, extra={"a": 1})
