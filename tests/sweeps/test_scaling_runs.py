"""Scaling laws over decades, on files and workers."""

import math

import numpy as np
import pytest

import dmft_rf as rf
from dmft_rf.files.results import load
from dmft_rf.plotting import plot_scaling
from dmft_rf.store import load_results
from dmft_rf.sweeps.results import QUANTITIES
from dmft_rf.sweeps.stored import stored_scaling
from tests.helpers.command import refused, result, run
from tests.helpers.sweeping import completed, contents, interrupted

WIDE = rf.ScoreModel(0.01, 1e7, 8)


def test_tau_mem_is_proportional_to_n_over_four_decades():
    """1 << psi_n << psi_p Delta_t v^2/s^2 is the regime, here up to 2.7e6."""
    found = rf.scaling(WIDE, "psi_n", np.geomspace(12.0, 1.2e5, 9))
    exponents = found.local_exponents["tau_mem"]
    assert np.all(np.abs(exponents - 1.0) < 0.05)
    law = found.fits["tau_mem"]
    assert law.decades == pytest.approx(4.0)
    assert law.exponent == pytest.approx(1.0, abs=0.01)
    assert (law.exponent_low, law.exponent_high) == (exponents.min(), exponents.max())
    middle = np.abs(np.log10(found.values) - 3.0) < 1.01
    assert np.all(np.abs(exponents[middle] - 1.0) < 5e-3)
    # generalization does not care: the window opens like n
    assert np.all(np.abs(found.local_exponents["tau_gen"]) < 0.09)
    # and the smallest score error falls like 1/n once n >> 1
    assert np.all(np.abs(found.local_exponents["score_error_min"][-3:] + 1.0) < 0.01)


@pytest.mark.parametrize("t", [0.003, 0.01, 0.3])
def test_the_noise_of_the_features_ends_the_law(t):
    """The slowest modes relax at s^2 + (psi_p/psi_n) Delta_t e^{2t} v^2, up to factors of order 1.

    So the exponent falls from 1 about where the two are equal, as a function of psi_n/psi_p alone.
    """
    c = rf.ScoreModel(t, 1.0, 8).coefficients
    saturation = c.Delta_t * math.exp(2.0 * t) * c.v2 / c.s2
    shares = np.array([0.01, 0.1, 1.0, 10.0])
    small, large = (
        rf.scaling(rf.ScoreModel(t, psi_p, 8), "psi_n", shares * saturation * psi_p)
        for psi_p in (1e5, 1e6)
    )
    exponents = large.local_exponents["tau_mem"]
    assert exponents[0] == pytest.approx(1.0, abs=0.03)
    assert 0.25 < exponents[2] < 0.65
    assert np.all(np.diff(exponents) < 0.0)  # beyond it tau_mem even falls
    np.testing.assert_allclose(small.local_exponents["tau_mem"], exponents, atol=0.005)


def test_a_power_law_of_the_covariance_is_swept():
    """d ln Q/d alpha, against differences over a step ten times as long."""
    model = rf.ScoreModel(0.1, 8.0, 4.0, covariance=rf.Covariance.power_law(0.7, 12, mean=1.5))
    found = rf.scaling(model, "power_law.exponent", [0.0, 0.5, 1.0, 1.5])
    np.testing.assert_allclose(found.abscissa, np.exp([0.0, 0.5, 1.0, 1.5]))

    def times(alpha):
        law = rf.Covariance.power_law(alpha, 12, mean=1.5)
        return rf.timescales(rf.solve(model.replace(covariance=law)))

    for i, alpha in ((1, 0.5), (3, 1.5)):
        for name in ("tau_gen", "tau_opt", "tau_mem", "score_error_min"):
            assert found.quantities[name][i] == pytest.approx(
                getattr(times(alpha), name), rel=1e-12
            )
            low, high = getattr(times(alpha - 0.01), name), getattr(times(alpha + 0.01), name)
            slope = math.log(high / low) / 0.02
            assert found.local_exponents[name][i] == pytest.approx(slope, rel=1e-2, abs=1e-4)
    figure = plot_scaling(found)
    figure.canvas.draw()
    assert figure.axes[0].get_xscale() == "linear"


