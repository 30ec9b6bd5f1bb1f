"""Scaling laws in the number of samples, on the samples themselves.

The models share the moments of their features, and threads share the models. n is whole: there is
no solution beside a point, so that the local exponent is the slope through the points on either
side of it.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._convert import one_of, whole
from dmft_rf._stored import Stored
from dmft_rf._typing import Array
from dmft_rf.curves.many import MOST_THREADS, for_all
from dmft_rf.curves.solve import Solution, checked_rtol, solve
from dmft_rf.curves.timescales import timescales
from dmft_rf.errors import ConvergenceError, ModelError, reason_of
from dmft_rf.images.image_model import ImageModel
from dmft_rf.rules.flow import Rule, checked_rule
from dmft_rf.rules.stochastic import TrainingRule
from dmft_rf.sweeps.axes import numbers
from dmft_rf.sweeps.campaign import Where
from dmft_rf.sweeps.power_laws import fits_of
from dmft_rf.sweeps.results import QUANTITIES, Scaling

#: what is followed along the samples
FOLLOWED = (*QUANTITIES, "test_min")


@dataclass(frozen=True, eq=False, repr=False)
class ImageScaling(Scaling):
    """Timescales of an `ImageModel` along numbers of samples.

    Attributes
    ----------
    routes : tuple of str
        "networks" or "equations", of each n.
    leverage_classes : int array (n,)
        Classes of the equations; 0 of networks, and where a point failed.
    model_error : array (n,)
        How far off final gap and times may be, relative: by equations what is to be expected of
        them (`ImageModel.model_error`), by networks the standard error of their gap; nan where a
        point failed.
    """

    model: ImageModel  # type: ignore[assignment]
    routes: tuple[str, ...]
    leverage_classes: NDArray[np.int64]
    model_error: Array

    def stored(self) -> Stored:
        """What a file holds of the scaling, with the route of each n."""
        attributes, arrays = super().stored()
        arrays |= {"leverage_classes": self.leverage_classes, "model_errors": self.model_error}
        return attributes, arrays


def image_scaling(
    model: ImageModel,
    parameter: str,
    values: Any,
    rule: TrainingRule,
    rtol: float | None,
    level: float,
    tolerance: float,
    where: Where,
) -> ImageScaling:
    """As `dmft_rf.sweeps.scaling.scaling`, over "n" of an `ImageModel`."""
    one_of(parameter, ("n",), "parameter of an ImageModel")
    flow = checked_rule(rule)
    rtol = model.usual_rtol if rtol is None else checked_rtol(rtol)
    if where.path is not None or where.executor is not None:
        raise ModelError(
            "path and executor are not there for an ImageModel, whose samples no file and no other "
            "process holds; save(path, result) keeps the result, and workers are threads"
        )
    threads = 1 if where.workers is None else whole(where.workers, "workers", most=MOST_THREADS)
    sizes = numbers(values, "n", least=1.0)
    if sizes.size < 3:
        raise ModelError(
            f"values of n are {sizes.tolist()}; a scaling law needs at least 3 different ones"
        )
    broken = sizes[sizes != np.rint(sizes)]
    if broken.size:
        raise ModelError(f"n is {float(broken[0])!r}; it must be a whole number")
    models = [model.replace(n=int(n)) for n in sizes]  # all are stated before one is solved
    model.prepare()
    quantities = {name: np.full(sizes.size, math.nan) for name in FOLLOWED}
    classes = np.zeros(sizes.size, np.int64)
    errors, failures = np.full(sizes.size, math.nan), dict[float, str]()
    done, lock = 0, threading.Lock()

    def compute(i: int) -> None:
        nonlocal done
        try:
            solution = solve(models[i], rtol)
            found = timescales(solution, level=level, rule=flow).values
            errors[i] = _model_error(solution, flow)
            if models[i].route != "networks":
                classes[i] = models[i].leverage_classes
            for name in FOLLOWED:
                quantities[name][i] = found[name]
        except (ModelError, ConvergenceError) as error:
            failures[float(sizes[i])] = reason_of(error)
        with lock:
            done += 1
            if where.progress is not None:
                where.progress(done, sizes.size)

    if where.progress is not None:
        where.progress(0, sizes.size)
    for_all(compute, sizes.size, threads)
    if len(failures) == sizes.size:
        raise ConvergenceError(f"no n could be solved: {failures[float(sizes[0])]}")
    exponents = {name: _slopes(sizes, one) for name, one in quantities.items()}
    fits, global_fits = fits_of(sizes, quantities, exponents, tolerance)
    return ImageScaling(
        model=model,
        rule=flow,
        parameter=parameter,
        values=sizes,
        abscissa=sizes,
        quantities=quantities,
        local_exponents=exponents,
        fits=fits,
        global_fits=global_fits,
        tolerance=tolerance,
        failures=dict(sorted(failures.items())),
        rtol=rtol,
        routes=tuple(one.route for one in models),
        leverage_classes=classes,
        model_error=errors,
    )


def _model_error(solution: Solution, rule: Rule) -> float:
    model = solution.model
    assert isinstance(model, ImageModel)
    if model.route != "networks":
        return model.model_error
    gap = solution.learning_curves(math.inf, rule).generalization_gap
    return float(solution.scatter(math.inf, rule)["generalization_gap"] / gap)


def _slopes(sizes: Array, values: NDArray[Any]) -> Array:
    """d ln values/d ln sizes through neighbouring points that are there; nan elsewhere."""
    slopes = np.full(sizes.size, math.nan)
    there = np.isfinite(values) & (values > 0.0)
    if there.sum() > 1:
        slopes[there] = np.gradient(np.log(values[there]), np.log(sizes[there]))
    return slopes
