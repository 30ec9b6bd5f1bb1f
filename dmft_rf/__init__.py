"""Exact learning curves of random-features diffusion models in high dimension.

The public names load lazily: ``import dmft_rf`` itself pulls in nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dmft_rf import _above
from dmft_rf._version import __version__
from dmft_rf.errors import ConvergenceError, DataError, ModelError, WorkerError, missing

if TYPE_CHECKING:
    from dmft_rf.curves.bulk_split import BulkSplit, bulk_split
    from dmft_rf.curves.derivatives import Derivatives, derivatives
    from dmft_rf.curves.error_parts import ErrorParts, error_parts
    from dmft_rf.curves.error_times import ErrorTimes, error_times
    from dmft_rf.curves.finite_size import FiniteCurves, FiniteSize, finite_size
    from dmft_rf.curves.fit import Fit, fit
    from dmft_rf.curves.losses import LearningCurves
    from dmft_rf.curves.many import ManyCurves, learning_curves_many
    from dmft_rf.curves.solve import Solution, solve
    from dmft_rf.curves.timescales import Timescales, timescales
    from dmft_rf.curves.width import width_needed
    from dmft_rf.data.read import read_covariance
    from dmft_rf.generated.generation import generation
    from dmft_rf.generated.path_bound import PathBound
    from dmft_rf.generated.result import Generation
    from dmft_rf.generated.times import GenerationTimes, generation_times
    from dmft_rf.images.image_model import ImageModel
    from dmft_rf.model.activation import Activation
    from dmft_rf.model.covariance import Covariance
    from dmft_rf.model.mixture import Mixture
    from dmft_rf.model.score_model import ScoreModel
    from dmft_rf.monitor.advice import Advice, advise
    from dmft_rf.rules.average import WeightAverage
    from dmft_rf.rules.flow import GradientFlow, Ridge
    from dmft_rf.rules.steps import GradientDescent, HeavyBall
    from dmft_rf.rules.stochastic import StochasticGradientDescent
    from dmft_rf.spectra.resolvent import resolvent
    from dmft_rf.spectra.spectrum import Spectrum, spectrum
    from dmft_rf.sweeps.phase_diagram import phase_diagram
    from dmft_rf.sweeps.results import PhaseDiagram, PowerLaw, Scaling, Sweep
    from dmft_rf.sweeps.scaling import scaling
    from dmft_rf.sweeps.sweep import sweep

_HOME = {
    "Activation": "model.activation",
    "Advice": "monitor.advice",
    "BulkSplit": "curves.bulk_split",
    "Covariance": "model.covariance",
    "Derivatives": "curves.derivatives",
    "Generation": "generated.result",
    "GenerationTimes": "generated.times",
    "ErrorParts": "curves.error_parts",
    "ErrorTimes": "curves.error_times",
    "FiniteCurves": "curves.finite_size",
    "FiniteSize": "curves.finite_size",
    "Fit": "curves.fit",
    "GradientDescent": "rules.steps",
    "GradientFlow": "rules.flow",
    "HeavyBall": "rules.steps",
    "ImageModel": "images.image_model",
    "LearningCurves": "curves.losses",
    "ManyCurves": "curves.many",
    "Mixture": "model.mixture",
    "PathBound": "generated.path_bound",
    "PhaseDiagram": "sweeps.results",
    "PowerLaw": "sweeps.results",
    "Ridge": "rules.flow",
    "Scaling": "sweeps.results",
    "ScoreModel": "model.score_model",
    "Solution": "curves.solve",
    "Spectrum": "spectra.spectrum",
    "StochasticGradientDescent": "rules.stochastic",
    "Sweep": "sweeps.results",
    "Timescales": "curves.timescales",
    "WeightAverage": "rules.average",
    "advise": "monitor.advice",
    "bulk_split": "curves.bulk_split",
    "derivatives": "curves.derivatives",
    "error_parts": "curves.error_parts",
    "error_times": "curves.error_times",
    "finite_size": "curves.finite_size",
    "fit": "curves.fit",
    "generation": "generated.generation",
    "generation_times": "generated.times",
    "learning_curves_many": "curves.many",
    "phase_diagram": "sweeps.phase_diagram",
    "read_covariance": "data.read",
    "resolvent": "spectra.resolvent",
    "scaling": "sweeps.scaling",
    "solve": "curves.solve",
    "spectrum": "spectra.spectrum",
    "sweep": "sweeps.sweep",
    "timescales": "curves.timescales",
    "width_needed": "curves.width",
}

# rooms and modules with names of their own, loaded when they are first used:
# dmft_rf.units.time_from_steps
_MODULES = {
    "coefficients": "model.coefficients",
    "curves": "curves",
    "data": "data",
    "datasets": "data.bundled",
    "errors": "errors",
    "monitor": "monitor",
    "files": "files",
    "generated": "generated",
    "kernels": "kernels",
    "model": "model",
    "numerics": "numerics",
    "pencil": "pencil",
    "phaseplot": "plotting.phases",
    "plotting": "plotting",
    "points": "sweeps.quantities",
    "rules": "rules",
    "schedules": "rules.schedules",
    "sgd": "curves.noise_load",
    "store": "store",
    "sweeps": "sweeps",
    "thresholds": "curves.thresholds",
    "units": "units",
}

__all__ = [
    "Activation",
    "Advice",
    "BulkSplit",
    "ConvergenceError",
    "Covariance",
    "DataError",
    "Derivatives",
    "ErrorParts",
    "ErrorTimes",
    "FiniteCurves",
    "FiniteSize",
    "Fit",
    "Generation",
    "GenerationTimes",
    "GradientDescent",
    "GradientFlow",
    "HeavyBall",
    "ImageModel",
    "LearningCurves",
    "ManyCurves",
    "Mixture",
    "ModelError",
    "PathBound",
    "PhaseDiagram",
    "PowerLaw",
    "Ridge",
    "Scaling",
    "ScoreModel",
    "Solution",
    "Spectrum",
    "StochasticGradientDescent",
    "Sweep",
    "Timescales",
    "WeightAverage",
    "WorkerError",
    "__version__",
    "advise",
    "bulk_split",
    "derivatives",
    "error_parts",
    "error_times",
    "finite_size",
    "fit",
    "generation",
    "generation_times",
    "learning_curves_many",
    "phase_diagram",
    "read_covariance",
    "resolvent",
    "scaling",
    "solve",
    "spectrum",
    "sweep",
    "timescales",
    "width_needed",
]


def _read_covariance(source: Any) -> Covariance:
    from dmft_rf.data.read import read_covariance

    return read_covariance(source)


def _plot(result: Any, *how: Any) -> Any:
    from dmft_rf.plotting.results import plot

    return plot(result, *how)


_above.read_covariance = _read_covariance
_above.plot = _plot


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"dmft_rf.{_MODULES[name]}")
    if name not in _HOME:
        raise AttributeError(missing("dmft_rf", name, __dir__()), name=name)
    value = getattr(import_module(f"dmft_rf.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES})
