"""Series on panels that are halved until they converge."""

import numpy as np
import pytest

from dmft_rf.errors import ConvergenceError
from dmft_rf.numerics.chebyshev import panels


def test_a_smooth_function_needs_no_halving() -> None:
    found = panels(np.exp, np.array([-1.0, 0.5, 2.0]), 16, 1e-13)
    assert found.edges.tolist() == [-1.0, 0.5, 2.0]
    x = np.linspace(-1.0, 2.0, 101)
    np.testing.assert_allclose(found(x), np.exp(x), rtol=1e-13)
    assert found.error <= 1e-13


def test_panels_gather_where_it_is_needed() -> None:
    """A pole at distance 0.01 from the middle of the interval."""

    def f(x: float) -> float:
        return 1.0 / ((x - 0.3) ** 2 + 1e-4)

    found = panels(f, np.array([0.0, 1.0]), 16, 1e-11)
    x = np.linspace(0.0, 1.0, 1001)
    np.testing.assert_allclose(found(x), [f(float(one)) for one in x], rtol=1e-9)
    widths = np.diff(found.edges)
    assert widths.min() < 0.05 < 0.2 < widths.max()


def test_a_jump_is_refused() -> None:
    with pytest.raises(ConvergenceError, match="a Chebyshev series of 16 terms"):
        panels(lambda x: float(x > 1.0 / 3.0), np.array([0.0, 1.0]), 16, 1e-10)
