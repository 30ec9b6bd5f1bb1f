r"""Pencils of known models, each in a few lines, to use and to learn from.

Every function returns a `Pencil`. What the losses of the random-features models need is read off
theirs in `dmft_rf.pencil.readings`.
"""

from __future__ import annotations

import math

from dmft_rf._convert import whole
from dmft_rf.pencil.matrices import Entry, Gaussian, wigner
from dmft_rf.pencil.scalars import Scalar, Sigma, parameters, sqrt, z
from dmft_rf.pencil.statement import Pencil, gram, linearize


def semicircle() -> Pencil:
    """Wigner's symmetric matrix X with entries of variance 1/n: density on [-2, 2]."""
    return linearize(1 * wigner("X", "n"), {"n": 1})


def anticommutator() -> Pencil:
    """X Y + Y X of two independent Wigner matrices.

    It is a^2 - b^2 for the free a = (X + Y)/sqrt(2), b = (X - Y)/sqrt(2); the edges are
    +-sqrt((11 + 5 sqrt(5))/2) (Nica and Speicher, Duke Math. J. 92, 553 (1998)).
    """
    X, Y = wigner("X", "n"), wigner("Y", "n")
    return linearize(X * Y + Y * X, {"n": 1})


def sample_covariance() -> Pencil:
    """(1/n) sum of x x^T for n = psi_n d samples x of covariance Sigma (Marchenko and Pastur).

    Parameter ``psi_n``.
    """
    (psi_n,) = parameters("psi_n")
    Z = Gaussian("Z", "d", "n", per="n")
    return gram(sqrt(Sigma) * Z, {"d": 1, "n": psi_n}, sigma="d")


def deformed_covariance() -> Pencil:
    """Sigma + noise times a Wishart matrix of n = psi_n d samples: free additive convolution.

    Parameters ``psi_n, noise``.
    """
    psi_n, noise = parameters("psi_n noise")
    Z = Gaussian("Z", "d", "n", per="n")
    return linearize(noise * Z * Z.T + Sigma, {"d": 1, "n": psi_n}, sigma="d")


def wishart_sum() -> Pencil:
    """A A^T + B B^T, A of size d x n_1 and B of size d x n_2, entries of variance 1/n_i.

    Parameters ``psi_1, psi_2`` (n_i/d).
    """
    psi_1, psi_2 = parameters("psi_1 psi_2")
    A = Gaussian("A", "d", "n1", per="n1")
    B = Gaussian("B", "d", "n2", per="n2")
    return linearize(A * A.T + B * B.T, {"d": 1, "n1": psi_1, "n2": psi_2})


def wishart_product() -> Pencil:
    """A B B^T A^T, A of size d x n_1 and B of size n_1 x n_2: free multiplicative convolution.

    Entries of A and B have variances 1/n_1 and 1/n_2. Parameters ``psi_1, psi_2`` (n_i/d).
    """
    psi_1, psi_2 = parameters("psi_1 psi_2")
    A = Gaussian("A", "d", "n1", per="n1")
    B = Gaussian("B", "n1", "n2", per="n2")
    return gram(A * B, {"d": 1, "n1": psi_1, "n2": psi_2})


def score_model() -> Pencil:
    r"""Feature matrix U of the random-features score model (theory.md, sections 3 and 9).

    Parameters ``psi_p, psi_n, b2, v, s2, gamma``. q is that of U, and

        S(z) = -(1/d) Tr (L^{-1})_fe/gamma,
        T_Q = (1/d) Tr[L^{-1} P L^{-1}]_fe/gamma^2 with P = Q at (e, f).
    """
    psi_p, psi_n, b2, v, s2, gamma = parameters("psi_p psi_n b2 v s2 gamma")
    W = Gaussian("W", "p", "d", per="d")
    Z = Gaussian("Z", "d", "n", per="n")
    O = Gaussian("O", "p", "n", per="n")  # noqa: E741 - the letter of the theory
    root = sqrt(Sigma)
    return Pencil(
        spaces={"p": psi_p, "n": psi_n, "d": 1},
        blocks={"u": "p", "a": "n", "f": "d", "e": "d"},
        rows={
            "u": {"u": s2 - z, "a": v * O, "f": b2 * W, "e": gamma * W},
            "a": {"a": 1, "u": -v * O.T, "f": -gamma * Z.T * root},
            "f": {"f": 1, "u": -W.T},
            "e": {"e": 1, "a": -root * Z},
        },
        sigma="d",
    )


