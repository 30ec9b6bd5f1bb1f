"""The SQLite file of a ledger: one table of frames, which nobody else writes while it is open."""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from dmft_rf.files.frames import PAGE, is_frame, read_at

Rows = Iterable[tuple[int, bytes]]

_MAGIC = b"SQLite format 3\0"
_KIND = bytes((1, 1, 0, 64, 32, 32))  # with SQLite's rollback journal, and what never differs
_APPLICATION = 0x52466C67
_TABLE = "CREATE TABLE frames (number INTEGER PRIMARY KEY, frame BLOB NOT NULL)"
_INSERT = "INSERT INTO frames VALUES (?, ?)"
_PRAGMAS = (
    f"page_size = {PAGE}",
    "locking_mode = EXCLUSIVE",
    "journal_mode = DELETE",
    "synchronous = OFF",  # the ledger waits for the disk itself, once for many records
    "secure_delete = ON",  # so that no frame is found of a record that was replaced
    "temp_store = MEMORY",
    "trusted_schema = OFF",
    "cell_size_check = ON",
)
_DISK = ("IOERR", "FULL", "CANTOPEN", "READONLY", "PERM", "NOMEM")
_BUSY = ("BUSY", "LOCKED")


def has_header(file: int) -> bool:
    """Whether an open file begins like a ledger: SQLite's, with our mark, pages and kind."""
    head = read_at(file, 0, 100)
    page = PAGE.to_bytes(2, "big") + _KIND
    return head.startswith(_MAGIC + page) and head[68:72] == _APPLICATION.to_bytes(4, "big")


def connected(path: Path, *, locks: bool = True) -> sqlite3.Connection:
    """A connection that has an existing file for itself; without locks where there are none."""
    address = f"file://{quote(os.fsencode(os.path.abspath(path)))}?mode=rw"
    if not locks:
        address += "&vfs=unix-none"
    connection = sqlite3.connect(
        address, uri=True, timeout=0.0, isolation_level=None, check_same_thread=False
    )
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def owner(file: int) -> bytes:
    """To which work the file belongs by its header: the first four bytes of the identity."""
    return read_at(file, 60, 4)


def begin(connection: sqlite3.Connection, work: bytes, rows: Rows) -> None:
    """Make the table in an empty file, with its first rows."""
    with _all_or_nothing(connection):
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute(f"PRAGMA user_version = {int.from_bytes(work[:4], 'big', signed=True)}")
        connection.execute(_TABLE)
        connection.executemany(_INSERT, rows)


def change(connection: sqlite3.Connection, rows: Rows, dropped: range = range(0)) -> None:
    """Insert rows and delete those with some numbers, all or nothing."""
    with _all_or_nothing(connection):
        connection.executemany(_INSERT, rows)
        if dropped:
            query = "DELETE FROM frames WHERE number BETWEEN ? AND ?"
            connection.execute(query, (dropped[0], dropped[-1]))


def frames(connection: sqlite3.Connection, numbers: range | None = None) -> Iterable[bytes]:
    """All frames in order, or those with some numbers."""
    low, high = (0, 2**63 - 1) if numbers is None else (numbers[0], numbers[-1])
    query = "SELECT frame FROM frames WHERE number BETWEEN ? AND ? ORDER BY number"
    return (row for (row,) in connection.execute(query, (low, high)))


def is_sound(connection: sqlite3.Connection, numbers: Sequence[int]) -> bool:
    """Whether SQLite finds no damage, and intact frames with these numbers and nothing else."""
    schema = connection.execute("SELECT type, sql FROM sqlite_master").fetchall()
    check = connection.execute("PRAGMA quick_check(1)").fetchone()
    if schema != [("table", _TABLE)] or check != ("ok",):
        return False
    rows = connection.execute("SELECT number, frame FROM frames ORDER BY number")
    return all(
        row is not None and number is not None and row[0] == number and is_frame(row[1], number)
        for row, number in itertools.zip_longest(rows, numbers)
    )


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another program has the file open."""
    return _kind(error) in _BUSY


def is_of_the_disk(error: sqlite3.Error) -> bool:
    """Whether the disk or another program is in the way, and the file may be whole."""
    return _kind(error) in _DISK or is_busy(error)


def _kind(error: sqlite3.Error) -> str:
    return str(getattr(error, "sqlite_errorname", "")).removeprefix("SQLITE_").split("_")[0]


@contextlib.contextmanager
def _all_or_nothing(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
