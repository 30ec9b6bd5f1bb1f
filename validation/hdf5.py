"""Opening the HDF5 files of the validation: of the right kind and whole, or a DataError."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from dmft_rf import DataError

_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, EOFError)


@contextlib.contextmanager
def opened(path: Path, mark: str, schema: int, otherwise: str) -> Iterator[Any]:
    """An HDF5 file, open for reading.

    Parameters
    ----------
    path : path
    mark : str
        Attribute of the root that files of this kind have; it holds their schema.
    schema : int
        The latest that can be read.
    otherwise : str
        What is wrong with a file without the mark.

    Raises
    ------
    DataError
        If the file is of another kind or a later schema, or it, or what the body reads of it, is
        truncated or damaged.
    """
    try:
        # without HDF5's lock, which would stop a writer: files are replaced, never changed
        with h5py.File(path, "r", locking=False) as file:
            if mark not in file.attrs:
                raise DataError(f"{path}: {otherwise}; it is left alone")
            if not 1 <= int(file.attrs[mark]) <= schema:
                raise DataError(
                    f"{path}: has schema {int(file.attrs[mark])}, this version reads {schema}"
                )
            yield file
    except DataError:
        raise
    except _DAMAGE as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path}: is truncated, damaged or no HDF5 file ({reason}); it is left alone, move it "
            "away or choose another output folder"
        ) from error
