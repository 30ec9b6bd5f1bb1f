"""The command ``dmft-rf phase-diagram``: regions, boundaries and maps over a plane."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import dmft_rf
from dmft_rf import _convert
from dmft_rf.cli._finish import TAU, about_data, show
from dmft_rf.cli._frame import say
from dmft_rf.cli._progress import running
from dmft_rf.cli._report import Table, accuracy, begin, number
from dmft_rf.errors import ModelError

if TYPE_CHECKING:
    from dmft_rf.cli._model import MapModelOptions
    from dmft_rf.cli._options import OutputOptions, PlaneOptions, RunOptions
    from dmft_rf.sweeps.results import PhaseDiagram

_OTHER = {"n-p": "psi_p", "n-t": "t", "n-tau": "tau"}
_RANGES = {"psi_p": (1.0, 256.0, 64), "t": (0.003, 1.0, 64), "tau": (1.0, 1e7, 200)}
_MOST_ROWS = 16


def phase_diagram(
    options: MapModelOptions, plane: PlaneOptions, run: RunOptions, output: OutputOptions
) -> None:
    """Where a model memorizes, and what keeps it from doing so."""
    output.check(options.data, resumed=True)
    start = time.perf_counter()
    options.check()
    other, axes = _axes(plane)
    stated = options.build()
    with running(run, output, "phase diagram") as where:
        diagram = dmft_rf.phase_diagram(
            stated.model,
            axes,
            level=plane.level,
            multiple=plane.multiple,
            rtol=options.rtol,
            extra={"eigenvalues_divided_by": stated.divisor},
            **where,
        )
    for what, message in list(diagram.failures.items())[:5]:
        say("warning", f"{what} could not be computed: {message}")
    if len(diagram.failures) > 5:
        say("warning", f"{len(diagram.failures)} points in all could not be computed")
    report = begin("phase-diagram", stated, swept=("psi_n", other))
    accuracy(report, options.rtol, options.rtol)
    report.header[-1] = (
        "accuracy",
        f"every solution reached a relative error of {options.rtol:g}; boundaries are roots",
    )
    sizes = " x ".join(str(values.size) for values in diagram.axes.values())
    text = ", ".join(
        f"{name} = {values[0]:.4g} to {values[-1]:.4g}" for name, values in diagram.axes.items()
    )
    report.state("plane", f"{text}; {sizes} points, {diagram.tau.size} times")
    report.state("level", f"g = {plane.level:g}, c = {plane.multiple:g}")
    names = diagram.region_names
    shares = {name: float(np.mean(diagram.regions == k)) for k, name in enumerate(names)}
    definitions = diagram.definitions
    rows = [[name, f"{100 * share:.1f} %", definitions[name]] for name, share in shares.items()]
    report.tabulate(["region", "of the points", "definition"], rows, text_columns=frozenset({0, 2}))
    report.tables.append(_boundary_table(diagram))
    report.notes.append(f"{definitions['relative_gap']}.")
    # tau_gen is in the table, or in the definition of what is
    terms = dict.fromkeys((*diagram.boundaries, "tau_gen"))
    report.notes.append("\n".join(f"{name}: {definitions[name]}." for name in terms))
    report.notes.append(TAU)
    report.notes += about_data(stated.data)
    report.document["results"] = {
        "axes": diagram.axes,
        "boundaries": diagram.boundaries,
        "regions": diagram.regions,
        "region_names": diagram.region_names,
        "shares": shares,
        "level": diagram.level,
        "multiple": diagram.multiple,
        "tau": diagram.tau,
        "final_relative_gap": diagram.relative_gap[..., -1],
        "final_ratio": diagram.ratio[..., -1],
        "failures": diagram.failures,
    }
    report.document["definitions"] = definitions
    from dmft_rf.plotting.phases import plot_phase_diagram

    show(report, output, start, lambda: plot_phase_diagram(diagram), diagram)


def _axes(plane: PlaneOptions) -> tuple[str, dict[str, NDArray[np.float64]]]:
    other = _OTHER[_convert.one_of(plane.plane, _OTHER, "--plane")]
    low, high, points = _RANGES[other]
    low = low if plane.start is None else plane.start
    high = high if plane.stop is None else plane.stop
    points = points if plane.points is None else plane.points
    return other, {
        "psi_n": _values("--n-from", "--n-to", "--n-points", plane.n_start, plane.n_stop,
                         plane.n_points),
        other: _values("--from", "--to", "--points", low, high, points),
    }  # fmt: skip


def _values(
    low_name: str, high_name: str, points_name: str, low: float, high: float, points: int
) -> NDArray[np.float64]:
    for name, value in ((low_name, low), (high_name, high)):
        _convert.number(value, name, above=0.0)
    _convert.whole(points, points_name, most=4096)
    if not (low < high or (points == 1 and low == high)):
        raise ModelError(f"{low_name} is {low!r}; it must be below {high_name}, {high!r}")
    return np.geomspace(low, high, points)


def _boundary_table(diagram: PhaseDiagram) -> Table:
    along = "psi_n" if diagram.y == "tau" else diagram.y
    values = diagram.axes[along]
    chosen = np.unique(np.linspace(0, values.size - 1, min(_MOST_ROWS, values.size)).astype(int))
    lines = {name: line for name, line in diagram.boundaries.items() if line.ndim}
    rows = [
        [number(float(values[i]), 4), *(number(float(line[i]), 5) for line in lines.values())]
        for i in chosen
    ]
    title = "Boundaries"
    if chosen.size < values.size:
        title += f" ({chosen.size} of {values.size}; --json and --out give all)"
    for name, line in diagram.boundaries.items():
        if line.ndim == 0:
            title += f"; {name} = {number(float(line), 5)}"
    return Table([along, *lines], rows, title)
