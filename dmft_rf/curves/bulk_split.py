r"""What each bulk of the spectrum has learned.

The training loss is an integral over the eigenvalues x of U, so that it splits exactly into what
the bulks carry,

    1 - L_train(tau) = sum_bulks S_bulk[(1 - (1 - x h)^2)/x],

with the filter h of the rule and S_bulk the integral over one bulk against the measure of S_VV (b^2
nu of docs/theory.md, section 4, if the noise is averaged exactly). Test loss and score error are
quadratic in h and do not split; what is well defined is the network that has learned one bulk only:
its filter is h on the bulk and 0 on the others, again a function of U.

Functions of U on one bulk are integrated on a contour around this bulk alone. It lies in the disc
whose diameter reaches from the upper edge of the bulk below to the lower edge of the bulk above
(for the highest bulk, in the half-plane right of the bulk below): there the resolvent is analytic
off the bulk, and the filters of all rules but momentum are bounded at every time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dmft_rf._arithmetic import ieee, lazy
from dmft_rf._convert import instance
from dmft_rf._show import Shown, Table, over_times
from dmft_rf._typing import Array
from dmft_rf.curves.exact import Exact
from dmft_rf.curves.losses import LearningCurves, curves_on, probe_times
from dmft_rf.curves.nodes import MOST_NODES, Nodes
from dmft_rf.curves.solve import Solution, solved
from dmft_rf.errors import ConvergenceError, ModelError
from dmft_rf.model.score_model import ScoreModel
from dmft_rf.numerics.contour import Contour, contour_in, flattened, nodes_for
from dmft_rf.numerics.estimate import ROUNDING, Estimate, with_more_nodes
from dmft_rf.numerics.region import Region
from dmft_rf.rules.flow import GradientFlow, Rule, checked_rule
from dmft_rf.spectra.spectrum import Spectrum


@dataclass(frozen=True, eq=False, repr=False)
class BulkSplit(Shown):
    """Learning curves split by the bulks of U, from the lowest to the highest.

    Attributes
    ----------
    tau
        Times, any shape; the arrays below append it to (n_bulks,).
    edges : (n_bulks, 2) array
    masses : (n_bulks,) array
        Fraction of the p eigenvalues in each bulk.
    removable : (n_bulks,) array
        S_bulk[1/x], the train loss that a bulk carries at most (least squares); their sum is
        1 - L_train(inf) without weight decay.
    share : (n_bulks,) array
        ``removable`` over its sum.
    removed : (n_bulks, ...) array
        S_bulk[(1 - (1 - x h)^2)/x], the train loss that a bulk has removed at tau; the sum over
        bulks is 1 - L_train(tau).
    test, score_error : (n_bulks, ...) arrays
        Of the network that has learned only this bulk. Not additive.
    error : dict
        Estimated absolute errors of removable, share, removed, test and score_error, by name.
    rule, model
        What was trained, on what.
    """

    tau: Array
    edges: Array
    masses: Array
    removable: Array
    share: Array
    removed: Array
    test: Array
    score_error: Array
    error: dict[str, Array]
    rule: Rule
    model: ScoreModel

    def _about(self) -> str:
        return f"{len(self.masses)} bulks; {self.model.label}; {self.rule}"

    def _table(self) -> Table:
        bulks, dims = ("bulk",), over_times(self.tau)
        coordinates = {"bulk": (bulks, np.arange(len(self.masses))), "tau": (dims, self.tau)}
        parts = {"low": self.edges[:, 0], "high": self.edges[:, 1], "mass": self.masses}
        parts |= {"removable": self.removable, "share": self.share}
        curves = {name: getattr(self, name) for name in ("removed", "test", "score_error")}
        columns: dict[str, tuple[Any, ...]] = {name: (bulks, x) for name, x in parts.items()}
        columns |= {name: (bulks + dims, x) for name, x in curves.items()}
        columns |= {
            f"{name}_error": (bulks if name in parts else bulks + dims, x)
            for name, x in self.error.items()
        }
        return Table(bulks + dims, coordinates, columns)


class OneBulk(Nodes):
    """One- and two-point functions on a contour around one bulk.

    Everything that `curves_on` takes from it then belongs to the network that has learned
    this bulk only.
    """

    def __init__(self, law: Spectrum, contour: Contour, bulk: int):
        self.bulk = bulk
        super().__init__(law, contour)

    @lazy
    def removable(self) -> Estimate:
        """S_VV of this bulk, [1/x], one value."""
        return self.integral(1.0 / self.points[None, :], self.S_VV)

    @lazy
    def exact(self) -> Exact:
        """Train loss of the network that has learned all of this bulk; its mass is not known."""
        inverse = float(self.removable.value[0])
        return Exact(math.nan, inverse, 1.0 - inverse, float(self.removable.error[0]))

    @lazy
    def defect(self) -> float:
        """Relative error of the mass of the bulk, which is known exactly."""
        found = 2.0 * np.sum(self.contour.weights * self.q_bulk).real
        return float(abs(found / self.law.bulk_masses[self.bulk] - 1.0))

    @property
    def _around(self) -> tuple[float, float]:
        low, high = self.law.edges[self.bulk]
        return float(low), float(high)


@ieee
def bulk_split(solution: Solution, tau: ArrayLike, rule: Rule | None = None) -> BulkSplit:
    """Split the learning curves of a solved model by the bulks of its spectrum.

    Parameters
    ----------
    solution : Solution
        From ``solve(model)``; its rtol is asked of every bulk.
    tau : array, any shape
        Training times, >= 0; may hold 0 and inf.
    rule : Rule
        GradientFlow() by default; from A = 0 and not HeavyBall.

    Returns
    -------
    BulkSplit
        One entry for each bulk, from the lowest, in front of the shape of ``tau``.

    Raises
    ------
    ModelError
        If a time is not one of the rule's, the rule diverges on this spectrum, starts from random
        weights, or is heavy-ball momentum (no contour around a single bulk carries it); or psi_p is
        inf.
    ConvergenceError
        If a bulk misses ``solution.rtol``, or the bulks do not add up to the whole.
    """
    solved(solution, "bulk_split")
    rule = checked_rule(rule)
    model = instance(solution.model, ScoreModel, "the model", "ScoreModel(0.01, 64, 8)")
    law = solution.spectrum
    region = rule.region(model.rate)
    if math.isinf(model.psi_p):
        raise ModelError(
            "psi_p is inf; what bulks learn is split at finite width, and approaches its limit "
            "like 1/psi_p: extrapolate from psi_p = 1e4 and 1e5"
        )
    if rule.initial_scale > 0.0:
        raise ModelError(
            f"the rule is {rule}; what bulks learn is split for training from A = 0 only"
        )
    if region.beta > 0.0:
        raise ModelError(f"the rule is {rule}; momentum has no contour around a single bulk")
    rule.check(float(law.edges[-1, 1]), model.rate)
    parts: list[LearningCurves] = []
    removed: list[Estimate] = []
    removable: list[Estimate] = []
    for bulk in range(len(law.edges)):
        nodes = nodes_on_bulk(law, bulk, region, solution.rtol)
        curves = curves_on(nodes, tau, rule)
        parts.append(curves.require(solution.rtol))
        flat = curves.tau.ravel()
        h = rule.filter(nodes.points, flat, model.rate)
        left = rule.residual(nodes.points, flat, model.rate)
        # (1 - (1 - x h)^2)/x = h (1 + (1 - x h)): no difference of large numbers
        turns = nodes.turning(rule, flat)
        turning = turns.filter * (1.0 + turns.held)
        carried = nodes.integral(h * (1.0 + left), nodes.S_VV, turning)
        shape = curves.tau.shape
        removed.append(Estimate(carried.value.reshape(shape), carried.error.reshape(shape)))
        removable.append(nodes.removable)
    full = np.concatenate([part.value for part in removable])
    full_error = np.concatenate([part.error for part in removable])
    whole = 1.0 - solution.train_limit
    missing = abs(float(full.sum()) - whole)
    if missing > float(full_error.sum()) + 10.0 * solution.rtol * whole:
        raise ConvergenceError(
            f"the bulks carry {full.sum()!r} of the train loss; together they must carry {whole!r}",
            residual=missing,
        )
    share = full / whole
    return BulkSplit(
        tau=parts[0].tau,
        edges=law.edges,
        masses=law.bulk_masses,
        removable=full,
        share=share,
        removed=np.stack([part.value for part in removed]),
        test=np.stack([part.test for part in parts]),
        score_error=np.stack([part.score_error for part in parts]),
        error={
            "removable": full_error,
            "share": full_error / whole + ROUNDING * share,
            "removed": np.stack([part.error for part in removed]),
            "test": np.stack([part.error["test"] for part in parts]),
            "score_error": np.stack([part.error["score_error"] for part in parts]),
        },
        rule=rule,
        model=model,
    )


def nodes_on_bulk(law: Spectrum, bulk: int, region: Region, rtol: float) -> OneBulk:
    """Nodes around one bulk, inside ``region``, that carry gradient flow to ``rtol``/2.

    The contour of the lowest bulk may enclose the atom at s^2, which carries nothing.
    """
    edges = law.edges
    low, high = (float(edge) for edge in edges[bulk])
    left = float(edges[bulk - 1, 1]) if bulk > 0 else 0.0
    right = float(edges[bulk + 1, 0]) if bulk + 1 < len(edges) else math.inf
    if not low > 0.0:
        raise ConvergenceError("the lowest bulk reaches down to 0: nothing lies left of it")
    disc = Region(min(right, region.end), start=left)
    probes = probe_times(law.model, float(edges[0, 0]), float(edges[-1, 1]))
    n = nodes_for(*flattened(disc, low, high), rtol)
    if not n <= MOST_NODES:
        raise ConvergenceError(
            f"the bulk [{low}, {high}] is too close to its neighbours for a contour of its own"
        )

    def attempt(count: int) -> tuple[OneBulk, float]:
        nodes = OneBulk(law, contour_in(disc, low, high, count), bulk)
        return nodes, curves_on(nodes, probes, GradientFlow()).relative_error

    return with_more_nodes(attempt, int(n), MOST_NODES, 0.5 * rtol)[0]
