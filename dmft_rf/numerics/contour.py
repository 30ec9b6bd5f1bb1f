r"""The contour on which every function of U is integrated.

f(U) = -(1/2 pi i) closed-integral f(z) (U - z)^{-1} dz needs a contour around the support [m, M]
that stays in Re z > 0, where training filters are bounded at every time. The best one is the
image of the middle circle of an annulus under the conformal map onto {Re z > 0} minus [m, M]: the
trapezoidal rule on it converges like exp(-pi^2 N/(2 ln(M/m) + 3)), for all times at once
(Hale, Higham and Trefethen, SIAM J. Numer. Anal. 46, 2505 (2008), method 1, applied to
w = z^2 on [m^2, M^2]).

On the middle line t = u + i K'/2 of the period rectangle, sn(t) = e^{i theta}/sqrt(k) with
k = (M - m)/(M + m) and

    cos theta = (1 + k) sn u/(1 + k sn^2 u),    sin theta = cn u dn u/(1 + k sn^2 u),
    dtheta/du = -(1 + k) (1 - k sn^2 u)/(1 + k sn^2 u),

so that the contour and its derivative are explicit, without cancellation for any M/m:

    z^2 = m M (1 + sqrt(k) e^{i theta})/(1 - sqrt(k) e^{i theta}),
    dz/z = i sqrt(k) e^{i theta} dtheta/(1 - k e^{2 i theta}).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array, Complex
from dmft_rf.errors import ConvergenceError
from dmft_rf.kernels.elliptic import half_plane, sn_cn_dn
from dmft_rf.numerics.region import Region


@dataclass(frozen=True, eq=False)
class Contour(Frozen):
    """Upper half of a quadrature rule on a closed contour that is symmetric under conjugation.

    For f with f(conj z) = conj f(z) and the Stieltjes transform S of a measure nu inside,
    the integral of f against nu is 2 Re sum_j weights_j f(z_j) S(z_j).

    Attributes
    ----------
    z : (N,) complex array
        Nodes in the upper half-plane, from the lower end of the support to the upper one.
    weights : (N,) complex array
        -dz/(2 pi i), counter-clockwise.
    readings : (17, 2 N) array
        Rows that take from the terms of a sum over the nodes, real and imaginary parts in turns,
        first the real part of their sum, then those of their products with

            R^{|l| - 2N} exp(-i l theta_j),    theta_j = pi (j + 1/2)/N,

        for the last eight orders 0 < l < N and for their negatives, R being the outer radius of
        the annulus: the Fourier coefficients c_l of the integrand around the contour, carried on
        to |l| = 2N by their decay R^{-|l|}. The error of the rule is c_{2N} + c_{-2N}.
    left : float
        Where the contour crosses the real axis below the support.
    start, end : float
        Ends of the region that holds the contour.
    """

    z: Complex
    weights: Complex
    readings: Array
    left: float
    start: float = 0.0
    end: float = math.inf

    def encloses(self, place: float) -> bool:
        """Whether a point of the real axis, not above the support, lies inside."""
        return place > self.left


def half_plane_contour(m: float, M: float, nodes: int) -> Contour:
    """Contour in Re z > 0 around [m, M], 0 < m < M, with ``nodes`` nodes in Im z > 0."""
    from scipy.special import ellipk, ellipkm1

    complement = 4.0 * (m / (m + M)) * (M / (m + M))  # 1 - k^2
    K = float(ellipkm1(complement))
    fall = math.exp(-math.pi * float(ellipk(complement)) / (4.0 * K))
    z, weights, readings = half_plane(m, M, nodes, K, complement, fall)
    return Contour(z, weights, readings, crossing(m, M))


def crossing(m: float, M: float) -> float:
    """Where it crosses the real axis below m, theta = pi: z^2 = m M (1 - sqrt(k))/(1 + sqrt(k))."""
    return m * math.sqrt(2.0 * M / (M + m)) / (1.0 + math.sqrt((M - m) / (M + m)))


def contour_in(region: Region, m: float, M: float, nodes: int) -> Contour:
    """The contour of ``region``; ConvergenceError where floats cannot tell its nodes apart."""
    contour = _contour_in(region, m, M, nodes)
    if np.any(np.diff(contour.z) == 0.0):
        raise ConvergenceError(
            f"a contour around [{m!r}, {M!r}] between {region.start!r} and {region.end!r} is "
            "narrower than the distance of neighbouring floats"
        )
    return contour


def _contour_in(region: Region, m: float, M: float, nodes: int) -> Contour:
    r"""Contour inside ``region`` around [m, M], start < m < M < end, with ``nodes`` upper nodes.

    With z measured from the left end of the region: the disc with diameter (0, end) is the
    half-plane of u under z = u/(1 + u/end). The ellipse

        y = 1 + beta - w - beta/w,    |w| < 1,    z = y end/(2 (1 + beta)),

    cut along its focal segment |w| = sqrt(beta), is the half-plane of u, cut along [1, 1/k'], under

        w = e^{i zeta},    zeta = i (pi/K) asn(u | k'),    K'/K = ln(1/beta)/(2 pi),

    a rectangle on either side of the real axis (Schwarz's map, through Carlson's R_F).
    """
    start, end, beta = region.start, region.end - region.start, region.beta
    flat = half_plane_contour(*flattened(region, m, M), nodes)
    if math.isinf(end):
        return Contour(flat.z + start, flat.weights, flat.readings, flat.left + start, start)
    if beta == 0.0:
        bend = 1.0 + flat.z / end
        left = flat.left / (1.0 + flat.left / end)
        return Contour(
            flat.z / bend + start, flat.weights / bend**2, flat.readings, left + start,
            start, region.end,
        )  # fmt: skip
    # the crossing can lie on the cut: its upper side
    z, slope = _in_ellipse(np.append(flat.z, complex(flat.left, 1e-100)), end, beta)
    weights, left = slope[:-1] * flat.weights, float(z[-1].real)
    return Contour(z[:-1] + start, weights, flat.readings, left + start, start, region.end)


def _in_ellipse(u: Complex, end: float, beta: float) -> tuple[Complex, Complex]:
    """z - start and dz/du of Schwarz's map."""
    from scipy.special import elliprf

    K, k_prime = _modulus(beta)
    one, two = 1.0 - u * u, 1.0 - (k_prime * u) ** 2
    zeta = 1j * (math.pi / K) * u * elliprf(one, two, 1.0)
    turn = 1j * (math.pi / K) / (np.sqrt(one) * np.sqrt(two))
    # y = (1 - w)(1 - beta/w) keeps the digits of a point close to 0
    w = np.exp(1j * zeta)
    y = -np.expm1(1j * zeta) * (1.0 - beta / w)
    dy = 1j * (beta / w - w) * turn
    scale = end / (2.0 * (1.0 + beta))
    return scale * y, scale * dy


def flattened(region: Region, m: float, M: float) -> tuple[float, float]:
    """The interval [m, M] as seen in the half-plane of u; inf where it exceeds the floats."""
    m, M, end = m - region.start, M - region.start, region.end - region.start
    if math.isinf(end):
        return m, M
    if region.beta == 0.0:
        return _in_half_plane(m, end), _in_half_plane(M, end)
    scale = 2.0 * (1.0 + region.beta) / end
    return _seen(scale * m, region.beta), _seen(scale * M, region.beta)


def _in_half_plane(x: float, end: float) -> float:
    """u at a real point x of the disc; inf at its right end, or where rounding puts it there."""
    rest = 1.0 - x / end
    return x / rest if rest > 0.0 else math.inf


def _seen(y: float, beta: float) -> float:
    """u at a real point y of the ellipse."""
    from scipy.special import ellipj

    K, k_prime = _modulus(beta)
    if k_prime < 1e-150:
        return math.inf
    half = 0.5 * (1.0 + beta - y)
    if half * half < beta:  # on the focal segment: u = 1/dn(K theta/pi | k)
        x = K * math.acos(half / math.sqrt(beta)) / math.pi
        return 1.0 / _dn(x, K, k_prime)
    slow = abs(half) + math.sqrt(half * half - beta)
    rest = y if half > 0.0 else 2.0 * (1.0 + beta) - y  # distance to the nearer vertex
    depth = -math.log1p(-rest / (1.0 - beta / slow)) * K / math.pi
    sn = float(ellipj(depth, k_prime**2)[0])
    return sn if half > 0.0 else 1.0 / (k_prime * sn)


def _modulus(beta: float) -> tuple[float, float]:
    """K(k) and k' of the rectangle with K'/K = ln(1/beta)/(2 pi), by theta functions."""
    from scipy.special import ellipk

    depth = -0.5 * math.log(beta)
    nome = math.exp(-(math.pi**2) / depth)  # of k'
    n = np.arange(40)
    theta_2 = 2.0 * nome**0.25 * float(np.sum(nome ** (n * (n + 1))))
    theta_3 = 1.0 + 2.0 * float(np.sum(nome ** ((n + 1.0) ** 2)))
    k_prime = (theta_2 / theta_3) ** 2
    return math.pi / depth * float(ellipk(k_prime**2)), k_prime


def _dn(x: float, K: float, k_prime: float) -> float:
    """dn(x | k) for 0 <= x <= K, from the nearer end."""
    near = min(x, K - x)
    dn = float(sn_cn_dn(np.array([near]), k_prime**2)[2][0])
    return dn if near == x else k_prime / dn


def nodes_for(m: float, M: float, rtol: float) -> float:
    """Nodes at which exp(-pi^2 N/(2 ln(M/m) + 3)) has fallen below ``rtol``/30000 (half-plane)."""
    if not 0.0 < m <= M < math.inf:  # the region leaves no room
        return math.inf
    rate = math.pi**2 / (2.0 * (math.log(M) - math.log(m)) + 3.0)
    return max(8, math.ceil(math.log(3e4 / rtol) / rate))
