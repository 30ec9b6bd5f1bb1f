"""Reading samples from files: the same covariance from every format, and clear refusals."""

import io
import tracemalloc
import zipfile

import h5py
import numpy as np
import pytest

from dmft_rf.data.read import CovarianceAccumulator, iter_chunks, read_covariance
from dmft_rf.errors import DataError, ModelError
from dmft_rf.model.covariance import Covariance, SampleSizeWarning
from tests.helpers.samples import refused

TINY = 8 * 5 * 7  # bytes: seven rows of five columns
X = np.random.default_rng(0).standard_normal((400, 5)) @ np.diag([1, 2, 3, 4, 5.0]) + 2.0
EXPECTED = np.linalg.eigvalsh(np.cov(X.T))


def write(path, x=X):
    """Write samples in the format of the ending."""
    match path.suffix:
        case ".npy":
            np.save(path, x)
        case ".npz":
            np.savez_compressed(path, x=x)
        case ".csv":
            np.savetxt(path, x, delimiter=",", fmt="%.17g")
        case ".txt":
            np.savetxt(path, x, fmt="%.17g")
        case _:
            with h5py.File(path, "w") as file:
                file["group/x"] = x
                file["other"] = np.arange(3)
    return path


# The accumulator -----------------------------------------------------------------------------


@pytest.mark.parametrize("center", [True, False])
def test_any_order_and_size_of_blocks(center):
    rng = np.random.default_rng(1)
    shuffled = rng.permutation(X)
    accumulator = CovarianceAccumulator()
    for block in np.split(shuffled, np.sort(rng.integers(0, 400, 60))):
        accumulator.update(block)  # some are empty, some have one row
    expected = np.cov(X.T) if center else X.T @ X / 400
    np.testing.assert_allclose(accumulator.covariance(center), expected, rtol=1e-12)
    np.testing.assert_allclose(accumulator.mean(), X.mean(axis=0), rtol=1e-13)
    assert (accumulator.n_samples, accumulator.dimension) == (400, 5)


def test_mean_far_from_zero():
    rng = np.random.default_rng(2)
    x = 1e6 * np.array([1.0, -1.0, 0.5]) + rng.standard_normal((3000, 3))
    exact = np.cov((x - 1e6 * np.array([1.0, -1.0, 0.5])).T)  # this difference is exact
    accumulator = CovarianceAccumulator()
    for block in np.split(x, 300):
        accumulator.update(block)
    np.testing.assert_allclose(accumulator.covariance(), exact, rtol=0, atol=1e-9)
    naive = x.T @ x / 3000 - np.outer(x.mean(axis=0), x.mean(axis=0))
    assert np.abs(naive - exact).max() > 1e-6  # what the update is for


def test_first_row_far_away():
    x = np.random.default_rng(3).standard_normal((1000, 2))
    x[0] = 1e6
    accumulator = CovarianceAccumulator()
    for block in np.split(x, 100):
        accumulator.update(block)
    np.testing.assert_allclose(accumulator.covariance(), np.cov(x.T), rtol=1e-9)


def test_accumulator_refuses():
    accumulator = CovarianceAccumulator()
    assert accumulator.dimension is None
    with pytest.raises(ModelError, match="at least 1 samples"):
        accumulator.mean()
    accumulator.update(np.eye(3))
    with pytest.raises(ModelError, match="2 columns cannot follow blocks of 3"):
        accumulator.update(np.ones((1, 2)))
    with pytest.raises(ModelError, match="row 4, column 1"):
        accumulator.update([[np.nan, 0.0, 0.0]])
    assert repr(accumulator) == "CovarianceAccumulator(n_samples=3, dimension=3)"
    np.testing.assert_allclose(accumulator.covariance(), np.cov(np.eye(3)), atol=1e-16)


def test_input_of_the_accumulator_is_left_alone():
    block = X.copy()
    CovarianceAccumulator().update(block)
    assert np.array_equal(block, X)


