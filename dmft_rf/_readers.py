"""Blocks of rows from files of samples, one reader per format, without pickle.

Each reader is a generator of float64 blocks of shape (rows, d) and of at most about
``chunk_bytes``; none of them holds more of the file than that. What is wrong with a file is a
`DataError` of one line.
"""

from __future__ import annotations

import math
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from .accumulator import MAX_DIMENSION, too_wide
from .errors import DataError

Blocks = Iterator[NDArray[np.float64]]

_MAX_NAMES = 8  # listed in a message
# What damaged files make numpy, zipfile and h5py raise.
_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    RuntimeError,  # h5py; also an encrypted zip and, as NotImplementedError, its compression
    OverflowError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)


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
    try:
        with path.open("rb") as stream:
            yield from _mapped_blocks(stream, str(path), chunk_bytes)
    except DataError:
        raise
    except _DAMAGE as error:
        _damaged(str(path), ".npy", error)


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
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {
                name.removesuffix(".npy"): name
                for name in archive.namelist()
                if name.endswith(".npy")
            }
            key = _choose(str(path), "array", list(arrays), dataset)
            name = f"{path}, array {key!r}"
            with archive.open(arrays[key]) as stream:
                shape, fortran_order, dtype = _header(stream)
                if not fortran_order or len(shape) < 2:
                    yield from _streamed_blocks(stream, name, shape, dtype, chunk_bytes)
                    return
            # Stored column by column: rows can only be had with the whole array at hand, on disk.
            with archive.open(arrays[key]) as stream, tempfile.TemporaryFile() as copy:
                while piece := stream.read(1 << 20):
                    copy.write(piece)
                copy.seek(0)
                yield from _mapped_blocks(copy, name, chunk_bytes)
    except DataError:
        raise
    except _DAMAGE as error:
        _damaged(str(path), ".npz", error)


def hdf5_blocks(path: Path, dataset: str | None, chunk_bytes: int) -> Blocks:
    """Read the rows of one data set of an HDF5 file.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    dataset : str or None
        Path of the data set in the file; None if only one has two dimensions or more.
    chunk_bytes : int
        Size of a block.

    Yields
    ------
    ndarray, shape (rows, d)
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            found: list[str] = []

            def note(name: str, item: Any) -> None:
                if isinstance(item, h5py.Dataset) and len(item.shape or ()) >= 2:
                    found.append(name)

            file.visititems(note)
            if dataset is None:
                dataset = _choose(str(path), "data set of 2 dimensions", found, None)
            item = file.get(dataset)
            if not isinstance(item, h5py.Dataset):
                _choose(str(path), "data set of 2 dimensions", found, dataset)
            name = f"{path}, data set {dataset!r}"
            n, d = _check(name, item.shape or (), item.dtype)
            step = _rows(d, chunk_bytes)
            for start in range(0, n, step):
                yield _float64(item[start : start + step], d)
    except DataError:
        raise
    except _DAMAGE as error:
        _damaged(str(path), "HDF5", error)


def csv_blocks(path: Path, chunk_bytes: int) -> Blocks:
    """Read the rows of a text file of numbers.

    Cells are separated by semicolons, commas or white space, whichever of these, in this
    order, the first line has. Blank lines and lines that start with ``#`` are skipped. The
    first line is a header, and skipped, if none of its cells is a number, or if it numbers
    three or more columns 0, 1, 2, ... (as pandas does).

    Parameters
    ----------
    path : pathlib.Path
        The file, in UTF-8.
    chunk_bytes : int
        Size of a block.

    Yields
    ------
    ndarray, shape (rows, d)
    """
    lines = _csv_lines(path)
    first = next(lines, None)
    if first is None:
        raise DataError(f"{path}: the file has no rows")
    delimiter = next((mark for mark in ";," if mark in first[1]), None)
    cells = _cells(first[1], delimiter)
    d = len(cells)
    if d > MAX_DIMENSION:
        raise DataError(f"{path}: {too_wide(d)}")
    pending = [] if _is_header(path, first[0], cells) else [first]
    # Text takes several times the memory of the numbers, hence the smaller blocks.
    step = _rows(d, max(1, chunk_bytes // 4))
    for line in lines:
        if len(pending) == step:
            yield _parsed(path, pending, delimiter, d)
            pending = []
        pending.append(line)
    if not pending:
        raise DataError(f"{path}: the file has a header and no rows")
    yield _parsed(path, pending, delimiter, d)


# Text ------------------------------------------------------------------------------------


def _csv_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, text) of the lines that are neither blank nor comments."""
    limit = 64 * MAX_DIMENSION
    try:
        with path.open(encoding="utf-8-sig") as stream:
            number = 0
            while text := stream.readline(limit):
                number += 1
                if len(text) == limit:
                    raise DataError(
                        f"{path}: line {number} is longer than {limit} characters: "
                        f"at most {MAX_DIMENSION} columns are allowed"
                    )
                text = text.strip("\r\n")
                if text.strip() and not text.lstrip().startswith("#"):
                    yield number, text
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text file in UTF-8") from None
    except OSError as error:
        _damaged(str(path), "text", error)


