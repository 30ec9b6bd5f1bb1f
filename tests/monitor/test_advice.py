"""Advice from images: every sentence as a function of numbers, and the numbers as of the theory."""

import math
from collections import defaultdict
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from dmft_rf import (
    Advice,
    DataError,
    ModelError,
    ScoreModel,
    advise,
    read_covariance,
    solve,
    timescales,
)  # fmt: skip
from dmft_rf.curves.thresholds import relative_gap
from dmft_rf.monitor import date, extrapolate, read_log, sentences
from dmft_rf.monitor.advice import time_of
from dmft_rf.monitor.images import measure
from dmft_rf.monitor.logs import Log
from dmft_rf.monitor.samples import Samples
from dmft_rf.monitor.transfer import predict, table
from dmft_rf.store import load_results, save
from dmft_rf.units import t_from_ddpm, t_from_sigma
from validation.finite.imagery import rows

ROOT = Path(__file__).parents[2]
RUN = ROOT / "docs" / "examples" / "run.csv"
STORE = ROOT / "docs" / "data" / "networks.h5"


@pytest.fixture(scope="module")
def digits() -> Advice:
    return advise("digits", 260_000, pilot=(400, 2000))


# -- numbers -----------------------------------------------------------------------------------


def test_the_theory_is_that_of_the_model(digits: Advice) -> None:
    law = read_covariance("digits").normalized()
    times = timescales(solve(ScoreModel(0.01, 260_000 / 64**2, 1797 / 64, covariance=law)))
    start, end = times.usable()
    # solved to 1e-6, and a minimum is as flat as it is
    assert digits.usable.start == pytest.approx(start / times.tau_opt, rel=1e-4)
    assert digits.usable.end == pytest.approx(end / times.tau_opt, rel=1e-4)
    assert digits.table["n"].tolist() == [1797, 2 * 1797, 4 * 1797]
    assert digits.table["test_loss"][0] == pytest.approx(times.test_min, rel=1e-5)
    assert digits.doubling["score_error"] < 1.0
    assert digits.doubling["n"] == 2.0


def test_n_star_is_where_the_final_gap_is_a_tenth(digits: Advice) -> None:
    model = digits.model.replace(psi_n=digits.n_star / 64)
    assert relative_gap(solve(model, 1e-8), math.inf) == pytest.approx(0.1, rel=1e-3)


def test_steps_are_those_of_the_table(digits: Advice) -> None:
    found = extrapolate(400, 2000.0, 1797)
    assert digits.best_step == pytest.approx(found.best_step)
    assert digits.table["low"][0] == pytest.approx(found.low)
    assert digits.table["high"][0] == pytest.approx(found.high)
    # 2 n is nearly 9 times the pilot, 4 n nearly 18 times
    assert math.isnan(digits.table["best_step"][1])
    assert math.isfinite(digits.table["low"][1])
    assert math.isnan(digits.table["low"][2])
    assert np.isnan(digits.table["ratio_2"]).all()


def test_a_log_gives_the_step_of_ratio_2() -> None:
    with np.errstate(all="raise"):
        found = advise("digits", 260_000, 0.1, f"1000:{RUN}", samples=[2000])
    dates = date(read_log(RUN))
    law = found.model.covariance
    expected = predict(dates, 1000, 2000, law, 0.1)  # type: ignore[arg-type]
    (at,) = np.flatnonzero(found.table["n"] == 2000)
    assert found.table["best_step"][at] == pytest.approx(expected.best_step)
    assert found.table["ratio_2_high"][at] == pytest.approx(expected.ratio_2_high)
    assert expected.ratio_2_high == pytest.approx(4.0 * expected.ratio_2_low)
    alone = advise("digits", 260_000, 0.1, RUN)
    assert alone.best_step == dates["best"].step
    assert (alone.table["low"][0], alone.table["high"][0]) == (
        dates["best"].low,
        dates["best"].high,
    )


