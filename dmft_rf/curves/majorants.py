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
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dmft_rf._typing import Array
from dmft_rf.curves.forms import Majorants

if TYPE_CHECKING:
    from dmft_rf.numerics.contour import Contour
    from dmft_rf.rules.flow import Rule


def majorants(rule: Rule, contour: Contour, tau: Array, rate: float) -> Majorants:
    """Majorants of ``rule`` on a contour at the times ``tau``."""
    moving = np.isfinite(tau) & (tau > 0.0)
    a = (1.0 / (rate * rule.pace * np.where(moving, tau, 1.0)))[:, None]
    L = np.where(np.isfinite(tau), rule.most(tau, rate, contour.start), 0.0)[:, None]
    u = contour.z - contour.start
    soft = u * u + a * a
    one, two = 1.5 * L * (u + a) / soft, 1.5 * L * (2.0 + L) / soft
    held = np.maximum(1.0, L)
    memory = L * L + 0.0 * u
    residual = memory + 2.0 * L * (rule.decay > 0.0)
    if np.isfinite(contour.end):
        S = np.where(L > 0.0, rule.swing, 0.0)
        y = contour.z + (rule.decay + max(0.0, -(contour.start + rule.decay)))
        pole = (contour.end - contour.start) / (contour.end - contour.z)
        one = one + S * pole / (y + a)
        two = two + S * (2.0 + S) * pole / (y + a) ** 2
        memory, residual = (memory + S * S) * pole, (residual + S * S) * pole
        held = np.maximum(held, S)
    still = ~moving  # at 0 nothing has moved, at inf nothing turns
    velocity = rate * L + 0.0 * u
    whole = one + 1.0 / (u + a)
    for values in (one, two, memory, residual, velocity):
        values[still] = 0.0
    return Majorants(one, two, memory, residual, velocity, whole, held)
