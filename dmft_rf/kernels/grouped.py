r"""One-point equations of a feature matrix made of several groups of samples.

U = b_0^2 W W^T/d + s_0^2 + (1/n) sum over the columns f of all groups, where group j has c_j n
columns f = W x/sqrt(d) + o_j omega with x of covariance C_j, a function of Sigma (all C_j commute).
The exact average over the noise is one group on top of (b_0, s_0); m noise draws are two groups;
a mixture has a group (or two) for every class. With psi_j = c_j psi_n, < . > the average over the
atoms of Sigma, q = (1/p) Tr (U - z)^{-1} and E_j = 1 + f^T (U_{-f} - z)^{-1} f/n, the unknowns are

    k = -1/(psi_p q),    e_j = -k E_j,

in which everything stays finite at k = 0 (an atom, or interpolation):

    H = 1 + sum_j c_j C_j/e_j,    D = H - 1 - b_0^2/k,    R = 1/(1 + D) = -k r,    r = 1/(beta - k)
    e_j = -k + (1/psi_n) (o_j^2 + <C_j R>)                                              (1)
    z   = s_0^2 + k (psi_p - <D R> - sum_j c_j o_j^2/e_j)                                (2)

with beta = b_0^2 + sum_j c_j C_j/E_j. For b_0 = 0, (1) turns (2) into

    z = s_0^2 + k (psi_p - sum_j psi_j - k sum_j psi_j/e_j),                             (2')

which keeps its digits at interpolation, psi_p close to sum_j psi_j (and there only). They follow by
averaging first over the columns given W, then over the rows of W (docs/theory.md); with one group
they are those of kernels.closed_form.

Branch. Taking imaginary parts of (1) and (2) gives a linear system with non-negative coefficients
for (Im q, Im E_j) and the source Im z: a solution with all of them positive makes its spectral
radius smaller than one, and by Cauchy-Schwarz there is only one such solution. This is the
certificate of every complex solution here. A real solution outside the support is physical if and
only if that matrix at the real point has a spectral radius below one, for then the solution
continues into the upper half-plane with positive imaginary parts: this is dz/dk > 0 and a stable
fixed point (1).

Arrays: ``par`` = (psi_p, psi_n, b_0^2, s_0^2, x), with x = psi_p - sum_j psi_j where (2') is to be
used and infinity elsewhere; ``c``, ``o2`` (J,); ``C`` (J, n_atoms); ``w`` (n_atoms,).
"""

from __future__ import annotations

import numpy as np

from dmft_rf.kernels._jit import njit

CONVERGED = 0
NOT_CONVERGED = 1
WRONG_BRANCH = 2

_MAX_NEWTON = 40
_MAX_STEPS = 600


@njit
def system(k, e, par, c, C, o2, w, residual, jacobian):
    """z - s_0^2 and, into ``residual`` (J + 1,) and ``jacobian``, equations (2) and (1).

    Row 0 is z of equation (2); rows 1..J are (1), left minus right. Columns are k, e_1 .. e_J.
    """
    J = e.size
    psi_p, psi_n, b2 = par[0], par[1], par[2]
    lost = 0.0 * k
    z_k = 0.0 * k
    for i in range(J + 1):
        residual[i] = 0.0 * k
        for j in range(J + 1):
            jacobian[i, j] = 0.0 * k
    for a in range(w.size):
        S = 0.0 * k
        for j in range(J):
            S += c[j] * C[j, a] / e[j]
        # R and D R without a division by k, which may be 0
        if b2 > 0.0:
            bottom = k * (1.0 + S) - b2
            R = k / bottom
            DR = (k * S - b2) / bottom
            drift = b2 / (bottom * bottom)
        else:
            R = 1.0 / (1.0 + S)
            DR = S * R
            drift = 0.0 * k
        wR = w[a] * R
        wR2 = wR * R
        lost += w[a] * DR
        z_k += w[a] * drift
        for i in range(J):
            slope = c[i] * C[i, a] / (e[i] * e[i])
            residual[i + 1] -= C[i, a] * wR
            jacobian[i + 1, 0] += C[i, a] * w[a] * drift
            jacobian[0, i + 1] += slope * wR2
            for j in range(J):
                jacobian[i + 1, j + 1] -= C[i, a] * wR2 * c[j] * C[j, a] / (e[j] * e[j])
    companion = np.isfinite(par[4])
    rest = par[4] + 0.0 * k if companion else psi_p - lost
    for i in range(J):
        if companion:
            part = psi_n * c[i] / e[i]
            rest -= k * part
            z_k += part
            jacobian[0, i + 1] = k * k * part / e[i]
        else:
            rest -= c[i] * o2[i] / e[i]
            jacobian[0, i + 1] = k * (jacobian[0, i + 1] + c[i] * o2[i] / (e[i] * e[i]))
        residual[i + 1] = e[i] + k + (residual[i + 1] - o2[i]) / psi_n
        jacobian[i + 1, 0] = 1.0 + jacobian[i + 1, 0] / psi_n
        for j in range(J):
            jacobian[i + 1, j + 1] /= psi_n
        jacobian[i + 1, i + 1] += 1.0
    jacobian[0, 0] = rest - k * z_k
    residual[0] = k * rest
    return residual[0]


