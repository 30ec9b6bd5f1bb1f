r"""Two-point function of the feature matrix.

With M(z) = W^T (U - z)^{-1} W/d, Q = Q(Sigma), r_i = 1/(beta_i - k_i) at the point z_i and
< . > the average over the atoms of Sigma,

    g   = gamma^4/(psi_n E_1 E_2),    D = 1 - g <lambda^2 r_1 r_2>
    t_Q = <Q r_1 r_2> + (g/D) <lambda Q r_1 r_2> <lambda r_1 r_2>
    u_Q = t_Q + v_n gamma^2/(k_1 k_2 E_1 E_2) <lambda Q r_1 r_2>/D
    T_Q = (1/d) Tr[M(z_1) Q M(z_2)] = t_Q + k_1 k_2 u_Q u_I (k_1 - k_2)/(z_1 - z_2),

with dk/dz for the last quotient where the points coincide. It is the two-point function of
docs/theory.md; the last factor is 1/(psi_p (1 - kappa)) there, and 1 - kappa is the secant
slope of the inverse function z(k) of the Wishart layer (its law of K enters in no other way).
"""

from __future__ import annotations

import numpy as np

from dmft_rf._jit import njit


@njit
def assemble(z1, k1, E1, z2, k2, E2, dk, same, m0, m1, m2, q0, q1, par):
    """T_Q on a grid of pairs of points.

    Parameters
    ----------
    z1, k1, E1 : (n,) complex arrays
        First points and their solutions.
    z2, k2, E2 : (n2,) complex arrays
        Second points.
    dk : (n,) complex array
        dk/dz at the first points, used on the diagonal if ``same`` (z2 is z1).
    m0, m1, m2 : (n, n2) complex arrays
        <r_1 r_2>, <lambda r_1 r_2>, <lambda^2 r_1 r_2>.
    q0, q1
        Q(lambda) = q0 + q1 lambda.
    """
    psi_n, v2, gamma2 = par[1], par[3], par[5]
    vn = v2 / psi_n
    out = np.empty_like(m0)
    for i in range(z1.size):
        for j in range(z2.size):
            EE = E1[i] * E2[j]
            kk = k1[i] * k2[j]
            g = gamma2 * gamma2 / (psi_n * EE)
            D = 1.0 - g * m2[i, j]
            mQ = q0 * m0[i, j] + q1 * m1[i, j]
            mlQ = (q0 * m1[i, j] + q1 * m2[i, j]) / D
            ml = m1[i, j] / D
            h = vn * gamma2 / (kk * EE)
            t_Q = mQ + g * mlQ * m1[i, j]
            t_I = m0[i, j] + g * ml * m1[i, j]
            secant = dk[i] if same and i == j else (k1[i] - k2[j]) / (z1[i] - z2[j])
            out[i, j] = t_Q + kk * (t_Q + h * mlQ) * (t_I + h * ml) * secant
    return out
