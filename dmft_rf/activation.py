"""Activation functions of the random-features network.

The network applies one scalar function to each of its pre-activations; the theory sees that
function only through Gaussian averages (:mod:`dmft_rf.coefficients`). The named activations are
written in the forms that keep full relative precision where the textbook formula cancels or
overflows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dmft_rf.errors import ModelError

FloatArray = npt.NDArray[np.float64]
ActivationLike = Any
"""What :meth:`Activation.of` accepts: an ``Activation``, a name, or a callable on float arrays."""


@dataclass(frozen=True, eq=False)
class Activation:
    """A scalar function applied to every pre-activation.

    Two activations are equal when they hold the same function object under the same name, so an
    activation can be a dictionary key or the argument of a cached function.

    Parameters
    ----------
    name : str
        Shown in messages, files and pictures.
    function : callable
        Vectorised: a float array of shape (m,) to an array of shape (m,).
    kinks : tuple of float
        Arguments at which a derivative of the function, or the function itself, jumps; ``()`` for
        a smooth function. Kinks that are not declared are searched for, which costs a few
        milliseconds.
    """

    name: str
    function: Callable[[FloatArray], FloatArray]
    kinks: tuple[float, ...] = ()

    @classmethod
    def of(cls, spec: ActivationLike) -> Activation:
        """Turn a name, a callable or an ``Activation`` into an ``Activation``.

        Parameters
        ----------
        spec : Activation, str or callable
            A name is one of ``tanh``, ``relu``, ``erf``, ``sigmoid``, ``softplus``, ``gelu``,
            ``linear``. A callable is tried on a few arguments between -3 and 3.

        Raises
        ------
        ModelError
            If the name is unknown, or if the callable raises or does not return finite real
            numbers in the shape of its argument.
        """
        if isinstance(spec, str):
            if spec not in NAMED:
                raise ModelError(
                    f"activation {spec!r} is unknown; allowed are {', '.join(NAMED)} or a callable"
                )
            return NAMED[spec]
        if not isinstance(spec, Activation):
            if not callable(spec):
                raise ModelError(
                    f"activation must be one of {', '.join(NAMED)}, an Activation or a callable, "
                    f"got {spec!r}"
                )
            name = getattr(spec, "__name__", None)
            spec = cls(name if isinstance(name, str) else type(spec).__name__, spec)
        spec(np.array([-3.0, -1.7, -0.4, 0.0, 0.4, 1.7, 3.0]))
        spec(np.array([0.6]))
        return spec

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ModelError(f"activation {self.name!r}: {self.function!r} is not callable")
        try:
            kinks = tuple(sorted({float(kink) for kink in self.kinks}))
        except (TypeError, ValueError):
            kinks = (float("nan"),)
        if not all(np.isfinite(kinks)):
            raise ModelError(
                f"activation {self.name!r}: kinks must be finite numbers, got {self.kinks!r}"
            )
        object.__setattr__(self, "kinks", kinks)

    def __call__(self, x: npt.ArrayLike) -> FloatArray:
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
        try:
            with np.errstate(all="ignore"):  # overflow is reported below, as a value
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
        result: FloatArray = values.astype(np.float64, copy=values is flat or values.base is flat)
        finite = np.isfinite(result)
        if not finite.all():
            worst = int(np.argmin(finite))
            raise ModelError(
                f"activation {self.name!r} must be finite, but is {result[worst]} at "
                f"{float(flat[worst])!r}"
            )
        return result.reshape(argument.shape)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Activation):
            return NotImplemented
        same = self.function is other.function
        return same and self.name == other.name and self.kinks == other.kinks

    def __hash__(self) -> int:
        return hash((self.name, id(self.function), self.kinks))


def _one_line(error: Exception) -> str:
    """Return the first line of an error message."""
    return (str(error).splitlines() or [""])[0]


# Functions rather than lambdas, so that an Activation can be sent to another process;
# scipy.special is imported at first use, so that importing the package stays quick.


def _relu(x: FloatArray) -> FloatArray:
    return np.maximum(x, 0.0)


def _linear(x: FloatArray) -> FloatArray:
    return np.array(x, dtype=np.float64)


def _softplus(x: FloatArray) -> FloatArray:
    """Return log(1 + e^x) without overflow, and without loss for very negative x."""
    return np.asarray(np.logaddexp(0.0, x))


def _erf(x: FloatArray) -> FloatArray:
    from scipy.special import erf

    return np.asarray(erf(x))


def _sigmoid(x: FloatArray) -> FloatArray:
    from scipy.special import expit

    return np.asarray(expit(x))


def _gelu(x: FloatArray) -> FloatArray:
    """Return x Phi(x) with the exact normal distribution function Phi."""
    from scipy.special import ndtr

    return np.asarray(x * ndtr(x))


NAMED: dict[str, Activation] = {
    "tanh": Activation("tanh", np.tanh),
    "relu": Activation("relu", _relu, (0.0,)),
    "erf": Activation("erf", _erf),
    "sigmoid": Activation("sigmoid", _sigmoid),
    "softplus": Activation("softplus", _softplus),
    "gelu": Activation("gelu", _gelu),
    "linear": Activation("linear", _linear),
}
"""The activations known by name."""
