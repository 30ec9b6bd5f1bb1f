r"""The Dyson equation of a linear pencil, solved by Newton's method on the right branch.

A pencil L = A0 + z A1 + R with Gaussian blocks R has E[L^{-1}] ~ G, and in cell c (an atom of
Sigma in the space that carries it; any other space is one cell) G is a small matrix,

    G_c = (A0_c + z A1_c - sigma S_c)^{-1},    (S_c)_ij = sum over terms t at (i, j) of h_tc g_u(t),
    g_u = sum over cells c of r_uc (G_c)_kl,

closed in the scalars g_u (arXiv:2110.11805; theory.md, section 9). sigma = 1 is the pencil, and
sigma from 0 to 1 leads to it from A^{-1}. Newton's Jacobian is 1 - M(z, z) with

    M_uv(z_1, z_2) = sum over t with u(t) = v, and over c, of r_uc h_tc G_c(z_1)_ki G_c(z_2)_jl .

Solutions are found in `dmft_rf.kernels.dyson_path`.

Branch. For a pencil that is self-adjoint up to a change of basis, Im G >= 0 in that basis holds if
and only if the positive map X -> G S[X] G* has spectral radius at most 1 (its resolvent series is
Im G; Perron and Frobenius), and Im G >= 0 has one solution (Helton, Rashidi Far and Speicher 2007).
The eigenvalues of M(z, conj z) are those of that map, in every basis: the spectral radius is a
certificate, checked at every solution together with the sign of Im Tr[A1 G].

Arrays: ``A0, A1`` (n_cells, K, K), each cell's matrix in its upper left corner; ``cells``
(n_spaces, 7): first cell, end of cells, size of the matrix, first term, end of terms, first scalar,
end of scalars; ``reads`` (n_scalars, 2): k, l; ``r`` (n_scalars, n_cells); ``terms`` (n_terms, 3):
i, j, u; ``h`` (n_terms, n_cells); ``mass`` (n_cells,): the size of a cell, in units of d.
"""

from __future__ import annotations

import numpy as np

from dmft_rf.kernels._jit import njit

CONVERGED = 0
NOT_CONVERGED = 1
WRONG_BRANCH = 2

_MAX_NEWTON = 40
# steps below this that do not shrink any more are rounding
_ROUNDING = 1e-6
# what rounding leaves of a spectral radius of 1, the value inside the support
_CERTAIN = 1e-6


@njit
def invert(M, n, out):
    """Inverse of the n x n corner of M, which is overwritten, into out; returns the determinant."""
    for i in range(n):
        for j in range(n):
            out[i, j] = 1.0 if i == j else 0.0
    det = 1.0 + 0.0j
    for col in range(n):
        pivot = col
        best = abs(M[col, col])
        for i in range(col + 1, n):
            if abs(M[i, col]) > best:
                best = abs(M[i, col])
                pivot = i
        if not (best > 0.0 and best < np.inf):
            return 0.0 * det
        if pivot != col:
            det = -det
            for j in range(n):
                M[col, j], M[pivot, j] = M[pivot, j], M[col, j]
                out[col, j], out[pivot, j] = out[pivot, j], out[col, j]
        det = det * M[col, col]
        scale = 1.0 / M[col, col]
        for j in range(n):
            M[col, j] *= scale
            out[col, j] *= scale
        for i in range(n):
            factor = M[i, col]
            if i != col and factor != 0.0:
                for j in range(n):
                    M[i, j] -= factor * M[col, j]
                    out[i, j] -= factor * out[col, j]
    return det


@njit
def green(z, sigma, g, A0, A1, cells, terms, h, G, det):
    """Fill G and the determinants of its inverse; False where a cell is singular."""
    M = np.empty((A0.shape[1], A0.shape[1]), np.complex128)
    for s in range(cells.shape[0]):
        n = cells[s, 2]
        for c in range(cells[s, 0], cells[s, 1]):
            for i in range(n):
                for j in range(n):
                    M[i, j] = A0[c, i, j] + z * A1[c, i, j]
            for t in range(cells[s, 3], cells[s, 4]):
                M[terms[t, 0], terms[t, 1]] -= sigma * h[t, c] * g[terms[t, 2]]
            det[c] = invert(M, n, G[c])
            if det[c] == 0.0:
                return False
    return True


