r"""How gradient noise spreads over the modes of U, from one-point functions at contour nodes.

A unit of noise eps L dtau leaves in the losses, after a time s of gradient flow,

    K(s)   = (4 Delta_t^2/psi_p) integral x^2 e^{-2 alpha x s} d rho        in L_train,
    K_t(s) = (4 Delta_t^2/psi_p) integral x   e^{-2 alpha x s} d rho_t      in L_test,
    K_w(s) = (4 Delta_t^2/psi_p) integral x   e^{-2 alpha x s} d rho        in Delta_t |A|^2/(p d),

where rho_t is the law of the feature covariance of fresh samples along the modes of U,
integral d rho_t/(x - z) = N q(z) + S_test(z)/psi_p. All three are integrals of e^{-2 alpha x s}
against measures whose Stieltjes transforms are here, without the factor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dmft_rf._frozen import Frozen
from dmft_rf.curves.nodes import Nodes
from dmft_rf.model.feature_model import FeatureModel
from dmft_rf.numerics.estimate import Estimate
from dmft_rf.rules.stochastic import StochasticGradientDescent
from dmft_rf.spectra.resolvent import resolvent
from dmft_rf.spectra.spectrum import Spectrum

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


@dataclass(frozen=True, eq=False)
class NoiseTransforms(Frozen):
    """Transforms at the nodes, each (N,), of complete laws: atoms above 0 are in them.

    Attributes
    ----------
    nodes : Nodes
    weight, weight_size
        Integral of x/(x - z) against rho, and the sizes of its terms.
    test, test_size
        Integral of x/(x - z) against rho_t.
    """

    nodes: Nodes
    weight: Complex
    weight_size: Array
    test: Complex
    test_size: Array

    @classmethod
    def of(cls, nodes: Nodes) -> NoiseTransforms:
        """From the transforms of the bulks and the atoms."""
        model, z = nodes.model, nodes.points
        X, size = nodes.x_bulk.copy(), nodes.bulk_sizes[1].copy()
        for place, mass in nodes.law.atoms:
            if place > 0.0:  # one at 0 is never driven
                X += mass * place / (place - z)
                size += mass * place / np.abs(place - z)
        N, held = model.residual_variance, tested(model)
        signal = z * nodes.S_test / model.psi_p
        return cls(nodes, X, size, N * X + held + signal, N * size + held + np.abs(signal))

    @property
    def train(self) -> Complex:
        """Integral of x^2/(x - z) against rho."""
        return mean_eigenvalue(self.nodes.model) + self.nodes.points * self.weight

    @property
    def train_size(self) -> Array:
        """The sizes of the terms of ``train``."""
        return mean_eigenvalue(self.nodes.model) + np.abs(self.nodes.points) * self.weight_size


def tested(model: FeatureModel) -> float:
    """mu_1^2, the part of the mean eigenvalue that depends on the data linearly."""
    return sum(
        one.share * one.linear**2 * float(model.weights @ one.diffused) for one in model.classes
    )


def mean_eigenvalue(model: FeatureModel) -> float:
    """m_1 = E sigma^2 - mu_0^2, the mean of rho and of rho_t's x."""
    return model.residual_variance + tested(model)


def stationary(law: Spectrum, shift: float) -> Array:
    """Integrals of x^2/(x + shift) d rho, x/(x + shift) d rho_t and x/(x + shift) d rho.

    Times eps Delta_t L_train they are what noise sustains, in the long run, in the training loss,
    the test loss and the weights of a rule with weight decay ``shift``, a number off the negatives
    of the spectrum.
    """
    model, mean = law.model, mean_eigenvalue(law.model)
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


def outlier(
    model: FeatureModel, rule: StochasticGradientDescent, noise: Array
) -> tuple[Array, Array]:
    """X and y of the outlying mode of an activation with mean mu_0, at these values of eps.

    X = 2 eps batch Delta_t mu_0^2 is the part of the mode that one step removes, and y L_bulk its
    stationary loss, y = X (1 + m)/[batch (1 - m) (2 (1 + m) - X)] with the momentum m; inf where
    the steps overshoot, X >= 2 (1 + m).
    """
    m, mu0 = rule.momentum, model.classes[0].coefficients.mu0
    X = 2.0 * rule.batch * model.Delta_t * mu0 * mu0 * noise
    room = 2.0 * (1.0 + m) - X
    y = X * (1.0 + m) / (rule.batch * (1.0 - m) * np.where(room > 0.0, room, 1.0))
    return X, np.where(room > 0.0, y, math.inf)


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
    change it: the weights themselves drive the noise.
    """
    y = outlier(law.model, rule, noise)[1]
    single = noise * (law.model.Delta_t * driven(law, rule) / (1.0 - rule.momentum))
    return np.asarray(np.where(noise > 0.0, (1.0 + y) * single, 0.0))


def driven(law: Spectrum, rule: StochasticGradientDescent) -> float:
    """The first of `sustained` for the weights themselves."""
    return float(sustained(law, replace(rule, average=None))[0])


@dataclass(frozen=True)
class Added:
    """What noise adds to train and test loss and to Delta_t ||A||^2/(p d), each (n_tau,)."""

    train: Estimate
    test: Estimate
    norm: Estimate
