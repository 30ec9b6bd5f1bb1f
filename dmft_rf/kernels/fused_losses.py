r"""Losses of gradient flow at any number of times from one solved model, in one call.

The sums and errors are those of `dmft_rf.curves.losses` on `dmft_rf.curves.nodes.Nodes`, off a hard
edge and from A = 0; there stands what they are. Two things are done otherwise. `TILE` times lie
side by side, in the vector registers of the processor. And where all times of a tile lie so late
that e^{-alpha x tau} is nothing at a node (e^{-45} or less), the filter is 1/x there: what such
nodes add to the sums, and to a quadratic form beside the others, is the same at all of them.

Arguments come in four tuples:

    at      weights, S_VV, S_VW, signal (N, n_atoms), cancelled, noise, form (2 N, 2 N),
            size (N, N), readings, z: what `dmft_rf.kernels.fused_nodes` returns
    known   1 - S_VV[1/x], its rounding, and the defect
    model   rate, Delta_t, N (what S_VV[h^2] weighs), floor, a = mu_1/Gamma_t
    law     Sigma_t at the atoms, and their weights
"""

from __future__ import annotations

import math

import numpy as np

from dmft_rf.kernels._jit import njit, njit_fused
from dmft_rf.kernels.flow_filter import TILE
from dmft_rf.kernels.fused_errors import (
    FIELDS,
    H_IM,
    H_RE,
    LEFT_IM,
    LEFT_RE,
    MEAN,
    PAIRS,
    RESIDUAL,
    ROUNDED,
    SQUARE,
    SQUARE_IM,
    SQUARE_RE,
    filtered,
    settled,
    terms,
    truncations,
)

#: rounding of a sum of products, as `dmft_rf.numerics.estimate.ROUNDING`
ROUNDING = 12.0 * 2.220446049250313e-16
#: rows of what is returned, values and errors
TRAIN, SCORE, TEST, EMPIRICAL, NORM = range(5)

#: losses below this fraction of the untrained network's are held to an absolute accuracy
SMALL = 1e-3

# e^{-45} is less than a thousandth of the rounding of 1
_GONE = 45.0
# sums of a tile: the values of three, the squares of their roundings, the double one, two of atoms
_VALUE_0, _VALUE_1, _VALUE_2, _LOST_0, _LOST_1, _LOST_2, _QUADRATIC, _BIAS, _SLOPE = (
    i * TILE for i in range(9)
)
_SUMS = 9
# columns of a quadratic form that are done at once: with two rows, what the registers hold
_COLUMNS = 4
# fewer times than these are bounded one by one, as in `dmft_rf.curves.majorants`
_ALL = 32
# binary exponents of floats, shifted to begin with that of 0; inf is the last
_LEAST, _OCTAVES = 1080, 2110


@njit
def few_of(tau):
    """As `majorants.Few.of`: kept, low and high."""
    count = tau.size
    each = np.arange(count)
    if count <= _ALL:
        return each, each, each
    last = np.full(_OCTAVES, -1)
    octave = np.empty(count, np.int64)
    least = 0
    for i in range(count):
        time = tau[i]
        own = math.frexp(time)[1] + _LEAST
        octave[i] = 0 if time == 0.0 else (_OCTAVES - 1 if time == np.inf else own)
        if last[octave[i]] < 0 or time >= tau[last[octave[i]]]:
            last[octave[i]] = i
        if time < tau[least]:
            least = i
    kept = np.empty(count + 1, np.int64)
    kept[0] = least
    place = np.empty(_OCTAVES, np.int64)  # of an octave's last time
    many = 1
    for o in range(_OCTAVES):
        if last[o] >= 0:
            if tau[last[o]] > tau[least]:
                kept[many] = last[o]
                many += 1
            place[o] = many - 1
    if 2 * many > count:
        return each, each, each
    low = np.empty(count, np.int64)
    high = np.empty(count, np.int64)
    for i in range(count):
        high[i] = place[octave[i]]
        alone = i == kept[high[i]] or tau[i] == tau[least] or tau[i] == np.inf
        if tau[i] == tau[least]:
            high[i] = 0
        low[i] = high[i] if alone else high[i] - 1
    return kept[:many], low, high


@njit
def relative_error(found, untrained):
    """As `LearningCurves.relative_error`, of what `flow_losses` found; nan if one is."""
    worst = 0.0
    for name, start in ((TRAIN, 1.0), (TEST, 1.0), (SCORE, untrained)):
        for i in range(found.shape[2]):
            relative = found[1, name, i] / max(abs(found[0, name, i]), SMALL * start)
            if not relative <= worst:
                worst = relative
    return worst


