"""Damaged result files: one line that says so, before HDF5 sees them; never a wrong number."""

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest

import dmft_rf
from dmft_rf import DataError, ScoreModel
from dmft_rf.files import hdf5 as _hdf5
from dmft_rf.files.replace import replacing_hdf5
from dmft_rf.files.results import load, save
from figures.numbers import Numbers
from tests.helpers.sampling import seventh

MODEL = ScoreModel(0.1, 4.0, 2.0)


@pytest.fixture(scope="module")
def law():
    return dmft_rf.spectrum(MODEL)


@pytest.fixture
def path(tmp_path, law):
    """A file of results."""
    place = tmp_path / "a.h5"
    save(place, law)
    return place


@pytest.fixture
def no_hdf5(monkeypatch):
    """HDF5, which damage can keep busy for ever, must not be asked to open a file."""

    def opened(*_args, **_kwargs):
        raise AssertionError("a damaged file was given to HDF5")

    monkeypatch.setattr(h5py, "File", opened)


def refused(path, *parts):
    """The message with which a file is refused: one line that names it."""
    with pytest.raises(DataError) as caught:
        load(path)
    message = str(caught.value)
    assert message.isprintable()
    assert Path(path).name in message
    for part in parts:
        assert part in message
    return message


def flipped(path, place, bit):
    """Flip a bit of a file."""
    with path.open("r+b") as stream:
        stream.seek(place)
        (value,) = stream.read(1)
        stream.seek(place)
        stream.write(bytes([value ^ (1 << bit)]))


def copied(old, new, name):
    """Copy a run to another file; HDF5's own way ends some of its versions."""
    group = new.create_group(name)
    group.attrs.update(old[name].attrs)
    for key, data in old[name].items():
        group[key] = data[()]


@seventh
def test_no_flipped_bit_goes_unnoticed(path, no_hdf5, every):
    """All bits of the first block and one of every third later byte: names, attributes, indices."""
    size = path.stat().st_size
    bits = [(place, bit) for place in range(_hdf5.BLOCK) for bit in range(8)]
    bits += [(place, place % 8) for place in range(_hdf5.BLOCK, size, 3)]
    assert len(bits) > 5000
    for place, bit in bits[::every]:
        flipped(path, place, bit)
        refused(path)
        flipped(path, place, bit)


def test_what_is_flipped_back_is_the_same(path, law):
    flipped(path, 5000, 3)
    refused(path, "checksum")
    flipped(path, 5000, 3)
    assert np.array_equal(load(path)["spectrum"].arrays["edges"], law.edges)


def test_cut_lengthened_and_mixed_files(path, no_hdf5):
    whole = path.read_bytes()
    half = len(whole) // 2
    cases = [
        ("empty", b""),
        ("truncated", whole[:-1]),
        ("truncated", whole[:600]),
        ("truncated", whole[:100]),
        ("1 bytes follow its end", whole + b"\0"),
        ("follow its end", whole + whole),
        ("checksum", whole[:-64] + b"\xff" * 64),
        ("checksum", whole[:1024] + whole[half : half + 512] + whole[1536:]),
        ("another kind", bytes(512) + whole[512:]),
        ("damaged", b"\n" + whole),
    ]
    for words, content in cases:
        path.write_bytes(content)
        refused(path, words)
        assert path.read_bytes() == content


def test_a_file_whose_block_was_cut_off_is_no_result(path):
    path.write_bytes(path.read_bytes()[_hdf5.BLOCK :])
    refused(path)


def test_a_result_changed_by_another_program_is_refused(path, tmp_path):
    with h5py.File(path, "a") as file:
        file["spectrum/edges"][0, 0] = 0.5
    refused(path, "changed since it was written")
    copy = tmp_path / "copy.h5"
    with h5py.File(path) as old, h5py.File(copy, "w") as new:
        new.attrs.update(old.attrs)
        copied(old, new, "spectrum")
    refused(copy, "its seal is missing")


