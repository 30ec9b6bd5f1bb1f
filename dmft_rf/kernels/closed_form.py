r"""The one-point equations of the feature matrix, solved by Newton's method on the right branch.

Everything is written in the two unknowns

    k = -1/(psi_p q),    q(z) = (1/p) Tr (U - z)^{-1},        and E(z),

because U - s^2 = Phi K Phi^T with Gaussian rows Phi, and k is the spectral parameter that K sees
(the Silverstein variable). With beta = b^2 + gamma^2 lambda/E, r = 1/(beta - k), v_n = v^2/psi_n
and < . > the average over the atoms lambda of Sigma,

    z = s^2 + psi_p k + v^2/E - k <beta r>                                    (1)
    0 = G = E - 1 + v_n/k - (gamma^2/psi_n) <lambda r>                        (2)

which is Theorem 3.1 of Bonnaire et al., arXiv:2505.17638, in other letters. The Jacobian is
exact, and its Schur complement is the slope of the inverse function on the curve G = 0,

    dz/dk = psi_p - <beta^2 r^2> - (psi_n k^2/E^2) G_k^2/G_E .                (3)

Branch. A second, smaller fixed point sits inside the first: the sample covariance C of the data
is seen at the spectral parameter c(k) = (k - b^2)(k - v_n)/(gamma^2 k), and its own variable
is kappa = E (b^2 - k)/gamma^2. For Im z > 0 both are generalised Marchenko-Pastur equations, which
have exactly one solution with

    Im k > 0    and    Im kappa * Im c <= 0                                    (4)

(Silverstein and Bai 1995); inside the support the same holds on the real axis
(Silverstein and Choi 1995). Condition (4) is therefore a certificate, and it is checked at every
solution: a Newton step that lands elsewhere is discarded, never returned.

Arrays: ``par`` holds (psi_p, psi_n, b^2, v^2, s^2, gamma^2), ``lam`` and ``w`` the atoms
and weights of Sigma, shape (n_atoms,).
"""

from __future__ import annotations

import numpy as np

from dmft_rf.kernels._jit import modulus, njit, njit_sums, reciprocal

CONVERGED = 0
NOT_CONVERGED = 1
WRONG_BRANCH = 2

_MAX_NEWTON = 40
# relative steps below which Newton's method has converged: their squares are far below rounding,
# or no larger than it, near an edge by the factor by which rounding is magnified there
_SMALL_STEP, _ENOUGH = 1e-9, 1e-8
_MAX_STEPS = 600


@njit_sums
def moments(x, y, lam, w):
    """<r>, <lambda r>, <r^2>, <lambda r^2>, <lambda^2 r^2> for complex r = 1/(x + lambda y)."""
    # powers of 2, so that |1/r|^2 is a float
    unit = 1.0
    if abs(x.real) + abs(x.imag) + (abs(y.real) + abs(y.imag)) * lam[-1] > 1e140:
        unit = 2.0**-500
    x_re, x_im, y_re, y_im = unit * x.real, unit * x.imag, unit * y.real, unit * y.imag
    r1_re, r1_im, l1_re, l1_im = 0.0, 0.0, 0.0, 0.0
    r2_re, r2_im, l2_re, l2_im, ll2_re, ll2_im = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for a in range(lam.size):
        re, im = x_re + y_re * lam[a], x_im + y_im * lam[a]
        per_size = 1.0 / (re * re + im * im)
        re, im = re * per_size, -im * per_size
        one_re, one_im = w[a] * re, w[a] * im
        r1_re += one_re
        r1_im += one_im
        l1_re += lam[a] * one_re
        l1_im += lam[a] * one_im
        two_re, two_im = one_re * re - one_im * im, one_re * im + one_im * re
        r2_re += two_re
        r2_im += two_im
        two_re, two_im = lam[a] * two_re, lam[a] * two_im
        l2_re += two_re
        l2_im += two_im
        ll2_re += lam[a] * two_re
        ll2_im += lam[a] * two_im
    square = unit * unit
    return (
        complex(unit * r1_re, unit * r1_im),
        complex(unit * l1_re, unit * l1_im),
        complex(square * r2_re, square * r2_im),
        complex(square * l2_re, square * l2_im),
        complex(square * ll2_re, square * ll2_im),
    )


