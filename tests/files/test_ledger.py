"""The ledger: what was added survives, damage costs what it hits, and nobody else's is touched."""

import os
import random
import socket
import sqlite3

import pytest

from dmft_rf import DataError
from dmft_rf.files.ledger import Ledger
from tests.helpers.ledgers import RECORDS, WORK, alone, filled, flipped, held
from tests.helpers.sweeping import run_script

# -- records ------------------------------------------------------------------------------------


def test_records_of_any_size_come_back(tmp_path):
    path = tmp_path / "l"
    rng = random.Random(1)
    sizes = (0, 1, 3900, 3991, 3992, 3993, 4096, 100_000)
    records = {f"n{size} τ": rng.randbytes(size) for size in sizes}
    filled(path, records)
    assert list(held(path).items()) == list(records.items())
    with Ledger(path, WORK) as ledger:
        assert ledger.names() == list(records)
        assert {name: ledger.get(name) for name in records} == records
        assert ledger.get("none") is None
    assert alone(path)


def test_a_record_is_replaced_and_dropped(tmp_path):
    """The file does not grow with each time, and what was replaced does not come back."""
    path = tmp_path / "l"
    with Ledger(path, WORK) as ledger:
        ledger.add([("cell", b"c")])
        for i in range(20):
            ledger.put("checkpoint", bytes([i]) * 50_000)
        ledger.put("other", b"o")
        ledger.drop("other")
        ledger.drop("none")
    assert path.stat().st_size < 5 * 50_000
    assert held(path) == {"cell": b"c", "checkpoint": bytes([19]) * 50_000}
    content = bytearray(path.read_bytes())
    content[:100] = bytes(100)
    path.write_bytes(content)  # read by its frames alone
    assert held(path) == {"cell": b"c", "checkpoint": bytes([19]) * 50_000}


def test_a_name_that_is_none_is_refused(tmp_path):
    with Ledger(tmp_path / "l", WORK) as ledger:
        for name in ("", "x" * 1001):
            with pytest.raises(ValueError, match="cannot name a record"):
                ledger.add([("good", b""), (name, b"")])
        assert ledger.names() == []


# All 131,072 single bits of this file: 0.23 of 24 records are lost on average, never more than one.
def test_a_flipped_bit_costs_one_record_at_most(tmp_path):
    """Anywhere: in SQLite's header, its tables and pages, the identity, a record."""
    path = tmp_path / "l"
    whole = filled(path)
    rng = random.Random(7)
    header = [rng.randrange(8 * 100) for _ in range(25)]
    lost = []
    for bit in [*header, *(rng.randrange(8 * len(whole)) for _ in range(45))]:
        path.write_bytes(flipped(whole, bit))
        with Ledger(path, WORK) as ledger:
            found = dict(ledger.records())
            ledger.add([("more", b"m")])
        assert found.items() <= RECORDS.items()
        lost.append(24 - len(found))
        assert held(path) == {**found, "more": b"m"}
    assert max(lost) == 1
    assert sum(lost) < 0.5 * len(lost)
    assert alone(path)


@pytest.mark.parametrize("size", [4096, 4097, 8191, 8192, 12_288, 13_000, 16_383])
def test_a_ledger_that_was_cut_keeps_what_is_left(tmp_path, size):
    path = tmp_path / "l"
    whole = filled(path)
    path.write_bytes(whole[:size])
    found = held(path)
    assert found.items() <= RECORDS.items()
    marks = whole[:size].count(b"\x9bRFrec\x01\xe5")
    assert marks - 3 <= len(found) <= marks  # two of them are of the identity, one may be cut
    filled(path, {"more": b"m"})
    assert held(path) == {**found, "more": b"m"}


def test_a_long_record_with_a_damaged_part_is_lost_whole(tmp_path):
    path = tmp_path / "l"
    whole = filled(path, {"a": b"a" * 50_000, "b": b"b" * 50_000})
    at = whole.index(b"a" * 1000) + 500
    path.write_bytes(flipped(whole, 8 * at))
    assert held(path) == {"b": b"b" * 50_000}


