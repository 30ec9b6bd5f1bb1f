r"""Pencils of known models, each in a few lines, to use and to learn from.

Every function returns a `Pencil`; where a quantity of the model is read off it, something beside
it says how.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dmft_rf.errors import ModelError
from dmft_rf.model import ScoreModel
from dmft_rf.pencil.matrices import Gaussian
from dmft_rf.pencil.scalars import Scalar, Sigma, parameters, sqrt, z
from dmft_rf.pencil.statement import Entry, Pencil
from dmft_rf.pencil.system import Points, System, Weight

Complex = NDArray[np.complex128]


def score_model() -> Pencil:
    r"""Feature matrix U of the random-features score model (theory.md, sections 3 and 9).

    Parameters ``psi_p, psi_n, b2, v, s2, gamma`` (`score_values`). q is that of U, and

        S(z) = -(1/d) Tr (L^{-1})_fe/gamma,
        T_Q = (1/d) Tr[L^{-1} P L^{-1}]_fe/gamma^2 with P = Q at (e, f).
    """
    psi_p, psi_n, b2, v, s2, gamma = parameters("psi_p psi_n b2 v s2 gamma")
    W = Gaussian("W", "p", "d", per="d")
    Z = Gaussian("Z", "d", "n", per="n")
    O = Gaussian("O", "p", "n", per="n")  # noqa: E741 - the letter of the theory
    root = sqrt(Sigma)
    return Pencil(
        spaces={"p": psi_p, "n": psi_n, "d": 1},
        blocks={"u": "p", "a": "n", "f": "d", "e": "d"},
        rows={
            "u": {"u": s2 - z, "a": v * O, "f": b2 * W, "e": gamma * W},
            "a": {"a": 1, "u": -v * O.T, "f": -gamma * Z.T * root},
            "f": {"f": 1, "u": -W.T},
            "e": {"e": 1, "a": -root * Z},
        },
        sigma="d",
    )


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


def noise_draws(m: int) -> Pencil:
    r"""Feature matrix with m fixed noise draws per sample (theory.md, section 10).

    Parameters ``psi_p, psi_n, b, v, s, gamma``. Blocks u (p), a (n), c (n (m - 1), none for
    m = 1), f, g, y, x (d); `NoiseDraws` reads off it what the losses need.

    Raises
    ------
    ModelError
        If m is not an integer from 1.
    """
    if isinstance(m, bool) or not isinstance(m, int | np.integer) or m < 1:
        raise ModelError(f"m is {m!r}; the number of noise draws is an integer >= 1")
    m = int(m)
    psi_p, psi_n, b, v, s, gamma = parameters("psi_p psi_n b v s gamma")
    share = 1.0 / math.sqrt(m)  # of the mean over the draws in one draw
    rest = math.sqrt((m - 1) / m)
    o = sqrt(v**2 + s**2 / m)
    root = sqrt(Sigma)
    W = Gaussian("W", "p", "d", per="d")
    Z = Gaussian("Z", "d", "n", per="n")
    X = Gaussian("X", "d", "n", per="n")
    O = Gaussian("O", "p", "n", per="n")  # noqa: E741 - the letter of the theory
    spaces: dict[str, Scalar | float] = {"p": psi_p, "n": psi_n, "d": 1}
    blocks = {"u": "p", "a": "n", "f": "d", "g": "d", "y": "d", "x": "d"}
    rows: dict[str, dict[str, Entry]] = {
        "u": {"u": -z, "g": W, "a": o * O},
        "a": {
            "a": 1,
            "u": -o * O.T,
            "f": -gamma * Z.T * root - share * b * X.T,
            "x": -share * X.T,
        },
        "f": {"f": 1, "u": -W.T},
        "g": {"g": 1, "a": -gamma * root * Z - share * b * X},
        "y": {"y": 1, "a": -share * X},
        "x": {"x": 1},
    }
    if m > 1:
        Y = Gaussian("Y", "d", "nm", per="nm")
        P = Gaussian("P", "p", "nm", per="nm")
        spaces["nm"] = (m - 1) * psi_n
        blocks["c"] = "nm"
        rows["u"]["c"] = s * rest * P
        rows["c"] = {
            "c": 1,
            "u": -s * rest * P.T,
            "f": -rest * b * Y.T,
            "x": -rest * Y.T,
        }
        rows["g"]["c"] = -rest * b * Y
        rows["y"]["c"] = -rest * Y
    return Pencil(spaces=spaces, blocks=blocks, rows=rows, sigma="d", resolvent="u")


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

    def S_VV(self, points: Points) -> Complex:
        """(1/d) Tr V^T (U - z)^{-1} V at points solved by ``system.solve``."""
        return 1.0 - points.trace("y", "x")

    def S_VW(self, points: Points) -> Complex:
        """(1/d) Tr V^T (U - z)^{-1} W/sqrt(d)."""
        return -points.trace("y", "g")

    def T(self, first: Points, second: Points, Q: Weight = 1.0) -> Complex:
        """(1/d) Tr V^T (U - z_1)^{-1} W Q W^T (U - z_2)^{-1} V/d for all pairs of points."""
        return first.two_point(second, {("g", "f"): Q}, {("y", "x"): 1.0})
