r"""Results in one HDF5 file, built from cells that are finished one by one and never lost.

While a run goes on, each finished cell is a small HDF5 file of its own in ``<file>.cells/``,
written under another name, flushed to disk and renamed: at every moment it is there completely or
not at all. At the end (and at any later run) the cells are merged into the one file, which is
replaced in the same way, and only then removed. A process that is killed at any moment leaves the
finished cells behind, and a rerun simulates the missing ones only. Several processes may work on
one file: who writes holds ``<file>.lock``, and what others have merged meanwhile is kept.

Layout of the file (schema 1): the attributes ``validation_schema``, ``package_version``,
``git_commit`` and ``versions``; one group per case with its parameters as attributes, in it one
group per cell, ``d<d>.s<seed>``, with the attributes d, seed, fingerprint, package_version,
git_commit, seconds, and the arrays of `validation.simulate.Cell`.
"""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy

from dmft_rf import DataError, __version__
from dmft_rf._interrupt import held_back
from dmft_rf.files.replace import remove_parts, replacing_hdf5
from dmft_rf.files.results import describe_model, describe_rule, git_commit
from validation.cases import Case
from validation.hdf5 import opened
from validation.locking import locked
from validation.simulate import Cell

SCHEMA = 1
_MARK = "validation_schema"


class Store:
    """The cells of one file.

    Parameters
    ----------
    path : path
        The HDF5 file; need not exist. Its folder does.

    Raises
    ------
    DataError
        If the file, or one of the cells beside it, is truncated, damaged, of a later schema, or
        not a file of this kind. Whatever is there is left alone.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self.journal = self.path.with_name(self.path.name + ".cells")
        self.cells: dict[str, Cell] = {}
        self._read()

    def _read(self) -> list[Cell]:
        """Add what is on disk to the cells; returns those that are not merged yet."""
        # before the file: what another process merges meanwhile is in the file
        small = [cell for file in sorted(self._files()) if (cell := _read_single(file)) is not None]
        merged = _read_all(self.path) if self.path.exists() else []
        self.cells.update((cell.key, cell) for cell in [*merged, *small])
        return small

    def _files(self) -> list[Path]:
        with contextlib.suppress(FileNotFoundError):
            return [*self.journal.glob("[!.]*.h5")]
        return []

    def has(self, case: Case, d: int, seed: int) -> bool:
        """Whether the cell is finished.

        Raises
        ------
        DataError
            If it is there but was computed for other parameters.
        """
        cell = self.cells.get(f"{case.name}.d{d}.s{seed}")
        if cell is None:
            return False
        if cell.fingerprint != case.fingerprint:
            raise DataError(
                f"{self.path}: the case {case.name} was simulated with other parameters "
                f"({cell.fingerprint}, not {case.fingerprint}); choose another output folder"
            )
        return True

    def of(self, case: Case) -> list[Cell]:
        """The finished cells of ``case`` among its sizes, by d and seed."""
        wanted = [(d, seed) for d, seeds in case.sizes for seed in range(seeds)]
        return [
            self.cells[f"{case.name}.d{d}.s{seed}"] for d, seed in wanted if self.has(case, d, seed)
        ]

    @held_back()
    def add(self, cell: Cell) -> None:
        """Keep a finished cell: it is on disk when this returns."""
        with locked(self.path, wait=True):  # nobody removes the folder meanwhile
            self.journal.mkdir(exist_ok=True)
            with replacing_hdf5(self._place(cell), overwrite=True) as file:
                file.attrs[_MARK] = SCHEMA
                _write_cell(file, cell)
        self.cells[cell.key] = cell

    @held_back()
    def merge(self, cases: list[Case]) -> None:
        """Write all cells into the one file, then remove the small ones.

        What the file holds already, by whatever version it was written, stays as it is.
        """
        about = {case.name: case for case in cases}
        with locked(self.path, wait=True):
            small = {cell.key: cell for cell in self._read()}
            start = self.path if self.path.exists() else None
            with replacing_hdf5(self.path, overwrite=True, start=start) as file:
                file.attrs[_MARK] = SCHEMA
                file.attrs["package_version"] = __version__
                file.attrs["git_commit"] = git_commit()
                file.attrs["versions"] = (
                    f"python {platform.python_version()}, numpy {np.__version__}, "
                    f"scipy {scipy.__version__}, h5py {h5py.__version__}"
                )
                for key, cell in sorted(self.cells.items()):
                    group = file.require_group(cell.case)
                    if cell.case in about and "about" not in group.attrs:
                        _describe(group, about[cell.case])
                    name = f"d{cell.d}.s{cell.seed}"
                    if name in group and key in small:
                        del group[name]
                    if name not in group:
                        _write_cell(group.create_group(name), cell)
            for cell in small.values():
                self._place(cell).unlink()
            # of processes that were killed
            remove_parts(self.path)
            for leftover in self.journal.glob(".*.part*"):
                leftover.unlink()
            with contextlib.suppress(OSError):
                self.journal.rmdir()

    def _place(self, cell: Cell) -> Path:
        return self.journal / f"{cell.key}.h5"


def _describe(group: Any, case: Case) -> None:
    attributes = {"about": case.about, "data": case.data, **describe_model(case.model)}
    for i, (label, rule) in enumerate(case.rules.items()):
        attributes[f"rule{i}"] = f"{label}: {describe_rule(rule)}"
        group.create_dataset(f"tau{i}", data=case.tau(rule))
    for key, value in attributes.items():
        group.attrs[key] = h5py.Empty("f8") if value is None else value
    for name in ("eigenvalues", "weights"):
        group.create_dataset(name, data=getattr(case.model.covariance, name))


def _write_cell(group: Any, cell: Cell) -> None:
    group.attrs["case"] = cell.case
    group.attrs["d"], group.attrs["seed"] = cell.d, cell.seed
    group.attrs["fingerprint"] = cell.fingerprint
    group.attrs["package_version"] = cell.package_version or __version__
    group.attrs["git_commit"] = cell.git_commit or git_commit()
    group.attrs["seconds"] = cell.seconds
    for name, array in cell.arrays.items():
        # a checksum, so that damage is an error and not a wrong number
        group.create_dataset(name, data=array, fletcher32=bool(array.shape and array.size))


def _read_cell(group: Any) -> Cell:
    arrays: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = np.asarray(item[()])

    group.visititems(visit)
    a = group.attrs
    return Cell(
        str(a["case"]), int(a["d"]), int(a["seed"]), str(a["fingerprint"]), arrays,
        float(a["seconds"]), str(a["package_version"]), str(a["git_commit"]),
    )  # fmt: skip


def _opened(path: Path) -> contextlib.AbstractContextManager[Any]:
    return opened(path, _MARK, SCHEMA, "is not a file of validation results")


@held_back()
def _read_all(path: Path) -> list[Cell]:
    with _opened(path) as file:
        return [
            _read_cell(group)
            for case in file.values()
            for name, group in case.items()
            if isinstance(group, h5py.Group) and name.startswith("d")
        ]


@held_back()
def _read_single(path: Path) -> Cell | None:
    """The cell of a small file; None if another process has merged it just now."""
    try:
        with _opened(path) as file:
            cell = _read_cell(file)
    except DataError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
    if f"{cell.key}.h5" != path.name:
        raise DataError(f"{path}: holds the cell {cell.key}; move it away")
    return cell
