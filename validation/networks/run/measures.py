r"""What is measured on generated samples: the memorized fraction and the Frechet distance.

A generated sample counts as memorized when the distance to its nearest training sample is below
``k`` times the distance to the second nearest, k = 1/3 (arXiv:2505.17638, section 3; Yoon et al.
2023, Gu et al. arXiv:2310.02664). Quality is the Frechet distance of two Gaussians,

    |m_1 - m_2|^2 + Tr[C_1 + C_2 - 2 (C_1^{1/2} C_2 C_1^{1/2})^{1/2}],

on fixed features: the first principal components of a large set of real pictures, each scaled to
unit variance there. It is biased upwards at a finite number of samples, so it is always given next
to that of real sets of the same size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from dmft_rf import DataError
from dmft_rf._typing import Array

#: thresholds on the ratio of distances; the first is the one of the definition
THRESHOLDS = (1 / 3, 1 / 2, 1 / 4)
_RESAMPLES = 400


def nearest(samples: NDArray[Any], train: NDArray[Any]) -> tuple[Array, NDArray[np.int64]]:
    """Nearest over second-nearest distance, and the index of the nearest training sample.

    Parameters
    ----------
    samples, train : arrays (m, ...) and (n, ...)
        Of the same shape beyond the first axis; n >= 2.

    Returns
    -------
    ratio : array (m,)
        In [0, 1].
    index : array (m,)

    Raises
    ------
    DataError
        If shapes do not fit, samples are not finite, or a sample sits on two equal training rows.
    """
    if samples.shape[1:] != train.shape[1:] or len(train) < 2:
        raise DataError(
            f"samples {samples.shape} and training set {train.shape} do not fit, or n < 2"
        )
    flat = np.asarray(samples, dtype=np.float64).reshape(len(samples), -1)
    if not np.isfinite(flat).all():
        raise DataError("generated samples are not finite: the network has diverged")
    # differences, not scalar products: copies must keep the digits of their small distance
    distance = cdist(flat, np.asarray(train, dtype=np.float64).reshape(len(train), -1))
    two = np.argpartition(distance, 1, axis=1)[:, :2]
    values = np.take_along_axis(distance, two, axis=1)
    order = np.argmin(values, axis=1)
    first, second = values.min(axis=1), values.max(axis=1)
    if (second == 0.0).any():
        raise DataError("the training set holds exact copies; the ratio of distances is undefined")
    return first / second, np.take_along_axis(two, order[:, None], axis=1)[:, 0]


def memorized(ratio: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Fractions below `THRESHOLDS` and their bootstrap errors over the samples, shapes (3,).

    The error of a fraction that is 0 or 1 comes out as 0; what can be said then is that it is
    within about 3/m of it (95 %).
    """
    below = ratio[:, None] < np.asarray(THRESHOLDS)
    again = rng.integers(len(ratio), size=(_RESAMPLES, len(ratio)))
    return below.mean(axis=0), below[again].mean(axis=1).std(axis=0, ddof=1)


@dataclass(frozen=True)
class Features:
    """The first principal components of real data, scaled to unit variance there.

    Attributes
    ----------
    mean : array (d,)
    directions : array (d, k)
        Principal directions over the square root of their variance.
    centre, covariance : arrays (k,) and (k, k)
        Of the features of the reference.
    """

    mean: Array
    directions: Array
    centre: Array
    covariance: Array

    @classmethod
    def of(cls, reference: NDArray[Any], count: int = 32) -> Features:
        """Features from a reference (N, ...); at most ``count`` and a quarter of N.

        Raises
        ------
        DataError
            If the reference has no variance in any direction.
        """
        rows = np.asarray(reference, dtype=np.float64).reshape(len(reference), -1)
        mean = rows.mean(axis=0)
        values, vectors = np.linalg.eigh(np.cov(rows - mean, rowvar=False))
        order = np.argsort(values)[::-1][: min(count, len(rows) // 4)]
        order = order[values[order] > 1e-10 * max(values.max(), 0.0)]
        if not order.size:
            raise DataError("the reference data have no variance")
        directions = vectors[:, order] / np.sqrt(values[order])
        k = order.size
        return cls(mean, directions, np.zeros(k), np.eye(k))

    def __call__(self, samples: NDArray[Any]) -> Array:
        """Features of samples (m, ...), shape (m, k)."""
        rows = np.asarray(samples, dtype=np.float64).reshape(len(samples), -1)
        return np.asarray((rows - self.mean) @ self.directions)

    def distance(self, samples: NDArray[Any]) -> float:
        """Frechet distance of samples (m, ...), m >= 2, from the reference."""
        found = self(samples)
        covariance = np.atleast_2d(np.cov(found, rowvar=False))
        return frechet(found.mean(axis=0), covariance, self.centre, self.covariance)

    def yardstick(
        self, real: NDArray[Any], size: int, rng: np.random.Generator, repeats: int = 20
    ) -> tuple[float, float]:
        """Mean and standard deviation of the distance of real sets of ``size`` samples."""
        if size > len(real):
            raise DataError(f"real sets of {size} cannot be drawn from {len(real)} samples")
        values = [
            self.distance(real[rng.choice(len(real), size, replace=False)]) for _ in range(repeats)
        ]
        return float(np.mean(values)), float(np.std(values, ddof=1))


def frechet(mean1: Array, cov1: Array, mean2: Array, cov2: Array) -> float:
    """Frechet distance of two Gaussians (squared 2-Wasserstein), shapes (k,) and (k, k)."""
    values, vectors = np.linalg.eigh(cov1)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    cross = np.linalg.eigvalsh(root @ cov2 @ root)
    trace = float(np.trace(cov1) + np.trace(cov2) - 2.0 * np.sqrt(np.maximum(cross, 0.0)).sum())
    return max(0.0, float(np.sum((mean1 - mean2) ** 2)) + trace)


def standard_error(values: Array) -> float:
    """Standard error of the mean of independent values."""
    return float(values.std(ddof=1) / math.sqrt(values.size))
