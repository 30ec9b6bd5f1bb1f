"""The second route: docs/theory.md written out plainly, and finite matrices drawn from it.

Nothing here uses the package's solvers. The equations are iterated in (q, E) as they stand in
the theory note, the long formula is that of the benchmark's plain route, and the finite
Gaussian-equivalent matrices are those of its section 2.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.linalg import eigh, eigvalsh

from dmft_rf import Covariance, ScoreModel
from dmft_rf._typing import Array
from validation.benchmark import plain
from validation.common.equivalent import draw_equivalent

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
    terms = [1.0, ratio * c.v2, ratio * c.gamma2 * np.sum(w * lam / (1.0 + model.psi_p * q * beta))]
    second = abs(sum(terms) - E) / max(abs(E), *(abs(x) for x in terms))
    return float(max(first, second))


def two_point(
    model: ScoreModel, first: tuple[complex, complex], second: tuple[complex, complex], Q: Array
) -> complex:
    """T_Q by the long formula, from (q, E) at two points; Q at the eigenvalues of Sigma."""
    q, E = np.array([first, second]).T
    return complex(plain.two_point(model, q, E, Q)[0, 1])


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
    c = model.coefficients
    W, G, sigma = draw_equivalent(model, d, np.random.default_rng(seed))
    p, n = G.shape
    U = G @ G.T / n + c.b**2 / d * W @ W.T + c.s2 * np.eye(p)
    diffused = math.exp(-2.0 * model.t) * sigma + c.Delta_t
    U_population = (c.mu1 / c.Gamma_t) ** 2 / d * (W * diffused) @ W.T
    U_population += c.residual_variance * np.eye(p)
    return Network(model, U, U_population, c.b / math.sqrt(d) * W, W, sigma)
