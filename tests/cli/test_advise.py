"""dmft-rf advise: what it prints, writes and refuses."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from dmft_rf import advise
from dmft_rf.data import bundled
from dmft_rf.monitor.sentences import CLOSING
from dmft_rf.store import load_results
from dmft_rf.units import t_from_sigma
from tests.helpers import command
from tests.helpers.image_files import fill

RUN = Path(__file__).parents[2] / "docs" / "examples" / "run.csv"
NETWORK = ("--parameters", "1e4")
DIGITS = ("--data", "digits", "--parameters", "260000")
run = partial(command.run, "advise")
refused = partial(command.refused, "advise")


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    with np.load(bundled.path("digits")) as file:
        return fill(tmp_path / "faces", 15 * file["images"][:60].reshape(-1, 8, 8))


def test_it_says_everything_in_order() -> None:
    answer = run(*DIGITS, "--pilot", "400:2000")
    assert answer.exit_code == 0, answer.output
    words = " ".join(answer.stdout.split())
    parts = ["1,797 of d = 64", "28.08 = n/d", "63.48 = P/d^2", "d_eff", "excess kurtosis",
             "class structure", "Stopping matters", "times the best time",
             "Steps, from the pilot", "8,985",
             "What more images buy", "It knows the covariance",
             "Class structure 0.3", CLOSING]  # fmt: skip
    places = [words.index(part) for part in parts]
    assert places == sorted(places)


def test_files_and_json_hold_what_python_gives(tmp_path: Path) -> None:
    out, plot = tmp_path / "a.h5", tmp_path / "a.png"
    answer = run(*DIGITS, "--sigma", "0.3", "--samples", "5000,9000", "--json", "--out", out,
                 "--plot", plot)  # fmt: skip
    assert answer.exit_code == 0, answer.output
    expected = advise("digits", 260_000, "sigma:0.3", samples=[5000, 9000])
    found = json.loads(answer.stdout)
    assert found["t"] == pytest.approx(float(t_from_sigma(0.3)))
    assert found["n_star"] == pytest.approx(expected.n_star)
    assert found["table"]["n"] == [1797, 3594, 5000, 9000]
    assert found["best_step"] is None
    assert found["pilot"] is None
    assert load_results(out)["advice"].verdict == expected.verdict
    assert plot.stat().st_size > 10_000


def test_few_dimensions_wait_for_no_compiler(tmp_path: Path) -> None:
    """A first answer after installing comes at once: nothing is compiled, so nothing is kept."""
    cache = tmp_path / "cache"
    env = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "DMFT_RF_CACHE": "1"}
    env.pop("NUMBA_DISABLE_JIT", None)
    answer = subprocess.run(
        [sys.executable, "-m", "dmft_rf", "advise", *DIGITS, "--json"],
        env=env, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert not list(cache.rglob("*.nbc"))
    expected = advise("digits", 260_000)
    assert json.loads(answer.stdout)["n_star"] == pytest.approx(expected.n_star, rel=1e-5)


def test_a_folder_and_its_faults(faces: Path, tmp_path: Path) -> None:
    answer = run("--data", faces, *NETWORK, "--resize", "4", "--json")
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["images"]["d"] == 16
    assert json.loads(answer.stdout)["images"]["n"] == 60
    assert "61 images, more than the 60" in refused("--data", faces, *NETWORK, "--pilot", "61:300")
    (faces / "0050.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    assert "0050.png" in refused("--data", faces, *NETWORK)
    few = tmp_path / "few"
    few.mkdir()
    for k in range(3):
        (faces / f"{k:04}.png").rename(few / f"{k}.png")
    assert "has 3 images; advice needs at least 10" in refused("--data", few, *NETWORK)
    same = fill(tmp_path / "same", np.full((20, 4, 4), 7, dtype=np.uint8))
    assert "all of them equal" in refused("--data", same, *NETWORK)


@pytest.mark.parametrize(
    ("kind", "missing", "option"),
    [
        ("steps", 0, "--columns step=NAME"),
        ("the train loss", 1, "--columns train=NAME"),
        ("the held-out loss", 2, "--columns test=NAME"),
    ],
)
def test_a_log_without_one_of_its_columns(
    kind: str, missing: int, option: str, tmp_path: Path
) -> None:
    lines = [line.split(",") for line in RUN.read_text().splitlines()]
    kept = [line[:missing] + line[missing + 1 :] for line in lines]
    (tmp_path / "log.csv").write_text("".join(",".join(line) + "\n" for line in kept))
    said = refused(*DIGITS, "--pilot", tmp_path / "log.csv")
    assert f"has no column of {kind}; looked for " in said
    assert f"found {', '.join(kept[0])}; " in said
    assert option in said


def test_columns_that_are_not_recognised_are_named(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(RUN.read_text().replace("train_loss", "mse").replace("val_loss", "mse of val"))
    names = ("--columns", "train=mse, test=mse of val", "--json")
    for pilot in (RUN, f"400:{RUN}"):
        expected = json.loads(run(*DIGITS, "--pilot", pilot, "--json").stdout)
        answer = run(*DIGITS, "--pilot", str(pilot).replace(str(RUN), str(log)), *names)
        assert answer.exit_code == 0, answer.output
        assert json.loads(answer.stdout)["table"] == expected["table"]
    assert "--columns is for the log of --pilot" in refused(*DIGITS, *names)
    assert "must be as train=mse" in refused(*DIGITS, "--pilot", log, "--columns", "mse")


def test_one_line_for_what_is_wrong(tmp_path: Path) -> None:
    short = tmp_path / "short.csv"
    short.write_text("".join(RUN.read_text().splitlines(keepends=True)[:9]))
    assert "--data is not given" in refused(*NETWORK)
    assert "--parameters is not given" in refused("--data", "digits")
    assert "more than the 1797" in refused(*DIGITS, "--pilot", "2000:300")
    assert "more than the 1797" in refused(*DIGITS, "--pilot", f"2000:{RUN}")
    assert "the pilot has no best step yet: " in refused(*DIGITS, "--pilot", short)
    assert "whole numbers" in refused(*DIGITS, "--samples", "10.5")
    assert "exclude one another" in refused(*DIGITS, "--t", "0.1", "--sigma", "0.3")
    assert "for folders of images" in refused(*DIGITS, "--grey")
