r"""Pencils in TOML files. A file is data: nothing in it is evaluated.

    sigma = "d"                              # the space of Sigma, if there is one
    eigenvalues = [0.5, 1.5]                 # of Sigma, with weights = [...]; 1 by default
    gram = [["gamma", "W", "sqrt(Sigma)", "Z"], ["v", "O"]]

    [parameters]
    gamma = 0.55
    v = 0.1

    [spaces]                                 # sizes in units of d: numbers or parameters
    p = 8.0
    n = 4.0
    d = 1.0

    [matrices]                               # variance = 1 and symmetric = false by default
    W = { rows = "p", columns = "d", per = "d" }
    Z = { rows = "d", columns = "n", per = "n" }
    O = { rows = "p", columns = "n", per = "n" }

One of ``H`` (a symmetric matrix), ``gram`` (M of H = M M^T) or ``[blocks]`` with ``[rows.*]``
states the pencil. An expression is a list of terms, each a list of factors:

    a number;  "name" of a parameter, of a matrix, "Sigma", "z" (in rows);
    "name^T" for a matrix;  "name^2", "name^-0.5" and "sqrt(name)" for parameters and Sigma;
    { shift = a } for Sigma + a;  { diffused = t } for e^{-2t} Sigma + 1 - e^{-2t};
    { sum = [[...], [...]] },  { transpose = [...] },  { inverse = [...] }.
"""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dmft_rf._convert import shown
from dmft_rf._frozen import Frozen
from dmft_rf._paths import input_file
from dmft_rf.errors import DataError, ModelError
from dmft_rf.model.covariance import Covariance
from dmft_rf.pencil.matrices import MAX_BLOCKS, Entry, Gaussian, Matrix, inverse
from dmft_rf.pencil.scalars import POINT, SIGMA, Scalar, Sigma, check_name, sqrt, z
from dmft_rf.pencil.statement import Pencil, gram, linearize
from dmft_rf.pencil.system import System

MAX_BYTES = 1 << 16
MAX_NAMES = 100
MAX_FACTORS = 60
MAX_DEPTH = 6
MAX_NESTING = 40
SMALLEST, LARGEST = 1e-30, 1e30

# strings and comments of TOML, to their ends or to that of the file
_QUOTED = re.compile(
    r'"""(?:\\.|[^\\])*?(?:"""|\Z)'
    r"|'{3}.*?(?:'{3}|\Z)"
    r'|"(?:\\.|[^"\\\n])*"?'
    r"|'[^'\n]*'?"
    r"|#[^\n]*",
    re.DOTALL,
)
_POWER = re.compile(r"([A-Za-z][A-Za-z0-9_]*)\^(-?[0-9]{1,2}(?:\.[0-9]{1,6})?)\Z")
_TRANSPOSED = re.compile(r"([A-Za-z][A-Za-z0-9_]*)\^T\Z")
_ROOT = re.compile(r"sqrt\(([A-Za-z][A-Za-z0-9_]*)\)\Z")
_TOP = ("sigma", "eigenvalues", "weights", "parameters", "spaces", "matrices")
_FORMS = ("H", "gram", "rows")


@dataclass(frozen=True, eq=False)
class PencilFile(Frozen):
    """What a file states.

    Attributes
    ----------
    pencil : Pencil
    covariance : Covariance
    values : dict of str to float
        Of the pencil's parameters.
    """

    pencil: Pencil
    covariance: Covariance
    values: dict[str, float]

    def bind(self) -> System:
        """Return the pencil with the values of the file."""
        return self.pencil.bind(self.covariance, **self.values)


def read_pencil(path: str | os.PathLike[str]) -> PencilFile:
    """Read a pencil from a TOML file; the format is that of the module's docstring.

    Parameters
    ----------
    path : path
        At most `MAX_BYTES` long.

    Raises
    ------
    DataError
        If the file is missing, is no TOML, or states no pencil; the message names what is wrong.
    """
    place, status = input_file(path)
    if status.st_size > MAX_BYTES:
        raise DataError(f"{place}: is longer than {MAX_BYTES} bytes")
    try:
        with place.open("rb") as stream:
            text = stream.read(MAX_BYTES).decode("utf-8")
        _check_keys(text)
        document = tomllib.loads(text)
        _check_depth(document)
    except ModelError as error:
        raise DataError(f"{place}: {error}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{place}: is not a readable TOML file ({error})") from None
    try:
        return _Reader(document).read()
    except ModelError as error:
        raise DataError(f"{place}: {error}") from None


