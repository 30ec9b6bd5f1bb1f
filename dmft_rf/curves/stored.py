"""Learning curves and timescales made again of what a file holds of them."""

from __future__ import annotations

from dmft_rf._stored import Arrays, Attributes
from dmft_rf.curves.losses import LOSSES, LearningCurves
from dmft_rf.curves.solve import solve
from dmft_rf.curves.timescales import Timescales
from dmft_rf.model.score_model import stored_model
from dmft_rf.rules.stored import stored_rule


def stored_curves(attributes: Attributes, arrays: Arrays) -> LearningCurves:
    """The curves of `LearningCurves.stored`; KeyError if something of them is missing."""
    return LearningCurves(
        tau=arrays["tau"],
        **{name: arrays[name] for name in LOSSES},
        error={name: arrays[f"{name}_error"] for name in (*LOSSES, "generalization_gap")},
        rule=stored_rule(attributes),
        model=stored_model(attributes, arrays),
    )


def stored_timescales(attributes: Attributes, arrays: Arrays) -> Timescales:
    """The times of `Timescales.stored`, of the model solved again; KeyError if it is not whole."""
    levels = attributes["level"], attributes["gap_level"]
    return Timescales(solve(stored_model(attributes, arrays), attributes["rtol"]), *levels)
