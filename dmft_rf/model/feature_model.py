"""What the spectrum, the solver and the losses read of a model: a further one plugs in here."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np

from dmft_rf._arithmetic import ieee
from dmft_rf._frozen import Frozen
from dmft_rf._stored import Stored
from dmft_rf._typing import Array
from dmft_rf.model.columns import SampleClass, SampleGroups


class FeatureModel(Frozen, ABC):
    """A linear score on frozen features, reduced to what its equations and losses depend on.

    A model has to provide

    - ``t``, ``psi_p``, ``psi_n``: diffusion time, features and samples per dimension;
    - ``noise_draws``: draws per sample in the training loss, ``math.inf`` for the exact average;
    - ``weights``: those of the atoms of Sigma, which every function of Sigma is given at;
    - ``groups``: the columns that U and V are sums of. They are all that the spectrum, the
      one-point equations (`Resolvent`) and the two-point functions see. A model of other equations
      has to fill z, k, dk and E of a `Resolvent`, and the solution at z = 0 of a `Spectrum`;
    - ``classes``: what the losses weigh, the classes of data with their exact scores;
    - `stored` and `replace`.

    The rest follows from these. It can be overridden: ``rate`` is the unit of time.
    """

    t: float
    psi_p: float
    psi_n: float
    noise_draws: float
    #: Relative accuracy of `solve` unless another is asked for.
    usual_rtol = 1e-10

    @property
    @abstractmethod
    def weights(self) -> Array:
        """Weights of the atoms of Sigma, shape (n_atoms,)."""

    @property
    @abstractmethod
    def classes(self) -> tuple[SampleClass, ...]:
        """Classes of the data: their shares, coefficients and spectra."""

    @property
    @abstractmethod
    def groups(self) -> SampleGroups:
        """The groups of columns that U and V are made of."""

    @property
    def closed_form(self) -> bool:
        """Whether the closed form of one group of columns applies."""
        return self.groups.closed_form

    @abstractmethod
    def stored(self) -> Stored:
        """What a file holds of the model."""

    @abstractmethod
    def replace(self, **changes: Any) -> Self:
        """A copy with some parameters changed, validated again."""

    @property
    def label(self) -> str:
        """Its parameters in a line."""
        sizes = f"t = {self.t:.6g}, psi_p = {self.psi_p:.6g}, psi_n = {self.psi_n:.6g}"
        return sizes if math.isinf(self.noise_draws) else f"{sizes}, m = {self.noise_draws:g}"

    @property
    def Delta_t(self) -> float:
        """1 - e^{-2t}."""
        return self.classes[0].coefficients.Delta_t

    @property
    def unit(self) -> float:
        """What eigenvalues of U are counted in: 1, and psi_p at infinite width."""
        return self.psi_p if math.isfinite(self.psi_p) else 1.0

    @property
    def rate(self) -> float:
        """alpha = 2 Delta_t/psi_p: an eigenvalue lambda of U relaxes at the rate alpha lambda.

        At infinite width, with lambda in units of psi_p, 2 Delta_t.
        """
        return 2.0 * self.Delta_t / self.unit

    @property
    def residual_variance(self) -> float:
        """N = E sigma^2 - mu_0^2 - mu_1^2, averaged over the classes."""
        return sum(one.share * one.coefficients.residual_variance for one in self.classes)

    @property
    def learned_noise(self) -> float:
        """What S_VV[h^2] weighs in the score error: N, and 0 at infinite width.

        There the trained network averages the noise of its features out.
        """
        return self.residual_variance if math.isfinite(self.psi_p) else 0.0

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
