"""Finite networks for the figures: cells of `validation`, simulated once and kept in OUT.

A figure names the cases it wants; cells that an existing store of `validation` holds for the same
case (``--store``) are taken from there, the rest is simulated and kept in ``simulations.h5``.
Trainings that are no cells (Adam) are kept beside it, one file each.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dmft_rf import Covariance, ScoreModel
from dmft_rf._typing import Array
from dmft_rf.errors import DataError
from figures.numbers import Numbers
from validation.finite.case import Case, Sizes
from validation.finite.runner import run
from validation.finite.simulate import Cell
from validation.finite.store import Store

if TYPE_CHECKING:
    from validation.networks.run.store import Store as NetworkStore


FILE = "simulations.h5"
LOSSES = ("train", "test", "score_error")


class Simulations:
    """Cells by case, from the folder of the figures and from another store.

    Parameters
    ----------
    folder : Path
        Where cells are kept; exists.
    other : Path, optional
        A store of `validation` to take fitting cells from; it is only read.
    workers : int
        Processes that simulate; 1 simulates in this one.
    quiet : bool
        No progress on stderr.
    networks : Path, optional
        A store of trained networks; it is only read.

    Raises
    ------
    DataError
        If a store is there but cannot be used.
    """

    def __init__(
        self, folder: Path, other: Path | None = None, workers: int = 1, quiet: bool = True,
        networks: Path | None = None,
    ):  # fmt: skip
        self.folder = folder
        self.store = Store(folder / FILE)
        if other is not None and not other.is_file():
            raise DataError(f"{other}: no such store")
        self._other = Store(other) if other is not None else None
        self._workers, self._quiet = workers, quiet
        self.networks: NetworkStore | None = None
        if networks is not None:
            from validation.networks.run.store import Store as Trained

            if not networks.is_file():
                raise DataError(f"{networks}: no such store")
            self.networks = Trained(networks)

    def complete(self, cases: list[Case]) -> int:
        """Make all cells of ``cases`` available; returns how many were simulated."""
        known = {} if self._other is None else self._other.cells
        workers = self._workers if self._workers > 1 else None
        return run(self.store, cases, workers, self._quiet, known)

    def cells(self, case: Case) -> list[Cell]:
        """The finished cells of a case, by d and seed."""
        return self.store.of(case)

    def kept(self, name: str, key: str, compute: Callable[[], Mapping[str, Array]]) -> Numbers:
        """What ``compute`` returns, computed once for each ``key`` and kept in a file."""
        digest = hashlib.sha256(key.encode()).hexdigest()[:12]
        path = self.folder / f"simulations-{name}-{digest}.h5"
        if path.exists():
            return Numbers.load(path)
        numbers = Numbers(dict(compute()), {"key": key})
        numbers.save(path)
        return numbers


def means(cells: list[Cell], tau: Array) -> dict[str, Array]:
    """Mean and standard error over the seeds of the largest d that has two or more.

    Returns
    -------
    dict
        d, seeds, tau; train, test and score_error (n_tau,), each with ``_error``.
    """
    by_size: dict[int, list[Cell]] = {}
    for cell in cells:
        by_size.setdefault(cell.d, []).append(cell)
    sizes = [d for d, group in by_size.items() if len(group) > 1]
    if not sizes:
        raise DataError("a standard error needs two seeds of one size or more")
    group = by_size[max(sizes)]
    out: dict[str, Any] = {"d": max(sizes), "seeds": len(group), "tau": tau}
    for name in LOSSES:
        values = np.stack([cell.arrays[f"0/{name}"] for cell in group])
        out[name] = values.mean(axis=0)
        out[f"{name}_error"] = standard_error(values)
    return out


def largest(cells: list[Cell], tau: Array) -> dict[str, Array]:
    """The mean losses at the largest d of all, however many seeds it has."""
    d = max(cell.d for cell in cells)
    group = [cell for cell in cells if cell.d == d]
    out: dict[str, Any] = {"d": d, "seeds": len(group), "tau": tau}
    for name in LOSSES:
        out[name] = np.mean([cell.arrays[f"0/{name}"] for cell in group], axis=0)
    return out


def standard_error(values: Array) -> Array:
    """Standard error of the mean over the first axis."""
    return np.asarray(values.std(axis=0, ddof=1) / math.sqrt(values.shape[0]))


def case(name: str, about: str, model: ScoreModel, sizes: Sizes, judged: tuple[float, ...]) -> Case:
    """A case of Gaussian data that `validation` does not have; its name gets a prefix."""
    return Case(f"figure_{name}", about, model, sizes, judged)


def isotropic(scale: float = 1.0) -> Covariance:
    """Sigma = scale I."""
    return Covariance.isotropic(scale)
