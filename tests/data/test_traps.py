"""Files that would read as samples and are none: refused in a line that says what to do.

And files that look like them, which are read as they always were.
"""

import h5py
import numpy as np
import pytest

from dmft_rf import DataError, ModelError
from dmft_rf.data import bundled as datasets
from dmft_rf.data.read import iter_chunks, read_covariance
from tests.helpers import command
from tests.helpers.command import SMALL
from tests.helpers.samples import EXPECTED, RNG, X, refused, samples, shape


def csv(path, x, first="", fmt="%.6g"):
    np.savetxt(path, x, delimiter=",", fmt=fmt, header=first, comments="")
    return path


# Headers of numbers --------------------------------------------------------------------------


HEADERS = {
    "frequencies": ",".join(f"{f:.1f}" for f in np.linspace(400, 700, 8)),
    "falling": "8,7,6,5,4,3,2,1",
    "from one": "1,2,3,4,5,6,7,8",
    "years": "2017,2018,2019,2020,2021,2022,2023,2024",
    "uneven": "1990,1995,1999,2005,2006,2010,2015,2016",
    "wavelengths": "402.1,410.7,433.0,450.2,480.9,502.5,560.3,610.8",
    "identifiers": "348,12,77,5,9,1000,3,4",
}


@pytest.mark.parametrize("kind", ["floats", "integers", "large"])
@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
@pytest.mark.parametrize("rows", [12, 300])
def test_a_header_of_numbers_is_asked_about(tmp_path, header, kind, rows):
    """It was a sample: the largest eigenvalue of the frequencies was 200 times too large."""
    x = {"floats": X, "integers": np.rint(X), "large": 1e4 * X}[kind][:rows]
    path = csv(tmp_path / "x.csv", x, header)
    if kind != "floats" and header == HEADERS["identifiers"]:
        assert shape(path) == (rows + 1, 8)  # nothing tells these from a sample
        return
    refused(path, "line 1 may be a header", "--header", "--no-header")
    assert shape(path, header=True) == (rows, 8)
    assert shape(path, header=False) == (rows + 1, 8)


def test_the_right_numbers_below_a_header_of_numbers(tmp_path):
    path = csv(tmp_path / "x.csv", X, HEADERS["frequencies"], fmt="%.17g")
    law = read_covariance(path, header=True)
    np.testing.assert_allclose(law.eigenvalues, EXPECTED, rtol=1e-12)
    assert law.samples == 300


@pytest.mark.parametrize("columns", [3, 4])
def test_few_columns(tmp_path, columns):
    names = ",".join(map(str, range(2020, 2020 + columns)))
    for x in (X, 1e3 * X, np.rint(100 * X)):
        refused(csv(tmp_path / "x.csv", x[:, :columns], names), "may be a header")


@pytest.mark.parametrize("names", ["2019,2020", "2019"])
def test_a_header_far_from_all_numbers(tmp_path, names):
    columns = names.count(",") + 1
    path = csv(tmp_path / "x.csv", np.rint(X[:, :columns]), names)
    refused(path, "far from those of all other rows")


def plain_tables():
    """What nobody would take for a table with a header."""
    rng = np.random.default_rng(1)
    walk = np.cumsum(rng.standard_normal((60, 20)), axis=1)
    return {
        "normal": rng.standard_normal((60, 5)),
        "two columns": rng.standard_normal((40, 2)),
        "one column": rng.standard_normal((40, 1)),
        "heavy tails": rng.standard_cauchy((60, 4)),
        "digits": np.load(datasets.path("digits"))["images"][:200],
        "dice": rng.integers(1, 7, (60, 3)),
        "one hot": np.eye(10)[rng.integers(0, 10, 100)],
        "bits": rng.integers(0, 2, (50, 16)),
        "rising": np.sort(rng.standard_normal((60, 6)), axis=1),
        "walks": walk,
        "counts": rng.poisson(100.0, (60, 6)),
        "large": rng.integers(0, 65536, (60, 12)),
        "table": 5.0 + np.arange(60.0).reshape(20, 3),
        "answers": rng.integers(1, 6, (100, 9)),
        "class of two": rng.integers(0, 2, (60, 2)),
        "ramps": np.linspace(0, 1, 30)[:, None] * [1.0, 2.0, 5.0],
        "outlier": np.vstack([100 * rng.standard_normal((1, 6)), rng.standard_normal((60, 6))]),
        "origin": np.vstack([np.zeros((1, 6)), rng.standard_normal((60, 6))]),
    }


