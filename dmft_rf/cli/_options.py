"""Options of the commands, in groups that several commands share."""

from __future__ import annotations

import inspect
import math
import os
import sys
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from dmft_rf.errors import DataError, ModelError

if TYPE_CHECKING:
    from dmft_rf.model.covariance import Covariance
    from dmft_rf.model.score_model import ScoreModel
    from dmft_rf.rules.flow import Rule
    from dmft_rf.rules.stochastic import StochasticGradientDescent

Option = typer.Option


def _number(text: str | float) -> float:
    """Parse a number; the message names what was given."""
    return _parsed(float, text, "a number")


def _integer(text: str | int) -> int:
    return _parsed(int, text, "an integer")


def _parsed(kind: Callable[[Any], Any], text: Any, what: str) -> Any:
    """``kind(text)``, but for what Python allows besides: other scripts' digits, underscores.

    A default comes here too, as the number that it is.
    """
    try:
        if isinstance(text, str) and (not text.isascii() or "_" in text):
            raise ValueError
        return kind(text)
    except ValueError:
        from dmft_rf._convert import shown

        raise typer.BadParameter(f"{shown(text)} is not {what}") from None


# samples per dimension where no data say how many there are
_PSI_N = 8.0
# what reads a number, and its name in the help
_FLOAT: dict[str, Any] = {"parser": _number, "metavar": "NUMBER"}
_INT: dict[str, Any] = {"parser": _integer, "metavar": "INTEGER"}


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command whose parameters are option groups the options of all of them."""
    groups = {name: hint for name, hint in get_type_hints(command).items() if is_dataclass(hint)}
    parameters: list[inspect.Parameter] = []
    for group in groups.values():
        hints = get_type_hints(group, include_extras=True)
        for f in fields(group):
            default = inspect.Parameter.empty if f.default is MISSING else f.default
            parameters.append(
                inspect.Parameter(
                    f.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=default,
                    annotation=hints[f.name],
                )
            )

    def flat(**values: Any) -> None:
        command(
            **{
                name: group(**{f.name: values[f.name] for f in fields(group)})  # type: ignore[operator]
                for name, group in groups.items()
            }
        )

    flat.__name__, flat.__doc__ = command.__name__, command.__doc__
    flat.__annotations__ = {p.name: p.annotation for p in parameters}
    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return flat


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
        Option("--t", help="Diffusion time, > 0.", **_FLOAT),
    ] = 0.01
    psi_p: Annotated[
        float,
        Option("--psi-p", help="Features per dimension p/d, > 0.", **_FLOAT),
    ] = 64.0
    psi_n: Annotated[
        float | None,
        Option(
            "--psi-n",
            help=f"Samples per dimension n/d, > 0; by default that of --data, else {_PSI_N:g}.",
            **_FLOAT,
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
            **_FLOAT,
        ),
    ] = None
    atoms: Annotated[
        int | None,
        Option("--atoms", help="How many of them, k = 1 to d; by default 256.", **_INT),
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
            **_FLOAT,
        ),
    ] = math.inf
    rtol: Annotated[
        float,
        Option("--rtol", help="Relative accuracy of the losses, 1e-13 to 0.01.", **_FLOAT),
    ] = 1e-10

    def check(self) -> ScoreModel:
        """Return the model without its covariance: what is wrong here needs no data to be read."""
        from dmft_rf._convert import number
        from dmft_rf.model.score_model import ScoreModel

        psi_n = _PSI_N if self.psi_n is None else self.psi_n
        number(self.rtol, "rtol", least=1e-13, most=1e-2)
        return ScoreModel(self.t, self.psi_p, psi_n, self.activation, noise_draws=self.noise_draws)

    def build(self) -> Stated:
        """Return the model, with the covariance and, unless told otherwise, the n/d of the data."""
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
class OutputOptions:
    """Where results go."""

    out: Annotated[
        Path | None, Option("--out", metavar="FILE", help="HDF5 file (.h5) to write.")
    ] = None
    plot: Annotated[
        Path | None,
        Option(
            "--plot",
            metavar="FILE",
            help="Picture to write, .png or .pdf; one that is there is made anew.",
        ),
    ] = None
    json: Annotated[bool, Option("--json", help="Print JSON instead of a table.")] = False
    overwrite: Annotated[
        bool,
        Option("--overwrite", help="Replace a file of --out, or behind a link of --plot."),
    ] = False

    def check(self, data: str | None, *, resumed: bool = False) -> None:
        """Raise DataError for what could not be written; called before the work.

        A file of --out that is ``resumed`` may be that of a sweep: which one is found out later.
        """
        from dmft_rf._paths import path_of, same_file
        from dmft_rf.files.replace import check_output
        from dmft_rf.plotting.curves import ENDINGS

        if sys.stdout is None and self.out is None and self.plot is None:
            raise DataError(
                "standard output is closed, and neither --out nor --plot is given: the result "
                "would be lost"
            )
        for path, endings in ((self.out, (".h5", ".hdf5")), (self.plot, ENDINGS)):
            if path is None:
                continue
            begun = _sweep_in(path) if resumed and path == self.out else None
            if begun != "complete":  # which is only read, wherever it is
                replaced = self.replaces(path) or begun is not None
                check_output(path, overwrite=replaced, endings=endings)
            if data is not None and same_file(path, path_of(data, "--data")):
                raise DataError(f"{path}: is the file of --data and is not overwritten")
        if self.plot is not None:
            from dmft_rf.plotting.style import load_matplotlib

            load_matplotlib()

    def replaces(self, path: Path) -> bool:
        """Whether a file may be replaced: a picture that is no link; all with --overwrite."""
        picture = path == self.plot and os.path.isfile(path) and not os.path.islink(path)
        return self.overwrite or picture


def _sweep_in(path: Path) -> str | None:
    """What the file holds of a sweep: "complete", "begun" or None for nothing."""
    from dmft_rf.files.results import load

    try:
        sweeps = [run for run in load(path).values() if run.kind == "sweep"]
    except DataError:
        return None
    if not sweeps:
        return None
    return "complete" if all(run.attributes.get("complete") for run in sweeps) else "begun"


@dataclass(frozen=True)
class RuleOptions:
    """Training rule and times."""

    tau: Annotated[
        str | None,
        Option(
            "--tau",
            metavar="NUMBERS",
            help="Training times as 0,1,10,inf. By default 0, 24 times per decade from 0.03 times "
            "the shortest to 30 times the longest relaxation time of the spectrum, and inf.",
        ),
    ] = None
    rule: Annotated[
        str,
        Option(
            "--rule",
            help="gradient-flow, ridge, gradient-descent, heavy-ball or weight-average.",
        ),
    ] = "gradient-flow"
    weight_decay: Annotated[
        float | None,
        Option(
            "--weight-decay", help="All but ridge: omega >= 0, in units of U; default 0.", **_FLOAT
        ),
    ] = None
    ridge: Annotated[
        float | None,
        Option("--ridge", help="ridge: omega >= 0, in units of U; default 0.", **_FLOAT),
    ] = None
    step: Annotated[
        float | None,
        Option(
            "--step",
            help="gradient-descent, heavy-ball, SGD: tau per step, eta/d^2 for a learning rate "
            "eta; SGD without it is the limit of small steps.",
            **_FLOAT,
        ),
    ] = None
    momentum: Annotated[
        float | None,
        Option(
            "--momentum",
            help="heavy-ball, SGD: in [0, 1); default 0.9 for heavy-ball, 0 for SGD.",
            **_FLOAT,
        ),
    ] = None
    decay_time: Annotated[
        float | None,
        Option(
            "--decay-time",
            help="weight-average, SGD: time of the exponential average, in tau.",
            **_FLOAT,
        ),
    ] = None
    initial_std: Annotated[
        float | None,
        Option(
            "--initial-std",
            help="All but ridge: standard deviation of the initial weights A; default 0.",
            **_FLOAT,
        ),
    ] = None

    sgd_noise: Annotated[
        float | None,
        Option(
            "--sgd-noise",
            help="Mini-batch SGD with the noise eta/(d batch) of its steps, >= 0, in place of "
            "gradient flow.",
            **_FLOAT,
        ),
    ] = None
    learning_rate: Annotated[
        float | None,
        Option(
            "--learning-rate",
            help="SGD: eta, which gives the noise with --batch and --dimension.",
            **_FLOAT,
        ),
    ] = None
    batch: Annotated[
        int | None, Option("--batch", help="SGD: samples in a step; default 1.", metavar="INTEGER")
    ] = None
    dimension: Annotated[
        float | None,
        Option("--dimension", help="SGD: the d of the data, with --learning-rate.", **_FLOAT),
    ] = None

    def _stochastic(self) -> StochasticGradientDescent | None:
        """SGD, if an option of it is given."""
        from dmft_rf.rules.stochastic import StochasticGradientDescent

        if self.sgd_noise is None and self.learning_rate is None:
            for name in ("batch", "dimension"):
                if getattr(self, name) is not None:
                    raise ModelError(
                        f"--{name} is {getattr(self, name)!r}; it needs --learning-rate"
                        + (" or --sgd-noise" if name == "batch" else "")
                    )
            return None
        if self.rule != "gradient-flow":
            raise ModelError(f"--rule is {self.rule!r}; SGD has no other rule beside it")
        if self.ridge is not None:
            raise ModelError(f"--ridge is {self.ridge!r}, but SGD has no such option")
        options = {
            "momentum": self.momentum,
            "average": self.decay_time,
            "weight_decay": self.weight_decay,
            "initial_std": self.initial_std,
        }
        given: dict[str, Any] = {name: v for name, v in options.items() if v is not None}
        batch = 1 if self.batch is None else self.batch
        if self.learning_rate is None:
            if self.dimension is not None:
                raise ModelError(f"--dimension is {self.dimension!r}; it needs --learning-rate")
            return StochasticGradientDescent(
                self.sgd_noise,  # type: ignore[arg-type]
                batch,
                finite_steps=self.step,
                **given,
            )
        if self.sgd_noise is not None:
            raise ModelError("--sgd-noise and --learning-rate are two ways to state the noise")
        if self.dimension is None:
            raise ModelError(
                f"--learning-rate is {self.learning_rate!r}; the noise also needs --dimension, "
                "the d of the data"
            )
        if self.step is not None:
            raise ModelError(f"--step is {self.step!r}; --learning-rate and --dimension give it")
        return StochasticGradientDescent.from_run(
            learning_rate=self.learning_rate, batch=batch, dimension=self.dimension, **given
        )

    def build(self) -> Rule | StochasticGradientDescent:
        """Return the rule; ModelError for an option that it does not have."""
        stochastic = self._stochastic()
        if stochastic is not None:
            return stochastic
        from dmft_rf.rules import flow as rules
        from dmft_rf.rules import steps as descent

        shared = {"weight_decay": "weight_decay", "initial_std": "initial_std"}
        known: dict[str, tuple[type[Rule], dict[str, str]]] = {
            "gradient-flow": (rules.GradientFlow, shared),
            "ridge": (rules.Ridge, {"ridge": "weight"}),
            "gradient-descent": (descent.GradientDescent, {"step": "step", **shared}),
            "heavy-ball": (
                descent.HeavyBall,
                {"step": "step", "momentum": "momentum", **shared},
            ),
            "weight-average": (rules.WeightAverage, {"decay_time": "decay_time", **shared}),
        }
        if self.rule not in known:
            raise ModelError(f"--rule is {self.rule!r}; it must be one of {', '.join(known)}")
        kind, names = known[self.rule]
        options = ("weight_decay", "ridge", "step", "momentum", "decay_time", "initial_std")
        given = {name: getattr(self, name) for name in options if getattr(self, name) is not None}
        for name, value in given.items():
            if name not in names:
                flag = "--" + name.replace("_", "-")
                raise ModelError(f"{flag} is {value!r}, but --rule {self.rule} has no such option")
        for name in ("step", "decay_time"):
            if name in names and name not in given:
                raise ModelError(f"--rule {self.rule} needs --{name.replace('_', '-')}, > 0")
        return kind(**{names[name]: value for name, value in given.items()})


@dataclass(frozen=True)
class PencilOptions:
    """The pencil."""

    file: Annotated[Path, typer.Argument(metavar="FILE.toml", help="What states the pencil.")]
    latex: Annotated[
        bool, Option("--latex", help="Show the equations in LaTeX instead of plain text.")
    ] = False


@dataclass(frozen=True)
class RealRunOptions:
    """A real run whose steps are to be compared."""

    learning_rate: Annotated[
        float | None,
        Option(
            "--learning-rate", help="Also give the times in steps of this learning rate.", **_FLOAT
        ),
    ] = None
    dimension: Annotated[
        float | None,
        Option("--dimension", help="d of that run; by default that of --data.", **_FLOAT),
    ] = None


@dataclass(frozen=True)
class RunOptions:
    """Where points are computed."""

    workers: Annotated[
        int | None,
        Option("--workers", help="Worker processes; by default this process alone.", **_INT),
    ] = None
    dask: Annotated[
        str | None,
        Option(
            "--dask",
            metavar="ADDRESS",
            help="Scheduler of a Dask cluster, as tcp://host:8786 (extra 'dask').",
        ),
    ] = None


@dataclass(frozen=True)
class MapModelOptions(ModelOptions):
    """The model of a phase diagram, whose maps need less accuracy than a curve."""

    rtol: Annotated[
        float,
        Option("--rtol", help="Relative accuracy of the losses, 1e-13 to 0.01.", **_FLOAT),
    ] = 1e-6


@dataclass(frozen=True)
class PlaneOptions:
    """The plane of a phase diagram."""

    plane: Annotated[str, Option("--plane", help="n-p, n-t or n-tau.")] = "n-p"
    n_start: Annotated[
        float, Option("--n-from", help="First psi_n, samples per dimension.", **_FLOAT)
    ] = 1.0
    n_stop: Annotated[float, Option("--n-to", help="Last psi_n.", **_FLOAT)] = 4096.0
    n_points: Annotated[int, Option("--n-points", help="Values of psi_n, 1 to 4096.", **_INT)] = 64
    start: Annotated[
        float | None,
        Option(
            "--from",
            help="First value of the other axis; by default psi_p: 1, t: 0.003, tau: 1.",
            **_FLOAT,
        ),
    ] = None
    stop: Annotated[
        float | None,
        Option("--to", help="Last value; by default psi_p: 256, t: 1, tau: 1e7.", **_FLOAT),
    ] = None
    points: Annotated[
        int | None,
        Option("--points", help="Values; by default 64, tau: 200. Even in the logarithm.", **_INT),
    ] = None
    level: Annotated[
        float,
        Option(
            "--level",
            help="Generalization gap, in units of what there is to learn, from which on a network "
            "counts as overfitting.",
            **_FLOAT,
        ),
    ] = 0.1
    multiple: Annotated[
        float,
        Option("--multiple", help="c: overfitting at c tau_gen is called memorization.", **_FLOAT),
    ] = 3.0


@dataclass(frozen=True)
class SweepOptions:
    """What is swept."""

    over: Annotated[str, Option("--over", help="psi_n, psi_p, t or power-law.")] = "psi_n"
    start: Annotated[
        float | None,
        Option(
            "--from",
            help="First value; by default psi_n: psi_p/64, psi_p: 2 psi_n, t: 0.001, power-law: 0.",
            **_FLOAT,
        ),
    ] = None
    stop: Annotated[
        float | None,
        Option(
            "--to",
            help="Last value; by default psi_n: psi_p/2, psi_p: 64 psi_n, t: 0.3, power-law: 2.",
            **_FLOAT,
        ),
    ] = None
    points: Annotated[
        int,
        Option(
            "--points",
            help="Values, evenly spaced in the logarithm (power-law: evenly), 3 to 1000.",
            **_INT,
        ),
    ] = 11


def _columns(text: str) -> list[int]:
    """Return the column numbers of --leave-out."""
    try:
        return [] if text.strip() == "none" else [int(part) for part in text.split(",")]
    except ValueError:
        raise ModelError(
            f"--leave-out is {text!r}; it must be column numbers separated by commas, or none"
        ) from None


def numbers(name: str, text: str) -> list[float]:
    """Return the numbers of a list separated by commas."""
    from dmft_rf._convert import shown

    try:
        return [_number(part) for part in text.split(",")]
    except typer.BadParameter:
        raise ModelError(
            f"{name} is {shown(text)}; it must be numbers separated by commas"
        ) from None
