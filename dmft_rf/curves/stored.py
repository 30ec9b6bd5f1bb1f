"""Learning curves, parts of the error and times made again of what a file holds of them."""

from __future__ import annotations

from dmft_rf._stored import Arrays, Attributes
from dmft_rf._typing import Array
from dmft_rf.curves.definitions import PARTS, TIMES
from dmft_rf.curves.error_parts import ErrorParts
from dmft_rf.curves.error_times import ErrorTimes
from dmft_rf.curves.losses import LOSSES, LearningCurves
from dmft_rf.curves.solve import solve
from dmft_rf.curves.timescales import Timescales
from dmft_rf.model.score_model import stored_model
from dmft_rf.rules.stored import deterministic, stored_rule


def stored_curves(attributes: Attributes, arrays: Arrays) -> LearningCurves:
    """The curves of `LearningCurves.stored`; KeyError if something of them is missing.

    Raises DataError for curves of SGD: a file does not hold those of their mean weights.
    """
    rule = deterministic(attributes)
    return LearningCurves(
        tau=arrays["tau"],
        **{name: arrays[name] for name in LOSSES},
        error={name: arrays[f"{name}_error"] for name in (*LOSSES, "generalization_gap")},
        rule=rule,
        model=stored_model(attributes, arrays),
    )


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
