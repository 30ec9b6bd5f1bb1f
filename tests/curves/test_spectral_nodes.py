"""The spectral measures on the real axis, a second route to everything the contour computes."""

import numpy as np
import pytest

import dmft_rf as rf
from tests.helpers.within import assert_close

MODELS = [
    rf.ScoreModel(0.1, 8, 4),
    rf.ScoreModel(0.05, 4, 16, "erf", rf.Covariance([0.5, 1.5])),
    rf.ScoreModel(0.2, 6, 3, "relu", rf.Covariance([0.2, 1.0, 3.0], [0.5, 0.3, 0.2])),
    rf.ScoreModel(0.01, 64, 8),
    rf.ScoreModel(0.1, 5, 4),  # hard edge
    rf.ScoreModel(0.1, 3, 2, "linear"),
]
TAU = np.array([0.0, 0.1, 1.0, 10.0, 100.0, 1e4, 1e6, np.inf])


@pytest.fixture(scope="module", params=MODELS, ids=lambda m: f"{m.activation.name}-{m.psi_p:g}")
def solution(request: pytest.FixtureRequest) -> rf.Solution:
    return rf.solve(request.param)


@pytest.mark.compiled
@pytest.mark.parametrize(
    "rule",
    [
        rf.GradientFlow(),
        rf.GradientFlow(weight_decay=0.01, initial_std=0.5),
        rf.Ridge(0.1),
        rf.WeightAverage(30.0, initial_std=0.5),
    ],
)
def test_spectrum_and_contour_agree(solution: rf.Solution, rule) -> None:
    contour = solution.learning_curves(TAU, rule)
    measure = solution._on_spectrum(TAU, rule)
    assert_close(contour, measure)


@pytest.mark.parametrize("fraction", [1e-3, 0.3, 0.95])
def test_descent_on_its_disc_and_on_the_spectrum(solution: rf.Solution, fraction: float) -> None:
    step = 2.0 * fraction / (solution.model.rate * solution.diagnostics["support"][1])
    rule = rf.GradientDescent(step)
    tau = rule.times([0, 1, 2, 7, 100, 10_000])
    disc, measure = solution.learning_curves(tau, rule), solution._on_spectrum(tau, rule)
    assert_close(disc, measure)


@pytest.mark.compiled
@pytest.mark.parametrize("beta", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("fraction", [1e-2, 0.5, 0.95])
def test_momentum_on_its_ellipse_and_on_the_spectrum(
    solution: rf.Solution, beta: float, fraction: float
) -> None:
    step = 2.0 * (1 + beta) * fraction / (solution.model.rate * solution.diagnostics["support"][1])
    rule = rf.HeavyBall(step, weight_decay=1e-4, initial_std=0.3, momentum=beta)
    # at k = 100 the oscillations of r_k need more nodes than the spectrum is given
    tau = rule.times([0, 1, 2, 7, 20, 10_000])
    ellipse, measure = solution.learning_curves(tau, rule), solution._on_spectrum(tau, rule)
    assert_close(ellipse, measure)


def test_small_steps_are_gradient_flow(solution: rf.Solution) -> None:
    """Euler's method: the difference falls like the step, and momentum is time over 1 - beta."""
    rate, top = solution.model.rate, solution.diagnostics["support"][1]
    tau = 3.0 / (rate * top)
    flow = solution.learning_curves(tau).score_error
    miss = [
        abs(float(solution.learning_curves(tau, rf.GradientDescent(tau / k)).score_error - flow))
        for k in (1000, 2000)
    ]
    assert miss[0] / miss[1] == pytest.approx(2.0, rel=5e-3)
    beta, k = 0.5, 20_000
    heavy = solution.learning_curves(
        tau * (1 - beta), rf.HeavyBall(tau * (1 - beta) / k, momentum=beta)
    )
    assert float(heavy.score_error) == pytest.approx(float(flow), rel=2e-3)


def test_a_kernel_too_sharp_to_resolve_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """At psi_p = 1e4 the overlap of eigenvectors is as narrow as 1/psi_p: refuse, do not guess.

    A momentum this close to 1 leaves no room for a contour either.
    """
    monkeypatch.setattr("dmft_rf.curves.solve._MOST_SPECTRAL_NODES", 500)
    solution = rf.solve(rf.ScoreModel(0.1, 1e4, 2.0, "tanh", rf.Covariance([0.5, 1.5])))
    step = 1.0 / (solution.model.rate * solution.diagnostics["support"][1])
    rule = rf.HeavyBall(step, momentum=0.98)
    with pytest.raises(rf.ConvergenceError, match="relative error") as caught:
        solution.learning_curves(rule.times([1, 10]), rule)
    assert caught.value.residual > solution.rtol
    assert caught.value.partial.tau.size == 2
