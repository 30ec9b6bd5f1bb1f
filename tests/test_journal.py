"""The journal of a sweep: what was added survives, and nobody else's is touched."""

from __future__ import annotations

import errno
import fcntl
import os

import numpy as np
import pytest

from dmft_rf import DataError
from dmft_rf._journal import Entry, Journal


def test_a_journal_cut_anywhere_keeps_its_whole_records(tmp_path):
    """Byte by byte: from every prefix the records before the cut are read and can be continued."""
    path, identity = tmp_path / "j", {"work": "w"}
    entries = [Entry(0, 3, np.array([1.0, np.nan])), Entry(1, 2**40, np.empty(0), "why: \u03c4")]
    with Journal(path, identity) as journal:
        journal.add([])
        ends = [path.stat().st_size]
        for entry in entries:
            journal.add([entry])
            ends.append(path.stat().st_size)
    whole = path.read_bytes()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        with Journal(path, identity) as journal:
            kept = sum(end <= size for end in ends[1:])
            assert len(journal.entries) == kept
            journal.add(entries[kept:])
        assert path.read_bytes() == whole
    with Journal(path, identity) as journal:
        for found, entry in zip(journal.entries, entries, strict=True):
            assert (found.plan, found.index, found.reason) == (
                entry.plan, entry.index, entry.reason,
            )  # fmt: skip
            np.testing.assert_array_equal(found.values, entry.values)


def test_a_journal_without_points_is_in_nobodys_way(tmp_path):
    path = tmp_path / "j"
    Journal(path, {"work": "a"}).close()
    whole = path.read_bytes()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        with Journal(path, {"work": "b"}) as journal:
            journal.add([Entry(0, 0, np.array([1.0]))])
    with pytest.raises(DataError, match="other parameters"):
        Journal(path, {"work": "a"})
    with Journal(path, {"work": "a"}, replace=True) as journal:
        assert journal.entries == []


def test_the_versions_that_differ_are_named(tmp_path):
    path, then = tmp_path / "j", {"work": "w", "package_version": "0.0.9", "git_commit": "abc"}
    with Journal(path, then) as journal:
        journal.add([Entry(0, 0, np.array([1.0]))])
    with pytest.raises(DataError, match=r"version 0\.0\.9 abc, this is 0\.1\.0 abc.*left alone"):
        Journal(path, {**then, "package_version": "0.1.0"})


def test_the_journal_of_another_is_not_removed(tmp_path):
    """Who still has a file that lost its name does not take the name from the next one."""
    path = tmp_path / "j"
    with Journal(path, {"work": "w"}) as first:
        path.unlink()
        with Journal(path, {"work": "w"}) as second:
            first.remove()
            assert path.exists()
            second.remove()
        assert not path.exists()


def test_a_journal_removed_while_it_is_opened_is_made_again(tmp_path, monkeypatch):
    path = tmp_path / "j"
    lock = Journal._lock

    def late(journal, file):
        lock(journal, file)
        monkeypatch.undo()
        path.unlink()

    monkeypatch.setattr(Journal, "_lock", late)
    with Journal(path, {"work": "w"}) as journal:
        journal.add([Entry(0, 0, np.array([1.0]))])
    with Journal(path, {"work": "w"}) as journal:
        assert len(journal.entries) == 1


# the threads of who runs the tests are no matter of the child, which waits for its end
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_does_not_keep_the_lock(tmp_path):
    """A worker that outlives a killed parent does not keep others from completing its work."""
    path = tmp_path / "j"
    (began, begin), (ended, end) = os.pipe(), os.pipe()
    with Journal(path, {"work": "w"}):
        child = os.fork()
        if child == 0:
            os.close(end)
            os.write(begin, b".")
            os.read(ended, 1)
            os._exit(0)
        os.read(began, 1)
    try:
        with Journal(path, {"work": "w"}):
            pass
    finally:
        os.close(end)
        os.waitpid(child, 0)
        for rest in (began, begin, ended):
            os.close(rest)


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_is_full_when_it_is_synced(tmp_path, monkeypatch):
    """One line; and an interruption stays one."""
    journal = Journal(tmp_path / "j", {"work": "w"})
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="cannot be written"):
        journal.sync()
    with pytest.raises(KeyboardInterrupt), journal:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("number", "told"), [(errno.EWOULDBLOCK, "another process"), (errno.ENOLCK, "cannot be locked")]
)
def test_what_keeps_a_journal_from_being_locked_is_told(tmp_path, monkeypatch, number, told):
    def refuse(*_):
        raise OSError(number, "as the system has it")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(DataError, match=told):
        Journal(tmp_path / "j", {"work": "w"})


def test_a_damaged_record_is_no_result(tmp_path):
    path, identity = tmp_path / "j", {"work": "w"}
    with Journal(path, identity) as journal:
        journal.add([Entry(0, i, np.array([float(i)])) for i in range(3)])
    content = bytearray(path.read_bytes())
    content[-3] ^= 16
    path.write_bytes(content)
    with Journal(path, identity) as journal:
        assert [entry.index for entry in journal.entries] == [0, 1]
