"""Exact learning curves of random-features diffusion models in high dimension.

The public names load lazily: ``import dmft_rf`` itself pulls in nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dmft_rf._version import __version__
from dmft_rf.errors import ConvergenceError, DataError, ModelError, WorkerError, missing

if TYPE_CHECKING:
    from dmft_rf.activation import Activation
    from dmft_rf.bulks import BulkSplit, bulk_split
    from dmft_rf.covariance import Covariance
    from dmft_rf.data import read_covariance
    from dmft_rf.descent import GradientDescent, HeavyBall
    from dmft_rf.dynamics import LearningCurves
    from dmft_rf.exponents import PowerLaw, Scaling, scaling
    from dmft_rf.law import Spectrum, spectrum
    from dmft_rf.mixture import Mixture
    from dmft_rf.model import ScoreModel
    from dmft_rf.phases import PhaseDiagram, phase_diagram
    from dmft_rf.relaxation import Timescales, timescales
    from dmft_rf.rules import GradientFlow, Ridge, WeightAverage
    from dmft_rf.solution import Solution, solve
    from dmft_rf.stieltjes import resolvent
    from dmft_rf.sweeps import Sweep, sweep

_HOME = {
    "Activation": "activation",
    "BulkSplit": "bulks",
    "Covariance": "covariance",
    "GradientDescent": "descent",
    "GradientFlow": "rules",
    "HeavyBall": "descent",
    "LearningCurves": "dynamics",
    "Mixture": "mixture",
    "PhaseDiagram": "phases",
    "PowerLaw": "exponents",
    "Ridge": "rules",
    "Scaling": "exponents",
    "ScoreModel": "model",
    "Solution": "solution",
    "Spectrum": "law",
    "Sweep": "sweeps",
    "Timescales": "relaxation",
    "WeightAverage": "rules",
    "bulk_split": "bulks",
    "phase_diagram": "phases",
    "read_covariance": "data",
    "resolvent": "stieltjes",
    "scaling": "exponents",
    "solve": "solution",
    "spectrum": "law",
    "sweep": "sweeps",
    "timescales": "relaxation",
}

# modules with names of their own, loaded when they are first used: dmft_rf.units.time_from_steps
_MODULES = (
    "coefficients",
    "data",
    "datasets",
    "errors",
    "pencil",
    "phaseplot",
    "plotting",
    "points",
    "store",
    "thresholds",
    "units",
)

__all__ = [
    "Activation",
    "BulkSplit",
    "ConvergenceError",
    "Covariance",
    "DataError",
    "GradientDescent",
    "GradientFlow",
    "HeavyBall",
    "LearningCurves",
    "Mixture",
    "ModelError",
    "PhaseDiagram",
    "PowerLaw",
    "Ridge",
    "Scaling",
    "ScoreModel",
    "Solution",
    "Spectrum",
    "Sweep",
    "Timescales",
    "WeightAverage",
    "WorkerError",
    "__version__",
    "bulk_split",
    "phase_diagram",
    "read_covariance",
    "resolvent",
    "scaling",
    "solve",
    "spectrum",
    "sweep",
    "timescales",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"dmft_rf.{name}")
    if name not in _HOME:
        raise AttributeError(missing("dmft_rf", name, __dir__()), name=name)
    value = getattr(import_module(f"dmft_rf.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES})
