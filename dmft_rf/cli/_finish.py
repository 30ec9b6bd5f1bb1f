"""How a command hands over its result: files first, then the report."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dmft_rf._show import Shown
from dmft_rf.data import bundled as datasets
from dmft_rf.errors import DataError
from dmft_rf.files.replace import replacing
from dmft_rf.files.results import save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dmft_rf.cli._options import OutputOptions
    from dmft_rf.cli._report import Report
    from dmft_rf.curves.solve import Solution

TAU = "tau is gradient-flow time, dA/dtau = -d^2 grad_A L_train."
OVERFITTING = (
    "tau_mem dates the end of overfitting, when half of the final gap is there: the score is "
    "worse than an untrained network's long before. Whether generated samples are copies of the "
    "data is another question, that losses do not answer."
)
_REAL_DATA = (
    "Of the data the theory knows the covariance alone (Gaussian equivalence), and real data are "
    "not Gaussian. "
)
_DIGITS = (
    "Measured for the digits (psi_p = 8, n = 64 to 512, t = 0.01 and 0.1): tau_mem of the theory "
    "is 0.86 to 1.21 times that of the images, its final gap is 34 to 72 % too large, its tau_opt "
    "up to 3.8 times too early where the minimum is shallow; the early fall of the test loss is "
    "right within 3 %."
)
_ELSEWHERE = (
    "What that does here has not been measured; it comes on top of the distance to the limit, of "
    "order 1/d_eff. It has been measured for the bundled digits (--data digits gives the numbers), "
    "and for natural patches, 8 x 8 pixels of a photograph: their test loss is 26 to 28 % below "
    "the theory's near its minimum (t = 0.1; psi_p, psi_n = 4, 2 and 8, 8)."
)
_INSTEAD = (
    "curves, timescales and scaling solve networks on the data themselves with --images, and "
    "measure what the dimension does with --finite-size."
)


def about_data(data: str | None) -> list[str]:
    """What is known of the theory's accuracy for the data of --data: a note, or none."""
    if data is None:
        return []
    known = _DIGITS if data in datasets.names() else _ELSEWHERE
    return [f"{_REAL_DATA}{known} {_INSTEAD}"]


def finish(
    report: Report,
    output: OutputOptions,
    start: float,
    draw: Callable[[], Figure],
    results: dict[str, Any],
    solution: Solution | None,
) -> None:
    """Write the files, then print: a result on stdout means that its files are complete."""
    seconds = time.perf_counter() - start
    if output.out is not None:
        more = {"eigenvalues_divided_by": report.document["covariance"]["divided_by"]}
        if solution is None:
            more["wall_time_seconds"] = seconds
        save(output.out, results, solution=solution, overwrite=output.overwrite, extra=more)
    show(report, output, start, draw, next(iter(results.values())))


def show(
    report: Report,
    output: OutputOptions,
    start: float,
    draw: Callable[[], Figure],
    result: Shown | dict[str, Any],
) -> None:
    """Write the table of a result, or of columns by name, and the picture, then print."""
    report.document["seconds"] = time.perf_counter() - start
    try:
        if output.csv is not None:
            _write_table(output.csv, result, overwrite=output.overwrite)
        if output.plot is not None:
            from dmft_rf.plotting.style import save_figure

            save_figure(draw(), output.plot, overwrite=output.replaces(output.plot))
        report.print(as_json=output.json)
    except DataError as error:
        raise DataError(f"{error}{_kept(output)}") from None
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"before the result was shown{_kept(output)}") from None


def _write_table(path: Path, result: Shown | dict[str, Any], *, overwrite: bool) -> None:
    """Write columns of one length as CSV: numbers so that they are read back exactly."""
    columns = result._table().flat() if isinstance(result, Shown) else result
    rows = zip(*(np.asarray(column).tolist() for column in columns.values()), strict=True)
    with (
        replacing(path, overwrite=overwrite) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def _kept(output: OutputOptions) -> str:
    """The end of a message for a result that could not be shown: which file has it."""
    return "" if output.out is None else f"; {output.out} is complete"
