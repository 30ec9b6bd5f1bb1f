"""Models of every kind that tests of solutions share."""

import math

import numpy as np

from dmft_rf import Covariance, ScoreModel, Solution
from tests.helpers.plain import reference_model

TWO = Covariance([0.5, 1.5], [0.5, 0.5])
WIDE = Covariance([1e-4, 1.0], [0.5, 0.5])
MODELS = {
    "A_iso": reference_model("A_iso"),
    "B_two": reference_model("B_two"),
    "C_paper": reference_model("C_paper"),
    "D_under": reference_model("D_under"),
    "E_relu": reference_model("E_relu"),
    "few samples": ScoreModel(0.01, 3.0, 0.05, "tanh", TWO),
    "few features": ScoreModel(0.1, 0.05, 2.0, "softplus", TWO),
    "many features": ScoreModel(0.1, 1e4, 2.0, "tanh", TWO),
    "many of both": ScoreModel(0.6, 3000.0, 4000.0, "sigmoid", TWO),
    "early": ScoreModel(1e-6, 6.0, 3.0, "tanh", TWO),
    "late": ScoreModel(8.0, 5000.0, 10.0, "tanh", TWO),
    "linear, p > d": ScoreModel(0.1, 3.0, 2.0, "linear", TWO),
    "linear, p < d": ScoreModel(0.1, 0.5, 2.0, "linear", TWO),
    "linear, wide": ScoreModel(0.01, 40.0, 0.5, "linear", WIDE),
    "hard edge": ScoreModel(0.1, 3.0, 2.0, "tanh", TWO),
    "wide": ScoreModel(0.01, 6.0, 3.0, "tanh", WIDE),
    "zero atom": ScoreModel(0.01, 6.0, 0.5, "erf", Covariance([0.0, 1.0], [0.6, 0.4])),
}
WITHOUT_COMPILER = ("A_iso", "B_two", "linear, p > d", "zero atom")  # the others are slow there
INF = math.inf


def times(solution: Solution, count: int = 60) -> np.ndarray:
    """0, times from before the fastest mode to after the slowest, and infinity."""
    low, high = solution.diagnostics["support"]
    rate = solution.model.rate
    middle = np.geomspace(0.01 / (rate * high), 50.0 / (rate * low), count)
    return np.concatenate([[0.0], middle, [INF]])
