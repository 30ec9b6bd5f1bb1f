"""Covariances from files of samples, read in blocks so that a file may exceed the memory.

Formats: .npy, .npz, .csv (or .txt), .h5 (or .hdf5), folders of images, and the bundled data sets
by name. Every sample is a row; images of shape (n, height, width) become rows of length height *
width. A file of eigenvalues that ``dmft-rf covariance`` wrote is one too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._convert import flag, shown, whole
from dmft_rf._paths import input_file, path_of
from dmft_rf.data import bundled as datasets
from dmft_rf.data.columns import ColumnWatch
from dmft_rf.data.eigenvalues import stored_covariance
from dmft_rf.data.hdf5_reader import hdf5_blocks
from dmft_rf.data.image_folder import ImageFolder
from dmft_rf.data.readers import Blocks, kept_columns, npy_blocks, npz_blocks
from dmft_rf.data.text_reader import csv_blocks
from dmft_rf.errors import DataError, ModelError, plain
from dmft_rf.files.hdf5 import has_seal
from dmft_rf.model.accumulator import CovarianceAccumulator
from dmft_rf.model.covariance import Covariance

__all__ = ["CHUNK_BYTES", "CovarianceAccumulator", "iter_chunks", "read_covariance"]

CHUNK_BYTES = 64 * 2**20
"""Default size of a block of rows in memory, as float64."""

_TEXT, _HDF5 = (".csv", ".txt"), (".h5", ".hdf5")
_ENDINGS = (".npy", ".npz", *_TEXT, *_HDF5)


def read_covariance(
    source: str | os.PathLike[str],
    *,
    center: bool | None = None,
    dataset: str | None = None,
    chunk_bytes: int = CHUNK_BYTES,
    header: bool | None = None,
    leave_out: Sequence[int] | None = None,
    resize: int | tuple[int, int] | None = None,
    grey: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Covariance:
    """Return the law of the eigenvalues of the covariance of the samples in a file or folder.

    Parameters
    ----------
    source : path or str
        A file that ends in .npy, .npz, .csv, .txt, .h5 or .hdf5, of n >= 2 rows of d <= 4096
        numbers; a folder of images (.png, .jpg, ..., see `dmft_rf.data.image_folder`); the name of
        a bundled data set (see `dmft_rf.data.bundled.names`); or a file of eigenvalues that
        ``dmft-rf covariance`` or ``save(path, covariance)`` has written.
    center : bool, optional
        Take out the sample mean (and divide by n - 1), the default; False: ``(1/n) sum x x^T``. Of
        a file of eigenvalues it can only be what it was when they were computed.
    dataset : str, optional
        Which array of an .npz or HDF5 file; needed where there are several.
    chunk_bytes : int, default 64 MiB
        Size of the blocks of rows that are read.
    header : bool, optional
        Whether the first line of a .csv or .txt file is a header. By default it is if none of its
        cells is a number, or if they are 0, 1, 2, ...; where it is made of numbers that could
        be names (years, frequencies) you are asked.
    leave_out : sequence of int, optional
        Columns that are no features, such as labels or row numbers, counted from 1, or from the
        end (-1 is the last). By default there are none, and a first or last column that looks like
        one is refused; an empty list keeps it.
    resize : int or (height, width), optional
        Size that the images of a folder are brought to: a new pixel is the mean of what it covers.
        One number is both.
    grey : bool, default False
        Whether images in colour become grey, 0.299 red + 0.587 green + 0.114 blue.
    progress : callable, optional
        Called with images done and images in all while a folder is read.

    Returns
    -------
    Covariance
        Eigenvalues in the squared units of the file, with ``dimension = d`` and
        ``samples = n``; of a folder the label has the size of the images and their colour.

    Raises
    ------
    DataError
        If the file cannot be used; the message says where and why.
    ModelError
        If another argument is not one of these.

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
    path, name = _place(source)
    label = name if name in datasets.names() else path.name or str(path)
    if center is not None:
        center = flag(center, "center")
    options: dict[str, Any] = {"dataset": dataset, "header": header, "leave_out": leave_out}
    if has_seal(path):
        given = [key for key, value in options.items() if value is not None]
        given += ["resize"] * (resize is not None) + ["grey"] * bool(grey)
        return stored_covariance(path, center, given)
    accumulator, watch = CovarianceAccumulator(), ColumnWatch()
    is_folder = os.path.isdir(path)
    if is_folder:
        _only(path, "a folder of images", options)
        folder = ImageFolder.of(path, resize, grey)
        blocks = folder.blocks(whole(chunk_bytes, "chunk_bytes"), progress)
        label = f"{path.resolve().name}, {folder.description}"
    else:
        _only(name, "no folder of images", {"resize": resize, "grey": grey or None})
        blocks = iter_chunks(source, chunk_bytes=chunk_bytes, **options)
    for block in blocks:
        accumulator.update(block)
        watch.update(block)
    is_table = not is_folder and name not in datasets.names()
    if leave_out is None and is_table and (found := watch.verdict()):
        raise DataError(f"{name}: {found}")
    if accumulator.n_samples < 2:
        raise DataError(f"{name}: has one row, a covariance needs at least 2 samples")
    label = plain(label if dataset is None else f"{label}:{dataset}")
    try:
        return Covariance.from_accumulator(accumulator, center=center is not False, label=label)
    except ModelError as error:
        raise DataError(f"{name}: {error}") from None


