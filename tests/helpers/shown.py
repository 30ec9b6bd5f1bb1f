"""Each kind of result that shows itself, by a name."""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

import dmft_rf
from dmft_rf import ScoreModel, StochasticGradientDescent, monitor, spectrum, sweep
from dmft_rf.monitor.logs import Log
from tests.helpers.public import MODEL, results

NAMES = (
    "LearningCurves",
    "relative error",
    "Solution",
    "grouped Solution",
    "compressed Solution",
    "Spectrum",
    "grouped Spectrum",
    "Timescales",
    "BulkSplit",
    "Sweep",
    "Scaling",
    "ImageScaling",
    "PhaseDiagram",
    "PencilSpectrum",
    "PathBound",
    "Generation",
    "GenerationTimes",
    "ErrorParts",
    "ErrorTimes",
    "Advice",
    "ManyCurves",
    "FiniteSize",
    "FiniteCurves",
    "Derivatives",
    "Fit",
    "SGD",
    "plane of times",
    "list",
    "edges",
    "activations",
    "Covariance",
    "infinite width",
    "drawn Solution",
    "Solution of an ImageModel",
    "DrawnLaw",
    "ImageLaw",
    "Log",
    "Dates",
    "dates to come",
    "Prediction",
    "Neighbours",
    "MemorizedFraction",
    "FrechetDistance",
    "PowerLaw",
    "Resolvent",
)

STEPS = np.geomspace(10.0, 1e4, 30)
IMAGES = np.arange(320.0).reshape(80, 4) ** 2 % 7.3


def run() -> Log:
    """The log of a run that is best at step 500."""
    test = 0.4 + 0.02 * np.log(STEPS / 500.0) ** 2
    return Log(STEPS, test / (1.0 + STEPS / 2000.0), test, name="a run")


MEASURED: dict[str, Callable[[], Any]] = {
    "Log": run,
    "Dates": lambda: monitor.date(run()),
    "Prediction": lambda: monitor.extrapolate(100, 500.0, 400, ratio_2=2000.0, growth=2.0),
    "Neighbours": lambda: monitor.nearest(IMAGES[:20], IMAGES[20:]),
    "MemorizedFraction": lambda: monitor.memorized_fraction(IMAGES[:20] + 0.1, IMAGES[10:]),
    "FrechetDistance": lambda: monitor.frechet_distance(IMAGES[:40], IMAGES[40:]),
    "PowerLaw": lambda: dmft_rf.scaling(
        ScoreModel(0.01, 1e4, 1.0), "psi_n", [8.0, 16.0, 32.0]
    ).fits["tau_mem"],
}


@functools.cache
def made(name: str) -> Any:
    """A result by its name."""
    one = results()["Solution"]
    if name == "SGD":
        return one.learning_curves([0.0, 1.0, 10.0], StochasticGradientDescent(0.01))
    if name == "plane of times":
        return one.learning_curves([[0.0, 1.0], [2.0, math.inf]])
    if name == "list":
        points = [{"psi_n": 2.0, "t": 0.1}, {"psi_n": 3.0, "t": 0.2}]
        return sweep(MODEL, points, ["bulks", "atom"])
    if name == "edges":
        return sweep(MODEL, {"psi_n": [2.0, 3.0], "t": [0.1, 0.2]}, ["edges", "atom"])
    if name == "activations":
        return sweep(MODEL, {"activation": ["relu", "tanh"]}, "edge_high")
    if name == "infinite width":
        return spectrum(MODEL.replace(psi_p=math.inf))
    if name in ("DrawnLaw", "ImageLaw"):
        drawn = name == "DrawnLaw"
        return results()["drawn Solution" if drawn else "Solution of an ImageModel"].spectrum
    if name == "dates to come":
        return monitor.date(Log(STEPS[:6], np.ones(6), np.linspace(2.0, 1.0, 6)))
    if name in MEASURED:
        return MEASURED[name]()
    return results()[name]
