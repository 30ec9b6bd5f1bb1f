"""Names of files, good and bad: what is wrong is said in one line, before the work."""

import os
import stat
from pathlib import Path

import h5py
import numpy as np
import pytest
from matplotlib.figure import Figure

import dmft_rf
from dmft_rf import Covariance, DataError, ModelError, ScoreModel, datasets, read_covariance, sweep
from dmft_rf._paths import path_of, same_file
from dmft_rf.errors import plain
from dmft_rf.files.replace import check_output, replacing, replacing_hdf5
from dmft_rf.files.results import Run, load, save
from dmft_rf.pencil.files import read_pencil
from dmft_rf.plotting import save_figure
from tests.helpers.command import refused, run
from tests.helpers.unprivileged import nobody_in

MODEL = ScoreModel(0.1, 4.0, 2.0)
SMALL = ["--t", "0.1", "--psi-p", "4", "--psi-n", "2"]
ESCAPE = "a\x1b[2J\x1b]0;title\x07"
UNDECODABLE = os.fsdecode(b"caf\xe9")
X = np.random.default_rng(0).standard_normal((60, 3))
EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "ridge.toml"


@pytest.fixture(scope="module")
def law():
    return dmft_rf.spectrum(MODEL)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


READERS = {"load": load, "read_covariance": read_covariance, "read_pencil": read_pencil}


def told(call, *arguments, **options):
    """The message with which a call is refused: one line that can be printed anywhere."""
    with pytest.raises(DataError) as caught:
        call(*arguments, **options)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) <= 1000
    message.encode("utf-8")
    return message


def no_work(monkeypatch):
    def work(*_args, **_kwargs):
        raise AssertionError("the work was begun")

    monkeypatch.setattr(dmft_rf, "spectrum", work)
    monkeypatch.setattr("dmft_rf.sweeps.run.work", work)


# What is no name -----------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, 3, True, 1.5, [], {}, object(), b"", "", "a\0b", b"a\0"])
def test_what_is_no_name_of_a_file(value, law, here):
    for reader in READERS.values():
        told(reader, value)
    told(save, value, law)
    told(check_output, value)
    told(save_figure, Figure(), value)
    told(path_of, value)
    if value is not None:
        told(sweep, MODEL, {"psi_n": [1.0]}, "tau_mem", path=value)
    assert list(here.iterdir()) == []


def test_names_in_every_form(here, law):
    """Text, bytes, pathlib and anything that has a path."""

    class Named:
        def __fspath__(self):
            return "d.h5"

    for name in ("a.h5", b"b.h5", Path("c.h5"), Named()):
        save(name, law)
        assert load(name)["spectrum"].model() == MODEL
    assert sorted(p.name for p in here.iterdir()) == ["a.h5", "b.h5", "c.h5", "d.h5"]
    np.save("x.npy", X)
    assert read_covariance(b"x.npy") == read_covariance(Path("x.npy"))


# Names that lead nowhere ------------------------------------------------------------------------


@pytest.fixture
def traps(here):
    """A folder with names that lead to nothing that could be read or written."""
    (here / "file").write_text("text")
    (here / "folder.h5").mkdir()
    for name, target in {
        "one": "two",
        "two": "one",
        "loop.h5": "one",
        "self.h5": "self.h5",
        "dangling.h5": "nowhere.h5",
        "away.h5": "nowhere/b.h5",
        "lost": "nowhere",
    }.items():
        (here / name).symlink_to(target)
    return here


NOWHERE = {
    "x" * 300 + ".h5": "too long",
    "y/" * 3000 + "a.h5": "too long",
    "one/a.h5": "circle",
    "loop.h5": "circle",
    "self.h5": "circle",
    "file/a.h5": "",
    "dangling.h5": "is a link to nowhere.h5, which does not exist",
    "away.h5": "is a link to nowhere/b.h5, which does not exist",
    "lost/a.h5": "",
    "missing/a.h5": "",
    "folder.h5": "",
    ".": "",
    "..": "",
    "/": "",
    "folder.h5/": "",
    "new.h5/": "",
}


@pytest.mark.parametrize("name", NOWHERE, ids=lambda name: name[:20])
def test_names_that_lead_nowhere(traps, law, monkeypatch, name):
    before = sorted(traps.rglob("*"))
    for reader in READERS.values():
        assert NOWHERE[name] in told(reader, name)
    for overwrite in (False, True):
        assert NOWHERE[name] in told(save, name, law, overwrite=overwrite)
        assert NOWHERE[name] in told(check_output, name, overwrite=overwrite)
    told(sweep, MODEL, {"psi_n": [1.0]}, "tau_mem", path=name)
    no_work(monkeypatch)
    if not name.endswith("/"):  # the command's own parser drops it
        refused("spectrum", *SMALL, "--out", name)
        refused("spectrum", *SMALL, "--out", name, "--overwrite")
        refused("spectrum", *SMALL, "--plot", name.replace(".h5", ".png") if "x" in name else name)
        refused("scaling", *SMALL, "--out", name)
        refused("spectrum", *SMALL, "--data", name)
        refused("pencil", name)
    assert sorted(traps.rglob("*")) == before


