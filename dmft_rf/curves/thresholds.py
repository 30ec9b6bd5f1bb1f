r"""Sample sizes at which overfitting ends: the boundaries of the phases, as roots.

Overfitting is measured by the generalization gap in units of what there is to learn,

    g(tau) = (L_test(tau) - L_train(tau))/(1 - L_floor),   1 - L_floor = Delta_t Tr Sigma_t^{-1}/d,

the fall of the loss from the untrained network to the exact score. At g = 1 the network has
lost by overfitting as much as there was to gain. Both thresholds are the largest root in n of an
equation of the exact curves,

    n_star     g(inf) = level           beyond it training may go on for ever
    n_window   g(c tau_gen) = level     below it the gap is there before the score is learned,

with tau_gen that of ``timescales``. Both curves are those of Fig. 1 of arXiv:2505.17638 (right),
which draws them without stating a level.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from dmft_rf._arithmetic import ieee
from dmft_rf._convert import instance, number
from dmft_rf.curves.clock import Clock
from dmft_rf.curves.definitions import checked_multiple
from dmft_rf.curves.event_times import generation_time
from dmft_rf.curves.events import Events, unit_gap
from dmft_rf.curves.flow_events import NOT_HERE, FlowEvents
from dmft_rf.curves.fused import Statement
from dmft_rf.curves.solve import Solution, checked_rtol, solve, solved
from dmft_rf.model.score_model import ScoreModel
from dmft_rf.numerics.roots import largest_root
from dmft_rf.rules.flow import GradientFlow

# where the search begins for a network of infinite width, and for n_window
_WIDE = 16.0


@ieee
def relative_gap(solution: Solution, tau: float) -> float:
    """The generalization gap at ``tau`` in units of `unit_gap`.

    Returns
    -------
    float
        1 where as much is lost by overfitting as there was to gain.
    """
    tau = number(tau, "tau", least=0.0, infinite=True)
    gap = float(solved(solution, "relative_gap").learning_curves(tau).generalization_gap)
    return gap / unit_gap(solution.model)


@ieee
def n_star(model: ScoreModel, level: float = 0.1, *, rtol: float = 1e-10) -> float:
    """Largest psi_n at which g(inf) = ``level``: above it overfitting never passes the level.

    Parameters
    ----------
    model : ScoreModel
        Its psi_n plays no part.
    level : float
        Of the gap in units of `unit_gap`, > 0.
    rtol : float
        As in ``solve``; the root is found to a hundred times that.

    Returns
    -------
    float
        n*/d; 0 if the gap is below the level down to psi_n = 1e-4. At infinite width of a
        nonlinear network the gap does not depend on psi_n: it is 0 or inf.

    Raises
    ------
    ModelError
        If an argument is outside its domain.
    ConvergenceError
        If a model on the way cannot be solved, or n* is above 1e9 d.
    """
    instance(model, ScoreModel, "model", "ScoreModel(0.01, 64, 8)")
    level, rtol = number(level, "level", above=0.0), checked_rtol(rtol)

    gap = _gap_of(
        model,
        rtol,
        lambda events: events.relative_gap(math.inf),
        lambda solution: relative_gap(solution, math.inf),
    )
    start = max(1.0, model.psi_p)
    if math.isinf(start):
        start = _WIDE
        if model.coefficients.v2 > 0.0:  # all samples are interpolated, and alike
            return math.inf if gap(start) > level else 0.0
    return largest_root(gap, level, start, rtol, "n_star")


@ieee
def n_window(
    model: ScoreModel,
    gap_level: float = 0.1,
    multiple: float = 3.0,
    *,
    level: float = 0.1,
    rtol: float = 1e-10,
) -> float:
    """Largest psi_n at which g(c tau_gen) = ``gap_level``, with c = ``multiple``.

    Above it a network that is trained c times as long as it takes to learn the score has a gap
    below the level: there is a window for early stopping. Parameters, result and errors as
    `n_star`; ``level`` is that of tau_gen in ``timescales``, and c is between 1e-6 and 1e9: long
    before the first nothing has been learned, long before the second n_window is n_star.

    Returns
    -------
    float
        Samples per dimension, psi_n.
    """

    instance(model, ScoreModel, "model", "ScoreModel(0.01, 64, 8)")
    gap_level = number(gap_level, "gap_level", above=0.0)
    multiple = checked_multiple(multiple)
    level, rtol = number(level, "level", above=0.0, below=1.0), checked_rtol(rtol)

    def solved_gap(solution: Solution) -> float:
        events = Events(solution, Clock(solution.spectrum, GradientFlow()))
        return relative_gap(solution, multiple * generation_time(events, level).at)

    gap = _gap_of(
        model,
        rtol,
        lambda events: events.relative_gap(multiple * events.tau_gen(level)),
        solved_gap,
    )
    return largest_root(gap, gap_level, _WIDE, rtol, "n_window")


def _gap_of(
    model: ScoreModel,
    rtol: float,
    quick: Callable[[FlowEvents], float],
    otherwise: Callable[[Solution], float],
) -> Callable[[float], float]:
    """A gap as a function of psi_n: from compiled calls, or else from a solution."""
    stated = Statement.of(model)

    def gap(psi_n: float) -> float:
        try:
            return quick(FlowEvents(stated, model.psi_p, psi_n, rtol))
        except NOT_HERE:
            return otherwise(solve(model.replace(psi_n=psi_n), rtol))

    return gap
