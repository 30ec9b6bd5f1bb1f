r"""One model from its parameters to nodes that carry gradient flow, in one call.

What `dmft_rf.curves.carrying.accurate_nodes` does, for one group of columns whose noise is averaged
exactly, features with noise (v > 0) and few atoms: ends of the support, nodes in the half-plane,
two-point function, curves at times from before the fastest mode to after the slowest, and more
nodes until their error is small enough.
"""

from __future__ import annotations

import numpy as np

from dmft_rf.kernels._jit import njit
from dmft_rf.kernels.fused_losses import ROUNDING, flow_losses, relative_error
from dmft_rf.kernels.fused_nodes import defect_of, moderate, nodes_at, pairs, solved_nodes
from dmft_rf.kernels.fused_support import ends
from dmft_rf.kernels.fused_zero import at_zero, nodes_needed

#: finite times at which a solution is judged, as `dmft_rf.curves.losses.probe_times`
PROBES = 25


@njit
def probe_times(rate, m, M):
    """Times from before the fastest mode of a spectrum in [m, M] to after the slowest, and inf."""
    early, late = 0.03 / (rate * M), 30.0 / (rate * max(m, 1e-10 * M))
    tau = np.empty(PROBES + 1)
    for i in range(PROBES):
        tau[i] = early * (late / early) ** (i / (PROBES - 1.0))
    tau[PROBES] = np.inf
    return tau


@njit
def solve_flow(par, lam, w, label, q, untrained, rtol, model, law, most, tau, decay):
    """Nodes that carry gradient flow to ``rtol``, where everything is as usual, and its losses.

    Parameters
    ----------
    par, lam, w
        As in `dmft_rf.kernels.closed_form`.
    label : float
        b, with its sign.
    q : tuple
        q0, q1 of a^2 b^2 Sigma_t = q0 + q1 Sigma.
    untrained : float
        Score error of the untrained network.
    model, law
        As in `flow_losses`.
    most : int
        How many nodes there may be.
    tau : (n_tau,) array
        Times of the losses; none for those that stand for all, which are to reach ``rtol``/2.
    decay : float
        Weight decay.

    Returns
    -------
    good : bool
        Whether the rest is there; where it is not, nothing is said of the model.
    numbers : tuple
        Lower and upper end of the support, k and E at z = 0, mass of the atom, [1/x], 1 - [1/x],
        defect, error that was reached, number of tries, Newton steps.
    solution : tuple
        z, weights, readings, k, E, dk/dz, Newton's last steps.
    at : tuple
        As in `flow_losses`.
    found : (2, 5, n_tau) array
        Losses and their errors at the times.
    """
    low, high, k_0, E_0, atom = ends(par, lam, w)
    m, M = low + par[4], high + par[4]
    good = 0.0 < m < M < np.inf and np.isfinite(k_0) and np.isfinite(E_0)
    needed = np.inf
    if good:
        needed = nodes_needed(m, M, k_0, E_0, par, lam, w, label, q, untrained, rtol, model, law)
    good = good and needed <= most
    count = 8
    if good:
        count = int(needed)
    else:
        m, M = 0.5, 1.0
    inverse, limit = at_zero(k_0, E_0, par, lam, w, label)
    accepted = rtol
    if tau.size == 0:
        tau, accepted = probe_times(model[0], m, M), 0.5 * rtol
    error, tries = np.inf, 0
    found = np.empty((2, 5, 0))
    while True:
        z, weights, readings, k, E, dk, residual, steps, fine = solved_nodes(
            m, M, count, par, lam, w
        )
        S_VV, S_VW, signal, cancelled, noise = nodes_at(
            z, k, E, dk, par, lam, w, label, (m, M, atom)
        )
        form, size = pairs(z, k, E, dk, cancelled, par, lam, w, q[0], q[1])
        defect = defect_of(z, weights, S_VV, par[0] * label * label, inverse)
        solution = (z, weights, readings, k, E, dk, residual)
        at = (weights, S_VV, S_VW, signal, cancelled, noise, form, size, readings, z)
        tries += 1
        good = good and fine and moderate(z, k, E, size)
        if not good:
            break
        known = (limit, ROUNDING * limit, defect)
        found = flow_losses(tau, decay, at, known, model, law)
        error = relative_error(found, untrained)
        # the other route tries more nodes, and says which were best
        if error <= accepted:
            break
        count = int(np.ceil(1.25 * count))
        if tries == 3 or count > most or not error < np.inf:
            good = False
            break
    numbers = (m, M, k_0, E_0, atom, inverse, limit, defect, error, tries, steps)
    return good, numbers, solution, at, found
