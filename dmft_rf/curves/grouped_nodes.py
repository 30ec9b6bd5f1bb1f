r"""One- and two-point functions on a contour for samples in groups (kernels.grouped).

With r = 1/(beta - k) at the atoms of Sigma, M = W/sqrt(d) and b_V = eta_0 + sum_j c_j eta_j/E_j,

    V^T (U - z)^{-1} M  ~  b_V r(Sigma),
    S_VV = sum_j c_j tau_j (1 - 1/E_j) + b_V^2 <r>:

a column that is left out of U leaves its own label behind (docs/theory.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._arithmetic import lazy
from dmft_rf._convert import frozen
from dmft_rf._frozen import Frozen
from dmft_rf.curves.forms import Form
from dmft_rf.curves.nodes import Exact, Nodes
from dmft_rf.errors import ConvergenceError
from dmft_rf.kernels import grouped_pairs
from dmft_rf.numerics.contour import Contour
from dmft_rf.numerics.estimate import ROUNDING, Estimate
from dmft_rf.spectra.resolvent import GroupedResolvent, grouped_resolvent
from dmft_rf.spectra.spectrum import Spectrum

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


@dataclass(frozen=True, eq=False)
class Pairs(Frozen):
    """What kernels.grouped_pairs makes of pairs of nodes, and the sizes of its terms.

    V and V_size (F, N, N), one for every basis function Q; P and P_size (N, N).
    """

    V: Complex
    P: Complex
    V_size: Array
    P_size: Array


class GroupedNodes(Nodes):
    """Nodes for any number of groups: finite noise draws, mixtures."""

    def __init__(self, law: Spectrum, contour: Contour):
        self.law = law
        self.contour = contour
        self.groups = law.model.groups
        self.resolvent: GroupedResolvent = grouped_resolvent(law.model, contour.z)

    @property
    def _r(self) -> Complex:
        return self.resolvent.weights

    @property
    def _E(self) -> Complex:
        return self.resolvent.E

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
    def pairs(self) -> tuple[Pairs, Pairs]:
        """V_Q for every basis function Q, and P, at (z_i, z_j) and at (z_i, conj z_j)."""
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
        # read-only as the first: kernels are compiled for one kind
        second = (
            frozen(s.z.conj()),
            frozen(s.k.conj()),
            frozen(s.E.conj()),
            frozen(b.conj()),
            frozen(S.conj()),
        )
        tail = (
            float(g.par[1]), g.count, g.signal, g.noise, g.labels, g.sizes, np.eye(F)
        )  # fmt: skip
        plain, mixed = np.ascontiguousarray(m[..., :n]), np.ascontiguousarray(m[..., n:])
        # both are symmetric, the second in the sense of a Hermitian matrix
        try:
            return (
                Pairs(*grouped_pairs.assemble(*first, *first, s.dk, True, plain, *tail)),
                Pairs(*grouped_pairs.assemble(*first, *second, s.dk, False, mixed, *tail)),
            )
        except ZeroDivisionError as error:  # a complex division in a kernel
            raise ConvergenceError(
                "two nodes of the contour have one solution within rounding, and no two-point "
                "function follows from them"
            ) from error

    @lazy
    def variance(self) -> tuple[Complex, Complex]:
        """Variance of the two-point function with the covariance of the test loss."""
        plain, mixed = self.pairs
        test = self.groups.test
        return np.tensordot(test, plain.V, 1), np.tensordot(test, mixed.V, 1)

    @lazy
    def variance_size(self) -> Array:
        """The sizes of what both are made of, added."""
        sizes = sum(pairs.V_size for pairs in self.pairs)
        size: Array = np.tensordot(np.abs(self.groups.test), sizes, 1)
        return size * np.maximum.outer(self._cancelled, self._cancelled)

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
        S = float(g.weights @ r)
        own, lost = float(share @ g.sizes), b * float(share @ g.labels) * S
        limit, error = own - lost, ROUNDING * (own + abs(lost))
        if g.label:  # noise averaged exactly: 1 - eta_0^2 <r>, with what eta_0^2 lacks of b_0^2
            limit = float(g.weights @ (r * (g.spread + extra - k)))
            error = ROUNDING * limit
        if limit < 0.5:
            return Exact(g.label_mass, 1.0 - limit, limit, error)
        # little can be learned: S_VV(0) itself, with E - 1 = (<C r> - o^2/k)/psi_n
        excess = (g.covariances @ (g.weights * r) - g.noise / k) / g.par[1]
        inverse = float(g.count @ (g.sizes * excess / E)) + b**2 * S
        return Exact(g.label_mass, inverse, limit, error)

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
        plain, mixed = self.pairs
        one, one_size = self._fresh(plain, False)
        two, two_size = self._fresh(mixed, True)
        sizes = (one_size + two_size) * np.maximum.outer(self._cancelled, self._cancelled)
        return Form.of(one, two, sizes)

    def _fresh(self, pairs: Pairs, mixed: bool) -> tuple[Complex, Array]:
        """The two-point function and the sizes of its terms."""
        g, s, model = self.groups, self.resolvent, self.model

        def outer(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
            return np.multiply.outer(x, y.conj() if mixed else y)

        right = s.weights.conj() if mixed else s.weights
        labels = outer(self._label, self._label)
        T, T_size = pairs.V.copy(), pairs.V_size.copy()  # with the square of the mean
        for f in range(g.basis.shape[0]):
            mean = labels * ((s.weights * (g.weights * g.basis[f])) @ right.T)
            T[f] += mean
            T_size[f] += np.abs(mean)
        ones, cross = np.ones_like(s.z), self.S_VW
        total, total_size = np.zeros_like(pairs.P), np.zeros_like(pairs.P_size)
        per_class = g.count.size // len(model.classes)
        for i, one in enumerate(model.classes):
            c, a = one.coefficients, i * per_class
            own = s.weights @ (g.weights * one.eigenvalues)
            delta = (c.gamma2 * own - c.v2 / s.k) / float(g.par[1])
            share = delta / s.E[:, a]
            both, first, second = outer(share, share), outer(share, ones), outer(ones, share)
            kept = 1.0 - first - second
            fresh = c.gamma2 * T[1 + i] + c.v2 * pairs.P
            seen = np.tensordot(g.signal[a], T, 1) + g.noise[a] * pairs.P
            crosses = outer(cross, ones), outer(ones, cross)
            label = g.sizes[a] - g.labels[a] * (crosses[0] + crosses[1])
            total += one.share * (
                kept * fresh + both * (seen + label) + c.b**2 * T[0] + c.s2 * pairs.P
            )
            kept_size = 1.0 + np.abs(first) + np.abs(second)
            seen_size = np.tensordot(g.signal[a], T_size, 1) + g.noise[a] * pairs.P_size
            label_size = g.sizes[a] + abs(g.labels[a]) * (np.abs(crosses[0]) + np.abs(crosses[1]))
            total_size += one.share * (
                kept_size * (c.gamma2 * T_size[1 + i] + c.v2 * pairs.P_size)
                + np.abs(both) * (seen_size + label_size)
                + c.b**2 * T_size[0]
                + c.s2 * pairs.P_size
            )
        return total, total_size

    def empirical(self, h: NDArray[Any], turning: NDArray[Any] | None = None) -> Estimate | None:
        """Loss of the filter h on the training samples under fresh noise.

        1 - 2 <b> S_VW[h] + (1/d) Tr V^T h(U) U' h(U) V.
        """
        if math.isinf(self.model.noise_draws):
            return None
        b = sum(one.share * one.coefficients.b for one in self.model.classes)
        start = Estimate.exact(np.ones(h.shape[0]))
        return start.plus(
            (-2.0 * b, self.integral(h, self.S_VW, turning)),
            (1.0, self.form(h, self._empirical, turning)),
        )
