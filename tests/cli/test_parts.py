"""``dmft-rf curves --parts``: numbers of the library, files, refusals."""

import numpy as np
import pytest

import dmft_rf
from dmft_rf import Covariance, GradientDescent, ScoreModel
from dmft_rf.store import load_results
from tests.helpers.command import refused, result, run

PARTS = ("curves", "--parts", "--t", "0.1", "--psi-p", "8", "--psi-n", "2", "--eigenvalues")
SMALL = (*PARTS, "0.5,1.5")
MODEL = ScoreModel(0.1, 8.0, 2.0, covariance=Covariance([0.5, 1.5]))


def test_parts_agree_with_the_library() -> None:
    found, solution = result(*SMALL, "--tau", "1,100"), dmft_rf.solve(MODEL)
    parts, times = dmft_rf.error_parts(solution, [1.0, 100.0]), dmft_rf.error_times(solution)
    assert np.array_equal(found["results"]["total"]["noise"], parts.total["noise"])
    assert np.array_equal(found["results"]["by_direction"]["bias"], parts.by_direction["bias"])
    assert np.array_equal(found["times"]["best"], times.by_direction["best"])


def test_the_table_has_every_direction_and_part() -> None:
    text = run(*SMALL).stdout
    for word in ("bias", "sample", "features", "both", "noise", "learned", "usable start", "lost"):
        assert word in text
    assert "initial" not in text.split("Of each direction")[0].partition("accuracy")[2]
    many = run(*PARTS, ",".join(str(1.0 + k) for k in range(20)))
    assert "12 of 20" in many.stdout


def test_another_rule_has_parts_and_no_times() -> None:
    options = ("--rule", "gradient-descent", "--step", "0.5", "--initial-std", "0.5")
    rule = GradientDescent(0.5, initial_std=0.5)
    parts = dmft_rf.error_parts(dmft_rf.solve(MODEL), 5.0, rule)
    found = result(*SMALL, *options, "--tau", "5")
    assert found["times"] is None
    assert found["results"]["total"]["initial"] == [float(parts.total["initial"])]


def test_files_hold_what_is_shown(tmp_path) -> None:
    out, plot = tmp_path / "p.h5", tmp_path / "p.png"
    answer = run(*SMALL, "--out", out, "--plot", plot)
    assert answer.exit_code == 0, answer.output
    assert plot.read_bytes()[:4] == b"\x89PNG"
    found, solution = load_results(out), dmft_rf.solve(MODEL)
    tau = found["error-parts"].tau
    assert found["error-parts"] == dmft_rf.error_parts(solution, tau)
    assert found["error-times"] == dmft_rf.error_times(solution)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--sgd-noise", "0.1"), "noise of steps"),
        (("--tau", "1", "--plot", "one.png"), "two or more"),
    ],
)
def test_what_has_no_parts_is_refused(options, words, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert words in refused(*SMALL, *options)
