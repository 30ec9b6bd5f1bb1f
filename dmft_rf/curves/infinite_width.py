r"""Infinite width: the measures of U at nodes in the plane of the sample covariance C.

Both modes k of a node x (kernels.infinite_width) are points of a rule, in units of psi_p: the
rate is 2 Delta_t, and weight decay and ridge are omega/psi_p. With the shares w of the modes in the
data directions and the laws mu_a of C seen from the eigenspaces lambda_a of Sigma,

    S_VV[f] = b^2 int dmu_C (w f)_+-,    F[f] = b m_a,    m_a = int dmu_a M,
    M = w_+ f(k_+) + w_- f(k_-),
    var[f, g] = sum_a w_a a^2 b^2 sigma_a int dmu_a (M_f - m_fa) (M_g - m_ga),

with sigma_a = e^{-2t} lambda_a + Delta_t: only the sample fluctuates. The noise of the features is
averaged out by the trained network. Random initial weights of variance kappa_0^2 add, with the
memory g,

    kappa_0^2 Delta_t [s^2 g(0)^2 + int dmu_C (k_+ g_+^2 + k_- g_-^2) + (psi_n - 1) v_n g(v_n)^2]
    kappa_0^2 [N g(0)^2 + a^2 sum_a w_a sigma_a int dmu_a (w_+ g_+^2 + w_- g_-^2)]

to L_train and E_score: the features that U does not see keep what they had. docs/theory.md,
section 14.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._arithmetic import ieee, lazy
from dmft_rf._typing import Array, Complex
from dmft_rf.curves.exact import Exact, interpolating
from dmft_rf.curves.forms import parts, real_of_product
from dmft_rf.curves.majorants import Turning, hidden
from dmft_rf.curves.nodes import Nodes
from dmft_rf.kernels import contour_sums
from dmft_rf.kernels.infinite_width import covariances, modes, sample_parameters, seen_from
from dmft_rf.numerics.contour import Contour, contour_in, flattened, half_plane_contour
from dmft_rf.numerics.estimate import EPS, Estimate
from dmft_rf.numerics.region import Region

if TYPE_CHECKING:
    from dmft_rf.spectra.spectrum import WideSpectrum


class WideNodes(Nodes):
    """Integrals against the measures of U/psi_p at infinite width; an object like other nodes.

    ``points`` are the modes k_+ of all nodes x, then k_- (which a linear activation lacks).

    Parameters
    ----------
    law : WideSpectrum
    region : Region
        In which the rule is bounded.
    size : int
        Nodes x in the upper half-plane.
    """

    _content = ("law", "contour", "x")

    law: WideSpectrum

    def __init__(self, law: WideSpectrum, region: Region, size: int):
        self.law = law
        self._coefficients = law.model.classes[0].coefficients
        self._room = wide_room(law, region)
        self.x, self._weights, self._readings = contour_around(law, region, size)
        self._modes = 2 if law.constants[1] > 0.0 else 1
        both = modes(self.x, *law.constants)
        self._shares = both[2 : 2 + self._modes].ravel()
        self.contour = Contour(
            both[: self._modes].ravel(),
            np.tile(self._weights, self._modes),
            np.tile(self._readings, self._modes),
            0.0,
            0.0,
            region.end,
        )
        self.seal()

    @lazy
    def _ridges(self) -> Complex:
        """The effective ridge kappa at the nodes x."""
        return self.law.sample.ridges(self.x)

    @lazy
    def seen(self) -> Complex:
        """Transforms of the law of C seen from each eigenvalue of Sigma, (n_atoms, size)."""
        return seen_from(self.x, self._ridges, self.law.sample.lam)

    @lazy
    def _transform(self) -> Complex:
        """Transform of the law of C."""
        return self.law.sample.w @ self.seen

    def _tiled(self, transform: Complex) -> Complex:
        return np.tile(transform, self._modes)

    @property
    def solved(self) -> tuple[int, float]:
        """No Newton steps are counted; how far zeta(kappa) is from -x, relative to it."""
        law, kappa = self.law.sample, self._ridges
        ell = law.w @ (law.lam[:, None] / (law.lam[:, None] + kappa))
        miss = np.abs(kappa * (1.0 - ell / law.psi_n) + self.x)
        return 0, float((miss / (np.abs(kappa) + np.abs(self.x))).max())

    @property
    def outside(self) -> Array:
        """The floor, of mass 1 and moment s^2, and samples that no data direction mixes with."""
        c, vn = self._coefficients, self.law.constants[1]
        lone = (self.model.psi_n - 1.0) * vn
        return np.array([[0.0, 1.0, c.s2], [vn, 0.0, lone]][: self._modes])

    @property
    def untouched(self) -> float:
        """The floor is orthogonal to W."""
        return 0.0

    @lazy
    def S_VV(self) -> Complex:
        """(1/d) Tr V^T (K - k)^{-1} V, for one mode at a time."""
        return self._coefficients.b * self.S_VW

    @lazy
    def S_VW(self) -> Complex:
        """(1/d) Tr V^T (K - k)^{-1} M."""
        return self._coefficients.b * self._tiled(self._transform) * self._shares

    @lazy
    def S_test(self) -> Complex:
        """(1/d) Tr Q M^T (K - k)^{-1} M."""
        return self._tiled(self._test @ self.seen) * self._shares

    @lazy
    def _test(self) -> Array:
        """w_a a^2 sigma_a."""
        one = self.model.classes[0]
        return self.law.sample.w * one.linear**2 * one.diffused

    @lazy
    def _signal_parts(self) -> Array:
        seen = np.tile(self.seen, (1, self._modes)) * self._shares
        weighted = 2.0 * self._coefficients.b * self.contour.weights[:, None]
        return real_of_product(weighted * seen.T)

    @property
    def q_bulk(self) -> Complex:
        """Nothing: the modes of K are infinitely few of the eigenvalues of U."""
        return np.zeros_like(self.points)

    @lazy
    def x_bulk(self) -> Complex:
        """The transform of k times the law of K, per dimension."""
        return self._tiled(self._transform) * self.points

    @property
    def bulk_sizes(self) -> tuple[Array, Array]:
        """The transforms themselves, which are no sums."""
        return np.abs(self.q_bulk), np.abs(self.x_bulk)

    @lazy
    def exact(self) -> Exact:
        """Mass b^2, and [1/k]."""
        return interpolating(self.law)

    @property
    def cancelled(self) -> Array:
        """The transforms of the law of C are products."""
        return np.ones(self.points.size)

    @lazy
    def noise(self) -> Array:
        """Rounding of the place of each node and of kappa there, relative.

        A node loses digits in ln of its place, as on other contours; kappa moves by dkappa/dzeta.
        """
        low, high = self._room
        x, kappa, law = self.x, self._ridges, self.law.sample
        slope = 1.0 - law.w @ (law.lam[:, None] / (law.lam[:, None] + kappa)) ** 2 / law.psi_n
        b2, vn, gamma2 = self.law.constants
        places = 1.0 + 0.5 * math.log(high / low)
        moved = EPS * places * (np.abs(x) + (b2 + vn) / gamma2)
        relative = moved * (1.0 / np.abs(x) + 1.0 / np.abs(slope * kappa))
        return np.tile(EPS * places + relative, self._modes)

    def quadratic(self, f: NDArray[Any], turning: Turning | None = None) -> Estimate:
        """The variance [f, f]."""
        return self.bilinear(f, f, turning, turning)

    def bilinear(
        self, f: NDArray[Any], g: NDArray[Any], turning_f: Turning | None, turning_g: Turning | None
    ) -> Estimate:
        """The variance [f, g], row by row, as in `Nodes.bilinear`."""
        b2 = self.law.constants[0]
        weight, weights, seen = b2 * self._test, self._weights, self.seen
        one, two = self._mixed(f), self._mixed(g)
        of_one, of_two = (2.0 * ((M * weights) @ seen.T).real for M in (one, two))
        in_one, in_two = (self._mixed(np.abs(h), np.abs(self._shares)).real for h in (f, g))
        terms, size = covariances(one, two, of_one, of_two, in_one, in_two, seen, weight)
        value, error = self._sums(terms * weights)
        (rows, few), (rows_too, _) = hidden(f, turning_f), hidden(g, turning_g)
        if rows.shape[0]:
            terms = self._mixed(rows) * self._mixed(rows_too) * ((weight @ seen) * weights)
            error = contour_sums.larger(error, self._sums(terms)[1], few.low, few.high)
        lost = 2.0 * size * np.abs(weights) * self.noise[: weights.size]
        rounding = 3.0 * np.sqrt((lost * lost).sum(axis=1))
        return Estimate(value, 2.0 * error + rounding + 4.0 * self.defect * np.abs(value))

    def _sums(self, terms: Complex) -> tuple[Array, Array]:
        """2 Re of the sums of rows at the nodes x, and what the trapezoidal rule aliases there."""
        sums = self._readings @ parts(terms).T
        return 2.0 * sums[0], contour_sums.truncation(sums)

    def _mixed(self, f: NDArray[Any], shares: NDArray[Any] | None = None) -> Complex:
        """M at the nodes x, (n_tau, N)."""
        both = f * (self._shares if shares is None else shares)
        mixed: Complex = both.reshape(f.shape[0], self._modes, -1).sum(axis=1)
        return mixed


@ieee
def wide_room(law: WideSpectrum, region: Region) -> tuple[float, float]:
    """What a contour in ``region`` leads around, as seen in a half-plane; inf without room."""
    b2, vn, gamma2 = law.constants
    if math.isinf(region.end):
        low, high = (end + (b2 + vn) / gamma2 for end in law.sample.ends)
        return low, high
    inner = math.sqrt(b2 * vn)
    low, high = _around(law)
    if not inner < low <= high < region.end:
        return math.inf, math.inf
    return flattened(replace(region, start=inner), low, high)


def contour_around(law: WideSpectrum, region: Region, size: int) -> tuple[Complex, Complex, Array]:
    r"""Nodes x in the upper half of the plane of C, their weights, and readings of the contour.

    Where the rule is bounded in Re k > 0 they lead around the support in the half-plane
    Re x > -(b^2 + v_n)/gamma^2, on which both modes have Re k > 0. For a disc or an ellipse, in the
    plane of k_+ from sqrt(k_+ k_-) on: gamma^2 x + b^2 + v_n = k + b^2 v_n/k maps what lies beyond
    that circle onto the plane of C, and k_- = b^2 v_n/k_+ stays in the region, which is convex,
    with 0 on its border.
    """
    b2, vn, gamma2 = law.constants
    if math.isinf(region.end):
        contour = half_plane_contour(*wide_room(law, region), size)
        return contour.z - (b2 + vn) / gamma2, contour.weights, contour.readings
    contour = contour_in(replace(region, start=math.sqrt(b2 * vn)), *_around(law), size)
    k = contour.z
    x = sample_parameters(k, b2, vn, gamma2)
    return x, contour.weights * (1.0 - b2 * vn / (k * k)) / gamma2, contour.readings


def _around(law: WideSpectrum) -> tuple[float, float]:
    """The least and the largest k_+."""
    low, high = modes(np.array(law.sample.ends, dtype=np.complex128), *law.constants)[0].real
    return float(low), float(high)
