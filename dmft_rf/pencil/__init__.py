"""Linear pencils: rational expressions in Gaussian matrices, stated, derived and solved.

A user writes down an expression in independent Gaussian matrices and functions of Sigma, or the
blocks of its pencil; the Dyson equation follows, in symbols and as a compiled solver, with one- and
two-point functions (arXiv:2110.11805, arXiv:2502.00336; theory.md, section 9).
"""

from importlib import import_module
from typing import Any

from dmft_rf.errors import missing
from dmft_rf.pencil.matrices import Gaussian, inverse, wigner
from dmft_rf.pencil.scalars import Sigma, parameters, sqrt, z
from dmft_rf.pencil.statement import Pencil, gram, linearize

# loaded when they are first used: pencil.zoo.semicircle()
_MODULES = ("files", "readings", "zoo")

__all__ = [
    "Gaussian",
    "Pencil",
    "Sigma",
    "gram",
    "inverse",
    "linearize",
    "parameters",
    "sqrt",
    "wigner",
    "z",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"dmft_rf.pencil.{name}")
    raise AttributeError(missing("dmft_rf.pencil", name, __dir__()), name=name)


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES})
