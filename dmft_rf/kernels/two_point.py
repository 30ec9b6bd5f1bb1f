r"""Two-point function of the feature matrix.

With M(z) = W^T (U - z)^{-1} W/d, Q = Q(Sigma), r_i = 1/(beta_i - k_i) at the point z_i and
< . > the average over the atoms of Sigma,

    g   = gamma^4/(psi_n E_1 E_2),    D = 1 - g <lambda^2 r_1 r_2>
    t_Q = <Q r_1 r_2> + (g/D) <lambda Q r_1 r_2> <lambda r_1 r_2>
    u_Q = t_Q + v_n gamma^2/(k_1 k_2 E_1 E_2) <lambda Q r_1 r_2>/D
    T_Q = (1/d) Tr[M(z_1) Q M(z_2)] = t_Q + k_1 k_2 u_Q u_I (k_1 - k_2)/(z_1 - z_2),

with dk/dz for the last quotient where the points coincide. <Q r_1 r_2> is the square of the
mean (M(z) is equivalent to r(Sigma)); the rest, V_Q = T_Q - <Q r_1 r_2>, is the variance over
features and sample. The kernels below compute V_Q: the losses need it apart. See docs/theory.md;
the last factor is 1/(psi_p (1 - kappa)) there, and 1 - kappa is the secant
slope of the inverse function z(k) of the Wishart layer (its law of K enters in no other way).
"""

from __future__ import annotations

import numpy as np

from dmft_rf._jit import njit


@njit
def factors(k1, E1, k2, E2, m0, m1, m2, q0, q1, par):
    """t_Q - <Q r_1 r_2> and k_1 k_2 u_Q u_I of one pair of points.

    m_j = <lambda^j r_1 r_2>, Q(lambda) = q0 + q1 lambda.
    """
    psi_n, v2, gamma2 = par[1], par[3], par[5]
    EE = E1 * E2
    kk = k1 * k2
    g = gamma2 * gamma2 / (psi_n * EE)
    D = 1.0 - g * m2
    lQ = (q0 * m1 + q1 * m2) / D
    lI = m1 / D
    h = v2 / psi_n * gamma2 / (kk * EE)
    sample = g * lQ * m1
    u_Q = q0 * m0 + q1 * m1 + sample + h * lQ
    u_I = m0 + g * lI * m1 + h * lI
    return sample, kk * u_Q * u_I


@njit
def assemble(z1, k1, E1, z2, k2, E2, dk, same, m0, m1, m2, q0, q1, par):
    """V_Q on a grid of pairs of points, shape (n, n2).

    Parameters
    ----------
    z1, k1, E1 : (n,) arrays
        First points and their solutions.
    z2, k2, E2 : (n2,) arrays
        Second points.
    dk : (n,) complex array
        dk/dz at the first points, used on the diagonal if ``same`` (z2 is z1).
    m0, m1, m2 : (n, n2) complex arrays
        <r_1 r_2>, <lambda r_1 r_2>, <lambda^2 r_1 r_2>.
    q0, q1
        Q(lambda) = q0 + q1 lambda.
    """
    out = np.empty_like(m0)
    for i in range(z1.size):
        for j in range(z2.size):
            sample, uu = factors(
                k1[i], E1[i], k2[j], E2[j], m0[i, j], m1[i, j], m2[i, j], q0, q1, par
            )
            secant = dk[i] if same and i == j else (k1[i] - k2[j]) / (z1[i] - z2[j])
            out[i, j] = sample + uu * secant
    return out


@njit
def diagonal(k, E, m0, m1, m2, q0, q1, par):
    """Density of V_Q on x = y: k_1 k_2 u_Q u_I Im k/pi between x + i0 and x - i0, shape (n,).

    m_j = <lambda^j |r|^2> at the points; this is the residue at z_1 = z_2 of the last term of V_Q.
    """
    out = np.empty(k.size)
    for i in range(k.size):
        _, uu = factors(
            k[i], E[i], k[i].conjugate(), E[i].conjugate(), m0[i], m1[i], m2[i], q0, q1, par
        )
        out[i] = uu.real * k[i].imag / np.pi
    return out
