from __future__ import annotations

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

import dmft_rf
from dmft_rf import Covariance, DataError, GradientDescent, Ridge, ScoreModel
from dmft_rf._drawing import bulk_groups, positive, tex
from dmft_rf.plotting import (
    plot_curves,
    plot_scaling,
    plot_spectrum,
    plot_timescales,
    save_figure,
)

ISOTROPIC = ScoreModel(0.01, 16.0, 4.0)
DATA = ScoreModel(0.05, 16.0, 4.0, "relu", Covariance.power_law(1.0, 12))
MAGIC = {".png": b"\x89PNG\r\n\x1a\n", ".pdf": b"%PDF-"}


@pytest.fixture(scope="module", params=[ISOTROPIC, DATA], ids=["isotropic", "power law"])
def solution(request) -> dmft_rf.Solution:
    return dmft_rf.solve(request.param)


@pytest.fixture(scope="module")
def sweep() -> dmft_rf.Scaling:
    return dmft_rf.scaling(DATA, "psi_n", [1.0, 2.0, 3.0, 4.0])


def _texts(figure: Figure) -> str:
    figure.draw_without_rendering()
    found = figure.findobj(matplotlib.text.Text)
    return "\n".join(t.get_text() for t in found)


def _line(axes, label: str):
    (line,) = [line for line in axes.lines if label in str(line.get_label())]
    return line


def test_curves_draw_the_arrays_they_are_given(solution):
    curves = solution.learning_curves(np.geomspace(0.1, 1e7, 50))
    figure = plot_curves(curves)
    ax, below = figure.axes
    for axes, label, values in (
        (ax, "L_{\\rm test}$", curves.test),
        (ax, "training", curves.train),
        (ax, "gap", curves.generalization_gap),
    ):
        lines = [line for line in axes.lines if label in line.get_label()]
        assert np.array_equal(lines[0].get_xdata(), curves.tau)
        assert np.array_equal(lines[0].get_ydata(), values)
    assert np.array_equal(below.lines[0].get_ydata(), curves.score_error)
    assert ax.get_xscale() == "log"
    assert below.get_yscale() == "log"
    text = _texts(figure)
    assert r"\tau" in below.get_xlabel()
    assert "gradient flow" in text
    assert (r"d_{\rm eff}" in text) == (solution.model.covariance.dimension is not None)


def test_limits_are_marks_beside_the_scale():
    solution = dmft_rf.solve(ISOTROPIC)
    curves = solution.learning_curves([np.inf, 10.0, 0.0, 1.0])
    ax, below = plot_curves(curves).axes
    assert np.array_equal(_line(ax, "training").get_xdata(), [1.0, 10.0])
    assert np.array_equal(_line(ax, "training").get_ydata(), curves.train[[3, 1]])
    ends = [line for line in below.lines if line.get_marker() == "D" and len(line.get_xdata())]
    assert {line.get_ydata()[0] for line in ends} == set(curves.score_error[[0, 2]])


def test_one_time_and_the_limit_alone_are_drawn(tmp_path):
    solution = dmft_rf.solve(ISOTROPIC)
    save_figure(plot_curves(solution.learning_curves([3.0])), tmp_path / "one.png")
    figure = plot_curves(solution.learning_curves([np.inf], Ridge(0.1)))
    save_figure(figure, tmp_path / "limit.png")
    assert "ridge (weight 0.1)" in _texts(figure)
    rule = GradientDescent(0.5)
    figure = plot_curves(solution.learning_curves(rule.times([0, 1, 10, 100]), rule))
    assert "gradient descent (step 0.5)" in _texts(figure)


def test_timescales_are_marked_on_the_curves(solution):
    times = dmft_rf.timescales(solution)
    figure = plot_timescales(solution, times)
    ax, below = figure.axes
    for name in ("gen", "opt", "mem"):
        line = _line(below, rf"\tau_{{\rm {name}}}")
        assert set(line.get_xdata()) == {getattr(times, f"tau_{name}")}
    assert ax.get_xscale() == below.get_xscale() == "log"
    tau, score = below.lines[0].get_data()
    assert np.array_equal(score, solution.learning_curves(tau).score_error)
    assert tau[0] < times.tau_gen < times.tau_mem < tau[-1]


def test_times_that_do_not_exist_are_left_out():
    solution = dmft_rf.solve(ISOTROPIC)
    times = dmft_rf.timescales(solution)
    from dataclasses import replace

    figure = plot_timescales(solution, replace(times, tau_opt=np.inf, tau_gen=np.nan))
    labels = [str(line.get_label()) for line in figure.axes[1].lines]
    assert not any("opt" in label or "gen" in label for label in labels)


