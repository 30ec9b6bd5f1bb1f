"""Runs of trained networks: settings, store, checkpoints, resuming, the command; without JAX."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from dmft_rf import DataError, ModelError
from dmft_rf.files.ledger import Ledger
from dmft_rf.files.replace import replacing_hdf5
from tests.helpers.fake_training import SMALL, Diverging, Fake, contents, settings
from validation.__main__ import main as validation_main
from validation.networks import command
from validation.networks.run.engine import ended_early, run
from validation.networks.run.plan import SGD_RATE, Setting
from validation.networks.run.profiles import profile
from validation.networks.run.store import SCHEMA, Checkpoint, Store


class Clock:
    """Every look costs a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


# -- settings ----------------------------------------------------------------------------------


def test_grid_is_logarithmic_and_ends_at_the_last_step() -> None:
    grid = SMALL.grid
    assert grid[0] == SMALL.first
    assert grid[-1] == SMALL.steps
    assert (np.diff(grid) > 0).all()
    assert 19 <= len(grid) <= 22  # two decades of ten
    assert dataclasses.replace(SMALL, steps=3).grid.tolist() == [3]


@pytest.mark.parametrize(
    "wrong",
    [{"case": "sound"}, {"optimiser": "adagrad"}, {"n": 1}, {"width": 20}, {"rate": 0.0},
     {"batch": -1}, {"steps": 0}, {"indices": ()}],
)  # fmt: skip
def test_settings_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        dataclasses.replace(SMALL, **wrong)


@pytest.mark.parametrize("name", ["quick", "paper"])
def test_profiles(name: str) -> None:
    runs = profile(name)
    assert len({run.key for run in runs}) == len(runs)
    assert {run.case for run in runs} == {"images", "mixture"}
    assert all(run.case == "mixture" for run in profile(name, "mixture"))
    assert all(Setting.of(run.describe()) == run for run in runs)
    own = profile(name, "images", "mine.npy")
    assert not {run.key for run in own} & {run.key for run in runs}
    with pytest.raises(ModelError):
        profile("huge")


def test_the_paper_profile_has_what_the_laws_need() -> None:
    runs = [run for run in profile("paper", "images") if not run.guidance]
    least = "momentum, batch 64, rate 0.0015625"
    laws = [
        ((run.side, run.width, run.protocol), (run.n, run.seed))
        for run in runs
        if run.n < (2048 if run.side == 16 else 512)
    ]
    for side, sizes in ((16, range(4, 10)), (8, range(6, 9))):
        line = [place for law, place in laws if law == (side, 32, "Adam, batch 64")]
        assert sorted(line) == [(2**k, seed) for k in sizes for seed in range(3)]
    assert {run.protocol for run in runs} == {
        "Adam, batch 64", "Adam, batch 512", "momentum, batch 64", "momentum, batch 512",
        "momentum, full batch", "Adam, full batch of 4 noises", "momentum, batch 64, rate 0.0125",
        least,
    }  # fmt: skip
    # every law spans two octaves or more and has three seeds; one: least rate, widest networks
    for group in {law for law, _ in laws}:
        here = sorted(place for law, place in laws if law == group)
        sizes = sorted({n for n, _ in here})
        assert sizes[-1] >= 4 * sizes[0]
        seeds = range(1 if group[2] == least or group[1] > 48 else 3)
        assert here == [(n, seed) for n in sizes for seed in seeds]


def test_names_tell_the_rate_of_momentum_where_it_is_not_the_usual_one() -> None:
    usual = dataclasses.replace(SMALL, optimiser="sgd", rate=SGD_RATE)
    slow = dataclasses.replace(usual, rate=SGD_RATE / 8)
    assert (usual.key, usual.protocol) == (SMALL.key.replace("adam", "sgd"), "momentum, batch 64")
    assert slow.key == SMALL.key.replace("adam", "sgd0.0125")
    assert slow.protocol == "momentum, batch 64, rate 0.0125"
    assert dataclasses.replace(SMALL, rate=0.5).key == SMALL.key


