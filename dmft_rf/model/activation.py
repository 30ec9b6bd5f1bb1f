"""Activation functions of the random-features network.

The network applies one scalar function to each of its pre-activations; the theory sees that
function only through Gaussian averages (:mod:`dmft_rf.model.coefficients`). The named activations
are written in the forms that keep full relative precision where the textbook formula cancels or
overflows.

A function of the user's may read a global, a closure or an attribute, which can change. It is
therefore known by its values, not by its name or its code: see :mod:`dmft_rf.model.probes`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from dmft_rf._convert import floats, number, shown
from dmft_rf._typing import Array
from dmft_rf.errors import ModelError, meaning
from dmft_rf.model.probes import digest, scale_of

ActivationLike = Any
"""What :meth:`Activation.of` accepts: an ``Activation``, a name, or a callable on float arrays."""


@dataclass(frozen=True, eq=False)
class Activation:
    """A scalar function applied to every pre-activation.

    Two activations are equal when they have the same name, kinks and values, so an activation can
    be a dictionary key or the argument of a cached function. What its values are is found out when
    it is made: a function that changes afterwards belongs to a new activation (`restated`).

    Parameters
    ----------
    name : str
        Shown in messages, files and pictures. A function under the name of another activation of
        the package is called "own NAME".
    function : callable
        Vectorised: a float array of shape (m,) to an array of shape (m,). A function of the
        argument alone: no random numbers, and no value that depends on the other arguments.
    kinks : tuple of float
        Arguments at which a derivative of the function, or the function itself, jumps; ``()`` for
        a smooth function. Kinks that are not declared are searched for, which costs a few
        milliseconds.

    Attributes
    ----------
    values : str
        Digest of the function's values at some thousand arguments of every size; empty for the
        package's own, which are known by their names.

    Raises
    ------
    ModelError
        If the name is no text, the function cannot be called or gives other values for the same
        arguments a second time, or a kink is no finite number.
    """

    name: str
    function: Callable[[Array], Array]
    kinks: tuple[float, ...] = ()
    values: str = field(init=False, repr=False, default="")

    @classmethod
    def of(cls, spec: ActivationLike) -> Activation:
        """Turn a name, a callable or an ``Activation`` into an ``Activation``.

        Parameters
        ----------
        spec : Activation, str or callable
            A name is one of ``tanh``, ``relu``, ``erf``, ``sigmoid``, ``softplus``, ``gelu``,
            ``linear``. A callable is tried on a few arguments between -3 and 3. The function of an
            ``Activation`` is looked at again: if its values have changed, a new one is returned.

        Raises
        ------
        ModelError
            If the name is unknown, or if the callable raises, does not return finite real numbers
            in the shape of its argument, or gives other values for the same arguments.
        """
        if isinstance(spec, str):
            if spec not in NAMED:
                raise ModelError(
                    f"activation {shown(spec)} is unknown; {meaning(spec, NAMED)}allowed are "
                    f"{', '.join(NAMED)} or a callable"
                )
            return NAMED[spec]
        spec = cls.unchecked(spec)
        if spec.values:
            spec(np.array([-3.0, -1.7, -0.4, 0.0, 0.4, 1.7, 3.0]))
            spec(np.array([0.6]))
        return spec

    @classmethod
    def unchecked(cls, spec: ActivationLike) -> Activation:
        """As `of`, but a callable may raise, or return what is no value: where it is used, it will.

        Raises
        ------
        ModelError
            If ``spec`` is none of these, or gives other values for the same arguments.
        """
        if isinstance(spec, str | Activation):
            return cls.of(spec) if isinstance(spec, str) else spec.restated()
        if not callable(spec):
            raise ModelError(
                f"activation must be one of {', '.join(NAMED)}, an Activation or a callable, "
                f"got {shown(spec)}"
            )
        name = getattr(spec, "__name__", None)
        return cls(name if isinstance(name, str) else type(spec).__name__, spec)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.isprintable():
            raise ModelError(f"the name of an activation is {shown(self.name)}; it must be a text")
        if not callable(self.function):
            raise ModelError(f"activation {self.name!r}: {shown(self.function)} is not callable")
        try:
            kinks = floats([number(kink, "kink") for kink in self.kinks], "kinks", ndim=1)
        except Exception:  # also of an object of the caller's own, which cannot be read
            raise ModelError(
                f"activation {self.name!r}: kinks must be finite numbers, got {shown(self.kinks)}"
            ) from None
        object.__setattr__(self, "kinks", tuple(sorted(set(kinks.tolist()))))
        own = _FUNCTIONS.get(self.name)
        if self.function is not own:
            object.__setattr__(self, "values", digest(self._raw, self.kinks, self.name))
            if own is not None and self.values != _values_of(self.name, self.kinks):
                object.__setattr__(self, "name", f"own {self.name}")

    def restated(self) -> Activation:
        """Return this activation, or a new one if its function gives other values than before.

        Raises
        ------
        ModelError
            If the function gives other values for the same arguments.
        """
        if not self.values or digest(self._raw, self.kinks, self.name) == self.values:
            return self
        return Activation(self.name, self.function, self.kinks)

    def values_for(self, deviation: float) -> str:
        """As ``values``, for a Gaussian of a deviation that they do not cover; else empty."""
        scale = scale_of(deviation)
        if scale == 1.0 or not self.values:
            return ""
        return digest(self._raw, self.kinks, self.name, scale)

    def __call__(self, x: npt.ArrayLike) -> Array:
        """Apply the function to an array of any shape.

        The function itself only ever sees a non-empty, read-only array of shape (m,).

        Parameters
        ----------
        x : array_like of float, any shape
            Pre-activations.

        Returns
        -------
        ndarray of float, the shape of `x`

        Raises
        ------
        ModelError
            If the function raises, or does not return m finite real numbers.
        """
        argument = np.asarray(x, dtype=np.float64)
        if argument.size == 0:
            return np.zeros(argument.shape)
        flat = argument.reshape(-1).view()
        flat.flags.writeable = False
        result = self._raw(flat)
        finite = np.isfinite(result)
        if not finite.all():
            worst = int(np.argmin(finite))
            raise ModelError(
                f"activation {self.name!r} must be finite, but is {result[worst]} at "
                f"{float(flat[worst])!r}"
            )
        return result.reshape(argument.shape)

    def _raw(self, flat: Array) -> Array:
        """Values on a read-only array of shape (m,), finite or not; or ModelError."""
        try:
            with np.errstate(all="ignore"):  # overflow is reported by who minds, as a value
                values = np.asarray(self.function(flat))
        except Exception as error:
            raise ModelError(
                f"activation {self.name!r} fails on a float array of shape {flat.shape}: "
                f"{type(error).__name__}: {_one_line(error)}"
            ) from error
        if values.shape != flat.shape:
            raise ModelError(
                f"activation {self.name!r} must return the shape of its argument, "
                f"{flat.shape}, but returns {values.shape}"
            )
        if values.dtype.kind not in "fiub":
            raise ModelError(
                f"activation {self.name!r} must return real numbers, but returns {values.dtype}"
            )
        result: Array = values.astype(np.float64, copy=values is flat or values.base is flat)
        return result

    @property
    def _identity(self) -> tuple[str, tuple[float, ...], str]:
        return self.name, self.kinks, self.values

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Activation):
            return NotImplemented
        return self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)


def _one_line(error: Exception) -> str:
    """Return the first line of an error message."""
    return (str(error).splitlines() or [""])[0]


# Functions rather than lambdas, so that an Activation can be sent to another process;
# scipy.special is imported at first use, so that importing the package stays quick.


def _relu(x: Array) -> Array:
    return np.maximum(x, 0.0)


def _linear(x: Array) -> Array:
    return np.array(x, dtype=np.float64)


def _softplus(x: Array) -> Array:
    """Return log(1 + e^x) without overflow, and without loss for very negative x."""
    return np.asarray(np.logaddexp(0.0, x))


def _erf(x: Array) -> Array:
    from scipy.special import erf

    return np.asarray(erf(x))


def _sigmoid(x: Array) -> Array:
    from scipy.special import expit

    return np.asarray(expit(x))


def _gelu(x: Array) -> Array:
    """Return x Phi(x) with the exact normal distribution function Phi."""
    from scipy.special import ndtr

    return np.asarray(x * ndtr(x))


_FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": np.tanh,
    "relu": _relu,
    "erf": _erf,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "gelu": _gelu,
    "linear": _linear,
}

NAMED: dict[str, Activation] = {
    name: Activation(name, function, (0.0,) if name == "relu" else ())
    for name, function in _FUNCTIONS.items()
}
"""The activations known by name."""


@lru_cache(maxsize=64)
def _values_of(name: str, kinks: tuple[float, ...]) -> str:
    """What ``values`` would be of a named function that a user gives."""
    return digest(NAMED[name]._raw, kinks, name)
