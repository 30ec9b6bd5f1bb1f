"""A monitor that is resumed is the one that was never interrupted, whenever it was killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import dmft_rf
from dmft_rf import DataError, ModelError
from dmft_rf.monitor import Monitor, memorized_fraction, read_log
from dmft_rf.monitor.logs import OWN

RNG = np.random.default_rng(0)
TRAINING = RNG.normal(size=(120, 6, 6))
REAL = RNG.normal(size=(200, 6, 6))


def measurements(count: int = 14) -> list[tuple[int, float, float, Any]]:
    """Steps, losses and samples of a run that overfits; every third has samples."""
    rng = np.random.default_rng(1)
    found = []
    for k, step in enumerate(np.geomspace(10, 5000, count).astype(int)):
        x = np.log(step / 300.0)
        samples = rng.normal(size=(40, 6, 6))
        samples[: 3 * k] = TRAINING[: 3 * k] + 1e-3
        test = 0.5 + 0.03 * x**2 + 1e-4 * rng.normal()
        found.append((int(step), test / (1.0 + step / 900.0), test, None if k % 3 else samples))
    return found


def test_it_is_reached_from_the_package() -> None:
    assert dmft_rf.monitor.Monitor is Monitor


def test_what_it_measures_is_what_the_functions_give() -> None:
    monitor = Monitor(TRAINING, REAL)
    for row in measurements():
        monitor.add(*row)
    log = monitor.log
    assert monitor.n == 120
    with_samples = [row for row in measurements() if row[3] is not None]
    there = np.isfinite(log.measured["memorized_fraction"])
    assert log.step[there].tolist() == [row[0] for row in with_samples]
    expected = [memorized_fraction(row[3], TRAINING) for row in with_samples]
    assert log.measured["memorized_fraction"][there].tolist() == [one.fraction for one in expected]
    assert expected[-1].fraction == 36 / 40
    assert np.isfinite(log.measured["frechet_distance"]).sum() == len(with_samples)
    assert monitor.last_samples == expected[-1]
    assert monitor.dates["best"].low <= 300 <= monitor.dates["best"].high
    assert monitor.dates["ratio_2"].step == pytest.approx(900, rel=0.05)
    assert monitor.stop
    assert monitor.verdict.startswith("Stop: the held-out loss was least at step")


def test_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    whole = Monitor(TRAINING, REAL, path=tmp_path / "whole.csv")
    for row in measurements():
        whole.add(*row)
    for row in measurements():
        Monitor(TRAINING, REAL, path=tmp_path / "parts.csv").add(*row)
    parts = Monitor(TRAINING, REAL, path=tmp_path / "parts.csv")
    assert (tmp_path / "whole.csv").read_bytes() == (tmp_path / "parts.csv").read_bytes()
    assert parts.dates == whole.dates
    assert parts.predictions == whole.predictions
    assert parts.verdict == whole.verdict
    log = read_log(tmp_path / "parts.csv")
    np.testing.assert_array_equal(log.test, whole.log.test)


def test_a_line_that_was_cut_off_is_measured_again(tmp_path: Path) -> None:
    rows = measurements(5)
    path = tmp_path / "run.csv"
    monitor = Monitor(path=path)
    for row in rows:
        monitor.add(*row[:3])
    complete = path.read_bytes()
    last = complete.splitlines(keepends=True)[-1]
    for cut in (1, 5, len(last) - 1):
        path.write_bytes(complete[:-cut])
        again = Monitor(path=path)
        again.add(*rows[-1][:3])
        assert path.read_bytes() == complete
    for kept in (0, 3, len(",".join(OWN)), len(",".join(OWN)) + 1):
        path.write_bytes(complete[:kept])
        again = Monitor(path=path)
        for row in rows:
            again.add(*row[:3])
        assert path.read_bytes() == complete


def test_a_kill_between_two_appends(tmp_path: Path) -> None:
    """What the process has said it wrote is there, and the rest can be added."""
    path = tmp_path / "run.csv"
    code = (
        "import sys, itertools\n"
        "from dmft_rf.monitor import Monitor\n"
        "monitor = Monitor(path=sys.argv[1])\n"
        "for k in itertools.count(1):\n"
        "    monitor.add(k, 1.0 / k, 1.5 / k)\n"
        "    print(k, flush=True)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        for _ in range(20):
            child.stdout.readline()
        time.sleep(0.01 * np.random.default_rng().random())
    finally:
        child.send_signal(signal.SIGKILL)
    said = 20 + len(child.stdout.read().split())
    child.stdout.close()
    child.wait()
    monitor = Monitor(path=path)
    steps = monitor.log.step
    assert steps.size in (said, said + 1)
    np.testing.assert_array_equal(steps, np.arange(1, steps.size + 1))
    np.testing.assert_array_equal(monitor.log.test, 1.5 / steps)
    monitor.add(steps.size + 1, 0.1, 0.2)
    assert read_log(path).step.size == steps.size + 1


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.csv"
    monitor = Monitor(path=path)
    monitor.add(1, 0.5, 0.6)
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(DataError, match=r"run\.csv: cannot be written \(the disk is full\)"):
            monitor.add(2, 0.4, 0.5)
    assert path.read_bytes() == before
    monitor.add(2, 0.4, 0.5)
    assert Monitor(path=path).log.step.tolist() == [1, 2]


def test_a_run_that_goes_on_from_an_earlier_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    monitor = Monitor(path=path)
    for row in measurements():
        monitor.add(*row[:3])
    expected = path.read_bytes()
    late = [row for row in measurements() if row[0] > 500]
    with pytest.raises(ModelError, match=r"step is \d+, and 5000 was measured already.*rewind"):
        monitor.add(*late[0][:3])
    monitor.rewind(500)
    assert Monitor(path=path).log.step[-1] <= 500
    for row in late:
        monitor.add(*row[:3])
    assert path.read_bytes() == expected


def test_few_measurements_and_few_samples() -> None:
    monitor = Monitor(TRAINING)
    assert monitor.verdict == "Go on: 0 of 5 measurements are there."
    assert not monitor.stop
    assert monitor.predictions == []
    with pytest.raises(DataError, match="no measurement yet"):
        _ = monitor.log
    monitor.add(1, 0.5, 0.6, TRAINING[:12])
    assert monitor.log.measured["memorized_fraction"].tolist() == [1.0]
    assert "frechet_distance" not in monitor.log.measured  # of 12 there is none
    assert "1 measurements" in repr(monitor)


def test_extrapolation_of_a_run() -> None:
    monitor = Monitor(TRAINING, t=0.1)
    for row in measurements():
        monitor.add(*row[:3])
    best = monitor.dates["best"].step
    with pytest.warns(UserWarning, match="samples"):  # 120 for 36 dimensions
        found = monitor.predictions
    assert [one.n for one in found] == [240, 480, 960, 1920]
    assert found[0].best_step == pytest.approx(2 * best)
    assert np.isnan(found[-1].best_step)
    assert found[0].ratio_2 > monitor.dates["ratio_2"].step
    assert found[0].ratio_2_high == pytest.approx(2 * found[0].ratio_2)
    without = Monitor(n=120)
    for row in measurements():
        without.add(*row[:3])
    assert np.isnan(without.extrapolate(240).ratio_2)
    with pytest.raises(ModelError, match="number of training images is not known"):
        Monitor().extrapolate(100)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((1.5, 0.5, 0.6), "step is 1.5"),
        ((5, float("nan"), 0.6), "train_loss is nan"),
        ((5, 0.5, float("inf")), "test_loss is inf"),
        ((5, 0.5, 0.6, TRAINING[:3]), "samples has 3 images"),
        ((5, 0.5, 0.6, TRAINING[:, :3]), "3 x 6 numbers, those of training have 6 x 6"),
        ((5, 0.5, 0.6, np.ones((20, 6, 6))), "samples has 20 images, all of them equal"),
    ],
)
def test_one_line_for_a_measurement_that_cannot_be_used(arguments: Any, words: str) -> None:
    monitor = Monitor(TRAINING)
    with pytest.raises(ModelError, match=words):
        monitor.add(*arguments)
    assert monitor.verdict.startswith("Go on: 0 of 5")  # nothing was added


def test_samples_need_something_to_be_compared_with() -> None:
    with pytest.raises(ModelError, match="has no training images"):
        Monitor().add(1, 0.5, 0.6, TRAINING)
    with pytest.raises(ModelError, match="training has 20 images, all of them equal"):
        Monitor(np.ones((20, 6, 6)))


@pytest.mark.parametrize("text", ["epoch,loss\n1,2\n", "x", "step,loss"])
def test_a_file_of_another_program_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(text)
    with pytest.raises(DataError, match="was not written by a monitor"):
        Monitor(path=path)
    assert path.read_text() == text


def test_measurements_are_due_ten_times_a_decade() -> None:
    monitor = Monitor()
    for step in range(10_001):
        if monitor.due(step):
            monitor.add(step, 1.0, 1.0)
    steps = monitor.log.step
    assert steps[0] == 10.0
    assert 28 <= steps.size <= 31  # of whole numbers
    gaps = np.diff(np.log10(steps))
    assert (gaps >= 0.1 - 1e-12).all()
    np.testing.assert_array_less(gaps, np.log10(10.0**0.1 + 1.0 / steps[:-1]))
    assert not monitor.due(int(steps[-1]))
    assert Monitor().due(1, first=1)


class Tensor(np.ndarray):
    """What a loop needs of one of PyTorch."""

    def cpu(self) -> Tensor:
        return self

    def numpy(self) -> np.ndarray:
        return np.asarray(self)


def test_the_loops_of_the_page() -> None:
    """Each with stand-ins for what the framework brings, on images of its layout."""
    page = (Path(__file__).parents[2] / "docs" / "monitor.md").read_text(encoding="utf-8")
    loops = re.findall(r"```py\n(.*?)```", page, re.DOTALL)
    assert len(loops) == 3
    rng = np.random.default_rng(0)
    for loop, shape in zip(loops, ((3, 6, 6), (6, 6, 3), (6, 6)), strict=True):
        images = rng.random((50, *shape)).view(Tensor)
        names: dict[str, Any] = {
            "Monitor": lambda *images, path: Monitor(*images),
            "np": np,
            "train_images": images,
            "held_out_images": images[::-1],
            "accelerator": SimpleNamespace(is_main_process=True),
            "global_step": 10,
            "step": 10,
            "params": 1,
            "key": 1,
            "loss_on": lambda *_: np.float32(0.5),
            "sample": lambda *_, x=images: x,
            "pipeline": lambda batch_size, output_type, x=images: SimpleNamespace(images=x),
        }
        exec(loop, names)
        monitor = names["monitor"]
        assert monitor.log.step.tolist() == [10.0]
        assert monitor.last_samples.generated == 50