def test_one_eigenvalue_is_no_power_law():
    with pytest.raises(rf.ModelError, match="one eigenvalue"):
        rf.scaling(WIDE, "power_law.exponent", [0.0, 1.0, 2.0])


def test_file_and_workers(tmp_path):
    model, values = rf.ScoreModel(0.1, 16.0, 4.0), [1.0, 2.0, 4.0, 8.0, 16.0]
    path, plain = tmp_path / "a.h5", tmp_path / "plain.h5"
    assert interrupted(7, rf.scaling, model, "psi_n", values, path=path) == 15
    found, there = completed(rf.scaling, model, "psi_n", values, path=path, workers=2)
    assert 7 <= there < 15
    direct = rf.scaling(model, "psi_n", values, path=plain)
    assert contents(path) == contents(plain)
    for name, array in direct.quantities.items():
        np.testing.assert_array_equal(array, found.quantities[name])
        np.testing.assert_array_equal(
            load(path)["scaling"].arrays[f"{name}_exponent"], found.local_exponents[name]
        )
    again = rf.scaling(model, "psi_n", values, path=path)
    assert again.fits == found.fits


def test_xarray():
    pytest.importorskip("xarray")
    found = rf.scaling(rf.ScoreModel(0.1, 16.0, 4.0), "psi_n", [1.0, 2.0, 4.0])
    data = found.to_xarray()
    assert data["tau_mem"].dims == ("psi_n",)
    assert float(data["tau_mem"].sel(psi_n=2.0)) == found.quantities["tau_mem"][1]
    assert float(data["tau_mem_exponent"][2]) == found.local_exponents["tau_mem"][2]


def test_command_over_a_power_law(tmp_path):
    options = ["scaling", "--t", "0.1", "--psi-p", "8", "--psi-n", "2", "--atoms", "8"]
    options += ["--over", "power-law", "--points", "3", "--workers", "1"]
    found = result(*options, "--power-law", "1")["results"]
    assert found["values"] == [0.0, 1.0, 2.0]
    model = rf.ScoreModel(0.1, 8, 2, covariance=rf.Covariance.power_law(2.0, 8))
    assert found["quantities"]["tau_mem"][2] == rf.timescales(rf.solve(model)).tau_mem
    assert "--power-law is not given" in refused("scaling", "--atoms", "8")


SMALL = rf.ScoreModel(0.1, 8.0, 4.0)
SGD = rf.StochasticGradientDescent(1.0)


def test_scaling_against_the_noise_of_sgd(tmp_path):
    """Single solutions, differences over ten times the step, and the batch at a learning rate."""
    path = tmp_path / "a.h5"
    found = rf.scaling(SMALL, "noise", [0.5, 1.0, 2.0], rule=SGD, path=path)
    solution = rf.solve(SMALL)

    def times(noise):
        return rf.timescales(solution, rule=rf.StochasticGradientDescent(noise))

    for name in QUANTITIES:
        assert found.quantities[name][1] == times(1.0).value(name)
    for name in ("usable_start", "tau_ratio", "tau_mem", "score_error_min"):
        low, high = (times(math.exp(s)).value(name) for s in (-0.01, 0.01))
        slope = math.log(high / low) / 0.02
        assert found.local_exponents[name][1] == pytest.approx(slope, rel=2e-3)
    batches = rf.scaling(SMALL, "batch", [1, 2, 4], rule=rf.StochasticGradientDescent(2.0))
    for name in QUANTITIES:
        np.testing.assert_allclose(batches.quantities[name], found.quantities[name][::-1], 1e-12)
        np.testing.assert_allclose(
            batches.local_exponents[name], -found.local_exponents[name][::-1], atol=1e-9
        )
    again = load_results(path)["scaling"]
    assert again == found
    assert again.rule == SGD
    assert "StochasticGradientDescent(noise=1.0)" in repr(again)
    with pytest.raises(rf.DataError, match="other"):
        rf.scaling(
            SMALL, "noise", [0.5, 1.0, 2.0], rule=SGD.__class__(1.0, momentum=0.5), path=path
        )