@njit
def read(G, cells, reads, r):
    """The scalars g_u of G."""
    g = np.zeros(reads.shape[0], np.complex128)
    for s in range(cells.shape[0]):
        for u in range(cells[s, 5], cells[s, 6]):
            for c in range(cells[s, 0], cells[s, 1]):
                g[u] += r[u, c] * G[c, reads[u, 0], reads[u, 1]]
    return g


@njit
def coupling(G1, G2, sigma, cells, reads, r, terms, h):
    """M(z_1, z_2), shape (n_scalars, n_scalars)."""
    n = reads.shape[0]
    M = np.zeros((n, n), np.complex128)
    for s in range(cells.shape[0]):
        for u in range(cells[s, 5], cells[s, 6]):
            k, m = reads[u, 0], reads[u, 1]
            for t in range(cells[s, 3], cells[s, 4]):
                i, j, v = terms[t, 0], terms[t, 1], terms[t, 2]
                total = 0.0j
                for c in range(cells[s, 0], cells[s, 1]):
                    total += r[u, c] * h[t, c] * G1[c, k, i] * G2[c, j, m]
                M[u, v] += sigma * total
    return M


@njit
def sandwich(G1, P, G2, cells, reads, r):
    """The scalars of G_1 P G_2 for matrices P in every cell."""
    g = np.zeros(reads.shape[0], np.complex128)
    for s in range(cells.shape[0]):
        n = cells[s, 2]
        for u in range(cells[s, 5], cells[s, 6]):
            k, m = reads[u, 0], reads[u, 1]
            for c in range(cells[s, 0], cells[s, 1]):
                total = 0.0j
                for i in range(n):
                    for j in range(n):
                        if P[c, i, j] != 0.0:
                            total += G1[c, k, i] * P[c, i, j] * G2[c, j, m]
                g[u] += r[u, c] * total
    return g


@njit
def trace_slope(G, A1, cells, mass):
    """(1/d) Tr[A1 G] = d/dz (1/d) log det L."""
    total = 0.0j
    for s in range(cells.shape[0]):
        n = cells[s, 2]
        for c in range(cells[s, 0], cells[s, 1]):
            for i in range(n):
                for j in range(n):
                    total += mass[c] * A1[c, i, j] * G[c, j, i]
    return total


@njit
def radius(G, sigma, cells, reads, r, terms, h):
    """Spectral radius of M(z, conj z)."""
    if reads.shape[0] == 0:
        return 0.0
    M = coupling(G, G.conj(), sigma, cells, reads, r, terms, h)
    if not np.all(np.isfinite(M.real)) or not np.all(np.isfinite(M.imag)):
        return np.inf
    return np.abs(np.linalg.eigvals(M)).max()


