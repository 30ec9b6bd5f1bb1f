"""What the laws of U and of pencils share: panels on their bulks, moments, what files hold."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dmft_rf._convert import whole
from dmft_rf._frozen import Frozen
from dmft_rf._stored import Arrays, Stored
from dmft_rf._typing import Array
from dmft_rf.errors import ModelError
from dmft_rf.numerics.edge_map import edge_map
from dmft_rf.numerics.panels import halve


@dataclass(frozen=True, eq=False)
class Panels(Frozen):
    """Intervals in theta, each in a bulk (low, high) measured from s^2; arrays (n_panels,)."""

    low: Array
    high: Array
    left: Array
    right: Array

    def rule(self, n: int) -> tuple[Array, Array]:
        """Gauss-Legendre nodes lambda - s^2, ascending in each bulk, and weights; (n_panels n,)."""
        nodes, weights = np.polynomial.legendre.leggauss(n)
        half = 0.5 * (self.right - self.left)[:, None]
        theta = 0.5 * (self.right + self.left)[:, None] + half * nodes
        x, slope = edge_map(self.low[:, None], self.high[:, None], theta)
        return x.ravel(), (half * weights * slope).ravel()

    def halved(self) -> Panels:
        """Twice as many panels."""
        return Panels(
            np.repeat(self.low, 2), np.repeat(self.high, 2), *halve(self.left, self.right)
        )


def power_mean(integrate: Callable[[Callable[[Array], Array]], float], k: int) -> float:
    """Integral of lambda^k, for an integer k >= 0; ModelError where it is beyond the floats."""
    order = whole(k, "moment order", least=0)
    with np.errstate(over="ignore"):
        value = integrate(lambda lam: lam**order)
    if not math.isfinite(value):
        raise ModelError(f"moment order is {order}; this moment is beyond the range of floats")
    return value


def stored_law(law: Any) -> Stored:
    """What a file holds of any spectral law: edges, masses, atoms and the density on a grid."""
    grid = law.grid()
    arrays: Arrays = {
        "edges": law.edges,
        "bulk_masses": law.bulk_masses,
        "atoms": law.atoms,
        "grid": grid,
        "density": law.density(grid),
    }
    return {"error_estimate": law.mass_error, "mass": law.mass}, arrays
