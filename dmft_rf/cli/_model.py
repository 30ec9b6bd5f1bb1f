"""The options that state a model, and the model that they state."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from dmft_rf.cli._data_options import DataOptions, NoiseLevelOptions, SizeOptions, scale_advice
from dmft_rf.cli._frame import say
from dmft_rf.cli._parameters import numbers, option
from dmft_rf.errors import ModelError

if TYPE_CHECKING:
    from dmft_rf.model.covariance import Covariance
    from dmft_rf.model.score_model import ScoreModel

# features per dimension where nothing else is said, and samples where no data say how many
_PSI_P, _PSI_N = 64.0, 8.0


@dataclass(frozen=True)
class Stated:
    """The model of a command, and where it is from.

    Attributes
    ----------
    model : ScoreModel
    divisor : float or None
        By what the eigenvalues of the data were divided.
    psi_n_source : str
        "option", "data" (the n/d of the file) or "default".
    data : str or None
        What --data named.
    origin : dict
        What the user stated instead of t, psi_p or psi_n, by their names.
    """

    model: ScoreModel
    divisor: float | None
    psi_n_source: str
    data: str | None = None
    origin: dict[str, str] = field(default_factory=dict)

    @property
    def psi_n_of_data(self) -> float | None:
        """Samples per dimension of the file."""
        c = self.model.covariance
        if self.data is None or c.samples is None or c.dimension is None:
            return None
        return c.samples / c.dimension


@dataclass(frozen=True)
class ModelOptions(DataOptions, SizeOptions, NoiseLevelOptions):
    """Model: what is solved, and how accurately."""

    _WIDTH: ClassVar[float] = _PSI_P

    t: float | None = option("Diffusion time, > 0; by default 0.01.")
    psi_p: float | None = option(
        f"Features per dimension p/d; by default {_PSI_P:g}. > 0, or inf for the limit of "
        "wide networks."
    )
    psi_n: float | None = option(
        f"Samples per dimension n/d; by default {_PSI_N:g}, or of --data. > 0."
    )
    activation: str = option(
        "tanh, relu, erf, sigmoid, softplus, gelu or linear.", default="tanh", metavar="NAME"
    )
    eigenvalues: str | None = option(
        "Eigenvalues of the covariance, as 0.5,1.5. Or a file of them (.txt, .csv, .npy, .h5), "
        "with weights in a second column; the identity by default.",
        metavar="NUMBERS|FILE",
    )
    weights: str | None = option(
        "Their fractions, summing to 1; equal by default.", metavar="NUMBERS"
    )
    power_law: float | None = option("Eigenvalues proportional to k^-NUMBER instead, with mean 1.")
    atoms: int | None = option("How many of them, k = 1 to d; by default 256.")
    data: str | None = option(
        "Samples, a folder of images, or the bundled 'digits'. In place of eigenvalues; one "
        "sample per row of an .npy, .npz, .csv, .txt, .h5 or .hdf5 file; or what 'dmft-rf "
        "covariance' wrote.",
        metavar="FILE",
    )
    scale: float | None = option(
        "Multiply the samples of --data by this number, > 0, instead of dividing their "
        "eigenvalues by the mean: 0.00784 where a network sees pixels 0 to 255 as -1 to 1."
    )
    normalize: bool | None = option(
        "Divide the eigenvalues of --data by their mean, so that pixels have variance 1 on "
        "average; done by default.",
        flag="--normalize/--no-normalize",
        show_default=False,
    )
    noise_draws: float = option(
        "Noise draws per sample in the training loss, drawn once: an integer >= 1, or inf for the "
        "exact average.",
        default=math.inf,
    )
    rtol: float = option("Relative accuracy of the losses, 1e-13 to 0.01.", default=1e-10)

    def check(self) -> ScoreModel:
        """Return the model without its covariance: what is wrong here needs no data to be read."""
        from dmft_rf._convert import number
        from dmft_rf.model.score_model import ScoreModel

        self.check_sizes(self.psi_p, self.psi_n)
        psi_n = _PSI_N if self.psi_n is None else self.psi_n
        psi_p = self._WIDTH if self.psi_p is None else self.psi_p
        number(self.rtol, "rtol", least=1e-13, most=1e-2)
        t, _ = self.time(self.t)
        return ScoreModel(t, psi_p, psi_n, self.activation, noise_draws=self.noise_draws)

    def build(self) -> Stated:
        """Return the model, with the covariance and, unless told otherwise, the n/d of the data."""
        model = self.check()
        law, divisor = self._covariance()
        if law is not None:
            model = model.replace(covariance=law)
        sizes, words = self.sizes(model.covariance.dimension)
        level = self.time(self.t)[1]
        source = "default" if self.psi_n is None and self.samples is None else "option"
        if law is not None and self.data is not None:
            if source == "default" and law.samples is not None and law.dimension is not None:
                sizes["psi_n"], source = law.samples / law.dimension, "data"
            mean = law.mean if divisor is None else law.mean * divisor
            advice = scale_advice(mean, divisor is None, level) if self.scale is None else None
            if advice is not None:
                say("warning", advice)
        if sizes:
            model = model.replace(**sizes)
        if level is not None:
            words["t"] = level
        return Stated(model, divisor, source, self.data, words)

    def _covariance(self) -> tuple[Covariance | None, float | None]:
        from dmft_rf.model.covariance import Covariance

        if self.data is None:
            for name in (
                "dataset", "header", "leave_out", "normalize", "center", "resize", "grey", "scale",
            ):  # fmt: skip
                if getattr(self, name) is not None:
                    flag = f"--{name.replace('_', '-')}"
                    raise ModelError(f"{flag} is an option of --data, which is not given")
            if self.power_law is not None:
                if self.eigenvalues is not None or self.weights is not None:
                    raise ModelError("--power-law and --eigenvalues exclude one another")
                atoms = 256 if self.atoms is None else self.atoms
                return Covariance.power_law(self.power_law, atoms), None
            if self.atoms is not None:
                raise ModelError(f"--atoms is {self.atoms!r}, but --power-law is not given")
            if self.eigenvalues is None:
                if self.weights is not None:
                    raise ModelError(
                        f"--weights is {self.weights!r}, but --eigenvalues is not given"
                    )
                return None, None
            from dmft_rf.data.eigenvalues import ENDINGS, read_eigenvalues

            if self.eigenvalues.lower().endswith(ENDINGS):
                if self.weights is not None:
                    raise ModelError(
                        f"--weights is {self.weights!r}, but --eigenvalues is a file: weights are "
                        "its second column"
                    )
                return read_eigenvalues(self.eigenvalues), None
            weights = None if self.weights is None else numbers("--weights", self.weights)
            return Covariance(numbers("--eigenvalues", self.eigenvalues), weights), None
        for name in ("eigenvalues", "weights", "power_law", "atoms"):
            if (value := getattr(self, name)) is not None:
                raise ModelError(
                    f"--{name.replace('_', '-')} is {value!r}, but --data gives the eigenvalues"
                )
        if self.scale is not None:
            from dmft_rf._convert import number

            if self.normalize is not None:
                raise ModelError("--scale and --normalize or --no-normalize exclude one another")
            factor = number(self.scale, "--scale", above=0.0, least=1e-50, most=1e50) ** 2
            return self.read(self.data).scaled(factor), 1.0 / factor
        law = self.read(self.data)
        if self.normalize is False:
            return law, None
        return law.normalized(), law.mean


@dataclass(frozen=True)
class MapModelOptions(ModelOptions):
    """Model: accuracy, of which maps need less than a curve."""

    rtol: float = option("Relative accuracy of the losses, 1e-13 to 0.01.", default=1e-06)


@dataclass(frozen=True)
class FitModelOptions(ModelOptions):
    """Model: what is fixed, and where what is free starts."""

    rtol: float = option("Relative accuracy of the losses, 1e-13 to 0.01.", default=1e-8)


@dataclass(frozen=True)
class WideModelOptions(ModelOptions):
    """Model: width and accuracy, at all diffusion times."""

    _WIDTH: ClassVar[float] = math.inf

    psi_p: float | None = option("Features per dimension p/d; by default inf. > 0.")
    rtol: float = option("Relative accuracy of the numbers, 1e-12 to 0.01.", default=1e-09)

    def time(self, t: float | None) -> tuple[float, str | None]:
        """Any diffusion time: it plays no part, and none can be given."""
        found = super().time(t)
        if t is not None or found[1] is not None:
            raise ModelError(
                "a diffusion time is given; what is generated depends on all of them, from "
                "--t-start down to --t-end"
            )
        return found
