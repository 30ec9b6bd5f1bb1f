"""Coefficients of a pencil: numbers, parameters, functions of Sigma and the point z.

A `Scalar` is a sum of products of powers, kept in one canonical form, so that equal coefficients
compare equal: ``sqrt(Sigma) * sqrt(Sigma) == Sigma``. Nothing here knows sympy; `Scalar.fold` hands
the structure to whoever evaluates it, with arrays or with symbols.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import TypeVar, Union

from dmft_rf._convert import as_float, mapping, shown
from dmft_rf.errors import ModelError

Number = int | float | Fraction
T = TypeVar("T")

# a factor is the name of a parameter, or a sum that is raised to a power
_Factor = Union[str, "Scalar"]
_Monomial = tuple[tuple[_Factor, Number], ...]

# a sum with more terms, or more sums inside one another, is no coefficient that anybody means
MAX_TERMS = 1000
MAX_DEPTH = 30
# numbers beyond are no floats when they have been multiplied, and fractions of more digits none
# that anybody has written down
_LARGEST = 1e300
_LONGEST_FRACTION = 10**40

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}\Z")
SIGMA, POINT = "Sigma", "z"


def check_name(name: object, what: str) -> str:
    """Return ``name`` if it is an identifier of up to 40 letters, digits and underscores."""
    if not isinstance(name, str) or not _NAME.match(name):
        raise ModelError(
            f"{what} is {shown(name)}; a name has 1 to 40 letters, digits and underscores and "
            "begins with a letter"
        )
    return name


class Scalar:
    """A coefficient: sum of numbers times powers of parameters, of Sigma and of z. Immutable.

    ``+ - * /`` and ``**`` work with numbers and other scalars. Parameters are real; Sigma stands
    for an eigenvalue of the covariance, >= 0.
    """

    __slots__ = ("_hash", "depth", "terms")

    terms: tuple[tuple[_Monomial, Number], ...]
    depth: int
    _hash: int

    def __init__(self, terms: Mapping[_Monomial, Number]) -> None:
        given = mapping(terms, "terms", "parameters('psi_p')[0]")
        kept = [(monomial, _within(c)) for monomial, c in given.items() if c != 0]
        inner = [f.depth for monomial, _ in kept for f, _ in monomial if isinstance(f, Scalar)]
        depth = 1 + max(inner, default=0)
        if depth > MAX_DEPTH:
            raise ModelError(f"a coefficient has more than {MAX_DEPTH} sums inside one another")
        if len(kept) > MAX_TERMS:
            raise ModelError(
                f"a coefficient has {len(kept)} terms; at most {MAX_TERMS} are allowed"
            )
        kept.sort(key=lambda item: _order(item[0]))
        object.__setattr__(self, "depth", depth)
        object.__setattr__(self, "terms", tuple(kept))
        object.__setattr__(self, "_hash", hash(self.terms))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a Scalar cannot be changed")

    def __reduce__(self) -> tuple[type[Scalar], tuple[dict[_Monomial, Number]]]:
        return Scalar, (dict(self.terms),)

    # -- making ---------------------------------------------------------------------------------

    @classmethod
    def of(cls, value: object) -> Scalar:
        """Return ``value``, a Scalar or a finite real number, as a Scalar."""
        if isinstance(value, Scalar):
            return value
        number = _number(value)
        if number is None:
            raise ModelError(f"a coefficient is {shown(value)}; it must be a finite real number")
        return cls({(): number})

    @classmethod
    def named(cls, name: str) -> Scalar:
        """A parameter of this name."""
        return cls({((name, 1),): 1})

    def __add__(self, other: Scalar | Number) -> Scalar:
        if not _is_scalar(other):
            return NotImplemented
        total = dict(self.terms)
        for monomial, c in Scalar.of(other).terms:
            total[monomial] = total.get(monomial, 0) + c
        return Scalar(total)

    __radd__ = __add__

    def __neg__(self) -> Scalar:
        return Scalar({monomial: -c for monomial, c in self.terms})

    def __sub__(self, other: Scalar | Number) -> Scalar:
        return self + -Scalar.of(other) if _is_scalar(other) else NotImplemented

    def __rsub__(self, other: Scalar | Number) -> Scalar:
        return Scalar.of(other) + -self if _is_scalar(other) else NotImplemented

    def __mul__(self, other: Scalar | Number) -> Scalar:
        if not _is_scalar(other):
            return NotImplemented
        factor = Scalar.of(other)
        if len(self.terms) * len(factor.terms) > 10 * MAX_TERMS:
            raise ModelError(f"a product of coefficients has more than {10 * MAX_TERMS} terms")
        total: dict[_Monomial, Number] = {}
        for left, a in self.terms:
            for right, b in factor.terms:
                monomial = _times(left, right)
                total[monomial] = total.get(monomial, 0) + a * b
        return Scalar(total)

    __rmul__ = __mul__

    def __truediv__(self, other: Scalar | Number) -> Scalar:
        return self * Scalar.of(other) ** -1 if _is_scalar(other) else NotImplemented

    def __rtruediv__(self, other: Scalar | Number) -> Scalar:
        return Scalar.of(other) * self**-1 if _is_scalar(other) else NotImplemented

    def __pow__(self, exponent: object) -> Scalar:
        e = _number(exponent)
        if e is None:
            raise ModelError(f"a power is {shown(exponent)}; it must be a finite number")
        if not -100 <= e <= 100:
            raise ModelError(f"a power is {shown(exponent)}; it must be at most 100 in size")
        if e == int(e):
            e = int(e)
        if e == 0:
            return Scalar({(): 1})
        if not self.terms:
            if e < 0:
                raise ModelError("a coefficient divides by 0")
            return self
        if isinstance(e, int) and 0 < e <= 8:
            result = self
            for _ in range(e - 1):
                result = result * self
            return result
        if len(self.terms) == 1:
            monomial, c = self.terms[0]
            single = isinstance(e, int) or (
                c > 0 and all(name == SIGMA or power == 1 for name, power in monomial)
            )
            if single:
                return Scalar({_powered(monomial, e): _power(c, e)})
        return Scalar({((self, e),): 1})

    # -- comparing ------------------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        if not _is_scalar(other):
            return NotImplemented
        return self.terms == Scalar.of(other).terms

    def __hash__(self) -> int:
        return self._hash

    @property
    def is_zero(self) -> bool:
        """Whether it is identically zero."""
        return not self.terms

    @property
    def names(self) -> frozenset[str]:
        """Parameters in it, with Sigma and z where they occur."""
        found: set[str] = set()
        for monomial, _ in self.terms:
            for factor, _ in monomial:
                found |= {factor} if isinstance(factor, str) else factor.names
        return frozenset(found)

    @property
    def has_sigma(self) -> bool:
        """Whether it depends on Sigma."""
        return SIGMA in self.names

    # -- taking apart ---------------------------------------------------------------------------

    def linear_in_z(self) -> tuple[Scalar, Scalar]:
        """Return (a, b) with self = a + b z.

        Raises
        ------
        ModelError
            If it is not linear in z.
        """
        parts: tuple[dict[_Monomial, Number], ...] = ({}, {})
        for monomial, c in self.terms:
            powers = [power for factor, power in monomial if factor == POINT]
            rest = tuple(pair for pair in monomial if pair[0] != POINT)
            if powers not in ([], [1]) or POINT in Scalar({rest: 1}).names:
                raise ModelError(f"{shown(self)} is not linear in z")
            parts[len(powers)][rest] = c
        return Scalar(parts[0]), Scalar(parts[1])

    def split(self) -> tuple[Scalar, Scalar]:
        """Return (a, f) with self = a f, a without Sigma, f with as little else as possible."""
        if len(self.terms) != 1:
            return (Scalar.of(1), self) if self.has_sigma else (self, Scalar.of(1))
        monomial, c = self.terms[0]
        with_sigma = tuple(pair for pair in monomial if Scalar({(pair,): 1}).has_sigma)
        without = tuple(pair for pair in monomial if pair not in with_sigma)
        return Scalar({without: c}), Scalar({with_sigma: 1})

    def fold(self, symbol: Callable[[str], T], number: Callable[[Number], T]) -> T:
        """Evaluate with ``symbol`` for names and ``number`` for numbers; T has + * and **."""
        total = None
        for monomial, c in self.terms:
            value = None if c == 1 and monomial else number(c)
            for factor, power in monomial:
                base = symbol(factor) if isinstance(factor, str) else factor.fold(symbol, number)
                piece = base if power == 1 else base ** number(power)  # type: ignore[operator]
                value = piece if value is None else value * piece  # type: ignore[operator]
            total = value if total is None else total + value  # type: ignore[operator]
        return number(0) if total is None else total

    def __repr__(self) -> str:
        if not self.terms:
            return "0"
        parts = []
        for monomial, c in self.terms:
            factors = []
            for factor, power in monomial:
                base = factor if isinstance(factor, str) else f"({factor})"
                factors.append(base if power == 1 else f"{base}**{_text(power)}")
            if abs(c) != 1 or not factors:
                factors.insert(0, _text(-c if c < 0 else c))
            parts.append(("- " if c < 0 else "+ ") + "*".join(factors))
        text = " ".join(parts)
        return text[2:] if text.startswith("+") else "-" + text[2:]


def parameters(names: str | Iterable[str]) -> tuple[Scalar, ...]:
    """Parameters of these names, real numbers whose values are given later.

    Parameters
    ----------
    names : str or iterable of str
        Separated by blanks: ``psi_p, psi_n = parameters("psi_p psi_n")``.

    Returns
    -------
    tuple of Scalar
        One for each name.

    Raises
    ------
    ModelError
        If a name is not an identifier, or is that of Sigma or z.
    """
    try:
        found = names.split() if isinstance(names, str) else list(names)
    except TypeError:
        raise ModelError(
            f"names is {shown(names)}; it must be as in parameters('psi_p psi_n')"
        ) from None
    for name in found:
        if check_name(name, "a parameter") in (SIGMA, POINT):
            raise ModelError(f"a parameter cannot be called {name}: that name is taken")
    return tuple(Scalar.named(name) for name in found)


def sqrt(value: Scalar | Number) -> Scalar:
    """Square root of a coefficient or of a function of Sigma.

    Returns
    -------
    Scalar
    """
    return Scalar.of(value) ** Fraction(1, 2)


def _number(value: object) -> Number | None:
    """A plain finite real number, or None."""
    number = as_float(value)
    if number is None or not abs(number) <= _LARGEST:
        return None
    if isinstance(value, int | Fraction):
        return value
    return int(number) if number == int(number) and abs(number) < 1e15 else number


def _within(c: Number) -> Number:
    """A number that stays a float; a fraction of too many digits becomes one."""
    if not -_LARGEST <= c <= _LARGEST:
        raise ModelError(f"a coefficient is beyond {_LARGEST:g}, which floats cannot carry on")
    long = isinstance(c, Fraction) and max(abs(c.numerator), c.denominator) > _LONGEST_FRACTION
    return float(c) if long else c


def _is_scalar(value: object) -> bool:
    return isinstance(value, Scalar) or _number(value) is not None


def _order(monomial: _Monomial) -> tuple[tuple[str, float], ...]:
    return tuple((str(factor), float(power)) for factor, power in monomial)


def _times(left: _Monomial, right: _Monomial) -> _Monomial:
    powers: dict[_Factor, Number] = dict(left)
    for factor, power in right:
        powers[factor] = powers.get(factor, 0) + power
    return tuple(sorted(((f, p) for f, p in powers.items() if p != 0), key=lambda x: str(x[0])))


def _powered(monomial: _Monomial, e: Number) -> _Monomial:
    pairs = ((factor, power * e) for factor, power in monomial)
    return tuple((f, int(p) if p == int(p) else p) for f, p in pairs)


def _power(c: Number, e: Number) -> Number:
    try:
        if isinstance(e, int):
            return Fraction(c) ** e if isinstance(c, int) else c**e
        root = float(c) ** float(e)
    except OverflowError:
        raise ModelError(f"a coefficient is ({_text(c)})^{_text(e)}, which is no float") from None
    near = round(root)
    return near if isinstance(c, int) and near**2 == c and e == Fraction(1, 2) else root


def _text(value: Number) -> str:
    """A number for messages."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value) if Fraction(value).denominator == 1 else f"({value})"


Sigma = Scalar.named(SIGMA)
"""The covariance of the data, diagonal in the space that carries it."""

z = Scalar.named(POINT)
"""The spectral parameter."""
