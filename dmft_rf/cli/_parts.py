"""``dmft-rf curves --parts``: the score error in parts, direction by direction."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

import dmft_rf
from dmft_rf._typing import Array
from dmft_rf.cli._commands import round_times
from dmft_rf.cli._finish import TAU, about_data, finish
from dmft_rf.cli._parameters import numbers
from dmft_rf.cli._report import Table, accuracy, begin, number, rule_text
from dmft_rf.cli._rules import CurveOptions
from dmft_rf.curves.automatic_times import automatic_times
from dmft_rf.curves.definitions import PARTS
from dmft_rf.files.results import describe_rule

if TYPE_CHECKING:
    from dmft_rf.cli._model import ModelOptions
    from dmft_rf.cli._options import OutputOptions
    from dmft_rf.curves.error_times import ErrorTimes

# rows of the table of directions; beyond so many directions their times take minutes
_MOST_ROWS, _MOST_DATED = 12, 256
_ABOUT = (
    "The score error is the sum of its parts: bias of the mean network; variance over training "
    "sets (sample), over features, and what needs both; noise of the features beyond their linear "
    "part; what random initial weights add."
)


def error_parts(options: ModelOptions, training: CurveOptions, output: OutputOptions) -> None:
    """The parts of the score error under a training rule."""
    output.check(options.data)
    start = time.perf_counter()
    rule = training.build()
    tau = None if training.tau is None else np.array(numbers("--tau", training.tau))
    stated = options.build()
    solution = dmft_rf.solve(stated.model, options.rtol)
    automatic = tau is None
    if tau is None:
        tau = automatic_times(solution, rule)
    shown = round_times(tau) if automatic else np.arange(tau.size)
    parts = dmft_rf.error_parts(solution, tau, rule)  # type: ignore[arg-type]
    dated = stated.model.weights.size <= _MOST_DATED and rule == dmft_rf.GradientFlow()
    times = dmft_rf.error_times(solution) if dated else None
    report = begin("curves", stated)
    described = describe_rule(rule)
    report.state("rule", rule_text(training.rule, described))
    accuracy(report, parts.curves.relative_error, options.rtol)
    names = [name for name in PARTS if name != "initial" or parts.rule.initial_scale]

    def entry(name: str, i: int) -> str:
        value = float(parts.total[name][i])
        return "0" if abs(value) <= parts.error[name][i] else number(value, 6)

    rows = [
        [number(float(tau[i])), *(entry(name, int(i)) for name in (*names, "score_error"))]
        for i in shown
    ]
    report.tabulate(["tau", *names, "score error"], rows)
    if times is not None:
        report.tables.append(_directions(times, parts.weights, parts.eigenvalues[0]))
        report.notes.append(
            "Of each direction, under gradient flow: "
            + "; ".join(f"{name}: {text}" for name, text in times.definitions.items())
            + "."
        )
        report.notes += [f"{place}: {reason}" for place, reason in times.reasons.items()]
    report.notes += [f"{_ABOUT} {TAU}", *about_data(stated.data)]
    report.document |= {
        "rule": described,
        "results": {"tau": tau, "total": parts.total, "by_direction": parts.by_direction},
        "errors": parts.error,
        "eigenvalues": parts.eigenvalues[0],
        "weights": parts.weights,
        "times": None if times is None else times.by_direction,
        "definitions": None if times is None else times.definitions,
    }
    stored = {"error-parts": parts} | ({} if times is None else {"error-times": times})

    from dmft_rf.plotting.parts import plot_error_parts

    finish(report, output, start, lambda: plot_error_parts(parts), stored, solution)


def _directions(times: ErrorTimes, weights: Array, eigenvalues: Array) -> Table:
    order = np.argsort(eigenvalues)[::-1]
    picked = np.unique(np.linspace(0, order.size - 1, _MOST_ROWS).round().astype(int))
    if order.size <= _MOST_ROWS:
        picked = np.arange(order.size)
    found = times.by_direction
    names = list(times.definitions)
    rows = [
        [
            number(float(eigenvalues[a])),
            number(float(weights[a]), 4),
            *(number(float(found[name][a]), 5) for name in names),
            number(float(found["error_min"][a]), 4),
        ]
        for a in order[picked]
    ]
    columns = ["eigenvalue", "weight", *names, "least error"]
    title = "directions of the data"
    if order.size > picked.size:
        title += f", {picked.size} of {order.size}"
    return Table([name.replace("_", " ") for name in columns], rows, title=title)
