r"""Predictions that are wrong on purpose: each formula off by a few per cent.

A validation is worth what it would notice. Each mutation changes one coefficient or one factor of
the theory and leaves the rest of the library as it is; the simulations are reused, and the
comparison must end with FAIL every time.

    b2, s2, v2, gamma2   the Gaussian-equivalent coefficients, one at a time
    alpha                the rate 2 Delta_t/psi_p (its factor 2), that is, the unit of time
    kappa                1 - kappa, the denominator of the two-point function's last term
    omega                the feature-noise part omega c_Q of T0_Q (through v_t^2 in u_Q)
    sample               the factor y~_1 y~_2/psi_n of the sample's two-point correction in t_Q
    one_point            psi_n in the one-point equations alone

and for cases whose samples come in groups (finite noise draws, mixtures; docs/groups.md)

    draws_b2, draws_s2   b^2/m and s^2/m in the covariance and in the noise of the mean of a
                         sample's draws
    draws_eta, draws_tau what the labels have in common with the columns, and their size
    draws_label          c tau (1 - 1/E) in S_VV, each column with its own label
    draws_cross          eta_j (b_1 S_1 + b_2 S_2) in w_j of the two-point function
    class_share, class_b share of the first class, and its b^2

and for cases with SGD (docs/theory.md, section on mini-batches), four times as large as the others
(y: ten times; N q, a small part: nearly doubled), since noise is known from single runs

    sgd_noise            eps, and with it the factor 4 Delta_t^2/psi_p of K and K_t
    sgd_train            the modes x d rho that noise drives, in K
    sgd_features, sgd_signal   N q and S_test/psi_p in K_t
    sgd_momentum         the clock tau/(1 - m)
    sgd_outlier          y, the noise of the activation's mean

and for cases of what is generated (docs/theory.md, section on what is generated), four times as
large, the last twelve times; the gain is left out whole

    gen_drift, gen_fresh the factors c and f of the reverse process
    gen_gain             the gain, whose departure from 1 is left out
    gen_noise            b_t^2 in the modes of the kernel of the samples
    gen_signal           gamma^2 there (v_n shows only late, where such sizes tell nothing)
    gen_linear           a_t^2 in the learned score
    gen_clock            2 Delta_t tau
    gen_sample           psi_n in the law of the sample covariance

A mutation is judged by the cases in which the formula occurs. Coefficients are replaced in the
model or in its groups; the two-point function by a kernel that stands in for
`dmft_rf.kernels.closed_form_pairs.assemble` (or `grouped_pairs.assemble`) while the prediction is
made, in single steps, and the label term in properties of `Nodes`. Rules without a contour in the
half-plane (discrete steps) are left out of the comparison of a mutation.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np

from dmft_rf import Mixture, ScoreModel
from dmft_rf._typing import Array
from dmft_rf.curves.exact import Exact
from dmft_rf.curves.nodes import Nodes
from dmft_rf.kernels import closed_form_pairs as two_point
from dmft_rf.kernels import grouped_pairs
from dmft_rf.model.coefficients import Coefficients
from dmft_rf.model.columns import SampleGroups
from dmft_rf.numerics.estimate import ROUNDING
from dmft_rf.rules.stochastic import TrainingRule
from validation.compare import mutate_generation as gen
from validation.compare.mutate_sgd import (
    clock,
    features,
    louder,
    of_mean,
    of_momentum,
    of_sgd,
    outlier,
    signal,
    train,
    transforms,
)
from validation.compare.theory import Prediction, predict
from validation.finite.case import Case

SIZE = 0.03
"""Relative size of a mutation."""

Assemble = Callable[..., Any]
ModelChange = Callable[[ScoreModel, float], ScoreModel]
_assemble: Assemble = two_point.assemble


class _Mistimed(ScoreModel):
    """A ScoreModel whose rate is off."""

    @property
    def rate(self) -> float:
        """Alpha, too large."""
        return super().rate * self.__dict__["_factor"]


def _closed(case: Case) -> bool:
    # single runs of SGD are too loud for 3 % in these
    return not case.generated and case.model.groups.closed_form and not case.stochastic


def _drawn(case: Case) -> bool:
    return math.isfinite(case.model.noise_draws)


def _classes(case: Case) -> bool:
    return isinstance(case.model.covariance, Mixture)


@dataclass(frozen=True)
class Mutation:
    """One wrong formula.

    Attributes
    ----------
    name, about : str
    model : callable
        From a ScoreModel and a factor to the mutated model; None leaves it as it is.
    kernel : callable
        From a factor to the stand-in for `assemble`; None leaves it as it is.
    patch : callable
        From a factor to a context in which other formulas are wrong; None leaves them.
    concerns : callable
        Whether the formula occurs in the theory of a case.
    rules : callable
        From a rule and a factor to the mutated rule; None leaves the rules.
    scale : float
        Its size in units of that of the others.
    """

    name: str
    about: str
    model: Callable[[ScoreModel, float], ScoreModel] | None = None
    kernel: Callable[[float], Assemble] | None = None
    patch: Callable[[float], AbstractContextManager[None]] | None = None
    concerns: Callable[[Case], bool] = _closed
    rules: Callable[[TrainingRule, float], TrainingRule] | None = None
    scale: float = 1.0

    def predict(self, case: Case, size: float = SIZE) -> Prediction:
        """The wrong prediction for ``case``, off by the relative ``size``."""
        factor = 1.0 + self.scale * size
        if self.rules is not None:
            changed = {label: self.rules(rule, factor) for label, rule in case.rules.items()}
            case = dataclasses.replace(case, rules=changed)
        model = case.model if self.model is None else self.model(case.model, factor)
        other = nullcontext() if self.patch is None else self.patch(factor)
        kernel = None if self.kernel is None else self.kernel(factor)
        single_steps = mock.patch("dmft_rf.curves.solve.flow_nodes", return_value=None)
        with _replaced(kernel), other, single_steps:
            return predict(case, model, smooth_only=True)


@contextmanager
def _replaced(kernel: Assemble | None) -> Iterator[None]:
    if kernel is None:
        yield
        return
    with mock.patch.object(two_point, "assemble", kernel):
        yield


def _coefficient(name: str) -> Callable[[ScoreModel, float], ScoreModel]:
    """Multiply one coefficient of the model, and nothing else."""

    def change(model: ScoreModel, factor: float) -> ScoreModel:
        mutant = model.replace()
        # b is stored, not its square
        power = math.sqrt(factor) if name == "b" else factor
        value = getattr(model.coefficients, name) * power
        wrong = dataclasses.replace(model.coefficients, **{name: value})
        mutant.__dict__["coefficients"] = wrong  # the cached property, and what is made of it
        for derived in ("classes", "groups"):
            mutant.__dict__.pop(derived, None)
        return mutant

    return change


def _rate(model: ScoreModel, factor: float) -> ScoreModel:
    mutant = _Mistimed(model.t, model.psi_p, model.psi_n, model.activation, model.covariance)
    mutant.__dict__["_factor"] = factor
    return mutant


def _one_point(model: ScoreModel, factor: float) -> ScoreModel:
    mutant = model.replace()
    wrong = model.groups.par.copy()
    wrong[1] *= factor
    mutant.__dict__["groups"] = dataclasses.replace(model.groups, par=wrong)
    return mutant


def _kappa(factor: float) -> Assemble:
    """1 - kappa is psi_p-th part of the inverse secant slope dk/dz: stretch z by the factor."""

    def kernel(z1: Any, k1: Any, E1: Any, z2: Any, k2: Any, E2: Any, dk: Any, *rest: Any) -> Any:
        return _assemble(z1 * factor, k1, E1, z2 * factor, k2, E2, dk / factor, *rest)

    return kernel


def _parameters(**factors: int) -> Callable[[float], Assemble]:
    """Multiply the kernel's psi_n and v2 by powers of the factor."""

    def build(factor: float) -> Assemble:
        def kernel(*arguments: Any) -> Any:
            par = arguments[-1].copy()
            par[1] *= factor ** factors.get("psi_n", 0)
            par[3] *= factor ** factors.get("v2", 0)
            return _assemble(*arguments[:-1], par)

        return kernel

    return build


