"""Blocks of rows from .npy and .npz files without pickle, and what all readers share.

Each reader is a generator of float64 blocks of shape (rows, d) and of at most about
``chunk_bytes``; none of them holds more of the file than that. What is wrong with a file is a
`DataError` of one line, as far as possible before anything of the size of the file is done.
"""

from __future__ import annotations

import math
import shutil
import struct
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from dmft_rf._paths import why
from dmft_rf.errors import DataError
from dmft_rf.model.accumulator import MAX_DIMENSION, too_wide

Blocks = Iterator[NDArray[np.float64]]

# What damaged files make numpy, zipfile and h5py raise.
DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    RuntimeError,  # h5py; also an encrypted zip and, as NotImplementedError, its compression
    OverflowError,
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)

_MAX_NAMES = 8  # listed in a message
_EXACT = 2**53  # largest integer up to which float64 holds all
# An array above this size that was packed that densely is almost constant: no samples.
_LARGE, _DENSE = 2**30, 500


def npy_blocks(path: Path, chunk_bytes: int) -> Blocks:
    """Read the rows of an .npy file through a memory map.

    Parameters
    ----------
    path : pathlib.Path
        The file; its array has shape (n, d) or (n, ...), flattened to (n, d).
    chunk_bytes : int
        Size of a block.

    Yields
    ------
    ndarray, shape (rows, d)
    """
    with readable(path, ".npy"), path.open("rb") as stream:
        yield from _mapped_blocks(stream, str(path), path.stat().st_size, chunk_bytes)


def npz_blocks(path: Path, dataset: str | None, chunk_bytes: int) -> Blocks:
    """Read the rows of one array of an .npz file, decompressed as they are needed.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    dataset : str or None
        Name of the array; None if there is only one.
    chunk_bytes : int
        Size of a block.

    Yields
    ------
    ndarray, shape (rows, d)
    """
    with readable(path, ".npz"), zipfile.ZipFile(path) as archive:
        arrays: dict[str, zipfile.ZipInfo] = {}
        for info in archive.infolist():
            key = info.filename.removesuffix(".npy")
            if key in arrays:
                raise DataError(f"{path}: has two arrays of the name {key!r}")
            if key != info.filename:
                arrays[key] = info
        key = choose(str(path), "array", list(arrays), dataset)
        yield from _member_blocks(archive, arrays[key], f"{path}, array {key!r}", chunk_bytes)