def test_a_link_to_a_file_is_as_good_as_the_file(here, law):
    save("a.h5", law)
    Path("b.h5").symlink_to("a.h5")
    save("b.h5", law, overwrite=True)
    assert Path("b.h5").is_symlink()
    assert load("b.h5").keys() == load("a.h5").keys()
    assert same_file(Path("a.h5"), Path("b.h5"))
    assert not same_file(Path("a.h5"), Path("c.h5"))
    np.savez("x.npz", X)
    Path("link.h5").symlink_to("x.npz")
    message = refused("spectrum", *SMALL, "--data", "x.npz", "--out", "link.h5", "--overwrite")
    assert "is the file of --data" in message


def test_longest_names_are_written(here, law):
    """As long as the file system allows, with any ending: the name of the part is shorter."""
    longest = "n" * 252 + ".h5"
    save(longest, law)
    assert load(longest).keys() == {"spectrum"}
    with replacing("t." + "e" * 253) as temporary:
        temporary.write_text("x")
    assert len(os.listdir()) == 2


def test_a_working_folder_that_was_removed(here, law, monkeypatch):
    np.save("x.npy", X)
    gone = here / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for reader in READERS.values():
        told(reader, "a.h5")
    words = "the working folder no longer exists"
    assert words in told(save, "a.h5", law)
    assert words in told(sweep, MODEL, {"psi_n": [1.0]}, "tau_mem", path="a.h5")
    save(here / "a.h5", law)
    assert load(here / "a.h5").keys() == {"spectrum"}
    assert read_covariance(here / "x.npy").dimension == 3
    no_work(monkeypatch)
    for arguments in (["spectrum", "--out", "a.h5"], ["spectrum"], ["pencil", "a.toml"]):
        assert words in refused(*arguments)


# What may not be read or written -----------------------------------------------------------------


def test_permissions_are_told_before_the_work(tmp_path, law, monkeypatch):
    closed, sealed, shared = (tmp_path / name for name in ("closed", "sealed", "shared"))
    for folder in (closed, sealed, shared):
        folder.mkdir()
    for name in ("closed/a.h5", "secret.h5", "secret.npy", "secret.toml", "shared/a.h5"):
        (tmp_path / name).write_bytes(b"x")
    for name in ("secret.h5", "secret.npy", "secret.toml"):
        (tmp_path / name).chmod(0)
    closed.chmod(0)  # no name in it can be looked up
    sealed.chmod(0o555)  # nothing can be added
    shared.chmod(0o1777)  # only one's own files can be replaced
    try:
        with nobody_in(tmp_path):
            assert "permission denied" in told(load, "secret.h5")
            assert "permission denied" in told(read_covariance, "secret.npy")
            assert "permission denied" in told(read_pencil, "secret.toml")
            assert "permission denied" in told(load, "closed/a.h5")
            for name in ("closed/a.h5", "closed/b.h5", "sealed/b.h5", "closed/deep/b.h5"):
                assert "permission denied" in told(check_output, name, overwrite=True)
                assert "permission denied" in told(save, name, law)
            if Path("shared/a.h5").stat().st_uid != os.geteuid():
                assert "another user" in told(check_output, "shared/a.h5", overwrite=True)
            save("shared/b.h5", law)
            save("shared/b.h5", law, overwrite=True)
            no_work(monkeypatch)
            refused("spectrum", *SMALL, "--out", "sealed/b.h5")
            refused("spectrum", *SMALL, "--plot", "sealed/b.png")
            refused("spectrum", *SMALL, "--data", "closed/b.npy")
            refused("pencil", "closed/b.toml")
            assert sorted(os.listdir("shared")) == ["a.h5", "b.h5"]
            assert os.listdir("sealed") == []
    finally:
        for folder in (closed, sealed):
            folder.chmod(0o700)


def test_what_is_said_of_a_file_system_without_room(here, law, monkeypatch):
    """Whatever keeps the trial from being made: read-only, quota, no inode left."""
    make = os.open

    def refuse(number):
        def opened(path, flags, *rest):
            if flags & os.O_CREAT:
                raise OSError(number, os.strerror(number), os.fspath(path))
            return make(path, flags, *rest)

        return opened

    for number, words in {
        30: "read-only",
        122: "quota",
        28: "disk is full",
        1: "not permitted",
    }.items():
        monkeypatch.setattr(os, "open", refuse(number))
        assert words in told(check_output, "a.h5")
        monkeypatch.undo()
        monkeypatch.chdir(here)
    assert list(here.iterdir()) == []


def test_devices_are_no_place_for_results(law):
    for name in ("/dev/full", "/dev/null", "/dev/zero", "/dev/stdout"):
        told(save, name, law)
        told(save, name, law, overwrite=True)
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


# Names that cannot be printed ---------------------------------------------------------------------


