r"""The nearest training images of generated ones, and the share of these that are copies.

Distances are Euclidean, over all numbers of an image. All pairs are looked at in float32, as

    |g|^2 + |x|^2 - 2 g.x,    g, x: images less the mean of some training images,

whose error is at most (d + 16) u (|g|^2 + |x|^2) with u = 2^-24 for any order of summation: d u for
the products, the rest for rounding g, x, the norms and the sums (N. J. Higham, Accuracy and
Stability of Numerical Algorithms, section 3.1). A pair whose distance less this bound is above the
second smallest that is known cannot be among the two nearest. All others are computed again in
float64 from differences, so that what is returned has a relative error below (d + 4) 2^-54, and two
training images change places only if their distances differ by less than that. Equal distances go
by the number of the training image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._arithmetic import ieee
from dmft_rf._convert import flag, number
from dmft_rf._show import Shown, Table
from dmft_rf.errors import ModelError
from dmft_rf.monitor.samples import Progress, Samples, rows_in

__all__ = ["MemorizedFraction", "Neighbours", "memorized_fraction", "nearest"]

Array = NDArray[np.float64]

_BLOCK = 48 * 2**20  # bytes of a block of training images, as float64
_MOST = 8192  # images in one, however small they are
_TILE = 2048  # generated images that meet it at once
_PAIRS = 16 * 2**20  # bytes of differences in float64
_FEWEST = 10
_WIDEST = 2**22  # numbers of an image up to which the bound on rounding holds


@dataclass(frozen=True, eq=False, repr=False)
class Neighbours(Shown):
    """The two nearest training images of each generated one.

    Attributes
    ----------
    index : array of int, shape (m, 2)
        Numbers of the nearest and the second nearest training image, counted from 0.
    distance : array, shape (m, 2)
        Their Euclidean distances.
    training, copies : int
        How many training images there are, and how many of them are exact copies of an earlier
        one; copies are passed over where ``distinct`` is True.
    distinct : bool
    """

    index: NDArray[np.intp]
    distance: Array
    training: int
    copies: int
    distinct: bool

    @property
    def ratio(self) -> Array:
        """Nearest over second nearest distance, shape (m,); nan where both are 0."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.distance[:, 0] / self.distance[:, 1])

    def _about(self) -> str:
        return (
            f"{len(self.index)} generated among {self.training} training images, "
            f"nearest distances {self.distance[:, 0].min():.4g} to {self.distance[:, 0].max():.4g}"
        )

    def _table(self) -> Table:
        rows = ("generated",)
        columns = {
            "nearest": self.index[:, 0],
            "next": self.index[:, 1],
            "distance": self.distance[:, 0],
            "distance_next": self.distance[:, 1],
            "ratio": self.ratio,
        }
        return Table(rows, {}, {name: (rows, array) for name, array in columns.items()})


def nearest(
    generated: Any,
    training: Any,
    *,
    distinct: bool = False,
    resize: int | tuple[int, int] | None = None,
    grey: bool = False,
    progress: Progress | None = None,
) -> Neighbours:
    """Return the nearest and the second nearest training image of each generated image.

    Parameters
    ----------
    generated, training : array_like or path
        Images: arrays of shape (n, d), (n, height, width) or (n, height, width, colours), files
        of arrays or folders of images, as `dmft_rf.read_covariance` takes them.
    distinct : bool, default False
        Pass over training images that are exact copies of an earlier one: then the second nearest
        differs from the nearest.
    resize, grey
        As in `dmft_rf.read_covariance`, for folders.
    progress : callable, optional
        Called with training images compared and training images in all.

    Returns
    -------
    Neighbours
        Exact up to a relative error of (d + 4) 2^-54 of the distances; images whose distances
        differ by less may change places.

    Raises
    ------
    ModelError, DataError
        If images cannot be read, are not finite, have different shapes, or there are fewer than 2
        training images, or 2 different ones with ``distinct``.

    Notes
    -----
    Takes the memory of the two sets and some 300 MB; the products use the threads of BLAS.

    Examples
    --------
    >>> import numpy as np
    >>> training = np.array([[0.0, 0.0], [3.0, 4.0], [10.0, 0.0]])
    >>> found = nearest([[0.0, 1.0]], training)
    >>> found.index[0].tolist(), found.distance[0].round(2).tolist()
    ([0, 1], [1.0, 4.24])
    """
    a = Samples.of(generated, "generated", resize=resize, grey=grey)
    b = Samples.of(training, "training", resize=resize, grey=grey)
    distinct = flag(distinct, "distinct")
    if progress is not None and not callable(progress):
        raise ModelError("progress must be a function of two numbers, or None")
    a.need_shape_of(b)
    if a.dimension > _WIDEST:
        raise ModelError(f"an image has {a.dimension} numbers; at most {_WIDEST} are allowed")
    b.need(2, "a second nearest image")
    if distinct:
        b.need_different()
    index, distance = _two_nearest(a, b, distinct, progress)
    return Neighbours(index, distance, b.count, b.copies, distinct)


