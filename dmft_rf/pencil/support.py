r"""Support of the law of a pencil: edges as roots, masses as exact counts, atoms.

Counting. (1/d) E log det L ~ Phi(z) = sum over cells of mass_c log det(A - S)_c + Tr(S[G] G)/(2 d)
is stationary in G, so Phi' = (1/d) Tr[A1 G]. At a real point outside the support G is real, every
determinant is a real number, and the phase that log det has turned on the way from infinity is an
integer multiple of pi in every cell: the number of eigenvalues below the point, in units of d, is
a sum of masses of cells, exactly.

Search. An interval whose ends lie outside the support with equal counts is empty, for certain. All
others are divided, on a scale that is logarithmic towards every point at which A is singular (the
places of atoms and hard edges), until what is left are pairs of a point outside and one inside,
whose edge is a root (`dmft_rf.pencil.edges`). A gap in which no point was tried is found later,
when the integral of the density is compared with the exact masses.

Places. Next to a singular point s of A a place is known by its distance from s, which z itself
would lose to rounding: everything there is computed for the pencil with A0 + s A1 in place of A0,
at z - s. A place is a pair (s, distance).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigvals

from dmft_rf._arithmetic import lazy
from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array
from dmft_rf.errors import ConvergenceError
from dmft_rf.kernels import dyson, dyson_path
from dmft_rf.pencil.division import divided, middle
from dmft_rf.pencil.edges import find_edge

if TYPE_CHECKING:
    from dmft_rf.pencil.system import Arrays

Place = tuple[float, float]

_MOST_PROBES = 4000
_MOST_STEPS_OUT = 40
# of the last Newton step, so that real and complex solutions can be told apart
_PRECISE = 1e-9
# imaginary parts of the scalars, relative to the largest, below which a point is outside
_REAL = 1e-10


@dataclass(frozen=True)
class Probe:
    """The solution at a real distance x: inside the support or outside, with the count below."""

    x: float
    inside: bool
    count: float
    g: NDArray[np.complex128]


@dataclass(frozen=True, eq=False)
class Support(Frozen):
    """Support of the law, masses in units of d.

    Attributes
    ----------
    places : tuple of (Place, Place)
        Lower and upper edge of every bulk, each as (singular point of A, distance from it).
    masses : (n_bulks,) array
    atoms : (n_atoms, 2) array
        Location and mass: what is nearer to a singular point of A than e^-40 to e^-150 of the
        distance to the next one, or than e^-18 to e^-30 where rounding allows no more.
    total : float
    special : (n_special,) array
        The singular points of A: places of atoms and hard edges.
    """

    places: tuple[tuple[Place, Place], ...]
    masses: Array
    atoms: Array
    total: float
    special: Array

    @lazy
    def edges(self) -> Array:
        """Edges of the bulks, shape (n_bulks, 2)."""
        return np.array([[sum(low), sum(high)] for low, high in self.places]).reshape(-1, 2)


class Search:
    """Solves at real points, as distances from an origin, and counts."""

    def __init__(self, arrays: Arrays, origin: float = 0.0) -> None:
        self.arrays = arrays.shifted(origin)
        self.origin = origin
        self.poles = [
            (c, np.where(p == origin, 0.0, p - origin)) for c, p in singular_points(arrays)
        ]
        self.total = float(sum(arrays.mass[c] * p.size for c, p in self.poles))
        # a smaller difference of counts is rounding: cells weigh more
        self.tiny = 1e-9 * min(self.total, float(arrays.mass.min()))
        self._known: dict[float, Probe] = {}
        self._edges: dict[tuple[float, float], float] = {}  # by the probes on either side

    def probe(self, x: float) -> Probe:
        """The solution at the distance x.

        Raises
        ------
        ConvergenceError
            If there is none on the physical branch: x is too close to an edge.
        """
        if x in self._known:
            return self._known[x]
        if len(self._known) > _MOST_PROBES:
            raise ConvergenceError(f"the support was not resolved with {_MOST_PROBES} points")
        g, turned, top, step, _, status = dyson_path.continued(complex(x, 0.0), *self.arrays.all)
        if status != dyson.CONVERGED or step > _PRECISE:
            raise ConvergenceError(
                "no solution of the Dyson equation on the physical branch at z = "
                f"{self.origin + x!r}",
                residual=float(step),
            )
        inside = bool(np.abs(g.imag).max(initial=0.0) > _REAL * np.abs(g).max(initial=1e-300))
        count = math.nan if inside else self._count(complex(x, top), turned)
        self._known[x] = Probe(x, inside, count, g)
        return self._known[x]

    def _count(self, top: complex, turned: Array) -> float:
        """Eigenvalues below a real point, from the phases turned since A at ``top`` above it."""
        phase = turned.copy()
        for c, poles in self.poles:
            phase[c] += np.angle(poles - top).sum()
        counts = -phase / math.pi
        whole = np.rint(counts)
        if np.abs(counts - whole).max() > 1e-3:
            raise ConvergenceError(
                f"the phase of det L at {self.origin + top.real!r} is not a multiple of pi",
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

    def differ(self, a: Probe, b: Probe) -> bool:
        """Whether there may be a part of the support between two probes."""
        return a.inside or b.inside or b.count - a.count > self.tiny

    def edge(self, outside: Probe, inside: Probe) -> float:
        """The edge between two probes: bracketed by halving until the root finder takes over."""
        key = (outside.x, inside.x)
        if key not in self._edges:
            self._edges[key] = self._root(outside, inside)
        return self._edges[key]

    def _root(self, outside: Probe, inside: Probe) -> float:
        out, within = outside, inside.x
        last: ConvergenceError | None = None
        for halvings in range(60):
            if halvings >= 3 and halvings % 3 == 0:
                try:
                    return find_edge(self.arrays, out.x, out.g, within)
                except ConvergenceError as error:
                    last = error
            a, b = sorted((out.x, within))
            between = middle(a, b)
            if not a < between < b:
                break
            probe = self.near(between, a, b)
            if probe.inside:
                within = probe.x
            else:
                out = probe
        place = self.origin + out.x, self.origin + within
        raise ConvergenceError(f"no edge was found between {place[0]!r} and {place[1]!r}") from last


@dataclass
class _Found:
    """What has been found so far, from below."""

    pieces: list[tuple[Place, Place]]
    masses: list[float]
    atoms: list[tuple[float, float]]
    count: float = 0.0  # below the last point outside
    lower: Place | None = None  # edge of a bulk whose upper one is still to come

    def end_bulk(self, place: Place, count: float) -> None:
        assert self.lower is not None
        self.pieces.append((self.lower, place))
        self.masses.append(count - self.count)
        self.lower, self.count = None, count


def find_support(
    arrays: Arrays, breaks: tuple[float, ...] = (), searches: dict[float, Search] | None = None
) -> Support:
    """Support of the law of a pencil with these arrays.

    Parameters
    ----------
    arrays : Arrays
    breaks : tuple of float
        Points known to lie in gaps that are narrow.
    searches : dict, optional
        What earlier calls for these arrays have found out, by origin; continued.

    Raises
    ------
    ConvergenceError
        If a part of the support cannot be resolved.
    """
    known = {} if searches is None else searches
    poles = singular_points(arrays)
    if not any(p.size for _, p in poles):
        raise ConvergenceError(
            "A0 + z A1 is singular at no z: without its Gaussian matrices H does not exist"
        )
    special = _distinct(np.concatenate([p for _, p in poles]))
    whole = known.setdefault(0.0, Search(arrays))
    lowest, highest = _bounds(whole, special)
    found = _Found([], [], [])
    # every interval has one end where A is singular; between two such points it is halved
    ends: list[tuple[float, float, float]] = [(lowest, float(special[0]), float(special[0]))]
    for a, b in itertools.pairwise(special.tolist()):
        middle = 0.5 * (a + b)
        ends += [(a, middle, a), (middle, b, b)]
    ends.append((float(special[-1]), highest, float(special[-1])))
    for left, right, origin in ends:
        search = known.setdefault(origin, Search(arrays, origin))
        low, high = left - origin, right - origin
        inner = [b - origin for b in breaks if left < b < right]
        probes = divided(search, low, high, inner)
        if left == origin:
            _pass(found, origin, probes[0], search.tiny)
        for a, b in itertools.pairwise(probes):
            if a.inside and b.inside:
                continue
            if not a.inside and not b.inside:
                if search.differ(a, b):  # narrower than the resolution of numbers
                    found.atoms.append((origin + 0.5 * (a.x + b.x), b.count - a.count))
                found.count = b.count
            elif b.inside:
                found.lower = (origin, search.edge(a, b))
                found.count = a.count
            else:
                found.end_bulk((origin, search.edge(b, a)), b.count)
    if abs(found.count - whole.total) > 1e-9 * whole.total or found.lower is not None:
        raise ConvergenceError(
            f"the support found carries {found.count!r} of {whole.total!r}",
            partial=found.pieces,
            residual=abs(found.count - whole.total),
        )
    return Support(
        tuple(found.pieces),
        np.array(found.masses, dtype=float),
        np.array(found.atoms, dtype=float).reshape(-1, 2),
        whole.total,
        special,
    )


def _pass(found: _Found, origin: float, first: Probe, tiny: float) -> None:
    """Step over a singular point of A to the first probe above it."""
    if first.inside:
        if found.lower is None:
            found.lower = (origin, 0.0)  # a hard edge
    elif found.lower is not None:
        found.end_bulk((origin, 0.0), first.count)
    else:
        if first.count - found.count > tiny:
            found.atoms.append((origin, first.count - found.count))
        found.count = first.count


def singular_points(arrays: Arrays) -> list[tuple[int, Array]]:
    """Each cell that holds z, with the z at which its A0 + z A1 is singular."""
    found = []
    for first, end, size, *_ in arrays.cells:
        for c in range(first, end):
            A0, A1 = arrays.A0[c, :size, :size], arrays.A1[c, :size, :size]
            if not A1.any():
                continue
            top, bottom = eigvals(A0, -A1, homogeneous_eigvals=True)
            finite = np.abs(bottom) > 1e-12 * np.abs(top)
            points = top[finite] / bottom[finite]
            if np.abs(points.imag).max(initial=0.0) > 1e-8 * np.abs(points).max(initial=1e-300):
                raise ConvergenceError("A is singular at complex z: the pencil is not self-adjoint")
            # A0 alone, where its elements are exact, is better than a quotient
            if size == 1:
                points = np.array([-A0[0, 0] / A1[0, 0]])
            found.append((int(c), points.real))
    return found


def _distinct(values: Array) -> Array:
    """Sorted values without those that differ by rounding."""
    ordered = np.sort(values)
    if ordered.size < 2:
        return ordered
    size = np.abs(ordered).max()
    return ordered[np.append(True, np.diff(ordered) > 1e-12 * size)]


def _bounds(search: Search, special: Array) -> tuple[float, float]:
    """Points below and above the support."""
    found = []
    middle, spread = float(special.mean()), float(np.ptp(special))
    for sign, wanted in ((-1.0, 0.0), (1.0, search.total)):
        reach = 1.0 + 2.0 * spread
        for _ in range(_MOST_STEPS_OUT):
            try:
                probe = search.probe(middle + sign * reach)
            except ConvergenceError:
                reach *= 4.0
                continue
            if not probe.inside and abs(probe.count - wanted) < 1e-9 * search.total:
                found.append(middle + sign * reach)
                break
            reach *= 4.0
        else:
            raise ConvergenceError(
                "the support has no end: is H bounded and self-adjoint?", partial=found
            )
    return found[0], found[1]
