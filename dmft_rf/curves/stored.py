"""Learning curves and timescales made again of what a file holds of them."""

from __future__ import annotations

from dmft_rf._stored import Arrays, Attributes
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
    rule = stored_rule(attributes)
    if not isinstance(rule, Rule):
        raise DataError(f"curves of {type(rule).__name__} cannot be made again from a file")
    return LearningCurves(
        tau=arrays["tau"],
        **{name: arrays[name] for name in LOSSES},
        error={name: arrays[f"{name}_error"] for name in (*LOSSES, "generalization_gap")},
        rule=rule,
        model=stored_model(attributes, arrays),
    )


def stored_timescales(attributes: Attributes, arrays: Arrays) -> Timescales:
    """The times of `Timescales.stored`, of the model solved again; KeyError if it is not whole."""
    levels = attributes["level"], attributes["gap_level"]
    # files from before there were other rules do not name it
    rule = stored_rule(attributes) if "rule" in attributes else None
    solution = solve(stored_model(attributes, arrays), attributes["rtol"])
    return Timescales(solution, *levels, rule=rule)
