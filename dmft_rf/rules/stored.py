"""Training rules made again of what a file holds of them, and named in one line."""

from __future__ import annotations

from dataclasses import MISSING, fields

from dmft_rf._stored import Attributes
from dmft_rf.errors import DataError
from dmft_rf.rules.average import WeightAverage
from dmft_rf.rules.flow import GradientFlow, Ridge, Rule
from dmft_rf.rules.steps import GradientDescent, HeavyBall
from dmft_rf.rules.stochastic import StochasticGradientDescent, TrainingRule

_RULES = (GradientFlow, Ridge, WeightAverage, GradientDescent, HeavyBall, StochasticGradientDescent)


def stored_rule(attributes: Attributes) -> TrainingRule:
    """The rule of `Rule.stored`; KeyError if something of it is missing.

    Raises DataError for what no file can hold: a rule of the user's own, noise that is a function.
    """
    name = attributes["rule"]
    for rule in _RULES:
        if rule.__name__ != name:
            continue
        # what is None is not stored
        given = {
            f.name: attributes[f"rule_{f.name}"]
            for f in fields(rule)
            if f.default is not None or f"rule_{f.name}" in attributes
        }
        if isinstance(given.get("noise"), str):
            raise DataError(f"the noise {given['noise']} is a function of tau; no file can hold it")
        return rule(**given)
    raise DataError(f"the rule {name} is none of this package, and no file can hold it")


def deterministic(attributes: Attributes) -> Rule:
    """The rule of `Rule.stored`; DataError for SGD."""
    rule = stored_rule(attributes)
    if not isinstance(rule, Rule):
        raise DataError(f"curves of {type(rule).__name__} cannot be made again from a file")
    return rule


def named(rule: TrainingRule) -> str:
    """The rule with those of its parameters that are not the usual ones."""
    given = [
        f"{f.name}={getattr(rule, f.name)!r}"
        for f in fields(rule)
        if f.default is MISSING or getattr(rule, f.name) != f.default
    ]
    return f"{type(rule).__name__}({', '.join(given)})"
