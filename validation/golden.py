r"""Numerical regression of the library: golden values of a few models, checked to 1e-9.

``python -m validation golden check`` says what changed, by how much and in which quantity;
``python -m validation golden renew`` renews the values on purpose. The file is one small HDF5 file
with a group per model: learning curves of several rules, the resolvent, edges and masses of the
spectrum, and timescales. It is not a proof that the values are right (the rest of `validation` and
the tests are) but an alarm when they move.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dmft_rf import (
    Covariance,
    GradientDescent,
    GradientFlow,
    HeavyBall,
    Ridge,
    ScoreModel,
    WeightAverage,
    __version__,
    read_covariance,
    resolvent,
    solve,
    timescales,
)
from dmft_rf._interrupt import held_back
from dmft_rf._typing import Array
from dmft_rf.files.replace import replacing_hdf5
from dmft_rf.files.results import git_commit
from validation.common.hdf5 import opened, read_arrays

FILE = Path(__file__).resolve().parent.parent / "tests" / "golden" / "library.h5"
"""Where the golden values are."""

RTOL = 1e-9
"""Largest relative change that is no change: ten times what `solve` promises."""

_TAU = np.array([0.0, 0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5, np.inf])
_MARK = "golden_schema"
_TWO = [0.5, 1.5]

MODELS: dict[str, Callable[[], ScoreModel]] = {
    "isotropic": lambda: ScoreModel(0.1, 8.0, 4.0),
    "two eigenvalues": lambda: ScoreModel(0.1, 8.0, 4.0, covariance=Covariance(_TWO)),
    "paper": lambda: ScoreModel(0.01, 64.0, 8.0),
    "under-parameterised": lambda: ScoreModel(0.05, 4.0, 16.0, "erf", Covariance(_TWO)),
    "relu": lambda: ScoreModel(0.2, 6.0, 3.0, "relu", Covariance([0.2, 1.0, 3.0], [0.5, 0.3, 0.2])),
    "sigmoid": lambda: ScoreModel(0.1, 6.0, 3.0, "sigmoid"),
    "power law": lambda: ScoreModel(0.1, 4.0, 2.0, covariance=Covariance.power_law(1.0, 64)),
    "hard edge": lambda: ScoreModel(0.1, 2.0, 1.0),
    "few features": lambda: ScoreModel(0.3, 0.75, 0.5),
    "long time": lambda: ScoreModel(1.0, 3.0, 2.0, "softplus"),
    "digits": lambda: ScoreModel(0.1, 8.0, 4.0, covariance=read_covariance("digits").normalized()),
}
"""The models of the golden values."""


@dataclass(frozen=True)
class Change:
    """One quantity that moved.

    Attributes
    ----------
    model, quantity : str
    place : tuple of int
        Index of the largest change; () where the shape changed or the quantity is new or gone.
    before, after : float
    relative : float
        |after - before|/|before|; inf where they cannot be compared.
    """

    model: str
    quantity: str
    place: tuple[int, ...]
    before: float
    after: float
    relative: float

    def __str__(self) -> str:
        if not np.isfinite(self.relative):
            return f"{self.model}: {self.quantity}: was {self.before:g}, is {self.after:g}"
        return (
            f"{self.model}: {self.quantity}{list(self.place)} was {self.before!r}, is "
            f"{self.after!r}, a relative change of {self.relative:.2e}"
        )


def values(model: ScoreModel) -> dict[str, Array]:
    """Every golden quantity of one model, by name."""
    solution = solve(model)
    law = solution.spectrum
    out: dict[str, Array] = {
        "spectrum/edges": law.edges,
        "spectrum/bulk masses": law.bulk_masses,
        "spectrum/atoms": law.atoms,
        "spectrum/second moment": np.array(law.moment(2)),
    }
    z = np.geomspace(0.1 * law.edges[0, 0], 10.0 * law.edges[-1, 1], 5) * np.exp(0.5j)
    q = resolvent(model, z).q
    out["resolvent/real"], out["resolvent/imaginary"] = q.real, q.imag
    step = float(f"{0.5 / (model.rate * law.edges[-1, 1]):.2g}")
    steps = step * np.array([1.0, 10.0, 100.0])
    rules = {
        "gradient flow": (GradientFlow(), _TAU),
        "weight decay": (GradientFlow(weight_decay=0.01), _TAU),
        "random initial weights": (GradientFlow(initial_std=1.0), _TAU),
        "ridge": (Ridge(0.01), _TAU[-1:]),
        "weight average": (WeightAverage(20.0), _TAU),
        "gradient descent": (GradientDescent(step), steps),
        "heavy ball": (HeavyBall(step, momentum=0.5), steps),
    }
    for name, (rule, tau) in rules.items():
        curves = solution.learning_curves(tau, rule)
        for quantity in ("train", "test", "score_error"):
            out[f"{name}/{quantity}"] = getattr(curves, quantity)
    times = timescales(solution)
    for quantity in ("tau_gen", "tau_opt", "tau_mem"):
        out[f"timescales/{quantity}"] = np.array(getattr(times, quantity))
    return out


def check(path: Path = FILE, rtol: float = RTOL) -> list[Change]:
    """What moved since the golden values were stored; empty if nothing did.

    Raises
    ------
    DataError
        If the file is missing or is not one of golden values.
    """
    stored = read(path)
    changes = []
    for name in sorted({*stored, *MODELS}):
        before = stored.get(name, {})
        after = values(MODELS[name]()) if name in MODELS else {}
        for quantity in sorted({*before, *after}):
            change = _compare(name, quantity, before.get(quantity), after.get(quantity), rtol)
            if change is not None:
                changes.append(change)
    return changes


def _compare(
    model: str, quantity: str, before: Array | None, after: Array | None, rtol: float
) -> Change | None:
    if before is None or after is None or before.shape != after.shape:
        was, now = (np.nan if x is None else float(x.size) for x in (before, after))
        return Change(model, f"number of values of {quantity}", (), was, now, np.inf)
    same = (before == after) | (np.isnan(before) & np.isnan(after))
    scale = np.where(before == 0.0, 1.0, np.abs(before))
    with np.errstate(invalid="ignore"):
        relative = np.where(same, 0.0, np.abs(after - before) / scale)
    relative = np.where(np.isnan(relative), np.inf, relative)
    if not relative.size or relative.max() <= rtol:
        return None
    place = tuple(int(i) for i in np.unravel_index(int(np.argmax(relative)), relative.shape))
    return Change(
        model, quantity, place, float(before[place]), float(after[place]), float(relative[place])
    )


def renew(path: Path = FILE) -> int:
    """Store the values of today; returns how many quantities there are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = {
        f"{name}/{quantity}": array
        for name, model in MODELS.items()
        for quantity, array in values(model()).items()
    }
    _write(path, found)
    return len(found)


@held_back()
def _write(path: Path, found: dict[str, Array]) -> None:
    with replacing_hdf5(path, overwrite=True) as file:
        file.attrs[_MARK] = 1
        file.attrs["package_version"], file.attrs["git_commit"] = __version__, git_commit()
        for name, array in found.items():
            file.create_dataset(name, data=array, track_times=False)


@held_back()
def read(path: Path = FILE) -> dict[str, dict[str, Array]]:
    """Golden values by model and quantity."""
    with opened(path, _MARK, 1, "holds no golden values") as file:
        return {model: read_arrays(group) for model, group in file.items()}
