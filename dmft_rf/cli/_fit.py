"""The command ``dmft-rf fit``: which model had the losses of a run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dmft_rf
from dmft_rf.cli._parameters import COLUMNS, argument, names_of, option
from dmft_rf.errors import ModelError

if TYPE_CHECKING:
    from dmft_rf.cli._model import FitModelOptions, Stated
    from dmft_rf.cli._options import OutputOptions
    from dmft_rf.cli._report import Report
    from dmft_rf.curves.fit import Fit
    from dmft_rf.rules.flow import Rule


@dataclass(frozen=True)
class LossOptions:
    """Losses: where they were measured, and what is to be found."""

    losses: str = argument(
        "CSV of a run, as the command monitor reads it. Or with the columns tau or steps, train, "
        "test, train_error, test_error.",
        metavar="LOSSES",
    )
    test: str | None = option(
        "The held-out loss, where it has a file of its own (TensorBoard's export).", metavar="FILE"
    )
    columns: str | None = option(COLUMNS, metavar="KIND=NAME,...")
    free: str = option(
        "Of psi_p, psi_n, t, scale, weight_decay, rate. What is free starts from the options of "
        "the model and of the rule.",
        default="psi_p,psi_n,rate",
        metavar="NAME,...",
    )
    rate: float | None = option(
        "tau for each step, > 0. Where it starts, or what it is where it is not free."
    )
    weight_decay: float | None = option("Of gradient flow, omega >= 0, in units of U; default 0.")
    ridge: float | None = option("Ridge regression with this omega in place of gradient flow.")

    def rule(self) -> Rule:
        """What was trained by."""
        if self.ridge is None:
            return dmft_rf.GradientFlow(0.0 if self.weight_decay is None else self.weight_decay)
        if self.weight_decay is not None:
            raise ModelError("--ridge and --weight-decay exclude one another")
        return dmft_rf.Ridge(self.ridge)


def fit(losses: LossOptions, options: FitModelOptions, output: OutputOptions) -> None:
    """Parameters of the model that fits measured losses."""
    output.check(losses.losses)
    start = time.perf_counter()
    from dmft_rf.cli._finish import finish
    from dmft_rf.monitor.logs import read_losses
    from dmft_rf.plotting.fits import plot_fit

    rule, free = losses.rule(), [name.strip() for name in losses.free.split(",")]
    columns = {} if losses.columns is None else names_of(losses.columns)
    measured = read_losses(losses.losses, test=losses.test, columns=columns)
    stated = options.build()
    found = dmft_rf.fit(measured, stated.model, free, rule, rate=losses.rate, rtol=options.rtol)
    report = _report(found, stated, losses)
    finish(report, output, start, lambda: plot_fit(found), {"fit": found}, found.solution)


def _report(found: Fit, stated: Stated, losses: LossOptions) -> Report:
    from dmft_rf.cli._report import accuracy, begin, number
    from dmft_rf.files.results import describe_rule
    from dmft_rf.rules.stored import named

    report = begin("fit", stated, swept=[n for n in ("t", "psi_p", "psi_n") if n in found.values])
    report.state("rule", named(found.rule))
    report.document["rule"] = describe_rule(found.rule)
    accuracy(report, found.solution.error_estimate, found.solution.rtol)
    report.state("fit", _quality(found))
    started = {"scale": 1.0, "weight_decay": losses.rule().decay, "rate": losses.rate}
    rows = []
    for name, value in found.values.items():
        at = started[name] if name in started else getattr(stated.model, name)
        first = "a scan" if at is None else number(at)
        rows.append([name, number(value), number(found.errors[name], 2), first])
    report.tabulate(["", "value", "error", "started from"], rows, text_columns=frozenset({0}))
    names = list(found.values)
    if len(names) > 1:
        rows = [
            [name, *(f"{c:.3f}" for c in row)]
            for name, row in zip(names, found.correlation, strict=True)
        ]
        report.tabulate(["", *names], rows, "Correlation of the errors", frozenset({0}))
    report.notes.append(
        "Errors are those of independent noise of the losses alone; a finite network differs from "
        "the limit besides. Losses are per dimension, 1 for the untrained network."
    )
    report.document["results"] = {
        "values": dict(found.values),
        "errors": dict(found.errors),
        "covariance": found.covariance,
        **{name: getattr(found, name) for name in ("chi2", "dof", "noise", "rate", "unit")},
    }
    return report


def _quality(found: Fit) -> str:
    """How well the model fits, and what that rests on."""
    if found.noise != 1.0:
        return (
            f"{found.residuals.size} losses, each off by {found.noise:.2g} of itself on average; "
            "errors follow from that, since no standard errors were given"
        )
    return f"chi^2 = {found.chi2:.4g} for {found.dof} degrees of freedom"
