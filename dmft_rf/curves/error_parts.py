r"""The parts of the score error: what is not learned, what varies, and what the features add.

With B = -V^T h(U)/sqrt(Delta_t), the trained score B phi(x) against the exact one,

    E_score = bias + variance over sample and features + noise of the features + initial weights,

splits further: by the eigen-directions of the covariance of the data (the error of the score's
component along each) and by the classes of a mixture. With the share of class c, the weights w_a of
the eigenvalues lambda_a, sigma = e^{-2t} lambda + Delta_t and a = mu_1/Gamma_t of the class,

    E_score = sum_c share_c sum_a w_a sum_parts detail[c, a],
    bias    = (1 - f)^2/sigma_a,    f = a sigma_a F_a[h]/sqrt(Delta_t) (`learned`),
    sample, features, both = V_ca[h, h]/Delta_t    (`DirectionPairs`),
    noise   = N_c S_VV,a[h^2]/Delta_t,    N = E sigma^2 - mu_0^2 - mu_1^2,
    initial = kappa^2 {N_c integral g^2 d rho + S_c[g^2]/psi_p}.

docs/theory.md, section 17, derives them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from dmft_rf._arithmetic import ieee, lazy
from dmft_rf._convert import shown
from dmft_rf._frozen import FrozenDict
from dmft_rf._show import Shown, Table, over_times, table_over_times
from dmft_rf._stored import Stored
from dmft_rf._typing import Array, Complex
from dmft_rf.curves.definitions import PARTS
from dmft_rf.curves.exact import untouched
from dmft_rf.curves.forms import Form
from dmft_rf.curves.losses import LearningCurves, checked_times, remembered
from dmft_rf.curves.majorants import Turning
from dmft_rf.curves.measures import Values
from dmft_rf.curves.nodes import Nodes
from dmft_rf.curves.solve import Solution, solved
from dmft_rf.errors import ConvergenceError, ModelError
from dmft_rf.model.columns import SampleClass
from dmft_rf.model.feature_model import FeatureModel
from dmft_rf.numerics.estimate import ROUNDING, Estimate
from dmft_rf.rules.flow import Ridge, Rule, checked_rule
from dmft_rf.rules.stochastic import StochasticGradientDescent


@ieee
@dataclass(frozen=True, eq=False, repr=False)
class ErrorParts(Shown):
    """The score error in parts, by direction and by class; C classes and A eigenvalues.

    Attributes
    ----------
    detail : dict of (C, A, ...) arrays
        Each part of the error of the score along a direction, for inputs of a class: ``bias``,
        ``sample``, ``features`` and ``both`` (the variance of the trained network over the
        training set, over the features, and what needs both), ``noise`` (the features beyond their
        linear part) and ``initial`` (what random initial weights add).
    detail_error : dict of (C, A, ...) arrays
        Estimated absolute errors.
    learned : (C, A, ...) array
        f, the slope of the mean network over that of the exact score: 0 untrained, 1 exact, and
        more where the mean network overshoots.
    curves : LearningCurves
        Of the same rule at the same times; their score error is the sum of the parts.
    """

    kind: ClassVar[str] = "error-parts"

    detail: dict[str, Array]
    detail_error: dict[str, Array]
    learned: Array
    curves: LearningCurves

    @property
    def tau(self) -> Array:
        """Times, any shape; the other arrays append it."""
        return self.curves.tau

    @property
    def rule(self) -> Rule:
        """What was trained with."""
        return self.curves.rule

    @property
    def model(self) -> FeatureModel:
        """What was trained."""
        return self.curves.model

    @property
    def shares(self) -> Array:
        """Fraction of the samples in each class, (C,); 1 where there are no classes."""
        return np.array([one.share for one in self.model.classes])

    @property
    def weights(self) -> Array:
        """Weights of the eigenvalues of the covariance, (A,)."""
        return self.model.weights

    @property
    def eigenvalues(self) -> Array:
        """Eigenvalues of the covariance of each class, (C, A)."""
        return np.stack([one.eigenvalues for one in self.model.classes])

    def _about(self) -> str:
        return f"{self.model.label}; {self.rule}"

    def _table(self) -> Table:
        columns = {name: self.total[name] for name in (*PARTS, "variance", "score_error")}
        columns |= {f"{name}_error": self.error[name] for name in columns}
        dims, along = over_times(self.tau), ("direction",)
        more = {f"{name}_by_direction": (along + dims, x) for name, x in self.by_direction.items()}
        held = {
            "eigenvalues": (("class", *along), self.eigenvalues),
            "weights": (along, self.weights),
        }
        return table_over_times(self.tau, columns, **held, **more)

    def stored(self) -> Stored:
        """What a file holds of the parts: the curves, every part and its error."""
        attributes, arrays = self.curves.stored()
        arrays["learned"] = self.learned
        for name in PARTS:
            arrays[f"part_{name}"] = self.detail[name]
            arrays[f"part_{name}_error"] = self.detail_error[name]
        return attributes, arrays

    @lazy
    def by_class(self) -> FrozenDict[str, Array]:
        """Each part of the score error of each class, summed over directions: (C, ...)."""
        return self._summed(self.detail, "ca...,a->c...")

    @lazy
    def by_direction(self) -> FrozenDict[str, Array]:
        """Each part along each direction, averaged over the classes: (A, ...).

        Their average with ``weights`` is the score error.
        """
        return self._summed(self.detail, "ca...,c->a...")

    @lazy
    def total(self) -> FrozenDict[str, Array]:
        """Each part of the score error, shaped like ``tau``."""
        return self._summed(self.detail, "ca...,c,a->...")

    @lazy
    def error(self) -> FrozenDict[str, Array]:
        """Estimated absolute errors of `total`."""
        return self._summed(self.detail_error, "ca...,c,a->...")

    def _summed(self, detail: dict[str, Array], how: str) -> FrozenDict[str, Array]:
        by = {"c": self.shares, "a": self.weights}
        factors = [by[name] for name in how.partition("->")[0].split(",")[1:]]
        found = {name: np.einsum(how, values, *factors) for name, values in detail.items()}
        found["variance"] = found["sample"] + found["features"] + found["both"]
        found["score_error"] = sum(found[name] for name in PARTS)
        return FrozenDict(found)


@ieee
def error_parts(solution: Solution, tau: ArrayLike, rule: Rule | None = None) -> ErrorParts:
    """Split the score error of a solved model into its parts, by direction and by class.

    Parameters
    ----------
    solution : Solution
        From ``solve(model)``.
    tau : array, any shape
        Training times, >= 0; may hold 0 and inf.
    rule : Rule
        GradientFlow() by default; any but SGD.

    Returns
    -------
    ErrorParts
        Every part at every time: by direction, by class, and in total.

    Raises
    ------
    ModelError
        If a time is not one of the rule's, the rule diverges on this spectrum, or the parts are not
        derived: SGD, tau = inf where the test loss diverges (a hard edge).
    ConvergenceError
        If no contour carries the rule (momentum close to 1), if ``solution.rtol`` is missed, or if
        the parts do not add up to the score error.

    Examples
    --------
    >>> from dmft_rf import ScoreModel, error_parts, solve
    >>> parts = error_parts(solve(ScoreModel(0.01, 64, 8)), [100, 1000])
    >>> print(parts.total["bias"].round(4), parts.total["variance"].round(4))
    [0.0463 0.0603] [0.0234 0.201 ]
    """
    solved(solution, "error_parts")
    times = checked_times(tau)
    nodes, curves = nodes_of(solution, times, rule)
    flat = times.ravel()
    model = nodes.model
    shape = (len(model.classes), model.weights.size, *times.shape)
    found = [
        Direction(nodes, curves.rule, c, a).parts(flat)
        for c in range(shape[0])
        for a in range(shape[1])
    ]

    def joined(values: list[Array]) -> Array:
        return np.stack(values).reshape(shape)

    result = ErrorParts(
        detail={name: joined([one[name].value for one, _ in found]) for name in PARTS},
        detail_error={name: joined([one[name].error for one, _ in found]) for name in PARTS},
        learned=joined([learned for _, learned in found]),
        curves=curves,
    )
    off = np.abs(result.total["score_error"] - curves.score_error)
    allowed = result.error["score_error"] + curves.error["score_error"]
    known = np.isfinite(curves.score_error)
    if not np.all(off[known] <= 2.0 * allowed[known]):
        raise ConvergenceError(
            f"the parts of the score error miss their sum by {off[known].max():.1e}",
            partial=result,
            residual=float(off[known].max()),
        )
    return result


def nodes_of(solution: Solution, times: Array, rule: Rule | None) -> tuple[Nodes, LearningCurves]:
    """Nodes that carry ``rule`` to the solution's accuracy, and its curves; or why not."""
    if isinstance(rule, StochasticGradientDescent):
        raise ModelError(
            f"rule is {shown(rule)}; what the noise of steps adds to each part is not derived: "
            "parts are those of a rule without it"
        )
    rule = checked_rule(rule)
    if math.isinf(solution.model.psi_p):
        raise ModelError("psi_p is inf; the parts of the score error are those of a finite width")
    return _carried(solution.uncompressed, times, rule)


