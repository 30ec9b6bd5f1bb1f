"""Rules made again of what a file holds of them."""

from __future__ import annotations

from dataclasses import fields

from dmft_rf._stored import Attributes
from dmft_rf.errors import DataError
from dmft_rf.rules.average import WeightAverage
from dmft_rf.rules.flow import GradientFlow, Ridge, Rule
from dmft_rf.rules.steps import GradientDescent, HeavyBall


def stored_rule(attributes: Attributes) -> Rule:
    """The rule of `Rule.stored`; KeyError if something of it is missing.

    Raises DataError for a rule of the user's own, which no file can hold.
    """
    rules = (GradientFlow, Ridge, WeightAverage, GradientDescent, HeavyBall)
    name = attributes["rule"]
    for rule in rules:
        if rule.__name__ == name:
            return rule(**{f.name: attributes[f"rule_{f.name}"] for f in fields(rule)})
    raise DataError(f"the rule {name} is none of this package, and no file can hold it")
