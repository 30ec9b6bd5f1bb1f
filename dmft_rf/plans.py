"""What a sweep is to compute: points over parameters of the model and the rule, and an identity.

A parameter has a name: a field of ScoreModel ("t", "psi_p", "activation", ...), a field of the
training rule ("weight_decay", "momentum", ...), or an argument of a constructor of Covariance,
written with a dot ("power_law.exponent", "power_law.atoms", "isotropic.scale").
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeAlias

import numpy as np

from dmft_rf._arithmetic import lazy
from dmft_rf.activation import Activation
from dmft_rf.covariance import Covariance
from dmft_rf.errors import ModelError
from dmft_rf.model import ScoreModel
from dmft_rf.points import Request
from dmft_rf.rules import Rule

Values: TypeAlias = dict[str, Any]

#: constructors of Covariance whose arguments can be swept
FAMILIES = ("power_law", "isotropic")


@dataclass(frozen=True)
class Job:
    """Some points of a plan, with all that a worker needs to compute them."""

    model: ScoreModel
    rule: Rule
    request: Request
    points: tuple[tuple[int, Values], ...]


class Plan:
    """The points of a sweep and what is asked of each.

    Parameters
    ----------
    model, rule
        What every point starts from.
    over : mapping or sequence of mappings
        A grid: values by name of parameter, in the order of the axes; a value that is no sequence
        is the same at every point. Or a list of points, each a mapping with the same names.
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
        If a name is unknown, a value is outside its domain, or there is no point.
    """

    def __init__(
        self,
        model: ScoreModel,
        rule: Rule,
        over: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        request: Request,
    ):
        self.model, self.rule, self.request = model, rule, request
        self.fixed: Values = {}
        self.is_list = not isinstance(over, Mapping)
        if isinstance(over, Mapping):
            self.axes = {}
            for name, values in over.items():
                if _is_sequence(values):
                    self.axes[name] = tuple(_plain(value) for value in values)
                else:
                    self.fixed[name] = _plain(values)
            self.shape: tuple[int, ...] = tuple(len(values) for values in self.axes.values())
        else:
            points = [dict(point) for point in over]
            names = list(points[0]) if points else []
            for point in points:
                if set(point) != set(names):
                    raise ModelError(
                        f"points of a sweep must have the same parameters; one has "
                        f"{', '.join(map(str, point)) or 'none'}, the first "
                        f"{', '.join(map(str, names)) or 'none'}"
                    )
            self.axes = {name: tuple(_plain(point[name]) for point in points) for name in names}
            self.shape = (len(points),)
        self.names = tuple(self.axes)
        if self.size == 0 or not self.axes:
            raise ModelError("a sweep needs at least one parameter with at least one value")
        for name in (*self.fixed, *self.axes):
            _home(name, model, rule)
        self._check_values()

    @property
    def size(self) -> int:
        """Number of points."""
        return int(np.prod(self.shape, dtype=np.int64))

    def values(self, index: int) -> Values:
        """Swept parameters of a point, by name; points are numbered in C order."""
        if self.is_list:
            return {name: values[index] for name, values in self.axes.items()}
        where = np.unravel_index(index, self.shape)
        return {
            name: values[int(i)] for (name, values), i in zip(self.axes.items(), where, strict=True)
        }

    def job(self, indices: Sequence[int]) -> Job:
        """What a worker needs for these points."""
        points = tuple((index, {**self.fixed, **self.values(index)}) for index in indices)
        return Job(self.model, self.rule, self.request, points)

    def _check_values(self) -> None:
        """Refuse what is wrong with a single value before the work begins.

        Each value is tried with the first ones of the other parameters; whether a combination
        exists is found out at its point.
        """
        first = {**self.fixed, **{name: values[0] for name, values in self.axes.items()}}
        for name, values in self.axes.items():
            for value in dict.fromkeys(values):
                _, rule = apply(self.model, self.rule, {**first, name: value})
                self.request.check_rule(rule)

    @property
    def most_atoms(self) -> int:
        """Largest number of eigenvalues of a covariance in the sweep, over all of its classes."""
        together = {**{name: (value,) for name, value in self.fixed.items()}, **self.axes}
        if "power_law.atoms" in together:
            return max(int(value) for value in together["power_law.atoms"])
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
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]


def apply(model: ScoreModel, rule: Rule, values: Values) -> tuple[ScoreModel, Rule]:
    """Return ``model`` and ``rule`` with parameters changed; ModelError if one is not allowed."""
    from dataclasses import replace

    changes: dict[str, Values] = {}
    for name, value in values.items():
        changes.setdefault(_home(name, model, rule), {})[name.rpartition(".")[2]] = value
    for family in FAMILIES:
        if arguments := changes.pop(family, None):
            made = getattr(Covariance, family)(**_required(family, arguments))
            changes.setdefault("model", {})["covariance"] = made
    if "model" in changes:
        model = replace(model, **changes["model"])
    if "rule" in changes:
        rule = replace(rule, **changes["rule"])
    return model, rule


def _home(name: Any, model: ScoreModel, rule: Rule) -> str:
    """ "model", "rule" or the family of covariances that has this parameter."""
    if not isinstance(name, str):
        raise ModelError(f"{name!r} names no parameter; names are strings")
    family, dot, argument = name.partition(".")
    if dot and family in FAMILIES and argument in _arguments(family):
        return family
    for home, owner in (("model", model), ("rule", rule)):
        if name in {f.name for f in fields(owner)}:
            return home
    allowed = [f.name for f in fields(model)]
    allowed += [f.name for f in fields(rule)]
    allowed += [f"{family}.{argument}" for family in FAMILIES for argument in _arguments(family)]
    raise ModelError(f"{name!r} is no parameter of this sweep; it has {', '.join(allowed)}")


def _arguments(family: str) -> list[str]:
    return list(inspect.signature(getattr(Covariance, family)).parameters)


def _required(family: str, arguments: Values) -> Values:
    if family == "power_law" and "exponent" not in arguments:
        raise ModelError("a sweep over power_law needs power_law.exponent, a value or values")
    return arguments


def _is_sequence(values: Any) -> bool:
    return isinstance(values, Sequence | np.ndarray) and not isinstance(values, str)


def _plain(value: Any) -> Any:
    """The value without numpy's types, so that it has one representation."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    return value.item() if isinstance(value, np.generic) else value


# the points at which a user's activation is identified
_PROBES = np.linspace(-8.0, 8.0, 257)


def _described(value: Any) -> Any:
    """What JSON can hold of a value, the same for equal values."""
    if isinstance(value, Activation):
        # a name is no identity: two functions of a user may share it
        seen = hashlib.sha256(np.asarray(value(_PROBES)).tobytes()).hexdigest()
        return ["activation", value.name, [repr(kink) for kink in value.kinks], seen]
    if isinstance(value, Covariance):
        law = value.eigenvalues.tobytes() + value.weights.tobytes()
        return ["covariance", hashlib.sha256(law).hexdigest(), value.dimension]
    if isinstance(value, np.ndarray):
        return ["array", list(value.shape), hashlib.sha256(value.tobytes()).hexdigest()]
    if is_dataclass(value):
        return [
            type(value).__name__,
            {f.name: _described(getattr(value, f.name)) for f in fields(value) if f.compare},
        ]
    if isinstance(value, Mapping):
        return {str(key): _described(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_described(item) for item in value]
    if isinstance(value, str | bool) or value is None:
        return value
    if callable(value):
        return _described(Activation.of(value))
    return repr(float(value))
