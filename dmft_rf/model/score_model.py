"""The random-features score model that a user states: frozen, validated, hashable."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dmft_rf._arithmetic import ieee, lazy
from dmft_rf._convert import instance, number, one_of, shown
from dmft_rf._frozen import Frozen
from dmft_rf._stored import Arrays, Attributes, Stored
from dmft_rf.errors import ModelError
from dmft_rf.model.activation import Activation
from dmft_rf.model.coefficients import Coefficients, of_stated
from dmft_rf.model.columns import SampleClass, SampleGroups, sample_groups
from dmft_rf.model.covariance import Covariance
from dmft_rf.model.mixture import Mixture

Array = NDArray[np.float64]


@ieee
@dataclass(frozen=True)
class ScoreModel(Frozen):
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
        arrays. The model keeps what the function is when the model is made; `replace` looks again.
    covariance : Covariance or Mixture
        Law of the eigenvalues of Sigma, the identity by default; or those of several classes.
    noise_draws : float
        Noise draws m per sample in the training loss, fixed once and for all: an integer >= 1, or
        ``math.inf`` for the exact average over the noise.

    Raises
    ------
    ModelError
        If a parameter is outside its domain, the activation cannot learn a score
        (E[sigma(z) z] = 0), or it is linear with a Mixture or a finite number of noise draws (U has
        no more than d nonzero eigenvalues then, and the equations for samples in groups no
        noise of the features to stand on).
    """

    t: float
    psi_p: float
    psi_n: float
    activation: Activation | str | Callable[..., Any] = "tanh"
    covariance: Covariance | Mixture = field(default_factory=Covariance.isotropic)
    noise_draws: float = math.inf

    def __post_init__(self) -> None:
        put = object.__setattr__
        for name in ("t", "psi_p", "psi_n"):
            put(self, name, number(getattr(self, name), name, above=0.0))
        put(self, "activation", Activation.of(self.activation))
        instance(self.covariance, (Covariance, Mixture), "covariance", "Covariance([0.5, 1.5])")
        put(self, "noise_draws", checked_draws(self.noise_draws))
        if not min(one.coefficients.gamma2 for one in self.classes) > 1e-280:
            raise ModelError(f"t is {self.t!r}; at this time no trace of the data is left")
        if not self.closed_form and not any(
            one.coefficients.v2 + one.coefficients.s2 > 0.0 for one in self.classes
        ):
            assert isinstance(self.activation, Activation)
            raise ModelError(
                f"activation is {self.activation.name!r}; a linear one is solved for one class of "
                "data and noise that is averaged exactly only (noise_draws=math.inf)"
            )

    @lazy
    def coefficients(self) -> Coefficients:
        """Gaussian-equivalent coefficients of the activation at this t and this Tr Sigma/d.

        Raises ModelError for a Mixture: each of its ``classes`` has its own.
        """
        if isinstance(self.covariance, Mixture):
            raise ModelError("a mixture has coefficients for every class: see model.classes")
        assert isinstance(self.activation, Activation)
        return of_stated(self.activation, self.t, self.covariance.mean)

    @lazy
    def parameters(self) -> Array:
        """psi_p, psi_n, b^2, v^2, s^2, gamma^2: what the kernels need, shape (6,)."""
        c = self.coefficients
        return np.array([self.psi_p, self.psi_n, c.b**2, c.v2, c.s2, c.gamma2])

    @lazy
    def classes(self) -> tuple[SampleClass, ...]:
        """Classes of the data: their shares, coefficients and spectra; one for a Covariance."""
        assert isinstance(self.activation, Activation)
        cov = self.covariance
        if isinstance(cov, Covariance):
            return (SampleClass(1.0, self.coefficients, cov.eigenvalues, self.t),)
        return tuple(
            SampleClass(float(share), of_stated(self.activation, self.t, mean), lam, self.t)
            for share, lam in zip(cov.shares, cov.eigenvalues, strict=True)
            for mean in (float(cov.weights @ lam),)
        )

    @property
    def weights(self) -> Array:
        """Weights of the atoms of Sigma, shape (n_atoms,)."""
        return self.covariance.weights

    @property
    @ieee
    def diffused(self) -> Array:
        """Eigenvalues of Sigma_t = e^{-2t} Sigma + Delta_t, shaped like those of Sigma."""
        return math.exp(-2.0 * self.t) * self.covariance.eigenvalues + self.Delta_t

    @property
    def closed_form(self) -> bool:
        """Whether the two-unknown closed form applies: one class, noise averaged exactly."""
        return len(self.classes) == 1 and math.isinf(self.noise_draws)

    @lazy
    def groups(self) -> SampleGroups:
        """The groups of columns that U and V are made of."""
        return sample_groups(self.psi_p, self.psi_n, self.noise_draws, self.classes, self.weights)

    @property
    def Delta_t(self) -> float:
        """1 - e^{-2t}."""
        return self.classes[0].coefficients.Delta_t

    @property
    def rate(self) -> float:
        """alpha = 2 Delta_t/psi_p: an eigenvalue lambda of U relaxes at the rate alpha lambda."""
        return 2.0 * self.Delta_t / self.psi_p

    @property
    def residual_variance(self) -> float:
        """N = E sigma^2 - mu_0^2 - mu_1^2, averaged over the classes."""
        return sum(one.share * one.coefficients.residual_variance for one in self.classes)

    @property
    @ieee
    def initial_score_error(self) -> float:
        """Score error of the zero network, E|s*|^2/d = Tr Sigma_t^{-1}/d."""
        return sum(one.share * float(np.sum(self.weights / one.diffused)) for one in self.classes)

    @property
    @ieee
    def floor(self) -> float:
        """Test loss of the exact score, 1 - Delta_t Tr Sigma_t^{-1}/d, without cancellation."""
        signal = math.exp(-2.0 * self.t)
        return sum(
            one.share * float(np.sum(self.weights * signal * one.eigenvalues / one.diffused))
            for one in self.classes
        )

    def stored(self) -> Stored:
        """What a file holds of the model: its parameters, and the eigenvalues and their weights."""
        c = self.covariance
        assert isinstance(self.activation, Activation)
        attributes = {
            "t": self.t,
            "psi_p": self.psi_p,
            "psi_n": self.psi_n,
            "activation": self.activation.name,
            "noise_draws": float(self.noise_draws),
            "covariance_label": c.label,
            "dimension": c.dimension,
            "samples": c.samples,
            "d_eff": c.effective_dimension,
            "expected_finite_size_error": c.expected_finite_size_error,
        }
        arrays = {"eigenvalues": c.eigenvalues, "weights": c.weights}
        if isinstance(c, Mixture):
            arrays["shares"] = c.shares
        return attributes, arrays

    def replace(self, **changes: Any) -> Self:
        """A copy with some parameters changed, validated again."""
        from dataclasses import replace

        for name in changes:
            one_of(name, [f.name for f in fields(self)], "a parameter")
        return replace(self, **changes)


def stored_model(attributes: Attributes, arrays: Arrays) -> ScoreModel:
    """The model of `ScoreModel.stored`; KeyError if something of it is missing."""
    lam, w = arrays["eigenvalues"], arrays["weights"]
    about = {"label": attributes["covariance_label"], "dimension": attributes["dimension"]}
    law: Covariance | Mixture
    if "shares" in arrays:
        law = Mixture(arrays["shares"], lam, w, **about)
    else:
        law = Covariance(lam, w, samples=attributes["samples"], **about)
    names = ("t", "psi_p", "psi_n", "activation", "noise_draws")
    return ScoreModel(covariance=law, **{name: attributes[name] for name in names})


def checked_draws(value: Any) -> float:
    """``value`` as an integer from 1 to 1e13 (as a float) or infinity; ModelError otherwise.

    More draws than that differ from the exact average by less than rounding.
    """
    draws = number(value, "noise_draws", least=1.0, infinite=True)
    if draws != math.inf and (draws % 1.0 or draws > 1e13):
        raise ModelError(
            f"noise_draws is {shown(value)}; it must be an integer from 1 to 1e13, or math.inf for "
            "the exact average over the noise"
        )
    return draws
