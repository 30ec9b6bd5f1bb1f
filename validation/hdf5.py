"""Opening the HDF5 files of the validation: of the right kind and whole, or a DataError."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dmft_rf import DataError
from dmft_rf.files import hdf5 as sealed


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
        with sealed.opened(path) as (file, _):
            if mark not in file.attrs:
                raise DataError(f"{path}: {otherwise}; it is left alone")
            if not 1 <= int(file.attrs[mark]) <= schema:
                raise DataError(
                    f"{path}: has schema {int(file.attrs[mark])}, this version reads {schema}"
                )
            yield file
    except sealed.DamagedError as error:
        raise _damaged(path, error) from error
    except DataError:
        raise
    except sealed.DAMAGE as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split()).removeprefix(f"{path}: ")
    return DataError(
        f"{path}: is truncated, damaged or no HDF5 file ({reason}); it is left alone, move it away "
        "or choose another output folder"
    )
