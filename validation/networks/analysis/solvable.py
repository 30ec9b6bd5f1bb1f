r"""The random-features model beside the networks: same data, same time, same n/d.

The theory gets the eigenvalues of the covariance of the images, the diffusion time t = -log a_k of
the time index, psi_n = n/d, and psi_p such that its trained layer, p x d, holds as many parameters
as the network: psi_p = (parameters)/d^2. Nothing is fitted. What limited parameters do shows beside
the same model with unlimited ones. Its training time has no unit in steps
of Adam, so that curves are compared on axes scaled by tau_mem, dated by the same definition (test
over train loss = 2) on both.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from dmft_rf import Covariance, ScoreModel, solve
from dmft_rf._typing import Array
from validation.networks.analysis.dating import RATIO
from validation.networks.run.schedule import diffusion_time

#: psi_p beyond which tau_mem no longer depends on the number of parameters (to 0.1 % at n <= 8 d)
UNLIMITED = 1e5


@dataclass(frozen=True)
class Curves:
    """Losses of the solvable model along ``tau`` and the tau at which their ratio is 2.

    Attributes
    ----------
    tau, train, test : arrays
    tau_mem : float
        nan if the ratio never gets there.
    """

    tau: Array
    train: Array
    test: Array
    tau_mem: float


def curves(
    covariance: Covariance, n: int, d: int, parameters: float, index: int, points: int = 120
) -> Curves:
    """Losses from the solvable model; raises what `dmft_rf.solve` raises."""
    model = ScoreModel(diffusion_time(index), parameters / d**2, n / d, covariance=covariance)
    solution = solve(model)

    def excess(log_tau: float) -> float:
        at = solution.learning_curves(np.array([math.exp(log_tau)]))
        return float(at.test[0] / at.train[0]) - RATIO

    grid = np.geomspace(1e-2, 1e9, 111)
    coarse = solution.learning_curves(grid)
    beyond = np.flatnonzero(coarse.test >= RATIO * coarse.train)
    tau_mem = math.nan
    centre = float(grid[np.argmin(coarse.test)])
    if beyond.size and beyond[0] > 0:
        low, high = np.log(grid[beyond[0] - 1]), np.log(grid[beyond[0]])
        tau_mem = centre = math.exp(brentq(excess, low, high, xtol=1e-6))
    tau = np.geomspace(1e-4 * centre, 1e2 * centre, points)
    found = solution.learning_curves(tau)
    return Curves(tau, np.asarray(found.train), np.asarray(found.test), tau_mem)
