"""The second route: docs/theory.md written out plainly, and finite matrices drawn from it.

Nothing here uses the package's solvers. The equations are iterated in (q, E) as they stand in
the theory note; the finite Gaussian-equivalent matrices are those of its section 2.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.linalg import eigh, eigvalsh

from dmft_rf import Covariance, ScoreModel

REFERENCE = json.loads((Path(__file__).parent / "reference.json").read_text())
INFINITE_DRAWS = sorted(name for name in REFERENCE if name[:2] in {"A_", "B_", "C_", "D_", "E_"})


def reference_model(name: str) -> ScoreModel:
    """The model of a case of reference.json."""
    case = REFERENCE[name]
    return ScoreModel(
        t=case["t"],
        psi_p=case["psi_p"],
        psi_n=case["psi_n"],
        activation=case["activation"],
        covariance=Covariance(case["eigenvalues"], case["weights"]),
    )


# -- sections 3 to 5 ---------------------------------------------------------------------------


def one_point(model: ScoreModel, z: complex, rounds: int = 20000) -> tuple[complex, complex]:
    """q(z) and E(z) by the half-averaged iteration from infinity, for z off the real axis."""
    c, cov = model.coefficients, model.covariance
    lam, w = cov.eigenvalues, cov.weights
    flip = z.imag < 0
    if flip:
        z = z.conjugate()
    q, E = -1.0 / z, 1.0 + 0j
    for _ in range(rounds):
        beta = c.b**2 + c.gamma2 * lam / E
        inverse = c.s2 - z + c.v2 / E + np.sum(w * beta / (1.0 + model.psi_p * q * beta))
        q_new = 0.5 * (q + 1.0 / inverse)
        beta = c.b**2 + c.gamma2 * lam / E
        rest = c.v2 + c.gamma2 * np.sum(w * lam / (1.0 + model.psi_p * q_new * beta))
        E_new = 0.5 * (E + 1.0 + model.psi_p / model.psi_n * q_new * rest)
        change = abs(q_new - q) / abs(q_new) + abs(E_new - E) / abs(E_new)
        q, E = q_new, E_new
        if change < 1e-15:
            break
    return (q.conjugate(), E.conjugate()) if flip else (q, E)


def one_point_residual(model: ScoreModel, z: complex, q: complex, E: complex) -> float:
    """Relative residual of the two equations of section 3 at (q, E)."""
    c, cov = model.coefficients, model.covariance
    lam, w = cov.eigenvalues, cov.weights
    beta = c.b**2 + c.gamma2 * lam / E
    terms = [c.s2 - z, c.v2 / E, *(w * beta / (1.0 + model.psi_p * q * beta))]
    first = abs(sum(terms) - 1.0 / q) / max(abs(1.0 / q), *(abs(x) for x in terms))
    ratio = model.psi_p / model.psi_n * q
    terms = [
        1.0,
        ratio * c.v2,
        ratio * c.gamma2 * np.sum(w * lam / (1.0 + model.psi_p * q * beta)),
    ]
    second = abs(sum(terms) - E) / max(abs(E), *(abs(x) for x in terms))
    return float(max(first, second))


@dataclass
class LongFormula:
    """Every scalar of section 5, under the names it has there."""

    T: complex
    kappa: complex
    t_Q: complex
    c_Q: complex
    c_Q_other: complex


def two_point(
    model: ScoreModel,
    z1: complex,
    z2: complex,
    Q: np.ndarray,
    solutions: tuple[tuple[complex, complex], tuple[complex, complex]] | None = None,
) -> LongFormula:
    """T_Q(z_1, z_2) by the long formula of section 5 (Q given at the eigenvalues of Sigma)."""
    c, cov = model.coefficients, model.covariance
    lam, w = cov.eigenvalues, cov.weights
    psi_p, psi_n, v2, g2 = model.psi_p, model.psi_n, c.v2, c.gamma2
    (q1, E1), (q2, E2) = solutions or (one_point(model, z1), one_point(model, z2))
    x1, x2 = c.b**2 + 1.0 / (psi_p * q1), c.b**2 + 1.0 / (psi_p * q2)
    yt1, yt2 = g2 / E1, g2 / E2
    y1 = g2 / (1.0 + v2 * psi_p * q1 / psi_n)
    y2 = g2 / (1.0 + v2 * psi_p * q2 / psi_n)
    r1, r2 = 1.0 / (x1 + yt1 * lam), 1.0 / (x2 + yt2 * lam)

    def m(f: np.ndarray) -> complex:
        return complex(np.sum(w * f * r1 * r2))

    one = np.ones_like(lam)
    chain = yt1 * yt2 / psi_n
    geometric = chain / (1.0 - chain * m(lam**2))

    def t(f: np.ndarray) -> complex:
        return m(f) + geometric * m(lam * f) * m(lam)

    t_Q, t_I = t(Q), t(one)
    c_Q = (np.sum(w * Q * r2) - x1 * t_Q) / y1
    c_Q_other = (np.sum(w * Q * r1) - x2 * t_Q) / y2
    c_I = (np.sum(w * r2) - x1 * t_I) / y1
    omega = v2 * psi_p**2 * q1 * q2 * y1 * y2 / (g2 * psi_n)
    T0_Q, T0_I = t_Q + omega * c_Q, t_I + omega * c_I

    S1, S2 = np.sum(w * r1), np.sum(w * r2)
    e1 = 1.0 / (v2 + psi_n / (psi_p * q1))
    e2 = 1.0 / (v2 + psi_n / (psi_p * q2))
    tc1, tc2 = (1.0 - x1 * S1) / y1, (1.0 - x2 * S2) / y2
    scale1, scale2 = psi_p**2 * q1, psi_p**2 * q2
    D1 = S1 / scale1 + psi_n / scale1 * (psi_n * e1 + e1**2 * g2 * v2 * tc1)
    D2 = S2 / scale2 + psi_n / scale2 * (psi_n * e2 + e2**2 * g2 * v2 * tc2)
    gcgc = (1.0 - x1 * S1 - x2 * S2 + x1 * x2 * t_I) / (y1 * y2)
    K_oo = (
        psi_n * e1 * e2
        + g2 * v2 * e1 * e2 * (e2 * tc2 + e1 * tc1)
        + g2**2 * v2**2 * e1**2 * e2**2 * gcgc
    )
    K_wo = g2 * v2 * e1 * e2 * c_I
    triple = psi_p**3 * q1 * q2
    kappa = (1.0 + psi_n) / psi_p - D1 - D2 + (t_I + 2.0 * psi_n * K_wo + psi_n**2 * K_oo) / triple
    T = t_Q + T0_Q * T0_I / (triple * (1.0 - kappa))
    return LongFormula(*(complex(value) for value in (T, kappa, t_Q, c_Q, c_Q_other)))


# -- section 2: finite matrices -----------------------------------------------------------------


@dataclass
class Network:
    """Finite Gaussian-equivalent matrices: U and its population value, (p, p), and V, (p, d)."""

    model: ScoreModel
    U: np.ndarray
    U_population: np.ndarray
    V: np.ndarray
    W: np.ndarray
    sigma: np.ndarray  # the d eigenvalues of Sigma, in whose basis W is written

    @property
    def d(self) -> int:
        return self.V.shape[1]

    @property
    def p(self) -> int:
        return self.V.shape[0]

    def eigen(self) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues, (p,), and eigenvectors, (p, p), of U."""
        return eigh(self.U)

    def eigenvalues(self) -> np.ndarray:
        """Eigenvalues of U, (p,)."""
        return eigvalsh(self.U)

    def train(self, B: np.ndarray) -> float:
        """L_train of the network B = A/sqrt(p), (d, p)."""
        return self._loss(B, self.U)

    def test(self, B: np.ndarray) -> float:
        """L_test of the network B, (d, p)."""
        return self._loss(B, self.U_population)

    def _loss(self, B: np.ndarray, U: np.ndarray) -> float:
        delta = self.model.coefficients.Delta_t
        quadratic = delta * np.sum((B @ U) * B)
        return float(1.0 + (quadratic + 2.0 * math.sqrt(delta) * np.sum(B.T * self.V)) / self.d)

    def velocity(self, B: np.ndarray) -> np.ndarray:
        """The right-hand side of gradient flow."""
        delta = self.model.coefficients.Delta_t
        return -2.0 * delta / self.model.psi_p * (B @ self.U + self.V.T / math.sqrt(delta))


def network(model: ScoreModel, d: int, seed: int) -> Network:
    """Draw the Gaussian-equivalent matrices of section 2 at dimension d."""
    c, cov = model.coefficients, model.covariance
    counts = np.rint(cov.weights * d).astype(int)
    assert counts.sum() == d, "the weights must fit the dimension"
    sigma = np.repeat(cov.eigenvalues, counts)
    n, p = round(model.psi_n * d), round(model.psi_p * d)
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((p, d))
    X = np.sqrt(sigma)[:, None] * rng.standard_normal((d, n))
    G = math.sqrt(c.gamma2 / d) * W @ X + math.sqrt(c.v2) * rng.standard_normal((p, n))
    U = G @ G.T / n + c.b**2 / d * W @ W.T + c.s2 * np.eye(p)
    diffused = math.exp(-2.0 * model.t) * sigma + c.Delta_t
    rest = c.second_moment - c.mu0**2 - c.mu1**2
    U_population = (c.mu1 / c.Gamma_t) ** 2 / d * (W * diffused) @ W.T + rest * np.eye(p)
    return Network(model, U, U_population, c.b / math.sqrt(d) * W, W, sigma)
