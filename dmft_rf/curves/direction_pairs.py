r"""Two-point functions of one direction of the data: how the variance of the score is spread.

With P the projector on the eigenvectors of Sigma of one eigenvalue, per direction, Q = sum of
q_f phi_f a covariance of inputs in the basis of the groups, and the notation of
`dmft_rf.kernels.grouped_pairs`,

    (1/d) Tr P V^T (U - z_1)^{-1} M Q M^T (U - z_2)^{-1} V - b_1 b_2 Q r_1 r_2
        = sum_j w_j (x^Q_j + k_1 k_2 u_Q K y_j) + k_1 k_2 u_Q K b_1 b_2 r_1 r_2,
    w_j = tau_j - eta_j (b_1 r_1 + b_2 r_2) + b_1 b_2 C_j r_1 r_2,

where r_i and C_j are taken at that eigenvalue: x, y and u do not depend on it. It is the sum of
three variances (docs/theory.md, section 17),

    of the sample, averaged over the features     sum_j w_j x^Q_j
    of the features, averaged over the sample     b_1 b_2 r_1 r_2 f_Q,
                                                  f_Q = k_1 k_2 <Q r_1 r_2>/(psi_p - <B_1 B_2>),
    of both together                              the rest,

with B = beta r = 1 + k r.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dmft_rf._arithmetic import lazy
from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array, Complex
from dmft_rf.curves.forms import Form
from dmft_rf.errors import ConvergenceError

if TYPE_CHECKING:
    from dmft_rf.spectra.resolvent import Resolvent


class _Common(NamedTuple):
    """What all directions share at pairs of nodes, with the sizes of its terms.

    x (N, N, J, F), y (N, N, J), u and f (N, N, F): k_1 k_2 K u_Q and f_Q for each Q of the basis.
    """

    x: Complex
    y: Complex
    u: Complex
    f: Complex
    x_size: Array
    y_size: Array
    u_size: Array
    f_size: Array


class DirectionPairs(Frozen):
    """Variances of the score along one direction, on pairs of nodes.

    Parameters
    ----------
    one : Resolvent
        At the nodes, shape (N,).
    """

    _content = ("one",)

    def __init__(self, one: Resolvent):
        self.one = one
        self.seal()

    def forms(self, q: Array, atom: int) -> tuple[Form, Form, Form]:
        """Variance of the sample, of the features and of both for inputs of covariance ``q``.

        Parameters
        ----------
        q : (F,) array
            Q in the basis of the groups.
        atom : int
            Which eigenvalue of Sigma.
        """
        plain = self._of(q, atom, False)
        mixed = self._of(q, atom, True)
        lost = np.maximum.outer(self.one.cancelled, self.one.cancelled)
        first, second, third = (
            Form.of(plain[i], mixed[i], (plain[i + 3].real + mixed[i + 3].real) * lost)
            for i in range(3)
        )
        return first, second, third

    def _of(self, q: Array, atom: int, mixed: bool) -> tuple[NDArray[Any], ...]:
        """The three at (z_i, z_j), or at (z_i, conj z_j), and the sizes of their terms."""
        g, s, c = self.one.groups, self.one, self._common[int(mixed)]
        r = s.r[:, atom] * s.label
        rr = np.multiply.outer(r, r.conj() if mixed else r)
        rr_size = np.abs(rr)
        C = g.covariances[:, atom]
        w = rr[..., None] * C
        w_size = np.abs(w)
        if g.sizes.any():
            crossed = np.add.outer(r, r.conj() if mixed else r)
            crossed_size = np.add.outer(np.abs(r), np.abs(r))
            w = w + g.sizes - g.labels * crossed[..., None]
            w_size = w_size + g.sizes + np.abs(g.labels) * crossed_size[..., None]
        u, u_size = c.u @ q, c.u_size @ np.abs(q)
        f, f_size = c.f @ q, c.f_size @ np.abs(q)
        sample = (w * (c.x @ q)).sum(axis=-1)
        sample_size = (w_size * (c.x_size @ np.abs(q))).sum(axis=-1)
        mixing = (w * c.y).sum(axis=-1)
        mixing_size = (w_size * c.y_size).sum(axis=-1)
        return (
            sample,
            rr * f,
            mixing * u + rr * (u - f),
            sample_size,
            rr_size * f_size,
            mixing_size * np.abs(u) + np.abs(mixing) * u_size + rr_size * (u_size + f_size),
        )

    @lazy
    def _common(self) -> tuple[_Common, _Common]:
        try:
            return self._solved(False), self._solved(True)
        except np.linalg.LinAlgError as error:
            raise ConvergenceError(
                "the equations of the two-point function are singular within rounding at a pair "
                "of nodes"
            ) from error

    def _solved(self, mixed: bool) -> _Common:
        g, s = self.one.groups, self.one
        psi_p, psi_n = g.par[:2]
        N, J, F = s.z.size, g.count.size, g.basis.shape[0]

        def outer(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
            return np.multiply.outer(a, b.conj() if mixed else b)

        right = (s.r.conj() if mixed else s.r).T
        m = np.empty((N, N, F, F), np.complex128)
        for f in range(F):
            for h in range(f, F):
                m[..., f, h] = m[..., h, f] = (s.r * (g.weights * g.basis[f] * g.basis[h])) @ right
        kk = outer(s.k, s.k)
        C1 = m[..., 0, :] @ g.signal.T
        CQ = np.swapaxes(m @ g.signal.T, -1, -2)  # (N, N, J, F)
        A = -(CQ @ g.signal.T) / psi_n
        own = np.stack([outer(s.E[:, j], s.E[:, j]) / g.count[j] for j in range(J)], axis=-1)
        A_size = np.abs(A)
        A[..., range(J), range(J)] += own
        A_size[..., range(J), range(J)] += np.abs(own)
        inverse = np.linalg.inv(A)
        noise = g.noise / kk[..., None]
        rest = np.concatenate([CQ, (C1 + noise)[..., None]], axis=-1) / psi_n
        size = np.concatenate([np.abs(CQ), (np.abs(C1) + np.abs(noise))[..., None]], axis=-1)
        found = inverse @ rest
        found_size = np.abs(inverse) @ (size / psi_n + A_size @ np.abs(found))
        x, y = found[..., :F], found[..., F]
        x_size, y_size = found_size[..., :F], found_size[..., F]
        two = s.k.conj() if mixed else s.k
        steps = np.subtract.outer(s.z, s.z.conj() if mixed else s.z)
        if not mixed:
            steps[range(N), range(N)] = 1.0
        secant = np.subtract.outer(s.k, two) / steps
        secant_size = np.add.outer(np.abs(s.k), np.abs(two)) / np.abs(steps)
        if not mixed:
            secant[range(N), range(N)] = s.dk
            secant_size[range(N), range(N)] = np.abs(s.dk)
        u = m[..., 0, :] + (np.swapaxes(CQ, -1, -2) @ y[..., None])[..., 0]
        u_size = np.abs(m[..., 0, :]) + (
            np.swapaxes(np.abs(CQ), -1, -2) @ (np.abs(y) + y_size)[..., None]
        ).sum(axis=-1)
        step = kk * secant
        kS = s.k * s.mean
        seen = 1.0 + np.add.outer(kS, kS.conj() if mixed else kS) + kk * m[..., 0, 0]
        seen_size = 1.0 + np.add.outer(np.abs(kS), np.abs(kS)) + np.abs(kk * m[..., 0, 0])
        gap = psi_p - seen
        f = (kk / gap)[..., None] * m[..., 0, :]
        return _Common(
            x, y, step[..., None] * u, f,
            x_size, y_size,
            np.abs(kk)[..., None]
            * (np.abs(secant)[..., None] * u_size + secant_size[..., None] * np.abs(u)),
            np.abs(f) * (1.0 + (psi_p + seen_size) / np.abs(gap))[..., None],
        )  # fmt: skip
