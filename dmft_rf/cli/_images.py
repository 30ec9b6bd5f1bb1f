"""Commands on a model of the samples themselves (--images)."""

from __future__ import annotations

import math
import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

import dmft_rf
from dmft_rf._version import __version__
from dmft_rf.cli._commands import curve_table
from dmft_rf.cli._data_options import columns_of
from dmft_rf.cli._finish import OVERFITTING, TAU, finish
from dmft_rf.cli._frame import say
from dmft_rf.cli._parameters import numbers
from dmft_rf.cli._progress import progress
from dmft_rf.cli._report import Report, Table, accuracy, number
from dmft_rf.cli._timescales import times_table, when_to_stop
from dmft_rf.curves.definitions import definitions
from dmft_rf.errors import DataError, ModelError
from dmft_rf.rules.flow import GradientFlow
from dmft_rf.rules.stored import named

if TYPE_CHECKING:
    from dmft_rf.cli._model import ModelOptions
    from dmft_rf.cli._options import OutputOptions, RunOptions, SweepOptions
    from dmft_rf.cli._rules import CurveOptions, RuleOptions
    from dmft_rf.curves.solve import Solution
    from dmft_rf.images.image_model import ImageModel
    from dmft_rf.sweeps.image_scaling import ImageScaling

# features per dimension unless told otherwise, and features at most
_PSI_P, _MOST_FEATURES = 8.0, 4000
_NAMES = ("train", "test", "generalization_gap", "score_error")
_ONE_POOL = (
    "Score errors, and times that follow from them, depend on the number of samples in --data: the "
    "best network is better on fewer."
)
# what a sweep over samples shows
_SWEPT = ("usable_end", "tau_gen", "tau_opt", "tau_mem", "test_min", "final_gap")


def build(options: ModelOptions, route: str | None) -> tuple[ImageModel, float]:
    """The model of the samples of --data by --route, and by what their variances were divided."""
    if options.data is None:
        raise ModelError("--images needs the samples themselves: --data")
    stated = options.check()
    if not (math.isfinite(stated.psi_p) and math.isinf(stated.noise_draws)):
        raise ModelError(
            f"--psi-p is {stated.psi_p:g} and --noise-draws {stated.noise_draws:g}; --images has "
            "networks of finite width whose noise is averaged exactly"
        )
    rows = _rows(options)
    if options.center is not False:
        rows = rows - rows.mean(axis=0)
    divisor = 1.0
    if options.scale is not None:
        divisor = options.scale**-2.0
    elif options.normalize is not False:
        divisor = float(np.mean(rows * rows))
    if not divisor > 0.0:
        raise DataError(f"{options.data}: all samples are the same")
    N, d = rows.shape
    sizes = options.sizes(d)[0]
    psi_p = sizes.get("psi_p", _PSI_P if options.psi_p is None else options.psi_p)
    p = max(1, round(psi_p * d))
    if p > _MOST_FEATURES:
        raise ModelError(
            f"psi_p = {psi_p:g} with d = {d} are {p} features; --images takes {_MOST_FEATURES} at "
            "most: a smaller --psi-p, or --resize"
        )
    n = options.samples or (N if options.psi_n is None else max(1, round(options.psi_n * d)))
    model = dmft_rf.ImageModel(
        rows / math.sqrt(divisor), stated.t, n, features=p, activation=stated.activation,
        route=route,
    )  # fmt: skip
    if model.route != "networks":
        with progress("samples") as advance:
            model.prepare(advance)
    return model, divisor


def _rows(options: ModelOptions) -> Any:
    """The samples of --data, all of them in memory."""
    from dmft_rf.data.image_folder import ImageFolder
    from dmft_rf.data.read import CHUNK_BYTES, iter_chunks

    source = options.data
    assert source is not None
    if os.path.isdir(source):
        from pathlib import Path

        folder = ImageFolder.of(Path(source), options.image_size(), bool(options.grey))
        return np.concatenate(list(folder.blocks(CHUNK_BYTES, None)))
    leave_out = None if options.leave_out is None else columns_of(options.leave_out)
    blocks = iter_chunks(
        source, dataset=options.dataset, header=options.header, leave_out=leave_out
    )
    return np.concatenate(list(blocks))


