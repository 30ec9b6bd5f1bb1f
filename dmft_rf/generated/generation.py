r"""The law of what a trained network generates.

A reverse process that starts at t_start from N(0, I) and is driven by one trained network for every
diffusion time ends in a Gaussian law (in the limit of large dimension, as seen by covariances)
whose covariance is a function Lambda(C) of the sample covariance. At infinite width it is exact; at
finite width the first layer, which all times share, makes it a path problem, and there is a bound.
docs/theory.md, section 15.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dmft_rf._arithmetic import ieee
from dmft_rf._convert import floats, instance, number, one_of, shown, values_of
from dmft_rf._typing import Array
from dmft_rf.errors import ConvergenceError, ModelError
from dmft_rf.generated.activation_in_time import ActivationInTime, in_time
from dmft_rf.generated.divergences import NAMES, measured
from dmft_rf.generated.path_bound import PathBound, path_bound
from dmft_rf.generated.process import Run, SamplePoints, TimeRule, ellipse, run, time_rule
from dmft_rf.generated.result import SAMPLERS, SCHEDULES, GeneratedCovariance, Generation, Schedule
from dmft_rf.model.activation import Activation
from dmft_rf.model.covariance import Covariance
from dmft_rf.model.score_model import ScoreModel
from dmft_rf.spectra.sample_law import SampleLaw, sample_law

# margin of the contour in units of the mean eigenvalue, nodes on it relative to those for rounding,
# nodes per panel in t: the next are tried where the ones before miss the tolerance
_LEVELS = ((0.1, 1.2, 13), (0.03, 1.5, 14), (0.03, 2.5, 16), (0.03, 5.0, 20))
# a value below this is held to an absolute accuracy
_SMALL = 1e-3


@ieee
def generation(
    model: ScoreModel,
    tau: ArrayLike,
    schedule: Schedule = "score",
    sampler: str = "sde",
    t_start: float = 8.0,
    t_end: float = 0.0,
    rtol: float = 1e-9,
) -> Generation | PathBound:
    r"""The law of what a network generates after training, for every training time ``tau``.

    Parameters
    ----------
    model : ScoreModel
        Its own diffusion time is not used. With psi_p = inf the law is computed; at finite psi_p
        a bound on KL(data || generated).
    tau : float or array
        Training time; may hold 0 and, for t_end > 0, inf.
    schedule : "score", "noise" or callable
        How long the network is trained at diffusion time t. "score": tau, the loss of the
        paper. "noise": tau/Delta_t, a network that predicts the noise. A function f: tau f(t),
        from an array of diffusion times to one of numbers >= 0; a weight w(t) of the loss over
        diffusion times is f = w, and with tau = 1 any schedule can be stated.
    sampler : "sde" or "ode"
        The reverse process, or the deterministic one with the same marginals.
    t_start, t_end : float
        Where the reverse process begins, from N(0, I), and ends; 0 <= t_end < t_start <= 100.
    rtol : float
        Relative error that is allowed in each quantity (a value below 1e-3 counts as that).

    Returns
    -------
    Generation or PathBound

    Raises
    ------
    ModelError
        If an argument is outside its domain; the covariance has zero eigenvalues and t_end = 0, or
        tau holds inf and t_end = 0 (both divergences are infinite).
    ConvergenceError
        If the error estimates miss ``rtol``, or the generated variance has zeros that no contour
        avoids.

    Notes
    -----
    docs/theory.md, section 15.
    """
    instance(model, ScoreModel, "model", "ScoreModel(0.1, math.inf, 4.0)")
    if not math.isinf(model.psi_p):
        tau, schedule, t_start, t_end, rtol = _stated(tau, schedule, t_start, t_end, rtol)
        if one_of(sampler, SAMPLERS, "sampler") == "ode":
            raise ModelError("sampler is 'ode'; at finite width there is a bound for 'sde' only")
        _check_end(model.covariance.eigenvalues, tau, t_end)
        return path_bound(model, tau, _factor(schedule), t_start, t_end, rtol)
    assert isinstance(model.activation, Activation)
    assert isinstance(model.covariance, Covariance)
    return at_infinite_width(
        model.activation,
        model.psi_n,
        model.covariance,
        tau,
        schedule,
        sampler,
        t_start,
        t_end,
        rtol,
    )


@ieee
def at_infinite_width(
    activation: Activation,
    psi_n: float,
    data: Covariance,
    tau: ArrayLike,
    schedule: Schedule = "score",
    sampler: str = "sde",
    t_start: float = 8.0,
    t_end: float = 0.0,
    rtol: float = 1e-9,
) -> Generation:
    """`generation` at infinite width, for a network and data stated apart."""
    times, schedule, t_start, t_end, rtol = _stated(tau, schedule, t_start, t_end, rtol)
    sampler = one_of(sampler, SAMPLERS, "sampler")
    _check_end(data.eigenvalues, times, t_end)
    process = _Process(
        in_time(activation, data.mean),
        sample_law(psi_n, data.eigenvalues, data.weights),
        _factor(schedule),
        sampler == "sde",
        t_start,
        t_end,
    )
    found = process.solved(times.ravel(), rtol)
    shape = times.shape

    def gathered(parts: list[Array]) -> Array:
        return np.array(parts, dtype=float).reshape(*shape, parts[0].size if parts else 0)

    return Generation(
        tau=times,
        **{name: np.array([one.values[name] for one in found]).reshape(shape) for name in NAMES},
        error={
            name: np.array([one.errors[name] for one in found]).reshape(shape) for name in NAMES
        },
        covariance=GeneratedCovariance(
            process.axis[0],
            (process.law.w @ process.axis[1]),
            gathered([one.run.on_axis for one in found]),
        ),
        t=found[0].t if found else np.empty(0),
        gain=gathered([one.run.gain.ravel() for one in found]),
        trace_along=gathered([one.run.trace.ravel() for one in found]),
        schedule=schedule,
        sampler=sampler,
        t_start=t_start,
        t_end=t_end,
        activation=activation,
        psi_n=psi_n,
        data=data,
    )


def _stated(
    tau: ArrayLike, schedule: Any, t_start: Any, t_end: Any, rtol: Any
) -> tuple[Array, Schedule, float, float, float]:
    times = floats(tau, "tau", least=0.0, infinite=True)
    if isinstance(schedule, str) or not callable(schedule):
        schedule = one_of(schedule, SCHEDULES, "schedule")
    t_end = number(t_end, "t_end", least=0.0, most=50.0)
    t_start = number(t_start, "t_start", above=t_end, most=100.0)
    return times, schedule, t_start, t_end, number(rtol, "rtol", least=1e-12, most=1e-2)


def _check_end(eigenvalues: Array, times: Array, t_end: float) -> None:
    if t_end > 0.0:
        return
    if not np.min(eigenvalues) > 0.0:
        raise ModelError(
            "t_end is 0 and the covariance of the data has zero eigenvalues, along which every "
            "divergence is infinite; take t_end > 0, for instance 1e-3"
        )
    if np.isinf(times).any():
        raise ModelError(
            "t_end is 0 and tau holds inf, where everything that is generated collapses onto the "
            "mean; take t_end > 0, for instance 1e-3"
        )


def _factor(schedule: Schedule) -> Callable[[Array], Array]:
    """tau(t)/tau as a function of diffusion times of any shape."""
    if schedule == "score":
        return np.ones_like
    if schedule == "noise":
        return lambda t: -1.0 / np.expm1(-2.0 * t)

    def stated(t: Array) -> Array:
        found = values_of(schedule, t, "schedule")
        bad = ~((found >= 0.0) & (found < math.inf))
        if bad.any():
            value = shown(float(found[bad][0]))
            raise ModelError(f"schedule returns {value}; it must be finite and >= 0")
        return found

    return stated


@dataclass(frozen=True)
class _Found:
    """What is known of one training time."""

    values: dict[str, float]
    errors: dict[str, float]
    t: Array
    run: Run

    @property
    def worst(self) -> float:
        """The largest relative error; the gap in likelihood is a difference of terms like kl."""
        least = dict.fromkeys(NAMES, _SMALL)
        least["likelihood_gap"] = max(1.0, abs(self.values["kl"])) * _SMALL
        return max(self.errors[name] / max(abs(self.values[name]), least[name]) for name in NAMES)


class _Process:
    """The reverse processes of one network: what is the same for every training time."""

    def __init__(
        self,
        activation: ActivationInTime,
        law: SampleLaw,
        factor: Callable[[Array], Array],
        noisy: bool,
        t_start: float,
        t_end: float,
    ):
        self.activation, self.law, self.factor, self.noisy = activation, law, factor, noisy
        self.t_start, self.t_end = t_start, t_end
        self.axis = law.on_axis
        self._mean = float(law.w @ law.lam)

    def solved(self, tau: Array, rtol: float) -> list[_Found]:
        """Every training time; ConvergenceError if one of them misses ``rtol``."""
        problem: ConvergenceError | None = None
        for level in _LEVELS:
            try:
                found = self._on(tau, *level)
            except ConvergenceError as error:
                problem = error
                continue
            worst = max((one.worst for one in found), default=0.0)
            if worst <= rtol:
                return found
            problem = ConvergenceError(
                f"what is generated is known to a relative error of {worst:.1e}; rtol = {rtol:g} "
                "was asked for",
                partial=[one.values for one in found],
                residual=worst,
            )
        assert problem is not None
        raise problem

    def _on(self, tau: Array, margin: float, density: float, nodes: int) -> list[_Found]:
        """From one contour, and the error from another with fewer nodes in x and in t."""
        points = ellipse(self.law, margin * self._mean, density)
        other = ellipse(self.law, 0.7 * margin * self._mean, 0.8 * density)
        slowest = float(np.max(tau, initial=1.0, where=np.isfinite(tau)))
        fine = time_rule(self.t_start, self.t_end, nodes, slowest)
        coarse = time_rule(self.t_start, self.t_end, nodes - 3, slowest)
        found = []
        for one in tau:
            own = self._run(points, self.axis[0], fine, float(one))
            less = self._run(other, self.axis[0][:0], coarse, float(one))
            values, rounding = measured(points, own, self.law, self.t_end)
            second, _ = measured(other, less, self.law, self.t_end)
            unknown = self.activation.error
            errors = {
                name: 2.0 * abs(values[name] - second[name])
                + rounding[name]
                + unknown * abs(values[name])
                for name in NAMES
            }
            found.append(_Found(values, errors, fine.t.ravel(), own))
        return found

    def _run(self, points: SamplePoints, axis: Array, rule: TimeRule, tau: float) -> Run:
        factor = self.factor(rule.t)
        times = np.where(factor > 0.0, tau * factor, 0.0)
        return run(points, axis, rule, times, self.activation, self.law.psi_n, self.noisy)
