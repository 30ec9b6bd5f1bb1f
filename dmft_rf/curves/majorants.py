r"""Bounds of what the nodes of a contour miss of filters at late times.

The error of the trapezoidal rule with 2 N points is made of the Fourier coefficients around the
contour of orders above N, and is estimated from the orders below, which the nodes show. At late
times this fails: e^{-alpha x tau} oscillates along the border of its region ever faster, until its
largest coefficients have orders above N. These are bounded by the size of the integrand on the
border; in their place stand those of a majorant, a function as large there, with poles there. With
u = x - start, a = 1/(alpha tau) and L = |g| at u = 0, since h = (1 - g)/y and |h| <= alpha tau
max|g|, the oscillating part is bounded by

    of h       1.5 L |u + a|/|u^2 + a^2|
    of h^2     1.5 L (2 + L)/|u^2 + a^2|
    of g^2     L^2,   and of (1 - x h)^2 the same without weight decay, else L (2 + L).

In a disc or an ellipse filters oscillate at the right end as well, where |g| reaches S: the same
with S in place of L and 1/(y + a) in place of the quotient, times a pole at that end.

All of them are smooth in log tau, and the coefficients that they leave are wanted to a digit or so:
where there are many times, the majorants of some of them bound those in between (`Few`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._arithmetic import lazy
from dmft_rf._typing import Array, Complex

if TYPE_CHECKING:
    from dmft_rf.numerics.contour import Contour
    from dmft_rf.rules.flow import Rule

# fewer times than these are bounded one by one
# alpha tau of the earliest times that are told from 0
_EARLIEST = 1e-300
_ALL = 32


@dataclass(frozen=True)
class Few:
    """Which of many times stand for all, and between which of those each one lies.

    Attributes
    ----------
    kept : (n,) array
        Indices into the times: 0, inf, and of each factor of two the last one.
    low, high : (n_tau,) arrays
        Indices into ``kept``.
    """

    kept: NDArray[np.intp]
    low: NDArray[np.intp]
    high: NDArray[np.intp]

    @classmethod
    def of(cls, tau: Array) -> Few:
        """Those of the times ``tau``, shape (n_tau,); all where that would not be far fewer."""
        if tau.size <= _ALL:
            return cls.all(tau.size)
        order = np.argsort(tau, kind="stable")
        octave = np.frexp(tau[order])[1]  # 0 of 0 and of inf, which stand for themselves
        octave = octave + 4096 * (np.isinf(tau[order]).astype(int) - (tau[order] == 0.0))
        last = np.append(np.diff(octave) != 0, True)
        last[0] = True
        kept = order[last]
        if 2 * kept.size > tau.size:
            return cls.all(tau.size)
        high = np.empty(tau.size, np.intp)
        high[order] = np.cumsum(last) - last  # the first that is not before it
        own = np.zeros(tau.size, np.bool_)
        own[kept] = True
        return cls(kept, np.where(own | (tau == 0.0) | np.isinf(tau), high, high - 1), high)

    @classmethod
    def all(cls, count: int) -> Few:
        """Each of so many times, for itself."""
        each = np.arange(count)
        return cls(each, each, each)


@dataclass(frozen=True)
class Turning:
    """Values of a majorant at the nodes for few times, (n, N), which bound those of all."""

    rows: NDArray[Any]
    few: Few

    def __mul__(self, other: Any) -> Turning:
        """Times a factor, (N,) or (n, 1), or another majorant of the same times."""
        return Turning(self.rows * (other.rows if isinstance(other, Turning) else other), self.few)


def hidden(f: NDArray[Any], turning: Turning | None) -> tuple[Complex, Few]:
    """Rows that bound what the values f hide, and which times they stand for; no rows if none."""
    if turning is None:
        return np.empty((0, f.shape[1]), np.complex128), Few.all(0)
    return np.ascontiguousarray(turning.rows, np.complex128), turning.few


class Majorants:
    """Functions at the nodes that bound what oscillates too fast for them.

    Parameters
    ----------
    rule : Rule
    contour : Contour
    tau : (n_tau,) array
    rate : float
        alpha.
    few : Few
        Which times to make rows of.

    Attributes
    ----------
    filter, square
        Of h and h^2.
    memory, residual
        Of g^2 and of (1 - x h)^2.
    velocity
        Of dh/dtau = alpha g, for gradient flow.
    whole
        Of h, with the part that does not turn.
    held : (n, 1) array
        Bound of |1 - x h|.
    """

    def __init__(self, rule: Rule, contour: Contour, tau: Array, rate: float, few: Few):
        tau = tau[few.kept]
        self._few, self._decays, self._rate = few, rule.decay > 0.0, rate
        fallen = (rate * rule.pace * np.where(np.isfinite(tau), tau, 0.0))[:, None]
        # what is earlier has not moved: 1/(alpha tau) would be no number
        self._moving = fallen > _EARLIEST
        self._a = 1.0 / np.where(self._moving, fallen, rate * rule.pace)
        most = rule.most(tau, rate, contour.start)
        self._L = np.where(np.isfinite(tau), most, 0.0)[:, None]
        self._u = contour.z - contour.start
        self._pole: Complex | None = None
        self.held = np.maximum(1.0, self._L)
        if np.isfinite(contour.end):
            self._S = np.where(self._L > 0.0, rule.swing, 0.0)
            self._y = contour.z + (rule.decay + max(0.0, -(contour.start + rule.decay)))
            self._pole = (contour.end - contour.start) / (contour.end - contour.z)
            self.held = np.maximum(self.held, self._S)

    def _of(self, rows: Complex, still: bool = False) -> Turning:
        """Rows as they are handed out; at 0 nothing has moved, at inf nothing turns."""
        if not still:
            rows = np.where(self._moving, rows, 0.0)
        return Turning(rows, self._few)

    @lazy
    def _soft(self) -> Complex:
        """1/(u^2 + a^2)."""
        soft: Complex = 1.0 / (self._u * self._u + self._a * self._a)
        return soft

    @lazy
    def _one(self) -> Complex:
        one: Complex = (1.5 * self._L * (self._u + self._a)) * self._soft
        if self._pole is not None:
            one = one + self._S * self._pole / (self._y + self._a)
        return one

    @lazy
    def filter(self) -> Turning:
        """Of h."""
        return self._of(self._one)

    @lazy
    def square(self) -> Turning:
        """Of h^2."""
        two = 1.5 * self._L * (2.0 + self._L) * self._soft
        if self._pole is not None:
            two = two + self._S * (2.0 + self._S) * self._pole / (self._y + self._a) ** 2
        return self._of(two)

    @lazy
    def memory(self) -> Turning:
        """Of g^2."""
        return self._of(self._on_border(self._L * self._L))

    @lazy
    def residual(self) -> Turning:
        """Of (1 - x h)^2."""
        return self._of(self._on_border(self._L * self._L + 2.0 * self._L * self._decays))

    def _on_border(self, left: Array) -> Complex:
        rows = left + 0.0 * self._u
        return rows if self._pole is None else (rows + self._S * self._S) * self._pole

    @lazy
    def velocity(self) -> Turning:
        """Of dh/dtau = alpha g, for gradient flow."""
        return self._of(self._rate * self._L + 0.0 * self._u)

    @lazy
    def whole(self) -> Turning:
        """Of h, with the part that does not turn."""
        return self._of(self._one + 1.0 / (self._u + self._a), still=True)


class NoMajorants(Majorants):
    """Of sums that hide nothing."""

    def __init__(self, times: int, points: int):
        none = Turning(np.zeros((times, points)), Few.all(times))
        names = ("filter", "square", "memory", "residual", "velocity", "whole")
        self.__dict__.update(dict.fromkeys(names, none), held=none.rows[:, :1])
