"""The command ``dmft-rf sweep``, and the table of --csv of every command."""

import csv
from pathlib import Path

import numpy as np
import pytest

from dmft_rf import ScoreModel, solve, spectrum, timescales
from dmft_rf.store import load_results
from tests.helpers.command import refused, result, run

SMALL = ["--t", "0.1", "--psi-p", "4", "--psi-n", "2", "--activation", "relu"]
MODEL = ScoreModel(0.1, 4, 2, "relu")


def test_a_grid(tmp_path: Path) -> None:
    out, table, plot = (str(tmp_path / name) for name in ("a.h5", "a.csv", "a.svg"))
    arguments = ["sweep", *SMALL, "--over", "psi_n=1:4:3:log", "--over", "t=.1,.2", "--out", out]
    arguments += ["--quantity", "usable", "tau_mem", "--csv", table, "--plot", plot]
    answer = run(*arguments)
    assert answer.exit_code == 0, answer.output
    found = load_results(out)["sweep"]
    assert found["psi_n"].tolist() == [1.0, 2.0, 4.0]
    assert found["t"].tolist() == [0.1, 0.2]
    times = timescales(solve(MODEL.replace(t=0.2)))
    assert found["tau_mem"][1, 1] == times.tau_mem
    assert (found["usable_start"][1, 1], found["usable_end"][1, 1]) == times.usable()
    with open(table, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["tau_mem"]) for row in rows] == found["tau_mem"].ravel().tolist()
    assert [float(row["t"]) for row in rows] == [0.1, 0.2] * 3
    assert "tau_mem" in answer.stdout
    assert (tmp_path / "a.svg").read_text(encoding="utf-8").startswith("<?xml")
    document = result(*arguments, "--overwrite")
    assert document["results"]["quantities"]["tau_mem"] == found["tau_mem"].tolist()
    assert document["results"]["axes"]["t"] == [0.1, 0.2]


def test_learning_curves_along_a_grid() -> None:
    grid = ["--over", "activation=relu,tanh", "--quantity", "test,train", "--tau", "1,inf"]
    document = result("sweep", *SMALL, *grid)["results"]
    expected = solve(MODEL).learning_curves([1.0, np.inf])
    assert document["quantities"]["test"][0] == expected.test.tolist()
    assert document["tau"] == [1.0, "inf"]


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ("psi_n", "it must be NAME=VALUES"),
        ("psi_n=", "it must be NAME=VALUES"),
        ("psi_n=1:2", "a range is FIRST:LAST:COUNT"),
        ("psi_n=1:2:3:exp", "a range is FIRST:LAST:COUNT"),
        ("psi_n=0:2:3:log", "an end of --over psi_n is 0.0"),
        ("psi_n=1:2:2.5", "number of values of --over psi_n is 2.5"),
        ("psi_n=1:inf:3", "an end of --over psi_n is inf"),
        ("psi_n=a,b", "must be numbers separated by commas"),
        ("psi_m=1,2", "did you mean 'psi_"),
    ],
)
def test_wrong_values_are_one_line(over: str, message: str) -> None:
    assert message in refused("sweep", *SMALL, "--over", over, "--quantity", "tau_mem")


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["sweep", "--over", "t=.1,.2", "--quantity", "tau_men"], "tau_mem"),
        (["spectrum", "--activation", "tanhh"], "tanh"),
        (["curves", "--rule", "ridgee"], "ridge"),
        (["scaling", "--over", "psin"], "psi_n"),
        (["phase-diagram", "--plane", "np"], "n-p"),
    ],
)
def test_what_was_meant(arguments: list[str], meant: str) -> None:
    assert f"did you mean {meant!r}?" in refused(*arguments)


def test_the_table_of_a_spectrum(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    answer = run("spectrum", *SMALL, "--csv", path)
    assert answer.exit_code == 0, answer.output
    with open(path, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    bulks = [row for row in rows if row["kind"] != "atom"]
    assert [[float(row["low"]), float(row["high"])] for row in bulks] == spectrum(
        MODEL
    ).edges.tolist()
    before = path.read_bytes()
    refused("spectrum", *SMALL, "--csv", path)
    assert path.read_bytes() == before
    assert run("spectrum", *SMALL, "--csv", path, "--overwrite").exit_code == 0
    assert path.read_bytes() == before


def test_bulks_are_named_by_what_they_do() -> None:
    text = run("spectrum").stdout
    lines = [line for line in text.splitlines() if ", rho_" in line and "0.0" in line]
    assert "memorizes last" in lines[0]
    assert "nearly inert" in lines[1]


def test_eigenvalues_as_a_table(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    answer = run("covariance", "digits", "--csv", path)
    assert answer.exit_code == 0, answer.output
    assert path.read_text(encoding="utf-8").startswith("eigenvalue,weight")