@pytest.mark.parametrize(
    "model",
    [
        ISOTROPIC,
        DATA,
        ScoreModel(0.1, 3.0, 2.0),  # hard edge
        ScoreModel(0.5, 1.0, 1.0),  # merged bulks, no atom
    ],
)
def test_the_spectrum_is_the_density_of_every_bulk(model):
    law = dmft_rf.spectrum(model)
    figure = plot_spectrum(law)
    ax = figure.axes[0]
    bulks = ax.lines[: len(law.bulk_masses)]
    assert len(ax.lines) == len(law.bulk_masses) + len(law.atoms)
    for line, (low, high) in zip(bulks, law.edges, strict=True):
        x, y = line.get_data()
        inner = (x > low) & (x < high)
        assert inner.sum() > 50
        assert low <= x.min() < x.max() == high
        np.testing.assert_allclose(
            y[inner], x[inner] * law.density(x[inner]), rtol=1e-9, atol=1e-12
        )
        assert y[-1] == 0.0
    assert np.all(np.isfinite(np.concatenate([line.get_ydata() for line in bulks])))
    text = _texts(figure)
    assert ("atom" in text) == bool(len(law.atoms))
    assert "relaxation time" in text
    assert r"\lambda" in ax.get_xlabel()
    assert ax.get_xscale() == ax.get_yscale() == "log"


def test_the_scaling_shows_values_fits_and_exponents(sweep):
    figure = plot_scaling(sweep)
    ax, below = figure.axes
    points = {line.get_marker(): line for line in ax.lines if line.get_linestyle() == "None"}
    slopes = {line.get_marker(): line for line in below.lines if line.get_marker() != "None"}
    for name, marker in (("tau_gen", "o"), ("tau_opt", "s"), ("tau_mem", "^")):
        assert np.array_equal(points[marker].get_xdata(), sweep.values)
        assert np.array_equal(points[marker].get_ydata(), sweep.quantities[name])
        assert np.array_equal(slopes[marker].get_ydata(), sweep.local_exponents[name])
    lines = [line for line in ax.lines if line.get_linestyle() != "None"]
    assert len(lines) == len({"tau_gen", "tau_opt", "tau_mem"} & sweep.fits.keys())
    text = _texts(figure)
    assert "samples $n" in text
    assert r"\psi_n = n/d" in below.get_xlabel()


@pytest.mark.parametrize("parameter", ["psi_p", "t"])
def test_the_scaling_names_its_parameter(parameter):
    values = [0.01, 0.02, 0.04] if parameter == "t" else [8.0, 16.0, 32.0]
    result = dmft_rf.scaling(ISOTROPIC, parameter, values)
    ax, below = plot_scaling(result).axes
    assert np.array_equal(below.lines[0].get_xdata(), result.abscissa)
    assert {"psi_p": r"\psi_p = p/d", "t": r"\Delta_t"}[parameter] in below.get_xlabel()
    assert ax.get_yscale() == "log"


# Files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".png", ".pdf", ".PNG"])
def test_files_are_what_their_ending_says(tmp_path, sweep, ending):
    path = tmp_path / f"a{ending}"
    assert save_figure(plot_scaling(sweep), path) == path
    data = path.read_bytes()
    assert data.startswith(MAGIC[ending.lower()])
    assert len(data) > 5000
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_result_gives_the_same_file(tmp_path, sweep):
    for ending in MAGIC:
        files = [save_figure(plot_scaling(sweep), tmp_path / f"{k}{ending}") for k in range(2)]
        assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.svg", r"unknown ending '.svg', allowed are .png, .pdf"),
        ("a", "unknown ending ''"),
        ("no/a.png", "does not exist"),
        ("old.png", "overwrite"),
    ],
)
def test_bad_places_are_refused_and_nothing_changes(tmp_path, name, message):
    old = tmp_path / "old.png"
    old.write_bytes(b"old")
    with pytest.raises(DataError, match=message):
        save_figure(Figure(), tmp_path / name)
    assert old.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [old]
    save_figure(Figure(), old, overwrite=True)
    assert old.read_bytes().startswith(MAGIC[".png"])


def test_a_failure_while_drawing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def half(self, file, **_kwargs):
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", half)
    with pytest.raises(DataError, match="disk full"):
        save_figure(Figure(), path, overwrite=True)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_no_display_no_pyplot_and_no_changed_settings(sweep):
    before = dict(matplotlib.rcParams)
    plot_scaling(sweep)
    assert dict(matplotlib.rcParams) == before
    code = (
        "import sys, dmft_rf, dmft_rf.plotting as p; assert 'matplotlib' not in sys.modules;"
        "p.plot_spectrum(dmft_rf.spectrum(dmft_rf.ScoreModel(0.1, 4, 2)));"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Helpers ------------------------------------------------------------------------------------


def test_numbers_in_formulas():
    assert tex(321935.6) == r"3.219 \times 10^{5}"
    assert tex(1e-7) == "10^{-7}"
    assert tex(0.25) == "0.25"


def test_values_without_a_place_on_a_logarithmic_axis_are_gaps():
    assert np.array_equal(
        positive([1.0, 0.0, -1.0, np.inf, np.nan]), [1.0] + 4 * [np.nan], equal_nan=True
    )


def test_bulks_are_labelled_once_per_family():
    masses = np.array([0.1, 0.2, 0.3])
    labels = [label for label, _, _ in bulk_groups(np.array([False, True, True]), masses)]
    assert "0.1" in labels[0]
    assert "0.5" in labels[1]
    assert labels[2] is None
    (first, *rest) = bulk_groups(None, masses)
    assert "0.6" in first[0]
    assert all(label is None for label, _, _ in rest)
