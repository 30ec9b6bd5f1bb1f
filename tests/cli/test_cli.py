from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import dmft_rf
from dmft_rf import (
    ConvergenceError,
    Covariance,
    GradientDescent,
    GradientFlow,
    HeavyBall,
    Ridge,
    ScoreModel,
    StochasticGradientDescent,
    WeightAverage,
)
from dmft_rf.cli import app
from dmft_rf.cli._commands import automatic_times
from dmft_rf.cli._frame import one_blas_thread
from dmft_rf.cli._report import plain
from dmft_rf.files.results import load, save

COMMANDS = ("spectrum", "curves", "timescales", "scaling")
SMALL = ("--t", "0.1", "--psi-p", "8", "--psi-n", "2")
MODEL = ScoreModel(0.1, 8.0, 2.0)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def result(*arguments: str) -> dict[str, Any]:
    """Run with --json and return the document; it must be strictly valid and alone on stdout."""
    answer = run(*arguments, "--json")
    assert answer.exit_code == 0, answer.output
    assert answer.stderr == ""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    document = json.loads(answer.stdout, parse_constant=refuse)
    assert isinstance(document, dict)
    return document


def floats(values: Any) -> np.ndarray:
    if isinstance(values, list):
        return np.array([floats(v) for v in values])
    return np.array(math.nan if values is None else float(values))


@pytest.fixture
def samples(tmp_path) -> Path:
    path = tmp_path / "samples.npy"
    np.save(path, np.random.default_rng(1).normal(size=(200, 5)) * [1.0, 2.0, 3.0, 4.0, 5.0])
    return path


# Numbers are those of the library -----------------------------------------------------------


def test_spectrum_agrees_with_the_library():
    found = result("spectrum", *SMALL)
    law = dmft_rf.spectrum(MODEL)
    assert np.array_equal(floats(found["results"]["edges"]), law.edges)
    assert np.array_equal(floats(found["results"]["bulk_masses"]), law.bulk_masses)
    assert np.array_equal(floats(found["results"]["atoms"]), law.atoms)
    grid = floats(found["results"]["grid"])
    assert np.array_equal(floats(found["results"]["density"]), law.density(grid))
    assert found["error_estimate"] == law.mass_error
    assert found["model"]["psi_p"] == 8.0
    assert found["model"]["noise_draws"] == "inf"


@pytest.mark.parametrize(
    ("options", "rule", "tau"),
    [
        ((), GradientFlow(), [0.0, 1.0, 50.0, math.inf]),
        (("--weight-decay", "0.1", "--initial-std", "1"), GradientFlow(0.1, 1.0), [0.0, 9.0]),
        (("--rule", "ridge", "--ridge", "0.2"), Ridge(0.2), [1.0]),
        (("--rule", "gradient-descent", "--step", "0.5"), GradientDescent(0.5), [0.0, 5.0]),
        (
            ("--rule", "heavy-ball", "--step", "0.5", "--momentum", "0.8"),
            HeavyBall(0.5, momentum=0.8),
            [0.0, 5.0, math.inf],
        ),
        (("--rule", "weight-average", "--decay-time", "7"), WeightAverage(7.0), [1.0, 70.0]),
        (("--sgd-noise", "3"), StochasticGradientDescent(3.0), [0.0, 9.0, math.inf]),
        (
            ("--sgd-noise", "2", "--step", "0.5", "--momentum", "0.5", "--batch", "4"),
            StochasticGradientDescent(2.0, 4, 0.5, finite_steps=0.5),
            [0.0, 5.0],
        ),
        (
            ("--learning-rate", "30", "--dimension", "10", "--batch", "2", "--decay-time", "4"),
            StochasticGradientDescent(1.5, 2, average=4.0),
            [5.0],
        ),
    ],
)
def test_curves_agree_with_the_library(options, rule, tau):
    found = result("curves", *SMALL, *options, "--tau", ",".join(map(str, tau)))
    curves = dmft_rf.solve(MODEL).learning_curves(tau, rule)
    for name in ("tau", "train", "test", "generalization_gap", "score_error"):
        assert np.array_equal(floats(found["results"][name]), getattr(curves, name)), name
    assert found["rule"]["rule"] == type(rule).__name__
    assert found["error_estimate"] == curves.relative_error
    assert found["rtol"] == 1e-10


