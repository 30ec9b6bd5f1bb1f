"""Sweeps: quantities on a grid or a list of parameters, kept in a file that survives a crash."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dmft_rf._arithmetic import ieee
from dmft_rf._frozen import Frozen
from dmft_rf._paths import path_of
from dmft_rf._stored import Stored
from dmft_rf._version import __version__
from dmft_rf.errors import DataError, ModelError
from dmft_rf.files.replace import check_output, remove_parts
from dmft_rf.files.results import Run, git_commit, load, save
from dmft_rf.model.covariance import Covariance
from dmft_rf.model.mixture import Mixture
from dmft_rf.model.score_model import ScoreModel
from dmft_rf.rules.flow import GradientFlow, Rule
from dmft_rf.sweeps.plan import Plan
from dmft_rf.sweeps.quantities import DESCRIPTIONS, Request
from dmft_rf.sweeps.run import Campaign, Progress, checked_call, ledger_path
from dmft_rf.sweeps.tables import Table

if TYPE_CHECKING:
    import xarray

Array = NDArray[Any]

# the file is renewed while the work goes on, at most this share of the time
_RENEWAL_SHARE = 0.02
_RENEWAL_SECONDS = 10.0


@dataclass(frozen=True, eq=False)
class Sweep(Frozen):
    """Quantities at the points of a grid or a list.

    Attributes
    ----------
    model, rule
        What every point started from.
    axes : dict of arrays
        Swept values by name: along each axis of a grid, or of each point of a list. Activations are
        named, covariances stand with their labels.
    is_list : bool
    quantities : dict of arrays
        By name, shaped like the grid (or the list), followed by the times for learning curves and
        by (bulks, 2) for edges; nan where a point is missing or failed.
    status : uint8 array
        Shaped like the grid: 0 missing, 1 done, 2 failed.
    failures : dict
        Why, by the flat (C order) index of the point.
    request : dict
        tau, rtol, level, multiple, gap_level: what the quantities were asked for with.
    fingerprint : str
        Identity of everything above that decides a number.
    """

    kind: ClassVar[str] = "sweep"

    model: ScoreModel
    rule: Rule
    axes: dict[str, Array]
    is_list: bool
    quantities: dict[str, Array]
    status: NDArray[np.uint8]
    failures: dict[int, str]
    request: dict[str, Any]
    fingerprint: str

    @property
    def complete(self) -> bool:
        """Whether every point was computed or has failed."""
        return bool(np.all(self.status != 0))

    def stored(self) -> Stored:
        """What a file holds of the sweep: all that is needed to continue it."""
        attributes, arrays = self.model.stored()
        arrays |= {f"axis_{name}": _texts(values) for name, values in self.axes.items()}
        arrays |= self.quantities
        arrays["status"] = self.status
        arrays["failures"] = np.array(list(self.failures), dtype=np.int64)
        arrays["failure_reasons"] = _texts(np.array(list(self.failures.values()), dtype=str))
        arrays["tau"] = self.request["tau"]
        attributes |= {name: value for name, value in self.request.items() if name != "tau"}
        attributes["axes"] = ", ".join(self.axes)
        attributes |= {"is_list": self.is_list, "complete": self.complete}
        attributes["fingerprint"] = self.fingerprint
        return {**attributes, **self.rule.stored()[0]}, arrays

    def to_xarray(self) -> xarray.Dataset:
        """Return an xarray.Dataset: swept parameters as coordinates, quantities as variables.

        Raises
        ------
        ModelError
            If the extra ``xarray`` is not installed.
        """
        return dataset(self)


@ieee
def sweep(
    model: ScoreModel,
    over: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    quantities: str | Sequence[str],
    *,
    rule: Rule | None = None,
    tau: ArrayLike = (),
    rtol: float = 1e-10,
    level: float = 0.1,
    multiple: float = 3.0,
    gap_level: float = 0.1,
    path: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Compute quantities over any parameters of the model and the training rule.

    Parameters
    ----------
    model : ScoreModel
        What every point starts from.
    over : mapping, or sequence of mappings
        A grid: values by name, ``{"psi_n": [1, 2, 4], "t": [0.01, 0.1]}``, in a list, an array or
        anything one-dimensional; a single value is the same at every point. Or a list of points,
        ``[{"psi_n": 1, "t": 0.1}, ...]``. Names are the fields of ScoreModel, those of the rule,
        and arguments of a constructor of Covariance: "power_law.exponent", "power_law.atoms",
        "power_law.mean", "isotropic.scale".
    quantities : str or sequence of str
        Names of ``dmft_rf.points.DESCRIPTIONS``, which says what each is: "train", "test",
        "generalization_gap", "score_error" at the times ``tau``; the fields of Timescales; "edges",
        "edge_low", "edge_high", "bulks", "atom"; "final_train", "final_test", "final_score_error";
        "gap_final", "gap_window", "tau_overfit", "n_star", "n_window".
    rule : Rule
        GradientFlow() by default.
    tau : array
        Times of the learning curves, gradient-flow time; may hold 0 and inf.
    rtol, level
        As in ``solve`` and ``timescales``.
    multiple, gap_level : float
        c and level of "gap_window", "tau_overfit", "n_star" and "n_window".
    path : path, optional
        HDF5 file. Finished points are on disk at once, in FILE.points until the file is complete;
        the same call after an interruption computes the rest, and after completion nothing.
        Without a path the result lives in memory alone.
    overwrite : bool
        Whether another file at ``path`` may be replaced.
    executor : concurrent.futures.Executor, optional
        Where points are computed: a process pool, a Dask client's ``get_executor()``. This
        process by default.
    workers : int, optional
        Own worker processes, in place of an executor. They are started by spawning: a script needs
        ``if __name__ == "__main__":``.
    progress : callable, optional
        Called with (points finished, all points).

    Returns
    -------
    Sweep
        A point that could not be computed, for whatever reason, is nan and has it in ``failures``;
        the others are not touched by it. Values depend
        neither on the order of the points nor on where they are computed, bit by bit on machines of
        the same kind.

    Raises
    ------
    ModelError
        If a name is unknown, a value is none of its parameter, or workers cannot load the model or
        the main program.
    DataError
        If the file belongs to something else (it is left alone) or cannot be written.
    WorkerError
        If worker processes keep dying.
    """
    workers = checked_call(path, executor, workers, progress)
    rule = GradientFlow() if rule is None else rule
    request = Request.of(quantities, tau, rtol, level, multiple, gap_level)
    plan = Plan(model, rule, over, request)

    def result(tables: dict[str, Table]) -> Sweep:
        return of_table(tables["sweep"])

    if path is None:
        tables = Campaign({"sweep": plan}).tables()
        Campaign({"sweep": plan}).run(tables, executor=executor, workers=workers, progress=progress)
        return result(tables)
    found: Sweep = in_file(
        path, Campaign({"sweep": plan}), result, lambda found: {"sweep": found},
        overwrite=overwrite, executor=executor, workers=workers, progress=progress,
    )  # fmt: skip
    return found


