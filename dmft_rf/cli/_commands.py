"""What the commands do: compute, print, store, draw."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import dmft_rf
from dmft_rf.cli._finish import TAU, about_data, finish
from dmft_rf.cli._parameters import numbers
from dmft_rf.cli._report import Table, accuracy, begin, number, rule_text, shortened
from dmft_rf.curves.automatic_times import PER_DECADE, automatic_times
from dmft_rf.files.results import describe_rule

if TYPE_CHECKING:
    from dmft_rf.cli._model import ModelOptions
    from dmft_rf.cli._options import OutputOptions
    from dmft_rf.cli._rules import CurveOptions
    from dmft_rf.curves.losses import LearningCurves
    from dmft_rf.model.score_model import ScoreModel

_MOST_ROWS = 50
# what `Spectrum.bulk_names` are called in the table
_WORDS = {
    "data": "data, rho_2: learned first",
    "memorizes last": "samples, rho_1: memorizes last",
    "nearly inert": "samples, rho_1: nearly inert",
    "samples": "samples, rho_1",
    "merged": "merged",
}
_CURVES = ("tau", "train", "test", "generalization_gap", "score_error")
# what curves of SGD have besides
_OF_NOISE = ("train_noise", "test_noise", "load", "threshold")


def spectrum(options: ModelOptions, output: OutputOptions) -> None:
    """Bulks, edges, masses and atom of the spectrum of U."""
    output.check(options.data)
    start = time.perf_counter()
    stated = options.build()
    model = stated.model
    law = dmft_rf.spectrum(model)
    report = begin("spectrum", stated)
    accuracy(report, law.mass_error, None)
    report.header[-1] = (
        "accuracy",
        f"edges and masses exact; the density integrates to them within {law.mass_error:.1e}",
    )
    wide = math.isinf(model.psi_p)
    rows = [
        [number(low), number(high), number(mass), *_relaxation(model, low, high), _WORDS[name]]
        for (low, high), mass, name in zip(law.edges, law.bulk_masses, law.bulk_names, strict=True)
    ]
    rows[:0] = [
        [number(at), number(at), number(mass), "-", "-", "atom" if wide else "atom at s_t^2"]
        for at, mass in law.atoms
    ]
    # a law of many atoms has many bulks
    rows = shortened(report, rows, _MOST_ROWS, "--json and --out give all of them")
    columns = ["from", "to", "mass", "slowest tau", "fastest tau", "belongs to"]
    report.tabulate(columns, rows, text_columns=frozenset({5}))
    families = (
        "rho_2 are the directions of the data (generalization), rho_1 those of single samples: of "
        "these the thin bulk at the bottom fits the noise of the training samples, last of all, "
        "and the large one carries next to nothing of the loss"
    )
    report.notes.append(
        "Eigenvalues of U in units of psi_p, masses per dimension; lambda relaxes on the time "
        f"tau = 1/(2 Delta_t lambda). {families}; an atom is of directions without "
        "samples (b_t^2) or samples beyond the dimension (v_t^2/psi_n)."
        if wide
        else "An eigenvalue lambda of U relaxes on the time tau = psi_p/(2 Delta_t lambda). "
        f"{families}; an atom is not trained."
    )
    grid = law.grid()
    names = ("edges", "bulk_masses", "learning_bulks", "bulk_names", "atoms", "mass")
    report.document["results"] = {
        **{name: getattr(law, name) for name in names},
        "mean": law.moment(1),
        "grid": grid,
        "density": law.density(grid),
    }
    from dmft_rf.plotting.spectra import plot_spectrum

    finish(report, output, start, lambda: plot_spectrum(law), {"spectrum": law}, None)


def _relaxation(model: ScoreModel, low: float, high: float) -> tuple[str, str]:
    slowest = 1.0 / (model.rate * low) if low > 0.0 else math.inf
    return number(slowest, 4), number(1.0 / (model.rate * high), 4)


def curves(
    options: ModelOptions, training: CurveOptions, output: OutputOptions, finite: bool = False
) -> None:
    """Learning curves of a training rule."""
    output.check(options.data)
    start = time.perf_counter()
    rule = training.build()
    tau = None if training.tau is None else np.array(numbers("--tau", training.tau))
    stated = options.build()
    model = stated.model
    solution = dmft_rf.solve(model, options.rtol)
    automatic = tau is None
    if tau is None:
        tau = automatic_times(solution, rule)
    result = solution.learning_curves(tau, rule)
    report = begin("curves", stated)
    described = describe_rule(rule)
    from dmft_rf.curves.stochastic import StochasticCurves

    stochastic = isinstance(result, StochasticCurves)
    report.state("rule", rule_text("SGD" if stochastic else training.rule, described))
    if isinstance(result, StochasticCurves):
        load = float(result.load.max())
        report.state("load", f"{load:.6g}, 1 at the noise {result.threshold:.6g}")
    report.document["rule"] = described
    accuracy(report, result.relative_error, options.rtol)
    report.tables.append(curve_table(result, automatic))
    if finite:
        from dmft_rf.cli._finite import add_finite_curves

        add_finite_curves(report, dmft_rf.finite_size(model), tau, rule, result)
    shown = len(report.tables[0].rows)
    if shown < tau.size:
        report.notes.append(
            f"{shown} of {tau.size} times shown; --json and --out give all of them."
        )
    report.notes.append(
        "Losses per dimension; gap = L_test - L_train; score error = (1/d) E|s_A - s*|^2 against "
        f"the exact score of Gaussian data, whose test loss is {model.floor:.8g}. {TAU}"
    )
    report.notes += about_data(stated.data)
    report.document["results"] = {
        **{name: getattr(result, name) for name in (*_CURVES, "empirical_error", "weight_norm")},
        "error": result.error,
        "floor": model.floor,
        **({name: getattr(result, name) for name in _OF_NOISE} if stochastic else {}),
    }
    from dmft_rf.plotting.curves import plot_curves

    finish(report, output, start, lambda: plot_curves(result), {"curves": result}, solution)


def curve_table(result: LearningCurves, some: bool) -> Table:
    """Losses at every time, or at ``some`` of those that were chosen."""
    shown = round_times(result.tau) if some else np.arange(result.tau.size)
    return Table(
        ["tau", "L_train", "L_test", "gap", "score error"],
        [[_curve_number(result, name, i) for name in _CURVES] for i in shown],
    )


def _curve_number(result: LearningCurves, name: str, i: int) -> str:
    value = float(getattr(result, name)[i])
    if name != "tau" and abs(value) <= result.error[name][i]:
        return "0"  # it is not known to be anything else
    return number(value, 8)


def round_times(tau: NDArray[np.float64]) -> NDArray[np.intp]:
    """Indices of 0, inf and two times per decade."""
    inner = np.arange(1, tau.size - 1, PER_DECADE // 2)
    return np.unique(np.concatenate([[0], inner, [tau.size - 1]]))