# Formats -------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".npy", ".npz", ".csv", ".txt", ".h5", ".hdf5"])
@pytest.mark.parametrize("chunk_bytes", [1, TINY, 1 << 26])
def test_every_format_in_blocks_of_every_size(tmp_path, ending, chunk_bytes):
    path = write(tmp_path / f"samples{ending}")
    blocks = list(iter_chunks(path, chunk_bytes=chunk_bytes))
    assert np.array_equal(np.concatenate(blocks), X)
    assert len(blocks) >= {1: 400, TINY: 58}.get(chunk_bytes, 1)
    assert all(8 * block.size <= max(chunk_bytes, 40) for block in blocks)
    law = read_covariance(path, chunk_bytes=chunk_bytes)
    np.testing.assert_allclose(law.eigenvalues, EXPECTED, rtol=1e-11)
    assert (law.dimension, law.samples, law.label) == (5, 400, f"samples{ending}")


@pytest.mark.parametrize("ending", [".npy", ".npz", ".h5"])
@pytest.mark.parametrize("dtype", [">f4", np.float16, np.longdouble, np.uint8, "<i8", bool])
def test_types_and_images(tmp_path, ending, dtype):
    images = (np.random.default_rng(4).uniform(0, 2, (100, 2, 3))).astype(dtype)
    path = write(tmp_path / f"images{ending}", images)
    blocks = list(iter_chunks(str(path), chunk_bytes=TINY))
    assert np.array_equal(np.concatenate(blocks), images.reshape(100, 6).astype(float))
    assert {block.dtype for block in blocks} == {np.dtype(float)}


@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_columns_first(tmp_path, ending):
    images = np.asfortranarray(np.random.default_rng(5).standard_normal((60, 2, 3)))
    path = write(tmp_path / f"images{ending}", images)
    blocks = np.concatenate(list(iter_chunks(path, chunk_bytes=TINY)))
    assert np.array_equal(blocks, images.reshape(60, 6))


def test_named_arrays(tmp_path):
    np.savez(tmp_path / "a.npz", one=X, two=2 * X)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["one"], file["deep/two"], file["text"] = X, 2 * X, "words"
    for name, key in (("a.npz", "two"), ("a.h5", "deep/two"), ("a.h5", "/deep/two")):
        law = read_covariance(tmp_path / name, dataset=key)
        np.testing.assert_allclose(law.eigenvalues, 4 * EXPECTED, rtol=1e-11)
        assert law.label == f"{name}:{key}"
        refused(tmp_path / name, "name one as dataset", "one", "two")
        refused(tmp_path / name, "'three'", "there is", "one", dataset="three")
    refused(tmp_path / "a.h5", "'deep'", dataset="deep")


def test_center_is_passed_on(tmp_path):
    path = write(tmp_path / "x.npy")
    expected = np.linalg.eigvalsh(X.T @ X / 400)
    np.testing.assert_allclose(
        read_covariance(path, center=False).eigenvalues, expected, rtol=1e-11
    )


def test_memory_stays_at_the_size_of_a_block(tmp_path):
    x = np.zeros((100_000, 20), dtype=np.uint8)
    x[::2] = 1
    peaks = {}
    for ending in (".npy", ".npz", ".h5"):
        path = write(tmp_path / f"x{ending}", x)
        tracemalloc.start()
        law = read_covariance(path, chunk_bytes=100_000)
        peaks[ending] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert law.mean == pytest.approx(0.25 * 100_000 / 99_999)
    assert max(peaks.values()) < 1_500_000  # of 2 MB on disk and 16 MB as float64


# Text ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "1,2\n3,4\n5,7\n",
        "a,b\n1,2\n3,4\n5,7",
        "\ufeffa,b\r\n1,2\r\n\r\n3,4\r\n5,7\r\n",
        "a;b\n1;2\n3;4\n5;7\n",
        " 1   2\n3\t4\n5 7\n",
        "# made by hand\n# x y\n1 2\n3 4\n# the last\n5 7\n",
        '"a","b"\n1.0, 2e0\n+3, .4e1\n5,7\n\n',
    ],
)
def test_dialects(tmp_path, text):
    path = tmp_path / "x.csv"
    path.write_bytes(text.encode())
    assert np.concatenate(list(iter_chunks(path))).tolist() == [[1, 2], [3, 4], [5, 7]]


