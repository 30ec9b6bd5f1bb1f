"""Dates of curves whose dates are known, and of the stored networks."""

import math
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from dmft_rf import DataError, ModelError
from dmft_rf.monitor import date
from dmft_rf.monitor.dating import _thinned, scatter
from dmft_rf.monitor.logs import Log
from validation.networks.analysis.dating import reach

Array = NDArray[np.float64]
STORE = Path(__file__).parents[2] / "docs" / "data" / "networks.h5"


def made(step: Array, noise: float = 0.0, seed: int = 0) -> Log:
    """A held-out loss that is least at step 500, twice the train loss at step 2000."""
    rng = np.random.default_rng(seed)
    x = np.log(step / 500.0)
    test = 0.4 + 0.02 * x**2
    ratio = 1.0 + step / 2000.0
    test, ratio = (part + noise * part * rng.normal(size=step.size) for part in (test, ratio))
    return Log(step, test / ratio, test)


def test_dates_of_a_curve_that_is_known() -> None:
    dates = date(made(np.geomspace(10, 1e5, 60)))
    # a parabola is met exactly
    assert dates["best"].step == pytest.approx(500.0)
    assert dates["ratio_2"].step == pytest.approx(2000.0, rel=2e-3)  # a line between two
    # 0.02 x^2 = 0.1 * 0.4 but for the least value on the grid
    off = math.sqrt(2.0)
    assert dates["generalization"].step == pytest.approx(500.0 * math.exp(-off), rel=0.01)
    assert dates["usable_end"].step == pytest.approx(500.0 * math.exp(off), rel=0.01)
    for found in dates.dates.values():
        assert found.low <= found.step <= found.high
    assert dates.is_past_best
    assert dates.verdict.startswith("Stop: the held-out loss was least at step 500 (")
    assert "use the weights nearest to it; by now the held-out loss is twice" in dates.verdict


def test_ranges_hold_the_true_steps() -> None:
    """With noise, in 95 % of the runs or more."""
    grid = np.unique(np.geomspace(10, 1e5, 40).round())
    hits = {"best": 0, "ratio_2": 0}
    for seed in range(100):
        dates = date(made(grid, 0.01, seed))
        for name, truth in (("best", 500.0), ("ratio_2", 2000.0)):
            hits[name] += dates[name].low <= truth <= dates[name].high
    assert min(hits.values()) >= 95


def test_scatter_is_that_of_the_noise() -> None:
    rng = np.random.default_rng(1)
    x = np.sort(rng.uniform(0.0, 10.0, 2000))
    y = np.sin(0.1 * x) + 0.03 * rng.normal(size=2000)
    assert scatter(x, y) == pytest.approx(0.03, rel=0.1)
    assert math.isnan(scatter(x[:4], y[:4]))


def test_a_run_that_still_improves() -> None:
    step = np.arange(1.0, 11.0)
    dates = date(Log(step, 1.0 / step, 1.2 / step))
    assert not dates["best"].is_known
    assert dates["best"].low == pytest.approx(9.0)
    assert dates["ratio_2"].low == pytest.approx(10.0)
    assert dates.verdict == "Go on: the held-out loss has not risen up to step 10."


def test_losses_that_rise_together_are_no_overfitting() -> None:
    """As where momentum overshoots, or the rate is too high."""
    step = np.geomspace(1.0, 1000.0, 13)
    both = 1.0 + np.log(step / 30.0) ** 2
    dates = date(Log(step, both, 1.05 * both))
    assert dates.verdict == (
        "Go on: both losses have risen, which is no overfitting; if it lasts, the rate is too high."
    )
    assert date(Log(step, 1.0 / step, 1.05 * both)).is_past_best


def test_no_stored_network_is_stopped_before_its_best() -> None:
    """Followed from its 5th measurement on, with the verdict asked for at every second."""
    late = []
    with h5py.File(STORE) as store:
        for run in store.values():
            if run.attrs["case"] != "images" or run.attrs["seed"] != 0:
                continue
            step = run["step"][...].astype(float)
            train, test = run["train"][:, 0], run["test"][:, 0]
            for end in range(5, step.size + 1, 2):
                dates = date(Log(step[:end], train[:end], test[:end]))
                if dates.verdict.startswith("Stop"):
                    assert test[:end].min() == test.min(), run.name
                    late.append(step[end - 1] / dates["best"].step)
                    break
    assert len(late) >= 40
    assert np.median(late) == pytest.approx(2.0, abs=0.4)  # as docs/monitor.md has it


def test_one_measurement_that_sticks_out_dates_nothing() -> None:
    step = np.arange(1.0, 11.0)
    test = 1.2 / step
    test[6] *= 2.0
    dates = date(Log(step, 1.0 / step, test))
    assert not dates["best"].is_known
    assert not dates["ratio_2"].is_known


