"""The options of training rules, and the rules that they state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dmft_rf.cli._parameters import option
from dmft_rf.errors import ModelError

if TYPE_CHECKING:
    from dmft_rf.rules.flow import Rule
    from dmft_rf.rules.stochastic import StochasticGradientDescent


@dataclass(frozen=True)
class PartsOptions:
    """Results: parts of the score error."""

    parts: bool = option(
        "The parts of the score error (bias, variance, noise) in place of the losses, and when "
        "each direction of the data is learned and lost.",
        default=False,
    )


@dataclass(frozen=True)
class RuleOptions:
    """Training: its rule."""

    rule: str = option(
        "gradient-flow, or ridge, heavy-ball, weight-average, .... Or gradient-descent.",
        default="gradient-flow",
        metavar="NAME",
    )
    weight_decay: float | None = option("All but ridge: omega >= 0, in units of U; default 0.")
    ridge: float | None = option("ridge: omega >= 0, in units of U; default 0.")
    step: float | None = option(
        "gradient-descent, heavy-ball, SGD: tau per step, eta/d^2 for a learning rate eta; SGD "
        "without it is the limit of small steps."
    )
    momentum: float | None = option(
        "heavy-ball, SGD: in [0, 1); default 0.9 for heavy-ball, 0 for SGD."
    )
    decay_time: float | None = option(
        "weight-average, SGD: time of the exponential average, in tau."
    )
    initial_std: float | None = option(
        "All but ridge: standard deviation of the initial weights A; default 0."
    )

    sgd_noise: float | None = option(
        "Mini-batch SGD with the noise eta/(d batch) of its steps, >= 0, in place of gradient flow."
    )
    learning_rate: float | None = option(
        "eta, for times in steps; SGD with --batch. Needs --dimension or --data; the steps are "
        "those of timescales, of gradient flow without --batch."
    )
    batch: int | None = option("SGD: samples in a step; default 1.")
    dimension: float | None = option(
        "The d of the data, with --learning-rate; timescales takes that of --data."
    )

    def _stochastic(self) -> StochasticGradientDescent | None:
        """SGD, if an option of it is given."""
        from dmft_rf.rules.stochastic import StochasticGradientDescent

        if self.sgd_noise is None and self.learning_rate is None:
            for name in ("batch", "dimension"):
                if getattr(self, name) is not None:
                    raise ModelError(
                        f"--{name} is {getattr(self, name)!r}; it needs --learning-rate"
                        + (" or --sgd-noise" if name == "batch" else "")
                    )
            return None
        if self.rule != "gradient-flow":
            raise ModelError(f"--rule is {self.rule!r}; SGD has no other rule beside it")
        if self.ridge is not None:
            raise ModelError(f"--ridge is {self.ridge!r}, but SGD has no such option")
        options = {
            "momentum": self.momentum,
            "average": self.decay_time,
            "weight_decay": self.weight_decay,
            "initial_std": self.initial_std,
        }
        given: dict[str, Any] = {name: v for name, v in options.items() if v is not None}
        batch = 1 if self.batch is None else self.batch
        if self.learning_rate is None:
            if self.dimension is not None:
                raise ModelError(f"--dimension is {self.dimension!r}; it needs --learning-rate")
            return StochasticGradientDescent(
                self.sgd_noise,  # type: ignore[arg-type]
                batch,
                finite_steps=self.step,
                **given,
            )
        if self.sgd_noise is not None:
            raise ModelError("--sgd-noise and --learning-rate are two ways to state the noise")
        if self.dimension is None:
            raise ModelError(
                f"--learning-rate is {self.learning_rate!r}; the noise also needs --dimension, "
                "the d of the data"
            )
        if self.step is not None:
            raise ModelError(f"--step is {self.step!r}; --learning-rate and --dimension give it")
        return StochasticGradientDescent.from_run(
            learning_rate=self.learning_rate, batch=batch, dimension=self.dimension, **given
        )

    def build(self) -> Rule | StochasticGradientDescent:
        """Return the rule; ModelError for an option that it does not have."""
        stochastic = self._stochastic()
        if stochastic is not None:
            return stochastic
        from dmft_rf._convert import one_of
        from dmft_rf.rules import average
        from dmft_rf.rules import flow as rules
        from dmft_rf.rules import steps as descent

        shared = {"weight_decay": "weight_decay", "initial_std": "initial_std"}
        known: dict[str, tuple[type[Rule], dict[str, str]]] = {
            "gradient-flow": (rules.GradientFlow, shared),
            "ridge": (rules.Ridge, {"ridge": "weight"}),
            "gradient-descent": (descent.GradientDescent, {"step": "step", **shared}),
            "heavy-ball": (descent.HeavyBall, {"step": "step", "momentum": "momentum", **shared}),
            "weight-average": (average.WeightAverage, {"decay_time": "decay_time", **shared}),
        }
        kind, names = known[one_of(self.rule, known, "--rule")]
        options = ("weight_decay", "ridge", "step", "momentum", "decay_time", "initial_std")
        given = {name: getattr(self, name) for name in options if getattr(self, name) is not None}
        for name, value in given.items():
            if name not in names:
                flag = "--" + name.replace("_", "-")
                raise ModelError(f"{flag} is {value!r}, but --rule {self.rule} has no such option")
        for name in ("step", "decay_time"):
            if name in names and name not in given:
                raise ModelError(f"--rule {self.rule} needs --{name.replace('_', '-')}, > 0")
        return kind(**{names[name]: value for name, value in given.items()})


@dataclass(frozen=True)
class CurveOptions(RuleOptions):
    """Training: times of the curves."""

    tau: str | None = option(
        "Training times, as 0,1,10,inf. By default 0, 24 times per decade from 0.03 times the "
        "shortest to 30 times the longest relaxation time of the spectrum, and inf.",
        metavar="NUMBERS",
    )