def test_the_divergence_is_of_the_mixture_and_of_what_is_generated() -> None:
    mixture = dataclasses.replace(SMALL, case="mixture", data="mixture", divergence=8)
    assert Setting.of(mixture.describe()) == mixture
    assert "divergence" not in dataclasses.replace(mixture, divergence=0).describe()
    for other in (dataclasses.replace(SMALL), mixture):
        with pytest.raises(ModelError, match="divergence is 9"):
            dataclasses.replace(other, divergence=9)


def test_guidance_needs_rows() -> None:
    rows = dataclasses.replace(SMALL, network="residual", guidance=1.0)
    assert rows.key == SMALL.key.replace("w16", "residual16").replace(".s0", ".g1.s0")
    assert rows.protocol == "residual network, Adam, batch 64, guidance 1"
    assert Setting.of(rows.describe()) == rows
    for network, guidance in (("", 1.0), ("residual", -1.0)):
        with pytest.raises(ModelError, match="guidance is"):
            dataclasses.replace(rows, network=network, guidance=guidance)


def test_a_full_batch_shows_every_sample_equally_often_whatever_n_is() -> None:
    for copies in (1, 4):
        full = [dataclasses.replace(SMALL, n=n, batch=0, copies=copies) for n in (8, 32)]
        assert [run.passes_per_step for run in full] == [copies, copies]
        assert [run.noisy_per_step for run in full] == [8 * copies, 32 * copies]
        assert [Setting.of(run.describe()) for run in full] == full
    assert dataclasses.replace(SMALL, n=32).passes_per_step == SMALL.batch / 32
    with pytest.raises(ModelError, match="copies"):
        dataclasses.replace(SMALL, copies=4)


# -- resuming ----------------------------------------------------------------------------------


def test_finished_runs_are_never_computed_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "n.h5")
    assert run(store, [SMALL], Fake, quiet=True) == 0
    before = Fake.trained
    again = Store(tmp_path / "n.h5")
    assert run(again, [SMALL], Fake, quiet=True) == 0
    assert Fake.trained == before
    assert contents(again).keys() == contents(store).keys()
    found = again.runs[SMALL.key]
    assert found.setting == SMALL
    assert found.facts["ended"] == "steps"
    assert {"git_commit", "package_version", "versions", "seconds"} <= found.facts.keys()
    assert [place.name for place in tmp_path.iterdir()] == ["n.h5"]


def test_time_that_runs_out_costs_nothing(tmp_path: Path) -> None:
    """Many short runs of the loop end in the same file as one long one."""
    whole, pieces = Store(tmp_path / "a.h5"), Store(tmp_path / "b.h5")
    work = settings()[:3]
    run(whole, work, Fake, quiet=True)
    start, rounds, left = Fake.trained, 0, 1
    while left:
        left = run(pieces, work, Fake, hours=25 / 3600, quiet=True, clock=Clock())
        pieces = Store(tmp_path / "b.h5")
        rounds += 1
        assert rounds < 200
    assert rounds > 3
    assert Fake.trained - start == sum(int(s.steps) for s in work)  # no step was made twice
    one, other = contents(whole), contents(pieces)
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_a_kill_loses_no_more_than_the_last_minute(tmp_path: Path) -> None:
    class Killed(Fake):
        def advance(self, to: int) -> None:
            if to > 400:
                raise KeyboardInterrupt
            super().advance(to)

    whole, store = Store(tmp_path / "a.h5"), Store(tmp_path / "b.h5")
    run(whole, [SMALL], Fake, quiet=True)
    with pytest.raises(KeyboardInterrupt):
        run(store, [SMALL], Killed, quiet=True, clock=Clock())
    left = Store(tmp_path / "b.h5").checkpoint(SMALL)
    assert left is not None
    assert 100 < left.step <= 400
    before = Fake.trained
    again = Store(tmp_path / "b.h5")
    run(again, [SMALL], Fake, quiet=True)
    assert Fake.trained - before == SMALL.steps - left.step
    one, other = contents(whole), contents(again)
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_runs_end_early_only_after_two_measurements_beyond(tmp_path: Path) -> None:
    early = dataclasses.replace(SMALL, stop_ratio=1.5, stop_memorized=0.1)
    store = Store(tmp_path / "n.h5")
    run(store, [early], Fake, quiet=True)
    found = store.runs[early.key]
    ratio = found.curves["test"][:, 0] / found.curves["train"][:, 0]
    beyond = (ratio >= 1.5) & (found.curves["memorized"][:, 0] >= 0.1)
    assert found.facts["ended"] == "memorized"
    assert beyond.tolist()[-3:] == [False, True, True]
    assert not ended_early(early, [])