def test_numbered_columns_are_a_header(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("0,1,2\n1,2,3\n3,4,5\n")
    assert np.concatenate(list(iter_chunks(path))).tolist() == [[1, 2, 3], [3, 4, 5]]


def test_one_column(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("height\n" + "\n".join(map(repr, X[:, 0].tolist())))
    assert read_covariance(path).mean == pytest.approx(X[:, 0].var(ddof=1), rel=1e-12)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["empty"]),
        ("\n \n# x\n", ["no rows"]),
        ("a,b\n", ["header and no rows"]),
        ("1,2\n", ["one row"]),
        ("a,b\n1,2\n", ["one row"]),
        ("1,2\n3\n", ["line 2", "1 cells", "first line has 2"]),
        ("a,b\n\n1,2\n3,4,5\n", ["line 4", "3 cells"]),
        ("1,2\n3,four\n", ["line 2, column 2", "'four'"]),
        ("1,x\n3,4\n", ["line 1, column 2", "'x'"]),
        ("1,2\n3,\n", ["line 2, column 2", "empty"]),
        ("1;2\n1,5;2\n", ["line 2, column 1", "'1,5'", "decimal point"]),
        ("1,2\n1_0,2\n", ["line 2, column 1", "'1_0'"]),
        (",a\n0,1\n1,2\n", ["column 1 has no name", "index=False"]),
        ("a,b\n1,2\n3,nan\n", ["row 2, column 2", "nan"]),
        ("1,2\ninf,3\n", ["row 2, column 1", "inf"]),
        ("1,2\n1e999,3\n", ["row 2, column 1", "inf"]),
        ("1,2\n1,2\n1,2\n", ["zero covariance"]),
        ("1,2\n" + "x" * 50 + ",2\n", ["xxx...", "line 2"]),
        (",".join("1" * 4097), ["4097, at most 4096"]),
        ("1" * 300_000, ["line 1 is longer"]),
    ],
)
def test_bad_text(tmp_path, text, parts):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    refused(path, *parts)


def test_line_numbers_far_down(tmp_path):
    path = write(tmp_path / "x.csv")
    path.write_text(path.read_text() + "1,2,3,4,?\n")
    refused(path, "line 401, column 5", chunk_bytes=TINY)


def test_text_that_is_not_text(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"1,2\n\xff\xfe\x00\n")
    refused(path, "UTF-8")


# Binary --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".npy", ".npz", ".h5", ".hdf5"])
def test_truncated_or_garbled(tmp_path, ending):
    path = write(tmp_path / f"x{ending}")
    whole = path.read_bytes()
    for size in [1, 5, 9, 60, 100, 120, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:size])
        refused(path, "truncated")
    for content in (b"", b"no such format\n" * 100, b"\x93NUMPY\x01\x00\xff\xff{'descr': (((("):
        path.write_bytes(content)
        refused(path)


@pytest.mark.parametrize("ending", [".npy", ".npz", ".h5"])
def test_flipped_bytes_never_escape(tmp_path, ending):
    rng = np.random.default_rng(6)
    path = write(tmp_path / f"x{ending}")
    whole = bytearray(path.read_bytes())
    for _ in range(60):
        damaged = bytearray(whole)
        for place in rng.integers(0, min(len(whole), 400), 3):
            damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            law = read_covariance(path)
        except DataError as error:
            assert "\n" not in str(error)  # noqa: PT017 - either outcome is right
        else:
            assert isinstance(law, Covariance)


def test_checksum_of_an_npz_is_verified(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, x=X)  # not compressed: only the checksum notices
    raw = bytearray(path.read_bytes())
    raw[1000] ^= 1
    path.write_bytes(raw)
    refused(path, "CRC")


