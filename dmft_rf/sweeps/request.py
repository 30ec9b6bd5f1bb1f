"""What can be asked of every point of a sweep, and what a caller has asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from dmft_rf._convert import floats, number, shown
from dmft_rf.curves.definitions import DEFINITIONS, checked_multiple
from dmft_rf.errors import ModelError, meaning
from dmft_rf.rules.flow import GradientFlow, Ridge
from dmft_rf.rules.stochastic import TrainingRule
from dmft_rf.sweeps.axes import listed

CURVES = {
    "train": "training loss at each tau",
    "test": "test loss at each tau",
    "generalization_gap": "test minus training loss at each tau",
    "score_error": "score error at each tau",
}
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
DESCRIPTIONS: dict[str, str] = {**CURVES, **DEFINITIONS, **SPECTRAL, **LIMITS, **PHASES}


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
        c, 1e-6 to 1e9, and the level, > 0, of the quantities of `PHASES`.

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
        """The request of a caller, who gives one name or several, and times in any container."""
        return cls(quantities, tau, *numbers)

    def __post_init__(self) -> None:
        put = partial(object.__setattr__, self)
        put("quantities", names_of(self.quantities))
        if not self.quantities:
            raise ModelError(f"no quantity is asked for; there are {', '.join(DESCRIPTIONS)}")
        for name in self.quantities:
            if name not in DESCRIPTIONS:
                meant = meaning(name, DESCRIPTIONS)
                raise ModelError(
                    f"{shown(name)} is no quantity of a sweep; {meant}there are "
                    f"{', '.join(DESCRIPTIONS)}"
                )
        if len(set(self.quantities)) < len(self.quantities):
            raise ModelError(f"quantities are {', '.join(self.quantities)}; one is there twice")
        put("tau", tuple(floats(self.tau, "tau", least=0.0, infinite=True).ravel().tolist()))
        wanted = [name for name in self.quantities if name in CURVES]
        if wanted and not self.tau:
            raise ModelError(f"{wanted[0]} is asked for, but no tau is given")
        put("rtol", number(self.rtol, "rtol", least=1e-13, most=1e-2))
        put("level", number(self.level, "level", above=0.0, below=1.0))
        put("multiple", checked_multiple(self.multiple))
        put("gap_level", number(self.gap_level, "gap_level", above=0.0))

    def shapes(self, most_atoms: int) -> dict[str, tuple[int, ...]]:
        """Shape of each quantity at one point, for covariances of at most so many eigenvalues."""
        special: dict[str, tuple[int, ...]] = {name: (len(self.tau),) for name in CURVES}
        # two bulks per eigenvalue, and some that belong to none
        special["edges"] = (2 * most_atoms + 4, 2)
        return {name: special.get(name, ()) for name in self.quantities}

    def check_rule(self, rule: TrainingRule) -> None:
        """Raise ModelError if a quantity is defined for gradient flow from 0 only."""
        others = {*CURVES, *SPECTRAL}
        if not isinstance(rule, Ridge):  # which takes no time
            others |= {*TIMES, *LIMITS, "gap_final"}
        if rule != GradientFlow() and (bad := [q for q in self.quantities if q not in others]):
            raise ModelError(
                f"{bad[0]} belongs to gradient flow from A = 0 without weight decay, not to {rule}"
            )


def names_of(quantities: str | Iterable[str]) -> tuple[str, ...]:
    """The names of one quantity or several; ModelError for anything but names."""
    if isinstance(quantities, str):
        return (quantities,)
    names = listed(quantities, "quantities")
    if names is None:
        raise ModelError(f"quantities is {shown(quantities)}; it must be a name or several names")
    for name in names:
        if not isinstance(name, str):
            raise ModelError(f"quantities hold {shown(name)}; they must be names")
    return tuple(map(str, names))
