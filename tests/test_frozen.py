"""What is returned or kept: read-only, equal by content, the same after pickling and copying."""

import copy
import inspect
import json
import math
import pickle
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest

import dmft_rf as rf
from dmft_rf._frozen import Frozen, FrozenDict, same
from tests.helpers.public import COVARIANCE, GROUPED, MODEL, results

COPIES: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "oldest pickle": lambda value: pickle.loads(pickle.dumps(value, 2)),
    "newest pickle": lambda value: pickle.loads(pickle.dumps(value, pickle.HIGHEST_PROTOCOL)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


def inside(
    value: Any, path: str, seen: dict[int, Any], computed: bool
) -> Iterator[tuple[str, Any]]:
    """All that can be reached from a value: fields, kept (and computed) attributes, entries."""
    if id(value) in seen:
        return
    seen[id(value)] = value  # kept, so that nothing new gets its address
    yield path, value
    parts: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        parts = [(f"[{key!r}]", part) for key, part in value.items()]
    elif isinstance(value, list | tuple):
        parts = [(f"[{i}]", part) for i, part in enumerate(value)]
    elif type(value).__module__.startswith("dmft_rf"):
        names = {name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())}
        names |= set(getattr(value, "__dict__", ()))
        names |= {
            name
            for name, member in inspect.getmembers(type(value))
            if computed and isinstance(member, property) and name != "T"  # T has one again
        }
        for name in sorted(names):
            try:
                parts.append((f".{name}", getattr(value, name)))
            except rf.ModelError:  # a mixture has no coefficients of its own
                continue
    for name, part in parts:
        yield from inside(part, path + name, seen, computed)


def open_to_changes(value: Any, name: str, computed: bool = True) -> list[str]:
    """Places of arrays and dictionaries in it that can be changed."""
    kept = ("._regions", "._values")  # what a solution adds to while it is used
    return [
        path
        for path, part in inside(value, name, {}, computed)
        if (isinstance(part, np.ndarray) and part.flags.writeable)
        or (type(part) is dict and not path.endswith(kept))
    ]


def test_nothing_in_a_result_can_be_changed() -> None:
    found = [path for name, value in results().items() for path in open_to_changes(value, name)]
    assert found == []


def test_the_walk_sees_arrays_wherever_they_are() -> None:
    class Holder:
        __slots__ = ("held",)
        __module__ = "dmft_rf.test"

    holder = Holder()
    holder.held = [{"a": (np.zeros(1),)}]
    assert open_to_changes(holder, "x") == ["x.held[0]", "x.held[0]['a'][0]"]


@pytest.mark.parametrize("how", sorted(COPIES))
def test_nothing_in_a_copy_can_be_changed(how: str) -> None:
    found = [
        path
        for name, value in results().items()
        for path in open_to_changes(COPIES[how](value), name, computed=False)
    ]
    assert found == []


@pytest.mark.parametrize("how", sorted(COPIES))
def test_copies_are_equal(how: str) -> None:
    for name, value in results().items():
        twin = COPIES[how](value)
        assert twin == value, name
        assert type(twin) is type(value)
        assert hash(twin) == hash(value), name


def test_every_result_derives_from_one_class_or_is_made_of_numbers() -> None:
    """So that equality, copies and read-only arrays have one mechanism."""
    for name, value in results().items():
        if is_dataclass(value) and not isinstance(value, Frozen):
            parts = [getattr(value, f.name) for f in fields(value)]
            assert not any(isinstance(part, np.ndarray | dict) for part in parts), name
        if isinstance(value, Frozen) and name not in ("ScoreModel", "grouped model"):
            assert type(value).__eq__ is Frozen.__eq__, name


def test_attributes_cannot_be_set() -> None:
    for name in ("LearningCurves", "Solution", "Spectrum", "Scaling", "Sweep", "PencilSpectrum"):
        value = results()[name]
        field = fields(value)[0].name
        with pytest.raises(AttributeError):
            setattr(value, field, None)


# -- what an edit in place did -------------------------------------------------------------------


def test_dictionaries_refuse_every_change() -> None:
    error = results()["LearningCurves"].error
    assert isinstance(error, dict)
    for change in (
        lambda: error.update(train=0.0), lambda: error.pop("train"), error.clear, error.popitem,
        lambda: error.setdefault("x", 0.0), lambda: error.__setitem__("train", 0.0),
        lambda: error.__delitem__("train"), lambda: error.__ior__({"train": 0.0}),
    ):  # fmt: skip
        with pytest.raises(TypeError, match="read-only"):
            change()
    assert dict(error) == error
    assert {**error}.keys() == error.keys()
    assert json.loads(json.dumps(results()["Timescales"].definitions))["window"]


