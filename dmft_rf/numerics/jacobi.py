"""Gauss quadrature of a discrete measure, from its Jacobi matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from dmft_rf._convert import floats, frozen, whole
from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array
from dmft_rf.errors import ModelError


class JacobiMatrix(Frozen):
    """Recurrence coefficients of the polynomials orthogonal on points with weights.

    Lanczos' method for diag(points) with the starting vector sqrt(weights), orthogonalised in full
    (Golub and Welsch, Math. Comp. 23, 221 (1969); Gautschi, Orthogonal Polynomials, 2004). It is
    continued as far as it is asked for.

    Parameters
    ----------
    points, weights : (K,) arrays
        Distinct points and positive weights.
    """

    _content = ("_scale", "_points", "_basis")

    def __init__(self, points: ArrayLike, weights: ArrayLike):
        points = floats(points, "points", ndim=1, empty=False)
        weights = floats(weights, "weights", ndim=1, least=0.0)
        if weights.shape != points.shape:
            raise ModelError(f"{points.size} points cannot have {weights.size} weights")
        if np.unique(points).size < points.size or not np.all(weights > 0.0):
            raise ModelError("points must be distinct, and weights > 0")
        self._scale = float(np.max(np.abs(points))) or 1.0
        self._points = points / self._scale
        self._basis = np.sqrt(weights)[None, :]
        self._next: Array | None = self._basis[0]
        self._diagonal: list[float] = []
        self._beside: list[float] = []
        self.seal()

    def rule(self, n: int) -> tuple[Array, Array]:
        """Nodes and weights of the Gauss rule with n < K nodes."""
        from scipy.linalg import eigh_tridiagonal

        n = whole(n, "n", most=self._points.size - 1)
        while len(self._diagonal) < n:
            self._extend(n)
        nodes, vectors = eigh_tridiagonal(
            np.array(self._diagonal[:n]), np.array(self._beside[: n - 1])
        )
        return nodes * self._scale, vectors[0] ** 2

    def _extend(self, n: int) -> None:
        """Grow the basis to n vectors."""
        done = len(self._diagonal)
        basis = np.empty((n, self._points.size))
        basis[:done] = self._basis[:done]
        vector = self._next
        assert vector is not None
        for j in range(done, n):
            basis[j] = vector
            vector = vector * self._points
            self._diagonal.append(float(basis[j] @ vector))
            vector -= self._diagonal[-1] * basis[j]
            if j > 0:
                vector -= self._beside[-1] * basis[j - 1]
            size = float(np.sqrt(vector @ vector))
            for _ in range(3):
                before = size
                vector -= (basis[: j + 1] @ vector) @ basis[: j + 1]
                size = float(np.sqrt(vector @ vector))
                if size > 0.5 * before:  # what cancels leaves rounding along the others
                    break
            self._beside.append(size)
            vector = vector / size
        self._basis, self._next = frozen(basis), frozen(vector)
