r"""Edges of the support of a pencil, as roots.

The real solution outside the support ends where 1 - M(x, x) becomes singular. There x has an
extremum along the curve of real solutions (x, g): an edge is the root of dx/dtau, tau one of the
scalars, and dx/dtau comes from the Jacobian, bordered by the condition that tau has its value.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dmft_rf._typing import Array
from dmft_rf.errors import ConvergenceError
from dmft_rf.kernels import dyson

if TYPE_CHECKING:
    from dmft_rf.pencil.system import Arrays


_MOST_NEWTON = 40
_MOST_STEPS = 40


class _Curve:
    """Real solutions (x, g) parametrised by the scalar that moves most."""

    def __init__(self, arrays: Arrays, x: float, g: Array) -> None:
        self.arrays = arrays
        J, b, _ = self._system(x, g)
        self.slopes = np.linalg.solve(J, b)
        self.index = int(np.argmax(np.abs(self.slopes) / (np.abs(g) + 1e-6 * np.abs(g).max())))
        # solutions that are known: value of the scalar, x, g
        self._known: list[tuple[float, float, Array]] = [(float(g[self.index]), x, g)]

    def _system(self, x: float, g: Array) -> tuple[Array, Array, Array]:
        """1 - M, the scalars of -G A1 G, and the residual."""
        a = self.arrays
        G = np.zeros(a.A0.shape, np.complex128)
        det = np.zeros(a.A0.shape[0], np.complex128)
        point = g.astype(np.complex128)
        if not dyson.green(complex(x), 1.0, point, a.A0, a.A1, a.cells, a.terms, a.h, G, det):
            raise ConvergenceError("a cell is singular")
        M = dyson.coupling(G, G, 1.0, a.cells, a.reads, a.r, a.terms, a.h)
        b = -dyson.sandwich(G, a.A1.astype(np.complex128), G, a.cells, a.reads, a.r)
        residual = point - dyson.read(G, a.cells, a.reads, a.r)
        return np.eye(g.size) - M.real, b.real, residual.real

    def at(self, value: float) -> tuple[float, float]:
        """Return x and dx/dtau on the curve where the scalar has this value."""
        n, k = len(self.slopes), self.index
        _, x, g = min(self._known, key=lambda known: abs(known[0] - value))
        before = math.inf
        for _ in range(_MOST_NEWTON):
            J, b, residual = self._system(x, g)
            full = np.zeros((n + 1, n + 1))
            full[:n, :n], full[:n, n], full[n, k] = J, -b, 1.0
            scale = np.append(np.abs(g) + 1e-6 * np.abs(g).max(), abs(x) + 1e-300)
            sides = np.zeros((n + 1, 2))
            sides[:n, 0], sides[n] = -residual, (value - g[k], 1.0)
            try:
                change, tangent = (np.linalg.solve(full * scale, sides) * scale[:, None]).T
            except np.linalg.LinAlgError:
                break
            size = float(np.max(np.abs(change) / scale))
            if not size < 0.7:
                break
            g, x = g + change[:n], x + float(change[n])
            if size < 1e-13 or (size < 1e-10 and size >= 0.5 * before):
                self._known.append((value, x, g))
                return x, float(tangent[n])
            before = size
        raise ConvergenceError("the curve of real solutions was lost")


def find_edge(arrays: Arrays, x: float, g: NDArray[np.complex128], inside: float) -> float:
    """The edge between a point x outside the support, with solution g, and one inside.

    Raises
    ------
    ConvergenceError
        If the curve of real solutions does not turn between them.
    """
    from scipy.optimize import brentq

    curve = _Curve(arrays, x, g.real)
    low = float(g.real[curve.index])
    # where the curve turns, the scalar has moved by about twice what its slope says
    step = 0.5 * float(curve.slopes[curve.index]) * (inside - x)
    start = curve.at(low)[1]
    for _ in range(_MOST_STEPS):
        try:
            turned = curve.at(low + step)[1] * start <= 0.0
        except ConvergenceError:
            step *= 0.5
            continue
        if turned:
            break
        low, step = low + step, 1.5 * step
    else:
        raise ConvergenceError("the curve of real solutions does not turn")
    high = low + step
    try:
        root = brentq(
            lambda value: curve.at(value)[1], low, high,
            xtol=4e-16 * max(abs(low), abs(high)), rtol=1e-15,
        )  # fmt: skip
    except ValueError as error:
        raise ConvergenceError(f"the edge between {x} and {inside} was lost ({error})") from None
    edge = curve.at(root)[0]
    if not min(x, inside) <= edge <= max(x, inside):
        raise ConvergenceError(f"the edge {edge} is not between {x} and {inside}")
    return edge
