r"""Support of the law of a pencil: edges as roots, masses as exact counts, atoms.

Counting. (1/d) E log det L ~ Phi(z) = sum over cells of mass_c log det(A - S)_c + Tr(S[G] G)/(2 d)
is stationary in G, so Phi' = (1/d) Tr[A1 G]. At a real point outside the support G is real, every
determinant is a real number, and the phase that log det has turned on the way from infinity is an
integer multiple of pi in every cell: the number of eigenvalues below the point, in units of d, is
a sum of masses of cells, exactly.

Edges. The real solution outside the support ends where 1 - M(x, x) becomes singular. There x has an
extremum along the curve of real solutions: an edge is the root of dx/dtau, tau one of the scalars.

Search. An interval whose ends lie outside the support with equal counts is empty, for certain. All
others are divided, on a scale that is logarithmic towards every point at which A is singular (the
places of atoms and hard edges), until what is left are pairs of a point outside and one inside. A
gap that no point meets is found later, when the density is resolved against the exact masses.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigvals

from dmft_rf.errors import ConvergenceError
from dmft_rf.kernels import dyson

if TYPE_CHECKING:
    from dmft_rf.pencil.system import Arrays

Array = NDArray[np.float64]

# the logit of a place between two special points is followed this far; then rounding meets the end
_FAR = 30.0
# halvings of the scale between special points, wherever it may hold a part of the support
_DEPTH = 5
_MOST_PROBES = 6000
# imaginary parts of the scalars, relative to the largest, below which a point is outside
_REAL = 1e-10


@dataclass(frozen=True)
class Probe:
    """The solution at a real point: inside the support or outside, with the count below it."""

    x: float
    inside: bool
    count: float
    g: NDArray[np.complex128]


@dataclass(frozen=True)
class Support:
    """Support of the law, masses in units of d.

    Attributes
    ----------
    edges : (n_bulks, 2) array
    masses : (n_bulks,) array
    atoms : (n_atoms, 2) array
        Location and mass.
    total : float
    special : (n_special,) array
        Where A is singular: the places of atoms and hard edges.
    """

    edges: Array
    masses: Array
    atoms: Array
    total: float
    special: Array


class Search:
    """Looks for the support of one set of parameters."""

    def __init__(self, arrays: Arrays) -> None:
        self.arrays = arrays
        self._poles = _poles(arrays)
        places = [p.real for _, p in self._poles]
        self.special = _distinct(np.concatenate(places) if places else np.zeros(0))
        self.total = float(sum(arrays.mass[c] * p.size for c, p in self._poles))
        self._known: dict[float, Probe] = {}

    # -- single points --------------------------------------------------------------------------

    def probe(self, x: float) -> Probe:
        """The solution at x.

        Raises
        ------
        ConvergenceError
            If there is none on the physical branch: x is too close to an edge.
        """
        if x in self._known:
            return self._known[x]
        if len(self._known) > _MOST_PROBES:
            raise ConvergenceError(f"the support was not resolved with {_MOST_PROBES} points")
        a = self.arrays
        g, phase, top, step, _, status = dyson.continued(complex(x, 0.0), *a.all)
        if status != dyson.CONVERGED:
            raise ConvergenceError(
                f"no solution of the Dyson equation on the physical branch at z = {x!r}",
                residual=float(step),
            )
        inside = bool(np.abs(g.imag).max(initial=0.0) > _REAL * np.abs(g).max(initial=1e-300))
        count = math.nan
        if not inside:
            count = self._count(complex(x, top), phase)
        self._known[x] = Probe(x, inside, count, g)
        return self._known[x]

    def _count(self, top: complex, turned: Array) -> float:
        """Eigenvalues below a real point, from the phases turned since A at ``top`` above it."""
        phase = turned.copy()
        for c, poles in self._poles:
            phase[c] += np.angle(poles - top).sum()
        counts = -phase / math.pi
        whole = np.rint(counts)
        if np.abs(counts - whole).max() > 1e-3:
            raise ConvergenceError(
                f"the phase of det L at {top.real!r} is not a multiple of pi",
                residual=float(np.abs(counts - whole).max()),
            )
        return float(whole @ self.arrays.mass)

    def near(self, x: float, low: float, high: float) -> Probe:
        """The solution at x, or beside it in (low, high) if x is too close to an edge."""
        for shift in (0.0, 1e-3, -1e-3, 1e-2, -1e-2, 0.1, -0.1):
            try:
                return self.probe(x + shift * min(high - x, x - low))
            except ConvergenceError as error:
                last = error
        raise last

    # -- edges ----------------------------------------------------------------------------------

    def edge(self, outside: Probe, inside: float) -> float:
        """The edge between a point outside the support and one inside.

        Raises
        ------
        ConvergenceError
            If the curve of real solutions does not turn between them.
        """
        g = outside.g.real.astype(np.complex128)
        curve = _Curve(self.arrays, outside.x, g)
        width = inside - outside.x
        direction = curve.slope[curve.index] * width
        first = float(g[curve.index].real)
        start_sign = curve.rate(first)
        step = 0.5 * direction
        low, high = first, math.nan
        for _ in range(40):
            trial = low + step
            try:
                rate = curve.rate(trial)
            except ConvergenceError:
                step *= 0.5
                continue
            if rate * start_sign <= 0.0:
                high = trial
                break
            low = trial
            step *= 1.5
        if math.isnan(high):
            raise ConvergenceError("the curve of real solutions does not turn")
        from scipy.optimize import brentq

        root = brentq(curve.rate, low, high, xtol=4e-16 * max(abs(low), abs(high)), rtol=1e-15)
        curve.rate(root)
        x = curve.x
        if not min(outside.x, inside) <= x <= max(outside.x, inside):
            raise ConvergenceError(f"the edge {x} is not between {outside.x} and {inside}")
        return x


class _Curve:
    """Real solutions (x, g) parametrised by one of the scalars."""

    def __init__(self, arrays: Arrays, x: float, g: NDArray[np.complex128]) -> None:
        self.arrays = arrays
        self.x, self.g = x, g
        J, b, _ = self._system(x, g)
        self.slope = np.linalg.solve(J, b)
        self.index = int(np.argmax(np.abs(self.slope) / (np.abs(g.real) + 1e-6 * np.abs(g).max())))

    def _system(self, x: float, g: NDArray[np.complex128]) -> tuple[Array, Array, Array]:
        """1 - M, the scalars of -G A1 G, and the residual."""
        a = self.arrays
        G = np.zeros(a.A0.shape, np.complex128)
        det = np.zeros(a.A0.shape[0], np.complex128)
        if not dyson.green(complex(x), 1.0, g, a.A0, a.A1, a.cells, a.terms, a.h, G, det):
            raise ConvergenceError("a cell is singular")
        M = dyson.coupling(G, G, 1.0, a.cells, a.reads, a.r, a.terms, a.h)
        b = -dyson.sandwich(G, a.A1.astype(np.complex128), G, a.cells, a.reads, a.r)
        return np.eye(g.size) - M.real, b.real, (g - dyson.read(G, a.cells, a.reads, a.r)).real

    def rate(self, value: float) -> float:
        """dx/dtau on the curve where scalar number ``index`` has this value."""
        n, k = self.g.size, self.index
        x, g = self.x, self.g.copy()
        g[k] = value
        before = math.inf
        for _ in range(40):
            J, b, residual = self._system(x, g)
            full = np.zeros((n + 1, n + 1))
            full[:n, :n], full[:n, n], full[n, k] = J, -b, 1.0
            right = np.concatenate([-residual, [value - g[k].real]])
            scale = np.append(np.abs(g) + 1e-6 * np.abs(g).max(), abs(x) + 1e-300)
            try:
                change = np.linalg.solve(full * scale, right) * scale
            except np.linalg.LinAlgError:
                break
            size = float(np.max(np.abs(change) / scale))
            if not math.isfinite(size) or size > 0.7:
                break
            g, x = g + change[:n], x + float(change[n])
            if size < 1e-13 or (size < 1e-10 and size >= 0.5 * before):
                self.x, self.g = x, g
                tangent = np.linalg.solve(full * scale, np.append(np.zeros(n), 1.0)) * scale
                return float(tangent[n])
            before = size
        raise ConvergenceError("the curve of real solutions was lost")


def find_support(arrays: Arrays, breaks: tuple[float, ...] = ()) -> Support:
    """Support of the law of a pencil with these arrays.

    Parameters
    ----------
    arrays : Arrays
    breaks : tuple of float
        Points known to lie in a gap that is narrow.

    Raises
    ------
    ConvergenceError
        If a part of the support cannot be resolved.
    """
    search = Search(arrays)
    special = search.special
    lowest, highest = _bounds(search)
    ends = [lowest, *(float(s) for s in special if lowest < s < highest), highest]
    pieces: list[tuple[float, float]] = []
    atoms: list[tuple[float, float]] = []
    # the last count known, and the edge at which an unfinished bulk has begun
    masses: list[float] = []
    count, begun = 0.0, math.nan
    for left, right in itertools.pairwise(ends):
        place = _scale(left, right, left in special, right in special)
        probes = _divided(search, place, [b for b in breaks if left < b < right])
        first = probes[0]
        if left in special:
            if first.inside and math.isnan(begun):
                begun = left  # a hard edge
            elif not first.inside and math.isnan(begun) and first.count - count > _tiny(search):
                atoms.append((left, first.count - count))
            elif not first.inside and not math.isnan(begun):
                pieces.append((begun, left))
                masses.append(first.count - count)
                begun = math.nan
            if not first.inside:
                count = first.count
        for a, b in itertools.pairwise(probes):
            if a.inside and b.inside:
                continue
            if not a.inside and not b.inside:
                if b.count - a.count > _tiny(search):  # narrower than the resolution of numbers
                    atoms.append((0.5 * (a.x + b.x), b.count - a.count))
                count = b.count
            elif b.inside:
                begun = _polished(search, a, b, place)
                count = a.count
            else:
                pieces.append((begun, _polished(search, b, a, place)))
                masses.append(b.count - count)
                begun, count = math.nan, b.count
    if abs(count - search.total) > 1e-9 * search.total or not math.isnan(begun):
        raise ConvergenceError(
            f"the support found carries {count!r} of {search.total!r}",
            partial=pieces,
            residual=abs(count - search.total),
        )
    return Support(
        np.array(pieces, dtype=float).reshape(-1, 2),
        np.array(masses, dtype=float),
        np.array(atoms, dtype=float).reshape(-1, 2),
        float(search.total),
        special,
    )


def _tiny(search: Search) -> float:
    """A difference of counts that is rounding: cells weigh more."""
    return 1e-9 * min(search.total, float(search.arrays.mass.min()))


def _poles(arrays: Arrays) -> list[tuple[int, NDArray[np.complex128]]]:
    """Each cell that holds z, with the z at which its A0 + z A1 is singular."""
    found = []
    for first, end, size, *_ in arrays.cells:
        for c in range(first, end):
            A0, A1 = arrays.A0[c, :size, :size], arrays.A1[c, :size, :size]
            if not A1.any():
                continue
            top, bottom = eigvals(A0, -A1, homogeneous_eigvals=True)
            finite = np.abs(bottom) > 1e-12 * np.abs(top)
            found.append((int(c), top[finite] / bottom[finite]))
    return found


def _distinct(values: Array) -> Array:
    """Sorted values without those that differ by rounding."""
    ordered = np.sort(values)
    if ordered.size < 2:
        return ordered
    size = np.abs(ordered).max()
    return ordered[np.append(True, np.diff(ordered) > 1e-12 * size)]


def _bounds(search: Search) -> tuple[float, float]:
    """Points below and above the support."""
    found = []
    middle = float(search.special.mean()) if search.special.size else 0.0
    spread = float(np.ptp(search.special)) if search.special.size else 0.0
    for sign, wanted in ((-1.0, 0.0), (1.0, search.total)):
        reach = 1.0 + 2.0 * spread
        for _ in range(400):
            try:
                probe = search.probe(middle + sign * reach)
            except ConvergenceError:
                reach *= 1.3
                continue
            if not probe.inside and abs(probe.count - wanted) < 1e-9 * search.total:
                found.append(middle + sign * reach)
                break
            reach *= 2.0
        else:
            raise ConvergenceError("the support has no end: is the pencil self-adjoint?")
    return found[0], found[1]


def _scale(
    left: float, right: float, from_left: bool, from_right: bool
) -> tuple[Callable[[float], float], float, float]:
    """A map from t in [start, end] onto (left, right), logarithmic towards special ends."""
    width = right - left

    def place(t: float) -> float:
        if from_left and from_right:
            return (
                left + width / (1.0 + math.exp(-t))
                if t < 0
                else right - width / (1.0 + math.exp(t))
            )
        if from_left:
            return left + width * math.exp(t)
        if from_right:
            return right - width * math.exp(-t)
        return left + width * t

    if from_left and from_right:
        return place, -_FAR, _FAR
    if from_left:
        return place, -_FAR, 0.0
    return (place, 0.0, _FAR) if from_right else (place, 0.0, 1.0)


def _divided(
    search: Search, scale: tuple[Callable[[float], float], float, float], breaks: list[float]
) -> list[Probe]:
    """Probes in order; neighbours outside with different counts are rounding apart."""
    place, start, end = scale
    low, high = place(start), place(end)
    first = search.near(low, 2 * low - high, 2 * high - low)
    last = search.near(high, 2 * low - high, 2 * high - low)

    def between(t: float, a: Probe, u: float, b: Probe, depth: int) -> list[Probe]:
        if depth == _DEPTH or not (a.inside or b.inside or b.count - a.count > _tiny(search)):
            return []
        middle = 0.5 * (t + u)
        probe = search.near(place(middle), low, high)
        left = between(t, a, middle, probe, depth + 1)
        return [*left, probe, *between(middle, probe, u, b, depth + 1)]

    probes = [first, *between(start, first, end, last, 0), last]
    probes += [search.probe(b) for b in breaks]
    probes = sorted({p.x: p for p in probes}.values(), key=lambda p: p.x)
    position = 0
    while position + 1 < len(probes):
        a, b = probes[position], probes[position + 1]
        apart = not (a.inside or b.inside) and b.count - a.count > _tiny(search)
        middle = _middle(a.x, b.x, low, high, scale)
        if apart and a.x < middle < b.x and b.x - a.x > 1e-13 * max(abs(a.x), abs(b.x)):
            probes.insert(position + 1, search.near(middle, a.x, b.x))
        else:
            position += 1
    return probes


def _middle(a: float, b: float, low: float, high: float, scale: Any) -> float:
    """Halfway between two points, on a logarithmic scale if they differ much from a special end."""
    place, start, end = scale
    left, right = place(-math.inf) if start < 0 else low, high
    if start < 0 and (b - left) > 4.0 * (a - left) > 0.0:
        return left + math.sqrt((a - left) * (b - left))
    if end > 1.0:
        right = place(math.inf)
        if (right - a) > 4.0 * (right - b) > 0.0:
            return right - math.sqrt((right - a) * (right - b))
    return 0.5 * (a + b)


def _polished(search: Search, outside: Probe, inside: Probe, scale: Any) -> float:
    """The edge between two probes: bracketed by halving until the root finder takes over."""
    place, start, end = scale
    low, high = place(start), place(end)
    out, within = outside, inside.x
    last: ConvergenceError | None = None
    for halvings in range(60):
        if halvings >= 3 and halvings % 3 == 0:
            try:
                return search.edge(out, within)
            except ConvergenceError as error:
                last = error
        a, b = sorted((out.x, within))
        middle = _middle(a, b, low, high, scale)
        if not a < middle < b:
            break
        probe = search.near(middle, a, b)
        if probe.inside:
            within = probe.x
        else:
            out = probe
    raise ConvergenceError(f"no edge was found between {out.x!r} and {within!r}") from last
