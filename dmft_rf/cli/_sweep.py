"""The command ``dmft-rf scaling``: the times along a sweep, and the power laws in them."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import dmft_rf
from dmft_rf.cli._finish import MEANING, REAL_DATA, finish
from dmft_rf.cli._frame import say
from dmft_rf.cli._options import ModelOptions, OutputOptions, SweepOptions
from dmft_rf.cli._report import Table, accuracy, begin, number
from dmft_rf.errors import ModelError

if TYPE_CHECKING:
    from dmft_rf.exponents import Scaling


def scaling(options: ModelOptions, sweep: SweepOptions, output: OutputOptions) -> None:
    """How the times grow with samples, features or diffusion time."""
    output.check(options.data)
    start = time.perf_counter()
    options.check()
    values = _sweep_values(options, sweep)
    model, divisor = options.build()
    with _progress(f"scaling over {sweep.over}", values.size) as advance:
        result = dmft_rf.scaling(model, sweep.over, values, rtol=options.rtol, progress=advance)
    for value, message in result.failures.items():
        say("warning", f"{sweep.over} = {value:g} is left out: {message}")
    report = begin("scaling", model, divisor, swept=(sweep.over,))
    accuracy(report, options.rtol, options.rtol)
    report.header[-1] = ("accuracy", f"every solution reached a relative error of {options.rtol:g}")
    d = model.covariance.dimension
    report.tables += [_sweep_table(result, d), _fit_table(result)]
    subject = "Delta_t = 1 - e^{-2t}" if sweep.over == "t" else sweep.over
    report.notes.append(_summary(result, d))
    report.notes.append(
        f"In brackets and in the second table: exponents d ln Q/d ln P with P = {subject}. The "
        "local exponent is that of exact solutions beside each point; a power law is fitted over "
        f"the widest range in which it changes by less than {2 * result.tolerance:g}, and is "
        "claimed there only. Its error is the scatter of the exact values about a pure power."
    )
    report.notes.append(MEANING)
    if d is not None:
        report.notes.append(REAL_DATA)
    report.document["results"] = {
        "parameter": result.parameter,
        "values": result.values,
        "abscissa": result.abscissa,
        "samples": result.values * d if d is not None and sweep.over == "psi_n" else None,
        "quantities": result.quantities,
        "local_exponents": result.local_exponents,
        "fits": {name: asdict(fit) for name, fit in result.fits.items()},
        "global_fits": {name: asdict(fit) for name, fit in result.global_fits.items()},
        "tolerance": result.tolerance,
        "failures": result.failures,
    }
    from dmft_rf.plotting import plot_scaling

    extra = {"rtol": options.rtol, "error_estimate": options.rtol}
    finish(report, output, start, lambda: plot_scaling(result), {"scaling": result}, None, extra)


def _sweep_values(options: ModelOptions, sweep: SweepOptions) -> NDArray[np.float64]:
    defaults = {
        "psi_n": (options.psi_p / 64.0, options.psi_p / 2.0),
        "psi_p": (2.0 * options.psi_n, 64.0 * options.psi_n),
        "t": (1e-3, 0.3),
    }
    if sweep.over not in defaults:
        raise ModelError(f"--over is {sweep.over!r}; it must be one of {', '.join(defaults)}")
    low = defaults[sweep.over][0] if sweep.start is None else sweep.start
    high = defaults[sweep.over][1] if sweep.stop is None else sweep.stop
    for name, value in (("--from", low), ("--to", high)):
        if not (math.isfinite(value) and value > 0.0):
            raise ModelError(f"{name} is {value!r}; it must be finite and > 0")
    if not low < high:
        raise ModelError(f"--from is {low!r}; it must be below --to, {high!r}")
    if not 3 <= sweep.points <= 1000:
        raise ModelError(f"--points is {sweep.points!r}; it must be from 3 to 1000")
    values = np.geomspace(low, high, sweep.points)
    # powers of 2 and the like come out exact in tables
    near = np.rint(values)
    return np.where(np.abs(values - near) < 1e-12 * values, near, values)


def _summary(result: Scaling, d: int | None) -> str:
    """Say in a sentence what the sweep did to the times."""
    first, last = result.values[0], result.values[-1]
    text = f"From {result.parameter} = {first:.4g} to {last:.4g}"
    if d is not None and result.parameter == "psi_n":
        text += f" (n = {first * d:.0f} to {last * d:.0f} samples)"
    parts = []
    for name in ("tau_gen", "tau_opt", "tau_mem", "window"):
        a, b = result.quantities[name][[0, -1]]
        if math.isfinite(a) and math.isfinite(b):
            parts.append(f"{name} goes from {a:.4g} to {b:.4g} (x {b / a:.3g})")
    return f"{text}: {', '.join(parts)}." if parts else f"{text}: the times are not defined."


def _sweep_table(result: Scaling, d: int | None) -> Table:
    """The times along the sweep, each with its local exponent."""
    shown = ("tau_gen", "tau_opt", "tau_mem", "score_error_min")
    samples = result.parameter == "psi_n" and d is not None
    columns = [result.parameter, *(["n"] if samples else []), *shown]
    rows = []
    for i, value in enumerate(result.values):
        row = [number(value, 4), *([f"{value * d:.0f}"] if samples else [])]
        row += [
            f"{number(float(result.quantities[name][i]), 5)} ({_slope(result, name, i)})"
            for name in shown
        ]
        rows.append(row)
    title = f"At each {result.parameter}, with local exponents"
    return Table(columns, rows, title)


def _slope(result: Scaling, name: str, i: int) -> str:
    value = float(result.local_exponents[name][i])
    return "-" if math.isnan(value) else f"{value:+.2f}"


def _fit_table(result: Scaling) -> Table:
    """The power laws and where they hold."""
    subject = "Delta_t" if result.parameter == "t" else result.parameter
    rows = []
    for name in result.quantities:
        whole = result.global_fits.get(name)
        over_all = "-" if whole is None else f"{whole.exponent:+.3f} +- {whole.exponent_error:.3f}"
        fit = result.fits.get(name)
        if fit is None:
            rows.append([name, "none", "no three neighbouring points share an exponent", over_all])
        else:
            exponent = f"{fit.exponent:+.3f} +- {fit.exponent_error:.3f}"
            rows.append([name, exponent, fit.holds, over_all])
    columns = ["quantity", "exponent", f"holds for {subject}", "over all points"]
    return Table(columns, rows, "Power laws", frozenset({0, 2}))


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar on stderr if it is a terminal."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)
