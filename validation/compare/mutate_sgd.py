"""Mutations of the noise of SGD (docs/theory.md, section on mini-batches): see mutate.py."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

from dmft_rf import StochasticGradientDescent, schedules
from dmft_rf._typing import Array, Complex
from dmft_rf.curves import noise_sustained, noise_transforms, stochastic
from dmft_rf.curves.nodes import Nodes
from dmft_rf.curves.noise_transforms import NoiseTransforms
from dmft_rf.rules.stochastic import TrainingRule
from validation.finite.case import Case


def louder(rule: TrainingRule, factor: float) -> TrainingRule:
    """The rule with its noise multiplied."""
    if not isinstance(rule, StochasticGradientDescent):
        return rule
    noise = rule.noise
    return dataclasses.replace(
        rule, noise=schedules.Scaled(noise, factor) if callable(noise) else noise * factor
    )


def transforms(
    change: Callable[[NoiseTransforms, float], NoiseTransforms],
) -> Callable[[float], AbstractContextManager[None]]:
    """Change what `NoiseTransforms.of` makes of the nodes."""

    @contextmanager
    def patch(factor: float) -> Iterator[None]:
        right = NoiseTransforms.of

        def of(nodes: Nodes) -> NoiseTransforms:
            return change(right(nodes), factor)

        with mock.patch.object(NoiseTransforms, "of", of):
            yield

    return patch


def signal_of(found: NoiseTransforms) -> Complex:
    """The part of the transform of fresh samples that is linear in the data."""
    return found.test - found.nodes.model.residual_variance * found.weight


def train(found: NoiseTransforms, factor: float) -> NoiseTransforms:
    """The transform of the training loss, multiplied."""
    # the test loss keeps its own transform
    return dataclasses.replace(found, weight=factor * found.weight)


def features(found: NoiseTransforms, factor: float) -> NoiseTransforms:
    """The part N q, multiplied."""
    return dataclasses.replace(found, test=signal_of(found) * (1.0 - factor) + factor * found.test)


def signal(found: NoiseTransforms, factor: float) -> NoiseTransforms:
    """The part S_test/psi_p, multiplied."""
    return dataclasses.replace(found, test=found.test + (factor - 1.0) * signal_of(found))


@contextmanager
def clock(factor: float) -> Iterator[None]:
    """The clock of momentum, multiplied."""
    right: Any = StochasticGradientDescent.pace

    def pace(rule: StochasticGradientDescent) -> float:
        return float(right.fget(rule)) * (factor if rule.momentum > 0.0 else 1.0)

    with mock.patch.object(StochasticGradientDescent, "pace", property(pace)):
        yield


@contextmanager
def outlier(factor: float) -> Iterator[None]:
    """The y of the outlying mode, multiplied."""
    right = noise_transforms.outlier

    def wrong(*arguments: Any) -> tuple[Array, Array]:
        X, y = right(*arguments)
        return X, factor * y

    with contextlib.ExitStack() as stack:
        for module in (noise_transforms, noise_sustained, stochastic):
            stack.enter_context(mock.patch.object(module, "outlier", wrong))
        yield


def of_sgd(case: Case) -> bool:
    """Whether a case has SGD."""
    return case.stochastic


def of_momentum(case: Case) -> bool:
    """Whether it has SGD with momentum."""
    return any(getattr(rule, "momentum", 0.0) > 0.0 for rule in case.rules.values()) and of_sgd(
        case
    )


def of_mean(case: Case) -> bool:
    """Whether it has SGD with an activation that has a mean."""
    return of_sgd(case) and abs(case.model.coefficients.mu0) > 0.1
