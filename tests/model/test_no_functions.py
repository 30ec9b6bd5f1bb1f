"""What is no function of its argument, or has no values far out, is refused or said."""

import math

import numpy as np
import pytest

from dmft_rf import ModelError, ScoreModel, sweep
from dmft_rf.model.activation import Activation
from dmft_rf.model.coefficients import coefficients
from dmft_rf.rules.flow import GradientFlow
from dmft_rf.sweeps.plan import Plan
from dmft_rf.sweeps.quantities import Request
from tests.helpers.fingerprints import OVER

# -- functions that are none --------------------------------------------------------------------


def counting():
    count = 0

    def function(x):
        nonlocal count
        count += 1
        return np.tanh(x * (1.0 + 1e-6 * count))

    return function


GENERATOR = np.random.default_rng(3)


@pytest.mark.parametrize(
    "function",
    [
        counting(),
        lambda x: np.tanh(x) + 1e-7 * GENERATOR.standard_normal(x.size),
        lambda x: np.tanh(x) * (GENERATOR.random(x.size) < 0.9),
        lambda x: x - x.mean(),
        lambda x: x / np.abs(x).max(),
        lambda x: np.tanh(np.cumsum(x)),
        lambda x: np.tanh(x) + 1e-6 * np.arange(x.size),
    ],
    ids=["counts", "noise", "dropout", "mean", "largest", "sum", "position"],
)
def test_what_is_no_function_of_its_argument_is_refused(function):
    for make in (Activation.of, lambda f: ScoreModel(0.1, 8.0, 4.0, f), lambda f: sweep(
        ScoreModel(0.1, 8.0, 4.0), {"activation": ["tanh", f]}, "tau_mem"
    )):  # fmt: skip
        with pytest.raises(ModelError, match="must be a function of its argument alone") as caught:
            make(function)
        assert "\n" not in str(caught.value)


def within(reach):
    def function(x):
        if np.abs(x).max() > reach:
            raise ValueError(f"beyond {reach}")
        return np.tanh(x)

    return function


@pytest.mark.parametrize(
    "function",
    [np.exp, np.sinh, lambda x: x**9, lambda x: np.exp(0.2 * x * x) * x, within(40.0), within(31.0),
     lambda x: np.where(np.abs(x) < 50.0, np.tanh(x), np.nan)],
    ids=["exp", "sinh", "power", "gaussian", "within 40", "within 31", "nan beyond 50"],
)  # fmt: skip
def test_functions_without_values_far_out_are_known_as_far_as_they_go(function):
    """Where no average reaches they may overflow, raise or be nan."""
    one, other = Activation.of(function), Activation.of(function)
    assert one == other
    assert one != Activation.of(lambda x: 1.001 * function(x))
    if function is not np.exp:
        assert math.isfinite(coefficients(one, 0.1).mu1)


def test_wrong_activations_are_one_line():
    for name in (None, 3, b"f", "a\nb", "a\0b", ["f"]):
        with pytest.raises(ModelError, match="name of an activation"):
            Activation(name, np.tanh)
    for kinks in (None, 3.0, "0", [True], ["x"], [1j], [math.nan], [[1.0, 2.0]], [None]):
        with pytest.raises(ModelError, match="kinks must be finite numbers"):
            Activation("f", np.tanh, kinks)
    assert Activation("f", np.tanh, np.array([1, -1, 1])).kinks == (-1.0, 1.0)
    with pytest.raises(ModelError, match="is not callable"):
        Activation("bad", 3)
    for spec in (None, 3.0, True, b"tanh", [np.tanh], np.array([1.0])):
        with pytest.raises(ModelError, match="activation must be one of"):
            Activation.of(spec)


def test_a_rule_of_ones_own_is_known_by_what_it_does():
    """Its name is no identity either."""

    def rule(factor):
        class Halved(GradientFlow):
            def filter(self, x, tau, rate):
                return factor * super().filter(x, tau, rate)

        return Halved()

    def fingerprint(one):
        return Plan(ScoreModel(0.1, 8.0, 4.0), one, OVER, Request(("test",), (1.0,))).fingerprint

    assert fingerprint(rule(0.5)) == fingerprint(rule(0.5))
    assert fingerprint(rule(0.5)) != fingerprint(rule(0.4))
    assert fingerprint(rule(1.0)) != fingerprint(GradientFlow())
