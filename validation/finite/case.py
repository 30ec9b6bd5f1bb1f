"""One thing that is simulated: a model, its rules and times, and the networks' sizes."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf import (
    GradientDescent,
    GradientFlow,
    HeavyBall,
    Mixture,
    ModelError,
    ScoreModel,
    StochasticGradientDescent,
)
from dmft_rf._typing import Array
from dmft_rf.rules.stochastic import TrainingRule
from validation.finite.reverse import LISTED, QUANTITIES, ReverseProcess

Sizes = tuple[tuple[int, int], ...]

SIMULATION = 2
"""Number of the simulation code and of its random streams: a new number draws everything anew."""

FLOW = "gradient flow"
PROFILES = ("quick", "paper")


@dataclass(frozen=True)
class Case:
    """One comparison of finite networks with the theory.

    Attributes
    ----------
    name : str
    about : str
        What it is there for.
    model : ScoreModel
    sizes : tuple of (d, seeds)
    judged : tuple of float
        Times whose losses enter the verdict.
    rules : mapping of str to Rule or ReverseProcess
        Training rules by label, of which the first is gradient flow; or how samples are generated
        by networks that gradient flow has trained.
    data : str
        Name of a real data set whose rows are the samples; empty for Gaussian data.
    verdict : bool
        Whether the case decides about PASS or FAIL. Real data do not: the theory does not claim
        to describe them exactly, and the report says by how much it misses them.
    width : float
        Where the model's psi_p is infinite, the networks have p = width d^2: both 1/d and
        1/psi_p = 1/(width d) vanish, and an expansion in both is one in 1/d.
    """

    name: str
    about: str
    model: ScoreModel
    sizes: Sizes
    judged: tuple[float, ...]
    rules: Mapping[str, Any] = field(default_factory=lambda: {FLOW: GradientFlow()})
    data: str = ""
    verdict: bool = True
    width: float = 1.0

    def tau(self, rule: TrainingRule | ReverseProcess) -> Array:
        """Times at which ``rule`` is evaluated: the judged ones, a grid for pictures, 0 and inf."""
        if isinstance(rule, ReverseProcess):
            return np.array(self.judged)
        if isinstance(rule, StochasticGradientDescent):  # followed step by step
            return np.array(self._finite) / rule.pace
        if isinstance(rule, GradientDescent | HeavyBall):
            steps = np.unique(np.rint(np.geomspace(1.0, max(self._finite) / rule.step, 10)))
            return np.append(rule.times(steps), math.inf)
        grid = np.geomspace(0.1, 30.0 * max(self._finite), 17 if rule == GradientFlow() else 6)
        return np.unique(np.concatenate([[0.0], grid, self.judged, [math.inf]]))

    def is_judged(self, rule: TrainingRule | ReverseProcess, tau: Array) -> NDArray[np.bool_]:
        """Which of ``tau`` enter the verdict; for discrete rules an early and a late time."""
        if isinstance(rule, StochasticGradientDescent | ReverseProcess):
            return np.ones(tau.size, dtype=bool)
        if isinstance(rule, GradientDescent | HeavyBall):
            chosen = np.zeros(tau.size, dtype=bool)
            chosen[[tau.size // 3, 2 * tau.size // 3]] = True
            return chosen
        times = self.judged if rule == GradientFlow() else self._finite[:2]
        return np.isin(tau, times)

    @property
    def stochastic(self) -> bool:
        """Whether a rule of the case is SGD."""
        return any(isinstance(rule, StochasticGradientDescent) for rule in self.rules.values())

    @property
    def generated(self) -> bool:
        """Whether the case is about what is generated."""
        return any(isinstance(rule, ReverseProcess) for rule in self.rules.values())

    @property
    def _finite(self) -> list[float]:
        return [tau for tau in self.judged if math.isfinite(tau)]

    @property
    def resolvent_points(self) -> Array:
        """z > 0 at which (1/p) Tr z/(U + z) is compared: they scan the spectrum; shape (5,).

        None of them where psi_p is infinite.
        """
        if math.isinf(self.model.psi_p):
            return np.empty(0)
        classes = self.model.classes
        low = sum(one.share * one.coefficients.s2 for one in classes)
        top = sum(one.share * one.coefficients.mu1**2 for one in classes)
        return np.geomspace(low, self.model.psi_p * top, 5)

    @property
    def quantities(self) -> tuple[str, ...]:
        """What is compared of every rule; the loss under fresh noise where the noise is drawn."""
        if self.generated:
            return (*QUANTITIES, *LISTED)
        drawn = () if math.isinf(self.model.noise_draws) else ("fresh",)
        return ("train", "test", *drawn, "score_error")

    @property
    def listed(self) -> tuple[str, ...]:
        """Which of these are not judged."""
        return LISTED if self.generated else ("score_error",)

    def eigenvalues(self, d: int) -> Array:
        """Eigenvalues of Sigma with their multiplicity at dimension ``d``, shape (d,).

        One row for each class of a mixture, shape (G, d).

        Raises
        ------
        ModelError
            If the weights of the law times d are not whole numbers.
        """
        law = self.model.covariance
        exact = law.weights * d
        counts = np.rint(exact).astype(int)
        if np.max(np.abs(exact - counts)) > 1e-6 or counts.sum() != d:
            raise ModelError(f"case {self.name}: d = {d} does not carry the weights of Sigma")
        return np.repeat(law.eigenvalues, counts, axis=-1)

    def class_sizes(self, d: int) -> list[int]:
        """Samples of each class at dimension ``d``: their shares exactly, not in the mean.

        Random numbers of samples would make the losses fluctuate like d^{-1/2}; the limit is the
        same.
        """
        n = self.shape(d)[1]
        exact = np.array([one.share * n for one in self.model.classes])
        sizes = np.rint(exact).astype(int)
        if np.max(np.abs(exact - sizes)) > 1e-6 or sizes.sum() != n:
            raise ModelError(f"case {self.name}: n = {n} does not carry the shares of the classes")
        return [int(size) for size in sizes]

    def shape(self, d: int) -> tuple[int, int]:
        """p and n at dimension ``d``."""
        psi_p = self.width * d if math.isinf(self.model.psi_p) else self.model.psi_p
        sizes = (psi_p * d, self.model.psi_n * d)
        p, n = (round(size) for size in sizes)
        if abs(p - sizes[0]) > 1e-6 or abs(n - sizes[1]) > 1e-6:
            raise ModelError(f"case {self.name}: p = {sizes[0]}, n = {sizes[1]} at d = {d}")
        return p, n

    @property
    def fingerprint(self) -> str:
        """Digest of everything that decides what a cell of this case holds, but d and seed.

        Computed numbers enter with twelve digits: the last ones differ between processors.
        """
        m = self.model
        content: dict[str, Any] = {
            "simulation": SIMULATION,
            "model": [m.t, m.psi_p, m.psi_n, m.activation.name],  # type: ignore[union-attr]
            "covariance": [_digits(m.covariance.eigenvalues), _digits(m.covariance.weights)],
            "rules": {
                label: [type(rule).__name__, dataclasses.asdict(rule), _digits(self.tau(rule))]
                for label, rule in self.rules.items()
            },
            "data": self.data,
        }
        # named only where there are any, so that older cells keep their digest
        if math.isfinite(m.noise_draws):
            content["noise_draws"] = m.noise_draws
        if math.isinf(m.psi_p):
            content["width"] = self.width
        if isinstance(m.covariance, Mixture):
            content["shares"] = _digits(m.covariance.shares)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _digits(values: Array) -> Any:
    """Nested lists of the numbers, each with twelve digits."""
    return np.vectorize(lambda x: float(f"{x:.12g}"), otypes=[float])(values).tolist()
