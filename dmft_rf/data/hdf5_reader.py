"""Blocks of rows from HDF5 files that this package did not write.

HDF5 can put numbers together from other files, leave out what was never written and attach a
meaning to numbers that only the program knows that wrote them. All of that would read as plain
numbers, and is refused.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf.data.readers import Blocks, as_float64, check_array, choose, readable, rows_of
from dmft_rf.errors import DataError
from dmft_rf.files.hdf5 import is_hard_link, stored_elsewhere

_MAX_OBJECTS = 10_000  # looked at to find the only data set
_MAX_CHUNK = 2**28  # bytes; HDF5 unpacks a chunk as a whole
_MAX_PASSES = 64  # how often one chunk may be unpacked

# Attributes by which other programs say that the numbers, as they stand, are not the samples.
_TRANSPOSED = {
    "MATLAB_class": "MATLAB",
    "MATLAB_sparse": "MATLAB",
    "rhdf5-NA.OK": "R",
    "OCTAVE_NEW_FORMAT": "Octave",
}
_SCALED = {"scale_factor": 1.0, "add_offset": 0.0}
_MISSING = ("_FillValue", "missing_value")


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

    with readable(path, "HDF5"), h5py.File(path, "r", locking=False) as file:
        key = _found(file, path, dataset)
        name = f"{path}, data set {key!r}"
        item = file[key]
        _check_meaning(item, name)
        n, d = check_array(name, item.shape or (), item.dtype)
        step = rows_of(d, chunk_bytes)
        access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
        access.set_chunk_cache(100_003, _chunks_to_keep(item, name, step), 1.0)
        item = h5py.Dataset(h5py.h5d.open(file.id, key.encode(), access))
        absent = _Absent(item)
        for start in range(0, n, step):
            rows = item[start : start + step]
            absent.check(rows, name, start)
            yield as_float64(rows, d, name)


def _found(file: Any, path: Path, wanted: str | None) -> str:
    """The name of the data set that is meant, reached without leaving the file."""
    import h5py

    if wanted is not None:
        group, parts = file, [part for part in wanted.split("/") if part]
        for part in parts:
            if not isinstance(group, h5py.Group) or group.get(part, getlink=True) is None:
                group = None
                break
            if not is_hard_link(group, part):
                raise DataError(
                    f"{path}: {wanted!r} leads through a link, {part!r}; name the data set itself, "
                    "in the file that holds it"
                )
            group = group[part]
        if isinstance(group, h5py.Dataset):
            return "/".join(parts)
    found: list[str] = []
    looked_at = 0

    def note(name: str, item: Any) -> bool | None:
        nonlocal looked_at
        looked_at += 1
        if isinstance(item, h5py.Dataset) and len(item.shape or ()) >= 2:
            found.append(name)
        return True if looked_at >= _MAX_OBJECTS else None

    file.visititems(note)
    if looked_at >= _MAX_OBJECTS and wanted is None:
        raise DataError(f"{path}: has {looked_at} objects or more, name one as dataset")
    return choose(str(path), "data set of 2 dimensions", found, wanted)


def _check_meaning(item: Any, name: str) -> None:
    """Refuse a data set whose samples are not the plain numbers that are stored in it."""
    import h5py

    if words := stored_elsewhere(item):
        raise DataError(f"{name}: {words}; copy the samples into one data set")
    for holder in (item, item.parent):
        for attribute, program in _TRANSPOSED.items():
            if attribute in holder.attrs:
                raise DataError(
                    f"{name}: was written by {program}, which stores arrays transposed; write it "
                    "with samples as rows: numpy.save('x.npy', h5py.File(...)[name][()].T)"
                )
    for attribute, harmless in _SCALED.items():
        if attribute in item.attrs and not np.all(np.asarray(item.attrs[attribute]) == harmless):
            raise DataError(
                f"{name}: its numbers are packed ({attribute} = {item.attrs[attribute]}); unpack "
                "them first, for instance with xarray.open_dataset, and save them as .npy"
            )
    if str(_text(item.attrs.get("_Unsigned", "false"))).lower() == "true":
        raise DataError(f"{name}: its numbers are to be read as unsigned; convert them first")
    if h5py.check_enum_dtype(item.dtype) is not None and item.dtype.kind != "b":
        raise DataError(f"{name}: holds an enumeration, only real numbers are allowed")
    if item.dtype.hasobject:
        raise DataError(f"{name}: holds texts or references, only real numbers are allowed")


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _chunks_to_keep(item: Any, name: str, step: int) -> int:
    """Bytes of unpacked chunks to keep in memory while blocks of ``step`` rows are read.

    What was never written, or would take too much memory or time to unpack, is refused.
    """
    size = math.prod(item.shape) * item.dtype.itemsize
    if item.chunks is None:
        if item.id.get_storage_size() < size:
            raise DataError(f"{name}: nothing was written to it")
        return 0
    wanted = math.prod(-(-s // c) for s, c in zip(item.shape, item.chunks, strict=True))
    there = item.id.get_num_chunks()
    if there < wanted:
        raise DataError(f"{name}: only {there} of its {wanted} chunks were ever written")
    if item.id.get_create_plist().get_nfilters() == 0:
        return 0
    if size > max(2**30, 500 * item.id.get_storage_size()):
        raise DataError(
            f"{name}: its {item.id.get_storage_size()} bytes would become {size}: no samples"
        )
    chunk = math.prod(item.chunks) * item.dtype.itemsize
    # the chunks that a row goes through, and how often they are unpacked if they cannot be kept
    together = chunk * math.prod(
        -(-s // c) for s, c in zip(item.shape[1:], item.chunks[1:], strict=True)
    )
    passes = 1 if together <= _MAX_CHUNK else -(-item.chunks[0] // step)
    if chunk > _MAX_CHUNK or passes > _MAX_PASSES:
        raise DataError(
            f"{name}: is packed in chunks of shape {item.chunks}, of {chunk} bytes; write it in "
            f"smaller ones, of some rows each (at most {_MAX_CHUNK} bytes)"
        )
    return together if together <= _MAX_CHUNK else 0


class _Absent:
    """The numbers of a data set that stand for a missing one, by the conventions of netCDF."""

    def __init__(self, item: Any) -> None:
        import h5py

        found = [np.ravel(item.attrs[key]) for key in _MISSING if key in item.attrs]
        plist = item.id.get_create_plist()
        if plist.fill_value_defined() == h5py.h5d.FILL_VALUE_USER_DEFINED and item.fillvalue:
            found.append(np.ravel(item.fillvalue))
        self.values = np.concatenate(found)[:8] if found else np.empty(0)
        limits = np.ravel(item.attrs.get("valid_range", [-np.inf, np.inf]))
        self.least = item.attrs.get("valid_min", limits[0])
        self.most = item.attrs.get("valid_max", limits[-1])

    def check(self, rows: NDArray[Any], name: str, start: int) -> None:
        """Refuse a block that holds one."""
        rows = rows.reshape(len(rows), -1)
        absent = (rows < self.least) | (rows > self.most)
        for value in self.values:
            absent |= rows == value
        if absent.any():
            row, column = np.argwhere(absent)[0]
            raise DataError(
                f"{name}: row {start + row + 1}, column {column + 1} (counting from 1) is "
                f"{rows[row, column]}, which stands for a missing value in this file; drop or fill "
                "such rows first"
            )
