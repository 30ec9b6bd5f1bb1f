"""What there is to know of a user's images: their covariance, and how far from Gaussian they are.

Two passes over the images: one for the covariance, one for the fourth moments in its principal
directions.
"""

from __future__ import annotations

import warnings

import numpy as np

from dmft_rf._arithmetic import ieee
from dmft_rf.data.read import CHUNK_BYTES
from dmft_rf.model.accumulator import CovarianceAccumulator
from dmft_rf.model.covariance import Covariance, SampleSizeWarning
from dmft_rf.monitor.classes import ROWS, class_structure
from dmft_rf.monitor.samples import Samples

__all__ = ["FEWEST", "measure"]

FEWEST = 10
"""Images that advice needs: the covariance of fewer says next to nothing."""

_NOTHING = 1e-9  # of the largest eigenvalue: a direction in which the images do not differ


@ieee
def measure(images: Samples) -> tuple[Covariance, float, float]:
    """Return the covariance of images, in their own units, and how far from Gaussian they are.

    Parameters
    ----------
    images : Samples
        At least 10, at least two of them different.

    Returns
    -------
    covariance : Covariance
    kurtosis : float
        E[y^4]/E[y^2]^2 - 3 of the centred images in each principal direction, averaged with the
        variances as weights; 0 for Gaussian data.
    classes : float
        Of `class_structure`, from 2000 of the images at most.

    Raises
    ------
    ModelError
        If there are fewer images, or all are equal.
    """
    images.need(FEWEST, "advice")
    images.need_different()
    accumulator = CovarianceAccumulator()
    for _, block in images.blocks(CHUNK_BYTES):
        accumulator.update(block)
    with warnings.catch_warnings():  # `sentences.few_images` says it in its place
        warnings.simplefilter("ignore", SampleSizeWarning)
        law = Covariance.from_accumulator(accumulator, label=images.name)
    variances, directions = np.linalg.eigh(accumulator.covariance())
    kept = variances > _NOTHING * variances[-1]
    directions, mean = directions[:, kept], accumulator.mean()
    second, fourth = np.zeros((2, int(kept.sum())))
    for _, block in images.blocks(CHUNK_BYTES):
        square = ((block - mean) @ directions) ** 2
        second += square.sum(axis=0)
        fourth += (square**2).sum(axis=0)
    excess = images.count * fourth / second**2 - 3.0
    variances = variances[kept]
    some = np.random.default_rng(0).permutation(images.count)[:ROWS]
    classes = class_structure((images.take(some) - mean) @ directions, variances)
    return law, float(np.average(excess, weights=variances)), classes
