"""How well one run tells the best step of another with more images: `python -m
validation.networks.transfer` renews dmft_rf/monitor/transfer.json from docs/data/networks.h5.

Every pair of runs counts that differ in n alone (by a power of 2 for which there are ten pairs or
more) and have a dated least held-out loss at the first time index, with batches of a fixed size.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from itertools import combinations
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dmft_rf._version import __version__
from dmft_rf.monitor.dating import date
from dmft_rf.monitor.logs import Log

ROOT = Path(__file__).parents[2]
STORE = ROOT / "docs" / "data" / "networks.h5"
TABLE = ROOT / "dmft_rf" / "monitor" / "transfer.json"
_SAME = ("data", "side", "width", "optimiser", "rate", "batch", "seed")
_FEWEST = 10


def table(store: Path = STORE) -> dict[str, Any]:
    """The table and its provenance."""
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
                groups[tuple(str(a[key]) for key in _SAME)].append((int(a["n"]), best, log))
    shares, costs = defaultdict(list), defaultdict(list)
    runs = 0
    for group in groups.values():
        runs += len(group) if len(group) > 1 else 0
        group.sort(key=lambda run: run[0])
        for (n1, one, _), (n2, two, log) in combinations(group, 2):
            shares[n2 / n1].append(one * n2 / n1 / two)
            loss = np.interp(math.log(one * n2 / n1), np.log(log.step), log.test)
            costs[n2 / n1].append(100.0 * (loss / log.test.min() - 1.0))
    rows = []
    for times in sorted(key for key, values in shares.items() if len(values) >= _FEWEST):
        share, cost = np.array(shares[times]), np.array(costs[times])
        low, high = np.percentile(share, [5, 95])
        rows.append({
            "times": times,
            "pairs": len(share),
            "rms_factor": round(float(np.exp(np.sqrt(np.mean(np.log(share) ** 2)))), 3),
            "low": round(float(low), 3),
            "high": round(float(high), 3),
            "cost_mean_percent": round(float(cost.mean()), 2),
            "cost_95_percent": round(float(np.percentile(cost, 95)), 2),
        })  # fmt: skip
    return {
        "what": "5 and 95 % of predicted over true step of the least held-out loss, prediction "
        "K(n2) = K(n1) n2/n1; cost: test loss at the predicted step above its least value",
        "provenance": {
            "command": "python -m validation.networks.transfer",
            "source": store.name,
            "sha256": hashlib.sha256(store.read_bytes()).hexdigest(),
            "version": __version__,
            "runs": runs,
            "limits": "one data set at two resolutions and one U-Net family; pairs share runs",
        },
        "best_step": rows,
    }


def main() -> None:
    """Write the table."""
    TABLE.write_text(json.dumps(table(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
