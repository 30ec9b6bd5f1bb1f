"""Results in HDF5 files: written whole or not at all, read back bit by bit.

Layout of a file (schema 2): a block of 512 bytes with the SHA-256 of the rest
(`dmft_rf.files.hdf5`; files of schema 1 have none), the attribute ``dmft_rf_schema`` at the root,
and one group per run. The attributes of a group say what was computed and how:

    kind, package_version, git_commit, created_utc, wall_time_seconds,
    t, psi_p, psi_n, activation, noise_draws,
    covariance_label, dimension, samples, d_eff, expected_finite_size_error,
    rule and rule_<parameter> (curves),  rtol, error_estimate, and what the kind adds;

its data sets are the arrays: ``eigenvalues`` and ``weights`` of the covariance and what the kind
adds. A result says itself what is stored of it, with its ``kind`` and its method ``stored``
(`dmft_rf._stored`). What is not known is an empty attribute, None in Python.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._convert import flag, instance, mapping, shown
from dmft_rf._interrupt import held_back
from dmft_rf._paths import path_of
from dmft_rf._stored import Described, Result
from dmft_rf._version import __version__
from dmft_rf.errors import DataError, ModelError
from dmft_rf.files.hdf5 import DAMAGE, is_hard_link, opened, stored_elsewhere
from dmft_rf.files.replace import replacing_hdf5

if TYPE_CHECKING:
    from dmft_rf.model.score_model import ScoreModel

__all__ = ["SCHEMA", "Run", "describe_model", "describe_rule", "load", "save"]

SCHEMA = 2
"""Version of the layout; files of a later one are refused."""

_MARK = "dmft_rf_schema"


@dataclass(frozen=True)
class Run:
    """One stored result.

    Attributes
    ----------
    attributes : dict
        Parameters and provenance by name (see the module), str, int, float or None.
    arrays : dict
        Arrays by name.
    """

    attributes: dict[str, Any]
    arrays: dict[str, NDArray[Any]]

    def __post_init__(self) -> None:
        instance(self.attributes, dict, "attributes", "load(path)['curves'].attributes")
        instance(self.arrays, dict, "arrays", "load(path)['curves'].arrays")

    @property
    def kind(self) -> str:
        """Which result: spectrum, curves, timescales, scaling, sweep, phase-diagram, ..."""
        if "kind" not in self.attributes:
            raise DataError("the run does not say its kind")
        return str(self.attributes["kind"])

    def model(self) -> ScoreModel:
        """Return the model the run was made for.

        Raises
        ------
        ModelError
            If its activation was a function of the user's, which no file can hold.
        DataError
            If the run is of a pencil, which has no model, or a parameter is missing.
        """
        a = self.attributes
        if "t" not in a:
            raise DataError(f"a run of kind {self.kind!r} has no score model")
        from dmft_rf.model.score_model import stored_model

        try:
            return stored_model(a, self.arrays)
        except KeyError as error:
            raise DataError(f"the run does not say its {error.args[0]}") from None


def save(
    path: str | os.PathLike[str],
    result: Result | Mapping[str, Result],
    *,
    solution: Described | None = None,
    overwrite: bool = False,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write results to an HDF5 file, a group per run.

    Parameters
    ----------
    path : path
        In an existing folder.
    result : a result of one of the kinds of `Run.kind`, or a mapping of names to those
        A single result becomes the group named after its kind; a mapping gives the groups' names.
    solution : Solution, optional
        What learning curves or timescales were computed from: gives their rtol and wall time, and
        the parameters of a Timescales, which needs it.
    overwrite : bool, default False
        Whether an existing file may be replaced.
    extra : mapping, optional
        Further attributes of every group: str, bool, int, float or None.

    Raises
    ------
    DataError
        If the file cannot be written, exists, or ``extra`` or a name cannot be stored. A file
        that was there is then untouched.
    ModelError
        If ``result`` or ``solution`` is none of the above.
    """
    place, overwrite = path_of(path), flag(overwrite, "overwrite")
    runs = dict(result) if isinstance(result, Mapping) else {kind_of(result): result}
    if not runs:
        raise DataError(f"{place}: no result to store")
    if not (solution is None or hasattr(type(solution), "learning_curves")):
        raise ModelError(f"solution is {shown(solution)}; it must be what solve(model) returns")
    more = checked_extra(extra)
    prepared = {_name(name): _run(one, solution, more) for name, one in runs.items()}
    _write(path, prepared, overwrite)


@held_back()
def _write(path: str | os.PathLike[str], runs: dict[str, Run], overwrite: bool) -> None:
    with replacing_hdf5(path, overwrite=overwrite) as file:
        try:
            _fill(file, runs)
        except DAMAGE as error:
            raise DataError(f"{path_of(path)}: cannot be written ({error})") from error


def _fill(file: Any, runs: dict[str, Run]) -> None:
    import h5py

    file.attrs[_MARK] = SCHEMA
    for key, run in runs.items():
        group = file.create_group(key)
        for attribute, value in run.attributes.items():
            group.attrs[attribute] = h5py.Empty("f8") if value is None else _encodable(value)
        for array_name, array in run.arrays.items():
            # a checksum, so that damage is an error and not a wrong number
            group.create_dataset(
                array_name, data=array, fletcher32=bool(array.shape and array.size)
            )


