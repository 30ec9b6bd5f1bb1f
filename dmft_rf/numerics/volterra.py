r"""Solve a Volterra equation with a sum of exponentials for a kernel, with an error estimate.

    L(t) = g(t) [F(t) + integral_0^t K(t - s) e(s) L(s) ds]    (kernels.exponential_memory)

Panels grow in proportion to the time since the last kink of e and g; those on which the drive e L
is not resolved (its last Legendre coefficients) are halved, until all are. The result is that of
panels half as long still, and its error estimate the difference between the two.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array, Complex
from dmft_rf.errors import ConvergenceError
from dmft_rf.kernels.exponential_memory import march, memory
from dmft_rf.numerics.estimate import EPS

# points of a panel, and of the rule from its start to a time in it
_POINTS, _INNER = 10, 8
# panels in a factor of 10 of the time since a kink, and the most there may be
_PER_DECADE = 10
_MOST_PANELS = 4000
# last Legendre coefficients of a panel, relative to rtol: its halves have a thousandth of them
_TAIL = 10.0
# the first panel after a kink, in units of the shortest time of the kernel
_FIRST = 0.5


def _rule() -> tuple[Array, ...]:
    """Points, weights, values P_m at the points, projection, and integrals to the points."""
    x, w = legendre.leggauss(_POINTS)
    values = legendre.legvander(x, _POINTS - 1).T
    coefficients = (np.arange(_POINTS) + 0.5)[:, None] * values * w
    integrals = np.empty((_POINTS, _POINTS))
    for order in range(_POINTS):
        unit = np.zeros(_POINTS)
        unit[order] = 1.0
        integrals[:, order] = legendre.legval(x, legendre.legint(unit, lbnd=-1.0))
    return x, w, np.ascontiguousarray(values), coefficients, integrals @ coefficients


_X, _W, _VALUES, _COEFFICIENTS, _INTEGRALS = _rule()
_ENDS = legendre.legvander(np.array([-1.0, 1.0]), _POINTS - 1).T
_INNER_X, _INNER_W = legendre.leggauss(_INNER)


@dataclass(frozen=True, eq=False)
class Memory(Frozen):
    """The solution on panels.

    Attributes
    ----------
    edges : (P + 1,) array
    solution, free : (P, n) arrays
        L and F at the points of each panel.
    drive : (P, n) array
        Legendre coefficients of e L.
    error : (P,) array
        Estimated absolute error of L up to the end of each panel.
    """

    edges: Array
    solution: Array
    free: Array
    drive: Array
    error: Array

    def panel(self, times: Array) -> NDArray[np.int64]:
        """The panel that holds each time."""
        found = np.searchsorted(self.edges, times, side="right") - 1
        return np.asarray(np.clip(found, 0, self.drive.shape[0] - 1), dtype=np.int64)

    def of(self, mu: Complex, times: Array) -> Complex:
        """integral_0^t e^{-mu (t - s)} e(s) L(s) ds, shape (n_times, n_mu)."""
        order = np.argsort(times, kind="stable")
        t = times[order]
        panel = self.panel(t)
        left, right = self.edges[panel], self.edges[panel + 1]
        place = np.clip((2.0 * t - left - right) / (right - left), -1.0, 1.0)
        half = 0.5 * (place + 1.0)[:, None]
        points = half * (_INNER_X + 1.0) - 1.0
        values = np.einsum("tqn,tn->tq", legendre.legvander(points, _POINTS - 1), self.drive[panel])
        found = memory(
            self.edges,
            self.drive,
            mu,
            panel,
            place,
            np.asarray(legendre.legvander(place, _POINTS - 1), np.float64),
            points,
            half * _INNER_W,
            values,
        )
        out = np.empty_like(found)
        out[order] = found
        return out


def solve_volterra(
    noise: Callable[[Array], Array],
    gain: Callable[[Array], Array],
    mu: Complex,
    c: Complex,
    d: Complex,
    F_0: float,
    end: float,
    breaks: tuple[float, ...],
    rtol: float,
) -> Memory:
    """The solution from 0 to ``end`` > 0, with an error estimate; ConvergenceError without one.

    ``noise`` is e and ``gain`` g, functions of an array of times which may jump at the ``breaks``.
    """
    corners = [0.0, *sorted(time for time in set(breaks) if 0.0 < time < end), end]
    shortest = 1.0 / float(np.abs(mu).max())
    edges = np.concatenate([_graded(a, b, shortest) for a, b in pairwise(corners)] + [[end]])
    args = mu, c, d, F_0
    best: Memory | None = None
    least = math.inf
    while True:
        found, unseen = _on(edges, noise, gain, *args)
        tail = np.abs(found.drive[:, -2:]).sum(axis=1)
        coarse = np.maximum(tail, unseen) > _TAIL * rtol * _scale(found)
        # what a jump in so short a panel leaves out is negligible, or below the rounding of times
        wide = np.diff(edges) > np.maximum(0.1 * rtol * shortest, 8.0 * EPS * edges[1:])
        if not (coarse & wide).any():
            halves = _halved(edges, np.ones(edges.size - 1, dtype=np.bool_))
            fine, unseen = _on(halves, noise, gain, *args)
            off = _difference(found, fine)
            largest = np.abs(fine.solution).max(axis=1)
            relative = off / np.maximum(largest, 1e-3 * largest.max())
            kinks_left = unseen > _TAIL * rtol * _scale(fine)
            if best is not None and relative.max() > 0.5 * least and not kinks_left.any():
                return best  # what is left is rounding
            error = np.maximum.accumulate(off)
            best = Memory(fine.edges, fine.solution, fine.free, fine.drive, error)
            least = float(relative.max())
            coarse = ((relative > 0.2 * rtol) | kinks_left).reshape(-1, 2).any(axis=1)
            if not (coarse & wide).any():
                return best
        coarse &= wide
        if edges.size + coarse.sum() > _MOST_PANELS:
            worst = float(edges[int(np.argmax(np.where(coarse, tail, 0.0)))])
            raise ConvergenceError(
                f"the noise is not resolved at tau = {worst:.6g} by {edges.size - 1} intervals: it "
                "jumps or turns too often there; a dmft_rf.schedules.Piecewise knows its jumps"
            )
        edges = _halved(edges, coarse)


def _scale(found: Memory) -> Array:
    """Size of the drive on each panel, at least a thousandth of the largest."""
    size = np.abs(found.drive).sum(axis=1)
    return np.asarray(np.maximum(size, 1e-3 * size.max(initial=0.0)))


def _difference(coarse: Memory, fine: Memory) -> Array:
    """Largest difference of L on each panel of ``fine``, a half of one of ``coarse``."""
    shares = coarse.solution @ _COEFFICIENTS.T
    at = legendre.legvander(np.concatenate([0.5 * (_X - 1.0), 0.5 * (_X + 1.0)]), _POINTS - 1)
    seen = (shares @ at.T).reshape(-1, _POINTS)
    return np.asarray(np.abs(seen - fine.solution).max(axis=1, initial=0.0))


def _graded(start: float, end: float, shortest: float) -> Array:
    """Left ends of panels from a kink at ``start`` to ``end``."""
    length = end - start
    first = min(_FIRST * shortest, length)
    if first >= length:
        return np.array([start])
    count = max(1, math.ceil(_PER_DECADE * math.log10(length / first)))
    inner = start + first * (length / first) ** (np.arange(count) / count)
    inner = inner[(inner > start) & (inner < end)]
    return np.concatenate([[start], inner])


def _halved(edges: Array, which: NDArray[np.bool_]) -> Array:
    middle = 0.5 * (edges[1:] + edges[:-1])
    return np.sort(np.concatenate([edges, middle[which]]))


def _on(
    edges: Array,
    noise: Callable[[Array], Array],
    gain: Callable[[Array], Array],
    mu: Complex,
    c: Complex,
    d: Complex,
    F_0: float,
) -> tuple[Memory, Array]:
    """The solution by collocation on these panels, without an error estimate.

    Also by how much e L at the ends of a panel is off the polynomial through its points for the
    reason that e is: kinks between the last point and the end show there alone.
    """
    half, middle = 0.5 * np.diff(edges), 0.5 * (edges[1:] + edges[:-1])
    times = middle[:, None] + half[:, None] * _X
    # rounding must not carry a point over a kink
    times = np.clip(times, edges[:-1, None], np.nextafter(edges[1:, None], 0.0))
    e, g = np.ascontiguousarray(noise(times)), np.ascontiguousarray(gain(times))
    solution, free = march(
        edges, e, g, mu, c, d, F_0, _X, _W, _INTEGRALS, _COEFFICIENTS, _VALUES
    )  # fmt: skip
    ends = np.stack([edges[:-1], np.nextafter(edges[1:], 0.0)], axis=1)
    miss = np.abs((e @ _COEFFICIENTS.T) @ _ENDS - noise(ends)).max(axis=1)
    found = Memory(edges, solution, free, (e * solution) @ _COEFFICIENTS.T, np.zeros(half.size))
    return found, miss * np.abs(solution).max(axis=1)