@njit
def newton(z, sigma, g, small, A0, A1, cells, reads, r, terms, h):
    """Newton's method at z from the guess g: (g, G, det, Jacobian, last step, iterations, status).

    A step counts relative to each scalar, or 1e-4 of the largest where one vanishes. The last one
    is taken after the steps have passed below ``small``: 1e-9 leaves nothing but rounding. Next to
    a hard edge rounding is larger: there steps that no longer shrink are the end.
    """
    n = reads.shape[0]
    C, K = A0.shape[0], A0.shape[1]
    G = np.zeros((C, K, K), np.complex128)
    det = np.zeros(C, np.complex128)
    J = np.eye(n) + 0.0j
    step = np.inf
    for iteration in range(_MAX_NEWTON):
        if not green(z, sigma, g, A0, A1, cells, terms, h, G, det):
            return g, G, det, J, np.inf, iteration, NOT_CONVERGED
        if n == 0:
            return g, G, det, J, 0.0, 1, CONVERGED
        J = np.eye(n) - coupling(G, G, sigma, cells, reads, r, terms, h)
        residual = g - read(G, cells, reads, r)
        size = 0.0
        if not (np.all(np.isfinite(residual.real)) and np.all(np.isfinite(J.real))):
            return g, G, det, J, np.inf, iteration, NOT_CONVERGED
        dg = solve(J, residual)
        top = np.abs(g).max() + 1e-300
        for u in range(n):
            size = max(size, abs(dg[u]) / (abs(g[u]) + 1e-4 * top))
        if not size < 1e300:
            return g, G, det, J, np.inf, iteration, NOT_CONVERGED
        if step < max(small, _ROUNDING) and size >= 0.5 * step:
            return g, G, det, J, step, iteration, CONVERGED
        damp = 1.0 if size < 0.5 else 0.5 / size
        g = g - damp * dg
        if step < small:
            ok = green(z, sigma, g, A0, A1, cells, terms, h, G, det)
            return g, G, det, J, size, iteration + 1, CONVERGED if ok else NOT_CONVERGED
        step = size
    return g, G, det, J, step, _MAX_NEWTON, NOT_CONVERGED


@njit
def solve(J, right):
    """J^{-1} right by elimination with pivoting; NaN where J is singular."""
    n = right.size
    M = J.copy()
    x = right.copy()
    for col in range(n):
        pivot = col
        best = abs(M[col, col])
        for i in range(col + 1, n):
            if abs(M[i, col]) > best:
                best = abs(M[i, col])
                pivot = i
        if not best > 0.0:
            x[:] = np.nan
            return x
        if pivot != col:
            for j in range(col, n):
                M[col, j], M[pivot, j] = M[pivot, j], M[col, j]
            x[col], x[pivot] = x[pivot], x[col]
        for i in range(col + 1, n):
            factor = M[i, col] / M[col, col]
            if factor != 0.0:
                for j in range(col + 1, n):
                    M[i, j] -= factor * M[col, j]
                x[i] -= factor * x[col]
    for col in range(n - 1, -1, -1):
        total = x[col]
        for j in range(col + 1, n):
            total -= M[col, j] * x[j]
        x[col] = total / M[col, col]
    return x


@njit
def slope(G, J, A1, cells, reads, r):
    """dg/dz, from (1 - M) dg/dz = scalars of -G A1 G."""
    if reads.shape[0] == 0:
        return np.zeros(0, np.complex128)
    return solve(J, -sandwich(G, A1 + 0.0j, G, cells, reads, r))


@njit
def on_branch(G, step, A1, cells, reads, r, terms, h, mass):
    """The certificate of the module's docstring, for a solution known within ``step``."""
    t = trace_slope(G, A1, cells, mass)
    if not t.imag < 0.0:
        return False
    return radius(G, 1.0, cells, reads, r, terms, h) <= 1.0 + _CERTAIN + 10.0 * step


@njit
def greens(z, g, A0, A1, cells, terms, h):
    """G at each point, shape (n, n_cells, K, K)."""
    C, K = A0.shape[0], A0.shape[1]
    G = np.zeros((z.size, C, K, K), np.complex128)
    det = np.zeros(C, np.complex128)
    for i in range(z.size):
        green(z[i], 1.0, g[i], A0, A1, cells, terms, h, G[i], det)
    return G


@njit
def charges(z, g, A0, A1, cells, terms, h, mass):
    """-(1/d) Tr[A1 G] at each point: the Stieltjes transform of the law, in units of d."""
    out = np.empty(z.size, np.complex128)
    G = np.zeros(A0.shape, np.complex128)
    det = np.zeros(A0.shape[0], np.complex128)
    for i in range(z.size):
        green(z[i], 1.0, g[i], A0, A1, cells, terms, h, G, det)
        out[i] = -trace_slope(G, A1, cells, mass)
    return out
