"""What a finite dimension does (--finite-size), in the reports of the commands on the limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dmft_rf.cli._report import Report, number

if TYPE_CHECKING:
    from dmft_rf.curves.finite_size import FiniteSize
    from dmft_rf.curves.timescales import Timescales

_NAMES = ("train", "test", "generalization_gap", "score_error")


def add_finite_curves(report: Report, finite: FiniteSize, tau: Any, rule: Any, limit: Any) -> None:
    """Beside the limit, mean and spread of networks of the dimension of the data."""
    curves = finite.learning_curves(tau, rule)
    off = 100.0 * (curves.mean["test"] / limit.test - 1.0)
    late = int(np.argmax(np.abs(off)))
    _say(
        report,
        finite,
        f"test losses of networks of d = {finite.dimension} differ from the limit by "
        f"{off[late]:+.1f} % at most (tau = {float(tau[late]):.4g})",
    )

    def entry(name: str, i: int) -> str:
        return f"{float(curves.mean[name][i]):.6g} +- {float(curves.spread[name][i]):.2g}"

    rows = [[number(float(at), 6), *(entry(name, i) for name in _NAMES)] for i, at in _some(tau)]
    title = f"30 networks of d = {finite.dimension} on Gaussian data: mean +- deviation of one"
    report.tabulate(["tau", "L_train", "L_test", "gap", "score error"], rows, title)
    measured = {name: getattr(curves, name) for name in ("mean", "spread", "error")}
    report.document["finite_size"] |= {"tau": tau, **measured}


def _some(tau: Any) -> list[tuple[int, float]]:
    step = max(1, len(tau) // 12)
    chosen = sorted({*range(0, len(tau), step), len(tau) - 1})
    return [(i, tau[i]) for i in chosen]


def add_finite_times(report: Report, finite: FiniteSize, times: Timescales) -> None:
    """Beside the limit, the times of networks of the dimension of the data."""
    found = {name: (times.value(name), *finite.times[name]) for name in finite.times}
    limit, mean, _ = found["final_gap"]
    _say(
        report,
        finite,
        f"networks of d = {finite.dimension} end with a gap {100 * (mean / limit - 1):+.1f} % off "
        "the limit's",
    )
    rows = [
        [name, number(limit), f"{mean:.6g} +- {error:.1g}", f"{100 * (mean / limit - 1):+.1f} %"]
        for name, (limit, mean, error) in found.items()
    ]
    title = f"30 networks of d = {finite.dimension} on Gaussian data, gradient flow"
    columns = ["", "limit", f"d = {finite.dimension}", "difference"]
    report.tabulate(columns, rows, title, frozenset({0}))
    report.document["finite_size"] |= {
        name: {"limit": limit, "mean": mean, "error": error}
        for name, (limit, mean, error) in found.items()
    }


def _say(report: Report, finite: FiniteSize, text: str) -> None:
    """Put what was measured in the place of the order of magnitude."""
    report.header[:] = [(k, v) for k, v in report.header if k != "finite size"]
    report.state("finite size", text)
    report.document["finite_size"] = {"dimension": finite.dimension, "networks": 30}
