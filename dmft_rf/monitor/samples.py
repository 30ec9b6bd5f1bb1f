"""Sets of images, wherever they are, as blocks of rows: arrays in memory, files, folders.

An array stays as it is, in its own type. What comes from files is kept in memory in the smallest
type that holds every value exactly: a byte for pixels from 0 to 255.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._arithmetic import ieee, lazy
from dmft_rf._convert import LARGEST, regular
from dmft_rf._paths import path_of
from dmft_rf.data import bundled as datasets
from dmft_rf.data.image_folder import ImageFolder
from dmft_rf.data.read import CHUNK_BYTES, iter_chunks
from dmft_rf.errors import DataError, ModelError
from dmft_rf.model.accumulator import CovarianceAccumulator
from dmft_rf.model.covariance import Covariance

__all__ = ["Samples", "rows_in"]

Progress = Callable[[int, int], None]
Array = NDArray[np.float64]


FEWEST = 40
"""Images of a set for a Frechet distance, two in each group of its jackknife."""


def rows_in(d: int, bytes_: int) -> int:
    """How many rows of d float64 numbers fit into so many bytes, at least one."""
    return max(1, bytes_ // (8 * d))


@ieee
class Samples:
    """n images of d numbers each.

    Attributes
    ----------
    name : str
        What messages call them: "training", or the file.
    shape : tuple of int
        Of one image: (height, width, colours) where it is known, else (d,).
    count, dimension : int
        n and d.
    """

    def __init__(self, parts: list[NDArray[Any]], shape: tuple[int, ...], name: str) -> None:
        self._parts, self.shape, self.name = parts, shape, name
        self.count = sum(map(len, parts))
        self.dimension = math.prod(shape)

    @classmethod
    def of(
        cls,
        source: Any,
        name: str,
        *,
        resize: int | tuple[int, int] | None = None,
        grey: bool = False,
        progress: Progress | None = None,
    ) -> Samples:
        """Return the images of an array, a file or a folder.

        Parameters
        ----------
        source : array_like, path, str or Samples
            An array of shape (n, d), (n, height, width) or (n, height, width, colours); a file
            that `dmft_rf.read_covariance` reads; a folder of images; or what this has returned.
        name : str
            What messages call an array.
        resize, grey
            As in `dmft_rf.read_covariance`, for folders.
        progress : callable, optional
            Called with images read and images in all while a folder is read.

        Raises
        ------
        DataError
            If a file or a folder cannot be read; the message names it.
        ModelError
            If an array is no array of images, or not finite.
        """
        if isinstance(source, Samples):
            return source
        if isinstance(source, str | bytes | os.PathLike):
            return cls._read(path_of(source, name), resize, grey, progress)
        if resize is not None or grey:
            raise ModelError(f"resize and grey are for folders of images, and {name} is an array")
        array = regular(source, name, booleans=True)
        if array.ndim < 2 or 0 in array.shape:
            raise ModelError(
                f"{name} is of shape {array.shape}; it must be (n, d), (n, height, width) or "
                "(n, height, width, colours), with at least one image"
            )
        one = cls([array.reshape(len(array), -1)], array.shape[1:], name)
        one.check()
        return one

    @classmethod
    def _read(
        cls, path: Path, resize: int | tuple[int, int] | None, grey: bool, progress: Progress | None
    ) -> Samples:
        is_folder = os.path.isdir(path) and str(path) not in datasets.names()
        if is_folder:
            folder = ImageFolder.of(path, resize, grey)
            parts = [_smallest(block) for block in folder.blocks(CHUNK_BYTES, progress)]
            return cls(parts, (folder.height, folder.width, folder.channels), str(path))
        if resize is not None or grey:
            raise DataError(f"{path}: is no folder of images, which alone has resize and grey")
        parts = [_smallest(block) for block in iter_chunks(path, chunk_bytes=CHUNK_BYTES)]
        shape = (parts[0].shape[1],)
        if path.suffix.lower() == ".npy":  # rows alone do not say how to draw an image
            shape = np.load(path, mmap_mode="r").shape[1:]
        return cls(parts, shape, str(path))

    def check(self) -> None:
        """Raise ModelError where a number is not finite, or its square is not."""
        for start, block in self.blocks(CHUNK_BYTES):
            good = np.abs(block) <= LARGEST
            if not good.all():
                row, column = np.argwhere(~good)[0]
                raise ModelError(
                    f"{self.name}: number {column + 1} of image {start + row + 1} (counting from "
                    f"1) is {block[row, column]}; all must be finite, and at most {LARGEST:g}"
                )

    def blocks(self, bytes_: int) -> Iterator[tuple[int, Array]]:
        """Yield the number of the first image and float64 rows of at most about so many bytes."""
        step, first = rows_in(self.dimension, bytes_), 0
        for part in self._parts:
            for start in range(0, len(part), step):
                rows = part[start : start + step]
                yield first + start, np.asarray(rows, dtype=np.float64)
            first += len(part)

    def take(self, indices: NDArray[np.intp]) -> Array:
        """Return images by their numbers, shape (k, d), as float64."""
        found = np.empty((len(indices), self.dimension))
        first = 0
        for part in self._parts:
            here = (indices >= first) & (indices < first + len(part))
            found[here] = part[indices[here] - first]
            first += len(part)
        return found

    @lazy
    def occurrence(self) -> NDArray[np.intp]:
        """How many earlier images each one is an exact copy of, shape (n,)."""
        known: dict[bytes, int] = {}
        found = np.empty(self.count, dtype=np.intp)
        for start, block in self.blocks(CHUNK_BYTES):
            for row, image in enumerate(np.ascontiguousarray(block + 0.0)):  # -0 becomes 0
                digest = hashlib.blake2b(image, digest_size=16).digest()
                found[start + row] = known.get(digest, 0)
                known[digest] = found[start + row] + 1
        return found

    @property
    def copies(self) -> int:
        """How many images are exact copies of an earlier one."""
        return int(np.count_nonzero(self.occurrence))

    def covariance(self) -> Covariance:
        """Return the law of their covariance, divided by its mean; it may warn of few images."""
        accumulator = CovarianceAccumulator()
        for _, block in self.blocks(CHUNK_BYTES):
            accumulator.update(block)
        return Covariance.from_accumulator(accumulator).normalized()

    def need(self, count: int, why: str) -> None:
        """Raise ModelError if there are fewer images."""
        if self.count < count:
            raise ModelError(f"{self.name} has {_images(self.count)}; {why} needs at least {count}")

    def need_different(self) -> None:
        """Raise ModelError if all images are equal."""
        if self.count - self.copies < 2:
            raise ModelError(
                f"{self.name} has {_images(self.count)}, all of them equal; at least 2 different "
                "ones are needed"
            )

    def need_shape_of(self, other: Samples) -> None:
        """Raise ModelError if the images of the other set have another shape."""
        known = len(self.shape) > 1 and len(other.shape) > 1
        mine, its = (_flat(one.shape) for one in (self, other))
        if self.dimension != other.dimension or (known and mine != its):
            raise ModelError(
                f"the images of {self.name} have {_shape(self)} numbers, those of {other.name} "
                f"have {_shape(other)}; bring them to one shape (folders: resize, grey)"
            )


def _images(count: int) -> str:
    return f"{count} image{'s' * (count != 1)}"


def _flat(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without a last axis of one colour."""
    return shape[:-1] if len(shape) == 3 and shape[-1] == 1 else shape


def _shape(samples: Samples) -> str:
    return " x ".join(map(str, samples.shape))


def _smallest(block: Array) -> NDArray[Any]:
    """A block in the smallest of three types in which no value changes."""
    for kind in (np.uint8, np.float32):
        with np.errstate(invalid="ignore", over="ignore"):
            small = block.astype(kind)
        if np.array_equal(small, block):
            return small
    return block.copy()
