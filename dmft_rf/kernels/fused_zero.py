r"""What the solution at z = 0 says in closed form, and how many nodes a contour needs after it.

Late in training the filter is 1/x, and everything that the losses are made of is known at z = 0:

    S_VV[1/x] = S_VV(0),    S_VV[1/x^2] = S_VV'(0),    F[1/x] = F(0),    var[1/x, 1/x] = V(0, 0).

What the nodes miss is largest there as well, and comes from the pole of the filter at 0, at a
distance m from the support: N S_VV(0)/m and V(0, 0) times what is left of a Fourier coefficient
between the pole and the contour, beside the score error, and S_VV(0) beside the training loss.
"""

from __future__ import annotations

import numpy as np

from dmft_rf.kernels._jit import njit
from dmft_rf.kernels.closed_form import equations, real_moments
from dmft_rf.kernels.fused_nodes import of_one

# relative errors that nodes claim, over e^{-rate nodes}, beside each of the three terms: 1.4 times
# what fits 400 random models (to 40 %, over eight decades), so that few need more nodes
_NORM, _VARIANCE, _TRAIN = 600.0, 22.0, 10.0
_FEWEST = 8
# as in `dmft_rf.kernels.fused_losses`
_SMALL = 1e-3


@njit
def at_zero(k, E, par, lam, w, label):
    """[1/x] against S_VV, and 1 - [1/x] as a sum without cancellation (`exact_integrals`)."""
    mean = 0.0
    limit = 0.0
    for a in range(lam.size):
        extra = par[5] * lam[a] / E
        r = 1.0 / (par[2] + extra - k)
        mean += w[a] * r
        limit += w[a] * (r * (extra - k))
    return label * label * mean, limit


@njit
def score_at_end(k, E, par, lam, w, label, q, model, law):
    """Delta_t times the score error at tau = inf: bias, [1/x^2] against S_VV, and variance.

    Parameters
    ----------
    k, E : float
        The solution at z = 0.
    par, lam, w
        As in `dmft_rf.kernels.closed_form`.
    label, q, model, law
        As in `dmft_rf.kernels.fused_solve.solve_flow`.
    """
    psi_n, b2, v2, gamma2 = par[1], par[2], par[3], par[5]
    averages = real_moments(b2 - k, gamma2 / E, lam, w)
    _, _, z_k, z_E, G_k, G_E = equations(k, 1.0 / k, 1.0 / E, E, par, averages)
    per_det = 1.0 / (z_k * G_E - z_E * G_k)
    dk, dE = G_E * per_det, -G_k * per_det
    _, _, m0, m1, m2 = averages
    norm = label * label * (m0 * dk + gamma2 / (E * E) * m1 * dE)
    g, h = gamma2 / E, np.sqrt(v2 * gamma2) / (E * k)
    V, _, _ = of_one(
        complex(g * g / psi_n), complex(h * h / psi_n), complex(k * k),
        complex(m0), complex(m1), complex(m2), complex(dk), q[0], q[1],
    )  # fmt: skip
    bias = 0.0
    for a in range(lam.size):
        r = 1.0 / (b2 - k + gamma2 / E * lam[a])
        missing = model[4] * label * r * law[0][a] - np.sqrt(model[1])
        bias += law[1][a] / law[0][a] * missing * missing
    return bias, norm, V.real


@njit
def nodes_for(m, M, missed, rtol):
    """Nodes at which ``missed`` exp(-pi^2 N/(2 ln(M/m) + 3)) has fallen to ``rtol``/2."""
    rate = np.pi**2 / (2.0 * (np.log(M) - np.log(m)) + 3.0)
    return max(_FEWEST, np.ceil(np.log(2.0 * missed / rtol) / rate))


@njit
def nodes_needed(m, M, k, E, par, lam, w, label, q, untrained, rtol, model, law):
    """How many nodes around [m, M] carry gradient flow to ``rtol``/2, as a float; inf if unknown.

    Parameters
    ----------
    k, E : float
        The solution at z = 0.
    par, lam, w, label, q, untrained, model, law
        As in `dmft_rf.kernels.fused_solve.solve_flow`.
    """
    inverse, limit = at_zero(k, E, par, lam, w, label)
    bias, norm, variance = score_at_end(k, E, par, lam, w, label, q, model, law)
    score = max(bias + model[2] * norm + variance, _SMALL * untrained * model[1])
    missed = (_NORM * model[2] * inverse / m + _VARIANCE * variance) / score
    missed += _TRAIN * inverse / max(limit, _SMALL)
    if not 0.0 < missed < np.inf:
        return np.inf
    return nodes_for(m, M, missed, rtol)