def test_full_batches_have_their_own_law() -> None:
    found = advise("digits", 260_000, pilot=(400, 2000), full_batch=True)
    assert found.best_step == pytest.approx(2000.0 * (1797 / 400) ** 0.35)
    early, late = sentences.FULL_BATCH_SHARES
    assert found.table["low"][0] == pytest.approx(found.best_step / late)
    assert found.table["high"][0] == pytest.approx(found.best_step / early)
    assert sentences.FULL_BATCH in found.trust
    # 2 n is nearly 9 times the pilot
    assert "the evidence is for as many images as in the pilot to 8 times" in found.steps[1]
    alone = advise("digits", 260_000, pilot=2000, full_batch=True)
    assert alone.steps[0] == "1,797 images: best at step 2,000, that of the pilot."


def test_the_evidence_of_full_batches_is_that_of_the_store() -> None:
    groups: dict[tuple[Any, ...], list[tuple[int, float]]] = defaultdict(list)
    with h5py.File(STORE) as file:
        for name, run in file.items():
            a = run.attrs
            if a["case"] != "images" or a["batch"] != 0:
                continue
            step, train, test = (run[key][...].astype(float) for key in ("step", "train", "test"))
            best = date(Log(step, train[:, 0], test[:, 0], name=name))["best"].step
            if math.isfinite(best):
                same = ("data", "side", "width", "optimiser", "rate", "seed")
                series = (*(a[key] for key in same), a.get("copies", 1), a.get("network", ""))
                groups[series].append((int(a["n"]), best))
    shares = [
        one * (n2 / n1) ** sentences.FULL_BATCH_EXPONENT / two
        for group in groups.values()
        for (n1, one), (n2, two) in combinations(sorted(group), 2)
    ]
    assert len(shares) == sentences.FULL_BATCH_PAIRS
    # rounded; the least losses may differ in a last digit
    np.testing.assert_allclose(sentences.FULL_BATCH_SHARES, (min(shares), max(shares)), atol=0.01)
    times = [n2 / n1 for g in groups.values() for (n1, _), (n2, _) in combinations(sorted(g), 2)]
    assert max(times) == sentences.FULL_BATCH_TIMES


def test_kurtosis_and_d_eff_of_the_sets_that_were_measured() -> None:
    for name, (effective, kurtosis) in (
        ("digits", sentences.DIGITS), ("patches", sentences.PATCHES),
    ):  # fmt: skip
        law, found, _ = measure(Samples.of(rows(name), name))
        assert law.effective_dimension == pytest.approx(effective, abs=0.05)
        assert found == pytest.approx(kurtosis, abs=0.05)


def test_kurtosis_of_known_laws() -> None:
    rng = np.random.default_rng(1)
    turned = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    scales = np.array([3.0, 2.0, 1.0])
    uniform = rng.uniform(-1.0, 1.0, (40_000, 3)) * scales @ turned
    gauss = rng.normal(size=(40_000, 3)) * scales @ turned + 7.0
    assert measure(Samples.of(uniform, "x"))[1] == pytest.approx(-1.2, abs=0.03)
    assert measure(Samples.of(gauss, "x"))[1] == pytest.approx(0.0, abs=0.1)
    # a direction without variance counts for nothing
    flat = np.column_stack([uniform, np.ones(40_000)])
    assert measure(Samples.of(flat, "x"))[1] == pytest.approx(-1.2, abs=0.03)


def test_class_structure_is_what_gaussian_images_do_not_have() -> None:
    rng = np.random.default_rng(2)
    within, turn = rng.normal(size=(1200, 12)), np.linalg.qr(rng.normal(size=(12, 12)))[0]
    centres = 6.0 * rng.normal(size=(8, 12))
    classes = centres[rng.integers(8, size=1200)] + within
    # centres are found exactly: what is left is the variance within, 12, of what Gaussian images
    # leave, which is at most all of it
    found = measure(Samples.of(classes @ turn, "x"))[2]
    total = float(np.sum(classes.var(axis=0)))
    assert 0.5 < found < 1.0 - 12.0 / total
    law = np.cov(classes.T)
    gauss = rng.multivariate_normal(np.zeros(12), law, size=1200)
    assert measure(Samples.of(gauss, "x"))[2] == pytest.approx(0.0, abs=0.03)
    # tails are no classes
    tails = rng.standard_t(3.0, size=(1200, 12))
    assert measure(Samples.of(tails, "x"))[2] == pytest.approx(0.0, abs=0.03)
    assert math.isnan(measure(Samples.of(within[:31], "x"))[2])
    assert math.isfinite(measure(Samples.of(within[:32], "x"))[2])