def _only(name: object, what: str, options: dict[str, Any]) -> None:
    """Refuse options that another kind of source has."""
    for option, value in options.items():
        if value is not None:
            raise DataError(f"{name}: is {what}, which has no {option} ({shown(value)})")


def iter_chunks(
    source: str | os.PathLike[str],
    *,
    dataset: str | None = None,
    chunk_bytes: int = CHUNK_BYTES,
    header: bool | None = None,
    leave_out: Sequence[int] | None = None,
) -> Iterator[NDArray[np.float64]]:
    """Read the samples of a file, a block of rows at a time.

    Parameters
    ----------
    source, dataset, chunk_bytes, header, leave_out
        As in `read_covariance`.

    Yields
    ------
    ndarray of float64, shape (rows, d)
        At least one row; finite.

    Raises
    ------
    DataError, ModelError
        As in `read_covariance`, as soon as the reading reaches what is wrong.
    """
    path, name = _place(source)
    if not (dataset is None or isinstance(dataset, str)):
        raise ModelError(f"dataset is {shown(dataset)}; it must be the name of an array")
    if header is not None:
        header = flag(header, "header")
    out = None if leave_out is None else _columns(leave_out)
    row = 0
    for block in _blocks(path, dataset, whole(chunk_bytes, "chunk_bytes"), header, out):
        finite = np.isfinite(block)
        if not finite.all():
            r, c = np.argwhere(~finite)[0]
            raise DataError(
                f"{name}: row {row + r + 1}, column {c + 1} (counting from 1, without a header) "
                f"is {block[r, c]}, all numbers must be finite"
            )
        row += block.shape[0]
        yield block


def _place(source: Any) -> tuple[Path, str]:
    """The file of a source, and what a message calls it."""
    place = path_of(source, "source")
    name = str(place)
    return (datasets.path(name), name) if name in datasets.names() else (place, name)


def _columns(leave_out: Any) -> list[int]:
    if isinstance(leave_out, np.ndarray) and leave_out.ndim == 1:
        leave_out = leave_out.tolist()
    if isinstance(leave_out, str | bytes) or not isinstance(leave_out, Sequence):
        raise ModelError(f"leave_out is {shown(leave_out)}; it must be a list of column numbers")
    columns = [whole(column, "a column of leave_out", least=-(2**31)) for column in leave_out]
    if 0 in columns:
        raise ModelError("leave_out has column 0; columns are counted from 1, or from the end (-1)")
    return columns


def _blocks(
    path: Path,
    dataset: str | None,
    chunk_bytes: int,
    header: bool | None,
    leave_out: list[int] | None,
) -> Blocks:
    """Choose the reader of a file."""
    known = ", ".join(datasets.names())
    path, status = input_file(path, missing=f"no such file, nor a bundled data set ({known})")
    ending = path.suffix.lower()
    if ending not in _ENDINGS:
        raise DataError(f"{path}: unknown ending {ending!r}, allowed are {', '.join(_ENDINGS)}")
    if status.st_size == 0:
        raise DataError(f"{path}: the file is empty")
    if dataset is not None and ending in (".npy", *_TEXT):
        raise DataError(f"{path}: dataset names an array of an .npz or .h5 file, not of {ending}")
    if ending in _TEXT:
        yield from csv_blocks(path, chunk_bytes, header, leave_out)
        return
    if header is not None:
        raise DataError(f"{path}: header is for .csv and .txt files, {ending} has none")
    if ending == ".npy":
        blocks = npy_blocks(path, chunk_bytes)
    elif ending == ".npz":
        blocks = npz_blocks(path, dataset, chunk_bytes)
    else:
        blocks = hdf5_blocks(path, dataset, chunk_bytes)
    for block in blocks:
        kept = kept_columns(str(path), block.shape[1], leave_out or ())
        yield block if len(kept) == block.shape[1] else block[:, kept]
