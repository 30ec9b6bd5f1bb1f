"""One model in compiled calls: which models those take, their arguments, and what comes back.

`solve_flow` leads from a model to nodes that carry gradient flow, and to its curves where nothing
else is asked for; `flow_losses` leads from nodes to curves. They take what most work asks for: one
class of data, noise that is averaged exactly, a finite width, few atoms, an activation that is not
linear; gradient flow from A = 0, with or without weight decay, off a hard edge. What they find
unusual, and everything else, goes the way of `Nodes` and `losses`, which they are tested against.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dmft_rf._convert import frozen
from dmft_rf._frozen import know
from dmft_rf._typing import Array
from dmft_rf.curves.exact import Exact
from dmft_rf.curves.forms import Form
from dmft_rf.curves.nodes import MOST_NODES, Nodes
from dmft_rf.kernels._jit import COMPILED
from dmft_rf.kernels.fused_losses import ROUNDING, flow_losses, relative_error
from dmft_rf.kernels.fused_nodes import MOST_ATOMS, moderate
from dmft_rf.kernels.fused_solve import solve_flow
from dmft_rf.kernels.fused_zero import nodes_needed
from dmft_rf.model.feature_model import FeatureModel
from dmft_rf.model.score_model import ScoreModel
from dmft_rf.numerics.contour import Contour, crossing
from dmft_rf.rules.flow import GradientFlow, Rule
from dmft_rf.spectra.resolvent import Resolvent
from dmft_rf.spectra.support import ZeroPoint

if TYPE_CHECKING:
    from dmft_rf.spectra.spectrum import Spectrum


class Statement(NamedTuple):
    """What the compiled calls read of a model, beside psi_p and psi_n.

    Attributes
    ----------
    label, b2, v2, s2, gamma2 : float
        Coefficients of the activation: b and what stands in ``par``.
    q : tuple
        q0, q1 of a^2 b^2 Sigma_t = q0 + q1 Sigma.
    untrained, Delta_t, noise, floor, linear : float
        Score error of the untrained network, 1 - e^{-2t}, N, test loss of the exact score, a.
    lam, w, diffused : (n_atoms,) arrays
        Eigenvalues of Sigma, their weights, and those of Sigma_t.
    """

    label: float
    b2: float
    v2: float
    s2: float
    gamma2: float
    q: tuple[float, float]
    untrained: float
    Delta_t: float
    noise: float
    floor: float
    linear: float
    lam: Array
    w: Array
    diffused: Array

    @classmethod
    def of(cls, model: FeatureModel, most: float = MOST_ATOMS) -> Statement | None:
        """Of a model that the compiled calls may take, else None; psi_p and psi_n are not asked."""
        if not COMPILED or type(model) is not ScoreModel or math.isfinite(model.noise_draws):
            return None
        (one, *others), w = model.classes, model.weights
        c = one.coefficients
        if others or w.size > most or not (c.v2 > 0.0 and c.s2 > 0.0):
            return None
        a2 = (c.b * one.linear) ** 2
        return cls(
            c.b, c.b**2, c.v2, c.s2, c.gamma2,
            (a2 * c.Delta_t, a2 * math.exp(-2.0 * model.t)),
            model.initial_score_error, c.Delta_t, c.residual_variance, model.floor, one.linear,
            one.eigenvalues, w, one.diffused,
        )  # fmt: skip

    def model(self, psi_p: float) -> tuple[float, ...]:
        """As the kernels take it."""
        return 2.0 * self.Delta_t / psi_p, self.Delta_t, self.noise, self.floor, self.linear

    def par(self, psi_p: float, psi_n: float) -> Array:
        """As the kernels take it."""
        return frozen(np.array([psi_p, psi_n, self.b2, self.v2, self.s2, self.gamma2]))

    def solved(
        self,
        psi_p: float,
        psi_n: float,
        rtol: float,
        tau: NDArray[np.float64] | None = None,
        decay: float = 0.0,
    ) -> tuple[Any, ...] | None:
        """What `solve_flow` found; None where the model needs the other route."""
        if not (1e-70 < psi_p < 1e70 and 1e-70 < psi_n < 1e70):
            return None
        good, *found = solve_flow(
            self.par(psi_p, psi_n), self.lam, self.w, self.label, self.q, self.untrained, rtol,
            self.model(psi_p), (self.diffused, self.w), MOST_NODES,
            np.empty(0) if tau is None else tau, decay,
        )  # fmt: skip
        return tuple(found) if good else None

    def flow(
        self, psi_p: float, psi_n: float, rtol: float, tau: NDArray[np.float64] | None = None
    ) -> tuple[Flow, tuple[float, float], Array] | None:
        """Gradient flow, the ends of the support, and losses and errors at ``tau``.

        Without times they are those of probes. None where the model needs the other route.
        """
        found = self.solved(psi_p, psi_n, rtol, tau)
        if found is None:
            return None
        numbers, _, at, curves = found
        return Flow(self, psi_p, at, known_of(numbers)), numbers[:2], curves


class Flow(NamedTuple):
    """Gradient flow on solved nodes: what `flow_losses` takes of them.

    The kernel takes writable arrays, as within `solve_flow`: read-only ones have a type of their
    own, and it would be compiled once more for them.
    """

    stated: Statement
    psi_p: float
    at: tuple[NDArray[Any], ...]
    known: tuple[float, float, float]

    @property
    def rate(self) -> float:
        """2 Delta_t/psi_p."""
        return self.stated.model(self.psi_p)[0]

    def curves(self, tau: Array, decay: float) -> tuple[Array, float] | None:
        """Losses and errors (2, 5, n_tau), and the relative error; None where it is no number."""
        one = self.stated
        law = one.diffused, one.w
        tau, *at = (a if a.flags.writeable else np.array(a, order="C") for a in (tau, *self.at))
        found = flow_losses(tau, decay, tuple(at), self.known, one.model(self.psi_p), law)
        error = relative_error(found, one.untrained)
        return (found, error) if error < math.inf else None


def plain_flow(rule: Rule) -> bool:
    """Whether a rule is one of those that the compiled calls know."""
    return type(rule) is GradientFlow and rule.initial_std == 0.0


def known_of(numbers: tuple[float, ...]) -> tuple[float, float, float]:
    """1 - [1/x], its rounding and the defect, from the numbers of `solve_flow`."""
    limit, defect = numbers[6], numbers[7]
    return limit, ROUNDING * limit, defect


def flow_nodes(law: Spectrum, rtol: float) -> tuple[Nodes, float, int] | None:
    """As `carrying_nodes`, in one compiled call; None where that does not apply."""
    model = law.model
    stated = Statement.of(model)
    found = None if stated is None else stated.solved(model.psi_p, model.psi_n, rtol)
    if stated is None or found is None:
        return None
    numbers, (z, weights, readings, k, E, dk, residual), at, _ = found
    m, M, k_0, E_0, _, inverse, limit, defect, error, tries, steps = numbers
    _, S_VV, S_VW, signal, cancelled, noise, form, size, _, _ = at
    know(
        law,
        ends=(m, M),
        at_zero=ZeroPoint(k_0, frozen(np.array([E_0])), frozen(np.array([-k_0 * E_0]))),
    )
    resolvent = Resolvent(model.groups, z, k, dk, E[:, None], residual, steps)
    know(resolvent, S_VV=S_VV, S_VW=S_VW, signal=signal, cancelled=cancelled)
    nodes = Nodes(law, Contour(z, weights, readings, crossing(m, M)), resolvent=resolvent)
    exact = Exact(model.groups.label_mass, inverse, limit, ROUNDING * limit)
    flow = Flow(stated, model.psi_p, at, known_of(numbers))
    for one in (*found[1], *at):
        one.setflags(write=False)
    know(nodes, _variance_form=Form(form, size), noise=noise, defect=defect, exact=exact, flow=flow)
    return nodes, error, tries


def with_flow(nodes: Nodes) -> Nodes:
    """Nodes that were solved otherwise, with `Flow` where it applies to them."""
    stated = Statement.of(nodes.model, math.inf) if type(nodes) is Nodes else None
    if stated is None or nodes.contour.start != 0.0 or math.isfinite(nodes.contour.end):
        return nodes
    c, one, form = nodes.contour, nodes.resolvent, nodes._variance_form
    if moderate(c.z, one.k, frozen(np.ascontiguousarray(one.E[:, 0])), form.size):
        at = (
            c.weights, nodes.S_VV, nodes.S_VW, one.signal, nodes.cancelled, nodes.noise,
            form.real, form.size, c.readings, c.z,
        )  # fmt: skip
        known = nodes.exact.train_limit, nodes.exact.limit_error, nodes.defect
        know(nodes, flow=Flow(stated, nodes.model.psi_p, at, known))
    return nodes


def stated_model(model: FeatureModel) -> tuple[Statement, float, float] | None:
    """The statement of a model, psi_p and psi_n; None where compiled calls do not take it."""
    stated = Statement.of(model)
    return None if stated is None else (stated, model.psi_p, model.psi_n)


def quick_curves(
    one: tuple[Statement, float, float] | None,
    tau: NDArray[np.float64],
    decay: float,
    rtol: float | None,
) -> Array | None:
    """Losses and errors of a model in one compiled call, (2, 5, n_tau), accurate to ``rtol``.

    ``tau`` is writable, as all that the kernel takes. None where the call does not apply or does
    not reach ``rtol``: ``solve`` does, or says why not.
    """
    if one is None:
        return None
    stated, psi_p, psi_n = one
    found = stated.solved(psi_p, psi_n, ScoreModel.usual_rtol if rtol is None else rtol, tau, decay)
    return None if found is None else found[3][..., : tau.size]  # of no times, those of probes


def nodes_before(law: Spectrum, rtol: float) -> int | None:
    """How many nodes carry gradient flow to ``rtol``/2, from what is known before there are any.

    None where that is not known.
    """
    model = law.model
    stated = Statement.of(model, math.inf) if math.isfinite(model.psi_p) else None
    if stated is None:
        return None
    zero, s = law.at_zero, stated
    needed = nodes_needed(
        *law.ends, zero.k, float(zero.E[0]), s.par(model.psi_p, model.psi_n), s.lam, s.w, s.label,
        s.q, s.untrained, rtol, s.model(model.psi_p), (s.diffused, s.w),
    )  # fmt: skip
    return int(needed) if needed < math.inf else None
