"""Mean and covariance of samples that arrive in blocks of rows.

Blocks are centred before they are multiplied and then merged by the pairwise update of Chan,
Golub and LeVeque (The American Statistician 37, 242 (1983)), so that a mean much larger than
the standard deviation costs no digits, as it does in E[x x^T] - E[x] E[x]^T.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dmft_rf._arithmetic import ieee
from dmft_rf._convert import flag, regular
from dmft_rf._typing import Array
from dmft_rf.errors import ModelError

__all__ = ["MAX_DIMENSION", "CovarianceAccumulator"]

MAX_DIMENSION = 4096
"""Largest dimension d of a sample: the d x d scatter matrix is kept in memory."""


def too_wide(dimension: int) -> str:
    """Say that a dimension is above `MAX_DIMENSION`, and what to do about it.

    Parameters
    ----------
    dimension : int
        The dimension d that is too large.

    Returns
    -------
    str
        The message, without the name of what has this dimension.
    """
    return (
        f"the dimension is {dimension}, at most {MAX_DIMENSION} is allowed: pool, crop or project "
        "the samples, or give binned eigenvalues and weights to Covariance"
    )


@ieee
class CovarianceAccumulator:
    """Mean and scatter matrix of n samples in R^d, one block of rows at a time.

    With n_a rows seen, mean m_a and scatter M_a = sum (x - m_a)(x - m_a)^T, a block of n_b rows
    is merged as::

        M = M_a + M_b + (n_a n_b / n) D D^T,    m = m_a + (n_b / n) D,    D = m_b - m_a

    with n = n_a + n_b. All rows are first shifted by the very first one, which is exact for a
    constant column: its variance is exactly zero.

    Source: T. F. Chan, G. H. Golub, R. J. LeVeque, The American Statistician 37, 242 (1983).

    Attributes
    ----------
    n_samples : int
        Number of rows seen.
    dimension : int or None
        Number of columns d, None before the first row.
    """

    def __init__(self) -> None:
        self._n = 0
        self._shift: Array = np.zeros(0)
        self._mean: Array = np.zeros(0)
        self._scatter: Array = np.zeros((0, 0))

    @property
    def n_samples(self) -> int:
        """Number of rows seen so far."""
        return self._n

    @property
    def dimension(self) -> int | None:
        """Number of columns d, or None before the first row."""
        return self._shift.size if self._n else None

    def update(self, block: ArrayLike) -> None:
        """Add a block of samples; a block without rows changes nothing.

        Parameters
        ----------
        block : array_like, shape (rows, d)
            Real numbers, one sample per row.

        Raises
        ------
        ModelError
            If the block is not two-dimensional, not real, not finite, of another width than
            the blocks before it, or wider than `MAX_DIMENSION`. Nothing is added then.
        """
        rows = real_rows(block)
        if rows.shape[0] == 0:
            return
        if self._n and rows.shape[1] != self._shift.size:
            raise ModelError(
                f"a block of {rows.shape[1]} columns cannot follow blocks of {self._shift.size}"
            )
        finite = np.isfinite(rows)
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            raise ModelError(
                f"samples must be finite: row {self._n + row + 1}, column {column + 1} "
                f"(counting from 1) is {rows[row, column]}"
            )
        if not self._n:
            d = rows.shape[1]
            self._shift = rows[0].copy()
            self._mean, self._scatter = np.zeros(d), np.zeros((d, d))
        # Overflow is reported once, by `covariance`, where the sum is known not to be finite.
        with np.errstate(over="ignore", invalid="ignore"):
            self._merge(rows - self._shift)

    def _merge(self, rows: Array) -> None:
        """Merge shifted rows, shape (n_b, d), which are overwritten."""
        block_mean = rows.mean(axis=0)
        rows -= block_mean
        n_a, n_b = self._n, rows.shape[0]
        delta = block_mean - self._mean
        self._scatter += rows.T @ rows
        if n_a:
            self._scatter += np.outer((n_a * n_b / (n_a + n_b)) * delta, delta)
        self._mean += (n_b / (n_a + n_b)) * delta
        self._n = n_a + n_b

    def mean(self) -> Array:
        """Return the mean of the samples.

        Returns
        -------
        ndarray, shape (d,)
            (1/n) sum x.

        Raises
        ------
        ModelError
            Before the first row.
        """
        self._need(1)
        return self._shift + self._mean

    def covariance(self, center: bool = True) -> Array:
        """Return the covariance matrix of the samples.

        Parameters
        ----------
        center : bool, default True
            True for the unbiased covariance ``M / (n - 1)`` about the sample mean (that of
            `numpy.cov`); False for the second moment ``(1/n) sum x x^T`` about the origin.

        Returns
        -------
        ndarray, shape (d, d)
            A new symmetric matrix, in the squared units of the samples.

        Raises
        ------
        ModelError
            With fewer than two samples, or if the samples are so large that it overflows.
        """
        center = flag(center, "center")
        self._need(2)
        with np.errstate(over="ignore", invalid="ignore"):
            if center:
                matrix = self._scatter / (self._n - 1)
            else:
                mean = self.mean()
                matrix = self._scatter / self._n + np.outer(mean, mean)
            # BLAS may differ in the last bit between the two triangles.
            matrix = 0.5 * matrix + 0.5 * matrix.T
        if not np.isfinite(matrix).all():
            raise ModelError("the covariance overflows: divide the samples by their typical size")
        return matrix

    def _need(self, count: int) -> None:
        if self._n < count:
            raise ModelError(f"at least {count} samples are needed, there are {self._n}")

    def __repr__(self) -> str:
        return f"CovarianceAccumulator(n_samples={self._n}, dimension={self.dimension})"


def flattened(samples: ArrayLike) -> NDArray[Any]:
    """Return samples of any shape, (n, d) or (n, ...), as rows of their own type, shape (n, d).

    Raises ModelError where they have fewer dimensions, no number in a row, or too many.
    """
    array = regular(samples, "samples", booleans=True)
    if array.ndim < 2:
        raise ModelError(
            "samples must be at least two-dimensional, (n, d) or (n, height, width), not of shape "
            f"{array.shape}"
        )
    d = math.prod(array.shape[1:])
    if d == 0:
        raise ModelError("samples must have at least one column")
    if d > MAX_DIMENSION:
        raise ModelError(f"samples: {too_wide(d)}")
    return array.reshape(array.shape[0], d)


def real_rows(values: ArrayLike, what: str = "samples") -> Array:
    """Check that values are a real matrix of an allowed width.

    Parameters
    ----------
    values : array_like, shape (rows, d)
        Booleans, integers or floats.
    what : str, default "samples"
        What to call them in a message.

    Returns
    -------
    ndarray of float64, shape (rows, d)
        The input itself where it has that type already.

    Raises
    ------
    ModelError
        If it is anything else.
    """
    array = regular(values, what, booleans=True)
    if array.ndim != 2:
        raise ModelError(f"{what} must be two-dimensional (rows, d), not of shape {array.shape}")
    if array.shape[1] == 0:
        raise ModelError(f"{what} must have at least one column")
    if array.shape[1] > MAX_DIMENSION:
        raise ModelError(f"{what}: {too_wide(array.shape[1])}")
    with np.errstate(over="ignore"):
        return array.astype(np.float64, copy=False)
