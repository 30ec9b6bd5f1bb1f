"""Output files: checked before the work, written beside their place, renamed when complete."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dmft_rf._interrupt import held_back
from dmft_rf.errors import DataError

__all__ = ["check_output", "remove_parts", "replacing", "replacing_hdf5", "sync_folder"]


def check_output(
    path: str | os.PathLike[str], *, overwrite: bool = False, endings: Sequence[str] = ()
) -> Path:
    """Return ``path`` if a file can be written there; nothing is created.

    Parameters
    ----------
    path : path
        Where a file is to be written.
    overwrite : bool, default False
        Whether an existing file may be replaced.
    endings : sequence of str
        Allowed endings, lower case with their dot; empty allows any.

    Raises
    ------
    DataError
        If the ending is not allowed, the folder does not exist or may not be written to, or a
        file exists and ``overwrite`` is False.
    """
    place = Path(path)
    try:
        if "\0" in str(place):
            raise ValueError("it holds a null character")
        if endings and place.suffix.lower() not in endings:
            raise DataError(
                f"{place}: unknown ending {place.suffix!r}, allowed are {', '.join(endings)}"
            )
        if not place.parent.is_dir():
            raise DataError(f"{place}: the folder {place.parent} does not exist; create it first")
        if place.is_dir():
            raise DataError(f"{place}: is a folder, a file name is needed")
        if os.path.lexists(place):
            if not overwrite:
                raise DataError(
                    f"{place}: exists and is replaced only with overwrite (--overwrite)"
                )
            if not place.is_file():
                raise DataError(f"{place}: exists and is not a regular file")
        if not os.access(place.parent, os.W_OK | os.X_OK):
            raise DataError(f"{place}: the folder {place.parent} may not be written to")
    except DataError:
        raise
    except (OSError, ValueError) as error:  # also a name that is too long
        raise DataError(f"{str(place)!r}: cannot be written ({error})") from None
    return place


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Give the name of a temporary file in the same folder; it becomes ``path`` at the end.

    Only a body that ends without an exception has an effect: the temporary file is then flushed
    to disk and renamed, so that ``path`` is at every moment the old file or the complete new one.
    After an exception the temporary file is removed. An interruption waits for the end of the body
    and comes before the renaming.

    Raises
    ------
    DataError
        As `check_output`, and if writing fails.
    """
    place = check_output(path, overwrite=overwrite)
    # the target of a link is replaced, not the link; the same ending keeps matplotlib content
    target = Path(os.path.realpath(place))
    temporary = target.with_name(f"{_part(target)}{secrets.token_hex(6)}{target.suffix}")
    try:
        with held_back():
            yield temporary
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
        if not overwrite:
            # somebody else may have written it while the body ran
            check_output(place)
        os.replace(temporary, target)
        sync_folder(target.parent)
    except OSError as error:
        raise DataError(f"{place}: cannot be written ({error})") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def replacing_hdf5(
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    start: str | os.PathLike[str] | None = None,
    libver: str | None = None,
) -> Iterator[Any]:
    """As `replacing`, with an open HDF5 file that holds what ``start`` holds, or nothing.

    It is in memory until the body has ended: HDF5 does not survive a disk that is full.
    """
    import h5py

    options = {"driver": "core", "backing_store": False, "libver": libver, "locking": False}
    with replacing(path, overwrite=overwrite) as temporary:
        name, mode = (temporary.name, "w") if start is None else (start, "r+")
        with h5py.File(name, mode, **options) as file:
            yield file
            file.flush()
            image = file.id.get_file_image()
        temporary.write_bytes(image)


def remove_parts(path: str | os.PathLike[str]) -> None:
    """Remove temporary files of `replacing` that killed processes have left.

    For callers that know that nobody else is writing ``path``.
    """
    target = Path(os.path.realpath(path))
    with contextlib.suppress(OSError):
        for place in target.parent.iterdir():
            if place.name.startswith(_part(target)):
                place.unlink()


def _part(target: Path) -> str:
    """How the names of the temporary files of ``target`` begin; short, whatever its own name."""
    return f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}.part."


def sync_folder(folder: Path) -> None:
    """Wait until names made or changed in a folder are on the disk, safe from a power cut."""
    with contextlib.suppress(OSError):  # not every system opens folders
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
