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

from dmft_rf.errors import ModelError

__all__ = ["steps_from_time", "time_from_steps"]


def time_from_steps(
    steps: ArrayLike, learning_rate: float, dimension: float, psi_p: float | None = None
) -> NDArray[np.float64]:
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
    return _amounts("steps", steps) * _time_per_step(learning_rate, dimension, psi_p)


def steps_from_time(
    tau: ArrayLike, learning_rate: float, dimension: float, psi_p: float | None = None
) -> NDArray[np.float64]:
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
    return _amounts("tau", tau) / _time_per_step(learning_rate, dimension, psi_p)


def _time_per_step(learning_rate: Any, dimension: Any, psi_p: Any) -> float:
    eta, d = _positive("learning_rate", learning_rate), _positive("dimension", dimension)
    return eta / d**2 if psi_p is None else eta * _positive("psi_p", psi_p) / d


def _positive(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not (np.isfinite(number) and number > 0.0):
        raise ModelError(f"{name} is {value!r}; it must be finite and > 0")
    if not 1e-100 <= number <= 1e100:  # of which squares and ratios are floats
        raise ModelError(f"{name} is {value!r}; it must be between 1e-100 and 1e100")
    return number


def _amounts(name: str, values: ArrayLike) -> NDArray[np.float64]:
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise ModelError(f"{name} is {values!r}; it must be numbers >= 0 or inf") from None
    bad = np.isnan(array) | (array < 0.0)
    if np.any(bad):
        raise ModelError(f"{name} holds {float(array[bad].ravel()[0])!r}; it must be >= 0 or inf")
    return array
