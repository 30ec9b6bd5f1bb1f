"""A trainer without a network, and what the tests of trained networks share."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from dmft_rf import DataError
from validation.networks.run.engine import Diverged
from validation.networks.run.plan import Setting
from validation.networks.run.store import Store

SMALL = Setting(
    "images", "digits", 8, 16, 16, 0, "adam", 1e-3, 64, 1000, 3.0, 2.0, indices=(100, 200),
    generated=8,
)  # fmt: skip


class Fake:
    """Test and train loss part at 30 n/W^(1/2); the weights count what they have seen."""

    trained = 0

    def __init__(self, setting: Setting):
        self.setting, self.step = setting, 0
        self.weights = np.zeros(3)

    def advance(self, to: int) -> None:
        for number in range(self.step, to):
            self.weights += np.sin(number + np.arange(3) + self.setting.seed)
            Fake.trained += 1
        self.step = to

    def state(self) -> list[np.ndarray]:
        return [self.weights, np.asarray(7)]

    def restore(self, step: int, leaves: list[np.ndarray]) -> None:
        self.step, self.weights = step, leaves[0].copy()

    def facts(self) -> dict[str, Any]:
        return {"digest": "same", "parameters": 40_000, "source": "nowhere", "device": "none"}

    def measure(self) -> dict[str, np.ndarray]:
        s, rng = self.setting, np.random.default_rng(self.step)
        x = self.step / (30.0 * s.n / np.sqrt(s.width / 16)) * (1.0 + 0.02 * s.seed)
        test = np.full(len(s.indices), 0.2 + 0.8 / (1.0 + self.step / 20.0) + 0.02 * x)
        pixels = (16, s.side, s.side) if s.case == "images" else (16, s.side)
        divergence = {} if not s.divergence else {
            "divergence": np.asarray(0.05 + 0.25 / (1.0 + self.step / 20.0) + 0.1 * x),
            "divergence_error": np.asarray(0.01), "folded": np.asarray(0.0),
        }  # fmt: skip
        return divergence | {
            "step": np.asarray(float(self.step)),
            "test": test, "train": test / (1.0 + x), "test_error": 0.01 * test,
            "train_error": 0.01 * test, "last_test": self.weights[:2].copy(), "last_train": test,
            "memorized": np.minimum(1.0, x / 4.0 * np.array([1.0, 1.1, 0.9])),
            "memorized_error": np.full(3, 0.02),
            "frechet": np.asarray(1.0 + 10.0 / (1.0 + self.step / 20.0) + 0.2 * x),
            "frechet_real": np.array([0.9, 0.05]), "score_error": test,
            "shown": rng.standard_normal(pixels), "shown_nearest": rng.standard_normal(pixels),
        }  # fmt: skip


def until(reached: Callable[[], bool]) -> None:
    """Wait for it, five minutes at most."""
    end = time.monotonic() + 300.0
    while not reached():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def asked_to_stop() -> bool:
    """Whether the parent of this worker has said a word, or the loop here has heard a signal."""
    for given in getattr(multiprocessing.current_process(), "_args", ()):
        if isinstance(given, Connection):
            return given.poll()
    return signal.getsignal(signal.SIGTERM).__self__()  # type: ignore[union-attr]


class Waiting(Fake):
    """Goes on from step 100 when it has been asked to stop; says which processes train."""

    hasty: int | None = None  # the seed that does not wait

    def advance(self, to: int) -> None:
        if "FAKE_PIDS" in os.environ:
            (Path(os.environ["FAKE_PIDS"]) / str(os.getpid())).touch()
        if to > 100 and self.setting.seed != self.hasty:
            until(asked_to_stop)
        super().advance(to)


class Dying(Waiting):
    """Seed 1 loses its process on the way."""

    hasty = 1

    def advance(self, to: int) -> None:
        super().advance(to)
        if self.setting.seed == 1 and self.step > 100:
            os._exit(9)


class Unfit(Waiting):
    """Seed 1 cannot go on: its data do not suffice (n = 16), or there is a mistake."""

    hasty = 1

    def measure(self) -> dict[str, np.ndarray]:
        if self.setting.seed == 1 and self.step > 100:
            if self.setting.n == 16:
                raise DataError("the data are gone")
            raise ZeroDivisionError("a mistake")
        return super().measure()


class Diverging(Fake):
    """Seed 1 is not finite any more after 100 steps at rates above 1e-3."""

    def measure(self) -> dict[str, np.ndarray]:
        if self.setting.seed == 1 and self.step > 100 and self.setting.rate >= 1e-3:
            raise Diverged(f"a loss is not finite at step {self.step}")
        return super().measure()


class Surrounded(Fake):
    """Writes down what threads it would have."""

    def facts(self) -> dict[str, Any]:
        names = ("XLA_FLAGS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
        return {**super().facts(), **{name: os.environ.get(name, "") for name in names}}


def contents(store: Store) -> dict[str, np.ndarray]:
    """Every curve of every run."""
    return {f"{key}/{name}": values for key, found in store.runs.items()
            for name, values in found.curves.items()}  # fmt: skip


def same(one: Store, other: Store) -> bool:
    """Whether two stores hold the same numbers, bit for bit."""
    mine, theirs = contents(one), contents(other)
    return mine.keys() == theirs.keys() and all(
        np.array_equal(mine[name], theirs[name]) for name in mine
    )


def settings(**other: Any) -> list[Setting]:
    """Three sizes, two widths, three seeds."""
    return [
        dataclasses.replace(SMALL, n=n, width=w, seed=seed, **other)
        for seed in range(3)
        for n in (16, 32, 64)
        for w in (16, 32)
    ]
