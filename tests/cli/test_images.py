"""Commands on the samples themselves and on their dimension."""

import numpy as np
import pytest

from dmft_rf import (
    ImageModel,
    ScoreModel,
    finite_size,
    read_covariance,
    scaling,
    solve,
    timescales,
)
from dmft_rf.plotting import plot_curves
from dmft_rf.store import load
from tests.helpers.command import result, run

SIZES = ("--t", "0.1", "--psi-p", "8", "--psi-n", "4", "--images")


def test_curves_and_times_are_those_of_the_model(samples):
    rows = np.load(samples)
    rows = rows - rows.mean(axis=0)
    model = ImageModel(rows / np.sqrt(np.mean(rows**2)), 0.1, 20, features=40)
    solution = solve(model)
    found = result("curves", *SIZES, "--data", samples, "--tau", "1,10,inf")
    exact = solution.learning_curves([1.0, 10.0, np.inf])
    np.testing.assert_allclose(found["results"]["test"], exact.test, rtol=1e-9)
    assert found["model"]["route"] == "networks"
    times = result("timescales", *SIZES, "--data", samples)
    assert times["results"]["tau_opt"] == pytest.approx(timescales(solution).tau_opt, rel=1e-6)
    raw = result("curves", *SIZES, "--data", samples, "--no-normalize", "--tau", "inf")
    assert raw["covariance"]["divided_by"] == 1.0


def test_scaling_goes_beyond_what_networks_reach(samples):
    found = result("scaling", *SIZES, "--data", samples, "--points", "3", "--to", "40")
    assert found["results"]["n"][-1] == 200
    assert found["results"]["routes"] == ["networks", "networks", "equations"]
    text = " ".join(
        run("scaling", *SIZES, "--data", samples, "--points", "3", "--to", "40").stdout.split()
    )
    first, middle, last = found["results"]["n"]
    assert f"ten exact networks on drawn samples for n = {first} to {middle}; equations" in text
    assert f"classes of leverage for n = {last} to {last}" in text
    gaps = found["results"]["quantities"]["final_gap"]
    assert sorted(gaps, reverse=True) == gaps


def test_scaling_is_that_of_the_library_on_any_number_of_threads(samples, tmp_path):
    sweep = ("scaling", *SIZES, "--data", samples, "--points", "4", "--from", "2", "--to", "16")
    out, plot, csv = (tmp_path / name for name in ("a.h5", "a.png", "a.csv"))
    found = result(*sweep, "--workers", "2", "--out", out, "--plot", plot, "--csv", csv)
    rows = np.load(samples)
    rows = rows - rows.mean(axis=0)
    model = ImageModel(rows / np.sqrt(np.mean(rows**2)), 0.1, 10, features=40)
    alone = scaling(model, "n", found["results"]["n"])
    kept = load(out)["scaling"]
    for name, values in alone.quantities.items():
        np.testing.assert_array_equal(kept.arrays[name], values)
    np.testing.assert_array_equal(kept.arrays["model_errors"], alone.model_error)
    assert plot.stat().st_size > 10_000
    assert len(csv.read_text().splitlines()) == 5


def test_the_route_that_is_asked_for(samples):
    ends = [
        result("curves", *SIZES, "--data", samples, "--tau", "inf", "--route", route)
        for route in ("scalar", "equations")
    ]
    assert [one["model"]["route"] for one in ends] == ["scalar", "equations"]
    # each is good to 1e-4
    assert ends[0]["results"]["test"] == pytest.approx(ends[1]["results"]["test"], rel=2e-4)
    text = run("timescales", *SIZES, "--data", samples, "--route", "scalar").stdout
    assert "equations without matrices" in " ".join(text.split())


@pytest.mark.parametrize("command", ["curves", "timescales"])
def test_pictures_and_files(command, samples, tmp_path):
    out, plot = tmp_path / "a.h5", tmp_path / "a.png"
    found = result(command, *SIZES, "--data", samples, "--plot", plot, "--out", out)
    assert plot.stat().st_size > 10_000
    assert load(out)[command].attributes["samples"] == found["model"]["samples"]


def test_pictures_name_what_is_below_them(samples):
    rows = np.load(samples)
    solution = solve(ImageModel(rows - rows.mean(axis=0), 0.1, 20, features=40))
    ax, _ = plot_curves(solution.learning_curves([1.0, 10.0])).axes
    assert "best network" in [line.get_label() for line in ax.lines]
    assert "ten networks of 40 features, on 20 of" in ax.get_title("left")


def test_finite_size_stands_beside_the_limit(samples):
    sizes = ("--t", "0.1", "--psi-p", "8", "--psi-n", "4", "--rtol", "1e-6")
    model = ScoreModel(0.1, 8, 4, covariance=read_covariance(samples).normalized())
    gap, _ = finite_size(model).times["final_gap"]
    found = result("timescales", *sizes, "--data", samples, "--finite-size")
    assert found["finite_size"]["final_gap"]["mean"] == pytest.approx(gap)
    text = run("curves", *sizes, "--data", samples, "--finite-size", "--tau", "1,inf").stdout
    assert "networks of d = 5 differ from the limit" in " ".join(text.split())
    assert "expect errors of order" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("curves", "--images"), "--images needs the samples themselves"),
        (("curves", "--images", "--finite-size"), "exclude one another"),
        (("timescales", "--route", "scalar"), "--images is not given"),
        (("scaling", "--data", "digits", "--route", "scalar"), "--images is not given"),
        (("curves", "--data", "digits", "--images", "--route", "guess"), "route"),
        (("timescales", "--finite-size"), "no dimension"),
        (("scaling", "--data", "digits", "--images", "--over", "t"), "--over is t"),
        (("curves", "--data", "digits", "--images", "--psi-p", "inf"), "finite width"),
        (("curves", "--data", "digits", "--images", "--psi-p", "64"), "4096 features"),
        (("scaling", "--data", "digits", "--images", "--dask", "tcp://a:1"), "--dask is not there"),
        (("scaling", "--data", "digits", "--images", "--to", "80"), "n is 5120; it must be"),
    ],
)
def test_refusals(arguments, message):
    answer = run(*arguments)
    assert answer.exit_code == 2
    assert message in " ".join(answer.stderr.split())
