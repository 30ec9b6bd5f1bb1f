"""An append-only file of finished points: what has been added survives whatever happens next.

An HDF5 file that is open for writing is lost when its process dies. So finished points go to a
file of their own beside it, one record after the other, until the HDF5 file is complete. A kill
or a full disk can cut the last record short; it is recognised by its length and checksum and
dropped, everything before it stays.

Layout: a line that says what the file is, a line of JSON with the identity of the work, and
records of (length, CRC-32) and a payload: plan, index, length of the reason, the reason in UTF-8,
and the values as little-endian float64.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import time
import weakref
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._output import sync_folder
from dmft_rf.errors import DataError

_FIRST_LINE = b"dmft_rf points 1\n"
_FRAME = struct.Struct("<II")
_HEAD = struct.Struct("<HqI")
# written records reach the disk at least this often; a kill loses none, a power cut these seconds
_SYNC_SECONDS = 1.0
# those of this process
_OPEN: weakref.WeakSet[Journal] = weakref.WeakSet()


@dataclass(frozen=True)
class Entry:
    """A finished point: its plan's number, its index, its values or why there are none."""

    plan: int
    index: int
    values: NDArray[np.float64]
    reason: str = ""


class Journal:
    """The file, locked for this process; a context manager.

    Parameters
    ----------
    path : path
        In an existing folder; made if it does not exist.
    identity : dict
        What the points belong to; JSON.
    replace : bool, default False
        Whether a file that is something else is thrown away. One in use by another process never
        is. A file that holds no point is taken over in any case.

    Attributes
    ----------
    entries : list of Entry
        What the file held when it was opened.

    Raises
    ------
    DataError
        If the file is not of this kind or belongs to other work (it is left alone), is in use by
        another process, or cannot be read or written.
    """

    def __init__(
        self, path: str | os.PathLike[str], identity: dict[str, Any], *, replace: bool = False
    ):
        self.path = Path(path)
        self.entries: list[Entry] = []
        self._synced = time.monotonic()
        header = _FIRST_LINE + json.dumps(identity, sort_keys=True).encode() + b"\n"
        self._file = self._opened()
        try:
            content = self._content()
            if content.startswith(header):
                self.entries, good = _parse(content, len(header))
                self._rewind(good)
            elif replace or header.startswith(content) or _holds_no_point(content):
                self._rewind(0)
                self._write(header)
                self.sync()
                sync_folder(self.path.parent)
            else:
                raise self._foreign(content, header)
        except BaseException:
            os.close(self._file)
            raise
        _OPEN.add(self)

    def add(self, entries: Iterable[Entry]) -> None:
        """Append finished points; they survive the death of this process when this returns."""
        self._write(b"".join(map(_record, entries)))
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Wait until everything added is on the disk, safe from a power cut."""
        try:
            os.fsync(self._file)
        except OSError as error:
            raise self._unwritable(error) from error
        self._synced = time.monotonic()

    def remove(self) -> None:
        """Remove the file: what it holds has its place elsewhere."""
        with contextlib.suppress(FileNotFoundError):
            if self._has_its_name(self._file):
                self.path.unlink()

    def close(self) -> None:
        """Sync and release the file."""
        if self._file < 0:  # in a forked child
            return
        try:
            self.sync()
        finally:
            self._release()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with contextlib.ExitStack() as stack:
            if kind is not None:  # the first error is told
                stack.enter_context(contextlib.suppress(DataError))
            self.close()

    def _opened(self) -> int:
        """The file, open and locked, and still the one of its name."""
        while True:
            try:
                file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError as error:
                raise DataError(f"{self.path}: cannot be written ({error})") from error
            try:
                self._lock(file)
                if self._has_its_name(file):
                    return file
            except BaseException:
                os.close(file)
                raise
            os.close(file)  # removed by who had it before

    def _has_its_name(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), os.stat(self.path))
        except FileNotFoundError:
            return False

    def _release(self) -> None:
        _OPEN.discard(self)
        os.close(self._file)
        self._file = -1

    def _lock(self, file: int) -> None:
        try:
            import fcntl
        except ImportError:  # not on Windows
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"{self.path}: another process is writing it") from None
        except OSError as error:
            raise DataError(f"{self.path}: cannot be locked ({error})") from error

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(
            f"{self.path}: cannot be written ({error}); what was finished before is in it, "
            "and the same call completes the rest"
        )

    def _content(self) -> bytes:
        size = os.fstat(self._file).st_size
        parts = []
        os.lseek(self._file, 0, os.SEEK_SET)
        while size > 0:
            part = os.read(self._file, min(size, 1 << 24))
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _foreign(self, content: bytes, header: bytes) -> DataError:
        if not content.startswith(_FIRST_LINE):
            return DataError(f"{self.path}: is not a file of finished points; it is left alone")
        return DataError(
            f"{self.path}: holds points of {_difference(content, header)}; it is left alone. "
            "Finish that work, move the file away, or choose another output file"
        )

    def _rewind(self, size: int) -> None:
        """Cut the file to ``size``, the end of the last whole record, and write from there."""
        self._end = size
        os.ftruncate(self._file, size)
        os.lseek(self._file, size, os.SEEK_SET)

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError as error:
            with contextlib.suppress(OSError):  # the record that did not fit
                self._rewind(self._end)
            raise self._unwritable(error) from error
        self._end += len(data)


def _forget() -> None:
    """Close the files in a forked child, which would keep them locked when this process dies."""
    for journal in list(_OPEN):
        journal._release()


# not on Windows
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _holds_no_point(content: bytes) -> bool:
    """Whether it is a file of this kind that was begun and has no whole record."""
    start = content.find(b"\n", len(_FIRST_LINE)) + 1
    if not content.startswith(_FIRST_LINE):
        return False
    return not start or not _parse(content, start)[0]


def _difference(content: bytes, header: bytes) -> str:
    """What another identity differs in."""
    try:
        then, now = (json.loads(text.split(b"\n")[1]) for text in (content, header))
        if then["work"] == now["work"]:
            words = [" ".join((one["package_version"], one["git_commit"])) for one in (then, now)]
            return f"version {words[0]}, this is {words[1]}"
    except (ValueError, KeyError, TypeError):
        pass
    return "other parameters"


def _record(entry: Entry) -> bytes:
    reason = entry.reason.encode()
    values = np.ascontiguousarray(entry.values, dtype="<f8").tobytes()
    payload = _HEAD.pack(entry.plan, entry.index, len(reason)) + reason + values
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def _parse(content: bytes, start: int) -> tuple[list[Entry], int]:
    """The whole records from ``start`` on, and where the last of them ends."""
    entries = []
    view = memoryview(content)
    end = start
    for payload, end in _payloads(view, start):  # noqa: B007
        plan, index, length = _HEAD.unpack_from(payload)
        reason = bytes(payload[_HEAD.size : _HEAD.size + length]).decode()
        values = np.frombuffer(payload[_HEAD.size + length :], dtype="<f8").astype(np.float64)
        entries.append(Entry(plan, index, values, reason))
    return entries, end


def _payloads(view: memoryview, start: int) -> Iterator[tuple[memoryview, int]]:
    while start + _FRAME.size <= len(view):
        length, checksum = _FRAME.unpack_from(view, start)
        stop = start + _FRAME.size + length
        payload = view[start + _FRAME.size : stop]
        if stop > len(view) or length < _HEAD.size or zlib.crc32(payload) != checksum:
            return
        yield payload, stop
        start = stop
