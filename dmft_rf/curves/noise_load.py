"""How much noise SGD may have, and what it leaves in the losses: ``dmft_rf.sgd``."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import ArrayLike

from dmft_rf._convert import instance
from dmft_rf._typing import Array
from dmft_rf.curves.losses import checked_times
from dmft_rf.curves.noise_sustained import largest_noise, loads
from dmft_rf.curves.stochastic import checked
from dmft_rf.rules.stochastic import StochasticGradientDescent
from dmft_rf.spectra.spectrum import Spectrum


def load(solution: Any, rule: StochasticGradientDescent, tau: ArrayLike = math.inf) -> Array:
    """The load at the noise that the rule has at the times ``tau``, in their shape.

    (1 + y) eps Delta_t m_1/(1 - momentum), with the mean eigenvalue m_1 = E sigma^2 - mu_0^2 (with
    weight decay omega, the mean of x^2/(x + omega)); 1 is the limit of stability. Steps of finite
    size add to it. At infinite width it is the limit of that of finite widths, of which modes that
    relax at tau of the order of psi_p have the part s^2/m_1 (none with weight decay).

    Parameters
    ----------
    solution : Solution or Spectrum
    rule : StochasticGradientDescent
    tau : array_like

    Returns
    -------
    array, shape of ``tau``

    Raises
    ------
    ModelError
        If the model is a mixture, or the noise is not finite and >= 0 at these times.
    """
    return loads(_law(solution, rule), rule, rule.noise_at(checked_times(tau)))


def threshold(solution: Any, rule: StochasticGradientDescent) -> float:
    """The constant eps at which the load with this batch and momentum reaches 1.

    Parameters and errors are those of `load`.

    Returns
    -------
    float
        In the units of ``StochasticGradientDescent.noise``.
    """
    return largest_noise(_law(solution, rule), rule)


def _law(solution: Any, rule: Any) -> Spectrum:
    law = solution if isinstance(solution, Spectrum) else getattr(solution, "spectrum", None)
    law = instance(law, Spectrum, "solution", "solve(model)")
    checked(law.model, rule)
    return law
