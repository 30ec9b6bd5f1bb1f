"""Gaussian averages of a function that is known only by its values.

The real line is cut into panels on which the function is a polynomial of degree 15 to rounding
accuracy; jumps and kinks end up at panel edges, whether they were declared or not. Composite
Gauss-Legendre rules on these panels then integrate products of the function, its square, Hermite
polynomials and the Gaussian density to nearly full precision, for smooth and kinked functions
alike and for features far narrower than the Gaussian. Gauss-Hermite rules do neither.

Throughout, z is a standard normal variable with density phi(z) = exp(-z^2/2)/sqrt(2 pi).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from dmft_rf._typing import Array, Mask
from dmft_rf.errors import ModelError
from dmft_rf.numerics.panels import resolved

FINE = 16
"""Gauss-Legendre nodes per panel for the values that are returned."""
COARSE = 12
"""Nodes per panel for the second, independent value that gives the error estimate."""

_PANEL_WIDTH = 0.5
_NARROWEST = 2.0**-50
_TOLERANCE = 3e-14
_MAX_PANELS = 20000
_KINK_WIDTH = 2.0**-11
_INWARD = 1e-6


@dataclass(frozen=True)
class Mesh:
    """Panels that resolve a function under the Gaussian weight.

    Attributes
    ----------
    edges : ndarray, shape (n_panels + 1,)
        Increasing panel edges in z.
    kinks : tuple of float
        Declared and detected jumps and kinks in z.
    """

    edges: Array
    kinks: tuple[float, ...]


@lru_cache(maxsize=8)
def legendre_rule(n: int) -> tuple[Array, Array]:
    """Return the nodes and weights, each of shape (n,), of Gauss-Legendre on [-1, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(n)
    nodes.flags.writeable = weights.flags.writeable = False
    return nodes, weights


@lru_cache(maxsize=1)
def _analysis() -> Array:
    """Return the matrix, shape (n, n), from values at n = FINE nodes to Legendre coefficients."""
    nodes, weights = legendre_rule(FINE)
    vandermonde = np.polynomial.legendre.legvander(nodes, FINE - 1)
    result: Array = (weights[:, None] * vandermonde) * (np.arange(FINE) + 0.5)
    return result


def panel_points(edges: Array, n: int) -> tuple[Array, Array]:
    """Composite Gauss-Legendre rule with `n` nodes on each panel.

    Parameters
    ----------
    edges : ndarray, shape (..., n_panels + 1)
        Non-decreasing along the last axis; an empty panel has weight zero.
    n : int
        Nodes per panel.

    Returns
    -------
    points, weights : ndarray, shape (..., n_panels, n)
    """
    nodes, weights = legendre_rule(n)
    half = 0.5 * np.diff(edges)
    points = (edges[..., :-1] + half)[..., None] + half[..., None] * nodes
    return points, half[..., None] * weights


def choose_radius(function: Callable[[Array], Array], name: str) -> float:
    """Find R such that f(z)^2 phi(z) is negligible beyond |z| = R.

    Parameters
    ----------
    function : callable
        f, from shape (m,) to shape (m,).
    name : str
        The name of the activation, for the message.

    Raises
    ------
    ModelError
        If f^2 phi still matters at |z| = 30: the Gaussian average does not exist or is out of
        the range of floating-point numbers.
    """
    for radius in (13.0, 20.0, 30.0):
        z = np.linspace(-radius, radius, 4 * int(radius) + 1)
        with np.errstate(divide="ignore"):
            density = 2.0 * np.log(np.abs(function(z))) - 0.5 * z * z
        peak = float(np.max(density))
        if peak == -np.inf:  # f vanishes: nothing to integrate
            return radius
        if max(density[0], density[-1]) <= peak - 50.0 and peak < 600.0:
            return radius
    raise ModelError(f"activation {name!r} grows too fast for Gaussian averages")


def resolve(
    function: Callable[[Array], Array], kinks: tuple[float, ...], radius: float, name: str
) -> Mesh:
    """Cut [-radius, radius] into panels on which `function` is a polynomial to rounding accuracy.

    Panels are halved until the last three of their 16 Legendre coefficients, and the misfit of
    the expansion at the panel's two ends, are below 3e-14 of the largest value of
    |f| exp(-z^2/4), weighted by exp(-z^2/4) unless the panel is already very narrow. The ends
    matter: a kink between the outermost node and the edge is seen by no node. An undeclared kink
    shows as a cluster of very narrow panels; it becomes an edge of a second, coarser mesh.

    Parameters
    ----------
    function : callable
        f, from shape (m,) to shape (m,).
    kinks : tuple of float
        Known jumps and kinks, in z. Zero is always an edge.
    radius : float
        The half-width of the interval.
    name : str
        The name of the activation, for the message.

    Raises
    ------
    ModelError
        If 20000 panels do not suffice: the function is noisy (random numbers, single precision)
        or has features that no affordable mesh resolves.
    """
    inside = {k for k in kinks if abs(k) < radius}
    edges = _refine(function, tuple(sorted({0.0, *inside})), radius, name)
    found = inside | set(_narrowest(edges))
    if found == inside:
        return Mesh(edges, tuple(sorted(inside)))
    second = _refine(function, tuple(sorted({0.0, *found})), radius, name)
    return Mesh(second if second.size < edges.size else edges, tuple(sorted(found)))


def _narrowest(edges: Array) -> list[float]:
    """Return the centres of the runs of panels that are very narrow and narrower than others."""
    widths = np.concatenate(([np.inf], np.diff(edges), [np.inf]))
    centres: list[float] = []
    start = 0  # the first of a run of equally wide panels; panel i has index i + 1 in `widths`
    for i in range(edges.size - 1):
        if i and not math.isclose(widths[i + 1], widths[i], rel_tol=0.3):
            start = i
        is_last = not math.isclose(widths[i + 2], widths[i + 1], rel_tol=0.3)
        lowest = widths[start] > widths[i + 1] < widths[i + 2]
        if is_last and lowest and widths[i + 1] < _KINK_WIDTH:
            centres.append(0.5 * float(edges[start] + edges[i + 1]))
    return centres


def _refine(
    function: Callable[[Array], Array], breakpoints: tuple[float, ...], radius: float, name: str
) -> Array:
    """Bisect adaptively from panels between the breakpoints; return the edges."""
    outer = (-radius, *breakpoints, radius)
    edges = np.concatenate(
        [
            np.linspace(a, b, max(1, int(np.ceil((b - a) / _PANEL_WIDTH))) + 1)[:-1]
            for a, b in itertools.pairwise(outer)
        ]
        + [np.array([radius])]
    )
    nodes, _ = legendre_rule(FINE)
    ends = np.array([-1.0, 1.0, 2.0 * _INWARD - 1.0, 1.0 - 2.0 * _INWARD])
    at_ends = np.polynomial.legendre.legvander(ends, FINE - 1).T
    scale = 0.0

    def unresolved(left: Array, right: Array) -> Mask:
        nonlocal scale
        width = right - left
        # At a known kink f may take either one-sided value, or neither: look just inside.
        known_low, known_high = np.isin(left, breakpoints), np.isin(right, breakpoints)
        low = left + np.where(known_low, _INWARD * width, 0.0)
        high = right - np.where(known_high, _INWARD * width, 0.0)
        inner = 0.5 * (left + right)[:, None] + 0.5 * width[:, None] * nodes
        values = function(np.concatenate((inner.ravel(), low, high)))
        sampled = values[: inner.size].reshape(inner.shape)
        f_low, f_high = values[inner.size :].reshape(2, -1)
        coefficients = sampled @ _analysis()
        fit = coefficients @ at_ends
        tail = np.abs(coefficients[:, -3:]).max(axis=1)
        tail = np.maximum(tail, np.abs(np.where(known_low, fit[:, 2], fit[:, 0]) - f_low))
        tail = np.maximum(tail, np.abs(np.where(known_high, fit[:, 3], fit[:, 1]) - f_high))
        weight = np.exp(-0.25 * np.maximum(0.0, np.maximum(left, -right)) ** 2)
        largest = np.abs(sampled).max(axis=1)
        scale = max(scale, float(np.max(largest * weight)))
        # A kink is located without the weight: where it lies far out, it may be all there is of
        # the residual, and both rules would share its misplacement.
        narrow = width < _KINK_WIDTH
        allowed = _TOLERANCE * np.where(narrow, np.maximum(scale, largest), scale / weight)
        # The rounding of the argument alone moves f by this much (a jump, an infinite slope).
        steepness = (sampled.max(axis=1) - sampled.min(axis=1)) / width
        blur = 4.0 * np.finfo(np.float64).eps * np.maximum(-left, right) * steepness
        return np.asarray((tail > allowed) & (tail > blur) & (width > _NARROWEST))

    found, complete = resolved(unresolved, edges, _MAX_PANELS)
    if not complete:
        raise ModelError(
            f"activation {name!r} cannot be resolved to double precision: it is noisy, "
            f"computed in single precision, or varies on too many scales"
        )
    return found


def hermite_averages(z: Array, values: Array, count: int) -> Array:
    """Average a function against the normalised Hermite polynomials He_k/sqrt(k!).

    Parameters
    ----------
    z, values : ndarray, shape (m,)
        Nodes, and f(z) times the weights of the rule in dz, without the Gaussian density.
    count : int
        The number of averages, k = 0, ..., count - 1.

    Returns
    -------
    ndarray, shape (count,)
        sum_i values_i phi(z_i) He_k(z_i)/sqrt(k!), by the three-term recurrence of the
        polynomials times exp(-z^2/4), which is bounded for every k.
    """
    half = np.exp(-0.25 * z * z)
    weighted = values * half / np.sqrt(2.0 * np.pi)
    result = np.empty(count)
    previous, current = np.zeros_like(z), half
    for k in range(count):
        result[k] = current @ weighted
        previous *= -np.sqrt(k / (k + 1.0))
        previous += (z / np.sqrt(k + 1.0)) * current
        previous, current = current, previous
    return result
