"""The options of the commands beside model and rule: output, sweeps, workers."""

from __future__ import annotations

import os
import sys
from dataclasses import MISSING, dataclass
from pathlib import Path

from dmft_rf.cli._parameters import argument, option
from dmft_rf.errors import DataError


@dataclass(frozen=True)
class OutputOptions:
    """Results: where they go."""

    out: Path | None = option("HDF5 file (.h5) to write.", metavar="FILE")
    plot: Path | None = option(
        "Picture to write, .png, .pdf or .svg. One that is there is made anew.", metavar="FILE"
    )
    csv: Path | None = option("The main table with all digits, as .csv.", metavar="FILE")
    json: bool = option("Print JSON instead of a table.", default=False)
    overwrite: bool = option(
        "Replace a file of --out or --csv, or behind a link of --plot.", default=False
    )

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

    file: Path = argument("What states the pencil.", metavar="FILE.toml")
    latex: bool = option("Show the equations in LaTeX instead of plain text.", default=False)


@dataclass(frozen=True)
class ProcessOptions:
    """Process: the reverse one, and how long its network has been trained."""

    tau: str | None = option(
        "Training times, as 1,10,100. By default around the best one.", metavar="NUMBERS"
    )
    schedule: str = option(
        "score: tau for every t. noise: tau/Delta_t, noise prediction.",
        default="score",
        metavar="NAME",
    )
    sampler: str = option("sde, or ode: the process without noise.", default="sde", metavar="NAME")
    t_start: float = option("Diffusion time where the process begins.", default=8.0)
    t_end: float = option("Where it ends, >= 0; > 0 for zero eigenvalues.", default=0.0)
    level: float = option(
        "KL(data || generated) per dimension up to which what is generated is good.", default=0.1
    )


@dataclass(frozen=True)
class RunOptions:
    """Workers: where points are computed."""

    threads: int | None = option(
        "Threads of this process; by default one. Points that compiled calls compute, as those of "
        "a phase diagram are, run beside one another, and no process has to start."
    )
    workers: int | None = option("Worker processes, each with a start of about a second.")
    dask: str | None = option(
        "Scheduler of a Dask cluster, as tcp://host:8786 (extra 'dask').", metavar="ADDRESS"
    )


@dataclass(frozen=True)
class PlaneOptions:
    """Plane: of the diagram."""

    plane: str = option("n-p, n-t or n-tau.", default="n-p", metavar="NAME")
    n_start: float = option("First psi_n, samples per dimension.", default=1.0, flag="--n-from")
    n_stop: float = option("Last psi_n.", default=4096.0, flag="--n-to")
    n_points: int = option("Values of psi_n, 1 to 4096.", default=64)
    start: float | None = option(
        "First value of the other axis; by default psi_p: 1, t: 0.003, tau: 1.", flag="--from"
    )
    stop: float | None = option("Last value; by default psi_p: 256, t: 1, tau: 1e7.", flag="--to")
    points: int | None = option("Values; by default 64, tau: 200. Even in the logarithm.")
    level: float = option(
        "Generalization gap, in units of what there is to learn, from which on a network counts "
        "as overfitting.",
        default=0.1,
    )
    multiple: float = option("c: overfitting at c tau_gen is called memorization.", default=3.0)


@dataclass(frozen=True)
class GridOptions:
    """Grid: what is computed where."""

    over: list[str] = option(
        "A parameter and its values, as psi_n=1:9:5:log or t=.01,.1. First, last, how many, "
        "evenly in the logarithm; t=0:1:11 evenly. Once for each of t, psi_p, psi_n, noise_draws, "
        "activation, power_law.exponent, isotropic.scale.",
        default=MISSING,
        metavar="NAME=VALUES",
    )
    quantity: list[str] = option(
        "What to compute, as usable (both ends) or tau_mem. Also tau_gen, tau_opt, tau_ratio, "
        "score_error_min, train, test, score_error, edges, n_star, ...",
        default=MISSING,
        metavar="NAME",
    )
    more: list[str] | None = argument("Further quantities.", default=None, metavar="NAME")
    tau: str | None = option("Times of train, test and score_error.", metavar="NUMBERS")


@dataclass(frozen=True)
class SweepOptions:
    """Sweep: along what."""

    over: str = option(
        "psi_n, psi_p, t or power-law; noise or batch of SGD. The batch is swept at the learning "
        "rate of --sgd-noise and --batch.",
        default="psi_n",
        metavar="NAME",
    )
    start: float | None = option(
        "First value. By default psi_n: psi_p/64 or 1, psi_p: 2 psi_n, t: 0.001, power-law: 0, "
        "noise: a hundredth of the last one, batch: --batch.",
        flag="--from",
    )
    stop: float | None = option(
        "Last value. By default psi_n: psi_p/2 or 1024, psi_p: 64 psi_n, t: 0.3, power-law: 2, "
        "noise: 0.9 of where SGD is stable, batch: 64 times --batch.",
        flag="--to",
    )
    points: int = option(
        "Values, evenly spaced in the logarithm (power-law: evenly; batch: the nearest whole "
        "numbers), 3 to 1000.",
        default=11,
    )
