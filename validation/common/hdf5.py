"""HDF5 files of the validation: of the right kind and whole, or a DataError.

What is not finished is a record of a ledger, `dmft_rf.files.ledger`; the content of a record is a
small HDF5 file in memory, so that one pair of functions writes and reads both.
"""

import contextlib
import io
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
import scipy
from numpy.typing import NDArray

from dmft_rf import DataError, __version__
from dmft_rf._interrupt import held_back
from dmft_rf.files import hdf5 as sealed
from dmft_rf.files.results import git_commit

T = TypeVar("T")

# arrays with more values than this are compressed where that is asked for
_LARGE = 1000


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


@held_back()
def packed(write: Callable[[Any], None]) -> bytes:
    """What ``write`` puts into an HDF5 file, as the content of a record."""
    image = sealed.Image()
    with h5py.File(image, "w", libver=sealed.VERSIONS) as file:
        write(file)
    return image.getvalue()


@held_back()
def unpacked(content: bytes, read: Callable[[Any], T]) -> T:
    """What ``read`` finds in the content of a record."""
    with h5py.File(io.BytesIO(content), "r") as file:
        return read(file)


def write_arrays(group: Any, arrays: Mapping[str, NDArray[Any]], *, compress: bool = False) -> None:
    """Data sets with a checksum, so that damage is an error and not a wrong number."""
    for name, array in sorted(arrays.items()):  # whatever is resumed, the same file
        full = bool(array.ndim and array.size)
        packing = "gzip" if compress and full and array.size > _LARGE else None
        group.create_dataset(name, data=array, fletcher32=full, compression=packing)


def read_arrays(group: Any) -> dict[str, NDArray[Any]]:
    """All data sets by their path below the group, in alphabetical order."""
    arrays: dict[str, NDArray[Any]] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = np.asarray(item[()])

    group.visititems(visit)
    return arrays


def unfinished(path: str | os.PathLike[str]) -> Path:
    """The ledger of a file that is not complete: beside it; beside the target of a link."""
    return Path(f"{os.path.realpath(path)}.unfinished")


def versions() -> dict[str, str]:
    """Version of the package, commit, and versions of what the numbers depend on."""
    return {
        "package_version": __version__,
        "git_commit": git_commit() or "unknown",
        "versions": f"python {platform.python_version()}, numpy {np.__version__}, "
        f"scipy {scipy.__version__}, h5py {h5py.__version__}",
    }


def _damaged(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split()).removeprefix(f"{path}: ")
    return DataError(
        f"{path}: is truncated, damaged or no HDF5 file ({reason}); it is left alone, move it away "
        "or choose another output folder"
    )
