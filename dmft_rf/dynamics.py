r"""Learning curves: train loss, test loss and score error of a training rule at every time.

With S[f] the integral of f against nu (transform S of (1/d) Tr W^T (U - z)^{-1} W/d) and
T[f, g] the double integral of the two-point function with Q = Sigma_t, for the filter h:

    L_train = 1 - b^2 S[2 h - x h^2] = L_train(inf) + b^2 S[(1 - x h)^2/x]
    E_score = Tr Sigma_t^{-1}/d - 2 a^2 S[h] + a^2 { N S[h^2] + a^2 T[h, h] }
    L_test  = L_floor + Delta_t E_score,
    N = E sigma^2 - mu_0^2 - mu_1^2,    a^2 = mu_1^2/Gamma_t^2

The second forms have no cancellation at late times (train) and as t -> 0 (score). Independent
Gaussian initial weights of variance kappa^2 add, with the memory g of the rule and the law rho
of U,

    kappa^2 Delta_t integral x g^2 d rho                                to L_train,
    kappa^2 { N integral g^2 d rho + (a^2/psi_p) S_{Sigma_t}[g^2] }     to E_score.

Source: Bonnaire et al., arXiv:2505.17638, sections 4 and B for the losses; the closed form at
every time and for any covariance is derived in docs/theory.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dmft_rf.errors import ConvergenceError, ModelError
from dmft_rf.estimate import Estimate
from dmft_rf.measure import SpectralNodes
from dmft_rf.model import ScoreModel
from dmft_rf.nodes import ContourNodes
from dmft_rf.rules import GradientFlow, Rule

Array = NDArray[np.float64]
Nodes = ContourNodes | SpectralNodes

# times handled at once: bounds the memory of a call, not its size
_BLOCK = 4096


@dataclass(frozen=True)
class LearningCurves:
    """Losses per dimension along training; every array has the shape of ``tau``.

    Attributes
    ----------
    tau
        Gradient-flow time; discrete rules: steps * step.
    train
        L_train, averaged over the noise exactly (without the weight-decay penalty).
    test
        L_test, on fresh samples.
    score_error
        (1/d) E|s_A - s*|^2 against the exact score -Sigma_t^{-1} x of Gaussian data.
    error
        Estimated absolute errors of train, test, generalization_gap and score_error, by name.
    rule, model
        What was trained, on what.
    """

    tau: Array
    train: Array
    test: Array
    score_error: Array
    error: dict[str, Array]
    rule: Rule
    model: ScoreModel

    @property
    def generalization_gap(self) -> Array:
        """L_test - L_train."""
        return self.test - self.train

    @property
    def relative_error(self) -> float:
        """Largest estimated relative error of train, test and score_error."""
        if self.tau.size == 0:
            return 0.0
        return max(
            float(np.max(self.error[name] / np.abs(getattr(self, name))))
            for name in ("train", "test", "score_error")
        )

    def require(self, rtol: float) -> LearningCurves:
        """These curves, or ConvergenceError if they are not accurate to ``rtol``."""
        if not self.relative_error <= rtol:
            raise ConvergenceError(
                f"learning curves reached a relative error of {self.relative_error:.1e} under "
                f"{self.rule}; rtol = {rtol:g} was asked for",
                partial=self,
                residual=self.relative_error,
            )
        return self


def curves_on(nodes: Nodes, train_limit: float, tau: ArrayLike, rule: Rule) -> LearningCurves:
    """Learning curves of ``rule`` from the one- and two-point functions at ``nodes``.

    ``train_limit`` is the training loss of minimum-norm least squares. Raises ModelError if a time
    is negative or NaN, not one of the rule's, or the rule diverges on this spectrum.
    """
    times = _times(tau)
    flat = times.ravel()
    rule.check(float(nodes.law.edges[-1, 1]), nodes.model.rate)
    rule.check_times(flat)
    blocks = [flat[i : i + _BLOCK] for i in range(0, max(flat.size, 1), _BLOCK)]
    parts = [_losses(nodes, train_limit, block, rule) for block in blocks]
    train, score, test = (_joined([part[i] for part in parts], times.shape) for i in range(3))
    return LearningCurves(
        tau=times,
        train=train.value,
        test=test.value,
        score_error=score.value,
        error={
            "train": train.error,
            "test": test.error,
            "generalization_gap": train.error + test.error,
            "score_error": score.error,
        },
        rule=rule,
        model=nodes.model,
    )


def relative_error(nodes: Nodes, train_limit: float, tau: Array, rule: Rule) -> float:
    """Largest estimated relative error of train, test and score error at the times ``tau``."""
    return curves_on(nodes, train_limit, tau, rule).relative_error


def score_error_slope(nodes: ContourNodes, tau: Array, rule: GradientFlow) -> Array:
    """D E_score/d tau, which is d L_test/d tau over Delta_t, shape (n_tau,)."""
    model = nodes.model
    c = model.coefficients
    a2 = (c.mu1 / c.Gamma_t) ** 2
    h = rule.filter(nodes.points, tau, model.rate)
    v = rule.velocity(nodes.points, tau, model.rate)
    linear = nodes.integral(v, nodes.S).value
    square = nodes.integral(h * v, nodes.S).value
    return 2.0 * a2 * (-linear + c.residual_variance * square + a2 * nodes.bilinear(h, v))


def _losses(
    nodes: Nodes, train_limit: float, tau: Array, rule: Rule
) -> tuple[Estimate, Estimate, Estimate]:
    """Train loss, score error and test loss at the times ``tau``, shape (n_tau,)."""
    model = nodes.model
    c = model.coefficients
    a2 = (c.mu1 / c.Gamma_t) ** 2
    x = nodes.points
    h = rule.filter(x, tau, model.rate)
    left = rule.residual(x, tau, model.rate)
    train = _sum(train_limit, (c.b**2, nodes.integral(left * left / x, nodes.S)))
    score = _sum(
        model.initial_score_error,
        (-2.0 * a2, nodes.integral(h, nodes.S)),
        (a2 * c.residual_variance, nodes.integral(h * h, nodes.S)),
        (a2 * a2, nodes.quadratic(h)),
    )
    if rule.initial_scale > 0.0:
        kappa2 = rule.initial_scale**2
        g2 = rule.memory(x, tau, model.rate) ** 2
        atom_loss, atom_norm = _atom_terms(nodes, tau, rule)
        train = _sum(
            train,
            (kappa2 * c.Delta_t, nodes.integral(x * g2, nodes.q_bulk)),
            (kappa2 * c.Delta_t, atom_loss),
        )
        score = _sum(
            score,
            (kappa2 * c.residual_variance, nodes.integral(g2, nodes.q_bulk)),
            (kappa2 * c.residual_variance, atom_norm),
            (kappa2 * a2 / model.psi_p, nodes.integral(g2, nodes.S_diffused)),
        )
    test = Estimate(model.floor + c.Delta_t * score.value, c.Delta_t * score.error)
    return train, score, test


def _atom_terms(nodes: Nodes, tau: Array, rule: Rule) -> tuple[Estimate, Estimate]:
    """Contributions of the atom of U at s^2 to integral x g^2 d rho and integral g^2 d rho."""
    norm = np.zeros(tau.size)
    loss = np.zeros(tau.size)
    for location, mass in nodes.law.atoms:
        g2 = rule.memory(np.array([location]), tau, nodes.model.rate)[:, 0] ** 2
        norm += mass * g2
        loss += mass * location * g2
    return Estimate(loss, np.zeros(tau.size)), Estimate(norm, np.zeros(tau.size))


def _joined(parts: list[Estimate], shape: tuple[int, ...]) -> Estimate:
    return Estimate(
        np.concatenate([part.value for part in parts]).reshape(shape),
        np.concatenate([part.error for part in parts]).reshape(shape),
    )


def _sum(start: float | Estimate, *terms: tuple[float, Estimate]) -> Estimate:
    """Start + sum of factor * estimate, with the rounding of the sum in its error."""
    eps = float(np.finfo(float).eps)
    first = terms[0][1]
    if isinstance(start, Estimate):
        value, error = start.value.copy(), start.error.copy()
    else:
        value = np.full(first.value.shape, start)
        error = np.full(first.value.shape, 2.0 * eps * abs(start))
    for factor, term in terms:
        value = value + factor * term.value
        error = error + abs(factor) * term.error
    return Estimate(value, error)


def _times(tau: ArrayLike) -> Array:
    try:
        times = np.asarray(tau, dtype=float)
    except (TypeError, ValueError):
        raise ModelError(f"tau is {tau!r}; it must be an array of numbers >= 0 or inf") from None
    if np.any(np.isnan(times)) or np.any(times < 0.0):
        bad = times[np.isnan(times) | (times < 0.0)].ravel()[0]
        raise ModelError(f"tau holds {float(bad)!r}; times must be >= 0 (inf is allowed)")
    return times