def of_table(table: Table) -> Sweep:
    """The sweep that a table holds."""
    plan = table.plan
    request = plan.request
    return Sweep(
        model=plan.model,
        rule=plan.rule,
        axes={name: _axis(values) for name, values in plan.axes.items()},
        is_list=plan.is_list,
        quantities=table.quantities(),
        status=table.status.reshape(plan.shape).copy(),
        failures=dict(sorted(table.reasons.items())),
        request={
            "tau": np.array(request.tau),
            "rtol": request.rtol,
            "level": request.level,
            "multiple": request.multiple,
            "gap_level": request.gap_level,
            **{f"fixed_{name}": _stored(value) for name, value in plan.fixed.items()},
        },
        fingerprint=plan.fingerprint,
    )


def in_file(
    path: str | os.PathLike[str],
    campaign: Campaign,
    result: Callable[[dict[str, Table]], Any],
    stored: Callable[[Any], dict[str, Any]],
    *,
    overwrite: bool,
    executor: Executor | None,
    workers: int | None,
    progress: Progress | None,
    extra: Mapping[str, Any] | None = None,
) -> Any:
    """Run a campaign into the HDF5 file ``path``, or complete it, and return its result.

    ``result`` is made of the tables. ``stored`` of a result are the runs of the file; those with
    the name of a plan are sweeps, from which an unfinished file is taken up again; ``extra`` are
    further attributes of each.
    """
    start = time.perf_counter()
    path_of(path)
    tables = campaign.tables()
    begun = _begun(path, campaign, tables, overwrite)
    if begun and not _missing(tables):
        return _read_whole(tables, result, progress)

    from dmft_rf.files.ledger import Ledger

    with ExitStack() as stack:
        place, identity = ledger_path(path), campaign.identity(__version__, git_commit())
        replace = overwrite and not begun
        ledger = stack.enter_context(Ledger(place, identity, replace=replace))
        stack.callback(ledger.remove_if_empty)
        # nobody else writes this file from here on; until here somebody may have
        remove_parts(path)
        tables = campaign.tables()
        begun = _begun(path, campaign, tables, overwrite)
        if begun and not _missing(tables):
            ledger.remove()
            return _read_whole(tables, result, progress)

        def store(found: Any) -> None:
            nonlocal begun
            more = {"wall_time_seconds": time.perf_counter() - start, **(extra or {})}
            save(path, stored(found), overwrite=overwrite or begun, extra=more)
            begun = True

        renewal = _Renewal(lambda: store(result(tables)))
        try:
            campaign.run(
                tables, ledger=ledger, executor=executor, workers=workers, progress=progress,
                recorded=renewal,
            )  # fmt: skip
        except KeyboardInterrupt:
            with suppress(DataError):
                ledger.sync()
            raise
        final = result(tables)
        store(final)
        ledger.remove()
    return final


def _missing(tables: dict[str, Table]) -> int:
    return sum(table.missing for table in tables.values())


