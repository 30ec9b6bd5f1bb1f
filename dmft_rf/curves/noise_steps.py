r"""SGD with steps of finite size: batches in proportion to d, or one real run.

    L_k = F_k + (4 Delta_t^2/psi_p) dtau sum_{j<k} eps_j L_j integral x^2 g_{k-1-j}(x)^2 d rho

(kernels.step_memory), F_k being the loss of gradient descent or heavy ball after k steps. The sums
over the modes are taken on the nodes of the contour of that rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dmft_rf._typing import Array
from dmft_rf.curves.majorants import Few, Majorants
from dmft_rf.curves.noise_transforms import Added, NoiseTransforms, idle, outlier
from dmft_rf.errors import ModelError
from dmft_rf.kernels.step_memory import second_moments
from dmft_rf.numerics.estimate import EPS, Estimate

if TYPE_CHECKING:
    from dmft_rf.rules.stochastic import StochasticGradientDescent


# steps that are followed one by one
_MOST_STEPS = 5_000_000


def stepwise(
    nodes: NoiseTransforms,
    F: Estimate,
    tau: Array,
    rule: StochasticGradientDescent,
    load: Callable[[Array], Array],
) -> Added:
    """What the noise adds at the finite times ``tau`` where the mean weights have the loss F.

    ``load`` is the share of the training loss that given values of eps sustain.

    Raises
    ------
    ModelError
        If there are more steps than are followed, or the noise changes in time and the activation
        has a mean (its outlying mode sees the learning rate, and the steps have one length).
    """
    own, model, z = nodes.nodes, nodes.nodes.model, nodes.nodes.points
    assert rule.finite_steps is not None
    step, m, omega = rule.finite_steps, rule.momentum, rule.weight_decay
    steps = np.rint(tau / step)
    if steps.max(initial=0.0) > _MOST_STEPS:
        raise ModelError(
            f"tau is {float(tau.max())!r}, {steps.max():.6g} steps of {step!r}; at most "
            f"{_MOST_STEPS} are followed one by one, leave finite_steps out for more"
        )
    order = np.argsort(steps, kind="stable")
    wanted = steps[order].astype(np.int64)
    last = int(wanted[-1]) if wanted.size else 0
    noise = rule.noise_at(step * np.arange(last))
    first = rule.noise_at(np.zeros(1))
    X = float(outlier(model, rule, first)[0][0])
    if not rule.constant and model.classes[0].coefficients.mu0 ** 2 > EPS:
        raise ModelError(
            f"noise is a function of tau and finite_steps is {step!r}: for an activation with a "
            "mean, steps of one length need one learning rate"
        )
    scale = 4.0 * model.Delta_t**2 / model.unit * step
    w, decay = 2.0 * own.contour.weights, z + omega
    signal = w * own.S_VV / z
    F_0 = 1.0 - float(signal.real.sum()) if own.around_zero else own.train_limit
    initial = rule.initial_std**2 * model.Delta_t
    # random initial weights of features that do not move are one mode more, of x = 0
    A, free, bulk, whole = second_moments(
        np.append(model.rate * step * decay, model.rate * step * omega),
        m,
        np.append(omega / decay, 0.0),
        np.append(z / decay, 0.0),
        np.append(scale * w * z * nodes.weight, 0.0),
        np.append(signal, 0.0),
        np.append(initial * w * nodes.weight, initial * idle(model)),
        F_0,
        noise,
        X,
        X * X / rule.batch,
        wanted,
    )
    left = np.empty((tau.size, z.size), dtype=np.complex128)
    left[order] = A[:, :-1]
    count = steps.astype(np.int64)
    worst = np.maximum.accumulate(whole)[count]
    least = np.minimum.accumulate(free)[count]
    strongest = float(np.max(noise, initial=0.0)) * float(np.max(whole, initial=0.0))
    # the part that turns: (1 - g^2k)/(1 - g^2), as large as h at twice the time over what follows
    room = np.abs(2.0 * (1.0 + m) - model.rate * step * decay) * (1.0 - m)
    turning = Majorants(rule.mean_rule, own.contour, 2.0 * tau, model.rate, Few.all(tau.size))
    bound = turning.filter * (2.0 * (1.0 + m) * strongest / (model.rate * step) / room)

    def spread(transform: NDArray[np.complex128], size: Array) -> Estimate:
        found = own.integral(left, scale * transform, bound, scale * size)
        return Estimate(found.value, found.error + EPS * (8.0 + count) * np.abs(found.value))

    train = spread(z * nodes.weight, np.abs(z) * nodes.weight_size)
    test = spread(nodes.test, nodes.test_size)
    norm = spread(nodes.weight, nodes.weight_size)
    most = float(load(noise if noise.size else first).max())
    amplified = np.where(least > 0.0, worst / np.where(least > 0.0, least, 1.0), math.inf)
    if most < 1.0:
        amplified = np.minimum(amplified, 1.0 / (1.0 - most))
    fed = float(np.max(train.error, initial=0.0)) + most * float(np.max(F.error, initial=0.0))
    drift = min(most, 1.0) * amplified * (fed + EPS * (8.0 + count) * worst)
    settled = whole[count] - bulk[count]
    share = settled / whole[count]
    extra = Estimate(settled, share * (F.error + train.error + drift) + EPS * count * settled)
    return Added(
        Estimate(train.value, train.error + drift).plus((1.0, extra)),
        Estimate(test.value, test.error + drift).plus((1.0, extra)),
        Estimate(norm.value, norm.error + drift / model.Delta_t),
    )
