r"""Scaling laws: how the timescales move with the sample size, the width and the diffusion time.

The local exponent d log Q/d log P is a property of one point, taken from two exact solutions on
either side of it, whatever the grid. A power law is then fitted over the widest range of the
parameter in which the local exponent stays within a tolerance of one value: outside that range the
law does not hold, and the result says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dmft_rf.errors import ConvergenceError, ModelError
from dmft_rf.model import ScoreModel
from dmft_rf.relaxation import timescales
from dmft_rf.solution import solve

Array = NDArray[np.float64]

#: what is followed along the sweep; fields of Timescales
QUANTITIES = (
    "tau_gen",
    "tau_opt",
    "tau_mem",
    "window",
    "tau_gen_spectrum",
    "tau_mem_spectrum",
    "score_error_min",
    "final_gap",
)
PARAMETERS = ("psi_n", "psi_p", "t")

# half the step in log P of a local exponent: its error is of second order in it, 1e-6
_STEP = 1e-3


@dataclass(frozen=True)
class PowerLaw:
    """Q = prefactor * P^exponent on [low, high].

    Attributes
    ----------
    exponent, exponent_error : float
        Fitted in log-log, and its standard error: the scatter of exact values about a pure power.
    prefactor : float
    low, high, decades : float
        Range of P, and its length in decades.
    points : int
        Points of the sweep in it.
    holds : str
        The range in words, with the spread of the local exponent over it.
    """

    exponent: float
    exponent_error: float
    prefactor: float
    low: float
    high: float
    decades: float
    points: int
    holds: str


@dataclass(frozen=True)
class Scaling:
    """Timescales along a sweep of one parameter.

    Attributes
    ----------
    model : ScoreModel
        The model whose parameter was varied.
    parameter : str
        "psi_n", "psi_p" or "t".
    values : array (n,)
        Its values, ascending.
    abscissa : array (n,)
        What exponents refer to: the values, or Delta_t = 1 - e^{-2t} for "t".
    quantities : dict of arrays (n,)
        The fields of Timescales by name; nan where a point failed.
    local_exponents : dict of arrays (n,)
        d log Q/d log P at each value.
    fits : dict of PowerLaw
        Over the widest range in which the local exponent stays within ``tolerance`` of one value.
    global_fits : dict of PowerLaw
        Over all points.
    tolerance : float
    failures : dict
        Message by value for the points that could not be solved.
    """

    model: ScoreModel
    parameter: str
    values: Array
    abscissa: Array
    quantities: dict[str, Array]
    local_exponents: dict[str, Array]
    fits: dict[str, PowerLaw]
    global_fits: dict[str, PowerLaw]
    tolerance: float
    failures: dict[float, str]


def scaling(
    model: ScoreModel,
    parameter: str,
    values: ArrayLike,
    *,
    rtol: float = 1e-10,
    level: float = 0.1,
    tolerance: float = 0.05,
    progress: Callable[[], None] | None = None,
) -> Scaling:
    """Timescales, local exponents and power laws along a sweep.

    Parameters
    ----------
    model : ScoreModel
        All parameters but the swept one.
    parameter : {"psi_n", "psi_p", "t"}
    values : array (n,)
        At least 3 different values > 0, in any order.
    rtol, level
        As in ``solve`` and ``timescales``.
    tolerance : float
        How far the local exponent may be from one value for a power law to hold.
    progress : callable, optional
        Called after every point.

    Raises
    ------
    ModelError
        If a parameter is outside its domain.
    ConvergenceError
        If no point could be solved; single failures are recorded in ``failures``.
    """
    if parameter not in PARAMETERS:
        raise ModelError(f"parameter is {parameter!r}; it must be one of {', '.join(PARAMETERS)}")
    if not 0.0 < tolerance < 1.0:
        raise ModelError(f"tolerance is {tolerance!r}; it must be between 0 and 1")
    points = np.unique(np.asarray(values, dtype=float))
    if points.size < 3 or not np.all(np.isfinite(points)) or points[0] <= 0.0:
        raise ModelError(
            f"values of {parameter} are {points.tolist()}; a scaling law needs at least 3 "
            "different finite values > 0"
        )

    def times(value: float) -> dict[str, float]:
        found = timescales(solve(model.replace(**{parameter: value}), rtol), level)
        return {name: getattr(found, name) for name in QUANTITIES}

    rows: list[dict[str, float]] = []
    slopes: list[dict[str, float]] = []
    failures: dict[float, str] = {}
    nothing = dict.fromkeys(QUANTITIES, math.nan)
    for value in points.tolist():
        below, above = value * math.exp(-_STEP), value * math.exp(_STEP)
        run = math.log(_abscissa(parameter, above) / _abscissa(parameter, below))
        try:
            rows.append(times(value))
            low, high = times(below), times(above)
            slopes.append({name: _log_ratio(high[name], low[name]) / run for name in QUANTITIES})
        except ConvergenceError as error:
            failures[value] = str(error)
            rows[len(slopes) :] = [nothing]
            slopes.append(nothing)
        if progress is not None:
            progress()
    if len(failures) == points.size:
        raise ConvergenceError(
            f"no point of the sweep over {parameter} could be solved: {failures[points[0]]}"
        )
    abscissa = np.array([_abscissa(parameter, value) for value in points.tolist()])
    quantities = {name: np.array([row[name] for row in rows]) for name in QUANTITIES}
    exponents = {name: np.array([row[name] for row in slopes]) for name in QUANTITIES}
    fits, global_fits = {}, {}
    for name in QUANTITIES:
        usable = np.isfinite(exponents[name]) & np.isfinite(quantities[name])
        whole = np.flatnonzero(usable)
        part = _widest(np.log(abscissa), exponents[name], usable, tolerance)
        if part.size >= 3:
            fits[name] = _fit(abscissa, quantities[name], exponents[name], part)
        if whole.size >= 3:
            global_fits[name] = _fit(abscissa, quantities[name], exponents[name], whole)
    return Scaling(
        model=model,
        parameter=parameter,
        values=points,
        abscissa=abscissa,
        quantities=quantities,
        local_exponents=exponents,
        fits=fits,
        global_fits=global_fits,
        tolerance=tolerance,
        failures=failures,
    )


def _abscissa(parameter: str, value: float) -> float:
    return -math.expm1(-2.0 * value) if parameter == "t" else value


def _log_ratio(high: float, low: float) -> float:
    if not (math.isfinite(high) and math.isfinite(low) and high > 0.0 and low > 0.0):
        return math.nan
    return math.log(high / low)


def _widest(
    log_p: Array, exponents: Array, usable: NDArray[np.bool_], tolerance: float
) -> NDArray[np.intp]:
    """Indices of the longest run of neighbouring points whose exponents differ by < 2 tolerance."""
    best: NDArray[np.intp] = np.array([], dtype=np.intp)
    length = 0.0
    for i in range(len(exponents)):
        for j in range(i, len(exponents)):
            run = exponents[i : j + 1]
            if not usable[j] or not usable[i] or run.max() - run.min() > 2.0 * tolerance:
                break
            if log_p[j] - log_p[i] > length:
                best, length = np.arange(i, j + 1), log_p[j] - log_p[i]
    return best


def _fit(abscissa: Array, quantity: Array, exponents: Array, part: NDArray[np.intp]) -> PowerLaw:
    """Least squares of log Q on log P over the points ``part``."""
    from scipy.optimize import curve_fit

    x, y = np.log(abscissa[part]), np.log(quantity[part])
    centre = float(x.mean())
    (slope, offset), covariance = curve_fit(lambda u, a, b: a * (u - centre) + b, x, y)
    low, high = float(abscissa[part[0]]), float(abscissa[part[-1]])
    local = exponents[part]
    return PowerLaw(
        exponent=float(slope),
        exponent_error=float(math.sqrt(covariance[0, 0])),
        prefactor=math.exp(float(offset) - float(slope) * centre),
        low=low,
        high=high,
        decades=math.log10(high / low),
        points=int(part.size),
        holds=f"{low:.4g} to {high:.4g} ({math.log10(high / low):.1f} decades), local exponent "
        f"{local.min():.3f} to {local.max():.3f}",
    )
