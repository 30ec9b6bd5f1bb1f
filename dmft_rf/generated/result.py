"""What `generation` finds at infinite width: numbers, and the generated covariance."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dmft_rf._frozen import Frozen
from dmft_rf._show import Shown, Table, over_times, table_over_times
from dmft_rf._stored import Arrays, Attributes, Stored
from dmft_rf.errors import ModelError
from dmft_rf.generated.divergences import NAMES
from dmft_rf.model.activation import Activation
from dmft_rf.model.covariance import Covariance
from dmft_rf.model.score_model import ScoreModel, stored_model

Array = NDArray[np.float64]
Schedule = str | Callable[[Array], Any]

SCHEDULES = ("score", "noise")
SAMPLERS = ("sde", "ode")


@dataclass(frozen=True, eq=False, repr=False)
class GeneratedCovariance(Frozen):
    """The covariance of what is generated, beside that of the sample.

    Attributes
    ----------
    sample : (n,) array
        Eigenvalues x of the sample covariance: points that resolve its law.
    weights : (n,) array
        sum_j weights_j f(x_j) is the average of f over that law.
    eigenvalues : array of shape tau.shape + (n,)
        Lambda(x), the variance that is generated along each eigenvector.
    """

    sample: Array
    weights: Array
    eigenvalues: Array

    def __repr__(self) -> str:
        return f"<GeneratedCovariance at {self.sample.size} eigenvalues of the sample's>"


@dataclass(frozen=True, eq=False, repr=False)
class Generation(Shown):
    """The law of what is generated at infinite width; arrays have the shape of ``tau``.

    All quantities are per dimension. ``reverse_kl`` and what only needs covariances are exact, and
    for a positively homogeneous activation so is ``kl``. For others ``kl`` is the divergence
    between the two Gaussian laws of these covariances: at the radius of the data the
    density of what is generated is a large deviation.

    Attributes
    ----------
    tau
        Training time.
    kl, reverse_kl
        KL(data || generated) and KL(generated || data).
    frechet
        Upper bound of the squared Frechet (Wasserstein-2) distance, equal to it for Sigma = I.
    overlap
        Tr C_t Lambda/Tr Sigma_t Lambda: 1 if nothing of the sample is in what is generated, about
        1 + 1/psi_n if its law is N(0, C).
    likelihood_gap
        (Tr Sigma_t Lambda^{-1} - Tr C_t Lambda^{-1})/(2 d), the mean difference in log-likelihood
        between training and fresh samples: what a membership test sees.
    split_distance
        Mean squared distance between what two models trained on disjoint samples make of the same
        noise by the map sqrt(Lambda), over that of independent draws. For the ODE that map is the
        sampler itself.
    trace
        Tr Lambda/d.
    error
        Estimated absolute errors of these, by name.
    covariance
        Lambda as a function of the eigenvalues of the sample covariance.
    t, gain, trace_along
        Diffusion times of the process, shape (n,), from t_start down; the gain rho_t, by which the
        linear part of the activation differs from the one it was trained with; and the trace of
        what is generated there, both of shape tau.shape + (n,).
    schedule, sampler, t_start, t_end
        As given.
    activation, psi_n, data
        What was trained, on how many samples per dimension, of which covariance.
    """

    kind: ClassVar[str] = "generation"

    tau: Array
    kl: Array
    reverse_kl: Array
    frechet: Array
    overlap: Array
    likelihood_gap: Array
    split_distance: Array
    trace: Array
    error: dict[str, Array]
    covariance: GeneratedCovariance
    t: Array
    gain: Array
    trace_along: Array
    schedule: Schedule
    sampler: str
    t_start: float
    t_end: float
    activation: Activation
    psi_n: float
    data: Covariance

    def _about(self) -> str:
        return (
            f"t from {self.t_start:g} to {self.t_end:g}, sampler {self.sampler}; psi_n = "
            f"{self.psi_n:.6g}, {self.activation.name}, {self.data.label}"
        )

    def _table(self) -> Table:
        columns = {name: getattr(self, name) for name in NAMES}
        columns |= {f"{name}_error": error for name, error in self.error.items()}
        dims, law = over_times(self.tau), self.covariance
        return table_over_times(
            self.tau,
            columns,
            t=("t", self.t),
            gain=((*dims, "t"), self.gain),
            trace_along=((*dims, "t"), self.trace_along),
            sample=("eigenvalue", law.sample),
            weights=("eigenvalue", law.weights),
            generated=((*dims, "eigenvalue"), law.eigenvalues),
        )

    @property
    def model(self) -> ScoreModel:
        """The network and its data as a model; its diffusion time plays no part."""
        return ScoreModel(1.0, math.inf, self.psi_n, self.activation, self.data)

    def stored(self) -> Stored:
        """What a file holds: every number with its error, the covariance, and what was stated."""
        attributes, arrays = self.model.stored()
        del attributes["t"]
        named = self.schedule if isinstance(self.schedule, str) else "function"
        attributes |= {"schedule": named, "sampler": self.sampler}
        attributes |= {"t_start": self.t_start, "t_end": self.t_end}
        for name in ("tau", *NAMES, "gain", "trace_along"):
            arrays[name] = getattr(self, name)
        arrays |= {f"{name}_error": error for name, error in self.error.items()}
        arrays["diffusion_times"] = self.t
        law = self.covariance
        arrays |= {"sample": law.sample, "sample_weights": law.weights}
        return attributes, {**arrays, "generated": law.eigenvalues}


def stored_generation(attributes: Attributes, arrays: Arrays) -> Generation:
    """The law of `Generation.stored`; KeyError if something of it is missing."""
    if attributes["schedule"] not in SCHEDULES:
        raise ModelError("the schedule was a function of the user's, which no file can hold")
    model = stored_model({**attributes, "t": 1.0}, arrays)
    assert isinstance(model.activation, Activation)
    assert isinstance(model.covariance, Covariance)
    numbers: dict[str, Any] = {name: arrays[name] for name in NAMES}
    return Generation(
        **numbers,
        tau=arrays["tau"],
        error={name: arrays[f"{name}_error"] for name in NAMES},
        covariance=GeneratedCovariance(
            arrays["sample"], arrays["sample_weights"], arrays["generated"]
        ),
        t=arrays["diffusion_times"],
        gain=arrays["gain"],
        trace_along=arrays["trace_along"],
        schedule=attributes["schedule"],
        sampler=attributes["sampler"],
        t_start=attributes["t_start"],
        t_end=attributes["t_end"],
        activation=model.activation,
        psi_n=model.psi_n,
        data=model.covariance,
    )
