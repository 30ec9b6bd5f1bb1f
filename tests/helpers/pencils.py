"""The pencils of the score models with numbers, and losses read off them: nothing of the groups."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dmft_rf import ScoreModel
from dmft_rf._typing import Complex
from dmft_rf.pencil.points import Points, Weight
from dmft_rf.pencil.system import System
from dmft_rf.pencil.zoo import noise_draws


def score_values(model: ScoreModel) -> dict[str, float]:
    """Parameters of `score_model` for a model; gamma = e^{-t} a_t, with the sign of mu_1."""
    c = model.coefficients
    return {
        "psi_p": model.psi_p,
        "psi_n": model.psi_n,
        "b2": c.b**2,
        "v": math.sqrt(c.v2),
        "s2": c.s2,
        "gamma": math.copysign(math.sqrt(c.gamma2), c.mu1),
    }


@dataclass(frozen=True)
class NoiseDraws:
    """One- and two-point functions of the losses with m noise draws, from the pencil.

    Attributes
    ----------
    system : System
        `noise_draws` with values.
    """

    system: System

    @classmethod
    def of(cls, model: ScoreModel, draws: int) -> NoiseDraws:
        """Return the pencil with the coefficients of ``model`` and ``draws`` noise draws."""
        values, c = score_values(model), model.coefficients
        del values["b2"], values["s2"]
        values |= {"b": c.b, "s": math.sqrt(c.s2)}
        return cls(noise_draws(draws).bind(model.covariance, **values))

    def S_VV(self, points: Points) -> Complex:
        """(1/d) Tr V^T (U - z)^{-1} V at points solved by ``system.solve``."""
        return 1.0 - points.trace("y", "x")

    def S_VW(self, points: Points) -> Complex:
        """(1/d) Tr V^T (U - z)^{-1} W/sqrt(d)."""
        return -points.trace("y", "g")

    def T(self, first: Points, second: Points, Q: Weight = 1.0) -> Complex:
        """(1/d) Tr V^T (U - z_1)^{-1} W Q W^T (U - z_2)^{-1} V/d for all pairs of points."""
        return first.two_point(second, {("g", "f"): Q}, {("y", "x"): 1.0})
