r"""What a finite nonlinear network generates: reverse processes, run step by step.

The weights of the outer layer follow gradient flow exactly at each of a few diffusion times,

    B(t) = -V^T U^{-1} (1 - e^{-2 Delta_t (d/p) U tau})/sqrt(Delta_t),
    s(x, t) = B(t) sigma(W x/sqrt(d)),

with U and V averaged over the noise exactly, and are interpolated between them by a polynomial in
ln(e^{2t} - 1). From N(0, 1) at t_start down to t_end many samples x follow

    dx = (x + 2 s) dt' + sqrt(2) dw    or    dx = (x + s) dt',    t' = t_start - t,

in Heun's steps, twice: with steps and with pairs of them taken as one, along the same noise. What
is kept is extrapolated to steps of length 0 from both, by h^2.

Nothing here knows the theory, which is linear and of infinite width; `reverse_control` makes
use of a linear process to lower the scatter.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from scipy.special import digamma

from dmft_rf._typing import Array
from dmft_rf.images.averages import noise_moments
from dmft_rf.model.activation import Activation

Score = Callable[[Array, int], Array]
"""Of samples x (N, d), at the i-th time of `ReverseProcess.edges`."""

QUANTITIES = ("trace", "overlap", "kl", "reverse_kl", "likelihood_gap")
"""What is compared with the theory; defined as in `dmft_rf.generated.result`."""

LISTED = ("copies", "nearest")
"""Not judged: the share f_mem of generated samples that are closer to one training sample than a
third of their distance from the next, and the mean ratio of these two distances. For d -> infinity
all distances become equal: the limits are 0 and 1."""

# Frobenius norm that is cut off the averages over the noise, of U of order 1
_TOLERANCE = 1e-5


@dataclass(frozen=True)
class ReverseProcess:
    """How samples are generated.

    Attributes
    ----------
    sampler : str
        "sde" or "ode".
    schedule : str
        "score", or "noise": trained for tau/Delta_t.
    t_start, t_end : float
    nodes : int
        Diffusion times at which a network is trained.
    steps : int
        Even number of the shorter steps.
    samples : int
        Generated for each network, over d.
    """

    sampler: str = "sde"
    schedule: str = "score"
    t_start: float = 2.0
    t_end: float = 0.05
    nodes: int = 10
    steps: int = 32
    samples: int = 64

    def stored(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What a file holds of it."""
        return {"rule": type(self).__name__, **dataclasses.asdict(self)}, {}

    @property
    def edges(self) -> Array:
        """Diffusion times between steps, descending: equal steps in ln(e^{2t} - 1)."""
        return _times(np.linspace(_place(self.t_start), _place(self.t_end), self.steps + 1))

    @property
    def trained_at(self) -> Array:
        """Chebyshev nodes in ln(e^{2t} - 1)."""
        return _times(self._middle + self._half * np.polynomial.chebyshev.chebpts1(self.nodes))

    def interpolation(self, t: float) -> Array:
        """What the weights at each trained time contribute at ``t``, shape (nodes,)."""
        chebyshev, node = np.polynomial.chebyshev, np.polynomial.chebyshev.chebpts1(self.nodes)
        y = (_place(t) - self._middle) / self._half
        values = chebyshev.chebvander(node, self.nodes - 1)
        scale = np.full(self.nodes, 2.0 / self.nodes)
        scale[0] *= 0.5
        found: Array = values @ (scale * chebyshev.chebvander(np.array([y]), self.nodes - 1)[0])
        return found

    @property
    def _middle(self) -> float:
        return 0.5 * (_place(self.t_start) + _place(self.t_end))

    @property
    def _half(self) -> float:
        return 0.5 * (_place(self.t_start) - _place(self.t_end))


def _place(t: float) -> float:
    return math.log(math.expm1(2.0 * t))


def _times(place: Array) -> Array:
    return np.asarray(0.5 * np.log1p(np.exp(place)))


def trained(W: Array, X: Array, tau: float, rule: ReverseProcess, activation: Activation) -> Array:
    """B(t) at the times ``rule.trained_at``, shape (nodes, d, p), by gradient flow from 0.

    Parameters
    ----------
    W, X : (p, d) and (n, d) arrays
    tau : float
        Training time, as `dmft_rf.generation` means it.
    """
    (p, d), found = W.shape, []
    for t in rule.trained_at:
        delta = -math.expm1(-2.0 * t)
        time = tau / delta if rule.schedule == "noise" else tau
        moments = noise_moments(W, X, float(t), activation, _TOLERANCE)
        values, vectors = scipy.linalg.eigh(moments.U)
        learned = -np.expm1(-(2.0 * delta * d / p * time) * values) / values
        found.append((moments.V.T @ vectors * -learned) @ vectors.T / math.sqrt(delta))
    return np.array(found)


