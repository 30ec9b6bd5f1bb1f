"""Integrals against the measure of S_VV that are known without a quadrature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dmft_rf._typing import Array
from dmft_rf.model.columns import SampleGroups
from dmft_rf.numerics.estimate import ROUNDING

if TYPE_CHECKING:
    from dmft_rf.spectra.spectrum import WideSpectrum


@dataclass(frozen=True)
class Exact:
    """Two integrals, and the training loss that follows from the second.

    Attributes
    ----------
    mass, inverse : float
        Integrals of 1 and 1/x.
    train_limit, limit_error : float
        1 - inverse, as a sum without cancellation, and its rounding.
    """

    mass: float
    inverse: float
    train_limit: float
    limit_error: float


def exact_integrals(groups: SampleGroups, k: float, E: Array) -> Exact:
    """Mass (1/d) Tr V^T V, and S_VV at z = 0 from the solution (k, E) there.

    1 - S_VV(0) = sum_j (c_j/E_j) <tau_j - eta_j b_V r> for noise draws, and 1 - eta_0^2 <r>,
    without the cancellation, where the noise is averaged exactly (all eta_j, tau_j are 0).
    """
    g = groups
    share = g.count / E
    extra = share @ g.covariances  # beta - b_0^2
    b = g.label + float(share @ g.labels)
    r = 1.0 / (g.par[2] + extra - k) if k or g.par[2] else np.zeros(g.weights.size)
    S = float(g.weights @ r)
    if g.label:  # noise averaged exactly: 1 - eta_0^2 <r>, with what eta_0^2 lacks of b_0^2
        limit = float(g.weights @ (r * (g.spread + extra - k)))
        return Exact(g.label_mass, b**2 * S, limit, ROUNDING * limit)
    own, lost = float(share @ g.sizes), b * float(share @ g.labels) * S
    limit, error = own - lost, ROUNDING * (own + abs(lost))
    if limit < 0.5:
        return Exact(g.label_mass, 1.0 - limit, limit, error)
    # little can be learned: S_VV(0) itself, with E - 1 = (<C r> - o^2/k)/psi_n
    excess = (g.covariances @ (g.weights * r) - g.noise / k) / g.par[1]
    inverse = float(g.count @ (g.sizes * excess / E)) + b**2 * S
    return Exact(g.label_mass, inverse, limit, error)


def interpolating(law: WideSpectrum) -> Exact:
    """At infinite width: mass b^2, and [1/k], which misses 1 if there is no noise of the features.

    By <lambda/(lambda + kappa(b^2/gamma^2))> then; else they interpolate.
    """
    b2, vn, gamma2 = law.constants
    limit = 0.0
    if vn == 0.0:
        sample = law.sample
        limit = float(sample.w @ (sample.lam / (sample.lam + sample.ridge(b2 / gamma2))))
    return Exact(b2, 1.0 - limit, limit, ROUNDING * limit)


def untouched(groups: SampleGroups, atom: float, e: Array) -> float:
    """(1/d) Tr Q M^T P M for the projector P on an atom at 0, which training never moves.

    At z -> 0, r = -R/k and z = k psi_p (mass of the atom); ``e`` are the e_j = -k E_j there.
    """
    g = groups
    R = 1.0 / (1.0 + (g.count / e) @ g.covariances)
    return float(g.par[0] * atom) * float(g.weights @ (R * (g.test @ g.basis)))
