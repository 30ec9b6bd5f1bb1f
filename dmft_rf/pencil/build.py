r"""From an expression to its pencil: every intermediate vector becomes a block.

(H - z) u = source is written as a linear system: H u is evaluated from right to left, and whatever
a Gaussian matrix is applied to, unless it is a multiple of a block already, becomes a block of
its own, x - (...) = 0; equal ones are shared. An inverse E^{-1} v is a block y with E y - v = 0.
Observables left (H - z)^{-1} right get a block that feeds ``right`` into row u, and one that reads
``left``: their element of L^{-1} is the expression.
"""

from __future__ import annotations

from collections.abc import Mapping

from dmft_rf._convert import instance, mapping, shown
from dmft_rf.errors import ModelError
from dmft_rf.pencil.matrices import Gaussian, Inverse, Leaf, Matrix, Product, Sum, Transposed
from dmft_rf.pencil.scalars import Scalar, check_name, z
from dmft_rf.pencil.statement import MAX_BLOCKS, MAX_TERMS, Entry, Pencil

# (left, X or None, right, block)
_Piece = tuple[Scalar, Leaf | None, Scalar, str]
_Vector = list[_Piece]
_ONE = Scalar.of(1)


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


def linearize(
    H: Matrix,
    spaces: Mapping[str, Scalar | float],
    *,
    sigma: str | None = None,
    observe: Mapping[str, tuple[Matrix | Scalar | float, Matrix | Scalar | float]] | None = None,
) -> Pencil:
    r"""Pencil of the resolvent (H - z)^{-1} of a rational expression in Gaussian matrices.

    Parameters
    ----------
    H : Matrix
        Square, self-adjoint (or similar to such a matrix): the branch of its resolvent is certified
        by positivity.
    spaces : mapping of str to number or Scalar
        Sizes in units of d.
    sigma : str, optional
        The space in which Sigma acts.
    observe : mapping of str to (left, right), optional
        Further quantities left (H - z)^{-1} right, read by name.

    Returns
    -------
    Pencil
        With the resolvent at block ``u``; ``meanings`` says what the other blocks are.

    Raises
    ------
    ModelError
        If H is not square, or something in it does not fit.

    Examples
    --------
    >>> from dmft_rf.pencil import Gaussian, linearize
    >>> X = Gaussian("X", "p", "n", per="n")
    >>> wishart = linearize(X * X.T, {"p": 0.5, "n": 1.0})
    """
    instance(H, Matrix, "H", "X * X.T")
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
    return Pencil(
        spaces, builder.blocks, builder.rows, sigma=sigma, resolvent=u, meanings=builder.meanings
    )


def gram(
    M: Matrix,
    spaces: Mapping[str, Scalar | float],
    *,
    sigma: str | None = None,
    observe: Mapping[str, tuple[Matrix | Scalar | float, Matrix | Scalar | float]] | None = None,
) -> Pencil:
    """Pencil of the resolvent of M M^T; arguments as for `linearize`."""
    instance(M, Matrix, "M", "W * Z")
    return linearize(M * M.T, spaces, sigma=sigma, observe=observe)


def _expression(value: Matrix | Scalar | float) -> Matrix | Scalar:
    return value if isinstance(value, Matrix) else Scalar.of(value)
