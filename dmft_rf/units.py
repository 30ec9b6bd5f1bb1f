r"""Training time of the theory, steps and learning rate of a real run.

The theory's training time is that of dA/dtau = -d^2 grad_A L_train (arXiv:2505.17638). Gradient
descent with learning rate eta on the same loss, the mean over the dimensions, moves A by
-eta grad_A L_train a step, so k steps are tau = k eta/d^2. A network that is written without the
1/sqrt(p), s(x) = A' sigma(W x/sqrt(d)), has A' = A/sqrt(p) and its gradient step is p times
larger in A: tau = k eta p/d^2 = k eta psi_p/d. Momentum beta multiplies both by 1/(1 - beta);
Adam has no such conversion.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dmft_rf._arithmetic import ieee
from dmft_rf._convert import floats, number
from dmft_rf.errors import ModelError

__all__ = ["steps_from_time", "time_from_steps"]

Array = NDArray[np.float64]

_SMALLEST = 1e-300


@ieee
def time_from_steps(
    steps: ArrayLike, learning_rate: float, dimension: float, psi_p: float | None = None
) -> Array:
    """Gradient-flow time tau after a number of steps of gradient descent.

    Parameters
    ----------
    steps : array_like, any shape
        Steps made, >= 0; inf is allowed.
    learning_rate : float
        eta > 0, on the loss averaged over samples and dimensions.
    dimension : float
        d > 0 of the real run.
    psi_p : float, optional
        p/d: give it if the network has no 1/sqrt(p) in front. None is the network
        s_A(x) = A sigma(W x/sqrt(d))/sqrt(p) of the theory.

    Returns
    -------
    ndarray, the shape of ``steps``
        k eta/d^2, or k eta psi_p/d where psi_p is given.

    Raises
    ------
    ModelError
        If an argument is outside its domain.
    """
    return _scaled(steps, "steps", _time_per_step(learning_rate, dimension, psi_p), np.multiply)


@ieee
def steps_from_time(
    tau: ArrayLike, learning_rate: float, dimension: float, psi_p: float | None = None
) -> Array:
    """Steps of gradient descent (not rounded) that reach the gradient-flow time ``tau``.

    Parameters
    ----------
    tau : array_like, any shape
        Gradient-flow time, >= 0; inf is allowed.
    learning_rate, dimension, psi_p
        As in `time_from_steps`.

    Returns
    -------
    ndarray, the shape of ``tau``
        tau d^2/eta, or tau d/(eta psi_p) where psi_p is given.

    Raises
    ------
    ModelError
        If an argument is outside its domain.
    """
    return _scaled(tau, "tau", _time_per_step(learning_rate, dimension, psi_p), np.divide)


def _time_per_step(learning_rate: Any, dimension: Any, psi_p: Any) -> float:
    """tau of one step; its inverse is a float as well."""
    eta = number(learning_rate, "learning_rate", above=0.0)
    d = np.float64(number(dimension, "dimension", above=0.0))
    with np.errstate(all="ignore"):
        step = eta / d**2 if psi_p is None else eta * number(psi_p, "psi_p", above=0.0) / d
    if not _SMALLEST <= step <= 1.0 / _SMALLEST:
        raise ModelError(
            f"one step would be tau = {step:g}, for learning_rate = {eta:g} and dimension = {d:g}; "
            f"times between {_SMALLEST:g} and {1.0 / _SMALLEST:g} can be stated"
        )
    return float(step)


def _scaled(values: ArrayLike, name: str, factor: float, operation: np.ufunc) -> Array:
    """Amounts >= 0 or inf times or over a factor; what is finite stays finite."""
    amounts = floats(values, name, least=0.0, infinite=True)
    with np.errstate(over="ignore"):
        found = np.asarray(operation(amounts, factor))
    lost = np.isinf(found) & np.isfinite(amounts)
    if lost.any():
        raise ModelError(
            f"{name} holds {float(amounts[lost].flat[0])!r}: at {factor:g} a step that is beyond "
            "the range of floats"
        )
    return found
