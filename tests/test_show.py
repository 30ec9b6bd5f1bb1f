"""How results show themselves: text, tables, data frames and pictures, of every public result."""

import pkgutil
import sys
from html.parser import HTMLParser
from importlib import import_module
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import dmft_rf
from dmft_rf import Covariance, GradientFlow, ModelError, ScoreModel, bulk_split, solve, spectrum
from dmft_rf._show import OneRow, Shown, Table
from dmft_rf.plotting.style import styled
from tests.helpers.public import MODEL, results
from tests.helpers.returned import returned_kinds
from tests.helpers.shown import NAMES, made

# what public calls return besides results: statements of a problem and steps towards a result
STATEMENTS = {
    "Activation", "Coefficients", "Mixture", "ScoreModel", "ImageModel", "Request", "Run",
    "GradientFlow", "Ridge", "WeightAverage", "GradientDescent", "HeavyBall", "Region",
    "StochasticGradientDescent", "Schedule", "Gaussian", "Matrix", "Scalar", "Pencil", "Equations",
    "System", "Points", "JacobiMatrix", "CovarianceAccumulator", "Interval", "Monitor", "Mesh",
    "Event", "ConvergenceError", "Statement", "Flow", "FlowCurves",
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_figures_left() -> Any:
    backend = mpl.get_backend()
    yield
    plt.close("all")
    assert mpl.get_backend() == backend


def subclasses(kind: type) -> set[type]:
    return {kind} | {one for below in kind.__subclasses__() for one in subclasses(below)}


def test_every_result_is_here() -> None:
    """Each kind of result has been made, and each public call returns one, or what is no result."""
    for module in pkgutil.walk_packages(dmft_rf.__path__, "dmft_rf."):
        if not module.name.startswith(("dmft_rf.explorer", "dmft_rf.cli", "dmft_rf.__main__")):
            import_module(module.name)
    kinds = subclasses(Shown) - {Shown, OneRow}
    assert {kind.__name__ for kind in kinds - {type(made(name)) for name in NAMES}} == set()
    left = {kind.__name__ for kind in returned_kinds() if kind not in kinds} - STATEMENTS
    assert left == set(), "make it a result (dmft_rf._show.Shown), or say that it is none"


@pytest.mark.parametrize("name", [*NAMES, "Mixture", "ScoreModel", "grouped model"])
def test_text_is_short(name: str) -> None:
    lines = repr(made(name)).splitlines()
    assert len(lines) <= 12
    assert max(map(len, lines)) < 100
    kind = type(made(name)).__name__
    assert lines[0].lstrip("<").startswith(kind)


class Cells(HTMLParser):
    """Rows of cells of a table."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


@pytest.mark.parametrize("name", NAMES)
def test_table_in_a_notebook(name: str) -> None:
    value = made(name)
    parser = Cells()
    parser.feed(value._repr_html_())
    assert parser.open == []
    head, *body = parser.rows
    frame = value.to_frame()
    assert head == list(frame.columns)
    assert 1 <= len(body) <= 20
    for row, index in ((body[0], 0), (body[-1], -1)):
        for cell, expected in zip(row, frame.iloc[index], strict=True):
            if isinstance(expected, float):
                assert cell == f"{expected:.6g}"


def test_names_are_escaped() -> None:
    model = MODEL.replace(covariance=Covariance([1.0, 2.0], label="<b>&\x1b[2J\n"))
    text = spectrum(model)._repr_html_()
    assert "<b>" not in text
    assert "&lt;b&gt;&amp;" in text
    assert repr(spectrum(model)).splitlines()[0].isprintable()


@pytest.mark.parametrize("name", NAMES)
def test_frames_and_datasets_hold_the_arrays(name: str) -> None:
    value = made(name)
    frame, data = value.to_frame(), value.to_xarray()
    assert isinstance(frame, pd.DataFrame)
    assert isinstance(data, xr.Dataset)
    table = value._table()
    for column, (dims, array, *_) in table.columns.items():
        np.testing.assert_array_equal(data[column].values, array)
        if set(dims) <= set(table.rows):
            # as xarray spreads a variable over the dimensions of the others
            full = np.broadcast_to(
                data[column]
                .expand_dims({dim: data.sizes[dim] for dim in table.rows if dim not in dims})
                .transpose(*table.rows)
                .values,
                [data.sizes[dim] for dim in table.rows],
            )
            np.testing.assert_array_equal(frame[column].to_numpy(), full.ravel())


def test_frames_hold_what_the_attributes_say() -> None:
    curves = made("plane of times")
    frame = curves.to_frame()
    for name in ("tau", "train", "test", "generalization_gap", "score_error", "weight_norm"):
        np.testing.assert_array_equal(frame[name], getattr(curves, name).ravel())
    np.testing.assert_array_equal(frame["test_error"], curves.error["test"].ravel())
    split = results()["BulkSplit"].to_frame()
    np.testing.assert_array_equal(split["removed"], results()["BulkSplit"].removed.ravel())
    np.testing.assert_array_equal(split["tau"], [1.0, 2.0])
    times = results()["Timescales"]
    frame = times.to_frame().set_index("name")
    assert frame.loc["tau_mem", "value"] == times.tau_mem
    assert frame.loc["tau_mem", "error"] == times.error["tau_mem"]
    law = results()["Spectrum"]
    frame = law.to_frame()
    bulks = frame[frame["kind"] != "atom"]
    np.testing.assert_array_equal(bulks[["low", "high"]], law.edges)
    np.testing.assert_array_equal(frame[frame["kind"] == "atom"][["low", "mass"]], law.atoms)
    diagram = results()["PhaseDiagram"]
    frame = diagram.to_frame()
    np.testing.assert_array_equal(frame["relative_gap"], diagram.relative_gap.ravel())
    names = [diagram.region_names[k] for k in diagram.regions.ravel()]
    assert frame["region"].tolist() == names
    assert frame["tau_gen"].tolist() == np.repeat(diagram.boundaries["tau_gen"], 2).tolist()
    edges = made("edges")
    frame = edges.to_frame()
    assert frame["psi_n"].tolist() == [2.0, 2.0, 3.0, 3.0]
    assert frame["t"].tolist() == [0.1, 0.2, 0.1, 0.2]
    np.testing.assert_array_equal(frame["edges_0_1"], edges["edges"][..., 0, 1].ravel())
    law = results()["Generation"]
    np.testing.assert_array_equal(law.to_xarray()["generated"], law.covariance.eigenvalues)


def test_columns_of_several_dimensions() -> None:
    table = Table(
        ("a", "b"),
        {"a": (("a",), np.arange(2)), "far": (("c",), np.arange(2))},
        {"x": (("b",), np.arange(3.0)), "y": (("c", "b", "a"), np.arange(12).reshape(2, 3, 2))},
    )
    flat = table.flat()
    assert list(flat) == ["a", "x", "y_0", "y_1"]
    assert flat["a"].tolist() == [0, 0, 0, 1, 1, 1]
    assert flat["x"].tolist() == [0, 1, 2, 0, 1, 2]
    assert flat["y_0"].tolist() == [0, 2, 4, 1, 3, 5]
    assert flat["y_1"].tolist() == [6, 8, 10, 7, 9, 11]


@pytest.mark.parametrize(("module", "method"), [("pandas", "to_frame"), ("xarray", "to_xarray")])
def test_without_the_extra(module: str, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModelError, match=rf"^{method} needs .* pip install 'dmft_rf\[{module}\]'"):
        getattr(results()["Spectrum"], method)()


def test_what_cannot_be_computed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Any) -> Table:
        raise dmft_rf.ConvergenceError("an edge was <not> found")

    law = spectrum(MODEL)
    monkeypatch.setattr(type(law), "_table", fails)
    assert repr(law).splitlines()[1:] == ["  an edge was <not> found"]
    assert "<p>an edge was &lt;not&gt; found</p>" in law._repr_html_()


def test_names_of_bulks() -> None:
    """docs/theory.md, section 9: mass 1/64 at the bottom, 7/64, 1/64 at the top."""
    law = spectrum(ScoreModel(0.01, 64, 8))
    np.testing.assert_allclose(law.bulk_masses * 64.0, [1.0, 7.0, 1.0], rtol=1e-9)
    assert law.bulk_names == ("memorizes last", "nearly inert", "data")
    share = bulk_split(solve(law.model), 1.0).share
    assert share[0] > 0.9 > 0.01 > share[1]  # what the names say
    assert spectrum(MODEL).bulk_names == ("merged",)
    # the two bulks of samples are one
    thick = spectrum(ScoreModel(0.3, 256, 2))
    assert set(thick.bulk_names) <= {"samples", "data", "memorizes last", "nearly inert"}


# -- pictures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_plot(name: str) -> None:
    value = made(name)
    settings = dict(mpl.rcParams)
    ax = value.plot()
    assert isinstance(ax, mpl.axes.Axes)
    assert plt.get_fignums() == [ax.figure.number]
    assert ax.has_data()
    assert ax.get_xlabel()
    again = plt.figure().add_subplot()
    if name != "activations":
        assert value.plot(again, label="mine") is again
        assert again.has_data()
    ax.figure.canvas.draw()
    assert {k: v for k, v in mpl.rcParams.items() if settings[k] != v} == {}


def line_of(ax: Any, label: str) -> Any:
    (line,) = [line for line in ax.lines if line.get_label() == label]
    return line


def test_curves_that_are_drawn_are_those_of_the_result() -> None:
    curves = results()["Solution"].learning_curves([1.0, 2.0, 4.0])
    ax = curves.plot(quantity="score_error", label="a")
    np.testing.assert_array_equal(line_of(ax, "a").get_xydata().T, [curves.tau, curves.score_error])
    ax = results()["Scaling"].plot(quantity="tau_opt")
    laws = results()["Scaling"]
    found = [line.get_ydata() for line in ax.lines if line.get_linestyle() == "None"]
    np.testing.assert_array_equal(found, [laws.quantities["tau_opt"]])
    many = made("edges")
    ax = many.plot(quantity="atom")
    np.testing.assert_array_equal(line_of(ax, "$t$ = 0.2").get_ydata(), many["atom"][:, 1])


def test_several_curves_on_one_pair_of_axes() -> None:
    one = results()["Solution"].learning_curves([1.0, 2.0, 4.0])
    other = results()["Solution"].learning_curves([1.0, 2.0, 4.0], GradientFlow(0.1))
    ax = one.plot(quantity=["train", "test"], label="flow")
    assert other.plot(ax, quantity=["train", "test"], label="decay") is ax
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "flow, training $L_{\\rm train}$",
        "flow, test $L_{\\rm test}$",
        "decay, training $L_{\\rm train}$",
        "decay, test $L_{\\rm test}$",
    ]
    flow, flow_test, decay, decay_test = ax.lines
    assert flow.get_color() == flow_test.get_color() != decay.get_color() == decay_test.get_color()
    assert flow.get_linestyle() == decay.get_linestyle() != decay_test.get_linestyle()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ax": 3}, "ax is 3; it must be of type Axes"),
        ({"label": 3}, "label is 3"),
        ({"quantity": "tests"}, "quantity is 'tests'; .*did you mean 'test'"),
        ({"quantity": ["test", "nothing"]}, "quantity is 'nothing'"),
    ],
)
def test_wrong_arguments_leave_no_figure(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        results()["LearningCurves"].plot(**arguments)
    assert plt.get_fignums() == []


def test_a_law_has_no_quantities() -> None:
    with pytest.raises(ModelError, match="a Spectrum is drawn as a whole"):
        results()["Spectrum"].plot(quantity="mass")


def test_figures_show_themselves_without_pyplot() -> None:
    from dmft_rf.plotting import plot_curves

    figure = plot_curves(results()["LearningCurves"])
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert plt.get_fignums() == []


def test_what_a_notebook_switches_on_stays_on() -> None:
    """Its backend, loaded while the first result is drawn, shows the figures of later cells too."""

    @styled
    def draw() -> None:
        assert not mpl.is_interactive()
        mpl.interactive(True)

    try:
        draw()
        assert mpl.is_interactive()
    finally:
        mpl.interactive(False)


def test_quantities_of_a_sweep_by_name() -> None:
    found = results()["Sweep"]
    assert found["tau_gen"] is found.quantities["tau_gen"]
    assert found["psi_n"].tolist() == [2.0, 3.0]
    with pytest.raises(ModelError, match="did you mean 'tau_gen'"):
        found["tau_gne"]
