"""The command ``dmft-rf generate``: what a trained network generates, and when to stop for it."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

import dmft_rf
from dmft_rf.cli._finish import TAU, about_data, finish, show
from dmft_rf.cli._parameters import numbers
from dmft_rf.cli._report import Report, accuracy, begin, number
from dmft_rf.curves.definitions import FACTOR
from dmft_rf.errors import ModelError
from dmft_rf.generated.divergences import NAMES

if TYPE_CHECKING:
    from dmft_rf.cli._model import WideModelOptions
    from dmft_rf.cli._options import OutputOptions, ProcessOptions
    from dmft_rf.generated.path_bound import PathBound
    from dmft_rf.generated.result import Generation
    from dmft_rf.generated.times import GenerationTimes

# columns: name of a quantity and its heading
_COLUMNS = {
    "kl": "KL",
    "reverse_kl": "reverse KL",
    "frechet": "W2^2",
    "overlap": "overlap",
    "likelihood_gap": "likelihood gap",
    "split_distance": "split",
    "trace": "trace",
}
# times of the table where none are given, in units of the best one
_TIMES = np.geomspace(0.1, 100.0, 10)
_SMALL = 1e-3


def generate(options: WideModelOptions, process: ProcessOptions, output: OutputOptions) -> None:
    """The law of what is generated and its times; at finite width a bound."""
    output.check(options.data)
    start = time.perf_counter()
    tau = None if process.tau is None else np.array(numbers("--tau", process.tau))
    if options.psi_p is not None and math.isfinite(options.psi_p):
        for name in ("out", "plot"):
            if getattr(output, name) is not None:
                raise ModelError(
                    f"--{name} is {str(getattr(output, name))!r}, but --psi-p is finite: there is "
                    "a bound only, no law to write; --psi-p inf has one"
                )
        if tau is None:
            raise ModelError("--tau must be given with a finite --psi-p")
    stated = options.build()
    report = begin("generate", stated, swept=("t",))
    how = {name: getattr(process, name) for name in ("schedule", "sampler", "t_start", "t_end")}
    report.document |= how
    words = ", ".join(f"{name} = {value}" for name, value in how.items())
    report.state("process", words)
    rest: dict[str, Any] = {**how, "rtol": options.rtol}
    if not math.isinf(stated.model.psi_p):
        assert tau is not None
        bound = dmft_rf.generation(stated.model, tau, **rest)
        assert isinstance(bound, dmft_rf.PathBound)
        _report_bound(report, bound, options.rtol)
        report.notes += about_data(stated.data)
        show(report, output, start, _no_picture, bound)
        return
    like = dmft_rf.generation(stated.model, 1.0 if tau is None else tau, **rest)
    assert isinstance(like, dmft_rf.Generation)
    times = dmft_rf.generation_times(like, process.level)
    if tau is None:
        found = dmft_rf.generation(stated.model, times.tau_opt * _TIMES, **rest)
        assert isinstance(found, dmft_rf.Generation)
        like = found
    _report_law(report, like, times, options.rtol)
    report.notes += about_data(stated.data)
    from dmft_rf.plotting.generated import plot_generation

    results = {"generation": like, "times": times}
    finish(report, output, start, lambda: plot_generation(times), results, None)


def _no_picture() -> NoReturn:
    raise AssertionError("--plot is refused before the work")


def _report_law(report: Report, g: Generation, times: GenerationTimes, rtol: float) -> None:
    worst = max(
        float((g.error[name] / np.maximum(np.abs(getattr(g, name)), _SMALL)).max(initial=0.0))
        for name in NAMES
    )
    accuracy(report, worst, rtol)
    start, end = times.usable(FACTOR)
    report.state(
        "when to stop",
        f"between tau = {start:.4g} and {end:.4g}, best at {times.tau_opt:.4g}: there "
        f"KL(data || generated) is within {100 * (FACTOR - 1):.0f} % of its least value, "
        f"{times.kl_min:.4g}",
    )
    rows = [
        [number(x), *(number(float(getattr(g, name).ravel()[i]), 5) for name in _COLUMNS)]
        for i, x in enumerate(g.tau.ravel().tolist())
    ]
    report.tabulate(["tau", *_COLUMNS.values()], rows)
    values = {name: getattr(times, name) for name in times.definitions}
    rows = []
    for name, value in values.items():
        shown = number(value) if not math.isnan(value) else "none"
        error = f"{times.error[name]:.0e}" if math.isfinite(value) else "-"
        rows.append([name, shown, error, times.definitions[name]])
    report.tabulate(["", "value", "error", "what it is"], rows, text_columns=frozenset({0, 3}))
    report.notes.append(
        "Per dimension. W2^2 is the squared Frechet distance, or a bound of it where the "
        "eigenvalues of the data differ. Of memorization: overlap (1: nothing of the sample is "
        "left), likelihood gap between training and fresh samples, split: distance between what "
        "two networks with samples of their own generate, over that of independent draws. "
        f"level = {times.level:g}. {TAU}"
    )
    report.document["results"] = {
        "tau": g.tau,
        **{name: getattr(g, name) for name in NAMES},
        "errors": g.error,
        "times": values,
        "times_errors": times.error,
        "level": times.level,
        "usable": {"factor": FACTOR, "start": start, "end": end},
        "definitions": times.definitions,
        "covariance": {
            "sample": g.covariance.sample,
            "weights": g.covariance.weights,
            "generated": g.covariance.eigenvalues,
        },
    }


def _report_bound(report: Report, bound: PathBound, rtol: float) -> None:
    error = bound.error["kl_bound"]
    accuracy(report, float((error / bound.kl_bound).max(initial=0.0)), rtol)
    columns = zip(bound.tau.ravel(), bound.kl_bound.ravel(), error.ravel(), strict=True)
    rows = [[number(x), number(y, 8), f"{off:.0e}"] for x, y, off in columns]
    report.tabulate(["tau", "KL is at most", "error"], rows)
    report.notes.append(
        "KL(data || generated) per dimension is at most this: the divergence of the paths. "
        f"{TAU} --psi-p inf has the law itself."
    )
    names = ("tau", "kl_bound", "integral", "start")
    report.document["results"] = {
        **{name: getattr(bound, name) for name in names},
        "errors": bound.error,
    }
