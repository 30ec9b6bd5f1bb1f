r"""The average over which samples of a pool are trained on, for features that are drawn.

n samples of a pool of N are trained on, q = n/N, a = 1 - q. With f_nu = E_xi[sigma] of sample nu
and N_0, V averaged over the pool (`NoiseMoments`),

    U = N_0 + (1/n) sum_{trained on} f f^T.

The rows are in J classes of share c_j within which they count as alike, S_j is the mean of f f^T
over class j. A row that is trained on has f^T (U - z)^{-1} f/n = h/(1 + h), one that is not has h,
and the average (U - z)^{-1} = R is that in which each row counts by its mean scattering,

    R = (sum_j c_j S_j/(1 + a h_j) + N_0 - z)^{-1},
    Tr(S_j R)/n = h_j (1 + a h_j)/(1 + h_j).                                                 (1)

q = 0 is an endless pool, and q > 1 continues it beyond the pool. Two resolvents meet the same rows,
which correlates them. With w = q/(1 + a h), u = 1 + w h, at z_1 and z_2,

    t = (1 - w_1)(1 - w_2) u_1 u_2/((1 + h_1)(1 + h_2)) + (a/q) w_1 w_2 u_1 u_2,
    s = 1/(1 + q t h_1 h_2/(u_1 u_2)),    eps = t s,
    P_jk = Tr S_j R_1 S_k R_2,  K_j = Tr V^T R_1 S_j R_2 V/d,  M_j = Tr S_j R_1 N_0 R_2,
    Y_j - (1/n) sum_k P_jk c_k eps_k Y_k = K_j,

    T = Tr V^T R_1 N_0 R_2 V/d + sum_j c_j u_1 u_2 s_j Y_j + (1/n) sum_j c_j eps_j Y_j M_j   (2)

is the average of Tr V^T (U - z_1)^{-1} U_test (U - z_2)^{-1} V/d with U_test of the samples that
are not trained on. docs/theory.md, section 18.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array


@dataclass(frozen=True, eq=False)
class Medium(Frozen):
    """A pool in classes, in the basis in which N_0 is diagonal.

    Attributes
    ----------
    n : float
        Samples trained on.
    q : float
        n/N.
    shares : (J,) array
        c_j.
    S : (J, p, p) array
    noise : (p,) array
        Eigenvalues of N_0.
    V : (p, d) array
    """

    n: float
    q: float
    shares: Array
    S: Array
    noise: Array
    V: Array

    @property
    def a(self) -> float:
        """1 - q."""
        return 1.0 - self.q

    def matrix(self, h: NDArray[Any], z: complex, flat: NDArray[Any] | None = None) -> NDArray[Any]:
        """R^{-1} of (1) for h (J,), shape (p, p), in the precision of ``flat``: S (J, p^2)."""
        if flat is None:
            flat = self.S.reshape(self.shares.size, -1)
        weights, p = self.shares / (1.0 + self.a * h), self.noise.size
        total: NDArray[Any]
        if np.iscomplexobj(weights):
            total = np.empty((p, p), dtype=np.result_type(flat, np.complex64))
            parts = np.stack([weights.real, weights.imag]).astype(flat.dtype) @ flat
            total.real, total.imag = parts.reshape(2, p, p)
        else:
            total = (weights @ flat).reshape(p, p)
        total[np.diag_indices(p)] += self.noise - z
        return total

    def held(self, h: NDArray[Any]) -> NDArray[Any]:
        """Right side of (1)."""
        return h * (1.0 + self.a * h) / (1.0 + h)

    def released(self, held: NDArray[Any]) -> NDArray[Any]:
        """h of the right side of (1): the root that vanishes with it."""
        # a h^2 + (1 - held) h - held = 0
        b = 1.0 - held
        root: NDArray[Any] = 2.0 * held / (b + np.sqrt(b * b + 4.0 * self.a * held))
        return root

    def nearer(self, h: NDArray[Any], held: NDArray[Any]) -> NDArray[Any]:
        """A next h of an iteration of (1), from the left side that h makes."""
        if self.q <= 1.0:
            return self.released(held)
        # `released` has no root where an h on the way is too large; this form always has one
        share = held / (1.0 + self.a * h)
        return share / (1.0 - share)

    def distance(self, h: NDArray[Any], step: NDArray[Any]) -> float:
        """Size of a step from h: the relative one of 1 + h and 1 + a h, which all is made of."""
        near = np.minimum(np.abs(1.0 + h), np.abs(1.0 + self.a * h))
        return float(np.max(np.abs(step) / near))

    def slope(self, h: NDArray[Any]) -> NDArray[Any]:
        """Derivative of the right side of (1)."""
        return (1.0 + 2.0 * self.a * h + self.a * h * h) / (1.0 + h) ** 2

    def jacobian(self, h: NDArray[Any], XX: NDArray[Any]) -> NDArray[Any]:
        """Of the left side minus the right side of (1) by h, with XX_jk = Tr S_j R S_k R."""
        a = self.a
        moved = a * self.shares / (1.0 + a * h) ** 2
        total: NDArray[Any] = XX * moved / self.n - np.diag(self.slope(h))
        return total