def test_images_in_the_order_of_their_classes_are_drawn_from_all_of_them() -> None:
    rng = np.random.default_rng(3)
    ordered = 4.0 * rng.normal(size=(5, 6))[np.arange(5000) // 1000] + rng.normal(size=(5000, 6))
    mixed = rng.permutation(ordered)
    one, other = (measure(Samples.of(x, "x"))[2] for x in (ordered, mixed))
    assert one == pytest.approx(other, abs=0.05)
    assert one > 0.3


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (0.3, 0.3),
        ("t:0.3", 0.3),
        ("sigma:0.3", t_from_sigma(0.3)),
        ("alpha-bar:0.25", math.log(2.0)),
        ("log_snr:-2", 0.5 * math.log1p(math.exp(2.0))),
        ("ddpm:50", t_from_ddpm(50)),
        ("ddpm:50:cosine:400", t_from_ddpm(50, schedule="cosine", steps=400)),
    ],
)
def test_noise_levels(schedule: Any, expected: float) -> None:
    assert time_of(schedule)[0] == pytest.approx(float(expected), rel=1e-12)


def test_scale_is_what_the_network_does_to_the_images() -> None:
    images = np.random.default_rng(0).normal(size=(300, 4))
    one, other = advise(10.0 * images, 160, 0.1, scale=0.1), advise(images, 160, 0.1, scale=1.0)
    assert one.model.covariance.mean == pytest.approx(other.model.covariance.mean)
    assert one.divisor == pytest.approx(100.0)
    assert one.n_star == pytest.approx(other.n_star, rel=1e-4)
    assert advise(images, 160, 0.1).model.covariance.mean == pytest.approx(1.0)


# -- words -------------------------------------------------------------------------------------


def test_the_verdict() -> None:
    assert sentences.verdict(100, 1000.0).startswith("Stopping matters: 100 images are fewer than")
    assert "(10 times as many)" in sentences.verdict(100, 1000.0)
    assert sentences.verdict(1000, 1000.0).startswith("Stopping does not matter: 1,000 images")
    assert "10 % of what there is to learn" in sentences.verdict(100, 1000.0)


def test_the_interval() -> None:
    assert sentences.usable(0.756, 1.35).startswith("from 0.76 to 1.35 times the best time")
    assert "without an end" in sentences.usable(0.756, math.inf)


def test_the_steps() -> None:
    nan = math.nan
    assert sentences.steps(2000, 1858.0, 1360.0, 2894.0, "step", 16) == (
        "2,000 images: best at step 1,858 (90 %: 1,360 to 2,894)."
    )
    assert "best between epoch 1,360 to 2,894" in sentences.steps(
        9, nan, 1360.0, 2894.0, "epoch", 16
    )
    assert "16 times as many" in sentences.steps(9, nan, nan, nan, "step", 16)
    assert "that of the pilot" in sentences.steps(9, 7.0, 7.0, 7.0, "step", 16)


def test_what_more_images_buy() -> None:
    assert sentences.more_data(2, 0.97, 0.7, 1.45) == (
        "2 times as many images: least test loss -3 %, least score error -30 %, usable interval to "
        "1.45 times its best time."
    )
    assert "hardly changed" in sentences.more_data(2, 0.9999, 0.7, 1.45)
    assert "without an end" in sentences.more_data(2, 0.9, 0.7, math.inf)


def test_how_far_to_trust_it() -> None:
    assert "kurtosis 1: nearer to the digits" in sentences.closeness(1.0)
    assert "nearer to the patches" in sentences.closeness(9.0)
    assert "further from Gaussian than the patches" in sentences.closeness(20.0)
    assert "of order 5 %" in sentences.finite_size(20.0)
    assert sentences.classes(0.05, 1000) == (
        "Class structure 0.05: at up to 0.17 and t = 0.1 the test loss of finite networks was that "
        "of Gaussian images with the same covariance within 1 %."
    )
    assert sentences.classes(0.34, 1000).startswith("Class structure 0.34: at 0.23 to 0.7 and t")
    assert "1 to 5 % below" in sentences.classes(0.34, 1000)
    assert sentences.classes(0.34, 399).endswith("images show less of it than there is.")
    assert sentences.classes(math.nan, 20) == "Class structure: 20 images are too few to show any."
    assert sentences.few_images(640, 64) == ""
    assert "n/d is 3.1" in sentences.few_images(200, 64)
    row = next(row for row in table()["best_step"] if row["times"] == 4)
    said = sentences.transfer(4.0, row["cost_mean_percent"], row["cost_95_percent"], (0.92, 0.98))
    assert "4 times as many images cost 1.1 % of the held-out loss" in said
    assert "92 to 98 %" in said


