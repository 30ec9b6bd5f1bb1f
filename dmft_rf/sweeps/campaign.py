"""What a piece of work of many points provides, and where it is to be computed and kept."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from dmft_rf._convert import flag, shown
from dmft_rf._paths import path_of
from dmft_rf.errors import ModelError
from dmft_rf.sweeps.workers import checked_workers

T = TypeVar("T")
Progress: TypeAlias = Callable[[int, int], None]
#: number of a point, and its value or, in place of that (None), the reason why there is none
Result: TypeAlias = tuple[int, Any, str]


@dataclass(frozen=True)
class Where:
    """Where a campaign is computed and kept; made of what a caller passes, before anything else.

    Parameters
    ----------
    path : path, optional
        HDF5 file of the result, which an interrupted run is continued from. Without one the result
        lives in memory alone.
    overwrite : bool
        Whether another file at ``path`` may be replaced.
    executor : concurrent.futures.Executor, optional
        Computes the points; this process by default.
    workers : int, optional
        Own worker processes, in place of an executor.
    progress : callable, optional
        Called with the number of finished points and that of all points, after each batch.

    Raises
    ------
    ModelError
        If one of them is not what it must be.
    DataError
        If ``path`` cannot be the name of a file.
    """

    path: str | os.PathLike[str] | None = None
    overwrite: bool = False
    executor: Executor | None = None
    workers: int | None = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        # first: in a worker that imports the main program again this is the end of it
        object.__setattr__(self, "workers", checked_workers(self.workers, self.executor))
        if self.path is not None:
            path_of(self.path)
        flag(self.overwrite, "overwrite")
        if self.progress is not None and not callable(self.progress):
            raise ModelError(
                f"progress is {shown(self.progress)}; it must be a function of two numbers"
            )


class Job(ABC):
    """Some points with all that is needed to compute them, in a worker process too.

    It is pickled for workers.
    """

    @abstractmethod
    def results(self) -> list[Result]:
        """Compute the points, each with its value or the reason why it has none.

        What it raises ends the whole campaign.
        """

    def cannot_be_sent(self, reason: str) -> str:
        """The message for a job that cannot be pickled."""
        return f"the work cannot be sent to another process ({reason})"


class Points(ABC):
    """Points that cost about the same, numbered from 0, each missing, done or failed."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of points."""

    @abstractmethod
    def clear(self) -> None:
        """Forget all finished points."""

    @abstractmethod
    def missing(self) -> Sequence[int]:
        """Numbers of the points that are neither done nor failed, in the order of the work."""

    @abstractmethod
    def job(self, numbers: Sequence[int]) -> Job:
        """What computes these points."""

    @abstractmethod
    def put(self, result: Result) -> None:
        """Enter a finished point."""

    @abstractmethod
    def record(self, result: Result) -> bytes:
        """A finished point as it stands in a ledger."""

    @abstractmethod
    def take(self, name: str, record: bytes) -> None:
        """Enter a point that a ledger holds; one that is not of these points is passed over."""


class Campaign(ABC, Generic[T]):
    """A piece of work of many points: what `dmft_rf.sweeps.run.run` computes and keeps safe.

    A campaign provides

    - its points, by names of groups: `Points` makes the jobs for workers, takes the results in and
      says how a finished point stands in a ledger, under the name "group/number";
    - ``fingerprint``, the identity of all that decides a number: records of others are refused;
    - ``load`` and ``store``, the HDF5 file of the whole, which may be unfinished;
    - ``result``, what the caller gets.

    Sweeps, scaling laws and phase diagrams are campaigns over `Plan` s
    (`dmft_rf.sweeps.tables.PlanCampaign`).

    Parameters
    ----------
    points : mapping of str to Points
        In the order in which they are computed.
    """

    def __init__(self, points: Mapping[str, Points]):
        self.points = dict(points)

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Identity of everything that decides a number."""

    def clear(self) -> None:
        """Forget all finished points."""
        for points in self.points.values():
            points.clear()

    @abstractmethod
    def load(self, path: str | os.PathLike[str]) -> tuple[str, str]:
        """Enter the points that a file of this campaign holds.

        Returns
        -------
        version, commit : str
            Of the package that wrote the file.

        Raises
        ------
        DataError
            If it cannot be read or is a file of something else.
        """

    @abstractmethod
    def store(self, path: str | os.PathLike[str], *, overwrite: bool, seconds: float) -> None:
        """Write what is finished to a file; ``seconds`` is the time that the run has taken.

        It replaces its file whole, as `dmft_rf.files.replace` does.
        """

    @abstractmethod
    def result(self) -> T:
        """What the caller gets of the points, which are all done or failed."""

    @property
    def size(self) -> int:
        """Number of all points."""
        return sum(points.size for points in self.points.values())

    @property
    def missing(self) -> int:
        """Number of points that are neither done nor failed."""
        return sum(len(points.missing()) for points in self.points.values())
