r"""Stochastic gradient descent: mini-batches with replacement and fresh noise in every step.

Each step draws ``batch`` samples, each with fresh noise xi, and follows the gradient of their mean
loss. In high dimension its noise matters through the one number

    eps = eta/(d batch)    (learning rate eta, dimension d),

and the mean of the weights follows the deterministic rule (`mean_rule`), here gradient flow, an
average of it, gradient descent or heavy-ball momentum. What the noise adds to the losses is in
dmft_rf.curves.stochastic (docs/theory.md, section on mini-batches).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from dmft_rf._arithmetic import ieee
from dmft_rf._convert import flag, floats, number, shown, values_of, whole
from dmft_rf._stored import Stored
from dmft_rf._typing import Array
from dmft_rf.errors import ModelError
from dmft_rf.rules.average import WeightAverage
from dmft_rf.rules.flow import GradientFlow, Rule
from dmft_rf.rules.schedules import Scaled, Schedule
from dmft_rf.rules.steps import GradientDescent, HeavyBall
from dmft_rf.units import time_from_steps

__all__ = ["StochasticGradientDescent", "TrainingRule", "step_of"]

_MOST = 1e100


@ieee
@dataclass(frozen=True)
class StochasticGradientDescent:
    r"""Mini-batch SGD with replacement and fresh noise; tau = k eta/d^2 after k steps.

    Parameters
    ----------
    noise : float or function of tau
        eps = eta/(d batch) >= 0, at infinite width as well; a Schedule (dmft_rf.schedules) or any
        function of an array of times, which must have a value at tau = inf if curves are asked for
        there.
    batch : int
        Samples in a step. Beside eps it matters only for activations with a mean (relu), whose
        outlying mode sees eta/d = eps batch, and for nothing else.
    momentum : float
        Heavy-ball momentum m in [0, 1). tau = k eta/d^2 stays the clock, as for HeavyBall: the
        curves are those of SGD without momentum at tau/(1 - m) under the noise eps/(1 - m).
    average : float, optional
        T > 0: the curves of the weights' exponential average with decay time T, in units of tau.
    weight_decay, initial_std : float
        As in GradientFlow.
    finite_steps : float, optional
        tau of one step, eta/d^2: the steps are followed one by one. None is the limit d -> infinity
        at a fixed batch, where a step takes no time.

    Raises
    ------
    ModelError
        If a parameter is outside its domain, or ``average`` and ``finite_steps`` are both given.
    """

    noise: float | Callable[[Array], Any]
    batch: int = 1
    momentum: float = 0.0
    average: float | None = None
    weight_decay: float = 0.0
    initial_std: float = 0.0
    finite_steps: float | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        if not callable(self.noise):
            put(self, "noise", number(self.noise, "noise", least=0.0, most=_MOST))
        put(self, "batch", whole(self.batch, "batch"))
        momentum = number(self.momentum, "momentum", least=0.0)
        if not momentum < 1.0:
            raise ModelError(f"momentum is {self.momentum!r}; it must be in [0, 1)")
        put(self, "momentum", momentum)
        for name in ("weight_decay", "initial_std"):
            put(self, name, number(getattr(self, name), name, least=0.0, most=_MOST))
        for name in ("average", "finite_steps"):
            value = getattr(self, name)
            if value is not None:
                put(self, name, number(value, name, above=0.0, least=1.0 / _MOST, most=_MOST))
        if self.average is not None and self.finite_steps is not None:
            raise ModelError(
                f"average is {self.average!r} and finite_steps is {self.finite_steps!r}; averaged "
                "weights are solved in the limit of small steps only"
            )

    @classmethod
    def from_run(
        cls,
        *,
        learning_rate: float | Callable[[Array], Any],
        batch: int,
        dimension: float,
        psi_p: float | None = None,
        finite_steps: bool = False,
        **options: Any,
    ) -> StochasticGradientDescent:
        """The rule of a real run: eps = eta/(d batch), or eta psi_p/batch.

        Parameters
        ----------
        learning_rate : float or function of tau
            eta > 0, on the loss averaged over samples and dimensions.
        batch : int
            Samples in a step.
        dimension : float
            d > 0.
        psi_p : float, optional
            p/d: give it if the network has no 1/sqrt(p) in front, as in `units.time_from_steps`.
        finite_steps : bool
            Whether the steps are followed one by one; the learning rate must be a number then.
        options
            momentum, average, weight_decay, initial_std.
        """
        batch, finite_steps = whole(batch, "batch"), flag(finite_steps, "finite_steps")
        d = number(dimension, "dimension", above=0.0)
        factor = 1.0 / d if psi_p is None else number(psi_p, "psi_p", above=0.0)
        if callable(learning_rate):
            if finite_steps:
                raise ModelError(
                    f"learning_rate is {shown(learning_rate)}; steps of one length are followed "
                    "one by one, so that it must be a number with finite_steps=True"
                )
            return cls(Scaled(learning_rate, factor / batch), batch, **options)
        eta = number(learning_rate, "learning_rate", above=0.0)
        step = float(time_from_steps(1, eta, d, psi_p)) if finite_steps else None
        return cls(eta * factor / batch, batch, finite_steps=step, **options)

    def stored(self) -> Stored:
        """What a file holds of the rule: its name and what is set of its parameters.

        What is no number, such as a schedule, is stored as its text.
        """
        found = {f"rule_{f.name}": getattr(self, f.name) for f in fields(self)}
        parameters = {
            name: value if isinstance(value, int | float) else repr(value)
            for name, value in found.items()
            if value is not None
        }
        return {"rule": type(self).__name__, **parameters}, {}

    @property
    def decay(self) -> float:
        """Weight decay omega, in units of the eigenvalues of U."""
        return self.weight_decay

    @property
    def constant(self) -> bool:
        """Whether the noise is one number."""
        return not callable(self.noise)

    @property
    def pace(self) -> float:
        """How much faster than tau the clock of gradient flow runs: 1/(1 - momentum)."""
        return 1.0 if self.finite_steps is not None else 1.0 / (1.0 - self.momentum)

    @property
    def mean_rule(self) -> Rule:
        """The deterministic rule that the mean weights follow, at the time tau * pace."""
        if self.finite_steps is not None:
            shared = (self.finite_steps, self.weight_decay, self.initial_std)
            return HeavyBall(*shared, self.momentum) if self.momentum else GradientDescent(*shared)
        if self.average is not None:
            return WeightAverage(self.average * self.pace, self.weight_decay, self.initial_std)
        return GradientFlow(self.weight_decay, self.initial_std)

    @property
    def breaks(self) -> tuple[float, ...]:
        """Times at which the noise is not smooth, where a Schedule says so."""
        return self.noise.breaks if isinstance(self.noise, Schedule) else ()

    def noise_at(self, tau: ArrayLike) -> Array:
        """eps at the times ``tau``; ModelError unless it is finite and >= 0."""
        tau = floats(tau, "tau", least=0.0, infinite=True)
        if not callable(self.noise):
            return np.full(tau.shape, self.noise)
        found = values_of(self.noise, tau, "noise")
        bad = ~((found >= 0.0) & (found <= _MOST))
        if bad.any():
            where = int(np.argmax(bad.ravel()))
            raise ModelError(
                f"noise is {float(found.ravel()[where])!r} at tau = {float(tau.ravel()[where])!r}; "
                "it must be finite and >= 0"
            )
        return np.asarray(found)


TrainingRule: TypeAlias = Rule | StochasticGradientDescent
"""What learning curves and times of training are of."""


def step_of(rule: TrainingRule) -> float | None:
    """tau of one step; None if the rule has curves at every time."""
    mean = rule.mean_rule if isinstance(rule, StochasticGradientDescent) else rule
    step: float | None = getattr(mean, "step", None)
    return step
