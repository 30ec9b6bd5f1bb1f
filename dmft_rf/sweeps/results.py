"""What sweeps, scaling laws and phase diagrams give."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dmft_rf._convert import one_of, shown
from dmft_rf._frozen import FrozenDict
from dmft_rf._show import OneRow, Shown, Table
from dmft_rf._stored import Stored
from dmft_rf.curves.definitions import NOTHING
from dmft_rf.model.score_model import ScoreModel
from dmft_rf.rules.flow import GradientFlow
from dmft_rf.rules.stochastic import TrainingRule
from dmft_rf.rules.stored import named
from dmft_rf.sweeps.request import DESCRIPTIONS

Array = NDArray[Any]

#: what is followed along the sweep; fields of Timescales
QUANTITIES = (
    "usable_start",
    "usable_end",
    "tau_gen",
    "tau_opt",
    "tau_ratio",
    "tau_mem",
    "window",
    "tau_gen_spectrum",
    "tau_mem_spectrum",
    "score_error_min",
    "final_gap",
    "relative_gap",
)
REGIONS = ("memorization", "dynamical regularization", "architectural regularization")
TIME_REGIONS = ("learning", "generalization", "memorization")

_EVERYWHERE = {
    "relative_gap": "g = (test minus training loss)/(1 - L_floor), the generalization gap in units "
    "of what the exact score gains on no network",
    "ratio": "score error over its minimum along training",
    "n_star": "largest psi_n at which g(inf) = level",
    "tau_gen": "first time at which the score error has made 90 % of its way to its minimum",
}
_IN_SAMPLES = {
    **_EVERYWHERE,
    "memorization": "g(c tau_gen) > level: overfitting comes with learning",
    "dynamical regularization": "g(c tau_gen) <= level < g(inf): stopping early prevents it",
    "architectural regularization": "g(inf) <= level: the network cannot fit the sample",
    "n_window": "largest psi_n at which g(c tau_gen) = level",
}
_IN_TIME = {
    **_EVERYWHERE,
    "learning": "tau < tau_gen, and g has not reached the level",
    "generalization": "tau >= tau_gen, and g has not reached the level",
    "memorization": "g has reached the level: tau >= tau_overfit",
    "tau_opt": "time of the minimum of the test loss",
    "tau_overfit": "first time at which g reaches the level; inf if never",
}
DEFINITIONS: FrozenDict[str, FrozenDict[str, str]] = FrozenDict(
    {"psi_p": FrozenDict(_IN_SAMPLES), "t": FrozenDict(_IN_SAMPLES), "tau": FrozenDict(_IN_TIME)}
)
"""What each region, boundary and map of a plane is, by the plane's other axis."""


@dataclass(frozen=True, eq=False, repr=False)
class Sweep(Shown):
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
    rule: TrainingRule
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

    def __getitem__(self, name: str) -> Array:
        """A quantity or the values of an axis, by name."""
        return {**self.axes, **self.quantities}[
            one_of(name, (*self.quantities, *self.axes), "a quantity")
        ]

    def _about(self) -> str:
        failed = f", {len(self.failures)} failed" if self.failures else ""
        size = " x ".join(map(str, self.status.shape))
        return f"{size} points{failed}; {', '.join(self.axes)} from {self.model.label}"

    def _table(self) -> Table:
        dims = ("point",) if self.is_list else tuple(self.axes)
        coordinates: dict[str, tuple[Any, ...]] = {
            name: (dims if self.is_list else (name,), values) for name, values in self.axes.items()
        }
        columns: dict[str, tuple[Any, ...]] = {}
        rows = dims
        for name, array in self.quantities.items():
            further: tuple[str, ...] = ()
            if name == "edges":
                further = ("bulk", "end")
            elif array.ndim > len(dims):
                further = ("tau",)
                rows = (*dims, "tau")
                coordinates["tau"] = ("tau",), self.request["tau"]
            columns[name] = dims + further, array, {"long_name": DESCRIPTIONS[name]}
        columns["status"] = dims, self.status, {"long_name": "0 missing, 1 done, 2 failed"}
        attributes = {
            key: value
            for key, value in self.request.items()
            if isinstance(value, int | float | str)
        }
        attributes["fingerprint"] = self.fingerprint
        return Table(rows, coordinates, columns, attributes=attributes)


