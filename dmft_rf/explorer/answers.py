"""What the explorer computes for a state: columns of numbers for a page to draw."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import dmft_rf
from dmft_rf._typing import Array
from dmft_rf.errors import ConvergenceError

# points of a curve and of a bulk, of the (n, p) map in each direction, times of generation
_TIMES, _PER_BULK, _MAP, _GENERATED = 160, 60, 14, 16
# relative accuracy: more than a screen shows
_RTOL = 1e-6

#: name -> what it is for; in the order of a training run
TIMES = {
    "usable_start": "usable from",
    "tau_gen": "generalization",
    "tau_opt": "least test loss",
    "usable_end": "usable until",
    "tau_overfit": "overfitting shows",
    "tau_ratio": "test/train loss = 2",
    "tau_mem": "half of the final gap",
}

Columns = dict[str, Array]


@dataclass(frozen=True)
class Learning:
    """Spectrum, curves and times of a model under a rule.

    Attributes
    ----------
    law : dict of arrays
        "x", "y": eigenvalue and lambda rho(lambda), nan between two bulks.
    curves : dict of arrays
        "tau", "test", "train", "score_error".
    times : dict of float
        By the names of `TIMES`; nan where the time cannot be told.
    memorizes : bool
    floor : float
        Loss of the exact score.
    solution, timescales : objects
        What was computed, for pictures and files.
    """

    law: Columns
    curves: Columns
    times: dict[str, float]
    memorizes: bool
    floor: float
    solution: dmft_rf.Solution
    timescales: dmft_rf.Timescales
    table: dmft_rf.LearningCurves


def learning(model: dmft_rf.ScoreModel, rule: Any) -> Learning:
    """Everything of the first tab.

    Raises
    ------
    ModelError, ConvergenceError
        As ``solve``, ``timescales`` and ``learning_curves``.
    """
    solution = dmft_rf.solve(model, _RTOL)
    scales = dmft_rf.timescales(solution, rule=rule)
    values = {name: float(scales.values[name]) for name in TIMES}
    tau = _grid(scales, values)
    curves = solution.learning_curves(tau, rule)
    names = ("test", "train", "score_error")
    return Learning(
        _law(solution.spectrum),
        {"tau": tau} | {name: np.asarray(getattr(curves, name)) for name in names},
        values,
        bool(scales.memorizes),
        float(model.floor),
        solution,
        scales,
        curves,
    )


def _grid(scales: dmft_rf.Timescales, values: dict[str, float]) -> Array:
    """Times from before anything is learned until after everything has happened."""
    low, high = scales.solution.diagnostics["support"]
    rate = scales.solution.model.rate
    ends = [0.05 / (rate * high)]
    ends += [3.0 * x for x in values.values() if 0.0 < x < math.inf]
    if low > 0.0:
        ends.append(10.0 / (rate * low))
    return np.geomspace(min(ends), min(max(ends), 1e13 * min(ends)), _TIMES)


def _law(law: dmft_rf.Spectrum) -> Columns:
    bulks = len(law.bulk_masses)
    x = law.grid(max(_PER_BULK, 600 // bulks) * bulks).reshape(bulks, -1)
    y = x * law.density(x.ravel()).reshape(x.shape)
    gap = np.full((bulks, 1), np.nan)
    return {"x": np.hstack([x, gap]).ravel(), "y": np.hstack([y, gap]).ravel()}


@dataclass(frozen=True)
class Map:
    """Regions over (n, p), psi_n and psi_p in rows of a rectangle each.

    Attributes
    ----------
    psi_n, psi_p : arrays (n,), (p,)
    region : int array (n, p)
    names : tuple of str
    """

    psi_n: Array
    psi_p: Array
    region: NDArray[np.int64]
    names: tuple[str, ...]


def phase_map(model: dmft_rf.ScoreModel) -> Map:
    """The (n, p) map about a model: two decades in n and p.

    Raises
    ------
    ModelError
        If the model cannot be mapped.
    """
    wide = 64.0 if math.isinf(model.psi_p) else model.psi_p
    axes = {
        "psi_n": np.geomspace(0.1 * wide, 10.0 * wide, _MAP),
        "psi_p": np.geomspace(0.1 * wide, 10.0 * wide, _MAP),
    }
    finite = model.replace(psi_p=wide)
    diagram = dmft_rf.phase_diagram(finite, axes, tau=[1.0, 100.0], rtol=1e-4)
    return Map(axes["psi_n"], axes["psi_p"], diagram.regions, diagram.region_names)


def generated(model: dmft_rf.ScoreModel) -> Columns:
    """Divergence of what is generated from the data, against the time of training.

    Columns "tau", "kl" and "reverse_kl", at infinite width whatever the model's.

    Raises
    ------
    ModelError, ConvergenceError
        As ``generation``.
    """
    wide = model.replace(psi_p=math.inf)
    tau = np.geomspace(1.0, 1e5, _GENERATED)
    law = dmft_rf.generation(wide, tau, rtol=1e-6)
    return {"tau": tau} | {name: np.asarray(getattr(law, name)) for name in ("kl", "reverse_kl")}


def sentence(found: Learning) -> str:
    """When to stop, in one sentence."""
    start, end = found.times["usable_start"], found.times["usable_end"]
    if math.isnan(start) or math.isnan(end):
        raise ConvergenceError("the usable interval cannot be told")
    if math.isinf(end):
        return f"Train until tau = {start:.4g} or longer: the score does not get worse again."
    if not found.memorizes:
        return (
            f"Stop between tau = {start:.4g} and {end:.4g}; there is next to nothing to memorize."
        )
    return (
        f"Stop between tau = {start:.4g} and {end:.4g}: there the score error is within 10 % of "
        "its least."
    )
