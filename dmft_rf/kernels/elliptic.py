r"""Jacobi elliptic functions from the complementary parameter, and the contour they give.

``scipy.special.ellipj`` takes m = k^2; contours around spectra that span many decades need
1 - k^2 = 4 m M/(m + M)^2 down to 1e-300, which m cannot carry. Landen transformations take the
complementary parameter as it is.
"""

from __future__ import annotations

import numpy as np

from dmft_rf._jit import njit


@njit
def sn_cn_dn(u, complement):
    """sn, cn, dn at real 0 <= u <= K/2, shape (n,), for the parameter 1 - ``complement``.

    Relative accuracy, also of cn and dn that are as small as sqrt(k'): the arithmetic-geometric
    mean, which loses digits to cn = cos(phi) near phi = pi/2, for k' > 0.1 only; below it the
    expansion about tanh and sech, whose error is (4 k')^2, after as many ascending steps
    k' -> k'^2/4 as that needs. The rest of a period follows by symmetry.
    """
    if complement > 1e-2:
        return _by_mean(u, complement)
    # ascending Landen transformations (Abramowitz and Stegun 16.14)
    small = np.empty(8)
    steps = 0
    while complement > 1e-16:
        small[steps] = complement / (1.0 + np.sqrt(1.0 - complement)) ** 2
        complement = small[steps] ** 2
        u = u / (1.0 + small[steps])
        steps += 1
    sn, cn, dn = _near_one(u, complement)
    for i in range(steps - 1, -1, -1):
        k = small[i]
        scale = 1.0 / (1.0 - k)  # (1 + k)/(1 - k^2)
        sn, cn, dn = (
            (1.0 + k) * sn * cn / dn,
            scale * (dn * dn - k) / dn,
            (dn * dn + k) / ((1.0 + k) * dn),
        )
    return sn, cn, dn


@njit
def _near_one(u, complement):
    """First order in ``complement`` (Abramowitz and Stegun 16.15)."""
    t = np.tanh(u)
    s = 1.0 / np.cosh(u)
    ss = np.sinh(u) * np.cosh(u)
    q = 0.25 * complement
    return t + q * (ss - u) * s * s, s - q * (ss - u) * t * s, s + q * (ss + u) * t * s


@njit
def _by_mean(u, complement):
    """Descending Landen transformation (Abramowitz and Stegun 16.4)."""
    a = np.empty(64)
    c = np.empty(64)
    a[0] = 1.0
    b = np.sqrt(complement)
    c[0] = np.sqrt(1.0 - complement)
    last = 0
    while last < 62:
        i = last + 1
        a[i] = 0.5 * (a[last] + b)
        c[i] = 0.5 * (a[last] - b)
        b = np.sqrt(a[last] * b)
        last = i
        if c[last] <= 1e-17 * a[last]:
            break
    sn = np.empty(u.size)
    cn = np.empty(u.size)
    dn = np.empty(u.size)
    for j in range(u.size):
        phi = 2.0**last * a[last] * u[j]
        for i in range(last, 0, -1):
            phi = 0.5 * (phi + np.arcsin(c[i] / a[i] * np.sin(phi)))
        sn[j] = np.sin(phi)
        cn[j] = np.cos(phi)
        dn[j] = np.sqrt(cn[j] * cn[j] + complement * sn[j] * sn[j])
    return sn, cn, dn


@njit
def half_plane(m, M, nodes, K, complement, nome):
    """The contour of `dmft_rf.contour.half_plane_contour`: nodes, weights, harmonics.

    K = K(k) and complement = 1 - k^2 for k = (M - m)/(M + m); 1/R = exp(-pi K'/(4 K)) = ``nome``.
    """
    k = (M - m) / (M + m)
    one_minus_k = 2.0 * m / (M + m)
    place = 2.0 * np.arange(nodes) + 1.0 - nodes  # in units of K/nodes
    # |u| > K/2 through sn(K - u) = cn/dn, cn(K - u) = k' sn/dn, dn(K - u) = k'/dn
    size = np.abs(place)
    far = size > 0.5 * nodes
    s, c, d = sn_cn_dn(K / nodes * np.where(far, nodes - size, size), complement)
    k_prime = np.sqrt(complement)
    sn = np.copysign(np.where(far, c / d, s), place)
    cn = np.where(far, k_prime * s / d, c)
    dn = np.where(far, k_prime / d, d)
    bottom = 1.0 + k * sn * sn
    cos = (1.0 + k) * sn / bottom
    sin = cn * dn / bottom
    slope = -(1.0 + k) * (one_minus_k + k * cn * cn) / bottom

    root_k = np.sqrt(k)
    one_minus_root = one_minus_k / (1.0 + root_k)
    # 1 - cos without cancellation where cos > 0, 1 + cos where cos < 0
    other = sin * sin / (1.0 + np.abs(cos))
    one_minus_cos = np.where(cos > 0.0, other, 1.0 - cos)
    one_plus_cos = np.where(cos < 0.0, other, 1.0 + cos)
    below = one_minus_root + root_k * (one_minus_cos - 1j * sin)  # 1 - sqrt(k) e^{i theta}
    above = one_minus_root + root_k * (one_plus_cos + 1j * sin)  # 1 + sqrt(k) e^{i theta}
    z = np.sqrt(m * M) * np.sqrt(above / below)
    dz = z * (1j * root_k * (cos + 1j * sin) * slope / (above * below)) * (2.0 * K / nodes)

    first = max(nodes - 8, 0)
    harmonics = np.empty((nodes, 2 * (nodes - first)), np.complex128)
    for i in range(first, nodes):
        wave = np.exp((-1j * np.pi * i / nodes) * (np.arange(nodes) + 0.5))
        harmonics[:, i - first] = wave * nome ** (2.0 * nodes - i)
        harmonics[:, i + nodes - 2 * first] = wave.conj() * nome ** (2.0 * nodes - i)
    return z, dz / 2j / np.pi, harmonics