@ieee
def _two_nearest(
    a: Samples, b: Samples, distinct: bool, progress: Progress | None
) -> tuple[NDArray[np.intp], Array]:
    """Numbers and distances, shapes (m, 2), of the two images of b nearest to each of a."""
    m, d = a.count, a.dimension
    index = np.full((m, 2), np.iinfo(np.intp).max)
    square = np.full((m, 2), np.inf)
    size, tile = (min(_BLOCK, most * 8 * d) for most in (_MOST, _TILE))
    centre = next(b.blocks(size))[1].mean(axis=0)
    for first, block in b.blocks(size):
        # of many copies no more than two can be the nearest
        kept = np.flatnonzero(b.occurrence[first : first + len(block)] < (1 if distinct else 2))
        done = first + len(block)
        if len(kept):
            block = block if len(kept) == len(block) else block[kept]
            right = block - centre
            for start, rows in a.blocks(tile):
                here = slice(start, start + len(rows))
                lower, unit = _lower_bounds(rows - centre, right)
                _improve(index[here], square[here], rows, block, lower, unit, first + kept)
        if progress is not None:
            progress(done, b.count)
    return index, np.sqrt(square)


def _lower_bounds(left: Array, right: Array) -> tuple[NDArray[np.float32], float]:
    """Numbers that no squared distance is below, shape (p, q), in units of the second result."""
    d = left.shape[1]
    scale = max(np.abs(left).max(), np.abs(right).max())
    # a power of two, so that scaling is exact; float32 has exponents for squares of 1e-19 to 1e19
    power = math.ldexp(1.0, math.frexp(scale)[1]) if scale > 0.0 else 1.0
    one, two = (np.asarray(part / power, dtype=np.float32) for part in (left, right))
    share = 1.0 - 2.0 * (d + 16) * 2.0**-24  # twice the bound: no second-order terms to be counted
    norms = [np.einsum("ij,ij->i", part, part, dtype=np.float64) * share for part in (one, two)]
    lower = one @ two.T
    lower *= np.float32(-2.0)
    lower += norms[0].astype(np.float32)[:, None]
    lower += norms[1].astype(np.float32)[None, :]
    lower -= np.float32(d * 2.0**-120)  # what is lost below the smallest float32
    return lower, power * power


def _improve(
    index: NDArray[np.intp],
    square: Array,
    rows: Array,
    block: Array,
    lower: NDArray[np.float32],
    unit: float,
    numbers: NDArray[np.intp],
) -> None:
    """Bring the two nearest of each row up to date with a block of training images, in place."""
    everything = np.arange(len(rows))
    # the two most promising first: what they give excludes nearly all of the rest
    for _ in range(min(2, len(block))):
        best = lower.argmin(axis=1)
        hopeful = lower[everything, best].astype(np.float64) <= square[:, 1] / unit
        who = everything[hopeful]
        _enter(index, square, rows, block, who, best[hopeful], numbers)
        lower[everything, best] = np.inf
    limit = np.nextafter((square[:, 1] / unit).astype(np.float32), np.float32(np.inf))
    limit = np.minimum(limit, np.finfo(np.float32).max)  # infinity marks those that are done
    left = np.flatnonzero(lower.min(axis=1) <= limit)
    step = rows_in(block.shape[1], _PAIRS)
    for row in left:
        columns = np.flatnonzero(lower[row] <= limit[row])
        for start in range(0, len(columns), step):
            chosen = columns[start : start + step]
            _enter(index, square, rows, block, np.full(len(chosen), row), chosen, numbers)