def test_the_order_of_what_is_said(digits: Advice) -> None:
    text = digits.text
    parts = [
        "images: 1,797", "psi_n: 28.08", "psi_p: 63.48", "t: 0.01", "d_eff: 13.2",
        "excess kurtosis", "class structure: 0.3", digits.verdict, "Usable: ", digits.steps[0],
        digits.more_data[0], digits.trust[0], sentences.CLOSING,
    ]  # fmt: skip
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert digits.trust[1] == sentences.classes(digits.classes, 1797)
    assert digits.trust[3] == sentences.transfer(4.0, 1.07, 3.33, (0.92, 1.0))


def test_without_a_pilot_there_are_no_steps() -> None:
    found = advise(np.random.default_rng(0).normal(size=(60, 4)), 160, 0.1)
    assert found.steps == ()
    assert math.isnan(found.best_step)
    assert sentences.NO_PILOT in found.trust
    assert "step" not in repr(found)


def test_it_shows_itself(digits: Advice) -> None:
    assert repr(digits).startswith("<Advice for 1,797 images (n* = ")
    assert "best step 8,985" in repr(digits)
    assert len(repr(digits)) < 120
    assert digits._repr_html_().count("<p>") == digits.text.count("\n") + 2
    assert "<b>" not in digits.stated("<b>")._repr_html_()


def test_a_file_gives_it_back(digits: Advice, tmp_path: Path) -> None:
    save(tmp_path / "a.h5", digits)
    assert load_results(tmp_path / "a.h5") == {"advice": digits}
    few = advise(np.random.default_rng(0).normal(size=(20, 4)), 160, 0.1)
    save(tmp_path / "few.h5", few)
    (found,) = load_results(tmp_path / "few.h5").values()
    assert found.text == few.text  # also where no class structure is seen


def test_pictures(digits: Advice) -> None:
    ax = digits.plot()
    assert ax.get_ylabel() == "step"
    assert ax.get_legend() is not None
    other = advise(np.random.default_rng(0).normal(size=(60, 4)), 160, 0.1)
    assert other.plot(ax.figure.add_subplot()).get_ylabel() == "time / best time"  # type: ignore[union-attr]


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: advise("digits"), "parameters is not given"),
        (lambda: advise("digits", 0), "parameters is 0"),
        (lambda: advise(np.eye(3), 100), "images has 3 images; advice needs at least 10"),
        (lambda: advise(np.ones((20, 4)), 100), "all of them equal"),
        (lambda: advise("digits", 100, pilot="5000:300"), "5000 images, more than the 1797"),
        (lambda: advise("digits", 100, pilot=(1, 2, 3)), "a pair must be"),
        (lambda: advise("digits", 100, pilot=-3.0), "the step of the pilot is -3"),
        (lambda: advise("digits", 100, "sigma"), "schedule is 'sigma'"),
        (lambda: advise("digits", 100, "ddpm:x"), "schedule is 'ddpm:x'"),
        (lambda: advise("digits", 100, samples=[0]), "a number of samples is 0"),
    ],
)
def test_one_line_for_what_is_wrong(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(ModelError, match=words) as error:
        call()
    assert "\n" not in str(error.value)


def test_one_line_for_logs(tmp_path: Path) -> None:
    lines = RUN.read_text().splitlines()
    (tmp_path / "short.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines))
    with pytest.raises(DataError, match="has no column of the held-out loss; looked for val_loss"):
        advise("digits", 100, pilot=tmp_path / "short.csv")
    (tmp_path / "early.csv").write_text("\n".join(lines[:9]))
    with pytest.raises(ModelError, match="the pilot has no best step yet: the held-out loss has"):
        advise("digits", 100, pilot=tmp_path / "early.csv")
