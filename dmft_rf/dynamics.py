r"""Learning curves: train loss, test loss and score error of a training rule at every time.

With S[f] the integral of f against nu (transform S of (1/d) Tr W^T (U - z)^{-1} W/d) and
T[f, g] the double integral of the two-point function with Q = Sigma_t, for the filter h:

    L_train = 1 - b^2 S[2 h - x h^2] = L_train(inf) + b^2 S[(1 - x h)^2/x]
    E_score = Tr Sigma_t^{-1}/d - 2 a^2 S[h] + a^2 { N S[h^2] + a^2 T[h, h] }
    L_test  = L_floor + Delta_t E_score,      N = E sigma^2 - mu_0^2 - mu_1^2,  a^2 = mu_1^2/Gamma_t^2

The second forms have no cancellation at late times (train) and as t -> 0 (score). Independent
Gaussian initial weights of variance kappa^2 add, with the memory g of the rule and rho the law of U,

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
from dmft_rf.rules import Rule
from dmft_rf.solution import ContourNodes, Estimate, Solution

Array = NDArray[np.float64]

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
    generalization_gap
        L_test - L_train.
    score_error
        (1/d) E|s_A - s*|^2 against the exact score -Sigma_t^{-1} x of Gaussian data.
    error
        Estimated absolute errors of the above, by name.
    rule, model
        What was trained, on what.
    """

    tau: Array
    train: Array
    test: Array
    generalization_gap: Array
    score_error: Array
    error: dict[str, Array]
    rule: Rule
    solution: Solution


def learning_curves(solution: Solution, tau: ArrayLike, rule: Rule) -> LearningCurves:
    """What Solution.learning_curves returns."""
    times = _times(tau)
    flat = times.ravel()
    top = solution.diagnostics["support"][1]
    rule.check(top, solution.model.rate)
    rule.check_times(flat)
    if rule.bounded_in_half_plane:
        nodes = solution.nodes
    else:
        raise NotImplementedError
    parts = [
        _curves(solution, nodes, flat[i : i + _BLOCK], rule)
        for i in range(0, max(flat.size, 1), _BLOCK)
    ]
    train, score = (
        Estimate(
            np.concatenate([p[j].value for p in parts]).reshape(times.shape),
            np.concatenate([p[j].error for p in parts]).reshape(times.shape),
        )
        for j in (0, 1)
    )
    test = _test_loss(solution, score)
    _require_accuracy(solution, train, test, score, rule)
    return LearningCurves(
        tau=times,
        train=train.value,
        test=test.value,
        generalization_gap=test.value - train.value,
        score_error=score.value,
        error={
            "train": train.error,
            "test": test.error,
            "generalization_gap": train.error + test.error,
            "score_error": score.error,
        },
        rule=rule,
        solution=solution,
    )


def relative_error(solution: Solution, tau: Array, rule: Rule) -> float:
    """Largest estimated relative error of train, test and score error at the times ``tau``."""
    train, score = _curves(solution, solution.nodes, tau, rule)
    test = _test_loss(solution, score)
    return max(float(np.max(e.error / np.abs(e.value))) for e in (train, test, score))


def test_loss_slope(solution: Solution, tau: Array, rule: Rule) -> Array:
    """d E_score/d tau (= d L_test/d tau / Delta_t) under a rule with a ``velocity``."""
    model, nodes = solution.model, solution.nodes
    c = model.coefficients
    a2 = (c.mu1 / c.Gamma_t) ** 2
    h = rule.filter(nodes.points, tau, model.rate)
    v = rule.velocity(nodes.points, tau, model.rate)  # type: ignore[attr-defined]
    linear = nodes.integral(v, nodes.S).value
    square = nodes.integral(h * v, nodes.S).value
    pair = nodes.bilinear(h, v)
    return 2.0 * a2 * (-linear + c.residual_variance * square + a2 * pair)


def _curves(
    solution: Solution, nodes: ContourNodes, tau: Array, rule: Rule
) -> tuple[Estimate, Estimate]:
    """Train loss and score error at the times ``tau``, shape (n_tau,)."""
    model = solution.model
    c = model.coefficients
    a2 = (c.mu1 / c.Gamma_t) ** 2
    x = nodes.points
    h = rule.filter(x, tau, model.rate)
    left = rule.residual(x, tau, model.rate)
    train = _sum(solution.train_limit, (c.b**2, nodes.integral(left * left / x, nodes.S)))
    score = _sum(
        model.initial_score_error,
        (-2.0 * a2, nodes.integral(h, nodes.S)),
        (a2 * c.residual_variance, nodes.integral(h * h, nodes.S)),
        (a2 * a2, nodes.quadratic(h)),
    )
    if rule.initial_scale > 0.0:
        kappa2 = rule.initial_scale**2
        g2 = rule.memory(x, tau, model.rate) ** 2
        atom_loss, atom_norm = _atom_terms(solution, tau, rule)
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
    return train, score


def _atom_terms(solution: Solution, tau: Array, rule: Rule) -> tuple[Estimate, Estimate]:
    """Contributions of the atom of U at s^2 to integral x g^2 d rho and integral g^2 d rho."""
    norm = np.zeros(tau.size)
    loss = np.zeros(tau.size)
    for location, mass in solution.spectrum.atoms:
        g2 = rule.memory(np.array([location]), tau, solution.model.rate)[:, 0] ** 2
        norm += mass * g2
        loss += mass * location * g2
    return Estimate(loss, np.zeros(tau.size)), Estimate(norm, np.zeros(tau.size))


def _sum(start: float | Estimate, *terms: tuple[float, Estimate]) -> Estimate:
    """start + sum of factor * estimate, with the rounding of the sum in its error."""
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


def _test_loss(solution: Solution, score: Estimate) -> Estimate:
    delta = solution.model.coefficients.Delta_t
    return Estimate(solution.model.floor + delta * score.value, delta * score.error)


def _times(tau: ArrayLike) -> Array:
    try:
        times = np.asarray(tau, dtype=float)
    except (TypeError, ValueError):
        raise ModelError(f"tau is {tau!r}; it must be an array of numbers >= 0 or inf") from None
    if np.any(np.isnan(times)) or np.any(times < 0.0):
        bad = times[np.isnan(times) | (times < 0.0)].ravel()[0]
        raise ModelError(f"tau holds {float(bad)!r}; times must be >= 0 (inf is allowed)")
    return times


def _require_accuracy(
    solution: Solution, train: Estimate, test: Estimate, score: Estimate, rule: Rule
) -> None:
    for name, e in (("train", train), ("test", test), ("score_error", score)):
        if e.value.size == 0:
            continue
        worst = float(np.max(e.error / np.abs(e.value)))
        if not worst <= solution.rtol:
            raise ConvergenceError(
                f"{name} reached a relative error of {worst:.1e} under {rule}; "
                f"rtol = {solution.rtol:g} was asked for",
                partial=(train, test, score),
                residual=worst,
            )