@pytest.mark.parametrize("name", plain_tables())
def test_plain_tables_are_read_as_they_stand(tmp_path, name):
    """In any order of their rows: no question, no row or column lost."""
    x = np.asarray(plain_tables()[name], dtype=float)
    if np.ptp(x[:, 0]) == 0.0 and np.ptp(x) == 0.0:
        pytest.skip("constant")
    rng = np.random.default_rng(2)
    for order in (np.arange(len(x)), *(rng.permutation(len(x)) for _ in range(10))):
        path = csv(tmp_path / "x.csv", x[order], fmt="%.17g")
        assert np.array_equal(np.concatenate(list(iter_chunks(path))), x[order])
    assert samples(path) == len(x)


@pytest.mark.parametrize("n", [1, 2, 4, 10])
def test_small_tables_of_floats_are_hardly_ever_asked_about(tmp_path, n):
    """Fewer than one in fifty of any size."""
    rng = np.random.default_rng(3)
    asked = 0
    for _ in range(200):
        x = rng.standard_normal((n + 1, int(rng.integers(1, 9))))
        path = csv(tmp_path / "x.csv", x, fmt="%.5f")
        try:
            assert shape(path) == x.shape
        except DataError:
            asked += 1
    assert asked <= 4


# Rows and columns that are no samples and features --------------------------------------------


LABELLED = np.column_stack([X, RNG.integers(0, 10, 300)])


@pytest.mark.parametrize("ending", [".csv", ".npy", ".npz", ".h5"])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize(
    "what",
    ["labels", "sorted labels", "row numbers", "times", "shuffled row numbers", "signs", "codes"],
)
def test_columns_that_are_no_features(tmp_path, ending, first, what):
    rng = np.random.default_rng(4)
    column = {
        "labels": rng.integers(1, 4, 300),
        "sorted labels": np.repeat(np.arange(10), 30),
        "row numbers": np.arange(300),
        "times": 0.1 * np.arange(300) - 3.0,
        "shuffled row numbers": rng.permutation(np.arange(900))[:300],
        "signs": rng.choice([-1, 1], 300),
        "codes": rng.choice([10, 20, 55], 300),
    }[what].astype(float)
    place = 0 if first else 8
    table = np.insert(X, place, column, axis=1)
    path = tmp_path / f"x{ending}"
    if ending == ".csv":
        csv(path, table, fmt="%.17g")
    elif ending == ".npy":
        np.save(path, table)
    elif ending == ".npz":
        np.savez(path, x=table)
    else:
        with h5py.File(path, "w") as file:
            file["x"] = table
    number = place + 1
    assert column.size == len(X)
    refused(path, f"column {number} ", f"--leave-out {number}", "--leave-out none", chunk_bytes=999)
    for out in ([number], [-1] if number == 9 else [-9]):
        law = read_covariance(path, leave_out=out)
        np.testing.assert_allclose(law.eigenvalues, EXPECTED, rtol=1e-12)
    assert read_covariance(path, leave_out=[]).dimension == 9


def test_labels_beside_pixels(tmp_path):
    """The usual file of handwritten digits: a label, then integers from 0 to 255."""
    images = np.load(datasets.path("digits"))["images"]
    labels = np.random.default_rng(5).integers(0, 10, len(images))
    for table, number in ((np.c_[labels, images], 1), (np.c_[images, labels], 65)):
        np.save(tmp_path / "x.npy", table)
        refused(tmp_path / "x.npy", f"column {number} holds 10 integers")
    np.save(tmp_path / "x.npy", images)
    assert read_covariance(tmp_path / "x.npy").dimension == 64


@pytest.mark.parametrize("name", ["label", "Class", '"target"', "id", "Index"])
@pytest.mark.parametrize("first", [False, True])
def test_columns_named_for_what_they_are(tmp_path, name, first):
    names = [name, "a", "b"] if first else ["a", "b", name]
    path = csv(tmp_path / "x.csv", X[:, :3], ",".join(names))
    refused(path, f"column {1 if first else 3} is called", "--leave-out")
    assert shape(path, leave_out=[1 if first else 3]) == (300, 2)
    assert shape(path, leave_out=[]) == (300, 3)