class _Solved(NamedTuple):
    """How a number of samples was solved, and how far off that may be, in per cent."""

    n: int
    route: str
    classes: int
    error: float

    @classmethod
    def of(cls, model: ImageModel, solution: Solution) -> _Solved:
        if model.route != "networks":
            return cls(model.n, model.route, model.leverage_classes, 100.0 * model.model_error)
        gap = solution.learning_curves(math.inf).generalization_gap
        scatter = solution.scatter(math.inf)["generalization_gap"]
        return cls(model.n, model.route, 0, float(100.0 * scatter / gap))


def _begin(
    command: str, model: ImageModel, solved: list[_Solved], divisor: float, data: str | None
) -> Report:
    """The head of the report on a model, or on several that differ in n."""
    N, d = model.pool.rows.shape
    by = "as in the file" if divisor == 1.0 else f"variances divided by {divisor:.6g}"
    attributes, _ = model.stored()
    n = f"n = {model.n} (psi_n = {model.psi_n:.6g})" if len(solved) == 1 else "n is swept"
    ways, errors = [], []
    for route in ("networks", "equations", "scalar"):
        some = [one for one in solved if one.route == route]
        if not some:
            continue
        where = f" for n = {some[0].n} to {some[-1].n}" if len(some) < len(solved) else ""
        worst = max(one.error for one in some)
        if route == "networks":
            ways.append(f"ten exact networks on drawn samples{where}")
            errors.append(f"none but scatter: standard error of the gap {worst:.2g} %{where}")
        else:
            way = "equations without matrices" if route == "scalar" else "equations"
            ways.append(f"{way}, {some[-1].classes} classes of leverage{where}")
            errors.append(
                f"{worst:.3g} % of gap, test loss and times, which covers what was measured on "
                f"data of this kind (docs/images.md){where}"
            )
    return Report(
        {
            "command": command,
            "package_version": __version__,
            "model": attributes,
            "covariance": {"divided_by": divisor},
        },
        [
            (
                "model",
                f"t = {model.t:.6g}, {model.features} features (psi_p = {model.psi_p:.6g}), "
                f"{n}, {model.activation.name}",
            ),
            ("samples", f"{data}: {N} of dimension {d}, {by}"),
            ("solved by", "; ".join(ways)),
            ("model error", "; ".join(errors)),
        ],
    )


def _accuracy(options: ModelOptions) -> float | None:
    # 1e-10 is the default of the theory of the covariance
    return None if options.rtol == 1e-10 else options.rtol


def _solve(model: ImageModel, options: ModelOptions) -> Any:
    return dmft_rf.solve(model, _accuracy(options))


def curves(
    options: ModelOptions,
    training: CurveOptions,
    output: OutputOptions,
    route: str | None,
) -> None:
    """Learning curves of a training rule on the samples themselves."""
    from dmft_rf.curves.automatic_times import automatic_times

    output.check(options.data)
    start = time.perf_counter()
    rule = training.build()
    tau = None if training.tau is None else np.array(numbers("--tau", training.tau))
    model, divisor = build(options, route)
    solution = _solve(model, options)
    found = automatic_times(solution, rule) if tau is None else tau
    result = solution.learning_curves(found, rule)
    report = _begin("curves", model, [_Solved.of(model, solution)], divisor, options.data)
    accuracy(report, result.relative_error, solution.rtol)
    report.tables.append(curve_table(result, tau is None))
    report.notes.append(
        "Losses per dimension, on samples that are not trained on; score error: of the best "
        f"network on these features, whose test loss is {model.floor:.6g}. {_ONE_POOL} {TAU}"
    )
    report.document["results"] = {
        name: getattr(result, name) for name in ("tau", *_NAMES, "empirical_error", "weight_norm")
    } | {"floor": model.floor, "error": result.error}
    from dmft_rf.plotting.curves import plot_curves

    finish(report, output, start, lambda: plot_curves(result), {"curves": result}, solution)


