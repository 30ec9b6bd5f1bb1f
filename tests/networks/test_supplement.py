"""The runs behind the Gaussian mixture's divergence, guidance and the widest networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from validation.networks.analysis import summary
from validation.networks.run.profiles import profile
from validation.networks.run.store import Store

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def store() -> Store:
    return Store(DOCS / "data" / "networks-supplement.h5")


def test_the_runs_are_those_of_the_profile(store: Store) -> None:
    known = {setting.key: setting for setting in profile("paper")}
    assert store.runs
    assert all(known[key] == run.setting for key, run in store.runs.items())


def test_the_page_has_the_dates_of_the_mixture(store: Store) -> None:
    page = (DOCS / "networks.md").read_text(encoding="utf-8").splitlines()
    head = page.index(
        "| n | test/train = 2 | f_mem = 0.1 | KL/d back at 0.2 | KL/d down to 0.1 | least KL/d |"
    )
    for line in page[head + 2 : head + 7]:
        n, *cells, least = (cell.strip() for cell in line.strip("|").split("|"))
        run = store.runs[f"mixture-mixture8.n{n}.w128.sgd.b512.s0"]
        times = summary.date(run).times
        names = ("mem_loss", "mem_0.1", "mem_divergence", "gen_divergence")
        found = [f"{times[name]:.0f}" if np.isfinite(times[name]) else "not reached"
                 for name in names]  # fmt: skip
        assert found == cells
        assert least == f"{run.curves['divergence'].min():.3f}"
        assert (run.curves["divergence_error"] < 0.1 * run.curves["divergence"] + 0.03).all()
        assert not run.curves["folded"].any()
