"""Mutations of what is generated (docs/theory.md, section on what is generated): see mutate.py."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

import numpy as np

from dmft_rf.generated import generation, process
from validation.finite.case import Case

Patch = Callable[[float], AbstractContextManager[None]]


def _argument(name: str, place: int) -> Patch:
    """Multiply one argument of a kernel that `dmft_rf.generated.process` calls."""

    @contextmanager
    def patch(factor: float) -> Iterator[None]:
        right = getattr(process, name)

        def wrong(*arguments: Any) -> Any:
            changed = list(arguments)
            changed[place] = factor * arguments[place]
            return right(*changed)

        with mock.patch.object(process, name, wrong):
            yield

    return patch


drift = _argument("follow", 6)
fresh_noise = _argument("follow", 7)
linear_part = _argument("learned_scores", 1)
noise_of_diffusion = _argument("learned_scores", 2)
signal = _argument("learned_scores", 3)
clock = _argument("learned_scores", 5)


@contextmanager
def gain(factor: float) -> Iterator[None]:
    """The gain's departure from 1: none at all at the factor 2, twice as large at 0."""
    right: Any = process.follow

    def wrong(*arguments: Any) -> Any:
        *first, trained, weights, c, f, edges, series, change = arguments
        # a(Gamma) enters as a quotient alone: its power is that of the gain
        power = 2.0 - factor
        chebyshev = np.polynomial.chebyshev
        node = chebyshev.chebpts1(series.shape[1])
        changed = np.array(
            [chebyshev.chebfit(node, chebyshev.chebval(node, one) ** power, node.size - 1)
             for one in series]
        )  # fmt: skip
        return right(*first, trained**power, weights, c, f, edges, changed, change)

    with mock.patch.object(process, "follow", wrong):
        yield


@contextmanager
def sample(factor: float) -> Iterator[None]:
    """psi_n in the law of the sample covariance alone."""
    right = generation.sample_law
    with mock.patch.object(generation, "sample_law", lambda n, *data: right(factor * n, *data)):
        yield


def of_generation(case: Case) -> bool:
    """Whether a case is about what is generated."""
    return case.generated


def of_gain(case: Case) -> bool:
    """Whether it is, and its activation is not homogeneous."""
    return case.generated and case.model.activation.name == "tanh"  # type: ignore[union-attr]