def _member_blocks(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, chunk_bytes: int
) -> Blocks:
    """Yield blocks of an array of an .npz file."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{name}: is packed in a way that numpy does not use; save it again")
    if info.file_size > max(_LARGE, _DENSE * info.compress_size):
        raise DataError(
            f"{name}: its {info.compress_size} bytes would become {info.file_size}: no samples"
        )
    with archive.open(info) as stream:
        shape, fortran_order, dtype = _header(stream)
        n, d = check_array(name, shape, dtype)
        _check_size(name, n, n * d * dtype.itemsize, info.file_size - stream.tell())
        if not fortran_order:
            yield from _streamed_blocks(stream, name, n, d, dtype, chunk_bytes)
            return
    # Stored column by column: rows can only be had with the whole array at hand, on disk.
    try:
        if shutil.disk_usage(tempfile.gettempdir()).free < info.file_size:
            raise DataError(
                f"{name}: is stored column by column and has to be unpacked; the folder for "
                f"temporary files, {tempfile.gettempdir()}, has no {info.file_size} bytes left"
            )
        copy = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
    except OSError as error:
        raise DataError(f"{name}: there is no folder for temporary files ({why(error)})") from None
    with copy, archive.open(info) as stream:
        try:
            shutil.copyfileobj(stream, copy, 1 << 20)
            copy.seek(0)
        except OSError as error:
            raise DataError(f"{name}: cannot be unpacked ({why(error)})") from None
        yield from _mapped_blocks(copy, name, info.file_size, chunk_bytes)


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the header of an .npy stream: shape, whether by columns, type."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the parser, about odd but harmless headers
            version = npy_format.read_magic(stream)
            if version == (1, 0):
                return npy_format.read_array_header_1_0(stream)
            if version == (2, 0):
                return npy_format.read_array_header_2_0(stream)
    except Exception as error:  # a damaged header goes through Python's own parser
        raise ValueError(f"bad header: {error}") from None
    raise ValueError(f"npy format {version[0]}.{version[1]} is not for plain numbers")


def _mapped_blocks(stream: IO[bytes], name: str, size: int, chunk_bytes: int) -> Blocks:
    """Yield blocks of the .npy array of an open file on disk, of ``size`` bytes."""
    shape, fortran_order, dtype = _header(stream)
    n, d = check_array(name, shape, dtype)
    _check_size(name, n, n * d * dtype.itemsize, size - stream.tell())
    data: NDArray[Any] = np.memmap(
        stream,
        dtype=dtype,
        mode="r",
        offset=stream.tell(),
        shape=shape,
        order="F" if fortran_order else "C",
    )
    step = rows_of(d, chunk_bytes)
    for start in range(0, n, step):
        yield as_float64(data[start : start + step], d, name)


def _streamed_blocks(
    stream: IO[bytes], name: str, n: int, d: int, dtype: np.dtype[Any], chunk_bytes: int
) -> Blocks:
    """Yield blocks of the rest of an .npy stream, stored row by row."""
    step = rows_of(d, chunk_bytes)
    for start in range(0, n, step):
        rows = min(step, n - start)
        raw = stream.read(rows * d * dtype.itemsize)
        if len(raw) < rows * d * dtype.itemsize:
            raise DataError(f"{name}: truncated, fewer than the {n} rows that its header says")
        yield as_float64(np.frombuffer(raw, dtype=dtype).reshape(rows, d), d, name)
    stream.read(1)  # reading to the end also verifies the checksum


def _check_size(name: str, n: int, wanted: int, there: int) -> None:
    """Compare the bytes of an array with those that are there."""
    if there < wanted:
        raise DataError(f"{name}: truncated, fewer than the {n} rows that its header says")
    if there > wanted:
        raise DataError(
            f"{name}: has more than the {n} rows that its header says: {there - wanted} bytes "
            "follow, as after a second numpy.save into one file; save each array to its own"
        )


# For all readers ---------------------------------------------------------------------------


def check_array(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, int]:
    """Return (n, d) of an array that can be read as samples."""
    if dtype.hasobject:
        raise DataError(
            f"{name}: holds Python objects, which are never unpickled; save plain numbers"
        )
    if dtype.kind not in "buif":
        raise DataError(f"{name}: holds {dtype}, only real numbers are allowed")
    if len(shape) < 2:
        hint = " (reshape(-1, 1) if each number is a sample)" if len(shape) == 1 else ""
        raise DataError(f"{name}: has shape {tuple(shape)}, samples need (n, d) or (n, ...){hint}")
    n, d = shape[0], math.prod(shape[1:])
    if min(shape) <= 0:
        raise DataError(f"{name}: is empty, of shape {tuple(shape)}")
    if d > MAX_DIMENSION:
        raise DataError(f"{name}: {too_wide(d)}")
    return n, d


def rows_of(d: int, chunk_bytes: int) -> int:
    """Return how many float64 rows of d columns make a block."""
    return max(1, chunk_bytes // (8 * d))


def as_float64(rows: NDArray[Any], d: int, name: str) -> NDArray[np.float64]:
    """Return rows, shape (r, ...), as a new float64 array of shape (r, d)."""
    if rows.dtype.kind in "iu" and rows.dtype.itemsize > 4:
        for value in (rows.max(), rows.min()):
            if abs(int(value)) > _EXACT:
                raise DataError(
                    f"{name}: holds {value}; integers beyond 2^53 lose digits as floats: subtract "
                    "their smallest, or leave them out if they are identifiers or times"
                )
    with np.errstate(over="ignore"):
        return np.array(rows, dtype=np.float64, order="C").reshape(rows.shape[0], d)


def kept_columns(name: str, width: int, leave_out: Sequence[int]) -> list[int]:
    """Return the columns, from 0, that are left of ``width``.

    Those that are left out are counted from 1, as in every message, or from the end: -1 is the
    last.
    """
    for column in leave_out:
        if not 1 <= abs(column) <= width:
            raise DataError(f"{name}: has {width} columns, so column {column} cannot be left out")
    out = {column - 1 if column > 0 else width + column for column in leave_out}
    if len(out) == width:
        raise DataError(f"{name}: has {width} columns, and all of them are left out")
    return [column for column in range(width) if column not in out]


def advice(column: int) -> str:
    """What to do about a column, counted from 1, that may be no feature."""
    return (
        f"if it is no feature, leave it out with leave_out=[{column}] (--leave-out {column}); if "
        "it is one, say leave_out=[] (--leave-out none)"
    )


def choose(path: str, kind: str, found: list[str], wanted: str | None) -> str:
    """Return which of the found arrays is meant: the wanted one, or the only one."""
    if wanted in found:
        return str(wanted)
    if wanted is None and len(found) == 1:
        return found[0]
    if not found:
        raise DataError(f"{path}: has no {kind}")
    names = [name if len(name) <= 60 else f"{name[:57]}..." for name in found[:_MAX_NAMES]]
    listed = ", ".join(names) + (", ..." if len(found) > _MAX_NAMES else "")
    if wanted is None:
        raise DataError(f"{path}: has {len(found)} arrays, name one as dataset: {listed}")
    raise DataError(f"{path}: has no {kind} {wanted!r}, there is: {listed}")


@contextmanager
def readable(path: Path, kind: str) -> Iterator[None]:
    """Turn what a damaged file makes its reader raise into a `DataError`."""
    try:
        yield
    except DataError:
        raise
    except DAMAGE as error:
        damaged(str(path), kind, error)


def damaged(name: str, kind: str, error: BaseException) -> NoReturn:
    """Raise the `DataError` of a file that cannot be read."""
    reason = why(error) if isinstance(error, OSError) and error.errno else str(error)
    reason = " ".join(reason.split()) or type(error).__name__
    raise DataError(f"{name}: not a readable {kind} file, or truncated ({reason[:120]})") from None
