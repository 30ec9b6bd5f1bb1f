"""Models of every kind that tests of solutions share."""

import math

import numpy as np

from dmft_rf import ScoreModel, Solution
from tests.helpers.models import SHARED, TWO, WIDE

MODELS = {
    **SHARED,
    "many of both": ScoreModel(0.6, 3000.0, 4000.0, "sigmoid", TWO),
    "late": ScoreModel(8.0, 5000.0, 10.0, "tanh", TWO),
    "linear, wide": ScoreModel(0.01, 40.0, 0.5, "linear", WIDE),
}
WITHOUT_COMPILER = ("A_iso", "B_two", "linear, p > d", "zero atom")  # the others are slow there
INF = math.inf


def times(solution: Solution, count: int = 60) -> np.ndarray:
    """0, times from before the fastest mode to after the slowest, and infinity."""
    low, high = solution.diagnostics["support"]
    rate = solution.model.rate
    middle = np.geomspace(0.01 / (rate * high), 50.0 / (rate * low), count)
    return np.concatenate([[0.0], middle, [INF]])
