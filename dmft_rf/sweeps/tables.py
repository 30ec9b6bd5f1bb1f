"""The points of plans as a campaign: how they are computed, kept in a ledger and in a file."""

from __future__ import annotations

import hashlib
import math
import os
import struct
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np

from dmft_rf._arithmetic import usual
from dmft_rf._interrupt import recognized
from dmft_rf._stored import Result as StoredResult
from dmft_rf._typing import Array
from dmft_rf.curves.fused import Statement
from dmft_rf.errors import DataError, ModelError, reason_of
from dmft_rf.files.results import Run, checked_extra, load, save
from dmft_rf.model.covariance import Covariance
from dmft_rf.model.mixture import Mixture
from dmft_rf.model.score_model import ScoreModel
from dmft_rf.rules.flow import GradientFlow
from dmft_rf.rules.stochastic import TrainingRule
from dmft_rf.sweeps.campaign import Campaign, Job, Points, Result
from dmft_rf.sweeps.plan import Plan, Values, apply
from dmft_rf.sweeps.quantities import is_quick, packed_values, quick_values, unpacked
from dmft_rf.sweeps.request import Request
from dmft_rf.sweeps.results import Sweep

Shapes: TypeAlias = dict[str, tuple[int, ...]]
T = TypeVar("T")

MISSING, DONE, FAILED = 0, 1, 2

_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class PlanJob(Job):
    """Some points of a plan, by number, with all that a worker needs to compute them."""

    model: ScoreModel
    rule: TrainingRule
    request: Request
    shapes: Shapes
    points: tuple[tuple[int, Values], ...]

    def results(self) -> list[Result]:
        """See `Job`; ModelError if an activation gives other values than when it was stated."""
        found: list[Result] = []
        quick = _QuickPoints(self)
        for number, values in self.points:
            try:
                # numpy's own settings, as in a fresh process: the user may have chosen others here
                with recognized(), usual():
                    row = quick.packed(values)
                    row = _packed_point(self, values) if row is None else row
                    found.append((number, row, ""))
            except _OtherActivation as error:
                raise ModelError(str(error)) from None
            except Exception as error:
                found.append((number, None, reason_of(error)))
        return found

    def cannot_be_sent(self, reason: str) -> str:
        """See `Job`."""
        name = getattr(self.model.activation, "name", self.model.activation)
        return (
            f"the model cannot be sent to another process ({reason}): an activation like {name!r} "
            "must be a function at the top level of a module, no lambda"
        )


class _OtherActivation(Exception):
    """An activation that is not the one that the sweep was stated with."""


class _QuickPoints:
    """Points by compiled calls: those that differ in psi_p and psi_n alone share a statement."""

    def __init__(self, job: PlanJob):
        self._job = job
        self._applies = is_quick(job.request)
        self._stated: dict[Any, Statement | None] = {}

    def packed(self, values: Values) -> Array | None:
        """The values of a point; None where the other route has them, or the reason why not."""
        if not self._applies:
            return None
        model, job = self._job.model, self._job
        rest = {name: value for name, value in values.items() if name not in _SIZES}
        key = tuple(rest.items())
        if key not in self._stated:
            self._stated[key] = _checked(job, rest, _statement)
        psi_p, psi_n = (float(values.get(name, getattr(model, name))) for name in _SIZES)
        return quick_values(self._stated[key], psi_p, psi_n, job.request, job.shapes)


# what a statement leaves open
_SIZES = ("psi_p", "psi_n")


def _statement(model: ScoreModel, rule: TrainingRule) -> Statement | None:
    return Statement.of(model) if rule == GradientFlow() else None


def _packed_point(job: PlanJob, values: Values) -> Array:
    """The values of a point; raises what ended it."""
    return _checked(
        job, values, lambda model, rule: packed_values(model, rule, job.request, job.shapes)
    )


def _checked(job: PlanJob, values: Values, function: Callable[[ScoreModel, TrainingRule], T]) -> T:
    """A function of the model and rule of a point, whose activation is the stated one throughout.

    Raises _OtherActivation if it is not, or else what ended the function.
    """
    stated = values.get("activation", job.model.activation)
    same = True
    try:
        model, rule = apply(job.model, job.rule, values)
        same = model.activation == stated
        found = function(model, rule)
    except Exception:
        _require_unchanged(stated, same)
        raise
    _require_unchanged(stated, same)
    return found


def _require_unchanged(stated: Any, same: bool) -> None:
    """Raise _OtherActivation if the activation is not the stated one, or has changed meanwhile."""
    try:
        same = same and stated.restated() == stated
    except ModelError:
        same = False
    if not same:
        raise _OtherActivation(
            f"activation {stated.name!r} gives other values than when the sweep was stated: what "
            "it reads has changed since, or is different in a worker process. Make it a function "
            "of its argument alone, another one for another parameter"
        )


