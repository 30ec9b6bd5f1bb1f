"""The ledger of a piece of work: named records that survive whatever happens to their process.

An HDF5 file that is open for writing is lost when its process dies. So what is finished goes to a
ledger beside it, record by record, until the HDF5 file is complete. It is an SQLite file, which
survives a kill and a full disk; each record stands in it in frames with a mark and a checksum, so
that damage to the file costs the records that it hits and no other: what SQLite cannot read any
more is found by its frames and copied to a fresh file. Every frame says to which work it belongs.

While a ledger is open one more file may stand beside it, NAME-journal, in which SQLite keeps what
it is about to change. It goes when the ledger is closed; a killed process leaves it, and the next
one that opens the ledger uses it and removes it. Where the file system has no locks, a folder
NAME.lock stands for the lock.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dmft_rf._interrupt import held_back
from dmft_rf.errors import DataError
from dmft_rf.files import database as _database
from dmft_rf.files.claim import claim, lock, open_side, remove_side, side_file, still_named, unlock
from dmft_rf.files.frames import LONGEST_NAME, PAGE, Survey, framed, joined, marked, read_at
from dmft_rf.files.replace import remove_parts, replacing, sync_folder

# of a file that may be anybody's no more is read than this
_GLANCE = 1 << 16
# the identity is a record without a name, twice, so that one damage never hits both
_COPIES = 2
# what is added reaches the disk this often: a kill loses nothing, a power cut these seconds
_SYNC_SECONDS = 1.0
_OLD = b"dmft_rf points 1\n"
# those of this process
_OPEN: weakref.WeakSet[Ledger] = weakref.WeakSet()


class Ledger:
    """The file, for this process alone; a context manager.

    Parameters
    ----------
    path : path
        In an existing folder; made if it does not exist.
    identity : mapping
        What the records belong to; JSON. With the keys "work", "package_version" and "git_commit"
        a refusal says what differs.
    replace : bool, default False
        Whether the ledger of other work is thrown away. One in use by another process never is,
        nor is a file that is no ledger. A ledger without a record is taken over in any case.

    Raises
    ------
    DataError
        If the file is not a ledger or belongs to other work (it is left alone), is in use by
        another process, or cannot be read or written.
    """

    def __init__(
        self, path: str | os.PathLike[str], identity: Mapping[str, Any], *, replace: bool = False
    ):
        self.path = Path(path)
        self._about, self._work = marked(identity)
        self._mutex = threading.RLock()
        self._synced = time.monotonic()
        self._connection: sqlite3.Connection | None = None
        self._numbers: dict[str, range] | None = None  # of the frames of each record
        self._next = 1
        self._used = False  # whether it has had a record
        self._file, self._folder, made = claim(self.path)
        try:
            with self._with_data_errors():
                self._enter(replace)
        except BaseException:
            self._disconnect()
            if made:
                self._unlink()
            self._release()
            raise
        _OPEN.add(self)

    def records(self) -> Iterator[tuple[str, bytes]]:
        """Names and contents, oldest first; of a name that was added twice the later one counts."""
        with self._with_data_errors():
            for name, _, content in self._joined():
                yield name, content

    def add(self, records: Iterable[tuple[str, bytes]]) -> None:
        """Add records, all or none; they survive the death of this process when this returns.

        Names are up to 1000 bytes long and not empty, contents of any length.
        """
        self._change(records, range(0))

    def put(self, name: str, content: bytes) -> None:
        """Add a record, or replace the one of this name."""
        with self._mutex:
            self._change([(name, content)], self._directory().get(name, range(0)))

    def get(self, name: str) -> bytes | None:
        """The content of a record, or None if there is none of this name."""
        with self._mutex, self._with_data_errors():
            numbers = self._directory().get(name)
            if numbers is None:
                return None
            return next((content for *_, content in self._joined(numbers)), None)

    def names(self) -> list[str]:
        """Names of all records."""
        with self._mutex:
            return list(self._directory())

    def drop(self, name: str) -> None:
        """Remove a record; nothing happens if there is none of this name."""
        with self._mutex:
            if numbers := self._directory().get(name):
                self._change((), numbers)
                del self._directory()[name]

    def sync(self) -> None:
        """Wait until everything added is on the disk, safe from a power cut."""
        try:
            os.fsync(self._file)
        except OSError as error:
            raise self._unwritable(error) from error
        self._synced = time.monotonic()

    def remove(self) -> None:
        """Remove the file; called when all that it holds is stored elsewhere."""
        if still_named(self._file, self.path):
            self._disconnect()
            self._unlink()

    def remove_if_empty(self) -> None:
        """Remove the file if it has never had a record."""
        if not self._used:
            self.remove()

    def close(self) -> None:
        """Sync and release the file."""
        if self._file < 0:  # closed already, or in a forked child
            return
        try:
            self._disconnect()
            self.sync()
        finally:
            self._release()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # after an error the caller sees that one
        with contextlib.suppress(*(() if kind is None else (DataError,))):
            self.close()

    # -- what is done to the file -------------------------------------------------------------

    def _enter(self, replace: bool) -> None:
        """Find out what the file is, and start, continue, repair or refuse it."""
        size = os.fstat(self._file).st_size
        survey = Survey().read(self._file, min(size, _GLANCE))
        whole = _database.has_header(self._file)
        if size and not whole and not survey.works:
            raise self._no_ledger()
        side = open_side(self.path)
        try:
            if size == 0:
                side_file(self.path).unlink(missing_ok=True)
                self._connection = self._created(self.path)
                self.sync()
                sync_folder(self.path.parent)
                return
            if survey.works <= {self._work} and size > _GLANCE:
                survey = Survey().read(self._file, size)
            ours = survey.works == {self._work}
            # it may be so damaged that only the header says to which work it belongs
            if whole and not survey.works:
                ours = _database.owner(self._file) == self._work[:4]
            if not ours:
                if not replace and not self._holds_nothing(size, survey):
                    raise self._foreign(survey)
                survey, whole = Survey(), False
            elif side is not None:  # what it holds was there before a change that was never made
                survey.read(side, os.fstat(side).st_size, only=self._work)
            remove_parts(self.path)
            self._used = survey.records > 0
            self._next = int(survey.numbers.max(initial=0)) + 1
            if side is not None or not whole or not self._is_sound(survey):
                self._repair(survey)
        finally:
            if side is not None:
                os.close(side)

    def _holds_nothing(self, size: int, survey: Survey) -> bool:
        """Whether the file was created and has no record, not even a damaged one."""
        if size <= PAGE:
            return True
        rows = int.from_bytes(read_at(self._file, PAGE + 3, 2), "big")
        return size <= 2 * PAGE and survey.records == 0 and rows == survey.numbers.size

    def _is_sound(self, survey: Survey) -> bool:
        """Open the file; whether SQLite finds in it exactly the frames of the survey."""
        try:
            self._connection = _database.connected(self.path, locks=self._folder is None)
            return _database.is_sound(self._connection, survey.numbers.tolist())
        except sqlite3.DatabaseError as error:
            if _database.is_of_the_disk(error):
                raise
        except UnicodeError:  # of a message that quotes what is damaged
            pass
        return False

    def _repair(self, survey: Survey) -> None:
        """Copy the whole records to a fresh file, which takes the place of this one."""
        self._disconnect()
        with contextlib.ExitStack() as stack:
            with replacing(self.path, overwrite=True) as part:
                fresh = self._created(part)
                try:
                    _database.change(fresh, survey.rows())
                finally:
                    fresh.close()
                file = os.open(part, os.O_RDWR)
                stack.callback(os.close, file)
                if self._folder is None:
                    lock(file, self.path)
            stack.pop_all()
        os.close(self._file)
        self._file = file
        # it belonged to the old file; should this process end here, it is read once more
        side_file(self.path).unlink(missing_ok=True)
        self._connection = _database.connected(self.path, locks=self._folder is None)

    def _created(self, path: Path) -> sqlite3.Connection:
        """A connection to a fresh file with the identity in it."""
        path.touch()
        rows: list[tuple[int, bytes]] = []
        for _ in range(_COPIES):
            rows += framed(self._work, self._next + len(rows), b"", self._about)
        connection = _database.connected(path, locks=self._folder is None)
        try:
            _database.begin(connection, self._work, rows)
        except BaseException:
            connection.close()
            raise
        self._next += len(rows)
        return connection

    def _change(self, records: Iterable[tuple[str, bytes]], dropped: range) -> None:
        """Add records and drop frames, all or nothing."""
        with self._mutex, self._with_data_errors():
            rows: list[tuple[int, bytes]] = []
            numbers: dict[str, range] = {}
            first = self._next
            for name, content in records:
                encoded = name.encode()
                if not 0 < len(encoded) <= LONGEST_NAME:
                    raise ValueError(f"{name!r} cannot name a record: 1 to {LONGEST_NAME} bytes")
                frames = list(framed(self._work, first, encoded, content))
                numbers[name] = range(first, first + len(frames))
                first += len(frames)
                rows += frames
            with held_back():
                _database.change(self._open_connection(), rows, dropped)
                self._next, self._used = first, self._used or bool(rows)
                if self._numbers is not None:
                    self._numbers |= numbers
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            self.sync()

    def _directory(self) -> dict[str, range]:
        """Numbers of the frames of each record; made when it is first needed."""
        if self._numbers is None:
            with self._with_data_errors():
                self._numbers = {}
                for name, first, content in self._joined():
                    parts = len(list(framed(self._work, first, name.encode(), content)))
                    self._numbers[name] = range(first, first + parts)
        return self._numbers

    def _joined(self, numbers: range | None = None) -> Iterator[tuple[str, int, bytes]]:
        """Names, first numbers and contents of the records with these frames, or of all."""
        rows = _database.frames(self._open_connection(), numbers)
        for name, first, content in joined(rows):
            if name:
                yield name.decode(), first, content

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise DataError(f"{self.path}: is closed")
        return self._connection

    def _disconnect(self) -> None:
        """Close the connection, and remove the journal that SQLite keeps beside the ledger."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            if still_named(self._file, self.path):
                remove_side(self.path)

    def _unlink(self) -> None:
        for place in (self.path, side_file(self.path)):
            with contextlib.suppress(OSError):
                place.unlink()

    def _release(self) -> None:
        _OPEN.discard(self)
        os.close(self._file)
        self._file = -1
        unlock(self._folder)

    # -- error messages -----------------------------------------------------------------------

    @contextlib.contextmanager
    def _with_data_errors(self) -> Iterator[None]:
        """Raise errors of SQLite and of the file system as DataError."""
        try:
            yield
        except sqlite3.Error as error:
            if _database.is_busy(error):
                raise DataError(f"{self.path}: another program has it open; close it") from None
            raise self._unwritable(error) from error
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: Exception) -> DataError:
        return DataError(
            f"{self.path}: cannot be written ({error}); what was finished before is in it, "
            "and the same call completes the rest"
        )

    def _no_ledger(self) -> DataError:
        if read_at(self._file, 0, len(_OLD)) == _OLD:
            return DataError(
                f"{self.path}: holds finished points in the format of an earlier version; it is "
                "left alone. Finish that work with the version that began it, or move the file away"
            )
        return DataError(
            f"{self.path}: is not a file of finished work; it is left alone. Move it away or "
            "choose another output file"
        )

    def _foreign(self, survey: Survey) -> DataError:
        if not survey.works:
            return DataError(
                f"{self.path}: is so damaged that nothing in it can be read; it is left alone. "
                "Move it away or choose another output file"
            )
        about = [text for work, text in survey.identities.items() if work != self._work]
        return DataError(
            f"{self.path}: holds finished parts of {_difference(about, self._about)}; it is left "
            "alone. Finish that work, move the file away, or choose another output file"
        )


def _difference(others: list[bytes], mine: bytes) -> str:
    """In words, how another identity differs from this one."""
    try:
        then, now = (json.loads(text) for text in (others[0], mine))
        if then["work"] == now["work"]:
            words = [" ".join((one["package_version"], one["git_commit"])) for one in (then, now)]
            return f"version {words[0]}, this is {words[1]}"
    except (IndexError, ValueError, KeyError, TypeError):
        pass
    return "other parameters"


def _forget() -> None:
    """Give up the files in a forked child, which must neither keep nor end what its parent has."""
    for ledger in list(_OPEN):
        if ledger._connection is not None:
            _never_close(ledger._connection)
        ledger._connection = ledger._folder = None
        ledger._mutex = threading.RLock()  # another thread of the parent may have held it
        ledger._release()


def _never_close(connection: sqlite3.Connection) -> None:
    """Keep a connection for ever: what SQLite does when it closes one would harm the parent's."""
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


# not on Windows
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
