"""A campaign that is no sweep: cells with names of their own, run, interrupted and continued."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

from dmft_rf import DataError, ModelError, ScoreModel
from dmft_rf.files.ledger import Ledger
from dmft_rf.files.results import load, save
from dmft_rf.sweeps.campaign import Campaign, Job, Points, Where
from dmft_rf.sweeps.run import ledger_path, run

MODEL = ScoreModel(0.1, 4.0, 2.0)


@dataclass(frozen=True)
class Roots(Job):
    """Square roots; that of a negative number is a failure."""

    values: tuple[tuple[int, float], ...]

    def results(self):
        found = []
        for number, value in self.values:
            if value < 0.0:
                found.append((number, None, "it is negative"))
            else:
                found.append((number, np.sqrt(value), ""))
        return found


class Cells(Points):
    """Values by name; the name in the ledger is that of the cell, not its number."""

    def __init__(self, values):
        self.names, self.values = list(values), list(values.values())
        self.clear()

    def clear(self):
        self.found, self.failures = {}, {}

    @property
    def size(self):
        return len(self.names)

    def missing(self):
        done = self.found.keys() | self.failures.keys()
        return [i for i, name in enumerate(self.names) if name not in done]

    def job(self, numbers):
        return Roots(tuple((i, self.values[i]) for i in numbers))

    def put(self, result):
        number, value, reason = result
        if value is None:
            self.failures[self.names[number]] = reason
        else:
            self.found[self.names[number]] = float(value)

    def name(self, number):
        return self.names[number]

    def record(self, result):
        _, value, reason = result
        return reason.encode() if value is None else np.float64(value).tobytes()

    def take(self, name, record):
        if name not in self.names:
            return
        if len(record) == 8:
            self.found[name] = float(np.frombuffer(record)[0])
        else:
            self.failures[name] = record.decode()


@dataclass
class Found:
    kind = "roots"

    names: list[str]
    values: list[float]

    def stored(self):
        attributes, arrays = MODEL.stored()
        return {**attributes, "names": ",".join(self.names)}, {**arrays, "roots": self.values}


class RootCampaign(Campaign[dict]):
    def __init__(self, values):
        super().__init__({"cells": Cells(values)})

    fingerprint = "0123456789abcdef"

    def load(self, path):
        run = load(path).get("roots")
        if run is None:
            raise DataError(f"{path}: holds something else")
        names = run.attributes["names"].split(",")
        self.points["cells"].found = dict(zip(names, run.arrays["roots"].tolist(), strict=True))
        return run.attributes["package_version"], run.attributes["git_commit"]

    def store(self, path, *, overwrite, seconds):
        found = self.points["cells"].found
        result = Found(list(found), np.array(list(found.values())))
        save(path, result, overwrite=overwrite, extra={"wall_time_seconds": seconds})

    def result(self):
        return self.points["cells"].found


VALUES = {"d64.s0": 4.0, "d64.s1": 9.0, "d128.s0": 16.0}
ROOTS = {"d64.s0": 2.0, "d64.s1": 3.0, "d128.s0": 4.0}


@pytest.mark.parametrize("spread", [False, True])
def test_a_campaign_runs_in_memory(spread):
    said = []
    campaign = RootCampaign({**VALUES, "bad": -1.0})
    with ThreadPoolExecutor(2) as threads:
        executor = threads if spread else None
        where = Where(executor=executor, progress=lambda done, total: said.append((done, total)))
        assert run(campaign, where) == ROOTS
    assert campaign.points["cells"].failures == {"bad": "it is negative"}
    assert said[0] == (0, 4)
    assert said[-1] == (4, 4)


def test_a_campaign_is_interrupted_and_continued(tmp_path):
    path = tmp_path / "roots.h5"

    def interrupt(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(RootCampaign(VALUES), Where(path, progress=interrupt))
    assert not path.exists()
    assert ledger_path(path).exists()
    counts = []
    # a campaign with a cell more takes up what there is, by name
    more = {"d32.s0": 1.0, **VALUES}
    where = Where(path, progress=lambda done, total: counts.append(done))
    assert run(RootCampaign(more), where) == {**ROOTS, "d32.s0": 1.0}
    assert counts == [2, 3, 4]
    assert [place.name for place in tmp_path.iterdir()] == ["roots.h5"]
    counts.clear()
    assert run(RootCampaign(more), where) == {**ROOTS, "d32.s0": 1.0}
    assert counts == [4]


def test_a_file_of_something_else_is_left_alone(tmp_path):
    path = tmp_path / "a.h5"
    path.write_text("mine")
    with pytest.raises(DataError, match="not a readable HDF5 file"):
        run(RootCampaign(VALUES), Where(path))
    assert path.read_text() == "mine"
    assert run(RootCampaign(VALUES), Where(path, overwrite=True)) == ROOTS
    assert load(path)["roots"].arrays["roots"].tolist() == [2.0, 3.0, 4.0]


def test_the_ledger_of_another_campaign_is_refused(tmp_path):
    path = tmp_path / "a.h5"
    with Ledger(ledger_path(path), {"work": "another"}) as other:
        other.add([("cells/d64.s0", b"x")])
    with pytest.raises(DataError, match="other parameters"):
        run(RootCampaign(VALUES), Where(path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": 0}, "workers is 0"),
        ({"executor": 1}, "executor is 1"),
        ({"progress": 1}, "progress is 1"),
        ({"overwrite": "yes"}, "overwrite is 'yes'"),
    ],
)
def test_where_is_checked_at_the_door(arguments, message):
    with pytest.raises(ModelError, match=message):
        Where(**arguments)
