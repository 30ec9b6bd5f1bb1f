"""A pool of samples as drawn features see it, and its moments, computed once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dmft_rf._arithmetic import lazy
from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array
from dmft_rf.images.averages import noise_moments
from dmft_rf.images.hermite import HermiteRule
from dmft_rf.images.medium import Medium

if TYPE_CHECKING:
    from dmft_rf.model.activation import Activation

# the largest leverages that say how heavy their tail is, as a part of all
_TAIL = 0.05
# leverages are those of at most this part of the pool: beyond it little is left untrained on
_MOST_USED = 0.9
# rows whose noise is compared with that of all
_PROBED = 500


@dataclass(frozen=True, eq=False)
class LeverageModes(Frozen):
    """Vectors u_a with u_a^T (S + N_0) u_b = delta_ab and u_a^T S u_b = s_a delta_ab.

    (beta S + N_0)^{-1} = sum_a u_a u_a^T/(beta s_a + 1 - s_a) then costs no inverse.

    Attributes
    ----------
    places : (p,) array
        s.
    vectors : (p, p) array
        u, in its columns.
    """

    places: Array
    vectors: Array

    @classmethod
    def of(cls, S: Array, noise: Array) -> LeverageModes:
        """Those of S (p, p) and of N_0, which is diagonal."""
        from scipy.linalg import eigh

        return cls(*eigh(S, S + np.diag(noise)))


@dataclass(frozen=True, eq=False)
class Moments(Frozen):
    """Moments of a pool in the basis in which the noise part is diagonal.

    Attributes
    ----------
    means : (p, N) array
        E_xi[sigma] of every sample.
    noise : (p,) array
        Eigenvalues of N_0, ascending.
    V : (p, d) array
    S : (p, p) array
        (1/N) sum f f^T.
    basis : (p, p) array
        The vectors of the basis, in its columns.
    bound : float
        What the Hermite expansion leaves out of N_0 at most.
    """

    means: Array
    noise: Array
    V: Array
    S: Array
    basis: Array
    bound: float

    @lazy
    def modes(self) -> LeverageModes:
        """In which S and N_0 are both diagonal."""
        return LeverageModes.of(self.S, self.noise)

    @lazy
    def best(self) -> float:
        """Test loss of the best network on these features, 1 - Tr V^T (S + N_0)^{-1} V/d."""
        U = self.S + np.diag(self.noise)
        return float(1.0 - np.vdot(self.V, np.linalg.solve(U, self.V)) / self.V.shape[1])

    @lazy
    def top(self) -> float:
        """Largest eigenvalue of S + N_0."""
        return float(np.linalg.eigvalsh(self.S + np.diag(self.noise))[-1])


@dataclass(frozen=True, eq=False)
class Pool(Frozen):
    """Samples, drawn weights, a diffusion time and an activation.

    Attributes
    ----------
    rows : (N, d) array
    W : (p, d) array
    t : float
    activation : Activation
    """

    rows: Array
    W: Array
    t: float
    activation: Activation

    @lazy
    def moments(self) -> Moments:
        """What the equations need of the pool."""
        return self.prepared()

    def prepared(self, progress: Callable[[int, int], None] | None = None) -> Moments:
        """`moments`, computed now unless they are known; ``progress`` as in `noise_moments`."""
        if "moments" in vars(self):
            return self.moments
        found = noise_moments(self.W, self.rows, self.t, self.activation, progress=progress)
        noise, basis = np.linalg.eigh(found.noise)
        means = basis.T @ found.means
        S = means @ means.T / means.shape[1]
        made = Moments(means, noise, basis.T @ found.V, S, basis, found.bound)
        vars(self)["moments"] = made
        return made

    def in_one_class(self, n: float) -> Medium:
        """The pool with every row alike."""
        m = self.moments
        return Medium(n, n / self.rows.shape[0], np.ones(1), m.S[None], m.noise, m.V)

    def leverages(self, n: float) -> Array:
        """h of every row at z = 0, with n samples trained on but at most 0.9 N; shape (N,)."""
        most = min(n, _MOST_USED * self.rows.shape[0])
        return row_leverages(self.in_one_class(most), self.moments.modes, self.moments.means)

    def in_classes(self, n: float, classes: int, *, by_weight: bool = False) -> Medium:
        """The pool in ``classes`` by the leverage of each row.

        They are of (nearly) equal size or, ``by_weight``, hold equal parts of the sum of log(1 + h)
        over the rows, what they add to log det U: few rows are then alone in the highest classes.
        """
        one, means = self.in_one_class(n), self.moments.means
        if classes == 1:
            return one
        h = self.leverages(n)
        order = np.argsort(h, kind="stable")
        if by_weight:
            weight = np.cumsum(np.log1p(h[order]))
            shares = np.arange(1, classes) / classes
            parts = np.split(order, np.searchsorted(weight, shares * weight[-1], side="right"))
            parts = [part for part in parts if part.size]
        else:
            parts = np.array_split(order, classes)
        S = np.stack([means[:, part] @ means[:, part].T / part.size for part in parts])
        shares = np.array([part.size / order.size for part in parts])
        return Medium(n, one.q, shares, S, one.noise, one.V)

    @lazy
    def noise_spread(self) -> float:
        """Variance over the rows of the size of their noise, in units of its squared mean.

        The size is that of the part linear in the noise, Tr V_nu^T N_0^{-1} V_nu with
        V_nu = E_xi[sigma xi^T] of one row, of at most 500 rows evenly spread over the pool.
        """
        m, N = self.moments, self.rows.shape[0]
        probed = self.rows[np.unique(np.linspace(0, N - 1, min(N, _PROBED)).astype(int))]
        norm, d = np.linalg.norm(self.W, axis=1), self.W.shape[1]
        width = math.sqrt(-math.expm1(-2.0 * self.t) / d) * norm
        means = (math.exp(-self.t) / math.sqrt(d)) * (self.W @ probed.T)
        rule = HermiteRule.of(self.activation, 2, float(width.max()))
        slopes = rule(means, np.broadcast_to(width[:, None], means.shape))[0][1]
        direction = self.W / norm[:, None]
        metric = (m.basis / m.noise) @ m.basis.T * (direction @ direction.T)
        sizes = np.einsum("in,in->n", slopes, metric @ slopes)
        return float(np.var(sizes) / np.mean(sizes) ** 2)


def row_leverages(medium: Medium, modes: LeverageModes, means: Array) -> Array:
    """h of every row (N,) at z = 0, for a pool in one class of which fewer than all are drawn."""
    from scipy.optimize import brentq

    s, n = modes.places, medium.n

    def weights(h: float) -> Array:
        found: Array = 1.0 / (s / (1.0 + medium.a * h) + 1.0 - s)
        return found

    def excess(h: float) -> float:
        return float(s @ weights(h)) / n - float(medium.held(np.array(h)))

    # the left side of the one-point equation is bounded, the right side is not
    high = 1.0
    while excess(high) > 0.0:
        high *= 4.0
    h = brentq(excess, 0.0, high, xtol=1e-300, rtol=1e-14)
    held = weights(h) @ (modes.vectors.T @ means) ** 2 / n
    return np.asarray(medium.released(held))


def tail_index(leverages: Array) -> float:
    """Hill's estimate of alpha in P(h > x) ~ x^{-alpha}, from the largest 5 % of the leverages.

    Source: B. M. Hill, Annals of Statistics 3, 1163 (1975).
    """
    ordered = np.sort(leverages)
    most = max(2, int(_TAIL * ordered.size))
    logs = np.log(ordered[-most:] / ordered[-most])
    mean = float(logs[1:].mean())
    return 1.0 / mean if mean > 0.0 else np.inf
