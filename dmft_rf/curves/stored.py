"""Curves, their derivatives, parts of the error, times and fits made again of a file."""

from __future__ import annotations

import numpy as np

from dmft_rf._frozen import FrozenDict
from dmft_rf._stored import Arrays, Attributes
from dmft_rf._typing import Array
from dmft_rf.curves.definitions import PARTS, TIMES
from dmft_rf.curves.derivatives import CURVES, Derivatives, value_of
from dmft_rf.curves.error_parts import ErrorParts
from dmft_rf.curves.error_times import ErrorTimes
from dmft_rf.curves.fit import POINTS, QUALITY, Fit
from dmft_rf.curves.losses import LOSSES, LearningCurves
from dmft_rf.curves.solve import solve
from dmft_rf.curves.timescales import Timescales
from dmft_rf.errors import DataError
from dmft_rf.model.score_model import stored_model
from dmft_rf.rules.flow import Rule
from dmft_rf.rules.stored import stored_rule


def stored_curves(attributes: Attributes, arrays: Arrays) -> LearningCurves:
    """The curves of `LearningCurves.stored`; KeyError if something of them is missing.

    Raises DataError for curves of SGD: a file does not hold those of their mean weights.
    """
    rule = _deterministic(attributes)
    return LearningCurves(
        tau=arrays["tau"],
        **{name: arrays[name] for name in LOSSES},
        error={name: arrays[f"{name}_error"] for name in (*LOSSES, "generalization_gap")},
        rule=rule,
        model=stored_model(attributes, arrays),
    )


def _deterministic(attributes: Attributes) -> Rule:
    """The rule of `Rule.stored`; DataError for SGD."""
    rule = stored_rule(attributes)
    if not isinstance(rule, Rule):
        raise DataError(f"curves of {type(rule).__name__} cannot be made again from a file")
    return rule


def stored_parts(attributes: Attributes, arrays: Arrays) -> ErrorParts:
    """The parts of `ErrorParts.stored`; KeyError if something of them is missing."""
    return ErrorParts(
        detail={name: arrays[f"part_{name}"] for name in PARTS},
        detail_error={name: arrays[f"part_{name}_error"] for name in PARTS},
        learned=arrays["learned"],
        curves=stored_curves(attributes, arrays),
    )


def stored_times(attributes: Attributes, arrays: Arrays) -> ErrorTimes:
    """The times of `ErrorTimes.stored`; KeyError if something of them is missing."""

    def of(prefix: str) -> dict[str, Array]:
        return {name: arrays[f"{prefix}_{name}"] for name in (*TIMES, "error_min")}

    return ErrorTimes(
        model=stored_model(attributes, arrays),
        level=attributes["level"],
        factor=attributes["factor"],
        by_direction=of("by_direction"),
        by_class=of("by_class"),
        direction_error=of("direction_error"),
        class_error=of("class_error"),
        reasons={
            key.removeprefix("reason_"): text
            for key, text in attributes.items()
            if key.startswith("reason_")
        },
    )


def stored_timescales(attributes: Attributes, arrays: Arrays) -> Timescales:
    """The times of `Timescales.stored`, of the model solved again; KeyError if it is not whole."""
    levels = attributes["level"], attributes["gap_level"]
    # files from before there were other rules do not name it
    rule = stored_rule(attributes) if "rule" in attributes else None
    solution = solve(stored_model(attributes, arrays), attributes["rtol"])
    return Timescales(solution, *levels, rule=rule)


def stored_derivatives(attributes: Attributes, arrays: Arrays) -> Derivatives:
    """The derivatives of `Derivatives.stored`; KeyError if something of them is missing."""
    rule, model = _deterministic(attributes), stored_model(attributes, arrays)
    names, tau = attributes["of"].split(","), arrays["tau"]
    return Derivatives(
        tau,
        **{curve: {name: arrays[f"{curve}_by_{name}"] for name in names} for curve in CURVES},
        values={name: value_of(model, rule, tau, name) for name in names},
        error={
            curve: {name: arrays[f"{curve}_by_{name}_error"] for name in names} for curve in CURVES
        },
        rule=rule,
        model=model,
    )


def stored_fit(attributes: Attributes, arrays: Arrays) -> Fit:
    """The fit of `Fit.stored`, its model solved again; KeyError if it is not whole."""
    names = attributes["free"].split(",")
    model = stored_model(attributes, arrays)
    return Fit(
        values=FrozenDict({name: attributes[f"fitted_{name}"] for name in names}),
        errors=FrozenDict({name: attributes[f"fitted_{name}_error"] for name in names}),
        covariance=arrays["covariance"],
        **{name: attributes[name] for name in QUALITY},
        solution=solve(model, attributes["rtol"], compress=False),
        rule=_deterministic(attributes),
        curve=np.where(arrays["is_test"], "test", "train"),
        **{name: arrays[name] for name in POINTS},
    )
