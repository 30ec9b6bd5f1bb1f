"""Models of every kind that tests of spectra and of solutions share."""

from dmft_rf import Covariance, ScoreModel
from tests.helpers.plain import reference_model

TWO = Covariance([0.5, 1.5], [0.5, 0.5])
WIDE = Covariance([1e-4, 1.0], [0.5, 0.5])
REFERENCES = {
    name: reference_model(name) for name in ("A_iso", "B_two", "C_paper", "D_under", "E_relu")
}
SHARED = {
    **REFERENCES,
    "few samples": ScoreModel(0.01, 3.0, 0.05, "tanh", TWO),
    "few features": ScoreModel(0.1, 0.05, 2.0, "softplus", TWO),
    "many features": ScoreModel(0.1, 1e4, 2.0, "tanh", TWO),
    "early": ScoreModel(1e-6, 6.0, 3.0, "tanh", TWO),
    "linear, p > d": ScoreModel(0.1, 3.0, 2.0, "linear", TWO),
    "linear, p < d": ScoreModel(0.1, 0.5, 2.0, "linear", TWO),
    "hard edge": ScoreModel(0.1, 3.0, 2.0, "tanh", TWO),
    "wide": ScoreModel(0.01, 6.0, 3.0, "tanh", WIDE),
    "zero atom": ScoreModel(0.01, 6.0, 0.5, "erf", Covariance([0.0, 1.0], [0.6, 0.4])),
}
