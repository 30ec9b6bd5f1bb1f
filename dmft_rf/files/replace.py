"""Output files: checked before the work, written beside their place, renamed when complete."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dmft_rf._convert import flag
from dmft_rf._interrupt import held_back
from dmft_rf._paths import output_file, same_file, why
from dmft_rf.errors import DataError
from dmft_rf.files.hdf5 import BLOCK, VERSIONS, Image

__all__ = ["check_output", "remove_parts", "replacing", "replacing_hdf5", "sync_folder"]


def check_output(
    path: str | os.PathLike[str], *, overwrite: bool = False, endings: Sequence[str] = ()
) -> Path:
    """Return ``path`` if a file can be written there; what is there stays as it is.

    A file of another name is made in its folder and removed: only that shows whether it can be.

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
    place = _allowed(path, overwrite, endings)
    target = _target(place)
    _check_owner(place, target)
    trial = _temporary(target)
    try:
        os.close(os.open(trial, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        trial.unlink()
    except OSError as error:
        raise DataError(
            f"{place}: the folder {target.parent} may not be written to ({why(error)})"
        ) from None
    return place


def _allowed(path: Any, overwrite: bool, endings: Sequence[str] = ()) -> Path:
    """The path, if its name and what is there now allow a file there."""
    place, there = output_file(path)
    if endings and place.suffix.lower() not in endings:
        raise DataError(
            f"{place}: unknown ending {place.suffix!r}, allowed are {', '.join(endings)}"
        )
    if there is not None and not flag(overwrite, "overwrite"):
        raise DataError(f"{place}: exists and is replaced only with overwrite (--overwrite)")
    if there is not None and not (
        # what is no more in its folder, as a file behind /dev/stdout may be, cannot be replaced
        stat.S_ISREG(there.st_mode) and same_file(place, _target(place))
    ):
        raise DataError(f"{place}: exists and is not a regular file")
    return place


def _target(place: Path) -> Path:
    """What is replaced: that which a link leads to, not the link.

    Any other name stays as it is: relative names work where the folders above may not be entered.
    """
    return Path(os.path.realpath(place)) if place.is_symlink() else place


def _check_owner(place: Path, target: Path) -> None:
    """Refuse a file of another user in a folder like /tmp, where it can only be added to."""
    if not target.exists() or not hasattr(os, "geteuid"):
        return
    folder, file = target.parent.stat(), target.stat()
    owners = (0, folder.st_uid, file.st_uid)
    if folder.st_mode & stat.S_ISVTX and os.geteuid() not in owners:
        raise DataError(f"{place}: belongs to another user and cannot be replaced")


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
    place = _allowed(path, overwrite)
    target = _target(place)
    temporary = _temporary(target)
    try:
        with held_back():
            yield temporary
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
        if not overwrite:
            # somebody else may have written it while the body ran
            _allowed(place, overwrite)
        os.replace(temporary, target)
        sync_folder(target.parent)
    except OSError as error:
        raise DataError(f"{place}: cannot be written ({why(error)})") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def replacing_hdf5(
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    start: str | os.PathLike[str] | None = None,
) -> Iterator[Any]:
    """As `replacing`, with an open HDF5 file that holds what ``start`` holds, or nothing.

    It is in memory until the body has ended: HDF5 does not survive a disk that is full. The file is
    sealed, see `dmft_rf.files.hdf5`.
    """
    import h5py

    with replacing(path, overwrite=overwrite) as temporary:
        if start is None:
            image, options = Image(), {"mode": "w", "userblock_size": BLOCK}
        else:
            image, options = Image.of(start), {"mode": "r+"}
        with h5py.File(image, libver=VERSIONS, **options) as file:
            yield file
        with temporary.open("wb") as stream:
            image.write_sealed(stream)


def remove_parts(path: str | os.PathLike[str]) -> None:
    """Remove temporary files of `replacing` that killed processes have left.

    For callers that know that nobody else is writing ``path``.
    """
    with contextlib.suppress(OSError):
        target = _target(Path(path))
        for place in target.parent.iterdir():
            if place.name.startswith(_part(target)):
                place.unlink()


def _temporary(target: Path) -> Path:
    """A new name beside ``target``, with its ending, by which matplotlib chooses the format."""
    ending = target.suffix if len(target.suffix) <= 10 else ""
    return target.with_name(f"{_part(target)}{secrets.token_hex(6)}{ending}")


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
