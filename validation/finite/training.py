r"""Training as it is run in practice, step by step, on one finite network.

The second layer B = A/sqrt(p) (d x p) of `validation.finite.network` is trained on noisy samples by
explicit steps; in the paper's time a step of size ``step`` is

    B <- B - (2 Delta_t step/psi_p) (B Phi Phi^T/N + Xi Phi^T/(N sqrt(Delta_t)))

with the features Phi = sigma(W x_t/sqrt(d)) and the noise Xi of the N samples it uses. Fresh noise
at every step is the paper's own protocol (arXiv:2505.17638, section 2): the matrices of different
steps are independent of the weights they act on, so that the mean of B over the noise follows the
exact filter (1 - (1 - eta' U)^k)/U of gradient descent, and the loss of B lies above by a variance
that falls with the step. Fixed noise draws, mini-batches, momentum and Adam are the
variants that people use; only the first two rules are filters of U.
"""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dmft_rf import GradientDescent, HeavyBall, ModelError, solve
from dmft_rf._typing import Array
from dmft_rf.model.activation import Activation
from dmft_rf.model.score_model import ScoreModel
from validation.finite.losses import Trained, losses_from_weights
from validation.finite.network import conditional_average, draw_network

OPTIMIZERS = ("gradient descent", "heavy ball", "adam")


@dataclass(frozen=True)
class Protocol:
    """How to train.

    Attributes
    ----------
    optimizer : str
        One of OPTIMIZERS.
    step : float
        tau per step (for Adam: the size of its normalised step, in units of 1/sqrt(p)).
    draws : int
        Noise draws per sample in each step.
    fresh : bool
        New noise at every step; otherwise ``draws`` draws that stay fixed.
    batch : int
        Samples per step, drawn without replacement; 0 for all of them.
    momentum : float
        Of the heavy ball (and Adam's beta_1).
    """

    optimizer: str = "gradient descent"
    step: float = 1.0
    draws: int = 1
    fresh: bool = True
    batch: int = 0
    momentum: float = 0.9

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise ModelError(f"optimizer is {self.optimizer!r}; it must be one of {OPTIMIZERS}")
        if not self.step > 0.0 or self.draws < 1 or self.batch < 0:
            raise ModelError("step must be > 0, draws >= 1 and batch >= 0")


@dataclass
class Training:
    """R independent trainings of one network at once.

    Parameters
    ----------
    W, X : arrays (p, d), (n, d)
        First layer and samples.
    t : float
    activation : Activation
    protocol : Protocol
    runs : int
        R, each with its own noise.
    seed : int

    Attributes
    ----------
    B : (R, d, p) array
        Second layers.
    steps : int
        Steps made so far.
    """

    W: Array
    X: Array
    t: float
    activation: Activation
    protocol: Protocol
    runs: int = 1
    seed: int = 0
    B: Array = field(init=False)
    steps: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        (p, d), n = self.W.shape, self.X.shape[0]
        self.B = np.zeros((self.runs, d, p))
        self._velocity = np.zeros_like(self.B)
        self._square = np.zeros_like(self.B)
        self._rng = np.random.default_rng(self.seed)
        self._delta = -math.expm1(-2.0 * self.t)
        self._rate = 2.0 * self._delta * d / p
        self._fixed: tuple[Array, Array] | None = None
        if self.protocol.batch > n:
            raise ModelError(f"batch is {self.protocol.batch}, there are {n} samples")
        if not self.protocol.fresh:
            self._fixed = self._noisy(self.X)

    def _noisy(self, X: Array) -> tuple[Array, Array]:
        """Features (R, p, N) and noise (R, d, N) of ``draws`` noise draws of the rows of X."""
        rows = np.repeat(X, self.protocol.draws, axis=0)
        xi = self._rng.standard_normal((self.runs, *rows.shape))
        x_t = math.exp(-self.t) * rows + math.sqrt(self._delta) * xi
        h = x_t @ self.W.T / math.sqrt(self.W.shape[1])
        return np.swapaxes(self.activation(h), 1, 2), np.swapaxes(xi, 1, 2)

    def _gradient(self) -> Array:
        """B U + V^T/sqrt(Delta_t) on this step's samples, (R, d, p)."""
        batch, n = self.protocol.batch, self.X.shape[0]
        if self._fixed is None:
            X = self.X
            if batch:
                X = X[self._rng.choice(n, batch, replace=False)]
            phi, xi = self._noisy(X)
        else:
            phi, xi = self._fixed
            if batch:
                m = self.protocol.draws
                chosen = self._rng.choice(n, batch, replace=False)
                columns = (m * chosen[:, None] + np.arange(m)).ravel()
                phi, xi = phi[:, :, columns], xi[:, :, columns]
        error = self.B @ phi + xi / math.sqrt(self._delta)
        return error @ np.swapaxes(phi, 1, 2) / phi.shape[2]

    def advance(self, steps: int) -> None:
        """Train until ``steps`` steps have been made in all."""
        proto = self.protocol
        while self.steps < steps:
            gradient = self._gradient()
            self.steps += 1
            if proto.optimizer == "adam":
                beta2 = 0.999
                self._velocity += (1.0 - proto.momentum) * (gradient - self._velocity)
                self._square += (1.0 - beta2) * (gradient**2 - self._square)
                mean = self._velocity / (1.0 - proto.momentum**self.steps)
                square = self._square / (1.0 - beta2**self.steps)
                size = proto.step / math.sqrt(self.W.shape[0])
                self.B -= size * mean / (np.sqrt(square) + 1e-12)
            else:
                momentum = proto.momentum if proto.optimizer == "heavy ball" else 0.0
                self._velocity *= momentum
                self._velocity -= self._rate * proto.step * gradient
                self.B += self._velocity


