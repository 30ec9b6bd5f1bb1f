"""What a sweep computes: points in parameters of the model and the rule, and their identity.

A parameter has a name: a field of ScoreModel ("t", "psi_p", "activation", ...), a field of the
training rule ("weight_decay", "momentum", ...), or an argument of a constructor of Covariance,
written with a dot ("power_law.exponent", "power_law.atoms", "isotropic.scale").
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from dmft_rf._arithmetic import lazy
from dmft_rf._convert import instance, shown
from dmft_rf.errors import ModelError, meaning
from dmft_rf.model.activation import Activation
from dmft_rf.model.coefficients import deviation
from dmft_rf.model.covariance import Covariance
from dmft_rf.model.mixture import Mixture
from dmft_rf.model.probes import scale_of
from dmft_rf.model.score_model import ScoreModel
from dmft_rf.rules.flow import Rule
from dmft_rf.rules.stochastic import StochasticGradientDescent, TrainingRule
from dmft_rf.sweeps.axes import listed, points, value_of_family, value_of_model, value_of_rule
from dmft_rf.sweeps.request import Request

Values: TypeAlias = dict[str, Any]

#: constructors of Covariance whose arguments can be swept
FAMILIES = ("power_law", "isotropic")


class Plan:
    """The points of a sweep and what is asked of each.

    Parameters
    ----------
    model, rule
        What every point starts from.
    over : mapping or sequence of mappings
        A grid: values by name of parameter, in the order of the axes; a value that is no sequence
        is the same at every point. Or a list of points, each a mapping with the same names. The
        values of an axis may come in anything one-dimensional: a list, an array, a pandas Series.
    request : Request
        What is computed at each point.

    Attributes
    ----------
    names : tuple of str
        Swept parameters, in order.
    axes : dict of tuples
        A grid: the values along each axis. A list: the value of each point.
    shape : tuple of int
        Of the grid, or (number of points,).
    is_list : bool

    Raises
    ------
    ModelError
        If a name is unknown, a value is none of this parameter, or there is no point. Whether a
        model exists at a point is found out there.
    """

    def __init__(
        self,
        model: ScoreModel,
        rule: TrainingRule,
        over: Mapping[str, Any] | Iterable[Mapping[str, Any]],
        request: Request,
    ):
        # made again, so that the fingerprint and the numbers are of the same activation
        self.model = replace(instance(model, ScoreModel, "model", "ScoreModel(0.01, 64, 8)"))
        self.rule: TrainingRule = rule
        instance(rule, (Rule, StochasticGradientDescent), "rule", "GradientFlow()")
        self.request = instance(request, Request, "request", 'Request(("tau_mem",))')
        self.fixed: Values = {}
        self.axes: dict[str, tuple[Any, ...]] = {}
        self.is_list = not isinstance(over, Mapping)
        if isinstance(over, Mapping):
            for name, values in over.items():
                along = listed(values, str(name))
                if along is None:
                    self.fixed[name] = self._value(name, values)
                else:
                    self.axes[name] = tuple(self._value(name, value) for value in along)
            self.shape: tuple[int, ...] = tuple(len(values) for values in self.axes.values())
        else:
            rows = points(over)
            for name in rows[0] if rows else ():
                self.axes[name] = tuple(self._value(name, row[name]) for row in rows)
            self.shape = (len(rows),)
        self.names = tuple(self.axes)
        if self.size == 0 or not self.axes:
            empty = next((f"; {name} has none" for name, v in self.axes.items() if not v), "")
            raise ModelError(f"a sweep needs at least one parameter with at least one value{empty}")
        self._check_together()

    @property
    def size(self) -> int:
        """Number of points."""
        return math.prod(self.shape)

    def values(self, index: int) -> Values:
        """Swept parameters of a point, by name; points are numbered in C order."""
        if self.is_list:
            return {name: values[index] for name, values in self.axes.items()}
        where = np.unravel_index(index, self.shape)
        return {
            name: values[int(i)] for (name, values), i in zip(self.axes.items(), where, strict=True)
        }

    def _value(self, name: Any, value: Any) -> Any:
        """A checked value of this parameter."""
        home = _home(name, self.model, self.rule)
        if home == "model":
            return value_of_model(name, value)
        if home == "rule":
            return value_of_rule(name, value, self.rule)
        return value_of_family(name, value)

    def _check_together(self) -> None:
        """Refuse parameters that exclude one another, and quantities that a rule does not have."""
        given = [*self.fixed, *self.axes]
        laws = {name.partition(".")[0] for name in given if "." in name}
        laws |= {name for name in given if name == "covariance"}
        if len(laws) > 1:
            raise ModelError(
                f"{' and '.join(sorted(laws))} exclude one another: there is one covariance"
            )
        if "power_law" in laws and "power_law.exponent" not in given:
            raise ModelError("a sweep over power_law needs power_law.exponent, a value or values")
        of_rule = {
            name: values
            for name, values in {**{n: (v,) for n, v in self.fixed.items()}, **self.axes}.items()
            if _home(name, self.model, self.rule) == "rule"
        }
        first = replace(self.rule, **{name: values[0] for name, values in of_rule.items()})
        self.request.check_rule(first)
        for name, values in of_rule.items():
            for value in dict.fromkeys(values):
                self.request.check_rule(replace(first, **{name: value}))

    @property
    def most_atoms(self) -> int:
        """Largest number of eigenvalues of a covariance in the sweep, over all of its classes."""
        together = {**{name: (value,) for name, value in self.fixed.items()}, **self.axes}
        if "power_law.atoms" in together:
            return max(together["power_law.atoms"])
        if any(name.startswith("power_law.") for name in together):
            return 256
        if "covariance" in together:
            return max(value.eigenvalues.size for value in together["covariance"])
        return self.model.covariance.eigenvalues.size

    @lazy
    def fingerprint(self) -> str:
        """Identity of everything that decides a number of this sweep, as hexadecimal digits."""
        what = {
            "model": _described(self.model),
            "rule": _described(self.rule),
            "fixed": _described(self.fixed),
            "axes": {
                name: [_described(value) for value in axis] for name, axis in self.axes.items()
            },
            "order": list(self.axes),
            "list": self.is_list,
            "request": _described(self.request),
        }
        if far := self._far_values():
            what["far"] = far
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]

    def _far_values(self) -> list[str]:
        """Identities of the activations where the plan's Gaussians are unusually wide or narrow."""
        given = {**{name: (value,) for name, value in self.fixed.items()}, **self.axes}
        activations = given.get("activation", (self.model.activation,))
        means = [mean for law in given.get("covariance", (self.model.covariance,))
                 for mean in _means(law)]  # fmt: skip
        for name in ("isotropic.scale", "power_law.mean"):
            means = list(given.get(name, means))
        if "power_law.exponent" in given and "power_law.mean" not in given:
            means = [1.0]
        times = given.get("t", (self.model.t,))
        deviations = {
            scale_of(found): found
            for mean in dict.fromkeys(means)
            for found in (deviation(t, mean) for t in dict.fromkeys(times))
        }
        seen = {one.values_for(found) for one in activations for found in deviations.values()}
        return sorted(seen - {""})


