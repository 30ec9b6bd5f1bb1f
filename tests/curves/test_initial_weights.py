"""Start and end of training, with initial weights: every kind of model and rule, the whole box.

t in [1e-6, 10], psi_p and psi_n in [1e-3, 1e6] (log-uniform), every activation, one to three
classes of one to four atoms, some of them 0, any noise draws, p = n m to any number of digits. At
tau = 0 everything is known in closed form, and at tau = inf every rule is ridge regression
(validation.attack.attack says how).
"""

import math

import numpy as np
import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

import dmft_rf as rf
from tests.helpers.box import box
from validation.attack.attack import ALLOWED, end, signs, start
from validation.attack.models import KINDS, RULES, case, rule

INF = math.inf
pytestmark = pytest.mark.compiled

# an atom above 0, and a lower edge so near to 0 that the contour leads around both
LOST = rf.ScoreModel(
    0.01, 8, 4, lambda x: x + 1e-5 * x**3, rf.Mixture([0.5, 0.5], [[0.5, 0.5], [0.5, 2.5]])
)


def test_an_atom_above_a_contour_around_zero_is_not_lost() -> None:
    solution = rf.solve(LOST)
    assert solution.hard_edge
    ((place, mass),) = solution.spectrum.atoms
    assert place > 0.0
    assert mass == pytest.approx(3.0 / 8.0, abs=1e-14)  # 1 - (1 + psi_n)/psi_p
    curves = solution.learning_curves([0.0, 1e-3, 1e3], rf.GradientFlow(initial_std=0.5))
    norm = curves.weight_norm / LOST.Delta_t
    assert norm[0] == pytest.approx(0.25, abs=1e-13)
    assert norm[1] == pytest.approx(0.25, rel=1e-3)  # nothing has moved yet
    assert norm[2] > 0.25 * mass * math.exp(-2.0 * LOST.rate * place * 1e3)


@pytest.mark.parametrize("off", [0.0, 1e-2, 1e-3, 2e-4, 1e-6, 1e-9, -1e-9, -1e-4, 0.2])
def test_an_atom_at_zero_is_counted_once(off: float) -> None:
    """Close to p = n m a contour leads around 0, right of 0, or nearly through it."""
    model = rf.ScoreModel(0.24, 36.0 * (1.0 + off), 6.0, "softplus", noise_draws=6)
    solution = rf.solve(model, 1e-8)
    step = 0.3 / (model.rate * solution.diagnostics["support"][1])
    for one in (
        rf.GradientFlow(initial_std=80.0),
        rf.WeightAverage(step, initial_std=80.0),
        rf.GradientDescent(step, initial_std=80.0),
        rf.HeavyBall(step, initial_std=80.0, momentum=0.5),
    ):
        for last in 10.0 ** np.arange(0, 13, 2):  # each has a contour of its own
            tau = step * np.array([0.0, math.ceil(last)])
            try:
                curves = solution.learning_curves(tau, one)
            except rf.ConvergenceError:
                continue  # what rounding spoils is refused
            for finding in start(curves):
                assert finding.ratio <= ALLOWED, finding


@st.composite
def cases(draw: st.DrawFn) -> rf.ScoreModel:
    """Models of every kind; hypothesis chooses which of the random ones."""
    index = draw(st.integers(0, 100_000))
    try:
        one = case(14, index)
    except (rf.ConvergenceError, rf.ModelError):  # an activation that cannot be stated at this t
        assume(False)
    event(one.kind)
    assert one.kind in KINDS
    return one.model


@box
@given(cases(), st.integers(0, 1000))
def test_start_and_end(model: rf.ScoreModel, seed: int) -> None:
    rng = np.random.default_rng(seed)
    try:
        solution = rf.solve(model, 1e-8)
    except rf.ConvergenceError:
        event("refused")
        return
    top = solution.diagnostics["support"][1]
    for name in RULES:
        one = rule(rng, name, top, model.rate)
        finite = [0.0, 1.0, 30.0]
        step = getattr(one, "step", 1.0 / (model.rate * top))
        tau = np.append(step * np.array(finite), INF)
        try:
            curves = solution.learning_curves(tau, one)
            findings = [*signs(curves), *end(solution, curves)]
        except rf.ConvergenceError:
            event("refused")
            continue
        findings += start(curves) if name != "ridge" else ()
        for finding in findings:
            assert finding.ratio <= ALLOWED, finding


@pytest.mark.parametrize("momentum", [0.999, 0.9999])
def test_start_on_the_spectrum(momentum: float) -> None:
    """Momentum that no contour carries: an atom counts there as well."""
    model = rf.ScoreModel(0.1, 12.0, 4.0, covariance=rf.Covariance([0.5, 1.5]))
    solution = rf.solve(model, 1e-6)
    step = 1.0 / (model.rate * solution.diagnostics["support"][1])
    one = rf.HeavyBall(step, initial_std=3.0, momentum=momentum)
    curves = solution.learning_curves([0.0, step], one)
    assert solution._kept_spectral._values
    for finding in (*start(curves), *signs(curves)):
        assert finding.ratio <= ALLOWED, finding
