"""Values of swept parameters: read from a list, an array or a table, and checked one by one.

A value of the wrong type or outside the domain of its parameter is refused here. Whether a model
exists at it is found out when its points are computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._convert import instance, number, shown, whole
from dmft_rf.errors import ModelError
from dmft_rf.model.activation import Activation
from dmft_rf.model.covariance import MAX_ATOMS, Covariance
from dmft_rf.model.mixture import Mixture
from dmft_rf.model.score_model import checked_draws
from dmft_rf.rules.stochastic import TrainingRule

_SINGLE = (str, bytes, Activation, Covariance, Mixture)
_ADVICE = "give a one-dimensional sequence of values, or a list of points"


def listed(values: Any, name: str) -> list[Any] | None:
    """The values along an axis in a list, or None for a single value.

    Raises
    ------
    ModelError
        If they are masked, missing, without order or in more than one dimension.
    """
    if isinstance(values, _SINGLE) or callable(values):
        return None
    try:
        return _listed(values, name)
    except ModelError:
        raise
    except Exception as error:  # of an object of the caller's own
        raise ModelError(f"{name} is {shown(values)}, which cannot be read: {error!r}") from error


def _listed(values: Any, name: str) -> list[Any] | None:
    if np.ma.isMaskedArray(values):
        raise ModelError(f"{name} is a masked array; choose its entries first with .compressed()")
    if hasattr(values, "to_numpy"):  # pandas, its own dtypes included, and others like it
        if np.asarray(values.isna() if hasattr(values, "isna") else False).any():
            raise ModelError(f"{name} has missing values; drop or fill them first")
        values = values.to_numpy()
    if hasattr(values, "__array__"):
        values = np.asarray(values)
        if values.ndim > 1:
            raise ModelError(f"{name} is an array of shape {values.shape}; {_ADVICE}")
        if values.ndim == 0:
            return None
        return list(values) if values.dtype.kind in "mM" else list(values.tolist())
    if isinstance(values, Mapping):
        raise ModelError(f"{name} is {shown(values)}; {_ADVICE}")
    if isinstance(values, set | frozenset):
        raise ModelError(f"{name} is a set, which has no order; {_ADVICE}")
    return list(values) if isinstance(values, Iterable) else None


def numbers(values: Any, name: str, *, least: float, infinite: bool = False) -> NDArray[np.float64]:
    """Different numbers along an axis, ascending; ``least`` itself is allowed.

    Raises
    ------
    ModelError
        If they are none, or in more than one dimension.
    """
    given = listed(values, name)
    given = [values] if given is None else given
    found = np.array([number(value, name, infinite=infinite) for value in given])
    if not found.size or not np.all(found >= least):
        limit = "> 0" if least == math.ulp(0.0) else f">= {least:g}"
        raise ModelError(f"{name} is {shown(given)}; it needs one or more values {limit}")
    return np.unique(found)


def points(over: Any) -> list[dict[str, Any]]:
    """The points of a list, each a mapping with the same names.

    Raises
    ------
    ModelError
        If ``over`` is no such list.
    """
    if hasattr(over, "to_dict"):
        raise ModelError(
            'over is a table; give its rows, over.to_dict("records"), or {name: values} for a grid'
        )
    rows = None if isinstance(over, str | bytes) else listed(over, "over")
    if rows is None:
        raise ModelError(
            f"over is {shown(over)}; it must be {{name: values}} for a grid, or a list of points "
            "{name: value}"
        )
    for row in rows:
        if not isinstance(row, Mapping):
            raise ModelError(
                f"a point of the sweep is {shown(row)}; it must be a mapping {{name: value}}"
            )
        if set(row) != set(rows[0]):
            raise ModelError(
                f"points of a sweep must have the same parameters; one has "
                f"{', '.join(map(str, row)) or 'none'}, the first "
                f"{', '.join(map(str, rows[0])) or 'none'}"
            )
        for name, value in row.items():
            if listed(value, str(name)) is not None:
                raise ModelError(f"{name} is {shown(value)} at a point; it must be one value")
    return [dict(row) for row in rows]


def value_of_model(name: str, value: Any) -> Any:
    """A checked value of a parameter of the model; ModelError if it is not allowed."""
    if name in ("t", "psi_p", "psi_n"):
        return number(value, name, above=0.0, infinite=name == "psi_p")
    if name == "noise_draws":
        return checked_draws(number(value, name, least=1.0, infinite=True))
    if name == "activation":
        return Activation.unchecked(value)
    return instance(value, (Covariance, Mixture), name, "Covariance([0.5, 1.5])")


def value_of_family(name: str, value: Any) -> float | int:
    """A checked argument of a constructor of Covariance; ModelError if it is not allowed."""
    argument = name.rpartition(".")[2]
    if argument == "atoms":
        return whole(value, name, most=MAX_ATOMS)
    if argument == "exponent":
        return number(value, name, least=0.0)
    return number(value, name, above=0.0)


def value_of_rule(name: str, value: Any, rule: TrainingRule) -> Any:
    """A checked value of a parameter of the rule; ModelError if the rule refuses it."""
    if isinstance(getattr(rule, name), float) and not callable(value):
        value = number(value, name)
    try:
        return getattr(replace(rule, **{name: value}), name)
    except (TypeError, ArithmeticError) as error:
        raise ModelError(f"{name} is {shown(value)}; {type(rule).__name__} refuses it") from error
