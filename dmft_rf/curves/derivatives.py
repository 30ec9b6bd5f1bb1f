r"""Derivatives of learning curves with respect to what a model and a rule are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from dmft_rf._arithmetic import ieee
from dmft_rf._convert import one_of
from dmft_rf._show import Shown, Table, over_times
from dmft_rf._stored import Arrays, Attributes, Stored
from dmft_rf._typing import Array
from dmft_rf.curves.linearized import Linearized
from dmft_rf.curves.losses import checked_times
from dmft_rf.curves.solve import Solution, solved
from dmft_rf.curves.tangents import Direction
from dmft_rf.errors import ModelError
from dmft_rf.model.activation import Activation
from dmft_rf.model.coefficient_slopes import coefficient_slopes
from dmft_rf.model.covariance import Covariance
from dmft_rf.model.feature_model import FeatureModel
from dmft_rf.model.score_model import ScoreModel, stored_model
from dmft_rf.rules.flow import Rule, checked_rule
from dmft_rf.rules.stored import deterministic

#: what curves can be differentiated with respect to
PARAMETERS = (
    "psi_p", "psi_n", "t", "weight_decay", "scale", "tau", "eigenvalues", "weights",
)  # fmt: skip
CURVES = ("train", "test", "generalization_gap", "score_error")


@ieee
@dataclass(frozen=True, eq=False, repr=False)
class Derivatives(Shown):
    """Derivatives of losses along training with respect to parameters.

    Each of the four curves is a dict of arrays by the name of the parameter, shaped like ``tau``;
    "eigenvalues" and "weights" have an axis of atoms in front.

    Attributes
    ----------
    tau
        Gradient-flow time, as it was asked for.
    train, test, generalization_gap, score_error
        d L_train/d(parameter), and so on.
    values : dict
        Where the derivatives are taken: the parameters themselves, "tau" being the times.
    error : dict
        Estimated absolute errors: ``error["test"]["psi_n"]``.
    rule, model
        What was trained, on what.
    """

    kind: ClassVar[str] = "derivatives"
    curves: ClassVar[tuple[str, ...]] = CURVES

    tau: Array
    train: dict[str, Array]
    test: dict[str, Array]
    generalization_gap: dict[str, Array]
    score_error: dict[str, Array]
    values: dict[str, Array]
    error: dict[str, dict[str, Array]]
    rule: Rule
    model: ScoreModel

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(self.train)

    @ieee
    def logarithmic(self, curve: str) -> dict[str, Array]:
        """Parameter times derivative: what a relative change of one makes of the curve.

        Parameters
        ----------
        curve : {"train", "test", "generalization_gap", "score_error"}
        """
        found: dict[str, Array] = getattr(self, one_of(curve, CURVES, "a curve"))
        out = {}
        for name, slope in found.items():
            value = self.values[name]
            if name == "tau":  # the curves are flat at inf
                value = np.where(np.isinf(value), 0.0, value)
            elif value.ndim:
                value = value.reshape(-1, *[1] * self.tau.ndim)
            out[name] = value * slope
        return out

    def stored(self) -> Stored:
        """What a file holds of the derivatives: every one and its error, and what was trained."""
        attributes, arrays = self.model.stored()
        attributes |= self.rule.stored()[0] | {"of": ",".join(self.parameters)}
        arrays["tau"] = self.tau
        for curve in CURVES:
            for name, slope in getattr(self, curve).items():
                arrays[f"{curve}_by_{name}"] = slope
                arrays[f"{curve}_by_{name}_error"] = self.error[curve][name]
        return attributes, arrays

    def _about(self) -> str:
        return f"with respect to {', '.join(self.parameters)}; {self.model.label}; {self.rule}"

    def _table(self) -> Table:
        dims = over_times(self.tau)
        columns = {}
        for curve in CURVES:
            for what, arrays in ((curve, getattr(self, curve)), ("error", self.error[curve])):
                suffix = "" if what == curve else "_error"
                for name, array in arrays.items():
                    front = ("atom",) if array.ndim > self.tau.ndim else ()
                    columns[f"{curve}_{name}{suffix}"] = ((*front, *dims), array)
        return Table(dims, {"tau": (dims, self.tau)}, columns)


@ieee
def derivatives(
    solution: Solution,
    tau: ArrayLike,
    of: str | Sequence[str] = ("psi_p", "psi_n", "t"),
    rule: Rule | None = None,
) -> Derivatives:
    r"""Derivatives of the learning curves of a solved model with respect to its parameters.

    By the implicit function theorem on the nodes of the solution: exact to the accuracy of the
    curves, less a digit or two, where differences of two solutions lose half of the digits.

    Parameters
    ----------
    solution : Solution
        Of a ScoreModel with one class of data, noise that is averaged exactly and finite psi_p.
    tau : array, any shape
        Gradient-flow time, >= 0; may hold 0 and inf.
    of : str or sequence of str
        "psi_p", "psi_n", "t" (everything else fixed; the activation's coefficients follow);
        "weight_decay" (of Ridge its weight); "scale", a factor of the covariance, at 1; "tau";
        "eigenvalues", each of them; "weights", of each atom, the others giving way in proportion.
    rule : Rule
        GradientFlow() by default; GradientFlow(weight_decay) or Ridge(weight), from A = 0.

    Returns
    -------
    Derivatives

    Raises
    ------
    ModelError
        If a name is none of these, the rule is another, the model has several classes of data, a
        finite number of noise draws or infinite width.

    Notes
    -----
    Source: docs/theory.md, section 19. Every eigenvalue counts: a compressed solution is solved
    anew with all of them. Coefficients of the activation and their derivatives count as exact;
    they are good to 1e-11 or better.

    Examples
    --------
    >>> from dmft_rf import ScoreModel, derivatives, solve
    >>> solution = solve(ScoreModel(t=0.1, psi_p=8, psi_n=4))
    >>> slopes = derivatives(solution, [10.0, 1000.0], of=("psi_n", "tau"))
    >>> bool(slopes.test["psi_n"][1] < 0.0 < slopes.test["tau"][1])  # more data, later stopping
    True
    """
    stated, names = required(solved(solution, "derivatives").model), chosen(of, PARAMETERS, "of")
    rule, times = checked_rule(rule), checked_times(tau)
    losses = Linearized(solution.uncompressed.nodes, stated, times.ravel(), rule)
    slopes: dict[str, dict[str, Array]] = {curve: {} for curve in CURVES}
    errors: dict[str, dict[str, Array]] = {curve: {} for curve in CURVES}
    for name in names:
        found = [losses.along(d) for d in directions(stated, name)]
        many = name in ("eigenvalues", "weights")
        shape = (len(found), *times.shape) if many else times.shape
        parts = {
            curve: [getattr(one, curve) for one in found]
            for curve in ("train", "test", "score_error")
        }
        for curve, each in parts.items():
            slopes[curve][name] = np.stack([e.value for e in each]).reshape(shape)
            errors[curve][name] = np.stack([e.error for e in each]).reshape(shape)
        slopes["generalization_gap"][name] = slopes["test"][name] - slopes["train"][name]
        errors["generalization_gap"][name] = errors["test"][name] + errors["train"][name]
    values = {name: _value(stated, rule, times, name) for name in names}
    return Derivatives(times, **slopes, values=values, error=errors, rule=rule, model=stated)


def required(model: FeatureModel) -> ScoreModel:
    """A model whose curves have derivatives here; ModelError otherwise."""
    one = isinstance(model, ScoreModel) and isinstance(model.covariance, Covariance)
    if one and np.isfinite(model.psi_p) and model.closed_form:
        assert isinstance(model, ScoreModel)
        return model
    raise ModelError(
        f"derivatives are not known for {model}; they are for a ScoreModel of a Covariance with "
        "finite psi_p and noise_draws=math.inf"
    )


def chosen(value: Any, options: Sequence[str], name: str) -> tuple[str, ...]:
    """One name or several of ``options``, each once; ModelError otherwise."""
    several = not isinstance(value, str) and isinstance(value, Sequence) and len(value)
    wanted = tuple(value) if several else (value,)
    return tuple(dict.fromkeys(one_of(each, options, name) for each in wanted))


def _value(model: ScoreModel, rule: Rule, times: Array, name: str) -> Array:
    """Where the derivative with respect to ``name`` is taken."""
    if name == "tau":
        return times
    if name == "eigenvalues":
        return model.covariance.eigenvalues
    if name == "weights":
        return model.weights
    number = {"scale": 1.0, "weight_decay": rule.decay}
    return np.array(number[name] if name in number else getattr(model, name))


def stored_derivatives(attributes: Attributes, arrays: Arrays) -> Derivatives:
    """The derivatives of `Derivatives.stored`; KeyError if something of them is missing."""
    rule, model = deterministic(attributes), stored_model(attributes, arrays)
    names, tau = attributes["of"].split(","), arrays["tau"]
    return Derivatives(
        tau,
        **{curve: {name: arrays[f"{curve}_by_{name}"] for name in names} for curve in CURVES},
        values={name: _value(model, rule, tau, name) for name in names},
        error={
            curve: {name: arrays[f"{curve}_by_{name}_error"] for name in names} for curve in CURVES
        },
        rule=rule,
        model=model,
    )


def directions(model: ScoreModel, name: str) -> Iterator[Direction]:
    """What moves with a parameter; one direction for each atom of "eigenvalues" and "weights"."""
    lam, w = model.covariance.eigenvalues, model.weights
    still = np.zeros(lam.size)
    if name == "psi_p":
        yield Direction(still, still, psi_p=1.0, log_rate=-1.0 / model.psi_p)
    elif name == "psi_n":
        yield Direction(still, still, psi_n=1.0)
    elif name == "weight_decay":
        yield Direction(still, still, decay=1.0)
    elif name == "tau":
        yield Direction(still, still, tau=1.0)
    elif name == "t":
        noise = 2.0 * np.exp(-2.0 * model.t)
        yield _with_coefficients(model, still, still, 1.0, 0.0, float(noise))
    elif name == "scale":
        yield _with_coefficients(model, lam, still, 0.0, float(w @ lam))
    else:
        for i in range(lam.size):
            unit = np.zeros(lam.size)
            unit[i] = 1.0
            if name == "eigenvalues":
                yield _with_coefficients(model, unit, still, 0.0, float(w[i]))
            else:
                change = unit - w
                yield _with_coefficients(model, still, change, 0.0, float(change @ lam))


def _with_coefficients(
    model: ScoreModel, lam: Array, w: Array, t: float, sigma_x2: float, Delta_t: float = 0.0
) -> Direction:
    """Direction in which t and sigma_x^2 move, and the activation's coefficients with them."""
    c = model.coefficients
    assert isinstance(model.activation, Activation)
    slopes = coefficient_slopes(model.activation, model.t, model.covariance.mean, c)

    def along(pair: tuple[float, float]) -> float:
        return pair[0] * t + pair[1] * sigma_x2

    return Direction(
        lam, w, Delta_t=Delta_t, a2=2.0 * c.a * along(slopes.a), v2=along(slopes.v2),
        s2=along(slopes.s2), N=along(slopes.residual_variance), log_rate=Delta_t / c.Delta_t,
    )  # fmt: skip
