r"""From curves to training times, from training times to exponents.

Definitions, all on the logarithmic axis of steps:

- ``tau_mem`` (loss): test over train loss at the first time index reaches 2;
- ``tau_mem`` (samples): the memorized fraction (1/3) reaches 0.1 or 0.5;
- ``tau_gen`` (loss): the test loss at a time index comes within 10 % of its minimum;
- ``tau_gen`` (score, where it is known): the score error comes within 10 % of its minimum;
- ``tau_gen`` (samples): the Frechet distance comes within a factor 1.5 of its minimum, or falls to
  half of its first value;
- ``tau_gen`` (divergence) and ``tau_mem`` (divergence), on the mixture: KL(generated || data) per
  dimension falls to 0.1, and after its minimum rises to 0.2;
- ``tau_gen`` (common): the test loss at the first time index comes within 10 %, the Frechet
  distance within a factor 1.5, of the minimum that the smallest n of the main line reaches.

The minimum of a curve moves with n, and with it the level of the first three kinds of ``tau_gen``:
they depend on n by construction. Half of the first value does not, since before training all n are
alike; nor does the common level, which every larger n can reach and which says nothing about how
large n end.

A level counts as reached where two measurements in a row are beyond it; the time is interpolated
linearly in (log step, value) before the first of them. What was not reached is nan.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from dmft_rf import ModelError
from dmft_rf._typing import Array

RATIO, FRACTIONS, NEAR, QUALITY = 2.0, (0.1, 0.5), 1.1, 1.5
#: KL per dimension at which quality has come, and at which it has gone
GOOD, SPOILED = 0.1, 0.2


def reach(step: ArrayLike, value: ArrayLike, level: float) -> float:
    """First step at which ``value`` rises to ``level`` and stays for a second measurement.

    Parameters
    ----------
    step, value : arrays (m,)
        Increasing positive steps.
    level : float

    Returns
    -------
    float
        nan if the level is not reached, or was already reached at the first measurement (then
        nothing but an upper bound is known).
    """
    x, y = np.asarray(step, dtype=float), np.asarray(value, dtype=float)
    if x.shape != y.shape or x.ndim != 1 or (np.diff(x) <= 0.0).any() or (x <= 0.0).any():
        raise ModelError("steps must be positive and increasing, one for each value")
    above = y >= level
    if above[:2].all():
        return math.nan
    for i in range(1, x.size - 1):
        if above[i] and above[i + 1]:
            share = (level - y[i - 1]) / (y[i] - y[i - 1])
            return float(math.exp(math.log(x[i - 1]) + share * math.log(x[i] / x[i - 1])))
    return math.nan


def fall(step: ArrayLike, value: ArrayLike, level: float) -> float:
    """The same for values that fall to ``level``."""
    return reach(step, -np.asarray(value, dtype=float), -level)


@dataclass(frozen=True)
class Slope:
    """d log y/d log x with two standard errors.

    Attributes
    ----------
    value : float
        Mean over the seeds of the slope of each by least squares, weighted by the sum of squares of
        log x: that of one fit with a factor for each seed, in which few sizes count little.
    seed_error : float
        Its standard error from the scatter of the seeds; nan below three.
    fit_error : float
        Standard error of one straight line through all points; it also sees curvature.
    seeds, points : int
        Seeds with two sizes or more; points of theirs.
    """

    value: float
    seed_error: float
    fit_error: float
    seeds: int
    points: int

    @property
    def error(self) -> float:
        """Both in quadrature, what is not known left out; nan if nothing is.

        The noise of the points is in both, so that this is up to sqrt(2) too large where there is
        no curvature; it is not too small where there is.
        """
        known = [error for error in (self.seed_error, self.fit_error) if math.isfinite(error)]
        return math.hypot(*known) if known else math.nan

    def __str__(self) -> str:
        if not self.seeds:
            return "not dated"
        error = "?" if math.isnan(self.error) else f"{self.error:.2f}"
        few = {1: " (one seed)", 2: " (two seeds)"}.get(self.seeds, "")
        return f"{self.value:z.2f} ± {error}{few}"


def slope(x: ArrayLike, y: ArrayLike, seed: ArrayLike) -> Slope:
    """Exponent of y against x for points of several seeds; points that are nan are left out."""
    x, y, whose = (np.asarray(part, dtype=float) for part in (x, y, seed))
    good = np.isfinite(x) & np.isfinite(y) & (x > 0.0) & (y > 0.0)
    u, v, whose = np.log(x[good]), np.log(y[good]), whose[good]
    used = np.isin(whose, [s for s in np.unique(whose) if np.unique(u[whose == s]).size > 1])
    u, v, whose = u[used], v[used], whose[used]
    seeds = np.unique(whose)
    if not seeds.size:
        return Slope(math.nan, math.nan, math.nan, 0, 0)
    values = np.array([np.polyfit(u[whose == s], v[whose == s], 1)[0] for s in seeds])
    weights = np.array([np.var(u[whose == s]) * np.sum(whose == s) for s in seeds])
    weights /= weights.sum()
    value, count = float(weights @ values), int(seeds.size)
    by_seed = math.nan
    if count > 2:
        by_seed = math.sqrt(count / (count - 1) * float(np.sum((weights * (values - value)) ** 2)))
    fit = math.nan
    if u.size > 2:
        line = np.polynomial.Polynomial.fit(u, v, 1)
        rest = float(np.sum((v - line(u)) ** 2)) / (u.size - 2)
        fit = math.sqrt(rest / float(np.sum((u - u.mean()) ** 2)))
    return Slope(value, by_seed, fit, count, int(u.size))


def last_slope(x: ArrayLike, y: ArrayLike, seed: ArrayLike) -> Slope:
    """The same between the two largest x that have points: where a curved law is heading."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    there = np.unique(x[np.isfinite(y)])
    late = np.isin(x, there[-2:])
    return slope(x, np.where(late, y, math.nan), seed)


def spread(curves: list[tuple[Array, Array]], count: int = 200) -> float:
    """How far curves (x, y) are from lying on one another: 0 is a perfect collapse.

    Root mean square deviation of y from the mean of all curves, over the part of log x that all
    share, in units of the range of that mean. nan if they share nothing.
    """
    low = max(x[0] for x, _ in curves)
    high = min(x[-1] for x, _ in curves)
    if len(curves) < 2 or not low < high:
        return math.nan
    grid = np.linspace(math.log(low), math.log(high), count)
    values = np.stack([np.interp(grid, np.log(x), y) for x, y in curves])
    mean = values.mean(axis=0)
    span = float(np.ptp(mean))
    return float(np.sqrt(np.mean((values - mean) ** 2))) / span if span > 0.0 else math.nan
