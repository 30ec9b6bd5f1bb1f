"""Expressions in independent Gaussian matrices: what a pencil is stated in.

``gamma * W * sqrt(Sigma) * Z + v * O`` builds a small tree of `Leaf`, `Product`, `Sum` and
`Inverse`, whose shapes are checked as it grows. `.T` transposes, `inverse(x)` inverts.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from dmft_rf._convert import flag, instance, shown
from dmft_rf.errors import ModelError
from dmft_rf.pencil.scalars import Scalar, _is_scalar, check_name

# larger expressions are none that anybody has written down
MAX_SIZE, MAX_DEPTH = 10_000, 60
MAX_BLOCKS, MAX_TERMS = 40, 400


@dataclass(frozen=True)
class Matrix:
    """An expression of shape (rows, columns), both names of spaces; equal to one written the same.

    ``size`` is the number of matrices and coefficients in it, ``depth`` how deep it is nested.
    """

    size: int = field(default=1, init=False, repr=False, compare=False)
    depth: int = field(default=1, init=False, repr=False, compare=False)

    @property
    def parts(self) -> tuple[Matrix | Scalar, ...]:
        """What it is made of."""
        return ()

    def __post_init__(self) -> None:
        size = 1 + len(self.parts) + sum(part.size for part in self.matrices)
        depth = 1 + max((part.depth for part in self.matrices), default=0)
        if size > MAX_SIZE or depth > MAX_DEPTH:
            raise ModelError(
                f"a matrix expression has more than {MAX_SIZE} parts, or {MAX_DEPTH} inside one "
                "another"
            )
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "depth", depth)

    @property
    def matrices(self) -> list[Matrix]:
        """Those of its parts that are matrices."""
        return [part for part in self.parts if isinstance(part, Matrix)]

    @property
    def rows(self) -> str:
        """Space of its rows."""
        return self.matrices[0].rows

    @property
    def columns(self) -> str:
        """Space of its columns."""
        return self.matrices[-1].columns

    @property
    def T(self) -> Matrix:
        """Its transpose."""
        raise NotImplementedError

    def leaves(self) -> Iterator[Gaussian]:
        """The Gaussian matrices in it."""
        for matrix in self.matrices:
            yield from matrix.leaves()

    def scalars(self) -> Iterator[Scalar]:
        """The coefficients in it."""
        for part in self.parts:
            yield from (part,) if isinstance(part, Scalar) else part.scalars()

    def __mul__(self, other: object) -> Matrix:
        return _product(self, other)

    def __rmul__(self, other: object) -> Matrix:
        return _product(other, self)

    __matmul__ = __mul__
    __rmatmul__ = __rmul__

    def __add__(self, other: object) -> Matrix:
        return _sum(self, other)

    def __radd__(self, other: object) -> Matrix:
        return _sum(other, self)

    def __neg__(self) -> Matrix:
        return _product(-1, self)

    def __sub__(self, other: object) -> Matrix:
        return _sum(self, _negative(other))

    def __rsub__(self, other: object) -> Matrix:
        return _sum(other, _negative(self))

    def __truediv__(self, other: object) -> Matrix:
        if not _is_scalar(other):
            raise ModelError(
                f"{shown(self)} is divided by {shown(other)}; use inverse() for a matrix"
            )
        return _product(Scalar.of(other) ** -1, self)

    def __rtruediv__(self, other: object) -> Matrix:
        raise ModelError(f"{shown(other)} is divided by {shown(self)}; use inverse() for a matrix")


@dataclass(frozen=True)
class Gaussian(Matrix):
    """An independent Gaussian matrix with entries of variance ``variance`` / (size of ``per``).

    Parameters
    ----------
    name : str
        Unique in a pencil.
    row_space, column_space : str
        Spaces of its rows and of its columns.
    per : str
        The space whose size divides the variance, as in W/sqrt(d): ``per="d"``.
    variance : number or Scalar, default 1
        What is left of the variance.
    symmetric : bool, default False
        X = X^T with independent entries above the diagonal (Wigner's ensemble); the two spaces
        must be the same.
    """

    name: str
    row_space: str
    column_space: str
    per: str
    variance: Scalar
    symmetric: bool

    def __init__(
        self,
        name: str,
        row_space: str,
        column_space: str,
        *,
        per: str,
        variance: Scalar | float = 1,
        symmetric: bool = False,
    ) -> None:
        check_name(name, "a matrix")
        for space in (row_space, column_space, per):
            check_name(space, f"a space of {name}")
        symmetric = flag(symmetric, "symmetric")
        if symmetric and row_space != column_space:
            raise ModelError(
                f"{name} is symmetric, but has rows in {row_space} and columns in {column_space}"
            )
        put = object.__setattr__
        put(self, "name", name)
        put(self, "row_space", row_space)
        put(self, "column_space", column_space)
        put(self, "per", per)
        put(self, "variance", Scalar.of(variance))
        put(self, "symmetric", symmetric)

    @property
    def rows(self) -> str:
        """Space of its rows."""
        return self.row_space

    @property
    def columns(self) -> str:
        """Space of its columns."""
        return self.column_space

    @property
    def T(self) -> Matrix:
        """Its transpose."""
        return self if self.symmetric else Transposed(self)

    def leaves(self) -> Iterator[Gaussian]:
        """Itself."""
        yield self

    def scalars(self) -> Iterator[Scalar]:
        """Its variance."""
        yield self.variance

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Transposed(Matrix):
    """X^T for a Gaussian X."""

    of: Gaussian

    @property
    def parts(self) -> tuple[Matrix | Scalar, ...]:
        """What it is made of."""
        return (self.of,)

    @property
    def rows(self) -> str:
        """Space of its rows."""
        return self.of.column_space

    @property
    def columns(self) -> str:
        """Space of its columns."""
        return self.of.row_space

    @property
    def T(self) -> Matrix:
        """X."""
        return self.of

    def __repr__(self) -> str:
        return f"{self.of.name}^T"


Leaf = Gaussian | Transposed


@dataclass(frozen=True)
class Product(Matrix):
    """Factors from left to right; a Scalar among them stands for a multiple of I or f(Sigma)."""

    factors: tuple[Matrix | Scalar, ...]

    @property
    def parts(self) -> tuple[Matrix | Scalar, ...]:
        """Its factors."""
        return self.factors

    @property
    def T(self) -> Matrix:
        """The transposed factors in reverse."""
        return Product(tuple(f if isinstance(f, Scalar) else f.T for f in self.factors[::-1]))

    def __repr__(self) -> str:
        return " ".join(
            f"({f})"
            if isinstance(f, Sum) or (isinstance(f, Scalar) and len(f.terms) > 1)
            else str(f)
            for f in self.factors
        )


@dataclass(frozen=True)
class Sum(Matrix):
    """Terms of one shape; a Scalar among them stands for a multiple of I or f(Sigma)."""

    terms: tuple[Matrix | Scalar, ...]

    @property
    def parts(self) -> tuple[Matrix | Scalar, ...]:
        """Its terms."""
        return self.terms

    @property
    def T(self) -> Matrix:
        """The transposed terms."""
        return Sum(tuple(t if isinstance(t, Scalar) else t.T for t in self.terms))

    def __repr__(self) -> str:
        return " + ".join(str(t) for t in self.terms)


@dataclass(frozen=True)
class Inverse(Matrix):
    """Inverse of a square expression."""

    of: Matrix

    @property
    def parts(self) -> tuple[Matrix | Scalar, ...]:
        """What it is made of."""
        return (self.of,)

    @property
    def T(self) -> Matrix:
        """Inverse of the transpose."""
        return Inverse(self.of.T)

    def __repr__(self) -> str:
        return f"({self.of})^-1"


def wigner(name: str, space: str, variance: Scalar | float = 1) -> Gaussian:
    """Symmetric Gaussian matrix with off-diagonal entries of variance ``variance`` / size.

    Returns
    -------
    Gaussian
    """
    return Gaussian(name, space, space, per=space, variance=variance, symmetric=True)


def inverse(matrix: Matrix) -> Matrix:
    """Inverse of a square expression.

    Returns
    -------
    Matrix
        An expression; nothing is inverted yet.

    Raises
    ------
    ModelError
        If it is not square.
    """
    instance(matrix, Matrix, "the argument of inverse()", 'Gaussian("X", "p", "n", per="n")')
    if matrix.rows != matrix.columns:
        raise ModelError(
            f"{shown(matrix)} is {matrix.rows} x {matrix.columns} and has no inverse: it is not "
            "square"
        )
    return Inverse(matrix)


def _negative(value: object) -> Matrix | Scalar:
    return _product(-1, value) if isinstance(value, Matrix) else -Scalar.of(value)


def _product(left: object, right: object) -> Matrix:
    factors: list[Matrix | Scalar] = []
    for side in (left, right):
        if isinstance(side, Product):
            factors.extend(side.factors)
        elif isinstance(side, Matrix):
            factors.append(side)
        elif _is_scalar(side):
            factors.append(Scalar.of(side))
        else:
            raise ModelError(f"{shown(side)} in a product is neither a matrix nor a coefficient")
    merged: list[Matrix | Scalar] = []
    number = Scalar.of(1)
    for factor in factors:
        # what does not depend on Sigma commutes and is kept in front
        if isinstance(factor, Scalar) and not factor.has_sigma:
            number = number * factor
        elif isinstance(factor, Scalar) and merged and isinstance(merged[-1], Scalar):
            merged[-1] = merged[-1] * factor
        else:
            merged.append(factor)
    matrices = [f for f in merged if isinstance(f, Matrix)]
    for a, b in itertools.pairwise(matrices):
        if a.columns != b.rows:
            raise ModelError(
                f"sizes do not match in {shown(a)} times {shown(b)}: {a.rows} x {a.columns} and "
                f"{b.rows} x {b.columns}"
            )
    if number != 1:
        merged.insert(0, number)
    return matrices[0] if len(merged) == 1 else Product(tuple(merged))


def _sum(left: object, right: object) -> Matrix:
    terms: list[Matrix | Scalar] = []
    for side in (left, right):
        if isinstance(side, Sum):
            terms.extend(side.terms)
        elif isinstance(side, Matrix):
            terms.append(side)
        elif _is_scalar(side):
            if not Scalar.of(side).is_zero:
                terms.append(Scalar.of(side))
        else:
            raise ModelError(f"{shown(side)} in a sum is neither a matrix nor a coefficient")
    matrices = [t for t in terms if isinstance(t, Matrix)]
    first = matrices[0]
    for other in matrices[1:]:
        if (other.rows, other.columns) != (first.rows, first.columns):
            raise ModelError(
                f"sizes do not match in {shown(first)} plus {shown(other)}: "
                f"{first.rows} x {first.columns} and {other.rows} x {other.columns}"
            )
    if len(terms) > len(matrices) and first.rows != first.columns:
        raise ModelError(
            f"{shown(first)} is {first.rows} x {first.columns}: a multiple of the identity cannot "
            "be added"
        )
    return terms[0] if len(terms) == 1 and isinstance(terms[0], Matrix) else Sum(tuple(terms))


#: what may stand in a block of a pencil
Entry = Matrix | Scalar | float