@njit
def solve_small(A, b, unit, n):
    """x of A x = b, in place of b, by elimination with row pivoting; A is destroyed.

    Row i and column i are taken in units of |unit[i]|: where unknowns differ by orders of magnitude
    pivots of unlike units lose as many digits. Returns whether A was regular.
    """
    for i in range(n):
        b[i] /= abs(unit[i])
        for j in range(n):
            A[i, j] *= abs(unit[j]) / abs(unit[i])
    for i in range(n):
        pivot = i
        for r in range(i + 1, n):
            if abs(A[r, i]) > abs(A[pivot, i]):
                pivot = r
        if not abs(A[pivot, i]) > 0.0:
            return False
        if pivot != i:
            for j in range(n):
                A[i, j], A[pivot, j] = A[pivot, j], A[i, j]
            b[i], b[pivot] = b[pivot], b[i]
        for r in range(i + 1, n):
            factor = A[r, i] / A[i, i]
            for j in range(i + 1, n):
                A[r, j] -= factor * A[i, j]
            b[r] -= factor * b[i]
    for i in range(n - 1, -1, -1):
        for j in range(i + 1, n):
            b[i] -= A[i, j] * b[j]
        b[i] /= A[i, i]
    for i in range(n):
        b[i] *= abs(unit[i])
    return True


@njit
def settle(k, e, par, c, C, o2, w):
    """Solve (1) for e at a real k, from the guess ``e``, which is overwritten.

    Returns (z - s_0^2, dz/dk, de/dk, status). CONVERGED means that the fixed point is stable (the
    matrix of (1) has a spectral radius below one); the point is physical if dz/dk > 0 as well.
    """
    J = e.size
    f = np.empty(J + 1)
    A = np.empty((J + 1, J + 1))
    B = np.empty((J, J))
    g = np.empty(J)
    step = np.inf
    for _ in range(200):
        z = system(k, e, par, c, C, o2, w, f, A)
        B[:] = A[1:, 1:]
        g[:] = f[1:]
        if not solve_small(B, g, e, J):
            return z, 0.0, g, NOT_CONVERGED
        size = 0.0
        for j in range(J):
            size = max(size, abs(g[j]) / abs(e[j]))
        if not size < 1e300:
            return z, 0.0, g, NOT_CONVERGED
        damp = 1.0 if size < 0.5 else 0.5 / size
        for j in range(J):
            e[j] -= damp * g[j]
        if step < 1e-9 or size == 0.0:
            break
        step = size
    else:
        return z, 0.0, g, NOT_CONVERGED
    z = system(k, e, par, c, C, o2, w, f, A)
    B[:] = A[1:, 1:]
    # 1 - M for a non-negative M: its spectral radius is below 1 if all pivots are positive
    for i in range(J):
        if not B[i, i] > 0.0:
            return z, 0.0, g, WRONG_BRANCH
        for r in range(i + 1, J):
            factor = B[r, i] / B[i, i]
            for j in range(i + 1, J):
                B[r, j] -= factor * B[i, j]
    B[:] = A[1:, 1:]
    g[:] = -A[1:, 0]
    solve_small(B, g, e, J)
    slope = A[0, 0]
    for j in range(J):
        slope += A[0, j + 1] * g[j]
    return z, slope, g, CONVERGED


