"""Arrays, archives and HDF5 files that say one thing and hold another: refused, or read right."""

import io
import resource
import struct
import subprocess
import sys
import tempfile
import zipfile

import h5py
import numpy as np
import pytest

from dmft_rf.data.read import iter_chunks, read_covariance
from dmft_rf.model.covariance import Covariance
from tests.helpers.samples import EXPECTED, RNG, X, refused, shape

# Arrays that are not what they seem -----------------------------------------------------------


def test_a_second_array_in_one_file_is_not_ignored(tmp_path):
    path = tmp_path / "x.npy"
    with path.open("wb") as stream:
        np.save(stream, X)
        np.save(stream, X)
    refused(path, "more than the 300 rows", "second numpy.save")


@pytest.mark.parametrize("shape", [(10**12, 0), (0, 8), (-5, 8), (10**12, 8), (2**63, 2**62)])
def test_headers_that_lie_about_the_shape(tmp_path, shape):
    path = tmp_path / "x.npy"
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117)
    with path.open("wb") as stream:
        stream.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + header + b"\n" + bytes(640))
    refused(path)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.write(path, "x.npy")
    refused(tmp_path / "x.npz")


def test_large_integers_are_not_rounded(tmp_path):
    x = 10**18 + np.arange(40).reshape(20, 2) ** 3
    np.save(tmp_path / "x.npy", x)
    refused(tmp_path / "x.npy", "beyond 2^53")
    np.save(tmp_path / "x.npy", x - 10**18)
    assert shape(tmp_path / "x.npy") == (20, 2)


def test_two_arrays_of_one_name(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, X)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", buffer.getvalue())
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("x.npy", buffer.getvalue())
    refused(tmp_path / "x.npz", "two arrays of the name 'x'")


def packed(path, shape, fortran, compression=zipfile.ZIP_DEFLATED, pieces=None):
    """An archive with an array of zeros, written without having it in memory."""
    header = {"descr": "|u1", "fortran_order": fortran, "shape": shape}
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, header)
    size = int(np.prod(shape)) if pieces is None else pieces
    with (
        zipfile.ZipFile(path, "w", compression) as archive,
        archive.open("x.npy", "w", force_zip64=True) as stream,
    ):
        stream.write(buffer.getvalue())
        for _ in range(size >> 20):
            stream.write(bytes(1 << 20))
        stream.write(bytes(size & ((1 << 20) - 1)))
    return path


@pytest.mark.parametrize("case", ["too wide", "shape", "pickle", "vector", "short", "long"])
def test_an_archive_is_not_unpacked_before_its_shape_is_known(tmp_path, monkeypatch, case):
    def temporary(*_args, **_kwargs):
        raise AssertionError("something was unpacked")

    monkeypatch.setattr(tempfile, "TemporaryFile", temporary)
    path = tmp_path / "x.npz"
    if case == "pickle":
        np.savez(path, x=np.asfortranarray(np.full((3, 3), None)))
    else:
        shapes = {"too wide": (10, 5000), "vector": (100,), "shape": (0, 5)}
        pieces = {"short": 100, "long": 10_000}.get(case)
        packed(path, shapes.get(case, (40, 40)), True, pieces=pieces)
    refused(path)


@pytest.mark.parametrize("fortran", [False, True])
def test_archives_that_blow_up(tmp_path, fortran, monkeypatch):
    monkeypatch.setattr("dmft_rf.data.readers._LARGE", 2**22)
    refused(packed(tmp_path / "x.npz", (2**20, 8), fortran), "8388736", "no samples")


def test_an_archive_is_unpacked_only_where_there_is_room(tmp_path, monkeypatch):
    x = np.asfortranarray(X)
    np.savez(tmp_path / "x.npz", x=x)
    assert np.array_equal(np.concatenate(list(iter_chunks(tmp_path / "x.npz"))), X)
    full = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: full)
    refused(tmp_path / "x.npz", "column by column", "temporary files")


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_only_numpys_own_compression(tmp_path, compression):
    """The others unpack without a limit to the memory."""
    refused(packed(tmp_path / "x.npz", (1000, 8), False, compression), "numpy does not use")


