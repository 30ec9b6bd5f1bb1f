"""How much more of the images is classes than of Gaussian ones with the same covariance."""

from __future__ import annotations

import numpy as np

from dmft_rf._typing import Array

__all__ = ["ROWS", "class_structure"]

ROWS = 2000
"""Images at most that are looked at."""

_DIRECTIONS = 256  # at most, those of the largest variance
_CENTRES = 25
_ROWS_PER_CENTRE = 8  # at least
_SURROGATES = 5
_STARTS, _ROUNDS = 4, 15
# multiplications up to which a product stays on one thread of a BLAS; on a busy machine many small
# products on several of them wait for one another for longer than they take
_ONE_THREAD = 2**18


def class_structure(rows: Array, variances: Array) -> float:
    """Return what classes explain of images, beyond what they do of Gaussian ones.

    The centres of 25 classes are found on one half of the images (k-means; fewer where there are
    not 8 images for each). E is the share of the variance of the other half that they explain, and
    E' that of Gaussian images with the same covariance, which k-means cuts into classes too. The
    class structure is (E - E')/(1 - E').

    Parameters
    ----------
    rows : array, shape (n, k)
        Centred images in principal directions, at most about 2000 of them.
    variances : array, shape (k,)
        Variance in each direction, ascending; the largest 256 count.

    Returns
    -------
    float
        0 for Gaussian images, 1 for images that are all alike within 25 classes or fewer; nan
        below 32 images. Values below 0, of heavy tails or by chance, are 0.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> rows = rng.choice([-1.0, 1.0], size=(400, 2)) * [1.0, 2.0]  # four classes
    >>> class_structure(rows + 0.001 * rng.normal(size=(400, 2)), np.array([1.0, 4.0])) > 0.99
    True
    """
    centres = min(_CENTRES, len(rows) // (2 * _ROWS_PER_CENTRE))
    if centres < 2:
        return float("nan")
    rng = np.random.default_rng(0)
    rows, scales = rows[:, -_DIRECTIONS:], np.sqrt(variances[-_DIRECTIONS:])
    gaussian = [
        _explained(rng.normal(size=rows.shape) * scales, centres, rng) for _ in range(_SURROGATES)
    ]
    base = float(np.mean(gaussian))
    return max(0.0, (_explained(rows, centres, rng) - base) / (1.0 - base))


def _explained(rows: Array, centres: int, rng: np.random.Generator) -> float:
    """Share of the variance of one half of the rows that centres found on the other explain."""
    order = rng.permutation(len(rows))
    known, other = rows[order[: len(rows) // 2]], rows[order[len(rows) // 2 :]]
    tries = [_centres(known, centres, rng) for _ in range(_STARTS)]
    best = min(tries, key=lambda found: _left(known, found))
    return 1.0 - _left(other, best) / float(np.sum((other - known.mean(axis=0)) ** 2))


def _centres(rows: Array, count: int, rng: np.random.Generator) -> Array:
    """Centres of k-means, started as in k-means++ (Arthur and Vassilvitskii, 2007)."""
    found = rows[rng.integers(len(rows), size=1)]
    distance = np.sum((rows - found) ** 2, axis=1)
    while len(found) < count and (total := distance.sum()) > 0.0:
        chosen = rows[rng.choice(len(rows), p=distance / total)]
        found = np.vstack([found, chosen])
        distance = np.minimum(distance, np.sum((rows - chosen) ** 2, axis=1))
    for _ in range(_ROUNDS):
        nearest = _squares(rows, found).argmin(axis=1)
        for k in range(len(found)):
            if (mine := rows[nearest == k]).size:
                found[k] = mine.mean(axis=0)
    return found


def _left(rows: Array, centres: Array) -> float:
    """Squared distances to the nearest centres, summed."""
    nearest = _squares(rows, centres).argmin(axis=1)
    return float(np.sum((rows - centres[nearest]) ** 2))


def _squares(rows: Array, centres: Array) -> Array:
    """Squared distances to every centre, less the same number for every row."""
    step = max(1, _ONE_THREAD // centres.size)
    products = [rows[k : k + step] @ centres.T for k in range(0, len(rows), step)]
    found: Array = np.sum(centres**2, axis=1) - 2.0 * np.concatenate(products)
    return found
