"""The Dyson equation of a pencil in symbols: unknowns, equations, Jacobian, LaTeX (sympy)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from dmft_rf._arithmetic import lazy
from dmft_rf._frozen import Frozen
from dmft_rf.errors import ModelError
from dmft_rf.pencil.derive import Unknown
from dmft_rf.pencil.scalars import POINT, SIGMA, Number, Scalar

if TYPE_CHECKING:
    from dmft_rf.pencil.statement import Pencil

# determinants of larger cells fill pages
MAX_SYMBOLIC = 8


@dataclass(frozen=True, eq=False)
class Equations(Frozen):
    r"""G = (A - S[G])^{-1} in symbols.

    Attributes
    ----------
    pencil : Pencil
    symbols : tuple of sympy.Symbol
        g_1, g_2, ...: the minimal set, `unknowns`.
    unknowns : tuple of Unknown
        What they are.
    matrices : dict of str to sympy.ImmutableMatrix
        A - S[G] of every space; lambda is an eigenvalue of Sigma.
    right : tuple of sympy.Expr
        g_u = right_u, averaged over lambda where ``averaged`` says so.
    averaged : tuple of bool
    names : dict of str to sympy.Symbol
        The parameters, with ``Sigma`` (lambda) and ``z``.
    """

    pencil: Pencil
    symbols: tuple[Any, ...]
    unknowns: tuple[Unknown, ...]
    matrices: dict[str, Any]
    right: tuple[Any, ...]
    averaged: tuple[bool, ...]
    names: dict[str, Any]

    @lazy
    def jacobian(self) -> Any:
        """Derivatives of ``right`` with respect to the symbols, at one lambda (a sympy matrix)."""
        import sympy

        n = len(self.symbols)
        return sympy.ImmutableMatrix(n, n, lambda i, j: sympy.diff(self.right[i], self.symbols[j]))

    def definitions(self) -> list[str]:
        """What every unknown is, in LaTeX."""
        lines = []
        for symbol, u in zip(self.symbols, self.unknowns, strict=True):
            weight = "" if u.weight == 1 else _latex(self._matrix_form(u.weight)) + r"\, "
            lines.append(
                rf"{_latex(symbol)} = \tfrac{{1}}{{d}} \mathrm{{Tr}}\, {weight}"
                rf"G_{{{_index(u.k)},{_index(u.l)}}}"
            )
        return lines

    def _matrix_form(self, scalar: Scalar) -> Any:
        """A function of Sigma written with the matrix instead of its eigenvalue."""
        import sympy

        names = {**self.names, SIGMA: sympy.Symbol("Sigma")}
        return scalar.fold(names.__getitem__, _exact)

    def latex(self) -> str:
        r"""Definitions and equations as an ``aligned`` environment.

        \langle . \rangle is the average over the eigenvalues lambda of Sigma.
        """
        lines = [line.replace(" = ", " &= ", 1) for line in self.definitions()]
        for symbol, right, averaged in zip(self.symbols, self.right, self.averaged, strict=True):
            text = _latex(right)
            if averaged:
                text = rf"\left\langle {text} \right\rangle_{{\lambda}}"
            lines.append(rf"{_latex(symbol)} &= {text}")
        body = " \\\\\n".join(lines)
        return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"

    def __str__(self) -> str:
        lines = []
        for symbol, u in zip(self.symbols, self.unknowns, strict=True):
            lines.append(f"{symbol} = {u}")
        for symbol, right, averaged in zip(self.symbols, self.right, self.averaged, strict=True):
            lines.append(f"{symbol} = " + (f"< {right} >" if averaged else f"{right}"))
        return "\n".join(lines)

    def _repr_latex_(self) -> str:
        return f"$${self.latex()}$$"


def equations(pencil: Pencil) -> Equations:
    """Return the Dyson equation of ``pencil`` in symbols.

    Raises
    ------
    ModelError
        If a space holds more than `MAX_SYMBOLIC` blocks.
    """
    import sympy

    dyson = pencil.dyson
    names: dict[str, Any] = {name: sympy.Symbol(name, real=True) for name in pencil.parameters}
    names[SIGMA] = sympy.Symbol("lambda", nonnegative=True)
    names[POINT] = sympy.Symbol("z")
    minimal = dyson.minimal
    unknowns = tuple(dyson.unknowns[n] for n in minimal)
    symbols = tuple(sympy.Symbol(f"g_{n + 1}") for n in range(len(minimal)))
    scalars = [sign * symbols[minimal.index(first)] for first, sign in dyson.merged]

    def symbolic(scalar: Scalar) -> Any:
        return scalar.fold(names.__getitem__, _exact)

    matrices: dict[str, Any] = {}
    for space, row in dyson.members.items():
        if len(row) > MAX_SYMBOLIC:
            raise ModelError(
                f"space {space} holds {len(row)} blocks; equations are written for up to "
                f"{MAX_SYMBOLIC}"
            )
        matrices[space] = sympy.zeros(len(row), len(row))
    for (i, j), (a, b) in pencil.constant.items():
        space, row_i = dyson.place(i)
        matrices[space][row_i, dyson.place(j)[1]] += symbolic(a) + symbolic(b) * names[POINT]
    for c in dyson.contractions:
        space, row_i = dyson.place(c.i)
        matrices[space][row_i, dyson.place(c.j)[1]] -= symbolic(c.factor) * scalars[c.unknown]
    right, averaged = [], []
    determinants = {space: M.det(method="berkowitz") for space, M in matrices.items()}
    for u in unknowns:
        space, k = dyson.place(u.k)
        column = dyson.place(u.l)[1]
        M = matrices[space]
        minor = M.minor_submatrix(column, k).det(method="berkowitz") if M.rows > 1 else 1
        element = (-1) ** (k + column) * minor / determinants[space]
        right.append(
            sympy.factor_terms(symbolic(pencil.spaces[space]) * symbolic(u.weight) * element)
        )
        averaged.append(space == pencil.sigma)
    matrices = {space: M.as_immutable() for space, M in matrices.items()}
    return Equations(pencil, symbols, unknowns, matrices, tuple(right), tuple(averaged), names)


def _exact(value: Number) -> Any:
    """A sympy number, rational where that is short; nothing is parsed."""
    import sympy

    fraction = Fraction(value)
    if isinstance(value, float) and fraction.denominator > 1024:
        return sympy.Float(value)
    return sympy.Rational(fraction.numerator, fraction.denominator)


def _latex(expression: Any) -> str:
    import sympy

    return sympy.latex(expression)


def _index(block: str) -> str:
    return block.replace("_", r"\_")
