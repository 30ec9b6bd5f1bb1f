r"""The exact finite network: the matrices U and V of one draw, averaged over the noise exactly.

p features f_i(x) = sigma(w_i . x/sqrt(d)) of d-dimensional data, w_i standard Gaussian. A sample
x_nu at diffusion time t is x_t = e^{-t} x_nu + sqrt(Delta_t) xi; given x_nu its pre-activations

    h_i = m_{i nu} + s_i z_i,    m_{i nu} = e^{-t} w_i . x_nu/sqrt(d),
    s_i = sqrt(Delta_t) |w_i|/sqrt(d)

are Gaussian with correlations corr_ij = w_i . w_j/(|w_i| |w_j|), so that by Mehler's expansion and
Stein's lemma, with the Hermite coefficients c_k of `validation.finite.hermite`,

    U_ij = (1/n) sum_nu E_xi[sigma(h_i) sigma(h_j)]
         = sum_k corr_ij^k (1/n) sum_nu c_k(i,nu) c_k(j,nu)
    U_ii = (1/n) sum_nu E_xi[sigma(h_i)^2]                      (no expansion)
    V_i  = (1/n) sum_nu E_xi[sigma(h_i) xi] = (w_i/|w_i|) (1/n) sum_nu c_1(i,nu).

Nothing is sampled. corr is of order d^{-1/2}, and cutting the sum at k = K changes U by no more
than

    |delta U_ij| <= |corr_ij|^{K+1} sqrt(R_i R_j),
    R_i = U_ii - sum_{k<=K} (1/n) sum_nu c_k(i,nu)^2

(Cauchy-Schwarz); K is chosen so that the Frobenius norm of this bound is negligible, and the bound
is reported. The population matrices U~, V~ follow in the same way: for Gaussian data from
x_t ~ N(0, Sigma_t), and for real data from held-out rows. For classes of data with different
covariances they are the average over the classes.

With m noise draws per sample, fixed once and for all, training sees the nonlinear features at the
noisy copies x_{nu j} = e^{-t} x_nu + sqrt(Delta_t) xi_{nu j} themselves,

    U = (1/nm) sum sigma(h_{nu j}) sigma(h_{nu j})^T,    V = (1/nm) sum sigma(h_{nu j}) xi_{nu j}^T,

and the exact averages above become those under fresh noise, which give the loss on the training
samples under fresh noise.

Source of the model: Bonnaire et al., arXiv:2505.17638, sections 2 and 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dmft_rf._typing import Array
from dmft_rf.errors import ConvergenceError, ModelError
from dmft_rf.model.activation import Activation
from validation.finite.hermite import HermiteRule

_MOST_ORDERS = 400
_PILOT_ROWS = 24
# coefficients c_k(i, nu) that are held at once (floats)
_BLOCK = 2**25


@dataclass(frozen=True)
class FiniteNetwork:
    """What training needs to know of one draw of weights and samples.

    Attributes
    ----------
    t : float
        Diffusion time.
    n : int
        Number of training samples.
    U, V : arrays (p, p), (p, d)
        Training averages of sigma sigma^T and sigma xi^T.
    U_test, V_test : arrays (p, p), (p, d)
        The same averages over the population (or over held-out rows).
    floor : float
        Test loss of the exact score; nan for data whose exact score is not known.
    truncation : float
        Bound on the Frobenius norm of what the Hermite expansions of U and U_test leave out.
    orders : tuple of int
        Highest order K kept for U (or U_fresh) and for U_test.
    columns : float
        Columns that U is made of: its rank is at most this. Infinite if the noise is averaged.
    U_fresh, V_fresh : arrays (p, p), (p, d), or None
        With a finite number of noise draws: the averages over the training samples under fresh
        noise. None if these are U and V themselves.
    """

    t: float
    n: int
    U: Array
    V: Array
    U_test: Array
    V_test: Array
    floor: float
    truncation: float
    orders: tuple[int, int]
    columns: float = math.inf
    U_fresh: Array | None = None
    V_fresh: Array | None = None
    noise_power: float = 1.0

    @property
    def p(self) -> int:
        """Number of features."""
        return int(self.V.shape[0])

    @property
    def d(self) -> int:
        """Dimension of the data."""
        return int(self.V.shape[1])

    @property
    def Delta_t(self) -> float:
        """1 - e^{-2t}."""
        return -math.expm1(-2.0 * self.t)

    @property
    def rate(self) -> float:
        """alpha = 2 Delta_t d/p: an eigenvalue lambda of U relaxes at the rate alpha lambda."""
        return 2.0 * self.Delta_t * self.d / self.p


def draw_network(
    rng: np.random.Generator,
    eigenvalues: Array,
    p: int,
    n: int,
    t: float,
    activation: Activation,
    tolerance: float = 1e-9,
    *,
    sizes: Sequence[int] = (),
    draws: float = math.inf,
) -> FiniteNetwork:
    """A network on Gaussian data.

    Parameters
    ----------
    rng : numpy Generator
        Draws W (p x d), then the samples, then their noise if it is drawn.
    eigenvalues : (d,) or (G, d) array
        Eigenvalues of Sigma, one per dimension (with their multiplicity); one row for each of G
        classes.
    p, n : int
        Features and samples.
    t : float
        Diffusion time.
    activation : Activation
    tolerance : float
        Allowed Frobenius norm of what is cut off the expansions.
    sizes : G integers
        Samples of each class, n in total; not needed for a single class. The population has the
        same shares.
    draws : float
        Noise draws per sample, an integer, or infinity for the exact average.
    """
    classes = np.atleast_2d(eigenvalues)
    sizes = [n] if not sizes else list(sizes)
    if len(sizes) != len(classes) or sum(sizes) != n:
        raise ModelError(f"classes of {sizes} samples are not {len(classes)} of {n} in total")
    d = classes.shape[1]
    W = rng.standard_normal((p, d))
    X = rng.standard_normal((n, d)) * np.sqrt(np.repeat(classes, sizes, axis=0))
    U, V, first = conditional_average(W, X, t, activation, tolerance)
    delta = -math.expm1(-2.0 * t)
    diffused = math.exp(-2.0 * t) * classes + delta
    shares = [size / n for size in sizes]
    each = [population_average(W, row, t, activation, tolerance) for row in diffused]
    U_test, V_test = shares[0] * each[0][0], shares[0] * each[0][1]
    for share, one in zip(shares[1:], each[1:], strict=True):
        U_test += share * one[0]
        V_test += share * one[1]
    second = max(one[2] for one in each)
    bound = max(first[1], *(one[2][1] for one in each))
    floor = 1.0 - delta * sum(
        w * float(np.mean(1.0 / row)) for w, row in zip(shares, diffused, strict=True)
    )
    orders = (first[0], second[0])
    if math.isinf(draws):
        return FiniteNetwork(t, n, U, V, U_test, V_test, floor, bound, orders)
    own_U, own_V, power = drawn_average(rng, W, X, t, activation, int(draws))
    return FiniteNetwork(
        t, n, own_U, own_V, U_test, V_test, floor, bound, orders, n * draws, U, V, power
    )  # fmt: skip


def network_on_rows(
    rng: np.random.Generator,
    train: Array,
    held_out: Array,
    p: int,
    t: float,
    activation: Activation,
    tolerance: float = 1e-9,
) -> FiniteNetwork:
    """A network on real data; its test loss is the exact noise average over held-out rows.

    Parameters
    ----------
    train, held_out : (n, d) and (n_test, d) arrays
        Samples, of mean zero over the whole data set.
    rng, p, t, activation, tolerance
        As in `draw_network`; ``rng`` draws W only.
    """
    if train.shape[1] != held_out.shape[1] or not held_out.size:
        raise ModelError("train and held_out must hold rows of one length")
    W = rng.standard_normal((p, train.shape[1]))
    U, V, first = conditional_average(W, train, t, activation, tolerance)
    U_test, V_test, second = conditional_average(W, held_out, t, activation, tolerance)
    return FiniteNetwork(
        t, train.shape[0], U, V, U_test, V_test, math.nan,
        max(first[1], second[1]), (first[0], second[0]),
    )  # fmt: skip


def conditional_average(
    W: Array, X: Array, t: float, activation: Activation, tolerance: float
) -> tuple[Array, Array, tuple[int, float]]:
    """U (p, p), V (p, d) and (K, truncation bound) for weights W (p, d) and samples X (n, d)."""
    (p, d), n = W.shape, X.shape[0]
    norm = np.linalg.norm(W, axis=1)
    direction = W / norm[:, None]
    corr = direction @ direction.T
    np.fill_diagonal(corr, 0.0)
    width = math.sqrt(-math.expm1(-2.0 * t) / d) * norm
    means = (math.exp(-t) / math.sqrt(d)) * (W @ X.T)  # (p, n)

    def residuals(count: int) -> Array:
        rule = HermiteRule.of(activation, count, float(width.max()))
        pilot = means[:, : min(n, _PILOT_ROWS)]
        c, M = rule(pilot, np.broadcast_to(width[:, None], pilot.shape))
        power = np.cumsum(np.mean(c * c, axis=2), axis=0)
        return np.maximum(M.mean(axis=1) - power, 0.0)  # (count, p), by highest order kept

    K = _choose_order(corr, residuals, tolerance)
    rule = HermiteRule.of(activation, K + 1, float(width.max()))
    U = np.zeros((p, p))
    diagonal, power, slope = np.zeros(p), np.zeros(p), np.zeros(p)
    block = max(1, _BLOCK // ((K + 1) * p))
    for start in range(0, n, block):
        part = means[:, start : start + block]
        c, M = rule(part, np.broadcast_to(width[:, None], part.shape))
        diagonal += M.sum(axis=1)
        power += np.einsum("kin,kin->i", c, c)
        slope += c[1].sum(axis=1)
        U += _horner(c, corr)
    U /= n
    bound = _bound(corr, np.maximum(diagonal - power, 0.0) / n, K)
    np.fill_diagonal(U, diagonal / n)
    return U, direction * (slope / n)[:, None], (K, bound)


def drawn_average(
    rng: np.random.Generator, W: Array, X: Array, t: float, activation: Activation, draws: int
) -> tuple[Array, Array, float]:
    """U (p, p), V (p, d) and mean |xi|^2/d of ``draws`` noise draws for each sample of X (n, d)."""
    (p, d), n = W.shape, X.shape[0]
    root = math.sqrt(-math.expm1(-2.0 * t))
    U, V, power = np.zeros((p, p)), np.zeros((p, d)), 0.0
    block = max(1, _BLOCK // p)
    for _ in range(draws):
        for start in range(0, n, block):
            part = X[start : start + block]
            xi = rng.standard_normal(part.shape)
            phi = activation(((math.exp(-t) * part + root * xi) @ W.T) / math.sqrt(d)).T
            U += phi @ phi.T
            V += phi @ xi
            power += float(np.vdot(xi, xi))
    return U / (n * draws), V / (n * draws), power / (n * draws * d)


def population_average(
    W: Array, diffused: Array, t: float, activation: Activation, tolerance: float
) -> tuple[Array, Array, tuple[int, float]]:
    """U~ (p, p), V~ (p, d) and (K, bound) for x_t ~ N(0, diag(diffused)), diffused (d,)."""
    p, d = W.shape
    scaled = W * np.sqrt(diffused / d)
    width = np.linalg.norm(scaled, axis=1)
    corr = (scaled / width[:, None]) @ (scaled / width[:, None]).T
    np.fill_diagonal(corr, 0.0)

    def residuals(count: int) -> Array:
        rule = HermiteRule.of(activation, count, float(width.max()))
        c, M = rule(np.zeros(p), width)
        return np.maximum(M - np.cumsum(c * c, axis=0), 0.0)

    K = _choose_order(corr, residuals, tolerance)
    rule = HermiteRule.of(activation, K + 1, float(width.max()))
    c, M = rule(np.zeros(p), width)
    U = _horner(c[:, :, None], corr)
    bound = _bound(corr, np.maximum(M - np.einsum("ki,ki->i", c, c), 0.0), K)
    np.fill_diagonal(U, M)
    # Stein: E[sigma(h) xi] = E[sigma'(h)] Cov(h, xi), and E[sigma'(h)] = c_1/width
    V = W * (math.sqrt(-math.expm1(-2.0 * t) / d) * c[1] / width)[:, None]
    return U, V, (K, bound)


def _horner(c: Array, corr: Array) -> Array:
    """sum_k corr^k * (c_k c_k^T) for c (K + 1, p, n), elementwise powers; shape (p, p)."""
    total = c[-1] @ c[-1].T
    for layer in c[-2::-1]:
        total *= corr
        total += layer @ layer.T
    return total


def _bound(corr: Array, residual: Array, K: int) -> float:
    """Frobenius norm of |corr_ij|^{K+1} sqrt(R_i R_j), with corr_ii = 0."""
    total = 0.0
    for start in range(0, residual.size, 512):
        rows = np.abs(corr[start : start + 512]) ** (2 * (K + 1))
        total += float(residual[start : start + 512] @ (rows @ residual))
    return math.sqrt(total)


def _choose_order(corr: Array, residuals: Callable[[int], Array], tolerance: float) -> int:
    """Smallest K >= 3 whose bound, from a pilot of few samples, is below half the tolerance."""
    count = 16
    while count <= _MOST_ORDERS:
        left = residuals(count)
        low, high = 3, count - 1
        if _bound(corr, left[high], high) <= 0.5 * tolerance:
            while low < high:
                middle = (low + high) // 2
                if _bound(corr, left[middle], middle) <= 0.5 * tolerance:
                    high = middle
                else:
                    low = middle + 1
            return high
        count = count * 3 // 2
    raise ConvergenceError(
        f"{_MOST_ORDERS} orders do not bring the Hermite expansion of U within {tolerance:g}: the "
        "largest correlation of two features is "
        f"{float(np.abs(corr).max()):.4f}; this d is too small for the activation"
    )
