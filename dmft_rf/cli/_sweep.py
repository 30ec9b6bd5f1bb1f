"""The command ``dmft-rf scaling``: the times along a sweep, and the power laws in them."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import dmft_rf
from dmft_rf import _convert
from dmft_rf.cli._finish import OVERFITTING, TAU, about_data, show
from dmft_rf.cli._frame import say
from dmft_rf.cli._progress import running
from dmft_rf.cli._report import Report, Table, accuracy, begin, number
from dmft_rf.curves.definitions import NOTHING, definitions
from dmft_rf.curves.noise_load import threshold
from dmft_rf.errors import ModelError
from dmft_rf.files.results import describe_rule
from dmft_rf.model.covariance import Covariance
from dmft_rf.rules.flow import GradientFlow
from dmft_rf.rules.stochastic import StochasticGradientDescent
from dmft_rf.rules.stored import named
from dmft_rf.spectra.spectrum import spectrum

if TYPE_CHECKING:
    from dmft_rf.cli._model import ModelOptions
    from dmft_rf.cli._options import OutputOptions, RunOptions, SweepOptions
    from dmft_rf.cli._rules import RuleOptions
    from dmft_rf.model.score_model import ScoreModel
    from dmft_rf.rules.stochastic import TrainingRule
    from dmft_rf.sweeps.results import PowerLaw, Scaling


# of tau_gen: the part of the score error's fall that may be missing
_LEVEL = 0.1
_PARAMETERS = {
    **{name: name for name in ("psi_n", "psi_p", "t", "noise", "batch")},
    "power-law": "power_law.exponent",
}
# how far below the limit of stability a sweep of the noise ends, and over which factor it goes
_STABLE, _NOISES, _BATCHES = 0.9, 100.0, 64


def scaling(
    options: ModelOptions,
    sweep: SweepOptions,
    training: RuleOptions,
    run: RunOptions,
    output: OutputOptions,
) -> None:
    """How the times grow with a parameter of the model, or with the noise of SGD."""
    output.check(options.data, resumed=True)
    start = time.perf_counter()
    options.check()
    _check(options, sweep)
    if sweep.over == "power-law" and options.power_law is None:
        options = replace(options, power_law=1.0)  # its exponent is swept; --atoms counts
    if sweep.over == "noise" and training.sgd_noise is None and training.learning_rate is None:
        training = replace(training, sgd_noise=1.0)  # it is swept
    rule = training.build()
    width = (options.psi_p, options.parameters, options.data)
    if sweep.over == "psi_n" and width == (None,) * 3 and math.isinf(options.noise_draws):
        options = replace(options, psi_p=math.inf)  # where the law tau_mem ~ n has room
    stated = options.build()
    model = stated.model
    values = _sweep_values(model, rule, sweep)
    report = begin("scaling", stated, swept=(sweep.over,))
    if sweep.over == "power-law":
        _describe_power_law(report, model, values)
    with running(run, output, "scaling") as where:
        result = dmft_rf.scaling(
            model,
            _PARAMETERS[sweep.over],
            values,
            rule=rule,
            rtol=options.rtol,
            level=_LEVEL,
            extra={"eigenvalues_divided_by": stated.divisor},
            **where,
        )
    for value, message in result.failures.items():
        say("warning", f"{sweep.over} = {value:g} is left out: {message}")
    accuracy(report, options.rtol, options.rtol)
    report.header[-1] = ("accuracy", f"every solution reached a relative error of {options.rtol:g}")
    if rule != GradientFlow():
        report.state("rule", named(rule))
    report.document["rule"] = describe_rule(rule)
    report.tables += [_sweep_table(result), _fit_table(result)]
    subjects = {
        "t": "Delta_t = 1 - e^{-2t}",
        "power-law": "e^alpha, alpha the power law's exponent",
    }
    subject = subjects.get(sweep.over, sweep.over)
    report.notes.append(_summary(result))
    report.notes += [text for text in (_nothing(result), _beyond(result)) if text is not None]
    report.notes.append(
        f"In brackets and in the second table: exponents d ln Q/d ln P with P = {subject}. The "
        "local exponent is that of exact solutions beside each point; a power law is fitted over "
        f"the widest range in which it changes by less than {2 * result.tolerance:g}, and is "
        "claimed there only."
    )
    under = None if rule == GradientFlow() else named(rule)
    texts = {name: definitions(_LEVEL, rule=under)[name] for name in result.quantities}
    report.notes.append("\n".join(f"{name}: {text}." for name, text in texts.items()))
    report.notes.append(f"{TAU} {OVERFITTING}")
    report.notes += about_data(stated.data)
    report.document["results"] = {
        "parameter": result.parameter,
        "values": result.values,
        "abscissa": result.abscissa,
        "samples": _samples(result),
        "quantities": result.quantities,
        "memorizes": result.memorizes,
        "local_exponents": result.local_exponents,
        "fits": {name: asdict(fit) for name, fit in result.fits.items()},
        "global_fits": {name: asdict(fit) for name, fit in result.global_fits.items()},
        "tolerance": result.tolerance,
        "failures": result.failures,
    }
    report.document["definitions"] = texts
    from dmft_rf.plotting.curves import plot_scaling

    show(report, output, start, lambda: plot_scaling(result), result)


def _check(options: ModelOptions, sweep: SweepOptions) -> None:
    """Refuse what is wrong before data are read."""
    _convert.one_of(sweep.over, _PARAMETERS, "--over")
    linear = sweep.over == "power-law"
    for name in ("data", "eigenvalues"):
        if linear and (value := getattr(options, name)) is not None:
            raise ModelError(
                f"--{name} is {_convert.shown(value)}, but --over power-law sweeps another "
                "covariance; --atoms gives the number of its eigenvalues"
            )
    for name, end in (("--from", sweep.start), ("--to", sweep.stop)):
        if end is not None:
            _convert.number(end, name, above=-math.inf if linear else 0.0, least=0.0)
    _convert.whole(sweep.points, "--points", least=3, most=1000)


def _sweep_values(
    model: ScoreModel, rule: TrainingRule, sweep: SweepOptions
) -> NDArray[np.float64]:
    wide = math.isinf(model.psi_p)
    defaults = {
        "psi_n": (1.0, 1024.0) if wide else (model.psi_p / 64.0, model.psi_p / 2.0),
        "psi_p": (2.0 * model.psi_n, 64.0 * model.psi_n),
        "t": (1e-3, 0.3),
        "power-law": (0.0, 2.0),
    }
    if isinstance(rule, StochasticGradientDescent):
        most = _STABLE * threshold(spectrum(model), rule)
        defaults["noise"] = most / _NOISES, most
        defaults["batch"] = rule.batch, _BATCHES * rule.batch
    elif sweep.over in ("noise", "batch"):
        raise ModelError(f"--over is {sweep.over!r}, but neither --sgd-noise nor --learning-rate "
                         "is given")  # fmt: skip
    low = defaults[sweep.over][0] if sweep.start is None else sweep.start
    high = defaults[sweep.over][1] if sweep.stop is None else sweep.stop
    if not low < high:
        raise ModelError(f"--from is {low!r}; it must be below --to, {high!r}")
    if sweep.over == "power-law":
        return np.linspace(low, high, sweep.points)
    values = np.geomspace(low, high, sweep.points)
    if sweep.over == "batch":
        return np.unique(np.rint(values))
    # powers of 2 and the like come out exact in tables
    near = np.rint(values)
    return np.where(np.abs(values - near) < 1e-12 * values, near, values)


def _describe_power_law(report: Report, model: ScoreModel, values: NDArray[np.float64]) -> None:
    """State the swept covariance, in place of one of those that the sweep goes through."""
    d, mean = model.covariance.dimension, model.covariance.mean
    assert d is not None
    first, last = (Covariance.power_law(float(value), d) for value in values[[0, -1]])
    law = f"power law: {d} eigenvalues proportional to k^-alpha, mean {mean:g}; alpha is swept"
    size = (
        f"d_eff = (Tr Sigma)^2/Tr Sigma^2 = {first.effective_dimension:.1f} at alpha = "
        f"{values[0]:g} and {last.effective_dimension:.1f} at {values[-1]:g}; the limit is reached "
        "like 1/d_eff"
    )
    rows = {"covariance": law, "finite size": size}
    report.header[:] = [(name, rows.get(name, text)) for name, text in report.header]
    report.document["covariance"] = {
        "label": "power law",
        "atoms": d,
        "mean": mean,
        "d": d,
        "divided_by": None,
    }
    for name in ("covariance_label", "d_eff", "expected_finite_size_error"):
        del report.document["model"][name]


def _samples(result: Scaling) -> NDArray[np.float64] | None:
    """Numbers of samples along a sweep of psi_n, where d is known."""
    d = result.model.covariance.dimension
    return result.values * d if d is not None and result.parameter == "psi_n" else None


def _nothing(result: Scaling) -> str | None:
    """Where tau_mem is not printed, and why."""
    where = result.values[result.quantities["relative_gap"] < NOTHING]
    if where.size == 0:
        return None
    places = f"{where[0]:.4g}" + (f" to {where[-1]:.4g}" if where.size > 1 else "")
    return (
        f"none: nothing to memorize at {result.parameter} = {places}, where the generalization gap "
        f"stays below {100 * NOTHING:g} % of what there is to learn. Exponents and fits of tau_mem "
        "there describe a rise that does no harm."
    )


def _beyond(result: Scaling) -> str | None:
    """The note that explains the mark of rows with more samples than the data have."""
    n, c = _samples(result), result.model.covariance
    if n is None or c.samples is None or not n[-1] > c.samples:
        return None
    return (
        f"* more samples than the data have (n = {c.samples}): what the theory says for more data "
        "of the same covariance."
    )


def _summary(result: Scaling) -> str:
    """Say in a sentence what the sweep did to the times."""
    first, last = result.values[0], result.values[-1]
    text = f"From {result.parameter} = {first:.4g} to {last:.4g}"
    if (n := _samples(result)) is not None:
        text += f" (n = {n[0]:.0f} to {n[-1]:.0f} samples)"
    parts = []
    names = ["usable_start", "usable_end", "tau_gen", "tau_opt"]
    for name in [*names, *(("tau_mem", "window") if np.all(result.memorizes) else ())]:
        a, b = result.quantities[name][[0, -1]]
        if math.isfinite(a) and math.isfinite(b):
            factor = f" (x {b / a:.3g})" if a > 0.0 else ""
            parts.append(f"{name} goes from {a:.4g} to {b:.4g}{factor}")
    return f"{text}: {', '.join(parts)}." if parts else f"{text}: the times are not defined."


def _sweep_table(result: Scaling) -> Table:
    """The times along the sweep, each with its local exponent."""
    quantities = ("usable_end", "tau_gen", "tau_opt", "tau_mem", "score_error_min")
    samples = _samples(result)
    known = result.model.covariance.samples or math.inf
    columns = [result.parameter, *([] if samples is None else ["n"]), *quantities]
    rows = []
    for i, value in enumerate(result.values):
        row = [number(value, 4)]
        if samples is not None:
            mark = "*" if samples[i] > known else ""
            row.append(f"{samples[i]:.0f}{mark}")
        row += [_cell(result, name, i) for name in quantities]
        rows.append(row)
    title = f"At each {result.parameter}, with local exponents"
    return Table(columns, rows, title)


def _cell(result: Scaling, name: str, i: int) -> str:
    """A value with its local exponent; none for tau_mem where there is nothing to memorize."""
    if name == "tau_mem" and result.quantities["relative_gap"][i] < NOTHING:
        return "none"
    value = float(result.quantities[name][i])
    text = f"{value:.0f}" if 1e4 <= value < 1e7 else number(value, 4)  # shorter than 1.234e+05
    return f"{text} ({_slope(result, name, i)})"


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
        over_all = "-" if whole is None else _exponent(whole)
        fit = result.fits.get(name)
        if fit is None:
            rows.append([name, "none", "no three neighbouring points share an exponent", over_all])
        else:
            rows.append([name, _exponent(fit), fit.holds, over_all])
    columns = ["quantity", "exponent", f"holds for {subject}", "over all points"]
    title = "Power laws, with the least and the greatest local exponent"
    return Table(columns, rows, title, frozenset({0, 2}))


def _exponent(fit: PowerLaw) -> str:
    return f"{fit.exponent:+.3f} ({fit.exponent_low:+.2f} to {fit.exponent_high:+.2f})"
