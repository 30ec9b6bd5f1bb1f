"""Finished runs in one HDF5 file, and beside it the checkpoints of those that are not.

Layout (schema 1): the attributes ``networks_schema`` and ``package_version`` at the root; one group
per run, named by `Setting.key`, with every parameter, fingerprint, seconds, ended, package_version,
git_commit, versions and what the trainer says (device, source and digest of the data, number of
parameters) as attributes; its data sets are the curves, measurements along the first axis.

The file is replaced whole: a copy with the new run is written under another name, flushed and
renamed. A checkpoint ``<file>.checkpoints/<key>.h5`` (same mark, kind ``checkpoint``) holds the
weights, the state of the optimiser and the measurements so far, and is replaced in the same way.
Files of another kind, of a later schema, truncated or damaged are refused and left alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy
from numpy.typing import NDArray

from dmft_rf import DataError, __version__
from dmft_rf._output import replacing
from dmft_rf.store import git_commit
from validation.networks.plan import Setting

SCHEMA = 1
_MARK = "networks_schema"
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, EOFError)


@dataclass(frozen=True)
class Run:
    """A finished run.

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

    Raises
    ------
    DataError
        If the file is truncated, damaged, of a later schema or of another kind.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self.checkpoints = self.path.with_name(self.path.name + ".checkpoints")
        self.runs: dict[str, Run] = {}
        if os.path.lexists(self.path):
            with _opened(self.path, "runs") as file:
                self.runs = {key: _read_run(group, self.path) for key, group in file.items()}

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the file for this process.

        Raises
        ------
        DataError
            If another process does.
        """
        place = self.path.with_name(self.path.name + ".lock")
        try:
            stream = place.open("w")
        except OSError as error:
            raise DataError(f"{place}: cannot be written ({error})") from error
        with stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise DataError(f"{self.path}: another process is working on it") from None
            # what another process finished between reading and locking must not be lost
            self.runs = Store(self.path).runs
            yield

    def has(self, setting: Setting) -> bool:
        """Whether the run is finished.

        Raises
        ------
        DataError
            If a run of that name was made with other parameters.
        """
        run = self.runs.get(setting.key)
        if run is None:
            return False
        if run.setting.fingerprint != setting.fingerprint:
            mine, other = setting.describe(), run.setting.describe()
            changed = ", ".join(k for k in mine if mine[k] != other[k])
            raise DataError(
                f"{self.path}: holds {setting.key} with other parameters ({changed}); "
                "choose another output folder"
            )
        return True

    def add(self, run: Run) -> None:
        """Keep a finished run, then drop its checkpoint; it is on disk when this returns."""
        with replacing(self.path, overwrite=True) as temporary:
            if self.path.exists():
                shutil.copyfile(self.path, temporary)
            with h5py.File(temporary, "a") as file:
                file.attrs[_MARK], file.attrs["kind"] = SCHEMA, "runs"
                file.attrs["package_version"] = __version__
                group = file.create_group(run.setting.key)
                _write_setting(group, run.setting)
                for name, value in run.facts.items():
                    group.attrs[name] = value
                _write_arrays(group, run.curves)
        self.runs[run.setting.key] = run
        with contextlib.suppress(OSError):
            self._place(run.setting).unlink()
            self.checkpoints.rmdir()

    def save_checkpoint(self, setting: Setting, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint of a run."""
        self.checkpoints.mkdir(exist_ok=True)
        with (
            replacing(self._place(setting), overwrite=True) as temporary,
            h5py.File(temporary, "w") as file,
        ):
            file.attrs[_MARK], file.attrs["kind"] = SCHEMA, "checkpoint"
            _write_setting(file, setting)
            file.attrs["step"], file.attrs["seconds"] = checkpoint.step, checkpoint.seconds
            file.attrs["digest"] = checkpoint.digest
            _write_arrays(file.create_group("curves"), checkpoint.curves)
            leaves = file.create_group("leaves")
            for i, leaf in enumerate(checkpoint.leaves):
                leaves.create_dataset(f"{i:04d}", data=leaf, fletcher32=bool(leaf.ndim))

    def checkpoint(self, setting: Setting) -> Checkpoint | None:
        """Where a run was left, or None.

        Raises
        ------
        DataError
            If the file is damaged, of another kind or of other parameters.
        """
        place = self._place(setting)
        if not place.exists():
            return None
        with _opened(place, "checkpoint") as file:
            if str(file.attrs["fingerprint"]) != setting.fingerprint:
                raise DataError(
                    f"{place}: is of a run with other parameters; move it away or choose another "
                    "output folder"
                )
            curves = {name: np.asarray(item[()]) for name, item in file["curves"].items()}
            leaves = [np.asarray(item[()]) for _, item in sorted(file["leaves"].items())]
            return Checkpoint(
                int(file.attrs["step"]), float(file.attrs["seconds"]), curves, leaves,
                str(file.attrs["digest"]),
            )  # fmt: skip

    def _place(self, setting: Setting) -> Path:
        return self.checkpoints / f"{setting.key}.h5"


def versions() -> dict[str, str]:
    """Version of the package, commit, and versions of what the numbers depend on."""
    return {
        "package_version": __version__,
        "git_commit": git_commit() or "unknown",
        "versions": f"python {platform.python_version()}, numpy {np.__version__}, "
        f"scipy {scipy.__version__}, h5py {h5py.__version__}",
    }


def _write_setting(group: Any, setting: Setting) -> None:
    for name, value in setting.describe().items():
        group.attrs[name] = value
    group.attrs["fingerprint"] = setting.fingerprint


def _write_arrays(group: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
    for name, array in arrays.items():
        full = bool(array.ndim and array.size)
        packed = "gzip" if full and array.size > 1000 else None
        # a checksum, so that damage is an error and not a wrong number
        group.create_dataset(name, data=array, fletcher32=full, compression=packed)


def _read_setting(attributes: Mapping[str, Any]) -> Setting:
    given = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in attributes.items()
    }
    return Setting.of(given)


def _read_run(group: Any, path: Path) -> Run:
    setting = _read_setting(group.attrs)
    if setting.fingerprint != str(group.attrs["fingerprint"]):
        raise DataError(f"{path}: the parameters of {setting.key} do not fit their fingerprint")
    known = set(setting.describe())
    facts = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in group.attrs.items()
        if name not in known
    }
    facts.pop("fingerprint")
    return Run(setting, {name: np.asarray(item[()]) for name, item in group.items()}, facts)


@contextlib.contextmanager
def _opened(path: Path, kind: str) -> Iterator[Any]:
    """An HDF5 file of this kind, open for reading; DataError for anything else."""
    try:
        with h5py.File(path, "r") as file:
            if _MARK not in file.attrs or str(file.attrs.get("kind")) != kind:
                raise DataError(f"{path}: holds no {kind} of trained networks; it is left alone")
            if not 1 <= int(file.attrs[_MARK]) <= SCHEMA:
                raise DataError(
                    f"{path}: has schema {int(file.attrs[_MARK])}, this version reads {SCHEMA}"
                )
            yield file
    except DataError:
        raise
    except _DAMAGE as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path}: is truncated, damaged or no HDF5 file ({reason}); it is left alone, move it "
            "away or choose another output folder"
        ) from error
