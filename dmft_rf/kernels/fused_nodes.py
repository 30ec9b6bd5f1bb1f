r"""Nodes of one group of columns whose noise is averaged exactly, in one call.

The contour around the support, the one-point equations on it, the two-point function of all pairs
and what rounding makes of each, as `dmft_rf.curves.nodes.Nodes` and `dmft_rf.curves.two_point` have
them: there stands what they are.
"""

from __future__ import annotations

import numpy as np

from dmft_rf.kernels._jit import njit, njit_fused
from dmft_rf.kernels.closed_form import CONVERGED, solve_path
from dmft_rf.kernels.elliptic import half_plane
from dmft_rf.kernels.grouped_pairs import modulus

#: averages over as many atoms are formed as sums for every pair: up to about 190 that is faster
MOST_ATOMS = 160

_EPS = 2.220446049250313e-16
# pairs that are done at once, and the fields of a node that they need
_TILE = 16
_Z_RE, _Z_IM, _K_RE, _K_IM, _G_RE, _G_IM, _H_RE, _H_IM, _SIZE, _LOST = (
    i * _TILE for i in range(10)
)
_FIELDS = 10
# fields of the work space of a tile
_SUMS = 12
# fields of what is found for a tile
_PLAIN_RE, _PLAIN_IM, _MIXED_RE, _MIXED_IM = (i * _TILE for i in range(4))


@njit
def _mean(b):
    """The arithmetic-geometric mean of 1 and b > 0."""
    a = 1.0
    for _ in range(64):
        if abs(a - b) <= 2.0 * _EPS * a:
            break
        a, b = 0.5 * (a + b), np.sqrt(a * b)
    return a


@njit
def nodes_at(z, k, E, dk, par, lam, w, label, place):
    """What the losses read of solutions (k, E, dk) at the nodes z.

    Parameters
    ----------
    label : float
        b, with its sign.
    place : tuple
        The ends of the support, and the mass of the atom at s^2.

    Returns
    -------
    S_VV, S_VW : (N,) complex arrays
    signal : (N, n_atoms) complex array
    cancelled, noise : (N,) arrays
    """
    n, n_atoms = z.size, lam.size
    low, high, atom = place
    psi_p, psi_n, b2, v2, s2, gamma2 = par
    S_VV = np.empty(n, np.complex128)
    S_VW = np.empty(n, np.complex128)
    signal = np.empty((n, n_atoms), np.complex128)
    cancelled = np.empty(n)
    noise = np.empty(n)
    places = 1.0 + 0.5 * np.log(high / low)
    for j in range(n):
        y = gamma2 / E[j]
        size_k, share = modulus(k[j]), 1.0 / modulus(E[j])
        mean = 0.0 * y
        mean_size = 0.0
        own = 0.0
        most = 0.0
        for a in range(n_atoms):
            r = 1.0 / ((b2 - k[j]) + y * lam[a])
            size = modulus(r)
            mean += w[a] * r
            mean_size += w[a] * size
            own += gamma2 * lam[a] * w[a] * size
            most = max(most, size * (share * gamma2 * lam[a] + (b2 + size_k)))
            signal[j, a] = label * r
        S_VV[j] = label * label * mean
        S_VW[j] = label * mean
        cancelled[j] = most
        # of the transforms of the law of the bulks
        size_z = modulus(z[j])
        x_size = b2 * mean_size + share * (own + v2 / size_k)
        q_size = 1.0 / (psi_p * size_k)
        if b2 > 0.0 and atom > 0.0:
            gap = psi_p * modulus(z[j] - s2)
            q_size = (size_k * mean_size + (psi_n + own) * share) / gap
            q_size *= 1.0 + psi_p * size_z / gap
        bulk = x_size / psi_p + s2 * q_size
        unknowns = (size_z * (places + 1.0) + psi_p * size_k * (1.0 + bulk)) * modulus(dk[j] / k[j])
        noise[j] = _EPS * (places + unknowns)
    return S_VV, S_VW, signal, cancelled, noise


