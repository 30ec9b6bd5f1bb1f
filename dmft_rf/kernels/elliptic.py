r"""Jacobi elliptic functions from the complementary parameter, and the contour they give.

``scipy.special.ellipj`` takes m = k^2; contours around spectra that span many decades need
1 - k^2 = 4 m M/(m + M)^2 down to 1e-300, which m cannot carry. Landen transformations take the
complementary parameter as it is.
"""

from __future__ import annotations

import numpy as np

from dmft_rf.kernels._jit import njit


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
        steps += 1
    sn = np.empty(u.size)
    cn = np.empty(u.size)
    dn = np.empty(u.size)
    for j in range(u.size):
        x = u[j]
        for i in range(steps):
            x = x / (1.0 + small[i])
        s, c, d = _near_one(x, complement)
        for i in range(steps - 1, -1, -1):
            k = small[i]
            scale = 1.0 / (1.0 - k)  # (1 + k)/(1 - k^2)
            s, c, d = (
                (1.0 + k) * s * c / d,
                scale * (d * d - k) / d,
                (d * d + k) / ((1.0 + k) * d),
            )
        sn[j], cn[j], dn[j] = s, c, d
    return sn, cn, dn


@njit
def _near_one(u, complement):
    """First order in ``complement`` (Abramowitz and Stegun 16.15), at one u."""
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
def half_plane(m, M, nodes, K, complement, fall):
    """The contour of `dmft_rf.numerics.contour.half_plane_contour`: nodes, weights, readings.

    K = K(k) and complement = 1 - k^2 for k = (M - m)/(M + m); ``fall`` = 1/R = exp(-pi K'/(4 K)).
    """
    k = (M - m) / (M + m)
    root_k = np.sqrt(k)
    one_minus_k = 2.0 * m / (M + m)
    one_minus_root = one_minus_k / (1.0 + root_k)
    k_prime = np.sqrt(complement)
    first = max(nodes - 8, 0)
    u = np.empty(nodes)  # place along the circle, and |u| > K/2 through K - |u|
    for j in range(nodes):
        size = abs(2.0 * j + 1.0 - nodes)
        u[j] = K / nodes * (nodes - size if size > 0.5 * nodes else size)
    s, c, d = sn_cn_dn(u, complement)
    z = np.empty(nodes, np.complex128)
    weights = np.empty(nodes, np.complex128)
    count = nodes - first
    readings = np.zeros((1 + 2 * count, 2 * nodes))
    around = np.cos(0.5 * np.pi / nodes * np.arange(4 * nodes))
    decay = fall ** (2.0 * nodes - first - np.arange(count))
    for j in range(nodes):
        place = 2.0 * j + 1.0 - nodes  # in units of K/nodes
        sn, cn, dn = s[j], c[j], d[j]
        if abs(place) > 0.5 * nodes:
            sn, cn, dn = c[j] / d[j], k_prime * s[j] / d[j], k_prime / d[j]
        bottom = 1.0 + k * sn * sn
        cos = (1.0 + k) * sn / bottom  # of |u|
        sin = cn * dn / bottom
        slope = -(1.0 + k) * (one_minus_k + k * cn * cn) / bottom
        near = sin * sin / (1.0 + cos)  # 1 - cos without cancellation
        far = 1.0 + cos
        if place < 0.0:
            cos, near, far = -cos, far, near
        below = complex(one_minus_root + root_k * near, -root_k * sin)  # 1 - sqrt(k) e^{i theta}
        above = complex(one_minus_root + root_k * far, root_k * sin)  # 1 + sqrt(k) e^{i theta}
        z[j] = np.sqrt(m * M) * np.sqrt(above / below)
        turn = root_k * slope * complex(cos, sin) / (above * below)  # dz/(i z du)
        weights[j] = z[j] * turn * (K / (np.pi * nodes))
        readings[0, 2 * j] = 1.0
        # orders times the angle pi (j + 1/2)/nodes, in units of pi/(2 nodes), modulo a turn
        step = 2 * j + 1
        angle = first * step % (4 * nodes)
        for i in range(count):
            # Re[(x + i y) e^{-+ i angle}] = x cos +- y sin
            cos, sin = decay[i] * around[angle], decay[i] * around[angle - nodes]
            readings[1 + i, 2 * j], readings[1 + i, 2 * j + 1] = cos, sin
            readings[1 + count + i, 2 * j], readings[1 + count + i, 2 * j + 1] = cos, -sin
            angle += step
            if angle >= 4 * nodes:
                angle -= 4 * nodes
    return z, weights, readings
