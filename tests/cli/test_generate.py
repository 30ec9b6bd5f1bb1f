"""The command generate, and files and pictures of infinite width and of what is generated."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dmft_rf
from dmft_rf import (
    Covariance,
    Generation,
    GenerationTimes,
    ModelError,
    ScoreModel,
    generation,
    generation_times,
)
from dmft_rf.plotting import plot_generation, plot_spectrum
from dmft_rf.store import load, load_results, save
from tests.helpers.command import refused, result, run

RELU = ScoreModel(0.1, math.inf, 4.0, "relu")
# tau = 20, converged by two other methods
R6 = {
    "kl": 0.0258744234542, "reverse_kl": 0.034288158282, "frechet": 0.0369654053887,
    "overlap": 1.16144077366, "split_distance": 0.0248985098245, "trace": 1.20411490308,
    "likelihood_gap": 0.0672668997335,
}  # fmt: skip


@pytest.fixture(scope="module")
def times() -> GenerationTimes:
    return generation_times(generation(RELU, 1.0))


def test_numbers_times_and_files(tmp_path: Path, times: GenerationTimes) -> None:
    out = tmp_path / "g.h5"
    options = ("--psi-n", 4, "--activation", "relu", "--tau", "20,100", "--out", out)
    found = result("generate", *options)
    results = found["results"]
    for name, value in R6.items():
        assert results[name][0] == pytest.approx(value, rel=1e-9)
        assert 0.0 < results["errors"][name][0] < 1e-9
    assert found["model"]["psi_p"] == "inf"
    assert "t" not in found["model"]
    assert results["times"]["tau_opt"] == pytest.approx(times.tau_opt, rel=1e-5)
    start, end = results["usable"]["start"], results["usable"]["end"]
    ends = generation(RELU, [start, times.tau_opt, end]).kl
    np.testing.assert_allclose(ends[[0, 2]], 1.1 * ends[1], rtol=1e-6)
    again = load_results(out)
    assert again["generation"] == generation(RELU, [20.0, 100.0])
    assert isinstance(again["times"], GenerationTimes)
    assert again["times"].tau_mem == results["times"]["tau_mem"]
    assert again["times"].usable() == (start, end)
    assert load(out)["times"].kind == "generation-times"


def test_the_table_is_around_the_best_time(times: GenerationTimes) -> None:
    text = run("generate", "--psi-n", 4, "--activation", "relu").stdout
    assert f"best at {times.tau_opt:.4g}" in " ".join(text.split())
    assert "psi_p = inf, psi_n = 4, relu" in text
    assert f"{100.0 * times.tau_opt:.6g}" in text


def test_the_bound_at_finite_width() -> None:
    options = ("--psi-n", 4, "--tau", 10, "--t-end", 1e-3, "--psi-p", 16, "--rtol", 1e-6)
    found = result("generate", *options)["results"]
    assert found["integral"][0] == pytest.approx(0.100698816242, rel=1e-6)
    assert found["start"] == 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--t", 0.1), "a diffusion time is given"),
        (("--sigma", 1.0), "a diffusion time is given"),
        (("--schedule", "fast"), "schedule is 'fast'"),
        (("--sampler", "euler"), "sampler is 'euler'"),
        (("--level", 0.0), "level is 0.0"),
        (("--psi-p", 8), "--tau must be given"),
        (("--psi-p", 8, "--tau", 1, "--plot", "x.png"), "--plot is 'x.png'"),
        (("--psi-p", 8, "--tau", 1, "--out", "x.h5"), "--out is 'x.h5'"),
        (("--noise-draws", 2), "psi_p is inf with noise_draws = 2"),
    ],
)
def test_wrong_options(options: tuple[Any, ...], message: str) -> None:
    assert message in refused("generate", *options)


def test_a_schedule_of_the_users_is_no_file(tmp_path: Path) -> None:
    found = generation(RELU, 1.0, lambda t: 1.0 + 0.0 * t)
    assert isinstance(found, Generation)
    assert float(found.kl) == pytest.approx(float(generation(RELU, 1.0).kl), rel=1e-12)
    save(tmp_path / "g.h5", found)
    with pytest.raises(ModelError, match="schedule was a function of the user's"):
        load_results(tmp_path / "g.h5")


def test_picture_of_what_is_generated(times: GenerationTimes) -> None:
    above, below = plot_generation(times).axes
    curve = above.lines[0]
    at = np.interp(np.log(times.tau_mem), np.log(curve.get_xdata()), np.log(curve.get_ydata()))
    assert math.exp(at) == pytest.approx(times.level, rel=0.02)
    labels = [line.get_label() for line in below.lines]
    assert labels[:2] == ["data", "sample"]
    for line in below.lines:  # distribution functions whose means are those of the laws
        assert (np.diff(line.get_ydata()) >= 0.0).all()
        assert (np.diff(line.get_xdata()) >= 0.0).all()
    sample, generated = below.lines[1], below.lines[2]
    for line, mean in ((sample, 1.0), (generated, float(times.like.trace[0]))):
        x, share = line.get_xdata(), line.get_ydata()
        found = np.sum(0.5 * (x[1:] + x[:-1]) * np.diff(share))
        assert found == pytest.approx(mean, rel=0.02)
    few = generation_times(generation(ScoreModel(0.1, math.inf, 0.5, "relu"), 1.0, t_end=0.01))
    zero = plot_generation(few).axes[1].lines[1]  # the atom of directions without a sample
    assert zero.get_xdata()[0] == zero.get_xdata()[1] == pytest.approx(-math.expm1(-0.02))
    assert zero.get_ydata()[1] == pytest.approx(0.5)


def test_infinite_width_from_the_command(tmp_path: Path) -> None:
    options = ("--psi-p", "inf", "--psi-n", 4, "--t", 0.1)
    out = tmp_path / "c.h5"
    found = result("curves", *options, "--tau", "1000,inf", "--out", out)["results"]
    assert found["train"] == pytest.approx([0.4833254349507, 0.0], rel=1e-10)
    assert found["test"][0] == pytest.approx(1.143992894532, rel=1e-10)
    model = ScoreModel(0.1, math.inf, 4.0)
    assert load_results(out)["curves"].model == model
    law = result("spectrum", *options, "--out", tmp_path / "s.h5")["results"]
    assert law["mass"] == pytest.approx(5.0)
    assert load_results(tmp_path / "s.h5")["spectrum"] == dmft_rf.spectrum(model)
    axes = plot_spectrum(dmft_rf.spectrum(model)).axes[0]
    assert "psi_p" in axes.get_xlabel()
    assert "s_t^2" not in str([text.get_text() for text in axes.get_legend().get_texts()])
    times = result("timescales", *options)["results"]
    assert times["tau_gen_spectrum"] == pytest.approx(
        1.0 / (model.rate * law["edges"][1][0]), rel=1e-12
    )
    swept = dmft_rf.sweep(model, {"psi_p": [1e4, math.inf]}, ["tau_mem"])
    near, limit = swept.quantities["tau_mem"]
    assert near == pytest.approx(limit, rel=1e-2)
    plane = ("--n-points", 2, "--points", 2, "--plane", "n-tau", "--rtol", 1e-4)
    found = result("phase-diagram", *options, *plane)["results"]["boundaries"]
    assert found["n_star"] == "inf"
    assert found["tau_gen"][0] < found["tau_gen"][1]


def test_scaling_has_no_infinite_value() -> None:
    with pytest.raises(ModelError, match="psi_p"):
        dmft_rf.scaling(ScoreModel(0.1, 8.0, 4.0), "psi_p", [8.0, 16.0, math.inf])


def test_eigenvalues_of_the_data_are_told_apart(tmp_path: Path) -> None:
    """Those of the covariance in a file are the data's, beside the sample's and the generated."""
    model = ScoreModel(0.1, math.inf, 3.0, "relu", Covariance([0.5, 1.5]))
    found = generation(model, 5.0, "noise", "ode", t_end=1e-3)
    save(tmp_path / "g.h5", found)
    arrays = load(tmp_path / "g.h5")["generation"].arrays
    np.testing.assert_array_equal(arrays["eigenvalues"], [0.5, 1.5])
    assert arrays["sample"].shape == arrays["generated"].shape == arrays["sample_weights"].shape
    assert load_results(tmp_path / "g.h5")["generation"] == found
