"""Learning curves of many models at the same times, in arrays over the models.

Threads share the models. What is compiled, and sums over many nodes, run beside one another; what
stands between them is Python, of which only one thread runs at a time. Under gradient flow a model
is one compiled call and next to no Python (`fused`).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from dmft_rf._arithmetic import ieee
from dmft_rf._convert import flag, floats, instance, one_of, shown, whole
from dmft_rf._show import Shown, Table
from dmft_rf._typing import Array, Mask
from dmft_rf.curves.fused import Statement, plain_flow, quick_curves, stated_model
from dmft_rf.curves.losses import LOSSES, LearningCurves, checked_times
from dmft_rf.curves.solve import checked_rtol, solve
from dmft_rf.errors import ConvergenceError, ModelError, reason_of
from dmft_rf.images.image_model import ImageModel
from dmft_rf.model.feature_model import FeatureModel
from dmft_rf.model.score_model import ScoreModel
from dmft_rf.rules.flow import Rule, checked_rule

MOST_THREADS = 256
# shape of the models, each by its number, and its statement for compiled calls
Given = tuple[
    tuple[int, ...],
    Callable[[int], FeatureModel],
    Callable[[int], tuple[Statement, float, float] | None],
]
# of what a mapping of parameters can hold: numbers, which may be arrays, and what they share
_NUMBERS, _SHARED = ("t", "psi_p", "psi_n", "noise_draws"), ("activation", "covariance")


@ieee
@dataclass(frozen=True, eq=False, repr=False)
class ManyCurves(Shown):
    """Losses per dimension of many models along training, in arrays of shape models + times.

    ``shape`` is that of the models, (n,) for a list of n, and what follows is of shape
    shape + tau.shape, nan for a model that has no curves.

    Attributes
    ----------
    tau
        Gradient-flow time, as in `LearningCurves`.
    train, test, score_error, empirical_error, weight_norm
        As in `LearningCurves`.
    error
        Estimated absolute errors of all of these and of generalization_gap, by name.
    failures : dict
        Why a model has no curves, by its place, a tuple of as many numbers as ``shape`` has.
    rule
        What all of them were trained by.
    """

    curves: ClassVar[tuple[str, ...]] = LearningCurves.curves

    tau: Array
    train: Array
    test: Array
    score_error: Array
    empirical_error: Array
    weight_norm: Array
    error: dict[str, Array]
    failures: dict[tuple[int, ...], str]
    rule: Rule

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the models."""
        return self.test.shape[: self.test.ndim - self.tau.ndim]

    @property
    @ieee
    def generalization_gap(self) -> Array:
        """L_test - L_train."""
        return self.test - self.train

    @property
    def solved(self) -> Mask:
        """Which models have curves, of shape ``shape``."""
        found = np.ones(self.shape, np.bool_)
        for place in self.failures:
            found[place] = False
        return found

    def _about(self) -> str:
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return f"{math.prod(self.shape)} models at {self.tau.size} times{failed}; {self.rule}"

    def _table(self) -> Table:
        tau = np.atleast_1d(self.tau)
        models, times = _axes("model", len(self.shape)), _axes("time", tau.ndim)
        held = {name: getattr(self, name) for name in self.curves}
        held |= {f"{name}_error": error for name, error in self.error.items()}
        columns = {
            name: (models + times, values.reshape(self.shape + tau.shape))
            for name, values in held.items()
        }
        numbered = {
            name: ((name,), np.arange(n)) for name, n in zip(models, self.shape, strict=True)
        }
        return Table(models + times, {**numbered, "tau": (times, tau)}, columns)


def _axes(name: str, count: int) -> tuple[str, ...]:
    return (name,) if count == 1 else tuple(f"{name}_{i}" for i in range(count))


