"""Covariances from files that hold eigenvalues instead of samples.

Either a file that this package has written, with the dimension, the number of samples and where
they came from; or a list of numbers: .txt or .csv, .npy, .h5.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._paths import input_file
from dmft_rf.data.readers import readable
from dmft_rf.data.text_reader import csv_blocks
from dmft_rf.errors import DataError, ModelError
from dmft_rf.files.hdf5 import has_seal
from dmft_rf.model.covariance import Covariance

__all__ = ["ENDINGS", "read_eigenvalues", "stored_covariance"]

ENDINGS = (".txt", ".csv", ".npy", ".h5", ".hdf5")
"""Files that `read_eigenvalues` reads."""

_MOST_BYTES = 2**26


def stored_covariance(
    path: Path, center: bool | None = None, options: Sequence[str] = ()
) -> Covariance:
    """Return the covariance of a file that this package has written.

    Parameters
    ----------
    path : pathlib.Path
    center : bool, optional
        Whether the sample mean has to have been taken out; None takes what there is.
    options : sequence of str
        Names of options that were given and that only samples have.

    Raises
    ------
    DataError
        If the file holds no covariance, is damaged, or an option does not fit it.
    """
    from dmft_rf.files.results import load

    runs = load(path)
    found = [run for run in runs.values() if run.attributes.get("kind") == "covariance"]
    if len(found) != 1:
        kinds = ", ".join(str(run.attributes.get("kind")) for run in runs.values())
        raise DataError(
            f"{path}: holds {kinds or 'nothing'} of dmft-rf and not one covariance, as "
            "`dmft-rf covariance DATA --out FILE.h5` writes it"
        )
    if options:
        raise DataError(
            f"{path}: holds eigenvalues; {options[0]} is an option of the samples they were "
            "computed from"
        )
    a, arrays = found[0].attributes, found[0].arrays
    if center is not None and a.get("centered", center) != center:
        done = "taken out" if a["centered"] else "left in"
        raise DataError(
            f"{path}: its eigenvalues were computed with the mean of the samples {done}; compute "
            "them anew, with center (--center or --no-center)"
        )
    try:
        return Covariance(
            arrays["eigenvalues"],
            arrays["weights"],
            label=a["covariance_label"],
            dimension=a["dimension"],
            samples=a["samples"],
        )
    except KeyError as error:
        raise DataError(f"{path}: does not say its {error.args[0]}") from None
    except ModelError as error:
        raise DataError(f"{path}: {error}") from None


def read_eigenvalues(source: str | os.PathLike[str]) -> Covariance:
    """Return the covariance whose eigenvalues stand in a file.

    Parameters
    ----------
    source : path
        A .txt or .csv file of numbers or an .npy file: eigenvalues in a row or in a column, or
        two columns, eigenvalues and their weights. An .h5 file with an array ``eigenvalues``
        and perhaps one ``weights``, or one that ``dmft-rf covariance`` has written.

    Returns
    -------
    Covariance
        Of unknown dimension and sample count, unless this package has written the file.

    Raises
    ------
    DataError
        If the file cannot be used.
    """
    path, status = input_file(source)
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise DataError(f"{path}: unknown ending {ending!r}, allowed are {', '.join(ENDINGS)}")
    if has_seal(path):
        return stored_covariance(path)
    if status.st_size > _MOST_BYTES:
        raise DataError(f"{path}: has {status.st_size} bytes, too many for eigenvalues")
    if ending in (".h5", ".hdf5"):
        values, weights = _hdf5(path)
    elif ending == ".npy":
        values, weights = _columns(path, _npy(path))
    else:
        blocks = list(csv_blocks(path, _MOST_BYTES, header=False, leave_out=[]))
        values, weights = _columns(path, np.concatenate(blocks))
    try:
        return Covariance(values, weights, label=f"eigenvalues of {path.name}")
    except ModelError as error:
        raise DataError(f"{path}: {error}") from None


def _columns(path: Path, table: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Eigenvalues and weights of a table."""
    if table.ndim == 1:
        return table, None
    if table.ndim == 2 and 1 in table.shape:
        return table.ravel(), None
    if table.ndim == 2 and table.shape[1] == 2:
        return table[:, 0], table[:, 1]
    raise DataError(
        f"{path}: has shape {table.shape}; eigenvalues are one row or column, or two columns with "
        "their weights in the second; samples are read by --data"
    )


def _npy(path: Path) -> NDArray[Any]:
    with readable(path, ".npy"):
        return np.asarray(np.load(path, allow_pickle=False))


def _hdf5(path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    import h5py

    with readable(path, "HDF5"), h5py.File(path, "r", locking=False) as file:
        if "eigenvalues" not in file:
            raise DataError(f"{path}: has no array 'eigenvalues'")
        weights = file["weights"][()] if "weights" in file else None
        return file["eigenvalues"][()], weights
