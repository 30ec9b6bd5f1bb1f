"""More nodes until an error is small enough."""

import math

import pytest

from dmft_rf.numerics.estimate import with_more_nodes


def run(errors: dict[int, float], nodes: int, most: int, rtol: float) -> tuple[int, float, int]:
    return with_more_nodes(lambda n: (n, errors[n]), nodes, most, rtol)


@pytest.mark.parametrize(
    ("errors", "most", "expected"),
    [
        ({8: 1e-9}, 100, (8, 1e-9, 1)),  # at once
        ({8: 1.0, 10: 1e-3, 13: 1e-9}, 100, (13, 1e-9, 3)),
        ({8: 1.0, 10: 1e-3}, 12, (10, 1e-3, 2)),  # no more than `most`
        ({8: 1e-6, 10: 8e-7}, 100, (8, 1e-6, 2)),  # rounding: the first is kept
        ({8: 1e-6, 10: math.nan}, 100, (8, 1e-6, 2)),
        ({8: math.nan, 10: 1e-9}, 100, (10, 1e-9, 2)),
        ({8: math.inf, 10: 1e-9}, 100, (10, 1e-9, 2)),
    ],
)
def test_more_nodes(errors: dict[int, float], most: int, expected: tuple[int, float, int]) -> None:
    assert run(errors, 8, most, 1e-8) == expected
