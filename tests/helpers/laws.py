"""Models and laws that tests of spectra share."""

import functools

import numpy as np

from dmft_rf import Covariance, ScoreModel, spectrum
from tests.helpers.models import SHARED, TWO

ISO = Covariance.isotropic()
MODELS = {
    **SHARED,
    "many samples": ScoreModel(0.1, 3.0, 1e4, "gelu", TWO),
    "late": ScoreModel(2.0, 6.0, 3.0, "relu", TWO),
    "power law": ScoreModel(0.01, 6.0, 3.0, "tanh", Covariance.power_law(1.5, atoms=16)),
}


cached_spectrum = functools.cache(spectrum)


def moments_of_U(model: ScoreModel) -> tuple[float, float]:
    """First and second moment of U from its Gaussian factors.

    U - s^2 = Phi K Phi^T/d with p independent rows Phi_i = (W_i, Omega_i) and
    K = [[b^2 + gamma^2 C, gamma v (d/n)^{1/2} Y], [.., v^2 d/n]], C = Y Y^T = X X^T/n. Wick's
    theorem gives (1/p) Tr (Phi K Phi^T)^2/d^2 = (Tr K/d)^2 + psi_p Tr K^2/d + O(1/d), with
    Tr C/d = <lambda> and Tr C^2/d = <lambda^2> + <lambda>^2/psi_n.
    """
    c, cov = model.coefficients, model.covariance
    mean = float(np.sum(cov.weights * cov.eigenvalues))
    square = float(np.sum(cov.weights * cov.eigenvalues**2)) + mean**2 / model.psi_n
    b2, g2, v2 = c.b**2, c.gamma2, c.v2
    one = b2 + g2 * mean + v2
    two = b2**2 + 2.0 * b2 * g2 * mean + g2**2 * square
    two += (2.0 * g2 * v2 * mean + v2**2) / model.psi_n
    first = c.s2 + one
    return first, c.s2**2 + 2.0 * c.s2 * one + one**2 + model.psi_p * two


def points_off_the_axis(model: ScoreModel) -> np.ndarray:
    """Points in the upper half-plane on every scale of the support."""
    edges = cached_spectrum(model).edges
    radius = np.geomspace(max(0.3 * edges[0, 0], 1e-8), 3.0 * edges[-1, 1], 5)
    return np.multiply.outer(radius, np.exp(1j * np.array([0.1, 0.8, 2.0]))).ravel()
