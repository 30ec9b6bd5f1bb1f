r"""What the nodes of a contour miss of the losses of gradient flow at a few times, in one call.

The error of each sum over the nodes is the larger of what the Fourier coefficients of its terms
show and of what those of a majorant do (`dmft_rf.curves.majorants` says why and which, and how the
few times are chosen that stand for all). The rounding of the double sum is bounded at the same
times.
"""

from __future__ import annotations

import numpy as np

from dmft_rf.kernels import flow_filter
from dmft_rf.kernels._jit import njit, njit_fused
from dmft_rf.kernels.flow_filter import FREE, TILE, decayed

#: sums over the nodes: (1 - x h)^2/x, h^2, h and the double one of h and h, and its rounding
RESIDUAL, SQUARE, MEAN, PAIRS, ROUNDED = range(5)

_LEFT_RE, _LEFT_IM = flow_filter.LEFT_RE, flow_filter.LEFT_IM
_GONE_RE, _GONE_IM = flow_filter.GONE_RE, flow_filter.GONE_IM
H_RE, H_IM = FREE * TILE, (FREE + 1) * TILE
SQUARE_RE, SQUARE_IM = (FREE + 2) * TILE, (FREE + 3) * TILE
#: fields of the work space that a caller may use
FIELDS = FREE + 4
#: of the squares of 1 - x h
LEFT_RE, LEFT_IM = _LEFT_RE, _LEFT_IM


@njit_fused
def filtered(z, decay, work, bits):
    """h, h^2 and (1 - x h)^2 at a node, in fields of the work space, from the scales in it."""
    y = z + decay
    decayed(y, work, bits)
    size = y.real * y.real + y.imag * y.imag
    per_re, per_im = y.real / size, -y.imag / size
    if decay > 0.0:
        # 1 - x h = (omega + x u)/(x + omega)
        for t in range(TILE):
            left_re, left_im = work[_LEFT_RE + t], work[_LEFT_IM + t]
            top_re = decay + (z.real * left_re - z.imag * left_im)
            top_im = z.real * left_im + z.imag * left_re
            work[_LEFT_RE + t] = top_re * per_re - top_im * per_im
            work[_LEFT_IM + t] = top_re * per_im + top_im * per_re
    for t in range(TILE):
        gone_re, gone_im = work[_GONE_RE + t], work[_GONE_IM + t]
        h_re = gone_re * per_re - gone_im * per_im
        h_im = gone_re * per_im + gone_im * per_re
        left_re, left_im = work[_LEFT_RE + t], work[_LEFT_IM + t]
        work[H_RE + t] = h_re
        work[H_IM + t] = h_im
        work[SQUARE_RE + t] = h_re * h_re - h_im * h_im
        work[SQUARE_IM + t] = 2.0 * (h_re * h_im)
        work[LEFT_RE + t] = left_re * left_re - left_im * left_im
        work[LEFT_IM + t] = 2.0 * (left_re * left_im)


@njit
def settled(z, decay, work):
    """As ``filtered`` at tau = inf, in all times."""
    y = z + decay
    h, left = 1.0 / y, decay / y
    square, left = h * h, left * left
    for t in range(TILE):
        work[H_RE + t], work[H_IM + t] = h.real, h.imag
        work[SQUARE_RE + t], work[SQUARE_IM + t] = square.real, square.imag
        work[LEFT_RE + t], work[LEFT_IM + t] = left.real, left.imag


@njit_fused
def terms(factor, field, work, re, im, first):
    """``factor`` times the complex field of the work space that begins at ``field``."""
    x, y = factor.real, factor.imag
    for t in range(TILE):
        f_re, f_im = work[field + t], work[field + TILE + t]
        re[first + t] = x * f_re - y * f_im
        im[first + t] = x * f_im + y * f_re


@njit_fused
def _majorants(z, weight, square, mean, a, most, re, im, u_re, u_im, first):
    """Terms of the majorants of h^2 and h at a node, and the weighted one of h."""
    x, y = z.real, z.imag
    for t in range(TILE):
        # 1/(z^2 + a^2)
        bottom_re = (x * x - y * y) + a[t] * a[t]
        bottom_im = 2.0 * x * y
        size = 1.0 / (bottom_re * bottom_re + bottom_im * bottom_im)
        u_re[t] = bottom_re * size
        u_im[t] = -bottom_im * size
    for t in range(TILE):
        soft_re, soft_im = u_re[t], u_im[t]
        scale = 1.5 * most[t] * (2.0 + most[t])
        re[first + TILE + t] = scale * (square.real * soft_re - square.imag * soft_im)
        im[first + TILE + t] = scale * (square.real * soft_im + square.imag * soft_re)
    for t in range(TILE):
        soft_re, soft_im = u_re[t], u_im[t]
        f_re = 1.5 * most[t] * ((x + a[t]) * soft_re - y * soft_im)
        f_im = 1.5 * most[t] * ((x + a[t]) * soft_im + y * soft_re)
        u_re[t] = weight.real * f_re - weight.imag * f_im
        u_im[t] = weight.real * f_im + weight.imag * f_re
        re[first + 2 * TILE + t] = mean.real * f_re - mean.imag * f_im
        im[first + 2 * TILE + t] = mean.real * f_im + mean.imag * f_re


