"""Solutions of the Dyson equation of a pencil on the right branch, by continuation along paths.

The equation, its certificate and the arrays of a pencil are those of `dmft_rf.kernels.dyson`.
"""

from __future__ import annotations

import numpy as np

from dmft_rf.kernels._jit import njit
from dmft_rf.kernels.dyson import (
    CONVERGED,
    NOT_CONVERGED,
    WRONG_BRANCH,
    green,
    newton,
    on_branch,
    radius,
    read,
    slope,
    trace_slope,
)

_MAX_STEPS = 600
# Newton steps after which one more is the last: at points of the path, and at its end
_ON_THE_WAY = 1e-4
_FINAL = 1e-9


@njit
def turned(det, before):
    """By how much the phase of det L has turned in every cell."""
    return np.angle(det / before)


@njit
def start(z, A0, A1, cells, reads, r, terms, h, mass):
    """Solve at z + iY, Y so large that Tr[A1 G] is that of A^{-1}, sigma from 0 to 1.

    Returns (Y, g, G, det, Jacobian, phases turned since A, status).
    """
    C, K = A0.shape[0], A0.shape[1]
    G = np.zeros((C, K, K), np.complex128)
    det = np.zeros(C, np.complex128)
    zero = np.zeros(reads.shape[0], np.complex128)
    J = np.eye(reads.shape[0]) + 0.0j
    y = 1.0 + abs(z)
    phase = np.zeros(C)
    for _ in range(150):
        y *= 4.0
        here = complex(z.real, z.imag + y)
        if not green(here, 0.0, zero, A0, A1, cells, terms, h, G, det):
            continue
        bare = trace_slope(G, A1, cells, mass)
        g = read(G, cells, reads, r)
        sigma, width = 0.0, 1.0
        phase = np.zeros(C)
        good = False
        for _ in range(60):
            there = min(1.0, sigma + width)
            new, G_new, det_new, J_new, _, _, status = newton(
                here, there, g, _FINAL, A0, A1, cells, reads, r, terms, h
            )
            ok = status == CONVERGED
            if ok:
                ok = radius(G_new, there, cells, reads, r, terms, h) < 1.0
            turn = phase
            if ok:
                turn = turned(det_new, det)
                ok = np.abs(turn).max() < 1.0
            if ok:
                sigma, g, phase = there, new, phase + turn
                det = det_new
                J, G = J_new, G_new
                if sigma == 1.0:
                    good = True
                    break
            else:
                width *= 0.5
        if good and abs(trace_slope(G, A1, cells, mass) - bare) < 0.05 * abs(bare):
            return y, g, G, det, J, phase, CONVERGED
    return y, zero, G, det, J, phase, NOT_CONVERGED