# -- equality --------------------------------------------------------------------------------------


def test_the_same_question_has_an_equal_answer() -> None:
    one, two = rf.solve(MODEL, 1e-6), rf.solve(MODEL, 1e-6)
    assert one == two
    assert hash(one) == hash(two)
    assert one.learning_curves([1.0, math.inf]) == two.learning_curves([1.0, math.inf])
    assert rf.timescales(one) == rf.timescales(two)
    assert rf.bulk_split(one, 1.0) == rf.bulk_split(two, 1.0)
    assert rf.spectrum(MODEL) == one.spectrum
    assert rf.resolvent(MODEL, 1j) == rf.resolvent(MODEL, 1j)
    assert results()["System"].solve(1j) == results()["System"].solve(1j)


def test_another_question_has_another_answer() -> None:
    one, curves = results()["Solution"], results()["LearningCurves"]
    assert one != rf.solve(MODEL, 1e-7)
    assert one != rf.solve(MODEL.replace(t=0.2), 1e-6)
    assert curves != one.learning_curves([0.0, 1.0])
    assert curves != one.learning_curves([0.0, 1.0, math.inf], rf.GradientFlow(0.1))
    assert curves != 3
    assert curves != replace(curves, train=curves.train + 1e-12)
    assert rf.resolvent(MODEL, 1j) != rf.resolvent(MODEL, 2j)
    assert results()["System"] != results()["Regression"].system
    assert rf.spectrum(MODEL) != rf.spectrum(GROUPED)
    assert rf.Mixture([0.5, 0.5], [[1.0], [2.0]]) != rf.Mixture([0.5, 0.5], [[1.0], [3.0]])


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        (np.array([1.0, math.nan]), np.array([1.0, math.nan]), True),
        (np.array([1.0, math.nan]), np.array([1.0, 2.0]), False),
        (np.array([1.0]), np.array([[1.0]]), False),
        (np.array([1.0]), 1.0, False),
        (np.array(["a"]), np.array(["a"]), True),
        (np.array(["a"]), np.array([1.0]), False),
        (float("nan"), float("nan"), True),
        (math.nan, 1.0, False),
        ({"a": np.ones(2)}, {"a": np.ones(2)}, True),
        ({"a": np.ones(2)}, {"b": np.ones(2)}, False),
        (FrozenDict(a=math.nan), {"a": float("nan")}, True),
        ((1.0, np.ones(2)), (1.0, np.ones(2)), True),
        ((1.0,), [1.0], False),
        (None, 0, False),
    ],
)
def test_equal_values(a: Any, b: Any, equal: bool) -> None:
    assert same(a, b) is same(b, a) is equal


# -- the same results after pickling and copying -------------------------------------------------


def test_an_error_keeps_what_was_reached() -> None:
    error = rf.ConvergenceError("not reached", partial=results()["LearningCurves"], residual=1e-3)
    for again in COPIES.values():
        twin = again(error)
        assert (str(twin), twin.residual) == (str(error), error.residual)
        assert twin.partial == error.partial


@pytest.mark.parametrize("how", sorted(COPIES))
def test_copies_give_the_same_results(how: str) -> None:
    again = COPIES[how]
    r = results()
    tau = np.array([0.0, 0.5, 7.0, math.inf])
    one = r["Solution"].learning_curves(tau)
    assert again(r["Solution"]).learning_curves(tau) == one
    assert again(r["grouped Solution"]).learning_curves(tau) == r[
        "grouped Solution"
    ].learning_curves(tau)
    assert rf.timescales(again(r["Solution"])) == r["Timescales"]
    for name in ("Spectrum", "PencilSpectrum"):
        law, twin = r[name], again(r[name])
        assert twin.moment(2) == law.moment(2)
        assert np.array_equal(twin.edges, law.edges)
        assert np.array_equal(twin.density([0.5, 1.0]), law.density([0.5, 1.0]))
    z = [0.3 + 1.0j, 2.0 - 0.1j]
    assert np.array_equal(again(r["System"]).solve(z).q, r["System"].solve(z).q)
    bound = again(r["Pencil"]).bind(COVARIANCE), r["Pencil"].bind(COVARIANCE)
    assert np.array_equal(bound[0].solve(z).q, bound[1].solve(z).q)
    assert str(again(r["expression"])) == str(r["expression"])
    assert str(again(r["Equations"])) == str(r["Equations"])
    assert (
        again(r["Regression"]).losses(tau, 9.0, 1e-2)[1].tolist()
        == r["Regression"].losses(tau, 9.0, 1e-2)[1].tolist()
    )
    points = again(r["Points"])
    place = {("u", "u"): 1.0}
    assert np.array_equal(
        points.two_point(points, place, place), r["Points"].two_point(points, place, place)
    )
