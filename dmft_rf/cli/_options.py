"""The options of the commands beside the model: output, rule, sweeps, workers."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from dmft_rf.cli._parameters import INTEGER, NUMBER
from dmft_rf.errors import DataError, ModelError

if TYPE_CHECKING:
    from dmft_rf.rules.flow import Rule
    from dmft_rf.rules.stochastic import StochasticGradientDescent


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
            help="Picture to write, .png, .pdf or .svg; one that is there is made anew.",
        ),
    ] = None
    csv: Annotated[
        Path | None,
        Option("--csv", metavar="FILE", help="The main table with all digits, as .csv."),
    ] = None
    json: Annotated[bool, Option("--json", help="Print JSON instead of a table.")] = False
    overwrite: Annotated[
        bool,
        Option("--overwrite", help="Replace a file of --out or --csv, or behind a link of --plot."),
    ] = False

    def check(self, data: str | None, *, resumed: bool = False) -> None:
        """Raise DataError for what could not be written; called before the work.

        A file of --out that is ``resumed`` may be that of a sweep: which one is found out later.
        """
        from dmft_rf._paths import path_of, same_file
        from dmft_rf.files.replace import check_output
        from dmft_rf.plotting.style import ENDINGS, load_matplotlib

        files = (self.out, self.plot, self.csv)
        if sys.stdout is None and files == (None, None, None):
            raise DataError(
                "standard output is closed, and none of --out, --plot and --csv is given: the "
                "result would be lost"
            )
        for path, endings in zip(files, ((".h5", ".hdf5"), ENDINGS, (".csv",)), strict=True):
            if path is None:
                continue
            found = _sweep_in(path) if resumed and path == self.out else None
            if found != "complete":  # which is only read, wherever it is
                replaced = self.replaces(path) or found is not None
                check_output(path, overwrite=replaced, endings=endings)
            if data is not None and same_file(path, path_of(data, "--data")):
                raise DataError(f"{path}: is the file of --data and is not overwritten")
        if self.plot is not None:
            load_matplotlib()

    def replaces(self, path: Path) -> bool:
        """Whether a file may be replaced: a picture that is no link; all with --overwrite."""
        picture = path == self.plot and os.path.isfile(path) and not os.path.islink(path)
        return self.overwrite or picture


def _sweep_in(path: Path) -> str | None:
    """Whether the file holds a sweep that is "complete" or "unfinished"; None if it holds none."""
    from dmft_rf.files.results import load

    try:
        sweeps = [run for run in load(path).values() if run.kind == "sweep"]
    except DataError:
        return None
    if not sweeps:
        return None
    return "complete" if all(run.attributes.get("complete") for run in sweeps) else "unfinished"


@dataclass(frozen=True)
class PartsOptions:
    """What is shown of the curves."""

    parts: Annotated[
        bool,
        Option(
            "--parts",
            help="The parts of the score error (bias, variance, noise) in place of the losses, and "
            "when each direction of the data is learned and lost.",
        ),
    ] = False


@dataclass(frozen=True)
class RuleOptions:
    """Training rule."""

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
            "--weight-decay", help="All but ridge: omega >= 0, in units of U; default 0.", **NUMBER
        ),
    ] = None
    ridge: Annotated[
        float | None,
        Option("--ridge", help="ridge: omega >= 0, in units of U; default 0.", **NUMBER),
    ] = None
    step: Annotated[
        float | None,
        Option(
            "--step",
            help="gradient-descent, heavy-ball, SGD: tau per step, eta/d^2 for a learning rate "
            "eta; SGD without it is the limit of small steps.",
            **NUMBER,
        ),
    ] = None
    momentum: Annotated[
        float | None,
        Option(
            "--momentum",
            help="heavy-ball, SGD: in [0, 1); default 0.9 for heavy-ball, 0 for SGD.",
            **NUMBER,
        ),
    ] = None
    decay_time: Annotated[
        float | None,
        Option(
            "--decay-time",
            help="weight-average, SGD: time of the exponential average, in tau.",
            **NUMBER,
        ),
    ] = None
    initial_std: Annotated[
        float | None,
        Option(
            "--initial-std",
            help="All but ridge: standard deviation of the initial weights A; default 0.",
            **NUMBER,
        ),
    ] = None

    sgd_noise: Annotated[
        float | None,
        Option(
            "--sgd-noise",
            help="Mini-batch SGD with the noise eta/(d batch) of its steps, >= 0, in place of "
            "gradient flow.",
            **NUMBER,
        ),
    ] = None
    learning_rate: Annotated[
        float | None,
        Option(
            "--learning-rate",
            help="eta: SGD's noise with --batch and --dimension. timescales gives its times in "
            "steps as well, those of gradient flow without --batch.",
            **NUMBER,
        ),
    ] = None
    batch: Annotated[
        int | None, Option("--batch", help="SGD: samples in a step; default 1.", metavar="INTEGER")
    ] = None
    dimension: Annotated[
        float | None,
        Option(
            "--dimension",
            help="The d of the data, with --learning-rate; timescales takes that of --data.",
            **NUMBER,
        ),
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
        from dmft_rf._convert import one_of
        from dmft_rf.rules import average
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
            "weight-average": (average.WeightAverage, {"decay_time": "decay_time", **shared}),
        }
        kind, names = known[one_of(self.rule, known, "--rule")]
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
class CurveOptions(RuleOptions):
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


@dataclass(frozen=True)
class PencilOptions:
    """The pencil."""

    file: Annotated[Path, typer.Argument(metavar="FILE.toml", help="What states the pencil.")]
    latex: Annotated[
        bool, Option("--latex", help="Show the equations in LaTeX instead of plain text.")
    ] = False


@dataclass(frozen=True)
class ProcessOptions:
    """The reverse process, and how long the network that drives it has been trained."""

    tau: Annotated[
        str | None,
        Option(
            "--tau",
            metavar="NUMBERS",
            help="Training times, as 1,10,100; by default around the best one.",
        ),
    ] = None
    schedule: Annotated[
        str,
        Option("--schedule", help="score: tau for every t. noise: tau/Delta_t, noise prediction."),
    ] = "score"
    sampler: Annotated[str, Option("--sampler", help="sde, or ode: the process without noise.")] = (
        "sde"
    )
    t_start: Annotated[
        float, Option("--t-start", help="Diffusion time where the process begins.", **NUMBER)
    ] = 8.0
    t_end: Annotated[
        float,
        Option("--t-end", help="Where it ends, >= 0; > 0 for zero eigenvalues.", **NUMBER),
    ] = 0.0
    level: Annotated[
        float,
        Option(
            "--level",
            help="KL(data || generated) per dimension up to which what is generated is good.",
            **NUMBER,
        ),
    ] = 0.1


@dataclass(frozen=True)
class RunOptions:
    """Where points are computed."""

    workers: Annotated[
        int | None,
        Option("--workers", help="Worker processes; by default this process alone.", **INTEGER),
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
class PlaneOptions:
    """The plane of a phase diagram."""

    plane: Annotated[str, Option("--plane", help="n-p, n-t or n-tau.")] = "n-p"
    n_start: Annotated[
        float, Option("--n-from", help="First psi_n, samples per dimension.", **NUMBER)
    ] = 1.0
    n_stop: Annotated[float, Option("--n-to", help="Last psi_n.", **NUMBER)] = 4096.0
    n_points: Annotated[
        int, Option("--n-points", help="Values of psi_n, 1 to 4096.", **INTEGER)
    ] = 64
    start: Annotated[
        float | None,
        Option(
            "--from",
            help="First value of the other axis; by default psi_p: 1, t: 0.003, tau: 1.",
            **NUMBER,
        ),
    ] = None
    stop: Annotated[
        float | None,
        Option("--to", help="Last value; by default psi_p: 256, t: 1, tau: 1e7.", **NUMBER),
    ] = None
    points: Annotated[
        int | None,
        Option(
            "--points", help="Values; by default 64, tau: 200. Even in the logarithm.", **INTEGER
        ),
    ] = None
    level: Annotated[
        float,
        Option(
            "--level",
            help="Generalization gap, in units of what there is to learn, from which on a network "
            "counts as overfitting.",
            **NUMBER,
        ),
    ] = 0.1
    multiple: Annotated[
        float,
        Option("--multiple", help="c: overfitting at c tau_gen is called memorization.", **NUMBER),
    ] = 3.0


@dataclass(frozen=True)
class GridOptions:
    """The grid of a sweep."""

    over: Annotated[
        list[str],
        Option(
            "--over",
            metavar="NAME=VALUES",
            help="A parameter and its values, as psi_n=1:100:20:log (first, last, how many, evenly "
            "in the logarithm), t=0:1:11 (evenly) or t=.01,.1. Once for each of t, psi_p, psi_n, "
            "noise_draws, activation, power_law.exponent, isotropic.scale.",
        ),
    ]
    quantity: Annotated[
        list[str],
        Option(
            "--quantity",
            metavar="NAME",
            help="What to compute at each point: usable (both ends), tau_gen, tau_opt, tau_ratio, "
            "tau_mem, score_error_min, train, test, score_error, edges, n_star, ...",
        ),
    ]
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Further quantities.")
    ] = None
    tau: Annotated[
        str | None,
        Option("--tau", metavar="NUMBERS", help="Times of train, test and score_error."),
    ] = None


@dataclass(frozen=True)
class SweepOptions:
    """What is swept."""

    over: Annotated[str, Option("--over", help="psi_n, psi_p, t or power-law.")] = "psi_n"
    start: Annotated[
        float | None,
        Option(
            "--from",
            help="First value; by default psi_n: psi_p/64, psi_p: 2 psi_n, t: 0.001, power-law: 0.",
            **NUMBER,
        ),
    ] = None
    stop: Annotated[
        float | None,
        Option(
            "--to",
            help="Last value; by default psi_n: psi_p/2, psi_p: 64 psi_n, t: 0.3, power-law: 2.",
            **NUMBER,
        ),
    ] = None
    points: Annotated[
        int,
        Option(
            "--points",
            help="Values, evenly spaced in the logarithm (power-law: evenly), 3 to 1000.",
            **INTEGER,
        ),
    ] = 11