def _check_keys(text: str) -> None:
    """Refuse a dotted key of very many parts: the parser's memory grows with their square."""
    for piece in re.split(r"[\n,=\[\]{}]", _QUOTED.sub("q", text)):
        if (parts := piece.count(".") + 1) > MAX_NESTING:
            raise ModelError(f"a key has {parts} parts; at most {MAX_NESTING} are allowed")


def _check_depth(document: Any) -> None:
    """Refuse lists and tables in one another that are too many to be printed or walked through."""
    level = [document]
    for _ in range(MAX_NESTING):
        level = [
            part
            for value in level
            if isinstance(value, dict | list)
            for part in (value.values() if isinstance(value, dict) else value)
        ]
    if level:
        raise ModelError(f"it is nested deeper than {MAX_NESTING}")


class _Reader:
    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.parameters: dict[str, float] = {}
        self.matrices: dict[str, Gaussian] = {}

    def read(self) -> PencilFile:
        forms = [key for key in _FORMS if key in self.document]
        if len(forms) != 1:
            raise ModelError(f"one of {', '.join(_FORMS)} must state the pencil, not {len(forms)}")
        allowed = [*_TOP, forms[0], *(["blocks", "resolvent"] if forms[0] == "rows" else [])]
        for key in self.document:
            if key not in allowed:
                raise ModelError(f"unknown key {key!r}; known are {', '.join(allowed)}")
        for name, value in self._table("parameters").items():
            if check_name(name, "a parameter") in (SIGMA, POINT, "one"):
                raise ModelError(f"a parameter cannot be called {name}")
            self.parameters[name] = _number(value, f"parameter {name}")
        spaces = {name: self._size(name, v) for name, v in self._table("spaces").items()}
        for name, value in self._table("matrices").items():
            self.matrices[name] = self._matrix(name, value)
        sigma = self._text("sigma") if "sigma" in self.document else None
        pencil = self._pencil(forms[0], spaces, sigma)
        unused = [name for name in self.parameters if name not in pencil.parameters]
        if unused:
            raise ModelError(f"parameter {unused[0]} is not used")
        return PencilFile(pencil, self._covariance(), self.parameters)

    # -- parts of the file ----------------------------------------------------------------------

    def _table(self, key: str) -> Mapping[str, Any]:
        table = self.document.get(key, {})
        if not isinstance(table, dict):
            raise ModelError(f"{key} must be a table")
        if len(table) > MAX_NAMES:
            raise ModelError(f"{key} has {len(table)} entries; at most {MAX_NAMES} are allowed")
        return table

    def _text(self, key: str) -> str:
        value = self.document[key]
        if not isinstance(value, str):
            raise ModelError(f"{key} is {shown(value)}; it must be a name")
        return value

    def _size(self, name: str, value: Any) -> Scalar:
        if isinstance(value, str):
            return self._scalar(value, f"space {name}")
        return Scalar.of(_number(value, f"space {name}"))

    def _matrix(self, name: str, value: Any) -> Gaussian:
        if name in self.parameters or name in (SIGMA, POINT, "one"):
            raise ModelError(f"matrix {name}: the name is taken")
        if not isinstance(value, dict):
            raise ModelError(f"matrix {name} must be a table with rows, columns, per")
        fields = dict(value)
        variance = fields.pop("variance", 1)
        symmetric = fields.pop("symmetric", False)
        if set(fields) != {"rows", "columns", "per"}:
            raise ModelError(
                f"matrix {name} has {', '.join(fields) or 'nothing'}; it needs rows, columns, per "
                "and may have variance, symmetric"
            )
        if not isinstance(symmetric, bool):
            raise ModelError(f"matrix {name}: symmetric is {shown(symmetric)}, not true or false")
        where = f"the variance of matrix {name}"
        return Gaussian(
            name, fields["rows"], fields["columns"], per=fields["per"],
            variance=self._scalar(variance, where) if isinstance(variance, str)
            else _number(variance, where),
            symmetric=symmetric,
        )  # fmt: skip

    def _covariance(self) -> Covariance:
        for key in ("eigenvalues", "weights"):
            value = self.document.get(key, [])
            if not isinstance(value, list):
                raise ModelError(f"{key} must be a list of numbers")
            for number in value:
                _number(number, key)
        if "eigenvalues" not in self.document:
            if "weights" in self.document:
                raise ModelError("weights are given without eigenvalues")
            return Covariance.isotropic()
        return Covariance(self.document["eigenvalues"], self.document.get("weights"))

    def _pencil(self, form: str, spaces: Mapping[str, Scalar], sigma: str | None) -> Pencil:
        if form != "rows":
            matrix = self._expression(self.document[form], form, 0)
            if not isinstance(matrix, Matrix):
                raise ModelError(f"{form} holds no matrix")
            make = gram if form == "gram" else linearize
            return make(matrix, spaces, sigma=sigma)
        blocks = self._table("blocks")
        for name, space in blocks.items():
            check_name(name, "a block")
            if not isinstance(space, str):
                raise ModelError(f"block {name} is {shown(space)}; it must name its space")
        if len(blocks) > MAX_BLOCKS:
            raise ModelError(f"there are {len(blocks)} blocks; at most {MAX_BLOCKS} are allowed")
        rows: dict[str, dict[str, Entry]] = {}
        for i, row in self._table("rows").items():
            if not isinstance(row, dict):
                raise ModelError(f"rows.{i} must be a table")
            rows[i] = {j: self._expression(e, f"entry ({i}, {j})", 0) for j, e in row.items()}
        resolvent = self._text("resolvent") if "resolvent" in self.document else None
        return Pencil(spaces, blocks, rows, sigma=sigma, resolvent=resolvent)

    # -- expressions ----------------------------------------------------------------------------

    def _expression(self, value: Any, where: str, depth: int) -> Matrix | Scalar:
        if depth > MAX_DEPTH:
            raise ModelError(f"{where} is nested deeper than {MAX_DEPTH}")
        if not isinstance(value, list):
            return self._factor(value, where, depth)
        if not value:
            raise ModelError(f"{where} holds an empty list")
        if len(value) > MAX_FACTORS:
            raise ModelError(f"{where} holds {len(value)} parts; at most {MAX_FACTORS} are allowed")
        if all(isinstance(part, list) for part in value):
            parts = [self._expression(part, where, depth + 1) for part in value]
            total = parts[0]
            for part in parts[1:]:
                total = total + part
            return total
        product: Matrix | Scalar = Scalar.of(1)
        for part in value:
            if isinstance(part, list):
                raise ModelError(f"{where}: a list stands among factors; a sum is {{ sum = ... }}")
            product = product * self._factor(part, where, depth)
        return product

    def _factor(self, value: Any, where: str, depth: int) -> Matrix | Scalar:
        if isinstance(value, str):
            return self._named(value, where)
        if isinstance(value, dict):
            return self._function(value, where, depth)
        return Scalar.of(_number(value, where))

    def _named(self, text: str, where: str) -> Matrix | Scalar:
        if text in self.matrices:
            return self.matrices[text]
        if found := _TRANSPOSED.match(text):
            if found[1] in self.matrices:
                return self.matrices[found[1]].T
            raise ModelError(f"{where}: {shown(text)}: there is no matrix {found[1]}")
        return self._scalar(text, where)

    def _scalar(self, text: str, where: str) -> Scalar:
        if found := _POWER.match(text):
            power = float(found[2])
            return self._symbol(found[1], where) ** (int(power) if power == int(power) else power)
        if found := _ROOT.match(text):
            return sqrt(self._symbol(found[1], where))
        return self._symbol(text, where)

    def _symbol(self, name: str, where: str) -> Scalar:
        known = {SIGMA: Sigma, POINT: z, "one": Scalar.of(1)}
        if name in known:
            return known[name]
        if name in self.parameters:
            return Scalar.named(name)
        raise ModelError(
            f"{where}: {shown(name)} is neither a parameter nor a matrix nor one of Sigma, z, "
            "one, name^T, name^2, sqrt(name)"
        )

    def _function(self, table: Mapping[str, Any], where: str, depth: int) -> Matrix | Scalar:
        if len(table) != 1:
            raise ModelError(f"{where}: a table must have one key, not {len(table)}")
        ((key, value),) = table.items()
        if key == "shift":
            shift = self._scalar(value, where) if isinstance(value, str) else _number(value, where)
            return Sigma + shift
        if key == "diffused":
            t = _number(value, f"{where}: diffused")
            if not t >= 0.0:
                raise ModelError(f"{where}: diffused is {t}; a time is >= 0")
            return math.exp(-2.0 * t) * Sigma - math.expm1(-2.0 * t)
        if key not in ("sum", "transpose", "inverse"):
            raise ModelError(
                f"{where}: unknown {shown(key)}; known are shift, diffused, sum, transpose, inverse"
            )
        inner = self._expression(value, where, depth + 1)
        if key == "sum":
            return inner
        if not isinstance(inner, Matrix):
            raise ModelError(f"{where}: {key} needs a matrix")
        return inner.T if key == "transpose" else inverse(inner)


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ModelError(f"{where} is {shown(value)}; it must be a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ModelError(f"{where} is {shown(value)}; it must be finite")
    if number != 0.0 and not SMALLEST <= abs(number) <= LARGEST:
        limits = f"0 or between {SMALLEST:g} and {LARGEST:g} in size"
        raise ModelError(f"{where} is {shown(value)}; it must be {limits}")
    return number