@njit_sums
def real_moments(x, y, lam, w):
    """``moments`` for real x and y."""
    r1, l1, r2, l2, ll2 = 0.0, 0.0, 0.0, 0.0, 0.0
    for a in range(lam.size):
        r = 1.0 / (x + y * lam[a])
        one = w[a] * r
        r1 += one
        l1 += lam[a] * one
        two = one * r
        r2 += two
        l2 += lam[a] * two
        ll2 += lam[a] * lam[a] * two
    return r1, l1, r2, l2, ll2


@njit
def equations(k, per_k, per_E, E, par, averages):
    """z(k, E) - s^2, G(k, E) and their derivatives: (z - s^2, G, z_k, z_E, G_k, G_E).

    ``averages`` are <r>, <lambda r>, <r^2>, <lambda r^2>, <lambda^2 r^2>.
    """
    psi_p, psi_n, b2, v2, gamma2 = par[0], par[1], par[2], par[3], par[5]
    r1, l1, r2, l2, ll2 = averages
    y = gamma2 * per_E
    vn = v2 / psi_n
    # <beta r> = 1 + k <r>: the form without cancellation
    if modulus(k * r1) < 0.5:
        z = (psi_p - 1.0) * k - k * k * r1 + v2 * per_E
        z_k = (psi_p - 1.0) - 2.0 * k * r1 - k * k * r2
    else:
        z = psi_p * k - k * (b2 * r1 + y * l1) + v2 * per_E
        z_k = psi_p - (b2 * b2 * r2 + 2.0 * b2 * y * l2 + y * y * ll2)
    G = E - 1.0 + vn * per_k - gamma2 / psi_n * l1
    G_k = -vn * per_k * per_k - gamma2 / psi_n * l2
    z_E = psi_n * (k * per_E) * (k * per_E) * G_k
    G_E = 1.0 - y * y / psi_n * ll2
    return z, G, z_k, z_E, G_k, G_E


@njit
def system(k, E, par, lam, w):
    """``equations`` at complex k and E, and then 1/k and 1/E."""
    per_k, per_E = reciprocal(k), reciprocal(E)
    averages = moments(par[2] - k, par[5] * per_E, lam, w)
    z, G, z_k, z_E, G_k, G_E = equations(k, per_k, per_E, E, par, averages)
    return z, G, z_k, z_E, G_k, G_E, per_k, per_E


@njit
def outside(k, kappa, c, par, lam, w):
    """z - s^2 and dz/dk at a real point (k, kappa) outside the support, with c = c(k).

    E comes from whichever of its two forms, kappa gamma^2/(b^2 - k) and
    -(1 - v_n/k) kappa/c, is farther from 0/0. A point with G_E <= 0 lies on an unphysical
    branch and gets the slope -inf.
    """
    b2, gamma2 = par[2], par[5]
    vn = par[3] / par[1]
    far = abs(b2 - k) >= abs(k - vn)
    E = kappa * gamma2 / (b2 - k) if far else -(1.0 - vn / k) * kappa / c
    averages = real_moments(b2 - k, gamma2 / E, lam, w)
    z, _, z_k, z_E, G_k, G_E = equations(k, 1.0 / k, 1.0 / E, E, par, averages)
    if not G_E > 0.0:
        return z, -np.inf
    return z, z_k - z_E * G_k / G_E


@njit
def family(c, sign, par):
    """k_+ (sign > 0) or k_-, the two eigenvalues of K that belong to c >= 0.

    k_+ k_- = b^2 v_n and k_+ + k_- = b^2 + v_n + gamma^2 c.
    """
    b2, vn = par[2], par[3] / par[1]
    g = par[5] * max(c, 0.0)
    root = np.sqrt((b2 - vn) ** 2 + g * (g + 2.0 * (b2 + vn)))
    k_plus = 0.5 * (b2 + vn + g + root)
    return k_plus if sign > 0 else b2 * vn / k_plus


