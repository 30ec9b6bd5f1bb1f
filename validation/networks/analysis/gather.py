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


def momentum_line(store: Store) -> list[Run]:
    """The line of images trained with momentum, the paper's rule; the main line without one.

    Of those with most sizes, that in which most runs memorized a tenth of what they generate.
    """
    runs = [run for run in store.runs.values()
            if run.setting.case == "images" and run.setting.optimiser == "sgd"
            and run.setting.batch and "memorized" in run.curves]  # fmt: skip
    lines = [summary.main_line(group.members) for group in grouped(runs, lambda s: (s.side,))]
    some = [(len({run.setting.n for run in line}),
             sum(float(run.curves["memorized"][-1, 0]) >= 0.1 for run in line))
            for line in lines]  # fmt: skip
    return lines[some.index(max(some))] if lines else main_line(store, "images")


def _put(
    out: Numbers, runs: Iterable[Run], names: Iterable[str], label: str = "n", under: str = ""
) -> None:
    """Curves as ``n=<n>/s<seed>/<name>``; losses at the first time index."""
    for run in runs:
        path = f"{under}{label}={getattr(run.setting, 'width' if label == 'W' else label)}"
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
    """Samples and their nearest training pictures before, at and after the time of quality.

    Before and at the least test loss of the largest n, then at the end of the largest n of which
    samples were memorized; all from the same noise where their seeds are the same.
    """
    runs = [r for r in main_line(store, "images") if "shown" in r.curves]
    if not runs:
        return {}
    largest = max(runs, key=lambda r: r.setting.n)
    memorized = max(runs, key=lambda r: _memorized_at_last(r, 0.3))
    best = int(np.argmin(largest.curves["test"][:, 0]))
    learning = int(np.searchsorted(largest.step, largest.step[best] / 300.0))
    rows = [(largest, learning), (largest, best), (memorized, len(memorized.step) - 1)]
    out: Numbers = {"n": np.array([float(run.setting.n) for run, _ in rows])}
    for name in ("step", "frechet", "memorized"):
        values = [np.atleast_1d(run.curves[name][place])[0] for run, place in rows]
        out[name] = np.array(values, dtype=float)
    out["real"] = _number(largest.curves["frechet_real"][0, 0])
    for i, (run, place) in enumerate(rows):
        out[f"at{i}/shown"] = run.curves["shown"][place][:8].astype(float)
        out[f"at{i}/nearest"] = run.curves["shown_nearest"][place][:8].astype(float)
    return out


def times(store: Store) -> Numbers:
    """Frechet distance and memorized fraction along training, for every n."""
    return _quality([run for run in momentum_line(store) if "memorized" in run.curves])


def guided(store: Store) -> Numbers:
    """The same with classifier-free guidance on labelled pictures."""
    return _quality(summary.main_line(r for r in store.runs.values() if r.setting.guidance))


def _quality(runs: list[Run]) -> Numbers:
    out: Numbers = {}
    _put(out, runs, ("memorized", "memorized_error", "frechet", "frechet_real"))
    return out


def losses(store: Store) -> Numbers:
    """Train and test loss at the first time index, for every n, and how well tau/n collapses."""
    out: Numbers = {}
    runs = momentum_line(store)
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
    """Quality at the largest n and loss ratios at all n, for several widths, of the first seed.

    ``n=<n>/W=<W>/s<seed>/...``, for the n that have more than half of the widths; of those, the
    ones that the largest n has.
    """
    line = main_line(store, "images")
    if not line:
        return {}
    like = line[0].setting
    alike = [
        run
        for run in summary.alike(store.runs.values(), line)
        if (run.setting.protocol, run.setting.seed) == (like.protocol, like.seed)
        and "frechet" in run.curves
    ]
    several = [group.members for group in grouped(alike, lambda s: (s.n,))]
    most = max(len(members) for members in several)
    # the largest sets may have been trained for the regions only, at one budget for all
    chosen = [m for m in several if len(m) > max(1, most // 2) and _some_memorized(m)]
    if not chosen:
        return {}
    out: Numbers = {}
    widths = {run.setting.width for run in chosen[-1]}
    for members in chosen:
        members = [run for run in members if run.setting.width in widths]
        _put(out, members, ("train", "test", "frechet", "frechet_real"), "W",
             under=f"n={members[0].setting.n}/")  # fmt: skip
    out["n"] = _number(chosen[-1][0].setting.n)
    return out


def _some_memorized(runs: list[Run]) -> bool:
    return any(np.isfinite(summary.date(run).times["mem_loss"]) for run in runs)


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


def divergence(store: Store) -> Numbers:
    """KL and memorized fraction on the mixture: by n at one width, by W at one n.

    ``n=<n>/s<seed>/...`` at the width with most sizes, ``W=<W>/s<seed>/...`` at the n with most
    widths and of several the largest.
    """
    runs = [run for run in store.runs.values() if "divergence" in run.curves]
    if not runs:
        return {}
    out: Numbers = {}
    by_width = [group.members for group in grouped(runs, lambda s: (s.protocol, s.width))]
    by_n = [group.members for group in grouped(runs, lambda s: (s.protocol, s.n))]
    line = max(by_width, key=lambda m: (len({r.setting.n for r in m}), len(m)))
    across = max(by_n, key=lambda m: (len({r.setting.width for r in m}), m[0].setting.n))
    names = ("divergence", "divergence_error", "memorized")
    _put(out, line, names)
    _put(out, across, names, "W")
    out["W"], out["n"] = _number(line[0].setting.width), _number(across[0].setting.n)
    return out
