"""Finished runs in one HDF5 file; beside it the checkpoints of those that are not.

Layout (schema 2): the attributes ``networks_schema`` and ``package_version`` at the root; one group
per run, named by `Setting.key`, with every parameter, fingerprint, seconds, ended, package_version,
git_commit, versions and what the trainer says (device, source and digest of the data, number of
parameters) as attributes; its data sets are the curves, measurements along the first axis. A run
whose ``ended`` is ``diverged`` holds the curves up to there and ``reason``.

The file is replaced whole: a copy with the new run is made in memory, written under another name,
flushed and renamed. Files of another kind, of a later schema, truncated or damaged are refused and
left alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy
from numpy.typing import NDArray

from dmft_rf import DataError, __version__
from dmft_rf._interrupt import held_back
from dmft_rf.files.replace import remove_parts, replacing_hdf5
from dmft_rf.files.results import git_commit
from validation.locking import locked
from validation.networks.checkpoints import Checkpoints
from validation.networks.files import (
    mark,
    opened,
    read_arrays,
    read_attributes,
    write_arrays,
    write_setting,
)
from validation.networks.plan import Setting

DIVERGED = "diverged"
#: curves that are pictures of generated samples and the nearest training pictures
PICTURES = frozenset({"shown", "shown_nearest"})


@dataclass(frozen=True)
class Run:
    """A run that has ended.

    Attributes
    ----------
    setting : Setting
    curves : dict
        Arrays with one row per measurement: step (m,), train, test, their ``_error`` and ``last_``
        variants (m, number of time indices), memorized and memorized_error (m, 3), frechet (m,),
        frechet_real (m, 2), score_error, shown and shown_nearest (m, 16, ...).
    facts : dict
        The other attributes.
    """

    setting: Setting
    curves: dict[str, NDArray[Any]]
    facts: dict[str, Any]

    @property
    def step(self) -> NDArray[np.float64]:
        """Steps of the measurements."""
        return self.curves["step"]

    @property
    def diverged(self) -> bool:
        """Whether there is no result, because the training diverged."""
        return bool(self.facts.get("ended") == DIVERGED)

    def same_numbers(self, other: Run) -> bool:
        """Whether setting, end and every measurement agree, bit for bit.

        Pictures of generated samples need not be kept in both.
        """
        mine, theirs = self.curves, other.curves
        if not mine.keys() & theirs.keys() >= PICTURES:
            mine, theirs = self.without_pictures().curves, other.without_pictures().curves
        return (
            self.setting == other.setting
            and self.diverged == other.diverged
            and mine.keys() == theirs.keys()
            and all(np.array_equal(mine[k], theirs[k], equal_nan=True) for k in mine)
        )

    def without_pictures(self) -> Run:
        """The run without its pictures, which take nine tenths of its size."""
        kept = {name: values for name, values in self.curves.items() if name not in PICTURES}
        return dataclasses.replace(self, curves=kept)


class Store:
    """The runs of one file.

    Parameters
    ----------
    path : path
        Need not exist; its folder does.

    Attributes
    ----------
    runs : dict of Run
        Finished runs by key.
    diverged : dict of Run
        Those that came to nothing.
    checkpoints : Checkpoints

    Raises
    ------
    DataError
        If the file is truncated, damaged, of a later schema or of another kind.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self.checkpoints = Checkpoints(self.path)
        self.runs: dict[str, Run] = {}
        self.diverged: dict[str, Run] = {}
        self._read()

    @held_back()
    def _read(self) -> None:
        if not os.path.lexists(self.path):
            return
        with opened(self.path, "runs") as file:
            found = [_read_run(group, self.path) for group in file.values()]
        self.runs = {run.setting.key: run for run in found if not run.diverged}
        self.diverged = {run.setting.key: run for run in found if run.diverged}

    @property
    def ended(self) -> dict[str, Run]:
        """All runs that have ended, either way, by key."""
        return {**self.runs, **self.diverged}

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the file for this process.

        Raises
        ------
        DataError
            If another process does, or it cannot be locked.
        """
        with locked(self.path):
            # what another process finished between reading and locking must not be lost
            self._read()
            # what processes leave that are killed
            remove_parts(self.path)
            self.checkpoints.drop_ended(run.setting for run in self.ended.values())
            self.checkpoints.tidy()
            try:
                yield
            finally:
                self.checkpoints.tidy()

    def has(self, setting: Setting) -> bool:
        """Whether the run has ended; one that diverged with other parameters has not.

        Raises
        ------
        DataError
            If a run of that name was finished with other parameters.
        """
        run = self.ended.get(setting.key)
        if run is None:
            return False
        if run.setting.fingerprint == setting.fingerprint:
            return True
        if run.diverged:
            return False
        mine, other = setting.describe(), run.setting.describe()
        changed = ", ".join(k for k in mine if mine[k] != other.get(k))
        raise DataError(
            f"{self.path}: holds {setting.key} with other parameters ({changed}); "
            "choose another output folder"
        )

    @held_back()
    def add(self, *runs: Run) -> None:
        """Keep runs, then drop their checkpoints; they are on disk when this returns.

        A run takes the place of one of the same name that diverged.
        """
        if not runs:
            return
        start = self.path if self.path.exists() else None
        with replacing_hdf5(self.path, overwrite=True, start=start) as file:
            mark(file, "runs")
            file.attrs["package_version"] = __version__
            for run in runs:
                _write_run(file, run, replace=run.setting.key in self.diverged)
        for run in runs:
            self.diverged.pop(run.setting.key, None)
            (self.diverged if run.diverged else self.runs)[run.setting.key] = run
            self.checkpoints.drop(run.setting)


def versions() -> dict[str, str]:
    """Version of the package, commit, and versions of what the numbers depend on."""
    return {
        "package_version": __version__,
        "git_commit": git_commit() or "unknown",
        "versions": f"python {platform.python_version()}, numpy {np.__version__}, "
        f"scipy {scipy.__version__}, h5py {h5py.__version__}",
    }


def _write_run(file: Any, run: Run, replace: bool) -> None:
    if replace:
        del file[run.setting.key]
    group = file.create_group(run.setting.key)
    write_setting(group, run.setting)
    for name, value in run.facts.items():
        group.attrs[name] = value
    write_arrays(group, run.curves)


def _read_run(group: Any, path: Path) -> Run:
    given = read_attributes(group)
    setting = Setting.of(given)
    if setting.fingerprint != str(given.pop("fingerprint")):
        raise DataError(f"{path}: the parameters of {setting.key} do not fit their fingerprint")
    known = set(setting.describe())
    facts = {name: value for name, value in given.items() if name not in known}
    return Run(setting, read_arrays(group), facts)
