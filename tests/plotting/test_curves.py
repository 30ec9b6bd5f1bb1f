from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

import dmft_rf
from dmft_rf import Activation, Covariance, DataError, GradientDescent, Ridge, ScoreModel
from dmft_rf.pencil import zoo
from dmft_rf.plotting import plot_curves, plot_pencil, plot_scaling, plot_spectrum, save_figure
from dmft_rf.plotting.style import positive, tex, unformatted

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
    # of little to learn what is left of it is drawn
    floor = solution.model.floor if solution.model.floor > 0.98 else 0.0
    assert bool(floor) == (solution.model is ISOTROPIC)
    assert ("loss of exact score" in ax.get_ylabel()) == bool(floor)
    for axes, label, values in (
        (ax, "L_{\\rm test}$", positive(curves.test - floor)),
        (ax, "training", positive(curves.train - floor)),
        (ax, "gap", curves.generalization_gap),
    ):
        lines = [line for line in axes.lines if label in line.get_label()]
        assert np.array_equal(lines[0].get_xdata(), curves.tau)
        assert np.array_equal(lines[0].get_ydata(), values, equal_nan=True)
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
    above = positive(curves.train - ISOTROPIC.floor)
    assert np.array_equal(_line(ax, "training").get_xdata(), [1.0, 10.0])
    assert np.array_equal(_line(ax, "training").get_ydata(), above[[3, 1]], equal_nan=True)
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


def test_the_scaling_shows_values_fits_and_exponents(sweep):
    figure = plot_scaling(sweep)
    ax, below = figure.axes
    points = {line.get_marker(): line for line in ax.lines if line.get_linestyle() == "None"}
    slopes = {line.get_marker(): line for line in below.lines if line.get_marker() != "None"}
    for name, marker in (("tau_gen", "o"), ("tau_opt", "s"), ("usable_end", "D"), ("tau_mem", "^")):
        assert np.array_equal(points[marker].get_xdata(), sweep.values)
        assert np.array_equal(points[marker].get_ydata(), sweep.quantities[name])
        assert np.array_equal(slopes[marker].get_ydata(), sweep.local_exponents[name])
    lines = [line for line in ax.lines if line.get_linestyle() != "None"]
    assert len(lines) == len({"tau_gen", "tau_opt", "usable_end", "tau_mem"} & sweep.fits.keys())
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
        ("a.eps", r"unknown ending '.eps', allowed are .png, .pdf, .svg"),
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
        "import sys, dmft_rf, dmft_rf.plotting.spectra as p;"
        "assert 'matplotlib' not in sys.modules;"
        "p.plot_spectrum(dmft_rf.spectrum(dmft_rf.ScoreModel(0.1, 4, 2)));"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Settings of the user ----------------------------------------------------------------------

SETTINGS = {
    "latex": {"text.usetex": True, "text.latex.preamble": r"\usepackage{nothing}"},
    "fonts": {"font.family": ["Nonexistent Font"], "font.size": 31.0, "mathtext.fontset": "custom"},
    "files": {
        "savefig.bbox": "tight", "savefig.dpi": 37, "savefig.format": "svg",
        "savefig.transparent": True, "savefig.facecolor": "red", "pdf.use14corefonts": True,
    },
    "axes": {
        "axes.facecolor": "black", "axes.grid": False, "axes.unicode_minus": False,
        "axes.formatter.use_mathtext": True, "axes.xmargin": 0.4, "lines.linestyle": ":",
        "xtick.major.size": 20.0, "figure.figsize": [1.0, 1.0], "figure.dpi": 20.0,
    },
    "style": {"figure.constrained_layout.use": False, "figure.autolayout": True,
              "path.sketch": (1, 100, 2), "legend.loc": "center", "image.cmap": "jet"},
    "backend": {"backend": "svg", "interactive": True},
}  # fmt: skip


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("ending", [".png", ".pdf"])
def test_pictures_do_not_depend_on_the_users_settings(tmp_path, sweep, settings, ending):
    expected = save_figure(plot_scaling(sweep), tmp_path / f"a{ending}").read_bytes()
    with matplotlib.rc_context(settings):
        before = dict(matplotlib.rcParams)
        found = save_figure(plot_scaling(sweep), tmp_path / f"b{ending}").read_bytes()
        assert dict(matplotlib.rcParams) == before
    assert found == expected


PICTURE = """
import sys, dmft_rf
from dmft_rf.plotting import plot_spectrum, save_figure
save_figure(plot_spectrum(dmft_rf.spectrum(dmft_rf.ScoreModel(0.1, 4, 2))), sys.argv[1])
import matplotlib
assert "matplotlib.pyplot" not in sys.modules
"""
RC = b"""text.usetex: True
font.family: Nonexistent Font
savefig.dpi: 10
axes.grid: perhaps
no such key: 3
broken line
backend: nothing
"""


