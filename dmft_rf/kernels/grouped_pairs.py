r"""Two-point functions of a feature matrix made of several groups of samples.

For points z_1, z_2 with solutions k_i, E_ji of kernels.grouped, r_i = 1/(beta_i - k_i) and < . >
the average over Sigma, solve the symmetric J x J systems A x^Q = g^Q and A y = h,

    A_ji = delta_ji E_j1 E_j2/c_j - <C_j C_i r_1 r_2>/psi_n,
    g^Q_j = <C_j Q r_1 r_2>/psi_n,      h_j = (<C_j r_1 r_2> + o_j^2/(k_1 k_2))/psi_n,
    u_Q = <Q r_1 r_2> + sum_j <C_j Q r_1 r_2> y_j.

With the secant K = (k_1 - k_2)/(z_1 - z_2) (dk/dz where the points coincide), the means
b_i = eta_0 + sum_j c_j eta_j/E_ji and S_i = <r_i>,

    w_j = tau_j - eta_j (b_1 S_1 + b_2 S_2) + b_1 b_2 <C_j r_1 r_2>
    P   = (1/d) Tr V^T (U - z_1)^{-1} (U - z_2)^{-1} V = K (sum_j w_j y_j + b_1 b_2 <r_1 r_2>)
    V_Q = (1/d) Tr V^T (U - z_1)^{-1} W Q W^T (U - z_2)^{-1} V/d - b_1 b_2 <Q r_1 r_2>
        = sum_j w_j x^Q_j + k_1 k_2 u_Q P.

V_Q is the variance over features, sample and noise draws, b_1 b_2 <Q r_1 r_2> the squared mean.
The responses of q to Q and to 1 are exchanged by symmetry, which gives u_Q without the determinant
of the linear map (docs/theory.md). With one group this is kernels.closed_form_pairs times b^2.
"""

from __future__ import annotations

import numpy as np

from dmft_rf.kernels._jit import njit


@njit
def modulus(x):
    """|x| without the care for squares beyond the floats."""
    return np.sqrt(x.real * x.real + x.imag * x.imag)