def _read_whole(
    tables: dict[str, Table], result: Callable[[dict[str, Table]], Any], progress: Progress | None
) -> Any:
    """The result of a complete file."""
    if progress is not None:
        size = sum(table.plan.size for table in tables.values())
        progress(size, size)
    return result(tables)


class _Renewal:
    """Stores what there is from time to time, at a small share of the running time."""

    def __init__(self, store: Callable[[], None]):
        self._store = store
        self._next = time.monotonic() + _RENEWAL_SECONDS

    def __call__(self) -> None:
        start = time.monotonic()
        if start < self._next:
            return
        self._store()
        end = time.monotonic()
        self._next = end + max(_RENEWAL_SECONDS, (end - start) / _RENEWAL_SHARE)


def _begun(
    path: str | os.PathLike[str], campaign: Campaign, tables: dict[str, Table], overwrite: bool
) -> bool:
    """Fill the tables from a file of the same campaign, if there is one at ``path``."""
    if not os.path.lexists(path):
        check_output(path, endings=(".h5", ".hdf5"))
        return False
    try:
        runs = load(path)
        there = {name: runs[name].attributes.get("fingerprint") for name in tables if name in runs}
        if there != {name: plan.fingerprint for name, plan in campaign.plans.items()}:
            raise DataError(
                f"{os.fspath(path)}: holds something else than this sweep; it is left alone. "
                "Choose another file or allow it to be replaced (overwrite, --overwrite)"
            )
        for name, table in tables.items():
            _fill(table, runs[name])
    except DataError:
        if not overwrite:
            raise
        check_output(path, overwrite=True, endings=(".h5", ".hdf5"))
        tables.update(campaign.tables())
        return False
    now = (__version__, git_commit())
    complete = not _missing(tables)
    for run in runs.values():
        then = (run.attributes["package_version"], run.attributes["git_commit"])
        if complete:
            _remove_ledger(path, campaign.identity(*then))
        elif then != now and not overwrite:
            raise DataError(
                f"{os.fspath(path)}: was begun by version {' '.join(map(str, then))}, this is "
                f"{' '.join(now)}; complete it with the first or choose another file"
            )
        elif then != now:
            tables.update(campaign.tables())
            return False
    return True


def _remove_ledger(path: str | os.PathLike[str], identity: dict[str, str]) -> None:
    """Remove what a process has left that was killed when its file had just become complete.

    A ledger of anything else, or one that another process holds, is left alone; so is everything
    where nothing can be written.
    """
    place = ledger_path(path)
    if place.exists():
        from dmft_rf.files.ledger import Ledger

        with suppress(DataError, OSError), Ledger(place, identity) as ledger:
            ledger.remove()


def _fill(table: Table, run: Run) -> None:
    size = table.plan.size
    try:
        rows = [np.reshape(run.arrays[name], (size, -1)) for name in table.shapes]
        table.rows[:] = np.concatenate(rows, axis=1)
        table.status[:] = run.arrays["status"].ravel()
        reasons = run.arrays["failure_reasons"]
        for index, reason in zip(run.arrays["failures"].tolist(), reasons.tolist(), strict=True):
            table.reasons[index] = reason.decode()
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"the points of a sweep are not all in its file ({error})") from None


def _texts(values: Array) -> Array:
    """Strings as bytes in UTF-8, which HDF5 can hold; numbers as they are."""
    if values.dtype.kind != "U":
        return values
    return np.char.encode(values, "utf-8", "backslashreplace")


def _axis(values: tuple[Any, ...]) -> Array:
    stored = [_stored(value) for value in values]
    if any(isinstance(value, str) for value in stored):
        return np.array(stored, dtype=str)
    return np.array(stored, dtype=float)


def _stored(value: Any) -> Any:
    """A number or a name that stands for a value."""
    if isinstance(value, int | float | str):
        return value
    if isinstance(value, Covariance | Mixture):
        return value.label
    return str(getattr(value, "name", getattr(value, "__name__", value)))


def dataset(swept: Sweep) -> xarray.Dataset:
    """See Sweep.to_xarray."""
    try:
        import xarray
    except ImportError:
        raise ModelError(
            "to_xarray needs the extra 'xarray': pip install 'dmft_rf[xarray]'"
        ) from None
    names = list(swept.axes)
    dims: tuple[str, ...] = ("point",) if swept.is_list else tuple(names)
    coordinates: dict[str, Any] = {
        name: (("point",) if swept.is_list else (name,), values)
        for name, values in swept.axes.items()
    }
    variables = {}
    for name, array in swept.quantities.items():
        extra: tuple[str, ...] = ()
        if name == "edges":
            extra = ("bulk", "end")
        elif array.ndim > len(dims):
            extra = ("tau",)
            coordinates["tau"] = ("tau", swept.request["tau"])
        variables[name] = (dims + extra, array, {"long_name": DESCRIPTIONS[name]})
    variables["status"] = (dims, swept.status, {"long_name": "0 missing, 1 done, 2 failed"})
    attributes = {
        key: value for key, value in swept.request.items() if isinstance(value, int | float | str)
    }
    return xarray.Dataset(variables, coordinates, {**attributes, "fingerprint": swept.fingerprint})
