"""HDF5 files in which damage is noticed: sealed when written, checked before HDF5 sees them.

A flipped bit in the index of an HDF5 file makes arrays read as zeros without an error, and some
keep HDF5 busy for ever. So a file begins with a block of 512 bytes, which HDF5 leaves to its users
and every program that reads HDF5 skips: as text, the length and the SHA-256 of all that follows.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from dmft_rf.errors import DataError

BLOCK = 512
"""Bytes before the HDF5 file proper; the smallest number that the format allows."""

DAMAGE = (
    OSError,
    RuntimeError,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    EOFError,
    MemoryError,
    OverflowError,
)
"""What h5py raises on damaged files and on full disks."""

# not "latest", which files of newer libraries have that others cannot read
VERSIONS = ("v110", "v110")
"""Format of new files: that of HDF5 1.10, whose own parts have checksums."""

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_TITLE = b"dmft_rf sealed HDF5 1\n"
_LENGTH = re.compile(rb"([0-9]{1,19}) bytes follow")
_PIECE = 1 << 20


class DamagedError(DataError):
    """A file does not fit its seal."""


class Image(io.BytesIO):
    """A file in memory that HDF5 can write to; it needs to grow as HDF5 says."""

    def truncate(self, size: int | None = None) -> int:
        """Cut or extend the image."""
        wanted = self.tell() if size is None else size
        if wanted > self.getbuffer().nbytes:
            self.seek(wanted - 1)
            self.write(b"\0")
        return super().truncate(wanted)

    def write_sealed(self, stream: IO[bytes]) -> None:
        """Write the image, whose first `BLOCK` bytes are free, with its seal to a file."""
        with self.getbuffer() as whole, whole[BLOCK:] as content:
            stream.write(_seal(content.nbytes, hashlib.sha256(content).hexdigest()))
            stream.write(content)

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> Image:
        """Return the image of a file, which is checked."""
        from dmft_rf._paths import input_file

        place, _ = input_file(path)
        with place.open("rb") as stream:
            free = b"" if check_seal(stream, place) else bytes(BLOCK)
            stream.seek(0)
            image = cls(free)
            image.seek(len(free))
            while piece := stream.read(_PIECE):
                image.write(piece)
        return image


def has_seal(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as one of this package; False if it is none or cannot be read.

    Nothing heavy is imported for it, not even numpy.
    """
    if not os.path.isfile(path):  # a pipe would be waited for
        return False
    try:
        with open(path, "rb") as stream:
            return stream.read(len(_TITLE)) == _TITLE
    except OSError:
        return False


def check_seal(stream: IO[bytes], name: object) -> bool:
    """Read a file through and compare it with its seal.

    Returns
    -------
    bool
        False for an HDF5 file without one.

    Raises
    ------
    DamagedError
        If it is neither, or it has changed since it was sealed.
    """
    size = os.fstat(stream.fileno()).st_size
    stream.seek(0)
    block = stream.read(BLOCK)
    if block.startswith(_SIGNATURE):
        return False
    found = _LENGTH.match(block, len(_TITLE))
    if size < BLOCK:
        reason = f"it is truncated, of {size} bytes" if size else "it is empty"
    elif not block.startswith(_TITLE) or found is None:
        reason = "it is of another kind, or its first bytes are damaged"
    elif (length := int(found[1])) > size - BLOCK:
        reason = f"it is truncated: {size - BLOCK} of {length} bytes are there"
    elif length < size - BLOCK:
        reason = f"it is damaged: {size - BLOCK - length} bytes follow its end"
    elif block != _seal(length, _digest(stream, length)):
        reason = "it has changed since it was written: its checksum differs"
    else:
        return True
    raise DamagedError(f"{name}: is not a readable HDF5 file of this package ({reason})")


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[tuple[Any, bool]]:
    """Give an HDF5 file, open for reading, and whether it was sealed.

    HDF5 sees it only after its seal was found to fit. What HDF5 raises on a damaged file without
    a seal is not caught: see `DAMAGE`.

    Raises
    ------
    DataError
        If it cannot be read or does not fit its seal.
    """
    import h5py

    from dmft_rf._paths import input_file

    while True:
        place, _ = input_file(path)
        with place.open("rb") as stream:
            is_sealed = check_seal(stream, place)
            # without HDF5's lock, which would stop a writer: files are replaced, never changed
            with h5py.File(place, "r", locking=False) as file:
                mine, its = os.fstat(stream.fileno()), os.fstat(file.id.get_vfd_handle())
                if not os.path.samestat(mine, its):
                    continue  # it was replaced between the two
                yield file, is_sealed
                return


def is_hard_link(group: Any, name: str) -> bool:
    """Whether a member of a group is stored there, and no link to another place or file."""
    import h5py

    return group.get(name, getclass=True, getlink=True) is h5py.HardLink


def stored_elsewhere(item: Any) -> str:
    """How a data set takes its numbers from other files, "" if it does not."""
    if item.is_virtual:
        return "is a virtual data set, made of parts of other files"
    if item.external:
        return f"has its numbers in another file, {item.external[0][0]!r}"
    return ""


def _seal(length: int, digest: str) -> bytes:
    """The block before ``length`` bytes with this SHA-256."""
    text = f"{length} bytes follow this block of {BLOCK}; their SHA-256 is\n{digest}\n"
    return (_TITLE + text.encode("ascii")).ljust(BLOCK - 1) + b"\n"


def _digest(stream: IO[bytes], length: int) -> str:
    """SHA-256 of the next bytes of a file."""
    found = hashlib.sha256()
    while length > 0 and (piece := stream.read(min(_PIECE, length))):
        found.update(piece)
        length -= len(piece)
    return found.hexdigest()
