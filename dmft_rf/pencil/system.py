"""A pencil with numbers in it: arrays for the kernels, and their solution."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dmft_rf._arithmetic import ieee, lazy
from dmft_rf._convert import complexes, floats, instance, mapping, shown
from dmft_rf._frozen import Frozen, FrozenDict
from dmft_rf._typing import Array
from dmft_rf.errors import ConvergenceError, ModelError
from dmft_rf.model.covariance import Covariance
from dmft_rf.pencil.adjoint import check_self_adjoint
from dmft_rf.pencil.balance import Balanced, balanced
from dmft_rf.pencil.points import Elements, Points
from dmft_rf.pencil.scalars import SIGMA, Scalar

if TYPE_CHECKING:
    from dmft_rf.pencil.derive import Contraction, Unknown
    from dmft_rf.pencil.spectrum import PencilSpectrum
    from dmft_rf.pencil.statement import Pencil

Integers = NDArray[np.int64]

# of the last Newton step, relative: next to a hard edge rounding can be larger
_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class Arrays(Frozen):
    """One set of parameters as the kernels take it; see `dmft_rf.kernels.dyson`."""

    A0: Array
    A1: Array
    cells: Integers
    reads: Integers
    r: Array
    terms: Integers
    h: Array
    mass: Array

    @property
    def all(self) -> tuple[Any, ...]:
        """In the order of the kernels."""
        return self.A0, self.A1, self.cells, self.reads, self.r, self.terms, self.h, self.mass

    def shifted(self, origin: float) -> Arrays:
        """The pencil seen from ``origin``: what it is at z is what this one is at z - origin."""
        return replace(self, A0=self.A0 + origin * self.A1)


@ieee
@dataclass(frozen=True, eq=False)
class System(Frozen):
    """A pencil with a covariance and values for its parameters.

    Attributes
    ----------
    pencil : Pencil
    covariance : Covariance
    values : dict of str to float array
        The parameters, all of ``shape``.
    shape : tuple of int
        That of the parameters; every result has it in front.
    """

    pencil: Pencil
    covariance: Covariance
    values: dict[str, Array]
    shape: tuple[int, ...]

    @lazy
    def _spaces(self) -> dict[str, slice]:
        """Cells of every space."""
        found, first = {}, 0
        for space in self.pencil.dyson.spaces:
            n = self.covariance.n_atoms if space == self.pencil.sigma else 1
            found[space] = slice(first, first + n)
            first += n
        return FrozenDict(found)

    @lazy
    def sets(self) -> tuple[Arrays, ...]:
        """Arrays of every set of parameters, in C order."""
        dyson = self.pencil.dyson
        return tuple(
            self._arrays(self.set_values(k), dyson.unknowns, dyson.contractions)
            for k in range(int(np.prod(self.shape, dtype=int)))
        )

    @lazy
    def pair_sets(self) -> tuple[Arrays, ...]:
        """The same with all that two-point functions need."""
        dyson = self.pencil.dyson
        return tuple(
            self._arrays(self.set_values(k), dyson.pair_unknowns, dyson.pair_contractions)
            for k in range(len(self.sets))
        )

    @lazy
    def balanced(self) -> tuple[Balanced, ...]:
        """``sets`` in natural units: what is solved."""
        return tuple(balanced(a, self._random(k)) for k, a in enumerate(self.sets))

    @lazy
    def balanced_pairs(self) -> tuple[Balanced, ...]:
        """``pair_sets`` in the same units."""
        return tuple(balanced(a, self._random(k)) for k, a in enumerate(self.pair_sets))

    def _random(self, k: int) -> Array:
        """Norms of the random blocks at the parameters of set ``k``, in the order of the cells."""
        pencil, values = self.pencil, self.set_values(k)
        order = [block for row in pencil.dyson.members.values() for block in row]
        norms = np.zeros((len(order), len(order)))
        for (i, j), terms in pencil.random.items():
            for term in terms:
                X = term.gaussian
                rows, columns, per = (
                    self._number(pencil.spaces[space], values)
                    for space in (X.rows, X.columns, X.per)
                )
                norm = math.sqrt(self._number(X.variance, values) / per)
                norm *= math.sqrt(rows) + math.sqrt(columns)
                for side, block in ((term.left, i), (term.right, j)):
                    norm *= float(np.abs(self._evaluate(side, values, pencil.blocks[block])).max())
                place = order.index(i), order.index(j)
                norms[place] = max(norms[place], norm)
        return norms

    def _evaluate(self, scalar: Scalar, values: Mapping[str, float], space: str) -> Array:
        """A coefficient on the cells of a space."""
        known: dict[str, Any] = {name: np.float64(value) for name, value in values.items()}
        cells = self._spaces[space]
        known[SIGMA] = self.covariance.eigenvalues
        with np.errstate(all="ignore"):
            result = np.asarray(scalar.fold(known.__getitem__, float))
        if result.dtype.kind == "c" or not np.all(np.isfinite(result)):  # a root of a number < 0
            raise ModelError(
                f"coefficient {shown(scalar)} is not a finite real number at these values"
            )
        return np.broadcast_to(result, (cells.stop - cells.start,))

    def _number(self, scalar: Scalar, values: Mapping[str, float]) -> float:
        known = {name: np.float64(value) for name, value in values.items()}
        with np.errstate(all="ignore"):  # the caller says what is wrong with a number
            return float(scalar.fold(known.__getitem__, np.float64))

    def _arrays(
        self,
        values: Mapping[str, float],
        unknowns: tuple[Unknown, ...],
        contractions: tuple[Contraction, ...],
    ) -> Arrays:
        pencil, dyson = self.pencil, self.pencil.dyson
        n_cells = max(s.stop for s in self._spaces.values())
        K = max(len(row) for row in dyson.members.values())
        A0, A1 = np.zeros((n_cells, K, K)), np.zeros((n_cells, K, K))
        mass = np.empty(n_cells)
        for space, cells in self._spaces.items():
            size = self._number(pencil.spaces[space], values)
            if not (np.isfinite(size) and size > 0.0):
                raise ModelError(f"the size of space {space} is {size}; it must be finite and > 0")
            mass[cells] = size * (self.covariance.weights if space == pencil.sigma else 1.0)
        for gaussian in pencil.gaussians.values():
            variance = self._number(gaussian.variance, values)
            if not (np.isfinite(variance) and variance >= 0.0):
                raise ModelError(
                    f"the variance of {gaussian.name} is {variance}; it must be finite and >= 0"
                )
        for (i, j), (a, b) in pencil.constant.items():
            space, row = dyson.place(i)
            column = dyson.place(j)[1]
            A0[self._spaces[space], row, column] = self._evaluate(a, values, space)
            A1[self._spaces[space], row, column] = self._evaluate(b, values, space)
        reads = np.zeros((len(unknowns), 2), np.int64)
        r = np.zeros((len(unknowns), n_cells))
        of_space = {s: np.zeros(4, np.int64) for s in dyson.spaces}
        for n, u in enumerate(unknowns):
            space, reads[n, 0] = dyson.place(u.k)
            reads[n, 1] = dyson.place(u.l)[1]
            cells = self._spaces[space]
            r[n, cells] = mass[cells] * self._evaluate(u.weight, values, space)
            of_space[space][3] += 1
        terms = np.zeros((len(contractions), 3), np.int64)
        h = np.zeros((len(contractions), n_cells))
        for n, c in enumerate(contractions):
            space, terms[n, 0] = dyson.place(c.i)
            terms[n, 1], terms[n, 2] = dyson.place(c.j)[1], c.unknown
            h[n, self._spaces[space]] = self._evaluate(c.factor, values, space)
            of_space[space][1] += 1
        cells_of = np.zeros((len(dyson.spaces), 7), np.int64)
        term = unknown = 0
        for n, space in enumerate(dyson.spaces):
            cells = self._spaces[space]
            count = of_space[space]
            cells_of[n] = (
                cells.start, cells.stop, len(dyson.members[space]),
                term, term + count[1], unknown, unknown + count[3],
            )  # fmt: skip
            term, unknown = term + count[1], unknown + count[3]
        return Arrays(A0, A1, cells_of, reads, r, terms, h, mass)

    # -- solving --------------------------------------------------------------------------------

    def solve(self, z: ArrayLike) -> Points:
        """Solve the Dyson equation at the points ``z``.

        Parameters
        ----------
        z : complex array_like
            Points of either half-plane; a real point stands for z + i0.

        Returns
        -------
        Points
            Results of shape ``self.shape + z.shape``.

        Raises
        ------
        ModelError
            If a point is not finite.
        ConvergenceError
            If no solution on the physical branch was found at some point; ``partial`` has what was.
        """
        from dmft_rf.kernels import dyson, dyson_path

        points = complexes(z, "z")
        flat = points.ravel()
        upper = np.where(flat.imag < 0.0, flat.conj(), flat)
        n = len(self.pencil.dyson.unknowns)
        g = np.empty((len(self.sets), flat.size, n), np.complex128)
        residual = np.empty((len(self.sets), flat.size))
        status = np.empty((len(self.sets), flat.size), np.int64)
        for k, natural in enumerate(self.balanced):
            g[k], residual[k], status[k], _ = dyson_path.solve_path(
                upper / natural.unit, *natural.arrays.all
            )
            g[k] *= natural.scalars
        result = Points(self, points, g, residual)
        missed = (status != dyson.CONVERGED) | (residual > _TOLERANCE)
        if np.any(missed):
            k, i = (int(x[0]) for x in np.nonzero(missed))
            raise ConvergenceError(
                "no solution of the Dyson equation on the physical branch, to nine digits, at z = "
                f"{flat[i]}{self._which(k)}",
                partial=result,
                residual=float(residual[k, i]),
            )
        return result

    def spectrum(self) -> PencilSpectrum:
        """Spectral law: edges, bulks, masses, atoms, density, moments.

        Raises
        ------
        ModelError
            If the parameters are arrays.
        ConvergenceError
            If the support or the density cannot be resolved.
        """
        from dmft_rf.pencil.spectrum import pencil_spectrum

        return pencil_spectrum(self)

    def _which(self, k: int) -> str:
        """The parameters of set ``k``, for messages."""
        values = ", ".join(f"{name} = {v.ravel()[k]:g}" for name, v in self.values.items())
        return f" ({values})" if values else ""

    def elements(self, wanted: Elements, values: Mapping[str, float], *, sized: bool) -> list[Any]:
        """Elements of a deterministic matrix; ``sized`` multiplies by the masses of the cells."""
        from dmft_rf.pencil.two_point import Element

        found = []
        for place, weight in mapping(wanted, "elements", '{("u", "u"): 1.0}').items():
            if not isinstance(place, tuple) or len(place) != 2:
                raise ModelError(f"an element is {shown(place)}; it must be a pair of blocks")
            i, j = place
            space, row = self.pencil.dyson.place(i)
            other, column = self.pencil.dyson.place(j)
            if other != space:
                raise ModelError(f"({i}, {j}): blocks of the spaces {space} and {other}")
            cells = self._spaces[space]
            count = cells.stop - cells.start
            value = floats(
                self._evaluate(weight, values, space) if isinstance(weight, Scalar) else weight,
                f"the weight of ({i}, {j})",
            )
            if value.shape not in ((), (count,)):
                raise ModelError(
                    f"({i}, {j}): the weight has shape {value.shape}; it must be one number, or "
                    f"one for each of the {count} eigenvalues"
                )
            if sized:
                size = self._number(self.pencil.spaces[space], values)
                atoms = self.covariance.weights if space == self.pencil.sigma else 1.0
                value = value * size * atoms
            found.append(Element(cells, row, column, np.broadcast_to(value, (count,))))
        return found

    def set_values(self, k: int) -> dict[str, float]:
        """Parameters of set ``k``."""
        return {name: float(v.ravel()[k]) for name, v in self.values.items()}


def bind(
    pencil: Pencil, covariance: Covariance | None, parameters: Mapping[str, ArrayLike]
) -> System:
    """See `Pencil.bind`."""
    if covariance is None:
        covariance = Covariance.isotropic()
    instance(covariance, Covariance, "covariance", "Covariance([0.5, 1.5])")
    for name in parameters:
        if name not in pencil.parameters:
            raise ModelError(
                f"the pencil has no parameter {name!r}; it has "
                f"{', '.join(pencil.parameters) or 'none'}"
            )
    missing = [name for name in pencil.parameters if name not in parameters]
    if missing:
        raise ModelError(f"parameters without a value: {', '.join(missing)}")
    arrays = {}
    for name, value in parameters.items():
        arrays[name] = floats(value, name)
    try:
        shape = np.broadcast_shapes(*(a.shape for a in arrays.values()))
    except ValueError:
        raise ModelError("the shapes of the parameters cannot be broadcast together") from None
    values = {name: np.broadcast_to(a, shape) for name, a in arrays.items()}
    system = System(pencil, covariance, values, shape)
    _ = system.sets  # what is wrong is found now
    if system.sets:
        check_self_adjoint(pencil, covariance, system.set_values(0))
    return system