def _in_groups(**changes: Callable[[SampleGroups, ScoreModel, float], Array]) -> ModelChange:
    """Replace fields of the model's groups."""

    def change(model: ScoreModel, factor: float) -> ScoreModel:
        mutant, groups = model.replace(), model.groups
        wrong: Any = {name: made(groups, model, factor) for name, made in changes.items()}
        mutant.__dict__["groups"] = dataclasses.replace(groups, **wrong)
        return mutant

    return change


def _means(groups: SampleGroups, model: ScoreModel) -> list[tuple[int, Coefficients]]:
    """Row of the mean of a sample's draws, and coefficients, of each class."""
    per_class = groups.count.size // len(model.classes)
    return [(i * per_class, one.coefficients) for i, one in enumerate(model.classes)]


def _draws_b2(groups: SampleGroups, model: ScoreModel, factor: float) -> Array:
    signal = groups.signal.copy()
    for row, c in _means(groups, model):
        signal[row, 0] += (factor - 1.0) * c.b**2 / model.noise_draws
    return signal


def _draws_s2(groups: SampleGroups, model: ScoreModel, factor: float) -> Array:
    noise = groups.noise.copy()
    for row, c in _means(groups, model):
        noise[row] += (factor - 1.0) * c.s2 / model.noise_draws
    return noise


