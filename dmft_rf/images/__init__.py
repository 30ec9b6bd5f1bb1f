"""Networks on the samples themselves: what they know of them, and the equations of their curves.

`ScoreModel` knows the covariance of the data. Here drawn features see a pool of samples, and the
average over which samples are trained on is taken for those features (docs/images.md).
"""