def test_a_column_of_words_is_left_out(tmp_path):
    path = tmp_path / "x.csv"
    lines = [f"{a:.17g},{b:.17g},setosa" for a, b in X[:, :2]]
    path.write_text("\n".join(lines))
    refused(path, "line 1, column 3", "setosa", "--header", "--leave-out 3")
    refused(path, "line 1, column 3", "setosa", "--leave-out 3", header=False)
    law = read_covariance(path, leave_out=[-1])
    np.testing.assert_allclose(law.eigenvalues, np.linalg.eigvalsh(np.cov(X[:, :2].T)), rtol=1e-12)
    path.write_text("name,400,410,420\n" + "\n".join(f"s{i},{i}.5,2.5,{i % 3}.1" for i in range(9)))
    assert shape(path, leave_out=[1], header=True) == (9, 3)
    path.write_text("a,1.5,2\nb,2.5,1\nc,3,4,5\n")
    refused(path, "line 3 has 4 cells", leave_out=[1])


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("NA,NA,NA\n1,2,4\n3,4,5\n5,7,6\n", ["line 1", "missing values only", "'NA'"]),
        ("null\n1\n2\n3\n", ["line 1", "missing values only"]),
        ("#N/A,#N/A\n1,2\n3,4\n", ["line 1", "missing values only"]),
        ("1,2\n#N/A,#DIV/0!\n3,4\n", ["line 2, column 1", "#N/A"]),
        ("1,2\nNA,3\n3,4\n", ["line 2, column 1", "'NA'"]),
        ("1,2\n,\n3,4\n", ["line 2, column 1", "empty"]),
        ("1.5\n\n2.5\n3.0\n", ["line 2 is empty", "missing"]),
        ("height\n1.5\n\n2.5\n", ["line 3 is empty"]),
        ("1,2,3\n4,5\n", ["line 2 has 2 cells", "first line has 3"]),
        (",0,1,2\n0,1.5,2,3\n1,1,2,9\n", ["column 1 has no name", "--leave-out 1"]),
        ("1,2\n3,4\x1b[2J\n", ["line 2, column 2"]),
    ],
)
def test_rows_that_would_be_dropped(tmp_path, text, parts):
    path = tmp_path / "x.csv"
    path.write_text(text)
    refused(path, *parts)


def test_a_second_line_of_a_header(tmp_path):
    path = csv(tmp_path / "x.csv", X, "a,b,c,d,e,f,g,h\n" + HEADERS["years"])
    refused(path, "line 2 may be a header", "remove it", "--header")
    assert shape(path, header=True) == (301, 8)


@pytest.mark.parametrize(
    "column", [X[:, 0], 5000.0 + 3000.0 * X[:, 0], np.abs(X[:, 1])], ids=["small", "large", "abs"]
)
def test_decimal_and_thousands_commas_are_no_columns(tmp_path, column):
    path = tmp_path / "x.csv"
    path.write_text("\n".join(f"{value:.3f}".replace(".", ",") for value in column))
    refused(path, "decimal or thousands comma")
    path.write_text("\n".join(f"{1000 + 100 * i:,}" for i in range(80)))
    refused(path, "thousands comma")


def test_blank_lines_at_the_ends_are_no_samples(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("\n\nheight\n\n1.5\n2.5\n# note\n3.5\n\n \n")
    assert shape(path) == (3, 1)


def test_a_word_for_missing_can_be_a_name(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("NA,na\n1,2\n3,4\n5,7\n")
    assert shape(path, header=True) == (3, 2)


def test_options_that_do_not_fit_are_refused(tmp_path):
    path = csv(tmp_path / "x.csv", X)
    np.save(tmp_path / "x.npy", X)
    refused(tmp_path / "x.npy", "header is for .csv", header=False)
    refused(path, "column 9 cannot be left out", leave_out=[9])
    refused(path, "all of them are left out", leave_out=list(range(1, 9)))
    for wrong in (
        {"header": 1},
        {"header": "yes"},
        {"leave_out": 1},
        {"leave_out": "1"},
        {"leave_out": [0]},
        {"leave_out": [1.0]},
        {"leave_out": [None]},
        {"center": 1},
        {"dataset": 3},
        {"chunk_bytes": 1e6},
        {"chunk_bytes": True},
        {"chunk_bytes": 10**400, "header": None, "leave_out": {}},
    ):
        with pytest.raises(ModelError) as caught:
            read_covariance(path, **wrong)
        assert str(caught.value).isprintable()


def test_the_command_has_the_options(tmp_path):
    path = csv(tmp_path / "x.csv", LABELLED[:, -4:], "2019,2020,2021,label", fmt="%.17g")
    arguments = ["spectrum", "--data", path, *SMALL]
    for options in ([], ["--header"], ["--leave-out", "-1"], ["--leave-out", "x"]):
        command.refused(*arguments, *options)
    found = command.result(*arguments, "--header", "--leave-out", "4")["covariance"]
    expected = np.linalg.eigvalsh(np.cov(X[:, -3:].T))
    np.testing.assert_allclose(np.multiply(found["eigenvalues"], found["divided_by"]), expected)
    assert found["d"] == 3
    assert command.run(*arguments, "--header", "--leave-out", "none").exit_code == 0
