"""HDF5 files of trained networks: one mark, settings as attributes, arrays with checksums."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf import DataError
from validation import hdf5
from validation.networks.plan import Setting

#: 2: runs may have diverged
SCHEMA = 2
_MARK = "networks_schema"


def mark(file: Any, kind: str) -> None:
    """Say at the root of a file what it is."""
    file.attrs[_MARK], file.attrs["kind"] = SCHEMA, kind


def write_setting(group: Any, setting: Setting) -> None:
    """Every parameter and the fingerprint as attributes."""
    for name, value in setting.describe().items():
        group.attrs[name] = value
    group.attrs["fingerprint"] = setting.fingerprint


def write_arrays(group: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Data sets with a checksum, so that damage is an error and not a wrong number."""
    for name, array in arrays.items():
        full = bool(array.ndim and array.size)
        packed = "gzip" if full and array.size > 1000 else None
        group.create_dataset(name, data=array, fletcher32=full, compression=packed)


def read_attributes(group: Any) -> dict[str, Any]:
    """Attributes as plain numbers and texts; arrays stay arrays."""
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in group.attrs.items()
    }


def read_arrays(group: Any) -> dict[str, NDArray[Any]]:
    """Data sets by name, in alphabetical order."""
    return {name: np.asarray(item[()]) for name, item in group.items()}


@contextlib.contextmanager
def opened(path: Path, kind: str) -> Iterator[Any]:
    """An HDF5 file of this kind, open for reading; DataError for anything else."""
    otherwise = f"holds no {kind} of trained networks"
    with hdf5.opened(path, _MARK, SCHEMA, otherwise) as file:
        if str(file.attrs.get("kind")) != kind:
            raise DataError(f"{path}: {otherwise}; it is left alone")
        yield file
