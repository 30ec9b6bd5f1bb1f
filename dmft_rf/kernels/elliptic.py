r"""Jacobi elliptic functions from the complementary parameter, by the arithmetic-geometric mean.

``scipy.special.ellipj`` takes m = k^2; contours around spectra that span many decades need
1 - k^2 = 4 m M/(m + M)^2 down to 1e-30, which m cannot carry. The descending Landen
transformation (Abramowitz and Stegun 16.4) takes the complementary parameter as it is.
"""

from __future__ import annotations

import numpy as np

from dmft_rf._jit import njit


@njit
def sn_cn_dn(u, complement):
    """sn, cn, dn at real u, shape (n,), for the parameter 1 - ``complement``.

    Accurate to rounding for 0 <= u <= K/2; the rest of a period follows by symmetry.
    """
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