def network_score(B: Array, W: Array, rule: ReverseProcess, activation: Activation) -> Score:
    """The score of a network with the weights B at the trained times."""
    scaled = W.T / math.sqrt(W.shape[1])
    outer = [np.tensordot(rule.interpolation(t), B, 1).T for t in rule.edges]
    return lambda x, i: np.asarray(activation(x @ scaled) @ outer[i])


def generated(
    scores: Sequence[Score], rule: ReverseProcess, d: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Samples of every score, along the same noise, from steps and from pairs of steps.

    Both have the shape (number of scores, N, d).
    """
    noisy = rule.sampler == "sde"
    edges = rule.edges
    factor = 2.0 if noisy else 1.0

    def drift(x: Array, i: int) -> Array:
        return np.stack([one + factor * s(one, i) for one, s in zip(x, scores, strict=True)])

    def heun(x: Array, i: int, j: int, noise: Array) -> Array:
        h = edges[i] - edges[j]
        first = drift(x, i)
        return np.asarray(x + 0.5 * h * (first + drift(x + h * first + noise, j)) + noise)

    start = rng.standard_normal((rule.samples * d, d))
    fine = coarse = np.stack([start] * len(scores))
    for i in range(0, rule.steps, 2):
        both = np.zeros((2, 1, 1))
        if noisy:
            lengths = edges[i : i + 2] - edges[i + 1 : i + 3]
            both = rng.standard_normal((2, *start.shape)) * np.sqrt(2.0 * lengths)[:, None, None]
        fine = heun(heun(fine, i, i + 1, both[0]), i + 1, i + 2, both[1])
        coarse = heun(coarse, i, i + 2, both.sum(axis=0))
    return fine, coarse


def measured(x: Array, X: Array, eigenvalues: Array, t_end: float) -> dict[str, float]:
    """The quantities of ``QUANTITIES`` from N samples (N, d) of one network.

    Averages of the inverse of a covariance and of its ln det from N samples are those of Wishart's
    law times the truth; both are corrected by that.

    Parameters
    ----------
    X : (n, d) array
        What the network was trained on.
    eigenvalues : (d,) array
        Of Sigma, which is diagonal.
    """
    N, d = x.shape
    covariance = np.cov(x.T)
    inverse = np.linalg.inv(covariance) * (N - d - 2.0) / (N - 1.0)
    # E ln det of a Wishart matrix of N - 1 degrees of freedom over N - 1
    wishart = float(np.sum(digamma(0.5 * (N - 1.0 - np.arange(d))))) + d * math.log(2.0 / (N - 1.0))
    log = float(np.linalg.slogdet(covariance)[1]) - wishart
    return of_covariance(covariance, inverse, log, X, eigenvalues, t_end)


def of_covariance(
    covariance: Array, inverse: Array, log: float, X: Array, eigenvalues: Array, t_end: float
) -> dict[str, float]:
    """The same of a covariance, its inverse and its ln det, all (d, d) or a number."""
    d = covariance.shape[0]
    signal, noise = math.exp(-2.0 * t_end), -math.expm1(-2.0 * t_end)
    target = signal * eigenvalues + noise
    sample = signal * (X.T @ X) / X.shape[0] + noise * np.eye(d)
    log = log - float(np.log(target).sum())
    ratio = float(target @ np.diag(inverse)) / d
    inverted = float(np.diag(covariance) @ (1.0 / target)) / d
    return {
        "trace": float(np.trace(covariance)) / d,
        "overlap": float(np.sum(sample * covariance) / (target @ np.diag(covariance))),
        "kl": 0.5 * (ratio - 1.0 + log / d),
        "reverse_kl": 0.5 * (inverted - 1.0 - log / d),
        "likelihood_gap": 0.5 * (ratio - float(np.sum(sample * inverse)) / d),
    }


def step_free(fine: dict[str, float], coarse: dict[str, float]) -> dict[str, float]:
    """Extrapolated to steps of length 0, by h^2."""
    return {name: (4.0 * fine[name] - coarse[name]) / 3.0 for name in fine}


def copies(x: Array, X: Array) -> dict[str, float]:
    """The quantities of ``LISTED`` from samples x and training samples X."""
    squares = (x * x).sum(axis=1)[:, None] + (X * X).sum(axis=1) - 2.0 * x @ X.T
    nearest = np.sqrt(np.partition(squares, 1, axis=1)[:, :2])
    ratio = nearest[:, 0] / nearest[:, 1]
    return {"copies": float(np.mean(ratio < 1.0 / 3.0)), "nearest": float(ratio.mean())}
