"""Pictures of results, drawn without a display and without a trace in anybody's settings.

A result comes in, a matplotlib figure goes out; matplotlib is loaded when the first one is drawn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dmft_rf.errors import missing

if TYPE_CHECKING:
    from dmft_rf.plotting.covariance import plot_covariance
    from dmft_rf.plotting.curves import (
        ENDINGS,
        plot_curves,
        plot_pencil,
        plot_scaling,
        plot_spectrum,
        plot_timescales,
        save_figure,
    )
    from dmft_rf.plotting.monitor import plot_monitor
    from dmft_rf.plotting.monitor_page import write_page
    from dmft_rf.plotting.phases import plot_phase_diagram

__all__ = [
    "ENDINGS",
    "plot_covariance",
    "plot_curves",
    "plot_monitor",
    "plot_pencil",
    "plot_phase_diagram",
    "plot_scaling",
    "plot_spectrum",
    "plot_timescales",
    "save_figure",
    "write_page",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(missing("dmft_rf.plotting", name, __dir__()), name=name)
    elsewhere = {
        "plot_covariance": "covariance",
        "plot_monitor": "monitor",
        "plot_phase_diagram": "phases",
        "write_page": "monitor_page",
    }
    return getattr(import_module(f"dmft_rf.plotting.{elsewhere.get(name, 'curves')}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
