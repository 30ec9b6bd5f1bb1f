"""The Dyson equation solved at points: traces of blocks of the inverse, two-point functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from dmft_rf._arithmetic import ieee, lazy
from dmft_rf._convert import instance, string
from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array, Complex
from dmft_rf.errors import ModelError
from dmft_rf.pencil.scalars import Scalar

if TYPE_CHECKING:
    from dmft_rf.pencil.system import System

# what multiplies an element: a number, a function of Sigma, or its values at the eigenvalues
Weight = Scalar | float | ArrayLike
Elements = Mapping[tuple[str, str], Weight]


@ieee
@dataclass(frozen=True, eq=False)
class Points(Frozen):
    """Solution of the Dyson equation at points z.

    Attributes
    ----------
    system : System
    z : complex array
        Points; real ones are limits from above.
    g : complex array, shape (n_sets, n_points, n_unknowns)
        The unknowns at the points, or at their conjugates in the lower half-plane.
    residual : float array, shape (n_sets, n_points)
        Relative size of Newton's last step.
    """

    system: System
    z: Complex
    g: Complex
    residual: Array

    @lazy
    def _greens(self) -> tuple[Complex, ...]:
        """G per set in natural units, (n_points, n_cells, K, K), at the points themselves."""
        from dmft_rf.kernels import dyson

        flat = self.z.ravel()
        g = np.where((flat.imag < 0.0)[:, None], self.g.conj(), self.g)
        found = []
        for k, natural in enumerate(self.system.balanced):
            a, scaled = natural.arrays, g[k] / natural.scalars
            found.append(
                dyson.greens(flat / natural.unit, scaled, a.A0, a.A1, a.cells, a.terms, a.h)
            )
        return tuple(found)

    def trace(self, i: str, j: str, weight: Weight = 1.0) -> Complex:
        """(1/d) Tr[weight(Sigma) (L^{-1})_ij], shape ``system.shape + z.shape``.

        Parameters
        ----------
        i, j : str
            Blocks of one space.
        weight : float, Scalar or array_like, default 1
            A function of Sigma, as a Scalar or by its values at the eigenvalues.

        Raises
        ------
        ModelError
            If there is no such block, or the two have different spaces.
        """
        i, j = string(i, "a block"), string(j, "a block")
        out = []
        for k, G in enumerate(self._greens):
            (e,) = self.system.elements({(i, j): weight}, self.system.set_values(k), sized=True)
            size = self.system.balanced[k].sized(e.cells, e.i, e.j)
            out.append(size * (G[:, e.cells, e.i, e.j] @ e.values))
        return np.array(out).reshape(self.system.shape + self.z.shape)

    def observable(self, name: str, weight: Weight = 1.0) -> Complex:
        """(1/d) Tr[weight left (H - z)^{-1} right] of an observable of `linearize`."""
        name = string(name, "the name of an observable")
        return self.trace(f"{name}_out", f"{name}_in", weight)

    @property
    @ieee
    def q(self) -> Complex:
        """Stieltjes transform of the spectral law: (1/N) Tr (H - z)^{-1}, N the size of H."""
        u = self.system.pencil.resolvent
        size = self.system.pencil.spaces[self.system.pencil.blocks[u]]
        sizes = np.array(
            [
                float(size.fold(self.system.set_values(k).__getitem__, float))
                for k in range(len(self._greens))
            ]
        ).reshape(self.system.shape + (1,) * self.z.ndim)
        return self.trace(u, u) / sizes

    def two_point(self, other: Points, inner: Elements, outer: Elements) -> Complex:
        r"""(1/d) Tr[Q L(z_1)^{-1} P L(z_2)^{-1}] for all pairs of points.

        Parameters
        ----------
        other : Points
            z_2, of the same system.
        inner : mapping of (i, j) to weight
            Elements of P.
        outer : mapping of (k, l) to weight
            What is read of L(z_1)^{-1} P L(z_2)^{-1}: sum of (1/d) Tr[weight (...)_kl].

        Returns
        -------
        complex array, shape ``system.shape + z_1.shape + z_2.shape``

        Raises
        ------
        ModelError
            If the systems differ, or an element is not of one space.
        """
        from dmft_rf.pencil.two_point import two_point

        system = self.system
        instance(other, Points, "other", "system.solve(z)")
        if other.system != system:
            raise ModelError("the two sets of points must be solutions of the same system")
        out = []
        for k, natural in enumerate(system.balanced_pairs):
            values = system.set_values(k)
            # P stands between two G, with its rows beside the columns of the first
            P = [
                replace(e, values=e.values * natural.sized(e.cells, e.j, e.i))
                for e in system.elements(inner, values, sized=False)
            ]
            Q = [
                replace(e, values=e.values * natural.sized(e.cells, e.i, e.j))
                for e in system.elements(outer, values, sized=True)
            ]
            out.append(two_point(natural.arrays, self._greens[k], other._greens[k], P, Q))
        return np.array(out).reshape(system.shape + self.z.shape + other.z.shape)