@njit_fused
def _averages(data, first, second, fields, n_atoms, lam, w, work):
    """<lambda^j r_1 r_2> of one node with a tile of nodes, and with their conjugates.

    ``first`` is the place of the one node's fields, ``second`` that of the tile's.
    """
    for i in range(_SUMS * _TILE):
        work[i] = 0.0
    for a in range(n_atoms):
        at = (fields + 2 * a) * _TILE
        x, y = data[first + at], data[first + at + _TILE]
        w_0, w_1 = w[a], w[a] * lam[a]
        w_2 = w_1 * lam[a]
        here = second + at
        for t in range(_TILE):
            r_re, r_im = data[here + t], data[here + _TILE + t]
            xx, yy, xy, yx = x * r_re, y * r_im, x * r_im, y * r_re
            work[t] += w_0 * (xx - yy)
            work[_TILE + t] += w_0 * (xy + yx)
            work[2 * _TILE + t] += w_1 * (xx - yy)
            work[3 * _TILE + t] += w_1 * (xy + yx)
            work[4 * _TILE + t] += w_2 * (xx - yy)
            work[5 * _TILE + t] += w_2 * (xy + yx)
            work[6 * _TILE + t] += w_0 * (xx + yy)
            work[7 * _TILE + t] += w_0 * (yx - xy)
            work[8 * _TILE + t] += w_1 * (xx + yy)
            work[9 * _TILE + t] += w_1 * (yx - xy)
            work[10 * _TILE + t] += w_2 * (xx + yy)
            work[11 * _TILE + t] += w_2 * (yx - xy)


@njit_fused
def _variance(data, first, second, sign, q0, q1, work, sums, out, to, sizes):
    """V_Q of one node with a tile (``sign`` 1) or its conjugates (-1), added to the sizes.

    As `closed_form_pairs.assemble`; on the diagonal of the first kind it is 0/0.
    """
    z_re, z_im = data[first + _Z_RE], data[first + _Z_IM]
    k_re, k_im = data[first + _K_RE], data[first + _K_IM]
    g_re, g_im = data[first + _G_RE], data[first + _G_IM]
    h_re, h_im = data[first + _H_RE], data[first + _H_IM]
    own, lost = data[first + _SIZE], data[first + _LOST]
    for t in range(_TILE):
        at = second + t
        m0_re, m0_im = work[sums + t], work[sums + _TILE + t]
        m1_re, m1_im = work[sums + 2 * _TILE + t], work[sums + 3 * _TILE + t]
        m2_re, m2_im = work[sums + 4 * _TILE + t], work[sums + 5 * _TILE + t]
        x, y = data[at + _G_RE], sign * data[at + _G_IM]
        gg_re, gg_im = g_re * x - g_im * y, g_re * y + g_im * x
        x, y = data[at + _H_RE], sign * data[at + _H_IM]
        hh_re, hh_im = h_re * x - h_im * y, h_re * y + h_im * x
        x, y = data[at + _K_RE], sign * data[at + _K_IM]
        kk_re, kk_im = k_re * x - k_im * y, k_re * y + k_im * x
        gap_re, gap_im = k_re - x, k_im - y
        # 1/D and what it loses
        s_re, s_im = gg_re * m2_re - gg_im * m2_im, gg_re * m2_im + gg_im * m2_re
        d_re, d_im = 1.0 - s_re, -s_im
        per_size = 1.0 / (d_re * d_re + d_im * d_im)
        inner = (1.0 + np.sqrt(s_re * s_re + s_im * s_im)) * np.sqrt(per_size)
        d_re, d_im = d_re * per_size, -d_im * per_size
        l_re, l_im = m1_re * d_re - m1_im * d_im, m1_re * d_im + m1_im * d_re
        x, y = q0 * m1_re + q1 * m2_re, q0 * m1_im + q1 * m2_im
        q_re, q_im = x * d_re - y * d_im, x * d_im + y * d_re
        x, y = gg_re * m1_re - gg_im * m1_im, gg_re * m1_im + gg_im * m1_re
        sample_re, sample_im = x * q_re - y * q_im, x * q_im + y * q_re
        a_re = q0 * m0_re + q1 * m1_re + sample_re + (hh_re * q_re - hh_im * q_im)
        a_im = q0 * m0_im + q1 * m1_im + sample_im + (hh_re * q_im + hh_im * q_re)
        x, y = x + hh_re, y + hh_im
        b_re, b_im = m0_re + (x * l_re - y * l_im), m0_im + (x * l_im + y * l_re)
        x, y = kk_re * a_re - kk_im * a_im, kk_re * a_im + kk_im * a_re
        u_re, u_im = x * b_re - y * b_im, x * b_im + y * b_re
        # the secant
        x, y = z_re - data[at + _Z_RE], z_im - sign * data[at + _Z_IM]
        per_size = 1.0 / (x * x + y * y)
        x, y = x * per_size, -y * per_size
        c_re, c_im = gap_re * x - gap_im * y, gap_re * y + gap_im * x
        V_re = sample_re + (u_re * c_re - u_im * c_im)
        V_im = sample_im + (u_re * c_im + u_im * c_re)
        out[to + t] = V_re
        out[to + _TILE + t] = V_im
        apart = np.sqrt(gap_re * gap_re + gap_im * gap_im)
        loses = (own + data[at + _SIZE]) / apart + 2.0 * (inner + 1.0) * max(lost, data[at + _LOST])
        sizes[t] += np.sqrt(V_re * V_re + V_im * V_im) * loses


