r"""The discrete variance-preserving schedule: 1000 times, beta from 1e-4 to 0.02.

    x_k = a_k x + s_k xi,    a_k^2 = prod_{j<=k} (1 - beta_j),    s_k^2 = 1 - a_k^2.

The time of the Ornstein-Uhlenbeck process of the theory is t = -log a_k (docs/theory.md,
"Model and conventions"), so that s_k^2 = Delta_t. Schedule: Ho, Jain, Abbeel, arXiv:2006.11239.
"""

import numpy as np
from numpy.typing import NDArray

from dmft_rf import ModelError
from dmft_rf._typing import Array

TIMES = 1000
_BETA = np.linspace(1e-4, 0.02, TIMES)
_SIGNAL2 = np.cumprod(1.0 - _BETA)

#: a_k and s_k for k = 0, ..., 999
SIGNAL: Array = np.sqrt(_SIGNAL2)
NOISE: Array = np.sqrt(1.0 - _SIGNAL2)


def diffusion_time(index: int) -> float:
    """t = -log a_k of the theory for the time index k, 0 <= k < 1000."""
    if not 0 <= index < TIMES:
        raise ModelError(f"time index is {index}; it must be from 0 to {TIMES - 1}")
    return float(-np.log(SIGNAL[index]))


def sampling_times(steps: int) -> NDArray[np.int64]:
    """Time indices that the sampler visits, from 999 down to 0, shape (steps,)."""
    if not 2 <= steps <= TIMES:
        raise ModelError(f"sampler steps is {steps}; it must be from 2 to {TIMES}")
    return np.round(np.linspace(TIMES - 1, 0, steps)).astype(np.int64)
