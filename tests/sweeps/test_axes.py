"""What sweeps, phase diagrams and scaling laws take: values in anything, and one line otherwise."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import dmft_rf as rf
from dmft_rf.sweeps.plan import Plan
from dmft_rf.sweeps.request import Request

pandas = pytest.importorskip("pandas")
xarray = pytest.importorskip("xarray")

MODEL = rf.ScoreModel(0.1, 8.0, 4.0)
VALUES = [1.0, 2.0, 4.0]
REQUEST = Request(("edge_low",))

HOLDERS = {
    "tuple": tuple,
    "range": lambda _: (2**k for k in range(3)),
    "iterator": iter,
    "dict keys": lambda v: dict.fromkeys(v).keys(),
    "float32": lambda v: np.array(v, dtype=np.float32),
    "int8": lambda v: np.array(v, dtype=np.int8),
    "object": lambda v: np.array(v, dtype=object),
    "reversed view": lambda v: np.array(v[::-1])[::-1],
    "Decimal": lambda v: [Decimal(x) for x in v],
    "Fraction": lambda v: [Fraction(x) for x in v],
    "0-d arrays": lambda v: [np.array(x) for x in v],
    "Series": lambda v: pandas.Series(v, index=[7, 8, 9]),
    "Int64": lambda v: pandas.Series(v, dtype="Int64"),
    "Index": pandas.Index,
    "DataArray": lambda v: xarray.DataArray(v, dims="psi_n"),
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_values_may_come_in_anything_one_dimensional(holder):
    """The numbers, the identity and what is said of the axis are those of a list."""
    make = HOLDERS[holder]
    listed = Plan(MODEL, rf.GradientFlow(), {"psi_n": VALUES}, REQUEST)
    plan = Plan(MODEL, rf.GradientFlow(), {"psi_n": make(VALUES)}, REQUEST)
    assert plan.axes == {"psi_n": (1.0, 2.0, 4.0)}
    assert {type(value) for value in plan.axes["psi_n"]} == {float}
    assert plan.fingerprint == listed.fingerprint


def test_every_function_takes_them():
    series = pandas.Series(VALUES, dtype="Int64")
    plain = rf.sweep(MODEL, {"psi_n": VALUES}, "tau_gen")
    found = rf.sweep(MODEL, {"psi_n": series}, pandas.Index(["tau_gen"]), tau=pandas.Series([1.0]))
    np.testing.assert_array_equal(found.quantities["tau_gen"], plain.quantities["tau_gen"])
    np.testing.assert_array_equal(found.axes["psi_n"], VALUES)
    one, other = (rf.scaling(MODEL, "psi_n", values) for values in (series, iter(VALUES)))
    np.testing.assert_array_equal(one.quantities["tau_mem"], other.quantities["tau_mem"])
    np.testing.assert_array_equal(one.quantities["tau_gen"], plain.quantities["tau_gen"])
    one, other = (
        rf.phase_diagram(MODEL, {"psi_n": values, "t": [0.1]}, tau=pandas.Series([1, 2]))
        for values in (series, (v for v in VALUES))
    )
    np.testing.assert_array_equal(one.relative_gap, other.relative_gap)


@pytest.mark.parametrize("value", [np.array(2), np.float32(2), Decimal(2), np.int8(2), 2])
def test_a_single_value_is_the_same_at_every_point(value):
    plan = Plan(MODEL, rf.GradientFlow(), {"psi_n": [1.0, 3.0], "psi_p": value}, REQUEST)
    assert plan.fixed == {"psi_p": 2.0}
    assert plan.shape == (2,)
    rows = [{"psi_n": value, "t": np.float64(0.1)}, {"psi_n": np.array(3.0), "t": 0.2}]
    assert Plan(MODEL, rf.GradientFlow(), iter(rows), REQUEST).axes["psi_n"] == (2.0, 3.0)


TABLE = pandas.DataFrame({"psi_n": VALUES, "t": [0.1, 0.2, 0.3]})
WRONG_AXES = [
    (np.ones((2, 2)), "shape"),
    (TABLE, "shape"),
    (xarray.DataArray(np.ones((2, 2))), "shape"),
    ([[1.0, 2.0], [3.0, 4.0]], r"\[1\.0, 2\.0\]"),
    (np.ma.masked_array([1.0, 2.0], [0, 1]), "masked"),
    (pandas.Series([1.0, None]), "missing"),
    (pandas.Series([True, False, True]), "True"),
    (np.array(["1", "2"]), "'1'"),
    (np.array([1 + 1j, 2]), "1\\+1j"),
    (np.array(["2020-01-01"], dtype="datetime64[D]"), "datetime64"),
    ({1.0, 2.0}, "order"),
    ({"a": 1.0}, "'a'"),
    ([1.0, None], "None"),
    ([1.0, True], "True"),
    (["1.0"], r"'1\.0'"),
    ([10**400], "100000"),
    ([math.nan], "nan"),
    ("1", "'1'"),
    (None, "None"),
    ([], "value"),
    (pandas.Series([], dtype=float), "value"),
    (object(), "object"),
]


@pytest.mark.parametrize("number", range(len(WRONG_AXES)))
def test_values_that_are_none_are_one_line(monkeypatch, number):
    values, message = WRONG_AXES[number]
    monkeypatch.setattr("dmft_rf.sweeps.run.work", None)
    for call in (
        lambda: rf.sweep(MODEL, {"psi_n": values}, "edge_low"),
        lambda: rf.scaling(MODEL, "psi_n", values),
        lambda: rf.phase_diagram(MODEL, {"psi_n": values, "t": [0.1]}),
        lambda: rf.phase_diagram(MODEL, {"psi_n": [1.0], "tau": values}),
    ):
        with pytest.raises(rf.ModelError) as caught:
            call()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400
    with pytest.raises(rf.ModelError, match=message):
        rf.sweep(MODEL, {"psi_n": values}, "edge_low")


@pytest.mark.parametrize(
    ("over", "message"),
    [
        (None, "over is None"),
        ("psi_n", "over is 'psi_n'"),
        (3, "over is 3"),
        (TABLE, "to_dict"),
        (np.ones((2, 2)), "over is an array of shape"),
        ([1.0, 2.0], r"a point of the sweep is 1\.0"),
        ([{"psi_n": [1.0, 2.0]}], "it must be one value"),
        ([{"psi_n": np.ones(2)}], "it must be one value"),
        ([{}], "at least one"),
        ({}, "at least one"),
        ({"psi_n": 1.0}, "at least one"),
        ({"psi_n": [1.0], "t": []}, "t has none"),
        ({3: [1.0]}, "names are strings"),
        ({"psi_q": [1.0]}, "psi_q"),
        ({"power_law.size": [1.0]}, "power_law.size"),
    ],
)
def test_what_is_no_grid_and_no_list(over, message):
    with pytest.raises(rf.ModelError, match=message) as caught:
        rf.sweep(MODEL, over, "edge_low")
    assert "\n" not in str(caught.value)


def test_the_rows_of_a_table_are_points():
    found = rf.sweep(MODEL, TABLE.to_dict("records"), "tau_gen")
    right = rf.sweep(MODEL, [{"psi_n": n, "t": t} for n, t in TABLE.to_numpy()], "tau_gen")
    np.testing.assert_array_equal(found.quantities["tau_gen"], right.quantities["tau_gen"])


@pytest.mark.parametrize("name", ["rtol", "level", "multiple", "gap_level", "tolerance"])
def test_settings_that_are_no_numbers(name):
    calls = [
        lambda value: rf.sweep(MODEL, {"psi_n": [1.0]}, "edge_low", **{name: value}),
        lambda value: rf.phase_diagram(MODEL, {"psi_n": [1.0], "t": [0.1]}, **{name: value}),
        lambda value: rf.scaling(MODEL, "psi_n", VALUES, **{name: value}),
    ]
    for call in {"gap_level": calls[:1], "multiple": calls[:2], "tolerance": calls[2:]}.get(
        name, calls
    ):
        # without one, scaling takes what is usual for the model
        none = () if (name, call) == ("rtol", calls[2]) else (None,)
        for value in (*none, "x", True, [0.1], -1.0, 0.0, math.nan, math.inf):
            with pytest.raises(rf.ModelError, match=f"{name} is") as caught:
                call(value)
            assert "\n" not in str(caught.value)
    if name == "tolerance":
        return
    for value in (np.float32(2**-7), Fraction(1, 128), Decimal("0.0078125"), np.array(2.0**-7)):
        request = Request(("edge_low",), **{name: value})
        assert getattr(request, name) == 2.0**-7
        assert type(getattr(request, name)) is float


@pytest.mark.parametrize(
    "tau",
    [None, "1", ["a"], [None], [True], True, [1j], [math.nan], [-1.0], [[1.0], [2.0, 3.0]],
     np.array(["2020"], dtype="datetime64[Y]"), np.ma.masked_array([1.0], [1]), object(),
     pandas.Series([1.0, None]), [10**400], {1.0: 2.0}],
)  # fmt: skip
def test_times_that_are_none(tau):
    calls = [lambda: rf.sweep(MODEL, {"psi_n": [1.0]}, "test", tau=tau)]
    if tau is not None:
        calls += [lambda: rf.phase_diagram(MODEL, {"psi_n": [1.0], "t": [0.1]}, tau=tau)]
    for call in calls:
        with pytest.raises(rf.ModelError, match="tau") as caught:
            call()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("quantities", "message"),
    [
        (None, "quantities is None"), (3, "quantities is 3"), (b"test", "quantities is b'test'"),
        ([None], "None"), ([3], "3"), (["x"], "'x'"), ([b"test"], "test"),
        ([["tau_gen"]], "tau_gen"),
        ((), "no quantity"), (iter(()), "no quantity"), ("", "''"), (True, "True"),
    ],
)  # fmt: skip
def test_quantities_that_are_none(quantities, message):
    with pytest.raises(rf.ModelError, match=message) as caught:
        rf.sweep(MODEL, {"psi_n": [1.0]}, quantities)
    assert "\n" not in str(caught.value)


def test_quantities_in_anything():
    for names in (np.array(["tau_gen", "atom"]), iter(["tau_gen", "atom"]), ["tau_gen", "atom"]):
        assert Request.of(names, ()).quantities == ("tau_gen", "atom")


@pytest.mark.parametrize("model", [None, "model", 3, rf.ScoreModel, object()])
def test_models_that_are_none(model):
    for call in (
        lambda: rf.sweep(model, {"psi_n": [1.0]}, "edge_low"),
        lambda: rf.scaling(model, "psi_n", VALUES),
        lambda: rf.phase_diagram(model, {"psi_n": [1.0], "t": [0.1]}),
        lambda: Plan(model, rf.GradientFlow(), {"psi_n": [1.0]}, REQUEST),
    ):
        with pytest.raises(rf.ModelError, match="model is"):
            call()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"rule": "gradient-flow"}, "rule is"),
        ({"rule": rf.GradientFlow}, "rule is"),
        ({"executor": "x"}, "executor is"),
        ({"executor": 3}, "executor is"),
        ({"progress": 3}, "progress is"),
        ({"path": 3}, "path is 3"),
        ({"path": b""}, "path is empty"),
    ],
)
def test_other_arguments_that_are_none(more, message):
    with pytest.raises((rf.ModelError, rf.DataError), match=message):
        rf.sweep(MODEL, {"psi_n": [1.0]}, "edge_low", **more)


@pytest.mark.parametrize(
    "over", [None, "psi_n", 3, [], [1.0], {"psi_n": [1.0], 3: [1.0]}, {}, TABLE]
)
def test_planes_of_nothing(over):
    with pytest.raises(rf.ModelError, match="the plane is") as caught:
        rf.phase_diagram(MODEL, over)
    assert "\n" not in str(caught.value)


def test_work_larger_than_the_memory_is_refused_before_it_begins(monkeypatch):
    """54 GB of values, and more."""
    monkeypatch.setattr("dmft_rf.sweeps.run.work", None)
    many, far = np.geomspace(1.0, 1e3, 4096), np.linspace(1.0, 2.0, 50_000)
    with pytest.raises(rf.ModelError, match=r"16777216 points.*split it"):
        rf.phase_diagram(MODEL, {"psi_n": many, "psi_p": many})
    over = dict.fromkeys(("psi_n", "psi_p", "t", "weight_decay"), far)
    with pytest.raises(rf.ModelError, match="6250000000000000000 points"):
        rf.sweep(MODEL, over, "test", tau=[1.0])