@njit
def of_one(g, h, kk, m0, m1, m2, dk, q0, q1):
    """V_Q where the two points coincide, and |g <lambda^2 r^2>| and |D|."""
    D = 1.0 - g * m2
    lI = m1 / D
    lQ = (q0 * m1 + q1 * m2) / D
    sample = g * m1 * lQ
    u_Q = q0 * m0 + q1 * m1 + sample + h * lQ
    u_I = m0 + (g * m1 + h) * lI
    return sample + kk * u_Q * u_I * dk, modulus(g * m2), modulus(D)


@njit
def pairs(z, k, E, dk, cancelled, par, lam, w, q0, q1):
    """The variance of all pairs of nodes, as a form: ``real`` and ``size`` of `forms.Form`.

    Parameters
    ----------
    q0, q1 : float
        a^2 b^2 Sigma_t = q0 + q1 Sigma.
    """
    n, n_atoms = z.size, lam.size
    psi_n, b2, v2, gamma2 = par[1], par[2], par[3], par[5]
    tiles = (n + _TILE - 1) // _TILE
    stride = (_FIELDS + 2 * n_atoms) * _TILE
    data = np.ones(tiles * stride)
    for j in range(n):
        at = (j // _TILE) * stride + j % _TILE
        per_E = 1.0 / E[j]
        g = gamma2 / np.sqrt(psi_n) * per_E
        h = np.sqrt(v2 / psi_n * gamma2) * per_E / k[j]
        data[at + _Z_RE], data[at + _Z_IM] = z[j].real, z[j].imag
        data[at + _K_RE], data[at + _K_IM] = k[j].real, k[j].imag
        data[at + _G_RE], data[at + _G_IM] = g.real, g.imag
        data[at + _H_RE], data[at + _H_IM] = h.real, h.imag
        data[at + _SIZE], data[at + _LOST] = modulus(k[j]), cancelled[j]
        y = gamma2 / E[j]
        for a in range(n_atoms):
            r = 1.0 / ((b2 - k[j]) + y * lam[a])
            data[at + (_FIELDS + 2 * a) * _TILE] = r.real
            data[at + (_FIELDS + 2 * a + 1) * _TILE] = r.imag
    form = np.empty((2 * n, 2 * n))
    size = np.empty((n, n))
    work = np.empty(_SUMS * _TILE)
    out = np.empty(4 * _TILE)
    sizes = np.empty(_TILE)
    for i in range(n):
        first = (i // _TILE) * stride + i % _TILE
        for tile in range(i // _TILE, tiles):
            second = tile * stride
            _averages(data, first, second, _FIELDS, n_atoms, lam, w, work)
            sizes[:] = 0.0
            m0, m1 = (
                complex(work[i % _TILE], work[_TILE + i % _TILE]),
                complex(work[2 * _TILE + i % _TILE], work[3 * _TILE + i % _TILE]),
            )
            m2 = complex(work[4 * _TILE + i % _TILE], work[5 * _TILE + i % _TILE])
            _variance(data, first, second, -1.0, q0, q1, work, 6 * _TILE, out, _MIXED_RE, sizes)
            here = 0.0
            if tile == i // _TILE:
                here = sizes[i % _TILE]
            _variance(data, first, second, 1.0, q0, q1, work, 0, out, _PLAIN_RE, sizes)
            if tile == i // _TILE:
                g = complex(data[first + _G_RE], data[first + _G_IM])
                h = complex(data[first + _H_RE], data[first + _H_IM])
                V, sample, D = of_one(g * g, h * h, k[i] * k[i], m0, m1, m2, dk[i], q0, q1)
                out[_PLAIN_RE + i % _TILE], out[_PLAIN_IM + i % _TILE] = V.real, V.imag
                loses = 1.0 + 2.0 * ((1.0 + sample) / D + 1.0) * cancelled[i]
                sizes[i % _TILE] = here + modulus(V) * loses
            start = tile * _TILE
            for j in range(max(i, start), min(n, start + _TILE)):
                t = j - start
                p_re, p_im = out[_PLAIN_RE + t], out[_PLAIN_IM + t]
                q_re, q_im = out[_MIXED_RE + t], out[_MIXED_IM + t]
                form[2 * i, 2 * j] = form[2 * j, 2 * i] = p_re + q_re
                form[2 * i + 1, 2 * j + 1] = form[2 * j + 1, 2 * i + 1] = p_re - q_re
                form[2 * i, 2 * j + 1], form[2 * j, 2 * i + 1] = p_im - q_im, p_im + q_im
                form[2 * i + 1, 2 * j], form[2 * j + 1, 2 * i] = -(p_im + q_im), q_im - p_im
                size[i, j] = size[j, i] = sizes[t]
    return form, size


@njit
def defect_of(z, weights, S_VV, mass, inverse):
    """Relative error of the integrals of 1 and 1/x against the measure of S_VV."""
    one = 0.0
    two = 0.0
    for j in range(z.size):
        term = weights[j] * S_VV[j]
        one += term.real
        two += (term / z[j]).real
    return max(abs(2.0 * one / mass - 1.0), abs(2.0 * two / inverse - 1.0))


@njit
def moderate(z, k, E, size):
    """Whether squares and fourth powers of what is there are floats, and the nodes differ."""
    for j in range(z.size):
        for x in (z[j], k[j], E[j]):
            if not 1e-70 < modulus(x) < 1e70:
                return False
        if z[j].imag > 40.0 * z[j].real or (j > 0 and z[j] == z[j - 1]):
            return False
    return size.max() < 1e200


@njit
def solved_nodes(m, M, count, par, lam, w):
    """Contour and one-point solutions: z, weights, readings, k, E, dk, residual, steps, solved.

    The integrals of the contour are arithmetic-geometric means.
    """
    complement = 4.0 * (m / (m + M)) * (M / (m + M))
    K = 0.5 * np.pi / _mean(np.sqrt(complement))
    fall = np.exp(-np.pi * 0.5 * np.pi / _mean((M - m) / (M + m)) / (4.0 * K))
    z, weights, readings = half_plane(m, M, count, K, complement, fall)
    k, E, dk, _, residual, status, steps = solve_path(z, par, lam, w, True)
    solved = True
    for j in range(count):
        solved = solved and status[j] == CONVERGED
    return z, weights, readings, k, E, dk, residual, steps, solved