def _share(model: ScoreModel, factor: float) -> ScoreModel:
    mix = model.covariance
    assert isinstance(mix, Mixture)
    first = mix.shares[0] * factor
    rest = mix.shares[1:] * (1.0 - first) / (1.0 - mix.shares[0])
    return model.replace(covariance=Mixture(np.append(first, rest), mix.eigenvalues, mix.weights))


def _class_b(model: ScoreModel, factor: float) -> ScoreModel:
    mutant = model.replace()
    one = model.classes[0]
    c = dataclasses.replace(one.coefficients, b=one.coefficients.b * math.sqrt(factor))
    mutant.__dict__["classes"] = (dataclasses.replace(one, coefficients=c), *model.classes[1:])
    mutant.__dict__.pop("groups", None)
    return mutant


def _exact(mass: float, train_limit: float) -> Exact:
    return Exact(mass, 1.0 - train_limit, train_limit, ROUNDING)


@contextmanager
def _label_term(factor: float) -> Iterator[None]:
    """c tau (1 - 1/E) off by the factor at the nodes, and in the exact values they are held to."""
    right_S: Any = Nodes.S_VV
    right_exact: Any = Nodes.exact

    def S_VV(nodes: Nodes) -> Any:
        g, s = nodes.model.groups, nodes.resolvent
        own = (s.excess / s.E) @ (g.count * g.sizes)
        return right_S.fget(nodes) + (factor - 1.0) * own

    def exact(nodes: Nodes) -> Exact:
        g, found = nodes.model.groups, right_exact.func(nodes)
        weight = g.count * g.sizes
        scatter = float(weight @ (g.covariances @ g.weights + g.noise)) / g.par[1]
        own = (factor - 1.0) * float(weight @ (1.0 - 1.0 / nodes.law.at_zero.E))
        mass = found.mass + (factor - 1.0) * float(g.par[0]) * scatter
        return _exact(mass, found.train_limit - own)

    with (
        mock.patch.object(Nodes, "S_VV", property(S_VV)),
        mock.patch.object(Nodes, "exact", property(exact)),
    ):
        yield


@contextmanager
def _label_sizes(_: float) -> Iterator[None]:
    """1 - S_VV(0) where sum c tau is not 1, as `Nodes.exact` takes for granted."""
    right = Nodes.exact

    def exact(nodes: Nodes) -> Exact:
        found = right.func(nodes)
        more = float(nodes.model.groups.count @ nodes.model.groups.sizes) - 1.0
        return _exact(found.mass, found.train_limit - more)

    with mock.patch.object(Nodes, "exact", property(exact)):
        yield


@contextmanager
def _cross_term(factor: float) -> Iterator[None]:
    """eta enters grouped_pairs.assemble in this term alone; it is its last but two argument."""
    right: Any = grouped_pairs.assemble

    def kernel(*arguments: Any) -> Any:
        *first, eta, tau, Q = arguments
        return right(*first, factor * eta, tau, Q)

    with mock.patch.object(grouped_pairs, "assemble", kernel):
        yield


