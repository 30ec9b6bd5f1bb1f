r"""Learning curves: train loss, test loss and score error of a training rule at every time.

With M = W/sqrt(d), S_VV[f] the integral of f against the measure of (1/d) Tr V^T (U - z)^{-1} V,
F[f] the deterministic equivalent of V^T f(U) M as a function of Sigma, var[f, f] the variance of
V^T f(U) M weighted by the covariance of the test loss, < . > the average over the atoms of Sigma,
and the filter h:

    L_train = 1 - S_VV[2 h - x h^2] = L_train(inf) + S_VV[(1 - x h)^2/x]
    Delta_t E_score = sum_classes share <Sigma_t (a F[h] - sqrt(Delta_t) Sigma_t^{-1})^2>
                      + var[h, h] + N S_VV[h^2]
    L_test  = L_floor + Delta_t E_score,
    N = E sigma^2 - mu_0^2 - mu_1^2 (averaged over classes),    a = mu_1/Gamma_t

These are sums of positive terms: a small training loss or score error keeps its digits. Those of
E_score are the bias (what the average network has not learned), the variance over sample
and features, and the noise of the features beyond their linear part. For noise that is averaged
exactly V is equivalent to b M. Independent Gaussian initial weights of variance kappa^2 add, with
the memory g of the rule, the law rho of U, and S_test of (1/d) Tr a^2 Sigma_t M^T (U - z)^{-1} M,

    kappa^2 Delta_t integral x g^2 d rho                                to L_train,
    kappa^2 { N integral g^2 d rho + S_test[g^2]/psi_p }                to E_score.

Source: Bonnaire et al., arXiv:2505.17638, sections 4 and B for the losses; the closed form at
every time and for any covariance is derived in docs/theory.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dmft_rf._arithmetic import ieee, lazy
from dmft_rf._convert import floats, instance, number
from dmft_rf._show import Shown, Table, table_over_times
from dmft_rf._stored import Stored
from dmft_rf._typing import Array, Mask
from dmft_rf.curves.interpolation import interpolated
from dmft_rf.curves.majorants import Majorants, Turning
from dmft_rf.curves.measures import Measures
from dmft_rf.errors import ConvergenceError, ModelError
from dmft_rf.model.feature_model import FeatureModel
from dmft_rf.numerics.estimate import ROUNDING, Estimate
from dmft_rf.rules.flow import GradientFlow, Rule

# losses below this fraction of the untrained network's are held to an absolute accuracy
SMALL = 1e-3
LOSSES = ("train", "score_error", "test", "empirical_error", "weight_norm")
# what the accuracy of curves is judged by
JUDGED = ("train", "test", "score_error")
# times handled at once, times nodes, so that arrays stay in the caches of the processor and in
# memory that is not handed back after each; atoms handled at once
_BLOCK, _ATOMS = 7_500, 128

# finite times at which a solution is judged
_PROBES = 25
# lower over upper end of the spectrum below which contours lead around 0
HARD_EDGE = 1e-10


@ieee
@dataclass(frozen=True, eq=False, repr=False)
class LearningCurves(Shown):
    """Losses per dimension along training; every array has the shape of ``tau``.

    Attributes
    ----------
    tau
        Gradient-flow time; discrete rules: steps * step.
    train
        L_train, averaged over the noise exactly (without the weight-decay penalty).
    test
        L_test, on fresh samples.
    score_error
        (1/d) E|s_A - s*|^2 against the exact score -Sigma_t^{-1} x of Gaussian data.
    empirical_error
        (1/d) E|s_A - s_emp|^2 against the score of the diffused training set, on its own points
        under fresh noise: the loss on the training samples under fresh noise over Delta_t, which
        is train/Delta_t if the noise is averaged exactly. NaN with random initial weights and a
        finite number of noise draws.
    error
        Estimated absolute errors of train, test, generalization_gap and score_error, by name.
    weight_norm
        Delta_t ||A||^2/(p d), the size of the trained weights; with weight decay omega the
        objective of training is train + omega weight_norm (``penalty``). At infinite width psi_p
        times that, omega being in units of psi_p; NaN there with random initial weights, whose
        size it is not finite in, and under SGD.
    rule, model
        What was trained, on what.
    """

    kind: ClassVar[str] = "curves"
    #: names of the curves, in the order of a table
    curves: ClassVar[tuple[str, ...]] = (
        "train",
        "test",
        "generalization_gap",
        "score_error",
        "empirical_error",
        "weight_norm",
    )

    tau: Array
    train: Array
    test: Array
    score_error: Array
    empirical_error: Array
    weight_norm: Array
    error: dict[str, Array]
    rule: Rule
    model: FeatureModel

    @property
    @ieee
    def generalization_gap(self) -> Array:
        """L_test - L_train."""
        return self.test - self.train

    @property
    @ieee
    def penalty(self) -> Array:
        """omega Delta_t ||A||^2/(p d), what weight decay omega adds to the training loss."""
        return self.rule.decay * self.weight_norm

    def _about(self) -> str:
        return f"{self.model.label}; {self.rule}"

    def _table(self) -> Table:
        columns = {name: getattr(self, name) for name in self.curves}
        columns |= {f"{name}_error": error for name, error in self.error.items()}
        return table_over_times(self.tau, columns)

    @lazy
    def relative_error(self) -> float:
        """Largest estimated relative error of train, test and score_error.

        A value below 1e-3 of the untrained network's counts as that: there the estimate is an
        absolute one (rounding sees the losses from 1 downwards).
        """
        return self._largest(self.error)

    def difference(self, other: LearningCurves) -> float:
        """Largest relative difference from curves at the same times, as in relative_error."""
        instance(other, LearningCurves, "other", "solution.learning_curves(tau)")
        if not np.array_equal(other.tau, self.tau):
            raise ModelError("the curves are at other times; their difference needs the same tau")
        return self._largest(
            {name: np.abs(getattr(self, name) - getattr(other, name)) for name in JUDGED}
        )

    def _largest(self, error: dict[str, Array]) -> float:
        """Largest of ``error`` over max(|value|, 1e-3 of the untrained network's); NaN if one is.

        A loss that diverges has no error.
        """
        untrained = (1.0, 1.0, self.model.initial_score_error)
        worst = 0.0
        for name, start in zip(JUDGED, untrained, strict=True):
            scale = np.maximum(np.abs(getattr(self, name)), SMALL * start)
            relative = np.where(np.isinf(scale), 0.0, error[name]) / scale
            worst = np.maximum(worst, relative.max(initial=0.0))
        return float(worst)

    def interpolate(self, tau: ArrayLike) -> LearningCurves:
        """These curves at other times, from polynomials in log tau through fourteen known ones.

        A tenth of the cost of exact curves, for many times. 0, inf and the times of these curves
        keep their values. Errors are those of the known values and what the polynomials miss: some
        1e-8 of the curves from 30 times per decade, 1e-5 from ten; `require` holds them to more.

        Raises
        ------
        ModelError
            If a time lies beyond the known ones, these are fewer than fourteen or more than a
            factor 1.5 apart, or the rule takes steps or is mini-batch SGD.
        """
        times, rule = checked_times(tau), self.rule
        if not isinstance(rule, Rule) or type(rule).check_times is not Rule.check_times:
            raise ModelError(f"curves under {rule} are not smooth in tau, as interpolation needs")
        held = [Estimate(getattr(self, name), self.error[name]) for name in LOSSES]
        return _curves(times, interpolated(self.tau, held, times), rule, self.model)

    def require(self, rtol: float) -> LearningCurves:
        """These curves, or ConvergenceError if they are not accurate to ``rtol``."""
        rtol = number(rtol, "rtol", above=0.0)
        if not self.relative_error <= rtol:
            raise ConvergenceError(
                f"learning curves reached a relative error of {self.relative_error:.1e} under "
                f"{self.rule}; rtol = {rtol:g} was asked for",
                partial=self,
                residual=self.relative_error,
            )
        return self

    def stored(self) -> Stored:
        """What a file holds of the curves: every loss and its error at the times, and the rule."""
        attributes, arrays = self.model.stored()
        losses = ("train", "test", "generalization_gap", "score_error")
        for name in ("tau", *losses, "empirical_error", "weight_norm"):
            arrays[name] = getattr(self, name)
        arrays |= {f"{name}_error": error for name, error in self.error.items()}
        rule, _ = self.rule.stored()
        return {**attributes, "error_estimate": self.relative_error, **rule}, arrays


@ieee
def curves_on(nodes: Measures, tau: ArrayLike, rule: Rule) -> LearningCurves:
    """Learning curves of ``rule`` from the one- and two-point functions at ``nodes``.

    Raises ModelError if a time is negative or NaN, not one of the rule's, or the rule diverges on
    this spectrum.
    """
    times = checked_times(tau)
    flat = times.ravel()
    rule.check(nodes.top, nodes.model.rate)
    rule.check_times(flat)
    flow = getattr(nodes, "flow", None)
    if flow is not None and type(rule) is GradientFlow and rule.initial_std == 0.0:
        quick = flow.curves(flat, rule.decay)
    else:
        quick = None
    if quick is not None:
        values, errors = (part.reshape(5, *times.shape) for part in quick[0])
        known = [Estimate(value, error) for value, error in zip(values, errors, strict=True)]
        curves = _curves(times, known, rule, nodes.model)
        vars(curves)["relative_error"] = quick[1]
        return curves
    size = max(16, _BLOCK // nodes.points.size)
    blocks = [flat[i : i + size] for i in range(0, max(flat.size, 1), size)]
    parts = [_losses(nodes, block, rule) for block in blocks]
    found = [_joined([part[i] for part in parts], times.shape) for i in range(5)]
    return _curves(times, found, rule, nodes.model)


def diverged(nodes: Measures, tau: Array, rule: Rule) -> LearningCurves:
    """Curves at tau = inf where the spectrum touches 0: the test loss has no limit."""
    never = np.full(tau.shape, math.inf)
    train = np.full(tau.shape, nodes.exact.train_limit)
    known = Estimate(train, np.full(tau.shape, nodes.exact.limit_error))
    unknown = Estimate(never, 0.0 * train)
    return _curves(tau, [known, unknown, unknown, unknown, unknown], rule, nodes.model)


def merged(parts: list[tuple[Mask, LearningCurves]], tau: Array) -> LearningCurves:
    """Curves at the times ``tau`` from those at tau[where], for masks that cover it."""
    found = []
    for name in LOSSES:
        value, error = np.empty(tau.shape), np.empty(tau.shape)
        for where, part in parts:
            value[where], error[where] = getattr(part, name), part.error[name]
        found.append(Estimate(value, error))
    return _curves(tau, found, parts[0][1].rule, parts[0][1].model)


def _curves(tau: Array, found: list[Estimate], rule: Rule, model: FeatureModel) -> LearningCurves:
    return LearningCurves(tau=tau, rule=rule, model=model, **values_and_errors(found))


def values_and_errors(found: list[Estimate]) -> dict[str, Any]:
    """What curves hold of their losses, which stand in the order of `LOSSES`."""
    train, score, test, empirical, norm = found
    error = {
        "train": train.error,
        "test": test.error,
        "generalization_gap": train.error + test.error,
        "score_error": score.error,
        "empirical_error": empirical.error,
        "weight_norm": norm.error,
    }
    return {**{name: one.value for name, one in zip(LOSSES, found, strict=True)}, "error": error}


def _losses(nodes: Measures, tau: Array, rule: Rule) -> tuple[Estimate, ...]:
    """What ``LOSSES`` lists, at the times ``tau``, each of shape (n_tau,)."""
    model = nodes.model
    x = nodes.points
    h, left = rule.filter_and_residual(x, tau, model.rate)
    turns = nodes.turning(rule, tau)
    turning = None if turns is None else turns.filter
    train = _train(nodes, h, left, turns)
    norm = nodes.integral(h * h, nodes.S_VV, None if turns is None else turns.square)
    score = _bias(nodes, h, turning)
    score = score.plus((model.learned_noise, norm), (1.0, nodes.quadratic(h, turning)))
    score = score.over(model.Delta_t)
    fresh = nodes.empirical(h, turning)
    if rule.initial_scale > 0.0:
        kappa2 = rule.initial_scale**2
        loss, kept, test = remembered(nodes, tau, rule, None if turns is None else turns.memory)
        train = train.plus((kappa2 * model.Delta_t, loss))
        norm = norm.plus((kappa2 * model.Delta_t, kept))
        if math.isinf(model.psi_p):
            norm = Estimate(np.full(tau.size, math.nan), np.zeros(tau.size))
        score = score.plus((kappa2 * model.residual_variance, kept), (kappa2 / model.unit, test))
        if fresh is not None:
            fresh = Estimate(np.full(tau.size, math.nan), np.zeros(tau.size))
    return (
        train,
        score,
        Estimate.exact(np.full(tau.size, model.floor)).plus((model.Delta_t, score)),
        (train if fresh is None else fresh).over(model.Delta_t),
        norm,
    )


def _train(
    nodes: Measures, h: NDArray[Any], left: NDArray[Any], turns: Majorants | None
) -> Estimate:
    """L_train for the filter h with left = 1 - x h."""
    if nodes.around_zero:  # the filter must have no pole there
        start = Estimate.exact(np.ones(h.shape[0]))
        turning = None if turns is None else turns.filter * (1.0 + turns.held)
        return start.plus((-1.0, nodes.integral(h * (1.0 + left), nodes.S_VV, turning)))
    limit = np.full(h.shape[0], nodes.exact.train_limit)
    start = Estimate(limit, np.full(h.shape[0], nodes.exact.limit_error))
    turning = None if turns is None else turns.residual
    return start.plus((1.0, nodes.integral(left * left, nodes.S_VV / nodes.points, turning)))


def _bias(nodes: Measures, h: NDArray[Any], turning: Turning | None) -> Estimate:
    """Sum over the classes of share <Sigma_t (a F[h] - sqrt(Delta_t) Sigma_t^{-1})^2>."""
    model, weights = nodes.model, nodes.model.weights
    value, slope = np.zeros(h.shape[0]), np.zeros(h.shape[0])
    for first in range(0, weights.size, _ATOMS):
        part = slice(first, first + _ATOMS)
        learned, w = nodes.mean(h, part), weights[part]
        for one in model.classes:
            sigma = one.diffused[part]
            missing = learned * (one.linear * sigma) - math.sqrt(model.Delta_t)
            value += one.share * ((missing * missing) @ (w / sigma))
            slope += 2.0 * one.share * abs(one.linear) * (np.abs(missing * learned) @ w)
    # relative to its size, F[h] is off by about as much as its average over Sigma
    mean = nodes.integral(h, nodes.S_VW, turning)
    relative = mean.error / np.where(mean.value != 0.0, np.abs(mean.value), 1.0)
    return Estimate(value, slope * relative + ROUNDING * value)


def remembered(
    nodes: Measures,
    tau: Array,
    rule: Rule,
    turning: Turning | None,
    seen: tuple[NDArray[Any], float] | None = None,
) -> tuple[Estimate, Estimate, Estimate]:
    """Integrals of x g^2 and g^2 against rho, and S_test[g^2]: what the initial weights add.

    ``seen`` is S_test, and its weight on an atom at 0, for another covariance of the inputs.

    Atoms outside the contour are added one by one. Above 0 an atom is orthogonal to W; at 0 (fewer
    columns than features) it is not. Masses are off by the rounding of 1.
    """
    rate = nodes.model.rate
    S_test, untouched = (nodes.S_test, nodes.untouched) if seen is None else seen
    g2 = rule.memory(nodes.points, tau, rate) ** 2
    q_size, x_size = nodes.bulk_sizes
    loss = nodes.integral(g2, nodes.x_bulk, turning, x_size)
    kept = nodes.integral(g2, nodes.q_bulk, turning, q_size)
    test = nodes.integral(g2, S_test, turning)
    for location, mass, moment in nodes.outside:
        held = rule.memory(np.array([location]), tau, rate)[:, 0] ** 2
        if location == 0.0 and rule.decay == 0.0:
            held = np.ones(tau.size)  # at tau = inf as well
        rounding = ROUNDING * held
        loss = loss.plus((1.0, Estimate(moment * held, max(location, abs(moment)) * rounding)))
        kept = kept.plus((1.0, Estimate(mass * held, rounding)))
        if location == 0.0:
            test = test.plus((untouched, Estimate(held, ROUNDING * held / mass)))
    return loss, kept, test


def _joined(parts: list[Estimate], shape: tuple[int, ...]) -> Estimate:
    if len(parts) == 1:
        return Estimate(parts[0].value.reshape(shape), parts[0].error.reshape(shape))
    return Estimate(
        np.concatenate([part.value for part in parts]).reshape(shape),
        np.concatenate([part.error for part in parts]).reshape(shape),
    )


def checked_times(tau: ArrayLike) -> Array:
    """``tau`` as a read-only copy of times >= 0, inf included; ModelError otherwise."""
    return floats(tau, "tau", least=0.0, infinite=True)


def probe_times(model: FeatureModel, m: float, M: float) -> Array:
    """Times from before the fastest mode of a spectrum in [m, M] to after the slowest, and inf."""
    early, late = 0.03 / (model.rate * M), 30.0 / (model.rate * max(m, HARD_EDGE * M))
    steps = np.arange(_PROBES) / (_PROBES - 1.0)
    return np.append(early * np.power(late / early, steps), np.inf)