def test_results_of_the_first_schema_are_still_read(path, tmp_path, law):
    """They have no checksum of the whole."""
    old = tmp_path / "old.h5"
    with h5py.File(path) as now, h5py.File(old, "w") as then:
        then.attrs["dmft_rf_schema"] = 1
        copied(now, then, "spectrum")
    (run,) = load(old).values()
    assert run.model() == MODEL
    assert np.array_equal(run.arrays["density"], law.density(law.grid()))


def test_every_program_that_knows_hdf5_reads_a_result(path, law):
    with h5py.File(path, "r") as file:
        assert file.userblock_size == _hdf5.BLOCK
        assert np.array_equal(file["spectrum/edges"][()], law.edges)
    text = path.read_bytes()[: _hdf5.BLOCK].decode("ascii")
    assert text.isascii()
    assert text.splitlines()[0] == "dmft_rf sealed HDF5 1"


def test_the_same_content_gives_the_same_bytes(tmp_path):
    for name in ("a.h5", "b.h5"):
        with replacing_hdf5(tmp_path / name) as file:
            file.attrs["x"] = "y"
            file.create_group("g").create_dataset("v", data=np.arange(9.0), fletcher32=True)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_space_that_nothing_was_written_to_is_part_of_the_file(tmp_path):
    """HDF5 leaves it out of what it writes and counts it in the length."""
    with replacing_hdf5(tmp_path / "a.h5") as file:
        file.create_dataset("empty", shape=(100_000,), dtype="f8", track_times=False)
        file["empty"][0] = 1.0
        file.create_dataset("never", shape=(10,), chunks=(5,), dtype="f8")
    with _hdf5.opened(tmp_path / "a.h5") as (file, is_sealed):
        assert is_sealed
        assert file["empty"][()].sum() == 1.0


@pytest.mark.parametrize("old", [False, True])
def test_a_file_that_goes_on_is_checked_and_sealed(tmp_path, old):
    """Also one from before there were seals, which gets its block."""
    path = tmp_path / "a.h5"
    if old:
        with h5py.File(path, "w") as file:
            file["x"] = np.arange(5.0)
    else:
        with replacing_hdf5(path) as file:
            file["x"] = np.arange(5.0)
    with replacing_hdf5(path, overwrite=True, start=path) as file:
        file["y"] = 2.0 * file["x"][()]
    with _hdf5.opened(path) as (file, is_sealed):
        assert is_sealed
        assert np.array_equal(file["y"][()], 2.0 * np.arange(5.0))
    flipped(path, path.stat().st_size - 100, 2)
    before = path.read_bytes()
    with (
        pytest.raises(DataError, match="checksum"),
        replacing_hdf5(path, overwrite=True, start=path),
    ):
        pass
    assert path.read_bytes() == before


def test_numbers_of_figures_are_sealed_too(tmp_path):
    path = tmp_path / "n.h5"
    Numbers({"a/b": np.arange(4.0)}, {"about": "x"}).save(path)
    assert np.array_equal(Numbers.load(path)["a/b"], np.arange(4.0))
    for place in range(0, path.stat().st_size, 37):
        flipped(path, place, place % 8)
        with pytest.raises(DataError, match=r"n\.h5"):
            Numbers.load(path)
        flipped(path, place, place % 8)