@njit
def _read(cosines, sines, re, im):
    """Error of the trapezoidal rule from terms (N, n), as in `contour_sums.truncation`."""
    even = np.dot(cosines, re)
    odd = np.dot(sines, im)
    count = re.shape[1]
    plus = np.zeros(count)
    minus = np.zeros(count)
    for i in range(even.shape[0]):
        for t in range(count):
            plus[t] = max(plus[t], abs(even[i, t] + odd[i, t]))
        for t in range(count):
            minus[t] = max(minus[t], abs(even[i, t] - odd[i, t]))
    return 8.0 * (plus + minus)


@njit
def _rounded(u, sizes, noise):
    """Rounding of half the double integral of each of the first `TILE` columns of u."""
    n = noise.size
    first = np.empty((n, TILE))
    for j in range(n):
        for t in range(TILE):
            x, y = u[2 * j, t], u[2 * j + 1, t]
            first[j, t] = np.sqrt(x * x + y * y)
    scale = first.max()
    if not scale > 0.0:
        scale = 1.0
    # single precision is enough for a bound, of numbers that are brought near 1
    most = sizes.max()
    second = np.dot((sizes / most).astype(np.float32), (first / scale).astype(np.float32))
    sums = np.zeros(TILE)
    for j in range(n):
        own = noise[j] * most * scale
        for t in range(TILE):
            one = own * second[j, t] * first[j, t]
            sums[t] += one * one
    return np.sqrt(sums)


@njit
def truncations(tau, decay, rate, at):
    """Error of the trapezoidal rule in each sum at the times ``tau``, and rounding, (5, n).

    Of the last two halves. ``at`` is that of `dmft_rf.kernels.fused_losses`.
    """
    weights, S_VV, S_VW, _, _, noise, form, size, readings, z = at
    n, count = z.size, tau.size
    half = (readings.shape[0] - 1) // 2
    cosines = np.empty((half, n))
    sines = np.empty((half, n))
    for i in range(half):
        for j in range(n):
            cosines[i, j] = readings[1 + i, 2 * j]
            sines[i, j] = readings[1 + i, 2 * j + 1]
    found = np.empty((5, count))
    # the majorant of (1 - x h)^2 is the same at every node
    re = np.empty((n, 1))
    im = np.empty((n, 1))
    for j in range(n):
        over_z = weights[j] * S_VV[j] / z[j]
        re[j, 0], im[j, 0] = over_z.real, over_z.imag
    one = _read(cosines, sines, re, im)[0]
    work = np.empty(FIELDS * TILE)
    bits = work.view(np.int64)
    re = np.empty((n, 7 * TILE))
    im = np.empty((n, 7 * TILE))
    u = np.empty((2 * n, 2 * TILE))
    a = np.empty(TILE)
    most = np.empty(TILE)
    for start in range(0, count, TILE):
        some = min(TILE, count - start)
        for t in range(TILE):
            time = tau[start + min(t, some - 1)]
            work[t] = -rate * time
            moving = 0.0 < time < np.inf
            a[t] = 1.0 / (rate * time) if moving else 1.0
            most[t] = np.exp(-rate * decay * time) if moving else 0.0
        for j in range(n):
            square, mean = weights[j] * S_VV[j], weights[j] * S_VW[j]
            filtered(z[j], decay, work, bits)
            terms(square / z[j], LEFT_RE, work, re[j], im[j], 0)
            terms(square, SQUARE_RE, work, re[j], im[j], TILE)
            terms(mean, H_RE, work, re[j], im[j], 2 * TILE)
            terms(weights[j], H_RE, work, u[2 * j], u[2 * j + 1], 0)
            _majorants(
                z[j], weights[j], square, mean, a, most,
                re[j], im[j], u[2 * j, TILE:], u[2 * j + 1, TILE:], 3 * TILE,
            )  # fmt: skip
        v = np.dot(form.T, u)
        for j in range(n):
            for part in range(2):
                first, here = (3 + 3 * part) * TILE, part * TILE
                for t in range(TILE):
                    x, y = u[2 * j, here + t], u[2 * j + 1, here + t]
                    re[j, first + t] = v[2 * j, here + t] * x - v[2 * j + 1, here + t] * y
                    im[j, first + t] = v[2 * j, here + t] * y + v[2 * j + 1, here + t] * x
        error = _read(cosines, sines, re, im)
        rounded = _rounded(u, size, noise)
        for t in range(some):
            found[ROUNDED, start + t] = rounded[t]
            left = most[t] * most[t] + (2.0 * most[t] if decay > 0.0 else 0.0)
            found[RESIDUAL, start + t] = max(error[t], one * left)
            for s in range(1, 4):
                found[s, start + t] = max(error[s * TILE + t], error[(3 + s) * TILE + t])
    return found