@njit
def assemble(
    z1, k1, E1, b1, S1, z2, k2, E2, b2, S2, dk, same, m, psi_n, c, signal, noise, eta, tau, Q
):
    """V_Q for each Q and P on a grid of pairs, (n_Q, n, n) and (n, n), and their terms' sizes.

    The second points are the first ones, or their complex conjugates: half of the pairs are mirror
    images of the others.

    Parameters
    ----------
    z1, k1, b1, S1 : (n,) arrays;  E1 : (n, J) array
        First points, their solutions and means.
    z2, k2, b2, S2, E2
        The same points (``same``) or their conjugates.
    dk : (n,) complex array
        dk/dz at the first points, used on the diagonal if ``same``.
    m : (F, F, n, n) complex array
        <phi_f phi_g r_1 r_2> for the basis functions phi of Sigma; phi_0 = 1.
    c, noise, eta, tau : (J,) arrays;  signal : (J, F) array
        Groups; see dmft_rf.model.columns.
    Q : (n_Q, F) array
        The functions Q in the basis.
    """
    n, J, F, nQ = z1.size, c.size, m.shape[0], Q.shape[0]
    V = np.empty((nQ, n, n), np.complex128)
    P = np.empty((n, n), np.complex128)
    V_size = np.empty((nQ, n, n))
    P_size = np.empty((n, n))
    A = np.empty((J, J + nQ + 1), np.complex128)
    scale = np.empty(J)
    row = np.empty(J)
    w = np.empty(J, np.complex128)
    w_size = np.empty(J)
    C1 = np.empty(J, np.complex128)
    CQ = np.empty((J, nQ), np.complex128)
    for i in range(n):
        for j in range(i + 1):
            kk = k1[i] * k2[j]
            for a in range(J):
                total = 0.0j
                for f in range(F):
                    total += signal[a, f] * m[f, 0, i, j]
                C1[a] = total
                A[a, J + nQ] = (total + noise[a] / kk) / psi_n
                for b in range(J):
                    total = 0.0j
                    for f in range(F):
                        for g in range(F):
                            total += signal[a, f] * signal[b, g] * m[f, g, i, j]
                    A[a, b] = -total / psi_n
                for s in range(nQ):
                    total = 0.0j
                    for f in range(F):
                        for g in range(F):
                            total += signal[a, f] * Q[s, g] * m[f, g, i, j]
                    CQ[a, s] = total
                    A[a, J + s] = total / psi_n
                A[a, a] += E1[i, a] * E2[j, a] / c[a]
                scale[a] = np.sqrt(modulus(E1[i, a] * E2[j, a]) / c[a])
            lost = _reduce(A, J, scale, row)
            bb = b1[i] * b2[j]
            both = b1[i] * S1[i] + b2[j] * S2[j]
            both_size = modulus(b1[i] * S1[i]) + modulus(b2[j] * S2[j])
            if same and i == j:
                secant = dk[i]
                secant_size = modulus(secant)
            else:
                secant = (k1[i] - k2[j]) / (z1[i] - z2[j])
                secant_size = (modulus(k1[i]) + modulus(k2[j])) / modulus(z1[i] - z2[j])
            P[i, j] = bb * m[0, 0, i, j]
            size = modulus(P[i, j])
            for a in range(J):
                w[a] = tau[a] - eta[a] * both + bb * C1[a]
                w_size[a] = tau[a] + abs(eta[a]) * both_size + modulus(bb * C1[a])
                P[i, j] += w[a] * A[a, J + nQ]
                size += lost * w_size[a] * modulus(A[a, J + nQ])
            size = size * modulus(secant) + modulus(P[i, j]) * secant_size
            P[i, j] *= secant
            for s in range(nQ):
                u = 0.0j
                value = 0.0j
                u_size = 0.0
                value_size = 0.0
                for f in range(F):
                    u += Q[s, f] * m[f, 0, i, j]
                u_size = modulus(u)
                for a in range(J):
                    u += CQ[a, s] * A[a, J + nQ]
                    u_size += lost * modulus(CQ[a, s] * A[a, J + nQ])
                    value += w[a] * A[a, J + s]
                    value_size += lost * w_size[a] * modulus(A[a, J + s])
                V[s, i, j] = value + kk * u * P[i, j]
                V[s, j, i] = V[s, i, j] if same else V[s, i, j].conjugate()
                V_size[s, i, j] = value_size + modulus(kk) * (
                    u_size * modulus(P[i, j]) + modulus(u) * size
                )
                V_size[s, j, i] = V_size[s, i, j]
            P[j, i] = P[i, j] if same else P[i, j].conjugate()
            P_size[i, j] = P_size[j, i] = size
    return V, P, V_size, P_size


@njit
def _reduce(A, J, scale, row):
    """The columns from J on become A^{-1} of what they were, by Gauss-Jordan with row pivoting.

    Rows and columns are divided by ``scale`` first, which makes the first terms of the diagonal 1.
    Returns the largest quotient of a row's size, left in ``row``, and its pivot: what pivots lose.
    """
    width = A.shape[1]
    for i in range(J):
        row[i] = 1.0
        for j in range(width):
            A[i, j] /= scale[i] * scale[j] if j < J else scale[i]
            if j < J:
                row[i] += modulus(A[i, j])
    lost = 1.0
    for i in range(J):
        pivot = i
        for r in range(i + 1, J):
            if modulus(A[r, i]) > modulus(A[pivot, i]):
                pivot = r
        if pivot != i:
            for j in range(width):
                A[i, j], A[pivot, j] = A[pivot, j], A[i, j]
            row[i], row[pivot] = row[pivot], row[i]
        lost = max(lost, row[i] / modulus(A[i, i]))
        inverse = 1.0 / A[i, i]
        for j in range(i, width):
            A[i, j] *= inverse
        for r in range(J):
            if r != i:
                factor = A[r, i]
                for j in range(i, width):
                    A[r, j] -= factor * A[i, j]
    for i in range(J):
        for j in range(J, width):
            A[i, j] /= scale[i]
    return lost
