"""The random-features score model that a user states: frozen, validated, hashable."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf.activation import Activation
from dmft_rf.coefficients import Coefficients, coefficients
from dmft_rf.covariance import Covariance
from dmft_rf.errors import ModelError


@dataclass(frozen=True)
class ScoreModel:
    r"""Random-features score network at one diffusion time, in the proportional limit.

    Data x in R^d with covariance Sigma, diffused to x_t = e^{-t} x + sqrt(Delta_t) xi with
    Delta_t = 1 - e^{-2t}; score network s_A(x) = A sigma(W x/sqrt(d))/sqrt(p) with W (p x d)
    Gaussian and frozen, A trained; n samples; d, n, p -> infinity with psi_n = n/d and
    psi_p = p/d fixed (Bonnaire et al., arXiv:2505.17638, section 4).

    Parameters
    ----------
    t : float
        Diffusion time, > 0 (a time of the forward process, not of training).
    psi_p, psi_n : float
        Features and samples per dimension, > 0.
    activation : str, callable or Activation
        "tanh", "relu", "erf", "sigmoid", "softplus", "gelu", "linear", or a function on float
        arrays.
    covariance : Covariance
        Law of the eigenvalues of Sigma; the identity by default.
    noise_draws : float
        Noise draws per sample in the training loss; only ``math.inf`` (the exact average over
        the noise) is solved.

    Raises
    ------
    ModelError
        If a parameter is outside its domain, or the activation cannot learn a score
        (E[sigma(z) z] = 0).
    """

    t: float
    psi_p: float
    psi_n: float
    activation: Activation | str | Callable[..., Any] = "tanh"
    covariance: Covariance = field(default_factory=Covariance.isotropic)
    noise_draws: float = math.inf

    def __post_init__(self) -> None:
        for name in ("t", "psi_p", "psi_n"):
            object.__setattr__(self, name, _positive(name, getattr(self, name)))
        object.__setattr__(self, "activation", Activation.of(self.activation))
        if not isinstance(self.covariance, Covariance):
            raise ModelError(
                f"covariance is {self.covariance!r}; it must be a Covariance, "
                "for instance Covariance([0.5, 1.5])"
            )
        if isinstance(self.noise_draws, bool) or not self.noise_draws == math.inf:
            raise ModelError(
                f"noise_draws is {self.noise_draws!r}; only math.inf, the exact average over the "
                "noise, is solved"
            )
        if not self.coefficients.gamma2 > 1e-280:
            raise ModelError(f"t is {self.t!r}; at this time no trace of the data is left")

    @cached_property
    def coefficients(self) -> Coefficients:
        """Gaussian-equivalent coefficients of the activation at this t and this Tr Sigma/d."""
        assert isinstance(self.activation, Activation)
        return coefficients(self.activation, self.t, self.covariance.mean)

    @cached_property
    def parameters(self) -> NDArray[np.float64]:
        """psi_p, psi_n, b^2, v^2, s^2, gamma^2: what the kernels need, shape (6,)."""
        c = self.coefficients
        values = np.array([self.psi_p, self.psi_n, c.b**2, c.v2, c.s2, c.gamma2])
        values.setflags(write=False)
        return values

    @property
    def rate(self) -> float:
        """alpha = 2 Delta_t/psi_p: an eigenvalue lambda of U relaxes at the rate alpha lambda."""
        return 2.0 * self.coefficients.Delta_t / self.psi_p

    @property
    def diffused(self) -> NDArray[np.float64]:
        """Eigenvalues of Sigma_t = e^{-2t} Sigma + Delta_t, shape (n_atoms,)."""
        return math.exp(-2.0 * self.t) * self.covariance.eigenvalues + self.coefficients.Delta_t

    @property
    def initial_score_error(self) -> float:
        """Score error of the zero network, E|s*|^2/d = Tr Sigma_t^{-1}/d."""
        return float(np.sum(self.covariance.weights / self.diffused))

    @property
    def floor(self) -> float:
        """Test loss of the exact score, 1 - Delta_t Tr Sigma_t^{-1}/d, without cancellation."""
        signal = math.exp(-2.0 * self.t) * self.covariance.eigenvalues
        return float(np.sum(self.covariance.weights * signal / self.diffused))

    def replace(self, **changes: Any) -> ScoreModel:
        """A copy with some parameters changed, validated again."""
        from dataclasses import replace

        return replace(self, **changes)


def _positive(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ModelError(f"{name} is {value!r}; it must be a number > 0") from None
    if isinstance(value, bool) or not (math.isfinite(number) and number > 0.0):
        raise ModelError(f"{name} is {value!r}; it must be finite and > 0")
    return number
