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

    def __init__(self, path: str | os.PathLike[str], identity: dict[str, Any]):
        self.path = Path(path)
        self._synced = time.monotonic()
        header = _FIRST_LINE + json.dumps(identity, sort_keys=True).encode() + b"\n"
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be written ({error})") from error
        try:
            self._lock()
            content = self._content()
            if header.startswith(content):  # new, or killed while it was begun
                self.entries: list[Entry] = []
                self._rewind(0)
                self._write(header)
                self.sync()
                sync_folder(self.path.parent)
            else:
                self._check(content, header)
                self.entries, good = _parse(content, len(header))
                self._rewind(good)
        except BaseException:
            os.close(self._file)
            raise

    def add(self, entries: Iterable[Entry]) -> None:
        """Append finished points; they survive the death of this process when this returns."""
        self._write(b"".join(map(_record, entries)))
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Wait until everything added is on the disk, safe from a power cut."""
        os.fsync(self._file)
        self._synced = time.monotonic()

    def remove(self) -> None:
        """Remove the file: what it holds has its place elsewhere."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()

    def close(self) -> None:
        """Sync and release the file."""
        try:
            self.sync()
        finally:
            os.close(self._file)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # not on Windows
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataError(f"{self.path}: another process is writing it") from None

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

    def _check(self, content: bytes, header: bytes) -> None:
        if not content.startswith(_FIRST_LINE):
            raise DataError(f"{self.path}: is not a file of finished points; it is left alone")
        if not content.startswith(header):
            raise DataError(
                f"{self.path}: holds points of other parameters or of another version; it is left "
                "alone. Finish that work, move the file away, or choose another output file"
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
            raise DataError(
                f"{self.path}: cannot be written ({error}); what was finished before is in it, "
                "and the same call completes the rest"
            ) from error
        self._end += len(data)


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