def test_memorization_stops_a_run_whose_loss_falls() -> None:
    step = np.geomspace(1.0, 1000.0, 13)
    share = np.where(step < 90.0, 0.0, 0.4)
    log = Log(
        step, 1.0 / step, 1.2 / step,
        {"memorized_fraction": share, "memorized_error": np.full(13, 0.01)},
    )  # fmt: skip
    dates = date(log)
    at = int(np.argmax(share > 0.0))
    assert step[at - 1] < dates["memorized_0.1"].step < step[at]
    assert not dates["memorized_0.5"].is_known
    assert dates.verdict == (
        "Stop: a tenth of the generated images are copies (ratio of distances below 1/3), though "
        "the held-out loss has not risen."
    )


def test_ratio_2_alone_does_not_stop_a_run() -> None:
    step = np.geomspace(1.0, 1000.0, 13)
    dates = date(Log(step, 1.0 / step, step**-0.8))
    assert dates["ratio_2"].step == pytest.approx(32.0, rel=2e-3)  # a line between two
    assert dates.verdict == (
        "Go on, and look for copies: the held-out loss is twice the train loss, though it has "
        "not risen."
    )


def test_what_was_so_from_the_first_on() -> None:
    step = np.arange(1.0, 6.0)
    dates = date(Log(step, np.full(5, 0.1), np.array([0.5, 0.4, 0.5, 0.6, 0.7])))
    assert dates["ratio_2"].high == 1.0
    assert "by now the held-out loss is twice the train loss" in dates.verdict


def test_step_0_has_no_place_on_a_logarithmic_axis() -> None:
    log = made(np.geomspace(10, 1e5, 60))
    with_0 = Log(
        *(np.concatenate([[first], part]) for first, part in
          ((0.0, log.step), (1.0, log.train), (1.0, log.test)))
    )  # fmt: skip
    assert date(with_0) == date(log)


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (Log(np.arange(5.0), np.ones(5), np.ones(5)), "has 4 held-out losses .* at least 5"),
        (Log(np.arange(6.0), np.zeros(6), np.ones(6)), "train loss at step 1 is 0"),
        (Log(np.arange(6.0), np.ones(6), -np.ones(6)), "held-out loss at step 1 is -1"),
    ],
)
def test_one_line_for_what_cannot_be_dated(log: Log, words: str) -> None:
    with pytest.raises(DataError, match=words):
        date(log)


def test_what_is_no_log() -> None:
    with pytest.raises(ModelError, match="log is 3"):
        date(3)  # type: ignore[arg-type]


def test_stored_networks_have_the_dates_of_their_own_analysis() -> None:
    """Ratio 2 as `validation.networks` dates it; means as docs/networks.md has them."""
    found: dict[int, list[float]] = {}
    with h5py.File(STORE) as store:
        for n in (16, 64, 256):
            for seed in range(3):
                run = store[f"images-fashion16.n{n}.w32.adam.b64.s{seed}"]
                step = run["step"][...].astype(float)
                train, test = run["train"][:, 0], run["test"][:, 0]
                at = date(Log(step, train, test))["ratio_2"].step
                assert at == pytest.approx(reach(step, test / train, 2.0))
                found.setdefault(n, []).append(at)
    for n, mean in ((16, 285), (64, 914), (256, 8378)):
        assert np.exp(np.mean(np.log(found[n]))) == pytest.approx(mean, abs=0.5)


@pytest.mark.parametrize(
    "step",
    [np.unique(np.geomspace(10.0, 1e5, 41).round()), 300.0 * np.arange(1, 301)],
    ids=["ten a decade", "every 300 steps"],
)
def test_noise_is_no_rise(step: Array) -> None:
    """A loss that comes to rest, followed from the start on; one that rises by a tenth and more."""
    stopped = {"rests": 0, "rises": 0}
    for seed in range(15):
        rng = np.random.default_rng(seed)
        noise = 1.0 + 0.01 * rng.normal(size=(2, step.size))
        train = noise[0] * 0.8 / np.sqrt(1.0 + step / 300.0)
        for name, rise in (("rests", 0.0), ("rises", 0.03)):
            test = noise[1] * (0.4 + 0.4 / (1.0 + step / 100.0) + rise * np.log1p(step / 2000.0))
            ends = range(5, step.size + 1, max(1, step.size // 20))
            stopped[name] += any(
                date(Log(step[:end], train[:end], test[:end])).is_past_best for end in ends
            )
    assert stopped["rests"] <= 1
    assert stopped["rises"] == 15


def test_dense_logs_are_averaged_and_others_stay_as_they_are() -> None:
    step = np.array([*np.geomspace(1.0, 100.0, 21), *np.linspace(1000.0, 1005.0, 6)])
    values = np.arange(27.0)
    at, count, (mean,) = _thinned(step, values)
    np.testing.assert_array_equal(at[:21], step[:21])
    np.testing.assert_array_equal(mean[:21], values[:21])
    assert at[21] == pytest.approx(1002.5, rel=1e-5)
    assert mean[21] == pytest.approx(23.5)
    assert count.tolist() == [1.0] * 21 + [6.0]
