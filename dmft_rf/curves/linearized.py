r"""The losses to first order in whatever a model is made of.

With S[f] and V[f, f] of docs/theory.md, M[h] the equivalent of W^T h(U) W/d and the filter h,

    L_train = 1 - b^2 S[2 h - x h^2],
    E_score = <Sigma_t (a^2 M[h] - Sigma_t^{-1})^2> + a^2 N S[h^2] + a^4 V[h, h],
    L_test  = L_floor + Delta_t E_score,

and the derivative of each integral has a term for the filter and one for the transform, whose
derivative at fixed z `tangents` knows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dmft_rf._arithmetic import lazy
from dmft_rf._typing import Array, Complex
from dmft_rf.curves.majorants import Turning
from dmft_rf.curves.nodes import Nodes
from dmft_rf.curves.tangents import Direction, OnePoint, Tangents
from dmft_rf.model.score_model import ScoreModel
from dmft_rf.numerics.estimate import ROUNDING, Estimate
from dmft_rf.rules.flow import Rule
from dmft_rf.rules.slopes import filter_slopes

# atoms of Sigma whose integrals show the error of those of all
_FEW_ATOMS = 8


class Losses(NamedTuple):
    """Losses, or their derivatives, at the times (n_tau,)."""

    train: Estimate
    test: Estimate
    score_error: Estimate


class Linearized:
    """Losses of a rule at the times ``tau``, shape (n_tau,), and their derivatives.

    Parameters
    ----------
    nodes : Nodes
        Of a model of one group of columns whose noise is averaged exactly, not around 0.
    """

    def __init__(self, nodes: Nodes, model: ScoreModel, tau: Array, rule: Rule):
        self.nodes, self.model = nodes, model
        c, self._w = model.coefficients, model.weights
        self._a2, self._N, self._sigma = c.a**2, c.residual_variance, model.diffused
        self._tangents = Tangents(nodes.resolvent, self._a2, c.Delta_t)
        x = nodes.points
        self._h, self._left = rule.filter_and_residual(x, tau, model.rate)
        self._slopes = filter_slopes(rule, x, tau, model.rate)
        self._turns = nodes.turning(rule, tau)
        self._norm = nodes.integral(self._h * self._h, self._S, self._turns.square)
        few = np.linspace(0, self._w.size - 1, min(_FEW_ATOMS, self._w.size)).astype(int)
        self._few_atoms = np.argsort(self._sigma)[few]
        r = nodes.resolvent.r
        self._M = self._at_atoms(self._h, r)
        self._M_error = self._worst(self._h, r, np.abs(r), self._turns.filter)

    @property
    def _S(self) -> Complex:
        return self.nodes.resolvent.mean

    @lazy
    def values(self) -> Losses:
        """The losses themselves."""
        held = self._turns.filter * (1.0 + self._turns.held)
        learned = self.nodes.integral(self._h * (1.0 + self._left), self._S, held)
        one = Estimate.exact(np.ones(self._h.shape[0]))
        weights, missing = self._w * self._sigma, self._missing
        value = (missing * missing) @ weights
        error = 2.0 * self._a2 * (np.abs(missing) @ weights) * self._M_error
        variance = self.nodes.form(self._h, self._tangents.variance, self._turns.filter)
        bias = Estimate(value, error + ROUNDING * value)
        score = bias.plus((self._a2 * self._N, self._norm), (1.0, variance))
        floor = Estimate.exact(np.full(value.shape, self.model.floor))
        Delta = self.model.Delta_t
        return Losses(one.plus((-Delta * self._a2, learned)), floor.plus((Delta, score)), score)

    def along(self, d: Direction) -> Losses:
        """Derivatives of the losses in a direction."""
        nodes, turns, h, left = self.nodes, self._turns, self._h, self._left
        moved = self._tangents.one_point(d)
        dS, dS_size = self._tangents.mean(d, moved)
        dh, dh_turns = self._filter(d)
        Delta, a2, N = self.model.Delta_t, self._a2, self._N
        zero = Estimate.exact(np.zeros(h.shape[0]))
        held, learned = turns.filter * (1.0 + turns.held), h * (1.0 + left)
        train = zero.plus(
            (-Delta * d.a2 - d.Delta_t * a2, nodes.integral(learned, self._S, held)),
            (-Delta * a2, nodes.integral(learned, dS, held, dS_size)),
            (-2.0 * Delta * a2, self._moving(left * dh, dh_turns * turns.held)),
        )
        score = self._bias(d, moved, dh, dh_turns).plus(
            (d.a2 * N + a2 * d.N, self._norm),
            (a2 * N, nodes.integral(h * h, dS, turns.square, dS_size)),
            (2.0 * a2 * N, self._moving(h * dh, dh_turns * turns.whole)),
            (1.0, nodes.form(h, self._tangents.variance_along(d, moved), turns.filter)),
            (2.0, nodes.mixed(self._tangents.variance, h, dh, turns.filter, dh_turns)),
        )
        floor = Estimate.exact(np.full(h.shape[0], self._floor(d)))
        test = floor.plus((d.Delta_t, self.values.score_error), (Delta, score))
        return Losses(train, test, score)

    def _filter(self, d: Direction) -> tuple[Complex, Turning]:
        """dh, and what bounds what the nodes cannot see of it.

        It turns as h does, and coefficients of order l of what turns grow by l.
        """
        slopes, turns, most = self._slopes, self._turns, 2.0 * self.nodes.points.size
        dh = d.log_rate * slopes.log_rate + d.decay * slopes.decay + d.tau * slopes.tau
        rows = abs(d.log_rate) * most * turns.filter.rows
        rows = rows + abs(d.decay) * most * turns.square.rows
        rows = rows + abs(d.tau) * turns.velocity.rows
        return np.ascontiguousarray(dh, np.complex128), Turning(rows, turns.filter.few)

    def _moving(self, f: Complex, turning: Turning) -> Estimate:
        """Integral of a product with dh.

        With weight decay its pole beside the region is of third order, and few nodes are not yet
        where its coefficients fall as they are carried on: twice the error is allowed for.
        """
        found = self.nodes.integral(f, self._S, turning)
        return Estimate(found.value, 2.0 * found.error)

    def _floor(self, d: Direction) -> float:
        """Derivative of <e^{-2t} lambda/Sigma_t>."""
        lam, sigma, share = self.model.covariance.eigenvalues, self._sigma, self._tangents.share
        Delta = self.model.Delta_t
        per_atom = share * Delta * d.lam - d.Delta_t * lam
        return float(self._w @ (per_atom / sigma**2) + d.w @ (share * lam / sigma))

    @property
    def _missing(self) -> Array:
        """a^2 M[h] - Sigma_t^{-1} at the atoms, (n_tau, n_atoms)."""
        return self._a2 * self._M - 1.0 / self._sigma

    def _bias(self, d: Direction, moved: OnePoint, dh: Complex, dh_turns: Turning) -> Estimate:
        """Derivative of <Sigma_t (a^2 M[h] - Sigma_t^{-1})^2>."""
        r, w, sigma = self.nodes.resolvent.r, self._w, self._sigma
        lam = self.model.covariance.eigenvalues
        dsigma = d.Delta_t * (1.0 - lam) + self._tangents.share * d.lam
        missing = self._missing
        dM = self._at_atoms(dh, r) + self._at_atoms(self._h, moved.r)
        change = d.a2 * self._M + self._a2 * dM + dsigma / sigma**2
        parts = missing * missing * (d.w * sigma + w * dsigma), 2.0 * missing * change * (w * sigma)
        value = parts[0].sum(axis=1) + parts[1].sum(axis=1)
        size = np.abs(parts[0]).sum(axis=1) + np.abs(parts[1]).sum(axis=1)
        error = self._worst(dh, r, np.abs(r), dh_turns)
        error = error + self._worst(self._h, moved.r, moved.r_size, self._turns.filter)
        at_M = (np.abs(missing) * np.abs(d.w * sigma + w * dsigma)).sum(axis=1)
        at_M = 2.0 * self._a2 * (at_M + np.abs(change) @ (w * sigma))
        at_M = at_M + 2.0 * abs(d.a2) * (np.abs(missing) @ (w * sigma))
        at_dM = 2.0 * self._a2 * (np.abs(missing) @ (w * sigma))
        return Estimate(value, at_M * self._M_error + at_dM * error + ROUNDING * size)

    def _at_atoms(self, f: Complex, transform: Complex) -> Array:
        """Integrals of f against the measures of each atom, (n_tau, n_atoms)."""
        return 2.0 * ((f * self.nodes.contour.weights) @ transform).real

    def _worst(self, f: Complex, transform: Complex, size: Array, turning: Turning) -> Array:
        """The largest error of the integrals of f at some of the atoms, (n_tau,)."""
        errors = [
            self.nodes.integral(
                f, np.ascontiguousarray(transform[:, i]), turning, np.ascontiguousarray(size[:, i])
            ).error
            for i in self._few_atoms
        ]
        return np.max(errors, axis=0)
