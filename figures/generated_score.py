"""A learned score in one dimension, beside that of the samples and that of the data."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.linalg
from scipy.special import ndtri

from figures.figure import Figure
from figures.numbers import Array, Numbers
from figures.simulations import Simulations
from validation.common import style

T, N, P, SEED = 0.01, 8, 512, 1
TAU = {"early": 100.0, "between": 3000.0, "late": 1e7}
# features tanh(w x + b): standard deviation of w, and b is uniform within this of 0
_SLOPE, _SHIFT = 3.0, 8.0
_QUADRATURE, _GRID, EDGE = 80, 301, 3.0


def samples() -> Array:
    """The middles of N equal shares of N(0, 1), shape (N,)."""
    return np.asarray(ndtri((np.arange(N) + 0.5) / N))


def empirical_score(x: Array, data: Array) -> Array:
    """The score of the samples under noise: a mixture of N Gaussians."""
    mean, noise = math.exp(-T) * data, -math.expm1(-2.0 * T)
    log = -0.5 * (x[:, None] - mean) ** 2 / noise
    weight = np.exp(log - log.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    return np.asarray((weight @ mean - x) / noise)


class Network:
    """Random features tanh(w x + b), the outer layer trained by gradient flow, noise averaged."""

    def __init__(self, data: Array):
        rng = np.random.default_rng(SEED)
        self.w = _SLOPE * rng.standard_normal(P)
        self.b = rng.uniform(-_SHIFT, _SHIFT, P)
        self.noise = -math.expm1(-2.0 * T)
        xi, weight = np.polynomial.hermite_e.hermegauss(_QUADRATURE)
        weight = weight / weight.sum()
        x = math.exp(-T) * data[:, None] + math.sqrt(self.noise) * xi
        features = self.features(x.ravel())
        share = np.tile(weight, data.size) / data.size
        U = (features * share[:, None]).T @ features
        self.values, self.vectors = scipy.linalg.eigh(U)
        self.V = self.vectors.T @ (features.T @ (share * np.tile(xi, data.size)))

    def features(self, x: Array) -> Array:
        """Shape (points, P)."""
        return np.asarray(np.tanh(np.multiply.outer(x, self.w) + self.b))

    def score(self, x: Array, tau: float) -> Array:
        """After the time tau: -V^T U^{-1} (1 - e^{-2 Delta_t U tau/p}) sigma/sqrt(Delta_t)."""
        clock = 2.0 * self.noise / P * tau
        kept = np.maximum(self.values, 1e-300)
        learned = np.where(kept * clock < 1e-8, clock, -np.expm1(-kept * clock) / kept)
        outer = self.vectors @ (learned * self.V)
        return np.asarray(-self.features(x) @ outer / math.sqrt(self.noise))


def density(score: Array, x: Array) -> Array:
    """The density on the grid whose score this is."""
    log = np.concatenate([[0.0], np.cumsum(0.5 * (score[1:] + score[:-1]) * np.diff(x))])
    law = np.exp(log - log.max())
    return np.asarray(law / np.trapezoid(law, x))


def compute(profile: str, simulations: Simulations) -> Numbers:
    """Scores and densities on a grid: of the data, of the samples, and learned."""
    data, x = samples(), np.linspace(-EDGE, EDGE, _GRID)
    network = Network(data)
    numbers = Numbers(remarks={"t": T, "n": N, "p": P})
    numbers["data"], numbers["x"] = data, x
    scores = {"exact": -x, "empirical": empirical_score(x, data)}
    scores |= {name: network.score(x, tau) for name, tau in TAU.items()}
    for name, score in scores.items():
        numbers.put(name, {"score": score, "density": density(score, x)})
    return numbers


def draw(numbers: Numbers) -> Any:
    """Scores above, densities below, one column for each training time."""
    figure, axes = style.canvas(2, 3, 3.9, sharex=True)
    x = numbers["x"]
    for column, (name, tau) in zip(axes.T, TAU.items(), strict=True):
        for ax, what in zip(column, ("score", "density"), strict=True):
            ax.plot(x, numbers[f"empirical/{what}"], color=style.GREY, linewidth=1.0)
            ax.plot(x, numbers[f"exact/{what}"], color=style.GREEN, linestyle=style.LINES[1])
            ax.plot(x, numbers[f"{name}/{what}"], color=style.VERMILION, linewidth=1.5)
            ax.set_xlim(-EDGE, EDGE)
        power = math.floor(math.log10(tau))
        factor = tau / 10.0**power
        times = "" if factor == 1.0 else rf"{factor:g} \times "
        column[0].set_title(rf"$\tau = {times}10^{power}$")
        column[0].set_ylim(-8.0, 8.0)
        column[1].set_ylim(0.0, 0.5)
        data = numbers["data"]
        column[1].plot(data, np.full(data.size, 0.02), "|", color=style.BLACK, markersize=6.0)
        column[1].set_xlabel("$x$")
    axes[0, 0].set_ylabel(r"score $s(x, t)$")
    axes[1, 0].set_ylabel("density of this score")
    style.letters(list(axes.ravel()))
    handles = [
        style.handle("learned", style.VERMILION, "-"),
        style.handle(f"of the {N} samples (empirical)", style.GREY, "-"),
        style.handle("of the data (exact)", style.GREEN, style.LINES[1]),
    ]
    style.legend_over(figure, handles, 3)
    return figure


FIGURE = Figure(
    "A learned score in one dimension (t = 0.01, 8 samples, 512 features)",
    "A network of random features tanh(w x + b), its outer layer trained by gradient flow on eight "
    "samples (ticks: the middles of equal shares of N(0, 1)), the noise averaged exactly. (a-c) "
    "The learned score between that of the data and the empirical score of the samples. (d-f) The "
    "densities on [-3, 3] whose scores these are. At tau = 100 the score is learned in part. At "
    "3000 its density is within 0.02 of the data's in total variation and 0.14 from the samples': "
    "what is smooth is learned first. At 10^7 it is within 0.02 of the samples' and 0.14 from the "
    "data's: memorization.",
    compute, draw,
)  # fmt: skip
