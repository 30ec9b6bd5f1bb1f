"""What probed runs say about jitter, on runs of which it is known; without JAX."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.fake_training import SMALL
from validation.networks.analysis import noise
from validation.networks.run.store import Run, Store

DOCS = Path(__file__).parents[2] / "docs"

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
    (_, _, averages), (_, _, dates), (_, _, loads) = noise.sections([short, quiet(), late])
    # averages like the last weights, whose train loss the load has raised by 1/(1 - f)
    assert [row[:-1] for row in averages.rows] == [
        ["16", "momentum, batch 64", "1", "0.30 to 0.30", "1.28", "1.28"]
    ]
    assert [row[:2] for row in dates.rows] == [["16", "0"], ["16", "1"]]
    assert dates.rows[1][2:6] == ["-"] * 4
    assert dates.rows[1][-1] == "-"
    assert loads.rows[0][2:4] == ["0.300 ± 0.010", "0.30"]
    assert loads.rows[0][4:7] == ["1.28"] * 3
    assert all(len(row) == len(table.head) for table in (dates, loads) for row in table.rows)


def test_the_page_has_the_numbers_of_the_stored_runs() -> None:
    text = re.sub(r"\s+", " ", (DOCS / "networks.md").read_text(encoding="utf-8"))
    reference = Store(noise.REFERENCE).runs
    ((_, _, averages),) = noise.sections(list(reference.values()))
    for row in averages.rows:
        if row[0] != "512":
            assert re.search(
                rf"\| {row[0]} \|[^|]*\| {share(row[3])} \| {row[4]}0? \| {row[5]} ", text
            )
    stored = Store(DOCS / "data" / "networks-noise.h5").runs.values()
    few, many = (
        noise.probed(run, noise.quietest(run, reference.values()))  # type: ignore[arg-type]
        for run in sorted(stored, key=lambda run: run.setting.n)
    )
    loads = " | ".join(
        "{:.3f} +- {:.3f}, {:.3f} +- {:.3f}".format(
            *one.run.curves["load"][0], one.load, one.load_error
        )
        for one in (few, many)
    )
    assert f"| {loads} |" in text
    pairs = [
        (noise.higher(one.load), one.predicted[0] / one.least, one.share,
         one.predicted[1] / one.least)
        for one in (few, many)
    ]  # fmt: skip
    for form, part in (("{:.2f}, {:.2f}", slice(2)), ("{:.2f}, {:.2f}", slice(2, 4))):
        assert " | ".join(form.format(*pair[part]) for pair in pairs) in text
    delay = few.averaged / few.least
    assert f"{few.averaged:.0f}, {few.last:.0f}; {delay:.2f} |" in text
    calm = ", ".join(f"{date:.0f}" for date in few.calm)
    assert f"{calm}; {few.least:.1f} |" in text
    assert (
        "{:.4f}, {:.3f}, {:.3f} | {:.4f}, {:.3f}, {:.3f} |".format(*few.paces, *many.paces) in text
    )
    assert f"{100.0 * few.relaxed:.0f} % of the logarithm" in text
    gone = math.log(few.averaged / few.calm[1]) / math.log(delay)
    assert f"({100.0 * gone:.0f} % of that of the averaged ones)" in text
    ratios = [(one.paces[1] / one.paces[0], 100.0 * one.paces[1] / one.paces[2])
              for one in (few, many)]  # fmt: skip
    (x, share_x), (y, share_y) = ratios
    assert f"{x:.1f} and {y:.1f} times as fast" in text
    assert f"at {share_x:.0f} and {share_y:.0f} % of the pace" in text


def share(cell: str) -> str:
    """A range of one value is written as that."""
    low, high = cell.split(" to ")
    return low if low == high else cell
