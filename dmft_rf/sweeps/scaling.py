r"""Scaling laws: how the timescales move with sample size, width, diffusion time and spectrum.

The local exponent d log Q/d log P is a property of one point, taken from two exact solutions on
either side of it, whatever the grid. A power law is then fitted over the widest range of the
parameter in which the local exponent stays within a tolerance of one value: outside that range the
law does not hold, and the result says so.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dmft_rf._arithmetic import ieee
from dmft_rf._convert import instance, number, one_of
from dmft_rf._stored import Result as StoredResult
from dmft_rf._typing import Array
from dmft_rf.curves.noise_transforms import mean_eigenvalue
from dmft_rf.errors import ConvergenceError, ModelError
from dmft_rf.images.image_model import ImageModel
from dmft_rf.model.score_model import ScoreModel
from dmft_rf.numerics.estimate import ROUNDING
from dmft_rf.rules.flow import GradientFlow, Rule
from dmft_rf.rules.stochastic import StochasticGradientDescent, TrainingRule, step_of
from dmft_rf.sweeps.axes import numbers
from dmft_rf.sweeps.campaign import Progress, Where
from dmft_rf.sweeps.image_scaling import image_scaling
from dmft_rf.sweeps.plan import Plan
from dmft_rf.sweeps.power_laws import fits_of
from dmft_rf.sweeps.request import Request
from dmft_rf.sweeps.results import QUANTITIES, Scaling
from dmft_rf.sweeps.run import run
from dmft_rf.sweeps.tables import PlanCampaign, Table

#: of the model; of the noise of SGD
PARAMETERS = ("psi_n", "psi_p", "t", "power_law.exponent")
OF_NOISE = ("noise", "batch")

# half the step in log P of a local exponent: its error is of second order in it, 1e-6
_STEP = 1e-3


@ieee
def scaling(
    model: ScoreModel | ImageModel,
    parameter: str,
    values: ArrayLike,
    *,
    rule: TrainingRule | None = None,
    rtol: float | None = None,
    level: float = 0.1,
    tolerance: float = 0.05,
    path: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Scaling:
    """Timescales, local exponents and power laws along a sweep.

    Parameters
    ----------
    model : ScoreModel or ImageModel
        All parameters but the swept one.
    parameter : {"psi_n", "psi_p", "t", "power_law.exponent", "noise", "batch", "n"}
        "power_law.exponent" sweeps the covariance: eigenvalues proportional to k^-alpha, as many as
        the model's covariance has, with its mean. "noise" sweeps eps = eta/(d batch) of SGD at its
        batch; "batch" its batch at the learning rate, so that the noise is that of the rule times
        its batch over the swept one. Of an ImageModel "n" alone, its number of samples.
    values : array (n,)
        At least 3 different values > 0 (of alpha: >= 0; of batch and n: whole), in any order.
    rule : Rule or StochasticGradientDescent
        As in ``timescales``, but one that has curves at every time; GradientFlow() by default.
    rtol, level
        As in ``solve`` and ``timescales``.
    tolerance : float
        How far the local exponent may be from one value for a power law to hold.
    path, overwrite, executor, workers, progress
        As in ``sweep``; there are three points per value. Of an ImageModel ``workers`` are threads,
        which share the moments of the features, and local exponents are slopes through the points
        on either side; there is no path, executor or extra.
    extra : mapping, optional
        Further attributes of the file, as in ``store.save``.

    Returns
    -------
    Scaling
        Quantities and local exponents, (n,) arrays in ascending order of the values, and fits; of
        an ImageModel also how each n was solved and how far off that may be.

    Raises
    ------
    ModelError
        If a parameter is outside its domain or the rule takes whole steps; for "noise" and "batch"
        if the rule is not SGD with a constant noise > 0, for "batch" also if the activation has a
        mean, whose own noise depends on the batch otherwise than through eps.
    ConvergenceError
        If no point could be solved; single failures are recorded in ``failures``.
    DataError, WorkerError
        As ``sweep``.

    Examples
    --------
    >>> from dmft_rf import ScoreModel, StochasticGradientDescent, scaling
    >>> sgd = StochasticGradientDescent(noise=1.0)
    >>> law = scaling(ScoreModel(0.1, 8, 4), "noise", [0.5, 1, 2], rule=sgd)
    >>> print(f"{law.local_exponents['score_error_min'][1]:.2f}")
    0.82
    """
    where = Where(path, overwrite, executor, workers, progress)
    instance(model, (ScoreModel, ImageModel), "model", "ScoreModel(0.01, 64, 8)")
    rule = GradientFlow() if rule is None else rule
    tolerance = number(tolerance, "tolerance", above=0.0, below=1.0)
    if isinstance(model, ImageModel):
        if extra is not None:
            raise ModelError("extra is not there for an ImageModel; save(..., extra=...) has it")
        return image_scaling(model, parameter, values, rule, rtol, level, tolerance, where)
    one_of(parameter, (*PARAMETERS, *OF_NOISE), "parameter")
    _check_rule(model, rule, parameter)
    rtol = model.usual_rtol if rtol is None else rtol
    lowest = 0.0 if parameter == "power_law.exponent" else math.ulp(0.0)
    points = numbers(values, parameter, least=lowest)
    if points.size < 3:
        raise ModelError(
            f"values of {parameter} are {points.tolist()}; a scaling law needs at least 3 "
            f"different finite values {'>= 0' if lowest == 0.0 else '> 0'}"
        )
    constants = _constants(model, parameter)
    over = [
        {**_place(parameter, value, place, rule), **constants}
        for value in points.tolist()
        for place in (value, *_beside(parameter, value))
    ]
    plan = Plan(model, rule, over, Request(QUANTITIES, rtol=rtol, level=level))
    found = run(_ScalingCampaign(plan, parameter, points, tolerance, extra), where)
    if len(found.failures) == points.size:
        raise ConvergenceError(
            f"no point of the sweep over {parameter} could be solved: {found.failures[points[0]]}"
        )
    return found


class _ScalingCampaign(PlanCampaign[Scaling]):
    """Three points per value: the value and its two neighbours, which give the local exponent."""

    def __init__(
        self,
        plan: Plan,
        parameter: str,
        values: Array,
        tolerance: float,
        extra: Mapping[str, Any] | None,
    ):
        super().__init__({"points": plan}, extra)
        self._parameter, self._values, self._tolerance = parameter, values, tolerance

    def result(self) -> Scaling:
        """See `Campaign`."""
        return _scaling(self._parameter, self._values, self.points["points"], self._tolerance)

    def stored(self) -> dict[str, StoredResult]:
        """The sweep, and what is made of it when it is complete."""
        points: dict[str, StoredResult] = {"points": self.points["points"].sweep()}
        return points if self.missing else {"scaling": self.result(), **points}


def _constants(model: ScoreModel, parameter: str) -> dict[str, Any]:
    """Parameters that all power laws of the sweep share: atoms and mean of the covariance."""
    if parameter != "power_law.exponent":
        return {}
    law = model.covariance
    atoms = law.dimension if law.dimension is not None else law.n_atoms
    if atoms < 2:
        raise ModelError(
            "the model's covariance has one eigenvalue; a sweep over power laws takes their number "
            "from it, as that of Covariance.power_law(1.0, atoms=256)"
        )
    return {"power_law.atoms": atoms, "power_law.mean": law.mean}


def _check_rule(model: ScoreModel, rule: TrainingRule, parameter: str) -> None:
    """Raise ModelError unless exponents exist under the rule, and its noise can be swept."""
    instance(rule, (Rule, StochasticGradientDescent), "rule", "GradientFlow()")
    if step_of(rule) is not None:
        raise ModelError(
            f"the rule is {rule}; its times are whole steps, which have no local exponent"
        )
    if parameter not in OF_NOISE:
        return
    if not isinstance(rule, StochasticGradientDescent):
        raise ModelError(
            f"{parameter} belongs to mini-batch SGD, and the rule is {rule}; give "
            "rule=StochasticGradientDescent(noise=1.0)"
        )
    if callable(rule.noise) or not rule.noise > 0.0:
        raise ModelError(
            f"noise is {rule.noise!r}; a scaling law over {parameter} needs a constant one > 0"
        )
    mean = max(one.coefficients.mu0**2 for one in model.classes)
    if parameter == "batch" and mean > ROUNDING * mean_eigenvalue(model):
        raise ModelError(
            f"the activation is {model.activation.name}, which has a mean: its noise depends on "  # type: ignore[union-attr]
            'the batch beside eps, and whole batches have no local exponent; sweep "noise"'
        )


def _place(parameter: str, value: float, place: float, rule: TrainingRule) -> dict[str, Any]:
    """The parameters of a point at ``place``, which is ``value`` or beside it."""
    if parameter != "batch":
        return {parameter: place}
    # the learning rate stays: beside a whole batch there are points of the noise alone
    assert isinstance(rule, StochasticGradientDescent)
    assert not callable(rule.noise)
    if value != round(value):
        raise ModelError(f"batch is {value!r}; it must be a whole number")
    return {"batch": round(value), "noise": rule.noise * rule.batch / place}


def _beside(parameter: str, value: float) -> tuple[float, float]:
    """The two places whose difference gives the local exponent."""
    if parameter == "power_law.exponent":
        low = max(0.0, value - _STEP)
        return low, low + 2.0 * _STEP
    return value * math.exp(-_STEP), min(value * math.exp(_STEP), sys.float_info.max)


def _scaling(parameter: str, points: Array, table: Table, tolerance: float) -> Scaling:
    """Exponents and fits of the quantities at each value and on either side of it."""
    n = points.size
    columns = {name: array.reshape(n, 3).copy() for name, array in table.quantities().items()}
    failures: dict[float, str] = {}
    for index, reason in sorted(table.reasons.items()):
        message = reason.removeprefix("ConvergenceError: ")
        failures.setdefault(float(points[index // 3]), message)
    lost = np.isin(points, list(failures))
    run = np.array([_log_run(parameter, value) for value in points.tolist()])
    abscissa = np.array([_abscissa(parameter, value) for value in points.tolist()])
    quantities: dict[str, Array] = {}
    exponents: dict[str, Array] = {}
    for name, array in columns.items():
        array[lost] = math.nan
        quantities[name] = array[:, 0]
        steps = [_log_ratio(high, low) for _, low, high in array.tolist()]
        exponents[name] = np.array(steps) / run
    fits, global_fits = fits_of(abscissa, quantities, exponents, tolerance)
    return Scaling(
        model=table.plan.model,
        rule=table.plan.rule,
        parameter=parameter,
        values=points,
        abscissa=abscissa,
        quantities=quantities,
        local_exponents=exponents,
        fits=fits,
        global_fits=global_fits,
        tolerance=tolerance,
        failures=failures,
        rtol=table.plan.request.rtol,
    )


def _abscissa(parameter: str, value: float) -> float:
    if parameter == "power_law.exponent":
        return math.exp(value) if value < 700.0 else math.inf
    return -math.expm1(-2.0 * value) if parameter == "t" else value


def _log_run(parameter: str, value: float) -> float:
    """The step in log P of a local exponent; nan where P no longer changes."""
    low, high = _beside(parameter, value)
    if parameter == "power_law.exponent":
        return high - low
    return _log_ratio(_abscissa(parameter, high), _abscissa(parameter, low)) or math.nan


def _log_ratio(high: float, low: float) -> float:
    if not (math.isfinite(high) and math.isfinite(low) and high > 0.0 and low > 0.0):
        return math.nan
    return math.log(high / low)