MUTATIONS = (
    Mutation("b2", "b_t^2", _coefficient("b")),
    Mutation("s2", "s_t^2", _coefficient("s2")),
    Mutation("v2", "v_t^2", _coefficient("v2")),
    Mutation("gamma2", "gamma^2", _coefficient("gamma2")),
    Mutation("alpha", "the factor 2 in alpha = 2 Delta_t/psi_p", _rate),
    Mutation("kappa", "1 - kappa in the two-point function", kernel=_kappa),
    # v2/psi_n is the only place of v2 in the kernel
    Mutation("omega", "omega c_Q in the two-point function", kernel=_parameters(v2=1)),
    # psi_n and v2 together: v2/psi_n stays, 1/psi_n changes
    Mutation(
        "sample", "y~_1 y~_2/psi_n in the two-point function", kernel=_parameters(psi_n=1, v2=1)
    ),
    Mutation("one_point", "psi_n in the one-point equations", _one_point),
    Mutation(
        "draws_b2", "b^2/m in the covariance of the mean of the draws",
        _in_groups(signal=_draws_b2), concerns=_drawn,
    ),
    Mutation(
        "draws_s2", "s^2/m in the noise of the mean of the draws",
        _in_groups(noise=_draws_s2), concerns=_drawn,
    ),
    Mutation(
        "draws_eta", "eta = b/m",
        _in_groups(labels=lambda groups, _, factor: factor * groups.labels), concerns=_drawn,
    ),
    Mutation(
        "draws_tau", "tau = 1/m",
        _in_groups(sizes=lambda groups, _, factor: factor * groups.sizes), patch=_label_sizes,
        concerns=_drawn,
    ),
    Mutation("draws_label", "c tau (1 - 1/E) in S_VV", patch=_label_term, concerns=_drawn),
    Mutation(
        "draws_cross", "eta (b_1 S_1 + b_2 S_2) in the two-point function",
        patch=_cross_term, concerns=_drawn,
    ),
    Mutation("class_share", "share of the first class", _share, concerns=_classes),
    Mutation("class_b", "b_t^2 of the first class", _class_b, concerns=_classes),
    Mutation("sgd_noise", "the noise eps of SGD", rules=louder, concerns=of_sgd, scale=4.0),
    Mutation("sgd_train", "x d rho in the kernel of SGD's training loss",
             patch=transforms(train), concerns=of_sgd, scale=4.0),
    Mutation("sgd_features", "N q in the kernel of SGD's test loss",
             patch=transforms(features), concerns=of_sgd, scale=32.0),
    Mutation("sgd_signal", "S_test/psi_p in the kernel of SGD's test loss",
             patch=transforms(signal), concerns=of_sgd, scale=4.0),
    Mutation("sgd_momentum", "the clock of SGD with momentum", patch=clock,
             concerns=of_momentum, scale=4.0),
    Mutation("sgd_outlier", "y of SGD with an activation that has a mean", patch=outlier,
             concerns=of_mean, scale=10.0),
    Mutation("gen_drift", "the factor 2 of the learned score", patch=gen.drift,
             concerns=gen.of_generation, scale=4.0),
    Mutation("gen_fresh", "the noise of the stochastic sampler", patch=gen.fresh_noise,
             concerns=gen.of_generation, scale=4.0),
    Mutation("gen_gain", "the gain", patch=gen.gain, concerns=gen.of_gain, scale=33.0),
    Mutation("gen_linear", "a_t^2 in the learned score", patch=gen.linear_part,
             concerns=gen.of_generation, scale=4.0),
    Mutation("gen_noise", "b_t^2 in the modes", patch=gen.noise_of_diffusion,
             concerns=gen.of_generation, scale=4.0),
    Mutation("gen_signal", "gamma^2 in the modes", patch=gen.signal,
             concerns=gen.of_generation, scale=4.0),
    Mutation("gen_clock", "2 Delta_t tau", patch=gen.clock, concerns=gen.of_generation, scale=4.0),
    Mutation("gen_sample", "psi_n in the law of the sample covariance", patch=gen.sample,
             concerns=gen.of_generation, scale=12.0),
)  # fmt: skip
"""Every mutation, by what it changes."""
