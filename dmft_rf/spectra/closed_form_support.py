r"""Exact support of the spectrum of U: edges, bulks, masses and the atom, without imaginary offset.

U - s^2 = Phi K Phi^T with p Gaussian rows Phi, and K depends on the data alone: every eigenvalue c
of the sample covariance C gives K the two eigenvalues k_-(c) <= k_+(c) with

    k_+ + k_- = b^2 + v_n + gamma^2 c,    k_+ k_- = b^2 v_n,    v_n = v^2/psi_n,

and samples beyond the rank of C give it v_n. A real z lies outside the support of U if and only
if z = z(k) with k outside the support of K and dz/dk > 0 (Silverstein and Choi 1995). Between
two neighbouring pieces of K's spectrum dz/dk is a concave function of k, so {dz/dk > 0} is one
interval or none: each gap is found from one maximum, and its two edges from one root on either
side of it. The gaps of C, which are needed first, follow from the same argument with kappa in place
of k.

How many eigenvalues lie above a gap is known exactly as well (exact separation, Bai and
Silverstein 1999): as many as K has above k. The masses of the bulks are sums of weights.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dmft_rf._arithmetic import lazy
from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array
from dmft_rf.errors import ConvergenceError
from dmft_rf.kernels.closed_form import family, outside, outside_on
from dmft_rf.kernels.sample_covariance import effective_ridge, ridge, second_order, support_end
from dmft_rf.numerics.search import FAR, above_zero, first_where, from_logit, on_logit, root_or_end
from dmft_rf.spectra.support import Support, ZeroPoint

Ends = Callable[[Array, Array, Array], tuple[float, float, float, float, float]]
Slope = Callable[[float], tuple[float, float]]  # parameter -> (z - s^2, dz/dk)

# of z(k), relative to its terms
_ROUNDING = 1e-13
# near an edge every Newton step halves the error
_MOST_STEPS = 200


@dataclass(frozen=True)
class _Gap:
    """An open gap: z - s^2 at both of its ends, and the mass of K (per d) above it."""

    low: float
    high: float
    above: float
    central: bool = False


@dataclass(frozen=True)
class _DataGap:
    """A gap of the sample covariance C, as an interval of kappa, with C's mass above it."""

    low: float
    high: float
    above: float