class Direction:
    """The score along one direction for the inputs of one class, under one rule."""

    def __init__(self, nodes: Nodes, rule: Rule, which: int, atom: int):
        self.nodes, self.rule, self.atom = nodes, rule, atom
        self.model = nodes.model
        self.one: SampleClass = self.model.classes[which]
        self.sigma = float(self.one.diffused[atom])
        # a^2 Sigma_t in the basis of the groups
        self.q = np.zeros(nodes.resolvent.groups.basis.shape[0])
        self.q[0] = self.one.linear**2 * self.model.Delta_t
        self.q[1 + which] = self.one.linear**2 * math.exp(-2.0 * self.model.t)

    @lazy
    def _signal(self) -> Complex:
        return np.ascontiguousarray(self.nodes.resolvent.signal[:, self.atom])

    @lazy
    def own(self) -> Complex:
        """Transform of N S_VV along this direction."""
        g, s = self.model.groups, self.nodes.resolvent
        own = s.label * self._signal
        if g.sizes.any():
            own = own + (s.excess / s.E) @ (g.count * g.sizes)
        return self.one.coefficients.residual_variance * own

    @lazy
    def forms(self) -> tuple[Form, Form, Form]:
        """Variance of the sample, of the features and of both, times Delta_t."""
        return self.nodes.directions.forms(self.q, self.atom)

    def learned(self, f: Values, turning: Turning) -> Estimate:
        """Slope of the mean network that the filter ``f`` makes, over that of the exact score."""
        gain = self.one.linear * self.sigma / math.sqrt(self.model.Delta_t)
        found = self.nodes.integral(f, self._signal, turning)
        return Estimate(gain * found.value, abs(gain) * found.error)

    def bias(self, f: Estimate) -> Estimate:
        """(1 - f)^2/sigma."""
        left = 1.0 - f.value
        error = (2.0 * np.abs(left) + f.error) * f.error + ROUNDING * left**2
        return Estimate(left**2, error).over(self.sigma)

    def parts(self, tau: Array) -> tuple[dict[str, Estimate], Array]:
        """Every part at the times ``tau``, and what is learned, each (n_tau,)."""
        nodes, Delta_t = self.nodes, self.model.Delta_t
        h = self.rule.filter(nodes.points, tau, self.model.rate)
        turns = nodes.turning(self.rule, tau)
        f = self.learned(h, turns.filter)
        found = {"bias": self.bias(f)}
        for name, form in zip(("sample", "features", "both"), self.forms, strict=True):
            found[name] = nodes.form(h, form, turns.filter).over(Delta_t)
        found["noise"] = nodes.integral(h * h, self.own, turns.square).over(Delta_t)
        zero = np.zeros(tau.size)
        found["initial"] = self._initial(tau) if self.rule.initial_scale else Estimate(zero, zero)
        return found, f.value

    def _initial(self, tau: Array) -> Estimate:
        nodes, model, one = self.nodes, self.model, self.one
        at_zero = 0.0
        if nodes.untouched:
            groups = replace(model.groups, test=self.q)
            at_zero = untouched(groups, float(nodes.law.atoms[0, 1]), nodes.law.at_zero.e)
        seen = nodes.resolvent.S(one.linear**2 * one.diffused)
        turns = nodes.turning(self.rule, tau)
        _, kept, test = remembered(nodes, tau, self.rule, turns.memory, (seen, at_zero))
        N, kappa2 = one.coefficients.residual_variance, self.rule.initial_scale**2
        start = Estimate(np.zeros(tau.size), np.zeros(tau.size))
        return start.plus((kappa2 * N, kept), (kappa2 / model.psi_p, test))


def _carried(solution: Solution, times: Array, rule: Rule) -> tuple[Nodes, LearningCurves]:
    """One contour that carries ``rule`` at all of the times, and the curves on it.

    Raises
    ------
    ModelError
        If the test loss has no limit at tau = inf (a hard edge).
    ConvergenceError
        If no contour carries the rule, or ``solution.rtol`` is missed.
    """
    rule.check(solution.spectrum.ends[1], solution.model.rate)
    region = rule.region(solution.model.rate)
    if solution.hard_edge:
        late = np.isinf(times).any() or isinstance(rule, Ridge)
        latest = math.inf if late else float(times.max(initial=0.0))
        region = solution._until(rule, latest)
    if not solution._fits(region):
        if solution.hard_edge and region.start >= 0.0:
            raise ModelError(
                f"the spectrum of U reaches down to 0, where the test loss under {rule} has no "
                "limit at tau = inf; ask for finite times"
            )
        raise ConvergenceError(f"no contour carries {rule}, which this needs", partial=solution)
    nodes, curves = solution._with_nodes(times, rule, region)
    return nodes, curves.require(solution.rtol)
