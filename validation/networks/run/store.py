"""Runs that have ended in one HDF5 file; beside it, in a ledger, what is not complete.

Layout (schema 2): the attributes ``networks_schema`` and ``package_version`` at the root; one group
per run, named by `Setting.key`, with every parameter, fingerprint, seconds, ended, package_version,
git_commit, versions and what the trainer says (device, source and digest of the data, number of
parameters) as attributes; its data sets are the curves, measurements along the first axis. A run
whose ``ended`` is ``diverged`` holds the curves up to there and ``reason``.

While runs are trained, one process holds the ledger ``<file>.unfinished``, with the runs that have
ended and the checkpoints of those that have not: weights, state of the optimiser, measurements so
far. When the process ends the file is written, whole, and a ledger without checkpoints is removed.
A process that is killed leaves everything in the ledger. Files of another kind, of a later schema,
truncated or damaged are refused and left alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf import DataError, __version__
from dmft_rf._interrupt import held_back
from dmft_rf.files.ledger import Ledger
from dmft_rf.files.peek import peek
from dmft_rf.files.replace import remove_parts, replacing_hdf5
from validation.common.hdf5 import opened, packed, read_arrays, unfinished, unpacked, write_arrays
from validation.networks.run.plan import Setting

#: 2: runs may have diverged
SCHEMA = 2
DIVERGED = "diverged"
#: curves that are pictures of generated samples and the nearest training pictures
PICTURES = frozenset({"shown", "shown_nearest"})

_MARK, _KIND = "networks_schema", "runs"
_IDENTITY = {"work": "trained networks", "schema": SCHEMA}
# kinds of records
_RUN, _CHECKPOINT = "run/", "checkpoint/"


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

    def write(self, group: Any) -> None:
        """Put everything into a group of an HDF5 file."""
        about = {**self.setting.describe(), "fingerprint": self.setting.fingerprint, **self.facts}
        for name, value in about.items():
            group.attrs[name] = value
        write_arrays(group, self.curves, compress=True)


@dataclass(frozen=True)
class Checkpoint:
    """A run that has not ended: its step, measurements, seconds and the trainer's arrays."""

    step: int
    seconds: float
    curves: dict[str, NDArray[Any]]
    leaves: list[NDArray[Any]]
    digest: str


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

    Raises
    ------
    DataError
        If the file, or the ledger beside it, is truncated, damaged, of a later schema or of another
        kind.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self.unfinished = unfinished(path)
        self.runs: dict[str, Run] = {}
        self.diverged: dict[str, Run] = {}
        self._ledger: Ledger | None = None
        self._read(peek(self.unfinished, _IDENTITY))

    def _read(self, records: Iterable[tuple[str, bytes]]) -> None:
        # before the file: what another process completes meanwhile is in the file
        new = [unpacked(content, _read_run) for name, content in records if name.startswith(_RUN)]
        old = _read_all(self.path) if os.path.lexists(self.path) else []
        for run in [*old, *new]:
            self._take(run)

    def _take(self, run: Run) -> None:
        self.diverged.pop(run.setting.key, None)
        (self.diverged if run.diverged else self.runs)[run.setting.key] = run

    @property
    def ended(self) -> dict[str, Run]:
        """All runs that have ended, either way, by key."""
        return {**self.runs, **self.diverged}

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

    def checkpoint(self, setting: Setting) -> Checkpoint | None:
        """Where a run was left, or None.

        Raises
        ------
        DataError
            If it is of other parameters.
        """
        wanted = _checkpoint_name(setting)
        if self._ledger is not None:
            names, content = self._ledger.names(), self._ledger.get(wanted)
        else:
            records = dict(peek(self.unfinished, _IDENTITY))
            names, content = list(records), records.get(wanted)
        if content is not None:
            return unpacked(content, _read_checkpoint)
        if any(name.startswith(f"{_CHECKPOINT}{setting.key}/") for name in names):
            raise DataError(
                f"{self.unfinished}: holds a checkpoint of {setting.key} with other parameters; "
                "move the file away or choose another output folder"
            )
        return None

    # -- writing -------------------------------------------------------------------------------

    @contextlib.contextmanager
    def filling(self) -> Iterator[None]:
        """Hold the file for this process: runs and checkpoints can be added in the body.

        The file is written at the end, however the body ends.

        Raises
        ------
        DataError
            If another process holds it, or it cannot be written.
        """
        with Ledger(self.unfinished, _IDENTITY) as ledger:
            try:
                # what another process finished between reading and locking must not be lost
                self._read(ledger.records())
            except BaseException:
                ledger.remove_if_empty()
                raise
            for run in self.ended.values():  # a kill may have left their checkpoints
                ledger.drop(_checkpoint_name(run.setting))
            self._ledger = ledger
            try:
                yield
            finally:
                self._ledger = None
                self._complete(ledger)

    def add(self, *runs: Run) -> None:
        """Keep runs, then drop their checkpoints; all or none are kept when this returns.

        A run takes the place of one of the same name that diverged.
        """
        assert self._ledger is not None, "runs are added in the body of `filling`"
        self._ledger.add([(f"{_RUN}{run.setting.key}", packed(run.write)) for run in runs])
        for run in runs:
            self._take(run)
            self._ledger.drop(_checkpoint_name(run.setting))

    def save(self, setting: Setting, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint of a run."""
        assert self._ledger is not None, "checkpoints are saved in the body of `filling`"

        def write(file: Any) -> None:
            file.attrs["step"], file.attrs["seconds"] = checkpoint.step, checkpoint.seconds
            file.attrs["digest"] = checkpoint.digest
            write_arrays(file.create_group("curves"), checkpoint.curves)
            leaves = {f"{i:04d}": leaf for i, leaf in enumerate(checkpoint.leaves)}
            write_arrays(file.create_group("leaves"), leaves)

        self._ledger.put(_checkpoint_name(setting), packed(write))

    def _complete(self, ledger: Ledger) -> None:
        """Write the runs of the ledger into the file, whole; what is left are checkpoints."""
        names = ledger.names()
        new = [name for name in names if name.startswith(_RUN)]
        if new:
            self._write([name.removeprefix(_RUN) for name in new])
        if len(new) == len(names):
            ledger.remove()
        else:
            for name in new:
                ledger.drop(name)

    @held_back()
    def _write(self, keys: list[str]) -> None:
        remove_parts(self.path)  # of processes that were killed
        start = self.path if self.path.exists() else None
        with replacing_hdf5(self.path, overwrite=True, start=start) as file:
            file.attrs[_MARK], file.attrs["kind"] = SCHEMA, _KIND
            file.attrs["package_version"] = __version__
            for key in sorted(keys):
                if key in file:
                    del file[key]
                self.ended[key].write(file.create_group(key))


def _checkpoint_name(setting: Setting) -> str:
    return f"{_CHECKPOINT}{setting.key}/{setting.fingerprint}"


def _read_checkpoint(file: Any) -> Checkpoint:
    leaves = [leaf for _, leaf in sorted(read_arrays(file["leaves"]).items())]
    return Checkpoint(
        int(file.attrs["step"]), float(file.attrs["seconds"]), read_arrays(file["curves"]), leaves,
        str(file.attrs["digest"]),
    )  # fmt: skip


def _read_run(group: Any) -> Run:
    given = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in group.attrs.items()
    }
    setting = Setting.of(given)
    if setting.fingerprint != str(given.pop("fingerprint")):
        raise DataError(f"the parameters of {setting.key} do not fit their fingerprint")
    known = set(setting.describe())
    facts = {name: value for name, value in given.items() if name not in known}
    return Run(setting, read_arrays(group), facts)


@held_back()
def _read_all(path: Path) -> list[Run]:
    otherwise = f"holds no {_KIND} of trained networks"
    with opened(path, _MARK, SCHEMA, otherwise) as file:
        if str(file.attrs.get("kind")) != _KIND:
            raise DataError(f"{path}: {otherwise}; it is left alone")
        try:
            return [_read_run(group) for group in file.values()]
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
