r"""How wide is wide: from which width on a network is as good as one of infinite width.

Losses approach those of infinite width like 1/psi_p. At late times the scale is set by the modes of
single samples, whose eigenvalue psi_p k_- + s^2 has to be large beside the floor s^2 of U:

    psi_p* = s^2/k_- = s^2 psi_n k_+/(b^2 v^2),

k_+ at the mean eigenvalue of the sample. docs/theory.md, section 14.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from dmft_rf._arithmetic import ieee
from dmft_rf._convert import instance, number
from dmft_rf._typing import Array
from dmft_rf.curves.losses import checked_times
from dmft_rf.curves.solve import Solution, checked_rtol, solve
from dmft_rf.errors import ModelError
from dmft_rf.kernels.infinite_width import modes
from dmft_rf.model.score_model import ScoreModel
from dmft_rf.numerics.roots import largest_root

# times at which the losses are compared, and how much more than the losses' error is resolved
_PER_DECADE, _RESOLVED = 12, 1e3


@ieee
def critical_width(model: ScoreModel) -> float:
    """psi_p*, beside which a network has to be wide; 0 where the features have no floor.

    ModelError for a Mixture.
    """
    instance(model, ScoreModel, "model", "ScoreModel(0.01, 64, 8)")
    c, mean = model.coefficients, model.covariance.mean
    vn = c.v2 / model.psi_n
    if not vn > 0.0:
        return 0.0
    k = modes(np.array([mean + 0.0j]), c.b**2, vn, c.gamma2)[1]
    return c.s2 / float(k[0].real)


@ieee
def width_needed(
    model: ScoreModel, error: float = 0.01, tau: ArrayLike | None = None, *, rtol: float = 1e-10
) -> float:
    """The psi_p from which on the test loss is that of infinite width, up to a relative error.

    Parameters
    ----------
    model : ScoreModel
        Its psi_p plays no part.
    error : float
        Largest relative difference of the test loss that is allowed, from 1000 ``rtol`` to 1.
    tau : array, optional
        Times of gradient flow from A = 0 at which it is, which may hold inf; by default 12 per
        decade from before anything is learned to the end of training, and inf.
    rtol : float
        As in ``solve``.

    Returns
    -------
    float
        psi_p; 0 if the difference stays below ``error`` down to psi_p = 1e-4.

    Raises
    ------
    ModelError
        If an argument is outside its domain, or infinite width is not solved for (a Mixture, a
        finite number of noise draws).
    ConvergenceError
        If a model on the way cannot be solved, or more than psi_p = 1e9 is needed.

    Examples
    --------
    >>> from dmft_rf import ScoreModel, width_needed
    >>> model = ScoreModel(t=0.1, psi_p=8, psi_n=4)
    >>> [round(width_needed(model, error)) for error in (0.1, 0.01)]
    [247, 2752]
    """
    instance(model, ScoreModel, "model", "ScoreModel(0.01, 64, 8)")
    rtol = checked_rtol(rtol)
    error = number(error, "error", least=_RESOLVED * rtol, below=1.0)
    limit = solve(model.replace(psi_p=math.inf), rtol)
    times = _course(limit) if tau is None else checked_times(tau).ravel()
    if not times.size:
        raise ModelError("tau is empty; it must hold at least one time")
    wide = limit.learning_curves(times).test

    def difference(psi_p: float) -> float:
        finite = solve(model.replace(psi_p=psi_p), rtol).learning_curves(times).test
        return float(np.abs(finite / wide - 1.0).max())

    start = max(critical_width(model), 1.0 + model.psi_n) / error
    return largest_root(difference, error, min(start, 1e8), rtol, "width_needed", "psi_p")


def _course(limit: Solution) -> Array:
    """Times from before the fastest mode moves to after the slowest has stopped, and inf."""
    m, M = limit.diagnostics["support"]
    first, last = 0.03 / (limit.model.rate * M), 30.0 / (limit.model.rate * m)
    count = 2 + int(_PER_DECADE * math.log10(last / first))
    return np.append(np.geomspace(first, last, count), math.inf)
