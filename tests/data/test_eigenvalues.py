"""Eigenvalues in files: what was computed once comes back, and lists of numbers are read."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from dmft_rf import Covariance, DataError, read_covariance
from dmft_rf.data.eigenvalues import read_eigenvalues
from dmft_rf.store import load, save

LAW = Covariance([0.5, 1.5, 4.0], [0.2, 0.3, 0.5], label="faces", dimension=40, samples=900)


def same(one: Covariance, other: Covariance) -> bool:
    return one == other and (one.label, one.samples) == (other.label, other.samples)


def test_a_stored_covariance_comes_back_bit_by_bit(tmp_path: Path) -> None:
    digits = read_covariance("digits")
    for number, law in enumerate((LAW, digits, Covariance.isotropic())):
        path = tmp_path / f"{number}.h5"
        save(path, law, extra={"centered": True})
        assert same(read_covariance(path), law)
        assert same(read_eigenvalues(path), law)
        assert load(path)["covariance"].attributes["samples"] == law.samples


def test_options_that_do_not_fit_it(tmp_path: Path) -> None:
    path = tmp_path / "law.h5"
    save(path, LAW, extra={"centered": False})
    assert same(read_covariance(path, center=False), LAW)
    with pytest.raises(DataError, match=r"law.h5: .* mean of the samples left in"):
        read_covariance(path, center=True)
    for option in ({"dataset": "x"}, {"resize": 3}, {"grey": True}, {"leave_out": []}):
        with pytest.raises(DataError, match=f"{next(iter(option))} is an option of the samples"):
            read_covariance(path, **option)


def test_files_that_hold_something_else(tmp_path: Path) -> None:
    from dmft_rf import ScoreModel, spectrum

    path = tmp_path / "x.h5"
    save(path, spectrum(ScoreModel(0.1, 4.0, 2.0)))
    with pytest.raises(DataError, match=r"x.h5: holds spectrum of dmft-rf .*dmft-rf covariance"):
        read_covariance(path)
    save(path, {"a": LAW, "b": LAW}, overwrite=True)
    with pytest.raises(DataError, match="not one covariance"):
        read_covariance(path)
    save(path, LAW, overwrite=True)
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="checksum differs"):
        read_covariance(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.txt", "0.5\n1.5\n4\n"),
        ("x.csv", "0.5,1.5,4\n"),
        ("x.txt", "# from a run\n100\n1 \n1.5\n"),
    ],
)
def test_lists_in_text(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    expected = [1.0, 1.5, 100.0] if "100" in text else [0.5, 1.5, 4.0]
    law = read_eigenvalues(tmp_path / name)
    assert law.eigenvalues.tolist() == expected
    assert (law.dimension, law.samples, law.label) == (None, None, f"eigenvalues of {name}")


def test_weights_in_a_second_column(tmp_path: Path) -> None:
    table = np.column_stack([LAW.eigenvalues, LAW.weights])
    np.savetxt(tmp_path / "x.txt", table, fmt="%.17g")
    np.save(tmp_path / "x.npy", table)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["eigenvalues"], file["weights"] = table.T
    for name in ("x.txt", "x.npy", "x.h5"):
        law = read_eigenvalues(tmp_path / name)
        assert np.array_equal(law.eigenvalues, LAW.eigenvalues)
        assert np.array_equal(law.weights, LAW.weights)
    np.save(tmp_path / "x.npy", LAW.eigenvalues)
    assert read_eigenvalues(tmp_path / "x.npy") == Covariance(LAW.eigenvalues)


def test_files_of_no_eigenvalues(tmp_path: Path) -> None:
    def refused(name: str, *parts: str) -> None:
        with pytest.raises(DataError) as caught:
            read_eigenvalues(tmp_path / name)
        assert all(part in str(caught.value) for part in (name, *parts))

    np.save(tmp_path / "x.npy", np.ones((4, 3)))
    refused("x.npy", "(4, 3)", "--data")
    np.save(tmp_path / "x.npy", np.array([1.0, -1.0]))
    refused("x.npy", ">= 0")
    np.save(tmp_path / "x.npy", np.array([1.0, None]))
    refused("x.npy", "not a readable .npy")
    (tmp_path / "x.txt").write_text("1\nx\n")
    refused("x.txt", "line 2", "'x'")
    refused("none.txt", "no such file")
    (tmp_path / "x.mat").write_text("1")
    refused("x.mat", "unknown ending")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["values"] = [1.0]
    refused("x.h5", "no array 'eigenvalues'")
    (tmp_path / "x.h5").write_bytes(b"nothing")
    refused("x.h5", "not a readable HDF5")