def test_zeroed_pages(tmp_path):
    """As after a power cut: any page of zeros costs what was on it."""
    path = tmp_path / "l"
    records = {f"r{i}": bytes([i % 251]) * 900 for i in range(60)}
    whole = filled(path, records)
    for page in range(len(whole) // 4096):
        path.write_bytes(whole[: 4096 * page] + bytes(4096) + whole[4096 * (page + 1) :])
        found = held(path)
        assert found.items() <= records.items()
        assert len(found) >= 60 - 4


# -- whose it is --------------------------------------------------------------------------------


def foreign_files(path):
    """What may stand at the place of a ledger and is none of ours, by name."""
    filled(path, {"r": b"x" * 100}, {"work": "another"})
    ledger = path.read_bytes()
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE notes (text)")
    other.close()
    database = path.read_bytes()
    path.unlink()
    return {
        "text": b"my own notes on points\n",
        "binary": bytes(range(256)) * 40,
        "zeros": bytes(9000),
        "other database": database,
        "other work": ledger,
        "other work, first bytes damaged": b"\0" * 16 + ledger[16:],
        "other work, header damaged": bytes(100) + ledger[100:],
        "earlier format": b'dmft_rf points 1\n{"work": "w"}\n' + bytes(60),
        "earlier format, no point": b'dmft_rf points 1\n{"work": "another"}\n',
    }


def test_what_is_not_ours_is_left_alone(tmp_path):
    path = tmp_path / "l"
    for what, content in foreign_files(path).items():
        path.write_bytes(content)
        before = path.stat()
        with pytest.raises(DataError, match="left alone") as caught:
            Ledger(path, WORK)
        assert "\n" not in str(caught.value)
        if not what.startswith("other work"):
            with pytest.raises(DataError, match="left alone"):
                Ledger(path, WORK, replace=True)
        assert path.read_bytes() == content, what
        assert path.stat().st_mtime_ns == before.st_mtime_ns
        assert alone(path)
        path.unlink()


def test_a_damaged_record_of_other_work_does_not_give_it_away(tmp_path):
    path = tmp_path / "l"
    whole = filled(path, {"r": b"x" * 100}, {"work": "another"})
    damaged = flipped(whole, 8 * (whole.index(b"x" * 100) + 7))
    path.write_bytes(damaged)
    with pytest.raises(DataError, match="left alone"):
        Ledger(path, WORK)
    assert path.read_bytes() == damaged


def test_a_ledger_without_a_record_is_in_nobodys_way(tmp_path):
    path = tmp_path / "l"
    Ledger(path, {"work": "a"}).close()
    filled(path, {"r": b"x"}, {"work": "b"})
    with pytest.raises(DataError, match="other parameters"):
        Ledger(path, {"work": "a"})
    with Ledger(path, {"work": "a"}, replace=True) as ledger:
        assert ledger.names() == []
    path.write_bytes(b"")
    filled(path, {"r": b"x"}, {"work": "b"})
    assert held(path, {"work": "b"}) == {"r": b"x"}


def test_the_versions_that_differ_are_named(tmp_path):
    path = tmp_path / "l"
    filled(path, {"r": b"x"}, {**WORK, "package_version": "0.0.9"})
    with pytest.raises(DataError, match=r"version 0\.0\.9 abc, this is 0\.1\.0 abc.*left alone"):
        Ledger(path, WORK)


@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "socket", "folder", "device"])
def test_what_is_no_regular_file_is_refused(tmp_path, kind):
    """At once, and without opening it: a pipe would wait for its other end."""
    path, target = tmp_path / "l", tmp_path / "precious"
    with socket.socket(socket.AF_UNIX) as end:
        if kind == "link":
            target.write_text("precious")
            path.symlink_to(target)
        elif kind == "dangling link":
            path.symlink_to(target)
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "socket":
            end.bind(str(path))
        elif kind == "folder":
            path.mkdir()
        else:
            try:
                os.mknod(path, 0o600 | 0o020000, os.makedev(1, 3))
            except PermissionError:
                pytest.skip("only the administrator makes devices")
        before = path.lstat()
        with pytest.raises(DataError, match=rf"a {kind.split()[-1]}, not a regular file.*alone"):
            Ledger(path, WORK, replace=True)
        assert path.lstat() == before
    assert target.exists() == (kind == "link")
    if kind == "link":
        assert target.read_text() == "precious"


