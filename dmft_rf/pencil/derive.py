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

from dmft_rf._convert import shown
from dmft_rf._frozen import Frozen
from dmft_rf.errors import ModelError
from dmft_rf.pencil.balance import in_units, inverse, units
from dmft_rf.pencil.matrices import Transposed
from dmft_rf.pencil.scalars import SIGMA, Scalar

if TYPE_CHECKING:
    from dmft_rf.pencil.statement import Pencil

# size below which an element of a random draw is rounding, relative to what it is a sum of
_ZERO = 1e-11


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


@dataclass(frozen=True, eq=False)
class Dyson(Frozen):
    """G(lambda) = (A(lambda) - S[G](lambda))^{-1} in every space, closed in the unknowns.

    Attributes
    ----------
    spaces : tuple of str
        In the order in which cells are numbered; only spaces that hold blocks.
    members : dict of str to tuple of str
        Blocks of each space.
    unknowns : tuple of Unknown
        All that S[G] needs at one point.
    contractions : tuple of Contraction
    merged : tuple of (int, int)
        For each unknown the first one that is equal to it by symmetry, and the sign.
    pattern : dict of str to boolean array
        Which elements of G are not identically zero, per space.
    pair_unknowns, pair_contractions
        All that S[G_12] needs at two points, where nothing vanishes and nothing is equal because it
        is so at one.
    """

    spaces: tuple[str, ...]
    members: dict[str, tuple[str, ...]]
    unknowns: tuple[Unknown, ...]
    contractions: tuple[Contraction, ...]
    merged: tuple[tuple[int, int], ...]
    pattern: dict[str, NDArray[np.bool_]]
    pair_unknowns: tuple[Unknown, ...]
    pair_contractions: tuple[Contraction, ...]

    @property
    def minimal(self) -> tuple[int, ...]:
        """Numbers of the unknowns in which the equation at one point closes."""
        return tuple(n for n, (first, _) in enumerate(self.merged) if first == n)

    def place(self, block: str) -> tuple[str, int]:
        """Space of a block and its position there."""
        for space, members in self.members.items():
            if isinstance(block, str) and block in members:
                return space, members.index(block)
        raise ModelError(f"there is no block {shown(block)}")


def derive(pencil: Pencil) -> Dyson:
    """Return the Dyson equation of ``pencil``.

    Raises
    ------
    ModelError
        If A is singular for large z (the message names blocks).
    """
    used = [s for s in pencil.spaces if s in pencil.blocks.values()]
    members = {s: tuple(b for b in pencil.blocks if pencil.blocks[b] == s) for s in used}
    places = {b: n for n, b in enumerate(b for row in members.values() for b in row)}
    contractions = _contract(pencil)
    draw = _Draw(pencil, members)
    pattern = draw.pattern(contractions)

    def alive(unknown: Unknown) -> bool:
        space = pencil.blocks[unknown.k]
        row = members[space]
        return bool(pattern[space][row.index(unknown.k), row.index(unknown.l)])

    everything = [(i, j, f, u) for (i, j, u), f in contractions.items() if not f.is_zero]
    kept = [term for term in everything if alive(term[3])]
    unknowns, terms = _closed(kept, places)
    same = draw.equal(list(unknowns), kept)
    merged = tuple((unknowns.index(same[u][0]), same[u][1]) for u in unknowns)
    return Dyson(
        tuple(used), members, unknowns, terms, merged, pattern, *_closed(everything, places)
    )


def _closed(
    terms: list[tuple[str, str, Scalar, Unknown]], places: dict[str, int]
) -> tuple[tuple[Unknown, ...], tuple[Contraction, ...]]:
    """The unknowns of these terms, and the terms with their numbers; both space by space."""
    unknowns = sorted(
        {u for _, _, _, u in terms}, key=lambda u: (places[u.k], places[u.l], str(u.weight))
    )
    index = {u: n for n, u in enumerate(unknowns)}
    numbered = [Contraction(i, j, f, index[u]) for i, j, f, u in terms]
    numbered.sort(key=lambda c: (places[c.i], places[c.j], c.unknown))
    return tuple(unknowns), tuple(numbered)


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