@njit_fused
def _added(factors, rounding, work, sums):
    """Add the terms of one node to the sums of a tile, and to the squares of their roundings."""
    x_0, y_0 = factors[0].real, factors[0].imag
    x_1, y_1 = factors[1].real, factors[1].imag
    x_2, y_2 = factors[2].real, factors[2].imag
    lost_0, lost_1, lost_2 = rounding
    for t in range(TILE):
        left_re, left_im = work[LEFT_RE + t], work[LEFT_IM + t]
        sums[_VALUE_0 + t] += x_0 * left_re - y_0 * left_im
        sums[_LOST_0 + t] += lost_0 * (left_re * left_re + left_im * left_im)
    for t in range(TILE):
        h_re, h_im = work[H_RE + t], work[H_IM + t]
        square_re, square_im = work[SQUARE_RE + t], work[SQUARE_IM + t]
        sums[_VALUE_1 + t] += x_1 * square_re - y_1 * square_im
        sums[_VALUE_2 + t] += x_2 * h_re - y_2 * h_im
        size = h_re * h_re + h_im * h_im
        sums[_LOST_1 + t] += lost_1 * (size * size)
        sums[_LOST_2 + t] += lost_2 * size


@njit_fused
def _quadratic(u, form, last, count, rest, sums, rows):
    """Half the double integral of the columns of u, into the sums.

    Parameters
    ----------
    u : (2 N TILE,) array
        Rows (Re u_1, -Im u_1, Re u_2, ...), one after the other.
    last : int
        How many rows change from column to column; the others are the same in all.
    count : int
        2 N.
    rest : (2 N,) array
        Work space.
    rows : (2 TILE,) array
        Work space.
    """
    for r in range(count):
        rest[r] = 0.0
    for k in range(last, count):
        value = u[k * TILE] if k % 2 == 0 else -u[k * TILE]
        for r in range(count):
            rest[r] += value * form[k, r]
    constant = 0.0
    for r in range(last, count):
        constant += u[r * TILE] * rest[r]
    for t in range(TILE):
        sums[_QUADRATIC + t] = constant
    for r in range(0, last, 2):
        for t in range(TILE):
            rows[t] = rest[r]
            rows[TILE + t] = -rest[r + 1]
        k = 0
        while k + _COLUMNS <= r:
            p_0, p_1, p_2, p_3 = form[r, k], form[r, k + 1], form[r, k + 2], form[r, k + 3]
            q_0, q_1, q_2, q_3 = (
                form[r + 1, k], form[r + 1, k + 1], form[r + 1, k + 2], form[r + 1, k + 3],
            )  # fmt: skip
            at = k * TILE
            for t in range(TILE):
                u_0, u_1 = u[at + t], u[at + TILE + t]
                u_2, u_3 = u[at + 2 * TILE + t], u[at + 3 * TILE + t]
                rows[t] += (p_0 * u_0 + p_1 * u_1) + (p_2 * u_2 + p_3 * u_3)
                rows[TILE + t] += (q_0 * u_0 + q_1 * u_1) + (q_2 * u_2 + q_3 * u_3)
            k += _COLUMNS
        while k < r:
            p_0, p_1, q_0, q_1 = form[r, k], form[r, k + 1], form[r + 1, k], form[r + 1, k + 1]
            at = k * TILE
            for t in range(TILE):
                u_0, u_1 = u[at + t], u[at + TILE + t]
                rows[t] += p_0 * u_0 + p_1 * u_1
                rows[TILE + t] += q_0 * u_0 + q_1 * u_1
            k += 2
        own, both, other = form[r, r], form[r + 1, r], form[r + 1, r + 1]
        at = r * TILE
        for t in range(TILE):
            x, y = u[at + t], u[at + TILE + t]
            first = 2.0 * rows[t] + own * x
            second = 2.0 * (rows[TILE + t] + both * x) + other * y
            sums[_QUADRATIC + t] += x * first - y * second


