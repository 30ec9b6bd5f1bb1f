"""When to stop training for generation: times read off the divergence of what is generated.

KL(data || generated) falls while the network learns the data and rises when it fits its sample.
All times are of networks of infinite width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from dmft_rf._arithmetic import ieee
from dmft_rf._convert import instance, number
from dmft_rf._show import Shown, Table
from dmft_rf._stored import Arrays, Attributes, Stored
from dmft_rf._typing import Array
from dmft_rf.errors import ConvergenceError
from dmft_rf.generated.generation import at_infinite_width
from dmft_rf.generated.result import Generation, stored_generation

DEFINITIONS = {
    "tau_gen": "first time at which KL(data || generated) per dimension is down to the level",
    "tau_opt": "time of the minimum of KL(data || generated)",
    "tau_mem": "time after tau_opt at which KL(data || generated) is back at the level; inf if it "
    "never is",
    "kl_min": "KL(data || generated) per dimension at tau_opt",
}

# steps per decade of the search, where it begins and ends, and terms of the series about a minimum
_PER_DECADE, _FIRST, _LAST, _TERMS = 4, 0.1, 1e12, 14
# of a crossing in ln tau
_XTOL = 1e-11


@dataclass(frozen=True, eq=False, repr=False)
class GenerationTimes(Shown):
    """Times of training for what is generated; ``definitions`` says what each is.

    Attributes
    ----------
    tau_gen, tau_opt, tau_mem, kl_min : float
        NaN for tau_gen and tau_mem if the divergence never falls to the level.
    level : float
    error : dict of float
        Estimated absolute errors, by name.
    like : Generation
        What is generated at tau_opt, and what was trained and sampled how.
    """

    kind: ClassVar[str] = "generation-times"

    tau_gen: float
    tau_opt: float
    tau_mem: float
    kl_min: float
    level: float
    error: dict[str, float]
    like: Generation
    definitions: dict[str, str] = field(default_factory=lambda: dict(DEFINITIONS))

    @ieee
    def usable(self, factor: float = 1.1) -> tuple[float, float]:
        """Times between which the divergence is at most ``factor`` times its minimum."""
        factor = number(factor, "factor", above=1.0)
        curve = _Curve(self.like)
        goal = factor * self.kl_min
        return curve.crossing(self.tau_opt, goal, -1), curve.crossing(self.tau_opt, goal, 1)

    def _about(self) -> str:
        return f"level {self.level:g}; {self.like._about()}"

    def _table(self) -> Table:
        rows, names = ("name",), list(self.definitions)
        columns = {
            "value": np.array([getattr(self, name) for name in names]),
            "error": np.array([self.error[name] for name in names]),
            "definition": np.array([self.definitions[name] for name in names]),
        }
        held = {name: (rows, values) for name, values in columns.items()}
        return Table(rows, {"name": (rows, np.array(names))}, held)

    def stored(self) -> Stored:
        """What a file holds: every number and its error, and what is generated at tau_opt."""
        attributes, arrays = self.like.stored()
        attributes["level"] = self.level
        for name, text in self.definitions.items():
            attributes[name] = getattr(self, name)
            attributes[f"{name}_error"] = self.error[name]
            attributes[f"definition_{name}"] = text
        return attributes, arrays


def stored_generation_times(attributes: Attributes, arrays: Arrays) -> GenerationTimes:
    """The times of `GenerationTimes.stored`; KeyError if something of them is missing."""
    return GenerationTimes(
        **{name: attributes[name] for name in (*DEFINITIONS, "level")},
        error={name: attributes[f"{name}_error"] for name in DEFINITIONS},
        like=stored_generation(attributes, arrays),
    )


@ieee
def generation_times(like: Generation, level: float = 0.1) -> GenerationTimes:
    """The best time to stop for generation, when it becomes good and when it is good no more.

    Parameters
    ----------
    like : Generation
        What `generation` has found at any tau: its network, data, schedule and sampler are used.
    level : float
        Divergence per dimension at which what is generated counts as good.

    Returns
    -------
    GenerationTimes
        Times, and the least divergence.

    Raises
    ------
    ModelError
        If an argument is outside its domain.
    ConvergenceError
        If there is no minimum between tau = 0.1 and 1e12.
    """
    instance(like, Generation, "like", "generation(model, 1.0)")
    level = number(level, "level", above=0.0)
    curve = _Curve(like)
    tau_opt, off = curve.minimum()
    best = curve.at(np.array([tau_opt]))
    kl_min = float(best.kl[0])
    gen = mem = math.nan
    if kl_min < level:
        gen, mem = (curve.crossing(tau_opt, level, side) for side in (-1, 1))
    return GenerationTimes(
        tau_gen=gen,
        tau_opt=tau_opt,
        tau_mem=mem,
        kl_min=kl_min,
        level=level,
        error={
            "tau_gen": curve.uncertainty(gen),
            "tau_opt": off,
            "tau_mem": curve.uncertainty(mem),
            "kl_min": float(best.error["kl"][0]),
        },
        like=best,
    )


class _Curve:
    """ln KL as a function of ln tau."""

    def __init__(self, like: Generation):
        self._like = like
        self._known: dict[float, float] = {}

    def at(self, tau: Array) -> Generation:
        g = self._like
        return at_infinite_width(
            g.activation, g.psi_n, g.data, tau, g.schedule, g.sampler, g.t_start, g.t_end
        )

    def _log(self, u: float) -> float:
        if u not in self._known:
            self._known[u] = math.log(float(self.at(np.array([math.exp(u)])).kl[0]))
        return self._known[u]

    def minimum(self) -> tuple[float, float]:
        """The time of the lowest of the minima on the grid of the search, and its error."""
        step = math.log(10.0) / _PER_DECADE
        places = [math.log(_FIRST)]
        least = self._log(places[0])
        # what has risen to three times its minimum has been learned, and does not come back
        while len(places) < 3 or self._log(places[-1]) < least + math.log(3.0):
            places.append(places[-1] + step)
            least = min(least, self._log(places[-1]))
            if places[-1] > math.log(_LAST):
                break
        i = int(np.argmin([self._log(u) for u in places]))
        if not 0 < i < len(places) - 1:
            raise ConvergenceError(
                f"KL(data || generated) has no minimum between tau = {_FIRST:g} and {_LAST:g}",
                partial=[math.exp(u) for u in places],
            )
        low, high = places[i - 1], places[i + 1]
        roots = [self._stationary(low, high, terms) for terms in (_TERMS, _TERMS - 3)]
        tau = math.exp(roots[0])
        return tau, tau * abs(roots[0] - roots[1])

    def _stationary(self, low: float, high: float, terms: int) -> float:
        """The root of the derivative of a Chebyshev series, at its least value."""
        chebyshev = np.polynomial.chebyshev
        node = chebyshev.chebpts1(terms)
        u = 0.5 * (low + high) + 0.5 * (high - low) * node
        series = chebyshev.chebfit(node, np.log(self.at(np.exp(u)).kl), terms - 1)
        roots = chebyshev.chebroots(chebyshev.chebder(series))
        real = roots.real[(np.abs(roots.imag) < 1e-8) & (np.abs(roots.real) < 1.0)]
        if not real.size:
            raise ConvergenceError("the minimum of KL(data || generated) is too flat to be placed")
        best = float(real[np.argmin(chebyshev.chebval(real, series))])
        return 0.5 * (low + high) + 0.5 * (high - low) * best

    def crossing(self, tau: float, level: float, side: int) -> float:
        """Where KL passes ``level`` on this side of its minimum at ``tau``; inf or 0 if nowhere."""
        from scipy.optimize import brentq

        here, step = math.log(tau), side * math.log(10.0) / _PER_DECADE
        goal = math.log(level)
        while self._log(here + step) < goal:
            here += step
            if not math.log(1.0 / _LAST) < here < math.log(_LAST):
                return math.inf if side > 0 else 0.0
        return math.exp(brentq(lambda u: self._log(u) - goal, here, here + step, xtol=_XTOL))

    def uncertainty(self, tau: float) -> float:
        """What the error of KL makes of a crossing at ``tau``."""
        if not 0.0 < tau < math.inf:
            return 0.0 * tau if math.isnan(tau) else 0.0
        near = self.at(tau * np.exp([-1e-3, 0.0, 1e-3]))
        slope = abs(math.log(float(near.kl[2] / near.kl[0]))) / 2e-3
        return tau * (float(near.error["kl"][1] / near.kl[1]) / slope + 2.0 * _XTOL)