@njit
def continued(z, A0, A1, cells, reads, r, terms, h, mass):
    """Solve at one z, Im z >= 0, from z + iY down a vertical line.

    The predictor is the tangent; a step is accepted when Newton's correction of it is small and
    the certificate holds, and shortened otherwise. A real z outside the support ends on a real
    solution, with a spectral radius below 1. Returns (g, phase of det L in every cell turned since
    A at z + iY, Y, last step, iterations, status).
    """
    target = z.imag
    y, g, G, det, J, phase, status = start(z, A0, A1, cells, reads, r, terms, h, mass)
    top = y
    total = 0
    step = np.inf
    if status != CONVERGED:
        return g, phase, top, step, total, NOT_CONVERGED
    here = complex(z.real, target + y)
    shrink = 0.2
    scale = 1e-7 * abs(z.real) if z.real != 0.0 else 1e-14 * y
    for _ in range(_MAX_STEPS):
        last = y * shrink < scale or (target > 0.0 and y * shrink < 1e-3 * target)
        y_new = 0.0 if last else y * shrink
        there = complex(z.real, target + y_new)
        tangent = g + slope(G, J, A1, cells, reads, r) * (there - here)
        small = _FINAL if last else _ON_THE_WAY
        new, G_new, det_new, J_new, step, used, status = newton(
            there, 1.0, tangent, small, A0, A1, cells, reads, r, terms, h
        )
        total += used
        good = status == CONVERGED
        miss, turn = 0.0, phase
        if good:
            largest = np.abs(new).max() if new.size > 0 else 1.0
            for u in range(new.size):
                miss = max(miss, abs(new[u] - tangent[u]) / (abs(new[u]) + 1e-4 * largest))
            turn = turned(det_new, det)
            good = miss < 0.3 and np.abs(turn).max() < 1.5
        if good and not on_branch(G_new, step, A1, cells, reads, r, terms, h, mass):
            # a real point outside the support: imaginary parts have gone to zero with y
            good = target == 0.0 and last and miss < 1e-3
            if good:
                for u in range(new.size):
                    size = abs(new[u]) + 1e-4 * largest
                    good = good and abs(new[u].imag) < (1e-9 + 10.0 * step) * size
                good = good and radius(G_new, 1.0, cells, reads, r, terms, h) < 1.0
        if good:
            g, G, J, det, here = new, G_new, J_new, det_new, there
            phase = phase + turn
            if last:
                return g, phase, top, step, total, CONVERGED
            y = y_new
            if miss < 0.05:
                shrink = max(0.05, 0.5 * shrink)
        elif last:
            # the target is close to a branch point: creep nearer before the last step
            if y * shrink < 1e-280:
                break
            scale = 0.1 * y * shrink
            target_scale = y * max(shrink, 0.3)
            there = complex(z.real, target + target_scale)
            tangent = g + slope(G, J, A1, cells, reads, r) * (there - here)
            new, G_new, det_new, J_new, step, used, status = newton(
                there, 1.0, tangent, _FINAL, A0, A1, cells, reads, r, terms, h
            )
            total += used
            if status != CONVERGED or not on_branch(
                G_new, step, A1, cells, reads, r, terms, h, mass
            ):
                break
            turn = turned(det_new, det)
            g, G, J, det, here, y = new, G_new, J_new, det_new, there, target_scale
            phase = phase + turn
        else:
            shrink = np.sqrt(shrink)
            if shrink > 0.999:
                break
    return g, phase, top, step, total, WRONG_BRANCH


@njit
def solve_path(z, A0, A1, cells, reads, r, terms, h, mass):
    """Solve at the points of a path z, shape (n,), each warm-started from the one before it.

    A warm start that Newton's method or the certificate refuses is replaced by continuation from
    infinity, so that the result does not depend on the order of the points. Returns g, shape
    (n, n_scalars), size of the last Newton steps, status and the total iterations.
    """
    n = z.size
    g = np.empty((n, reads.shape[0]), np.complex128)
    residual = np.empty(n)
    status = np.empty(n, np.int64)
    total = 0
    tangent = np.zeros(reads.shape[0], np.complex128)
    for i in range(n):
        done = False
        if i > 0 and status[i - 1] == CONVERGED:
            guess = g[i - 1] + tangent * (z[i] - z[i - 1])
            move = np.abs(guess - g[i - 1])
            if not np.all(move <= 0.7 * np.abs(g[i - 1]) + 1e-300):
                guess = g[i - 1].copy()
            new, G, _, J, residual[i], used, status[i] = newton(
                z[i], 1.0, guess, _FINAL, A0, A1, cells, reads, r, terms, h
            )
            total += used
            if status[i] == CONVERGED:
                done = on_branch(G, residual[i], A1, cells, reads, r, terms, h, mass)
                # on the real axis a solution with a vanishing imaginary part proves nothing
                t = trace_slope(G, A1, cells, mass)
                done = done and (z[i].imag > 0.0 or -t.imag > 1e-9 * abs(t))
            if done:
                g[i] = new
                tangent = slope(G, J, A1, cells, reads, r)
        if not done:
            g[i], _, _, residual[i], used, status[i] = continued(
                z[i], A0, A1, cells, reads, r, terms, h, mass
            )
            total += used
            tangent = np.zeros(reads.shape[0], np.complex128)
    return g, residual, status, total
