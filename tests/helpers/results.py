"""The model whose results tests of files store."""

from dmft_rf import Covariance, ScoreModel

LAW = Covariance([0.5, 1.5], [0.25, 0.75], label="two atoms", dimension=40, samples=400)
MODEL = ScoreModel(0.02, 12.0, 3.0, "erf", LAW)
