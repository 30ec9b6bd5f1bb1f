"""What both finders of a support return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array, Mask


@dataclass(frozen=True, eq=False)
class Support(Frozen):
    """Support of the limiting spectral law of U.

    Attributes
    ----------
    offsets
        Edges of the bulks measured from s^2, ascending, shape (n_bulks, 2).
    masses
        Exact mass of each bulk, shape (n_bulks,).
    atom
        Mass of the atom at s^2 (0 if there is none).
    learning_bulks
        Whether each bulk belongs to the d directions of the data (the family k_+, the paper's
        rho_2) rather than to the samples (k_-, rho_1); None while the two are merged.
    """

    offsets: Array
    masses: Array
    atom: float
    learning_bulks: Mask | None


class ZeroPoint(NamedTuple):
    """The solution at z = 0, on or below the support: k, E_j and e_j = -k E_j.

    E is infinite where every column is interpolated (k = 0), and e is finite there.
    """

    k: float
    E: Array
    e: Array


class Finder(Protocol):
    """What finds the support of U; every place is measured from its floor s^2.

    ConvergenceError is raised where an edge is not found.
    """

    @property
    def ends(self) -> tuple[float, float]:
        """Lowest and highest edge; the inner gaps are not looked for."""

    @property
    def atom(self) -> float:
        """Mass of the atom at the floor."""

    def support(self) -> Support:
        """The whole support."""

    def at_zero(self) -> ZeroPoint:
        """The solution at z = 0."""
