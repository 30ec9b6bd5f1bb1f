"""What the error estimate reads off a contour, against its definition and its purpose."""

import math

import numpy as np
import pytest
from scipy.special import ellipk, ellipkm1

from dmft_rf.numerics.contour import half_plane_contour


def modulus(m: float, M: float) -> tuple[float, float]:
    """K'/K of the annulus, and the outer radius R = exp(pi K'/(4 K))."""
    complement = 4.0 * m * M / (m + M) ** 2
    aspect = float(ellipk(complement) / ellipkm1(complement))
    return aspect, math.exp(0.25 * math.pi * aspect)


@pytest.mark.parametrize("nodes", [3, 8, 21])
def test_readings_are_sums_and_fourier_coefficients(nodes: int) -> None:
    m, M = 0.02, 7.0
    contour = half_plane_contour(m, M, nodes)
    _, R = modulus(m, M)
    rng = np.random.default_rng(0)
    terms = rng.standard_normal(nodes) + 1j * rng.standard_normal(nodes)
    theta = math.pi * (np.arange(nodes) + 0.5) / nodes
    orders = np.arange(max(nodes - 8, 0), nodes)
    waves = np.exp(-1j * np.outer(np.concatenate([orders, -orders]), theta))
    carried = R ** (np.concatenate([orders, orders]) - 2.0 * nodes)
    expected = np.append(terms.sum().real, carried * (waves @ terms).real)
    assert np.allclose(contour.readings @ terms.view(float), expected, rtol=1e-12, atol=0.0)


def test_readings_show_the_error_of_the_rule() -> None:
    """f(x) = 1/(x + a) against a point mass: one to a hundred errors are estimated."""
    m, M, a = 0.05, 4.0, 0.01
    for x in (0.06, 1.0, 3.0):
        for nodes in (8, 12, 16):
            contour = half_plane_contour(m, M, nodes)
            terms = contour.weights / ((contour.z + a) * (x - contour.z))
            sums = contour.readings @ terms.view(float)
            error = abs(2.0 * sums[0] - 1.0 / (x + a))
            last = np.abs(sums[1:]).reshape(2, -1).max(axis=1).sum()
            assert error <= 4.0 * last <= 100.0 * max(error, 1e-14)