@njit
def newton(z, k, e, par, c, C, o2, w):
    """Newton's method at complex z from the guess (k, e); ``e`` is overwritten.

    Returns (k, dk/dz, de/dz, relative size of the last step, iterations, status).
    """
    J = e.size
    f = np.empty(J + 1, np.complex128)
    A = np.empty((J + 1, J + 1), np.complex128)
    B = np.empty((J + 1, J + 1), np.complex128)
    slope = np.zeros(J + 1, np.complex128)
    x = np.empty(J + 1, np.complex128)
    step = np.inf
    for iteration in range(_MAX_NEWTON):
        system(k, e, par, c, C, o2, w, f, A)
        f[0] -= z - par[3]
        B[:] = A
        slope[:] = 0.0
        slope[0] = 1.0
        x[0] = k
        x[1:] = e
        regular = solve_small(B, slope, x, J + 1) and solve_small(A, f, x, J + 1)
        size = abs(f[0]) / abs(k)
        for j in range(J):
            size = max(size, abs(f[j + 1]) / abs(e[j]))
        if not regular or not size < 1e300:
            return k, slope[0], slope[1:], np.inf, iteration, NOT_CONVERGED
        if step < 1e-9 and size >= 0.5 * step:
            return k, slope[0], slope[1:], step, iteration, CONVERGED
        damp = 1.0 if size < 0.5 else 0.5 / size
        k = k - damp * f[0]
        for j in range(J):
            e[j] -= damp * f[j + 1]
        if step < 1e-9 or size < 1e-13:
            # the slopes of the solution: those of the last guess are as wrong as it was
            system(k, e, par, c, C, o2, w, f, A)
            slope[:] = 0.0
            slope[0] = 1.0
            status = CONVERGED if solve_small(A, slope, x, J + 1) else NOT_CONVERGED
            return k, slope[0], slope[1:], size, iteration + 1, status
        step = size
    return k, slope[0], slope[1:], step, _MAX_NEWTON, NOT_CONVERGED


@njit
def on_branch(k, e, c):
    """Im q > 0 and Im E_j > 0 (of groups that exist), up to the rounding of a real E_j."""
    if not k.imag > 0.0:
        return False
    for j in range(e.size):
        E = -e[j] / k
        if c[j] > 0.0 and not E.imag > -1e-12 * abs(E):
            return False
    return True


@njit
def spectral_bound(par, c, C, o2):
    """An upper bound of the spectrum of U, from the norms of its Gaussian factors."""
    psi_p, psi_n, b2, s2 = par[0], par[1], par[2], par[3]
    wide = (1.0 + np.sqrt(psi_p)) ** 2
    total = s2 + wide * b2
    for j in range(c.size):
        if c[j] > 0.0:
            psi = c[j] * psi_n
            data = c[j] * C[j].max() * (1.0 + 1.0 / np.sqrt(psi)) ** 2
            noise = c[j] * o2[j] * (1.0 + np.sqrt(psi_p / psi)) ** 2
            total += 2.0 * (wide * data + noise)
    return total


