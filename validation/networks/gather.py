"""The numbers behind every picture: from runs to named float arrays, nothing drawn.

Each function returns a flat dictionary ``path -> array``, or an empty one if the store holds no
runs that the picture is about.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from dmft_rf import Covariance
from validation.networks import data, dating, solvable, summary
from validation.networks.plan import Setting
from validation.networks.store import Run, Store
from validation.networks.summary import Group, date, grouped

Array = NDArray[np.float64]
Numbers = dict[str, Array]


def _number(value: float) -> Array:
    return np.asarray(float(value))


def main_line(store: Store, case: str) -> list[Run]:
    """Runs of one protocol and width: those with most sizes, then most seeds."""
    groups = _groups(store, case, "width")
    if not groups:
        return []
    return max(
        groups, key=lambda g: (len({r.setting.n for r in g.members}), len(g.members))
    ).members


def _groups(store: Store, case: str, fixed: str) -> list[Group]:
    def label(s: Setting) -> tuple:
        return (s.data, s.side, s.protocol, getattr(s, fixed))

    return grouped((run for run in store.runs.values() if run.setting.case == case), label)


def _put(out: Numbers, runs: Iterable[Run], names: Iterable[str], label: str = "n") -> None:
    """Curves as ``n=<n>/s<seed>/<name>``; losses at the first time index."""
    for run in runs:
        path = f"{label}={getattr(run.setting, 'width' if label == 'W' else label)}"
        path += f"/s{run.setting.seed}"
        for name in ("step", *names):
            if name not in run.curves:
                continue
            values = np.asarray(run.curves[name], dtype=float)
            out[f"{path}/{name}"] = values if values.ndim == 1 else values[:, 0]


def _memorized_at_last(run: Run, level: float) -> tuple[bool, float]:
    """Whether the last memorized fraction is above ``level``, then n, else the fraction itself."""
    last = float(run.curves["memorized"][-1, 0])
    return (True, float(run.setting.n)) if last > level else (False, last)


def regimes(store: Store) -> Numbers:
    """Samples and their nearest training pictures at three times of one run."""
    runs = [r for r in main_line(store, "images") if "shown" in r.curves]
    if not runs:
        return {}
    # the largest set that memorized, or what came nearest to it: it goes through all regimes
    run = max(runs, key=lambda r: _memorized_at_last(r, 0.3))
    test = run.curves["test"][:, 0]
    best = int(np.argmin(test))
    at = sorted({max(0, best - 8 if best > 8 else 0), best, len(test) - 1})
    out: Numbers = {
        "n": _number(run.setting.n), "step": run.step[at],
        "memorized": run.curves["memorized"][at, 0],
    }  # fmt: skip
    for i, place in enumerate(at):
        out[f"at{i}/shown"] = run.curves["shown"][place][:8].astype(float)
        out[f"at{i}/nearest"] = run.curves["shown_nearest"][place][:8].astype(float)
    return out


def times(store: Store, case: str = "images") -> Numbers:
    """Frechet distance and memorized fraction along training, for every n."""
    out: Numbers = {}
    runs = [run for run in main_line(store, case) if "memorized" in run.curves]
    _put(out, runs, ("memorized", "memorized_error", "frechet", "frechet_real"))
    if runs:
        out["width"] = _number(runs[0].setting.width)
    return out


def losses(store: Store, case: str = "images") -> Numbers:
    """Train and test loss at the first time index, for every n, and how well tau/n collapses."""
    out: Numbers = {}
    runs = main_line(store, case)
    _put(out, runs, ("train", "train_error", "test", "test_error"))
    if not runs:
        return out
    out["index"] = _number(runs[0].setting.indices[0])
    for name, power in (("spread_raw", 0.0), ("spread", 1.0)):
        curves = [
            (
                run.step / run.setting.n**power,
                np.log(run.curves["test"] / run.curves["train"])[:, 0],
            )
            for run in runs
        ]
        out[name] = _number(dating.spread(curves))
    return out


def scaling(store: Store, case: str = "images") -> Numbers:
    """Training times against n (main line) and against W (the n with most widths)."""
    out: Numbers = {}
    line = main_line(store, case)
    if not line:
        return out
    widths = max(
        _groups(store, case, "n"), key=lambda g: len({r.setting.width for r in g.members})
    ).members
    for against, name, runs in (("n", "n", line), ("W", "width", widths)):
        if len({getattr(run.setting, name) for run in runs}) < 2:
            continue
        dated = [date(run) for run in runs]
        for which in summary.DATES:
            x, mean, error = summary.mean_dates(dated, which, name)
            if x.size:
                path = f"{against}/{which}"
                out[f"{path}/x"], out[f"{path}/tau"], out[f"{path}/error"] = x, mean, error
                fit = dating.slope(
                    [getattr(d.setting, name) for d in dated],
                    [d.times[which] for d in dated],
                    [d.setting.seed for d in dated],
                )
                out[f"{path}/slope"] = np.array([fit.value, fit.seed_error, fit.fit_error])
    if not out:
        return out
    out["W/n"], out["n/W"] = _number(widths[0].setting.n), _number(line[0].setting.width)
    return out


def width(store: Store) -> Numbers:
    """Loss ratio and memorized fraction for several widths at one n."""
    groups = _groups(store, "images", "n")
    if not groups:
        return {}
    best = max(groups, key=lambda g: len({r.setting.width for r in g.members}))
    if len({run.setting.width for run in best.members}) < 2:
        return {}
    out: Numbers = {"n": _number(best.members[0].setting.n)}
    _put(out, best.members, ("train", "test", "memorized", "frechet"), "W")
    return out


def diagram(store: Store) -> Numbers:
    """Region of every run in the plane of n and W at one budget of steps."""
    line = main_line(store, "images")
    if not line:
        return {}
    like = line[0].setting
    runs = [
        run
        for run in store.runs.values()
        if (run.setting.case, run.setting.data, run.setting.protocol)
        == ("images", like.data, like.protocol)
    ]
    if len({run.setting.width for run in runs}) < 2 or len({run.setting.n for run in runs}) < 2:
        return {}
    # the budget that decides most runs, and of several the largest
    best: tuple[int, int, list] = (0, 0, [])
    for budget in {run.setting.steps for run in runs}:
        rows = [(r.setting.n, r.setting.width, summary.region(r, budget)) for r in runs]
        decided = [row for row in rows if row[2] >= 0]
        best = max(best, (len(decided), budget, decided), key=lambda entry: entry[:2])
    if not best[2]:
        return {}
    return {"table": np.array(best[2], dtype=float), "budget": _number(best[1])}


def criteria(store: Store) -> Numbers:
    """Memorized fraction of one run for the three thresholds."""
    runs = [run for run in main_line(store, "images") if "memorized" in run.curves]
    if not runs:
        return {}
    run = max(runs, key=lambda r: float(r.curves["memorized"][-1, 0]))
    return {
        "n": _number(run.setting.n), "step": run.step,
        "memorized": run.curves["memorized"], "error": run.curves["memorized_error"],
    }  # fmt: skip


def optimisers(store: Store) -> Numbers:
    """When the loss ratio is 2, in steps and in passes over the data, for every protocol."""
    line = main_line(store, "images")
    out: Numbers = {}
    for group in _groups(store, "images", "width") if line else []:
        first = group.members[0].setting
        if first.width != line[0].setting.width or first.data != line[0].setting.data:
            continue
        dated = [date(run) for run in group.members]
        x, mean, error = summary.mean_dates(dated, "mem_loss", "n")
        if x.size:
            per_step = np.array([dataclasses.replace(first, n=int(n)).passes_per_step for n in x])
            path = first.protocol
            out[f"{path}/n"], out[f"{path}/tau"], out[f"{path}/error"] = x, mean, error
            out[f"{path}/passes"] = mean * per_step
    return out


def mixture(store: Store) -> Numbers:
    """Losses, score error and memorized fraction on the Gaussian mixture."""
    out: Numbers = {}
    _put(out, main_line(store, "mixture"), ("train", "test", "score_error", "memorized"))
    return out


def theory(store: Store) -> Numbers:
    """Loss gap of the networks and of the solvable model, each over its own tau_mem."""
    runs = [run for run in main_line(store, "images") if run.setting.seed == 0]
    if not runs:
        return {}
    first = runs[0].setting
    images = data.load(first.data, first.side)
    rows = images.pixels.reshape(len(images.pixels), -1).astype(float)
    covariance = Covariance.from_samples(rows)
    d, index = rows.shape[1], first.indices[0]
    out: Numbers = {"index": _number(index), "d": _number(d)}
    for run in runs:
        tau_mem = date(run).times["mem_loss"]
        if math.isnan(tau_mem):
            continue
        path = f"n={run.setting.n}"
        out[f"{path}/network/tau"] = run.step / tau_mem
        for name in ("train", "test"):
            out[f"{path}/network/{name}"] = run.curves[name][:, 0]
        out[f"{path}/network/tau_mem"] = _number(tau_mem)
        model = solvable.curves(covariance, run.setting.n, d, int(run.facts["parameters"]), index)
        scale = model.tau_mem
        out[f"{path}/model/tau_mem"] = _number(scale)
        out[f"{path}/model/tau"] = model.tau / scale
        out[f"{path}/model/train"], out[f"{path}/model/test"] = model.train, model.test
    return out if len(out) > 2 else {}
