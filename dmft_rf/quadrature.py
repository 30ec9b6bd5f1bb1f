"""Gauss quadrature of a discrete measure, from its Jacobi matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class JacobiMatrix:
    """Recurrence coefficients of the polynomials orthogonal on points with weights.

    Lanczos' method for diag(points) with the starting vector sqrt(weights), orthogonalised in full
    (Golub and Welsch, Math. Comp. 23, 221 (1969); Gautschi, Orthogonal Polynomials, 2004). It is
    continued as far as it is asked for.

    Parameters
    ----------
    points, weights : (K,) arrays
        Distinct points and positive weights.
    """

    def __init__(self, points: Array, weights: Array):
        self._scale = float(np.max(np.abs(points))) or 1.0
        self._points = points / self._scale
        self._basis = np.sqrt(weights)[None, :]
        self._next: Array | None = self._basis[0]
        self._diagonal: list[float] = []
        self._beside: list[float] = []

    def rule(self, n: int) -> tuple[Array, Array]:
        """Nodes and weights of the Gauss rule with n < K nodes."""
        from scipy.linalg import eigh_tridiagonal

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
            for _ in range(2):
                vector = vector - (basis[: j + 1] @ vector) @ basis[: j + 1]
            self._beside.append(float(np.sqrt(vector @ vector)))
            vector = vector / self._beside[-1]
        self._basis, self._next = basis, vector
