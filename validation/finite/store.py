r"""Results in one HDF5 file, written whole from cells that are finished one by one and never lost.

While a run goes on, each finished cell is a record of the ledger ``<file>.unfinished``, which one
process at a time holds. At the end of the run the file is written, whole, with the cells that it
had and the new ones, and the ledger is removed. A process that is killed at any moment leaves the
finished cells in the ledger, and a rerun simulates the missing ones only.

Layout of the file (schema 1): the attributes ``validation_schema``, ``package_version``,
``git_commit`` and ``versions``; one group per case with its parameters as attributes, in it one
group per cell, ``d<d>.s<seed>``, with the attributes d, seed, fingerprint, package_version,
git_commit, seconds, and the arrays of `validation.finite.simulate.Cell`.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py

from dmft_rf import DataError, __version__
from dmft_rf._interrupt import held_back
from dmft_rf.files.ledger import Ledger
from dmft_rf.files.peek import peek
from dmft_rf.files.replace import remove_parts, replacing_hdf5
from dmft_rf.files.results import describe_model, describe_rule, git_commit
from validation.common.hdf5 import (
    opened,
    packed,
    read_arrays,
    unfinished,
    unpacked,
    versions,
    write_arrays,
)
from validation.finite.case import Case
from validation.finite.simulate import Cell

SCHEMA = 1
_MARK = "validation_schema"
_IDENTITY = {"work": "simulated cells", "schema": SCHEMA}


class Store:
    """The cells of one file.

    Parameters
    ----------
    path : path
        The HDF5 file; need not exist. Its folder does.

    Attributes
    ----------
    cells : dict of Cell
        By key: those of the file and those of a run that is not finished.

    Raises
    ------
    DataError
        If the file, or the ledger beside it, is truncated, damaged, of a later schema, or not a
        file of this kind. Whatever is there is left alone.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self.unfinished = unfinished(path)
        self.cells: dict[str, Cell] = {}
        self._ledger: Ledger | None = None
        self._read(peek(self.unfinished, _IDENTITY))

    def _read(self, records: Iterable[tuple[str, bytes]]) -> None:
        # before the file: what another process completes meanwhile is in the file
        new = [unpacked(content, _read_cell) for _, content in records]
        old = _read_all(self.path) if os.path.lexists(self.path) else []
        self.cells.update((cell.key, cell) for cell in [*old, *new])

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

    @contextlib.contextmanager
    def filling(self, cases: Sequence[Case]) -> Iterator[None]:
        """Hold the file for this process: cells can be added, and it is complete at the end.

        After an exception the file is not written; what was added is in the ledger.

        Parameters
        ----------
        cases : sequence of Case
            What is written of the cases besides their cells.

        Raises
        ------
        DataError
            If another process holds the file, or it cannot be written.
        """
        with Ledger(self.unfinished, _IDENTITY) as ledger:
            self._ledger = ledger
            try:
                self._read(ledger.records())
                yield
            except BaseException:
                ledger.remove_if_empty()
                raise
            finally:
                self._ledger = None
            if new := set(ledger.names()):
                self._write({case.name: case for case in cases}, new)
            ledger.remove()

    def add(self, cell: Cell) -> None:
        """Keep a finished cell: it survives the death of this process when this returns."""
        assert self._ledger is not None, "cells are added in the body of `filling`"
        self._ledger.add([(cell.key, packed(lambda file: _write_cell(file, cell)))])
        self.cells[cell.key] = cell

    @held_back()
    def _write(self, about: dict[str, Case], new: set[str]) -> None:
        """Write the file; what it holds already, by whatever version, stays as it is."""
        remove_parts(self.path)  # of processes that were killed
        start = self.path if self.path.exists() else None
        with replacing_hdf5(self.path, overwrite=True, start=start) as file:
            file.attrs[_MARK] = SCHEMA
            for name, text in versions().items():
                file.attrs[name] = text
            for key, cell in sorted(self.cells.items()):
                group = file.require_group(cell.case)
                if cell.case in about and "about" not in group.attrs:
                    _describe(group, about[cell.case])
                name = f"d{cell.d}.s{cell.seed}"
                if name in group and key in new:
                    del group[name]
                if name not in group:
                    _write_cell(group.create_group(name), cell)


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
    write_arrays(group, cell.arrays)


def _read_cell(group: Any) -> Cell:
    a = group.attrs
    return Cell(
        str(a["case"]), int(a["d"]), int(a["seed"]), str(a["fingerprint"]), read_arrays(group),
        float(a["seconds"]), str(a["package_version"]), str(a["git_commit"]),
    )  # fmt: skip


@held_back()
def _read_all(path: Path) -> list[Cell]:
    with opened(path, _MARK, SCHEMA, "is not a file of validation results") as file:
        return [
            _read_cell(group)
            for case in file.values()
            for name, group in case.items()
            if isinstance(group, h5py.Group) and name.startswith("d")
        ]
