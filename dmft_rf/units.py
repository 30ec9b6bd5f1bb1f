r"""Times of the theory and what a real run states instead: steps, noise levels of a schedule.

**Training time.**
The theory's training time is that of dA/dtau = -d^2 grad_A L_train (arXiv:2505.17638). Gradient
descent with learning rate eta on the same loss, the mean over the dimensions, moves A by
-eta grad_A L_train a step, so k steps are tau = k eta/d^2. A network that is written without the
1/sqrt(p), s(x) = A' sigma(W x/sqrt(d)), has A' = A/sqrt(p) and its gradient step is p times
larger in A: tau = k eta p/d^2 = k eta psi_p/d. Momentum beta multiplies both by 1/(1 - beta);
Adam has no such conversion.

**Diffusion time.** The theory's process is x_t = e^{-t} x_0 + sqrt(Delta_t) z with
Delta_t = 1 - e^{-2t} and unit noise z: variance preserving, with alpha_bar = e^{-2t} in
x = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) z (Ho et al., arXiv:2006.11239). A process whose
variance explodes, x = x_0 + sigma z (Karras et al., arXiv:2206.00364), is the same one multiplied
by e^t, with sigma^2 = Delta_t e^{2t} = e^{2t} - 1. All of them have the ratio of signal to noise
e^{-2t}/Delta_t = 1/sigma^2. A noise level refers to the data at the scale at which the network
sees them: pixels from -1 to 1, say. If the data are multiplied by a number, so is sigma.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dmft_rf._arithmetic import ieee
from dmft_rf._convert import floats, number, one_of, whole
from dmft_rf._typing import Array
from dmft_rf.errors import ModelError

__all__ = [
    "alpha_bar_from_t",
    "ddpm_index_from_t",
    "log_snr_from_t",
    "sigma_from_t",
    "steps_from_time",
    "t_from_alpha_bar",
    "t_from_ddpm",
    "t_from_log_snr",
    "t_from_sigma",
    "time_from_steps",
]


_SMALLEST = 1e-300
_TINY = float(np.finfo(np.float64).tiny)


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


# Diffusion time ----------------------------------------------------------------------------


@ieee
def t_from_alpha_bar(alpha_bar: ArrayLike) -> Array:
    """Diffusion time t of a share of the signal, ``alphas_cumprod`` of many programs.

    Parameters
    ----------
    alpha_bar : array_like, any shape
        Variance of the signal in x = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) z, between 0 and 1.

    Returns
    -------
    ndarray, the shape of ``alpha_bar``
        -log(alpha_bar)/2.

    Raises
    ------
    ModelError
        If it is not strictly between 0 and 1.
    """
    share = floats(alpha_bar, "alpha_bar")
    _require(share, "alpha_bar", (share > 0.0) & (share < 1.0), "strictly between 0 and 1")
    return np.asarray(-0.5 * np.log(share))


@ieee
def alpha_bar_from_t(t: ArrayLike) -> Array:
    """Share of the signal at a diffusion time, e^{-2t}; the inverse of `t_from_alpha_bar`.

    Parameters
    ----------
    t : array_like, any shape
        Diffusion time, > 0.

    Returns
    -------
    ndarray, the shape of ``t``

    Raises
    ------
    ModelError
        If t is not > 0, or so small or large that e^{-2t} rounds to 1 or 0.
    """
    return _noise_level(t, lambda time: np.exp(-2.0 * time), lambda share: share < 1.0)


@ieee
def t_from_sigma(sigma: ArrayLike) -> Array:
    """Diffusion time t of a noise level sigma of the variance-exploding process (EDM).

    Parameters
    ----------
    sigma : array_like, any shape
        Standard deviation of the noise in x = x_0 + sigma z, > 0.

    Returns
    -------
    ndarray, the shape of ``sigma``
        log(1 + sigma^2)/2.

    Raises
    ------
    ModelError
        If it is not finite and > 0, or so small that t is 0.
    """
    level = floats(sigma, "sigma")
    _require(level, "sigma", level > 0.0, "finite and > 0")
    t = np.where(level < 1.0, 0.5 * np.log1p(level**2), np.log(np.hypot(1.0, level)))
    _require(level, "sigma", t >= _TINY, "above 2.2e-154, for t to be a float above 0")
    return t


@ieee
def sigma_from_t(t: ArrayLike) -> Array:
    """Noise level sigma of the variance-exploding process, sqrt(e^{2t} - 1); see `t_from_sigma`.

    Parameters
    ----------
    t : array_like, any shape
        Diffusion time, > 0.

    Returns
    -------
    ndarray, the shape of ``t``

    Raises
    ------
    ModelError
        If t is not > 0, or so large that sigma is beyond the range of floats.
    """
    return _noise_level(t, lambda time: np.exp(time) * np.sqrt(-np.expm1(-2.0 * time)), np.isfinite)


@ieee
def t_from_log_snr(log_snr: ArrayLike) -> Array:
    """Diffusion time t of a logarithm of the ratio of signal to noise.

    Parameters
    ----------
    log_snr : array_like, any shape
        Natural logarithm of alpha_bar/(1 - alpha_bar) = 1/sigma^2 (Kingma et al.,
        arXiv:2107.00630); half of it is the lambda of DPM-Solver.

    Returns
    -------
    ndarray, the shape of ``log_snr``
        log(1 + e^{-log_snr})/2.

    Raises
    ------
    ModelError
        If it is not finite, or so large that t is 0.
    """
    ratio = floats(log_snr, "log_snr")
    t = 0.5 * np.logaddexp(0.0, -ratio)
    _require(ratio, "log_snr", t >= _TINY, "below 707, for t to be a float above 0")
    return np.asarray(t)


@ieee
def log_snr_from_t(t: ArrayLike) -> Array:
    """Logarithm of the ratio of signal to noise, -log(e^{2t} - 1); see `t_from_log_snr`.

    Parameters
    ----------
    t : array_like, any shape
        Diffusion time, > 0.

    Returns
    -------
    ndarray, the shape of ``t``

    Raises
    ------
    ModelError
        If t is not finite and > 0.
    """
    return _noise_level(t, lambda time: -(2.0 * time + np.log(-np.expm1(-2.0 * time))), np.isfinite)


@ieee
def t_from_ddpm(
    index: ArrayLike,
    betas: ArrayLike | None = None,
    *,
    schedule: str | None = None,
    steps: int | None = None,
) -> Array:
    """Diffusion time t of a step of a discrete schedule.

    Parameters
    ----------
    index : array_like, any shape
        Steps, counted from 0 as in ``alphas_cumprod[index]``, at most the number of steps - 1. (The
        papers count from 1.) Between two steps t is interpolated linearly.
    betas : array_like, shape (steps,), optional
        Variances of the noise that the steps add, each strictly between 0 and 1.
    schedule : str, optional
        Instead of ``betas``: "linear", the default, from 1e-4 to 0.02 (Ho et al.,
        arXiv:2006.11239), or "cosine" (Nichol and Dhariwal, arXiv:2102.09672, betas at most 0.999).
    steps : int, optional
        Number of steps of the schedule, 1000 by default.

    Returns
    -------
    ndarray, the shape of ``index``
        -(1/2) sum over s <= index of log(1 - beta_s).

    Raises
    ------
    ModelError
        If an argument is outside its domain.
    """
    times = _schedule(betas, schedule, steps)
    where = floats(index, "index", least=0.0)
    _require(where, "index", where <= times.size - 1, f"between 0 and {times.size - 1}")
    return np.asarray(np.interp(where, np.arange(times.size), times))


@ieee
def ddpm_index_from_t(
    t: ArrayLike,
    betas: ArrayLike | None = None,
    *,
    schedule: str | None = None,
    steps: int | None = None,
) -> Array:
    """Step of a discrete schedule at which the diffusion time is t, not rounded.

    Parameters
    ----------
    t : array_like, any shape
        Diffusion time, from that of the first step to that of the last.
    betas, schedule, steps
        As in `t_from_ddpm`.

    Returns
    -------
    ndarray, the shape of ``t``
        Counted from 0; `t_from_ddpm` of it is t.

    Raises
    ------
    ModelError
        If an argument is outside its domain.
    """
    times = _schedule(betas, schedule, steps)
    time = floats(t, "t")
    allowed = f"between {times[0]:.6g} and {times[-1]:.6g}, the first and the last step"
    _require(time, "t", (time >= times[0]) & (time <= times[-1]), allowed)
    return np.asarray(np.interp(time, times, np.arange(times.size)))


def _schedule(betas: ArrayLike | None, schedule: str | None, steps: int | None) -> Array:
    """Diffusion times of the steps of a schedule, which increase."""
    if betas is None:
        count = 1000 if steps is None else whole(steps, "steps", most=10**7)
        name = one_of("linear" if schedule is None else schedule, ("linear", "cosine"), "schedule")
        variances = np.linspace(1e-4, 0.02, count) if name == "linear" else _cosine(count)
    else:
        for given, what in ((schedule, "schedule"), (steps, "steps")):
            if given is not None:
                raise ModelError(f"{what} is {given!r}, but betas state the schedule")
        variances = floats(betas, "betas", ndim=1, empty=False)
        between = (variances > 0.0) & (variances < 1.0)
        _require(variances, "betas", between, "strictly between 0 and 1")
    times = -0.5 * np.cumsum(np.log1p(-variances))
    if not (np.diff(times, prepend=0.0) > 0.0).all():
        raise ModelError(
            "betas add noise that is lost in rounding; leave out those that are so small"
        )
    return np.asarray(times)


def _cosine(count: int) -> Array:
    share = np.cos((np.linspace(0.0, 1.0, count + 1) + 0.008) / 1.008 * np.pi / 2.0) ** 2
    return np.asarray(np.minimum(1.0 - share[1:] / share[:-1], 0.999))


def _noise_level(
    t: ArrayLike, level: Callable[[Array], Array], is_usable: Callable[[Array], Any]
) -> Array:
    """What stands for t > 0; ModelError where floats cannot tell it from that of 0 or infinity."""
    time = floats(t, "t")
    _require(time, "t", time > 0.0, "finite and > 0")
    found = np.asarray(level(time))
    _require(time, "t", is_usable(found) & (found != 0.0), "such that the noise level is a float")
    return found


def _require(values: Array, name: str, allowed: Any, limits: str) -> None:
    """ModelError that names the first of the values that is not allowed."""
    if not np.all(allowed):
        bad = float(values[~np.asarray(allowed)].flat[0])
        raise ModelError(f"{name} is {bad!r}; it must be {limits}")
