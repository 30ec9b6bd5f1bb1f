r"""How the filter of a training rule changes with its rate and its weight decay.

With u = alpha (x + omega) tau, gradient flow has h = (1 - e^{-u})/(x + omega) and

    dh/d ln alpha = alpha tau e^{-u},    dh/d omega = -(1 - e^{-u} - u e^{-u})/(x + omega)^2,

and ridge regression, h = 1/(x + omega), is the limit of late times.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from dmft_rf.errors import ModelError
from dmft_rf.rules.flow import Array, GradientFlow, Ridge, Rule

# below this |u| the second slope is a series, of so many terms
_SMALL, _TERMS = 0.5, 18


class FilterSlopes(NamedTuple):
    """Derivatives of h at points (n,) and times (n_tau,), each (n_tau, n)."""

    log_rate: Array
    decay: Array
    tau: Array


def require_slopes(rule: Rule) -> None:
    """Raise ModelError unless the derivatives of the rule's filter are known."""
    if type(rule) not in (GradientFlow, Ridge) or rule.initial_scale > 0.0:
        raise ModelError(
            f"rule is {rule}; derivatives are known for GradientFlow(weight_decay) and "
            "Ridge(weight), from A = 0"
        )


def filter_slopes(rule: Rule, x: Array, tau: Array, rate: float) -> FilterSlopes:
    """Derivatives of the filter of ``rule`` in ln alpha, in the weight decay and in tau."""
    require_slopes(rule)
    y = x + rule.decay
    if type(rule) is Ridge:
        still = np.zeros((tau.size, x.size), x.dtype)
        return FilterSlopes(still, np.broadcast_to(-1.0 / (y * y), still.shape), still)
    forever = np.isinf(tau)
    left = rule.memory(x, tau, rate)
    grown = rate * np.where(forever, 0.0, tau)
    u = np.multiply.outer(grown, y)
    near = np.abs(u) < _SMALL
    early = _early(np.where(near, u, 0.0))
    lost = np.where(near, early, 1.0 - left - u * left)
    lost[forever] = 1.0
    return FilterSlopes(grown[:, None] * left, -lost / (y * y), rate * left)


def _early(u: Array) -> Array:
    """1 - e^{-u} (1 + u) = u^2/2 - u^3/3 + ... for small u."""
    total = np.zeros_like(u)
    for n in range(_TERMS, 1, -1):
        total = total * u + (-1.0) ** n * (n - 1) / math.factorial(n)
    return total * u * u