def test_a_file_with_two_names_is_left_alone(tmp_path):
    path, other = tmp_path / "l", tmp_path / "mine"
    for content in (b"", filled(path)):
        path.unlink(missing_ok=True)
        other.write_bytes(content)
        path.hardlink_to(other)
        with pytest.raises(DataError, match="left alone"):
            Ledger(path, WORK, replace=True)
        assert other.read_bytes() == content


@pytest.mark.parametrize("side", ["-journal", "-wal"])
def test_what_stands_beside_it_is_not_taken_for_sqlites(tmp_path, side):
    path = tmp_path / "l"
    filled(path)
    other = tmp_path / f"l{side}"
    other.write_text("notes")
    with pytest.raises(DataError, match=rf"l{side}: is in the way"):
        Ledger(path, WORK)
    assert other.read_text() == "notes"
    other.unlink()
    other.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="in the way"):
        Ledger(path, WORK)
    other.unlink()
    assert held(path) == RECORDS


def test_a_large_foreign_file_is_not_read(tmp_path, monkeypatch):
    """8 GB of somebody else's: no more than a glance."""
    path = tmp_path / "l"
    with path.open("wb") as stream:
        stream.write(b"precious data")
        stream.truncate(8 << 30)
    read, seen = os.read, []

    def counted(file, size):
        seen.append(size)
        return read(file, size)

    monkeypatch.setattr(os, "read", counted)
    with pytest.raises(DataError, match="left alone"):
        Ledger(path, WORK)
    assert sum(seen) < 1 << 18
    assert path.stat().st_size == 8 << 30


# -- one writer ---------------------------------------------------------------------------------


def test_the_second_writer_is_refused(tmp_path):
    """In this process and in another one; reading the file meanwhile ends no lock."""
    path = tmp_path / "l"
    other = (
        "import sys\nfrom dmft_rf.files.ledger import Ledger\nfrom dmft_rf import DataError\n"
        "try: Ledger(sys.argv[1], {'work': 'w'}, replace=True)\n"
        "except DataError as error: print(error)\n"
    )
    with Ledger(path, WORK) as ledger:
        ledger.add([("r", b"x")])
        path.read_bytes()
        with pytest.raises(DataError, match="another process"):
            Ledger(path, WORK)
        assert "another process" in run_script(other, path).stdout
        ledger.add([("s", b"y")])
    assert held(path) == {"r": b"x", "s": b"y"}


def test_another_program_that_reads_it_is_named(tmp_path):
    path = tmp_path / "l"
    filled(path)
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM frames").fetchall()
    with pytest.raises(DataError, match="another program"):
        Ledger(path, WORK)
    reader.close()
    assert held(path) == RECORDS


def test_the_ledger_of_another_is_not_removed(tmp_path):
    """Who still has a file that lost its name does not take the name from the next one."""
    path = tmp_path / "l"
    with Ledger(path, WORK) as first:
        path.unlink()
        with Ledger(path, WORK) as second:
            first.remove()
            assert path.exists()
            second.remove()
        assert not path.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_removed_while_it_is_opened_is_made_again(tmp_path, monkeypatch):
    from dmft_rf.files import claim as _claim

    path = tmp_path / "l"
    lock = _claim.lock

    def late(file, name):
        found = lock(file, name)
        monkeypatch.undo()
        path.unlink()
        return found

    monkeypatch.setattr(_claim, "lock", late)
    filled(path, {"r": b"x"})
    assert held(path) == {"r": b"x"}


# the threads of who runs the tests are no matter of the child, which waits for its end
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_neither_keeps_the_lock_nor_ends_it(tmp_path):
    """A worker that outlives a killed parent does not keep others from completing its work."""
    path = tmp_path / "l"
    (began, begin), (ended, end) = os.pipe(), os.pipe()
    with Ledger(path, WORK) as ledger:
        ledger.add([("r", b"x")])
        child = os.fork()
        if child == 0:
            os.close(end)
            ledger.close()
            try:
                ledger.add([("child", b"x")])
            except DataError:
                os.write(begin, b".")
            os.read(ended, 1)
            os._exit(0)
        assert os.read(began, 1) == b"."
        with pytest.raises(DataError, match="another process"):
            Ledger(path, WORK)
        ledger.add([("s", b"y")])
    try:
        assert held(path) == {"r": b"x", "s": b"y"}
    finally:
        os.close(end)
        os.waitpid(child, 0)
        for rest in (began, begin, ended):
            os.close(rest)
