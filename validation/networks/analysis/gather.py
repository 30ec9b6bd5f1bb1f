"""The numbers behind every picture: from runs to named float arrays, nothing drawn.

Each function returns a flat dictionary ``path -> array``, or an empty one if the store holds no
runs that the picture is about.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from dmft_rf._typing import Array
from validation.networks.analysis import dating, summary
from validation.networks.analysis.summary import grouped
from validation.networks.run.store import Run, Store

Numbers = dict[str, Array]


def _number(value: float) -> Array:
    return np.asarray(float(value))


def main_line(store: Store, case: str) -> list[Run]:
    """Runs of one protocol and width: those with most sizes, then most seeds."""
    return summary.main_line(run for run in store.runs.values() if run.setting.case == case)


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
        "n": _number(run.setting.n), "step": run.step[at], "frechet": run.curves["frechet"][at],
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


def width(store: Store) -> Numbers:
    """Loss ratio, memorized fraction and quality for several widths at one n."""
    line = main_line(store, "images")
    if not line:
        return {}
    like = line[0].setting
    groups = grouped(
        (
            run
            for run in store.runs.values()
            if (run.setting.case, run.setting.data, run.setting.side, run.setting.protocol)
            == (like.case, like.data, like.side, like.protocol)
        ),
        lambda s: (s.n,),
    )
    # most widths; of several the largest n that memorized somewhere
    best = max(
        (g.members for g in groups),
        key=lambda m: (
            len({r.setting.width for r in m}),
            max((_memorized_at_last(r, 0.1) for r in m if "memorized" in r.curves), default=()),
        ),
    )
    if len({run.setting.width for run in best}) < 2:
        return {}
    out: Numbers = {"n": _number(best[0].setting.n)}
    _put(out, best, ("train", "test", "memorized", "frechet", "frechet_real"), "W")
    return out


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


def mixture(store: Store) -> Numbers:
    """Losses, score error and memorized fraction on the Gaussian mixture."""
    out: Numbers = {}
    _put(out, main_line(store, "mixture"), ("train", "test", "score_error", "memorized"))
    return out