def _means(law: Covariance | Mixture) -> list[float]:
    """Tr Sigma/d of each class."""
    if isinstance(law, Covariance):
        return [law.mean]
    return [float(law.weights @ eigenvalues) for eigenvalues in law.eigenvalues]


def apply(model: ScoreModel, rule: TrainingRule, values: Values) -> tuple[ScoreModel, TrainingRule]:
    """Return ``model`` and ``rule`` with parameters changed; ModelError if one is not allowed."""
    changes: dict[str, Values] = {}
    for name, value in values.items():
        changes.setdefault(_home(name, model, rule), {})[name.rpartition(".")[2]] = value
    for family in FAMILIES:
        if arguments := changes.pop(family, None):
            made = getattr(Covariance, family)(**arguments)
            changes.setdefault("model", {})["covariance"] = made
    if "model" in changes:
        model = replace(model, **changes["model"])
    if "rule" in changes:
        rule = replace(rule, **changes["rule"])
    return model, rule


def _home(name: Any, model: ScoreModel, rule: TrainingRule) -> str:
    """ "model", "rule" or the family of covariances that has this parameter."""
    if not isinstance(name, str):
        raise ModelError(f"{shown(name)} names no parameter; names are strings")
    family, dot, argument = name.partition(".")
    if dot and family in FAMILIES and argument in _arguments(family):
        return family
    for home, owner in (("model", model), ("rule", rule)):
        if name in {f.name for f in fields(owner)}:
            return home
    allowed = [f.name for f in fields(model)]
    allowed += [f.name for f in fields(rule)]
    allowed += [f"{family}.{argument}" for family in FAMILIES for argument in _arguments(family)]
    raise ModelError(
        f"{shown(name)} is no parameter of this sweep; {meaning(name, allowed)}it has "
        f"{', '.join(allowed)}"
    )


def _arguments(family: str) -> list[str]:
    return list(inspect.signature(getattr(Covariance, family)).parameters)


# where a rule of the user's own is looked at
_EIGENVALUES = np.geomspace(1e-4, 1e2, 13)
_TIMES = np.array([0.0, 1e-2, 1.0, 1e2, 1e4, math.inf])


def _behaviour(rule: Rule) -> str:
    """What a rule of the user's own does: its name is no identity."""
    with np.errstate(all="ignore"):
        found = [rule.filter(_EIGENVALUES, _TIMES, 1.0), rule.memory(_EIGENVALUES, _TIMES, 1.0)]
    return " ".join(f"{value:.8e}" for part in found for value in np.ravel(part).tolist())


def _described(value: Any) -> Any:
    """What JSON can hold of a value, the same for equal values."""
    if isinstance(value, Activation):
        return ["activation", value.name, [repr(kink) for kink in value.kinks], value.values]
    if isinstance(value, Rule) and not type(value).__module__.startswith("dmft_rf."):
        return [type(value).__name__, _behaviour(value), _fields(value)]
    if isinstance(value, Covariance):
        law = value.eigenvalues.tobytes() + value.weights.tobytes()
        return ["covariance", hashlib.sha256(law).hexdigest(), value.dimension]
    if isinstance(value, np.ndarray):
        return ["array", list(value.shape), hashlib.sha256(value.tobytes()).hexdigest()]
    if is_dataclass(value):
        return [type(value).__name__, _fields(value)]
    if callable(value):  # noise as a function of tau
        return ["function", [f"{v:.8e}" for v in np.ravel(value(_TIMES)).tolist()]]
    if isinstance(value, Mapping):
        return {str(key): _described(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_described(item) for item in value]
    if isinstance(value, str | bool) or value is None:
        return value
    return repr(float(value))


def _fields(value: Any) -> dict[str, Any]:
    return {f.name: _described(getattr(value, f.name)) for f in fields(value) if f.compare}
