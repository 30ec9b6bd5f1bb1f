r"""Learning curves of mini-batch SGD: a deterministic rule, and what the noise of its steps adds.

With F and F_test the losses of the mean weights, the kernels K, K_t of
dmft_rf.curves.noise_transforms and the outlier's y (0 for activations without a mean),

    L_train(tau) = (1 + y) [F(tau) + integral_0^tau eps(s) K(tau - s) L_train(s) ds],
    L_test(tau)  = F_test(tau) + integral_0^tau eps(s) K_t(tau - s) L_train(s) ds
                   + y/(1 + y) L_train(tau).

At constant eps the Laplace transform solves them. With z = -p_L/(2 alpha), R_0 that of F,
K^(z) = eps Delta_t integral x^2/(x - z) d rho and K_t^ likewise,

    R = (1 + y) R_0/(1 - (1 + y) K^),
    L_train = (1 + y) F + integral (1 - e^{-2 alpha x tau})/x against the measure of R (1 + y) K^,
    L_test  = F_test + the same against the measure of R K_t^ + y/(1 + y) L_train,

on a contour that encloses the zero of 1 - (1 + y) K^ below the spectrum as well. Derivation and
assumptions: docs/theory.md, section on mini-batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dmft_rf._arithmetic import ieee
from dmft_rf._convert import instance
from dmft_rf._stored import Stored
from dmft_rf._typing import Array
from dmft_rf.curves.losses import LearningCurves, checked_times, values_and_errors
from dmft_rf.curves.majorants import Few, Majorants
from dmft_rf.curves.nodes import MOST_NODES, Nodes
from dmft_rf.curves.noise_memory import along
from dmft_rf.curves.noise_steps import stepwise
from dmft_rf.curves.noise_sustained import driven, largest_noise, loads, lowest, sustained
from dmft_rf.curves.noise_transforms import Added, NoiseTransforms, idle, outlier
from dmft_rf.errors import ConvergenceError, ModelError
from dmft_rf.model.mixture import Mixture
from dmft_rf.model.score_model import ScoreModel
from dmft_rf.numerics.contour import flattened, nodes_for
from dmft_rf.numerics.estimate import ROUNDING, Estimate
from dmft_rf.numerics.region import Region
from dmft_rf.rules.flow import GradientFlow, Rule
from dmft_rf.rules.stochastic import StochasticGradientDescent

if TYPE_CHECKING:
    from dmft_rf.model.feature_model import FeatureModel
    from dmft_rf.spectra.spectrum import Spectrum


# a final training loss below this counts as one that vanishes
_SMALL = 0.01


@dataclass(frozen=True)
class Access:
    """The parts of a solved model from which the curves of SGD are computed.

    Attributes
    ----------
    law : Spectrum
    rtol : float
    around_zero : bool
        Whether the spectrum leaves no room for a contour right of 0.
    flow : function
        Learning curves of a deterministic rule at given times.
    nodes : function
        Nodes on a contour in a region, around [low, the end of the spectrum], of a given number.
    """

    law: Spectrum
    rtol: float
    around_zero: bool
    flow: Callable[[Array, Rule], LearningCurves]
    nodes: Callable[[Region, float, int], Nodes]

    @property
    def model(self) -> FeatureModel:
        """The model that was solved."""
        return self.law.model


@ieee
@dataclass(frozen=True, eq=False, repr=False)
class StochasticCurves(LearningCurves):
    """Learning curves of SGD, with the two parts that they are the sums of.

    At infinite width ``weight_norm`` is NaN: features that never move keep all noise that they get.

    At tau = 0 an outlying mode (activations with a mean) has already settled: its few steps take no
    time in the limit.

    Attributes
    ----------
    gradient_flow : LearningCurves
        Those of the mean weights: gradient flow, or the rule's ``mean_rule``.
    train_noise, test_noise : arrays shaped like tau
        What the noise adds to the training and the test loss.
    load : array shaped like tau
        The share of the training loss that the noise of the steps would sustain in the long run at
        the present eps; the stationary loss is that of gradient flow over 1 - load. At infinite
        width the limit of the load of finite widths.
    threshold : float
        The constant eps at which the load would be 1.
    """

    curves: ClassVar[tuple[str, ...]] = (
        *LearningCurves.curves,
        "train_noise",
        "test_noise",
        "load",
    )

    rule: StochasticGradientDescent  # type: ignore[assignment]
    gradient_flow: LearningCurves
    train_noise: Array
    test_noise: Array
    load: Array
    threshold: float

    def stored(self) -> Stored:
        """What a file holds of the curves: also what the noise adds, and the load."""
        attributes, arrays = super().stored()
        more = ("train_noise", "test_noise", "load")
        return attributes, {**arrays, **{name: getattr(self, name) for name in more}}


def checked(model: Any, rule: Any) -> None:
    """Raise ModelError unless the theory of SGD covers this model."""
    instance(model, ScoreModel, "model", "ScoreModel(0.01, 64, 8)")
    instance(rule, StochasticGradientDescent, "rule", "StochasticGradientDescent(noise=1.0)")
    if isinstance(model.covariance, Mixture):
        raise ModelError(
            "the noise of SGD is not derived for a Mixture: each class has a loss of its own, "
            "which drives the noise of its samples; take one Covariance"
        )


def curves_of_noise(
    access: Access, tau: ArrayLike, rule: StochasticGradientDescent
) -> StochasticCurves:
    """Learning curves of SGD at the times ``tau``.

    Raises ModelError if the rule diverges, and ConvergenceError if the nodes do not carry it.
    """
    model = access.model
    checked(model, rule)
    times = checked_times(tau)
    limit = largest_noise(access.law, rule)
    if rule.constant or np.isinf(times).any():
        check_stable(access.law, rule)
    flow = access.flow(np.asarray(times * rule.pace), rule.mean_rule)
    region, low = _place(access, times, rule)
    size = nodes_for(*flattened(region, low, access.law.ends[1]), access.rtol)
    if size > MOST_NODES:
        raise ConvergenceError(
            f"no contour around [{low:.3g}, {access.law.ends[1]:.3g}] carries {rule}: it would "
            f"need {size:g} nodes, more than {MOST_NODES}",
            partial=flow,
        )
    best: StochasticCurves | None = None
    while size <= MOST_NODES:
        nodes = NoiseTransforms.of(access.nodes(region, low, int(size)))
        added = _added(nodes, flow, times.ravel(), rule, access.rtol)
        curves = _sum(access.law, flow, added, times, rule, limit)
        if best is not None and curves.relative_error > 0.7 * best.relative_error:
            break  # what is left is rounding, or not the nodes'
        best = curves
        if best.relative_error <= access.rtol:
            break
        size = math.ceil(1.25 * size)
    assert best is not None
    return best


def check_stable(law: Spectrum, rule: StochasticGradientDescent) -> None:
    """Raise ModelError where the losses grow without end at the noise of tau = inf."""
    limit = largest_noise(law, rule)
    eps = float(rule.noise_at(np.array(math.inf)))
    if not eps < limit:
        raise ModelError(
            f"noise is {eps!r}{'' if rule.constant else ' at tau = inf'}; the losses grow without "
            f"end, this model (batch {rule.batch}, momentum {rule.momentum:g}) allows eps below "
            f"{limit:.9g}"
        )


def _place(access: Access, times: Array, rule: StochasticGradientDescent) -> tuple[Region, float]:
    """Region of the contour and the lower end of what it leads around.

    1 - (1 + y) K^ has its lowest zero above (1 - load) x_0 with the lowest place x_0 of the
    spectrum, since x/(x - u) <= x_0/(x_0 - u). Powers of 2, so that neighbouring loads share
    their nodes.
    """
    model, low = access.model, lowest(access.law)
    finite = times[np.isfinite(times)]
    latest = rule.pace * float(finite.max(initial=0.0))
    latest = 2.0 ** math.ceil(math.log2(max(latest, 1.0 / (model.rate * access.law.ends[1]))))
    pole = any(place == 0.0 for place, _ in access.law.atoms)
    if rule.finite_steps is not None:
        mean, region = rule.mean_rule, rule.mean_rule.region(model.rate)
        if not access.around_zero:
            return region, 0.5 * low
        # squares of what the filter of the mean weights holds
        margin = mean.margin(2.0 * latest, model.rate) - rule.weight_decay
        return replace(region, start=-margin), 0.0 if pole else 0.5 * low
    if rule.constant:
        rest = 1.0 - float(loads(access.law, rule, np.array(rule.noise)))
        low *= 2.0 ** -max(1.0, math.ceil(-math.log2(rest)))
    else:
        low *= 0.5
    if not access.around_zero:
        return Region(), low
    return Region(start=-0.5 / (model.rate * latest)), 0.0 if pole else low


def _added(
    nodes: NoiseTransforms,
    flow: LearningCurves,
    tau: Array,
    rule: StochasticGradientDescent,
    rtol: float,
) -> Added:
    """What the noise adds at the times ``tau``, shape (n_tau,)."""
    late = np.isinf(tau)
    parts = [(late, _stationary(nodes.nodes.law, flow, late, rule))] if late.any() else []
    if not late.all() or not tau.size:
        closed = rule.constant and rule.average is None and rule.weight_decay == 0.0
        load = partial(loads, nodes.nodes.law, rule)
        if rule.finite_steps is not None:
            part = stepwise(nodes, _flow_train(flow, ~late), tau[~late], rule, load)
        elif closed:
            part = _constant(nodes, flow, tau[~late], ~late, rule)
        else:
            part = along(nodes, _flow_train(flow, ~late), tau[~late], rule, load, rtol)
        parts.append((~late, part))
    found = []
    for name in ("train", "test", "norm"):
        value, error = np.empty(tau.size), np.empty(tau.size)
        for where, part in parts:
            one = getattr(part, name)
            value[where], error[where] = one.value, one.error
        found.append(Estimate(value, error))
    return Added(*found)


def _flow_train(flow: LearningCurves, where: NDArray[np.bool_]) -> Estimate:
    return Estimate(flow.train.ravel()[where], flow.error["train"].ravel()[where])


def _stationary(
    law: Spectrum, flow: LearningCurves, where: NDArray[np.bool_], rule: StochasticGradientDescent
) -> Added:
    """At tau = inf: L_train = (1 + y) F/(1 - load); an average keeps less of it."""
    model = law.model
    F = _flow_train(flow, where)
    eps = rule.noise_at(np.array([math.inf]))
    y = float(outlier(model, rule, eps)[1][0])
    scale = float(eps[0]) * model.Delta_t / (1.0 - rule.momentum)
    rest = 1.0 - (1.0 + y) * scale * driven(law, rule)
    total = F.over(rest / (1.0 + y))
    total = Estimate(total.value, total.error + ROUNDING * np.abs(total.value) / rest)
    settled = y / (1.0 + y) if rule.average is None else 0.0
    none = Estimate(np.zeros(F.value.size), np.zeros(F.value.size))
    train, test, norm = (float(one) for one in scale * sustained(law, rule))
    return Added(
        none.plus((train + settled, total)),
        none.plus((test + settled, total)),
        none.plus((norm, total)),
    )


def _constant(
    nodes: NoiseTransforms,
    flow: LearningCurves,
    tau: Array,
    where: NDArray[np.bool_],
    rule: StochasticGradientDescent,
) -> Added:
    """The closed form at constant eps."""
    own, model, z = nodes.nodes, nodes.nodes.model, nodes.nodes.points
    kappa2 = rule.initial_std**2 * model.Delta_t
    noise = np.array(rule.noise)
    y = float(outlier(model, rule, noise)[1])
    scale = float(noise) * rule.pace * model.Delta_t
    start = 1.0 + kappa2 * idle(model) - own.S_VV - kappa2 * z * nodes.weight
    start_size = 1.0 + np.abs(own.S_VV) + kappa2 * (idle(model) + np.abs(z) * nodes.weight_size)
    back = (1.0 + y) * scale * nodes.train
    R = (1.0 + y) * start / (1.0 - back)
    loses = start_size / np.abs(start)
    loses += (1.0 + y) * scale * nodes.train_size / np.abs(1.0 - back)
    clock = 2.0 * rule.pace * tau
    h, left = GradientFlow().filter_and_residual(z, clock, model.rate)
    turning = Majorants(GradientFlow(), own.contour, clock, model.rate, Few.of(clock)).filter

    def added(transform: NDArray[Any], size: Array) -> tuple[NDArray[Any], Array, Estimate]:
        product = R * scale * transform
        whole = np.abs(R) * scale * (size + np.abs(transform) * loses)
        return product, whole, own.integral(h, product, turning, whole)

    product, whole, train = added((1.0 + y) * nodes.train, (1.0 + y) * nodes.train_size)
    if own.train_limit < _SMALL and not own.around_zero:
        # the limit at tau = inf, less what is missing, keeps the digits of a loss that vanishes
        held = (1.0 + y) * scale * float(sustained(own.law, rule)[0])
        end = np.full(tau.size, (1.0 + y) * held / (1.0 - held))
        missing = own.integral(left, product / z, turning * z, whole / np.abs(z))
        at_last = own.train_limit + kappa2 * idle(model)
        limit = Estimate(at_last * end, own.exact.limit_error * end)
        late = limit.plus((-1.0, missing))
        closer = late.error < train.error
        train = Estimate(
            np.where(closer, late.value, train.value), np.where(closer, late.error, train.error)
        )
    train = train.plus((y, _flow_train(flow, where)))
    total = _flow_train(flow, where).plus((1.0, train))
    return Added(
        train,
        added(nodes.test, nodes.test_size)[2].plus((y / (1.0 + y), total)),
        added(nodes.weight, nodes.weight_size)[2],
    )


def _sum(
    law: Spectrum,
    flow: LearningCurves,
    added: Added,
    tau: Array,
    rule: StochasticGradientDescent,
    limit: float,
) -> StochasticCurves:
    """The curves of the mean weights and of the noise, added."""
    model = flow.model

    def total(name: str, factor: float, part: Estimate) -> Estimate:
        return Estimate(getattr(flow, name), flow.error[name]).plus(
            (factor, Estimate(part.value.reshape(tau.shape), part.error.reshape(tau.shape)))
        )

    train = total("train", 1.0, added.train)
    test = total("test", 1.0, added.test)
    score = total("score_error", 1.0 / model.Delta_t, added.test)
    norm = total("weight_norm", 1.0, added.norm)
    if math.isinf(model.psi_p):  # the features that never move keep all that noise adds to them
        norm = Estimate(np.full(tau.shape, math.nan), np.zeros(tau.shape))
    empirical = train.over(model.Delta_t)
    if math.isfinite(model.noise_draws):  # the noise's share under fresh noise is not derived
        empirical = Estimate(np.full(tau.shape, math.nan), np.zeros(tau.shape))
    return StochasticCurves(
        tau=tau,
        **values_and_errors([train, score, test, empirical, norm]),
        rule=rule,
        model=model,
        gradient_flow=replace(flow, tau=tau),
        train_noise=added.train.value.reshape(tau.shape),
        test_noise=added.test.value.reshape(tau.shape),
        load=loads(law, rule, rule.noise_at(tau)),
        threshold=limit,
    )
