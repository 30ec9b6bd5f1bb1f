"""Whether the matrix of a pencil has real eigenvalues: tried on small random matrices.

The branch of the Dyson equation is certified by positivity, which needs a self-adjoint H (or one
that is similar to a self-adjoint one). A few small random matrices decide: a polynomial
identity that holds for them holds for all, except with probability zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from dmft_rf._typing import Array
from dmft_rf.errors import ModelError
from dmft_rf.pencil.balance import in_units
from dmft_rf.pencil.matrices import Transposed
from dmft_rf.pencil.scalars import SIGMA, Scalar

if TYPE_CHECKING:
    from dmft_rf.model.covariance import Covariance
    from dmft_rf.pencil.statement import Pencil


# size of every space; a non-symmetric matrix has real eigenvalues only with probability 2^-14
_SIZE = 8
_TOLERANCE = 1e-6


def check_self_adjoint(pencil: Pencil, covariance: Covariance, values: Mapping[str, float]) -> None:
    """Raise ModelError if H has complex eigenvalues, or coefficients that are not real.

    Nothing is checked where z stands in other places than the diagonal of the resolvent's block, or
    where H does not exist for square matrices.
    """
    u = pencil.resolvent
    if {place for place, (_, b) in pencil.constant.items() if not b.is_zero} != {(u, u)}:
        return
    dense, slope = _small(pencil, covariance, values)
    if not np.all(np.isfinite(dense)):
        raise ModelError("a coefficient is not a finite real number at these values")
    first = list(pencil.blocks).index(u) * _SIZE
    mine = np.arange(first, first + _SIZE)
    rest = np.setdiff1d(np.arange(dense.shape[0]), mine)
    inner = dense[np.ix_(rest, rest)]
    if rest.size:
        n = rest.size // _SIZE
        _, *sides = in_units(np.abs(inner).reshape(n, _SIZE, n, _SIZE).max(axis=(1, 3)))
        rows, columns = (np.repeat(side, _SIZE) for side in sides)
        if np.linalg.cond(inner * rows[:, None] * columns) > 1e10:
            return
    H = dense[np.ix_(mine, mine)]
    if rest.size:
        H = H - dense[np.ix_(mine, rest)] @ np.linalg.solve(inner, dense[np.ix_(rest, mine)])
    eigenvalues = np.linalg.eigvals(-H / slope[:, None])
    if np.abs(eigenvalues.imag).max() > _TOLERANCE * np.abs(eigenvalues).max():
        raise ModelError(
            f"the matrix whose resolvent is block {u} is not self-adjoint: its eigenvalues are not "
            "real; (H + H^T)/2 and M M^T are"
        )


def _small(
    pencil: Pencil, covariance: Covariance, values: Mapping[str, float]
) -> tuple[Array, Array]:
    """L at z = 0 in matrices of size `_SIZE`, and what multiplies z in the resolvent's block."""
    rng = np.random.default_rng(20110)
    steps = np.cumsum(covariance.weights)
    shares = (np.arange(_SIZE) + 0.5) / _SIZE
    atoms = covariance.eigenvalues[np.searchsorted(steps, shares).clip(0, steps.size - 1)]
    known = {name: np.float64(value) for name, value in values.items()}

    def diagonal(scalar: Scalar) -> Array:
        with np.errstate(all="ignore"):
            value = scalar.fold({**known, SIGMA: atoms}.__getitem__, np.float64)
        return np.broadcast_to(np.asarray(value, dtype=float), (_SIZE,))

    drawn = {}
    for name in sorted(pencil.gaussians):
        matrix = rng.normal(size=(_SIZE, _SIZE)) / np.sqrt(_SIZE)
        symmetric = pencil.gaussians[name].symmetric
        drawn[name] = (matrix + matrix.T) / np.sqrt(2.0) if symmetric else matrix
    place = {b: slice(n * _SIZE, (n + 1) * _SIZE) for n, b in enumerate(pencil.blocks)}
    dense = np.zeros((len(place) * _SIZE, len(place) * _SIZE))
    for (i, j), (a, _) in pencil.constant.items():
        dense[place[i], place[j]] += np.diag(diagonal(a))
    for (i, j), terms in pencil.random.items():
        for term in terms:
            X = drawn[term.gaussian.name]
            X = X.T if isinstance(term.leaf, Transposed) else X
            dense[place[i], place[j]] += diagonal(term.left)[:, None] * X * diagonal(term.right)
    return dense, diagonal(pencil.constant[pencil.resolvent, pencil.resolvent][1])
