"""The sample sizes at which overfitting ends, against their definitions by other routes."""

import math

import numpy as np
import pytest

from dmft_rf import ConvergenceError, Covariance, Ridge, ScoreModel, solve, timescales
from dmft_rf.curves.thresholds import n_star, n_window, relative_gap, unit_gap
from dmft_rf.curves.timescales import Timescales

MODELS = {
    "isotropic": ScoreModel(0.1, 16.0, 1.0),
    "early": ScoreModel(0.01, 64.0, 1.0),
    "relu": ScoreModel(0.2, 4.0, 1.0, "relu"),
    "two": ScoreModel(0.1, 8.0, 1.0, "tanh", Covariance([0.3, 1.7])),
    "power": ScoreModel(0.05, 8.0, 1.0, "erf", Covariance.power_law(1.0, 24)),
    "narrow": ScoreModel(0.1, 0.3, 1.0),
}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


@every_model
def test_the_unit_is_what_the_exact_score_gains(model):
    assert unit_gap(model) == pytest.approx(1.0 - model.floor, rel=1e-12)
    start = solve(model).learning_curves(0.0)
    assert unit_gap(model) == pytest.approx(
        model.coefficients.Delta_t * float(start.score_error), rel=1e-9
    )


@every_model
def test_n_star_ends_overfitting(model):
    """At the root the minimum-norm solution has the gap; it has more below and less above."""
    found = n_star(model, 0.1, rtol=1e-9)

    def gap(psi_n):
        there = model.replace(psi_n=psi_n)
        curves = solve(there).learning_curves(1.0, Ridge(0.0))
        return float(curves.test - curves.train) / (1.0 - there.floor)

    assert gap(found) == pytest.approx(0.1, rel=1e-6)
    above = [gap(found * factor) for factor in (1.001, 1.1, 2.0, 10.0, 100.0)]
    assert all(np.diff([0.1, *above]) < 0.0)
    assert gap(0.999 * found) > 0.1


@pytest.mark.compiled
def test_n_star_against_bisection():
    """No more than the sign of (gap - level), from a wide bracket."""
    for psi_p in (0.5, 3.0, 40.0):
        model = ScoreModel(0.1, psi_p, 1.0)
        low, high = 1e-2, 1e6
        while high / low > 1.0 + 1e-9:
            middle = math.sqrt(low * high)
            there = model.replace(psi_n=middle)
            final = timescales(solve(there)).final_gap
            low, high = (middle, high) if final > 0.2 * (1.0 - there.floor) else (low, middle)
        assert n_star(model, 0.2, rtol=1e-12) == pytest.approx(low, rel=1e-8)


@every_model
@pytest.mark.parametrize("multiple", [1.0, 3.0])
def test_n_window_is_a_root(model, multiple):
    found = n_window(model, 0.1, multiple, rtol=1e-9)
    if (multiple, model.psi_p) == (1.0, 0.3):  # too few features to overfit by then
        assert found == 0.0
        for psi_n in (1e-3, 1e-1, 10.0):
            solution = solve(model.replace(psi_n=psi_n))
            assert relative_gap(solution, timescales(solution).tau_gen) < 0.1
        return
    for factor, sign in ((0.99, 1.0), (1.0, 0.0), (1.01, -1.0)):
        there = model.replace(psi_n=factor * found)
        solution = solve(there)
        times = timescales(solution)
        late = solution.learning_curves(multiple * times.tau_gen)
        gap = float(late.test - late.train) / (1.0 - there.floor)
        assert np.sign(round(gap / 0.1 - 1.0, 6)) == sign
        assert relative_gap(solution, multiple * times.tau_gen) == pytest.approx(gap, rel=1e-12)


def test_the_gap_falls_like_one_over_n():
    """A tenth of a small level needs ten times the samples."""
    model = ScoreModel(0.1, 4.0, 1.0)
    ratio = [n_star(model, level / 10, rtol=1e-9) / n_star(model, level, rtol=1e-9)
             for level in (1e-1, 1e-2, 1e-3)]  # fmt: skip
    assert ratio == sorted(ratio, reverse=True) or ratio == sorted(ratio)
    assert ratio[-1] == pytest.approx(10.0, rel=0.01)
    assert abs(ratio[2] - 10.0) < abs(ratio[1] - 10.0) < abs(ratio[0] - 10.0)


@pytest.mark.compiled
def test_a_longer_training_needs_more_samples():
    """n_window grows with c and ends at n_star."""
    model = ScoreModel(0.1, 8.0, 1.0)
    sizes = [n_window(model, 0.1, c) for c in (0.5, 1.0, 3.0, 10.0, 1e3, 1e6)]
    assert sizes == sorted(sizes)
    assert sizes[-1] == pytest.approx(n_star(model, 0.1), rel=1e-7)


def test_more_features_fit_more_samples():
    stars = [n_star(ScoreModel(0.1, psi_p, 1.0)) for psi_p in (0.3, 1.0, 3.0, 10.0, 100.0)]
    assert stars == sorted(stars)


def test_levels_that_are_never_or_always_passed():
    model = ScoreModel(0.1, 4.0, 1.0)
    assert n_star(model, 1e6) == 0.0
    with pytest.raises(ConvergenceError, match="n_star"):
        n_star(model, 1e-11)


@pytest.mark.parametrize("psi_n", [0.3, 3.0, 30.0, 500.0])
@pytest.mark.parametrize("t", [0.003, 0.1, 1.5])
def test_the_minimum_between_known_curves_is_the_minimum(t, psi_n):
    """Found from the slope on a grid of its own, and from curves that were computed anyway."""
    solution = solve(ScoreModel(t, 20.0, psi_n))
    m, M = solution.diagnostics["support"]
    rate = solution.model.rate
    first, last = 0.02 / (rate * M), 40.0 / (rate * m)
    count = int(14 * math.log10(last / first))
    tau = np.append(np.geomspace(first, last, count), math.inf)
    plain = Timescales(solution)
    known = Timescales(solution, known=solution.learning_curves(tau))
    assert known._events._turns_of_known() is not None
    assert known.score_error_min == pytest.approx(plain.score_error_min, rel=1e-12)
    assert known.tau_opt == pytest.approx(plain.tau_opt, rel=1e-7)
    assert known.tau_gen == pytest.approx(plain.tau_gen, rel=1e-9)
    few = Timescales(solution, known=solution.learning_curves(tau[::3]))
    assert few._events._turns_of_known() is None
    assert few.tau_opt == plain.tau_opt
    assert plain.tau_opt * rate * M > 3.0  # far later than the search begins
