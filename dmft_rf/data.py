"""Covariances from files of samples, read in blocks so that a file may exceed the memory.

Formats: .npy, .npz, .csv (or .txt), .h5 (or .hdf5), and the bundled data sets by name. Every
sample is a row; images of shape (n, height, width) become rows of length height * width.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import datasets
from ._readers import csv_blocks, hdf5_blocks, npy_blocks, npz_blocks
from .accumulator import CovarianceAccumulator
from .covariance import Covariance
from .errors import DataError, ModelError

__all__ = ["CHUNK_BYTES", "CovarianceAccumulator", "iter_chunks", "read_covariance"]

CHUNK_BYTES = 64 * 2**20
"""Default size of a block of rows in memory, as float64."""

_TEXT, _HDF5 = (".csv", ".txt"), (".h5", ".hdf5")
_ENDINGS = (".npy", ".npz", *_TEXT, *_HDF5)


def read_covariance(
    source: str | os.PathLike[str],
    *,
    center: bool = True,
    dataset: str | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> Covariance:
    """Return the law of the eigenvalues of the covariance of the samples in a file.

    Parameters
    ----------
    source : path or str
        A file that ends in .npy, .npz, .csv, .txt, .h5 or .hdf5, of n >= 2 rows of d <= 4096
        numbers, or the name of a bundled data set (see `dmft_rf.datasets.names`).
    center : bool, default True
        Take out the sample mean (and divide by n - 1); False: ``(1/n) sum x x^T``.
    dataset : str, optional
        Which array of an .npz or HDF5 file; needed where there are several.
    chunk_bytes : int, default 64 MiB
        Size of the blocks of rows that are read.

    Returns
    -------
    Covariance
        Eigenvalues in the squared units of the file, with ``dimension = d`` and
        ``samples = n``.

    Raises
    ------
    DataError
        If the file cannot be used; the message says where and why.

    Warns
    -----
    SampleSizeWarning
        If n < 10 d.

    Examples
    --------
    >>> law = read_covariance("digits")
    >>> law.dimension, law.samples, round(law.effective_dimension, 1)
    (64, 1797, 13.2)
    """
    label = name = os.fspath(source)
    if name not in datasets.names():
        label = Path(name).name if dataset is None else f"{Path(name).name}:{dataset}"
    accumulator = CovarianceAccumulator()
    for block in iter_chunks(source, dataset=dataset, chunk_bytes=chunk_bytes):
        accumulator.update(block)
    if accumulator.n_samples < 2:
        raise DataError(f"{name}: has one row, a covariance needs at least 2 samples")
    try:
        return Covariance.from_accumulator(accumulator, center=center, label=label)
    except ModelError as error:
        raise DataError(f"{name}: {error}") from None


def iter_chunks(
    source: str | os.PathLike[str], *, dataset: str | None = None, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[NDArray[np.float64]]:
    """Read the samples of a file, a block of rows at a time.

    Parameters
    ----------
    source, dataset, chunk_bytes
        As in `read_covariance`.

    Yields
    ------
    ndarray of float64, shape (rows, d)
        At least one row; finite.

    Raises
    ------
    DataError
        As in `read_covariance`, as soon as the reading reaches what is wrong.
    """
    name = os.fspath(source)
    bundled = name in datasets.names()
    path = datasets.path(name) if bundled else Path(name)
    if isinstance(chunk_bytes, bool) or not isinstance(chunk_bytes, int) or chunk_bytes < 1:
        raise ModelError(f"chunk_bytes must be an integer >= 1, not {chunk_bytes!r}")
    row = 0
    for block in _blocks(path, dataset, chunk_bytes):
        finite = np.isfinite(block)
        if not finite.all():
            r, c = np.argwhere(~finite)[0]
            raise DataError(
                f"{name}: row {row + r + 1}, column {c + 1} (counting from 1, without a header) "
                f"is {block[r, c]}, all numbers must be finite"
            )
        row += block.shape[0]
        yield block


def _blocks(path: Path, dataset: str | None, chunk_bytes: int) -> Iterator[NDArray[np.float64]]:
    """Choose the reader of a file."""
    ending = path.suffix.lower()
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        known = ", ".join(datasets.names())
        raise DataError(f"{path}: no such file, nor a bundled data set ({known})") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be opened ({error})") from None
    if stat.S_ISDIR(status.st_mode):
        raise DataError(f"{path}: is a directory, not a file of samples")
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path}: is not a regular file")
    if ending not in _ENDINGS:
        raise DataError(f"{path}: unknown ending {ending!r}, allowed are {', '.join(_ENDINGS)}")
    if status.st_size == 0:
        raise DataError(f"{path}: the file is empty")
    if dataset is not None and ending in (".npy", *_TEXT):
        raise DataError(f"{path}: dataset names an array of an .npz or .h5 file, not of {ending}")
    if ending == ".npy":
        return npy_blocks(path, chunk_bytes)
    if ending == ".npz":
        return npz_blocks(path, dataset, chunk_bytes)
    if ending in _TEXT:
        return csv_blocks(path, chunk_bytes)
    return hdf5_blocks(path, dataset, chunk_bytes)