# HDF5 ------------------------------------------------------------------------------------------


def hdf5(path, **attributes):
    with h5py.File(path, "w") as file:
        file["x"] = X
        file["x"].attrs.update(attributes)
    return path


@pytest.mark.parametrize(
    ("attributes", "part"),
    [
        ({"scale_factor": 0.01}, "packed"),
        ({"add_offset": np.array([5.0])}, "packed"),
        ({"_Unsigned": "true"}, "unsigned"),
        ({"_FillValue": X[3, 2]}, "row 4, column 3"),
        ({"missing_value": np.array([X[0, 0]])}, "row 1, column 1"),
        ({"valid_range": np.array([-5.0, 5.0])}, "missing value"),
        ({"valid_max": 3.0}, "missing value"),
        ({"MATLAB_class": np.bytes_("double")}, "MATLAB"),
        ({"rhdf5-NA.OK": 1}, "stores arrays transposed"),
    ],
)
def test_numbers_with_a_meaning_of_their_own(tmp_path, attributes, part):
    refused(hdf5(tmp_path / "x.h5", **attributes), part)


@pytest.mark.parametrize(
    "attributes",
    [
        {"scale_factor": 1.0, "add_offset": 0.0},
        {"_FillValue": np.nan},
        {"_FillValue": -9999.0, "missing_value": 1e20},
        {"units": "m", "CLASS": "ARRAY", "TITLE": "x"},
        {"valid_range": np.array([-1e3, 1e3])},
        {"_Unsigned": "false"},
    ],
)
def test_attributes_that_change_nothing(tmp_path, attributes):
    law = read_covariance(hdf5(tmp_path / "x.h5", **attributes))
    np.testing.assert_allclose(law.eigenvalues, EXPECTED, rtol=1e-12)


def test_numbers_that_were_never_written(tmp_path):
    cases = {
        "nothing": {"chunks": None},
        "chunks": {"chunks": (10, 8)},
        "packed": {"chunks": (10, 8), "compression": "gzip"},
    }
    for name, options in cases.items():
        path = tmp_path / f"{name}.h5"
        with h5py.File(path, "w") as file:
            data = file.create_dataset("x", (300, 8), "f8", **options)
            if name != "nothing":
                data[:290] = X[:290]
        refused(path, "nothing was written" if name == "nothing" else "29 of its 30 chunks")
    for size in ((10**12, 8), (10**12, 0), (10**9, 4096)):
        path = tmp_path / "huge.h5"
        with h5py.File(path, "w") as file:
            data = file.create_dataset("x", size, "f8", chunks=(1000, 8) if size[1] else None)
            if size[1]:
                data[:2] = 1.0
        refused(path)


