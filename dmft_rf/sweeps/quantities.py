"""One point of a sweep: the quantities that were asked for, as one array of floats.

What a name means is said in `DESCRIPTIONS`. A quantity that does not exist at a point (the lower
edge of the data's bulks while bulks are merged) is nan; one that could not be computed makes the
point a failure, with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._arithmetic import ieee, lazy
from dmft_rf._convert import floats, number, shown
from dmft_rf.curves.definitions import DEFINITIONS
from dmft_rf.curves.losses import LearningCurves
from dmft_rf.curves.solve import Solution, solve
from dmft_rf.curves.thresholds import n_star, n_window, relative_gap
from dmft_rf.curves.timescales import Timescales
from dmft_rf.errors import ModelError
from dmft_rf.model.score_model import ScoreModel
from dmft_rf.rules.flow import GradientFlow, Rule
from dmft_rf.spectra.spectrum import Spectrum, spectrum
from dmft_rf.sweeps.axes import listed

Array = NDArray[np.float64]

CURVES = {
    "train": "training loss at each tau",
    "test": "test loss at each tau",
    "generalization_gap": "test minus training loss at each tau",
    "score_error": "score error at each tau",
}
_CURVE_NAMES = frozenset(CURVES)
SPECTRAL = {
    "edges": "edges of the bulks of U from below, padded with nan",
    "edge_low": "lowest edge of the bulks of U",
    "edge_high": "highest edge of U",
    "bulks": "number of bulks of U",
    "atom": "mass of the atom at s_t^2",
}
LIMITS = {
    "final_train": "training loss at tau = inf",
    "final_test": "test loss at tau = inf",
    "final_score_error": "score error at tau = inf",
}
PHASES = {
    "gap_final": "generalization gap at tau = inf in units of what there is to learn, 1 - L_floor",
    "gap_window": "generalization gap at tau = c tau_gen in the same units",
    "n_star": "n*/d: beyond this psi_n the gap in these units stays below gap_level for ever",
    "n_window": "beyond this psi_n it is below gap_level at tau = c tau_gen",
}
TIMES = tuple(DEFINITIONS)
DESCRIPTIONS: dict[str, str] = {
    **CURVES,
    **DEFINITIONS,
    **SPECTRAL,
    **LIMITS,
    **PHASES,
}


@dataclass(frozen=True)
class Request:
    """What is computed at every point.

    Parameters
    ----------
    quantities : tuple of str
        Names of `DESCRIPTIONS`.
    tau : tuple of float
        Times of the learning curves, >= 0 or inf.
    rtol : float
        Relative accuracy, as in ``solve``.
    level : float
        Of tau_gen, as in ``timescales``.
    multiple, gap_level : float
        c and the level of the quantities of `PHASES`, both > 0.

    Raises
    ------
    ModelError
        If one of them is outside its domain, or tau is missing.
    """

    quantities: tuple[str, ...]
    tau: tuple[float, ...] = ()
    rtol: float = 1e-10
    level: float = 0.1
    multiple: float = 3.0
    gap_level: float = 0.1

    @classmethod
    def of(cls, quantities: Any, tau: Any, *numbers: Any) -> Request:
        """A request of what a caller gives: one name or several, times in anything."""
        return cls(quantities, tau, *numbers)

    def __post_init__(self) -> None:
        put = partial(object.__setattr__, self)
        put("quantities", names_of(self.quantities))
        if not self.quantities:
            raise ModelError(f"no quantity is asked for; there are {', '.join(DESCRIPTIONS)}")
        for name in self.quantities:
            if name not in DESCRIPTIONS:
                raise ModelError(
                    f"{shown(name)} is no quantity of a sweep; there are {', '.join(DESCRIPTIONS)}"
                )
        if len(set(self.quantities)) < len(self.quantities):
            raise ModelError(f"quantities are {', '.join(self.quantities)}; one is there twice")
        put("tau", tuple(floats(self.tau, "tau", least=0.0, infinite=True).ravel().tolist()))
        wanted = [name for name in self.quantities if name in CURVES]
        if wanted and not self.tau:
            raise ModelError(f"{wanted[0]} is asked for, but no tau is given")
        put("rtol", number(self.rtol, "rtol", least=1e-13, most=1e-2))
        put("level", number(self.level, "level", above=0.0, below=1.0))
        for name in ("multiple", "gap_level"):
            put(name, number(getattr(self, name), name, above=0.0))

    def shapes(self, most_atoms: int) -> dict[str, tuple[int, ...]]:
        """Shape of each quantity at one point, for covariances of at most so many eigenvalues."""
        special: dict[str, tuple[int, ...]] = {name: (len(self.tau),) for name in CURVES}
        # two bulks per eigenvalue, and some that belong to none
        special["edges"] = (2 * most_atoms + 4, 2)
        return {name: special.get(name, ()) for name in self.quantities}

    def check_rule(self, rule: Rule) -> None:
        """Raise ModelError if a quantity is defined for gradient flow from 0 only."""
        others = {*CURVES, *SPECTRAL}
        if rule != GradientFlow() and (bad := [q for q in self.quantities if q not in others]):
            raise ModelError(
                f"{bad[0]} belongs to gradient flow from A = 0 without weight decay, not to {rule}"
            )


@ieee
def compute(model: ScoreModel, rule: Rule, request: Request) -> dict[str, Array]:
    """The quantities of one point by name, each an array.

    Raises
    ------
    ModelError, ConvergenceError
        As ``solve``, ``learning_curves`` and ``timescales``.
    """
    point = _Point(model, rule, request)
    return {name: np.asarray(point.value(name), dtype=float) for name in request.quantities}


def packed(values: dict[str, Array], shapes: dict[str, tuple[int, ...]]) -> Array:
    """The values behind one another, each padded with nan to its shape."""
    out = []
    for name, shape in shapes.items():
        full = np.full(shape, np.nan)
        full[tuple(slice(n) for n in values[name].shape)] = values[name]
        out.append(full.ravel())
    return np.concatenate(out)


def unpacked(rows: Array, shapes: dict[str, tuple[int, ...]]) -> dict[str, Array]:
    """The inverse of `packed` for an array of rows, shape (n, width)."""
    out, start = {}, 0
    for name, shape in shapes.items():
        size = math.prod(shape)
        out[name] = rows[:, start : start + size].reshape(rows.shape[0], *shape)
        start += size
    return out


class _Point:
    """Computes what is asked for, and what that needs, once."""

    def __init__(self, model: ScoreModel, rule: Rule, request: Request):
        self.model, self.rule, self.request = model, rule, request

    def value(self, name: str) -> Array | float:
        if name in CURVES:
            values: Array = getattr(self._curves, name)
            return values
        if name in SPECTRAL:
            return _SPECTRUM[name](self._law)
        if name in self._phases:
            return self._phases[name]()
        if name == "final_train":
            return self._solution.train_limit
        if name in LIMITS:
            return float(getattr(self._times.end, name.removeprefix("final_")))
        return self._times.value(name)

    @lazy
    def _phases(self) -> dict[str, Callable[[], float]]:
        request, model = self.request, self.model
        return {
            "gap_final": lambda: self._times.relative_gap,
            "gap_window": lambda: relative_gap(
                self._solution, request.multiple * self._times.tau_gen
            ),
            "n_star": lambda: n_star(model, request.gap_level, rtol=request.rtol),
            "n_window": lambda: n_window(
                model, request.gap_level, request.multiple, level=request.level, rtol=request.rtol
            ),
        }

    @lazy
    def _law(self) -> Spectrum:
        solved = any(name not in SPECTRAL for name in self.request.quantities)
        return self._solution.spectrum if solved else spectrum(self.model)

    @lazy
    def _solution(self) -> Solution:
        return solve(self.model, self.request.rtol)

    @lazy
    def _times(self) -> Timescales:
        plain = self.rule == GradientFlow() and not _CURVE_NAMES.isdisjoint(self.request.quantities)
        known = self._curves if plain else None
        return Timescales(self._solution, self.request.level, self.request.gap_level, known)

    @lazy
    def _curves(self) -> LearningCurves:
        return self._solution.learning_curves(np.array(self.request.tau), self.rule)


_SPECTRUM: dict[str, Callable[[Spectrum], Array | float]] = {
    "edges": lambda law: law.edges,
    "edge_low": lambda law: float(law.edges[0, 0]),
    "edge_high": lambda law: float(law.edges[-1, 1]),
    "bulks": lambda law: float(len(law.edges)),
    "atom": lambda law: float(law.atoms[:, 1].sum()),
}


@ieee
def packed_values(
    model: ScoreModel, rule: Rule, request: Request, shapes: dict[str, tuple[int, ...]]
) -> Array:
    """The values of one point behind one another, or whatever `compute` raises."""
    return packed(compute(model, rule, request), shapes)


def reason_of(error: BaseException) -> str:
    """What ended a point, in one line of at most 500 characters."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # an error that cannot say what it is
        text = ""
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return "".join(c if c.isprintable() else "?" for c in said[:_LONGEST_REASON])


_LONGEST_REASON = 500


def names_of(quantities: str | Iterable[str]) -> tuple[str, ...]:
    """The names of one quantity or several; ModelError if they are none."""
    if isinstance(quantities, str):
        return (quantities,)
    names = listed(quantities, "quantities")
    if names is None:
        raise ModelError(f"quantities is {shown(quantities)}; it must be a name or several names")
    for name in names:
        if not isinstance(name, str):
            raise ModelError(f"quantities hold {shown(name)}; they must be names")
    return tuple(map(str, names))
