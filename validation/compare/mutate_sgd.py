"""Formulas of mini-batch SGD that are wrong on purpose, for `validation.compare.mutate`."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

from dmft_rf import StochasticGradientDescent, schedules
from dmft_rf._typing import Array
from dmft_rf.curves import noise_sustained, noise_transforms, stochastic
from dmft_rf.curves.nodes import Nodes
from dmft_rf.curves.noise_transforms import NoiseTransforms
from dmft_rf.rules.stochastic import TrainingRule


def louder(rule: TrainingRule, factor: float) -> TrainingRule:
    """Change the noise of SGD."""
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


def _signal_of(found: NoiseTransforms) -> Array:
    return found.test - found.nodes.model.residual_variance * found.weight


def train(found: NoiseTransforms, factor: float) -> NoiseTransforms:
    """Change x d rho in the kernel of the training loss."""
    # the test loss keeps its own transform
    return dataclasses.replace(found, weight=factor * found.weight)


def features(found: NoiseTransforms, factor: float) -> NoiseTransforms:
    """Change N q in the kernel of the test loss."""
    return dataclasses.replace(found, test=_signal_of(found) * (1.0 - factor) + factor * found.test)


def signal(found: NoiseTransforms, factor: float) -> NoiseTransforms:
    """Change S_test/psi_p in the kernel of the test loss."""
    return dataclasses.replace(found, test=found.test + (factor - 1.0) * _signal_of(found))


@contextmanager
def clock(factor: float) -> Iterator[None]:
    """Change the clock tau/(1 - m)."""
    right = StochasticGradientDescent.pace

    def pace(rule: StochasticGradientDescent) -> float:
        return right.fget(rule) * (factor if rule.momentum > 0.0 else 1.0)

    with mock.patch.object(StochasticGradientDescent, "pace", property(pace)):
        yield


@contextmanager
def outlier(factor: float) -> Iterator[None]:
    """Change y, the noise of the mean of the activation."""
    right = noise_transforms.outlier

    def wrong(*arguments: Any) -> tuple[Array, Array]:
        X, y = right(*arguments)
        return X, factor * y

    with contextlib.ExitStack() as stack:
        for module in (noise_transforms, noise_sustained, stochastic):
            stack.enter_context(mock.patch.object(module, "outlier", wrong))
        yield
