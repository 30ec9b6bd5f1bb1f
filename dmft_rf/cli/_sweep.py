"""The command ``dmft-rf scaling``: the times along a sweep, and the power laws in them."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import dmft_rf
from dmft_rf.cli._finish import MEANING, REAL_DATA, show
from dmft_rf.cli._frame import say
from dmft_rf.cli._options import ModelOptions, OutputOptions, RunOptions, SweepOptions
from dmft_rf.cli._progress import computing, keeping, progress
from dmft_rf.cli._report import Table, accuracy, begin, number
from dmft_rf.errors import ModelError

if TYPE_CHECKING:
    from dmft_rf.exponents import Scaling


_PARAMETERS = {"psi_n": "psi_n", "psi_p": "psi_p", "t": "t", "power-law": "power_law.exponent"}


def scaling(
    options: ModelOptions, sweep: SweepOptions, run: RunOptions, output: OutputOptions
) -> None:
    """How the times grow with samples, features, diffusion time or the covariance's power law."""
    output.check(options.data, resumed=True)
    start = time.perf_counter()
    options.check()
    given = (options.data, options.eigenvalues, options.power_law)
    if sweep.over == "power-law" and given == (None, None, None):
        options = replace(options, power_law=1.0)  # its exponent is swept; --atoms counts
    values = _sweep_values(options, sweep)
    model, divisor = options.build()
    with computing(run) as where, progress("scaling") as advance, keeping(output.out):
        result = dmft_rf.scaling(
            model,
            _PARAMETERS[sweep.over],
            values,
            rtol=options.rtol,
            path=output.out,
            overwrite=output.overwrite,
            progress=advance,
            extra={"eigenvalues_divided_by": divisor},
            **where,
        )
    for value, message in result.failures.items():
        say("warning", f"{sweep.over} = {value:g} is left out: {message}")
    report = begin("scaling", model, divisor, swept=(sweep.over,))
    accuracy(report, options.rtol, options.rtol)
    report.header[-1] = ("accuracy", f"every solution reached a relative error of {options.rtol:g}")
    d = model.covariance.dimension
    report.tables += [_sweep_table(result, d), _fit_table(result)]
    subjects = {
        "t": "Delta_t = 1 - e^{-2t}",
        "power-law": "e^alpha, alpha the power law's exponent",
    }
    subject = subjects.get(sweep.over, sweep.over)
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

    show(report, output, start, lambda: plot_scaling(result))


def _sweep_values(options: ModelOptions, sweep: SweepOptions) -> NDArray[np.float64]:
    defaults = {
        "psi_n": (options.psi_p / 64.0, options.psi_p / 2.0),
        "psi_p": (2.0 * options.psi_n, 64.0 * options.psi_n),
        "t": (1e-3, 0.3),
        "power-law": (0.0, 2.0),
    }
    if sweep.over not in defaults:
        raise ModelError(f"--over is {sweep.over!r}; it must be one of {', '.join(defaults)}")
    low = defaults[sweep.over][0] if sweep.start is None else sweep.start
    high = defaults[sweep.over][1] if sweep.stop is None else sweep.stop
    linear = sweep.over == "power-law"
    for name, value in (("--from", low), ("--to", high)):
        if not (math.isfinite(value) and (value > 0.0 or (value == 0.0 and linear))):
            allowed = ">= 0" if linear else "> 0"
            raise ModelError(f"{name} is {value!r}; it must be finite and {allowed}")
    if not low < high:
        raise ModelError(f"--from is {low!r}; it must be below --to, {high!r}")
    if not 3 <= sweep.points <= 1000:
        raise ModelError(f"--points is {sweep.points!r}; it must be from 3 to 1000")
    if linear:
        return np.linspace(low, high, sweep.points)
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
    subjects = {"t": "Delta_t", "power_law.exponent": "e^alpha"}
    subject = subjects.get(result.parameter, result.parameter)
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
