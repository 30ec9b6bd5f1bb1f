"""The numbers behind a figure: named arrays and a few remarks, in one HDF5 file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dmft_rf import DataError, __version__
from dmft_rf._interrupt import held_back
from dmft_rf._typing import Array
from dmft_rf.files.replace import replacing_hdf5
from dmft_rf.files.results import git_commit
from validation.common.hdf5 import opened, read_arrays, write_arrays

SCHEMA = 1
_MARK = "figure_schema"


@dataclass
class Numbers:
    """What a figure is drawn from.

    Attributes
    ----------
    arrays : dict
        Float arrays by path, for example ``psi_n=8/theory/train``.
    remarks : dict
        Numbers and texts that describe them: profile, sizes, parameters.
    """

    arrays: dict[str, Array] = field(default_factory=dict)
    remarks: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, path: str) -> Array:
        return self.arrays[path]

    def __setitem__(self, path: str, values: ArrayLike) -> None:
        self.arrays[path] = np.asarray(values, dtype=float)

    def __contains__(self, path: str) -> bool:
        return path in self.arrays

    def number(self, path: str) -> float:
        """An array of one value as a float."""
        return float(self.arrays[path].reshape(()))

    def put(self, path: str, values: Mapping[str, ArrayLike]) -> None:
        """Add several arrays under one path."""
        for name, array in values.items():
            self[f"{path}/{name}"] = array

    def under(self, path: str) -> Iterator[str]:
        """Names of what is directly below ``path``, in the order in which it was added."""
        start = f"{path}/" if path else ""
        seen = dict.fromkeys(
            key[len(start) :].split("/")[0] for key in self.arrays if key.startswith(start)
        )
        yield from seen

    @held_back()
    def save(self, path: Path) -> None:
        """Write the file; it is the old one or the complete new one at every moment."""
        with replacing_hdf5(path, overwrite=True) as file:
            file.attrs[_MARK] = SCHEMA
            file.attrs["package_version"], file.attrs["git_commit"] = __version__, git_commit()
            file.attrs["order"] = list(self.arrays)
            for key, value in self.remarks.items():
                file.attrs[f"remark_{key}"] = value
            write_arrays(file, self.arrays)

    @classmethod
    @held_back()
    def load(cls, path: str | os.PathLike[str]) -> Numbers:
        """Read what `save` has written.

        Raises
        ------
        DataError
            If the file is missing, damaged or of another kind.
        """
        place = Path(path)
        if not place.exists():
            raise DataError(f"{path}: no numbers to draw from, there is no such file")
        with opened(place, _MARK, SCHEMA, "does not hold the numbers of a figure") as file:
            found = read_arrays(file)
            arrays = {str(key): found[str(key)] for key in file.attrs["order"]}
            remarks = {
                key.removeprefix("remark_"): value
                for key, value in file.attrs.items()
                if key.startswith("remark_")
            }
        return cls(arrays, remarks)
