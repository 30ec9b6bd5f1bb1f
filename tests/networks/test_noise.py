"""What probed runs say about jitter, on runs of which it is known; without JAX."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from tests.helpers.fake_training import SMALL
from validation.networks.analysis import noise
from validation.networks.run.store import Run

LOAD, STRETCHES, SLOWER = 0.3, np.array([0.25, 1.0, 4.0]), 5.0
SETTING = dataclasses.replace(
    SMALL, optimiser="sgd", rate=0.1, steps=2000, per_decade=40, calm=tuple(STRETCHES)
)


def ratio(time: np.ndarray) -> np.ndarray:
    """Test over train loss without noise; 2 at time 20."""
    return np.exp(math.log(2.0) * time / 20.0)


def curves(step: np.ndarray, prefix: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """Losses with this ratio, a train loss of 1."""
    return {f"{prefix}test": values[:, None], f"{prefix}train": np.ones((step.size, 1))}


def run(slow: float, load: float) -> Run:
    """A run in which time is `slow` times longer and a load sustains a share of the train loss.

    A calm copy goes on without either, as weights with jitter of fast modes alone would.
    """
    step = SETTING.grid[10:].astype(float)
    time = 0.1 * step
    mean = ratio(time / slow)
    last = load + (1.0 - load) * mean  # a ratio r means (r - f)/(1 - f) without the noise
    found = {"step": step, **curves(step, "", last), **curves(step, "last_", last)}
    found["last_train"] = found["last_train"] / (1.0 - load)
    found["last_test"] = found["last_test"] / (1.0 - load)
    calm = mean[:, None] * ratio(STRETCHES)
    found["calm_test"], found["calm_train"] = calm[..., None], np.ones((*calm.shape, 1))
    found["load"] = np.tile([load, 0.01], (step.size, 1))
    for name in ("calm_test", "calm_train", "load"):
        found[name][1::2] = math.nan
    return Run(SETTING, found, {})


def quiet() -> Run:
    setting = dataclasses.replace(SETTING, rate=0.1 / 64, steps=128_000, calm=())
    step = setting.grid.astype(float)
    losses = curves(step, "", ratio(setting.rate * step))
    found = {"step": step, **losses, **{f"last_{name}": x for name, x in losses.items()}}
    return Run(setting, found, {})


def test_jitter_is_the_delay_that_the_load_predicts() -> None:
    found = noise.probed(run(1.0, LOAD), quiet())
    delayed = 20.0 * math.log2((2.0 - LOAD) / (1.0 - LOAD))
    assert found.least == pytest.approx(20.0, rel=2e-3)
    assert found.averaged == found.last == pytest.approx(delayed, rel=2e-3)
    assert found.load == LOAD
    assert found.share == pytest.approx(LOAD)  # the copies' train loss stays where it is
    assert found.predicted == pytest.approx((delayed, delayed), rel=2e-3)
    # what is left is the stretch itself
    assert found.calm == pytest.approx(20.0 - STRETCHES, rel=5e-3)
    gone = math.log(delayed / 19.0) / math.log(delayed / 20.0)
    assert found.relaxed == pytest.approx(gone, rel=0.03)
    pace = math.log(2.0) / 20.0
    assert found.paces[1:] == pytest.approx((pace, pace), rel=0.01)


def test_slow_dynamics_is_not() -> None:
    found = noise.probed(run(SLOWER, 0.0), quiet())
    assert found.averaged == pytest.approx(20.0 * SLOWER, rel=2e-3)
    assert found.predicted[0] == pytest.approx(20.0, rel=2e-3)
    assert found.relaxed < 0.2
    pace = math.log(2.0) / 20.0
    assert found.paces == pytest.approx((pace / SLOWER, pace, pace), rel=0.01)


def test_the_least_noise_of_the_same_setting_and_seed() -> None:
    loud, least = run(1.0, LOAD), quiet()
    other = dataclasses.replace(least.setting, seed=7)
    middle = dataclasses.replace(least.setting, rate=0.1 / 8)
    wide = dataclasses.replace(least.setting, width=24, rate=1e-9)
    runs = [dataclasses.replace(least, setting=s) for s in (wide, other, least.setting, middle)]
    assert noise.quietest(loud, [loud, *runs]) is runs[2]
    assert noise.quietest(loud, [loud, runs[0]]) is None


def test_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise, "_reference", tuple)
    late = run(1.0, LOAD)
    short = dataclasses.replace(
        late,
        setting=dataclasses.replace(SETTING, seed=1),
        curves={name: values[:9] for name, values in late.curves.items()},
    )
    assert noise.sections([late, short]) == []  # nothing to compare with
    (_, _, dates), (_, _, loads) = noise.sections([short, quiet(), late])
    assert [row[:2] for row in dates.rows] == [["16", "0"], ["16", "1"]]
    assert dates.rows[1][2:6] == ["-"] * 4
    assert dates.rows[1][-1] == "-"
    assert loads.rows[0][2:4] == ["0.300 ± 0.010", "0.30"]
    assert loads.rows[0][4:7] == ["1.28"] * 3
    assert all(len(row) == len(table.head) for table in (dates, loads) for row in table.rows)
