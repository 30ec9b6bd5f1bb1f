"""Limiting spectral law of a pencil: edges, bulks, atoms, density, moments."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from dmft_rf._arithmetic import ieee, lazy
from dmft_rf._convert import floats, shown, values_of, whole
from dmft_rf._show import Shown, Table, table_of_law
from dmft_rf._stored import Stored
from dmft_rf._typing import Array
from dmft_rf.errors import ConvergenceError, ModelError
from dmft_rf.kernels import dyson, dyson_path
from dmft_rf.numerics.estimate import ROUNDING
from dmft_rf.pencil.support import Place, Search, Support, find_support
from dmft_rf.spectra.law import Panels, power_mean, stored_law

if TYPE_CHECKING:
    from dmft_rf.pencil.balance import Balanced
    from dmft_rf.pencil.system import System


_NODES = 16
_FIRST_PANELS = 3
_MOST_PANELS = 3000
_MOST_POINTS = 10**7
# relative to the mass of the bulk: halves of a panel against the panel, and the bulk as a whole
_MASS_TOLERANCE = 1e-13
_MASS_ERROR = 1e-10
_MOST_ROUNDS = 40
# imaginary part of the Stieltjes transform, relative to its size, that is rounding
_REAL = 1e-12
# a point this close to an edge, relative to where it is, may have no solution in floats
_AT_EDGE = 1e-9


class _GapError(Exception):
    """Bulks turn out to have gaps at these points."""

    def __init__(self, *points: float) -> None:
        super().__init__(*points)
        self.points = points


@dataclass(frozen=True)
class _Piece:
    """Part of a bulk, x = origin + sign * offset for offsets in (low, high).

    A piece with ``low`` = 0 begins where A is singular. There the density may behave like
    offset^-a, and offset = high sin(theta/2)^power with power (1 - a) an integer makes it smooth.
    """

    origin: float
    sign: float
    low: float
    high: float
    power: int = 2

    @property
    def start(self) -> float:
        return self.origin + (self.low if self.sign > 0.0 else -self.high)

    def points(self, offset: Array) -> Array:
        return self.origin + self.sign * offset

    def rule(self, left: Array, right: Array, n: int) -> tuple[Array, Array]:
        """Offsets and weights of panels in the variable theta in (0, pi) of the edge map."""
        if self.low > 0.0:
            size = np.ones(left.size)
            offset, weight = Panels(self.low * size, self.high * size, left, right).rule(n)
            return offset, weight
        nodes, weights = np.polynomial.legendre.leggauss(n)
        half = 0.5 * (right - left)[:, None]
        theta = (0.5 * (right + left)[:, None] + half * nodes).ravel()
        sin, cos = np.sin(0.5 * theta), np.cos(0.5 * theta)
        slope = 0.5 * self.power * self.high * sin ** (self.power - 1) * cos
        return self.high * sin**self.power, (half * weights).ravel() * slope


@ieee
@dataclass(frozen=True, eq=False, repr=False)
class PencilSpectrum(Shown):
    """Spectral law of a pencil, of total mass 1.

    The law is that of H where the pencil stands for (H - z)^{-1}, and in general that of the
    generalised eigenvalues det L = 0.
    """

    kind: ClassVar[str] = "pencil"

    system: System
    natural: Balanced  # in its units all numbers below are found
    support: Support

    @property
    @ieee
    def edges(self) -> Array:
        """Edges of the bulks, ascending, shape (n_bulks, 2)."""
        return self.natural.unit * self.support.edges

    @property
    @ieee
    def bulk_masses(self) -> Array:
        """Exact mass of each bulk, shape (n_bulks,)."""
        return self.support.masses / self.support.total

    @property
    @ieee
    def atoms(self) -> Array:
        """(location, mass) of each atom, shape (n_atoms, 2)."""
        return self.support.atoms * np.array([self.natural.unit, 1.0 / self.support.total])

    def density(self, lam: ArrayLike) -> Array:
        """Density of the continuous part at real ``lam``, shaped like it, at zero offset.

        0 exactly outside the bulks; infinite on a hard edge.

        Raises
        ------
        ModelError
            If ``lam`` is not an array of finite real numbers.
        ConvergenceError
            If the Dyson equation cannot be solved at some point.
        """
        points = floats(lam, "lam")
        flat = points.ravel() / self.natural.unit
        out = np.zeros(flat.size)
        for piece in (piece for bulk in self._bulks for piece in bulk):
            offset = piece.sign * (flat - piece.origin)
            inside = np.flatnonzero((offset >= piece.low) & (offset <= piece.high))
            out[inside] = self._inside(piece, offset[inside])
        for edge in self.support.edges.ravel():
            out[flat == edge] = math.inf if edge in self.support.special else 0.0
        return out.reshape(points.shape) / self.natural.unit

    def _inside(self, piece: _Piece, offset: Array) -> Array:
        """Density at offsets in a piece."""
        a = self.natural.arrays.shifted(piece.origin)
        order = np.argsort(offset, kind="stable")
        x = piece.sign * offset[order] + 0j
        g, residual, status, _ = dyson_path.solve_path(x, *a.all)
        values = dyson.charges(x, g, a.A0, a.A1, a.cells, a.terms, a.h, a.mass)
        # in a gap rounding leaves an imaginary part of either sign
        height = np.where(values.imag > _REAL * np.abs(values), values.imag, 0.0)
        rho = height / (math.pi * self.support.total)
        for i in np.flatnonzero(status != dyson.CONVERGED):
            at = offset[order[i]]
            if min(abs(piece.low - at), abs(piece.high - at)) > _AT_EDGE * at:
                raise ConvergenceError(
                    "density at lambda = "
                    f"{self.natural.unit * (piece.origin + x[i].real)!r} did not converge",
                    residual=float(residual[i]),
                )
            # there is none on an edge, and none where the density is infinite
            rho[i] = math.inf if at == 0.0 else 0.0
        out = np.empty(offset.size)
        out[order] = rho
        return out

    def grid(self, points: int = 400) -> Array:
        """About ``points`` values inside the bulks, dense towards every edge, ascending."""
        points = whole(points, "points", most=_MOST_POINTS)
        pieces = [piece for bulk in self._bulks for piece in bulk]
        each = max(8, points // max(1, len(pieces)))
        theta = math.pi * (np.arange(each) + 0.5) / each
        half = 0.5 * math.pi / each
        parts = [piece.points(piece.rule(theta - half, theta + half, 1)[0]) for piece in pieces]
        return self.natural.unit * np.sort(np.concatenate(parts)) if parts else np.zeros(0)

    @lazy
    def _bulks(self) -> list[list[_Piece]]:
        """Pieces of every bulk: cut where A is singular, and the density may be."""
        special = self.support.special
        bulks = []
        for low, high in self.support.places:
            inner = special[(special > sum(low)) & (special < sum(high))]
            cuts = [low, *((float(s), 0.0) for s in inner), high]
            pieces = [piece for a, b in itertools.pairwise(cuts) for piece in _pieces(a, b)]
            bulks.append([self._smoothed(piece) for piece in pieces])
        return bulks

    def _smoothed(self, piece: _Piece) -> _Piece:
        """The piece with the power that its density needs at a point where A is singular."""
        if piece.low > 0.0:
            return piece
        offset = piece.high * np.array([1e-10, 1e-9])
        rho = self._inside(piece, offset)
        if not np.all(rho > 0.0):
            return piece
        share = 1.0 + math.log(rho[1] / rho[0]) / math.log(10.0)  # 1 - a
        for power in range(2, 9):
            if abs(power * share - round(power * share)) < 0.01 * power:
                return replace(piece, power=power)
        return piece

    @lazy
    def _quadrature(self) -> tuple[Array, Array, float]:
        """Nodes, weights with the density in them, and the error of the mass."""
        nodes, weights = [], []
        # the exact masses, and the sum that checks them, have rounding of their own
        error = ROUNDING + abs(float(self.bulk_masses.sum() + self.atoms[:, 1].sum()) - 1.0)
        gaps: list[float] = []
        for bulk, mass in zip(self._bulks, self.bulk_masses, strict=True):
            total = 0.0
            for piece in bulk:
                try:
                    x, w = self._resolved(piece, float(mass))
                except _GapError as gap:
                    gaps += gap.points
                    continue
                nodes.append(x)
                weights.append(w)
                total += float(w.sum())
            error += abs(total - float(mass))
            if gaps:
                continue
            if abs(total - mass) > _MASS_ERROR * max(float(mass), 1e-3):
                raise ConvergenceError(
                    "the density of the bulk that begins at "
                    f"{self.natural.unit * bulk[0].start!r} integrates to "
                    f"{total!r}; its exact mass is {float(mass)!r}",
                    residual=abs(total - float(mass)),
                )
        if gaps:
            raise _GapError(*gaps)
        if not nodes:
            return np.zeros(0), np.zeros(0), error
        return np.concatenate(nodes), np.concatenate(weights), error

    def _resolved(self, piece: _Piece, mass: float) -> tuple[Array, Array]:
        """Nodes and weights on panels, each replaced by its halves until these agree with it."""
        ends = np.linspace(0.0, math.pi, _FIRST_PANELS + 1)
        left, right = ends[:-1], ends[1:]
        masses = self._weights(piece, left, right)[1].sum(axis=1)
        nodes, weights, count = [], [], 0
        while left.size and count < _MOST_PANELS:
            middle = 0.5 * (left + right)
            left = np.stack([left, middle], axis=1).ravel()
            right = np.stack([middle, right], axis=1).ravel()
            whole = masses
            x, w = self._weights(piece, left, right)
            masses = w.sum(axis=1)
            miss = np.abs(masses.reshape(-1, 2).sum(axis=1) - whole)
            tiny = right - left < 1e-13  # the map has no more digits there
            done = np.repeat(miss <= _MASS_TOLERANCE * mass, 2) | tiny
            nodes.append(x[done].ravel())
            weights.append(w[done].ravel())
            count += left.size
            left, right, masses = left[~done], right[~done], masses[~done]
        return np.concatenate(nodes), np.concatenate(weights)

    def _weights(self, piece: _Piece, left: Array, right: Array) -> tuple[Array, Array]:
        offset, w = piece.rule(left, right, _NODES)
        rho = self._inside(piece, offset)
        for at in offset[rho <= 0.0]:
            if min(at - piece.low, piece.high - at) > 1e-6 * (piece.high - piece.low):
                raise _GapError(float(piece.points(at)))
        shape = (left.size, _NODES)
        return piece.points(offset).reshape(shape), (w * rho).reshape(shape)

    def integrate(self, f: Callable[[Array], Array]) -> float:
        """Integral of ``f(lambda)``, smooth on each bulk, against the whole law."""
        x, w, _ = self._quadrature
        total = float(np.sum(w * values_of(f, self.natural.unit * x, "f")))
        for location, mass in self.atoms:
            total += float(mass) * float(values_of(f, np.array([location]), "f")[0])
        return total

    @property
    def mass(self) -> float:
        """Numerical integral of the density plus the atoms; 1 up to ``mass_error``."""
        return self.integrate(np.ones_like)

    @property
    def mass_error(self) -> float:
        """Sum over the bulks of |integral of the density - exact mass|, and rounding."""
        return self._quadrature[2]

    def moment(self, k: int) -> float:
        """Integral of lambda^k."""
        return power_mean(self.integrate, k)

    def _about(self) -> str:
        values = ", ".join(f"{name} = {float(x):.6g}" for name, x in self.system.values.items())
        return f"{self.system.pencil!r}; {values + '; ' if values else ''}{self.system.covariance}"

    def _table(self) -> Table:
        kinds = ["bulk"] * len(self.bulk_masses)
        return table_of_law(self.edges, self.bulk_masses, self.atoms, kinds)

    def stored(self) -> Stored:
        """What a file holds of the law: as of any law, and the pencil in words."""
        attributes, arrays = stored_law(self)
        attributes["pencil"] = self.system.pencil.describe()
        for name, value in self.system.values.items():
            attributes[f"parameter_{name}"] = float(value)
        c = self.system.covariance
        return attributes, {"eigenvalues": c.eigenvalues, "weights": c.weights, **arrays}


def _pieces(a: Place, b: Place) -> list[_Piece]:
    """One piece between places with the same singular point, else one on either side."""
    if a[0] == b[0]:
        sign = 1.0 if b[1] > 0.0 else -1.0
        low, high = sorted((abs(a[1]), abs(b[1])))
        return [_Piece(a[0], sign, low, high)]
    middle = 0.5 * (a[0] + b[0])
    middle = min(max(middle, sum(a)), sum(b))
    ends = [_Piece(a[0], 1.0, a[1], middle - a[0]), _Piece(b[0], -1.0, -b[1], b[0] - middle)]
    return [piece for piece in ends if piece.high > piece.low]


def pencil_spectrum(system: System) -> PencilSpectrum:
    """Spectral law of a pencil with one set of parameters: see `System.spectrum`."""
    if not hasattr(system, "sets"):
        raise ModelError(
            f"system is {shown(system)}; it must be a System, for instance pencil.bind()"
        )
    if system.shape != ():
        raise ModelError(
            f"the parameters have shape {system.shape}; a spectrum needs one set of values"
        )
    natural = system.balanced[0]
    breaks: tuple[float, ...] = ()
    searches: dict[float, Search] = {}
    for _ in range(_MOST_ROUNDS):
        law = PencilSpectrum(system, natural, find_support(natural.arrays, breaks, searches))
        try:
            _ = law._quadrature
        except _GapError as gap:  # so narrow that the search has stepped over them
            breaks = (*breaks, *gap.points)
            continue
        return law
    raise ConvergenceError(f"new gaps in the support after {_MOST_ROUNDS} rounds")
