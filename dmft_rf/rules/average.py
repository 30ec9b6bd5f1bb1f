r"""Averages of the weights along gradient flow, as spectral filters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dmft_rf._arithmetic import ieee
from dmft_rf.rules.flow import Array, Rule, slack


@ieee
@dataclass(frozen=True)
class WeightAverage(Rule):
    r"""Exponential moving average of the weights along gradient flow.

    A_avg(tau) = integral_0^tau e^{-(tau - s)/T} A(s) ds/T + e^{-tau/T} A(0), T = ``decay_time``:

    h = (1/y) [1 - e^{-tau/T} - (e^{-alpha y tau} - e^{-tau/T})/(1 - alpha y T)],  y = x + omega.

    Parameters
    ----------
    decay_time : float
        T > 0, in units of tau; an average over steps with factor beta has T = step/(1 - beta).
    weight_decay, initial_std : float
        As in GradientFlow.
    """

    decay_time: float
    weight_decay: float = 0.0
    initial_std: float = 0.0

    def __post_init__(self) -> None:
        self._convert("decay_time", positive=True)
        self._convert("weight_decay", "initial_std")

    @property
    def initial_scale(self) -> float:
        """Standard deviation of the initial entries of A."""
        return self.initial_std

    def margin(self, tau: float, rate: float) -> float:
        """omega + 1/(alpha tau), as for gradient flow."""
        return self.weight_decay + slack(tau, rate)

    def _clocks(self, y: Array, tau: Array, rate: float) -> tuple[Array, Array]:
        """a = alpha y tau and b = tau/T, each (n_tau, n); 0 at tau = inf."""
        finite = np.where(np.isinf(tau), 0.0, tau)
        a = np.multiply.outer(rate * finite, y)
        return a, (finite / self.decay_time)[:, None] + 0.0 * a

    def _learned(self, y: Array, tau: Array, rate: float) -> Array:
        """y h = 1 - (average of e^{-alpha y s}) = [a (e^{-b} - 1) - b (e^{-a} - 1)]/(b - a)."""
        a, b = self._clocks(y, tau, rate)
        value = np.where(
            np.maximum(np.abs(a), np.abs(b)) <= 1.0, _learned_early(a, b), _learned_late(a, b)
        )
        return np.where(np.isinf(tau)[:, None], 1.0, value)

    def _forgotten(self, y: Array, tau: Array, rate: float) -> Array:
        """Average of e^{-alpha y s}: e^{-b} + b (e^{-a} - e^{-b})/(b - a)."""
        a, b = self._clocks(y, tau, rate)
        gap = b - a
        near = np.abs(gap) < 0.5
        quotient = np.where(
            near,
            np.exp(-b) * _exprel(np.where(near, gap, 0.0)),
            (np.exp(-a) - np.exp(-b)) / np.where(near, 1.0, gap),
        )
        return np.where(np.isinf(tau)[:, None], 0.0, np.exp(-b) + b * quotient)

    def filter(self, x: Array, tau: Array, rate: float) -> Array:
        """(1 - average of e^{-alpha y s})/y."""
        y = x + self.weight_decay
        return self._learned(y, tau, rate) / y

    def residual(self, x: Array, tau: Array, rate: float) -> Array:
        """(omega + x average of e^{-alpha y s})/y."""
        y = x + self.weight_decay
        return (self.weight_decay + x * self._forgotten(y, tau, rate)) / y

    def memory(self, x: Array, tau: Array, rate: float) -> Array:
        """The average of e^{-alpha y s}."""
        return self._forgotten(x + self.weight_decay, tau, rate)


def _exprel(u: Array) -> Array:
    """(e^u - 1)/u."""
    zero = np.abs(u) < 1e-300
    return np.where(zero, 1.0, np.expm1(u) / np.where(zero, 1.0, u))


def _learned_late(a: Array, b: Array) -> Array:
    """[a (e^{-b} - 1) - b (e^{-a} - 1)]/(b - a) where a or b exceeds 1."""
    gap = b - a
    near = np.abs(gap) < 0.5
    plain = (a * np.expm1(-b) - b * np.expm1(-a)) / np.where(near, 1.0, gap)
    # close to a = b: the same as b e^{-b} [exprel(b) - exprel(b - a)]
    grown = np.where(near, np.minimum(np.abs(b), 700.0), 1.0)
    close = -np.expm1(-grown) - grown * np.exp(-grown) * _exprel(np.where(near, gap, 0.0))
    return np.where(near, close, plain)


def _learned_early(a: Array, b: Array) -> Array:
    """The same for |a|, |b| <= 1: a b e^{-b} sum_n (b^n - c^n)/(b - c)/(n + 1)!, c = b - a."""
    small = np.maximum(np.abs(a), np.abs(b)) <= 1.0
    a, b = np.where(small, a, 0.0), np.where(small, b, 0.0)
    c = b - a
    quotient, power, factorial, total = 0.0 * c, 1.0 + 0.0 * c, 1.0, 0.0 * c
    for n in range(1, 24):
        quotient, power = b * quotient + power, power * c  # (b^n - c^n)/(b - c) and c^n
        factorial *= n + 1
        total = total + quotient / factorial
    return a * b * np.exp(-b) * total
