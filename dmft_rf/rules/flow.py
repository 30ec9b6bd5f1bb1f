r"""Training rules as spectral filters.

Every rule that is linear in the trained layer B = A/sqrt(p) ends, from A = 0, at

    B(tau) = -(1/sqrt(Delta_t)) V^T h_tau(U),

and from A_0 with independent N(0, kappa^2) entries at this plus B_0 g_tau(U). A rule is the
pair (h, g): its ``filter`` and its ``memory``, functions of an eigenvalue x of U and of the
gradient-flow time tau, together with the rate alpha = 2 Delta_t/psi_p at which x relaxes.
``residual`` is 1 - x h, what is left to be learned, without cancellation.

Weight decay omega adds omega Delta_t ||A||^2/(p d) to the training loss.

Sources: Bonnaire et al., arXiv:2505.17638 (gradient flow); the other filters are elementary.
"""

from __future__ import annotations

import functools
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._arithmetic import ieee, ignoring
from dmft_rf._convert import complexes, floats, instance, number
from dmft_rf._stored import Stored
from dmft_rf.numerics.region import Region

Array = NDArray[Any]  # complex on a contour, float on the spectrum

# parameters stay within this range, so that their squares and products are floats
_LEAST, _MOST = 1e-100, 1e100


def _points(value: Any) -> Array:
    """Eigenvalues, shape (n,): float or complex."""
    plain = type(value) is np.ndarray and value.ndim == 1 and value.dtype.char in "dD"
    if plain and np.isfinite(value).all():
        return value
    points = complexes(value, "x").ravel()
    return points if np.iscomplexobj(value) else points.real


def _times(value: Any) -> Array:
    """Times, shape (n_tau,)."""
    plain = type(value) is np.ndarray and value.ndim == 1 and value.dtype.char == "d"
    if plain and (value >= 0.0).all():
        return value
    return floats(value, "tau", least=0.0, infinite=True).ravel()


def _rate(value: Any) -> float:
    """The rate alpha, > 0."""
    if type(value) is float and 0.0 < value < math.inf:
        return value
    return number(value, "rate", above=0.0)


_time = functools.partial(number, name="tau", least=0.0, infinite=True)
_top = functools.partial(number, name="top", least=0.0)
# what each method of a rule takes
_ARGUMENTS: dict[str, tuple[Callable[[Any], Any], ...]] = {
    **dict.fromkeys(
        ("filter", "residual", "filter_and_residual", "memory", "velocity"),
        (_points, _times, _rate),
    ),
    "region": (_rate,),
    "margin": (_time, _rate),
    "most": (_times, _rate, functools.partial(number, name="start")),
    "check": (_top, _rate),
    "check_times": (_times,),
    "counts": (_times,),
}


def _converting(method: Callable[..., Any], converters: tuple[Callable[[Any], Any], ...]) -> Any:
    """The method of a rule with its arguments converted, given by position or by name."""
    names = list(inspect.signature(method).parameters)[1:]
    by_name = dict(zip(names, converters, strict=False))

    @ignoring  # limits at tau = 0 and inf, and what overflows on the way
    @functools.wraps(method)
    def wrapper(self: Rule, *args: Any, **named: Any) -> Any:
        given = [convert(value) for convert, value in zip(converters, args, strict=False)]
        if named:
            named = {name: by_name[name](v) if name in by_name else v for name, v in named.items()}
        return method(self, *given, *args[len(converters) :], **named)

    return wrapper


def _convert_arguments(cls: type) -> None:
    """Let the methods that a class defines see converted arguments."""
    for name, converters in _ARGUMENTS.items():
        if name in vars(cls):
            setattr(cls, name, _converting(vars(cls)[name], converters))