def test_timescales_agree_with_the_library():
    found = result(
        "timescales", *SMALL, "--eigenvalues", "0.5,1.5", "--weights", "0.25,0.75",
        "--activation", "relu", "--rtol", "1e-8",
    )  # fmt: skip
    model = MODEL.replace(covariance=Covariance([0.5, 1.5], [0.25, 0.75]), activation="relu")
    times = dmft_rf.timescales(dmft_rf.solve(model, 1e-8))
    for name, value in found["results"].items():
        np.testing.assert_equal(floats(value), times.values[name])
        np.testing.assert_equal(floats(found["errors"][name]), times.error[name])
    start, end = times.usable()
    assert found["usable"] == {"factor": 1.1, "start": start, "end": end}
    assert found["definitions"] == times.definitions
    assert found["covariance"]["weights"] == [0.25, 0.75]


def test_nothing_to_memorize_is_said_and_not_dated():
    found = result("timescales", "--psi-n", "1e6", "--rtol", "1e-8")
    assert found["memorizes"] is False
    assert found["results"]["tau_mem"] is found["results"]["window"] is None
    assert "nothing to memorize" in found["reasons"]["tau_mem"].lower()
    text = " ".join(run("timescales", "--psi-n", "1e6", "--rtol", "1e-8").stdout.split())
    assert "Nothing to memorize" in text
    assert "tau_mem none" in text
    assert "when to stop any time from tau = 332.3 on" in text


def test_when_to_stop_comes_first():
    text = " ".join(run("timescales").stdout.split())
    assert "when to stop between tau = 112.5 and 158, best at 132.8" in text
    assert text.index("when to stop") < text.index("tau_gen")


def test_steps_follow_the_learning_rate():
    found = result("timescales", *SMALL, "--learning-rate", "0.5", "--dimension", "100")
    tau = found["results"]["tau_opt"]
    assert found["steps"]["tau_opt"]["paper"] == pytest.approx(tau * 100**2 / 0.5)
    assert found["steps"]["tau_opt"]["no_sqrt_p"] == pytest.approx(tau * 100 / (0.5 * 8.0))
    text = run("timescales", *SMALL, "--learning-rate", "0.5", "--dimension", "100").stdout
    assert "steps" in text


@pytest.mark.parametrize(
    ("over", "start", "stop"), [("psi_n", 1, 4), ("psi_p", 4, 16), ("t", 0.05, 0.2)]
)
def test_scaling_agrees_with_the_library(over, start, stop):
    options = ("--over", over, "--from", str(start), "--to", str(stop), "--points", "3")
    found = result("scaling", *SMALL, *options)
    sweep = dmft_rf.scaling(MODEL, over, found["results"]["values"])
    np.testing.assert_allclose(found["results"]["values"], np.geomspace(start, stop, 3))
    for name, values in sweep.quantities.items():
        np.testing.assert_equal(floats(found["results"]["quantities"][name]), values)
        np.testing.assert_equal(
            floats(found["results"]["local_exponents"][name]), sweep.local_exponents[name]
        )
    for name, fit in sweep.fits.items():
        assert found["results"]["fits"][name]["exponent"] == fit.exponent
    assert over not in found["model"]


def test_default_ranges_of_a_sweep():
    found = result("scaling", "--points", "3", *SMALL)
    assert found["results"]["values"] == pytest.approx([8 / 64, 0.7071067811865476, 4.0])


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
    assert "that of --data, else 8" in " ".join(run(command, "--help").stdout.split())


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
    rows = {line.split()[0]: line.split()[1] for line in text.splitlines() if "(+" in line}
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
        assert "24 to 28 % below" in text
        assert not any(number in text.replace("28 %", "") for number in digits), command
        for law in ((), ("--power-law", "1", "--atoms", "16")):
            text = run(*options, *law).stdout
            assert "Gaussian equivalence" not in text
            assert "images" not in text


