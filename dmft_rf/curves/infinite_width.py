r"""Learning curves at infinite width: integrals over the law of the sample covariance alone.

With the two modes k of each eigenvalue x of C and their shares w (kernels.infinite_width), a rule
with the filter h and the residual phi = 1 - k h learns the score -G(C) x, and

    G(x) = a^2 [w_+ h(k_+) + w_- h(k_-)],    sigma_a = e^{-2t} lambda_a + Delta_t,
    L_train = int dmu_C b^2 [w_+ phi(k_+)^2/k_+ + w_- phi(k_-)^2/k_-],
    E_score = sum_a w_a int dmu_a sigma_a (G - 1/sigma_a)^2,    L_test = L_floor + Delta_t E_score.

Both integrands are positive. Times are unscaled: in units of psi_p an eigenvalue k relaxes at the
rate 2 Delta_t k. Weight decay and ridge are in the same units, omega_hat = omega/psi_p. Random
initial weights of variance kappa_0^2 add, with the memory g,

    kappa_0^2 Delta_t [s^2 g(0)^2 + int dmu_C (k_+ g_+^2 + k_- g_-^2) + (psi_n - 1) v_n g(v_n)^2]
    kappa_0^2 [N g(0)^2 + a^2 sum_a w_a sigma_a int dmu_a (w_+ g_+^2 + w_- g_-^2)]

to L_train and E_score: the features that U does not see keep what they had. docs/theory.md,
section 14.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._arithmetic import ieee, lazy
from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array, Complex
from dmft_rf.errors import ConvergenceError
from dmft_rf.kernels.infinite_width import modes
from dmft_rf.model.coefficients import Coefficients
from dmft_rf.numerics.contour import contour_in, flattened, half_plane_contour, nodes_for
from dmft_rf.numerics.region import Region
from dmft_rf.rules.flow import Rule
from dmft_rf.spectra.sample_law import SampleLaw

#: As many nodes as a contour may have.
MOST_NODES = 2000
_HALF_PLANE = Region()


@dataclass(frozen=True, eq=False)
class OnePointNodes(Frozen):
    """A contour around the law of C, with what the losses need.

    Attributes
    ----------
    law : SampleLaw
    coefficients : Coefficients
        Of the activation at the diffusion time.
    x, weights : (N,) complex arrays
        Nodes in the upper half of the plane of C, and -dx/(2 pi i).
    """

    law: SampleLaw
    coefficients: Coefficients
    x: Complex
    weights: Complex

    @lazy
    def _modes(self) -> Complex:
        c = self.coefficients
        return modes(self.x, c.b**2, c.v2 / self.law.psi_n, c.gamma2)

    @property
    def points(self) -> Complex:
        """Where a rule is needed: k_+ of every node, then k_-, shape (2 N,)."""
        return self._modes[:2].ravel()

    @property
    def shares(self) -> Complex:
        """w_+ and w_- at `points`."""
        return self._modes[2:].ravel()

    @lazy
    def seen(self) -> Complex:
        """Transforms of the law of C seen from each eigenvalue of Sigma, (n_atoms, N)."""
        return self.law.seen(self.x)

    @lazy
    def transform(self) -> Complex:
        """Transform of the law of C, shape (N,)."""
        return self.law.w @ self.seen

    def learned(self, h: NDArray[Any]) -> Complex:
        """G at the nodes for the filter h at `points`, (n_tau, N)."""
        both = (h * self.shares).reshape(h.shape[0], 2, -1)
        found: Complex = self.coefficients.a**2 * both.sum(axis=1)
        return found

    @ieee
    def train(self, left: NDArray[Any]) -> Array:
        """L_train for the residual ``left`` = 1 - k h at `points`, (n_tau,)."""
        both = (left * left * self.shares / self.points).reshape(left.shape[0], 2, -1)
        return self._sum(self.coefficients.b**2 * both.sum(axis=1), self.transform)

    @ieee
    def score_error(self, h: NDArray[Any]) -> Array:
        """E_score for the filter h at `points`, (n_tau,)."""
        G, c = self.learned(h), self.coefficients
        diffused = (1.0 - c.Delta_t) * self.law.lam + c.Delta_t
        total = np.zeros(h.shape[0])
        for w, sigma, seen in zip(self.law.w, diffused, self.seen, strict=True):
            total += w * sigma * self._sum((G - 1.0 / sigma) ** 2, seen)
        return total

    @ieee
    def remembered(self, rule: Rule, tau: Array) -> tuple[Array, Array]:
        """What initial weights of unit variance add to L_train and to E_score, each (n_tau,)."""
        c, psi_n = self.coefficients, self.law.psi_n
        vn, rate = c.v2 / psi_n, 2.0 * c.Delta_t
        g2 = rule.memory(self.points, tau, rate) ** 2
        floor, lone = (rule.memory(np.array([0.0, vn]), tau, rate) ** 2).T
        trace = (g2 * self.points).reshape(tau.size, 2, -1).sum(axis=1)
        loss = self._sum(trace, self.transform) + c.s2 * floor + (psi_n - 1.0) * vn * lone
        diffused = (1.0 - c.Delta_t) * self.law.lam + c.Delta_t
        kept = (g2 * self.shares).reshape(tau.size, 2, -1).sum(axis=1)
        score = c.a**2 * self._sum(kept, (self.law.w * diffused) @ self.seen)
        return c.Delta_t * loss, c.residual_variance * floor + score

    def _sum(self, f: NDArray[Any], transform: Complex) -> Array:
        return 2.0 * np.asarray((f @ (self.weights * transform)).real)


@ieee
def one_point_nodes(
    law: SampleLaw, coefficients: Coefficients, region: Region = _HALF_PLANE, rtol: float = 1e-12
) -> OnePointNodes:
    r"""The nodes of a model at infinite width, as many as an accuracy of ``rtol`` needs.

    Where the rule is bounded in Re k > 0 they lead around the support in the half-plane
    Re x > -(b^2 + v_n)/gamma^2, on which both modes have Re k > 0. For a disc or an ellipse, in the
    plane of k_+ from sqrt(k_+ k_-) on: gamma^2 x + b^2 + v_n = k + b^2 v_n/k maps what lies beyond
    that circle onto the plane of C, and k_- = b^2 v_n/k_+ stays in the region, which is convex,
    with 0 on its border.
    """
    c = coefficients
    b2, vn = c.b**2, c.v2 / law.psi_n
    if math.isinf(region.end):
        shift = (b2 + vn) / c.gamma2
        low, high = (end + shift for end in law.ends)
        contour = half_plane_contour(low, high, int(nodes_for(low, high, rtol)))
        return OnePointNodes(law, c, contour.z - shift, contour.weights)
    region = replace(region, start=math.sqrt(b2 * vn))
    low, high = (
        float(modes(np.array([end + 0j]), b2, vn, c.gamma2)[0, 0].real) for end in law.ends
    )
    count = nodes_for(*flattened(region, low, high), rtol)
    if not low > region.start or count > MOST_NODES:
        raise ConvergenceError(
            f"a contour around the eigenvalues of U from {low:.3g} to {high:.3g} (in units of "
            f"psi_p) that stays within {region.start:.3g} and {region.end:.3g} needs {count:g} "
            f"nodes; allowed are {MOST_NODES}"
        )
    contour = contour_in(region, low, high, int(count))
    k = contour.z
    x = (k - b2) * (k - vn) / (c.gamma2 * k) if vn > 0.0 else (k - b2) / c.gamma2
    return OnePointNodes(law, c, x, contour.weights * (1.0 - b2 * vn / (k * k)) / c.gamma2)


@ieee
def curves_at_infinite_width(
    nodes: OnePointNodes, tau: Array, rule: Rule
) -> tuple[Array, Array, Array]:
    """L_train, L_test and E_score of ``rule`` at the times tau, each of shape (n_tau,)."""
    c, law = nodes.coefficients, nodes.law
    h, left = rule.filter_and_residual(nodes.points, tau, 2.0 * c.Delta_t)
    train, score = nodes.train(left), nodes.score_error(h)
    if rule.initial_scale > 0.0:
        loss, kept = nodes.remembered(rule, tau)
        train, score = train + rule.initial_scale**2 * loss, score + rule.initial_scale**2 * kept
    signal = (1.0 - c.Delta_t) * law.lam
    floor = float(law.w @ (signal / (signal + c.Delta_t)))
    return train, floor + c.Delta_t * score, score
