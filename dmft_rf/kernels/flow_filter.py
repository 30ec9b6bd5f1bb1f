r"""The filter of gradient flow at one node for a few times, from real arithmetic alone.

    u = e^{-s y},    1 - u = (1 - cos) - lost cos - i e^{..} sin,    lost = e^{Re} - 1,

with y = z + omega, both with their digits. Exponential, sine and cosine are those of fdlibm
(reduction to [-ln 2/2, ln 2/2] and [-pi/4, pi/4], polynomials there), written out so that the
compiler does eight times at once; libraries do them one by one from compiled code.

Everything lies in one work space, field by field, each `TILE` numbers long: offsets that the
compiler knows are what it needs to see that the fields do not overlap.
"""

from __future__ import annotations

from dmft_rf.kernels._jit import njit_fused

#: times that are done at once
TILE = 32

# fields of the work space: input, two reduced arguments and their integers, and the result
SCALE = 0
_R, _S, _N, _Q, _SIZE = TILE, 2 * TILE, 3 * TILE, 4 * TILE, 5 * TILE
LEFT_RE, LEFT_IM, GONE_RE, GONE_IM = 6 * TILE, 7 * TILE, 8 * TILE, 9 * TILE
#: fields that a caller may use
FREE = 10

# e^{-700} is nothing beside 1
_LEAST = -700.0
# 1.5 2^52: adding it rounds to an integer, which its last bits hold
_ROUND = 6755399441055744.0
_LOG2_E = 1.4426950408889634
_LN2, _LN2_REST = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_PER_HALF_PI = 0.63661977236758134308
_HALF_PI_1, _HALF_PI_2, _HALF_PI_3 = (
    1.57079632673412561417e00,
    6.07710050630396597660e-11,
    2.02226624879595063154e-21,
)
_ONE_BITS = 1023 << 52


@njit_fused
def decayed(y, work, bits):
    """u and 1 - u at y (Re y > 0, Im y > 0) from the scales -rate tau in ``work``, in its fields.

    ``bits`` is ``work`` seen as integers. Times of inf have the scale -inf.
    """
    y_re, y_im = y.real, y.imag
    for t in range(TILE):
        growth = work[SCALE + t] * y_re
        angle = work[SCALE + t] * y_im
        gone = not growth > _LEAST
        growth = _LEAST if gone else growth
        angle = 0.0 if gone else angle
        n = growth * _LOG2_E + _ROUND
        work[_N + t] = n
        n -= _ROUND
        work[_R + t] = (growth - n * _LN2) - n * _LN2_REST
        m = angle * _PER_HALF_PI + _ROUND
        m -= _ROUND
        quarter = m * 0.25 + _ROUND
        quarter -= _ROUND
        work[_Q + t] = m - 4.0 * quarter  # -1, 0, 1, and -2 or 2
        work[_S + t] = ((angle - m * _HALF_PI_1) - m * _HALF_PI_2) - m * _HALF_PI_3
    for t in range(TILE):
        bits[_SIZE + t] = (bits[_N + t] << 52) + _ONE_BITS
    for t in range(TILE):
        r = work[_R + t]
        # e^r - 1
        p = r * (1.0 / 6227020800.0) + 1.0 / 479001600.0
        p = r * p + 1.0 / 39916800.0
        p = r * p + 1.0 / 3628800.0
        p = r * p + 1.0 / 362880.0
        p = r * p + 1.0 / 40320.0
        p = r * p + 1.0 / 5040.0
        p = r * p + 1.0 / 720.0
        p = r * p + 1.0 / 120.0
        p = r * p + 1.0 / 24.0
        p = r * p + 1.0 / 6.0
        p = r * p + 0.5
        p = r + (r * r) * p
        power = work[_SIZE + t]
        lost = power * p + (power - 1.0)
        size = power + power * p
        s = work[_S + t]
        x = s * s
        q = x * 1.58969099521155010221e-10 - 2.50507602534068634195e-08
        q = x * q + 2.75573137070700676789e-06
        q = x * q - 1.98412698298579493134e-04
        q = x * q + 8.33333333332248946124e-03
        q = x * q - 1.66666666666666324348e-01
        sine = s + s * (x * q)
        v = x * -1.13596475577881948265e-11 + 2.08757232129817482790e-09
        v = x * v - 2.75573143513906633035e-07
        v = x * v + 2.48015872894767294178e-05
        v = x * v - 1.38888888888741095749e-03
        v = x * v + 4.16666666666666019037e-02
        versine = 0.5 * x - (x * x) * v  # 1 - cos, with its digits
        cosine = 1.0 - versine
        quarter = work[_Q + t]
        odd = quarter * quarter == 1.0
        sign = quarter if odd else 1.0 - 0.5 * quarter * quarter
        sin = sign * (cosine if odd else sine)
        cos = sign * (-sine if odd else cosine)
        versine = versine if quarter == 0.0 else 1.0 - cos
        work[LEFT_RE + t] = size * cos
        work[LEFT_IM + t] = size * sin
        work[GONE_RE + t] = versine - lost * cos
        work[GONE_IM + t] = -size * sin
