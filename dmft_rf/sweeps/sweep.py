"""Sweeps: quantities on a grid or a list of parameters, kept in a file that survives a crash."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

from numpy.typing import ArrayLike

from dmft_rf._arithmetic import ieee
from dmft_rf._stored import Result as StoredResult
from dmft_rf.model.score_model import ScoreModel
from dmft_rf.rules.flow import GradientFlow
from dmft_rf.rules.stochastic import TrainingRule
from dmft_rf.sweeps.campaign import Progress, Where
from dmft_rf.sweeps.plan import Plan
from dmft_rf.sweeps.request import Request
from dmft_rf.sweeps.results import Sweep
from dmft_rf.sweeps.run import run
from dmft_rf.sweeps.tables import PlanCampaign


@ieee
def sweep(
    model: ScoreModel,
    over: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    quantities: str | Sequence[str],
    *,
    rule: TrainingRule | None = None,
    tau: ArrayLike = (),
    rtol: float = 1e-10,
    level: float = 0.1,
    multiple: float = 3.0,
    gap_level: float = 0.1,
    path: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Compute quantities over any parameters of the model and the training rule.

    Parameters
    ----------
    model : ScoreModel
        What every point starts from.
    over : mapping, or sequence of mappings
        A grid: values by name, ``{"psi_n": [1, 2, 4], "t": [0.01, 0.1]}``, in a list, an array or
        anything one-dimensional; a single value is the same at every point. Or a list of points,
        ``[{"psi_n": 1, "t": 0.1}, ...]``. Names are the fields of ScoreModel, those of the rule,
        and arguments of a constructor of Covariance: "power_law.exponent", "power_law.atoms",
        "power_law.mean", "isotropic.scale".
    quantities : str or sequence of str
        Names of ``dmft_rf.points.DESCRIPTIONS``, which says what each is: "train", "test",
        "generalization_gap", "score_error" at the times ``tau``; the fields of Timescales; "edges",
        "edge_low", "edge_high", "bulks", "atom"; "final_train", "final_test", "final_score_error";
        "gap_final", "gap_window", "tau_overfit", "n_star", "n_window".
    rule : Rule or StochasticGradientDescent
        GradientFlow() by default. Its fields can be swept by their names: ``{"noise": [0.5, 5.0]}``
        or ``{"batch": [1, 4, 16]}`` under StochasticGradientDescent, ``{"momentum": ...}``. Times
        and limits are those of this rule; "gap_window", "n_star" and "n_window" are defined for
        gradient flow only.
    tau : array
        Times of the learning curves, gradient-flow time; may hold 0 and inf.
    rtol, level
        As in ``solve`` and ``timescales``.
    multiple, gap_level : float
        c, 1e-6 to 1e9, and level of "gap_window", "tau_overfit", "n_star" and "n_window".
    path : path, optional
        HDF5 file. Finished points are on disk when ``progress`` counts them, at least every few
        tenths of a second, in FILE.points until the file is complete; the same call after an
        interruption computes the rest, and after completion nothing.
        Without a path the result lives in memory alone.
    overwrite : bool
        Whether another file at ``path`` may be replaced.
    executor : concurrent.futures.Executor, optional
        Where points are computed: a ThreadPoolExecutor, a process pool, a Dask client's
        ``get_executor()``. This process by default. Threads suit what compiled calls give: learning
        curves, n_star, n_window and phase diagrams of one class of data with few eigenvalues.
    workers : int, optional
        Own worker processes, in place of an executor. They are started by spawning: a script needs
        ``if __name__ == "__main__":``.
    progress : callable, optional
        Called with (points finished, all points).

    Returns
    -------
    Sweep
        A point that could not be computed, for whatever reason, is nan and has it in ``failures``;
        the others are not touched by it. Values depend
        neither on the order of the points nor on where they are computed, bit by bit on machines of
        the same kind.

    Raises
    ------
    ModelError
        If a name is unknown, a value is none of its parameter, or workers cannot load the model or
        the main program.
    DataError
        If the file belongs to something else (it is left alone) or cannot be written.
    WorkerError
        If worker processes keep dying.
    """
    where = Where(path, overwrite, executor, workers, progress)
    rule = GradientFlow() if rule is None else rule
    request = Request.of(quantities, tau, rtol, level, multiple, gap_level)
    return run(SweepCampaign({"sweep": Plan(model, rule, over, request)}), where)


class SweepCampaign(PlanCampaign[Sweep]):
    """One plan, whose table is the result."""

    def result(self) -> Sweep:
        """See `Campaign`."""
        return self.points["sweep"].sweep()

    def stored(self) -> dict[str, StoredResult]:
        """See `PlanCampaign`."""
        return {"sweep": self.result()}
