r"""From several finite d to d = infinity, with a standard error and a model uncertainty.

Linear statistics of these random matrices have a mean y + a/d + b/d^2 + ... and fluctuations of
order 1/d, so the means are fitted by weighted least squares in 1/d with the weights d^2 per seed.
Combinations of quantities at different times are known so precisely that the powers up to
1/d^3 matter: all of them are fitted where there are four sizes. (Choosing the order by a test of
the seeds' own misfit is not enough: a misfit too small for that test can still be many errors of
such a combination. It failed a right theory.)
The value at d = infinity is a linear combination of the seeds, y = sum_s c_s Y_s with
sum_s c_s = 1; its covariance between quantities is sum_s c_s^2/d_s^2 times the pooled covariance of
d (Y_s - mean of its d), with (number of seeds - number of sizes) degrees of freedom: nothing is
assumed about how quantities at different times are correlated. Combinations in which the leading
fluctuations cancel fluctuate like 1/d^2; for them the pooled scatter, which the small d dominate,
is too large an error. The chi-square is then too small: a right theory passes too easily, a wrong
one has to be seen above that, and the mutations say what still is.

The next term is not known; its effect is taken to be a quarter of the difference between the last
two orders, a vector over the quantities, and enters as one further uncertainty in the direction of
that vector (and not as an independent one of each quantity, which would drown the differences
between them that the seeds determine best).
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.stats

from dmft_rf._typing import Array

HIGHEST_ORDER = 3
"""Highest power of 1/d that is fitted (one less than the number of sizes, if that is smaller)."""

MOST_CHI2 = 1e4
"""Chi-square at most (a probability underflows beyond)."""

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
        Uncertainty from the order of the fit, with its sign.
    dof : int
        Degrees of freedom of ``statistical``.
    order : int
        Highest power of 1/d in the fit.
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
    order: int
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
        return self.statistical + np.outer(self.model, self.model)


def extrapolate(d: Array, values: Array, order: int = HIGHEST_ORDER) -> Extrapolation:
    """Fit the seeds' values against 1/d.

    Parameters
    ----------
    d : (N,) array
        Dimension of each seed; at least two different ones, with several seeds at the smallest.
    values : (N, q) array
    order : int
        Highest power of 1/d, at most the number of sizes minus one.
    """
    groups = _Groups(d)
    order = min(order, groups.sizes.size - 1)
    means, pooled = groups.statistics(values)
    last, slope = groups.combination(order)
    before, _ = groups.combination(order - 1)
    value = last @ means
    return Extrapolation(
        value=value,
        statistical=pooled * float(np.sum(last**2 * groups.variance)),
        model=MODEL_PART * (value - before @ means),
        dof=groups.dof,
        order=order,
        sizes=groups.sizes,
        means=means,
        errors=np.sqrt(np.outer(groups.variance, np.diag(pooled))),
        slope=slope @ means,
    )


def hotelling(difference: Array, covariance: Array, dof: int) -> tuple[float, int, float]:
    """Equivalent chi-square, its degrees of freedom, and the probability of T^2 = D^T C^{-1} D.

    T^2 (dof - q + 1)/(dof q) ~ F(q, dof - q + 1); the chi-square is the one of q degrees of
    freedom with the same probability. Quantities are scaled by their errors first; directions
    that rounding cannot resolve (relative 1e-10) are left out, and q counts those that remain.

    Parameters
    ----------
    difference : (n,) array
        D.
    covariance : (n, n) array
        C.
    dof : int
        Degrees of freedom from which C was estimated.
    """
    scale = np.sqrt(np.diag(covariance))
    values, vectors = scipy.linalg.eigh(covariance / np.outer(scale, scale))
    kept = values > 1e-10 * values[-1]
    q = int(kept.sum())
    if dof < q + 4:
        raise ValueError(f"{q} quantities need more than {q + 4} degrees of freedom, not {dof}")
    projected = (difference / scale) @ vectors[:, kept]
    T2 = float(np.sum(projected**2 / values[kept]))
    probability = float(scipy.stats.f.sf(T2 * (dof - q + 1) / (dof * q), q, dof - q + 1))
    equivalent = float(scipy.stats.chi2.isf(probability, q)) if probability > 0.0 else np.inf
    return min(equivalent, MOST_CHI2), q, probability


class _Groups:
    """Seeds grouped by d."""

    def __init__(self, d: Array):
        self.d = d
        self.sizes, self.group, counts = np.unique(d, return_inverse=True, return_counts=True)
        self.dof = d.size - self.sizes.size
        if self.sizes.size < 2 or self.dof < 1:
            raise ValueError("an extrapolation needs two sizes or more and several seeds")
        self.variance = 1.0 / (counts * self.sizes**2)  # of a mean, over the pooled covariance

    def statistics(self, values: Array) -> tuple[Array, Array]:
        """Means at each size (n_sizes, q), and the pooled covariance of d (Y - mean), (q, q)."""
        means = np.stack([values[self.group == g].mean(axis=0) for g in range(self.sizes.size)])
        scatter = self.d[:, None] * (values - means[self.group])
        return means, scatter.T @ scatter / self.dof

    def _design(self, order: int) -> tuple[Array, Array]:
        root = 1.0 / np.sqrt(self.variance)
        return root, root[:, None] * np.power.outer(1.0 / self.sizes, np.arange(order + 1))

    def combination(self, order: int) -> tuple[Array, Array]:
        """Coefficients of the means in the fitted value at 1/d = 0, and in its slope."""
        root, design = self._design(order)
        inverse = np.linalg.pinv(design) * root
        return inverse[0], inverse[1] if order else np.zeros(self.sizes.size)
