r"""Losses of one finite network at every training time, by one eigendecomposition.

Every rule that is linear in B = A/sqrt(p) ends at B = -V^T h(U)/sqrt(Delta_t), from random A_0 at
that plus B_0 g(U) (`dmft_rf.rules.flow`). With U = Q diag(lambda) Q^T and V' = Q^T V, exactly and
without any limit,

    L_train = N - (1/d) sum_i |V'_i|^2 (2 h_i - lambda_i h_i^2)
    L_test  = 1 - (2/d) Tr[F^T V~] + (1/d) Tr[F^T U~ F],     F = Q diag(h) V'
    E_score = (L_test - L_floor)/Delta_t                                (Gaussian data)

with N = 1; where training sees a finite number of noise draws, N is the mean of |xi|^2/d over
these, and the loss on its samples under fresh noise,

    L_fresh = 1 - (2/d) Tr[F^T V_fresh] + (1/d) Tr[F^T U_fresh F],

and, averaged over A_0 with independent N(0, kappa^2) entries,

    L_train + kappa^2 Delta_t (1/p) sum_i lambda_i g_i^2,
    L_test  + kappa^2 Delta_t (1/p) sum_i (Q^T U~ Q)_ii g_i^2.

The filter of a rule is the rule's own; that explicit training really ends there is checked by
`validation.finite.training`. Source: Bonnaire et al., arXiv:2505.17638, appendix B.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from dmft_rf._typing import Array
from dmft_rf.rules.flow import Rule
from validation.finite.network import FiniteNetwork


@dataclass(frozen=True)
class Losses:
    """Losses of one draw, arrays of shape (n_tau,); score_error is nan for real data.

    ``fresh``, the loss on the training samples under fresh noise, is the training loss itself where
    the noise is averaged exactly. It is nan with random initial weights and a finite number of
    draws, as in the theory.
    """

    train: Array
    test: Array
    score_error: Array
    fresh: Array


class Trained:
    """A finite network in the eigenbasis of U.

    Parameters
    ----------
    network : FiniteNetwork
        Its U is overwritten by the eigenvectors.

    Attributes
    ----------
    eigenvalues : (p,) array
        Of U, ascending.
    """

    def __init__(self, network: FiniteNetwork):
        self.network = network
        self.eigenvalues, self._Q = scipy.linalg.eigh(
            network.U, driver="evd", overwrite_a=True, check_finite=False
        )
        # a column of U for each noise draw: what they do not span is exactly 0, and V is in it
        null = max(0, network.p - round(min(network.columns, network.p)))
        self.eigenvalues[:null] = 0.0
        self._span = slice(null, None)
        self._modes = self._Q.T @ network.V  # V', (p, d)
        self._learned = np.einsum("ij,ij->i", self._modes, self._modes) / network.d
        self._cached_diagonal: Array | None = None

    @property
    def measure(self) -> Array:
        """Weights of the eigenvalues in nu_V = (1/d) Tr V^T delta(U - lambda) V, shape (p,)."""
        return self._learned

    def losses(self, rule: Rule, tau: Array) -> Losses:
        """Exact losses of ``rule`` at the times ``tau``, shape (n_tau,)."""
        net, lam = self.network, self.eigenvalues[self._span]
        rule.check(float(lam[-1]), net.rate)
        rule.check_times(tau)
        h = rule.filter(lam, tau, net.rate)  # (n_tau, rank)
        train = net.noise_power - (2.0 * h - lam * h * h) @ self._learned[self._span]
        test, fresh = np.empty(tau.size), train
        if net.U_fresh is not None:
            fresh = np.empty(tau.size)
        for i in range(tau.size):
            F = self._Q[:, self._span] @ (h[i][:, None] * self._modes[self._span])
            test[i] = self._loss(F, net.U_test, net.V_test)
            if net.U_fresh is not None and net.V_fresh is not None:
                fresh[i] = self._loss(F, net.U_fresh, net.V_fresh)
        if rule.initial_scale > 0.0:
            g2 = rule.memory(self.eigenvalues, tau, net.rate) ** 2
            scale = rule.initial_scale**2 * net.Delta_t / net.p
            train = train + scale * (g2 @ self.eigenvalues)
            test = test + scale * (g2 @ self._test_diagonal)
            fresh = train if net.U_fresh is None else np.full(tau.size, math.nan)
        return Losses(train, test, (test - net.floor) / net.Delta_t, fresh)

    def _loss(self, F: Array, U: Array, V: Array) -> float:
        """1 + (1/d) Tr[F^T U F - 2 F^T V] for averages U, V."""
        linear = float(np.einsum("ij,ij->", F, V))
        square = float(np.einsum("ij,ij->", F, U @ F))
        return 1.0 + (square - 2.0 * linear) / self.network.d

    @property
    def _test_diagonal(self) -> Array:
        """(Q^T U~ Q)_ii, shape (p,)."""
        if self._cached_diagonal is None:
            product = self.network.U_test @ self._Q
            self._cached_diagonal = np.einsum("ij,ij->j", self._Q, product)
        return self._cached_diagonal

    def resolvent(self, points: Array) -> Array:
        """(1/p) Tr z/(U + z) at the positive points z, between 0 and 1, shape (n_points,)."""
        return np.mean(points[:, None] / (self.eigenvalues + points[:, None]), axis=1)


def losses_from_weights(network: FiniteNetwork, B: Array) -> tuple[float, float]:
    """Train and test loss of an explicit second layer B = A/sqrt(p), shape (d, p).

    L = 1 + (1/d) (Delta_t Tr B U B^T + 2 sqrt(Delta_t) Tr B V), with U~, V~ for the test loss, and
    the mean of |xi|^2/d over the draws instead of 1 where training sees a finite number of them.
    """
    root = math.sqrt(network.Delta_t)

    def loss(U: Array, V: Array, power: float = 1.0) -> float:
        square = float(np.einsum("ij,ij->", B @ U, B))
        linear = float(np.einsum("ij,ji->", B, V))
        return power + (root * root * square + 2.0 * root * linear) / network.d

    return loss(network.U, network.V, network.noise_power), loss(network.U_test, network.V_test)