def test_a_fill_value_of_the_file_is_a_missing_number(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        data = file.create_dataset("x", (300, 8), "f8", chunks=(100, 8), fillvalue=9.96921e36)
        data[:299] = X[:299]
    refused(tmp_path / "x.h5", "row 300, column 1", "missing value")


def test_numbers_of_other_files_are_not_read(tmp_path):
    """A virtual data set reads as zeros where its source is missing: tau_gen was 93 for 67."""
    other = hdf5(tmp_path / "other.h5")
    layout = h5py.VirtualLayout((300, 8), "f8")
    layout[:150] = h5py.VirtualSource(str(other), "x", shape=(300, 8))[:150]
    layout[150:] = h5py.VirtualSource("missing.h5", "x", shape=(300, 8))[150:]
    raw = tmp_path / "raw"
    raw.write_bytes(X.tobytes())
    path = tmp_path / "x.h5"
    for word, fill in {
        "virtual": lambda file: file.create_virtual_dataset("x", layout, fillvalue=0.0),
        "another file": lambda file: file.create_dataset(
            "x", X.shape, "f8", external=[(str(raw), 0, X.nbytes)]
        ),
    }.items():
        with h5py.File(path, "w") as file:
            fill(file)
        refused(path, word)
        refused(path, word, dataset="x")
    with h5py.File(path, "w") as file:
        file["linked"] = h5py.ExternalLink(str(other), "x")
        file["soft"] = h5py.SoftLink("/linked")
        file["folder"] = h5py.ExternalLink(str(other), "/")
        file["loop"] = h5py.SoftLink("/loop")
        file["y"] = X
    for name in ("linked", "soft", "folder/x", "loop", "loop/x"):
        refused(path, "link", dataset=name)
    assert shape(path) == X.shape
    assert shape(path, dataset="/y") == X.shape


def test_types_that_are_no_numbers(tmp_path):
    texts, enum = h5py.string_dtype(), h5py.enum_dtype({"cat": 0, "dog": 1}, basetype="i4")
    pair = np.dtype([("a", "f8"), ("b", "f8")])
    for dtype in (texts, enum, pair, h5py.ref_dtype, h5py.vlen_dtype("f8"), "c16", "V8", "S4"):
        path = tmp_path / "x.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("x", (30, 3), dtype=dtype)
        refused(path)
    with h5py.File(path, "w") as file:
        file["x"] = RNG.integers(0, 2, (30, 3)).astype(bool)
        file["x"].attrs["about"] = "bits"
    assert shape(path) == (30, 3)


def test_chunks_that_do_not_fit_the_memory(tmp_path, monkeypatch):
    """HDF5 unpacks a chunk as a whole, and again for each block that needs it."""
    monkeypatch.setattr("dmft_rf.data.hdf5_reader._MAX_CHUNK", 10_000)
    path = tmp_path / "x.h5"
    for chunks, fits in (((300, 8), False), ((100, 8), True), ((300, 1), True)):
        with h5py.File(path, "w") as file:
            file.create_dataset("x", data=X, chunks=chunks, compression="gzip")
        if fits:
            assert shape(path, chunk_bytes=64 * 20) == X.shape
        else:
            refused(path, "chunks of shape (300, 8)")
    refused(path, "chunks of shape (300, 1)", chunk_bytes=64)  # each chunk 300 times
    with h5py.File(path, "w") as file:  # not packed: HDF5 reads parts of a chunk
        file.create_dataset("x", data=X, chunks=(300, 8))
    assert shape(path, chunk_bytes=64) == X.shape


def test_files_of_very_many_objects(tmp_path, monkeypatch):
    monkeypatch.setattr("dmft_rf.data.hdf5_reader._MAX_OBJECTS", 50)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for i in range(100):
            file.create_group(f"g{i}")
        file["z"] = X
    refused(tmp_path / "x.h5", "name one as dataset")
    assert shape(tmp_path / "x.h5", dataset="z") == X.shape


# Memory ------------------------------------------------------------------------------------------


def test_memory_and_disk_are_bounded(tmp_path):
    """Lines of blanks, and an archive of 64 kB that holds 64 MB: read in 100 MB of address space.

    What the imports take is not counted.
    """
    path = tmp_path / "x.csv"
    with path.open("w") as stream:
        for i in range(700):
            stream.write(f"{i % 7}.5,{i % 3}.25".ljust(200_000) + "\n")
    packed(tmp_path / "x.npz", (2**18, 256), False)
    program = (
        "import resource, sys, warnings\n"
        "import numpy as np\n"
        "from dmft_rf.data.read import iter_chunks\n"
        "np.loadtxt(['1,2'], delimiter=',')\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 100_000_000,) * 2)\n"
        "print(*[sum(len(b) for b in iter_chunks(p, chunk_bytes=2**22)) for p in sys.argv[1:]])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path), str(tmp_path / "x.npz")],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.stdout.split() == ["700", "262144"], done.stderr
    assert resource.getpagesize() > 0


# Samples in memory --------------------------------------------------------------------------------


def test_samples_in_columns_are_told():
    with pytest.warns(match=r"are columns here, transpose"):
        Covariance.from_samples(X[:50].T)
