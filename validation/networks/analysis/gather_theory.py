"""The numbers behind the pictures that put the solvable model beside the trained networks.

As `validation.networks.analysis.gather`: flat dictionaries ``path -> array``, empty where there are
no runs.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from dmft_rf import Covariance
from dmft_rf._typing import Array
from validation.networks.analysis import solvable, summary
from validation.networks.analysis.gather import main_line
from validation.networks.run import data
from validation.networks.run.plan import Setting
from validation.networks.run.store import Run, Store

Numbers = dict[str, Array]

# samples over dimensions up to which the solvable model is followed
_FAR = 16


def theory(store: Store) -> Numbers:
    """Loss gap of the networks and of the solvable model, each over its own tau_mem.

    ``unlimited/n`` and ``tau_mem``: the model with unlimited parameters, up to n = 16 d.
    """
    runs = [run for run in main_line(store, "images") if run.setting.seed == 0]
    if not runs:
        return {}
    covariance, d = _covariance(runs[0].setting)
    index = runs[0].setting.indices[0]
    out: Numbers = {"index": np.asarray(float(index)), "d": np.asarray(float(d))}
    for run in runs:
        tau_mem = summary.date(run).times["mem_loss"]
        if math.isnan(tau_mem):
            continue
        path = f"n={run.setting.n}"
        out[f"{path}/network/tau"] = run.step / tau_mem
        for name in ("train", "test"):
            out[f"{path}/network/{name}"] = run.curves[name][:, 0]
        out[f"{path}/network/tau_mem"] = np.asarray(tau_mem)
        model = solvable.curves(covariance, run.setting.n, d, int(run.facts["parameters"]), index)
        scale = model.tau_mem
        out[f"{path}/model/tau_mem"] = np.asarray(scale)
        out[f"{path}/model/tau"] = model.tau / scale
        out[f"{path}/model/train"], out[f"{path}/model/test"] = model.train, model.test
    if len(out) <= 2:
        return {}
    sizes = _doublings(min(run.setting.n for run in runs), d)
    parameters = solvable.UNLIMITED * d**2
    out["unlimited/n"] = sizes
    out["unlimited/tau_mem"] = _tau_mem(covariance, sizes, d, parameters, index)
    return out


def local_exponents(store: Store) -> Numbers:
    """Exponents of tau_mem (loss ratio 2) against n between successive sizes.

    For each data set with generated samples, at the width of its main line, and each protocol with
    three sizes or more:
    ``<data set>/network/<protocol>/x`` (n/d at the middle of a step on a logarithmic axis),
    ``value`` and ``error``; for pictures also ``same`` and ``unlimited``, ``x`` and ``value`` of
    the solvable model with as many parameters, and with unlimited ones up to n = 16 d.
    """
    out: Numbers = {}
    for line in summary.lines(store.runs.values()):
        first = line[0].setting
        if not first.generated:  # trained for the steps from a pilot, with few sizes
            continue
        path = summary.data_set(first)
        d = first.side**2 if first.case == "images" else first.side
        for protocol, members in summary.protocols(store.runs.values(), line):
            slopes = summary.local_slopes(map(summary.date, members), "mem_loss")
            found = [place for place in slopes if place[2].seeds]
            if len(found) < 2:
                continue
            middle = [math.sqrt(low * high) / d for low, high, _ in found]
            out[f"{path}/network/{protocol}/x"] = np.array(middle)
            for name in ("value", "error"):
                values = np.array([getattr(fit, name) for _, _, fit in found])
                out[f"{path}/network/{protocol}/{name}"] = values
        if first.case == "images" and any(name.startswith(f"{path}/") for name in out):
            out |= {f"{path}/{name}": values for name, values in _model_exponents(line).items()}
    return out


def _model_exponents(line: list[Run]) -> Numbers:
    """``same/x``, ``same/value`` and ``unlimited/...`` of the model for the data of a line."""
    first = line[0].setting
    covariance, d = _covariance(first)
    sizes = np.array(sorted({run.setting.n for run in line}), dtype=float)
    families = {
        "same": (sizes, float(line[0].facts["parameters"])),
        "unlimited": (_doublings(first.n, d), solvable.UNLIMITED * d**2),
    }
    out: Numbers = {}
    for name, (n, parameters) in families.items():
        times = _tau_mem(covariance, n, d, parameters, first.indices[0])
        with_times = [(x, tau) for x, tau in zip(n, times, strict=True) if math.isfinite(tau)]
        pairs = list(itertools.pairwise(with_times))
        out[f"{name}/x"] = np.array([math.sqrt(low * high) / d for (low, _), (high, _) in pairs])
        out[f"{name}/value"] = np.array(
            [math.log(after / before) / math.log(high / low)
             for (low, before), (high, after) in pairs]
        )  # fmt: skip
    return out


def _covariance(setting: Setting) -> tuple[Covariance, int]:
    """Covariance of the pictures of a run, and their dimension."""
    images = data.load(setting.data, setting.side)
    rows = images.pixels.reshape(len(images.pixels), -1).astype(float)
    return Covariance.from_samples(rows), rows.shape[1]


def _doublings(smallest: int, d: int) -> Array:
    """Sizes from ``smallest`` to where n is far above d."""
    count = math.ceil(math.log2(max(_FAR * d / smallest, 1.0)))
    return np.array([smallest * 2.0**i for i in range(count + 1)])


def _tau_mem(covariance: Covariance, sizes: Array, d: int, parameters: float, index: int) -> Array:
    return np.array(
        [solvable.curves(covariance, int(n), d, parameters, index, 2).tau_mem for n in sizes]
    )