def test_files_of_before_there_were_rules_are_read():
    found = rf.scaling(SMALL, "psi_n", [1.0, 2.0, 4.0])
    attributes, arrays = found.stored()
    old = {k: v for k, v in attributes.items() if "rule" not in k and "tau_ratio" not in k}
    again = stored_scaling(old, {k: v for k, v in arrays.items() if "tau_ratio" not in k})
    assert again.rule == found.rule
    assert set(QUANTITIES) - set(again.quantities) == {"tau_ratio"}
    assert np.array_equal(again.quantities["tau_mem"], found.quantities["tau_mem"])


@pytest.mark.parametrize(
    ("parameter", "values", "rule", "message"),
    [
        ("noise", [1, 2, 3], None, "belongs to mini-batch SGD"),
        ("noise", [1, 2, 3], rf.StochasticGradientDescent(0.0), "constant one > 0"),
        (
            "batch",
            [1, 2, 3],
            rf.StochasticGradientDescent(rf.schedules.InverseTime(1.0, 2.0)),
            "constant",
        ),
        ("batch", [1, 2.5, 3], SGD, "whole number"),
        ("psi_n", [1, 2, 3], rf.GradientDescent(0.1), "whole steps"),
        ("psi_n", [1, 2, 3], "flow", "rule"),
    ],
)
def test_rules_that_have_no_scaling_law(parameter, values, rule, message):
    with pytest.raises(rf.ModelError, match=message):
        rf.scaling(SMALL, parameter, values, rule=rule)


def test_a_mean_has_a_noise_that_whole_batches_do_not_follow():
    with pytest.raises(rf.ModelError, match="relu, which has a mean"):
        rf.scaling(SMALL.replace(activation="relu"), "batch", [1, 2, 3], rule=SGD)


def test_command_under_sgd(tmp_path):
    few = ("scaling", "--t", "0.1", "--psi-p", "8", "--psi-n", "4", "--points", "3")

    def results(*options):
        return result(*few, *options)

    found = results(
        "--sgd-noise", "1", "--from", "2", "--to", "4", "--plot", str(tmp_path / "a.png")
    )
    direct = rf.scaling(SMALL, "psi_n", found["results"]["values"], rule=SGD)
    assert found["results"]["quantities"]["tau_opt"] == direct.quantities["tau_opt"].tolist()
    assert found["rule"]["rule"] == "StochasticGradientDescent"
    assert found["rule"]["rule_noise"] == 1.0
    assert found["definitions"]["tau_opt"].startswith("under StochasticGradientDescent(noise=1.0)")
    noise = results("--over", "noise", "--from", "0.5", "--to", "2")["results"]
    assert noise["values"] == [0.5, 1.0, 2.0]
    batch = results("--over", "batch", "--sgd-noise", "2", "--to", "4")["results"]
    assert batch["values"] == [1.0, 2.0, 4.0]
    assert batch["quantities"]["tau_mem"] == pytest.approx(noise["quantities"]["tau_mem"][::-1])
    assert "--sgd-noise" in refused(*few, "--over", "batch")


def test_noise_under_which_the_untrained_network_is_best():
    """Times of 0 have no ratio; the sentence on them comes without it."""
    loud = ("scaling", "--t", "0.01", "--psi-p", "64", "--sgd-noise", "5", "--points", "3")
    assert "tau_opt goes from 0 to 0" in " ".join(run(*loud).stdout.split())
