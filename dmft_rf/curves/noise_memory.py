r"""Noise that depends on time, averaged weights and weight decay: the Volterra equation itself.

F and K are sums of exponentials on the nodes of the contour; with w their weights, y = z + omega,
the kernel has the rates 2 alpha y, and for weight decay omega

    F = L(inf) + S_VV[(omega + x e^{-alpha y tau})^2/(x y^2)]

has the rates alpha y beside them. What the noise leaves in a loss is an integral of

    Y(tau) = integral_0^tau e^{-2 alpha y (tau - s)} eps(s) L_train(s) ds

over the modes. For weights averaged with the decay time T, G^2 takes the place of the exponential,
G(s) = (e^{-alpha y s} - e^{-s/T})/(1 - alpha y T); L_train is still that of the weights themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from dmft_rf._typing import Array, Complex
from dmft_rf.curves.majorants import Few, Majorants
from dmft_rf.curves.noise_transforms import Added, NoiseTransforms, idle, outlier
from dmft_rf.numerics.estimate import EPS, Estimate
from dmft_rf.numerics.volterra import Memory, solve_volterra
from dmft_rf.rules.flow import GradientFlow

if TYPE_CHECKING:
    from dmft_rf.rules.stochastic import StochasticGradientDescent


# relative rounding of what a mode remembers
_OF_MEMORY = 50.0 * EPS


def along(
    nodes: NoiseTransforms,
    F: Estimate,
    tau: Array,
    rule: StochasticGradientDescent,
    load: Callable[[Array], Array],
    rtol: float,
) -> Added:
    """What the noise adds at the finite times ``tau`` where the mean weights have the loss F.

    ``load`` is the share of the training loss that given values of eps sustain.
    """
    own, model = nodes.nodes, nodes.nodes.model
    clock = rule.pace * tau
    end = float(clock.max(initial=0.0))
    still = Estimate(np.zeros(tau.size), np.zeros(tau.size))
    y = outlier(model, rule, rule.noise_at(tau))[1]
    if end == 0.0:
        settled = Estimate(y * F.value, y * F.error)
        kept = still if rule.average is not None else settled
        return Added(kept, kept, still)
    found = solved(nodes, rule, end, rtol)
    scale = 4.0 * model.Delta_t**2 / model.unit
    left, lost = _left(found, nodes, rule, clock)
    # the part of Y that turns is bounded as that of a constant drive
    strongest = float(np.abs(found.drive).sum(axis=1).max())
    mean = GradientFlow(rule.weight_decay)
    turning = Majorants(mean, own.contour, 2.0 * clock, model.rate, Few.of(clock))
    bound = turning.filter * (strongest / (2.0 * model.rate))

    def spread(transform: Complex, size: Array) -> Estimate:
        summed = own.integral(left, scale * transform, bound, scale * size)
        cancelled = lost @ (2.0 * scale * np.abs(own.contour.weights * transform))
        return Estimate(summed.value, summed.error + cancelled)

    z = own.points
    train = spread(z * nodes.weight, np.abs(z) * nodes.weight_size)
    test = spread(nodes.test, nodes.test_size)
    norm = spread(nodes.weight, nodes.weight_size)
    # what is wrong with L_train drives more of it
    panel = found.panel(clock)
    worst = np.maximum.accumulate(found.solution.max(axis=1))[panel]
    least = np.minimum.accumulate(found.free.min(axis=1))[panel]
    most = float(load(rule.noise_at(found.edges / rule.pace)).max())
    amplified = worst / np.where(least > 0.0, least, np.inf)
    amplified = np.where(least > 0.0, amplified, np.inf)
    if most < 1.0:
        amplified = np.minimum(amplified, 1.0 / (1.0 - most))
    fed = float(np.max(train.error, initial=0.0)) + most * float(np.max(F.error, initial=0.0))
    drift = amplified * (fed + EPS * found.edges.size * worst) + found.error[panel]
    drift = np.minimum(most, 1.0) * drift
    if rule.average is None:
        gain = 1.0 + y
        driven = Estimate(train.value, train.error + drift)
        whole = Estimate(gain * driven.value + y * F.value, gain * driven.error + y * F.error)
        share = y / (1.0 + y)
        extra = Estimate(share * (F.value + whole.value), share * (F.error + whole.error))
    else:  # an average forgets the outlier, which turns over within a few steps
        whole, extra = Estimate(train.value, train.error + drift), still
    return Added(
        whole,
        Estimate(test.value, test.error + drift).plus((1.0, extra)),
        Estimate(norm.value, norm.error + drift / model.Delta_t),
    )


def solved(
    nodes: NoiseTransforms, rule: StochasticGradientDescent, end: float, rtol: float
) -> Memory:
    """The training loss of the weights themselves, in the clock of gradient flow, up to ``end``."""
    own, model, z = nodes.nodes, nodes.nodes.model, nodes.nodes.points
    omega, pace = rule.weight_decay, rule.pace
    w = 2.0 * own.contour.weights
    decay = z + omega
    mu = 2.0 * model.rate * decay
    c = 4.0 * model.Delta_t**2 / model.unit * w * z * nodes.weight
    signal = w * own.S_VV
    d = signal * z / decay**2 + rule.initial_std**2 * model.Delta_t * w * nodes.weight
    F_0 = 1.0 - float((signal / z).real.sum()) if own.around_zero else own.train_limit
    if omega > 0.0:
        F_0 += omega**2 * float((signal / (z * decay**2)).real.sum())
        mu = np.concatenate([mu, 0.5 * mu])
        c = np.concatenate([c, np.zeros(c.size)])
        d = np.concatenate([d, 2.0 * omega * signal / decay**2])
    # random initial weights of features that do not move
    kept = rule.initial_std**2 * model.Delta_t * idle(model)
    if omega == 0.0:
        F_0 += kept
    elif kept > 0.0:
        mu = np.append(mu, 2.0 * model.rate * omega)
        c, d = np.append(c, 0.0), np.append(d, kept)

    def noise(times: Array) -> Array:
        return pace * rule.noise_at(times / pace)

    def gain(times: Array) -> Array:
        return 1.0 + outlier(model, rule, rule.noise_at(times / pace))[1]

    breaks = tuple(pace * time for time in rule.breaks)
    return solve_volterra(noise, gain, mu, c, d, F_0, end, breaks, rtol)


def _left(
    found: Memory, nodes: NoiseTransforms, rule: StochasticGradientDescent, clock: Array
) -> tuple[Complex, Array]:
    """Y, or the same for averaged weights, at the nodes, and its rounding; each (n_tau, N)."""
    model = nodes.nodes.model
    decay = model.rate * (nodes.nodes.points + rule.weight_decay)
    if rule.average is None:
        left = found.of(2.0 * decay, clock)
        return left, _OF_MEMORY * np.abs(left)
    T = rule.average * rule.pace
    rates = np.concatenate([2.0 * decay, decay + 1.0 / T, [2.0 / T]])
    both = found.of(rates, clock)
    own, mixed, slow = both[:, : decay.size], both[:, decay.size : -1], both[:, -1:]
    near = (1.0 - decay * T) ** 2
    size = np.abs(own) + 2.0 * np.abs(mixed) + np.abs(slow)
    return (own - 2.0 * mixed + slow) / near, _OF_MEMORY * size / np.abs(near)
