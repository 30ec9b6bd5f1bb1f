"""The options that state a model, and the model that they state."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Option

from dmft_rf.cli._parameters import INTEGER, NUMBER, numbers
from dmft_rf.errors import ModelError

if TYPE_CHECKING:
    from dmft_rf.model.covariance import Covariance
    from dmft_rf.model.score_model import ScoreModel

# samples per dimension where no data say how many there are
_PSI_N = 8.0


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
    """

    model: ScoreModel
    divisor: float | None
    psi_n_source: str
    data: str | None = None

    @property
    def psi_n_of_data(self) -> float | None:
        """Samples per dimension of the file."""
        c = self.model.covariance
        if self.data is None or c.samples is None or c.dimension is None:
            return None
        return c.samples / c.dimension


@dataclass(frozen=True)
class ModelOptions:
    """The model and the accuracy."""

    t: Annotated[
        float,
        Option("--t", help="Diffusion time, > 0.", **NUMBER),
    ] = 0.01
    psi_p: Annotated[
        float,
        Option("--psi-p", help="Features per dimension p/d, > 0.", **NUMBER),
    ] = 64.0
    psi_n: Annotated[
        float | None,
        Option(
            "--psi-n",
            help=f"Samples per dimension n/d, > 0; by default that of --data, else {_PSI_N:g}.",
            **NUMBER,
        ),
    ] = None
    activation: Annotated[
        str,
        Option("--activation", help="tanh, relu, erf, sigmoid, softplus, gelu or linear."),
    ] = "tanh"
    eigenvalues: Annotated[
        str | None,
        Option(
            "--eigenvalues",
            metavar="NUMBERS",
            help="Eigenvalues of the covariance, as 0.5,1.5; the identity by default.",
        ),
    ] = None
    weights: Annotated[
        str | None,
        Option(
            "--weights",
            metavar="NUMBERS",
            help="Their fractions, summing to 1; equal by default.",
        ),
    ] = None
    power_law: Annotated[
        float | None,
        Option(
            "--power-law",
            help="Eigenvalues proportional to k^-NUMBER instead, with mean 1.",
            **NUMBER,
        ),
    ] = None
    atoms: Annotated[
        int | None,
        Option("--atoms", help="How many of them, k = 1 to d; by default 256.", **INTEGER),
    ] = None
    data: Annotated[
        str | None,
        Option(
            "--data",
            metavar="FILE",
            help="Samples instead, one per row: .npy, .npz, .csv, .txt, .h5, .hdf5, or the "
            "bundled data set 'digits'.",
        ),
    ] = None
    dataset: Annotated[
        str | None,
        Option("--dataset", metavar="NAME", help="Which array of an .npz or .h5 file."),
    ] = None
    header: Annotated[
        bool | None,
        Option(
            "--header/--no-header",
            help="Whether the first line of a .csv or .txt file is a header; found out by default.",
            show_default=False,
        ),
    ] = None
    leave_out: Annotated[
        str | None,
        Option(
            "--leave-out",
            metavar="COLUMNS",
            help="Columns of --data that are no features, such as labels, counted from 1, or from "
            "the end, as 1,-1; none if all are. By default what looks like one is refused.",
        ),
    ] = None
    normalize: Annotated[
        bool | None,
        Option(
            "--normalize/--no-normalize",
            help="Divide the eigenvalues of --data by their mean, so that pixels have variance 1 "
            "on average; done by default.",
            show_default=False,
        ),
    ] = None
    center: Annotated[
        bool | None,
        Option(
            "--center/--no-center",
            help="Take the mean of the samples out of --data; done by default.",
            show_default=False,
        ),
    ] = None
    noise_draws: Annotated[
        float,
        Option(
            "--noise-draws",
            help="Noise draws per sample in the training loss, drawn once: an integer >= 1, or inf "
            "for the exact average.",
            **NUMBER,
        ),
    ] = math.inf
    rtol: Annotated[
        float,
        Option("--rtol", help="Relative accuracy of the losses, 1e-13 to 0.01.", **NUMBER),
    ] = 1e-10

    def check(self) -> ScoreModel:
        """Return the model without its covariance: what is wrong here needs no data to be read."""
        from dmft_rf._convert import number
        from dmft_rf.model.score_model import ScoreModel

        psi_n = _PSI_N if self.psi_n is None else self.psi_n
        number(self.rtol, "rtol", least=1e-13, most=1e-2)
        return ScoreModel(self.t, self.psi_p, psi_n, self.activation, noise_draws=self.noise_draws)

    def build(self) -> Stated:
        """Return the model, with the covariance and the n/d of the data unless --psi-n is given."""
        model = self.check()
        law, divisor = self._covariance()
        if law is None:
            return Stated(model, divisor, "default" if self.psi_n is None else "option")
        model = model.replace(covariance=law)
        if self.data is None or self.psi_n is not None:
            return Stated(model, divisor, "default" if self.psi_n is None else "option", self.data)
        assert law.samples is not None
        assert law.dimension is not None
        model = model.replace(psi_n=law.samples / law.dimension)
        return Stated(model, divisor, "data", self.data)

    def _covariance(self) -> tuple[Covariance | None, float | None]:
        from dmft_rf.model.covariance import Covariance

        if self.data is None:
            for name in ("dataset", "header", "leave_out", "normalize", "center"):
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
            weights = None if self.weights is None else numbers("--weights", self.weights)
            return Covariance(numbers("--eigenvalues", self.eigenvalues), weights), None
        for name in ("eigenvalues", "weights", "power_law", "atoms"):
            if (value := getattr(self, name)) is not None:
                raise ModelError(
                    f"--{name.replace('_', '-')} is {value!r}, but --data gives the eigenvalues"
                )
        from dmft_rf.data.read import read_covariance

        law = read_covariance(
            self.data,
            center=self.center is not False,
            dataset=self.dataset,
            header=self.header,
            leave_out=None if self.leave_out is None else _columns(self.leave_out),
        )
        if self.normalize is False:
            return law, None
        return law.normalized(), law.mean


@dataclass(frozen=True)
class MapModelOptions(ModelOptions):
    """The model of a phase diagram, whose maps need less accuracy than a curve."""

    rtol: Annotated[
        float,
        Option("--rtol", help="Relative accuracy of the losses, 1e-13 to 0.01.", **NUMBER),
    ] = 1e-6


def _columns(text: str) -> list[int]:
    """Return the column numbers of --leave-out."""
    try:
        return [] if text.strip() == "none" else [int(part) for part in text.split(",")]
    except ValueError:
        raise ModelError(
            f"--leave-out is {text!r}; it must be column numbers separated by commas, or none"
        ) from None
