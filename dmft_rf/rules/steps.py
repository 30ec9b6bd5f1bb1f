r"""Discrete training rules: gradient descent, with and without heavy-ball momentum.

Both are filters like those of ``rules``, polynomials of the eigenvalue x of U. They are bounded in
a disc and in an ellipse only, the stability regions of their steps, which is where their
contours run.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dmft_rf._arithmetic import ieee
from dmft_rf._convert import floats, number
from dmft_rf.errors import ModelError
from dmft_rf.numerics.region import Region
from dmft_rf.rules.flow import Array, Rule, slack

# the times of more steps may exceed the floats
_MOST_STEPS = 1e150

# so many steps of momentum are made one by one; after more, two roots whose powers differ by less
# than this factor are taken together
_FEW, _CLOSE = 40, 0.1


@ieee
@dataclass(frozen=True)
class _Steps(Rule):
    """What discrete rules share: tau must be a whole number of steps (or inf)."""

    step: float
    weight_decay: float = 0.0
    initial_std: float = 0.0

    def __post_init__(self) -> None:
        self._convert("step", positive=True)
        self._convert("weight_decay", "initial_std")

    @property
    def initial_scale(self) -> float:
        """Standard deviation of the initial entries of A."""
        return self.initial_std

    def times(self, steps: ArrayLike) -> NDArray[np.float64]:
        """The times tau = steps * step at which training has made ``steps`` steps.

        Raises
        ------
        ModelError
            If ``steps`` are not whole numbers >= 0 (inf is allowed) of which all times are floats.
        """
        whole = floats(steps, "steps", least=0.0, infinite=True)
        if np.any(whole[np.isfinite(whole)] % 1.0):
            bad = float(whole[np.isfinite(whole) & (whole != np.rint(whole))].flat[0])
            raise ModelError(f"steps holds {bad!r}; it must be whole numbers >= 0 or inf")
        if np.any(whole[np.isfinite(whole)] > _MOST_STEPS):
            raise ModelError(f"steps must be at most {_MOST_STEPS:g}, or inf")
        return np.asarray(whole * self.step)

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


@ieee
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
            power = np.exp(k * _log1p(-z))
        else:
            flip = z > 1.0  # a negative factor: its size and its sign apart
            size = np.where(flip, 2.0 - z, z)
            gone = size == 1.0
            power = np.exp(k * _log1p(-np.where(gone, 0.0, size)))
            power = np.where(gone, k == 0.0, np.where(flip, _alternating(k), 1.0) * power)
        return np.where(np.isinf(count)[:, None], 0.0, power)

    def _learned(self, x: Array, tau: Array, rate: float) -> Array:
        z = rate * self.step * (x + self.weight_decay)
        count = self.counts(tau)
        k = np.where(np.isinf(count), 0.0, count)[:, None]
        early = np.abs(z) < 0.5
        exponent = k * _log1p(-np.where(early, z, 0.0))
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


@ieee
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
        momentum = number(self.momentum, "momentum", least=0.0)
        if not momentum < 1.0:
            raise ModelError(f"momentum is {self.momentum!r}; it must be in [0, 1)")
        object.__setattr__(self, "momentum", momentum)

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
        # 1 - w and 1 - v, of sum 1 - beta + z and product z, keep the digits of roots close to 1
        middle = 0.5 * (1.0 - beta + z)
        root = np.sqrt(middle * middle - z)
        root = np.where(((1.0 - middle).conj() * root).real < 0.0, -root, root)
        from_v = middle + root
        from_w = z / from_v
        w, v = 1.0 - from_w, 1.0 - from_v
        log_w, log_v = _log1p(-from_w), _log1p(-from_v)
        ratio = log_v - log_w
        small = np.where(ratio == 0.0, -1.0, ratio)

        def difference(n: Array) -> Array:
            grown = np.where(ratio == 0.0, n, np.expm1(n * small) / np.expm1(small))
            return _power(log_w, n - 1.0) * grown

        left = difference(k + 1.0) - beta * difference(k)
        learned = (
            w * from_v * _power_minus_one(log_w, k) - v * from_w * _power_minus_one(log_v, k)
        ) / (w * np.expm1(small))
        few = np.broadcast_to(k <= _FEW, learned.shape)
        i, j = np.nonzero((np.abs(k * ratio) < _CLOSE) & ~few)
        learned[i, j] = z[j] * _close_roots(log_w[j], log_v[j], k[i, 0])
        learned = np.where(few, _first_steps(z, beta, np.minimum(k, _FEW)), learned)
        left = np.where(np.abs(left) > 0.1, 1.0 - learned, left)
        if not np.iscomplexobj(x):
            left, learned = left.real, learned.real
        start, forever = (count == 0.0)[:, None], np.isinf(count)[:, None]
        left = np.where(start, 1.0, np.where(forever, 0.0, left))
        return left, np.where(start, 0.0, np.where(forever, 1.0, learned))

    @property
    def swing(self) -> float:
        """(1 + 3 beta)/(1 - beta), from w = -1 and v = -beta in r_k."""
        return (1.0 + 3.0 * self.momentum) / (1.0 - self.momentum)

    @property
    def pace(self) -> float:
        """1/(1 - beta)."""
        return 1.0 / (1.0 - self.momentum)

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


def _close_roots(log_w: Array, log_v: Array, k: Array) -> Array:
    """(1 - r_k)/z = [G(log w) - G(log v)]/(w - v), G(c) = e^c + ... + e^{kc}.

    For roots so close that this is a mean of G' between them,

        G'(c) = e^c [k e^{kc} (e^c - 1) - (e^{kc} - 1)]/(e^c - 1)^2.
    """
    gap = log_w - log_v
    total = np.zeros_like(gap)
    for node, weight in zip(*np.polynomial.legendre.leggauss(6), strict=True):
        c = log_v + 0.5 * (1.0 + node) * gap
        step = _power_minus_one(c, np.ones_like(k))
        slope = k * _power(c, k) * step - _power_minus_one(c, k)
        total += 0.5 * weight * _power(c, np.ones_like(k)) * slope / (step * step)
    grown = np.where(gap == 0.0, 1.0, np.expm1(gap) / np.where(gap == 0.0, 1.0, gap))
    return total / (np.exp(log_v) * grown)


def _first_steps(z: Array, beta: float, k: Array) -> Array:
    """1 - r_k = z sum_{j=1}^k D_j, D_{j+1} = (1 + beta - z) D_j - beta D_{j-1}, D_0 = 0, D_1 = 1.

    Step by step: no difference of numbers of order 1.
    """
    total = np.zeros(np.broadcast_shapes(k.shape, z.shape), z.dtype)
    before, here = np.zeros_like(z), np.ones_like(z)
    for j in range(1, int(k.max(initial=0.0)) + 1):
        total += np.where(k >= j, here, 0.0)
        before, here = here, (1.0 + beta - z) * here - beta * before
    return z * total


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


def _log1p(x: NDArray[Any]) -> NDArray[Any]:
    """log(1 + x); NumPy's loses digits of complex numbers."""
    from scipy.special import log1p  # imported at first use: a tenth of a second

    found: NDArray[Any] = log1p(x)
    return found
