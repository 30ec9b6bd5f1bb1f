r"""Two-point functions on pairs of nodes, from the one-point object at the nodes.

With M = W/sqrt(d) and Q the covariance of the test loss, sum over the classes of share a^2 Sigma_t,
``variance`` is that of V^T (U - z_1)^{-1} M Q M^T (U - z_2)^{-1} V at (z_i, z_j) and at
(z_i, conj z_j). `GroupedPairs` holds for any number of groups of columns, `OneGroupPairs` is faster
where the noise is averaged exactly: V is equivalent to b M there, and the kernel has no systems of
equations to solve.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dmft_rf._arithmetic import lazy
from dmft_rf._convert import frozen
from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array, Complex
from dmft_rf.curves.forms import lost
from dmft_rf.errors import ConvergenceError
from dmft_rf.kernels import closed_form_pairs, grouped_pairs
from dmft_rf.kernels.closed_form_pairs import MIRRORED, SYMMETRIC
from dmft_rf.model.columns import SampleClass

if TYPE_CHECKING:
    from dmft_rf.spectra.resolvent import Resolvent

# atoms beyond which pairs are formed by partial fractions
_MANY_ATOMS = 48
# two points that lie this close together, in units of their distance to the nearest pole, lose too
# many digits in these, and the Euler-Maclaurin formula is good to a sixth of the sixth power of it
_CLOSE = 5e-3


class OneGroupPairs(Frozen):
    """Pairs of nodes in closed form, for one group whose noise is averaged exactly.

    Parameters
    ----------
    one : Resolvent
        At the nodes, shape (N,).
    """

    _content = ("one",)

    def __init__(self, one: Resolvent):
        self.one = one
        self.seal()

    @lazy
    def variance(self) -> tuple[Complex, Complex]:
        """a^2 b^2 V_Q at (z_i, z_j) and at (z_i, conj z_j), each (N, N)."""
        s, (par, _, _) = self.one, self.one.groups.two_unknowns
        plain, mixed = self.averages[:2]
        q0, q1 = loss_covariance(s)
        first = (s.z, s.k, s.E[:, 0])
        # read-only as the first: kernels are compiled for one kind
        second = frozen(s.z.conj()), frozen(s.k.conj()), frozen(s.E[:, 0].conj())
        assemble = closed_form_pairs.assemble
        return (
            assemble(*first, *first, s.dk, SYMMETRIC, plain[0], plain[1], plain[2], q0, q1, par),
            assemble(*first, *second, s.dk, MIRRORED, mixed[0], mixed[1], mixed[2], q0, q1, par),
        )

    @property
    def size(self) -> Array:
        """What 1 - g <lambda^2 r_1 r_2> loses, twice, and differences between neighbours."""
        s, (plain, mixed, plain_loses, mixed_loses) = self.one, self.averages
        par = s.groups.two_unknowns[0]
        per_E = par[5] / math.sqrt(par[1]) / s.E[:, 0]
        cancelled = np.maximum.outer(s.cancelled, s.cancelled)
        total = np.zeros(plain.shape[1:])
        for V, m, k, E, loses in (
            (self.variance[0], plain, s.k, per_E, plain_loses),
            (self.variance[1], mixed, s.k.conj(), per_E.conj(), mixed_loses),
        ):
            sample = np.multiply.outer(per_E, E) * m[2]
            inner = (1.0 + np.abs(sample) * loses) / np.abs(1.0 - sample)
            total += np.abs(V) * (lost(s.k, k) + 2.0 * (inner + loses) * cancelled)
        return total

    @lazy
    def averages(self) -> tuple[Complex, Complex, Array, Array]:
        """<lambda^j r_1 r_2> for j = 0, 1, 2 at both kinds of pairs, and what differences lose.

        Each (3, N, N), and (N, N).
        """
        many = self.one.groups.weights.size > _MANY_ATOMS
        return self._by_partial_fractions() if many else self._over_atoms()

    def _over_atoms(self) -> tuple[Complex, Complex, Array, Array]:
        """The averages as sums over the atoms for every pair."""
        (_, lam, w), r = self.one.groups.two_unknowns, self.one.r
        n = r.shape[0]
        left = np.concatenate([r * w, r * (w * lam), r * (w * lam**2)])
        both = (left @ np.concatenate([r, r.conj()]).T).reshape(3, n, 2 * n)
        one = np.ones((n, n))
        return both[..., :n], both[..., n:], one, one

    def _by_partial_fractions(self) -> tuple[Complex, Complex, Array, Array]:
        """The averages from sums over the atoms at single points.

        With r = 1/(y (kappa + lambda)), s = <1/(kappa + lambda)> and l = <lambda/(kappa + lambda)>,

            y_1 y_2 <lambda^j r_1 r_2> = (f_1 - f_2)/(kappa_1 - kappa_2),   f = -s, -l, kappa l,

        so that the cost is that of the pairs, whatever the number of atoms. Where the two points
        lie close together the quotient is the mean of f' = <lambda^j/(kappa + lambda)^2> between
        them, by the Euler-Maclaurin formula.
        """
        (par, lam, w), s = self.one.groups.two_unknowns, self.one
        y = par[5] / s.E[:, 0]
        kappa = (par[2] - s.k) / y
        powers = w * lam ** np.arange(3)[:, None]
        pole = y[:, None] * s.r  # 1/(kappa + lambda)
        square = pole * pole
        cube = square * pole
        sums = [powers @ power.T for power in (pole, square, cube, cube * square)]
        f = np.stack([-sums[0][0], -sums[0][1], kappa * sums[0][1]])
        slopes = sums[1], -2.0 * sums[2], -24.0 * sums[3]  # derivatives of order 1, 2 and 4
        reach = _CLOSE / np.abs(pole).max(axis=1)

        def divided(conjugate: bool) -> tuple[Complex, Array]:
            def second(values: Complex) -> Complex:
                return values.conj() if conjugate else values

            gap = np.subtract.outer(kappa, second(kappa))
            i, j = np.nonzero(np.abs(gap) < np.minimum.outer(reach, reach))
            step = gap[i, j]
            gap[i, j] = 1.0
            quotient = (f[:, :, None] - second(f)[:, None, :]) / gap
            first, two, four = ((d[:, i], second(d)[:, j]) for d in slopes)
            quotient[:, i, j] = (
                0.5 * (first[0] + first[1])
                - step / 12.0 * (two[0] - two[1])
                + step**3 / 720.0 * (four[0] - four[1])
            )
            loses = np.add.outer(np.abs(kappa), np.abs(kappa)) / np.abs(gap)
            loses[i, j] = 1.0
            return quotient / np.multiply.outer(y, second(y)), loses

        plain, plain_loses = divided(False)
        mixed, mixed_loses = divided(True)
        return plain, mixed, plain_loses, mixed_loses


def loss_covariance(one: Resolvent) -> tuple[float, float]:
    """q0, q1 of a^2 b^2 Sigma_t = q0 + q1 Sigma, for one group whose noise is averaged exactly."""
    groups = one.groups
    q0, q1 = groups.label**2 * groups.test
    return float(q0), float(q1)


class Basis(NamedTuple):
    """What kernels.grouped_pairs makes of pairs of nodes, and the sizes of its terms.

    V and V_size (F, N, N), one for every basis function Q; P and P_size (N, N).
    """

    V: Complex
    P: Complex
    V_size: Array
    P_size: Array


class GroupedPairs(Frozen):
    """Pairs of nodes for any number of groups: finite noise draws, mixtures."""

    _content = ("one",)

    def __init__(self, one: Resolvent):
        self.one = one
        self.seal()

    @lazy
    def basis(self) -> tuple[Basis, Basis]:
        """V_Q for every basis function Q, and P, at (z_i, z_j) and at (z_i, conj z_j)."""
        g, s = self.one.groups, self.one
        r, b, S = s.r, s.label, s.mean
        F, n = g.basis.shape[0], s.z.size
        rows = [(f, h) for f in range(F) for h in range(f, F)]
        left = np.concatenate([r * (g.weights * g.basis[f] * g.basis[h]) for f, h in rows])
        both = (left @ np.concatenate([r, r.conj()]).T).reshape(len(rows), n, 2 * n)
        m = np.empty((F, F, n, 2 * n), np.complex128)
        for i, (f, h) in enumerate(rows):
            m[f, h] = m[h, f] = both[i]
        first = (s.z, s.k, s.E, b, S)
        # read-only as the first: kernels are compiled for one kind
        z2, k2, E2, b2, S2 = (frozen(values.conj()) for values in first)
        second = (z2, k2, E2, b2, S2)
        tail = (float(g.par[1]), g.count, g.signal, g.noise, g.labels, g.sizes, np.eye(F))
        plain, mixed = np.ascontiguousarray(m[..., :n]), np.ascontiguousarray(m[..., n:])
        # both are symmetric, the second in the sense of a Hermitian matrix
        try:
            return (
                Basis(*grouped_pairs.assemble(*first, *first, s.dk, True, plain, *tail)),
                Basis(*grouped_pairs.assemble(*first, *second, s.dk, False, mixed, *tail)),
            )
        except ZeroDivisionError as error:  # a complex division in a kernel
            raise ConvergenceError(
                "two nodes of the contour have one solution within rounding, and no two-point "
                "function follows from them"
            ) from error

    @lazy
    def variance(self) -> tuple[Complex, Complex]:
        """Variance of the two-point function with the covariance of the test loss."""
        plain, mixed = self.basis
        test = self.one.groups.test
        return np.tensordot(test, plain.V, 1), np.tensordot(test, mixed.V, 1)

    @property
    def size(self) -> Array:
        """The sizes of what both are made of, added, with what r loses."""
        sizes = sum(pairs.V_size for pairs in self.basis)
        size: Array = np.tensordot(np.abs(self.one.groups.test), sizes, 1)
        return size * np.maximum.outer(self.one.cancelled, self.one.cancelled)

    def fresh(self, classes: tuple[SampleClass, ...]) -> tuple[Complex, Complex, Array]:
        """(1/d) Tr V^T (U - z_1)^{-1} U' (U - z_2)^{-1} V, U' the same samples under fresh noise.

        U' = (1/n) sum D D^T + b^2 M M^T + s^2 with D = gamma W x/sqrt(d) + v omega, the part of the
        first kind of column that all draws share. Leaving the column f = D + noise out of U and V,
        with delta = (1/n) E D^T (U - z)^{-1} D without f, and g = delta/E,

            D^T (U - z)^{-1} V = (D - g f)^T (U_{-f} - z)^{-1} V_{-f} + g x^T.

        Returns the values at both kinds of pairs, and the sizes of their terms.
        """
        plain, mixed = self.basis
        one, one_size = self._fresh(classes, plain, False)
        two, two_size = self._fresh(classes, mixed, True)
        sizes = (one_size + two_size) * np.maximum.outer(self.one.cancelled, self.one.cancelled)
        return one, two, sizes

    def _fresh(
        self, classes: tuple[SampleClass, ...], pairs: Basis, mixed: bool
    ) -> tuple[Complex, Array]:
        """The two-point function and the sizes of its terms."""
        g, s = self.one.groups, self.one

        def outer(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
            return np.multiply.outer(x, y.conj() if mixed else y)

        right = s.r.conj() if mixed else s.r
        labels = outer(s.label, s.label)
        T, T_size = pairs.V.copy(), pairs.V_size.copy()  # with the square of the mean
        for f in range(g.basis.shape[0]):
            mean = labels * ((s.r * (g.weights * g.basis[f])) @ right.T)
            T[f] += mean
            T_size[f] += np.abs(mean)
        ones, cross = np.ones_like(s.z), s.S_VW
        total, total_size = np.zeros_like(pairs.P), np.zeros_like(pairs.P_size)
        per_class = g.count.size // len(classes)
        for i, one in enumerate(classes):
            c, a = one.coefficients, i * per_class
            own = s.r @ (g.weights * one.eigenvalues)
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
