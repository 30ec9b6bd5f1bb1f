"""Frames: the pieces in which a record is stored, which can be found in a damaged file.

A frame begins with a mark and a checksum of the rest: to which work and which record it belongs,
its length and its piece of the record. It is never longer than what SQLite keeps in one piece on
one page, so that the frames of a damaged file are found by looking for the mark. A long record is
stored in several frames.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MARK = b"\x9bRFrec\x01\xe5"
# mark, checksum of what follows; work, first, part, parts, length of the name, length of the body
_START = struct.Struct("<8sI")
_REST = struct.Struct("<8sQIIHH")
_HEAD = _START.size + _REST.size
PAGE = 4096
#: most bytes of a frame; SQLite keeps 4061 bytes of a row in one piece on such a page
LARGEST = 4040
LONGEST_NAME = 1000
_WINDOW = 1 << 20


class Frame(NamedTuple):
    """What a frame holds.

    ``work`` is the identity of the work, ``first`` the number of the record's first frame; this
    one is ``part`` of ``parts``, and ``body`` is its piece of the record.
    """

    work: bytes
    first: int
    part: int
    parts: int
    name: bytes
    body: bytes

    @property
    def number(self) -> int:
        """The number of the frame in its file."""
        return self.first + self.part


def framed(work: bytes, first: int, name: bytes, content: bytes) -> Iterator[tuple[int, bytes]]:
    """Numbers and bytes of the frames of a record."""
    room = LARGEST - _HEAD - len(name)
    parts = max(1, -(-len(content) // room))
    for part in range(parts):
        body = content[part * room : (part + 1) * room]
        rest = _REST.pack(work, first, part, parts, len(name), len(body)) + name + body
        yield first + part, _START.pack(MARK, zlib.crc32(rest)) + rest


def parsed(data: bytes, start: int = 0) -> tuple[Frame, int] | None:
    """The frame that begins at ``start`` and where it ends, or None if there is no intact one."""
    if len(data) < start + _HEAD:
        return None
    mark, checksum = _START.unpack_from(data, start)
    work, first, part, parts, of_name, of_body = _REST.unpack_from(data, start + _START.size)
    body = start + _HEAD + of_name
    end = body + of_body
    if mark != MARK or end > len(data) or end - start > LARGEST:
        return None
    if zlib.crc32(memoryview(data)[start + _START.size : end]) != checksum:
        return None
    return Frame(work, first, part, parts, data[start + _HEAD : body], data[body:end]), end


def is_frame(data: Any, number: int) -> bool:
    """Whether this is an intact frame with this number, and nothing else."""
    here = parsed(data) if isinstance(data, bytes) else None
    return here is not None and here[1] == len(data) and here[0].number == number


def joined(rows: Iterable[bytes]) -> Iterator[tuple[bytes, int, bytes]]:
    """Names, first numbers and contents of the whole records among frames in order."""
    pieces: list[bytes] = []
    for row in rows:
        here = parsed(row)
        if here is None:
            continue
        frame = here[0]
        if frame.part != len(pieces):
            pieces = []
        if frame.part == len(pieces):
            pieces.append(frame.body)
        if len(pieces) == frame.parts:
            yield frame.name, frame.first, b"".join(pieces)
            pieces = []


def read_at(file: int, start: int, size: int) -> bytes:
    """Bytes of an open file, fewer at its end."""
    os.lseek(file, start, os.SEEK_SET)
    parts = []
    while size > 0 and (part := os.read(file, size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class Survey:
    """All intact frames in open files, wherever in them they are.

    Attributes
    ----------
    works : set of bytes
        Whose they are.
    identities : dict
        What each work says of itself.
    records : int
        Number of frames that belong to records, not to an identity.
    """

    def __init__(self) -> None:
        self.works: set[bytes] = set()
        self.identities: dict[bytes, bytes] = {}
        self.records = 0
        self._numbers, self._places = array("q"), array("q")
        self._files: list[int] = []  # and how many frames are in it and those before
        self._ends: list[int] = []
        self._pieces: dict[int, set[int]] = {}  # of records in several frames

    def read(self, file: int, size: int, only: bytes | None = None) -> Survey:
        """Add what is in the first ``size`` bytes of a file, all or what belongs to one work."""
        for place, frame in _found(file, size):
            if only is not None and frame.work != only:
                continue
            self.works.add(frame.work)
            self._numbers.append(frame.number)
            self._places.append(place)
            self.records += bool(frame.name)
            if not frame.name and frame.parts == 1:
                self.identities[frame.work] = frame.body
            if frame.parts > 1:
                self._pieces.setdefault(frame.first, set()).add(frame.part)
        self._files.append(file)
        self._ends.append(len(self._numbers))
        return self

    @property
    def numbers(self) -> NDArray[np.int64]:
        """The different numbers of the frames, in order."""
        return np.unique(np.asarray(self._numbers, dtype=np.int64))

    def rows(self) -> Iterator[tuple[int, bytes]]:
        """Numbers and bytes of the frames of whole records, in order."""
        numbers, first = np.unique(np.asarray(self._numbers, dtype=np.int64), return_index=True)
        for number, index in zip(numbers.tolist(), first.tolist(), strict=True):
            file = self._files[bisect_right(self._ends, index)]
            data = read_at(file, self._places[index], LARGEST)
            here = parsed(data)
            if here is None or not here[0].name:
                continue
            frame, end = here
            if frame.parts == 1 or len(self._pieces[frame.first]) == frame.parts:
                yield number, data[:end]


def _found(file: int, size: int) -> Iterator[tuple[int, Frame]]:
    """Places and intact frames among the first ``size`` bytes of an open file."""
    start = 0
    while start < size:
        data = read_at(file, start, min(_WINDOW, size - start))
        last = not data or start + len(data) >= size
        at = data.find(MARK)
        while at >= 0 and (last or at + LARGEST <= len(data)):
            here = parsed(data, at)
            if here is not None:
                yield start + at, here[0]
            at = data.find(MARK, at + 1 if here is None else here[1])
        if last:
            return
        start += at if at >= 0 else len(data) - len(MARK) + 1


def marked(identity: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """An identity as text, and the mark of the frames that belong to it."""
    about = json.dumps(dict(identity), sort_keys=True).encode()
    return about, hashlib.blake2b(about, digest_size=8).digest()
