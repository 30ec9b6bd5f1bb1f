"""Checks of parameters, shared by what the user states: the value itself or a `ModelError`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .accumulator import real_rows
from .errors import ModelError

MAX_ATOMS = 4096
"""Largest number of distinct eigenvalues: each costs time in every solver step."""

SMALLEST, LARGEST = 1e-150, 1e150
"""Range of the largest eigenvalue, so that its square is a float."""

_SUM_TOLERANCE = 1e-9  # how far from 1 given weights may sum
_SYMMETRY = 1e-8  # relative asymmetry forgiven in a matrix (one computed in single precision)
_NEGATIVE = 1e-10  # relative size of negative eigenvalues forgiven in a matrix
_EPS = float(np.finfo(np.float64).eps)


def distinct_atoms(
    eigenvalues: ArrayLike, weights: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return distinct ascending eigenvalues of positive weight, and weights summing to 1."""
    lam = vector(eigenvalues, "eigenvalues")
    if weights is None:
        w = np.full(lam.size, 1.0 / lam.size)
    else:
        w = vector(weights, "weights")
        if w.size != lam.size:
            raise ModelError(f"{lam.size} eigenvalues cannot have {w.size} weights")
        total = math.fsum(w) if w.max() <= 2 else math.inf  # fsum raises where it overflows
        if not abs(total - 1.0) <= _SUM_TOLERANCE:
            raise ModelError(f"weights must sum to 1 within {_SUM_TOLERANCE:g}, not to {total!r}")
        lam, w = lam[w > 0], w[w > 0]
    lam, where = np.unique(lam + 0.0, return_inverse=True)  # + 0.0 turns -0.0 into 0.0
    w = np.asarray(np.bincount(where, weights=w), dtype=np.float64)
    if not lam[-1] > 0:
        raise ModelError("eigenvalues must not all be 0 (counting those of positive weight)")
    if not SMALLEST <= lam[-1] <= LARGEST:
        raise ModelError(
            f"the largest eigenvalue must be between {SMALLEST:g} and {LARGEST:g}, "
            f"not {lam[-1]:g}: rescale the data"
        )
    if lam.size > MAX_ATOMS:
        raise ModelError(
            f"{lam.size} distinct eigenvalues, at most {MAX_ATOMS} are allowed: bin them, giving "
            "each bin's mean eigenvalue and its fraction of all of them as weight"
        )
    # Leaving a sum of exactly 1 alone makes Covariance(c.eigenvalues, c.weights) reproduce c.
    total = math.fsum(w)
    if total != 1.0:
        w /= total
        w[np.argmax(w)] -= math.fsum([*w, -1.0])  # of the order of the last bit
    return lam, w


def matrix_spectrum(matrix: ArrayLike) -> NDArray[np.float64]:
    """Return the eigenvalues >= 0, shape (d,), of a covariance matrix, shape (d, d)."""
    a = real_rows(matrix, "a covariance matrix")
    if a.shape[0] != a.shape[1]:
        raise ModelError(f"a covariance matrix must be square, not of shape {a.shape}")
    if not np.isfinite(a).all():
        raise ModelError("a covariance matrix must be finite")
    size = float(np.abs(a).max())
    if size > LARGEST:
        raise ModelError(f"a covariance matrix must be below {LARGEST:g}, not {size:g}")
    gap = float(np.abs(a - a.T).max())
    if gap > _SYMMETRY * size:
        raise ModelError(f"a covariance matrix must be symmetric: S - S^T reaches {gap:g}")
    lam = np.linalg.eigvalsh(0.5 * (a + a.T))
    if lam[0] < -_NEGATIVE * max(lam[-1], 0.0):
        raise ModelError(
            "a covariance matrix must be positive semi-definite: "
            f"its smallest eigenvalue is {lam[0]:g}, its largest {lam[-1]:g}"
        )
    return without_rounding(lam)


def without_rounding(lam: NDArray[np.floating]) -> NDArray[np.float64]:
    """Set to 0 the eigenvalues, shape (d,), that the rounding of a d x d eigensolver explains."""
    return np.where(lam > (lam.size + 64) * _EPS * lam[-1], lam, 0.0)


def vector(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return a non-empty list of finite numbers >= 0 as a float array, shape (K,)."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise ModelError(f"{name} must be a list of numbers") from None
    if array.ndim == 1 and array.size == 0:
        raise ModelError(f"{name} must not be empty")
    if array.dtype.kind not in "iuf":
        raise ModelError(f"{name} must be real numbers, not of type {array.dtype}")
    if array.ndim != 1:
        hint = "; for a matrix or samples see from_matrix and from_samples" if array.ndim else ""
        raise ModelError(f"{name} must be one-dimensional, not of shape {array.shape}{hint}")
    with np.errstate(over="ignore"):
        checked = array.astype(np.float64)
    bad = ~(np.isfinite(checked) & (checked >= 0))
    if bad.any():
        k = int(np.argmax(bad))
        raise ModelError(f"{name} must be finite and >= 0: entry {k} is {checked[k]}")
    return checked


def real(value: Any, name: str) -> float:
    """Return a finite real number as a float."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ModelError(f"{name} must be a finite number, not {value!r}")
    return number


def positive(value: Any, name: str) -> float:
    """Return a finite number > 0 as a float."""
    number = real(value, name)
    if number <= 0:
        raise ModelError(f"{name} must be > 0, not {value!r}")
    return number


def count(value: Any, name: str) -> int:
    """Return an integer >= 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ModelError(f"{name} must be an integer >= 1, not {value!r}")
    return int(value)