def test_a_swept_power_law_is_what_the_head_states(tmp_path):
    options = ("scaling", *SMALL, "--over", "power-law", "--atoms", "16", "--points", "3")
    text = " ".join(run(*options).stdout.split())
    law = Covariance.power_law(2.0, 16)
    assert "power law: 16 eigenvalues proportional to k^-alpha, mean 1; alpha is swept" in text
    assert f"16.0 at alpha = 0 and {law.effective_dimension:.1f} at 2" in text
    found = result(*options)
    assert "eigenvalues" not in found["covariance"]
    assert "d_eff" not in found["model"]


def test_every_quantity_of_a_scaling_is_defined():
    answer = run("scaling", *SMALL, "--points", "3")
    found = result("scaling", *SMALL, "--points", "3")
    assert found["definitions"].keys() == found["results"]["quantities"].keys()
    for name in found["definitions"]:
        assert f"\n{name}: " in answer.stdout


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


@pytest.mark.parametrize("command", COMMANDS)
def test_every_table_states_model_and_accuracy(command):
    few = ("--points", "3") if command == "scaling" else ()
    answer = run(command, *SMALL, "--eigenvalues", "0.5,1.5", *few)
    assert answer.exit_code == 0, answer.output
    assert "psi_p = 8" in answer.stdout
    assert "accuracy" in answer.stdout
    assert "d_eff = 0.8 d" in answer.stdout
    assert not any(line != line.rstrip() for line in answer.stdout.splitlines())


def test_times_chosen_automatically():
    found = result("curves", *SMALL)
    tau = floats(found["results"]["tau"])
    solution = dmft_rf.solve(MODEL)
    low, high = solution.diagnostics["support"]
    assert tau[0] == 0.0
    assert tau[-1] == math.inf
    assert tau[1] <= 0.03 / (MODEL.rate * high)
    assert tau[-2] >= 30.0 / (MODEL.rate * low)
    assert np.all(np.diff(tau[:-1]) > 0)
    for rule in (GradientDescent(0.3), HeavyBall(0.3)):
        steps = automatic_times(solution, rule)[1:-1] / 0.3
        np.testing.assert_allclose(steps, np.rint(steps), rtol=1e-12)
    assert np.array_equal(automatic_times(solution, Ridge()), [math.inf])
    table = run("curves", *SMALL).stdout
    assert f"of {tau.size} times shown" in table
    # the atom at s_t^2 holds what it was given at the start
    late = automatic_times(solution, GradientFlow(initial_std=1.0))[-2]
    assert late >= 30.0 / (MODEL.rate * solution.spectrum.atoms[0, 0])


def test_json_has_no_constants_outside_the_standard():
    assert plain({"a": [math.nan, math.inf, -math.inf], "b": np.array([1.5, np.nan])}) == {
        "a": [None, "inf", "-inf"],
        "b": [1.5, None],
    }
    assert plain((np.float64(0.1), np.int64(3), np.bool_(True))) == [0.1, 3, True]


def test_a_law_of_many_bulks_is_cut_in_the_table():
    values = ",".join(f"{10.0**k:g}" for k in np.linspace(-6, 6, 60))
    answer = run("spectrum", "--psi-n", "1000", "--psi-p", "4000", "--eigenvalues", values)
    assert answer.exit_code == 0, answer.output
    assert "rows shown" in answer.stdout


