"""What a page of the explorer shows, as a link and as lines of Python."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import dmft_rf
from dmft_rf._convert import one_of
from dmft_rf.errors import ModelError

ACTIVATIONS = ("tanh", "relu", "erf", "sigmoid", "softplus", "gelu", "linear")
TABS = ("curves", "map", "generation", "advice")
# the longest text of a covariance or link that is read
_MOST_CHARACTERS = 2000


@dataclass(frozen=True)
class State:
    """Everything that a link restores.

    Attributes
    ----------
    t, psi_p, psi_n, noise_draws, activation
        As in ``ScoreModel``.
    covariance : str
        "isotropic", "power-law:EXPONENT", eigenvalues as "0.5,1.5", a bundled data set such as
        "digits", or "upload" for the file that the page was given.
    weight_decay, sgd_noise : float
        Of gradient flow, or of mini-batch SGD where ``sgd_noise`` > 0.
    tab : str
        One of `TABS`.

    Examples
    --------
    >>> state = State.from_query({"t": "0.1", "psi_p": "inf"})
    >>> state.query()
    {'t': '0.1', 'psi_p': 'inf'}
    >>> state.model().psi_p
    inf
    """

    t: float = 0.01
    psi_p: float = 64.0
    psi_n: float = 8.0
    noise_draws: float = math.inf
    activation: str = "tanh"
    covariance: str = "isotropic"
    weight_decay: float = 0.0
    sgd_noise: float = 0.0
    tab: str = "curves"

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> State:
        """The state of a link; what it does not name is as it is by default.

        Raises
        ------
        ModelError
            If it names something else, or gives a number that is none.
        """
        kinds = {field.name: type(getattr(cls, field.name)) for field in fields(cls)}
        values: dict[str, Any] = {}
        for name, text in query.items():
            kind = kinds[one_of(name, tuple(kinds), "the link's parameter")]
            if len(text) > _MOST_CHARACTERS:
                raise ModelError(f"{name} has {len(text)} characters; at most {_MOST_CHARACTERS}")
            try:
                values[name] = kind(text)
            except ValueError:
                raise ModelError(f"{name} is {text!r}, which is not a number") from None
        if "activation" in values:
            one_of(values["activation"], ACTIVATIONS, "activation")
        if "tab" in values:
            one_of(values["tab"], TABS, "tab")
        return cls(**values)

    def query(self) -> dict[str, str]:
        """What a link says: everything that is not as it is by default."""
        usual = State()
        return {
            field.name: _text(getattr(self, field.name))
            for field in fields(self)
            if getattr(self, field.name) != getattr(usual, field.name)
        }

    def model(self, uploaded: dmft_rf.Covariance | None = None) -> dmft_rf.ScoreModel:
        """The model of the sliders.

        Raises
        ------
        ModelError
            If a number is outside its domain, or the covariance is not one.
        """
        return dmft_rf.ScoreModel(
            self.t,
            self.psi_p,
            self.psi_n,
            self.activation,
            _covariance(self.covariance, uploaded),
            noise_draws=self.noise_draws,
        )

    def rule(self) -> dmft_rf.GradientFlow | dmft_rf.StochasticGradientDescent:
        """The training rule."""
        if self.sgd_noise > 0.0:
            return dmft_rf.StochasticGradientDescent(
                noise=self.sgd_noise, weight_decay=self.weight_decay
            )
        return dmft_rf.GradientFlow(weight_decay=self.weight_decay)

    def lines(self) -> str:
        """Python that computes what the page shows."""
        draws = "" if math.isinf(self.noise_draws) else f", noise_draws={self.noise_draws:g}"
        rule = f"GradientFlow(weight_decay={self.weight_decay!r})"
        if self.sgd_noise > 0.0:
            rule = (
                f"StochasticGradientDescent(noise={self.sgd_noise!r}, "
                f"weight_decay={self.weight_decay!r})"
            )
        psi_p = "math.inf" if math.isinf(self.psi_p) else repr(self.psi_p)
        return "\n".join(
            [
                "import math",
                "",
                "from dmft_rf import *",
                "",
                f"covariance = {_covariance_line(self.covariance)}",
                f"model = ScoreModel({self.t!r}, {psi_p}, {self.psi_n!r}, "
                f"{self.activation!r}, covariance{draws})",
                f"rule = {rule}",
                "solution = solve(model)",
                "times = timescales(solution, rule=rule)",
                "print(times.usable(1.1), times.tau_gen, times.tau_opt, times.tau_mem)",
                "curves = solution.learning_curves([1.0, 10.0, 100.0], rule)",
                "print(curves.score_error, curves.test, curves.train)",
            ]
        )

    def replace(self, **changes: Any) -> State:
        """The same with changes."""
        return replace(self, **changes)


def _text(value: float | str) -> str:
    """As short as can be, with all digits."""
    return value if isinstance(value, str) else f"{value:.17g}" if _long(value) else f"{value:g}"


def _long(value: float) -> bool:
    return float(f"{value:g}") != value


def _covariance(text: str, uploaded: dmft_rf.Covariance | None) -> dmft_rf.Covariance:
    if text == "isotropic":
        return dmft_rf.Covariance.isotropic()
    if text == "upload":
        if uploaded is None:
            raise ModelError("the link names an uploaded file, which has to be uploaded again")
        return uploaded
    if text in dmft_rf.datasets.names():
        return dmft_rf.read_covariance(text).normalized()
    name, _, number = text.partition(":")
    if name == "power-law":
        return dmft_rf.Covariance.power_law(_numbers(number)[0])
    return dmft_rf.Covariance(_numbers(text))


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        known = ", ".join(["isotropic", "power-law:1", "0.5,1.5", *dmft_rf.datasets.names()])
        raise ModelError(f"covariance is {text!r}; it can be like {known}") from None


def _covariance_line(text: str) -> str:
    if text == "isotropic":
        return "Covariance.isotropic()"
    if text == "upload":
        return 'read_covariance("FILE").normalized()  # the file that was uploaded'
    if text in dmft_rf.datasets.names():
        return f"read_covariance({text!r}).normalized()"
    name, _, number = text.partition(":")
    if name == "power-law":
        return f"Covariance.power_law({_numbers(number)[0]!r})"
    return f"Covariance({_numbers(text)!r})"
