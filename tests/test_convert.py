"""Converters at the door: one kind of value comes out, or one line that says why not."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from dmft_rf._convert import floats, instance, number, one_of, shown, whole
from dmft_rf.errors import ModelError

NOT_NUMBERS = [
    None, "0.5", True, np.True_, 1j, [1.0], np.array([1.0]), np.ma.array(0.5),
    np.timedelta64(3, "s"), np.datetime64("2026-01-01"), 10**400, math.nan, object(), {}, b"1",
    Decimal("nan"), np.float32("nan"),
]  # fmt: skip


class TestNumber:
    @pytest.mark.parametrize(
        "value",
        [
            0.5, np.float16(0.5), np.float32(0.5), np.longdouble(0.5), Decimal("0.5"),
            Fraction(1, 2), np.array(0.5), np.array(0.5, dtype=np.float16),
        ],
    )  # fmt: skip
    def test_any_precision_becomes_a_float(self, value):
        found = number(value, "t", above=0.0)
        assert type(found) is float
        assert found == 0.5

    def test_small_integers_do_not_wrap(self):
        assert number(np.int8(12), "initial_std", least=0.0) ** 2 == 144.0

    @pytest.mark.parametrize("value", NOT_NUMBERS, ids=lambda value: type(value).__name__)
    def test_refuses_what_is_no_real_number(self, value):
        with pytest.raises(ModelError, match=r"^t is .*; it must be finite and > 0$"):
            number(value, "t", above=0.0)

    @pytest.mark.parametrize(
        ("value", "limits"),
        [
            (0.0, {"above": 0.0}), (-1e-300, {"least": 0.0}), (1.0, {"below": 1.0}),
            (2.0, {"least": 0.0, "most": 1.0}), (math.inf, {}), (-math.inf, {"infinite": True}),
            (math.inf, {"below": 1.0}), (math.inf, {"above": 0.0}),
        ],
    )  # fmt: skip
    def test_limits(self, value, limits):
        with pytest.raises(ModelError, match=r"^x is "):
            number(value, "x", **limits)

    def test_infinity_where_it_is_allowed(self):
        assert number(math.inf, "tau", least=0.0, infinite=True) == math.inf


class TestWhole:
    @pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(3), np.array(3)])
    def test_integers(self, value):
        assert type(whole(value, "atoms")) is int

    @pytest.mark.parametrize("value", [3.0, True, 0, "3", None, -1, np.timedelta64(3, "s"), [3], 5])
    def test_refuses(self, value):
        with pytest.raises(ModelError, match=r"^atoms is .*; it must be an integer between"):
            whole(value, "atoms", most=4)


class TestFloats:
    @pytest.mark.parametrize(
        "values",
        [
            [1, 2], (1.0, 2.0), np.array([1, 2], dtype=np.int8), np.array([1, 2], dtype=np.float32),
            [Decimal(1), Fraction(2)], np.array([1, 2], dtype=object), range(1, 3),
        ],
    )  # fmt: skip
    def test_become_float64(self, values):
        found = floats(values, "tau", ndim=1)
        assert found.dtype == np.float64
        assert found.tolist() == [1.0, 2.0]

    def test_is_a_copy_that_nobody_can_write(self):
        mine = np.array([1.0, 2.0])
        found = floats(mine, "tau")
        mine *= 100.0
        assert found.tolist() == [1.0, 2.0]
        with pytest.raises(ValueError, match="read-only"):
            found *= 2.0

    @pytest.mark.parametrize(
        "values",
        [
            None, "12", ["1", "2"], [1j], [True], [[1.0], [2.0, 3.0]], [math.nan], [math.inf], {},
            np.ma.array([1.0, 2.0], mask=[0, 1]), np.array(["2026-01-01"], dtype="M8[D]"),
            np.array([1], dtype="m8[s]"), [10**400], [None], object(), [-1.0],
            np.array([(1.0, 2.0)], dtype=[("a", float), ("b", float)]),
        ],
        ids=lambda value: type(value).__name__,
    )  # fmt: skip
    def test_refuses(self, values):
        with pytest.raises(ModelError, match=r"^tau "):
            floats(values, "tau", least=0.0)

    def test_dimensions_and_emptiness(self):
        with pytest.raises(ModelError, match="one-dimensional, not of shape"):
            floats(3.0, "eigenvalues", ndim=1)
        with pytest.raises(ModelError, match="empty"):
            floats([], "eigenvalues", empty=False)


class TestOthers:
    def test_instance_says_how_to_make_one(self):
        with pytest.raises(ModelError, match=r"solution is None; .*float, for instance solve\(m\)"):
            instance(None, float, "solution", "solve(m)")
        assert instance(1.5, float, "solution", "") == 1.5

    def test_one_of(self):
        assert one_of("a", ("a", "b"), "plane") == "a"
        for wrong in ("c", None, ["a"], 1):
            with pytest.raises(ModelError, match="it must be one of a, b"):
                one_of(wrong, ("a", "b"), "plane")

    def test_shown_is_one_short_line_whatever_it_is_given(self):
        class Rude:
            def __repr__(self):
                raise RuntimeError("no")

        for value in (10**10000, Rude(), np.eye(30), "a\nb\x1b[31m", "x" * 1000):
            text = shown(value)
            assert len(text) <= 60
            assert text.isprintable()