@pytest.mark.parametrize(
    ("program", "backend", "here", "configured"),
    [
        ("command", "module://matplotlib_inline.backend_inline", None, RC),
        ("command", "nonsense", b"\xff\xfe\x00broken", RC),
        ("library", "nonsense", None, b"\xff\xfe\x00broken"),
    ],
    ids=["notebook", "broken here", "broken in the home folder"],
)
def test_pictures_where_matplotlib_cannot_be_imported_as_it_is(
    tmp_path, matplotlib_folder, program, backend, here, configured
):
    """Settings that are read when it is imported: a process each."""
    if here is not None:
        (tmp_path / "matplotlibrc").write_bytes(here)
    home = tmp_path / "home"
    shutil.copytree(matplotlib_folder, home)
    (home / "matplotlibrc").write_bytes(configured)
    place = tmp_path / "a.png"
    command = ["-c", PICTURE, str(place)]
    if program == "command":
        command = ["-m", "dmft_rf", "spectrum", "--t", "0.1", "--psi-p", "4", "--psi-n", "2"]
        command += ["--plot", str(place)]
    root = Path(dmft_rf.__file__).parent.parent
    changes = {"MPLBACKEND": backend, "MPLCONFIGDIR": str(home), "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, *command], env={**os.environ, **changes}, cwd=tmp_path,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    if program == "command":
        assert done.stderr == ""
    law = dmft_rf.spectrum(ScoreModel(0.1, 4.0, 2.0))
    expected = save_figure(plot_spectrum(law), tmp_path / "b.png")
    assert place.read_bytes() == expected.read_bytes()


def test_a_matplotlib_that_cannot_be_loaded_is_said_before_the_work(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from dmft_rf.cli import app

    monkeypatch.setitem(sys.modules, "matplotlib", None)  # an import of it fails
    monkeypatch.setattr(dmft_rf, "spectrum", None)
    answer = CliRunner().invoke(app, ["spectrum", "--plot", str(tmp_path / "a.png")])
    assert answer.exit_code == 2
    assert answer.stderr.startswith("error: pictures need matplotlib, which cannot be loaded")
    assert answer.stderr.count("\n") == 1


# Text of the user ---------------------------------------------------------------------------

ODD = (
    "p$x^$y.toml", "$$", "$", r"a\$\frac", r"\alpha_{", "x^2_3", "a\nb\tc", "\x1b[31m\udcff\0",
    "\u6570\u636e \U0001f600", "%s {0}", "x" * 400, "",
)  # fmt: skip


@pytest.mark.parametrize("text", ODD, ids=ascii)
def test_names_of_the_user_are_shown_and_not_read_as_formulas(tmp_path, text):
    covariance = Covariance([0.5, 1.5], label=text, dimension=40, samples=60)
    activation = Activation(text if text.isprintable() else "own", np.tanh)
    model = ScoreModel(0.1, 8.0, 2.0, activation, covariance)
    solution = dmft_rf.solve(model, 1e-3)
    figure = plot_curves(solution.learning_curves([0.0, 1.0, 10.0, np.inf]))
    for ending in MAGIC:
        save_figure(figure, tmp_path / f"a{ending}")
    assert (tmp_path / "a.png").stat().st_size > 5000
    kept = "".join(c for c in text if c.isascii() and c.isprintable() and c not in "$\\")
    if text == kept and len(text) < 80:
        assert text in _texts(figure)
    with matplotlib.rc_context():
        escaped = unformatted(text)
    assert "\n" not in escaped
    assert len(escaped) <= 160


def test_titles_of_pencils_are_no_formulas(tmp_path):
    law = zoo.semicircle().bind().spectrum()
    for k, text in enumerate(ODD):
        save_figure(plot_pencil(law, text), tmp_path / f"{k}.png")
    assert plot_pencil(law, "p$x^$y").axes[0].get_title("left") == r"p\$x^\$y"


def test_the_data_s_own_number_of_samples_is_marked():
    law = Covariance([0.5, 1.5], dimension=20, samples=40)
    model = ScoreModel(0.1, 8.0, 2.0, covariance=law)
    below = plot_scaling(dmft_rf.scaling(model, "psi_n", [1.0, 2.0, 4.0])).axes[1]
    marks = [line for line in below.lines if "of the data" in str(line.get_label())]
    assert [set(line.get_xdata()) for line in marks] == [{2.0}]
    assert "$n = 40$" in marks[0].get_label()
    beyond = dmft_rf.scaling(model, "psi_n", [4.0, 6.0, 8.0])
    assert "of the data" not in _texts(plot_scaling(beyond))


def test_a_sweep_over_power_laws_names_no_other_covariance():
    law = Covariance([0.5, 1.5], label="faces.npy", dimension=8, samples=40)
    found = dmft_rf.scaling(
        ScoreModel(0.1, 8.0, 2.0, covariance=law), "power_law.exponent", [0.0, 0.5, 1.0]
    )
    text = _texts(plot_scaling(found))
    assert "faces" not in text
    assert "power law, d = 8" in text


# Helpers ------------------------------------------------------------------------------------


def test_numbers_in_formulas():
    assert tex(321935.6) == r"3.219 \times 10^{5}"
    assert tex(1e-7) == "10^{-7}"
    assert tex(0.25) == "0.25"


def test_values_without_a_place_on_a_logarithmic_axis_are_gaps():
    assert np.array_equal(
        positive([1.0, 0.0, -1.0, np.inf, np.nan]), [1.0] + 4 * [np.nan], equal_nan=True
    )