@pytest.mark.parametrize("stem", [ESCAPE, UNDECODABLE, "‮txt.exe", "a\nerror: b\r", "é 日本 🙂"])
def test_strange_names_are_read_written_and_shown(here, stem, law):
    """Nothing of a name reaches a terminal that obeys it, nothing stops a result."""
    data, results, picture = f"{stem}.csv", f"{stem}.h5", f"{stem}.png"
    np.savetxt(data, X, delimiter=",")
    found = read_covariance(data)
    assert found.label.isprintable()
    assert found.label == plain(data)
    model = MODEL.replace(covariance=found)
    save(results, dmft_rf.spectrum(model))
    (kept,) = load(results).values()
    assert kept.attributes["covariance_label"] == plain(data)
    assert kept.model() == model
    messages = [told(save, results, law), told(check_output, results)]
    messages += [told(reader, f"{stem}.none.csv") for reader in READERS.values()]
    messages.append(refused("spectrum", *SMALL, "--data", f"{stem}.none.csv"))
    assert "\n" in stem or all(plain(stem) in message for message in messages)
    if stem in (ESCAPE, UNDECODABLE):
        options = ["--data", data, "--overwrite", "--out", results, "--plot", picture]
        done = run("spectrum", *SMALL, *options)
        assert done.exit_code == 0, done.output
        assert (done.stdout + done.stderr).replace("\n", "").isprintable()


@pytest.mark.parametrize("stem", [ESCAPE, UNDECODABLE])
def test_strange_names_of_pencils_and_sweeps(here, stem):
    Path(f"{stem}.toml").write_bytes(EXAMPLE.read_bytes())
    for options in (["--json"], ["--out", f"{stem}.h5", "--plot", f"{stem}.png"]):
        done = run("pencil", f"{stem}.toml", *options)
        assert done.exit_code == 0, done.output
        assert (done.stdout + done.stderr).replace("\n", "").isprintable()
    for _ in range(2):
        found = sweep(MODEL, {"psi_n": [1.0, 2.0]}, "tau_mem", path=f"{stem}-sweep.h5")
        assert found.complete
    assert not [name for name in os.listdir() if name.endswith(".points")]


def test_labels_that_no_file_can_hold_are_stored_visibly(here):
    """Where a name came in by another way than a file."""
    for label in (UNDECODABLE, "\ud800", "a\0b"):
        model = MODEL.replace(covariance=Covariance([1.0, 2.0], label=label))
        save("a.h5", dmft_rf.spectrum(model), overwrite=True)
        (run,) = load("a.h5").values()
        assert run.attributes["covariance_label"].isprintable()
        assert run.model() == model
        laws = [model.covariance, Covariance([1.0, 3.0], label=label * 2)]
        sweep(model, {"covariance": laws}, "tau_mem", path="s.h5", overwrite=True)
        assert load("s.h5")["sweep"].attributes["complete"]
    for name in (UNDECODABLE, "a\0b", "", "a/b", None, 3, ".."):
        told(save, "b.h5", {name: dmft_rf.spectrum(MODEL)})
        if name != "a/b" and name != "..":
            told(save, "b.h5", dmft_rf.spectrum(MODEL), extra={name: 1.0})
    assert not Path("b.h5").exists()


# Doors -----------------------------------------------------------------------------------------


def test_wrong_types_at_the_doors_of_files(here, law):
    for result in (None, 3, "x", [law], MODEL, {"a": None}, {"a": 1}):
        with pytest.raises(ModelError) as caught:
            save("a.h5", result)
        assert str(caught.value).isprintable()
    for solution in (3, "x", MODEL):
        with pytest.raises(ModelError, match="solution is"):
            save("a.h5", law, solution=solution)
    for extra in (3, "x", [1]):
        with pytest.raises(ModelError, match="extra is"):
            save("a.h5", law, extra=extra)
    for extra in ({"a": 1j}, {"a": {}}, {"a": 10**400}, {3: 1}, {"a": np.zeros(3)}):
        told(save, "a.h5", law, extra=extra)
    for name in (None, 3, [], "x"):
        told(datasets.path, name)
    save("b.h5", law)
    for overwrite in ("no", 1, None, np.ones(2)):
        with pytest.raises(ModelError, match="overwrite is"):
            save("b.h5", law, overwrite=overwrite)
        with pytest.raises(ModelError, match="overwrite is"):
            check_output("b.h5", overwrite=overwrite)
    Path("b.h5").unlink()
    for attributes, arrays in ((None, {}), ({}, None), ("x", {})):
        with pytest.raises(ModelError):
            Run(attributes, arrays)
    with pytest.raises(DataError, match="kind"):
        _ = Run({}, {}).kind
    for accumulator in (None, 3, X):
        with pytest.raises(ModelError, match="accumulator is"):
            Covariance.from_accumulator(accumulator)
    assert list(here.iterdir()) == []


def test_files_of_hdf5_are_made_in_memory(here, monkeypatch):
    """The name of a temporary file does not matter to HDF5."""
    with replacing_hdf5(f"{UNDECODABLE}.h5") as file:
        file["x"] = X
    with h5py.File(f"{UNDECODABLE}.h5") as file:
        assert np.array_equal(file["x"][()], X)