# Files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_out_and_plot_hold_the_printed_result(tmp_path, command):
    few = ("--points", "3") if command == "scaling" else ()
    out, plot = tmp_path / "a.h5", tmp_path / "a.pdf"
    found = result(command, *SMALL, *few, "--out", out, "--plot", plot)
    runs = load(out)
    assert set(runs) == ({"scaling", "points"} if command == "scaling" else {command})
    stored = runs[command]
    assert stored.kind == command
    assert stored.attributes["wall_time_seconds"] > 0.0
    assert stored.attributes["eigenvalues_divided_by"] is None
    if command == "curves":
        assert np.array_equal(stored.arrays["test"], floats(found["results"]["test"]))
    if command == "timescales":
        assert stored.attributes["tau_mem"] == found["results"]["tau_mem"]
    if command == "scaling":
        assert stored.attributes["rtol"] == 1e-10
        stored_times = stored.arrays["tau_mem"]
        assert np.array_equal(stored_times, floats(found["results"]["quantities"]["tau_mem"]))
    assert plot.read_bytes().startswith(b"%PDF-")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5", "a.pdf"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_picture_is_made_anew(tmp_path, command):
    """As by the README's first command, given twice; the numbers of --out stay protected."""
    few = ("--points", "3") if command == "scaling" else ()
    plot = tmp_path / "a.png"
    plot.write_bytes(b"\x89PNG of yesterday")
    for _ in range(2):
        answer = run(command, *SMALL, *few, "--plot", plot)
        assert answer.exit_code == 0, answer.output
        assert len(plot.read_bytes()) > 5000
        assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert "made anew" in " ".join(run(command, "--help").stdout.split())


def test_overwrite_replaces_both_files(tmp_path):
    out, plot = tmp_path / "a.h5", tmp_path / "a.png"
    out.write_text("old")
    plot.write_text("old")
    answer = run("spectrum", *SMALL, "--out", out, "--plot", plot, "--overwrite")
    assert answer.exit_code == 0, answer.output
    assert load(out)
    assert plot.read_bytes().startswith(b"\x89PNG")


# Wrong values -------------------------------------------------------------------------------


def refused(folder: Path, *arguments: str, code: int = 2) -> str:
    """Run, and check that there is one line on stderr, nothing on stdout, no file changed."""
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    answer = run(*arguments)
    assert answer.exit_code == code, answer.output
    assert answer.stdout == ""
    assert answer.stderr.startswith("error: ")
    assert answer.stderr.count("\n") == 1
    assert "Traceback" not in answer.stderr
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    return answer.stderr


