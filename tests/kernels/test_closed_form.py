"""The one-point equations: sums over atoms at any scale, and solutions that are not checked."""

import numpy as np
import pytest

from dmft_rf import Covariance, ScoreModel, spectrum
from dmft_rf.kernels._jit import modulus, reciprocal
from dmft_rf.kernels.closed_form import CONVERGED, moments, real_moments, solve_path
from dmft_rf.numerics.estimate import EPS

SCALES = [10.0**n for n in (-290, -170, -140, 0, 140, 170, 290)]


@pytest.mark.parametrize("scale", SCALES)
def test_quotients_at_any_scale(scale: float) -> None:
    for x in (3.0 + 4.0j, -1.0 + 0.0j, 1e-9 - 2.0j):
        assert abs(reciprocal(scale * x) * scale * x - 1.0) < 8 * EPS
        assert abs(modulus(scale * x) / scale / abs(x) - 1.0) < 8 * EPS


def test_no_quotient_at_zero() -> None:
    zero = np.complex128(0.0)
    assert not np.isfinite(reciprocal(zero))
    assert modulus(zero) == 0.0


@pytest.mark.parametrize("atoms", [1, 2, 9, 600])
@pytest.mark.parametrize("scale", [1e-70, 1.0, 1e145])
def test_averages_of_the_resolvent(atoms: int, scale: float) -> None:
    lam = np.geomspace(0.01, 3.0, atoms)
    w = np.arange(1.0, atoms + 1.0)
    w /= w.sum()
    for average, x, y in (
        (moments, scale * (0.3 - 0.2j), scale * (1.1 + 0.4j)),
        (real_moments, scale * 0.3, scale * 1.1),
    ):
        r = scale / (x + y * lam)  # of order 1; the squares are compared as roots of themselves
        expected = [w @ r, w @ (lam * r), w @ r**2, w @ (lam * r**2), w @ (lam**2 * r**2)]
        found = average(x, y, lam, w)
        powers = (1, 1, 2, 2, 2)
        for one, value, power in zip(found, expected, powers, strict=True):
            # 2 + log2(600) additions in a row, and the six operations of a term
            assert abs(one * scale**power / value - 1.0) < 50 * EPS


@pytest.mark.parametrize(("psi_p", "psi_n"), [(64.0, 8.0), (4.0, 0.5), (0.3, 2.0)])
def test_solutions_that_are_not_checked_are_as_good(psi_p: float, psi_n: float) -> None:
    """Up to rounding, which the distance to the nearest edge magnifies."""
    model = ScoreModel(0.01, psi_p, psi_n, covariance=Covariance([0.5, 1.5]))
    law = spectrum(model)
    offsets = np.sort(law.grid(120) - law.floor)
    unknowns = model.groups.from_floor.two_unknowns
    z = offsets.astype(np.complex128)
    k, _, _, _, _, status, steps = solve_path(z, *unknowns, True)
    quick, _, _, _, _, quick_status, quick_steps = solve_path(z, *unknowns, False)
    assert np.all(status == CONVERGED)
    assert np.all(quick_status == CONVERGED)
    assert quick_steps < steps
    edges = law.support.offsets.ravel()
    gap = np.abs(np.subtract.outer(offsets, edges) / offsets[:, None]).min(axis=1)
    density, expected = (-1.0 / quick).imag, (-1.0 / k).imag
    assert np.all(np.abs(density / expected - 1.0) < 1000 * EPS / gap)
