"""From the dates of one run to those of runs with more images, by what trained networks did.

The step of the least held-out loss is multiplied by n_2/n_1, with batch, rate, width and optimiser
as they were. That law is empirical; how far it was off, over pairs of trained networks, is in
transfer.json, together with where it is from. Ranges are wide enough that nine in ten pairs of a
kind of networks lay in the range of the other kinds. The law errs on the early side. Beyond 8 times
as many images the point lies outside of what was seen, and only the range is given.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from dmft_rf._convert import number, shown, whole
from dmft_rf._show import OneRow
from dmft_rf.errors import ModelError
from dmft_rf.model.covariance import Covariance
from dmft_rf.monitor.dating import Dates

__all__ = ["Prediction", "extrapolate", "model_growth", "predict", "predictions", "table"]

_POINT = 8.0  # times as many images up to which a single step is given
_UNLIMITED = 1e4  # psi_p that stands for a network without a limit to its size
_WITHIN = 2.0
_TIMES = (2, 4, 8, 16)


@dataclass(frozen=True, eq=False, repr=False)
class Prediction(OneRow):
    """Steps for a run with another number of images, all else as in the pilot.

    Attributes
    ----------
    n : int
        Images.
    best_step : float
        Step of the least held-out loss; nan beyond 8 times the pilot's images.
    low, high : float
        Its 90 % range, for networks of another kind than those that it was taken from.
    ratio_2, ratio_2_low, ratio_2_high : float
        Step at which held-out over train loss reaches 2, within a factor 2; nan where it was not
        asked for.
    """

    n: int
    best_step: float
    low: float
    high: float
    ratio_2: float = math.nan
    ratio_2_low: float = math.nan
    ratio_2_high: float = math.nan

    def _about(self) -> str:
        best = "" if math.isnan(self.best_step) else f" {self.best_step:,.0f},"
        return f"best step of {self.n:,} images:{best} from {self.low:,.0f} to {self.high:,.0f}"


@cache
def table() -> dict[str, Any]:
    """Return what transfer.json holds: rows by the ratio of sizes, and their provenance."""
    place = resources.files("dmft_rf.monitor") / "transfer.json"
    found: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    return found


def extrapolate(
    n: int, best_step: float, n_new: int, *, ratio_2: float | None = None, growth: float = math.nan
) -> Prediction:
    """Return the steps that a run with more images needs, from those of a pilot.

    Parameters
    ----------
    n : int
        Images of the pilot.
    best_step : float
        Its step of least held-out loss.
    n_new : int
        Images of the new run: from n to 16 n, as far as the evidence reaches.
    ratio_2 : float, optional
        The pilot's step at which held-out over train loss was 2.
    growth : float, optional
        By which factor that step grows, of `model_growth`.

    Returns
    -------
    Prediction
        Ranges between the ratios of sizes of the table are interpolated in their logarithms; below
        2 the range of 2 counts.

    Raises
    ------
    ModelError
        If a number is outside its domain.

    Examples
    --------
    >>> found = extrapolate(64, 929, 128)
    >>> [round(x) for x in (found.low, found.best_step, found.high)]
    [1313, 1858, 3271]
    """
    n, n_new = whole(n, "n"), whole(n_new, "n_new")
    step = number(best_step, "best_step", above=0.0)
    rows = table()["best_step"]
    times = n_new / n
    if not 1.0 <= times <= rows[-1]["times"]:
        raise ModelError(
            f"n_new is {shown(n_new)}, {times:.3g} times the {n} images of the pilot; the evidence "
            f"is for 1 to {rows[-1]['times']} times as many"
        )
    at = np.log([row["times"] for row in rows])
    late, early = (
        float(np.exp(np.interp(math.log(times), at, np.log([row[key] for row in rows]))))
        for key in ("low", "high")  # of predicted over true
    )
    guess = step * times
    is_point = times <= _POINT
    second = math.nan
    if ratio_2 is not None:
        second = number(ratio_2, "ratio_2", above=0.0) * growth
    return Prediction(
        n_new,
        guess if is_point else math.nan,
        guess / early,
        guess / late,
        second if is_point else math.nan,
        second / _WITHIN,
        second * _WITHIN,
    )


def predict(
    dates: Dates, n: int, n_new: int, covariance: Covariance | None = None, t: float | None = None
) -> Prediction:
    """Return the steps that a run with more images needs, from the dates of a pilot.

    Parameters
    ----------
    dates : Dates
        Of a run past its least held-out loss. Where it counts epochs, so does what is returned: an
        epoch has as many more steps as there are more images.
    n, n_new : int
        Images of the two runs.
    covariance : Covariance, optional
        Of the images; with ``t``, the diffusion time of the losses, it gives the step of ratio 2.

    Raises
    ------
    ModelError
        As `extrapolate`, and if the pilot is not past its least held-out loss.
    """
    best, ratio_2 = dates["best"], dates["ratio_2"]
    if not best.is_known:
        raise ModelError(f"there is no {dates.unit} to start from: {best.why} up to {dates.last:g}")
    growth = math.nan
    if ratio_2.is_known and covariance is not None and t is not None:
        growth = model_growth(covariance, t, n, n_new)
    second = ratio_2.step if math.isfinite(growth) else None
    found = extrapolate(n, best.step, n_new, ratio_2=second, growth=growth)
    if dates.unit != "epoch":
        return found
    times = n_new / n
    values = (getattr(found, f.name) / times for f in fields(found) if f.name != "n")
    return Prediction(found.n, *values)


def predictions(
    dates: Dates, n: int | None, covariance: Covariance | None = None, t: float | None = None
) -> list[Prediction]:
    """Return `predict` for 2, 4, 8 and 16 times n; an empty list where there is no answer."""
    if n is None or not dates["best"].is_known:
        return []
    return [predict(dates, n, times * n, covariance, t) for times in _TIMES]


def model_growth(covariance: Covariance, t: float, n: int, n_new: int) -> float:
    """Return by how much later test over train loss reaches 2 in the model with more samples.

    Parameters
    ----------
    covariance : Covariance
        Of the images, in units of the noise, with its dimension.
    t : float
        Diffusion time of the loss.
    n, n_new : int
        Images of the two runs.

    Returns
    -------
    float
        Quotient of the times of gradient flow, for a network of unlimited size.

    Raises
    ------
    ModelError
        If the covariance has no dimension, or a number is outside its domain.
    """
    if covariance.dimension is None:
        raise ModelError("covariance has no dimension, so that n is not known per dimension")
    first, second = (
        _time_of_ratio_2(covariance, t, whole(size, "n") / covariance.dimension)
        for size in (n, n_new)
    )
    return second / first


def _time_of_ratio_2(covariance: Covariance, t: float, psi_n: float) -> float:
    """The first time at which test over train loss is 2."""
    from dmft_rf.curves.solve import solve
    from dmft_rf.model.score_model import ScoreModel

    solution = solve(ScoreModel(t, _UNLIMITED, psi_n, covariance=covariance), 1e-6)
    tau = np.geomspace(1e-3, 1e12, 30 * 15 + 1)
    curves = solution.learning_curves(tau[tau < solution.horizon])
    ratio = curves.test / curves.train
    beyond = np.flatnonzero(ratio >= 2.0)
    if not beyond.size or beyond[0] == 0:
        return math.nan
    k = int(beyond[0])
    share = (2.0 - ratio[k - 1]) / (ratio[k] - ratio[k - 1])
    return float(tau[k - 1] * (tau[k] / tau[k - 1]) ** share)