BAD_VALUES = [
    (("--psi-n", "-1"), ("psi_n", "-1.0", "> 0")),
    (("--psi-n", "0"), ("psi_n", "0.0", "> 0")),
    (("--psi-p", "0"), ("psi_p", "0.0", "> 0")),
    (("--psi-n", "inf"), ("psi_n", "inf", "finite")),
    (("--t", "0"), ("t is 0.0", "> 0")),
    (("--t", "-0.1"), ("t is -0.1", "> 0")),
    (("--t", "nan"), ("t is nan", "finite")),
    (("--t", "abc"), ("--t", "'abc'", "number")),
    (("--rtol", "0"), ("rtol is 0.0", "between")),
    (("--rtol", "nan"), ("rtol is nan", "between")),
    (("--activation", "swish"), ("'swish'", "tanh")),
    (("--noise-draws", "2.5"), ("noise_draws is 2.5", "integer")),
    (("--eigenvalues", "1,2", "--weights", "0.5,0.4"), ("sum to 1", "0.9")),
    (("--eigenvalues", "1,2", "--weights", "1"), ("2 eigenvalues", "1 weights")),
    (("--eigenvalues", "-1,2"), (">= 0", "-1.0")),
    (("--eigenvalues", "0,0"), ("not all be 0",)),
    (("--eigenvalues", "1,nan"), ("finite", "nan")),
    (("--eigenvalues", "inf"), ("finite", "inf")),
    (("--eigenvalues", "1;2"), ("--eigenvalues", "'1;2'", "commas")),
    (("--weights", "1"), ("--weights", "--eigenvalues")),
    (("--dataset", "x"), ("--dataset", "--data")),
    (("--no-center",), ("--center", "--data")),
    (("--normalize",), ("--normalize", "--data")),
    (("--data", "digits", "--eigenvalues", "1"), ("--eigenvalues", "--data")),
    (("--data", "nothing.npy"), ("nothing.npy", "no such file", "digits")),
    (("--bogus",), ("--bogus",)),
]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("options", "words"), BAD_VALUES, ids=lambda v: " ".join(v))
def test_wrong_values_are_one_line(tmp_path, command, options, words):
    out = ("--out", str(tmp_path / "a.h5"), "--plot", str(tmp_path / "a.png"))
    line = refused(tmp_path, command, *out, *options)
    assert all(word in line for word in words), line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("curves", "--tau", "-1"), ("tau", "-1.0", ">= 0")),
        (("curves", "--tau", "1,nan"), ("tau", "nan")),
        (("curves", "--tau", ""), ("--tau", "''", "commas")),
        (("curves", "--rule", "adam"), ("'adam'", "gradient-flow")),
        (("curves", "--rule", "heavy-ball"), ("--step", "> 0")),
        (("curves", "--rule", "weight-average"), ("--decay-time", "> 0")),
        (("curves", "--ridge", "1"), ("--ridge", "gradient-flow")),
        (("curves", "--rule", "ridge", "--weight-decay", "1"), ("--weight-decay", "ridge")),
        (("curves", "--rule", "ridge", "--ridge", "-1"), ("-1.0", ">= 0")),
        (("curves", "--rule", "gradient-descent", "--step", "0"), ("step", "> 0")),
        (("curves", "--rule", "gradient-descent", "--step", "1e9"), ("step", "below")),
        (("curves", "--rule", "gradient-descent", "--step", "1", "--tau", "0.5"), ("whole",)),
        (("curves", "--rule", "heavy-ball", "--step", "1", "--momentum", "1"), ("momentum",)),
        (("curves", "--weight-decay", "nan"), ("weight_decay", "nan")),
        (("curves", "--sgd-noise", "1000"), ("noise", "1000.0", "eps below")),
        (("curves", "--sgd-noise", "1", "--rule", "ridge"), ("--rule", "ridge", "SGD")),
        (("curves", "--sgd-noise", "1", "--ridge", "1"), ("--ridge", "SGD")),
        (("curves", "--sgd-noise", "1", "--learning-rate", "1"), ("two ways",)),
        (("curves", "--learning-rate", "1"), ("--learning-rate", "--dimension")),
        (("curves", "--learning-rate", "1", "--dimension", "9", "--step", "1"), ("--step",)),
        (("curves", "--batch", "2"), ("--batch", "--sgd-noise")),
        (("curves", "--dimension", "2"), ("--dimension", "--learning-rate")),
        (("timescales", "--learning-rate", "1"), ("--learning-rate", "--dimension")),
        (("timescales", "--dimension", "9"), ("--dimension", "--learning-rate")),
        (("timescales", "--learning-rate", "0", "--dimension", "9"), ("learning_rate", "> 0")),
        (("timescales", "--learning-rate", "1", "--dimension", "-9"), ("dimension", "> 0")),
        (("scaling", "--over", "d"), ("'d'", "psi_n, psi_p, t")),
        (("scaling", "--points", "2"), ("--points", "2", "3 and 1000")),
        (("scaling", "--points", "2.5"), ("--points", "2.5", "integer")),
        (("scaling", "--from", "0"), ("--from", "0.0", "> 0")),
        (("scaling", "--to", "inf"), ("--to", "inf", "finite")),
        (("scaling", "--from", "3", "--to", "2"), ("--from", "3.0", "2.0")),
        (("phase",), ("'phase'",)),
    ],
    ids=lambda v: " ".join(v),
)
def test_wrong_values_of_one_command(tmp_path, arguments, words):
    line = refused(tmp_path, *arguments)
    assert all(word in line for word in words), line


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.npy", b"", "empty"),
        ("damaged.npy", b"\x93NUMPY\x01", "damaged.npy"),
        ("text.csv", b"a,b\nc,d\n", "text.csv"),
        ("one.csv", b"1,2,3\n", "at least 2 samples"),
        ("nan.csv", b"1,2\nnan,3\n", "finite"),
        ("equal.csv", b"1,2\n1,2\n", "zero covariance"),
        ("not.h5", b"not an HDF5 file", "not.h5"),
        ("unknown.xyz", b"1", "unknown ending"),
    ],
)
def test_unusable_data_files(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    out = ("--out", str(tmp_path / "a.h5"))
    line = refused(tmp_path, "scaling", "--data", str(tmp_path / name), *out)
    assert words in line
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_truncated_data_file(tmp_path, samples):
    for length in (100, 1000):
        samples.write_bytes(samples.read_bytes()[:-length])
        assert str(samples) in refused(tmp_path, "curves", "--data", str(samples))


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--out", "{}/no/a.h5"), "does not exist"),
        (("--plot", "{}/no/a.png"), "does not exist"),
        (("--plot", "{}/a.svg"), "'.svg', allowed are .png, .pdf"),
        (("--plot", "{}/a"), "allowed are .png, .pdf"),
        (("--out", "{}/a.csv"), "'.csv', allowed are .h5, .hdf5"),
        (("--out", "{}/old.h5"), "--overwrite"),
        (("--plot", "{}/link.png"), "--overwrite"),
        (("--plot", "{}/folder.png"), "is a folder"),
        (("--plot", "{}/folder.png", "--overwrite"), "is a folder"),
        (("--plot", "{}/pipe.png", "--overwrite"), "not a regular file"),
        (("--out", "{}/new.h5", "--plot", "{}/link.png"), "--overwrite"),
        (("--out", "{}/old.h5", "--plot", "{}/old.png"), "--overwrite"),
        (("--out", "{}/old.png", "--plot", "{}/old.png", "--overwrite"), "allowed are .h5"),
        (("--data", "{}/old.h5", "--out", "{}/old.h5", "--overwrite"), "file of --data"),
    ],
)
def test_places_are_checked_before_any_work(tmp_path, monkeypatch, command, options, words):
    def unwanted(*_: Any, **__: Any) -> None:
        raise AssertionError("the work has begun")

    for name in ("solve", "spectrum", "scaling", "timescales"):
        monkeypatch.setattr(dmft_rf, name, unwanted)
    (tmp_path / "old.h5").write_text("old")
    (tmp_path / "old.png").write_text("old")
    (tmp_path / "link.png").symlink_to(tmp_path / "old.h5")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    line = refused(tmp_path, command, *(o.format(tmp_path) for o in options))
    assert words in line