@dataclass(frozen=True)
class Rule(ABC):
    """A training rule: ``filter``, ``residual`` and ``memory``.

    Each takes eigenvalues ``x``, shape (n,), times ``tau``, shape (n_tau,), which may hold 0 and
    inf, and the rate alpha, and returns shape (n_tau, n). Methods of a subclass see arguments that
    are converted and checked.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _convert_arguments(cls)

    def _convert(self, *names: str, positive: bool = False) -> None:
        """Replace parameters by the floats that they stand for."""
        for name in names:
            above, least = (0.0, _LEAST) if positive else (-math.inf, 0.0)
            value = number(getattr(self, name), name, above=above, least=least, most=_MOST)
            object.__setattr__(self, name, value)

    @property
    def initial_scale(self) -> float:
        """Standard deviation kappa of the initial entries of A."""
        return 0.0

    @property
    def decay(self) -> float:
        """Weight decay omega, in units of the eigenvalues of U."""
        return float(getattr(self, "weight_decay", 0.0))

    def region(self, rate: float) -> Region:
        """Where the filter is bounded at every tau: the half-plane Re x > 0 unless overridden."""
        return Region()

    def margin(self, tau: float, rate: float) -> float:
        """How far left of its region the filter stays of order one at all times up to ``tau``.

        0 unless overridden: at a hard edge at 0 such a rule has no contour.
        """
        return 0.0

    @abstractmethod
    def filter(self, x: Array, tau: Array, rate: float) -> Array:
        """h_tau(x)."""

    @abstractmethod
    def residual(self, x: Array, tau: Array, rate: float) -> Array:
        """1 - x h_tau(x)."""

    def filter_and_residual(self, x: Array, tau: Array, rate: float) -> tuple[Array, Array]:
        """``filter`` and ``residual`` together."""
        return self.filter(x, tau, rate), self.residual(x, tau, rate)

    @abstractmethod
    def memory(self, x: Array, tau: Array, rate: float) -> Array:
        """g_tau(x), the factor by which the initial weights have decayed."""

    def most(self, tau: Array, rate: float, start: float) -> Array:
        """|g| at the left end of Re x >= ``start``, its bound left of where it turns; (n_tau,)."""
        return np.abs(self.memory(np.array([start]), tau, rate))[:, 0]

    @property
    def swing(self) -> float:
        """Bound of |g| at the right end of the region, where it has one."""
        return 1.0

    @property
    def pace(self) -> float:
        """How much faster slow modes move than under gradient flow."""
        return 1.0

    @property
    def can_diverge(self) -> bool:
        """Whether ``check`` needs the end of the spectrum."""
        return type(self).check is not Rule.check

    def check(self, top: float, rate: float) -> None:  # noqa: B027
        """Raise ModelError if the rule diverges on a spectrum that ends at ``top``."""

    def check_times(self, tau: Array) -> None:  # noqa: B027
        """Raise ModelError if the rule does not exist at these times."""

    def stored(self) -> Stored:
        """What a file holds of the rule: its name and its parameters."""
        parameters = {f"rule_{f.name}": getattr(self, f.name) for f in fields(self)}
        return {"rule": type(self).__name__, **parameters}, {}


_convert_arguments(Rule)

# e^{-u} is 0 beyond
_GONE = 746.0


def _decay(x: Array, tau: Array, rate: float) -> tuple[Array, Array]:
    """u = exp(-rate x tau) and 1 - u, both with their digits; 0 and 1 at tau = inf.

    Complex exponentials from real ones and the tangent of half the angle T = tan(phi/2),

        1 - cos phi = 2 T^2/(1 + T^2),    sin phi = 2 T/(1 + T^2),

    which keeps the digits of 1 - u near 0 and takes a quarter of the time of a complex exponential.
    """
    forever = np.isinf(tau)
    scale = -rate * (np.where(forever, 0.0, tau) if forever.any() else tau)
    growth = np.multiply.outer(scale, x.real)
    size, lost = np.exp(growth), np.expm1(growth)
    if not np.iscomplexobj(x):
        u, rest = size, np.negative(lost, out=lost)
    else:
        angle = np.multiply.outer(0.5 * scale, x.imag)
        angle[growth < -_GONE] = 0.0
        tangent = np.tan(angle, out=angle)
        share = 2.0 / (1.0 + tangent * tangent)  # 1 + cos phi
        u, rest = np.empty(growth.shape, np.complex128), np.empty(growth.shape, np.complex128)
        np.multiply(size * tangent, share, out=u.imag)
        np.negative(u.imag, out=rest.imag)
        tangent *= tangent * share  # 1 - cos phi
        cos = np.subtract(share, 1.0, out=share)
        np.multiply(size, cos, out=u.real)
        np.subtract(tangent, lost * cos, out=rest.real)
    u[forever], rest[forever] = 0.0, 1.0
    return u, rest


@ieee
@dataclass(frozen=True)
class GradientFlow(Rule):
    r"""Gradient flow, dA/dtau = -d^2 grad_A L_train.

    h = (1 - e^{-alpha (x + omega) tau})/(x + omega), with omega = ``weight_decay`` >= 0.

    Parameters
    ----------
    weight_decay : float
        omega, in units of the eigenvalues of U.
    initial_std : float
        Standard deviation of the initial entries of A; 0 starts from A = 0.
    """

    weight_decay: float = 0.0
    initial_std: float = 0.0

    def __post_init__(self) -> None:
        self._convert("weight_decay", "initial_std")

    @property
    def initial_scale(self) -> float:
        """Standard deviation of the initial entries of A."""
        return self.initial_std

    def margin(self, tau: float, rate: float) -> float:
        """omega + 1/(alpha tau): e^{-alpha (x + omega) tau} stays below e."""
        return self.weight_decay + slack(tau, rate)

    def filter(self, x: Array, tau: Array, rate: float) -> Array:
        """(1 - e^{-alpha (x + omega) tau})/(x + omega); alpha tau where x + omega = 0."""
        y = x + self.weight_decay
        return _decay(y, tau, rate)[1] / y

    def residual(self, x: Array, tau: Array, rate: float) -> Array:
        """(omega + x e^{-alpha (x + omega) tau})/(x + omega)."""
        y = x + self.weight_decay
        left = _decay(y, tau, rate)[0]
        return left if self.weight_decay == 0.0 else (self.weight_decay + x * left) / y

    def filter_and_residual(self, x: Array, tau: Array, rate: float) -> tuple[Array, Array]:
        """Both from one exponential."""
        y = x + self.weight_decay
        left, gone = _decay(y, tau, rate)
        h = gone * (1.0 / y)
        return h, left if self.weight_decay == 0.0 else (self.weight_decay + x * left) / y

    def memory(self, x: Array, tau: Array, rate: float) -> Array:
        """e^{-alpha (x + omega) tau}."""
        return _decay(x + self.weight_decay, tau, rate)[0]

    def velocity(self, x: Array, tau: Array, rate: float) -> Array:
        """dh/dtau = alpha e^{-alpha (x + omega) tau}."""
        return rate * self.memory(x, tau, rate)


@ieee
@dataclass(frozen=True)
class Ridge(Rule):
    """Ridge regression, h = 1/(x + omega): the minimiser, whatever the time.

    Parameters
    ----------
    weight : float
        omega >= 0, in units of the eigenvalues of U; 0 is minimum-norm least squares.
    """

    weight: float = 0.0

    def __post_init__(self) -> None:
        self._convert("weight")

    @property
    def decay(self) -> float:
        """omega."""
        return self.weight

    def margin(self, tau: float, rate: float) -> float:
        """omega, where the pole is."""
        return self.weight

    def filter(self, x: Array, tau: Array, rate: float) -> Array:
        """1/(x + omega) at every tau."""
        return np.broadcast_to(1.0 / (x + self.weight), (tau.size, x.size))

    def residual(self, x: Array, tau: Array, rate: float) -> Array:
        """omega/(x + omega) at every tau."""
        return np.broadcast_to(self.weight / (x + self.weight), (tau.size, x.size))

    def memory(self, x: Array, tau: Array, rate: float) -> Array:
        """0: the minimiser does not remember where training began."""
        return np.zeros((tau.size, x.size))


def slack(tau: float, rate: float) -> float:
    """1/(alpha tau), where e^{-alpha x tau} has grown to e; 0 at tau = inf."""
    return 1.0 / (rate * tau) if tau > 0.0 else math.inf


def checked_rule(rule: Any) -> Rule:
    """A training rule, GradientFlow() for None; ModelError if it is none."""
    if rule is None:
        return GradientFlow()
    return instance(rule, Rule, "rule", "GradientFlow(weight_decay=1e-3)")