@dataclass(frozen=True, eq=False, repr=False)
class PowerLaw(OneRow):
    """Q = prefactor * P^exponent on [low, high].

    Attributes
    ----------
    exponent : float
        Fitted in log-log.
    exponent_low, exponent_high : float
        Least and greatest local exponent over the range: how far from a pure power it is.
    prefactor : float
    low, high, decades : float
        Range of P, and its length in decades.
    points : int
        Points of the sweep in it.
    holds : str
        The range in words.
    """

    exponent: float
    exponent_low: float
    exponent_high: float
    prefactor: float
    low: float
    high: float
    decades: float
    points: int
    holds: str

    def _about(self) -> str:
        local = f"locally {self.exponent_low:.4f} to {self.exponent_high:.4f}"
        text = f"Q = {self.prefactor:.6g} P^{self.exponent:.4f} ({local})"
        return f"{text}, P from {self.low:.6g} to {self.high:.6g}"


class Fits(FrozenDict[str, PowerLaw]):
    """Power laws by quantity; a quantity for which none holds says so."""

    def __missing__(self, name: object) -> PowerLaw:
        if name not in QUANTITIES:
            raise KeyError(f"{shown(name)} is no quantity of a sweep: {', '.join(QUANTITIES)}")
        raise KeyError(
            f"no power law holds for {name} over 3 points of this sweep or more; "
            f"local_exponents[{name!r}] has the exponent at each point"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Scaling(Shown):
    """Timescales along a sweep of one parameter.

    Attributes
    ----------
    model : ScoreModel
        The model whose parameter was varied.
    rule : Rule or StochasticGradientDescent
        The rule of the times; the one that a sweep over its noise or batch started from.
    parameter : str
        "psi_n", "psi_p", "t", "power_law.exponent", "noise" or "batch".
    values : array (n,)
        Its values, ascending.
    abscissa : array (n,)
        What exponents refer to: the values, or Delta_t = 1 - e^{-2t} for "t", or e^alpha for the
        exponent alpha of a power law (exponents are then d log Q/d alpha).
    quantities : dict of arrays (n,)
        The fields of Timescales by name; nan where a point failed.
    local_exponents : dict of arrays (n,)
        d log Q/d log P at each value.
    fits : dict of PowerLaw
        Over the widest range in which the local exponent stays within ``tolerance`` of one value;
        without an entry where there is no such range of 3 points.
    global_fits : dict of PowerLaw
        Over all points.
    tolerance : float
    failures : dict
        Message by value for the points that could not be solved.
    rtol : float
        Relative accuracy of every solution.
    """

    kind: ClassVar[str] = "scaling"

    model: ScoreModel
    rule: TrainingRule
    parameter: str
    values: Array
    abscissa: Array
    quantities: dict[str, Array]
    local_exponents: dict[str, Array]
    fits: dict[str, PowerLaw]
    global_fits: dict[str, PowerLaw]
    tolerance: float
    failures: dict[float, str]
    rtol: float

    @property
    def memorizes(self) -> NDArray[np.bool_]:
        """Where there is something to memorize: the final gap is a tenth of 1 - L_floor or more."""
        return self.quantities["relative_gap"] >= NOTHING

    def stored(self) -> Stored:
        """What a file holds of the scaling: quantities, exponents and fits."""
        attributes, arrays = self.model.stored()
        attributes |= self.rule.stored()[0]
        arrays |= {"values": self.values, "abscissa": self.abscissa, **self.quantities}
        arrays |= {f"{name}_exponent": values for name, values in self.local_exponents.items()}
        attributes |= {"parameter": self.parameter, "rtol": self.rtol}
        attributes["error_estimate"] = self.rtol  # every solution has reached it
        attributes["tolerance"] = self.tolerance
        for prefix, fits in (("fit", self.fits), ("global_fit", self.global_fits)):
            for name, fit in fits.items():
                for f in fields(fit):
                    attributes[f"{prefix}_{name}_{f.name}"] = getattr(fit, f.name)
        attributes |= {f"failure_{value!r}": reason for value, reason in self.failures.items()}
        return attributes, arrays

    def _about(self) -> str:
        failed = f", {len(self.failures)} failed" if self.failures else ""
        rule = "" if self.rule == GradientFlow() else f" under {named(self.rule)}"
        about = f"{self.values.size} values of {self.parameter}{failed}{rule}"
        return f"{about} from {self.model.label}"

    def _table(self) -> Table:
        along = (self.parameter,)
        columns = {name: (along, array) for name, array in self.quantities.items()}
        columns |= {f"{name}_exponent": (along, v) for name, v in self.local_exponents.items()}
        attributes = {
            f"{name}_{part}": getattr(fit, part)
            for name, fit in self.fits.items()
            for part in ("exponent", "exponent_low", "exponent_high", "prefactor", "low", "high")
        }
        coordinates = {self.parameter: (along, self.values), "abscissa": (along, self.abscissa)}
        return Table(along, coordinates, columns, attributes=attributes)


@dataclass(frozen=True, eq=False, repr=False)
class PhaseDiagram(Shown):
    """Maps over a plane, regions and their boundaries.

    Attributes
    ----------
    model : ScoreModel
        What every point started from.
    x, y : str
        "psi_n", and "psi_p", "t" or "tau".
    axes : dict of arrays
        The values of x and y.
    tau : array (n_tau,)
        Times of the maps, the last one inf; for the plane (n, tau) the values of y.
    relative_gap, ratio : array (n_x, n_y, n_tau) or (n_x, n_tau)
        g, and the score error over its minimum along training, at each time; nan where a point
        failed.
    boundaries : dict of arrays
        (n, p), (n, t): "n_window" and "n_star" at each y, as psi_n. (n, tau): "tau_gen", "tau_opt"
        and "tau_overfit" at each psi_n, and "n_star", shape ().
    regions : int array (n_x, n_y)
        Index into ``region_names``; -1 where a boundary could not be computed.
    region_names : tuple of str
    level, multiple : float
        Of g, and c.
    rtol : float
        Relative accuracy of losses.
    failures : dict
        Reasons by "map i" and "boundary i", i the flat index of the point.
    sweeps : dict of Sweep
        "map" and "boundary", with all that was computed.
    """

    kind: ClassVar[str] = "phase-diagram"

    model: ScoreModel
    x: str
    y: str
    axes: dict[str, Array]
    tau: Array
    relative_gap: Array
    ratio: Array
    boundaries: dict[str, Array]
    regions: NDArray[np.int64]
    region_names: tuple[str, ...]
    level: float
    multiple: float
    rtol: float
    failures: dict[str, str]
    sweeps: dict[str, Sweep]

    @property
    def definitions(self) -> dict[str, str]:
        """What each region, boundary and map of this plane is, in one sentence, by name."""
        return DEFINITIONS[self.y]

    def _about(self) -> str:
        failed = f"; {len(self.failures)} failures" if self.failures else ""
        return f"({self.x}, {self.y}), level {self.level:g}{failed}; from {self.model.label}"

    def _table(self) -> Table:
        plane, along = (self.x, self.y), (self.x if self.y == "tau" else self.y,)
        dims = plane if self.y == "tau" else (*plane, "tau")
        coordinates = {name: ((name,), values) for name, values in self.axes.items()}
        coordinates["tau"] = ("tau",), self.tau
        names = np.array([*self.region_names, "unknown"])
        columns: dict[str, tuple[Any, ...]] = {
            "relative_gap": (dims, self.relative_gap),
            "ratio": (dims, self.ratio),
            "region": (plane, names[self.regions]),
        }
        for name, values in self.boundaries.items():
            columns[name] = (along if values.ndim else ()), values
        attributes = {"level": self.level, "multiple": self.multiple, "rtol": self.rtol}
        return Table(dims, coordinates, columns, attributes=attributes)

    def stored(self) -> Stored:
        """What a file holds of the diagram, beside its sweeps."""
        attributes, arrays = self.model.stored()
        arrays |= {f"axis_{name}": values for name, values in self.axes.items()}
        arrays |= {f"boundary_{name}": values for name, values in self.boundaries.items()}
        arrays |= {"tau": self.tau, "regions": self.regions}
        arrays |= {"relative_gap": self.relative_gap, "ratio": self.ratio}
        attributes |= {"x": self.x, "y": self.y, "region_names": ", ".join(self.region_names)}
        attributes |= {"level": self.level, "multiple": self.multiple, "rtol": self.rtol}
        return attributes, arrays


def _texts(values: Array) -> Array:
    """Strings as bytes in UTF-8, which HDF5 can hold; numbers as they are."""
    if values.dtype.kind != "U":
        return values
    return np.char.encode(values, "utf-8", "backslashreplace")


def failures_of(sweeps: dict[str, Sweep]) -> dict[str, str]:
    """Reasons of all failed points of several sweeps, by the name of the sweep and the point."""
    return {
        f"{name} {index}": reason
        for name, one in sweeps.items()
        for index, reason in one.failures.items()
    }
