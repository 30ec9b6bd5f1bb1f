"""Scaling laws over decades, on files and workers."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from typer.testing import CliRunner

from dmft_rf import Covariance, ModelError, ScoreModel, scaling, solve, timescales
from dmft_rf.cli import app
from dmft_rf.files.results import load
from dmft_rf.plotting import plot_scaling
from tests.helpers.sweeping import contents

WIDE = ScoreModel(0.01, 1e7, 8)


def test_tau_mem_is_proportional_to_n_over_four_decades():
    """1 << psi_n << psi_p Delta_t v^2/s^2 is the regime, here up to 2.7e6."""
    found = scaling(WIDE, "psi_n", np.geomspace(12.0, 1.2e5, 9))
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
    c = ScoreModel(t, 1.0, 8).coefficients
    saturation = c.Delta_t * math.exp(2.0 * t) * c.v2 / c.s2
    shares = np.array([0.01, 0.1, 1.0, 10.0])
    small, large = (
        scaling(ScoreModel(t, psi_p, 8), "psi_n", shares * saturation * psi_p)
        for psi_p in (1e5, 1e6)
    )
    exponents = large.local_exponents["tau_mem"]
    assert exponents[0] == pytest.approx(1.0, abs=0.03)
    assert 0.25 < exponents[2] < 0.65
    assert np.all(np.diff(exponents) < 0.0)  # beyond it tau_mem even falls
    np.testing.assert_allclose(small.local_exponents["tau_mem"], exponents, atol=0.005)


def test_a_power_law_of_the_covariance_is_swept():
    """d ln Q/d alpha, against differences over a step ten times as long."""
    model = ScoreModel(0.1, 8.0, 4.0, covariance=Covariance.power_law(0.7, 12, mean=1.5))
    found = scaling(model, "power_law.exponent", [0.0, 0.5, 1.0, 1.5])
    np.testing.assert_allclose(found.abscissa, np.exp([0.0, 0.5, 1.0, 1.5]))

    def times(alpha):
        law = Covariance.power_law(alpha, 12, mean=1.5)
        return timescales(solve(model.replace(covariance=law)))

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
    with pytest.raises(ModelError, match="one eigenvalue"):
        scaling(WIDE, "power_law.exponent", [0.0, 1.0, 2.0])


def test_file_and_workers(tmp_path):
    model, values = ScoreModel(0.1, 16.0, 4.0), [1.0, 2.0, 4.0, 8.0, 16.0]

    def interrupt(done, total):
        assert total == 15
        if done == 7:
            raise KeyboardInterrupt

    path, plain = tmp_path / "a.h5", tmp_path / "plain.h5"
    with pytest.raises(KeyboardInterrupt):
        scaling(model, "psi_n", values, path=path, progress=interrupt)
    counts = []
    found = scaling(
        model, "psi_n", values, path=path, workers=2, progress=lambda n, _: counts.append(n)
    )
    assert counts[0] == 7
    direct = scaling(model, "psi_n", values, path=plain)
    assert contents(path) == contents(plain)
    for name, array in direct.quantities.items():
        np.testing.assert_array_equal(array, found.quantities[name])
        np.testing.assert_array_equal(
            load(path)["scaling"].arrays[f"{name}_exponent"], found.local_exponents[name]
        )
    again = scaling(model, "psi_n", values, path=path)
    assert again.fits == found.fits


def test_xarray():
    pytest.importorskip("xarray")
    found = scaling(ScoreModel(0.1, 16.0, 4.0), "psi_n", [1.0, 2.0, 4.0])
    data = found.to_xarray()
    assert data["tau_mem"].dims == ("psi_n",)
    assert float(data["tau_mem"].sel(psi_n=2.0)) == found.quantities["tau_mem"][1]
    assert float(data["tau_mem_exponent"][2]) == found.local_exponents["tau_mem"][2]


def test_command_over_a_power_law(tmp_path):
    options = ["scaling", "--t", "0.1", "--psi-p", "8", "--psi-n", "2", "--atoms", "8"]
    options += ["--over", "power-law", "--points", "3", "--workers", "1"]
    answer = CliRunner().invoke(app, [*options, "--power-law", "1", "--json"])
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)["results"]
    assert found["values"] == [0.0, 1.0, 2.0]
    model = ScoreModel(0.1, 8, 2, covariance=Covariance.power_law(2.0, 8))
    assert found["quantities"]["tau_mem"][2] == timescales(solve(model)).tau_mem
    without = CliRunner().invoke(app, ["scaling", "--atoms", "8"])
    assert without.exit_code == 2
    assert "--power-law is not given" in without.stderr
