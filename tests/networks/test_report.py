"""What is said about trained networks: dates, laws, tables, pictures; without JAX."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar

from figures.__main__ import main as figures_main
from figures.catalogue import NETWORKS
from figures.numbers import Numbers
from tests.helpers.fake_training import SMALL, Fake, settings
from validation.networks.analysis import dating, gather_laws, gather_theory, summary, tables
from validation.networks.pictures import draw_laws, pictures, report
from validation.networks.run.engine import run
from validation.networks.run.plan import Setting
from validation.networks.run.store import Run, Store


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("full") / "networks.h5")
    work = settings(steps=6000)
    work += [dataclasses.replace(s, batch=0) for s in work if s.width == 16]
    mixture = {"case": "mixture", "data": "mixture", "divergence": 8}
    work += [dataclasses.replace(s, **mixture) for s in work if s.batch]
    run(store, work, Fake, quiet=True)
    return store


@pytest.fixture(scope="module")
def momentum(full: Store) -> Store:
    """The same, momentum with two rates, and guidance."""
    store = Store(full.path.with_name("momentum.h5"))
    work = settings(steps=6000, optimiser="sgd")
    work = [dataclasses.replace(s, rate=rate) for s in work for rate in (0.1, 0.0125)]
    work += settings(network="residual", guidance=1.0)
    run(store, [s for s in work if s.width == 16], Fake, quiet=True)
    store.runs |= full.runs
    return store


def test_dates_and_exponents_of_a_known_law(full: Store) -> None:
    for found in full.runs.values():
        s, dated = found.setting, summary.date(found)
        # the ratio is 1 + x; interpolation is in log time on ten points per decade
        x = 30.0 * s.n / np.sqrt(s.width / 16) / (1.0 + 0.02 * s.seed)
        assert abs(dated.times["mem_loss"] / x - 1.0) < 0.02
        assert abs(dated.times["mem_0.1"] / (0.4 * x) - 1.0) < 0.02
    found_laws = summary.laws(summary.date(found) for found in full.runs.values())
    slopes = {"n": 1.0, "W": -0.5}
    judged = [law for law in found_laws if law.date == "mem_loss"]
    assert {law.against for law in judged} == {"n", "W"}
    for law in judged:
        assert abs(law.slope.value - slopes[law.against]) < 0.02
        assert law.slope.seed_error < 0.02


def test_regions(full: Store) -> None:
    chosen = [r for r in full.runs.values() if r.setting.case == "images" and r.setting.batch]
    runs = {(r.setting.n, r.setting.seed): r for r in chosen if r.setting.width == 16}
    common = summary.levels(chosen)
    assert summary.region(runs[16, 0], 490, common) == 0  # ratio 2 at 480
    assert summary.region(runs[64, 0], 1500, common) == 1  # at 1920
    assert summary.region(runs[64, 0], 30, common) == 2  # Frechet distance 5, the level is 2.4
    assert summary.region(runs[64, 0], 20_000, common) == 0
    short = dataclasses.replace(
        runs[64, 0], curves={k: v[:12] for k, v in runs[64, 0].curves.items()}
    )
    assert summary.region(short, 1500, common) == -1  # ended before
    assert summary.region(runs[64, 0], 1500, summary.Levels()) == -1  # no level
    # quality decides, not whether the loss has stopped falling
    bad = runs[64, 0].curves | {"frechet": 3.0 + 0.0 * runs[64, 0].curves["frechet"]}
    assert summary.region(dataclasses.replace(runs[64, 0], curves=bad), 1500, common) == 2
    losses = {name: runs[64, 0].curves[name] for name in ("step", "train", "test")}
    without = dataclasses.replace(runs[64, 0], curves=losses)  # nothing was generated
    assert [summary.region(without, budget, common) for budget in (30, 1500)] == [2, 1]


def test_a_minimum_at_the_end_is_no_minimum() -> None:
    step = np.geomspace(10, 1e4, 31)
    falling = 1.0 / step
    curves = {"step": step, "test": falling[:, None], "train": falling[:, None]}
    dated = summary.date(Run(SMALL, curves, {}))
    assert np.isnan(list(dated.times.values())).all()


def test_every_picture_and_the_report(full: Store, momentum: Store, tmp_path: Path) -> None:
    report.write(tmp_path, momentum, "quick", 0)
    text = (tmp_path / "networks.md").read_text(encoding="utf-8")
    page = (tmp_path / "networks.html").read_text(encoding="utf-8")
    assert "Not drawn" not in text
    for name in pictures.PICTURES:
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert f"({name}.png)" in text
    assert page.count("data:image/png;base64,") == len(pictures.PICTURES)
    assert "Preliminary" not in text
    assert (tmp_path / "networks-runs.csv").read_text().count("\n") == len(momentum.runs) + 1
    few = Store(full.path)
    few.runs = dict([next(item for item in full.runs.items() if item[1].setting.case == "mixture")])
    report.write(tmp_path, few, "quick", 3)
    assert "Preliminary" in (tmp_path / "networks.md").read_text(encoding="utf-8")


def test_figures_from_a_store(full: Store, tmp_path: Path) -> None:
    common = ["--out", str(tmp_path), "--workers", "1", "--quiet"]
    assert figures_main(["networks-losses", *common]) == 2  # no store, no figure
    assert figures_main(["networks-losses", "--networks", str(full.path), *common]) == 0
    assert (tmp_path / "networks-losses.pdf").is_file()
    numbers = Numbers.load(tmp_path / "networks-losses.h5")
    # ratios 1 + x with x = tau/(30 n): on tau/n they lie on one another, seeds 2 % apart
    assert numbers.number("spread") < 0.03 < numbers.number("spread_raw")
    assert 'id="networks-losses"' in (tmp_path / "index.html").read_text(encoding="utf-8")
    (tmp_path / "networks-losses.png").unlink()
    assert figures_main(["networks-losses", "--redraw", *common]) == 0
    assert (tmp_path / "networks-losses.png").is_file()


def test_figures_are_those_of_the_report() -> None:
    assert tuple(pictures.PICTURES) == NETWORKS


# -- tau_gen at one level for all n ------------------------------------------------------------


def loss(setting: Setting, step: float) -> float:
    """The test loss of the fake trainer."""
    x = step / (30.0 * setting.n / np.sqrt(setting.width / 16)) * (1.0 + 0.02 * setting.seed)
    return 0.2 + 0.8 / (1.0 + step / 20.0) + 0.02 * x


def test_the_common_level_is_that_of_the_smallest_n(full: Store) -> None:
    images = [found for found in full.runs.values() if found.setting.case == "images"]
    line = summary.main_line(images)
    assert {(r.setting.n, r.setting.seed) for r in line} == {
        (n, seed) for n in (16, 32, 64) for seed in range(3)
    }
    least = [
        minimize_scalar(lambda step, s=r.setting: loss(s, step), bounds=(10, 6000)).fun
        for r in line
        if r.setting.n == 16
    ]
    level = 1.1 * math.exp(np.mean(np.log(least)))
    # the minimum between two measurements is flat
    assert math.isclose(summary.levels(images).loss, level, rel_tol=3e-3)
    # and does not hear of larger n
    cut = [
        found if found.setting.n == 16
        else dataclasses.replace(found, curves={k: v / 2 for k, v in found.curves.items()})
        for found in images
    ]  # fmt: skip
    assert summary.levels(cut) == summary.levels(images)
    for one in summary.dates(images):
        first = brentq(lambda step, s=one.setting: loss(s, step) - level, 10, 300)
        assert math.isclose(one.times["gen_loss_common"], first, rel_tol=0.03)
        if one.setting.n > 16:
            # its own minimum is deeper and later, although the curves are nearly the same
            assert one.times["gen_loss"] > 1.1 * one.times["gen_loss_common"]
            assert one.times["gen_frechet"] > one.times["gen_frechet_common"]
    known = summary.dates(images)
    slopes = {law.date: law.slope.value for law in summary.laws(known) if law.against == "n"}
    assert abs(slopes["gen_loss_common"]) < 0.15 < slopes["gen_loss"]


def test_no_level_where_the_smallest_n_still_learns(full: Store) -> None:
    images = [found for found in full.runs.values() if found.setting.case == "images"]
    short = [
        dataclasses.replace(r, curves={k: v[:5] for k, v in r.curves.items()})
        if r.setting.n == 16
        else r
        for r in images
    ]
    assert math.isnan(summary.levels(short).loss)
    assert all(math.isnan(one.times["gen_loss_common"]) for one in summary.dates(short))


# -- laws and tables ---------------------------------------------------------------------------


def test_errors_of_a_slope_are_added_in_quadrature() -> None:
    one = dating.Slope(1.0, 0.03, 0.04, 3, 9)
    assert math.isclose(one.error, 0.05)
    assert str(one) == "1.00 ± 0.05"
    few = dating.Slope(-0.001, math.nan, 0.04, 2, 9)
    assert few.error == 0.04
    assert str(few) == "0.00 ± 0.04 (two seeds)"
    assert math.isnan(dating.Slope(1.0, math.nan, math.nan, 1, 2).error)


def test_the_last_slope_sees_where_a_law_is_heading() -> None:
    n, seed = np.tile([16.0, 32.0, 64.0, 128.0], 3), np.repeat([0, 1, 2], 4)
    tau = np.where(n <= 64, n, 64.0 * (n / 64.0) ** 2)
    assert math.isclose(dating.last_slope(n, tau, seed).value, 2.0)
    tau[n == 128] = math.nan
    assert math.isclose(dating.last_slope(n, tau, seed).value, 1.0)


def test_times_against_the_width_at_every_n(full: Store) -> None:
    numbers = gather_laws.scaling_width(full)
    for n in (16, 32, 64):
        value, error, last, seeds = numbers[f"n={n}/mem_loss/slope"]
        assert abs(value + 0.5) < 0.02
        assert abs(last + 0.5) < 0.02
        # seeds 2 % apart, an octave: residuals of 0.0196, 0.849 from the middle of log W
        assert math.isclose(error, 0.0196 / 0.849, rel_tol=0.1)
        assert seeds == 3


def test_samples_that_are_not_memorized_in_time(full: Store) -> None:
    """tau_mem is 30 n/(W/16)^(1/2) and tau_gen the same for all widths: n(p) is known."""
    numbers = gather_laws.boundary(full)
    for width, n, error in zip((16, 32), numbers["own/8/n"], numbers["own/8/error"], strict=True):
        members = [one for one in summary.dates(full.runs.values())
                   if (one.setting.case, one.setting.width, one.setting.batch)
                   == ("images", width, 64)]  # fmt: skip
        gen = np.exp(np.mean([np.log(one.times["gen_frechet_common"]) for one in members]))
        # the middle seed is 2 % faster than the first
        assert math.isclose(n, 8 / 30 * gen * math.sqrt(width / 16) * 1.02, rel_tol=0.02)
        assert math.isclose(error, 0.0196 / math.sqrt(3.0), rel_tol=0.3)
    assert np.isnan(numbers["own/100/n"]).all()  # above the largest n
    assert np.isnan(numbers["own/3/n"][0])  # below the smallest


def test_exponents_against_the_noise_of_the_gradient(momentum: Store) -> None:
    numbers = gather_laws.noise(momentum)
    for octave in ("16 to 32", "32 to 64"):
        assert numbers[f"{octave}/x"].tolist() == [1.0, 0.125]
        np.testing.assert_allclose(numbers[f"{octave}/value"], 1.0, atol=0.03)
    assert not gather_laws.noise(Store(momentum.path.with_name("none.h5")))


def test_the_divergence_dates_when_quality_comes_and_goes(full: Store) -> None:
    """KL is 0.05 + 0.25/(1 + step/20) + 0.1 x in the fake, x = step/(30 n) at W = 16."""
    one = full.runs["mixture-mixture8.n64.w16.adam.b64.s0"]
    found = summary.date(one).times

    def excess(step: float, level: float) -> float:
        return 0.05 + 0.25 / (1.0 + step / 20.0) + 0.1 * step / (30.0 * 64) - level

    assert math.isclose(found["gen_divergence"], brentq(excess, 10, 300, (0.1,)), rel_tol=0.03)
    assert math.isclose(found["mem_divergence"], brentq(excess, 500, 6000, (0.2,)), rel_tol=0.03)


def test_the_same_number_of_passes(full: Store) -> None:
    """The fake loss ratio is 1 + step/(30 n) at W = 16: of full batches it falls with n."""
    numbers = gather_laws.passes(full)
    where = float(numbers["passes"])
    n, ratio = (numbers[f"Adam, full batch/at/{name}"] for name in ("n", "ratio"))
    assert n.tolist() == [16, 32, 64]
    # seeds scatter by 2 %, a decade has ten measurements
    assert np.allclose(ratio, 1.0 + where / (30.0 * n), rtol=0.05)
    # with batches of 64 a pass is n/64 steps, and all n agree: the ratio is 2 after 30 * 64
    for size in (16, 32, 64):
        path = f"Adam, batch 64/n={size}/s0"
        log_passes = np.log(numbers[f"{path}/step"])
        at = math.exp(np.interp(2.0, numbers[f"{path}/ratio"], log_passes))
        assert math.isclose(at, 30 * 64, rel_tol=0.02)
    ratio = numbers["Adam, batch 64/at/ratio"]
    assert np.allclose(ratio, 1.0 + where / (30.0 * 64.0), rtol=0.05)


def test_tables_have_one_line_for_all_seeds(full: Store) -> None:
    runs = list(full.runs.values())
    sections = {title: table for title, _, table in tables.times(runs)}
    table = sections["Training times: digits, 8 x 8, Adam, batch 64"]
    head, rows = table.head, table.rows
    assert [row[:3] for row in rows] == [
        [str(w), str(n), "3"] for w in (16, 32) for n in (16, 32, 64)
    ]
    # ratio 2 at 480 (1, 1/1.02, 1/1.04); 4 passes a step
    middle = 480 / np.cbrt(1.02 * 1.04)
    tau, error = rows[0][head.index("test/train loss = 2")].removesuffix(" %").split(" ± ")
    assert abs(float(tau) / middle - 1.0) < 0.02
    assert error == "1"
    assert abs(float(rows[0][-1].split()[0]) / (4 * middle) - 1.0) < 0.02
    (_, text, table), *_ = tables.exponents(runs)
    assert "by construction" in text
    assert len(table.rows) == len({row[0] for row in table.rows}) == 5


def test_exponents_step_by_step(full: Store) -> None:
    """A law has the same exponent between all sizes, one that bends does not."""
    images = [found for found in full.runs.values() if found.setting.case == "images"]
    bent = [
        dataclasses.replace(r, curves=r.curves | {"step": r.step * (1 + (r.setting.n > 32))})
        for r in images
    ]
    for runs, wanted in ((images, (1.0, 1.0)), (bent, (1.0, 2.0))):
        ((_, _, table),) = tables.local_exponents(runs)
        assert table.head == ["date", "16 to 32", "32 to 64"]
        (row,) = (row for row in table.rows if row[0] == "test/train loss = 2")
        assert np.allclose([float(cell.split()[0]) for cell in row[1:]], wanted, atol=0.03)


def test_exponents_beside_those_of_the_solvable_model(full: Store) -> None:
    """The networks' own are those of the law they were made of; the model's end at 1."""
    found = gather_theory.local_exponents(full)
    assert {path.split("/")[0] for path in found} == {"digits, 8 x 8", "mixture, d = 8"}
    for protocol in ("Adam, batch 64", "Adam, full batch"):
        path = f"digits, 8 x 8/network/{protocol}"
        np.testing.assert_allclose(found[f"{path}/x"], np.sqrt([512.0, 2048.0]) / 64)
        np.testing.assert_allclose(found[f"{path}/value"], 1.0, atol=0.03)
    assert "mixture, d = 8/same/x" not in found  # no Gaussian data
    far = found["digits, 8 x 8/unlimited/x"]
    assert far[-1] > 8.0
    assert 1.0 < found["digits, 8 x 8/unlimited/value"][-1] < 1.1
    # few parameters delay memorization, more so for more samples
    same = found["digits, 8 x 8/same/value"]
    assert np.all(same > found["digits, 8 x 8/unlimited/value"][: same.size])


def test_every_protocol_is_drawn() -> None:
    """However many there are, each looks different."""
    names = [f"rule {i}" for i in range(12)]
    numbers = {}
    for name in names:
        for what, value in (("x", [1.0, 2.0]), ("value", [1.0, 1.5]), ("error", [0.1, 0.1])):
            numbers[f"data/network/{name}/{what}"] = np.array(value)
    figure = draw_laws.draw_local_exponents(numbers)
    lines = [bars.lines[0] for bars in figure.axes[0].containers]
    looks = {(str(line.get_color()), str(line.get_marker())) for line in lines}
    assert len(lines) == len(looks) == len(names)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == sorted(names)


def test_every_run_is_in_the_file_of_values(full: Store) -> None:
    text = tables.every_run(full.runs.values())
    rows = {row["run"]: row for row in csv.DictReader(io.StringIO(text))}
    assert rows.keys() == full.runs.keys()
    for one in summary.dates(full.runs.values()):
        row = rows[one.setting.key]
        assert (int(row["n"]), int(row["W"])) == (one.setting.n, one.setting.width)
        for name, tau in one.times.items():
            assert row[name] == "" if math.isnan(tau) else math.isclose(float(row[name]), tau,
                                                                        rel_tol=1e-5)  # fmt: skip


def test_runs_that_diverged_have_a_line_too(full: Store) -> None:
    gone = Run(
        dataclasses.replace(SMALL, seed=9), {},
        {"ended": "diverged", "parameters": 1, "seconds": 1.0, "git_commit": "-"},
    )  # fmt: skip
    text = tables.every_run([*full.runs.values(), gone])
    assert sum("diverged" in line for line in text.splitlines()) == 1
