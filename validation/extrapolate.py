r"""From several finite d to d = infinity, with a standard error and a model uncertainty.

Linear statistics of these random matrices have a mean y + a/d + b/d^2 + ... and fluctuations of
order 1/d, so the means are fitted by weighted least squares in 1/d with the weights d^2 per seed.
The value at d = infinity is a linear combination of the seeds, y = sum_s c_s Y_s with sum_s c_s = 1;
its covariance between quantities is sum_s c_s^2/d_s^2 times the pooled covariance of d (Y_s - mean of
its d), with (number of seeds - number of sizes) degrees of freedom: nothing is assumed about
how quantities at different times are correlated.

The order of the fit is 2 where there are three sizes or more. The next term is not known; its
effect is taken to be a fixed part of the difference between the last two orders, and enters as a
further, independent uncertainty of every quantity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MODEL_PART = 0.25
"""Model uncertainty over the difference between the last two orders of the fit."""


@dataclass(frozen=True)
class Extrapolation:
    """Values at d = infinity.

    Attributes
    ----------
    value : (q,) array
    statistical : (q, q) array
        Covariance of the values from the scatter of the seeds.
    model : (q,) array
        Uncertainty from the order of the fit.
    dof : int
        Degrees of freedom of ``statistical``.
    sizes : (n_sizes,) array
        The dimensions d.
    means, errors : (n_sizes, q) arrays
        Mean of the seeds at each d and its standard error.
    slope : (q,) array
        Coefficient of 1/d in the fit.
    """

    value: Array
    statistical: Array
    model: Array
    dof: int
    sizes: Array
    means: Array
    errors: Array
    slope: Array

    @property
    def error(self) -> Array:
        """Standard error of each value, both uncertainties together, shape (q,)."""
        return np.sqrt(np.diag(self.statistical) + self.model**2)

    @property
    def covariance(self) -> Array:
        """Covariance of the values, both uncertainties together, shape (q, q)."""
        return self.statistical + np.diag(self.model**2)


def extrapolate(d: Array, values: Array) -> Extrapolation:
    """Fit the seeds' values against 1/d.

    Parameters
    ----------
    d : (N,) array
        Dimension of each seed; at least two different ones, with several seeds at the smallest.
    values : (N, q) array
    """
    sizes, group, counts = np.unique(d, return_inverse=True, return_counts=True)
    if sizes.size < 2 or d.size - sizes.size < 1:
        raise ValueError("an extrapolation needs two sizes or more and several seeds")
    means = np.stack([values[group == g].mean(axis=0) for g in range(sizes.size)])
    scatter = d[:, None] * (values - means[group])
    dof = d.size - sizes.size
    pooled = scatter.T @ scatter / dof
    order = min(2, sizes.size - 1)
    last, slope = _combination(sizes, counts, order)
    before, _ = _combination(sizes, counts, order - 1)
    value = last @ means
    if order == 2:
        model = MODEL_PART * np.abs(value - before @ means)
    else:  # two sizes: what the 1/d term still amounts to at the larger one
        model = MODEL_PART * np.abs(value - means[-1])
    return Extrapolation(
        value=value,
        statistical=pooled * float(np.sum(last**2 / (counts * sizes**2))),
        model=model,
        dof=dof,
        sizes=sizes,
        means=means,
        errors=np.sqrt(np.outer(1.0 / (counts * sizes**2), np.diag(pooled))),
        slope=slope @ means,
    )


def _combination(sizes: Array, counts: Array, order: int) -> tuple[Array, Array]:
    """Coefficients of the means in the fitted value at 1/d = 0, and in its slope."""
    design = np.power.outer(1.0 / sizes, np.arange(order + 1))
    root = np.sqrt(counts) * sizes
    inverse = np.linalg.pinv(root[:, None] * design) * root
    return inverse[0], inverse[1] if order else np.zeros(sizes.size)