@pytest.mark.parametrize("extra", [-8, 8])
def test_npz_member_of_wrong_length(tmp_path, extra):
    buffer = io.BytesIO()
    np.save(buffer, X)
    content = buffer.getvalue()
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", content[:extra] if extra < 0 else content + bytes(extra))
    refused(path, "truncated" if extra < 0 else "more than the 400 rows")


@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_pickles_are_refused(tmp_path, ending):
    path = tmp_path / f"x{ending}"
    x = np.array([[None, 1]], dtype=object)
    if ending == ".npy":
        np.save(path, x, allow_pickle=True)
    else:
        np.savez(path, x=x)
    refused(path, "never unpickled")


@pytest.mark.parametrize("ending", [".npy", ".npz", ".h5"])
@pytest.mark.parametrize(
    ("x", "parts"),
    [
        (np.ones((3, 2)) + 1j, ["complex128"]),
        (np.ones((2, 2), dtype=[("a", "f8"), ("b", "i4")]), ["only real numbers"]),
        (np.array([[b"a", b"b"]]), ["only real numbers"]),
        (np.ones((0, 3)), ["empty"]),
        (np.ones((3, 0)), ["empty"]),
        (np.ones((1, 3)), ["one row"]),
        (np.full((5, 3), 0.1), ["zero covariance"]),
        (np.ones((2, 4097), dtype=np.uint8), ["4097, at most 4096"]),
        (np.array([[1.0, 2.0], [3.0, np.nan]]), ["row 2, column 2", "nan"]),
        (np.array([[1.0, 2.0], [-np.inf, 1.0]]), ["row 2, column 1", "-inf"]),
        (np.array([[1e300], [-1e300], [1.0]]), ["overflows"]),
        (np.array([[1e-170], [3e-170], [1e-170]]), ["zero covariance"]),
    ],
)
def test_bad_arrays(tmp_path, ending, x, parts):
    refused(write(tmp_path / f"x{ending}", x), *parts)


def test_vectors_are_refused(tmp_path):
    refused(write(tmp_path / "x.npy", np.ones(4)), "(4,)", "reshape(-1, 1)")
    refused(write(tmp_path / "x.npz", np.ones(4)), "(4,)")
    refused(write(tmp_path / "y.npy", np.float64(4)), "shape ()")
    path = write(tmp_path / "x.h5", np.ones(4))
    refused(path, "no data set of 2 dimensions")
    refused(path, "(4,)", dataset="group/x")


def test_row_of_a_nan_in_a_late_block(tmp_path):
    x = X.copy()
    x[333, 2] = np.nan
    refused(write(tmp_path / "x.npy", x), "row 334, column 3", chunk_bytes=TINY)


def test_archive_without_arrays(tmp_path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.md", "nothing")
    refused(path, "has no array")


def test_paths(tmp_path):
    refused(tmp_path / "none.npy", "no such file", "digits")
    refused(tmp_path / "none.npy" / "x.npy", "no such file")
    refused(tmp_path, "directory")
    with pytest.raises(DataError, match=r"a.x00b.npy: .*null character"):
        read_covariance("a\0b.npy")
    refused("/dev/null", "not a regular file")
    for name in ("x.mat", "x", "x.npy.gz"):
        (tmp_path / name).write_bytes(b"x")
        refused(tmp_path / name, "unknown ending", ".hdf5")
    refused(write(tmp_path / "x.npy"), "dataset names an array", dataset="x")
    upper = tmp_path / "X.NPY"
    (tmp_path / "x.npy").rename(upper)
    assert read_covariance(upper).samples == 400
    with pytest.raises(ModelError, match="chunk_bytes"):
        read_covariance(upper, chunk_bytes=0)


def test_few_rows_warn(tmp_path):
    path = write(tmp_path / "x.npy", X[:40])
    with pytest.warns(SampleSizeWarning, match="40 samples of dimension 5") as caught:
        read_covariance(path)
    assert caught[0].filename == __file__
