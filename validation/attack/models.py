"""Random models and training rules of every kind, for `validation.attack.attack`.

Parameters are uniform in their logarithm over the whole box that the package claims, and every
draw is made of its own seed: case 137 of seed 1 is the same model whatever was drawn before.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dmft_rf import (
    Activation,
    Covariance,
    GradientDescent,
    GradientFlow,
    HeavyBall,
    Mixture,
    Ridge,
    ScoreModel,
    WeightAverage,
)
from dmft_rf._typing import Array
from dmft_rf.rules.flow import Rule

NAMED = ("tanh", "relu", "erf", "sigmoid", "softplus", "gelu")
#: kinds of models, and how often each is drawn
KINDS = {
    "closed form": 0.30,
    "linear": 0.06,
    "noise draws": 0.20,
    "hard edge": 0.10,
    "mixture": 0.17,
    "mixture, noise draws": 0.10,
    "compress": 0.07,
}
RULES = ("flow", "ridge", "average", "descent", "momentum")
_T = (1e-6, 10.0)
_PSI = (1e-3, 1e6)


@dataclass(frozen=True)
class Case:
    """One random model: ``compress`` says how it is solved."""

    index: int
    kind: str
    model: ScoreModel
    compress: bool = False


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number whose logarithm is uniform."""
    return float(math.exp(rng.uniform(math.log(low), math.log(high))))


def case(seed: int, index: int) -> Case:
    """The model number ``index`` of ``seed``. Raises ModelError where it cannot be stated."""
    rng = np.random.default_rng([seed, index])
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    t, psi_p, psi_n = log_uniform(rng, *_T), log_uniform(rng, *_PSI), log_uniform(rng, *_PSI)
    draws = math.inf
    if kind in ("noise draws", "hard edge", "mixture, noise draws"):
        draws = float(rng.integers(1, 17))
    if kind == "hard edge":
        psi_n = psi_p / draws  # rounded: p = n m up to the last digit
        if rng.random() < 0.5:
            psi_p *= 1.0 + rng.choice([-1.0, 1.0]) * log_uniform(rng, 1e-12, 0.3)
    activation = "linear" if kind == "linear" else _activation(rng)
    law: Covariance | Mixture
    if kind.startswith("mixture") or (kind == "hard edge" and rng.random() < 0.3):
        law = _mixture(rng)
    elif kind == "compress":
        law = Covariance.power_law(rng.uniform(0.0, 2.5), int(rng.integers(130, 500)))
    else:
        law = _covariance(rng)
    model = ScoreModel(t, psi_p, psi_n, activation, law, draws)
    return Case(index, kind, model, kind == "compress")


def _activation(rng: np.random.Generator) -> str | Activation:
    if rng.random() < 0.6:
        return str(rng.choice(NAMED))
    small = log_uniform(rng, 1e-6, 1.0)
    shapes: dict[str, tuple[Callable[[Array], Array], tuple[float, ...]]] = {
        "x + {} x^3": (lambda x: x + small * x**3, ()),
        "x + {} x^2": (lambda x: x + small * x**2, ()),
        "x + {} sin 3 x": (lambda x: x + small * np.sin(3.0 * x), ()),
        "x + {} |x|": (lambda x: x + small * np.abs(x), (0.0,)),
        "tanh({} x)": (lambda x: np.tanh(small * x), ()),
        "clip x to {}": (lambda x: np.clip(x, -small, small), (-small, small)),
    }
    name = str(rng.choice(list(shapes)))
    function, kinks = shapes[name]
    return Activation(name.format(f"{small!r}"), function, kinks)


def _eigenvalues(rng: np.random.Generator, count: int) -> Array:
    """Eigenvalues with a mean between 0.1 and 10, spread over up to six decades."""
    lam = np.exp(rng.uniform(-rng.uniform(0.0, 14.0), 0.0, count))
    return lam / lam.mean() * log_uniform(rng, 0.1, 10.0)


def _weights(rng: np.random.Generator, count: int) -> Array:
    return rng.dirichlet(np.full(count, 2.0)) if rng.random() < 0.5 else np.full(count, 1.0 / count)


def _covariance(rng: np.random.Generator) -> Covariance:
    shape = rng.integers(4)
    if shape == 0:
        return Covariance.isotropic(log_uniform(rng, 0.1, 10.0))
    if shape == 1:
        count = int(rng.integers(2, 6))
        return Covariance(_eigenvalues(rng, count), _weights(rng, count))
    if shape == 2:
        return Covariance.power_law(rng.uniform(0.0, 3.0), int(rng.integers(4, 65)))
    count = int(rng.integers(1, 4))
    zero = rng.uniform(0.02, 0.95)
    lam, w = _eigenvalues(rng, count), _weights(rng, count)
    return Covariance(np.append(0.0, lam), np.append(zero, (1.0 - zero) * w))


def _mixture(rng: np.random.Generator) -> Mixture:
    classes, count = int(rng.integers(2, 4)), int(rng.integers(1, 5))
    lam = np.stack([_eigenvalues(rng, count) for _ in range(classes)])
    if count > 1 and rng.random() < 0.3:
        lam[int(rng.integers(classes)), int(rng.integers(count))] = 0.0
    return Mixture(_weights(rng, classes), lam, _weights(rng, count))


def rule(rng: np.random.Generator, name: str, top: float, rate: float) -> Rule:
    """A rule of this kind for a spectrum that ends at ``top``."""
    unit = 1.0 / (rate * top)
    omega = 0.0 if rng.random() < 0.4 else top * log_uniform(rng, 1e-9, 3.0)
    std = 0.0 if rng.random() < 0.4 else log_uniform(rng, 1e-2, 1e2)
    stable = 1.0 / (1.0 + omega / top)
    if name == "flow":
        return GradientFlow(omega, std)
    if name == "ridge":
        return Ridge(omega)
    if name == "average":
        return WeightAverage(unit * log_uniform(rng, 1e-3, 1e6), omega, std)
    if name == "descent":
        return GradientDescent(unit * stable * rng.uniform(0.02, 1.98), omega, std)
    beta = rng.uniform(0.0, 0.95) if rng.random() < 0.9 else 1.0 - log_uniform(rng, 1e-4, 0.05)
    step = unit * stable * rng.uniform(0.02, 1.98) * (1.0 + beta)
    return HeavyBall(step, omega, std, momentum=beta)


def times(rng: np.random.Generator, one: Rule, low: float, top: float, rate: float) -> Array:
    """0, six times from before the fastest mode to after the slowest, and inf."""
    first, last = 0.01 / (rate * top), 100.0 / (rate * max(low, 1e-12 * top))
    tau = np.sort([log_uniform(rng, first, last) for _ in range(6)])
    if isinstance(one, GradientDescent | HeavyBall):
        tau = one.times(np.unique(np.rint(np.minimum(tau / one.step, 1e12))))
        tau = tau[tau > 0.0]
    return np.concatenate([[0.0], tau, [math.inf]])
