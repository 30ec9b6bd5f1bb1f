"""The numbers behind the pictures of laws: times against n and W, regions, steps and passes.

As `validation.networks.analysis.gather`: flat dictionaries ``path -> array``, empty where there are
no runs.
"""

from __future__ import annotations

import math

import numpy as np

from dmft_rf._typing import Array
from validation.networks.analysis import dating, summary
from validation.networks.analysis.gather import main_line
from validation.networks.analysis.summary import Dated, grouped
from validation.networks.run.store import Run, Store

Numbers = dict[str, Array]


def _dated(store: Store, runs: list[Run]) -> list[Dated]:
    """Dates of some runs; the common levels are those of the whole store."""
    keys = {run.setting.key for run in runs}
    return [one for one in summary.dates(store.runs.values()) if one.setting.key in keys]


def _law(dated: list[Dated], against: str) -> Numbers:
    """``<date>/x, tau, error`` (relative) and ``<date>/slope`` (value, error, last, seeds)."""
    out: Numbers = {}
    for name in summary.DATES:
        x, mean, error = summary.mean_dates(dated, name, against)
        if x.size:
            points = summary.points_of(dated, name, against)
            fit, last = dating.slope(*points), dating.last_slope(*points)
            out[f"{name}/x"], out[f"{name}/tau"], out[f"{name}/error"] = x, mean, error
            out[f"{name}/slope"] = np.array([fit.value, fit.error, last.value, float(fit.seeds)])
    return out


def scaling(store: Store, case: str = "images") -> Numbers:
    """Training times against n on the main line."""
    line = main_line(store, case)
    if len({run.setting.n for run in line}) < 2:
        return {}
    return {
        **_law(_dated(store, line), "n"),
        "W": np.asarray(float(line[0].setting.width)),
    }


def _widths(store: Store) -> list[Run]:
    """Runs of the protocol of the main line, at all widths."""
    line = main_line(store, "images")
    if not line:
        return []
    protocol = line[0].setting.protocol
    alike = summary.alike(store.runs.values(), line)
    return [run for run in alike if run.setting.protocol == protocol]


def scaling_width(store: Store) -> Numbers:
    """Training times against W at every n that has two widths or more, as ``n=<n>/<date>/...``."""
    out: Numbers = {}
    for group in grouped(_dated(store, _widths(store)), lambda s: (s.n,)):
        if len({one.setting.width for one in group.members}) > 1:
            found = _law(group.members, "width")
            out |= {f"n={group.label[0]}/{path}": values for path, values in found.items()}
    return out


def diagram(store: Store) -> Numbers:
    """Region of every run in the plane of n and W at one budget of steps: n, W, region, seed."""
    runs = _widths(store)
    if len({run.setting.width for run in runs}) < 2 or len({run.setting.n for run in runs}) < 2:
        return {}
    common = summary.levels(summary.alike(store.runs.values(), runs))
    # the budget that decides most runs, and of several the largest
    best: tuple[int, int, list] = (0, 0, [])
    for budget in {run.setting.steps for run in runs}:
        rows = [
            (r.setting.n, r.setting.width, summary.region(r, budget, common), r.setting.seed)
            for r in runs
        ]
        decided = [row for row in rows if row[2] >= 0]
        best = max(best, (len(decided), budget, decided), key=lambda entry: entry[:2])
    if not best[2]:
        return {}
    return {"table": np.array(best[2], dtype=float), "budget": np.asarray(float(best[1]))}


def optimisers(store: Store) -> Numbers:
    """When the loss ratio is 2, in steps and in passes over the data, for every protocol."""
    out: Numbers = {}
    for protocol, members in _protocols(store):
        dated = _dated(store, members)
        x, mean, error = summary.mean_dates(dated, "mem_loss", "n")
        if x.size:
            fit = dating.slope(*summary.points_of(dated, "mem_loss", "n"))
            out[f"{protocol}/n"], out[f"{protocol}/tau"] = x, mean
            out[f"{protocol}/error"] = error
            per_step = {run.setting.n: run.setting.passes_per_step for run in members}
            out[f"{protocol}/passes"] = mean * np.array([per_step[int(n)] for n in x])
            out[f"{protocol}/slope"] = np.array([fit.value, fit.error])
    return out


def passes(store: Store) -> Numbers:
    """Loss ratio along the passes over the data, and at one number of passes against n.

    ``<protocol>/n=<n>/s<seed>/step`` are passes, ``.../ratio`` test over train loss;
    ``<protocol>/at/n``, ``ratio`` and ``error`` (relative, over seeds) are at ``passes``, the
    geometric mean of the passes after which the ratio is 2.
    """
    out: Numbers = {}
    reached = []
    for protocol, members in _protocols(store):
        for run, one in zip(members, map(summary.date, members), strict=True):
            path = f"{protocol}/n={run.setting.n}/s{run.setting.seed}"
            out[f"{path}/step"] = run.step * run.setting.passes_per_step
            out[f"{path}/ratio"] = (run.curves["test"] / run.curves["train"])[:, 0]
            reached.append(one.times["mem_loss"] * run.setting.passes_per_step)
    good = [value for value in reached if math.isfinite(value)]
    if not good:
        return {}
    where = math.exp(float(np.mean(np.log(good))))
    out["passes"] = np.asarray(where)
    for protocol, members in _protocols(store):
        rows = []
        for group in grouped(members, lambda s: (s.n,)):
            logs = [_log_ratio_at(run, where) for run in group.members]
            logs = [value for value in logs if math.isfinite(value)]
            if logs:
                several = len(logs) > 1
                error = np.std(logs, ddof=1) / math.sqrt(len(logs)) if several else math.nan
                rows.append((group.label[0], math.exp(float(np.mean(logs))), error))
        if rows:
            table = np.array(rows, dtype=float)
            for i, name in enumerate(("n", "ratio", "error")):
                out[f"{protocol}/at/{name}"] = table[:, i]
    return out


def _log_ratio_at(run: Run, where: float) -> float:
    done = run.step * run.setting.passes_per_step
    if not done[0] <= where <= done[-1]:
        return math.nan
    values = np.log(run.curves["test"] / run.curves["train"])[:, 0]
    return float(np.interp(math.log(where), np.log(done), values))


def _protocols(store: Store) -> list[tuple[str, list[Run]]]:
    """Runs at the width of the main line by protocol."""
    line = main_line(store, "images")
    if not line:
        return []
    return summary.protocols(store.runs.values(), line)
