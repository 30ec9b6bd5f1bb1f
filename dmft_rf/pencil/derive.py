r"""From a pencil to its Dyson equation: the map S[G] and the scalars in which it closes.

With R_ik = a X b and R_lj = a' X^T b' (a, b functions of Sigma, X with entries of variance
v/N), E[X M X^T] = (v/N) Tr(M) I gives

    S[G]_ij += (v/c) a b' g,    g = (1/d) Tr[f(Sigma) G_kl],    f = b a',    N = c d,

for every ordered pair of occurrences of X with opposite transposition; a symmetric X pairs with
itself. Which elements of G vanish identically follows from the pattern of A by propagation, and
scalars that are equal by symmetry are found by refining a partition until the equation respects it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dmft_rf.errors import ModelError
from dmft_rf.pencil.matrices import Transposed
from dmft_rf.pencil.scalars import SIGMA, Scalar

if TYPE_CHECKING:
    from dmft_rf.pencil.statement import Pencil

# a block of a cell's matrix below this counts as zero where entries are of order 1
_ZERO = 1e-9


@dataclass(frozen=True)
class Unknown:
    """The scalar g = (1/d) Tr[weight(Sigma) G_kl]."""

    k: str
    l: str  # noqa: E741 - the letters of the formula
    weight: Scalar

    def __repr__(self) -> str:
        f = "" if self.weight == 1 else f"{self.weight} "
        return f"(1/d) Tr {f}G[{self.k},{self.l}]"


@dataclass(frozen=True)
class Contraction:
    """S[G]_ij contains factor * g_unknown, factor a function of Sigma and of the parameters."""

    i: str
    j: str
    factor: Scalar
    unknown: int


@dataclass(frozen=True)
class Dyson:
    """G(lambda) = (A(lambda) - S[G](lambda))^{-1} in every space, closed in the unknowns.

    Attributes
    ----------
    spaces : tuple of str
        In the order in which cells are numbered; only spaces that hold blocks.
    members : dict of str to tuple of str
        Blocks of each space.
    unknowns : tuple of Unknown
    contractions : tuple of Contraction
    pattern : dict of str to boolean array
        Which elements of G are not identically zero, per space.
    """

    spaces: tuple[str, ...]
    members: dict[str, tuple[str, ...]]
    unknowns: tuple[Unknown, ...]
    contractions: tuple[Contraction, ...]
    pattern: dict[str, NDArray[np.bool_]]

    def place(self, block: str) -> tuple[str, int]:
        """Space of a block and its position there."""
        for space, members in self.members.items():
            if block in members:
                return space, members.index(block)
        raise ModelError(f"there is no block {block!r}")


def derive(pencil: Pencil) -> Dyson:
    """Return the Dyson equation of ``pencil``.

    Raises
    ------
    ModelError
        If A is singular for large z (the message names blocks).
    """
    used = [s for s in pencil.spaces if s in pencil.blocks.values()]
    members = {s: tuple(b for b in pencil.blocks if pencil.blocks[b] == s) for s in used}
    contractions = _contract(pencil)
    pattern = _pattern(pencil, members, contractions)

    def alive(unknown: Unknown) -> bool:
        space = pencil.blocks[unknown.k]
        row = members[space]
        return bool(pattern[space][row.index(unknown.k), row.index(unknown.l)])

    order = {s: n for n, s in enumerate(used)}
    kept = [(i, j, f, u) for (i, j, u), f in contractions.items() if alive(u) and not f.is_zero]
    unknowns = sorted(
        {u for _, _, _, u in kept},
        key=lambda u: (
            order[pencil.blocks[u.k]],
            members[pencil.blocks[u.k]].index(u.k),
            members[pencil.blocks[u.k]].index(u.l),
            str(u.weight),
        ),
    )
    index = {u: n for n, u in enumerate(unknowns)}
    kept.sort(key=lambda x: (order[pencil.blocks[x[0]]], x[0], x[1], index[x[3]]))
    return Dyson(
        tuple(used),
        members,
        tuple(unknowns),
        tuple(Contraction(i, j, f, index[u]) for i, j, f, u in kept),
        pattern,
    )


def _contract(pencil: Pencil) -> dict[tuple[str, str, Unknown], Scalar]:
    """All pairs of occurrences of every Gaussian matrix: (i, j, unknown) -> factor."""
    occurrences: dict[str, list[tuple[str, str, Scalar, Scalar, bool]]] = {}
    for (i, k), terms in pencil.random.items():
        for term in terms:
            occurrences.setdefault(term.gaussian.name, []).append(
                (i, k, term.left, term.right, isinstance(term.leaf, Transposed))
            )
    found: dict[tuple[str, str, Unknown], Scalar] = {}
    for name, places in occurrences.items():
        gaussian = pencil.gaussians[name]
        variance = gaussian.variance / pencil.spaces[gaussian.per]
        for i, k, a, b, transposed in places:
            for row, j, a_2, b_2, transposed_2 in places:
                if transposed == transposed_2 and not gaussian.symmetric:
                    continue
                number, weight = (b * a_2).split()
                if weight.is_zero or number.is_zero:
                    continue
                key = (i, j, Unknown(k, row, weight))
                factor = variance * a * b_2 * number
                found[key] = found[key] + factor if key in found else factor
    return found


def _pattern(
    pencil: Pencil,
    members: dict[str, tuple[str, ...]],
    contractions: dict[tuple[str, str, Unknown], Scalar],
) -> dict[str, NDArray[np.bool_]]:
    """Elements of G that are not identically zero: those of A^{-1}, then what S[G] adds.

    An inverse with random entries shows its pattern; one draw is enough but for coincidences of
    probability zero.
    """
    rng = np.random.default_rng(20250202)
    names = {*pencil.parameters, SIGMA}
    values = {name: float(rng.uniform(0.5, 1.5)) for name in sorted(names)}
    z = complex(1e3 * rng.uniform(0.5, 1.5), 1e3)

    def at(scalar: Scalar) -> complex:
        return complex(scalar.fold(values.__getitem__, float))

    result: dict[str, NDArray[np.bool_]] = {}
    bare: dict[str, NDArray[np.complex128]] = {}
    for space, row in members.items():
        A = np.zeros((len(row), len(row)), np.complex128)
        for (i, j), (a, b) in pencil.constant.items():
            if pencil.blocks[i] == space:
                A[row.index(i), row.index(j)] = at(a) + z * at(b)
        scale = np.abs(A).max(axis=1)
        left, singular, _ = np.linalg.svd(A / np.where(scale > 0.0, scale, 1.0)[:, None])
        if singular[-1] < 1e-12:
            guilty = [b for b, x in zip(row, np.abs(left[:, -1]), strict=True) if x > 1e-6]
            raise ModelError(
                f"the pencil is singular at large z: without the Gaussian matrices the rows of "
                f"{', '.join(guilty)} (space {space}) are linearly dependent; every block needs a "
                "constant part, as 1 on its diagonal"
            )
        bare[space] = A
        result[space] = np.abs(np.linalg.inv(A)) > _ZERO * np.abs(np.linalg.inv(A)).max() * 1e-6
    while True:
        grown: dict[str, NDArray[np.bool_]] = {}
        for space, row in members.items():
            A = bare[space].copy()
            for i, j, u in contractions:
                if pencil.blocks[i] != space:
                    continue
                other = pencil.blocks[u.k]
                inner = members[other]
                if result[other][inner.index(u.k), inner.index(u.l)]:
                    A[row.index(i), row.index(j)] += complex(*rng.uniform(0.5, 1.5, 2))
            inverse = np.abs(np.linalg.inv(A))
            grown[space] = (inverse > 1e-15 * inverse.max()) | result[space]
        if all(np.array_equal(grown[s], result[s]) for s in members):
            return result
        result = grown
