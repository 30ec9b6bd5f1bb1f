"""Activations: names, callables, validation, identity."""

import math

import mpmath as mp
import numpy as np
import pytest

from dmft_rf.errors import ModelError
from dmft_rf.model.activation import NAMED, Activation

MP_FUNCTIONS = {
    "tanh": mp.tanh,
    "relu": lambda x: max(x, mp.mpf(0)),
    "erf": mp.erf,
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "softplus": lambda x: mp.log1p(mp.exp(x)),
    "gelu": lambda x: x * mp.erfc(-x / mp.sqrt(2)) / 2,
    "linear": lambda x: x,
}


def test_every_name_has_a_reference() -> None:
    assert set(MP_FUNCTIONS) == set(NAMED)


@pytest.mark.parametrize("name", MP_FUNCTIONS)
def test_named_activations_keep_relative_precision(name: str) -> None:
    # far negative arguments are where 1/(1 + e^-x), log(1 + e^x) and x Phi(x) lose digits
    x = np.array([-30.0, -8.0, -1.3, -1e-9, 0.0, 1e-9, 0.4, 3.0, 30.0])
    values = Activation.of(name)(x)
    with mp.workdps(40):
        exact = [MP_FUNCTIONS[name](mp.mpf(float(y))) for y in x]
    # Gaussian tails amplify the rounding of x^2/2 = 450 in their exponent
    rtol = 1e-13 if name == "gelu" else 2e-15
    np.testing.assert_allclose(values, np.array(exact, dtype=float), rtol=rtol)


@pytest.mark.parametrize("name", MP_FUNCTIONS)
def test_named_activations_survive_extreme_arguments(name: str) -> None:
    with np.errstate(all="raise"):
        values = Activation.of(name)(np.array([-1e4, 1e4]))
    assert np.isfinite(values).all()


@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3), (0, 4), (2, 1, 3)])
def test_any_shape(shape: tuple[int, ...]) -> None:
    x = np.linspace(-1, 1, math.prod(shape)).reshape(shape)
    for activation in (Activation.of("tanh"), Activation.of(lambda y: np.tanh(y))):
        values = activation(x)
        assert isinstance(values, np.ndarray)
        assert values.shape == shape
        assert values.dtype == np.float64
        np.testing.assert_array_equal(values, np.tanh(x))


def test_of_accepts_names_callables_and_activations() -> None:
    tanh = Activation.of("tanh")
    assert tanh is NAMED["tanh"]
    assert Activation.of(tanh) is tanh
    assert Activation.of(np.sin).name == "sin"

    class Cubic:
        def __call__(self, x: np.ndarray) -> np.ndarray:
            return x**3

    assert Activation.of(Cubic()).name == "Cubic"
    np.testing.assert_array_equal(Activation.of(Cubic())([2.0, -1.0]), [8.0, -1.0])
    # comparisons and integers are numbers
    np.testing.assert_array_equal(Activation.of(lambda x: x > 0)([2.0, -1.0]), [1.0, 0.0])


def test_equality_and_hash() -> None:
    def f(x: np.ndarray) -> np.ndarray:
        return x**3

    assert Activation.of(f) == Activation.of(f)
    assert hash(Activation.of(f)) == hash(Activation.of(f))
    assert Activation.of(f) != Activation.of(lambda x: x**3)
    assert Activation("f", f) != Activation("g", f)
    assert Activation("f", f) != Activation("f", f, (0.0,))
    assert Activation("f", f) != "f"
    assert len({Activation.of("relu"), Activation.of("relu"), Activation.of("tanh")}) == 2

    class Unhashable:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, x: np.ndarray) -> np.ndarray:
            return x

    assert isinstance(hash(Activation.of(Unhashable())), int)


def test_the_argument_is_protected_and_the_result_is_a_copy() -> None:
    def in_place(x: np.ndarray) -> np.ndarray:
        x[x < 0] = 0
        return x

    with pytest.raises(ModelError, match="read-only"):
        Activation.of(in_place)
    x = np.array([1.0, 2.0])
    values = Activation.of(lambda y: y)(x)
    values += 1.0
    np.testing.assert_array_equal(x, [1.0, 2.0])


def failing(x: np.ndarray) -> np.ndarray:
    raise RuntimeError("first line\nsecond line")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("swish", "'swish' is unknown; allowed are tanh, relu, erf, sigmoid, softplus, gelu"),
        ("", "unknown"),
        (None, "must be one of tanh"),
        (3.0, "got 3.0"),
        (failing, "RuntimeError: first line$"),
        (math.tanh, "TypeError"),
        (lambda: 0.0, "TypeError"),
        (lambda x: 0.0, r"shape of its argument, \(7,\), but returns \(\)"),
        (lambda x: x[:3], r"returns \(3,\)"),
        (lambda x: x[:, None], r"returns \(7, 1\)"),
        (lambda x: x + 0j, "real numbers, but returns complex128"),
        (lambda x: x.astype(str), "real numbers, but returns"),
        (lambda x: None, "returns"),
        (lambda x: np.log(x), "must be finite, but is nan at -3.0"),
        (lambda x: 1 / x, "must be finite, but is inf at 0.0"),
        (lambda x: np.where(x == 0.6, np.nan, x), "must be finite, but is nan at 0.6"),
    ],
)
def test_bad_activations(spec: object, message: str) -> None:
    with pytest.raises(ModelError, match=message) as info:
        Activation.of(spec)
    assert "\n" not in str(info.value)
