r"""How gradient noise spreads over the modes of U, from one-point functions at contour nodes.

A unit of noise eps L dtau leaves in the losses, after a time s of gradient flow,

    K(s)   = (4 Delta_t^2/psi_p) integral x^2 e^{-2 alpha x s} d rho        in L_train,
    K_t(s) = (4 Delta_t^2/psi_p) integral x   e^{-2 alpha x s} d rho_t      in L_test,
    K_w(s) = (4 Delta_t^2/psi_p) integral x   e^{-2 alpha x s} d rho        in Delta_t |A|^2/(p d),

where rho_t is the law of the feature covariance of fresh samples along the modes of U,
integral d rho_t/(x - z) = N q(z) + S_test(z)/psi_p. All three are integrals of e^{-2 alpha x s}
against measures whose Stieltjes transforms are here, without the factor. At infinite width psi_p
is 1 in it and in alpha, and rho is the law of the kernel per dimension (curves.kernel_nodes).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dmft_rf._frozen import Frozen
from dmft_rf._typing import Array, Complex
from dmft_rf.numerics.estimate import Estimate

if TYPE_CHECKING:
    from dmft_rf.curves.nodes import Nodes
    from dmft_rf.model.feature_model import FeatureModel
    from dmft_rf.rules.stochastic import StochasticGradientDescent


@dataclass(frozen=True, eq=False)
class NoiseTransforms(Frozen):
    """Transforms at the nodes, each (N,), of whole laws, atoms above 0 included.

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
        if math.isinf(model.psi_p):
            X, size, held = nodes.x_bulk, nodes.bulk_sizes[1], tested(model)
            signal = z * nodes.S_test
            return cls(nodes, X, size, held + signal, held + np.abs(signal))
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
        mean = mean_eigenvalue(self.nodes.model) - idle(self.nodes.model)
        return mean + self.nodes.points * self.weight

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


def idle(model: FeatureModel) -> float:
    """s^2 at infinite width, the part of the mean eigenvalue whose modes never move; else 0.

    Those of the floor relax on times that grow with psi_p.
    """
    return model.classes[0].coefficients.s2 if math.isinf(model.psi_p) else 0.0


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


@dataclass(frozen=True)
class Added:
    """What noise adds to train and test loss and to Delta_t ||A||^2/(p d), each (n_tau,)."""

    train: Estimate
    test: Estimate
    norm: Estimate
