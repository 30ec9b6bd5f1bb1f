r"""The Frechet distance of generated images from real ones, with its error and its bias.

Both sets are described by mean m and covariance C of some features. The distance of the Gaussians
with these moments is (Dowson and Landau, J. Multivariate Anal. 12, 450 (1982))

    |m_1 - m_2|^2 + Tr C_1 + Tr C_2 - 2 Tr (C_1^{1/2} C_2 C_1^{1/2})^{1/2}.

The last trace is the sum of the singular values of C_1^{1/2} C_2^{1/2}, with symmetric roots:
nothing is squared, so that no digits are lost where covariances are nearly singular.

Finite sets are too far apart: by about k (k + 5)/4 (1/n_1 + 1/n_2) for two sets of the same
Gaussian in k features of unit variance. The bias of any sets falls like 1/n, and the jackknife that
gives the standard error estimates it, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._arithmetic import ieee
from dmft_rf._convert import floats, shown, whole
from dmft_rf._show import OneRow
from dmft_rf.data.read import CHUNK_BYTES
from dmft_rf.errors import ModelError
from dmft_rf.model.accumulator import CovarianceAccumulator
from dmft_rf.monitor.samples import FEWEST, Samples

__all__ = ["Components", "FrechetDistance", "frechet_distance"]

Array = NDArray[np.float64]
Features = Callable[[Array], Any]

_MOST = 32  # components by default, as in docs/networks.md
_GROUPS = 20
_FLAT = 1e-10  # variance relative to the largest, below which a component is rounding


@dataclass(frozen=True, eq=False, repr=False)
class FrechetDistance(OneRow):
    """A Frechet distance and what is known of its error.

    Attributes
    ----------
    distance : float
        As measured; squared units of the features.
    standard_error : float
        By a jackknife over 20 groups of the images of both sets.
    bias : float
        How much of it is due to the finite number of images, by the same jackknife.
    features : int
        k.
    sizes : tuple of int
        Images of the two sets.
    """

    distance: float
    standard_error: float
    bias: float
    features: int
    sizes: tuple[int, int]

    @property
    def corrected(self) -> float:
        """The distance without its estimated bias; below 0 where it is nothing but noise."""
        return self.distance - self.bias

    def __float__(self) -> float:
        return self.distance

    def _about(self) -> str:
        return (
            f"{self.distance:.4g} +- {self.standard_error:.2g} in "
            f"{self.features} features of {self.sizes[0]} and {self.sizes[1]} images, of which "
            f"about {self.bias:.2g} because these are no more"
        )


class Components:
    """The first principal components of real images, each scaled to unit variance there.

    Parameters
    ----------
    real : Samples
    count : int
        How many; components without variance are left out.
    """

    def __init__(self, real: Samples, count: int) -> None:
        from scipy.linalg import eigh

        accumulator = CovarianceAccumulator()
        for _, block in real.blocks(CHUNK_BYTES):
            accumulator.update(block)
        d = real.dimension
        count = min(count, d)
        values, vectors = eigh(accumulator.covariance(), subset_by_index=(d - count, d - 1))
        good = values > _FLAT * max(values[-1], 0.0)
        if not good.any():
            raise ModelError(f"{real.name}: all images are equal, and have no principal components")
        self.mean = accumulator.mean()
        self.directions: Array = (vectors[:, good] / np.sqrt(values[good]))[:, ::-1]

    def __call__(self, rows: Array) -> Array:
        """Features of images (n, d), shape (n, k)."""
        return np.asarray((rows - self.mean) @ self.directions)


@ieee
def frechet_distance(
    a: Any,
    b: Any,
    components: int | None = None,
    features: Features | None = None,
    *,
    resize: int | tuple[int, int] | None = None,
    grey: bool = False,
    seed: int = 0,
) -> FrechetDistance:
    """Return the Frechet distance of generated images from real ones.

    Parameters
    ----------
    a, b : array_like or path
        Generated and real images, as in `nearest`; at least 40 each.
    components : int, optional
        Take the first so many principal components of b, each scaled to unit variance there. By
        default 32, and at most a quarter of the images of either set.
    features : callable, optional
        Take these instead: a function of images, shape (rows, d) in float64, that returns their
        features, shape (rows, k). ``lambda rows: rows`` takes the numbers as they are, where a and
        b are features already.
    resize, grey
        As in `dmft_rf.read_covariance`, for folders.
    seed : int, default 0
        Of the division into the groups of the jackknife; the distance does not depend on it.

    Returns
    -------
    FrechetDistance
        The squared distance, its standard error over the images of both sets and its bias. The
        principal components are taken as given.

    Raises
    ------
    ModelError, DataError
        If images cannot be read, are fewer than 40, all equal or of different shapes, or
        features are no finite numbers.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(1000, 2))
    >>> float(frechet_distance(x + [3.0, 4.0], x, features=lambda rows: rows).distance.__round__(9))
    25.0
    """
    one = Samples.of(a, "a", resize=resize, grey=grey)
    two = Samples.of(b, "b", resize=resize, grey=grey)
    seed = whole(seed, "seed", least=0)
    for samples in (one, two):
        samples.need(FEWEST, "a Frechet distance")
    one.need_shape_of(two)
    if features is None:
        most = min(one.count, two.count) // 4
        if components is None:
            components = min(_MOST, most)
        elif whole(components, "components") > most:
            raise ModelError(
                f"components is {components}; with {one.count} and {two.count} images it must be "
                f"at most {most}, a quarter of them"
            )
        features = Components(two, components)
    elif not callable(features) or components is not None:
        wrong = "components cannot be given with it" if callable(features) else shown(features)
        raise ModelError(f"features must be a function of images, without components: {wrong}")
    return _measured([_features(samples, features) for samples in (one, two)], seed)


def _features(samples: Samples, features: Features) -> Array:
    """Features of all images, shape (n, k)."""
    found: list[Array] = []
    for _, block in samples.blocks(CHUNK_BYTES):
        part = floats(features(block), "what features returns", ndim=2)
        if len(part) != len(block) or (found and part.shape[1] != found[0].shape[1]):
            raise ModelError(
                f"features returns an array of shape {part.shape} for {len(block)} images; it must "
                "have a row for each, all of one length"
            )
        found.append(part)
    return np.concatenate(found)


def _measured(sets: list[Array], seed: int) -> FrechetDistance:
    if sets[0].shape[1] != sets[1].shape[1]:
        raise ModelError(
            f"the two sets have {sets[0].shape[1]} and {sets[1].shape[1]} features; they must have "
            "the same"
        )
    rng = np.random.default_rng(seed)
    # one centre for both: sums of squares about it lose no digits
    centre = sets[1].mean(axis=0)
    sums = [_group_sums(rows - centre, rng) for rows in sets]
    whole_sets = [tuple(part.sum(axis=0) for part in group) for group in sums]
    value = _distance(*(_moments(*parts) for parts in whole_sets))
    without = np.array([
        _distance(*(
            _moments(*(total - part[g] for total, part in zip(parts, group, strict=True)))
            for parts, group in zip(whole_sets, sums, strict=True)
        ))
        for g in range(_GROUPS)
    ])  # fmt: skip
    mean = float(without.mean())
    error = math.sqrt((_GROUPS - 1) / _GROUPS * float(np.sum((without - mean) ** 2)))
    bias = (_GROUPS - 1) * (mean - value)
    return FrechetDistance(value, error, bias, sets[0].shape[1], (len(sets[0]), len(sets[1])))


def _group_sums(rows: Array, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Number, sum and sum of products of the rows of each group."""
    parts = [rows[chosen] for chosen in np.array_split(rng.permutation(len(rows)), _GROUPS)]
    return (
        np.array([float(len(part)) for part in parts]),
        np.array([part.sum(axis=0) for part in parts]),
        np.array([part.T @ part for part in parts]),
    )


def _moments(count: Array, total: Array, products: Array) -> tuple[Array, Array]:
    """Mean and covariance of the sums."""
    mean = total / count
    return mean, (products - count * np.outer(mean, mean)) / (count - 1.0)


def _distance(one: tuple[Array, Array], two: tuple[Array, Array]) -> float:
    """The Frechet distance of two Gaussians, each as mean and covariance."""
    roots = [_root(covariance) for _, covariance in (one, two)]
    overlap = float(np.linalg.svd(roots[0] @ roots[1], compute_uv=False).sum())
    shift = float(np.sum((one[0] - two[0]) ** 2))
    trace = float(np.trace(one[1]) + np.trace(two[1]))
    return max(0.0, shift + trace - 2.0 * overlap)  # below 0 by rounding alone


def _root(covariance: Array) -> Array:
    """The symmetric root of a covariance; eigenvalues below 0 are rounding."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)
