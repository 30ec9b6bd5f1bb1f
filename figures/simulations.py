"""Finite networks for the figures: cells of `validation`, simulated once and kept in OUT.

A figure names the cases it wants; cells that an existing store of `validation` holds for the same
case (``--store``) are taken from there, the rest is simulated and kept in ``simulations.h5``.
What is no cell (Adam, eigenvalues) is kept beside it, one file each. ``docs/data/figures`` holds
both for networks whose simulation takes longer than the quick profile may.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dmft_rf import Covariance, ScoreModel
from dmft_rf._typing import Array
from dmft_rf.errors import DataError
from figures.numbers import Numbers
from validation.compare.extrapolate import extrapolate
from validation.finite.case import Case, Sizes
from validation.finite.runner import run
from validation.finite.simulate import Cell
from validation.finite.store import Store

if TYPE_CHECKING:
    from validation.networks.run.store import Store as NetworkStore


FILE = "simulations.h5"
SHIPPED = Path(__file__).parents[1] / "docs" / "data" / "figures"
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
        known = shipped() | ({} if self._other is None else self._other.cells)
        workers = self._workers if self._workers > 1 else None
        return run(self.store, cases, workers, self._quiet, known)

    def cells(self, case: Case) -> list[Cell]:
        """The finished cells of a case, by d and seed."""
        return self.store.of(case)

    def kept(self, name: str, key: str, compute: Callable[[], Mapping[str, Array]]) -> Numbers:
        """What ``compute`` returns, computed once for each ``key`` and kept in a file."""
        digest = hashlib.sha256(key.encode()).hexdigest()[:12]
        file = f"simulations-{name}-{digest}.h5"
        for folder in (self.folder, SHIPPED):
            if (folder / file).exists():
                return Numbers.load(folder / file)
        numbers = Numbers(dict(compute()), {"key": key})
        numbers.save(self.folder / file)
        return numbers


@cache
def shipped() -> dict[str, Cell]:
    """The cells in `SHIPPED`, by key."""
    return Store(SHIPPED / FILE).cells


def means(cells: list[Cell], tau: Array) -> dict[str, Array]:
    """Mean losses and their standard errors, of one size or extrapolated (`estimate`).

    Returns
    -------
    dict
        d, seeds, tau; train, test and score_error (n_tau,), each with ``_error``.
    """
    d = np.array([cell.d for cell in cells])
    out: dict[str, Any] = {**described(d), "tau": tau}
    for name in LOSSES:
        values = np.stack([cell.arrays[f"0/{name}"] for cell in cells])
        out[name], out[f"{name}_error"] = estimate(d, values)
    return out


def described(d: Array) -> dict[str, Any]:
    """Which networks `estimate` speaks of: d and seeds; d = inf if it extrapolates."""
    sizes, counts = np.unique(d, return_counts=True)
    if sizes.size > 2:
        return {"d": math.inf, "seeds": d.size}
    several = counts > 1
    if not several.any():
        raise DataError("a standard error needs two seeds of one size or more")
    return {"d": sizes[several][-1], "seeds": counts[several][-1]}


def estimate(d: Array, values: Array) -> tuple[Array, Array]:
    """Value and standard error from networks of one size, or at d = infinity from several.

    Three sizes or more are extrapolated in 1/d, as `validation` does, but in the logarithm: losses
    are positive, and at d = 12 some are half or twice their limit.

    Parameters
    ----------
    d : (N,) array
        Dimension of each network.
    values : (N, ...) array
        Positive. Of one or two sizes the largest d that has two seeds or more is taken.
    """
    one = described(d)["d"]
    if math.isinf(one):
        found = extrapolate(d.astype(float), np.log(values).reshape(d.size, -1))
        value = np.exp(found.value).reshape(values.shape[1:])
        return value, value * found.error.reshape(value.shape)
    group = values[d == one]
    return group.mean(axis=0), standard_error(group)


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
