"""Inverses by quarters against elimination with pivots."""

import numpy as np
import pytest

from dmft_rf.images.inverse import symmetric_inverse


@pytest.mark.parametrize("kind", [np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("p", [1, 48, 49, 131])
def test_against_elimination(p: int, kind: type) -> None:
    rng = np.random.default_rng(p)
    f = rng.standard_normal((p, 2 * p + 3))
    matrix = f @ f.T / f.shape[1] + 0.1 * np.eye(p)
    if np.issubdtype(kind, np.complexfloating):
        # in a half-plane around 0 with nothing but negative real parts in some directions
        matrix = (1.0 - 0.4j) * matrix - (1.0 + 0.5j) * np.eye(p)
    exact = np.linalg.inv(matrix)
    found = symmetric_inverse(matrix.astype(kind))
    assert found.dtype == kind
    # rounding grows with the condition number, below 60 here, and with sqrt(p)
    allowed = 60.0 * np.sqrt(p) * np.finfo(kind).eps * np.linalg.norm(exact, 2)
    assert np.abs(found - exact).max() <= allowed
