"""Networks on the user's own images beside the theory of their covariance, where that was measured.

The equations of `ImageModel` know the images and not their covariance alone. Advice uses them
inside the domain in which they were held against exact networks (docs/images.md), and says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dmft_rf._typing import Array
from dmft_rf.curves.solve import solve
from dmft_rf.curves.timescales import Timescales
from dmft_rf.errors import ConvergenceError
from dmft_rf.images.image_model import ImageModel
from dmft_rf.model.score_model import ScoreModel
from dmft_rf.monitor.samples import Samples

__all__ = ["COLUMNS", "on_images"]

COLUMNS = ("images_test_loss", "images_best_time", "images_gap")
"""Least test loss, its time, and the gap in the end."""

# what was measured: features, diffusion times, images trained on at least, images in a pool
_FEATURES, _TIMES, _FEWEST, _MOST = (256, 512), (0.01, 0.1), 64, 10_000
# error of the equations that is worth an answer
_TRUSTED = 0.15
# images trained on, over those of the pool, at most
_BEYOND = 2


def on_images(
    images: Samples, model: ScoreModel, divisor: float, sizes: Sequence[int]
) -> tuple[str, Array]:
    """Whether networks on the images themselves are asked, and what they say.

    Parameters
    ----------
    images : Samples
    model : ScoreModel
        With the covariance of the images, divided by ``divisor``.
    sizes : sequence of int, length k
        Numbers of images, those that there are first.

    Returns
    -------
    route : str
        Which theory answers, or why it is that of the covariance alone.
    values : (k, 3) array
        The columns `COLUMNS`; nan beyond twice the images that there are, and where none is asked.
    """
    nothing = np.full((len(sizes), len(COLUMNS)), math.nan)
    p = round(model.psi_p * images.dimension)
    why = _outside(images.count, p, model.t)
    if why:
        return f"the covariance of the images alone: {why}", nothing
    rows = images.take(np.arange(images.count))
    rows -= rows.mean(axis=0)
    own = ImageModel(
        rows / math.sqrt(divisor), model.t, images.count, features=p,
        activation=model.activation, route="equations",
    )  # fmt: skip
    # on all of its pool a network says nothing of how much single images matter: on half of it
    error = own.replace(n=images.count // 2).model_error
    if error > _TRUSTED:
        return (
            "the covariance of the images alone: the equations of networks on the images "
            f"themselves were off by up to {100.0 * error:.2g} % on data like these"
        ), nothing
    values = nothing.copy()
    reached = []
    for row, size in enumerate(sizes):
        if size > _BEYOND * images.count:
            continue
        at = own.replace(n=size)
        if at.model_error > _TRUSTED:
            continue
        try:
            times = Timescales(solve(at))
        except ConvergenceError:
            break  # so far beyond the pool its equations may have no solution
        values[row] = times.test_min, times.tau_opt, float(times.final_gap)
        reached.append(f"{size:,}")
    if not reached:
        return (
            "the covariance of the images alone: the equations of networks on the images "
            "themselves were not solved"
        ), nothing
    return (
        f"the covariance of the images; for {' and '.join(reached)} images least test loss, best "
        f"time and final gap of networks on the images themselves too (equations, {p} features, "
        f"to be trusted within {100.0 * own.model_error:.2g} %)"
    ), values


def _outside(count: int, p: int, t: float) -> str:
    """What is outside the domain that was measured; "" where nothing is."""
    ends = (
        (p, *_FEATURES, "features", "networks on the images themselves were measured for"),
        (count, max(_FEWEST, p), _MOST, "images", "networks on the images themselves need"),
    )
    for value, low, high, what, said in ends:
        if not low <= value <= high:
            return f"{said} {low:,} to {high:,} {what}, and there are {value:,}"
    first, last = _TIMES
    if not first <= t <= last:
        return f"networks on the images themselves were measured for t from {first} to {last}"
    return ""
