"""Watching a training run: copies of the training set, quality of samples, when to stop.

Losses and generated images come in, as arrays of any framework, logs or folders; dates, counts of
copies with their errors and one sentence of advice go out.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dmft_rf.errors import missing

if TYPE_CHECKING:
    from dmft_rf.monitor.dating import date
    from dmft_rf.monitor.frechet import frechet_distance
    from dmft_rf.monitor.logs import read_log
    from dmft_rf.monitor.neighbours import memorized_fraction, nearest
    from dmft_rf.monitor.transfer import extrapolate
    from dmft_rf.monitor.watch import Monitor

_HOME = {
    "Monitor": "watch",
    "date": "dating",
    "frechet_distance": "frechet",
    "memorized_fraction": "neighbours",
    "nearest": "neighbours",
    "read_log": "logs",
    "extrapolate": "transfer",
}

__all__ = [
    "Monitor",
    "date",
    "extrapolate",
    "frechet_distance",
    "memorized_fraction",
    "nearest",
    "read_log",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(missing("dmft_rf.monitor", name, __dir__()), name=name)
    return getattr(import_module(f"dmft_rf.monitor.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