def timescales(
    options: ModelOptions,
    training: RuleOptions,
    output: OutputOptions,
    route: str | None,
) -> None:
    """When to stop on the samples themselves."""

    output.check(options.data)
    start = time.perf_counter()
    rule = training.build()
    model, divisor = build(options, route)
    solution = _solve(model, options)
    times = dmft_rf.timescales(solution, rule=rule)
    report = _begin("timescales", model, [_Solved.of(model, solution)], divisor, options.data)
    report.header.append(("rule", named(rule)))
    accuracy(report, solution.error_estimate, solution.rtol)
    report.header.append(("when to stop", when_to_stop(times)))
    report.tables.append(times_table(times, dict(times.values), None))
    report.notes += [f"{name}: {reason}" for name, reason in times.reasons.items()]
    report.notes.append(f"{_ONE_POOL} {TAU} {OVERFITTING}")
    report.document |= {
        "results": dict(times.values),
        "errors": dict(times.error),
        "reasons": dict(times.reasons),
        "memorizes": times.memorizes,
        "definitions": times.definitions,
    }
    from dmft_rf.plotting.timescales import plot_timescales

    drawn = {"timescales": times}
    finish(report, output, start, lambda: plot_timescales(solution, times), drawn, solution)


def scaling(
    options: ModelOptions,
    sweep: SweepOptions,
    training: RuleOptions,
    run: RunOptions,
    output: OutputOptions,
    route: str | None,
) -> None:
    """The times along numbers of samples, on features that are computed once."""
    if sweep.over != "psi_n":
        raise ModelError(f"--over is {sweep.over}; with --images it can be psi_n only")
    if run.dask is not None:
        raise ModelError("--dask is not there for --images; --workers are threads")
    output.check(options.data)
    start = time.perf_counter()
    rule = training.build()
    model, divisor = build(options, route)
    N, d = model.pool.rows.shape
    low = max(1.0, N / 64.0) if sweep.start is None else sweep.start * d
    high = 0.9 * N if sweep.stop is None else sweep.stop * d
    if not 1.0 <= low < high:
        raise ModelError(f"--from {low / d:g} to --to {high / d:g}: n must rise from 1 on")
    sizes = np.unique(np.rint(np.geomspace(low, high, sweep.points)).astype(int))
    with progress("scaling") as advance:
        result = dmft_rf.scaling(
            model, "n", sizes, rule=rule, rtol=_accuracy(options), workers=run.workers,
            progress=advance,
        )  # fmt: skip
    for value, message in result.failures.items():
        say("warning", f"n = {value:g} is left out: {message}")
    found = cast("ImageScaling", result)
    report = _begin("scaling", model, _solved_of(found), divisor, options.data)
    report.header.append(("rule", named(rule)))
    texts = definitions(0.1, rule=None if rule == GradientFlow() else named(rule))
    values, slopes = result.quantities, result.local_exponents
    rows = [
        [str(n), *(f"{number(values[k][i], 4)} ({slopes[k][i]:+.2f})" for k in _SWEPT)]
        for i, n in enumerate(sizes)
    ]
    report.tables.append(Table(["n", *_SWEPT], rows, "At each n, with local exponents"))
    report.notes.append(
        "In brackets: exponents d ln Q/d ln n between neighbouring points. "
        + "; ".join(f"{name}: {texts[name]}" for name in _SWEPT)
        + f". {_ONE_POOL} {TAU}"
    )
    report.document["results"] = {
        "n": sizes,
        "routes": found.routes,
        "quantities": values,
        "local_exponents": slopes,
        "model_errors": found.model_error,
        "failures": result.failures,
    }
    from dmft_rf.plotting.curves import plot_scaling

    finish(report, output, start, lambda: plot_scaling(result), {"scaling": result}, None)


def _solved_of(result: ImageScaling) -> list[_Solved]:
    """How each n that was solved was."""
    found = zip(
        result.values, result.routes, result.leverage_classes, result.model_error, strict=True
    )
    return [
        _Solved(int(n), route, int(classes), float(100.0 * error))
        for n, route, classes, error in found
        if n not in result.failures
    ]
