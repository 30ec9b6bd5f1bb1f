"""Dates and values of compiled calls, without a solution: they are those of the solution."""

import math

import numpy as np
import pytest

from dmft_rf import Covariance, GradientFlow, ScoreModel, solve, timescales
from dmft_rf.curves.flow_events import FlowEvents, Unusual
from dmft_rf.curves.fused import Statement
from dmft_rf.curves.thresholds import n_star, n_window, relative_gap
from dmft_rf.kernels._jit import COMPILED
from dmft_rf.numerics.estimate import Estimate
from dmft_rf.numerics.minimum import least_values

MODELS = {
    "isotropic": ScoreModel(0.01, 64.0, 8.0),
    "few features": ScoreModel(0.3, 2.0, 0.5, "relu"),
    "many samples": ScoreModel(0.05, 8.0, 300.0, "erf"),
    "two atoms": ScoreModel(0.1, 16.0, 4.0, covariance=Covariance([0.3, 1.7])),
    "power law": ScoreModel(0.02, 32.0, 8.0, covariance=Covariance.power_law(1.0, 16)),
}
needs_compiler = pytest.mark.skipif(not COMPILED, reason="there are no compiled calls")


def events_of(model, rtol, tau=None):
    return FlowEvents(Statement.of(model), model.psi_p, model.psi_n, rtol, tau)


@needs_compiler
@pytest.mark.parametrize("rtol", [1e-6, 1e-10])
@pytest.mark.parametrize("name", MODELS)
def test_what_is_read_is_that_of_the_solution(name, rtol):
    model = MODELS[name]
    solution = solve(model, rtol)
    times, events = timescales(solution), events_of(model, rtol)
    off = times.error["tau_gen"] + 1e-12 * times.tau_gen
    assert events.tau_gen(0.1) == pytest.approx(times.tau_gen, rel=1e-13, abs=2.0 * off)
    least = events.least
    assert least.error <= rtol * least.value
    exact = float(solution.learning_curves(times.tau_opt).score_error)
    assert least.value == pytest.approx(exact, abs=least.error + times.error["score_error_min"])
    for tau in (0.0, 0.3 * times.tau_gen, 10.0 * times.tau_gen, math.inf):
        assert events.relative_gap(tau) == pytest.approx(relative_gap(solution, tau), rel=1e-14)


@needs_compiler
@pytest.mark.parametrize("name", MODELS)
def test_wanted_times_and_those_of_the_search_find_the_same_minimum(name):
    model = MODELS[name]
    dense = np.append(np.geomspace(1e-3, 1e12, 400), math.inf)
    found = [events_of(model, 1e-8, tau).least for tau in (None, dense, dense[::40])]
    for one in found[1:]:
        assert one.value == pytest.approx(found[0].value, abs=one.error + found[0].error)
    curves = solve(model, 1e-8).learning_curves(dense)
    np.testing.assert_array_equal(events_of(model, 1e-8, dense).wanted.test, curves.test)
    assert curves.score_error.min() >= found[0].value - found[0].error


@pytest.mark.parametrize(
    "model",
    [
        ScoreModel(0.05, 8.0, 4.0, noise_draws=3),
        ScoreModel(0.05, 8.0, 4.0, "linear"),
        ScoreModel(0.05, math.inf, 4.0),
        ScoreModel(0.05, 1e300, 4.0),
    ],
)
def test_what_compiled_calls_do_not_take_is_left_to_the_solution(model):
    with pytest.raises(Unusual):
        events_of(model, 1e-6)


def test_thresholds_of_what_compiled_calls_do_not_take():
    model = ScoreModel(0.05, 8.0, 4.0, noise_draws=3)
    at_star, at_window = (
        solve(model.replace(psi_n=found(model, rtol=1e-8)), 1e-8) for found in (n_star, n_window)
    )
    late = 3.0 * timescales(at_window).tau_gen
    assert relative_gap(at_star, math.inf) == pytest.approx(0.1, rel=1e-5)
    assert relative_gap(at_window, late) == pytest.approx(0.1, rel=1e-5)


@needs_compiler
def test_the_slope_is_left_to_the_solution():
    with pytest.raises(Unusual):
        _ = events_of(MODELS["isotropic"], 1e-6).minimum


@pytest.mark.parametrize("draws", [3, math.inf])
@pytest.mark.parametrize("tau", [1e-290, 1e-308, 1e-320, 5e-324])
def test_times_at_which_nothing_has_moved_are_solved_like_0(draws, tau):
    """1/(alpha tau) overflows there."""
    solution = solve(ScoreModel(0.05, 8.0, 4.0, noise_draws=draws), 1e-6)
    start, curves = (solution.learning_curves(at, GradientFlow()) for at in (0.0, tau))
    assert curves.relative_error <= 1e-6
    assert curves.test == pytest.approx(float(start.test), rel=1e-15)


@pytest.mark.parametrize("place", [0.5, 0.03, 0.0005, -0.2, 0.0])
def test_least_values_where_the_end_of_an_interval_is_nearly_a_turn(place):
    """The least of (u - place)^2 on u = 0 to 1 is 0, or at the end that is nearest."""

    def bowl(tau):
        u = np.log(tau)
        return Estimate(2.0 + (u - place) ** 2, np.full(u.shape, 1e-15))

    (found,) = least_values(bowl, np.array([1.0]), np.array([math.e]))
    exact = 2.0 + min(place, 0.0) ** 2
    assert abs(found.value - exact) <= found.error
    assert found.error < 1e-6
