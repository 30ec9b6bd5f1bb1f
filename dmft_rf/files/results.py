"""Results in HDF5 files: written whole or not at all, read back bit by bit.

Layout of a file (schema 2): a block of 512 bytes with the SHA-256 of the rest
(`dmft_rf.files.hdf5`; files of schema 1 have none), the attribute ``dmft_rf_schema`` at the root,
and one group per run. The attributes of a group say what was computed and how:

    kind, package_version, git_commit, created_utc, wall_time_seconds,
    t, psi_p, psi_n, activation, noise_draws,
    covariance_label, dimension, samples, d_eff, expected_finite_size_error,
    rule and rule_<parameter> (curves),  rtol, error_estimate, and what the kind adds;

its data sets are the arrays: ``eigenvalues`` and ``weights`` of the covariance and what
`arrays_of` lists for each kind. What is not known is an empty attribute, None in Python.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dmft_rf._convert import flag, instance, shown
from dmft_rf._interrupt import held_back
from dmft_rf._paths import path_of
from dmft_rf._version import __version__
from dmft_rf.errors import DataError, ModelError
from dmft_rf.files.hdf5 import DAMAGE, is_hard_link, opened, stored_elsewhere
from dmft_rf.files.replace import replacing_hdf5
from dmft_rf.model.covariance import Covariance
from dmft_rf.model.mixture import Mixture
from dmft_rf.model.score_model import ScoreModel

if TYPE_CHECKING:
    from dmft_rf.curves.losses import LearningCurves
    from dmft_rf.curves.solve import Solution
    from dmft_rf.curves.timescales import Timescales
    from dmft_rf.pencil.spectrum import PencilSpectrum
    from dmft_rf.rules.flow import Rule
    from dmft_rf.rules.stochastic import StochasticGradientDescent
    from dmft_rf.spectra.spectrum import Spectrum
    from dmft_rf.sweeps.phase_diagram import PhaseDiagram
    from dmft_rf.sweeps.scaling import Scaling
    from dmft_rf.sweeps.sweep import Sweep

    Result: TypeAlias = (
        Spectrum | LearningCurves | Timescales | Scaling | Sweep | PhaseDiagram | PencilSpectrum
    )

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
        """Which result: spectrum, curves, timescales, scaling, sweep, phase-diagram or pencil."""
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
        try:
            lam, w = self.arrays["eigenvalues"], self.arrays["weights"]
            about = {"label": a["covariance_label"], "dimension": a["dimension"]}
            covariance: Covariance | Mixture
            if "shares" in self.arrays:
                covariance = Mixture(self.arrays["shares"], lam, w, **about)
            else:
                covariance = Covariance(lam, w, samples=a["samples"], **about)
            return ScoreModel(
                a["t"], a["psi_p"], a["psi_n"], a["activation"], covariance, a["noise_draws"]
            )
        except KeyError as error:
            raise DataError(f"the run does not say its {error.args[0]}") from None


def save(
    path: str | os.PathLike[str],
    result: Result | Mapping[str, Result],
    *,
    solution: Solution | None = None,
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
    if not (solution is None or type(solution).__name__ == "Solution"):
        raise ModelError(f"solution is {shown(solution)}; it must be what solve(model) returns")
    if not (extra is None or isinstance(extra, Mapping)):
        raise ModelError(f"extra is {shown(extra)}; it must be a mapping of names to values")
    prepared = {_name(name): _run(one, solution, extra) for name, one in runs.items()}
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
    # by name: the classes' modules need not be imported to store an instance of one of them
    kinds = {
        "Spectrum": "spectrum",
        "LearningCurves": "curves",
        "StochasticCurves": "curves",
        "Timescales": "timescales",
        "Scaling": "scaling",
        "Sweep": "sweep",
        "PhaseDiagram": "phase-diagram",
        "PencilSpectrum": "pencil",
    }
    kind = kinds.get(type(result).__name__)
    if kind is None:
        raise ModelError(f"only {', '.join(kinds)} can be stored, not {shown(result)}")
    return kind


def describe_model(model: ScoreModel) -> dict[str, Any]:
    """Return every parameter of ``model`` but the eigenvalues and weights, by attribute name."""
    c = model.covariance
    return {
        "t": model.t,
        "psi_p": model.psi_p,
        "psi_n": model.psi_n,
        "activation": model.activation.name,  # type: ignore[union-attr]
        "noise_draws": float(model.noise_draws),
        "covariance_label": c.label,
        "dimension": c.dimension,
        "samples": c.samples,
        "d_eff": c.effective_dimension,
        "expected_finite_size_error": c.expected_finite_size_error,
    }


def describe_rule(rule: Rule | StochasticGradientDescent) -> dict[str, Any]:
    """Return the rule's name and those of its parameters that are set, by attribute name.

    What is no number, such as a schedule, is stored as its text.
    """
    found = {f"rule_{f.name}": getattr(rule, f.name) for f in fields(rule)}
    parameters = {
        name: value if isinstance(value, int | float | str) else repr(value)
        for name, value in found.items()
        if value is not None
    }
    return {"rule": type(rule).__name__, **parameters}


def _run(result: Any, solution: Solution | None, extra: Mapping[str, Any] | None) -> Run:
    """Collect what is stored of one result."""
    kind = kind_of(result)
    solution = getattr(result, "solution", None) or solution
    model = getattr(result, "model", None) or getattr(solution, "model", None)
    if model is None and kind != "pencil":
        raise ModelError(
            "a Timescales is stored with the solution it came from: save(..., solution=)"
        )
    attributes, arrays = _COLLECT[kind](result)
    if solution is not None:
        attributes = {
            "rtol": solution.rtol,
            "error_estimate": solution.error_estimate,
            "wall_time_seconds": solution.diagnostics["seconds"],
            **attributes,
        }
    provenance = {
        "kind": kind,
        "package_version": __version__,
        "git_commit": git_commit(),
        "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    described = {} if model is None else describe_model(model)
    stated = {**described, **attributes, **provenance}
    more = {key: _checked(key, value) for key, value in (extra or {}).items()}
    if taken := sorted(stated.keys() & more.keys()):
        raise DataError(f"extra: {taken[0]} is stored already; choose another name")
    covariance = result.system.covariance if model is None else model.covariance
    law = {"eigenvalues": covariance.eigenvalues, "weights": covariance.weights}
    if isinstance(covariance, Mixture):
        law["shares"] = covariance.shares
    return Run({**stated, **more}, {**law, **arrays})


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


# What each kind adds: attributes and arrays ------------------------------------------------

Collected: TypeAlias = tuple[dict[str, Any], dict[str, NDArray[Any]]]


def _collect_spectrum(law: Spectrum) -> Collected:
    grid = law.grid()
    bulks = law.learning_bulks
    arrays: dict[str, NDArray[Any]] = {
        "edges": law.edges,
        "bulk_masses": law.bulk_masses,
        "atoms": law.atoms,
        "grid": grid,
        "density": law.density(grid),
    }
    if bulks is not None:
        arrays["learning_bulks"] = bulks
    return {"error_estimate": law.mass_error, "mass": law.mass}, arrays


def _collect_pencil(law: PencilSpectrum) -> Collected:
    grid = law.grid()
    arrays: dict[str, NDArray[Any]] = {
        "edges": law.edges,
        "bulk_masses": law.bulk_masses,
        "atoms": law.atoms,
        "grid": grid,
        "density": law.density(grid),
    }
    attributes: dict[str, Any] = {"error_estimate": law.mass_error, "mass": law.mass}
    attributes["pencil"] = law.system.pencil.describe()
    for name, value in law.system.values.items():
        attributes[f"parameter_{name}"] = float(value)
    return attributes, arrays


def _collect_curves(curves: LearningCurves) -> Collected:
    names = (
        "tau",
        "train",
        "test",
        "generalization_gap",
        "score_error",
        "empirical_error",
        "weight_norm",
    )
    arrays = {name: getattr(curves, name) for name in names}
    arrays |= {f"{name}_error": error for name, error in curves.error.items()}
    for name in ("train_noise", "test_noise", "load"):
        if hasattr(curves, name):  # those of SGD
            arrays[name] = getattr(curves, name)
    return {"error_estimate": curves.relative_error, **describe_rule(curves.rule)}, arrays


def _collect_timescales(times: Timescales) -> Collected:
    values = {
        f.name: float(value)
        for f in fields(times)
        if isinstance(value := getattr(times, f.name), float | np.floating)
    }
    return {**values, **{f"definition_{k}": v for k, v in times.definitions.items()}}, {}


def _collect_scaling(scaling: Scaling) -> Collected:
    arrays = {"values": np.asarray(scaling.values), "abscissa": np.asarray(scaling.abscissa)}
    arrays |= {name: np.asarray(values) for name, values in scaling.quantities.items()}
    arrays |= {f"{name}_exponent": np.asarray(v) for name, v in scaling.local_exponents.items()}
    attributes: dict[str, Any] = {"parameter": scaling.parameter, "rtol": scaling.rtol}
    attributes["error_estimate"] = scaling.rtol  # every solution has reached it
    attributes["tolerance"] = scaling.tolerance
    for prefix, fits in (("fit", scaling.fits), ("global_fit", scaling.global_fits)):
        for name, fit in fits.items():
            for f in fields(fit):
                attributes[f"{prefix}_{name}_{f.name}"] = _scalar(getattr(fit, f.name))
    for value, message in scaling.failures.items():
        attributes[f"failure_{value!r}"] = message
    return attributes, arrays


def _collect_sweep(sweep: Sweep) -> Collected:
    arrays = {f"axis_{name}": _texts(values) for name, values in sweep.axes.items()}
    arrays |= {name: np.asarray(values) for name, values in sweep.quantities.items()}
    arrays["status"] = sweep.status
    arrays["failures"] = np.array(list(sweep.failures), dtype=np.int64)
    arrays["failure_reasons"] = _texts(np.array(list(sweep.failures.values()), dtype=str))
    arrays["tau"] = sweep.request["tau"]
    attributes = {name: value for name, value in sweep.request.items() if name != "tau"}
    attributes["axes"] = ", ".join(sweep.axes)
    attributes["is_list"] = sweep.is_list
    attributes["complete"] = sweep.complete
    attributes["fingerprint"] = sweep.fingerprint
    return {**attributes, **describe_rule(sweep.rule)}, arrays


def _collect_phases(diagram: PhaseDiagram) -> Collected:
    arrays: dict[str, NDArray[Any]] = {f"axis_{name}": v for name, v in diagram.axes.items()}
    arrays |= {f"boundary_{name}": np.asarray(v) for name, v in diagram.boundaries.items()}
    arrays |= {"tau": diagram.tau, "regions": diagram.regions}
    arrays |= {"relative_gap": diagram.relative_gap, "ratio": diagram.ratio}
    attributes = {"x": diagram.x, "y": diagram.y, "region_names": ", ".join(diagram.region_names)}
    numbers = {name: getattr(diagram, name) for name in ("level", "multiple", "rtol")}
    return {**attributes, **numbers}, arrays


def _texts(values: NDArray[Any]) -> NDArray[Any]:
    """Strings as bytes in UTF-8, which HDF5 can hold; numbers as they are."""
    if values.dtype.kind != "U":
        return values
    return np.char.encode(values, "utf-8", "backslashreplace")


_COLLECT: dict[str, Callable[[Any], Collected]] = {
    "spectrum": _collect_spectrum,
    "curves": _collect_curves,
    "timescales": _collect_timescales,
    "scaling": _collect_scaling,
    "sweep": _collect_sweep,
    "phase-diagram": _collect_phases,
    "pencil": _collect_pencil,
}


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