class _Draw:
    """The pencil at random parameters, a random z and two random eigenvalues, in natural units.

    What vanishes or agrees there does so for all values, except with probability zero.
    """

    def __init__(self, pencil: Pencil, members: dict[str, tuple[str, ...]]) -> None:
        self.pencil, self.members = pencil, members
        self.rng = np.random.default_rng(20250202)
        self.values = {name: float(self.rng.uniform(0.5, 1.5)) for name in pencil.parameters}
        self.lam = (0.7130, 1.3917)
        self.weights = (0.4123, 0.5877)
        t, rows, columns = self._units()
        self.rows, self.columns = rows, columns
        self.z = complex(40.0, 60.0) * t
        self.bare = {
            space: [self._constant(space, lam, self.z) for lam in self.lam] for space in members
        }
        for space, row in members.items():
            self._check_regular(space, row)

    def _units(self) -> tuple[float, dict[str, float], dict[str, float]]:
        """The unit of z, and what rows and columns are multiplied by (`pencil.balance`)."""
        order = [block for row in self.members.values() for block in row]
        index, lam = {b: n for n, b in enumerate(order)}, self.lam[0]
        fixed, slope = np.zeros((2, len(order), len(order)))
        for (i, j), (a, b) in self.pencil.constant.items():
            place = index[i], index[j]
            fixed[place], slope[place] = abs(self.at(a, lam)), abs(self.at(b, lam))
        for (i, j), terms in self.pencil.random.items():
            for term in terms:
                norm = abs(self.at(term.left, lam) * self.at(term.right, lam))
                norm *= abs(self.at(term.gaussian.variance, lam)) ** 0.5
                fixed[index[i], index[j]] = max(fixed[index[i], index[j]], norm)
        t, u, v = units(fixed, slope)
        rows, columns = (dict(zip(order, np.ldexp(1.0, -x).tolist(), strict=True)) for x in (u, v))
        return float(np.ldexp(1.0, t)), rows, columns

    def at(self, scalar: Scalar, lam: float) -> complex:
        """A coefficient at these values; complex where a root of them is."""
        return complex(scalar.fold({**self.values, SIGMA: lam}.__getitem__, complex))

    def _constant(self, space: str, lam: float, z: complex) -> NDArray[np.complex128]:
        row = self.members[space]
        A = np.zeros((len(row), len(row)), np.complex128)
        for (i, j), (a, b) in self.pencil.constant.items():
            if self.pencil.blocks[i] == space:
                value = self.at(a, lam) + z * self.at(b, lam)
                A[row.index(i), row.index(j)] = value * self.rows[i] * self.columns[j]
        return A

    def _check_regular(self, space: str, row: tuple[str, ...]) -> None:
        A = self._constant(space, self.lam[0], 1e3 * self.z)
        left, singular, _ = np.linalg.svd(in_units(A)[0])
        if singular[-1] < 1e-12:
            guilty = [b for b, x in zip(row, np.abs(left[:, -1]), strict=True) if x > 1e-6]
            raise ModelError(
                f"the pencil is singular at large z: without the Gaussian matrices the rows of "
                f"{', '.join(guilty)} (space {space}) are linearly dependent; every block needs a "
                "constant part, as 1 on its diagonal"
            )

    def pattern(
        self, contractions: dict[tuple[str, str, Unknown], Scalar]
    ) -> dict[str, NDArray[np.bool_]]:
        """Elements of G that are not identically zero: those of A^{-1}, then what S[G] adds."""
        result = {s: np.zeros((len(row), len(row)), np.bool_) for s, row in self.members.items()}
        while True:
            grown = {}
            for space, row in self.members.items():
                A = self.bare[space][0].copy()
                for i, j, u in contractions:
                    other = self.members[self.pencil.blocks[u.k]]
                    live = result[self.pencil.blocks[u.k]][other.index(u.k), other.index(u.l)]
                    if self.pencil.blocks[i] == space and live:
                        A[row.index(i), row.index(j)] += complex(*self.rng.uniform(0.5, 1.5, 2))
                G = np.abs(inverse(A))
                size = G @ np.abs(A) @ G
                grown[space] = (_ZERO * size < G) | result[space]
            if all(np.array_equal(grown[s], result[s]) for s in self.members):
                return result
            result = grown

    def image(
        self,
        g: NDArray[np.complex128],
        unknowns: list[Unknown],
        terms: list[tuple[str, str, Scalar, Unknown]],
    ) -> NDArray[np.complex128]:
        """The scalars of (A - S[G])^{-1} when those of G are ``g``."""
        index = {u: n for n, u in enumerate(unknowns)}
        out = np.zeros(len(unknowns), np.complex128)
        for n, lam in enumerate(self.lam):
            G = {}
            for space, row in self.members.items():
                M = self.bare[space][n].copy()
                for i, j, f, u in terms:
                    if self.pencil.blocks[i] == space:
                        value = self.at(f, lam) * g[index[u]] * self.rows[i] * self.columns[j]
                        M[row.index(i), row.index(j)] -= value
                G[space] = inverse(M)
            for u, k in index.items():
                space = self.pencil.blocks[u.k]
                size = self.at(self.pencil.spaces[space], lam) * self.weights[n]
                row = self.members[space]
                element = G[space][row.index(u.k), row.index(u.l)] * self._unit(u)
                out[k] += size * self.at(u.weight, lam) * element
        return out

    def _unit(self, u: Unknown) -> float:
        """What the element of G in an unknown is to be multiplied by."""
        return self.columns[u.k] * self.rows[u.l]

    def equal(
        self, unknowns: list[Unknown], terms: list[tuple[str, str, Scalar, Unknown]]
    ) -> dict[Unknown, tuple[Unknown, int]]:
        """Scalars that are equal by symmetry, up to sign: unknown -> (representative, sign).

        Equalities that the equation preserves hold along its iteration from A^{-1}, hence for its
        solution. Candidates are read off that iteration; whatever a random point that obeys them
        does not map to such a point is split again.
        """
        g = np.zeros(len(unknowns), np.complex128)
        for _ in range(6):
            g = self.image(g, unknowns, terms)
        groups, signs = _classes(g, [0] * len(unknowns))
        while True:
            free = self.rng.normal(size=(2, len(unknowns)))
            unit = [self._unit(unknowns[groups.index(n)]) for n in groups]
            g = np.array([s * complex(*free[:, n]) for n, s in zip(groups, signs, strict=True)])
            g *= unit
            image = self.image(0.1 * g, unknowns, terms)
            finer, _ = _classes(image * np.array(signs), groups, signed=False)
            if len(set(finer)) == len(set(groups)):
                break
            groups = finer
        first: dict[int, int] = {}
        for n, group in enumerate(groups):
            first.setdefault(group, n)
        return {
            u: (unknowns[first[group]], signs[n] * signs[first[group]])
            for n, (u, group) in enumerate(zip(unknowns, groups, strict=True))
        }


def _classes(
    values: NDArray[np.complex128], within: list[int], *, signed: bool = True
) -> tuple[list[int], list[int]]:
    """Number the classes of equal values (or, ``signed``, up to sign) inside given classes."""
    labels: list[int] = []
    signs: list[int] = []
    for n, value in enumerate(values):
        tolerance = _ZERO * abs(value)
        for m in range(n):
            if within[m] != within[n]:
                continue
            if abs(value - values[m]) <= tolerance:
                labels.append(labels[m])
                signs.append(signs[m])
                break
            if signed and abs(value + values[m]) <= tolerance:
                labels.append(labels[m])
                signs.append(-signs[m])
                break
        else:
            labels.append(n)
            signs.append(1)
    return labels, signs