@njit
def flow_losses(tau, decay, at, known, model, law):
    """Train loss, score error, test loss, empirical error, norm and their errors, (2, 5, n_tau).

    Parameters
    ----------
    tau : (n_tau,) array
        Ascending times are done fastest; any order gives the same.
    decay : float
        Weight decay.
    """
    weights, S_VV, S_VW, signal, cancelled, noise, form, _, _, z = at
    rate, Delta_t, _, _, linear = model
    root = np.sqrt(Delta_t)
    n, count, n_atoms = z.size, tau.size, law[1].size
    out = np.empty((2, 5, count))
    kept, low, high = few_of(tau)
    bound = truncations(tau[kept], decay, rate, at)
    means = np.empty((n_atoms, 2 * n))
    for j in range(n):
        for a in range(n_atoms):
            means[a, 2 * j] = 2.0 * signal[j, a].real
            means[a, 2 * j + 1] = 2.0 * signal[j, a].imag
    factors = np.empty((n, 3), np.complex128)
    lost = np.empty((n, 3))
    for j in range(n):
        square = weights[j] * S_VV[j]
        factors[j, 0], factors[j, 1] = square / z[j], square
        factors[j, 2] = weights[j] * S_VW[j]
        for i in range(3):
            lost[j, i] = (cancelled[j] * noise[j] * abs(factors[j, i])) ** 2
    work = np.empty(FIELDS * TILE)
    bits = work.view(np.int64)
    sums = np.empty(_SUMS * TILE)
    u = np.empty((2 * n, TILE))
    flat = u.reshape(-1)
    rest = np.empty(2 * n)
    rows = np.empty(2 * TILE)
    for start in range(0, count, TILE):
        some = min(TILE, count - start)
        earliest = np.inf
        for t in range(TILE):
            time = tau[start + min(t, some - 1)]
            earliest = min(earliest, time)
            work[t] = -rate * time
        sums[:] = 0.0
        last = n
        while last > 0 and (z[last - 1].real + decay) * rate * earliest > _GONE:
            last -= 1
        for j in range(n):
            if j < last:
                filtered(z[j], decay, work, bits)
            else:
                settled(z[j], decay, work)
            _added(factors[j], lost[j], work, sums)
            terms(weights[j], H_RE, work, u[2 * j], u[2 * j + 1], 0)
            for t in range(TILE):
                u[2 * j + 1, t] = -u[2 * j + 1, t]
        _quadratic(flat, form, 2 * last, 2 * n, rest, sums, rows)
        learned = np.dot(means, u)
        for a in range(n_atoms):
            gain, weight = linear * law[0][a], law[1][a]
            squared = weight / law[0][a]
            for t in range(TILE):
                missing = learned[a, t] * gain - root
                sums[_BIAS + t] += (missing * missing) * squared
                sums[_SLOPE + t] += abs(missing * learned[a, t]) * weight
        for t in range(some):
            _finish(t, start + t, sums, bound, low, high, known, model, out)
    return out


@njit
def _finish(t, i, sums, bound, low, high, known, model, out):
    """The losses at one time from its sums."""
    limit, limit_error, defect = known
    _, Delta_t, learned_noise, floor, linear = model
    before, after = low[i], high[i]
    # integral of (1 - x h)^2/x, and L_train
    residual = 2.0 * sums[_VALUE_0 + t]
    error = max(bound[RESIDUAL, before], bound[RESIDUAL, after])
    error += 6.0 * np.sqrt(sums[_LOST_0 + t]) + 2.0 * defect * abs(residual)
    train = limit + residual
    train_error = limit_error + error + ROUNDING * (abs(limit) + abs(residual))
    norm = 2.0 * sums[_VALUE_1 + t]
    norm_error = max(bound[SQUARE, before], bound[SQUARE, after])
    norm_error += 6.0 * np.sqrt(sums[_LOST_1 + t]) + 2.0 * defect * abs(norm)
    mean = 2.0 * sums[_VALUE_2 + t]
    mean_error = max(bound[MEAN, before], bound[MEAN, after])
    mean_error += 6.0 * np.sqrt(sums[_LOST_2 + t]) + 2.0 * defect * abs(mean)
    variance = 2.0 * sums[_QUADRATIC + t]
    variance_error = 2.0 * max(bound[PAIRS, before], bound[PAIRS, after])
    variance_error += 12.0 * max(bound[ROUNDED, before], bound[ROUNDED, after])
    variance_error += 4.0 * defect * abs(variance)
    relative = mean_error / (abs(mean) if mean != 0.0 else 1.0)
    bias = sums[_BIAS + t]
    bias_error = 2.0 * abs(linear) * sums[_SLOPE + t] * relative + ROUNDING * bias
    score = bias + learned_noise * norm + variance
    score_error = bias_error + learned_noise * norm_error + variance_error
    score_error += ROUNDING * (abs(bias) + abs(learned_noise * norm) + abs(variance))
    score /= Delta_t
    score_error = score_error / Delta_t + ROUNDING * abs(score)
    test_error = Delta_t * score_error + ROUNDING * (2.0 * abs(floor) + abs(Delta_t * score))
    out[0, TRAIN, i], out[1, TRAIN, i] = train, train_error
    out[0, SCORE, i], out[1, SCORE, i] = score, score_error
    out[0, TEST, i], out[1, TEST, i] = floor + Delta_t * score, test_error
    out[0, EMPIRICAL, i] = train / Delta_t
    out[1, EMPIRICAL, i] = train_error / Delta_t + ROUNDING * abs(train / Delta_t)
    out[0, NORM, i], out[1, NORM, i] = norm, norm_error
