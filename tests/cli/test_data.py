"""Commands on data: what is read, how it is described, and what the table says of it."""

import json

import numpy as np
import pytest

import dmft_rf
from tests.helpers.command import SMALL, help_of, result, run


def test_data_are_read_normalized_and_described(samples):
    found = result("timescales", *SMALL, "--data", samples)
    law = dmft_rf.read_covariance(samples)
    assert found["covariance"]["divided_by"] == law.mean
    assert np.array_equal(found["covariance"]["eigenvalues"], law.normalized().eigenvalues)
    assert found["covariance"]["d_eff"] == pytest.approx(law.effective_dimension)
    error = found["model"]["expected_finite_size_error"]
    assert error == pytest.approx(law.expected_finite_size_error)
    raw = result("timescales", *SMALL, "--data", samples, "--no-normalize", "--no-center")
    assert raw["covariance"]["divided_by"] is None
    uncentred = dmft_rf.read_covariance(samples, center=False)
    assert np.array_equal(raw["covariance"]["eigenvalues"], uncentred.eigenvalues)


@pytest.mark.parametrize("command", ["spectrum", "curves", "timescales"])
def test_the_number_of_samples_is_that_of_the_data_unless_told_otherwise(samples, command):
    """200 samples of dimension 5."""
    few = ("--t", "0.1", "--psi-p", "8", "--rtol", "1e-6", "--data", samples)
    found = result(command, *few)
    assert found["model"]["psi_n"] == found["psi_n_of_data"] == 40.0
    assert found["psi_n_source"] == "data"
    assert "psi_n = 40 (n/d of the data)" in run(command, *few).stdout
    given = result(command, *few, "--psi-n", "8")
    assert given["model"]["psi_n"] == 8.0
    assert (given["psi_n_of_data"], given["psi_n_source"]) == (40.0, "option")
    text = " ".join(run(command, *few, "--psi-n", "8").stdout.split())
    assert "psi_n = 8 as given; the data have n = 200, psi_n = 40" in text
    without = result(command, *SMALL[:4])
    assert without["model"]["psi_n"] == 8.0
    assert (without["psi_n_of_data"], without["psi_n_source"]) == (None, "default")
    assert "by default 8, or of --data" in help_of(command)


def test_fewer_samples_than_dimensions(tmp_path):
    """100 images of 3072 pixels are not psi_n = 8 of them."""
    path = tmp_path / "few.npy"
    np.save(path, np.random.default_rng(1).normal(size=(20, 60)))
    answer = run("timescales", "--t", "0.1", "--psi-p", "8", "--data", path, "--json")
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["model"]["psi_n"] == pytest.approx(1.0 / 3.0)


def test_a_sweep_over_samples_marks_those_that_the_data_do_not_have(samples):
    options = ("--t", "0.1", "--psi-p", "8", "--rtol", "1e-6", "--data", samples)
    ends = ("--from", "20", "--to", "80", "--points", "3")
    text = run("scaling", *options, *ends).stdout
    flat = " ".join(text.split())
    assert "psi_n is swept; the data have n = 200, psi_n = 40" in flat
    table = text[: text.index("Power laws")].splitlines()
    rows = {line.split()[0]: line.split()[1] for line in table if "(+" in line}
    assert rows == {"20": "100", "40": "200", "80": "400*"}
    assert "* more samples than the data have (n = 200)" in flat
    found = result("scaling", *options, *ends)
    assert (found["psi_n_of_data"], found["psi_n_source"]) == (40.0, "swept")
    below = run("scaling", *options, "--from", "10", "--to", "40", "--points", "3").stdout
    assert "*" not in below.replace("-", "")
    # what is not swept is taken from the data, and the default range with it
    found = result("scaling", *options, "--over", "psi_p", "--points", "3")
    assert found["model"]["psi_n"] == 40.0
    assert found["results"]["values"][0] == pytest.approx(80.0)
    diagram = run("phase-diagram", *options[:-4], *options[-2:], "--n-points", "2", "--points", "2")
    assert "the data have n = 200, psi_n = 40" in " ".join(diagram.stdout.split())


def test_what_is_known_of_the_accuracy_is_said_of_the_data_it_is_known_for(samples):
    """The numbers of the digits are not those of everybody's data."""
    digits = ("3 %", "0.86 to 1.21", "34 to 72 %")
    for command in ("curves", "timescales", "scaling", "phase-diagram"):
        few = {"scaling": ("--points", "3"), "phase-diagram": ("--points", "2", "--n-points", "2")}
        options = (command, "--t", "0.1", "--psi-p", "8", "--rtol", "1e-4", *few.get(command, ()))
        text = " ".join(run(*options, "--data", "digits").stdout.split())
        assert all(number in text for number in digits), command
        assert "patches" not in text
        text = " ".join(run(*options, "--data", samples).stdout.split())
        assert "What that does here has not been measured" in text
        assert "d_eff = (Tr Sigma)^2/Tr Sigma^2 = " in text
        assert "of order 1/d_eff" in text
        assert "26 to 28 % below" in text
        assert not any(number in text.replace("28 %", "") for number in digits), command
        for law in ((), ("--power-law", "1", "--atoms", "16")):
            text = run(*options, *law).stdout
            assert "Gaussian equivalence" not in text
            assert "images" not in text


def test_a_named_array_of_an_archive(tmp_path, samples):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.load(samples), y=np.eye(3))
    found = result("spectrum", *SMALL, "--data", path, "--dataset", "x")
    assert found["covariance"]["d"] == 5


def test_few_samples_are_a_warning_on_stderr(tmp_path):
    np.save(tmp_path / "few.npy", np.random.default_rng(1).normal(size=(20, 5)))
    answer = run("spectrum", *SMALL, "--data", tmp_path / "few.npy", "--json")
    assert answer.exit_code == 0
    json.loads(answer.stdout)
    assert answer.stderr.startswith("warning: 20 samples of dimension 5")
    assert answer.stderr.count("\n") == 1


# What people read ---------------------------------------------------------------------------


def test_the_main_job_on_real_data(tmp_path):
    path = tmp_path / "digits.png"
    answer = run("scaling", "--data", "digits", "--points", "4", "--plot", path)
    assert answer.exit_code == 0, answer.output
    assert answer.stderr == ""
    text = " ".join(answer.stdout.split())
    for words in (
        "digits: 1797 samples, d = 64",
        "divided by their mean 18.7836",
        "d_eff = (Tr Sigma)^2/Tr Sigma^2 = 13.2",
        "errors of order 7.6 % at late times",
        "psi_n n usable_end tau_gen tau_opt tau_mem",
        "(n = 64 to 2048 samples)",
        "end of overfitting",
        "Gaussian equivalence",
    ):
        assert words in text
    assert path.read_bytes().startswith(b"\x89PNG")
    assert max(map(len, answer.stdout.splitlines())) <= 100