class SupportFinder(Frozen):
    """Edges, masses and atom of U: walks through the pieces between the eigenvalues of K.

    Parameters
    ----------
    par : (6,) array
        psi_p, psi_n, b^2, v^2, s^2, gamma^2, as in kernels.closed_form.
    lam, w : (n_atoms,) arrays
        Eigenvalues (ascending, distinct) and weights of Sigma.
    ends : function
        `dmft_rf.kernels.fused_support.ends`, which finds the two outermost edges.

    Raises
    ------
    ConvergenceError
        If an edge cannot be resolved (psi_p/psi_n beyond about 1e7).
    """

    def __init__(self, par: Array, lam: Array, w: Array, ends: Ends):
        self.par, self.lam, self.w = par, lam, w
        self._outermost = ends
        self.psi_p, self.psi_n, self.b2, v2, _, self.gamma2 = (float(x) for x in par)
        self.vn = v2 / self.psi_n
        nonzero = slice(int(np.searchsorted(lam, 0.0, side="right")), None)
        self.data_lam, self.data_w = lam[nonzero], w[nonzero]
        rank = float(self.data_w.sum())
        self.data_mass = min(self.psi_n, rank)  # nonzero eigenvalues of C, per d
        self.null_mass = max(0.0, 1.0 - self.data_mass)  # its zero eigenvalues
        if self.null_mass < 4e-16:
            self.null_mass = 0.0
        extra = self.psi_n - self.data_mass if self.vn > 0.0 else 0.0
        # eigenvalues of K that belong to c = 0
        self.poles = sorted(
            (k, m) for k, m in ((self.b2, self.null_mass), (self.vn, extra)) if m > 0.0
        )
        self.total = self.data_mass * (2.0 if self.vn > 0.0 else 1.0) + self.null_mass + extra
        self.seal()

    # -- the walk ----------------------------------------------------------------------------

    @property
    def ends(self) -> tuple[float, float]:
        """Lowest and highest edge, measured from s^2; the inner gaps are not looked for."""
        return self._bottom[0].high, self._top.low

    @property
    def atom(self) -> float:
        """Mass of the atom at s^2."""
        return self._bottom[1]

    def support(self) -> Support:
        """The whole support."""
        bottom, atom = self._bottom
        gaps = [bottom, *self._middle(), self._top]
        offsets = np.array([(g.high, h.low) for g, h in itertools.pairwise(gaps)])
        above = np.array([g.above for g in gaps]) / self.psi_p
        if atom == 0.0:
            above[0] = 1.0
        masses = above[:-1] - above[1:]
        centre = next((i for i, g in enumerate(gaps) if g.central), None)
        learning = None
        if self.vn == 0.0:
            learning = np.ones(len(masses), dtype=np.bool_)
        elif centre is not None:
            learning = np.arange(len(masses)) >= centre
        return Support(offsets, masses, atom, learning)

    @lazy
    def _bottom(self) -> tuple[_Gap, float]:
        """The gap below all bulks, and the atom at s^2 (k = 0) that it may contain."""
        excess = self.psi_p - self.total
        if abs(excess) <= 4e-15 * self.psi_p:  # hard edge: the support begins at s^2 itself
            return _Gap(-math.inf, 0.0, self.psi_p), 0.0
        if excess < 0.0:
            return _Gap(-math.inf, self._outer(0), self.psi_p), 0.0
        if self.vn > 0.0:
            edge = self._outer(0)
        else:
            first = self.poles[0][0] if self.poles else self._k(self._c(self._data_ends[1]), 1)
            edge = self._one_sided(lambda k: self._at_k(k, False), 0.0, first)
        return _Gap(-math.inf, edge, self.total), excess / self.psi_p

    def _middle(self) -> list[_Gap]:
        gaps: list[_Gap] = []
        inner = self._data_gaps[1:-1]
        if self.vn > 0.0:
            for gap in reversed(inner):  # k_- falls with c
                gaps += self._between_data(gap, -1, self.total - gap.above)
        gaps += self._centre()
        for gap in inner:
            gaps += self._between_data(gap, 1, gap.above)
        return gaps

    @lazy
    def _top(self) -> _Gap:
        return _Gap(self._outer(1), math.inf, 0.0)

    def _centre(self) -> list[_Gap]:
        """Between the two families, c below the support of C; poles at c = 0 split it."""
        c_min = self._c(self._data_ends[1])
        k_high = self._k(c_min, 1)
        k_low = self._k(c_min, -1) if self.vn > 0.0 else None
        nodes = [k for k, _ in self.poles]
        if k_low is not None:
            nodes.insert(0, k_low)
        nodes.append(k_high)
        gaps = []
        for a, b in itertools.pairwise(nodes):
            if not a < b:
                continue
            above = self.data_mass + sum(m for k, m in self.poles if k >= b)
            gaps += self._concave(
                lambda k: self._at_k(k, False), a, b, above, self._is_central(a, b)
            )
        return gaps

    def _is_central(self, a: float, b: float) -> bool:
        """Whether (a, b) separates the d directions of the data from the samples."""
        middle = math.sqrt(self.b2 * self.vn)
        if self.vn >= self.b2:  # extra samples at v_n sit above the null directions at b^2
            return a >= self.vn or (a <= middle <= b and not self.poles)
        return a <= middle <= b or (a == self.vn)

    def _between_data(self, gap: _DataGap, sign: int, above: float) -> list[_Gap]:
        return self._concave(lambda kappa: self._at_kappa(kappa, sign), gap.low, gap.high, above)

    def at_zero(self) -> ZeroPoint:
        """The solution at z = 0."""
        k, E = self.below(-float(self.par[4]))
        return ZeroPoint(k, np.array([E]), np.array([-k * E]))

    def below(self, offset: float) -> tuple[float, float]:
        """k and E at the real point z = s^2 + ``offset``, offset <= 0, below the support of U.

        On this side z(k) is increasing and concave from k = -infinity, where z - s^2 lies below
        psi_p k + Tr K/d, up to the lowest edge: Newton's method from the left is monotone. At
        offset = 0 with an atom there (a linear activation with psi_p > 1) the limit is k = 0.
        """
        if offset == 0.0 and self.psi_p >= self.total:
            return 0.0, self._E_at(0.0)
        trace = self.par[3] + self.b2 + self.gamma2 * float(self.w @ self.lam)
        k = (offset - trace) / self.psi_p
        for _ in range(_MOST_STEPS):
            z, slope = self._at_k(k, False)
            miss = offset - z
            step = miss / slope if slope > 0.0 else math.nan
            if step <= -2e-15 * k:  # a step back is rounding, or the start was not on the left
                if miss >= -_ROUNDING * (abs(z) - self.psi_p * k):
                    return k, self._E_at(k)
                break
            k += step
        raise ConvergenceError(
            f"no solution at z = s^2 {offset:+g}, below the spectrum of U "
            f"(psi_p = {self.psi_p:g}, psi_n = {self.psi_n:g})"
        )

    def _E_at(self, k: float) -> float:
        """E at k <= 0, where c(k) lies below the support of C."""
        kappa = effective_ridge(-self._c_of(k), False, self.psi_n, self.data_lam, self.data_w)
        return float(kappa) * self.gamma2 / (self.b2 - k)

    # -- points outside the support -----------------------------------------------------------

    def _c(self, kappa: float) -> float:
        return -float(ridge(kappa, self.psi_n, self.data_lam, self.data_w)[0])

    def _k(self, c: float, sign: int) -> float:
        return float(family(c, sign, self.par))

    def _at_kappa(self, kappa: float, sign: int) -> tuple[float, float]:
        return outside_on(kappa, self._c(kappa), sign, self.par, self.lam, self.w)

    def _c_of(self, k: float) -> float:
        """c(k) = (k - b^2)(k - v_n)/(gamma^2 k), the spectral parameter that C sees."""
        if self.vn == 0.0:
            return (k - self.b2) / self.gamma2
        return (k - self.b2) * (k - self.vn) / (self.gamma2 * k)

    def _at_k(self, k: float, upper: bool) -> tuple[float, float]:
        c = self._c_of(k)
        kappa = float(effective_ridge(-c, upper, self.psi_n, self.data_lam, self.data_w))
        if math.isnan(kappa):
            return math.nan, -math.inf
        return outside(k, kappa, c, self.par, self.lam, self.w)

    # -- one-dimensional searches ---------------------------------------------------------------

    def _edge(self, slope: Slope, a: float, b: float) -> float:
        """z - s^2 at the root of dz/dk between the parameters a and b."""
        from scipy.optimize import brentq

        def clipped(u: float) -> float:
            return max(slope(u)[1], -1e300)

        try:
            root = brentq(clipped, a, b, xtol=1e-15, rtol=1e-14)
        except ValueError:  # no change of sign
            raise self._unresolved() from None
        return float(slope(root)[0])

    def _unresolved(self) -> ConvergenceError:
        return ConvergenceError(
            f"an edge of the spectrum of U is too close to an eigenvalue of its kernel to be "
            f"resolved (psi_p = {self.psi_p:g}, psi_n = {self.psi_n:g})"
        )

    def _outer(self, which: int) -> float:
        """The lowest edge (0) or the highest (1)."""
        edge = self._ends[which]
        if math.isnan(edge):
            raise self._unresolved()
        return edge

    @lazy
    def _ends(self) -> tuple[float, float, float, float, float]:
        return self._outermost(self.par, self.lam, self.w)

    def _one_sided(self, at: Slope, a: float, b: float) -> float:
        """Edge in (a, b) when the slope falls from a positive value at a to -infinity at b."""
        slope = on_logit(at, a, b)
        low = first_where(lambda u: not slope(u)[1] <= 0.0, 0.0, -1.0)
        high = first_where(lambda u: not slope(u)[1] > 0.0, 0.0, 1.0)
        return self._edge(slope, low, high)

    def _concave(
        self, at: Slope, a: float, b: float, above: float, central: bool = False
    ) -> list[_Gap]:
        """The open gap inside (a, b), if the concave slope becomes positive there."""
        slope = on_logit(at, a, b)
        top = above_zero(lambda u: slope(u)[1])
        if top is None:
            return []
        low, high = sorted((self._edge(slope, -FAR, top), self._edge(slope, top, FAR)))
        return [_Gap(low, high, above, central)]

    # -- gaps of the sample covariance ------------------------------------------------------------

    @lazy
    def _data_ends(self) -> tuple[float, float]:
        """kappa at the highest and at the lowest edge of C."""
        lowest, highest = (
            support_end(side, self.psi_n, self.data_lam, self.data_w) for side in (1.0, -1.0)
        )
        return highest, lowest

    @property
    def sample_bulks(self) -> tuple[Array, Array]:
        """Edges of the bulks of C, ascending, shape (n, 2), and the mass of each, per d."""
        gaps = self._data_gaps
        edges = [(self._c(a.low), self._c(b.high)) for a, b in itertools.pairwise(gaps)]
        return np.array(edges), np.array([a.above - b.above for a, b in itertools.pairwise(gaps)])

    def family(self, c: Array, sign: int) -> Array:
        """The eigenvalues k_+ (``sign`` 1) or k_- (-1) of K that belong to eigenvalues c of C."""
        return np.array([self._k(float(x), sign) for x in c.ravel()]).reshape(c.shape)

    @lazy
    def _data_gaps(self) -> list[_DataGap]:
        """Gaps of C in ascending c: below its support, between its bulks, above them."""
        lam, w, psi_n = self.data_lam, self.data_w, self.psi_n
        left, right = self._data_ends
        gaps = [_DataGap(right, math.inf, self.data_mass)]
        above = np.cumsum(w[::-1])[::-1]
        # a gap needs f < psi_n somewhere; the two neighbours alone bound f from below
        cube = np.cbrt(w * lam * lam)
        least = (cube[1:] + cube[:-1]) ** 3 / np.diff(lam) ** 2
        for i in np.flatnonzero(least < psi_n):
            gap = self._gap_between(-float(lam[i + 1]), -float(lam[i]), float(above[i + 1]))
            gaps += [] if gap is None else [gap]
        gaps.append(_DataGap(-math.inf, left, 0.0))
        return gaps

    def _gap_between(self, a: float, b: float, above: float) -> _DataGap | None:
        """The gap of C whose kappa lies between two neighbouring poles, if there is one."""

        def excess(u: float) -> float:
            kappa = from_logit(u, a, b)
            return self.psi_n - float(second_order(kappa, self.data_lam, self.data_w))

        top = above_zero(excess)
        if top is None:
            return None
        ends = (root_or_end(excess, -FAR, top), root_or_end(excess, top, FAR))
        return _DataGap(from_logit(ends[0], a, b), from_logit(ends[1], a, b), above)
