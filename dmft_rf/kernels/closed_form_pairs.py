r"""Two-point function of the feature matrix.

With M(z) = W^T (U - z)^{-1} W/d, Q = Q(Sigma), r_i = 1/(beta_i - k_i) at the point z_i and
< . > the average over the atoms of Sigma,

    g   = gamma^4/(psi_n E_1 E_2),    D = 1 - g <lambda^2 r_1 r_2>
    t_Q = <Q r_1 r_2> + (g/D) <lambda Q r_1 r_2> <lambda r_1 r_2>
    u_Q = t_Q + v_n gamma^2/(k_1 k_2 E_1 E_2) <lambda Q r_1 r_2>/D
    T_Q = (1/d) Tr[M(z_1) Q M(z_2)] = t_Q + k_1 k_2 u_Q u_I (k_1 - k_2)/(z_1 - z_2),

with dk/dz for the last quotient where the points coincide. <Q r_1 r_2> is the square of the
mean (M(z) is equivalent to r(Sigma)); the rest, V_Q = T_Q - <Q r_1 r_2>, is the variance over
features and sample. The kernels below compute V_Q alone, which the losses need. See docs/theory.md;
the last factor is 1/(psi_p (1 - kappa)) there, and 1 - kappa is the secant
slope of the inverse function z(k) of the Wishart layer (its law of K enters in no other way).
"""

from __future__ import annotations

import numpy as np

from dmft_rf.kernels._jit import njit, reciprocal

# what the second points of a grid of pairs are to the first
ANY, SYMMETRIC, MIRRORED = 0, 1, 2


@njit
def factors(g, h, kk, m0, m1, m2, q0, q1):
    """t_Q - <Q r_1 r_2> and k_1 k_2 u_Q u_I of one pair of points.

    g as above, h = v_n gamma^2/(k_1 k_2 E_1 E_2), kk = k_1 k_2, m_j = <lambda^j r_1 r_2> and
    Q(lambda) = q0 + q1 lambda.
    """
    per_D = reciprocal(1.0 - g * m2)
    lI = m1 * per_D
    lQ = (q0 * m1 + q1 * m2) * per_D
    sample = g * m1 * lQ
    u_Q = q0 * m0 + q1 * m1 + sample + h * lQ
    u_I = m0 + (g * m1 + h) * lI
    return sample, kk * u_Q * u_I


@njit
def shares(k, E, par):
    """The factors of g and h that belong to one point: g = g_1 g_2, h = h_1 h_2."""
    psi_n, v2, gamma2 = par[1], par[3], par[5]
    per_E = 1.0 / E
    return gamma2 / np.sqrt(psi_n) * per_E, np.sqrt(v2 / psi_n * gamma2) * per_E / k


@njit
def assemble(z1, k1, E1, z2, k2, E2, dk, grid, m0, m1, m2, q0, q1, par):
    """V_Q on a grid of pairs of points, shape (n, n2).

    Parameters
    ----------
    z1, k1, E1 : (n,) arrays
        First points and their solutions.
    z2, k2, E2 : (n2,) arrays
        Second points.
    dk : (n,) complex array
        dk/dz at the first points, used on the diagonal of a symmetric grid.
    grid : int
        ANY; SYMMETRIC if the second points are the first, MIRRORED if they are their conjugates:
        half of the result is computed then, and the rest follows.
    m0, m1, m2 : (n, n2) complex arrays
        <r_1 r_2>, <lambda r_1 r_2>, <lambda^2 r_1 r_2>.
    q0, q1
        Q(lambda) = q0 + q1 lambda.
    """
    g1, h1 = shares(k1, E1, par)
    g2, h2 = shares(k2, E2, par)
    out = np.empty_like(m0)
    for i in range(z1.size):
        for j in range(0 if grid == ANY else i, z2.size):
            sample, uu = factors(
                g1[i] * g2[j], h1[i] * h2[j], k1[i] * k2[j],
                m0[i, j], m1[i, j], m2[i, j], q0, q1,
            )  # fmt: skip
            if grid == SYMMETRIC and i == j:
                secant = dk[i]
            else:
                secant = (k1[i] - k2[j]) * reciprocal(z1[i] - z2[j])
            out[i, j] = sample + uu * secant
            if grid == SYMMETRIC:
                out[j, i] = out[i, j]
            elif grid == MIRRORED and i != j:
                out[j, i] = out[i, j].conjugate()
    return out


@njit
def diagonal(k, E, m0, m1, m2, q0, q1, par):
    """Density of V_Q on x = y: k_1 k_2 u_Q u_I Im k/pi between x + i0 and x - i0, shape (n,).

    m_j = <lambda^j |r|^2> at the points; this is the residue at z_1 = z_2 of the last term of V_Q.
    """
    g, h = shares(k, E, par)
    out = np.empty(k.size)
    for i in range(k.size):
        _, uu = factors(
            g[i] * g[i].conjugate(), h[i] * h[i].conjugate(), k[i] * k[i].conjugate(),
            m0[i], m1[i], m2[i], q0, q1,
        )  # fmt: skip
        out[i] = uu.real * k[i].imag / np.pi
    return out
