"""The options of the commands beside model and rule: output, sweeps, workers."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from dmft_rf.cli._parameters import INTEGER, NUMBER
from dmft_rf.errors import DataError

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class OutputOptions:
    """Results: where they go."""

    out: Annotated[
        Path | None, Option("--out", metavar="FILE", help="HDF5 file (.h5) to write.")
    ] = None
    plot: Annotated[
        Path | None,
        Option(
            "--plot",
            metavar="FILE",
            help="Picture to write, .png, .pdf or .svg. One that is there is made anew.",
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
class PencilOptions:
    """Pencil: what is stated."""

    file: Annotated[Path, typer.Argument(metavar="FILE.toml", help="What states the pencil.")]
    latex: Annotated[
        bool, Option("--latex", help="Show the equations in LaTeX instead of plain text.")
    ] = False


@dataclass(frozen=True)
class ProcessOptions:
    """Process: the reverse one, and how long its network has been trained."""

    tau: Annotated[
        str | None,
        Option(
            "--tau",
            metavar="NUMBERS",
            help="Training times, as 1,10,100. By default around the best one.",
        ),
    ] = None
    schedule: Annotated[
        str,
        Option(
            "--schedule",
            metavar="NAME",
            help="score: tau for every t. noise: tau/Delta_t, noise prediction.",
        ),
    ] = "score"
    sampler: Annotated[
        str,
        Option("--sampler", metavar="NAME", help="sde, or ode: the process without noise."),
    ] = "sde"
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
    """Workers: where points are computed."""

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
    """Plane: of the diagram."""

    plane: Annotated[str, Option("--plane", metavar="NAME", help="n-p, n-t or n-tau.")] = "n-p"
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
    """Grid: what is computed where."""

    over: Annotated[
        list[str],
        Option(
            "--over",
            metavar="NAME=VALUES",
            help="A parameter and its values, as psi_n=1:9:5:log or t=.01,.1. First, last, how "
            "many, evenly in the logarithm; t=0:1:11 evenly. Once for each of t, psi_p, psi_n, "
            "noise_draws, activation, power_law.exponent, isotropic.scale.",
        ),
    ]
    quantity: Annotated[
        list[str],
        Option(
            "--quantity",
            metavar="NAME",
            help="What to compute, as usable (both ends) or tau_mem. Also tau_gen, "
            "tau_opt, tau_ratio, score_error_min, train, test, score_error, edges, n_star, ...",
        ),
    ]
    more: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Further quantities.")
    ] = None
    tau: Annotated[
        str | None,
        Option("--tau", metavar="NUMBERS", help="Times of train, test and score_error."),
    ] = None


@dataclass(frozen=True)
class SweepOptions:
    """Sweep: along what."""

    over: Annotated[
        str,
        Option(
            "--over",
            metavar="NAME",
            help="psi_n, psi_p, t or power-law; noise or batch of SGD. The batch is swept at the "
            "learning rate of --sgd-noise and --batch.",
        ),
    ] = "psi_n"
    start: Annotated[
        float | None,
        Option(
            "--from",
            help="First value. By default psi_n: psi_p/64 or 1, psi_p: 2 psi_n, t: 0.001, "
            "power-law: 0, noise: a hundredth of the last one, batch: --batch.",
            **NUMBER,
        ),
    ] = None
    stop: Annotated[
        float | None,
        Option(
            "--to",
            help="Last value. By default psi_n: psi_p/2 or 1024, psi_p: 64 psi_n, t: 0.3, "
            "power-law: 2, noise: 0.9 of where SGD is stable, batch: 64 times --batch.",
            **NUMBER,
        ),
    ] = None
    points: Annotated[
        int,
        Option(
            "--points",
            help="Values, evenly spaced in the logarithm (power-law: evenly; batch: the nearest "
            "whole numbers), 3 to 1000.",
            **INTEGER,
        ),
    ] = 11
