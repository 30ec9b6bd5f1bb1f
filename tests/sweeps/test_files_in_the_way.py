"""Files that stand in the way of a sweep, and files that appear while it runs."""

import errno
import os

import h5py
import pytest

from dmft_rf import DataError, sweep
from dmft_rf.files.ledger import Ledger
from dmft_rf.files.replace import replacing_hdf5
from dmft_rf.files.results import git_commit
from tests.helpers.command import refused, result
from tests.helpers.one_sweep import MODEL, killed_at_the_very_end
from tests.helpers.sweeping import completed

# -- files in the way ---------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["truncated", "text", "foreign", "other", "later"])
def test_unusable_files_are_refused_and_left_alone(tmp_path, damage):
    path = tmp_path / "a.h5"
    sweep(MODEL, {"psi_n": [1.0, 2.0]}, "tau_mem", path=path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-700])
    elif damage == "text":
        path.write_text("notes on something else\n")
    elif damage == "foreign":
        with h5py.File(path, "w") as file:
            file["x"] = 1.0
    elif damage == "later":
        with replacing_hdf5(path, overwrite=True, start=path) as file:
            file.attrs["dmft_rf_schema"] = 99
    before = path.read_bytes()
    values = [1.0, 3.0] if damage == "other" else [1.0, 2.0]
    with pytest.raises(DataError, match=r"a\.h5"):
        sweep(MODEL, {"psi_n": values}, "tau_mem", path=path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]
    assert sweep(MODEL, {"psi_n": values}, "tau_mem", path=path, overwrite=True).complete


@pytest.mark.parametrize("content", ["other work", "text", "link", "pipe"])
def test_an_unusable_ledger_is_refused_and_left_alone(tmp_path, content):
    path, ledger = tmp_path / "a.h5", tmp_path / "a.h5.points"
    if content == "text":
        ledger.write_text("my own notes on points\n")
    elif content == "link":
        (tmp_path / "notes").write_text("")
        ledger.symlink_to("notes")
    elif content == "pipe":
        os.mkfifo(ledger)
    else:
        with Ledger(ledger, {"work": "another"}) as other:
            other.add([("r", b"x")])
    before = ledger.read_bytes() if ledger.is_file() else ledger.lstat()
    for replace in (False, content != "other work"):
        with pytest.raises(DataError, match=r"a\.h5\.points.*left alone"):
            sweep(MODEL, {"psi_n": [1.0]}, "tau_mem", path=path, overwrite=replace)
        assert (ledger.read_bytes() if ledger.is_file() else ledger.lstat()) == before
    assert not path.exists()


def read_only(monkeypatch):
    """Let everything on disk look as on a file system that is read-only."""
    opened = os.open

    def refuse(place, flags, *rest, **more):
        if flags & (os.O_RDWR | os.O_WRONLY | os.O_CREAT):
            raise OSError(errno.EROFS, "Read-only file system", place)
        return opened(place, flags, *rest, **more)

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(os, "access", lambda place, mode: not mode & os.W_OK)
    monkeypatch.setattr("dmft_rf.sweeps.run.work", None)


def test_a_complete_file_on_a_file_system_that_is_read_only(tmp_path, monkeypatch):
    """It is read and given; nothing is written, not even a lock."""
    path = tmp_path / "a.h5"
    killed_at_the_very_end(path, {"psi_n": [1.0, 2.0]})
    names = {p.name for p in tmp_path.iterdir()}
    read_only(monkeypatch)
    assert sweep(MODEL, {"psi_n": [1.0, 2.0]}, "tau_mem", path=path).complete
    with pytest.raises(DataError, match="something else"):
        sweep(MODEL, {"psi_n": [1.0, 3.0]}, "tau_mem", path=path)
    with pytest.raises(DataError, match="may not be written"):
        sweep(MODEL, {"psi_n": [1.0, 3.0]}, "tau_mem", path=tmp_path / "b.h5")
    assert {p.name for p in tmp_path.iterdir()} == names


@pytest.mark.parametrize("command", ["phase-diagram", "scaling"])
def test_a_command_gives_a_complete_file_that_is_read_only(tmp_path, monkeypatch, command):
    path = tmp_path / "a.h5"
    arguments = [command, "--psi-p", "8", "--points", "3", "--out", str(path)]
    arguments += ["--n-points", "2"] if command == "phase-diagram" else ["--psi-n", "4"]
    first = result(*arguments)
    read_only(monkeypatch)
    assert result(*arguments)["results"] == first["results"]
    assert "may not be written" in refused(*arguments, "--overwrite", "--t", "0.2")


def test_overwriting_leaves_a_sweep_alone_that_is_under_way(tmp_path):
    """Its points are still there: what may be replaced is a file that nobody writes."""
    path = tmp_path / "a.h5"

    def meanwhile(done, total):
        if done == 1:
            for values in ([1.0, 2.0], [3.0]):
                with pytest.raises(DataError, match="another process"):
                    sweep(MODEL, {"psi_n": values}, "tau_mem", path=path, overwrite=True)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(MODEL, {"psi_n": [1.0, 2.0]}, "tau_mem", path=path, progress=meanwhile)
    assert completed(sweep, MODEL, {"psi_n": [1.0, 2.0]}, "tau_mem", path=path)[1] == 1


@pytest.mark.parametrize("meanwhile", ["same", "other"])
def test_a_file_that_appears_before_the_ledger_is_locked(tmp_path, monkeypatch, meanwhile):
    """The same work is read, nothing is computed; other work is refused and left alone."""
    path, over = tmp_path / "a.h5", {"psi_n": [1.0, 2.0]}

    def commit():
        if not path.exists():
            monkeypatch.undo()
            sweep(MODEL, over if meanwhile == "same" else {"psi_n": [3.0]}, "tau_mem", path=path)
            monkeypatch.setattr("dmft_rf.sweeps.run.work", None)
        return git_commit()

    monkeypatch.setattr("dmft_rf.sweeps.run.git_commit", commit)
    if meanwhile == "same":
        assert sweep(MODEL, over, "tau_mem", path=path).complete
        assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]
    else:
        with pytest.raises(DataError, match="something else"):
            sweep(MODEL, over, "tau_mem", path=path)
        monkeypatch.undo()
        assert sweep(MODEL, {"psi_n": [3.0]}, "tau_mem", path=path).complete


def test_a_file_that_appears_during_the_work_is_not_replaced(tmp_path):
    path = tmp_path / "a.h5"

    def meanwhile(done, total):
        path.write_text("notes of somebody else")

    with pytest.raises(DataError, match="overwrite"):
        sweep(MODEL, {"psi_n": [1.0, 2.0]}, "tau_mem", path=path, progress=meanwhile)
    assert path.read_text() == "notes of somebody else"
    path.unlink()
    assert completed(sweep, MODEL, {"psi_n": [1.0, 2.0]}, "tau_mem", path=path)[1] == 2


def test_the_longest_names(tmp_path):
    """What the file system takes is written: 255 bytes, with a short name for the ledger."""
    path = tmp_path / f"{'a' * 245}.h5"
    assert sweep(MODEL, {"psi_n": [1.0]}, "tau_mem", path=path).complete
    assert sweep(MODEL, {"psi_n": [1.0]}, "tau_mem", path=path).complete