@njit
def outside_on(kappa, c, sign, par, lam, w):
    """``outside`` on one of the two families, at k_+(c) or k_-(c) with c = -zeta(kappa)."""
    return outside(family(c, sign, par), kappa, c, par, lam, w)


@njit
def on_branch(k, E, par):
    """Condition (4), with the rounding of a number that should be real left out."""
    b2, gamma2 = par[2], par[5]
    vn = par[3] / par[1]
    if not k.imag > 0.0:
        return False
    kappa = E * (b2 - k) / gamma2
    c = (k - b2) * (k - vn) * reciprocal(gamma2 * k)
    small = 1e-9
    if abs(c.imag) <= small * modulus(c) or abs(kappa.imag) <= small * modulus(kappa):
        return True
    return kappa.imag * c.imag < 0.0


@njit
def newton(z, k, E, par, lam, w, checked):
    """Newton's method for (1) and (2) at complex z from the guess (k, E).

    Returns (k, E, dk/dz, dE/dz, relative size of the last step, iterations, status). What remains
    after a small step is rounding. Where the solution is ``checked`` one more step shows it, and
    the slopes are those of the solution; else they are those of the last guess.
    """
    step = np.inf
    for iteration in range(_MAX_NEWTON):
        zz, G, z_k, z_E, G_k, G_E, per_k, per_E = system(k, E, par, lam, w)
        per_det = reciprocal(z_k * G_E - z_E * G_k)
        f = zz - (z - par[4])
        dk = (z_E * G - G_E * f) * per_det
        dE = (G_k * f - z_k * G) * per_det
        of_k, of_E = dk * per_k, dE * per_E
        size = np.sqrt(
            max(
                of_k.real * of_k.real + of_k.imag * of_k.imag,
                of_E.real * of_E.real + of_E.imag * of_E.imag,
            )
        )
        if not size < 1e300:
            return k, E, G_E * per_det, -G_k * per_det, np.inf, iteration, NOT_CONVERGED
        if step < _SMALL_STEP and size >= 0.5 * step:
            return k, E, G_E * per_det, -G_k * per_det, step, iteration, CONVERGED
        damp = 1.0 if size < 0.5 else 0.5 / size
        k = k + damp * dk
        E = E + damp * dE
        if not checked and size < _ENOUGH:
            return k, E, G_E * per_det, -G_k * per_det, size, iteration + 1, CONVERGED
        if step < _SMALL_STEP or size < 1e-13:
            # the slopes of the solution: those of the last guess are as wrong as it was
            _, _, z_k, z_E, G_k, G_E, _, _ = system(k, E, par, lam, w)
            per_det = reciprocal(z_k * G_E - z_E * G_k)
            return k, E, G_E * per_det, -G_k * per_det, size, iteration + 1, CONVERGED
        step = size
    return k, E, G_E * per_det, -G_k * per_det, step, _MAX_NEWTON, NOT_CONVERGED


@njit
def spectral_bound(par, lam):
    """An upper bound of the spectrum of U, from the norms of its Gaussian factors."""
    psi_p, psi_n, b2, v2, s2, gamma2 = par[0], par[1], par[2], par[3], par[4], par[5]
    wide = (1.0 + np.sqrt(psi_p)) ** 2
    data = gamma2 * lam[-1] * (1.0 + 1.0 / np.sqrt(psi_n)) ** 2
    noise = v2 * (1.0 + np.sqrt(psi_p / psi_n)) ** 2
    return s2 + wide * (b2 + data) + noise + 2.0 * np.sqrt(wide * data * noise)