@held_back()
def load(path: str | os.PathLike[str]) -> dict[str, Run]:
    """Read the runs of a file that `save` wrote.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict
        `Run` by the name of its group.

    Raises
    ------
    DataError
        If the file does not exist, was not written by `save`, has a later schema, or has changed
        since it was written, by a single bit. The file is only read.
    """
    name = path_of(path)
    try:
        with opened(name) as (file, is_sealed):
            if _MARK not in file.attrs:
                raise DataError(f"{name}: holds no results of this package (no {_MARK})")
            schema = int(file.attrs[_MARK])
            if not 1 <= schema <= SCHEMA:
                raise DataError(
                    f"{name}: has schema {schema}; this version ({__version__}) reads up to "
                    f"{SCHEMA}"
                )
            if schema > 1 and not is_sealed:
                raise DataError(f"{name}: its seal is missing, it was written by another program")
            return {key: _read(file, key) for key in file}
    except DataError:
        raise
    except DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{name}: is not a readable HDF5 file ({reason})") from error


def _read(file: Any, key: str) -> Run:
    import h5py

    group = file[key] if is_hard_link(file, key) else None
    if not isinstance(group, h5py.Group) or "kind" not in group.attrs:
        raise DataError(f"{file.filename}: /{key} holds no result of this package")
    attributes = {
        key: None if isinstance(value, h5py.Empty) else _scalar(value)
        for key, value in group.attrs.items()
    }
    return Run(attributes, {name: _array(group, name) for name in group})


def _array(group: Any, name: str) -> NDArray[Any]:
    """The numbers of a data set, which are all in this file."""
    import h5py

    data = group[name] if is_hard_link(group, name) else None
    if (
        not isinstance(data, h5py.Dataset)
        or stored_elsewhere(data)
        or data.id.get_storage_size() < data.nbytes
    ):
        raise DataError(
            f"{group.file.filename}: is not a readable HDF5 file of this package "
            f"({group.name}/{name} is no array that is stored whole in it)"
        )
    return np.asarray(data[()])


def _encodable(value: Any) -> Any:
    """A text with what HDF5 cannot hold made visible, such as bytes that are no UTF-8."""
    if not isinstance(value, str):
        return value
    return value.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _name(name: str) -> str:
    if not isinstance(name, str) or "/" in name or name in ("", ".", "..") or not _storable(name):
        raise DataError(f"{shown(name)} cannot name a run; it must be a string without '/'")
    return name


def _storable(name: str) -> bool:
    """Whether HDF5 can hold a name as it is."""
    return _encodable(name) == name


def kind_of(result: Any) -> str:
    """Return the name of the kind of a result, as in `Run.kind`."""
    kind = getattr(type(result), "kind", None)
    if not isinstance(kind, str):
        raise ModelError(
            f"result is {shown(result)}; it must be a result of this package, such as "
            "spectrum(model)"
        )
    return kind


def describe_model(model: Described) -> dict[str, Any]:
    """Return every parameter of ``model`` but the eigenvalues and weights, by attribute name."""
    return model.stored()[0]


def describe_rule(rule: Described) -> dict[str, Any]:
    """Return the rule's name and its parameters, by attribute name."""
    return rule.stored()[0]


def _run(result: Result, solution: Described | None, extra: dict[str, Any]) -> Run:
    """Collect what is stored of one result."""
    kind = kind_of(result)
    attributes, arrays = result.stored()
    if solution is not None:
        about, law = solution.stored()
        attributes = {**about, **attributes}
        arrays = {**law, **arrays}
    # every model says what law or which weights it has
    if not {"eigenvalues", "feature_weights"} & arrays.keys():
        raise ModelError(
            f"a {type(result).__name__} is stored with the solution it came from: "
            "save(..., solution=)"
        )
    attributes |= {
        "kind": kind,
        "package_version": __version__,
        "git_commit": git_commit(),
        "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    more = {key: _checked(key, value) for key, value in extra.items()}
    if taken := sorted(attributes.keys() & more.keys()):
        raise DataError(f"extra: {taken[0]} is stored already; choose another name")
    return Run({**attributes, **more}, arrays)


def checked_extra(extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """Further attributes of a caller's, of which none need be given."""
    return {} if extra is None else mapping(extra, "extra", '{"note": "first run"}')


def _checked(key: Any, value: Any) -> Any:
    if not isinstance(key, str) or not key or not _storable(key):
        raise DataError(f"extra: {shown(key)} cannot name an attribute; it must be a string")
    value = _scalar(value)
    if not (value is None or isinstance(value, str | bool | int | float)):
        raise DataError(f"extra: {key} is a {type(value).__name__}, not str, bool, int or float")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise DataError(f"extra: {key} is {value}, integers must fit into 64 bits")
    if isinstance(value, str) and "\0" in value:
        raise DataError(f"extra: {key} holds a null character")
    return value


@cache
def git_commit() -> str:
    """Return the commit of the checkout that the package runs from, "unknown" without one.

    "-dirty" is added where files differ from the commit.
    """
    root = Path(__file__).resolve().parents[2]
    # not any folder above: an installed package may lie inside somebody else's repository
    if not (root / ".git").exists():
        return "unknown"
    try:
        commit = _git(root, "rev-parse", "HEAD")
        # unlike describe --dirty, status leaves the index of the repository alone
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return "unknown"
    return f"{commit}-dirty" if changed else commit


def _git(root: Path, *command: str) -> str:
    """What a git command says that must not change anything."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    answer = subprocess.run(
        ["git", "--no-optional-locks", "-C", str(root), *command],
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
        env=clean,
    )
    return answer.stdout.strip()
