"""The numbers behind the pictures of laws: times against n and W, regions, steps and passes.

As `validation.networks.analysis.gather`: flat dictionaries ``path -> array``, empty where there are
no runs.
"""

from __future__ import annotations

import math

import numpy as np

from dmft_rf._typing import Array
from validation.networks.analysis import dating, summary
from validation.networks.analysis.gather import main_line, momentum_line
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
    """Training times against n with momentum, and for the mixture on the main line."""
    line = momentum_line(store) if case == "images" else main_line(store, case)
    if len({run.setting.n for run in line}) < 2:
        return {}
    return {**_law(_dated(store, line), "n"), "W": np.asarray(float(line[0].setting.width))}


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


#: training times, in units of tau_gen, of the lines n(p)
MULTIPLES = (3.0, 8.0, 30.0, 100.0)


def boundary(store: Store) -> Numbers:
    """The n whose loss ratio is 2 after a number of tau_gen, against the number of parameters.

    ``p``; ``own/<multiple>/n`` and ``error`` with tau_gen (Frechet distance, common level) of each
    width, ``common/...`` with that of the width of the main line for all. Between sizes the law is
    a straight line of logarithms; nan outside.
    """
    runs = _widths(store)
    dated = [group.members for group in grouped(_dated(store, runs), lambda s: (s.width,))]
    parts = [(m, _gen(m)) for m in dated if len(_sizes(m)) > 1 and math.isfinite(_gen(m))]
    if len(parts) < 2:
        return {}
    width = main_line(store, "images")[0].setting.width
    common = {m[0].setting.width: tau for m, tau in parts}.get(width, math.nan)
    count = {run.setting.width: float(run.facts["parameters"]) for run in runs}
    out: Numbers = {"p": np.array([count[m[0].setting.width] for m, _ in parts])}
    for kind in ("own", "common"):
        for multiple in MULTIPLES:
            found = [_n_at(m, multiple * (tau if kind == "own" else common)) for m, tau in parts]
            path = f"{kind}/{multiple:g}"
            out[f"{path}/n"], out[f"{path}/error"] = np.array(found).T
    return out


def _sizes(dated: list[Dated]) -> set[int]:
    return {one.setting.n for one in dated if math.isfinite(one.times["mem_loss"])}


def _gen(dated: list[Dated]) -> float:
    """Geometric mean of tau_gen (Frechet distance, common level)."""
    logs = np.log([one.times["gen_frechet_common"] for one in dated])
    logs = logs[np.isfinite(logs)]
    return float(np.exp(logs.mean())) if logs.size else math.nan


def _n_at(dated: list[Dated], tau: float) -> tuple[float, float]:
    """n at which tau_mem is ``tau``: geometric mean over seeds, relative standard error."""
    logs = []
    for group in _by_seed(dated):
        law = sorted((one.setting.n, one.times["mem_loss"]) for one in group
                     if math.isfinite(one.times["mem_loss"]))  # fmt: skip
        if len(law) > 1 and law[0][1] <= tau <= law[-1][1]:
            n, times = np.log(np.array(law)).T
            logs.append(float(np.interp(math.log(tau), times, n)))
    if not logs:
        return math.nan, math.nan
    error = np.std(logs, ddof=1) / math.sqrt(len(logs)) if len(logs) > 1 else math.nan
    return math.exp(float(np.mean(logs))), float(error)


def _by_seed(dated: list[Dated]) -> list[list[Dated]]:
    """By seed, which orders them."""
    seeds = sorted({one.setting.seed for one in dated})
    return [[one for one in dated if one.setting.seed == seed] for seed in seeds]


def noise(store: Store) -> Numbers:
    """Exponents of tau_mem by octave against the noise of momentum's gradient, rate over batch.

    For the data set with most values of the noise: ``<low> to <high>/x`` (in units of the largest),
    ``value``, ``error``; ``n`` of all octaves.
    """
    momentum = [r for r in store.runs.values()
                if r.setting.case == "images" and r.setting.optimiser == "sgd" and r.setting.batch
                and not r.setting.network]  # fmt: skip
    sets = [group.members for group in grouped(momentum, lambda s: (s.data, s.side))]
    best = max(sets, key=lambda m: len({_noise(r) for r in m}), default=[])
    if len({_noise(run) for run in best}) < 2:
        return {}
    largest = max(_noise(run) for run in best)
    out: Numbers = {}
    lines = [group.members for group in grouped(best, lambda s: (s.protocol,))]
    for members in sorted(lines, key=lambda m: -_noise(m[0])):
        for low, high, fit in summary.local_slopes(map(summary.date, members), "mem_loss"):
            path = f"{low} to {high}"
            values = {
                "x": _noise(members[0]) / largest, "value": fit.value, "error": fit.error,
                "batch": members[0].setting.batch,
            }  # fmt: skip
            for name, value in values.items():
                before = out.get(f"{path}/{name}", np.empty(0))
                out[f"{path}/{name}"] = np.append(before, value)
    return out


def _noise(run: Run) -> float:
    return run.setting.rate / run.setting.batch


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