@njit
def continued(z, par, lam, w):
    """Solve at one z by continuation from z + iY, Y large, down a vertical line.

    The predictor is the tangent; a step is accepted when Newton's correction of it is small and
    condition (4) holds, and halved otherwise. A real z outside the support ends on a real solution,
    for which (4) says nothing: there the last step must be a small correction of the tangent.
    Returns (k, E, dk/dz, dE/dz, last step, iterations, status).
    """
    y = 20.0 * spectral_bound(par, lam) + abs(z)
    target = z.imag
    here = complex(z.real, target + y)
    k = (here - par[4]) / par[0]
    E = 1.0 + 0.0j
    k, E, dk, dE, step, total, status = newton(here, k, E, par, lam, w, True)
    if status != CONVERGED or not on_branch(k, E, par):
        return k, E, dk, dE, step, total, NOT_CONVERGED
    shrink = 0.2
    for _ in range(_MAX_STEPS):
        last = y * shrink < 1e-7 * abs(here.real - par[4]) + 1e-300 or (
            target > 0.0 and y * shrink < 1e-3 * target
        )
        y_new = 0.0 if last else y * shrink
        there = complex(z.real, target + y_new)
        dz = there - here
        k_tangent = k + dk * dz
        E_tangent = E + dE * dz
        k_new, E_new, dk_new, dE_new, step, used, status = newton(
            there, k_tangent, E_tangent, par, lam, w, True
        )
        total += used
        miss = max(abs(k_new - k_tangent) / abs(k_new), abs(E_new - E_tangent) / abs(E_new))
        good = status == CONVERGED and miss < 0.3
        if good and not on_branch(k_new, E_new, par):
            # a real point outside the support: Im k has gone to zero with y
            good = target == 0.0 and last and abs(k_new.imag) < 1e-9 * abs(k_new) and miss < 1e-3
        if good:
            k, E, dk, dE, here = k_new, E_new, dk_new, dE_new, there
            if last:
                return k, E, dk, dE, step, total, CONVERGED
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
            k_new, E_new, dk_new, dE_new, step, used, status = newton(
                there, k + dk * dz, E + dE * dz, par, lam, w, True
            )
            total += used
            if status != CONVERGED or not on_branch(k_new, E_new, par):
                break
            k, E, dk, dE, here, y = k_new, E_new, dk_new, dE_new, there, y_creep
        else:
            shrink = np.sqrt(shrink)
            if shrink > 0.999:
                break
    return k, E, dk, dE, step, total, WRONG_BRANCH


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
def solve_path(z, par, lam, w, checked):
    """Solve at the points of a path z, shape (n,), each warm-started from the two before it.

    A warm start that Newton's method or condition (4) refuses is replaced by continuation from
    infinity, so that the result does not depend on the order of the points. Returns arrays
    k, E, dk/dz, dE/dz, residual (size of the last Newton step), status and the total iterations;
    ``checked`` as in ``newton``.
    """
    n = z.size
    k = np.empty(n, np.complex128)
    E = np.empty(n, np.complex128)
    dk = np.empty(n, np.complex128)
    dE = np.empty(n, np.complex128)
    residual = np.empty(n)
    status = np.empty(n, np.int64)
    total = 0
    for i in range(n):
        done = False
        if i > 0 and status[i - 1] == CONVERGED:
            dz = z[i] - z[i - 1]
            if (
                i > 1
                and status[i - 2] == CONVERGED
                and modulus(dz) < 2.0 * modulus(z[i - 1] - z[i - 2])
            ):
                h = z[i - 1] - z[i - 2]
                s = dz * reciprocal(h)
                k_0 = hermite(s, k[i - 1], h * dk[i - 1], k[i - 2], h * dk[i - 2])
                E_0 = hermite(s, E[i - 1], h * dE[i - 1], E[i - 2], h * dE[i - 2])
            else:
                k_0 = k[i - 1] + dk[i - 1] * dz
                E_0 = E[i - 1] + dE[i - 1] * dz
            if not k_0.imag > 0.0 or modulus(k_0 - k[i - 1]) > 0.7 * modulus(k[i - 1]):
                k_0, E_0 = k[i - 1], E[i - 1]
            k[i], E[i], dk[i], dE[i], residual[i], used, status[i] = newton(
                z[i], k_0, E_0, par, lam, w, checked
            )
            total += used
            done = status[i] == CONVERGED and on_branch(k[i], E[i], par)
            # on the real axis a solution with a vanishing imaginary part proves nothing
            done = done and (z[i].imag > 0.0 or k[i].imag > 1e-9 * modulus(k[i]))
        if not done:
            k[i], E[i], dk[i], dE[i], residual[i], used, status[i] = continued(z[i], par, lam, w)
            total += used
    return k, E, dk, dE, residual, status, total
