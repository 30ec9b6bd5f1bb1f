"""Names of files that a caller gives: what is wrong with one is said in a line, before the work."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

from dmft_rf._convert import shown
from dmft_rf.errors import DataError

_REASONS = {
    errno.EACCES: "permission denied",
    errno.EDQUOT: "the quota is used up",
    errno.EISDIR: "it is a folder",
    errno.ELOOP: "its links lead in a circle",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ENOSPC: "the disk is full",
    errno.ENOTDIR: "a part of its path is a file, not a folder",
    errno.EPERM: "not permitted",
    errno.EROFS: "the file system is read-only",
}


def why(error: OSError) -> str:
    """Say what an error of the operating system means, without the name of the file."""
    number = error.errno
    if number in _REASONS:
        return _REASONS[number]
    return error.strerror or str(error) or type(error).__name__


def path_of(value: Any, name: str = "the path") -> Path:
    """Return what a caller gives as the name of a file, in any of the forms that Python has.

    Parameters
    ----------
    value : str, bytes or os.PathLike
    name : str
        What a message calls it.

    Raises
    ------
    DataError
        If it is none of these, is empty or holds a null character.
    """
    try:
        text = os.fsdecode(value)
    except (TypeError, ValueError):
        raise DataError(f"{name} is {shown(value)}; it must be the name of a file") from None
    if not text:
        raise DataError(f"{name} is empty; it must be the name of a file")
    if "\0" in text:
        raise DataError(f"{text}: cannot be the name of a file, it holds a null character")
    return Path(text)


def input_file(value: Any, *, missing: str = "no such file") -> tuple[Path, os.stat_result]:
    """Return the path and status of a regular file that can be opened for reading.

    Parameters
    ----------
    value : path
    missing : str
        What to say where there is nothing of this name.

    Raises
    ------
    DataError
        If there is no such file, it is a folder or a device, or it may not be read. Its cause is a
        FileNotFoundError in the first case.
    """
    place = path_of(value)
    try:
        status = place.stat()
        if stat.S_ISDIR(status.st_mode):
            raise DataError(f"{place}: is a directory, not a file")
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{place}: is not a regular file")
        with place.open("rb") as stream:
            return place, os.fstat(stream.fileno())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{place}: {_dangling(place) or missing}") from error
    except OSError as error:
        raise DataError(f"{place}: cannot be opened ({why(error)})") from error


def output_file(value: Any) -> tuple[Path, os.stat_result | None]:
    """Return a path that a file may be written to, and the status of what is there already.

    The status is that of the target of a link, or None.

    Raises
    ------
    DataError
        If its folder does not exist or may not be entered, if a folder is there, or a link that
        leads nowhere.
    """
    place = path_of(value)
    if os.fsdecode(value).endswith(os.sep):
        raise DataError(f"{os.fsdecode(value)}: is the name of a folder, a file name is needed")
    folder = place.parent
    try:
        if not place.is_absolute():
            check_working_folder()
        if not _is_folder(folder):
            raise DataError(f"{place}: the folder {folder} does not exist; create it first")
        try:
            os.lstat(place)
        except FileNotFoundError:
            return place, None
        if words := _dangling(place):
            raise DataError(f"{place}: {words}; remove it or choose another file")
        status = place.stat()
    except OSError as error:
        raise DataError(f"{place}: cannot be written ({why(error)})") from error
    if stat.S_ISDIR(status.st_mode):
        raise DataError(f"{place}: is a folder, a file name is needed")
    return place, status


def check_working_folder() -> None:
    """Raise DataError if the folder that relative names start from has been removed."""
    try:
        os.getcwd()
    except OSError:
        raise DataError("the working folder no longer exists; change to another") from None


def same_file(one: Path, other: Path) -> bool:
    """Whether two names lead to one file, which exists."""
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return False


def _is_folder(folder: Path) -> bool:
    try:
        return stat.S_ISDIR(folder.stat().st_mode)
    except FileNotFoundError:
        return False


def _dangling(place: Path) -> str:
    """What a link that leads nowhere is called in a message, "" for anything else."""
    try:
        target = os.readlink(place)
    except OSError:
        return ""
    try:
        place.stat()
    except FileNotFoundError:
        return f"is a link to {target}, which does not exist"
    except OSError:
        pass  # told by who opens it
    return ""
