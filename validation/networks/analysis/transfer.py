"""How well one run tells the best step of another with more images.

`python -m validation networks --transfer` renews dmft_rf/monitor/transfer.json from
docs/data/networks.h5.

Every pair of runs counts that differ in n alone (by a power of 2 for which there are ten pairs or
more) and have a dated least held-out loss at the first time index, with batches of a fixed size.

The range of a new run is not that of the pairs that are known: networks of another kind differ by
more. It is therefore wider than the 5 and 95 % points, by one factor about the median in the
logarithm: the smallest one, in tenths, with which the pairs of every kind that is left out lie
within the range of the others in 85 % of cases or more, whatever tells the kinds apart. A kind of
which there are more pairs than of all others is not left out: what is left says too little. Ends
never come closer with larger ratios of sizes, for which fewer kinds were trained.
"""

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dmft_rf._version import __version__
from dmft_rf.monitor.dating import date
from dmft_rf.monitor.logs import Log

ROOT = Path(__file__).parents[3]
STORE = ROOT / "docs" / "data" / "networks.h5"
TABLE = ROOT / "dmft_rf" / "monitor" / "transfer.json"
_SAME = ("data", "side", "network", "width", "optimiser", "rate", "batch", "seed")
_KINDS = ("data", "side", "network", "width", "optimiser", "rate", "batch")
_UNET = ""  # runs of it do not name their network
_FEWEST = 10
_FEWEST_OTHERS = 4  # pairs that a range can be taken from
_COVERAGE = 0.85


@dataclass(frozen=True)
class Pair:
    """Two runs that differ in n.

    Attributes
    ----------
    times : float
        n of the second over n of the first.
    share : float
        Predicted over true best step of the second.
    cost : float
        Held-out loss at the predicted step above the least one, in per cent.
    kind : dict
        What both have in common.
    """

    times: float
    share: float
    cost: float
    kind: dict[str, str]


def pairs_of(store: Path) -> tuple[list[Pair], int]:
    """All pairs of a store, and of how many runs they are."""
    groups: dict[tuple[str, ...], list[tuple[int, float, Log]]] = defaultdict(list)
    with h5py.File(store) as file:
        for name, run in file.items():
            a = run.attrs
            if a["case"] != "images" or a["batch"] == 0:  # 0: full batches, whose law is another
                continue
            step, train, test = (run[key][...].astype(float) for key in ("step", "train", "test"))
            log = Log(step, train[:, 0], test[:, 0], name=name)
            best = date(log)["best"].step
            if math.isfinite(best):
                groups[tuple(str(a.get(key, _UNET)) for key in _SAME)].append(
                    (int(a["n"]), best, log)
                )
    found: list[Pair] = []
    for values, group in groups.items():
        kind = dict(zip(_SAME, values, strict=True))
        group.sort(key=lambda run: run[0])
        for (n1, one, _), (n2, two, log) in combinations(group, 2):
            guess = one * n2 / n1
            loss = np.interp(math.log(guess), np.log(log.step), log.test)
            cost = 100.0 * float(loss / log.test.min() - 1.0)
            found.append(Pair(n2 / n1, guess / two, cost, kind))
    return found, sum(len(group) for group in groups.values() if len(group) > 1)


def range_of(shares: Sequence[float], widening: float) -> tuple[float, float]:
    """5 and 95 % of these, moved away from their median by a factor in the logarithm."""
    low, middle, high = np.percentile(np.log(shares), [5, 50, 95])
    ends = middle - widening * (middle - low), middle + widening * (high - middle)
    return float(np.exp(ends[0])), float(np.exp(ends[1]))


def coverage(pairs: list[Pair], what: str, widening: float) -> float:
    """Share of the pairs that lie in the range of those that differ from them in ``what``."""
    inside = []
    for value in {pair.kind[what] for pair in pairs}:
        for times in {pair.times for pair in pairs}:
            here = [pair for pair in pairs if pair.times == times]
            others = [pair.share for pair in here if pair.kind[what] != value]
            left_out = [pair.share for pair in here if pair.kind[what] == value]
            if len(others) < max(_FEWEST_OTHERS, len(left_out)):
                continue
            low, high = range_of(others, widening)
            inside += [low <= share <= high for share in left_out]
    return float(np.mean(inside))


def table(store: Path = STORE) -> dict[str, Any]:
    """The table and its provenance."""
    everything, runs = pairs_of(store)
    count = {pair.times: sum(p.times == pair.times for p in everything) for pair in everything}
    pairs = [pair for pair in everything if count[pair.times] >= _FEWEST]
    widening = 1.0
    while min(coverage(pairs, what, widening) for what in _KINDS) < _COVERAGE:
        widening = round(widening + 0.1, 1)
    rows, low, high = [], math.inf, 0.0
    for times in sorted({pair.times for pair in pairs}):
        share = np.array([pair.share for pair in pairs if pair.times == times])
        cost = np.array([pair.cost for pair in pairs if pair.times == times])
        here = range_of(share.tolist(), widening)
        low, high = min(low, here[0]), max(high, here[1])
        seen = range_of(share.tolist(), 1.0)
        rows.append({
            "times": times,
            "pairs": len(share),
            "rms_factor": round(float(np.exp(np.sqrt(np.mean(np.log(share) ** 2)))), 3),
            "low": round(low, 3),
            "high": round(high, 3),
            "seen": [round(seen[0], 3), round(seen[1], 3)],
            "cost_mean_percent": round(float(cost.mean()), 2),
            "cost_95_percent": round(float(np.percentile(cost, 95)), 2),
        })  # fmt: skip
    return {
        "what": "predicted over true step of the least held-out loss, prediction "
        "K(n2) = K(n1) n2/n1. seen: 5 and 95 % of the pairs; low, high: widened about their median "
        "so that pairs of a kind that was left out lie within; cost: held-out loss at the "
        "predicted step above its least value",
        "provenance": {
            "command": "python -m validation networks --transfer",
            "source": store.name,
            "sha256": hashlib.sha256(store.read_bytes()).hexdigest(),
            "version": __version__,
            "runs": runs,
            "limits": "mostly Fashion-MNIST at two resolutions and one U-Net family; few pairs on "
            "MNIST and digits, and of a residual network; pairs share runs",
        },
        "widening": widening,
        "coverage": {what: round(coverage(pairs, what, widening), 2) for what in _KINDS},
        "coverage_unwidened": {what: round(coverage(pairs, what, 1.0), 2) for what in _KINDS},
        "best_step": rows,
    }


def renew() -> Path:
    """Write the table; returns its file."""
    TABLE.write_text(json.dumps(table(), indent=1) + "\n", encoding="utf-8")
    return TABLE