def noise_draws(m: int) -> Pencil:
    r"""Feature matrix with m fixed noise draws per sample (theory.md, section 10).

    Parameters ``psi_p, psi_n, b, v, s, gamma``. Blocks u (p), a (n), c (n (m - 1), none for
    m = 1), f, g, y, x (d).

    Raises
    ------
    ModelError
        If m is not an integer from 1.
    """
    m = whole(m, "m")
    psi_p, psi_n, b, v, s, gamma = parameters("psi_p psi_n b v s gamma")
    share = 1.0 / math.sqrt(m)  # of the mean over the draws in one draw
    rest = math.sqrt((m - 1) / m)
    o = sqrt(v**2 + s**2 / m)
    root = sqrt(Sigma)
    W = Gaussian("W", "p", "d", per="d")
    Z = Gaussian("Z", "d", "n", per="n")
    X = Gaussian("X", "d", "n", per="n")
    O = Gaussian("O", "p", "n", per="n")  # noqa: E741 - the letter of the theory
    spaces: dict[str, Scalar | float] = {"p": psi_p, "n": psi_n, "d": 1}
    blocks = {"u": "p", "a": "n", "f": "d", "g": "d", "y": "d", "x": "d"}
    rows: dict[str, dict[str, Entry]] = {
        "u": {"u": -z, "g": W, "a": o * O},
        "a": {"a": 1, "u": -o * O.T, "f": -gamma * Z.T * root - share * b * X.T, "x": -share * X.T},
        "f": {"f": 1, "u": -W.T},
        "g": {"g": 1, "a": -gamma * root * Z - share * b * X},
        "y": {"y": 1, "a": -share * X},
        "x": {"x": 1},
    }
    if m > 1:
        Y = Gaussian("Y", "d", "nm", per="nm")
        P = Gaussian("P", "p", "nm", per="nm")
        spaces["nm"] = (m - 1) * psi_n
        blocks["c"] = "nm"
        rows["u"]["c"] = s * rest * P
        rows["c"] = {"c": 1, "u": -s * rest * P.T, "f": -rest * b * Y.T, "x": -rest * Y.T}
        rows["g"]["c"] = -rest * b * Y
        rows["y"]["c"] = -rest * Y
    return Pencil(spaces=spaces, blocks=blocks, rows=rows, sigma="d", resolvent="u")


def regression() -> Pencil:
    r"""Random-features regression (arXiv:2110.11805; ridge: arXiv:1908.05355).

    Samples x of covariance Sigma, labels y = beta.x/sqrt(d) + noise, features
    phi = mu W x/sqrt(d) + nu omega, predictor B.phi. With M = mu W' Sigma^{1/2} Z' + nu O' (p x n),

        U = M M^T,    B = h(U) M y/sqrt(n),    y/sqrt(n) = Z'^T Sigma^{1/2} beta/sqrt(d) + noise .

    Parameters ``psi_p, psi_n, mu, nu``. Blocks u (p), a (n), f, g, y, x (d);
    `readings.Regression` has the losses.
    """
    psi_p, psi_n, mu, nu = parameters("psi_p psi_n mu nu")
    W = Gaussian("W", "p", "d", per="d")
    Z = Gaussian("Z", "d", "n", per="n")
    O = Gaussian("O", "p", "n", per="n")  # noqa: E741 - the letter of the theory
    X = sqrt(Sigma) * Z
    return Pencil(
        spaces={"p": psi_p, "n": psi_n, "d": 1},
        blocks={"u": "p", "a": "n", "f": "d", "g": "d", "y": "d", "x": "d"},
        rows={
            "u": {"u": -z, "a": nu * O, "g": W},
            "a": {"a": 1, "u": -nu * O.T, "f": -mu * X.T, "x": -X.T},
            "f": {"f": 1, "u": -W.T},
            "g": {"g": 1, "a": -mu * X},
            "y": {"y": 1, "a": -X},
            "x": {"x": 1},
        },
        sigma="d",
    )