class Table(Points):
    """Values of all points of a plan.

    Attributes
    ----------
    rows : array (size, width)
        Packed values, nan where a point is missing or failed.
    status : uint8 array (size,)
        MISSING, DONE or FAILED.
    reasons : dict
        Why, by index of a failed point.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        self.shapes: Shapes = plan.request.shapes(plan.most_atoms)
        width = sum(math.prod(shape) for shape in self.shapes.values())
        size = 8 * plan.size * width
        if size > _memory():
            raise ModelError(
                f"the sweep has {plan.size} points of {width} numbers, {1e-9 * size:.3g} GB, more "
                "than this machine's memory: split it, or ask for less at each point"
            )
        self.rows: Array = np.full((plan.size, width), np.nan)
        self.status = np.zeros(plan.size, dtype=np.uint8)
        self.reasons: dict[int, str] = {}

    @property
    def size(self) -> int:
        """Number of points."""
        return self.plan.size

    def clear(self) -> None:
        """Forget all finished points."""
        self.rows.fill(np.nan)
        self.status.fill(MISSING)
        self.reasons.clear()

    def missing(self) -> list[int]:
        """Numbers of the points that are neither done nor failed."""
        return np.flatnonzero(self.status == MISSING).tolist()

    def job(self, numbers: Sequence[int]) -> PlanJob:
        """What computes these points."""
        plan = self.plan
        points = tuple((number, {**plan.fixed, **plan.values(number)}) for number in numbers)
        return PlanJob(plan.model, plan.rule, plan.request, self.shapes, points)

    def put(self, result: Result) -> None:
        """Enter a finished point."""
        index, values, reason = result
        if values is None:
            self.reasons[index] = reason
            self.status[index] = FAILED
        else:
            self.rows[index] = values
            self.status[index] = DONE

    def quantities(self) -> dict[str, Array]:
        """Arrays by name, shaped like the plan and then like the quantity."""
        shape = self.plan.shape
        return {
            name: array.reshape(shape + array.shape[1:])
            for name, array in unpacked(self.rows, self.shapes).items()
        }

    def record(self, result: Result) -> bytes:
        """A finished point as bytes: length of the reason, the reason in UTF-8, the values."""
        _, values, reason = result
        text = reason.encode()
        numbers = b"" if values is None else np.ascontiguousarray(values, dtype="<f8").tobytes()
        return _LENGTH.pack(len(text)) + text + numbers

    def take(self, name: str, record: bytes) -> None:
        """Enter a point that a ledger holds, if it is one of this plan."""
        (length,) = _LENGTH.unpack_from(record)
        end = _LENGTH.size + length
        values = np.frombuffer(record, dtype="<f8", offset=end).astype(np.float64)
        fits = length or values.size == self.rows.shape[1]
        if fits and name.isdecimal() and int(name) < self.size:
            reason = record[_LENGTH.size : end].decode()
            self.put((int(name), None if length else values, reason))

    def fill(self, run: Run) -> None:
        """Enter the points of a `Sweep` in a file; DataError if they are not all in it."""
        try:
            rows = [np.reshape(run.arrays[name], (self.size, -1)) for name in self.shapes]
            self.rows[:] = np.concatenate(rows, axis=1)
            self.status[:] = run.arrays["status"].ravel()
            reasons = run.arrays["failure_reasons"]
            for index, reason in zip(
                run.arrays["failures"].tolist(), reasons.tolist(), strict=True
            ):
                self.reasons[index] = reason.decode()
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise DataError(f"the points of a sweep are not all in its file ({error})") from None

    def sweep(self) -> Sweep:
        """The points as a result, unfinished ones too."""
        plan = self.plan
        request = plan.request
        return Sweep(
            model=plan.model,
            rule=plan.rule,
            axes={name: _axis(values) for name, values in plan.axes.items()},
            is_list=plan.is_list,
            quantities=self.quantities(),
            status=self.status.reshape(plan.shape).copy(),
            failures=dict(sorted(self.reasons.items())),
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


class PlanCampaign(Campaign[T]):
    """The points of one or several plans; a subclass says what is made of them.

    Parameters
    ----------
    plans : mapping of str to Plan
        By name, in the order in which they are run.
    extra : mapping, optional
        Further attributes of everything in the file.
    """

    points: dict[str, Table]  # type: ignore[assignment]

    def __init__(self, plans: Mapping[str, Plan], extra: Mapping[str, Any] | None = None):
        super().__init__({name: Table(plan) for name, plan in plans.items()})
        self._extra = checked_extra(extra)

    @abstractmethod
    def stored(self) -> dict[str, StoredResult]:
        """What stands in the file: the sweep of each plan under its name, and more if complete."""

    @property
    def fingerprint(self) -> str:
        """Identity of everything that decides a number."""
        text = "\n".join(f"{name} {one.plan.fingerprint}" for name, one in self.points.items())
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def load(self, path: str | os.PathLike[str]) -> tuple[str, str]:
        """See `Campaign`."""
        runs = load(path)
        there = {
            name: runs[name].attributes.get("fingerprint") for name in self.points if name in runs
        }
        if there != {name: table.plan.fingerprint for name, table in self.points.items()}:
            raise DataError(
                f"{os.fspath(path)}: holds something else than this sweep; it is left alone. "
                "Choose another file or allow it to be replaced (overwrite, --overwrite)"
            )
        for name, table in self.points.items():
            table.fill(runs[name])
        about = runs[next(iter(self.points))].attributes
        return about["package_version"], about["git_commit"]

    def store(self, path: str | os.PathLike[str], *, overwrite: bool, seconds: float) -> None:
        """See `Campaign`."""
        extra = {"wall_time_seconds": seconds, **self._extra}
        save(path, self.stored(), overwrite=overwrite, extra=extra)


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


def _memory() -> float:
    """Bytes of memory of this machine; inf if it does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return math.inf