def test_an_unconverged_solution_is_exit_code_1(tmp_path, monkeypatch):
    def stuck(*_: Any, **__: Any) -> None:
        raise ConvergenceError("reached 1e-3\nafter 9 tries", residual=1e-3)

    monkeypatch.setattr(dmft_rf, "solve", stuck)
    line = refused(tmp_path, "curves", "--out", str(tmp_path / "a.h5"), code=1)
    assert line == "error: not converged: reached 1e-3 after 9 tries\n"
    assert list(tmp_path.iterdir()) == []


def test_points_that_fail_are_left_out_of_a_sweep(monkeypatch):
    import dmft_rf.sweeps.quantities as points

    solve = points.solve

    def sometimes(model: ScoreModel, *args: Any) -> Any:
        if 1.4 < model.psi_n < 1.5:
            raise ConvergenceError("stuck")
        return solve(model, *args)

    monkeypatch.setattr(points, "solve", sometimes)
    options = ("--from", "1", "--to", "4", "--points", "5")
    answer = run("scaling", *SMALL, *options)
    assert answer.exit_code == 0, answer.output
    assert answer.stderr == "warning: psi_n = 1.41421 is left out: stuck\n"
    assert "undefined" in answer.stdout
    found = json.loads(run("scaling", *SMALL, *options, "--json").stdout)
    assert found["results"]["quantities"]["tau_mem"][1] is None
    assert list(found["results"]["failures"].values()) == ["stuck"]


def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dmft_rf, "scaling", interrupted)
    line = refused(tmp_path, "scaling", "--out", str(tmp_path / "a.h5"), code=130)
    assert "interrupted, finished points are kept beside" in line
    line = refused(tmp_path, "scaling", code=130)
    assert line == "error: interrupted, nothing was written\n"


