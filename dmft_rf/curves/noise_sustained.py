"""What the noise of SGD adds to the losses in the long run, and how much of it is stable."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np

from dmft_rf._typing import Array
from dmft_rf.curves.noise_transforms import idle, mean_eigenvalue, outlier, tested
from dmft_rf.spectra.kernel_transforms import KernelTransforms
from dmft_rf.spectra.resolvent import resolvent

if TYPE_CHECKING:
    from dmft_rf.rules.stochastic import StochasticGradientDescent
    from dmft_rf.spectra.spectrum import Spectrum, WideSpectrum


def stationary(law: Spectrum, shift: float) -> Array:
    """Integrals of x^2/(x + shift) d rho, x/(x + shift) d rho_t and x/(x + shift) d rho.

    Times eps Delta_t L_train they are what noise sustains, in the long run, in the training loss,
    the test loss and the weights of a rule with weight decay ``shift``, a number off the negatives
    of the spectrum. At infinite width in the units of the kernel and without its `idle` modes.
    """
    model, mean = law.model, mean_eigenvalue(law.model)
    if math.isinf(model.psi_p):
        mean -= idle(model)
        if shift == 0.0:
            return np.array([mean, tested(model), law.total])
        kernel = KernelTransforms.at(cast("WideSpectrum", law), np.array([-shift + 0.0j]))
        weight, test = float(kernel.weight.real[0]), float(kernel.test.real[0])
        return np.array([mean - shift * weight, tested(model) - shift * test, weight])
    if shift == 0.0:
        still = sum(float(mass) for place, mass in law.atoms if place == 0.0)
        return np.array([mean, mean, 1.0 - still])
    point = resolvent(model, np.array([-shift]))
    (one,) = model.classes
    q = float(point.q.real[0])
    tests = model.residual_variance * q
    tests += float(point.S(one.linear**2 * one.diffused).real[0]) / model.psi_p
    return np.array([mean - shift + shift**2 * q, mean - shift * tests, 1.0 - shift * q])


def lowest(law: Spectrum) -> float:
    """Lowest place of the spectrum that noise drives: an atom above 0, or the lower edge."""
    return min([law.ends[0], *(float(place) for place in law.atoms[:, 0] if place > 0.0)])


def sustained(law: Spectrum, rule: StochasticGradientDescent) -> Array:
    """What noise sustains in the long run, `stationary`, for the weights or steps of this rule.

    Steps of finite size follow a mode y = x + omega with 1/y + 1/(Y - y) for 1/y, where Y =
    2 (1 + momentum)/(alpha dtau); averages with 1/y - 1/(y + 1/(alpha T)).
    """
    model, omega = law.model, rule.weight_decay
    found = stationary(law, omega)
    if rule.finite_steps is not None:
        end = 2.0 * (1.0 + rule.momentum) / (model.rate * rule.finite_steps)
        found = found - stationary(law, omega - end)
    if rule.average is not None:
        found = found - stationary(law, omega + 1.0 / (model.rate * rule.average * rule.pace))
    return found


def loads(law: Spectrum, rule: StochasticGradientDescent, noise: Array) -> Array:
    """(1 + y) eps Delta_t/(1 - momentum) times the first of `sustained` at these values of eps.

    The share of L_train that the noise sustains; 1 is where the losses diverge. An average does not
    change it: the weights themselves drive the noise. At infinite width the limit of that of finite
    widths, to which modes contribute that take a time of the order of the width.
    """
    y = outlier(law.model, rule, noise)[1]
    single = noise * (law.model.Delta_t * _limiting(law, rule) / (1.0 - rule.momentum))
    return np.asarray(np.where(noise > 0.0, (1.0 + y) * single, 0.0))


def driven(law: Spectrum, rule: StochasticGradientDescent) -> float:
    """The first of `sustained` for the weights themselves."""
    return float(sustained(law, replace(rule, average=None))[0])


def _limiting(law: Spectrum, rule: StochasticGradientDescent) -> float:
    """`driven`, and at infinite width what the idle modes add at last unless weights decay."""
    return driven(law, rule) + (idle(law.model) if rule.weight_decay == 0.0 else 0.0)


def largest_noise(law: Spectrum, rule: StochasticGradientDescent) -> float:
    """The constant eps at which the load with this batch and momentum reaches 1."""
    from scipy.optimize import brentq

    most = (1.0 - rule.momentum) / (law.model.Delta_t * _limiting(law, rule))

    def beyond(eps: float) -> float:
        y = float(outlier(law.model, rule, np.array(eps))[1])
        return 1.0 - most / ((1.0 + y) * eps) if eps > 0.0 else -1e300

    if not beyond(most) > 0.0:  # no mean, or one that rounding hides
        return most
    return float(brentq(beyond, 0.0, most, xtol=1e-300, rtol=1e-14))
