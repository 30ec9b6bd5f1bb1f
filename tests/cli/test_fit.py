"""The command fit: the answer of the library, its files, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest

import dmft_rf
from dmft_rf.monitor.logs import read_losses
from dmft_rf.store import load_results
from tests.helpers.command import refused, result

ROOT = Path(__file__).parents[2]
RUN = str(ROOT / "docs" / "examples" / "losses.csv")
DATA = ("--t", "0.1", "--eigenvalues", "0.5,1.5")
START = dmft_rf.ScoreModel(0.1, 20.0, 1.0, covariance=dmft_rf.Covariance([0.5, 1.5]))


def test_it_agrees_with_the_library(tmp_path: Path) -> None:
    out = tmp_path / "f.h5"
    answer = result("fit", RUN, *DATA, "--psi-p", "20", "--psi-n", "1", "--out", out)
    found = dmft_rf.fit(read_losses(RUN), START)
    assert answer["results"]["values"] == dict(found.values)
    assert answer["results"]["errors"] == dict(found.errors)
    assert load_results(out) == {"fit": found}
    # the file's losses are those of psi_p = 8, psi_n = 4 and 0.05 for each step, with 2 % noise
    truth = np.array([8.0, 4.0, 0.05])
    off = (np.array(list(found.values.values())) - truth) / np.array(list(found.errors.values()))
    assert np.abs(off).max() < 3.0
    assert 0.01 < found.noise < 0.03


def test_standard_errors_and_times_of_a_table(tmp_path: Path) -> None:
    solution = dmft_rf.solve(START, 1e-8)
    tau = np.append(np.geomspace(1.0, 1e5, 12), np.inf)
    exact = solution.learning_curves(tau)
    table = tmp_path / "table.csv"
    lines = ["tau,train,test,train_error,test_error"]
    for i, (time, train, test) in enumerate(zip(tau, exact.train, exact.test, strict=True)):
        # of one value nothing was measured
        cells = ("", "") if i == 3 else (float(train), 0.01 * train)
        lines.append(f"{float(time)!r},{cells[0]},{float(test)!r},{cells[1]},{0.01 * test}")
    table.write_text("\n".join(lines) + "\n")
    answer = result("fit", table, *DATA, "--free", "psi_n", "--psi-p", "20", "--psi-n", "3")
    assert answer["results"]["values"]["psi_n"] == pytest.approx(1.0, rel=1e-6)
    assert answer["results"]["dof"] == 2 * tau.size - 2
    assert answer["results"]["noise"] == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--free", "psi_q"), "psi_q"),
        (("--free", "psi_p", "--rate", "0"), "rate is 0.0"),
        (("--free", "psi_p"), "rate must be given or free where the clock counts steps"),
        (("--ridge", "0.1", "--weight-decay", "0.1"), "--ridge and --weight-decay"),
        (("--free", "psi_p,weight_decay,rate"), "must start above 0"),
        (("--psi-p", "inf"), "finite psi_p"),
    ],
)
def test_what_is_refused(options: tuple[str, ...], message: str) -> None:
    assert message in refused("fit", RUN, *DATA, *options)


def test_a_file_without_losses(tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("a,b\n1,2\n")
    assert "has no column of steps" in refused("fit", bad)
    bad.write_text("tau,train_error\n1,2\n")
    assert "it must have tau or steps, and train or test" in refused("fit", bad)
