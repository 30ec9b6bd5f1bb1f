"""Panels that are halved until they carry what is asked of them."""

import numpy as np
import pytest

from dmft_rf.numerics.panels import ByHalves, halve, resolved

NODES, WEIGHTS = np.polynomial.legendre.leggauss(6)


def integrals(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Of the square root of |x|, which is analytic but at 0."""
    half, middle = 0.5 * (right - left), 0.5 * (right + left)
    return np.sqrt(np.abs(middle[:, None] + half[:, None] * NODES)) @ WEIGHTS * half


def test_halves_lie_side_by_side() -> None:
    left, right = halve(np.array([0.0, 2.0]), np.array([2.0, 3.0]))
    np.testing.assert_array_equal(left, [0.0, 1.0, 2.0, 2.5])
    np.testing.assert_array_equal(right, [1.0, 2.0, 2.5, 3.0])


def test_panels_grow_narrow_where_the_function_is_rough() -> None:
    halves = ByHalves(integrals, lambda total: 1e-12 * total)
    ends, complete = resolved(halves, np.array([-1.0, 0.5, 2.0]))
    assert complete
    exact = 2.0 / 3.0 * (1.0 + 2.0**1.5)
    assert halves.total == pytest.approx(exact, rel=1e-11)
    assert np.all(np.diff(ends) > 0.0)
    np.testing.assert_array_equal(ends[[0, -1]], [-1.0, 2.0])
    widths = np.diff(ends)
    at_zero = np.flatnonzero((ends[:-1] <= 0.0) & (ends[1:] >= 0.0))[0]
    assert widths[at_zero] < 1e-3 * widths.max()
    # what is kept is what was integrated
    assert float(integrals(ends[:-1], ends[1:]).sum()) == pytest.approx(halves.total, rel=1e-13)


def test_a_tolerance_that_is_never_met_is_told() -> None:
    halves = ByHalves(integrals, lambda total: -1.0)
    ends, complete = resolved(halves, np.array([0.0, 1.0]), 64)
    assert not complete
    np.testing.assert_array_equal(ends, [1.0])  # no panel was resolved


def test_nan_is_not_resolved() -> None:
    halves = ByHalves(lambda left, right: np.full(left.size, np.nan), lambda total: 1.0)
    assert not resolved(halves, np.array([0.0, 1.0]), 16)[1]


def test_every_panel_is_asked_about_once() -> None:
    asked = []

    def unresolved(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        asked.extend(zip(left, right, strict=True))
        return (left < 0.3) & (right > 0.3) & (right - left > 0.1)

    ends, complete = resolved(unresolved, np.array([0.0, 1.0]))
    assert complete
    assert len(asked) == len(set(asked))
    np.testing.assert_array_equal(ends, [0.0, 0.25, 0.3125, 0.375, 0.5, 1.0])
