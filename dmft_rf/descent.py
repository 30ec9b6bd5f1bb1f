r"""Discrete training rules: gradient descent, with and without heavy-ball momentum.

Both are filters like those of ``rules``, polynomials of the eigenvalue x of U. They are bounded in
a disc and in an ellipse only, the stability regions of their steps, which is where their
contours run.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log1p

from dmft_rf.errors import ModelError
from dmft_rf.region import Region
from dmft_rf.rules import Array, Rule, require, slack


@dataclass(frozen=True)
class _Steps(Rule):
    """What discrete rules share: tau must be a whole number of steps (or inf)."""

    step: float
    weight_decay: float = 0.0
    initial_std: float = 0.0

    def __post_init__(self) -> None:
        require("step", self.step, positive=True)
        require("weight_decay", self.weight_decay)
        require("initial_std", self.initial_std)

    @property
    def initial_scale(self) -> float:
        """Standard deviation of the initial entries of A."""
        return self.initial_std

    def times(self, steps: ArrayLike) -> NDArray[np.float64]:
        """The times tau = steps * step at which training has made ``steps`` steps."""
        return np.asarray(steps, dtype=float) * self.step

    def counts(self, tau: Array) -> NDArray[np.float64]:
        """Number of steps made at the times ``tau`` (float; inf stays inf)."""
        return np.where(np.isinf(tau), np.inf, np.rint(np.where(np.isinf(tau), 0, tau) / self.step))

    def check_times(self, tau: Array) -> None:
        """Raise ModelError unless each tau is a whole number of steps."""
        finite = tau[np.isfinite(tau)]
        with np.errstate(over="ignore"):
            steps = finite / self.step
        if np.isinf(steps).any():
            bad = float(finite[int(np.argmax(steps))])
            raise ModelError(
                f"tau is {bad!r}, more steps of {self.step!r} than can be counted; inf is allowed"
            )
        off = np.abs(steps - np.rint(steps))
        if np.any(off > 1e-6 * np.maximum(1.0, steps)):
            bad = float(finite[int(np.argmax(off))])
            raise ModelError(
                f"tau is {bad!r}, not a whole number of steps of {self.step!r}; "
                f"{type(self).__name__}(...).times(steps) gives the times of whole steps"
            )

    def filter(self, x: Array, tau: Array, rate: float) -> Array:
        """(1 - g)/(x + omega) with g the memory."""
        return self._learned(x, tau, rate) / (x + self.weight_decay)

    @abstractmethod
    def _learned(self, x: Array, tau: Array, rate: float) -> Array:
        """1 - g, without cancellation at early times."""

    def residual(self, x: Array, tau: Array, rate: float) -> Array:
        """(omega + x g)/(x + omega)."""
        return (self.weight_decay + x * self.memory(x, tau, rate)) / (x + self.weight_decay)

    def _diverges(self, top: float, rate: float, limit: float) -> None:
        if not rate * self.step * (top + self.weight_decay) < limit:
            raise ModelError(
                f"step is {self.step!r}; training diverges, a spectrum with top eigenvalue "
                f"{top:.6g} allows steps below {limit / (rate * (top + self.weight_decay)):.6g}"
            )


@dataclass(frozen=True)
class GradientDescent(_Steps):
    r"""Gradient descent with k = tau/step steps.

    h = (1 - (1 - eta' y)^k)/y, y = x + omega, eta' = alpha step; stable for eta' y < 2.

    Parameters
    ----------
    step : float
        tau per step: eta/d^2 for a learning rate eta on the paper's loss.
    weight_decay, initial_std : float
        As in GradientFlow.
    """

    def memory(self, x: Array, tau: Array, rate: float) -> Array:
        """(1 - eta' y)^k."""
        z = rate * self.step * (x + self.weight_decay)
        count = self.counts(tau)
        k = np.where(np.isinf(count), 0.0, count)[:, None]
        if np.iscomplexobj(z):
            # log1p keeps (1 - z)^k exact to rounding for a billion small steps
            power = np.exp(k * log1p(-z))
        else:
            flip = z > 1.0  # a negative factor: its size and its sign apart
            size = np.where(flip, 2.0 - z, z)
            gone = size == 1.0
            power = np.exp(k * log1p(-np.where(gone, 0.0, size)))
            power = np.where(gone, k == 0.0, np.where(flip, _alternating(k), 1.0) * power)
        return np.where(np.isinf(count)[:, None], 0.0, power)

    def _learned(self, x: Array, tau: Array, rate: float) -> Array:
        z = rate * self.step * (x + self.weight_decay)
        count = self.counts(tau)
        k = np.where(np.isinf(count), 0.0, count)[:, None]
        early = np.abs(z) < 0.5
        exponent = k * log1p(-np.where(early, z, 0.0))
        value = np.where(early, -np.expm1(exponent), 1.0 - self.memory(x, tau, rate))
        return np.where(np.isinf(count)[:, None], 1.0, value)

    def margin(self, tau: float, rate: float) -> float:
        """omega + 1/(alpha tau): (1 - eta' y)^k stays below e."""
        return self.weight_decay + slack(tau, rate)

    def region(self, rate: float) -> Region:
        """The disc from 0 to 2/eta' - omega: |1 - eta' y| < 1 inside."""
        return Region(2.0 / (rate * self.step) - self.weight_decay)

    def check(self, top: float, rate: float) -> None:
        """Raise ModelError unless eta' (top + omega) < 2."""
        self._diverges(top, rate, 2.0)


@dataclass(frozen=True)
class HeavyBall(_Steps):
    r"""Gradient descent with heavy-ball momentum beta.

    h = (1 - r_k)/y with r_{k+1} = (1 + beta - eta' y) r_k - beta r_{k-1}, r_0 = 1,
    r_1 = 1 - eta' y; stable for eta' y < 2 (1 + beta). Slow modes move like gradient flow with
    time tau/(1 - beta).

    Parameters
    ----------
    step : float
        tau per step.
    weight_decay, initial_std : float
        As in GradientFlow.
    momentum : float
        beta in [0, 1).
    """

    momentum: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        require("momentum", self.momentum)
        if not self.momentum < 1.0:
            raise ModelError(f"momentum is {self.momentum!r}; it must be in [0, 1)")

    @property
    def _beta(self) -> float:
        """The momentum; one whose inverse is no float makes no difference and counts as 0."""
        return self.momentum if self.momentum > 1e-300 else 0.0

    def memory(self, x: Array, tau: Array, rate: float) -> Array:
        """r_k(y), by the closed form of the two-term recurrence."""
        return self._recurrence(x, tau, rate)[0]

    def _learned(self, x: Array, tau: Array, rate: float) -> Array:
        return self._recurrence(x, tau, rate)[1]

    def _recurrence(self, x: Array, tau: Array, rate: float) -> tuple[Array, Array]:
        """r_k and 1 - r_k, from the roots |w| >= |v| of w^2 - (1 + beta - z) w + beta = 0.

        r_k = [w^{k+1} (1 - v) - v^{k+1} (1 - w)]/(w - v) = D_{k+1} - beta D_k with the divided
        difference D_n = (w^n - v^n)/(w - v), and 1 - r_k with 1 - w^k and 1 - v^k instead.
        """
        beta = self._beta
        if beta == 0.0:
            plain = GradientDescent(self.step, self.weight_decay)
            return plain.memory(x, tau, rate), plain._learned(x, tau, rate)
        z = np.asarray(rate * self.step * (x + self.weight_decay), dtype=complex)
        count = self.counts(tau)
        k = np.where(np.isinf(count), 0.0, count)[:, None]
        half = 0.5 * (1.0 + beta - z)
        root = np.sqrt(half * half - beta)
        root = np.where((half.conj() * root).real < 0.0, -root, root)
        w = half + root
        v = beta / w
        log_w = log1p(-z / (1.0 - v))  # (1 - w)(1 - v) = z keeps the digits of w close to 1
        log_v = np.log(v)
        ratio = log_v - log_w
        double = np.abs(ratio) < 0.1
        gap = np.where(double, 1.0, 2.0 * root)
        small = np.where(double & (ratio != 0.0), ratio, -1.0)

        def difference(n: Array) -> Array:
            grown = np.where(ratio == 0.0, n, np.expm1(n * small) / np.expm1(small))
            near = _power(log_w, n - 1.0) * grown
            return np.where(double, near, (_power(log_w, n) - _power(log_v, n)) / gap)

        left = difference(k + 1.0) - beta * difference(k)
        learned = (
            w * (1.0 - v) * _power_minus_one(log_w, k) - v * (1.0 - w) * _power_minus_one(log_v, k)
        ) / -gap
        learned = np.where(double, 1.0 - left, learned)
        left = np.where(np.abs(learned) < 0.5, 1.0 - learned, left)
        if not np.iscomplexobj(x):
            left, learned = left.real, learned.real
        forever = np.isinf(count)[:, None]
        return np.where(forever, 0.0, left), np.where(forever, 1.0, learned)

    def margin(self, tau: float, rate: float) -> float:
        """omega + (1 - beta)/(alpha tau): |w|^k stays below e.

        The ellipses |w| = 1 + e of the steps w + beta/w = 1 + beta - eta' y are (1 - beta) e wider
        in every direction, or more.
        """
        return self.weight_decay + (1.0 - self.momentum) * slack(tau, rate)

    def region(self, rate: float) -> Region:
        """The ellipse from 0 to 2 (1 + beta)/eta' - omega: both roots are below 1 inside."""
        beta = self._beta
        return Region(2.0 * (1.0 + beta) / (rate * self.step) - self.weight_decay, beta)

    def check(self, top: float, rate: float) -> None:
        """Raise ModelError unless eta' (top + omega) < 2 (1 + beta)."""
        self._diverges(top, rate, 2.0 * (1.0 + self.momentum))


def _power(log: Array, k: Array) -> Array:
    """e^{k log} for whole k; an imaginary part of pi is a sign."""
    negative = np.abs(log.imag) == math.pi
    size = np.exp(k * np.where(negative, log.real, log))
    return np.where(negative, _alternating(k), 1.0) * size


def _power_minus_one(log: Array, k: Array) -> Array:
    """e^{k log} - 1 without cancellation for small k log."""
    near = np.abs(k * log) < 0.5
    return np.where(near, np.expm1(np.where(near, k * log, 0.0)), _power(log, k) - 1.0)


def _alternating(k: Array) -> Array:
    """(-1)^k for whole numbers k held as floats."""
    return 1.0 - 2.0 * np.mod(k, 2.0)
