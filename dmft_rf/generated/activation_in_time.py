r"""The coefficients of an activation at every diffusion time, from a few evaluations.

A reverse process needs v^2(t) and the linear part a(Gamma) at hundreds of points. As a function of
y = sqrt(1 - varrho), varrho = e^{-2t} sigma_x^2/Gamma_t^2, the quotient v^2/varrho^2 of a piecewise
analytic activation is analytic on [0, 1], for t from 0 to infinity: kinks and jumps make v^2 a
series in sqrt(t), and y is of that order. Chebyshev series in y and in ln Gamma^2 take the place of
the quadratures.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array
from dmft_rf.model.activation import Activation
from dmft_rf.model.coefficients import linear_part, of_stated
from dmft_rf.numerics.chebyshev import Panels, panels

# terms of the series in y, and of those in ln Gamma^2 on panels of this width
_TIME_TERMS, _TERMS, _WIDTH = 28, 14, 1.0
_RTOL = 1e-12


class ActivationInTime(Frozen):
    """v^2(t) and a(Gamma) of an activation for data of mean variance ``sigma_x2``."""

    _content = ("activation", "sigma_x2")

    def __init__(self, activation: Activation, sigma_x2: float):
        self.activation, self.sigma_x2 = activation, sigma_x2
        self._scaled = panels(self._v2_over_rho2, np.array([0.0, 1.0]), _TIME_TERMS, _RTOL)
        self.seal()

    @property
    def error(self) -> float:
        """Relative error of the series."""
        return self._scaled.error

    def v2(self, t: Array) -> Array:
        """v_t^2 at diffusion times t >= 0."""
        noise, signal = -np.expm1(-2.0 * t), np.exp(-2.0 * t) * self.sigma_x2
        rho = signal / (signal + noise)
        found: Array = rho**2 * self._scaled(np.sqrt(noise / (signal + noise)))
        return found

    def linear(self, low: float, high: float) -> Panels:
        """a(Gamma) = E[sigma(Gamma z) z]/Gamma as a function of ln Gamma^2 from low to high."""
        first, last = math.floor(low / _WIDTH), math.floor(high / _WIDTH) + 1
        return _linear(self.activation, first, last)

    def _v2_over_rho2(self, y: float) -> float:
        rho = (1.0 - y) * (1.0 + y)
        t = 0.5 * math.log1p(self.sigma_x2 * y * y / rho)
        return of_stated(self.activation, t, self.sigma_x2).v2 / rho**2


@lru_cache(maxsize=64)
def in_time(activation: Activation, sigma_x2: float) -> ActivationInTime:
    """The series of an activation, kept for as long as it is among the last 64 used."""
    return ActivationInTime(activation, sigma_x2)


@lru_cache(maxsize=256)
def _linear(activation: Activation, first: int, last: int) -> Panels:
    parts = [_linear_on(activation, i) for i in range(first, last)]
    edges = np.concatenate([parts[0].edges[:1], *(part.edges[1:] for part in parts)])
    series = np.concatenate([part.series for part in parts])
    return Panels(edges, series, max(part.error for part in parts))


@lru_cache(maxsize=256)
def _linear_on(activation: Activation, i: int) -> Panels:
    def slope(log_variance: float) -> float:
        return linear_part(activation, math.exp(0.5 * log_variance))

    return panels(slope, _WIDTH * np.array([i, i + 1.0]), _TERMS, _RTOL)