def study(d: int = 24, runs: int = 4, draws: int = 4, seeds: int = 8) -> dict[str, Any]:
    """Explicit training of A_iso networks (t = 0.1, psi_p = 4, psi_n = 2) beside the exact curves.

    For each of ``seeds`` networks the exact losses of gradient descent are known; explicit training
    with fresh noise is judged against them (z of the mean over its runs at the
    smallest step), and the variants are reported beside them.

    Returns
    -------
    dict
        ``rows`` of the table, ``curves`` for the picture, ``about``, and ``z`` (worst z of fresh
        noise, of the mean weights).
    """
    model = ScoreModel(0.1, 4.0, 2.0)
    activation = model.activation
    assert isinstance(activation, Activation)
    p, n, t = round(4 * d), round(2 * d), model.t
    step = 4.0
    tau = np.array([8.0, 24.0, 80.0, 240.0])
    theory = solve(model).learning_curves(tau)
    plans = [
        ("fresh noise, gradient descent", Protocol(step=step, draws=draws)),
        ("the same, step/4", Protocol(step=step / 4, draws=draws)),
        ("fresh noise, mini-batches of n/4", Protocol(step=step / 4, draws=draws, batch=n // 4)),
        ("fresh noise, heavy ball 0.9", Protocol("heavy ball", step / 10, draws)),
        ("4 fixed noise draws", Protocol(step=step, draws=draws, fresh=False)),
        ("fresh noise, Adam", Protocol("adam", 0.05, draws)),
    ]
    losses = np.zeros((len(plans), seeds, tau.size))
    exact = np.zeros((len(plans), seeds, tau.size))
    bias = np.zeros((seeds, tau.size))
    for s in range(seeds):
        network = draw_network(np.random.default_rng([s, d]), np.ones(d), p, n, t, activation)
        rng = np.random.default_rng([s, d])  # the same draws again
        W, X = rng.standard_normal((p, d)), rng.standard_normal((n, d))
        check, _, _ = conditional_average(W[:4], X, t, activation, 1e-6)
        assert np.allclose(check, network.U[:4, :4], atol=1e-6)
        trained = Trained(dataclasses.replace(network, U=network.U.copy()))
        for i, (_, protocol) in enumerate(plans):
            rule: Any = GradientDescent(protocol.step)
            if protocol.optimizer == "heavy ball":
                rule = HeavyBall(protocol.step, momentum=protocol.momentum)
            if protocol.optimizer != "adam":
                exact[i, s] = trained.losses(rule, tau).test
            training = Training(W, X, t, activation, protocol, runs, seed=1000 * s + i)
            for j, time in enumerate(tau):
                per_step = step / 4 if protocol.optimizer == "adam" else protocol.step
                training.advance(round(time / per_step))
                losses[i, s, j] = np.mean([losses_from_weights(network, B)[1] for B in training.B])
                if i == 1:
                    bias[s, j] = _unbiased(network, training.B) - exact[i, s, j]
    return _tabulate(plans, tau, theory.test, losses, exact, bias)


def _unbiased(network: Any, B: Array) -> float:
    """Test loss of the mean weights, without bias: the quadratic part over pairs of runs."""
    runs = B.shape[0]
    single = np.mean([losses_from_weights(network, b)[1] for b in B])
    mean = losses_from_weights(network, B.mean(axis=0))[1]
    # E L(mean of R) = L(E B) + variance/R and E L(one) = L(E B) + variance
    return float((runs * mean - single) / (runs - 1))


def _tabulate(
    plans: list[tuple[str, Protocol]], tau: Array, theory: Array, losses: Array, exact: Array,
    bias: Array,
) -> dict[str, Any]:  # fmt: skip
    seeds = losses.shape[1]
    rows, curves = [], []
    error = bias.std(axis=0, ddof=1) / math.sqrt(seeds)
    z = bias.mean(axis=0) / error
    for i, (name, protocol) in enumerate(plans):
        # the same networks' exact loss is taken out: what is left is the noise of training
        scatter = losses[i] - exact[i] if protocol.optimizer != "adam" else losses[i]
        spread = scatter.std(axis=0, ddof=1) / math.sqrt(seeds)
        curves.append((name, losses[i].mean(axis=0), spread))
        for j in range(tau.size):
            known = protocol.optimizer != "adam"
            rows.append(
                [name, f"{tau[j]:g}", f"{theory[j]:.4f}",
                 f"{exact[i, :, j].mean():.4f}" if known else "",
                 f"{losses[i, :, j].mean():.4f}", f"{spread[j]:.4f}", ""]
            )  # fmt: skip
    for j in range(tau.size):
        rows.append(
            ["mean weights of the second run", f"{tau[j]:g}", f"{theory[j]:.4f}",
             f"{exact[1, :, j].mean():.4f}", f"{(exact[1, :, j] + bias[:, j]).mean():.4f}",
             f"{error[j]:.4f}", f"{z[j]:+.2f}"]
        )  # fmt: skip
    return {
        "rows": rows,
        "curves": {"tau": tau, "theory": theory, "runs": curves},
        "z": float(np.abs(z).max()),
        "about": (
            "Explicit training of networks with d = 24, p = 96, n = 48 (t = 0.1, tanh). 'This "
            "network, exact' is the filter of the rule on the exact U of the same draws; the "
            "difference of theory from it is finite size. Fresh noise raises the loss by a "
            "variance that falls with the step; without it, the mean weights must be on the exact "
            "curve (z in the last rows). With heavy ball, slow modes run 1/(1 - momentum) times "
            "faster. Adam is not a filter of U; its tau counts steps of 1."
        ),
    }
