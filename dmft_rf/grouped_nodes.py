r"""One- and two-point functions on a contour for samples in groups (kernels.grouped).

With r = 1/(beta - k) at the atoms of Sigma, M = W/sqrt(d) and b_V = eta_0 + sum_j c_j eta_j/E_j,

    V^T (U - z)^{-1} M  ~  b_V r(Sigma),
    S_VV = sum_j c_j tau_j (1 - 1/E_j) + b_V^2 <r>:

a column that is left out of U leaves its own label behind (docs/theory.md).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._arithmetic import lazy
from dmft_rf.contour import Contour
from dmft_rf.estimate import EPS, Estimate
from dmft_rf.kernels import grouped_pairs
from dmft_rf.law import Spectrum
from dmft_rf.nodes import Exact, Form, Nodes
from dmft_rf.stieltjes import GroupedResolvent, grouped_resolvent

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


class GroupedNodes(Nodes):
    """Nodes for any number of groups: finite noise draws, mixtures."""

    def __init__(self, law: Spectrum, contour: Contour):
        self.law = law
        self.contour = contour
        self.groups = law.model.groups
        self.resolvent: GroupedResolvent = grouped_resolvent(law.model, contour.z)

    @lazy
    def _label(self) -> Complex:
        """b_V at the nodes."""
        g = self.groups
        return g.label + (1.0 / self.resolvent.E) @ (g.count * g.labels)

    @lazy
    def _S(self) -> Complex:
        return self.resolvent.weights @ self.groups.weights

    @lazy
    def S_VV(self) -> Complex:
        """(1/d) Tr V^T (U - z)^{-1} V."""
        g = self.groups
        own = (self.resolvent.excess / self.resolvent.E) @ (g.count * g.sizes)
        return own + self._label**2 * self._S

    @lazy
    def S_VW(self) -> Complex:
        """(1/d) Tr V^T (U - z)^{-1} M."""
        return self._label * self._S

    @lazy
    def signal(self) -> Complex:
        """b_V r, shape (N, n_atoms)."""
        return self._label[:, None] * self.resolvent.weights

    @lazy
    def S_test(self) -> Complex:
        """(1/d) Tr Q M^T (U - z)^{-1} M with the covariance Q of the test loss."""
        g = self.groups
        return self.resolvent.weights @ (g.weights * (g.test @ g.basis))

    @lazy
    def q_bulk(self) -> Complex:
        """(1/p) Tr (U - z)^{-1} at the nodes, without an atom above 0 (they may enclose it)."""
        q = self.resolvent.q
        for location, mass in self.law.atoms:
            if location > 0.0:
                q = q - mass / (location - self.contour.z)
        return q

    @lazy
    def pairs(self) -> tuple[Complex, Complex, Complex, Complex]:
        """V_Q for every basis function Q, and P (kernels.grouped_pairs).

        Shapes (F, N, N), (N, N) for (z_i, z_j), and the same for (z_i, conj z_j).
        """
        g, s = self.groups, self.resolvent
        r, b, S = s.weights, self._label, self._S
        F, n = g.basis.shape[0], s.z.size
        rows = [(f, h) for f in range(F) for h in range(f, F)]
        left = np.concatenate([r * (g.weights * g.basis[f] * g.basis[h]) for f, h in rows])
        both = (left @ np.concatenate([r, r.conj()]).T).reshape(len(rows), n, 2 * n)
        m = np.empty((F, F, n, 2 * n), np.complex128)
        for i, (f, h) in enumerate(rows):
            m[f, h] = m[h, f] = both[i]
        first = (s.z, s.k, s.E, b, S)
        second = (s.z.conj(), s.k.conj(), s.E.conj(), b.conj(), S.conj())
        tail = (
            float(g.par[1]), g.count, g.signal, g.noise, g.labels, g.sizes, np.eye(F)
        )  # fmt: skip
        plain, mixed = np.ascontiguousarray(m[..., :n]), np.ascontiguousarray(m[..., n:])
        # both are symmetric, the second in the sense of a Hermitian matrix
        V, P = grouped_pairs.assemble(*first, *first, s.dk, True, plain, *tail)
        V_mixed, P_mixed = grouped_pairs.assemble(*first, *second, s.dk, False, mixed, *tail)
        return V, P, V_mixed, P_mixed

    @lazy
    def variance(self) -> tuple[Complex, Complex]:
        """Variance of the two-point function with the covariance of the test loss."""
        V, _, V_mixed, _ = self.pairs
        test = self.groups.test
        return np.tensordot(test, V, 1), np.tensordot(test, V_mixed, 1)

    @lazy
    def exact(self) -> Exact:
        """Mass (1/d) Tr V^T V, and S_VV at z = 0 from the solution there.

        1 - S_VV(0) = sum_j (c_j/E_j) <tau_j - eta_j b_V r> for noise draws, and 1 - eta_0^2 <r>,
        without the cancellation, where the noise is averaged exactly (all eta_j, tau_j are 0).
        """
        g = self.groups
        k, E = self.law.at_zero
        share = g.count / E
        extra = share @ g.covariances  # beta - b_0^2
        b = g.label + float(share @ g.labels)
        r = 1.0 / (g.par[2] + extra - k) if k or g.par[2] else np.zeros(g.weights.size)
        limit = float(share @ g.sizes) - b * float(share @ g.labels) * float(g.weights @ r)
        if g.label:  # noise averaged exactly: 1 - eta_0^2 <r>, with what eta_0^2 lacks of b_0^2
            limit += float(g.weights @ (r * (g.par[2] - g.label**2 + extra - k)))
        return Exact(g.label_mass, 1.0 - limit, limit)

    @lazy
    def untouched(self) -> float:
        """(1/d) Tr Q M^T P M for the projector P on an atom at 0, which training never moves.

        At z -> 0, r = -R/k and z = k psi_p (mass of the atom).
        """
        if self.law.atoms.size == 0 or self.law.atoms[0, 0] > 0.0:
            return 0.0
        g = self.groups
        R = 1.0 / (1.0 + (g.count / self.law.zero_point.e) @ g.covariances)
        rest = float(g.par[0] * self.law.atoms[0, 1])
        return rest * float(g.weights @ (R * (g.test @ g.basis)))

    @lazy
    def _empirical(self) -> Form:
        """(1/d) Tr V^T (U - z_1)^{-1} U' (U - z_2)^{-1} V, U' the same samples under fresh noise.

        U' = (1/n) sum D D^T + b^2 M M^T + s^2 with D = gamma W x/sqrt(d) + v omega, the part of the
        first kind of column that all draws share. Leaving the column f = D + noise out of U and V,
        with delta = (1/n) E D^T (U - z)^{-1} D without f, and g = delta/E,

            D^T (U - z)^{-1} V = (D - g f)^T (U_{-f} - z)^{-1} V_{-f} + g x^T.
        """
        V, P, V_mixed, P_mixed = self.pairs
        return Form.of(self._fresh(V, P, False), self._fresh(V_mixed, P_mixed, True))

    def _fresh(self, V: Complex, P: Complex, mixed: bool) -> Complex:
        g, s, model = self.groups, self.resolvent, self.model

        def outer(x: Complex, y: Complex) -> Complex:
            return np.multiply.outer(x, y.conj() if mixed else y)

        right = s.weights.conj() if mixed else s.weights
        labels = outer(self._label, self._label)
        T = V.copy()  # with the square of the mean
        for f in range(g.basis.shape[0]):
            T[f] += labels * ((s.weights * (g.weights * g.basis[f])) @ right.T)
        ones, cross = np.ones_like(s.z), self.S_VW
        total = np.zeros_like(P)
        per_class = g.count.size // len(model.classes)
        for i, one in enumerate(model.classes):
            c, a = one.coefficients, i * per_class
            own = s.weights @ (g.weights * one.eigenvalues)
            delta = (c.gamma2 * own - c.v2 / s.k) / float(g.par[1])
            share = delta / s.E[:, a]
            both = outer(share, share)
            kept = 1.0 - outer(share, ones) - outer(ones, share)
            seen = np.tensordot(g.signal[a], T, 1) + g.noise[a] * P
            label = g.sizes[a] - g.labels[a] * (outer(cross, ones) + outer(ones, cross))
            total += one.share * (
                kept * (c.gamma2 * T[1 + i] + c.v2 * P)
                + both * (seen + label)
                + c.b**2 * T[0]
                + c.s2 * P
            )
        return total

    def empirical(self, h: NDArray[Any]) -> Estimate | None:
        """Loss of the filter h on the training samples under fresh noise.

        1 - 2 <b> S_VW[h] + (1/d) Tr V^T h(U) U' h(U) V.
        """
        if math.isinf(self.model.noise_draws):
            return None
        b = sum(one.share * one.coefficients.b for one in self.model.classes)
        first, second = self.integral(h, self.S_VW), self.form(h, self._empirical)
        value = 1.0 - 2.0 * b * first.value + second.value
        size = 1.0 + 2.0 * abs(b) * np.abs(first.value) + np.abs(second.value)
        return Estimate(value, 2.0 * abs(b) * first.error + second.error + EPS * size)
