"""A ledger without locks, in kills and on full disks."""

import errno
import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from dmft_rf import DataError
from dmft_rf.files.ledger import Ledger
from dmft_rf.files.peek import peek
from tests.helpers.ledgers import RECORDS, WORK, alone, filled, flipped, held
from tests.helpers.sweeping import environment, limited, run_script

# -- file systems without locks -----------------------------------------------------------------


@pytest.fixture(params=[errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def no_locks(request, monkeypatch):
    def refuse(*_):
        raise OSError(request.param, os.strerror(request.param))

    for name in ("flock", "fcntl", "lockf"):
        monkeypatch.setattr(fcntl, name, refuse)


def test_without_locks_a_folder_stands_for_one(tmp_path, no_locks):
    path, folder = tmp_path / "l", tmp_path / "l.lock"
    with Ledger(path, WORK) as ledger:
        ledger.add(RECORDS.items())
        assert folder.is_dir()
        with pytest.raises(DataError, match=r"another process.*remove .*l\.lock"):
            Ledger(path, WORK)
    assert held(path) == RECORDS
    path.write_bytes(flipped(path.read_bytes(), 8 * 40))
    assert held(path) == RECORDS
    assert alone(path)
    folder.mkdir()  # as a process leaves it that was killed
    with pytest.raises(DataError, match=r"remove .*l\.lock"):
        Ledger(path, WORK)
    folder.rmdir()
    assert held(path) == RECORDS


def test_where_nothing_locks_it_is_said_and_nothing_is_left(tmp_path, no_locks, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(DataError, match=r"has no locks.*local disk"):
        Ledger(tmp_path / "l", WORK)
    assert list(tmp_path.iterdir()) == []


def test_another_reason_for_no_lock_is_told(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    with pytest.raises(DataError, match=r"cannot be locked.*Input/output error.*local disk"):
        Ledger(tmp_path / "l", WORK)
    assert list(tmp_path.iterdir()) == []


# -- kills and disks ----------------------------------------------------------------------------


WRITER = """
import sys
from dmft_rf.files.ledger import Ledger
with Ledger(sys.argv[1], {"work": "w"}) as ledger:
    known = len(ledger.names())
    print(known, flush=True)
    for i in range(known, 10**6):
        ledger.add([(f"r{i}", str(i).encode() * (1 + i % 3000))])
        print(i + 1, flush=True)
"""


def test_kills_lose_nothing_that_was_added(tmp_path):
    path = tmp_path / "l"
    rng = random.Random(3)
    safe = 0
    for _ in range(4):
        command = [sys.executable, "-W", "error", "-c", WRITER, str(path)]
        with (
            subprocess.Popen(
                command, env=environment(), stdout=subprocess.PIPE, text=True,
                start_new_session=True,
            ) as process,
            limited(process),
        ):  # fmt: skip
            first = int(process.stdout.readline())
            assert first >= safe
            time.sleep(rng.uniform(0.0, 0.15))
            os.kill(process.pid, signal.SIGKILL)
            said = process.stdout.read().split("\n")
        whole = [int(line) for line in said[:-1]]
        safe = max([first, *whole])
    found = held(path, {"work": "w"})
    assert len(found) >= safe > 0
    assert all(value == str(i).encode() * (1 + i % 3000) for i, value in enumerate(found.values()))
    assert alone(path)


def half_changed(path, statements):
    """Leave a ledger as a process does that is killed in the middle of a change."""
    side = path.with_name(path.name + "-journal")
    with Ledger(path, WORK) as ledger:
        connection = ledger._connection
        for statement in ("BEGIN", "PRAGMA cache_spill = 1", "PRAGMA cache_size = 1", *statements):
            connection.execute(statement)
        left = path.read_bytes(), side.read_bytes()
    path.write_bytes(left[0])
    side.write_bytes(left[1])
    assert left[1].startswith(b"\xd9\xd5\x05\xf9")
    return left


@pytest.mark.parametrize(
    "statements",
    [
        ["INSERT INTO frames VALUES (1000, zeroblob(300000))"],
        [
            "DELETE FROM frames WHERE number % 3 = 0",
            "INSERT INTO frames VALUES (1000, zeroblob(9))",
        ],
        ["DELETE FROM frames"],
        ["DELETE FROM frames", "INSERT INTO frames VALUES (1000, zeroblob(300000))"],
    ],
)
def test_a_kill_in_the_middle_of_a_change_undoes_it(tmp_path, statements):
    """Also if it is killed again when it has just been mended, and with damage to either file."""
    path, side = tmp_path / "l", tmp_path / "l-journal"
    filled(path)
    half, hot = half_changed(path, statements)
    assert held(path) == RECORDS
    assert alone(path)
    side.write_bytes(hot)
    assert held(path) == RECORDS
    rng = random.Random(5)
    for _ in range(8):
        path.write_bytes(flipped(half, rng.randrange(8 * len(half))))
        side.write_bytes(hot)
        assert len(held(path)) >= 23
        path.write_bytes(half)
        side.write_bytes(flipped(hot, rng.randrange(8 * 8, 8 * len(hot))))
        assert len(held(path)) >= 23
        assert alone(path)


def test_a_kill_between_two_changes_leaves_nothing(tmp_path):
    path, side = tmp_path / "l", tmp_path / "l-journal"
    filled(path)
    for rest in (b"", bytes(28) + b"old pages"):
        side.write_bytes(rest)
        assert held(path) == RECORDS
        assert alone(path)


FULL = """
import resource, sys
from dmft_rf import DataError
from dmft_rf.files.ledger import Ledger
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
done = 0
try:
    with Ledger(sys.argv[1], {"work": "w"}) as ledger:
        for i in range(400):
            ledger.add([(f"r{i}", bytes(100))])
            done += 1
except DataError as error:
    print(done, error)
"""


@pytest.mark.parametrize("limit", [0, 1000, 5000, 20_000, 41_000])
def test_a_full_disk_keeps_what_was_added(tmp_path, limit):
    path = tmp_path / "l"
    done, _, said = run_script(FULL, path, limit).stdout.partition(" ")
    assert "cannot be written" in said
    assert said.count("\n") == 1
    if limit < 8192:  # no ledger without a record
        assert list(tmp_path.iterdir()) == []
    else:
        assert int(done) > 0
        assert len(held(path, {"work": "w"})) == int(done)


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_is_full_when_it_is_synced(tmp_path, monkeypatch):
    """One line; and an interruption stays one."""
    ledger = Ledger(tmp_path / "l", WORK)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="cannot be written"):
        ledger.sync()
    with pytest.raises(KeyboardInterrupt), ledger:
        raise KeyboardInterrupt


def test_a_disk_that_is_full_when_damage_is_mended(tmp_path, monkeypatch):
    """The damaged file stays as it is until its successor is whole."""
    path = tmp_path / "l"
    damaged = flipped(filled(path), 3)
    path.write_bytes(damaged)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="cannot be written"):
        Ledger(path, WORK)
    assert path.read_bytes() == damaged
    assert alone(path)
    monkeypatch.undo()
    assert held(path) == RECORDS


def test_paths_that_sqlite_does_not_take(tmp_path):
    """Names with every character, and one line for a path that is too long."""
    folder = tmp_path / "a #?%20 'ü\udcff"
    folder.mkdir()
    filled(folder / "l&mode=ro")
    assert held(folder / "l&mode=ro") == RECORDS
    deep = tmp_path.joinpath(*["d" * 100] * 5)
    deep.mkdir(parents=True)
    with pytest.raises(DataError, match="longer than the 500 bytes"):
        Ledger(deep / "l", WORK)
    assert list(deep.iterdir()) == []


def test_the_identity_is_any_json(tmp_path):
    identity = {"cases": list(range(3000)), "text": "τ" * 5000}
    filled(tmp_path / "l", {"r": b"x"}, identity)
    assert held(tmp_path / "l", json.loads(json.dumps(identity))) == {"r": b"x"}


# -- reading what another process writes ---------------------------------------------------------


def test_peek_sees_what_is_there_and_changes_nothing(tmp_path):
    path, identity = tmp_path / "a.points", {"work": "w"}
    assert dict(peek(path, identity)) == {}
    with Ledger(path, identity) as ledger:
        assert dict(peek(path, identity)) == {}
        ledger.add([("a", b"1"), ("long", bytes(range(256)) * 100)])
        ledger.put("a", b"2")
        before = path.read_bytes()
        assert dict(peek(path, identity)) == {"a": b"2", "long": bytes(range(256)) * 100}
        assert path.read_bytes() == before
        ledger.drop("long")
        assert dict(peek(path, identity)) == {"a": b"2"}
    assert dict(peek(path, identity)) == {"a": b"2"}
    with pytest.raises(DataError, match="not the file of unfinished work that belongs here"):
        dict(peek(path, {"work": "other"}))
    path.write_bytes(b"something else")
    with pytest.raises(DataError, match="not the file of unfinished work that belongs here"):
        dict(peek(path, identity))
    assert [place.name for place in tmp_path.iterdir()] == ["a.points"]
