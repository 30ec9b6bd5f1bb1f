r"""Learning curves: train loss, test loss and score error of a training rule at every time.

With S[f] the integral of f against nu (transform S of (1/d) Tr W^T (U - z)^{-1} W/d), M[f] the
deterministic equivalent of W^T f(U) W/d as a function of Sigma, V[f, g] the variance part of the
two-point function with Q = Sigma_t, < . > the average over the atoms of Sigma, and the filter h:

    L_train = 1 - b^2 S[2 h - x h^2] = L_train(inf) + b^2 S[(1 - x h)^2/x]
    E_score = <Sigma_t^{-1}> - 2 a^2 S[h] + a^2 N S[h^2] + a^4 (<Sigma_t M[h]^2> + V[h, h])
            = <Sigma_t (a^2 M[h] - Sigma_t^{-1})^2> + a^4 V[h, h] + a^2 N S[h^2]
    L_test  = L_floor + Delta_t E_score,
    N = E sigma^2 - mu_0^2 - mu_1^2,    a^2 = mu_1^2/Gamma_t^2

The second forms are sums of positive terms: a small training loss or score error keeps its digits.
Those of E_score are the bias (what the average network has not learned), the variance over sample
and features, and the noise of the features beyond their linear part. Independent
Gaussian initial weights of variance kappa^2 add, with the memory g of the rule and the law rho
of U,

    kappa^2 Delta_t integral x g^2 d rho                                to L_train,
    kappa^2 { N integral g^2 d rho + (a^2/psi_p) S_{Sigma_t}[g^2] }     to E_score.

Source: Bonnaire et al., arXiv:2505.17638, sections 4 and B for the losses; the closed form at
every time and for any covariance is derived in docs/theory.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dmft_rf.errors import ConvergenceError, ModelError
from dmft_rf.estimate import EPS, Estimate
from dmft_rf.measure import SpectralNodes
from dmft_rf.model import ScoreModel
from dmft_rf.nodes import ContourNodes
from dmft_rf.rules import GradientFlow, Rule

Array = NDArray[np.float64]
Nodes = ContourNodes | SpectralNodes

# losses below this fraction of the untrained network's are held to an absolute accuracy
_SMALL = 1e-3
# times handled at once, times nodes or atoms: bounds the memory of a call
_BLOCK = 2_000_000


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
        """Largest estimated relative error of train, test and score_error.

        A value below 1e-3 of the untrained network's counts as that: there the estimate is an
        absolute one (rounding sees the losses from 1 downwards).
        """
        if self.tau.size == 0:
            return 0.0
        worst = 0.0
        untrained = (("train", 1.0), ("test", 1.0), ("score_error", self.model.initial_score_error))
        for name, start in untrained:
            scale = np.maximum(np.abs(getattr(self, name)), _SMALL * start)
            worst = max(worst, float(np.max(self.error[name] / scale)))
        return worst

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


def curves_on(nodes: Nodes, tau: ArrayLike, rule: Rule) -> LearningCurves:
    """Learning curves of ``rule`` from the one- and two-point functions at ``nodes``.

    Raises ModelError if a time is negative or NaN, not one of the rule's, or the rule diverges on
    this spectrum.
    """
    times = _times(tau)
    flat = times.ravel()
    rule.check(float(nodes.law.edges[-1, 1]), nodes.model.rate)
    rule.check_times(flat)
    size = max(16, _BLOCK // max(nodes.points.size, nodes.model.covariance.n_atoms))
    blocks = [flat[i : i + size] for i in range(0, max(flat.size, 1), size)]
    parts = [_losses(nodes, block, rule) for block in blocks]
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


def score_error_slope(nodes: ContourNodes, tau: Array, rule: GradientFlow) -> Array:
    """d E_score/d tau, which is d L_test/d tau over Delta_t, shape (n_tau,)."""
    model = nodes.model
    c = model.coefficients
    a2 = (c.mu1 / c.Gamma_t) ** 2
    h = rule.filter(nodes.points, tau, model.rate)
    v = rule.velocity(nodes.points, tau, model.rate)
    missing = a2 * nodes.mean(h) * model.diffused - 1.0
    bias = (missing * nodes.mean(v)) @ model.covariance.weights
    noise = c.residual_variance * nodes.integral(h * v, nodes.S).value
    return 2.0 * a2 * (bias + a2 * nodes.bilinear(h, v) + noise)


def _losses(nodes: Nodes, tau: Array, rule: Rule) -> tuple[Estimate, Estimate, Estimate]:
    """Train loss, score error and test loss at the times ``tau``, shape (n_tau,)."""
    model = nodes.model
    c = model.coefficients
    a2 = (c.mu1 / c.Gamma_t) ** 2
    x = nodes.points
    h = rule.filter(x, tau, model.rate)
    left = rule.residual(x, tau, model.rate)
    train = _sum(
        Estimate(np.full(tau.size, nodes.train_limit), _late_error(nodes, tau.size)),
        (c.b**2, nodes.integral(left * left / x, nodes.S)),
    )
    score = _sum(
        _bias(nodes, h),
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
    test = model.floor + c.Delta_t * score.value
    return train, score, Estimate(test, c.Delta_t * score.error + EPS * test)


def _bias(nodes: Nodes, h: NDArray[Any]) -> Estimate:
    """<Sigma_t (a^2 M[h] - Sigma_t^{-1})^2>."""
    model = nodes.model
    a2 = (model.coefficients.mu1 / model.coefficients.Gamma_t) ** 2
    learned = nodes.mean(h)
    missing = a2 * learned * model.diffused - 1.0
    value = (missing * missing) @ (model.covariance.weights / model.diffused)
    # relative to its size, M[h] is off by about as much as its average over Sigma
    mean = nodes.integral(h, nodes.S)
    relative = mean.error / np.where(mean.value != 0.0, np.abs(mean.value), 1.0)
    slope = 2.0 * a2 * np.abs(missing * learned) @ model.covariance.weights
    return Estimate(value, slope * relative)


def _late_error(nodes: Nodes, n_tau: int) -> Array:
    """Truncation error of b^2 S[1/x], which the decaying part of the train loss never exceeds.

    Its own estimate becomes too small at late times, when e^{-2 alpha x tau} is sharper than the
    nodes resolve; but it stays smaller than at tau = 0 in the whole half-plane.
    """
    error = nodes.truncation(1.0 / nodes.points[None, :], nodes.S)[0]
    return np.full(n_tau, nodes.model.coefficients.b**2 * error)


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


def _sum(start: Estimate, *terms: tuple[float, Estimate]) -> Estimate:
    """Add factor * estimate for each term, with the rounding of the sum in the error."""
    value, error = start.value, start.error
    for factor, term in terms:
        value = value + factor * term.value
        error = error + abs(factor) * term.error
    return Estimate(value, error + EPS * np.abs(value))


def _times(tau: ArrayLike) -> Array:
    try:
        times = np.asarray(tau, dtype=float)
    except (TypeError, ValueError):
        raise ModelError(f"tau is {tau!r}; it must be an array of numbers >= 0 or inf") from None
    if np.any(np.isnan(times)) or np.any(times < 0.0):
        bad = times[np.isnan(times) | (times < 0.0)].ravel()[0]
        raise ModelError(f"tau holds {float(bad)!r}; times must be >= 0 (inf is allowed)")
    return times
