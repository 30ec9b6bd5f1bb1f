"""The pencils of the score models with numbers, and losses read off them: nothing of the groups."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from dmft_rf import ScoreModel
from dmft_rf._typing import Array, Complex
from dmft_rf.pencil.points import Points, Weight
from dmft_rf.pencil.readings import PencilNodes, converged, gradient_flow
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
        c = model.coefficients
        values = {
            "psi_p": model.psi_p,
            "psi_n": model.psi_n,
            "b": c.b,
            "v": math.sqrt(c.v2),
            "s": math.sqrt(c.s2),
            "gamma": math.copysign(math.sqrt(c.gamma2), c.mu1),
        }
        return cls(noise_draws(draws).bind(model.covariance, **values))

    def losses(
        self, model: ScoreModel, tau: ArrayLike, ridge: float = 0.0, rtol: float = 1e-10
    ) -> tuple[Array, Array]:
        """Train and test loss of gradient flow with weight decay (theory.md, section 10)."""
        times = np.asarray(tau, dtype=float)
        c = model.coefficients
        noise = c.second_moment - c.mu0**2 - c.mu1**2

        def both(nodes: PencilNodes) -> Array:
            z = nodes.contour.z
            h = gradient_flow(z, model.rate * times.ravel(), ridge)
            S_VV = self.S_VV(nodes.points)
            train = 1.0 - nodes.integral(2.0 * h - z * h * h, S_VV)
            test = 1.0 - 2.0 * c.b * nodes.integral(h, self.S_VW(nodes.points))
            test += noise * nodes.integral(h * h, S_VV)
            T = nodes.quadratic(h, {("g", "f"): model.diffused}, {("y", "x"): 1.0})
            return np.stack([train, test + (c.mu1 / c.Gamma_t) ** 2 * T])

        values, _ = converged(both, self.system, ridge, rtol)
        return values[0].reshape(times.shape), values[1].reshape(times.shape)

    def S_VV(self, points: Points) -> Complex:
        """(1/d) Tr V^T (U - z)^{-1} V at points solved by ``system.solve``."""
        return 1.0 - points.trace("y", "x")

    def S_VW(self, points: Points) -> Complex:
        """(1/d) Tr V^T (U - z)^{-1} W/sqrt(d)."""
        return -points.trace("y", "g")

    def T(self, first: Points, second: Points, Q: Weight = 1.0) -> Complex:
        """(1/d) Tr V^T (U - z_1)^{-1} W Q W^T (U - z_2)^{-1} V/d for all pairs of points."""
        return first.two_point(second, {("g", "f"): Q}, {("y", "x"): 1.0})
