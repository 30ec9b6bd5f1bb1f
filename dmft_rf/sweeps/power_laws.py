"""Power laws over the widest range in which the local exponent stays within a tolerance."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from dmft_rf._typing import Array
from dmft_rf.sweeps.results import Fits, PowerLaw


def fits_of(
    abscissa: Array,
    quantities: Mapping[str, Array],
    exponents: Mapping[str, Array],
    tolerance: float,
) -> tuple[Fits, Fits]:
    """Power laws of the quantities where they hold, and over all points."""
    fits, global_fits = {}, {}
    for name, values in quantities.items():
        usable = np.isfinite(exponents[name]) & np.isfinite(values) & np.isfinite(abscissa)
        whole = np.flatnonzero(usable)
        part = _widest(np.log(abscissa), exponents[name], usable, tolerance)
        if part.size >= 3:
            fits[name] = _fit(abscissa, values, exponents[name], part)
        if whole.size >= 3 and abscissa[whole[0]] < abscissa[whole[-1]]:
            global_fits[name] = _fit(abscissa, values, exponents[name], whole)
    return Fits(fits), Fits(global_fits)


def _widest(
    log_p: Array, exponents: Array, usable: NDArray[np.bool_], tolerance: float
) -> NDArray[np.intp]:
    """Indices of the longest run of neighbouring points whose exponents differ by < 2 tolerance."""
    best: NDArray[np.intp] = np.array([], dtype=np.intp)
    length = 0.0
    for i in range(len(exponents)):
        for j in range(i, len(exponents)):
            run = exponents[i : j + 1]
            if not usable[j] or not usable[i] or run.max() - run.min() > 2.0 * tolerance:
                break
            if log_p[j] - log_p[i] > length:
                best, length = np.arange(i, j + 1), log_p[j] - log_p[i]
    return best


def _fit(abscissa: Array, quantity: Array, exponents: Array, part: NDArray[np.intp]) -> PowerLaw:
    """Least squares of log Q on log P over the points ``part``."""
    x, y = np.log(abscissa[part]), np.log(quantity[part])
    centre, offset = float(x.mean()), float(y.mean())
    away = x - centre
    slope = float(away @ y) / float(away @ away)
    low, high = float(abscissa[part[0]]), float(abscissa[part[-1]])
    local = exponents[part]
    return PowerLaw(
        exponent=slope,
        exponent_low=float(local.min()),
        exponent_high=float(local.max()),
        prefactor=math.exp(offset - slope * centre),
        low=low,
        high=high,
        decades=math.log10(high / low),
        points=int(part.size),
        holds=f"{low:.4g} to {high:.4g} ({math.log10(high / low):.1f} decades)",
    )