@njit
def continued(z, par, c, C, o2, w, e):
    """Solve at one z by continuation from z + iY, Y large, down a vertical line; fills ``e``.

    The predictor is the tangent; a step is accepted when Newton's correction of it is small and the
    certificate holds, and halved otherwise. A real z outside the support ends on a real solution,
    for which the certificate says nothing: there the last step must be a small correction.
    Returns (k, dk/dz, de/dz, last step, iterations, status).
    """
    J = e.size
    y = 20.0 * spectral_bound(par, c, C, o2) + abs(z)
    target = z.imag
    here = complex(z.real, target + y)
    k = (here - par[3]) / par[0]
    e[:] = -k
    k, dk, de, step, total, status = newton(here, k, e, par, c, C, o2, w)
    if status != CONVERGED or not on_branch(k, e, c):
        return k, dk, de, step, total, NOT_CONVERGED
    guess = np.empty(J, np.complex128)
    tangent = np.empty(J, np.complex128)
    shrink = 0.2
    for _ in range(_MAX_STEPS):
        last = y * shrink < 1e-7 * abs(here.real - par[3]) + 1e-300 or (
            target > 0.0 and y * shrink < 1e-3 * target
        )
        y_new = 0.0 if last else y * shrink
        there = complex(z.real, target + y_new)
        dz = there - here
        k_tangent = k + dk * dz
        tangent[:] = e + de * dz
        guess[:] = tangent
        k_new, dk_new, de_new, step, used, status = newton(
            there, k_tangent, guess, par, c, C, o2, w
        )
        total += used
        miss = abs(k_new - k_tangent) / abs(k_new)
        for j in range(J):
            miss = max(miss, abs(guess[j] - tangent[j]) / abs(guess[j]))
        good = status == CONVERGED and miss < 0.3
        if good and not on_branch(k_new, guess, c):
            # a real point outside the support: Im k has gone to zero with y
            good = target == 0.0 and last and abs(k_new.imag) < 1e-9 * abs(k_new) and miss < 1e-3
        if good:
            k, dk, de, here = k_new, dk_new, de_new, there
            e[:] = guess
            if last:
                return k, dk, de, step, total, CONVERGED
            y = y_new
            if miss < 0.05:
                shrink = max(0.05, 0.5 * shrink)
        elif last:
            # the target is close to a branch point: creep nearer before the last step
            if y * shrink < 1e-280:
                break
            y_creep = y * max(shrink, 0.3)
            there = complex(z.real, target + y_creep)
            dz = there - here
            guess[:] = e + de * dz
            k_new, dk_new, de_new, step, used, status = newton(
                there, k + dk * dz, guess, par, c, C, o2, w
            )
            total += used
            if status != CONVERGED or not on_branch(k_new, guess, c):
                break
            k, dk, de, here, y = k_new, dk_new, de_new, there, y_creep
            e[:] = guess
        else:
            shrink = np.sqrt(shrink)
            if shrink > 0.999:
                break
    return k, dk, de, step, total, WRONG_BRANCH


@njit
def hermite(s, here, slope, before, slope_before):
    """Cubic through two points and their slopes, a step s beyond the last one.

    s and the slopes are in units of the distance between the two points.
    """
    t = 1.0 + s  # from the point before
    return (
        before * ((1.0 + 2.0 * t) * s * s)
        + here * (t * t * (3.0 - 2.0 * t))
        + slope_before * (t * s * s)
        + slope * (t * t * s)
    )


@njit
def solve_path(z, par, c, C, o2, w):
    """Solve at the points of a path z, shape (n,), each warm-started from the two before it.

    A warm start that Newton's method or the certificate refuses is replaced by continuation from
    infinity, so that the result does not depend on the order of the points. Returns arrays
    k (n,), e (n, J), dk/dz, de/dz, residual (size of the last Newton step), status and the total
    iterations.
    """
    n, J = z.size, c.size
    k = np.empty(n, np.complex128)
    dk = np.empty(n, np.complex128)
    e = np.empty((n, J), np.complex128)
    de = np.empty((n, J), np.complex128)
    residual = np.empty(n)
    status = np.empty(n, np.int64)
    total = 0
    for i in range(n):
        done = False
        if i > 0 and status[i - 1] == CONVERGED:
            dz = z[i] - z[i - 1]
            if i > 1 and status[i - 2] == CONVERGED and abs(dz) < 2.0 * abs(z[i - 1] - z[i - 2]):
                h = z[i - 1] - z[i - 2]
                k_0 = hermite(dz / h, k[i - 1], h * dk[i - 1], k[i - 2], h * dk[i - 2])
                e[i] = hermite(dz / h, e[i - 1], h * de[i - 1], e[i - 2], h * de[i - 2])
            else:
                k_0 = k[i - 1] + dk[i - 1] * dz
                e[i] = e[i - 1] + de[i - 1] * dz
            if not k_0.imag > 0.0 or abs(k_0 - k[i - 1]) > 0.7 * abs(k[i - 1]):
                k_0 = k[i - 1]
                e[i] = e[i - 1]
            k[i], dk[i], de[i], residual[i], used, status[i] = newton(
                z[i], k_0, e[i], par, c, C, o2, w
            )
            total += used
            done = status[i] == CONVERGED and on_branch(k[i], e[i], c)
            # on the real axis a solution with a vanishing imaginary part proves nothing
            done = done and (z[i].imag > 0.0 or k[i].imag > 1e-9 * abs(k[i]))
        if not done:
            k[i], dk[i], de[i], residual[i], used, status[i] = continued(
                z[i], par, c, C, o2, w, e[i]
            )
            total += used
    return k, e, dk, de, residual, status, total