def test_an_interrupt_while_drawing_says_what_is_complete(tmp_path, monkeypatch):
    import dmft_rf.plotting.style

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dmft_rf.plotting.style, "save_figure", interrupted)
    out = tmp_path / "a.h5"
    answer = run("curves", *SMALL, "--out", out, "--plot", tmp_path / "a.png")
    assert (answer.exit_code, answer.stdout) == (130, "")
    expected = f"error: interrupted, before the result was shown; {out} is complete\n"
    assert answer.stderr == expected
    assert load(out)


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("by 0\n\x1b[2J"), EOFError(), MemoryError(), RecursionError("deep")]
)
def test_an_error_of_the_program_is_one_line_and_shown_when_asked_for(tmp_path, monkeypatch, error):
    """An EOFError is what click takes for an interruption."""

    def broken(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.delenv("DMFT_RF_DEBUG", raising=False)
    monkeypatch.setattr(dmft_rf, "spectrum", broken)
    line = refused(tmp_path, "spectrum", code=70)
    assert line.startswith(f"error: internal error: {type(error).__name__}")
    assert "please report it" in line
    assert "_commands.py, line " in line
    assert "interrupted" not in line
    assert "\x1b" not in line
    monkeypatch.setenv("DMFT_RF_DEBUG", "1")
    answer = run("spectrum")
    assert answer.exit_code == 70
    assert "Traceback (most recent call last)" in answer.stderr
    assert answer.stderr.splitlines()[-1] == line.strip()


def test_an_error_while_options_are_read_is_one_line(tmp_path, monkeypatch):
    import dmft_rf.cli._parameters as options

    def broken(*_: Any) -> None:
        raise TypeError("no parser")

    monkeypatch.delenv("DMFT_RF_DEBUG", raising=False)
    monkeypatch.setattr(options, "_parsed", broken)
    line = refused(tmp_path, "spectrum", "--t", "1", code=70)
    assert line.startswith("error: internal error: TypeError: no parser")


# Help and the installed command -------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_examples_defaults_and_exit_codes(command):
    answer = run(command, "--help")
    text = " ".join(answer.stdout.split())
    assert answer.exit_code == 0
    assert f"dmft-rf {command}" in text
    assert "Fig. 4 of arXiv:2505.17638" in text
    assert "Exit codes" in text


def test_without_a_command_help_is_shown():
    answer = run()
    assert answer.exit_code == 2
    assert "Commands" in answer.stderr


def test_the_version():
    assert run("--version").stdout == f"dmft-rf {dmft_rf.__version__}\n"


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom dmft_rf.cli import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'scipy', 'numba', 'matplotlib', 'h5py', 'sympy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_small_matrices_get_one_thread(monkeypatch, tmp_path):
    kept = tmp_path / "law.h5"
    save(kept, Covariance([0.5, 1.5]))
    names = {"OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"}
    for name in (*names, "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)

    def chosen(data: str | None, **given: str) -> dict[str, str]:
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        before = dict(os.environ)
        one_blas_thread(data)
        new = {key: os.environ[key] for key in os.environ.keys() - before.keys()}
        for name in (*given, *new):
            monkeypatch.delenv(name)
        return new

    assert chosen(None) == {}  # numpy is there already: it would only mislead
    monkeypatch.delitem(sys.modules, "numpy")
    assert chosen(None) == chosen("digits") == dict.fromkeys(names, "1")
    assert chosen("samples.npy") == {}
    assert chosen(str(kept)) == chosen(None)
    assert chosen(None, OMP_NUM_THREADS="4") == {}


def test_the_installed_command(tmp_path, warm_matplotlib):
    script = shutil.which("dmft-rf", path=sysconfig.get_path("scripts"))
    assert script is not None
    answer = subprocess.run(
        [script, "timescales", *SMALL, "--json", "--plot", str(tmp_path / "a.png")],
        capture_output=True,
        text=True,
    )
    assert (answer.returncode, answer.stderr) == (0, "")
    assert json.loads(answer.stdout)["command"] == "timescales"
    answer = subprocess.run(
        [sys.executable, "-m", "dmft_rf", "curves", "--t", "-1"], capture_output=True, text=True
    )
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == "error: t is -1.0; it must be finite and > 0\n"
