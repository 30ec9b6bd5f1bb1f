r"""Parameters of a model from measured learning curves, by least squares.

With residuals r_i = (L(tau_i; theta) - y_i)/sigma_i and their exact Jacobian J in the logarithms of
the parameters theta (`derivatives`), the sum of squares is minimised by SciPy's trust-region
method. The covariance of the logarithms is (J^T J)^{-1}.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dmft_rf._arithmetic import ieee
from dmft_rf._convert import instance, number
from dmft_rf._frozen import FrozenDict
from dmft_rf._show import Shown, Table
from dmft_rf._stored import Arrays, Attributes, Stored
from dmft_rf._typing import Array
from dmft_rf.curves.derivatives import chosen, directions, required
from dmft_rf.curves.linearized import Linearized
from dmft_rf.curves.measured import Measured, measured
from dmft_rf.curves.solve import Solution, checked_rtol, solve
from dmft_rf.errors import ConvergenceError, ModelError
from dmft_rf.model.covariance import Covariance
from dmft_rf.model.score_model import ScoreModel, stored_model
from dmft_rf.rules.flow import GradientFlow, Ridge, Rule, checked_rule
from dmft_rf.rules.slopes import require_slopes
from dmft_rf.rules.stored import deterministic

#: what can be free in a fit
FREE = ("psi_p", "psi_n", "t", "scale", "weight_decay", "rate")
# numbers of a fit, and its arrays over the measured values
_QUALITY = ("chi2", "dof", "noise", "rate", "unit")
_POINTS = ("clock", "loss", "deviation", "fitted", "residuals")
# how far a parameter may move from where it starts, either way
_FARTHEST = 1e6
# standard deviation of a logarithm above which a direction is not determined; relative size of a
# singular value that is rounding; share of a parameter in a direction that is named
_LOOSE, _SINGULAR, _NAMED = 1.0, 1e-8, 0.1
# rates that are tried per decade where none is given
_PER_DECADE = 6


@ieee
@dataclass(frozen=True, eq=False, repr=False)
class Fit(Shown):
    """Parameters of a model that fit measured learning curves.

    Attributes
    ----------
    values, errors : dict
        Free parameters and their standard errors, by name.
    covariance : (n_free, n_free) array
        Of the parameters, in the order of ``values``. Close to the truth their logarithms are
        normal, with the covariance divided by the values.
    chi2, dof : float, int
        Sum of squared residuals, and values less parameters. Where no standard errors were given,
        all losses count as equally accurate relative to themselves, their relative error is
        ``noise`` = sqrt(chi2/dof), and the covariance is scaled by it.
    noise : float
        1 where standard errors were given.
    rate : float
        tau for each unit of the clock: of a step, or 1 for times.
    solution : Solution
        The fitted model, solved.
    rule : Rule
        As fitted.
    unit : str
        "steps" or "tau", what the clock counts.
    clock, curve, loss, deviation, fitted, residuals : (n,) arrays
        One entry for each measured value: time or step, "train" or "test", the loss and its
        standard error, the loss of the fitted model, and their difference over the error.
    """

    kind: ClassVar[str] = "fit"

    values: FrozenDict[str, float]
    errors: FrozenDict[str, float]
    covariance: Array
    chi2: float
    dof: int
    noise: float
    rate: float
    solution: Solution
    rule: Rule
    unit: str
    clock: Array
    curve: NDArray[np.str_]
    loss: Array
    deviation: Array
    fitted: Array
    residuals: Array

    @property
    def model(self) -> ScoreModel:
        """The fitted model."""
        model = self.solution.model
        assert isinstance(model, ScoreModel)
        return model

    @property
    @ieee
    def correlation(self) -> Array:
        """Correlation matrix of the parameters, (n_free, n_free)."""
        size = np.sqrt(np.diag(self.covariance))
        found: Array = self.covariance / np.multiply.outer(size, size)
        return found

    def stored(self) -> Stored:
        """What a file holds of the fit: parameters, what was measured, and the fitted model."""
        attributes, arrays = self.solution.stored()
        attributes |= self.rule.stored()[0]
        attributes |= {name: getattr(self, name) for name in _QUALITY}
        attributes["free"] = ",".join(self.values)
        for name, value in self.values.items():
            attributes |= {f"fitted_{name}": value, f"fitted_{name}_error": self.errors[name]}
        arrays |= {name: getattr(self, name) for name in (*_POINTS, "covariance")}
        return attributes, arrays | {"is_test": self.curve == "test"}

    def _about(self) -> str:
        each = (f"{name} = {v:.6g} +- {self.errors[name]:.2g}" for name, v in self.values.items())
        quality = f"chi2 = {self.chi2:.4g} for {self.dof}"
        if self.noise != 1.0:
            quality = f"relative error of a loss {self.noise:.2g}"
        return f"{', '.join(each)}; {quality}; {self.model.label}; {self.rule}"

    def _table(self) -> Table:
        rows, points, names = ("parameter",), ("point",), list(self.values)
        columns = {
            "value": (rows, np.array([self.values[name] for name in names])),
            "error": (rows, np.array([self.errors[name] for name in names])),
        }
        more: dict[str, tuple[Any, ...]] = {
            name: (points, getattr(self, name))
            for name in ("clock", "curve", "loss", "deviation", "fitted", "residuals")
        }
        more["covariance"] = (("parameter", "other"), self.covariance)
        quality = {"chi2": self.chi2, "dof": self.dof, "noise": self.noise, "rate": self.rate}
        return Table(rows, {"parameter": (rows, np.array(names))}, columns, more, quality)


@ieee
def fit(
    curves: Any,
    model: ScoreModel,
    free: str | Sequence[str] = ("psi_p", "psi_n", "rate"),
    rule: Rule | None = None,
    *,
    rate: float | None = None,
    rtol: float = 1e-8,
) -> Fit:
    r"""Fit a model to measured learning curves.

    Parameters
    ----------
    curves : mapping of columns, data frame, or result
        "tau" or "steps", and "train" or "test" or both, the losses per dimension as the theory
        counts them (1 for the zero network); "train_error" and "test_error" are standard errors
        of single values, independent of one another. NaN where nothing was measured. Of
        LearningCurves and FiniteCurves, and a run's ``Log``, the columns are known.
    model : ScoreModel
        What is fixed, and where free parameters start: within a factor of some 10 of the truth.
    free : str or sequence of str
        Of "psi_p", "psi_n", "t", "scale" (a factor of the covariance), "weight_decay" (of the rule,
        or the weight of Ridge) and "rate", tau for each step (or each unit of the given tau).
    rule : Rule
        GradientFlow() by default; GradientFlow(weight_decay) or Ridge(weight).
    rate : float, optional
        Where the rate starts, or what it is if it is not free. By default a free one starts at the
        best of a scan, and another is 1, where the clock is tau.
    rtol : float
        Accuracy of the solutions.

    Returns
    -------
    Fit

    Raises
    ------
    ModelError
        If an argument is none of these, there are no more values than parameters, or the curves do
        not determine the parameters: the message names the direction along which they stay the
        same. As `derivatives` does for models and rules that have none.
    ConvergenceError
        If no minimum is found, or a model on the way cannot be solved.

    Notes
    -----
    Source: docs/theory.md, section 19. Errors are those of the noise alone: a finite network
    differs from the limit by about 1/d besides.

    Examples
    --------
    >>> import numpy as np
    >>> from dmft_rf import ScoreModel, fit, solve
    >>> truth = solve(ScoreModel(t=0.1, psi_p=8, psi_n=4), rtol=1e-8)
    >>> steps = np.geomspace(10, 1e6, 20)
    >>> exact = truth.learning_curves(0.05 * steps)
    >>> run = {"steps": steps, "train": exact.train, "test": exact.test}
    >>> found = fit(run, ScoreModel(t=0.1, psi_p=16, psi_n=2))
    >>> {name: round(value, 6) for name, value in found.values.items()}
    {'psi_p': 8.0, 'psi_n': 4.0, 'rate': 0.05}
    """
    data = measured(curves)
    stated = required(instance(model, ScoreModel, "model", "ScoreModel(0.1, 8, 4)"))
    rule, rtol = checked_rule(rule), checked_rtol(rtol)
    require_slopes(rule)
    names = _free(free, rule)
    if data.loss.size <= len(names):
        raise ModelError(
            f"curves hold {data.loss.size} values for {len(names)} free parameters; more are needed"
        )
    if rate is not None:
        rate = number(rate, "rate", above=0.0)
    elif "rate" in names:
        rate = _scanned(data, stated, rule, rtol)
    elif data.steps:
        raise ModelError("rate must be given or free where the clock counts steps")
    problem = _Problem(data, stated, rule, names, 1.0 if rate is None else rate, rtol)
    return problem.solved()


def stored_fit(attributes: Attributes, arrays: Arrays) -> Fit:
    """The fit of `Fit.stored`, its model solved again; KeyError if it is not whole."""
    names = attributes["free"].split(",")
    model = stored_model(attributes, arrays)
    numbers: dict[str, Any] = {name: attributes[name] for name in _QUALITY}
    points: dict[str, Any] = {name: arrays[name] for name in _POINTS}
    return Fit(
        values=FrozenDict({name: attributes[f"fitted_{name}"] for name in names}),
        errors=FrozenDict({name: attributes[f"fitted_{name}_error"] for name in names}),
        covariance=arrays["covariance"],
        **numbers,
        solution=solve(model, attributes["rtol"], compress=False),
        rule=deterministic(attributes),
        curve=np.where(arrays["is_test"], "test", "train"),
        **points,
    )


class _Problem:
    """Residuals and their Jacobian in the logarithms of the free parameters, over the start."""

    def __init__(
        self, data: Measured, model: ScoreModel, rule: Rule, names: tuple[str, ...], rate: float,
        rtol: float,
    ):  # fmt: skip
        self.data, self.model, self.rule, self.names = data, model, rule, names
        self.rate, self.rtol = rate, rtol
        self.times, self.at = np.unique(data.clock, return_inverse=True)
        self._last: tuple[bytes, Any] = (b"", None)
        self._evaluate(np.zeros(len(names)))  # what has no derivatives says so at once

    def solved(self) -> Fit:
        from scipy.optimize import least_squares

        most = math.log(_FARTHEST)
        found = least_squares(
            lambda u: self._evaluate(u)[0], np.zeros(len(self.names)),
            jac=lambda u: self._evaluate(u)[1], bounds=(-most, most), x_scale="jac",
            xtol=1e-9, ftol=1e-9, gtol=1e-9, max_nfev=100,
        )  # fmt: skip
        residuals, jacobian, solution, rule, rate, losses = self._evaluate(found.x)
        dof = residuals.size - len(self.names)
        chi2 = float(residuals @ residuals)
        noise = 1.0 if self.data.known else math.sqrt(chi2 / dof)
        self._require_determined(jacobian, found.x, noise)
        if not found.success:
            raise ConvergenceError(
                f"no least squares of {', '.join(self.names)} after {found.nfev} models; start "
                "from a model that is closer to the curves",
                residual=chi2,
            )
        values = self._values(found.x)
        scale = np.array(list(values.values()))
        log_covariance = noise**2 * np.linalg.inv(jacobian.T @ jacobian)
        covariance = log_covariance * np.multiply.outer(scale, scale)
        errors = dict(zip(self.names, np.sqrt(np.diag(covariance)).tolist(), strict=True))
        data, off = self.data, -residuals
        unit = "steps" if data.steps else "tau"
        return Fit(
            FrozenDict(values), FrozenDict(errors), covariance, chi2, dof, noise, rate, solution,
            rule, unit, data.clock, data.curve, data.loss, noise * data.deviation, losses,
            off / noise if noise > 0.0 else off,
        )  # fmt: skip

    def _values(self, u: Array) -> dict[str, float]:
        factors = dict(zip(self.names, np.exp(u).tolist(), strict=True))
        start = {"scale": 1.0, "weight_decay": self.rule.decay, "rate": self.rate}
        return {
            name: factor * (start[name] if name in start else getattr(self.model, name))
            for name, factor in factors.items()
        }

    def _evaluate(self, u: Array) -> Any:
        """Residuals, Jacobian, solution, rule, rate and losses at logarithms ``u``."""
        key = u.tobytes()
        if self._last[0] != key:
            self._last = key, self._linearized(self._values(u))
        return self._last[1]

    def _linearized(self, values: dict[str, float]) -> Any:
        changes: dict[str, Any] = {
            name: values[name] for name in ("psi_p", "psi_n", "t") if name in values
        }
        if "scale" in values:
            assert isinstance(self.model.covariance, Covariance)
            changes["covariance"] = self.model.covariance.scaled(values["scale"])
        rule, rate = self.rule, values.get("rate", self.rate)
        if "weight_decay" in values:
            decay = values["weight_decay"]
            rule = Ridge(decay) if isinstance(rule, Ridge) else GradientFlow(decay)
        model = required(self.model.replace(**changes) if changes else self.model)
        solution, tau = solve(model, self.rtol, compress=False), rate * self.times
        losses = Linearized(solution.nodes, model, tau, rule)
        train = self.data.curve == "train"
        value = np.where(
            train, losses.values.train.value[self.at], losses.values.test.value[self.at]
        )
        columns = []
        for name in self.names:
            slope = losses.along(next(directions(model, "tau" if name == "rate" else name)))
            each = np.where(train, slope.train.value[self.at], slope.test.value[self.at])
            if name == "rate":
                factor: Any = np.where(np.isinf(tau), 0.0, tau)[self.at]
            else:
                factor = 1.0 if name == "scale" else values[name]
            columns.append(each * factor)
        weight = 1.0 / self.data.deviation
        jacobian = np.stack(columns, axis=1) * weight[:, None]
        return (value - self.data.loss) * weight, jacobian, solution, rule, rate, value

    def _require_determined(self, jacobian: Array, u: Array, noise: float) -> None:
        """ModelError if the curves stay the same along a direction, within their noise."""
        _, sizes, directions = np.linalg.svd(jacobian, full_matrices=False)
        direction = directions[-1]
        at_end = np.abs(u) > 0.99 * math.log(_FARTHEST)
        loose = sizes[-1] <= _SINGULAR * sizes[0] or noise > _LOOSE * sizes[-1]
        if at_end.any():
            direction = np.where(at_end, 1.0, 0.0)
        if not loose and not at_end.any():
            return
        direction = direction * np.sign(direction[np.argmax(np.abs(direction))])
        along = " ".join(
            name if len(self.names) == 1 or abs(power) > 1.0 - 1e-3 else f"{name}^{power:.2f}"
            for name, power in zip(self.names, direction, strict=True)
            if abs(power) > _NAMED
        )
        raise ModelError(
            f"free is {', '.join(self.names)}; the curves do not determine {along}: they stay the "
            "same within their noise while it changes by a factor of 3; fix one of these, or "
            "measure more"
        )


def _free(free: Any, rule: Rule) -> tuple[str, ...]:
    names = chosen(free, FREE, "free")
    if "weight_decay" in names and not rule.decay > 0.0:
        raise ModelError(
            f"weight_decay is free and starts from the {rule.decay!r} of {rule}; it must start "
            "above 0: rule=GradientFlow(weight_decay=0.01)"
        )
    return names


def _scanned(data: Measured, model: ScoreModel, rule: Rule, rtol: float) -> float:
    """The rate at which the curves of ``model`` as stated come closest to the data."""
    solution = solve(model, rtol, compress=False)
    low, high = solution.spectrum.ends
    clock = data.clock[np.isfinite(data.clock) & (data.clock > 0.0)]
    if not clock.size:
        return 1.0
    first, last = 0.01 / (model.rate * high), 100.0 / (model.rate * max(low, 1e-10 * high))
    count = 2 + int(_PER_DECADE * math.log10(last / first))
    tau = np.geomspace(first, last, count)
    known = solution.learning_curves(tau, rule)
    losses = {name: getattr(known, name) for name in ("train", "test")}
    rates = np.geomspace(first / clock.max(), last / clock.min(), 2 * count)
    log_tau, best = np.log(tau), (math.inf, 1.0)
    with np.errstate(divide="ignore"):
        log_clock = np.log(data.clock)
    for rate in rates.tolist():
        at = log_clock + math.log(rate)
        value = np.select(
            [data.curve == name for name in losses],
            [np.interp(at, log_tau, loss) for loss in losses.values()],
        )
        misfit = float(np.sum(((value - data.loss) / data.deviation) ** 2))
        best = min(best, (misfit, rate))
    return best[1]