def _enter(
    index: NDArray[np.intp],
    square: Array,
    rows: Array,
    block: Array,
    who: NDArray[np.intp],
    whom: NDArray[np.intp],
    numbers: NDArray[np.intp],
) -> None:
    """Compute these pairs in float64 and keep the two nearest of each row, in place."""
    step = rows_in(block.shape[1], _PAIRS)
    for start in range(0, len(who), step):
        i, j = who[start : start + step], whom[start : start + step]
        difference = rows[i] - block[j]
        found = np.square(difference, out=difference).sum(axis=1)
        # those that are known and the new ones, in the order of row, distance, number
        known = np.unique(i)
        owner = np.concatenate([known, known, i])
        values = np.concatenate([square[known, 0], square[known, 1], found])
        labels = np.concatenate([index[known, 0], index[known, 1], numbers[j]])
        order = np.lexsort((labels, values, owner))
        first = np.searchsorted(owner[order], known)
        for place in (0, 1):
            chosen = order[first + place]
            square[known, place], index[known, place] = values[chosen], labels[chosen]


@dataclass(frozen=True, eq=False, repr=False)
class MemorizedFraction(Shown):
    """The share of generated images that are copies of training images.

    Attributes
    ----------
    fraction : float
    standard_error : float
        sqrt(f (1 - f)/m), 0 where the fraction is 0 or 1.
    interval : tuple of float
        95 %, of Clopper and Pearson; it says how much a fraction of 0 or 1 leaves open.
    ratio : float
        The threshold.
    generated : int
        m.
    neighbours : Neighbours
        Among the training images that differ.
    """

    fraction: float
    standard_error: float
    interval: tuple[float, float]
    ratio: float
    generated: int
    neighbours: Neighbours

    @property
    def memorized(self) -> NDArray[np.bool_]:
        """Which generated images count as copies, shape (m,)."""
        return np.asarray(self.neighbours.ratio < self.ratio)

    def __float__(self) -> float:
        return self.fraction

    def _about(self) -> str:
        low, high = self.interval
        copies = self.neighbours.copies
        more = f"; {copies} exact copies among them passed over" if copies else ""
        return (
            f"{self.fraction:.4g} +- {self.standard_error:.2g} (95 %: "
            f"{low:.4g} to {high:.4g}) of {self.generated} images are nearer to one of "
            f"{self.neighbours.training} training images than {self.ratio:.4g} times the distance "
            f"to the next{more}"
        )

    def _table(self) -> Table:
        table = self.neighbours._table()
        table.columns["memorized"] = (table.rows, self.memorized)
        return table


@ieee
def memorized_fraction(
    generated: Any,
    training: Any,
    ratio: float = 1.0 / 3.0,
    *,
    resize: int | tuple[int, int] | None = None,
    grey: bool = False,
    progress: Progress | None = None,
) -> MemorizedFraction:
    """Return the share of generated images that are copies of training images.

    An image counts as a copy if its distance to the nearest training image is below ``ratio`` times
    that to the second nearest (arXiv:2505.17638, section 3; Yoon et al. 2023). Training images that
    are exact copies of an earlier one are passed over: else a copy of an image that is
    there twice, which are the first ones that a network memorizes, would not count.

    Parameters
    ----------
    generated, training, resize, grey, progress
        As in `nearest`; at least 10 images each.
    ratio : float, default 1/3
        Above 0, at most 1.

    Returns
    -------
    MemorizedFraction
        With a standard error over the generated images, which are independent draws; the training
        set is as given. A bootstrap of a fraction would draw from a binomial distribution, whose
        variance is known: nothing is drawn here.

    Raises
    ------
    ModelError, DataError
        As `nearest`, and with fewer than 10 images.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(100, 16))
    >>> memorized_fraction(x[:20], x).fraction
    1.0
    """
    ratio = number(ratio, "ratio", above=0.0, most=1.0)
    a = Samples.of(generated, "generated", resize=resize, grey=grey)
    b = Samples.of(training, "training", resize=resize, grey=grey)
    for samples in (a, b):
        samples.need(_FEWEST, "a memorized fraction")
        samples.need_different()
    found = nearest(a, b, distinct=True, progress=progress)
    count, m = int(np.count_nonzero(found.ratio < ratio)), a.count
    share = count / m
    return MemorizedFraction(
        share, math.sqrt(share * (1.0 - share) / m), _interval(count, m), ratio, m, found
    )


def _interval(count: int, m: int) -> tuple[float, float]:
    """The interval of Clopper and Pearson at 95 % for ``count`` of m."""
    from scipy.special import betaincinv

    low = float(betaincinv(count, m - count + 1, 0.025)) if count else 0.0
    high = float(betaincinv(count + 1, m - count, 0.975)) if count < m else 1.0
    return low, high