def _cells(text: str, delimiter: str | None) -> list[str]:
    """Return the cells of a line."""
    return [cell.strip() for cell in text.split(delimiter)]


def _is_number(cell: str) -> bool:
    """Whether a cell is a plain decimal number (Python's 1_000 is not)."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell and cell.isascii()


def _is_header(path: Path, line: int, cells: list[str]) -> bool:
    """Whether the first line, of given cells, is a header; refuse one of an index column."""
    if any(map(_is_number, cells)):
        return len(cells) > 2 and cells == [str(k) for k in range(len(cells))]
    if "" in cells:
        raise DataError(
            f"{path}: line {line}: column {cells.index('') + 1} has no name in the header; "
            "a column of row numbers must be left out (pandas: index=False)"
        )
    return True


def _parsed(
    path: Path, lines: list[tuple[int, str]], delimiter: str | None, d: int
) -> NDArray[np.float64]:
    """Return lines as numbers, shape (rows, d); look closely only if that fails."""
    try:
        block = np.loadtxt(
            [text for _, text in lines],
            dtype=np.float64,
            delimiter=delimiter,
            comments=None,
            ndmin=2,
        )
        if block.shape == (len(lines), d):
            return block
        reason = f"{block.shape[1]} columns instead of {d}"
    except ValueError as error:
        reason = str(error)
    for number, text in lines:
        cells = _cells(text, delimiter)
        if len(cells) != d:
            raise DataError(f"{path}: line {number} has {len(cells)} cells, the first line has {d}")
        for column, cell in enumerate(cells, start=1):
            if not _is_number(cell):
                shown = repr(cell if len(cell) <= 24 else cell[:24] + "...") if cell else "empty"
                raise DataError(
                    f"{path}: line {number}, column {column} is {shown}, not a number "
                    "(written with a decimal point)"
                )
    raise DataError(f"{path}: lines {lines[0][0]} to {lines[-1][0]} cannot be read: {reason}")


# Binary ----------------------------------------------------------------------------------


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


def _mapped_blocks(stream: IO[bytes], name: str, chunk_bytes: int) -> Blocks:
    """Yield blocks of the .npy array of an open file on disk."""
    shape, fortran_order, dtype = _header(stream)
    n, d = _check(name, shape, dtype)
    data: NDArray[Any] = np.memmap(
        stream,
        dtype=dtype,
        mode="r",
        offset=stream.tell(),
        shape=shape,
        order="F" if fortran_order else "C",
    )
    step = _rows(d, chunk_bytes)
    for start in range(0, n, step):
        yield _float64(data[start : start + step], d)


def _streamed_blocks(
    stream: IO[bytes], name: str, shape: tuple[int, ...], dtype: np.dtype[Any], chunk_bytes: int
) -> Blocks:
    """Yield blocks of the rest of an .npy stream, stored row by row."""
    n, d = _check(name, shape, dtype)
    step = _rows(d, chunk_bytes)
    for start in range(0, n, step):
        rows = min(step, n - start)
        raw = stream.read(rows * d * dtype.itemsize)
        if len(raw) < rows * d * dtype.itemsize:
            raise DataError(f"{name}: truncated, fewer than the {n} rows that its header says")
        yield _float64(np.frombuffer(raw, dtype=dtype).reshape(rows, d), d)
    if stream.read(1):  # reading to the end also verifies the checksum
        raise DataError(f"{name}: damaged, more than the {n} rows that its header says")


def _check(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, int]:
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
    if n == 0 or d == 0:
        raise DataError(f"{name}: is empty, of shape {tuple(shape)}")
    if d > MAX_DIMENSION:
        raise DataError(f"{name}: {too_wide(d)}")
    return n, d


def _rows(d: int, chunk_bytes: int) -> int:
    """Return how many float64 rows of d columns make a block."""
    return max(1, chunk_bytes // (8 * d))


def _float64(rows: NDArray[Any], d: int) -> NDArray[np.float64]:
    """Return rows, shape (r, ...), as a new float64 array of shape (r, d)."""
    with np.errstate(over="ignore"):
        return np.array(rows, dtype=np.float64, order="C").reshape(rows.shape[0], d)


def _choose(path: str, kind: str, found: list[str], wanted: str | None) -> str:
    """Return which of the found arrays is meant: the wanted one, or the only one."""
    if wanted in found:
        return str(wanted)
    if wanted is None and len(found) == 1:
        return found[0]
    if not found:
        raise DataError(f"{path}: has no {kind}")
    listed = ", ".join(found[:_MAX_NAMES]) + (", ..." if len(found) > _MAX_NAMES else "")
    if wanted is None:
        raise DataError(f"{path}: has {len(found)} arrays, name one as dataset: {listed}")
    raise DataError(f"{path}: has no {kind} {wanted!r}, there is: {listed}")


def _damaged(name: str, kind: str, error: BaseException) -> NoReturn:
    """Raise the `DataError` of a file that cannot be read."""
    reason = " ".join(str(error).split()) or type(error).__name__
    raise DataError(f"{name}: not a readable {kind} file, or truncated ({reason[:120]})") from None
