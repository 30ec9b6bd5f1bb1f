r"""Mini-batch SGD of one finite network, step by step, as it is run in practice.

Every step draws ``batch`` of the n samples with replacement, each with fresh noise xi, and follows
the gradient of their mean loss |r|^2/d, r = sqrt(Delta_t) B phi + xi, phi = sigma(W x_t/sqrt(d)):

    B <- B - d tau (2 sqrt(Delta_t) d/p) (1/batch) sum r phi^T,    d tau = eps batch/d

with the nonlinear features themselves, momentum, a rate that falls, and averages of the weights.
The theory (dmft_rf.curves.stochastic) knows none of this: its noise is that of the limit
d -> infinity. Losses are the exact averages of the weights that the steps arrive at.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dmft_rf.model.activation import Activation
from dmft_rf.rules.stochastic import StochasticGradientDescent
from validation.finite.losses import Losses, losses_from_weights
from validation.finite.network import FiniteNetwork

Array = NDArray[np.float64]

# samples whose noise is drawn at once
_BLOCK = 512


def sgd_losses(
    network: FiniteNetwork,
    W: Array,
    X: Array,
    activation: Activation,
    rule: StochasticGradientDescent,
    tau: Array,
    rng: np.random.Generator,
) -> Losses:
    """Losses of one run at the ascending times ``tau``, shape (n_tau,).

    Parameters
    ----------
    network : FiniteNetwork
        The averages U and V of this draw.
    W, X : (p, d) and (n, d) arrays
        Its weights and samples.
    activation : Activation
    rule : StochasticGradientDescent
        In the limit of small steps: its d tau is that of the dimension d.
    tau : array
    rng : numpy Generator
        Draws batches and noise.
    """
    p, d = W.shape
    factor = 2.0 * math.sqrt(network.Delta_t) * d / (p * rule.batch)
    B, velocity, average = np.zeros((d, p)), np.zeros((d, p)), np.zeros((d, p))
    batches = _batches(network.t, W, X, activation, rule.batch, rng)
    now, found = 0.0, []
    step = 0.0 if callable(rule.noise) else rule.noise * rule.batch / d
    for goal in tau:
        while True:
            if callable(rule.noise):
                step = float(rule.noise(np.array(now))) * rule.batch / d
            if now + 0.5 * step > goal:
                break
            phi, xi = next(batches)
            error = math.sqrt(network.Delta_t) * (phi @ B.T) + xi
            change = (-factor * step * error).T @ phi
            if rule.momentum > 0.0:
                velocity *= rule.momentum
                velocity += change
                change = velocity
            B += change
            now += step
            if rule.average is not None:
                average += -math.expm1(-step / rule.average) * (B - average)
        found.append(losses_from_weights(network, B if rule.average is None else average))
    train, test = np.array(found).T
    return Losses(train, test, (test - network.floor) / network.Delta_t, train)


def _batches(
    t: float, W: Array, X: Array, activation: Activation, batch: int, rng: np.random.Generator
) -> Iterator[tuple[Array, Array]]:
    """Features (batch, p) and noise (batch, d) of one batch after another."""
    delta, count = -math.expm1(-2.0 * t), max(1, _BLOCK // batch)
    while True:
        rows = X[rng.integers(X.shape[0], size=count * batch)]
        xi = rng.standard_normal(rows.shape)
        x_t = math.exp(-t) * rows + math.sqrt(delta) * xi
        phi = activation(x_t @ W.T / math.sqrt(W.shape[1]))
        for i in range(0, count * batch, batch):
            yield phi[i : i + batch], xi[i : i + batch]
