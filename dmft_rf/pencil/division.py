"""Dividing an interval until it has a probe on either side of every edge in it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from dmft_rf.errors import ConvergenceError

if TYPE_CHECKING:
    from dmft_rf.pencil.support import Probe, Search

# the logarithm of a place in an interval is followed so far, or less where rounding is larger
_FAR = (30.0, 26.0, 22.0, 18.0)
# and then, to tell an atom from a bulk that is closer still, as far as floats have digits
_FARTHEST = (150.0, 75.0, 50.0, 40.0)
# halvings of the scale between special points, wherever it may hold a part of the support
_DEPTH = 5
# shares of the way from an edge to the point outside, where more of the support is looked for
_BESIDE = (1e-3, 1e-2, 0.1)


def divided(search: Search, low: float, high: float, breaks: list[float]) -> list[Probe]:
    """Probes in order; neighbours outside with different counts are rounding apart.

    One of ``low`` and ``high`` is 0, a singular point of A; the scale is logarithmic towards it.
    """
    far, sign = (high, 1.0) if low == 0.0 else (-low, -1.0)

    def at(t: float) -> float:
        return sign * far * math.exp(-t)

    last = search.near(at(0.0), -2.0 * far, 2.0 * far)
    start, first = _nearest(search, at)

    def between(t: float, a: Probe, u: float, b: Probe, depth: int) -> list[Probe]:
        lower, upper = (a, b) if a.x < b.x else (b, a)
        if depth == _DEPTH or not search.differ(lower, upper):
            return []
        half = 0.5 * (t + u)
        probe = search.near(at(half), lower.x, upper.x)
        nearer = between(t, a, half, probe, depth + 1)
        return [*nearer, probe, *between(half, probe, u, b, depth + 1)]

    probes = [first, *between(start, first, 0.0, last, 0), last]
    farther = _farthest(search, at)
    if farther and not farther[1].inside:
        probes += [farther[1], *between(*farther, start, first, 0)]
    probes += [search.probe(b) for b in breaks]
    probes = sorted({p.x: p for p in probes}.values(), key=lambda p: p.x)
    position = 0
    while position + 1 < len(probes):
        a, b = probes[position], probes[position + 1]
        between_them = middle(a.x, b.x)
        outside = not (a.inside or b.inside)
        wide = b.x - a.x > 1e-13 * max(abs(a.x), abs(b.x))
        if outside and search.differ(a, b) and wide and a.x < between_them < b.x:
            probes.insert(position + 1, search.near(between_them, a.x, b.x))
        elif a.inside != b.inside and (more := _beyond(search, a, b)):
            probes.insert(position + 1, more)
        else:
            position += 1
    return probes


def _beyond(search: Search, a: Probe, b: Probe) -> Probe | None:
    """A probe next to the edge between two, on its outer side, if there is more support there.

    The edge that is found belongs to the probe inside; the one outside may lie several bulks away.
    """
    outside, inside = (b, a) if a.inside else (a, b)
    edge = search.edge(outside, inside)
    for share in _BESIDE:
        x = edge + share * (outside.x - edge)
        if not min(edge, outside.x) < x < max(edge, outside.x):
            continue
        try:
            probe = search.probe(x)
        except ConvergenceError:  # too close to the edge
            continue
        more = probe.inside or abs(probe.count - outside.count) > search.tiny
        return probe if more else None
    return None


def _nearest(search: Search, at: Callable[[float], float]) -> tuple[float, Probe]:
    """The probe nearest to the singular point of A for which floats have enough digits."""
    for t in _FAR:
        try:
            return t, search.near(at(t), min(0.0, 2.0 * at(t)), max(0.0, 2.0 * at(t)))
        except ConvergenceError as error:
            last = error
    raise last


def _farthest(search: Search, at: Callable[[float], float]) -> tuple[float, Probe] | None:
    """The same, much nearer; None where rounding is too large, next to many hard edges."""
    for t in _FARTHEST:
        try:
            return t, search.probe(at(t))
        except ConvergenceError:
            continue
    return None


def middle(a: float, b: float) -> float:
    """Halfway between two distances, on a logarithmic scale if they differ much."""
    ratio = b / a
    if ratio > 4.0 or 0.0 < ratio < 0.25:
        return math.copysign(math.sqrt(a * b), a)
    return 0.5 * (a + b)
