"""One- and two-point functions on a contour in closed form, for noise that is averaged exactly."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dmft_rf._arithmetic import lazy
from dmft_rf._convert import frozen
from dmft_rf.curves.forms import lost
from dmft_rf.curves.nodes import Exact, Nodes
from dmft_rf.kernels.closed_form_pairs import MIRRORED, SYMMETRIC, assemble
from dmft_rf.numerics.contour import Contour
from dmft_rf.numerics.estimate import ROUNDING
from dmft_rf.spectra.resolvent import Resolvent, closed_form_resolvent, fixed_point_weights
from dmft_rf.spectra.spectrum import Spectrum

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

# atoms beyond which pairs are formed by partial fractions
_MANY_ATOMS = 48
# two points that lie this close together, in units of their distance to the nearest pole, lose too
# many digits in these, and the Euler-Maclaurin formula is good to a sixth of the sixth power of it
_CLOSE = 5e-3


class ContourNodes(Nodes):
    """The closed form for noise that is averaged exactly (kernels.fixed_point, two_point).

    V is equivalent to b M there, so that every transform is one of S(z) = (1/d) Tr M^T (U - z)^{-1}
    M times a power of b.
    """

    def __init__(self, law: Spectrum, contour: Contour):
        if not law.model.closed_form:
            raise ValueError(f"there is no closed form for {law.model}")
        self.law = law
        self.contour = contour
        self.resolvent: Resolvent = closed_form_resolvent(law.model, contour.z)
        cov, par = self.model.covariance, self.model.parameters
        self._weights = fixed_point_weights(
            self.resolvent.k, self.resolvent.E, par, cov.eigenvalues
        )
        self._b = self.model.coefficients.b
        self.seal()

    @property
    def _r(self) -> Complex:
        return self._weights

    @property
    def _E(self) -> Complex:
        assert isinstance(self.resolvent, Resolvent)
        return self.resolvent.E[:, None]

    @lazy
    def S(self) -> Complex:
        """(1/d) Tr M^T (U - z)^{-1} M at the nodes."""
        return self._r @ self.model.covariance.weights

    @property
    def S_VV(self) -> Complex:
        """b^2 S."""
        return self._b**2 * self.S

    @property
    def S_VW(self) -> Complex:
        """b S."""
        return self._b * self.S

    @lazy
    def signal(self) -> Complex:
        """b r_k, shape (N, n_atoms)."""
        return self._b * self._r

    @lazy
    def S_test(self) -> Complex:
        """(1/d) Tr a^2 Sigma_t M^T (U - z)^{-1} M at the nodes."""
        (one,) = self.model.classes
        return self._r @ (self.model.covariance.weights * one.linear**2 * one.diffused)

    @lazy
    def variance(self) -> tuple[Complex, Complex]:
        """a^2 b^2 V_Q(z_i, z_j) and at (z_i, conj z_j) for Q = Sigma_t, each (N, N)."""
        par, s = self.model.parameters, self.resolvent
        plain, mixed = self._pairs[:2]
        (one,) = self.model.classes
        scale = (self._b * one.linear) ** 2
        q0 = scale * one.coefficients.Delta_t
        q1 = scale * math.exp(-2.0 * self.model.t)
        first = (s.z, s.k, s.E)
        # read-only as the first: kernels are compiled for one kind
        second = frozen(s.z.conj()), frozen(s.k.conj()), frozen(s.E.conj())
        return (
            assemble(*first, *first, s.dk, SYMMETRIC, plain[0], plain[1], plain[2], q0, q1, par),
            assemble(*first, *second, s.dk, MIRRORED, mixed[0], mixed[1], mixed[2], q0, q1, par),
        )

    @property
    def variance_size(self) -> Array:
        """What 1 - g <lambda^2 r_1 r_2> loses, twice, and differences between neighbours."""
        s, (plain, mixed, plain_loses, mixed_loses) = self.resolvent, self._pairs
        per_E = self.model.coefficients.gamma2 / math.sqrt(self.model.psi_n) / s.E
        cancelled = np.maximum.outer(self._cancelled, self._cancelled)
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
    def _pairs(self) -> tuple[Complex, Complex, Array, Array]:
        many = self.model.weights.size > _MANY_ATOMS
        return self._pairs_from_points() if many else self._pairs_from_atoms()

    def _pairs_from_atoms(self) -> tuple[Complex, Complex, Array, Array]:
        """<lambda^j r_1 r_2> for j = 0, 1, 2, at (z_i, z_j) and (z_i, conj z_j), each (3, N, N)."""
        cov, r = self.model.covariance, self._r
        lam, w, n = cov.eigenvalues, cov.weights, r.shape[0]
        left = np.concatenate([r * w, r * (w * lam), r * (w * lam**2)])
        both = (left @ np.concatenate([r, r.conj()]).T).reshape(3, n, 2 * n)
        one = np.ones((n, n))
        return both[..., :n], both[..., n:], one, one

    def _pairs_from_points(self) -> tuple[Complex, Complex, Array, Array]:
        """The same from sums over the atoms at single points, by partial fractions.

        With r = 1/(y (kappa + lambda)), s = <1/(kappa + lambda)> and l = <lambda/(kappa + lambda)>,

            y_1 y_2 <lambda^j r_1 r_2> = (f_1 - f_2)/(kappa_1 - kappa_2),   f = -s, -l, kappa l,

        so that the cost is that of the pairs, whatever the number of atoms. Where the two points
        lie close together the quotient is the mean of f' = <lambda^j/(kappa + lambda)^2> between
        them, by the Euler-Maclaurin formula. Also returns what the differences lose.
        """
        cov, s, r = self.model.covariance, self.resolvent, self._r
        y = self.model.coefficients.gamma2 / s.E
        kappa = (self.model.coefficients.b**2 - s.k) / y
        powers = cov.weights * cov.eigenvalues ** np.arange(3)[:, None]
        pole = y[:, None] * r  # 1/(kappa + lambda)
        sums = [powers @ (pole**n).T for n in (1, 2, 3, 5)]
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

    @lazy
    def exact(self) -> Exact:
        """Mass b^2 psi_p, and the solution at z = 0."""
        return closed_form_exact(self.law)


def closed_form_exact(law: Spectrum) -> Exact:
    """Mass, and training loss at tau = infinity with S(0) from the exact solution at z = 0.

    L_train(inf) = 1 - b^2 S(0) = sum_k w_k (-k + y~ lambda_k) r_k without cancellation, r_k =
    1/(b^2 - k + y~ lambda_k) and y~ = gamma^2/E.
    """
    k, (E,) = law.at_zero
    par, cov = law.model.parameters, law.model.covariance
    signal = par[5] / E * cov.eigenvalues
    r = 1.0 / (par[2] - k + signal)
    limit = float(np.sum(cov.weights * (signal - k) * r))
    inverse = float(par[2] * np.sum(cov.weights * r))
    return Exact(float(par[2] * par[0]), inverse, limit, ROUNDING * limit)
