"""Results in HDF5 files, as users import them: ``from dmft_rf.store import load, save``."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from dmft_rf.errors import DataError
from dmft_rf.files.results import SCHEMA, Run, describe_model, describe_rule, load, save

__all__ = ["SCHEMA", "Run", "describe_model", "describe_rule", "load", "load_results", "save"]

# what makes a result of each kind of what is stored of it: module, function
_MADE_BY = {
    "advice": ("monitor.advice", "stored_advice"),
    "spectrum": ("spectra.spectrum", "stored_spectrum"),
    "curves": ("curves.stored", "stored_curves"),
    "error-parts": ("curves.stored", "stored_parts"),
    "error-times": ("curves.stored", "stored_times"),
    "derivatives": ("curves.derivatives", "stored_derivatives"),
    "fit": ("curves.fit", "stored_fit"),
    "timescales": ("curves.stored", "stored_timescales"),
    "generation": ("generated.result", "stored_generation"),
    "generation-times": ("generated.times", "stored_generation_times"),
    "sweep": ("sweeps.stored", "stored_sweep"),
    "scaling": ("sweeps.stored", "stored_scaling"),
    "phase-diagram": ("sweeps.stored", "stored_diagram"),
}


def load_results(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the results of a file: equal to those that were saved, to be drawn or compared.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict
        Spectrum, LearningCurves, Derivatives, Fit, ErrorParts, ErrorTimes, Timescales, Sweep,
        Scaling, PhaseDiagram, Generation, GenerationTimes or Advice by name.

    Raises
    ------
    DataError
        As `load`, and for what no file can hold: the statement of a pencil, a rule of the user's.
    ModelError
        If an activation or a schedule was a function of the user's.
    """
    runs = load(path)
    made: dict[str, Any] = {}
    # a phase diagram is made of the sweeps beside it
    for name in sorted(runs, key=lambda name: runs[name].kind == "phase-diagram"):
        run = runs[name]
        if run.kind not in _MADE_BY:
            raise DataError(f"a run of kind {run.kind!r} cannot be made again from its file")
        module, function = _MADE_BY[run.kind]
        beside = {}
        try:
            if run.kind == "phase-diagram":
                beside["sweeps"] = {part: made[part] for part in ("boundary", "map")}
            make = getattr(import_module(f"dmft_rf.{module}"), function)
            made[name] = make(run.attributes, run.arrays, **beside)
        except KeyError as error:
            raise DataError(f"the run {name} does not say its {error.args[0]}") from None
    return made
