"""Checks of parameters, shared by what the user states: the value itself or a `ModelError`."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dmft_rf._convert import LARGEST, floats, regular
from dmft_rf._typing import Array
from dmft_rf.errors import ModelError

MAX_ATOMS = 4096
"""Largest number of distinct eigenvalues: each costs time in every solver step."""

SMALLEST = 1 / LARGEST
"""Lower limit of the largest eigenvalue, so that its square is a float."""

_SUM_TOLERANCE = 1e-9  # how far from 1 given weights may sum
_SYMMETRY = 1e-8  # relative asymmetry forgiven in a matrix
_NEGATIVE = 1e-10  # relative size of negative eigenvalues forgiven in a matrix
_EPS = float(np.finfo(np.float64).eps)
_HALF = 1e-4  # above this the rounding of a matrix spoils its small eigenvalues


def distinct_atoms(eigenvalues: ArrayLike, weights: ArrayLike | None) -> tuple[Array, Array]:
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
            raise ModelError(
                f"weights must sum to 1 within {_SUM_TOLERANCE:g}, not to {total!r}; divide them "
                "by their sum"
            )
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


def matrix_spectrum(a: Array, coarse: float) -> Array:
    """Return the eigenvalues >= 0, shape (d,), of a covariance matrix, shape (d, d).

    ``coarse`` is the rounding of its entries (`entry_rounding`).
    """
    if a.shape[0] != a.shape[1]:
        raise ModelError(f"a covariance matrix must be square, not of shape {a.shape}")
    if not np.isfinite(a).all():
        raise ModelError("a covariance matrix must be finite")
    size = float(np.abs(a).max())
    if size > LARGEST:
        raise ModelError(f"a covariance matrix must be below {LARGEST:g}, not {size:g}")
    gap = float(np.abs(a - a.T).max())
    if gap > max(_SYMMETRY, 4.0 * coarse) * size:
        raise ModelError(f"a covariance matrix must be symmetric: S - S^T reaches {gap:g}")
    lam = np.linalg.eigvalsh(0.5 * (a + a.T))
    if lam[0] < -max(_NEGATIVE * max(lam[-1], 0.0), coarse * float(np.linalg.norm(lam))):
        advice = "; compute it in double precision" if coarse else ""
        raise ModelError(
            "a covariance matrix must be positive semi-definite: "
            f"its smallest eigenvalue is {lam[0]:g}, its largest {lam[-1]:g}{advice}"
        )
    return without_rounding(lam, coarse)


def entry_rounding(matrix: ArrayLike) -> float:
    """Relative rounding of the entries of a matrix that is not in double precision; else 0.

    Times the Frobenius norm it is twice what the eigenvalues of a stored matrix can have moved.
    """
    dtype = regular(matrix, "a matrix", booleans=True).dtype
    return float(np.finfo(dtype).eps) if dtype.kind == "f" and dtype.itemsize < 8 else 0.0


def without_rounding(lam: NDArray[np.floating], coarse: float = 0.0) -> Array:
    """Set to 0 the eigenvalues, shape (d,), that rounding explains.

    That of a d x d eigensolver, and ``coarse`` of the matrix itself (`entry_rounding`). ModelError
    where they are lost in half precision.
    """
    rounding = max((lam.size + 64) * _EPS * float(lam[-1]), coarse * float(np.linalg.norm(lam)))
    if coarse > _HALF and lam[0] <= rounding:
        raise ModelError(
            f"a covariance matrix in half precision has lost its eigenvalues below {rounding:.2g}; "
            "compute it in double precision"
        )
    return np.where(lam > rounding, lam, 0.0)


def vector(values: ArrayLike, name: str) -> Array:
    """Return a non-empty list of finite numbers >= 0 as a float array, shape (K,)."""
    array = floats(values, name, least=0.0, empty=False)
    if array.ndim != 1:
        hint = "; for a matrix or samples see from_matrix and from_samples" if array.ndim else ""
        raise ModelError(f"{name} must be one-dimensional, not of shape {array.shape}{hint}")
    return array
