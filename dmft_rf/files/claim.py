"""Opening and locking a file for this process alone, without touching files of other programs.

On Linux the lock is on one byte and belongs to the open file: it neither ends when something else
closes the same file, as POSIX locks do, nor gets in the way of what is written through another
descriptor. It ends with its process, however that ends. Where a file system has no locks (Lustre,
some NFS), a folder beside the file stands for it; that one stays when its process is killed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
from pathlib import Path

from dmft_rf.errors import DataError

# how file systems say that they have no locks
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
_TAKEN = (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK)
# struct flock of C: type, whence, start, length, process; the byte is one that SQLite does not lock
_RANGE = "hhqqi"
_BYTE = 0x40000000 + 4096
_ADVICE = "choose a file in a folder of a local disk, and copy it when it is complete"
_MOVE = "it is left alone. Move it away or choose another output file"
# how SQLite's own file begins while the changes are not complete; its header is zeros afterwards
_HOT = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
_SIDE_HEADER = 28
# SQLite takes no longer paths, that of its own file beside this one included
_LONGEST_PATH = 500


def claim(path: Path) -> tuple[int, Path | None, bool]:
    """Open the file of this name for this process alone; it is made if there is none.

    Returns
    -------
    file : int
        A descriptor; closing it ends the lock.
    folder : Path or None
        What stands for the lock where the file system has none.
    made : bool
        Whether the file is new.

    Raises
    ------
    DataError
        If it is no regular file, another process has it, or it cannot be opened or locked.
    """
    if len(os.fsencode(os.path.abspath(path))) > _LONGEST_PATH:
        raise DataError(
            f"{path}: the path is longer than the {_LONGEST_PATH} bytes that SQLite takes; "
            "choose a shorter one"
        )
    while True:
        file, made = _opened(path)
        try:
            folder = lock(file, path)
        except _Taken as error:  # it may have been made, but it is somebody else's by now
            os.close(file)
            raise DataError(str(error)) from None
        except BaseException:
            if made:
                path.unlink(missing_ok=True)
            os.close(file)
            raise
        if still_named(file, path):
            return file, folder, made
        os.close(file)  # removed by who had it before
        unlock(folder)


def lock(file: int, path: Path) -> Path | None:
    """Lock an open file of the name ``path``; give the folder that stands for the lock, if any.

    Raises
    ------
    DataError
        If another process has it, or it cannot be locked in any way.
    """
    try:
        if _locked(file):
            return None
    except OSError as error:
        if error.errno in _TAKEN:
            raise _Taken(f"{path}: another process is writing it") from None
        raise DataError(f"{path}: cannot be locked ({error}); {_ADVICE}") from error
    folder = path.with_name(path.name + ".lock")
    try:
        folder.mkdir()
    except FileExistsError:
        raise _Taken(
            f"{path}: another process is writing it, or one that was killed has left its lock, "
            f"which this file system does not release; if nobody is writing it, remove {folder}"
        ) from None
    except OSError as error:
        raise DataError(
            f"{path}: this file system has no locks, and {folder} cannot be made in their place "
            f"({error}); {_ADVICE}"
        ) from error
    return folder


def unlock(folder: Path | None) -> None:
    """Remove the folder that stands for a lock."""
    if folder is not None:
        with contextlib.suppress(OSError):
            folder.rmdir()


def still_named(file: int, path: Path) -> bool:
    """Whether an open file is the one of this name."""
    try:
        return os.path.samestat(os.fstat(file), os.lstat(path))
    except FileNotFoundError:
        return False


def side_file(path: Path) -> Path:
    """What SQLite writes beside its file while it changes it."""
    return path.with_name(path.name + "-journal")


def open_side(path: Path) -> int | None:
    """Open SQLite's journal of a change that a kill has cut short; None if there is none.

    Raises
    ------
    DataError
        If something else stands where SQLite would write, or what it would remove.
    """
    side, log = side_file(path), path.with_name(path.name + "-wal")
    if os.path.lexists(log):
        raise DataError(f"{log}: is in the way of {path.name}; {_MOVE}")
    try:
        if not stat.S_ISREG(side.lstat().st_mode):
            raise DataError(f"{side}: is in the way of {path.name}; {_MOVE}")
    except FileNotFoundError:
        return None
    file = os.open(side, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    start = os.read(file, _SIDE_HEADER)
    if start.startswith(_HOT):
        return file
    os.close(file)
    if start.strip(b"\0"):
        raise DataError(f"{side}: is in the way of {path.name}; {_MOVE}")
    return None


def remove_side(path: Path) -> None:
    """Remove SQLite's own file if its changes are complete."""
    with contextlib.suppress(DataError, OSError):
        file = open_side(path)
        if file is None:
            side_file(path).unlink(missing_ok=True)
        else:
            os.close(file)


class _Taken(DataError):
    """Another process has the file."""


def _opened(path: Path) -> tuple[int, bool]:
    """An open file and whether it is new; never the target of a link, a device or a pipe."""
    flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:
        while True:
            if os.path.lexists(path):
                _check_kind(path, os.lstat(path).st_mode)
            with contextlib.suppress(FileExistsError):
                return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666), True
            with contextlib.suppress(FileNotFoundError):
                # not to wait for the other end if it has become a pipe meanwhile
                file = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
                break
        try:
            _check_kind(path, os.fstat(file).st_mode)
            if os.fstat(file).st_nlink > 1:
                raise DataError(f"{path}: has another name too (a hard link); {_MOVE}")
        except DataError:
            os.close(file)
            raise
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: cannot be written ({error})") from error
    return file, False


def _check_kind(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe",
                 stat.S_IFSOCK: "a socket"}  # fmt: skip
        kind = kinds.get(stat.S_IFMT(mode), "a device")
        raise DataError(f"{path}: is {kind}, not a regular file; {_MOVE}")


def _locked(file: int) -> bool:
    """Whether the file could be locked; False where there are no locks. OSError if it is taken."""
    try:
        import fcntl
    except ImportError:  # Windows, where SQLite's own lock has to do
        return True
    if hasattr(fcntl, "F_OFD_SETLK"):
        try:
            wanted = struct.pack(_RANGE, fcntl.F_WRLCK, os.SEEK_SET, _BYTE, 1, 0)
            fcntl.fcntl(file, fcntl.F_OFD_SETLK, wanted)
            return True
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return False
