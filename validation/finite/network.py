r"""The exact finite network: the matrices U and V of one draw, averaged over the noise exactly.

p features f_i(x) = sigma(w_i . x/sqrt(d)) of d-dimensional data, w_i standard Gaussian. A sample
x_nu at diffusion time t is x_t = e^{-t} x_nu + sqrt(Delta_t) xi; given x_nu its pre-activations

    h_i = m_{i nu} + s_i z_i,    m_{i nu} = e^{-t} w_i . x_nu/sqrt(d),
    s_i = sqrt(Delta_t) |w_i|/sqrt(d)

are Gaussian with correlations corr_ij = w_i . w_j/(|w_i| |w_j|), so that by Mehler's expansion and
Stein's lemma, with the Hermite coefficients c_k of `dmft_rf.images.hermite`,

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

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dmft_rf._typing import Array
from dmft_rf.errors import ModelError
from dmft_rf.images.averages import choose_order, expansion, left_out, noise_moments
from dmft_rf.images.hermite import HermiteRule
from dmft_rf.model.activation import Activation

# features of noise draws that are held at once (floats)
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
    found = noise_moments(W, X, t, activation, tolerance)
    return found.U, np.array(found.V), (found.order, found.bound)


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

    K = choose_order(corr, residuals, tolerance)
    rule = HermiteRule.of(activation, K + 1, float(width.max()))
    c, M = rule(np.zeros(p), width)
    U = expansion(c[:, :, None], corr)
    bound = left_out(corr, np.maximum(M - np.einsum("ki,ki->i", c, c), 0.0), K)
    np.fill_diagonal(U, M)
    # Stein: E[sigma(h) xi] = E[sigma'(h)] Cov(h, xi), and E[sigma'(h)] = c_1/width
    V = W * (math.sqrt(-math.expm1(-2.0 * t) / d) * c[1] / width)[:, None]
    return U, V, (K, bound)
