r"""Jacobi elliptic functions from the complementary parameter, by the arithmetic-geometric mean.

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
