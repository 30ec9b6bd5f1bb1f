"""The command ``dmft-rf timescales``: when to stop, and every other time of training beside it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dmft_rf
from dmft_rf.cli._finish import OVERFITTING, TAU, about_data, finish
from dmft_rf.cli._report import Table, accuracy, begin, number
from dmft_rf.curves.definitions import FACTOR, definitions
from dmft_rf.errors import ModelError
from dmft_rf.files.results import describe_rule
from dmft_rf.rules.stored import named

if TYPE_CHECKING:
    from dmft_rf.cli._model import ModelOptions
    from dmft_rf.cli._options import OutputOptions
    from dmft_rf.cli._rules import RuleOptions
    from dmft_rf.curves.timescales import Timescales
    from dmft_rf.model.score_model import ScoreModel

# these date nothing where there is nothing to memorize
_OF_MEMORIZING = ("tau_mem", "window")
# more steps than any run has
_MOST_STEPS = 1e12


def timescales(
    options: ModelOptions, training: RuleOptions, output: OutputOptions, finite: bool = False
) -> None:
    """When to stop: the usable interval, and the times of learning, overfitting and memorizing."""
    output.check(options.data)
    start = time.perf_counter()
    if training.dimension is not None and training.learning_rate is None:
        raise ModelError(f"--dimension is {training.dimension!r}, but --learning-rate is not given")
    stated = options.build()
    model = stated.model
    run = replace(training, dimension=training.dimension or model.covariance.dimension)
    steps = _steps(run, model)
    if run.batch is None:  # the learning rate gives steps of a rule without noise
        run = replace(run, learning_rate=None)
    if run.learning_rate is None:
        run = replace(run, dimension=None)
    rule = run.build()
    solution = dmft_rf.solve(model, options.rtol)
    times = dmft_rf.timescales(solution, rule=rule)
    report = begin("timescales", stated)
    report.state("rule", named(rule))
    report.document["rule"] = describe_rule(rule)
    accuracy(report, solution.error_estimate, options.rtol)
    report.state("when to stop", when_to_stop(times))
    values, reasons = dict(times.values), dict(times.reasons)
    if not times.memorizes:
        nothing = nothing_to_memorize(times)
        report.notes.append(nothing)
        values |= dict.fromkeys(_OF_MEMORIZING, math.nan)
        reasons |= dict.fromkeys(_OF_MEMORIZING, nothing)
    report.tables.append(times_table(times, values, steps))
    if finite:
        from dmft_rf.cli._finite import add_finite_times

        add_finite_times(report, dmft_rf.finite_size(model), times)
    report.notes += [f"{name}: {reason}" for name, reason in times.reasons.items()]
    report.notes.append(f"{TAU} {OVERFITTING}")
    if steps is not None:
        report.notes.append(
            f"Steps on this model with learning rate {training.learning_rate:g} on "
            "the loss averaged over samples and dimensions: tau d^2/eta for the network "
            "A sigma(W x/sqrt(d))/sqrt(p), tau d/(eta psi_p) for one without 1/sqrt(p)."
        )
        report.document["steps"] = {
            name: dict(zip(("paper", "no_sqrt_p"), steps(value), strict=True))
            for name, value in values.items()
            if _is_time(name)
        }
    report.notes += about_data(stated.data)
    report.document |= {
        "usable": {"factor": FACTOR, "start": values["usable_start"], "end": values["usable_end"]},
        "results": values,
        "errors": {name: times.error[name] for name in values},
        "reasons": reasons,
        "memorizes": times.memorizes,
        "definitions": times.definitions,
    }
    from dmft_rf.plotting.timescales import plot_timescales

    stored = {"timescales": times}
    finish(report, output, start, lambda: plot_timescales(solution, times), stored, solution)


def when_to_stop(times: Timescales) -> str:
    """The usable interval in a sentence."""
    values = times.values
    start, best, end = (values[name] for name in ("usable_start", "tau_opt", "usable_end"))
    if math.isnan(start) or math.isnan(end):
        return "cannot be told: " + next(iter(times.reasons.values()))
    if best == 0.0:
        return (
            "before it begins: training never makes the score error less than the untrained "
            f"network's, {times.untrained:.4g}"
        )
    least = f"{100 * (FACTOR - 1):.0f} % of its least value, {values['score_error_min']:.4g}"
    if math.isinf(end):
        return f"any time from tau = {start:.4g} on: the score error stays within {least}"
    return (
        f"between tau = {start:.4g} and {end:.4g}, best at {best:.4g}: there the score error is "
        f"within {least}"
    )


def nothing_to_memorize(times: Timescales) -> str:
    """Why tau_mem is not printed."""
    return (
        f"Nothing to memorize: the generalization gap stays below {100 * times.gap_level:.3g} % of "
        f"what there is to learn (it ends at {100 * times.relative_gap:.2g} %), so tau_mem would "
        "date a rise that does no harm."
    )


def times_table(
    times: Timescales,
    values: dict[str, float],
    steps: Callable[[float], tuple[float, float]] | None,
) -> Table:
    """Every time with its error and its definition."""
    columns, rows = ["", "value", "error", "what it is"], []
    if steps is not None:
        columns[3:3] = ["steps", "steps, no 1/sqrt(p)"]
    for name, text in definitions(times.level, times.gap_level).items():  # the header has the rule
        known = not math.isnan(values[name])
        error = f"{times.error[name]:.0e}" if known and math.isfinite(values[name]) else "-"
        shown = number(values[name]) if known or name == "tau_gen_spectrum" else "none"
        row: list[Any] = [name, shown, error, text]
        if steps is not None:
            row[3:3] = map(_steps_text, steps(values[name])) if _is_time(name) else ["", ""]
        rows.append(row)
    return Table(columns, rows, text_columns=frozenset({0, len(columns) - 1}))


def _is_time(name: str) -> bool:
    return name.startswith(("tau_", "usable_"))


def _steps_text(steps: float) -> str:
    if math.isnan(steps):
        return "none"
    return f"over {_MOST_STEPS:.0e}" if steps > _MOST_STEPS else number(steps, 4)


def _steps(run: RuleOptions, model: ScoreModel) -> Callable[[float], tuple[float, float]] | None:
    """Return the conversion of a time into steps, with and without 1/sqrt(p)."""
    if run.learning_rate is None:
        return None
    d = run.dimension
    if d is None:
        raise ModelError(
            f"--learning-rate is {run.learning_rate!r}; steps also need --dimension, the d of the "
            "data, where --data does not give it"
        )
    from dmft_rf.units import steps_from_time

    eta = run.learning_rate
    steps_from_time(1.0, eta, d)  # refuses what is wrong before the work

    def steps(tau: float) -> tuple[float, float]:
        if math.isnan(tau):
            return math.nan, math.nan
        paper = float(steps_from_time(tau, eta, d))
        if math.isinf(model.psi_p):  # without 1/sqrt(p) there is no such limit
            return paper, math.nan
        return paper, float(steps_from_time(tau, eta, d, model.psi_p))

    return steps