def test_a_large_file_is_checked_in_pieces(tmp_path):
    path = tmp_path / "a.h5"
    with replacing_hdf5(path) as file:
        file["x"] = np.zeros(2_000_000)
    tracemalloc.start()
    with path.open("rb") as stream:
        assert _hdf5.check_seal(stream, path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000  # of 16 MB


def test_a_file_replaced_while_it_is_checked_is_checked_again(path, tmp_path, monkeypatch, law):
    """What is read is what was checked: here a damaged file takes the place of a good one."""
    damaged = tmp_path / "damaged.h5"
    damaged.write_bytes(path.read_bytes())
    flipped(damaged, 4000, 1)
    check = _hdf5.check_seal

    def then_replaced(stream, name):
        found = check(stream, name)
        if damaged.exists():
            os.replace(damaged, path)
        return found

    monkeypatch.setattr(_hdf5, "check_seal", then_replaced)
    refused(path)


# Files that take their numbers from elsewhere --------------------------------------------------


def in_a_result(path, fill):
    """A file of the first schema with a run that a function has filled."""
    with h5py.File(path, "w") as file:
        file.attrs["dmft_rf_schema"] = 1
        group = file.create_group("a")
        group.attrs["kind"] = "curves"
        fill(file, group)


def test_results_are_never_taken_from_other_files(tmp_path):
    """A missing source reads as zeros, and an external file is any file of the machine."""
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["x"] = np.ones(4)
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource("missing.h5", "x", shape=(4,))
    raw = tmp_path / "raw"
    raw.write_bytes(b"secret--" * 4)
    fills = [
        lambda _, group: group.create_virtual_dataset("test", layout, fillvalue=0.0),
        lambda _, group: group.create_dataset("test", (4,), "f8", external=[(raw, 0, 32)]),
        lambda _, group: group.__setitem__("test", h5py.ExternalLink(other, "x")),
        lambda _, group: group.__setitem__("test", h5py.SoftLink("/a/test")),
        lambda file, _: file.__setitem__("b", h5py.ExternalLink(other, "/")),
        lambda _, group: group.create_dataset("test", (4,), "f8"),
        lambda _, group: group.create_dataset("test", (10**12,), "f8", chunks=(10**6,)),
        lambda _, group: group.create_group("test"),
    ]
    for number, fill in enumerate(fills):
        path = tmp_path / f"{number}.h5"
        in_a_result(path, fill)
        refused(path)


def test_what_a_run_lacks_is_named(tmp_path):
    def fill(_, group):
        group.attrs["t"] = 0.1
        group["eigenvalues"] = group["weights"] = np.ones(1)

    in_a_result(tmp_path / "a.h5", fill)
    with pytest.raises(DataError, match="does not say its covariance_label"):
        load(tmp_path / "a.h5")["a"].model()


# What is no file ---------------------------------------------------------------------------


def test_nothing_that_could_block_is_opened(tmp_path):
    """In a process of its own: opening a pipe would wait for its other end."""
    program = (
        "import os, sys\n"
        "from dmft_rf import DataError, read_covariance\n"
        "from dmft_rf.pencil.files import read_pencil\n"
        "from dmft_rf.files.results import load\n"
        "os.mkfifo('pipe.h5'); os.mkdir('folder.h5')\n"
        "for name in ('pipe.h5', 'folder.h5', '/dev/zero', '/dev/null', '/dev/full', '/dev/tty'):\n"
        "    for read in (load, read_covariance, read_pencil):\n"
        "        try:\n"
        "            read(name)\n"
        "        except DataError as error:\n"
        "            print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True,
        timeout=60, env={**os.environ, "PYTHONPATH": str(Path(dmft_rf.__file__).parents[1])},
    )  # fmt: skip
    assert len(done.stdout.splitlines()) == 18, done.stdout


def test_a_sweep_of_the_first_schema_that_lacks_an_array(tmp_path):
    path, over = tmp_path / "a.h5", {"psi_n": [1.0, 2.0]}
    dmft_rf.sweep(MODEL, over, "tau_mem", path=path)
    for name in ("status", "tau_mem", "failures", "failure_reasons"):
        old = tmp_path / f"{name}.h5"
        with h5py.File(path) as now, h5py.File(old, "w") as then:
            then.attrs["dmft_rf_schema"] = 1
            copied(now, then, "sweep")
            del then["sweep"][name]
        with pytest.raises(DataError, match="not all in its file"):
            dmft_rf.sweep(MODEL, over, "tau_mem", path=old)
        assert dmft_rf.sweep(MODEL, over, "tau_mem", path=old, overwrite=True).complete
