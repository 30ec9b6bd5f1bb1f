"""No result depends on the units of the eigenvalues, nor on those of a block."""

import math

import numba
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from dmft_rf import Covariance
from dmft_rf.pencil import Gaussian, Pencil, Sigma, gram, linearize, sqrt, wigner
from dmft_rf.pencil.readings import Regression
from dmft_rf.pencil.spectrum import PencilSpectrum

# twenty spectra take minutes in plain Python
compiled = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="needs compiled kernels")
X = Gaussian("X", "p", "n", per="n")
Z = Gaussian("Z", "d", "n", per="n")


def scaled(name: str, c: float) -> Pencil:
    """A pencil whose eigenvalues are c^2 times those of c = 1."""
    if name == "variance":
        return gram(Gaussian("X", "p", "n", per="n", variance=c * c), {"p": 0.5, "n": 1})
    if name == "atom":
        return gram(c * X, {"p": 2, "n": 1})
    if name == "two bulks":
        return gram(c * sqrt(Sigma) * Z, {"d": 1, "n": 6}, sigma="d")
    if name == "hard edge":
        return gram(c * X, {"p": 1, "n": 1})
    U, V = wigner("U", "n"), wigner("V", "n")
    if name == "cube":
        return linearize(c * c * U * U * U + c * c * U, {"n": 1})
    return linearize(c * U * V * c + c * V * U * c, {"n": 1})


FAMILIES = ("variance", "atom", "two bulks", "hard edge", "anticommutator", "cube")
SIGMA = Covariance([0.1, 2.0])
UNITS: dict[str, PencilSpectrum] = {}


def law(name: str) -> PencilSpectrum:
    if name not in UNITS:
        UNITS[name] = scaled(name, 1.0).bind(SIGMA).spectrum()
    return UNITS[name]


@compiled
@given(name=st.sampled_from(FAMILIES), power=st.floats(-30.0, 30.0))
@example(name="variance", power=-15.0)
@example(name="atom", power=-30.0)
@example(name="two bulks", power=24.0)
@example(name="hard edge", power=30.0)
@example(name="cube", power=30.0)
@settings(max_examples=25, deadline=None)
def test_the_law_of_c_x_is_that_of_x_times_c_squared(name: str, power: float) -> None:
    c = 10.0 ** (0.5 * power)
    one, other = law(name), scaled(name, c).bind(SIGMA).spectrum()
    assert_allclose(other.edges / c**2, one.edges, rtol=1e-11, atol=1e-13)
    assert_allclose(other.bulk_masses, one.bulk_masses, rtol=1e-12)
    assert_allclose(other.atoms / [c**2, 1.0], one.atoms, rtol=1e-12)
    low, high = one.edges[0]
    inside = low + (high - low) * np.array([0.05, 0.4, 0.9])
    assert_allclose(other.density(c**2 * inside) * c**2, one.density(inside), rtol=1e-9)
    assert_allclose(other.moment(2) / c**4, one.moment(2), rtol=1e-11)
    z = np.array([1.0 + 0.3j, -2.0 - 0.1j])
    assert_allclose(other.system.solve(c**2 * z).q * c**2, one.system.solve(z).q, rtol=1e-11)


@compiled
@given(power=st.floats(-30.0, 30.0))
@example(power=-20.0)
@settings(max_examples=4, deadline=None)
def test_losses_do_not_depend_on_the_units_of_features(power: float) -> None:
    c = 10.0 ** (0.5 * power)
    tau = np.array([0.0, 0.5, 20.0, math.inf])
    one = Regression.of(2.0, 1.3, 0.8, 0.4, 0.3, SIGMA).losses(tau)
    other = Regression.of(2.0, 1.3, 0.8 * c, 0.4 * c, 0.3, SIGMA).losses(tau / c**2)
    assert_allclose(other, one, rtol=1e-8, atol=1e-12)  # all samples are fitted in the end


@pytest.mark.parametrize("small", [1e-10, 1e-15, 1e-20, 1e-30])
def test_a_bulk_far_below_the_others_is_no_atom(small: float) -> None:
    """Beside n/d = 2 samples, half of the directions, n/d = 1.5 are left for the other half."""
    covariance = Covariance([small, 1.0])
    found = gram(sqrt(Sigma) * Z, {"d": 1, "n": 2}, sigma="d").bind(covariance).spectrum()
    assert len(found.atoms) == 0
    assert_allclose(found.bulk_masses, 0.5, rtol=1e-14)
    ends = 0.75 * (1.0 + np.array([-1.0, 1.0]) / math.sqrt(3.0)) ** 2
    assert_allclose(found.edges[0] / small, ends, rtol=1e-9)


@pytest.mark.parametrize("small", [1e-10, 1e-15, 1e-20])
def test_a_narrow_bulk_beside_its_pole_is_no_atom(small: float) -> None:
    """1 + small X X^T: the distances from 1 keep their digits where the edges have none."""
    found = linearize(small * X * X.T + 1, {"p": 2, "n": 1}).bind().spectrum()
    assert_allclose(found.atoms, [[1.0, 0.5]], rtol=1e-14)
    ((low, high),) = found.support.places
    offsets = found.natural.unit * np.array([low[1], high[1]])
    assert_allclose(offsets / small, (math.sqrt(2.0) + np.array([-1.0, 1.0])) ** 2, rtol=1e-12)
