"""The random-features score model that a user states: frozen, validated, hashable."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Self

from numpy.typing import ArrayLike

from dmft_rf import _above
from dmft_rf._arithmetic import ieee, lazy
from dmft_rf._convert import instance, number, one_of, shown
from dmft_rf._stored import Arrays, Attributes, Stored
from dmft_rf._typing import Array
from dmft_rf.errors import DataError, ModelError, one_line
from dmft_rf.model.activation import Activation
from dmft_rf.model.coefficients import Coefficients, of_stated
from dmft_rf.model.columns import SampleClass, SampleGroups, sample_groups
from dmft_rf.model.covariance import Covariance
from dmft_rf.model.feature_model import FeatureModel
from dmft_rf.model.mixture import Mixture
from dmft_rf.model.practice import check_scale, psi_n_of, psi_p_of


@ieee
@dataclass(frozen=True, repr=False)
class ScoreModel(FeatureModel):
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
        Features and samples per dimension, > 0. psi_p may be ``math.inf``: eigenvalues of U,
        weight decay and the size of the weights are then counted in units of psi_p.
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
            wide = name == "psi_p"
            put(self, name, number(getattr(self, name), name, above=0.0, infinite=wide))
        put(self, "activation", Activation.of(self.activation))
        instance(self.covariance, (Covariance, Mixture), "covariance", "Covariance([0.5, 1.5])")
        put(self, "noise_draws", checked_draws(self.noise_draws))
        if math.isinf(self.psi_p):
            self._check_infinite_width()
        if not min(one.coefficients.gamma2 for one in self.classes) > 1e-280:
            raise ModelError(f"t is {self.t!r}; at this time no trace of the data is left")
        if not self.groups.closed_form and not any(
            one.coefficients.v2 + one.coefficients.s2 > 0.0 for one in self.classes
        ):
            assert isinstance(self.activation, Activation)
            raise ModelError(
                f"activation is {self.activation.name!r}; a linear one is solved for one class of "
                "data and noise that is averaged exactly only (noise_draws=math.inf)"
            )

    def _check_infinite_width(self) -> None:
        what = None
        if isinstance(self.covariance, Mixture):
            what = "a Mixture"
        elif math.isfinite(self.noise_draws):
            what = f"noise_draws = {self.noise_draws:g}"
        if what is not None:
            raise ModelError(
                f"psi_p is inf with {what}; infinite width is solved for one class of data and "
                "noise that is averaged exactly, where all is a function of the sample covariance; "
                "losses approach it like 1/psi_p: extrapolate from psi_p = 1e4 and 1e5"
            )

    @property
    def label(self) -> str:
        """Its parameters in a line."""
        assert isinstance(self.activation, Activation)
        return f"{super().label}, {self.activation.name}, {self.covariance.label}"

    def __repr__(self) -> str:
        return one_line(f"ScoreModel({self.label})", 98)

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

    @lazy
    def groups(self) -> SampleGroups:
        """The groups of columns that U and V are made of."""
        return sample_groups(self.psi_p, self.psi_n, self.noise_draws, self.classes, self.weights)

    @classmethod
    def of(
        cls,
        *,
        t: float,
        data: Covariance | Mixture | ArrayLike | str | os.PathLike[str],
        n: int | None = None,
        parameters: float | None = None,
        psi_n: float | None = None,
        psi_p: float | None = None,
        activation: Activation | str | Callable[..., Any] = "tanh",
        noise_draws: float = math.inf,
    ) -> Self:
        """The model in the numbers that a real run has.

        Parameters
        ----------
        t : float
            Diffusion time, > 0; `dmft_rf.units` has it from noise levels of schedules.
        data : Covariance, Mixture, array_like of shape (n, d) or (n, height, width, ...), or path
            The samples, at the scale at which the network sees them; what `Covariance.from_samples`
            or `read_covariance` takes, or what they return.
        n : int, optional
            Number of samples, by default that of the data. psi_n = n/d.
        parameters : float, optional
            Number P of trained parameters. The trained layer A of the theory has d x p of them, so
            that psi_p = p/d = P/d^2.
        psi_n, psi_p : float, optional
            Instead of n and of parameters.
        activation, noise_draws
            As of the class.

        Raises
        ------
        ModelError
            If a parameter is outside its domain, is given twice or is missing.
        DataError
            If the file of the data cannot be used.

        Warns
        -----
        DataScaleWarning
            If the mean eigenvalue of samples is above 100 or below 1/3, as that of pixels from 0 to
            255 or from -1 to 1: that of the noise is 1.
        SampleSizeWarning
            If there are fewer than 10 d samples.

        Examples
        --------
        >>> images = Covariance([0.5, 1.5], dimension=64, samples=512)
        >>> model = ScoreModel.of(t=0.1, data=images, parameters=64**2 * 8)
        >>> model.psi_n, model.psi_p
        (8.0, 8.0)
        """
        for name, value, other, same in (
            ("n", n, "psi_n", psi_n),
            ("parameters", parameters, "psi_p", psi_p),
        ):
            if value is not None and same is not None:
                raise ModelError(f"{name} is {shown(value)} and {other} {shown(same)}; give one")
        if parameters is None and psi_p is None:
            raise ModelError("parameters or psi_p must be given, the size of the network")
        law = _law_of(data)
        if n is None and psi_n is None:
            if law.samples is None:
                raise ModelError("n or psi_n must be given: the data do not say how many they are")
            n = law.samples
        if n is not None:
            psi_n = psi_n_of(n, law.dimension)
        if parameters is not None:
            psi_p = psi_p_of(parameters, law.dimension)
        assert psi_n is not None
        assert psi_p is not None
        model = cls(t, psi_p, psi_n, activation, law, noise_draws)
        check_scale(law, stacklevel=3)  # one of them is that of `ieee`
        return model

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
        }
        law, arrays = c.stored()
        return {**attributes, **law}, arrays

    def replace(self, **changes: Any) -> Self:
        """A copy with some parameters changed, validated again."""
        from dataclasses import replace

        for name in changes:
            one_of(name, [f.name for f in fields(self)], "a parameter")
        return replace(self, **changes)


def _law_of(data: Any) -> Covariance | Mixture:
    """The covariance of what a caller has: it, an array of samples or a path."""
    if isinstance(data, Covariance | Mixture):
        return data
    if isinstance(data, str | os.PathLike):
        found: Covariance = _above.read_covariance(data)
        return found
    return Covariance.from_samples(data)


def stored_model(attributes: Attributes, arrays: Arrays) -> ScoreModel:
    """The model of `ScoreModel.stored`; KeyError if something of it is missing."""
    if "rows_sha256" in attributes:
        raise DataError(
            "this run is of an ImageModel, whose samples no file of results holds: load(path) has "
            "its numbers"
        )
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
