r"""From an expression to its pencil: every intermediate vector becomes a block.

(H - z) u = source is written as a linear system: H u is evaluated from right to left, and whatever
a Gaussian matrix is applied to, unless it is a multiple of a block already, becomes a block of
its own, x - (...) = 0; equal ones are shared. An inverse E^{-1} v is a block y with E y - v = 0.
Observables left (H - z)^{-1} right get a block that feeds ``right`` into row u, and one that reads
``left``: their element of L^{-1} is the expression.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from dmft_rf._convert import mapping, shown
from dmft_rf.errors import ModelError
from dmft_rf.pencil.matrices import (
    MAX_BLOCKS,
    MAX_TERMS,
    Entry,
    Gaussian,
    Inverse,
    Leaf,
    Matrix,
    Product,
    Sum,
    Transposed,
)
from dmft_rf.pencil.scalars import Scalar, _is_scalar, check_name, z

# (left, X or None, right, block)
_Piece = tuple[Scalar, Leaf | None, Scalar, str]
_Vector = list[_Piece]
_ONE = Scalar.of(1)


class Linear(NamedTuple):
    """Blocks with their spaces, the entries of their rows, and what the blocks mean, by name."""

    blocks: dict[str, str]
    rows: dict[str, dict[str, Entry]]
    meanings: dict[str, str]


class _Builder:
    def __init__(self) -> None:
        self.blocks: dict[str, str] = {}
        self.rows: dict[str, dict[str, Entry]] = {}
        self.meanings: dict[str, str] = {}
        self._known: dict[object, str] = {}

    def block(self, name: str, space: str, meaning: str = "") -> str:
        if len(self.blocks) >= MAX_BLOCKS:
            raise ModelError(f"the expression needs more than {MAX_BLOCKS} blocks")
        self.blocks[name] = space
        self.rows[name] = {}
        if meaning:
            self.meanings[name] = meaning
        return name

    def add(self, row: str, vector: _Vector, sign: int) -> None:
        for left, leaf, right, block in vector:
            entry: Entry = left * right * sign if leaf is None else (left * sign) * (leaf * right)
            old = self.rows[row].get(block)
            self.rows[row][block] = entry if old is None else old + entry

    def apply(self, expression: Matrix | Scalar, vector: _Vector) -> _Vector:
        """The vector ``expression`` times ``vector``."""
        if isinstance(expression, Scalar):
            return [(expression * left, leaf, right, b) for left, leaf, right, b in vector]
        if isinstance(expression, Product):
            for factor in expression.factors[::-1]:
                vector = self.apply(factor, vector)
            return vector
        if isinstance(expression, Sum):
            pieces = [piece for part in expression.terms for piece in self.apply(part, vector)]
            if len(pieces) > MAX_TERMS:
                raise ModelError(f"the expression needs more than {MAX_TERMS} terms in a block")
            return pieces
        if isinstance(expression, Inverse):
            key = (id(expression), _key(vector))
            if key not in self._known:
                name = self.block(
                    f"y{len(self.blocks)}", expression.rows, f"= {expression} ({_text(vector)})"
                )
                self._known[key] = name
                self.add(name, self.apply(expression.of, [(_ONE, None, _ONE, name)]), 1)
                self.add(name, vector, -1)
            return [(_ONE, None, _ONE, self._known[key])]
        if not isinstance(expression, Gaussian | Transposed):
            raise ModelError(f"{shown(expression)} cannot be made part of a pencil")
        if len(vector) == 1 and vector[0][1] is not None:
            # the coefficient stays outside, so that X^T u is one block wherever it occurs
            left, leaf, right, b = vector[0]
            number, function = right.split()
            inner = self.auxiliary([(_ONE, leaf, function, b)], expression.columns)
            vector = [(left * number, None, _ONE, inner)]
        elif any(leaf is not None for _, leaf, _, _ in vector):
            vector = [(_ONE, None, _ONE, self.auxiliary(vector, expression.columns))]
        return [(_ONE, expression, left * right, b) for left, _, right, b in vector]

    def auxiliary(self, vector: _Vector, space: str) -> str:
        """The block that is equal to ``vector``."""
        key = _key(vector)
        if key not in self._known:
            name = self.block(f"x{len(self.blocks)}", space, f"= {_text(vector)}")
            self._known[key] = name
            self.rows[name][name] = _ONE
            self.add(name, vector, -1)
        return self._known[key]


def _key(vector: _Vector) -> object:
    return tuple(
        (left, None if leaf is None else str(leaf), right, block)
        for left, leaf, right, block in vector
    )


def _text(vector: _Vector) -> str:
    parts = []
    for left, leaf, right, block in vector:
        factors = [f"({s})" if len(s.terms) > 1 else str(s) for s in (left, right)]
        pieces = [
            factors[0] if left != 1 else "",
            str(leaf or ""),
            factors[1] if right != 1 else "",
        ]
        parts.append(" ".join(p for p in (*pieces, block) if p))
    return " + ".join(parts)


def linear_system(
    H: Matrix,
    observe: Mapping[str, tuple[Matrix | Scalar | float, Matrix | Scalar | float]] | None = None,
) -> Linear:
    """The blocks and entries of `dmft_rf.pencil.statement.linearize`; H is at block ``u``."""
    if H.rows != H.columns:
        raise ModelError(f"H is {H.rows} x {H.columns}; a resolvent needs a square matrix")
    builder = _Builder()
    u = builder.block("u", H.rows)
    unit: _Vector = [(_ONE, None, _ONE, u)]
    builder.add(u, [(-z, None, _ONE, u)], 1)
    builder.add(u, builder.apply(H, unit), 1)
    example = "{'S': (W.T, W)}"
    for name, pair in mapping({} if observe is None else observe, "observe", example).items():
        check_name(name, "an observable")
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ModelError(f"observable {name} is {shown(pair)}; it must be (left, right)")
        left, right = pair
        columns = right.columns if isinstance(right, Matrix) else H.rows
        rows = left.rows if isinstance(left, Matrix) else H.rows
        for side, fits, shape in (
            (left, not isinstance(left, Matrix) or left.columns == H.rows, "columns"),
            (right, not isinstance(right, Matrix) or right.rows == H.rows, "rows"),
        ):
            if not fits:
                raise ModelError(
                    f"observable {name}: {shown(side)} must have its {shape} in {H.rows}"
                )
        source = builder.block(f"{name}_in", columns, f"source of {name}")
        builder.rows[source][source] = _ONE
        fed = builder.apply(_expression(right), [(_ONE, None, _ONE, source)])
        builder.add(u, fed, -1)
        target = builder.block(f"{name}_out", rows, f"reads {name}")
        builder.rows[target][target] = _ONE
        builder.add(target, builder.apply(_expression(left), unit), -1)
    return Linear(builder.blocks, builder.rows, builder.meanings)


def _expression(value: Matrix | Scalar | float) -> Matrix | Scalar:
    return value if isinstance(value, Matrix) else Scalar.of(value)


def linear_terms(entry: Entry, here: str) -> list[tuple[Scalar, Leaf | None, Scalar]]:
    """Return ``entry`` as a sum of left X right, with at most one Gaussian X in each.

    Raises
    ------
    ModelError
        If there is a product of two matrices or an inverse, which need a block of their own.
    """
    if _is_scalar(entry):
        return [(Scalar.of(entry), None, Scalar.of(1))]
    if isinstance(entry, Gaussian | Transposed):
        return [(Scalar.of(1), entry, Scalar.of(1))]
    if isinstance(entry, Sum):
        return [term for part in entry.terms for term in linear_terms(part, here)]
    if isinstance(entry, Product):
        total: list[tuple[Scalar, Leaf | None, Scalar]] = [(Scalar.of(1), None, Scalar.of(1))]
        for factor in entry.factors:
            parts = linear_terms(factor, here)
            new: list[tuple[Scalar, Leaf | None, Scalar]] = []
            for left, leaf, right in total:
                for left_2, leaf_2, right_2 in parts:
                    if leaf is None:
                        new.append((left * right * left_2, leaf_2, right_2))
                    elif leaf_2 is None:
                        new.append((left, leaf, right * left_2 * right_2))
                    else:
                        raise ModelError(
                            f"{here} holds the product of {leaf} and {leaf_2}; each needs a block "
                            "of its own (linearize() makes them)"
                        )
            if len(new) > MAX_TERMS:
                raise ModelError(f"{here} has more than {MAX_TERMS} terms")
            total = new
        return total
    if isinstance(entry, Matrix):
        raise ModelError(
            f"{here} holds {shown(entry)}; an inverse needs a block (linearize() makes it)"
        )
    raise ModelError(f"{here} is {shown(entry)}; it must be a coefficient or a matrix expression")