def test_a_checkpoint_of_other_data_is_refused(tmp_path: Path) -> None:
    class Other(Fake):
        def facts(self) -> dict[str, Any]:
            return {**super().facts(), "digest": "other"}

    store = Store(tmp_path / "n.h5")
    run(store, [SMALL], Fake, hours=10 / 3600, quiet=True, clock=Clock())
    with pytest.raises(DataError, match="other data"):
        run(store, [SMALL], Other, quiet=True)


# -- files -------------------------------------------------------------------------------------


def test_files_that_are_not_ours_are_left_alone(tmp_path: Path) -> None:
    good = tmp_path / "good.h5"
    run(Store(good), [SMALL], Fake, quiet=True)
    content = good.read_bytes()
    cases = {"text": b"hello", "empty": b"", "torn": content[: len(content) * 2 // 3]}
    for name, written in cases.items():
        path = tmp_path / f"{name}.h5"
        path.write_bytes(written)
        with pytest.raises(DataError, match="left alone"):
            Store(path)
        assert path.read_bytes() == written
    foreign = tmp_path / "foreign.h5"
    with h5py.File(foreign, "w") as file:
        file["x"] = 1.0
    with pytest.raises(DataError, match="holds no runs"):
        Store(foreign)
    with replacing_hdf5(good, overwrite=True, start=good) as file:
        file.attrs["networks_schema"] = SCHEMA + 1
    with pytest.raises(DataError, match=f"schema {SCHEMA + 1}"):
        Store(good)


def test_a_changed_parameter_is_noticed(tmp_path: Path) -> None:
    store = Store(tmp_path / "n.h5")
    run(store, [SMALL], Fake, quiet=True)
    with pytest.raises(DataError, match=r"other parameters \(rate\)"):
        store.has(dataclasses.replace(SMALL, rate=2e-3))
    path = tmp_path / "n.h5"
    with replacing_hdf5(path, overwrite=True, start=path) as file:
        file[SMALL.key].attrs["n"] = 17
    with pytest.raises(DataError, match="fingerprint"):
        Store(tmp_path / "n.h5")


def save(store: Store, setting: Setting) -> None:
    with store.filling():
        store.save(setting, Checkpoint(5, 1.0, {}, [np.ones(3)], "same"))


def test_one_process_at_a_time_through_a_link_too(tmp_path: Path) -> None:
    run(Store(tmp_path / "n.h5"), [SMALL], Fake, quiet=True)
    (tmp_path / "link.h5").symlink_to(tmp_path / "n.h5")
    store, link = Store(tmp_path / "n.h5"), Store(tmp_path / "link.h5")
    with store.filling(), pytest.raises(DataError, match="another process"):
        run(link, [SMALL], Fake, quiet=True)
    other = dataclasses.replace(SMALL, seed=1)
    save(link, other)
    assert store.checkpoint(other) is not None
    run(link, [other], Fake, quiet=True)
    assert (tmp_path / "link.h5").is_symlink()
    assert other.key in Store(tmp_path / "n.h5").runs


def test_runs_that_have_ended_are_seen_while_others_are_trained(tmp_path: Path) -> None:
    path = tmp_path / "n.h5"
    other = dataclasses.replace(SMALL, seed=1)
    seen: list[Store] = []

    class Watched(Fake):
        def advance(self, to: int) -> None:
            if self.setting == other and not seen:
                seen.append(Store(path))
            super().advance(to)

    run(Store(path), [SMALL, other], Watched, quiet=True)
    assert [*seen[0].runs] == [SMALL.key]
    assert contents(seen[0]).keys() == {k for k in contents(Store(path)) if SMALL.key in k}


def killed(*_: Any) -> None:
    raise SystemExit


@pytest.mark.parametrize("make", [Fake, Diverging])
def test_a_kill_before_the_checkpoint_of_an_ended_run_is_dropped(
    make: type[Fake], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes with the next call, and does not stand in the way of another try."""
    path, setting = tmp_path / "n.h5", dataclasses.replace(SMALL, seed=1)
    trainer = make(setting)
    half = Checkpoint(0, 1.0, {}, trainer.state(), trainer.facts()["digest"])
    store = Store(path)
    with store.filling():
        store.save(setting, half)
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "drop", killed)
        patch.setattr(Store, "_complete", killed)
        with pytest.raises(SystemExit):
            run(Store(path), [setting], make, quiet=True)
    assert not path.exists()
    assert Store(path).checkpoint(setting) is not None
    assert setting.key in Store(path).ended
    slower = dataclasses.replace(setting, rate=1e-4)
    if make is Diverging:
        assert run(Store(path), [slower], make, quiet=True) == 0
        assert slower.key in Store(path).runs
    else:
        assert run(Store(path), [setting], make, quiet=True) == 0
    assert [place.name for place in tmp_path.iterdir()] == ["n.h5"]


def test_the_checkpoint_of_another_try_stays(tmp_path: Path) -> None:
    store = Store(tmp_path / "n.h5")
    setting = dataclasses.replace(SMALL, seed=1)
    run(store, [setting], Diverging, quiet=True)
    slower = dataclasses.replace(setting, rate=1e-4)
    save(store, slower)
    with store.filling():
        pass
    assert store.checkpoint(slower) is not None


def test_half_written_stores_of_killed_processes_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "n.h5")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(SystemExit):
            run(store, [SMALL], Fake, quiet=True)
    assert len([*tmp_path.glob(".*.part.*")]) == 1
    run(store, [SMALL], Fake, quiet=True)
    assert sorted(place.name for place in tmp_path.iterdir()) == ["n.h5"]


def test_checkpoints_come_back(tmp_path: Path) -> None:
    store = Store(tmp_path / "n.h5")
    save(store, SMALL)
    back = Store(store.path).checkpoint(SMALL)
    assert back is not None
    assert (back.step, back.leaves[0].tolist()) == (5, [1.0, 1.0, 1.0])
    with pytest.raises(DataError, match="other parameters"):
        store.checkpoint(dataclasses.replace(SMALL, rate=0.5))
    before = store.unfinished.read_bytes()
    store.unfinished.write_bytes(b"hello")
    with pytest.raises(DataError, match="left alone"):
        run(store, [SMALL], Fake, quiet=True)
    assert store.unfinished.read_bytes() == b"hello"
    store.unfinished.write_bytes(before.replace(np.ones(3).tobytes(), bytes(24)))
    assert store.checkpoint(SMALL) is None  # what was damaged is trained again
    run(store, [SMALL], Fake, quiet=True)
    assert not store.unfinished.exists()


# -- the command -------------------------------------------------------------------------------


def test_the_command_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in command.NEEDED else real(name)
    )
    assert validation_main(["networks", "--out", str(tmp_path / "x")]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert ".[experiments]" in told
    assert not (tmp_path / "x").exists()
    assert validation_main(["networks", "--hours", "0"]) == 2
    assert validation_main(["networks", "--only", "nothing"]) == 2
    assert validation_main(["networks", "--list", "--profile", "paper", "--case", "images"]) == 0
    assert "images-fashion16.n512.w32.adam.b64.s2" in capsys.readouterr().out


def test_the_report_alone_needs_no_jax(tmp_path: Path) -> None:
    assert validation_main(["networks", "--report", "--out", str(tmp_path)]) == 0
    run(Store(tmp_path / command.FILE), profile("quick", "images")[:1], Fake, quiet=True)
    assert validation_main(["networks", "--report", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "networks.html").is_file()
    (tmp_path / command.FILE).write_bytes(b"no")
    assert validation_main(["networks", "--report", "--out", str(tmp_path)]) == 2
