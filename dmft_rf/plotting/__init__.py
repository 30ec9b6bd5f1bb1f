"""Pictures of results, drawn without a display and without a trace in anybody's settings.

A result comes in, a matplotlib figure goes out; matplotlib is loaded when the first one is drawn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dmft_rf.errors import missing

if TYPE_CHECKING:
    from dmft_rf.plotting.advice import plot_advice
    from dmft_rf.plotting.covariance import plot_covariance
    from dmft_rf.plotting.curves import plot_curves, plot_scaling
    from dmft_rf.plotting.fits import plot_fit
    from dmft_rf.plotting.generated import plot_generation
    from dmft_rf.plotting.monitor import plot_monitor
    from dmft_rf.plotting.monitor_page import write_page
    from dmft_rf.plotting.parts import plot_error_parts
    from dmft_rf.plotting.phases import plot_phase_diagram
    from dmft_rf.plotting.results import plot_sweep
    from dmft_rf.plotting.spectra import plot_pencil, plot_spectrum
    from dmft_rf.plotting.style import ENDINGS, save_figure
    from dmft_rf.plotting.timescales import plot_timescales

_HOME = {
    "ENDINGS": "style",
    "plot_advice": "advice",
    "plot_covariance": "covariance",
    "plot_curves": "curves",
    "plot_monitor": "monitor",
    "plot_fit": "fits",
    "plot_generation": "generated",
    "plot_error_parts": "parts",
    "plot_pencil": "spectra",
    "plot_phase_diagram": "phases",
    "plot_scaling": "curves",
    "plot_spectrum": "spectra",
    "plot_sweep": "results",
    "plot_timescales": "timescales",
    "save_figure": "style",
    "write_page": "monitor_page",
}

__all__ = [
    "ENDINGS",
    "plot_advice",
    "plot_covariance",
    "plot_curves",
    "plot_error_parts",
    "plot_fit",
    "plot_generation",
    "plot_monitor",
    "plot_pencil",
    "plot_phase_diagram",
    "plot_scaling",
    "plot_spectrum",
    "plot_sweep",
    "plot_timescales",
    "save_figure",
    "write_page",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(missing("dmft_rf.plotting", name, __dir__()), name=name)
    return getattr(import_module(f"dmft_rf.plotting.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
