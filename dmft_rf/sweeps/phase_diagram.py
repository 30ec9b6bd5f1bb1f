r"""Phase diagrams: where a diffusion model memorizes, and what keeps it from doing so.

Overfitting is measured by the generalization gap in units of what there is to learn,

    g(tau) = (L_test(tau) - L_train(tau))/(1 - L_floor),    1 - L_floor = Delta_t Tr Sigma_t^{-1}/d.

In the planes (n, p) and (n, t), with tau_gen the time of ``timescales``, a level (0.1) and a factor
c (3), the regions are those of Fig. 1 (right) of arXiv:2505.17638, which states no level:

    memorization                   g(c tau_gen) > level: overfitting comes with learning
    dynamical regularization       g(c tau_gen) <= level < g(inf): stopping early prevents it
    architectural regularization   g(inf) <= level: the network cannot fit the sample, ever

and their boundaries are psi_n = n_window and psi_n = n_star of ``dmft_rf.curves.thresholds``: n
decides, a point belongs to the side of the largest root that it lies on. In the plane (n, tau) a
point is

    learning          before tau_gen (and before overfitting)
    generalization    from tau_gen to the first time at which g reaches the level
    memorization      from that time on

Every boundary is a root of the exact curves, found at each value of the other axis to 100 rtol,
whatever the grid of the map.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dmft_rf._arithmetic import ieee
from dmft_rf._convert import floats, instance, number, shown
from dmft_rf._interrupt import recognized
from dmft_rf._stored import Result as StoredResult
from dmft_rf._typing import Array
from dmft_rf.curves.definitions import checked_multiple
from dmft_rf.curves.thresholds import unit_gap
from dmft_rf.errors import ModelError
from dmft_rf.model.score_model import ScoreModel
from dmft_rf.rules.flow import GradientFlow
from dmft_rf.spectra.spectrum import spectrum
from dmft_rf.sweeps.axes import numbers
from dmft_rf.sweeps.campaign import Progress, Where
from dmft_rf.sweeps.plan import Plan, apply
from dmft_rf.sweeps.request import Request
from dmft_rf.sweeps.results import REGIONS, TIME_REGIONS, PhaseDiagram, Sweep, failures_of
from dmft_rf.sweeps.run import run
from dmft_rf.sweeps.tables import PlanCampaign

UNKNOWN = -1
PLANES = ("psi_p", "t", "tau")


@ieee
def phase_diagram(
    model: ScoreModel,
    over: Mapping[str, ArrayLike],
    *,
    tau: ArrayLike | None = None,
    level: float = 0.1,
    multiple: float = 3.0,
    rtol: float = 1e-6,
    path: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    extra: Mapping[str, Any] | None = None,
) -> PhaseDiagram:
    """Phase diagram over (psi_n, psi_p), (psi_n, t) or (psi_n, tau).

    Parameters
    ----------
    model : ScoreModel
        The other parameters.
    over : mapping
        ``{"psi_n": values, "psi_p": values}``, or with "t" or "tau" in place of "psi_p".
    tau : array, optional
        Times of the maps for the first two planes; by default 200 from before the fastest mode of
        any corner of the plane moves to after the slowest has stopped. inf is added.
    level, multiple : float
        The level of g, > 0, and the factor c of the module's definitions, 1e-6 to 1e9.
    rtol : float
        As in ``solve``. Maps need less than a curve: 1e-6 by default.
    path, overwrite, executor, workers, progress
        As in ``sweep``.
    extra : mapping, optional
        Further attributes of the file, as in ``store.save``.

    Returns
    -------
    PhaseDiagram
        See the module for the definition of each region. Points and boundaries that could not be
        computed are nan, with the reason in ``failures``.

    Raises
    ------
    ModelError
        If the plane is none of these, or a value is outside its domain.
    DataError, WorkerError
        As ``sweep``.
    """
    where = Where(path, overwrite, executor, workers, progress)
    # made again, so that the times and the maps are of the same activation
    model = replace(instance(model, ScoreModel, "model", "ScoreModel(0.01, 64, 8)"))
    if not isinstance(over, Mapping) or set(over) not in ({"psi_n", y} for y in PLANES):
        plane = f"({', '.join(map(str, over))})" if isinstance(over, Mapping) else shown(over)
        raise ModelError(
            f"the plane is {plane}; it must be {{psi_n: values}} with one of {', '.join(PLANES)}"
        )
    level = number(level, "level", above=0.0)
    multiple = checked_multiple(multiple)
    y = next(name for name in over if name != "psi_n")
    axes = {name: _axis(name, over[name]) for name in ("psi_n", y)}
    if y == "tau":
        if tau is not None:
            raise ModelError("tau is given twice, as an axis and as times")
        times = np.unique(np.append(axes["tau"], math.inf))
    else:
        given = None if tau is None else floats(tau, "tau", least=0.0, infinite=True).ravel()
        chosen = _times(model, axes) if given is None else given
        times = np.unique(np.append(chosen, math.inf))
    plans = _plans(model, axes, y, times, level, multiple, rtol)
    return run(_DiagramCampaign(model, axes, y, plans, extra), where)


class _DiagramCampaign(PlanCampaign[PhaseDiagram]):
    """A map and its boundaries, "map" and "boundary"."""

    def __init__(
        self,
        model: ScoreModel,
        axes: dict[str, Array],
        y: str,
        plans: dict[str, Plan],
        extra: Mapping[str, Any] | None,
    ):
        super().__init__(plans, extra)
        self._stated = model, y, axes

    def result(self) -> PhaseDiagram:
        """See `Campaign`."""
        sweeps = {name: table.sweep() for name, table in self.points.items()}
        return _assembled(*self._stated, sweeps)

    def stored(self) -> dict[str, StoredResult]:
        """The diagram and the sweeps that it is made of."""
        diagram = self.result()
        return {"phases": diagram, **diagram.sweeps}


def _plans(
    model: ScoreModel,
    axes: dict[str, Array],
    y: str,
    times: Array,
    level: float,
    multiple: float,
    rtol: float,
) -> dict[str, Plan]:
    maps: tuple[str, ...] = ("generalization_gap", "score_error", "score_error_min")
    lines: tuple[str, ...] = ("n_window", "n_star")
    if y == "tau":
        maps += ("tau_gen", "tau_opt", "tau_overfit")
        lines = ("n_star",)

    def request(names: tuple[str, ...], tau: tuple[float, ...]) -> Request:
        return Request(names, tau, rtol, multiple=multiple, gap_level=level)

    rule = GradientFlow()
    swept = {name: values for name, values in axes.items() if name != "tau"}
    # n_star does not depend on the psi_n of the model, but a sweep needs an axis
    rest = {y: axes[y]} if y != "tau" else {"psi_n": axes["psi_n"][:1]}
    return {
        # the boundaries first: their points take longest, and the end of a run is then smooth
        "boundary": Plan(model, rule, rest, request(lines, ())),
        "map": Plan(model, rule, swept, request(maps, tuple(times.tolist()))),
    }


def _assembled(
    model: ScoreModel, y: str, axes: dict[str, Array], sweeps: dict[str, Sweep]
) -> PhaseDiagram:
    """Maps, boundaries and regions of the sweeps."""
    maps, lines = sweeps["map"], sweeps["boundary"]
    request = maps.request
    tau = request["tau"]
    best = maps.quantities["score_error_min"][..., None]
    gap = maps.quantities["generalization_gap"] / _units(model, y, axes)
    ratio = maps.quantities["score_error"] / best
    psi_n = axes["psi_n"][:, None]
    if y == "tau":
        names: tuple[str, ...] = TIME_REGIONS
        boundaries = {name: maps.quantities[name] for name in ("tau_gen", "tau_opt", "tau_overfit")}
        boundaries["n_star"] = lines.quantities["n_star"][0]
        gen, end = boundaries["tau_gen"][:, None], boundaries["tau_overfit"][:, None]
        regions = np.where(axes["tau"] >= end, 2, np.where(axes["tau"] >= gen, 1, 0))
        regions = np.where(np.isnan(gen) | np.isnan(end), UNKNOWN, regions)
        shown = np.isin(tau, axes["tau"])
        gap, ratio, tau = gap[..., shown], ratio[..., shown], tau[shown]
    else:
        names = REGIONS
        boundaries = {name: lines.quantities[name] for name in ("n_window", "n_star")}
        window, star = boundaries["n_window"], boundaries["n_star"]
        regions = np.where(psi_n < window, 0, np.where(psi_n < star, 1, 2))
        regions = np.where(np.isnan(window) | np.isnan(star), UNKNOWN, regions)
    return PhaseDiagram(
        model=model,
        x="psi_n",
        y=y,
        axes=axes,
        tau=tau,
        relative_gap=gap,
        ratio=ratio,
        boundaries=boundaries,
        regions=regions.astype(np.int64),
        region_names=names,
        level=request["gap_level"],
        multiple=request["multiple"],
        rtol=request["rtol"],
        failures=failures_of(sweeps),
        sweeps=sweeps,
    )


def _units(model: ScoreModel, y: str, axes: dict[str, Array]) -> Array | float:
    """1 - L_floor along the plane, nan without a model; depends on t and the covariance alone."""
    if y != "t":
        return unit_gap(model)

    def unit(t: float) -> float:
        try:
            return unit_gap(model.replace(t=t))
        except Exception:  # the points of this t have it as their reason
            return math.nan

    return np.array([unit(t) for t in axes["t"].tolist()])[:, None]


def _axis(name: str, values: ArrayLike) -> Array:
    return numbers(values, name, least=math.ulp(0.0), infinite=name == "tau")


def _times(model: ScoreModel, axes: dict[str, Array], count: int = 200) -> Array:
    """Times from before the fastest mode of the plane's corners moves to after the slowest.

    Where a bulk reaches down to 0 (p = n m) there is no slowest one: to after all but the last
    per cent of it. For a corner without a spectrum the nearest point that has one stands in.
    """
    first, last = math.inf, 0.0
    other = next(name for name in axes if name != "psi_n")
    across, along = axes["psi_n"].tolist(), axes[other].tolist()
    for rows in (across, across[::-1]):
        for columns in (along, along[::-1]):
            for psi_n, value in _outwards(rows, columns):
                try:
                    with recognized(), np.errstate(all="ignore"):
                        corner, _ = apply(model, GradientFlow(), {"psi_n": psi_n, other: value})
                        edges, rate = spectrum(corner).edges, corner.rate
                        lowest = float(edges[0, 0]) or 1e-4 * float(edges[0, 1])
                        times = 0.03 / (rate * float(edges[-1, 1])), 30.0 / (rate * lowest)
                except Exception:  # the points of this corner will have it as their reason
                    continue
                if 0.0 < times[0] < times[1] < math.inf:
                    first, last = min(first, times[0]), max(last, times[1])
                    break
    return np.geomspace(first, last, count) if last > 0.0 else np.geomspace(1.0, 1e8, count)


def _outwards(rows: list[float], columns: list[float]) -> Iterator[tuple[float, float]]:
    """All pairs, in the order of their distance from the pair of the first two."""
    for total in range(len(rows) + len(columns) - 1):
        for i in range(max(0, total - len(columns) + 1), min(total, len(rows) - 1) + 1):
            yield rows[i], columns[total - i]
