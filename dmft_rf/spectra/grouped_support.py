r"""Edges, masses and atoms of U for samples in groups.

U - s_0^2 has p Gaussian rows, whose covariance K depends on the columns alone; a real z lies
outside the support if and only if z = z(k) with k outside the support of K and dz/dk > 0
(Silverstein and Choi 1995): where the fixed point (1) of kernels.grouped is stable and dz/dk > 0.
The outer edges are reached from infinity and from the atom at s_0^2 (k = 0), inner gaps from
a real solution inside them: from each such point k moves outwards until dz/dk = 0, which is a root.

Inner gaps are found by the integral of the density over the bulk, refined until it converges: a
density that vanishes in between has square roots there, and the refinement ends at a point inside
the gap. The masses of the bulks do not come from this integral but from exact separation: the mass
of K (per d) above a gap is sum_j psi_j 1[e_j > 0] + <1[R < 0]> (inertia of the linearised matrix;
band rigidity, Alt, Erdos and Krueger 2020), and the two must agree.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from dmft_rf._arithmetic import lazy
from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array, Mask
from dmft_rf.errors import ConvergenceError
from dmft_rf.kernels import grouped
from dmft_rf.model.columns import SampleGroups
from dmft_rf.numerics.edge_map import edge_map
from dmft_rf.numerics.estimate import EPS
from dmft_rf.numerics.panels import ByHalves, resolved
from dmft_rf.spectra.support import Support, ZeroPoint

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_FIRST_PANELS = 4
# relative to what remains: a gap that moves the integral of the density by less is not resolved
_TOLERANCE = 1e-10
# the density of a narrow bulk carries the rounding of its place
_ROUNDING = 50.0 * EPS
_MOST_PANELS = 3000
# a point this close to an edge, relative to where it is, may be taken to lie on its other side
_AT_EDGE = 1e-10
_BISECTIONS = 60


@dataclass(frozen=True, eq=False)
class RealPoint(Frozen):
    """A real point outside the support, measured from s_0^2, with the solution there."""

    offset: float
    k: float
    e: Array


@dataclass(frozen=True)
class _Gap:
    """z - s_0^2 at both ends of a gap, and the mass of K (per d) above it."""

    low: float
    high: float
    above: float


class GroupedSupportFinder(Frozen):
    """Edges, masses and the atom at s_0^2, by moving along real k.

    Its properties raise ConvergenceError where an edge is not found.
    """

    def __init__(self, groups: SampleGroups):
        self.groups = groups
        self.arguments = groups.from_floor.one_point  # eigenvalues are measured from s_0^2
        self.psi_p = float(groups.par[0])
        mean = groups.covariances @ groups.weights
        self.upper = (groups.noise + mean) / float(groups.par[1])  # bound of e_j + k
        self.rank = groups.columns + (1.0 if groups.par[2] > 0.0 else 0.0)
        self.seal()
        self.bound = float(grouped.spectral_bound(*self.arguments[:4]))

    @property
    def ends(self) -> tuple[float, float]:
        """Lowest and highest edge, measured from s_0^2; the inner gaps are not looked for."""
        return self._bottom[0].high, self._top.low

    @property
    def atom(self) -> float:
        """Mass of the atom at s_0^2."""
        return self._bottom[1]

    def support(self) -> Support:
        """The whole support."""
        bottom, atom = self._bottom
        gaps = [bottom, *self.inside(*self.ends), self._top]
        above = np.array([gap.above for gap in gaps]) / self.psi_p
        above[0] = 1.0 - atom
        offsets = np.array([(a.high, b.low) for a, b in itertools.pairwise(gaps)])
        # the d directions of the data lie above the gap with that mass above it
        centre = [i for i, gap in enumerate(gaps) if abs(gap.above - 1.0) < 1e-12]
        learning = np.arange(len(offsets)) >= centre[0] if centre else None
        return Support(offsets, above[:-1] - above[1:], atom, learning)

    def settle(self, k: float, guess: Array) -> tuple[float, float, Array, Array | None]:
        """z - s_0^2, dz/dk, de/dk and e at k; e is None where no stable solution was found."""
        e = guess.copy()
        z, slope, drift, status = grouped.settle(k, e, *self.arguments)
        return float(z), float(slope), drift, e if status == grouped.CONVERGED else None

    def below(self, k: float) -> tuple[float, float, Array]:
        """The same for k <= 0, where the solution is unique: Newton's method from above."""
        z, slope, _, e = self.settle(k, self.upper - k)
        if e is None or not np.all(e > 0.0):
            raise ConvergenceError(f"no solution of the one-point equations at k = {k!r}")
        return z, slope, e

    # -- the outer edges ---------------------------------------------------------------------

    @lazy
    def _bottom(self) -> tuple[_Gap, float]:
        """The gap below all bulks, and the mass of the atom at s_0^2 that it may contain."""
        excess = self.psi_p - self.rank
        if abs(excess) <= 4e-15 * self.psi_p:  # hard edge: the support begins at s_0^2 itself
            return _Gap(-math.inf, 0.0, self.psi_p), 0.0
        if excess < 0.0:
            return _Gap(-math.inf, self._lowest_edge()[0], self.psi_p), 0.0
        _, _, e = self.below(0.0)
        step = 1e-2 * float(e.min()) * min(1.0, excess / self.psi_p)
        return _Gap(-math.inf, self._edge(0.0, e, step), self.rank), excess / self.psi_p

    def _lowest_edge(self) -> tuple[float, float, Array]:
        """z - s_0^2, k and e where dz/dk = 0 on k < 0."""
        low = high = math.log(float(self.upper.max()) + self.bound / self.psi_p)
        while self.below(-math.exp(low))[1] > 0.0:
            low -= 2.0
        while self.below(-math.exp(high))[1] <= 0.0:
            high += 2.0
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            if self.below(-math.exp(middle))[1] > 0.0:
                high = middle
            else:
                low = middle
        k = -math.exp(high)
        z, _, e = self.below(k)
        return z, k, e

    @lazy
    def _top(self) -> _Gap:
        """The gap above all bulks."""
        k = 4.0 * (self.bound + float(self.upper.max())) * max(1.0, 1.0 / self.psi_p)
        e = np.full(self.groups.count.size, -k)
        for _ in range(60):
            _, slope, _, found = self.settle(k, e)
            if found is not None and slope > 0.0 and np.all(found < 0.0):
                return _Gap(self._edge(k, found, -0.1 * k), math.inf, 0.0)
            k *= 2.0
            e = np.full(self.groups.count.size, -k)
        raise ConvergenceError("the upper edge of the spectrum was not found")

    def _edge(self, k: float, e: Array, step: float) -> float:
        """z - s_0^2 where dz/dk = 0, on the way from (k, e) in the direction of ``step``.

        The last physical k and the first one that is not are brought together; z is stationary
        there, so that its error is of the second order in their distance. Only a solution that the
        tangent leads to counts, on either side: where Newton's method finds none, the step was too
        long, which says nothing of an edge. A step over a bulk would change the mass above.
        """
        start, count = k, self.above(k, e)
        z, _, drift, found = self.settle(k, e)
        last = math.nan
        for _ in range(1000):
            if found is None or abs(step) <= 1e-15 * abs(k):
                break
            trial = k + step
            if trial * start < 0.0:  # k = 0 is the atom
                trial, last = 0.5 * k, 0.0
            guess = e + (trial - k) * drift
            value, slope, turn, new = self.settle(trial, guess)
            if new is None or np.any(np.abs(new - guess) > 0.1 * np.abs(new)):
                step = 0.3 * (trial - k)
                continue
            if slope > 0.0 and self.above(trial, new) == count:
                k, z, e, drift = trial, value, new, turn
                step = 2.0 * step if math.isnan(last) else 0.5 * (last - k)
            else:
                last = trial
                step = 0.5 * (last - k)
            if abs(last - k) <= 1e-10 * abs(k):
                return z
        raise ConvergenceError(f"an edge of the spectrum near k = {k!r} was not found")

    # -- inner gaps --------------------------------------------------------------------------

    def inside(self, low: float, high: float) -> list[_Gap]:
        """The gaps between two points of which the density vanishes outside."""
        point = self._vanishing(low, high)
        if point is None:
            return []
        step = 1e-3 * abs(point.k)
        gap = _Gap(
            self._edge(point.k, point.e, -step),
            self._edge(point.k, point.e, step),
            self.above(point.k, point.e),
        )
        if not low < gap.low <= gap.high < high:
            raise ConvergenceError(
                f"the bulks between {low} and {high} above s_0^2 are too close to be told apart"
            )
        return [*self.inside(low, gap.low), gap, *self.inside(gap.high, high)]

    def above(self, k: float, e: Array) -> float:
        """Mass of K per d above a gap."""
        g = self.groups
        positive = float(g.par[1] * (g.count * (g.noise > 0.0)) @ (e > 0.0))
        S = 1.0 + (g.count / e) @ g.covariances
        negative = k * S < g.par[2] if g.par[2] > 0.0 else S < 0.0  # k >= 0
        return positive + float(g.weights @ negative)

    def _vanishing(self, low: float, high: float) -> RealPoint | None:
        """A point of (low, high) outside the support, or None if the density has none."""
        tolerance = _TOLERANCE + _ROUNDING * high / (high - low)
        point: RealPoint | None = None

        def masses(left: Array, right: Array) -> Array:
            nonlocal point
            half, middle = 0.5 * (right - left), 0.5 * (right + left)
            x, slope = edge_map(low, high, middle[:, None] + half[:, None] * _NODES)
            density, point = self._density(x.ravel(), low, high)
            return (density.reshape(x.shape) * slope) @ _WEIGHTS * half

        halves = ByHalves(masses, lambda total: tolerance * max(total, 1e-300))

        def unresolved(left: Array, right: Array) -> Mask:
            return halves(left, right) & (point is None)

        ends = np.linspace(0.0, math.pi, _FIRST_PANELS + 1)
        if not resolved(unresolved, ends, _MOST_PANELS)[1]:
            raise ConvergenceError(
                f"the density between {low} and {high} above s_0^2 is not resolved by "
                f"{_MOST_PANELS} panels"
            )
        return point

    def _density(self, x: Array, low: float, high: float) -> tuple[Array, RealPoint | None]:
        """Density at points of (low, high), or a physical real solution at one inside it."""
        k, e, _, _, _, status, _ = grouped.solve_path(x + 0j, *self.arguments)
        real = (status == grouped.CONVERGED) & (np.abs(k.imag) < 1e-9 * np.abs(k))
        inside = np.minimum(x - low, high - x) > _AT_EDGE * x
        for i in np.flatnonzero(real & inside):
            z, slope, _, found = self.settle(float(k[i].real), np.ascontiguousarray(e[i].real))
            if found is not None and slope > 0.0 and abs(z - x[i]) <= 1e-6 * abs(x[i]):
                return np.zeros(x.size), RealPoint(z, float(k[i].real), found)
        good = (status == grouped.CONVERGED) & ~real
        rho = np.where(good, (-1.0 / k).imag / (math.pi * self.psi_p), 0.0)
        return np.maximum(rho, 0.0), None

    # -- below the support -------------------------------------------------------------------

    def at_zero(self) -> ZeroPoint:
        """The solution at z = 0, on or below the support."""
        k, e = self._at_zero()
        return ZeroPoint(k, -e / k if k else np.full(e.size, math.inf), e)

    def _at_zero(self) -> tuple[float, Array]:
        target = -float(self.groups.par[3])
        if target == 0.0 and self.psi_p >= self.rank * (1.0 - 4e-15):
            return 0.0, self.below(0.0)[2]
        from scipy.optimize import brentq

        if self.psi_p < self.rank:
            _, edge, _ = self._lowest_edge()
            low = math.log(-edge)
        else:
            low = math.log(float(self.upper.max()))
            while self.below(-math.exp(low))[0] < target:
                low -= 2.0
        high = low
        while self.below(-math.exp(high))[0] > target:
            high += 2.0
        u = brentq(
            lambda u: self.below(-math.exp(u))[0] - target, low, high, xtol=1e-15, rtol=1e-14
        )
        k = -math.exp(u)
        z, slope, e = self.below(k)
        for _ in range(2):  # the logarithm has lost digits
            k -= (z - target) / slope
            z, slope, e = self.below(k)
        return k, e