@ieee
def learning_curves_many(
    models: Iterable[FeatureModel] | Mapping[str, Any],
    tau: ArrayLike,
    rule: Rule | None = None,
    *,
    rtol: float | None = None,
    compress: bool | None = None,
    threads: int | None = None,
) -> ManyCurves:
    """Learning curves of many models at the same times under one training rule.

    A model that cannot be stated or solved costs its own curves only: they are nan, and
    ``failures`` says why.

    Parameters
    ----------
    models : list of ScoreModel or ImageModel, or mapping
        Either the models, or the arguments of `ScoreModel` by name: t, psi_p, psi_n and
        noise_draws as numbers or arrays that broadcast against one another, activation and
        covariance as those of all models.
    tau : array, any shape
        Gradient-flow time, >= 0; may hold 0 and inf.
    rule : Rule
        As in ``Solution.learning_curves``, mini-batch SGD excepted; GradientFlow() by default.
    rtol : float, optional
        As in ``solve``.
    compress : bool, optional
        As in ``solve``: for thousands of eigenvalues.
    threads : int, optional
        How many models are computed at the same time; by default 1, at most as many as there are
        processors. Values do not depend on it.

    Returns
    -------
    ManyCurves
        The numbers of ``solve(model, rtol).learning_curves(tau, rule)`` of each model: the same to
        the last bit, but where ``solve`` added nodes (for times that need not be among ``tau``),
        which differ by less than the errors of both.

    Raises
    ------
    ModelError
        If an argument is none of these: what belongs to all models, not to one.

    Examples
    --------
    >>> from dmft_rf import learning_curves_many
    >>> models = {"t": 0.1, "psi_p": [8.0, 3.0, -1.0], "psi_n": [2.0, 4.0, 4.0]}
    >>> many = learning_curves_many(models, [1.0, 10.0])
    >>> print(many.test.round(3))
    [[0.958 0.843]
     [0.959 0.853]
     [  nan   nan]]
    >>> print(many.failures)
    {(2,): 'ModelError: psi_p is -1.0; it must be a number > 0, or inf'}
    """
    times, rule = checked_times(tau), checked_rule(rule)
    rtol = None if rtol is None else checked_rtol(rtol)
    if compress is not None:
        flag(compress, "compress")
    threads = 1 if threads is None else whole(threads, "threads", most=MOST_THREADS)
    given = _from_parameters(models) if isinstance(models, Mapping) else _from_list(models)
    shape, made, stated = given
    count = math.prod(shape)
    names = (*LOSSES, "generalization_gap")
    values = {name: np.full((count, *times.shape), math.nan) for name in LOSSES}
    errors = {name: np.full((count, *times.shape), math.nan) for name in names}
    failures: dict[int, str] = {}

    quick = plain_flow(rule) and not compress
    flat = np.array(times.ravel())

    def compute(i: int) -> None:
        try:
            found = quick_curves(stated(i), flat, rule.decay, rtol) if quick else None
            if found is not None:
                for k, name in enumerate(LOSSES):
                    values[name][i] = found[0, k].reshape(times.shape)
                    errors[name][i] = found[1, k].reshape(times.shape)
                errors["generalization_gap"][i] = errors["train"][i] + errors["test"][i]
                return
            curves = solve(made(i), rtol, compress=compress).learning_curves(times, rule)
        except (ModelError, ConvergenceError) as error:
            failures[i] = reason_of(error)
            return
        for name in LOSSES:
            values[name][i] = getattr(curves, name)
        for name in names:
            errors[name][i] = curves.error[name]

    for_all(compute, count, threads)
    return ManyCurves(
        tau=times,
        **{name: array.reshape(shape + times.shape) for name, array in values.items()},
        error={name: array.reshape(shape + times.shape) for name, array in errors.items()},
        failures={
            tuple(map(int, np.unravel_index(i, shape))): failures[i] for i in sorted(failures)
        },
        rule=rule,
    )


def _from_list(models: Any) -> Given:
    """Shape of the models, and each by its number."""
    try:
        given = None if isinstance(models, str | FeatureModel) else list(models)
    except TypeError:  # it has no members
        given = None
    if given is None:
        raise ModelError(
            f"models is {shown(models)}; it must be a list of models, or a mapping of parameters "
            'such as {"t": 0.01, "psi_p": 64, "psi_n": [2, 4, 8]}'
        )
    stated = [
        instance(one, (ScoreModel, ImageModel), f"models[{i}]", "ScoreModel(0.01, 64, 8)")
        for i, one in enumerate(given)
    ]
    return (len(stated),), stated.__getitem__, lambda i: stated_model(stated[i])


def _from_parameters(parameters: Mapping[Any, Any]) -> Given:
    """Shape of the models, and each by its number, stated when it is asked for."""
    for name in parameters:
        one_of(name, (*_NUMBERS, *_SHARED), "models: a parameter")
    for name in _NUMBERS[:3]:
        if name not in parameters:
            raise ModelError(f"models has no {name}; t, psi_p and psi_n must be there")
    numbers = {
        name: floats(parameters[name], f"models: {name}", infinite=True)
        for name in _NUMBERS
        if name in parameters
    }
    shared: dict[str, Any] = {name: parameters[name] for name in _SHARED if name in parameters}
    try:
        shape = np.broadcast_shapes(*(values.shape for values in numbers.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {values.shape}" for name, values in numbers.items())
        raise ModelError(f"models holds arrays that do not fit together: {shapes}") from None
    flat = {name: np.broadcast_to(values, shape).ravel() for name, values in numbers.items()}
    ScoreModel(1.0, 1.0, 1.0, **shared)  # what all share is refused at once

    def made(i: int) -> FeatureModel:
        own: dict[str, Any] = {name: float(values[i]) for name, values in flat.items()}
        return ScoreModel(**own, **shared)

    known: dict[float, Statement | None] = {}
    exact = "noise_draws" not in flat

    def stated(i: int) -> tuple[Statement, float, float] | None:
        t, psi_p, psi_n = (float(flat[name][i]) for name in _NUMBERS[:3])
        if not (exact and t > 0.0 and 0.0 < psi_p < math.inf and 0.0 < psi_n < math.inf):
            return None
        if t not in known:
            known[t] = Statement.of(ScoreModel(t, 1.0, 1.0, **shared))
        one = known[t]
        return None if one is None else (one, psi_p, psi_n)

    return shape, made, stated


def for_all(compute: Callable[[int], None], count: int, threads: int) -> None:
    """``compute`` each number below ``count``; what it raises ends all threads."""
    if threads == 1:
        for i in range(count):
            compute(i)
        return
    ended = threading.Event()
    todo = iter(range(count))  # shared: its next is atomic

    def work() -> None:
        try:
            for i in todo:
                if ended.is_set():
                    return
                compute(i)
        except BaseException:
            ended.set()
            raise

    with ThreadPoolExecutor(threads) as pool:
        working = [pool.submit(work) for _ in range(threads)]
        try:
            for one in working:
                one.result()
        finally:
            ended.set()
