"""The command ``dmft-rf``: spectrum, learning curves, timescales, sweeps, phase diagrams, runs.

Results go to stdout, everything else to stderr. What computes is imported when a command runs,
so that help is quick.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Annotated, Any

import typer

from dmft_rf._version import __version__
from dmft_rf.cli._advise import AdviseOptions
from dmft_rf.cli._data_options import SourceOptions
from dmft_rf.cli._explore import ExploreOptions
from dmft_rf.cli._fit import LossOptions
from dmft_rf.cli._frame import OneLineErrors, reporting
from dmft_rf.cli._help import BriefCommand, HelpAll
from dmft_rf.cli._image_options import FiniteOptions, ImageOptions
from dmft_rf.cli._model import (
    FitModelOptions,
    MapModelOptions,
    ModelOptions,
    WideModelOptions,
)
from dmft_rf.cli._monitor import MonitorOptions
from dmft_rf.cli._options import (
    GridOptions,
    OutputOptions,
    PencilOptions,
    PlaneOptions,
    ProcessOptions,
    RunOptions,
    SweepOptions,
)
from dmft_rf.cli._parameters import grouped
from dmft_rf.cli._rules import CurveOptions, PartsOptions, RuleOptions

__all__ = ["app", "main"]

_EPILOG = (
    "Exit codes: 0 done, also where the reader of stdout has left; 1 a solver did not reach its "
    "tolerance; 2 a wrong value, or a file or stdout that cannot be read or written, with one line "
    "on stderr that names it and what is allowed; 70 a fault of the program; 130 interrupted. With "
    '--json, stdout is one JSON document: infinity is the string "inf", what is not defined is '
    "null."
)
_MODEL = (
    "Without options the model is that of Fig. 4 of arXiv:2505.17638: t = 0.01, psi_p = 64, "
    "psi_n = 8, tanh, covariance = identity."
)

_RESUMED = "With --out an interrupted run is completed by the same command."

app = typer.Typer(
    name="dmft-rf",
    help="Exact learning curves of random-features diffusion models. From the covariance of the "
    "data, by the theory of high dimension and Gaussian data (arXiv:2505.17638).",
    epilog=f"Example: dmft-rf scaling --data digits --plot digits.png. {_EPILOG}",
    cls=OneLineErrors,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dmft-rf {__version__}")
        raise typer.Exit


def _command(help: str, examples: str) -> Callable[..., Any]:
    """Register a command whose parameters are groups of options."""

    def register(command: Callable[..., None]) -> Callable[..., None]:
        epilog = f"{examples} {_EPILOG}"
        return app.command(cls=BriefCommand, help=help, epilog=epilog)(grouped(command))

    return register


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
    help_all: HelpAll = False,
) -> None:
    pass


@_command(
    help="Eigenvalues of the covariance of samples or images. With --out a small file of them that "
    "every other command reads with --data.",
    examples="Example: dmft-rf covariance digits --out digits.h5, then dmft-rf timescales --data "
    "digits.h5.",
)
def covariance(source: SourceOptions, output: OutputOptions) -> None:
    with reporting(source.source):
        from dmft_rf.cli import _covariance

        _covariance.covariance(source, output)


@_command(
    help="Spectrum of the feature matrix: bulks, edges, masses, atom.\n\n" + _MODEL,
    examples="Example: dmft-rf spectrum --psi-p 16 --eigenvalues 0.5,1.5 --plot s.pdf.",
)
def spectrum(model: ModelOptions, output: OutputOptions) -> None:
    with reporting(model.data):
        from dmft_rf.cli import _commands

        _commands.spectrum(model, output)


@_command(
    help="Train loss, test loss and score error along training. For any training rule.\n\n"
    + _MODEL,
    examples="Examples: dmft-rf curves --tau 0,1,100,inf. dmft-rf curves --rule heavy-ball "
    "--step 0.5 --momentum 0.9. dmft-rf curves --parts --plot parts.png.",
)
def curves(
    model: ModelOptions,
    rule: CurveOptions,
    shown: PartsOptions,
    kind: FiniteOptions,
    output: OutputOptions,
) -> None:
    with reporting(model.data):
        from dmft_rf.cli import _commands, _images, _parts

        kind.check(parts=shown.parts)
        if kind.images:
            _images.curves(model, rule, output, kind.route)
        elif shown.parts:
            _parts.error_parts(model, rule, output)
        else:
            _commands.curves(model, rule, output, kind.finite_size)


@_command(
    help="When to stop, and every other time of training.\n\n" + _MODEL,
    examples="Examples: dmft-rf timescales --data digits --learning-rate 0.1. dmft-rf timescales "
    "--sgd-noise 5.",
)
def timescales(
    model: ModelOptions, rule: RuleOptions, kind: FiniteOptions, output: OutputOptions
) -> None:
    with reporting(model.data):
        from dmft_rf.cli import _images, _timescales

        kind.check()
        if kind.images:
            _images.timescales(model, rule, output, kind.route)
        else:
            _timescales.timescales(model, rule, output, kind.finite_size)


@_command(
    help="How the times of training grow: exponents and power laws. With samples, features, "
    "diffusion time, the power law of the covariance, or the noise of SGD."
    f"\n\n{_MODEL} With samples, and without --data, psi_p is infinite: there the memorization "
    f"time is proportional to them; with --noise-draws it is 64. {_RESUMED}",
    examples="Examples: dmft-rf scaling --data digits --plot digits.png. dmft-rf scaling --over t "
    "--from 0.001 --to 0.3. dmft-rf scaling --t 0.1 --sgd-noise 0.2. dmft-rf scaling --over noise.",
)
def scaling(
    model: ModelOptions,
    sweep: SweepOptions,
    rule: RuleOptions,
    run: RunOptions,
    kind: ImageOptions,
    output: OutputOptions,
) -> None:
    with reporting(model.data):
        from dmft_rf.cli import _images, _sweep

        kind.check()
        if kind.images:
            _images.scaling(model, sweep, rule, run, output, kind.route)
        else:
            _sweep.scaling(model, sweep, rule, run, output)


@_command(
    help=f"Any quantities on a grid of any parameters.\n\n{_MODEL} {_RESUMED}",
    examples="Examples: dmft-rf sweep --over psi_n=1:9:5:log --quantity usable tau_mem. dmft-rf "
    "sweep --over psi_n=1:100:20:log --over t=.01,.1 --quantity usable tau_mem --csv times.csv.",
)
def sweep(model: ModelOptions, grid: GridOptions, run: RunOptions, output: OutputOptions) -> None:
    with reporting(model.data):
        from dmft_rf.cli import _grid

        _grid.sweep(model, grid, run, output)


@_command(
    help="Where a model memorizes, and what keeps it from doing so. Regions and their boundaries "
    f"over (n, p), (n, t) or (n, tau).\n\n{_MODEL} {_RESUMED}",
    examples="Examples: dmft-rf phase-diagram --threads 2 --out p.h5 --plot p.png. dmft-rf "
    "phase-diagram --plane n-tau --plot tau.png.",
)
def phase_diagram(
    model: MapModelOptions, plane: PlaneOptions, run: RunOptions, output: OutputOptions
) -> None:
    with reporting(model.data):
        from dmft_rf.cli import _phases

        _phases.phase_diagram(model, plane, run, output)


@_command(
    help="What a trained network generates, and when it is at its best. At infinite width how far "
    "it is from the data. At a finite --psi-p a bound on KL(data || generated). By default "
    "psi_n = 8, tanh, covariance = identity.",
    examples="Examples: dmft-rf generate --psi-n 16 --plot g.png. dmft-rf generate --activation "
    "relu --tau 10,100,1000.",
)
def generate(model: WideModelOptions, process: ProcessOptions, output: OutputOptions) -> None:
    with reporting(model.data):
        from dmft_rf.cli import _generate

        _generate.generate(model, process, output)


@_command(
    help="Dyson equation, edges and density of a linear pencil. Of a rational expression in "
    "Gaussian matrices and functions of Sigma, stated in a TOML file (docs/pencils.md).",
    examples="Example: dmft-rf pencil docs/examples/score.toml --plot density.png.",
)
def pencil(source: PencilOptions, output: OutputOptions) -> None:
    with reporting(None):
        from dmft_rf.cli import _pencil

        _pencil.pencil(source, output)


@_command(
    help="Dates of a training run, from its log; copies of images. When it was at its best, when "
    "it memorizes, whether to stop, what more images would need; with --samples and --data which "
    "images are copies.",
    examples="Examples: dmft-rf monitor log.csv. dmft-rf monitor log.csv --samples out --data "
    "faces --page run.html.",
)
def monitor(options: MonitorOptions) -> None:
    with reporting(options.data):
        from dmft_rf.cli import _monitor

        _monitor.monitor(options)


@_command(
    help="When to stop training on your own images; what more would buy. Whether "
    "stopping matters at all, the usable interval, with a pilot run the steps, and how far to "
    "trust it.",
    examples="Examples: dmft-rf advise --data digits --parameters 260000. dmft-rf advise --data "
    "faces --parameters 1e6 --sigma 0.3 --pilot log.csv.",
)
def advise(options: AdviseOptions, output: OutputOptions) -> None:
    with reporting(options.data):
        from dmft_rf.cli import _advise

        _advise.advise(options, output)


@_command(
    help="Which model had the losses of a run. Parameters with their errors, by least squares; "
    "what is not free is stated by the options of the model.",
    examples="Example: dmft-rf fit docs/examples/losses.csv --t 0.1 --psi-p 20 --psi-n 1 "
    "--eigenvalues 0.5,1.5 --plot fit.png.",
)
def fit(losses: LossOptions, model: FitModelOptions, output: OutputOptions) -> None:
    with reporting(model.data):
        from dmft_rf.cli import _fit

        _fit.fit(losses, model, output)


@_command(
    help="A page of sliders whose curves follow. For the model and the training rule, served to "
    "this machine; with the times, a map and what is generated (extra explore).",
    examples="Example: dmft-rf explore --port 0.",
)
def explore(options: ExploreOptions) -> None:
    with reporting(None):
        from dmft_rf.cli import _explore

        _explore.explore(options)


def main() -> None:
    """Run the command line."""
    # other packages' logs, of matplotlib's settings for one, are no lines of the command
    logging.getLogger().addHandler(logging.NullHandler())
    app()
