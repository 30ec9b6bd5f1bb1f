"""The command ``dmft-rf sweep``: quantities on a grid of any parameters."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np

import dmft_rf
from dmft_rf import _convert
from dmft_rf.cli._finish import about_data, show
from dmft_rf.cli._frame import say
from dmft_rf.cli._parameters import numbers
from dmft_rf.cli._progress import running
from dmft_rf.cli._report import begin, number, shortened
from dmft_rf.errors import ModelError
from dmft_rf.sweeps.request import DESCRIPTIONS

if TYPE_CHECKING:
    from dmft_rf.cli._model import ModelOptions
    from dmft_rf.cli._options import GridOptions, OutputOptions, RunOptions

_MOST_ROWS, _MOST_VALUES = 50, 100_000


def sweep(options: ModelOptions, grid: GridOptions, run: RunOptions, output: OutputOptions) -> None:
    """Quantities at every point of a grid."""
    output.check(options.data, resumed=True)
    start = time.perf_counter()
    options.check()
    over = dict(map(_axis, grid.over))
    if len(over) < len(grid.over):
        raise ModelError(f"--over is {', '.join(grid.over)}; a parameter is there twice")
    names = _names([*grid.quantity, *(grid.more or [])])
    tau = () if grid.tau is None else numbers("--tau", grid.tau)
    stated = options.build()
    report = begin("sweep", stated, swept=tuple(over))
    with running(run, output, "sweep") as where:
        result = dmft_rf.sweep(stated.model, over, names, tau=tau, rtol=options.rtol, **where)
    for index, message in result.failures.items():
        say("warning", f"point {index} is left out: {message}")
    report.document["rtol"] = options.rtol
    report.state("accuracy", f"relative error of losses at most {options.rtol:g}")
    columns = result._table().flat()
    if not result.failures:
        del columns["status"]
    shown = [name for name in columns if not name.startswith("edges_")]
    rows = [[_cell(columns[name][i]) for name in shown] for i in range(len(columns[shown[0]]))]
    report.tabulate(shown, shortened(report, rows, _MOST_ROWS, "--csv and --json give all"))
    report.notes.append("\n".join(f"{name}: {_meaning(name)}." for name in names))
    report.notes += about_data(stated.data)
    report.document["results"] = {
        "axes": result.axes,
        "tau": result.request["tau"],
        "quantities": result.quantities,
        "failures": result.failures,
    }
    from dmft_rf.plotting.results import plot_sweep

    show(report, output, start, lambda: plot_sweep(result), result)


def _axis(text: str) -> tuple[str, list[Any]]:
    """A parameter and its values, of NAME=VALUES."""
    name, equals, values = text.partition("=")
    if not equals or not values:
        raise ModelError(f"--over is {_convert.shown(text)}; it must be NAME=VALUES, as t=.01,.1")
    if name == "activation":
        return name, values.split(",")
    if ":" not in values:
        return name, numbers(f"--over {name}", values)
    first, *rest = values.split(":")
    if not (len(rest) == 2 or (len(rest) == 3 and rest[2] in ("log", "lin"))):
        raise ModelError(
            f"--over is {_convert.shown(text)}; a range is FIRST:LAST:COUNT or FIRST:LAST:COUNT:log"
        )
    low, high, count = numbers(f"--over {name}", ",".join([first, *rest[:2]]))
    size = _convert.whole(
        int(count) if count.is_integer() else count,
        f"the number of values of --over {name}",
        most=_MOST_VALUES,
    )
    log = rest[2:] == ["log"]
    for value in (low, high):
        _convert.number(value, f"an end of --over {name}", above=0.0 if log else -math.inf)
    if not log:
        return name, np.linspace(low, high, size).tolist()
    return name, np.geomspace(low, high, size).tolist()


def _names(given: list[str]) -> list[str]:
    """Names of quantities, separated by blanks or commas; "usable" is two."""
    names = [name for text in given for name in text.split(",") if name]
    both = {"usable": ["usable_start", "usable_end"]}
    return [name for one in names for name in both.get(one, [one])]


def _cell(value: Any) -> str:
    return number(float(value)) if np.asarray(value).dtype.kind in "fiu" else str(value)


def _meaning(name: str) -> str:
    from dmft_rf.curves.definitions import DEFINITIONS, definitions

    return definitions()[name] if name in DEFINITIONS else DESCRIPTIONS[name]
