"""Checkpoints: runs that have not ended, one file each, replaced whole.

A file ``<store>.checkpoints/<key>.h5`` holds the weights, the state of the optimiser and the
measurements so far. Several processes may write different runs at once.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf import DataError
from dmft_rf._interrupt import held_back
from dmft_rf.files.replace import replacing_hdf5
from validation.networks.files import (
    mark,
    opened,
    read_arrays,
    write_arrays,
    write_setting,
)
from validation.networks.plan import Setting

_KIND = "checkpoint"


@dataclass(frozen=True)
class Checkpoint:
    """A run that has not ended: its step, measurements, seconds and the trainer's arrays."""

    step: int
    seconds: float
    curves: dict[str, NDArray[Any]]
    leaves: list[NDArray[Any]]
    digest: str


class Checkpoints:
    """The checkpoints beside a store.

    Parameters
    ----------
    store : path
        The file of finished runs; the folder of checkpoints is made when it is first needed.
    """

    def __init__(self, store: str | os.PathLike[str]):
        # of a link, beside its target
        self.folder = Path(f"{os.path.realpath(store)}.checkpoints")

    def place(self, setting: Setting) -> Path:
        """File of a run."""
        return self.folder / f"{setting.key}.h5"

    @held_back()
    def save(self, setting: Setting, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint of a run."""
        self.folder.mkdir(exist_ok=True)
        with replacing_hdf5(self.place(setting), overwrite=True) as file:
            mark(file, _KIND)
            write_setting(file, setting)
            file.attrs["step"], file.attrs["seconds"] = checkpoint.step, checkpoint.seconds
            file.attrs["digest"] = checkpoint.digest
            write_arrays(file.create_group("curves"), checkpoint.curves)
            leaves = file.create_group("leaves")
            for i, leaf in enumerate(checkpoint.leaves):
                leaves.create_dataset(f"{i:04d}", data=leaf, fletcher32=bool(leaf.ndim))

    @held_back()
    def load(self, setting: Setting) -> Checkpoint | None:
        """Where a run was left, or None.

        Raises
        ------
        DataError
            If the file is damaged, of another kind or of other parameters.
        """
        place = self.place(setting)
        if not place.exists():
            return None
        with opened(place, _KIND) as file:
            if str(file.attrs["fingerprint"]) != setting.fingerprint:
                raise DataError(
                    f"{place}: is of a run with other parameters; move it away or choose another "
                    "output folder"
                )
            leaves = [np.asarray(item[()]) for _, item in sorted(file["leaves"].items())]
            return Checkpoint(
                int(file.attrs["step"]), float(file.attrs["seconds"]),
                read_arrays(file["curves"]), leaves, str(file.attrs["digest"]),
            )  # fmt: skip

    def drop(self, setting: Setting) -> None:
        """Remove the checkpoint of a run that has ended."""
        with contextlib.suppress(OSError):
            self.place(setting).unlink()

    def drop_ended(self, settings: Iterable[Setting]) -> None:
        """Remove checkpoints of runs that have ended; those of other parameters stay."""
        for setting in settings:
            with contextlib.suppress(DataError):
                if self.load(setting) is not None:
                    self.drop(setting)

    def tidy(self) -> None:
        """Remove what a kill left half written, and the folder if it is empty.

        Only for who holds the store while nobody trains for it.
        """
        for left in self.folder.glob(".*.part.*"):
            with contextlib.suppress(OSError):
                left.unlink()
        with contextlib.suppress(OSError):
            self.folder.rmdir()
