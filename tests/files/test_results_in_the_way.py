"""Files of results that exist already, are damaged, or come from elsewhere."""

from pathlib import Path

import h5py
import pytest

from dmft_rf import DataError
from dmft_rf.files.replace import replacing
from dmft_rf.files.results import SCHEMA, load, save


def test_an_existing_file_is_kept_without_overwrite(tmp_path, results):
    path = tmp_path / "a.h5"
    path.write_bytes(b"precious")
    with pytest.raises(DataError, match="overwrite"):
        save(path, results["spectrum"])
    assert path.read_bytes() == b"precious"
    save(path, results["spectrum"], overwrite=True)
    assert set(load(path)) == {"spectrum"}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [RuntimeError("disk"), OSError("disk"), KeyboardInterrupt()])
@pytest.mark.parametrize("old", [None, b"old"])
def test_an_error_in_the_middle_leaves_no_trace(tmp_path, monkeypatch, results, error, old):
    path = tmp_path / "a.h5"
    if old is not None:
        path.write_bytes(old)
    create, seen = h5py.Group.create_dataset, []

    def broken(self, name, *args, **kwargs):
        seen.append(name)
        if len(seen) == 4:
            raise error
        return create(self, name, *args, **kwargs)

    monkeypatch.setattr(h5py.Group, "create_dataset", broken)
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else DataError
    with pytest.raises(expected):
        save(path, results["curves"], overwrite=True)
    assert len(seen) == 4
    assert [p.name for p in tmp_path.iterdir()] == ([] if old is None else ["a.h5"])
    assert old is None or path.read_bytes() == old


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path):
    path = tmp_path / "a.txt"

    def write_while_another_does() -> None:
        with replacing(path) as temporary:
            temporary.write_text("mine")
            path.write_text("theirs")

    with pytest.raises(DataError, match="exists"):
        write_while_another_does()
    assert path.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_keeps_pointing_to_the_replaced_file(tmp_path):
    target, link = tmp_path / "a.txt", tmp_path / "b.txt"
    target.write_text("old")
    link.symlink_to(target)
    with replacing(link, overwrite=True) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"


# What cannot be read ------------------------------------------------------------------------


def _refused(path: Path, message: str) -> None:
    before = path.read_bytes()
    with pytest.raises(DataError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_foreign_and_damaged_files_are_refused(tmp_path, results):
    path = tmp_path / "a.h5"
    with pytest.raises(DataError, match="no such file"):
        load(path)
    path.write_bytes(b"")
    _refused(path, "not a readable HDF5 file")
    path.write_text("tau,test\n1,2\n")
    _refused(path, "not a readable HDF5 file")
    with h5py.File(path, "w") as file:
        file["x"] = [1.0]
    _refused(path, "holds no results of this package")
    with h5py.File(path, "w") as file:
        file.attrs["dmft_rf_schema"] = SCHEMA + 1
    _refused(path, f"schema {SCHEMA + 1}")
    with h5py.File(path, "w") as file:
        file.attrs["dmft_rf_schema"] = 1
        file.create_group("empty")
    _refused(path, "/empty holds no result")
    with h5py.File(path, "w") as file:
        file.attrs["dmft_rf_schema"] = 1
        file["x"] = [1.0]
    _refused(path, "/x holds no result")
    with h5py.File(path, "w") as file:
        file.attrs["dmft_rf_schema"] = 1
        file.create_group("a").attrs["kind"] = "curves"
        file["a"].create_group("b")
    _refused(path, "not a readable HDF5 file")
