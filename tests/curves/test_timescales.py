"""Timescales against converged values, their own definitions, and the leading-order picture."""

import math

import numpy as np
import pytest

from dmft_rf import ConvergenceError, Covariance, ModelError, ScoreModel, solve, timescales
from dmft_rf.curves.clock import Clock
from dmft_rf.curves.definitions import DEFINITIONS
from dmft_rf.curves.events import Events, score_error_slope, unit_gap
from dmft_rf.curves.timescales import Timescales
from dmft_rf.rules.flow import GradientFlow

# converged values at t = 0.01, Sigma = I, tanh, printed to these digits
# psi_p = 256: psi_n, tau_opt, time at which the gap reaches half its final value
PSI_P_256 = [
    (4, "111.20", "1.98433e+05"),
    (8, "131.31", "4.07932e+05"),
    (16, "155.24", "7.84503e+05"),
    (32, "182.85", "1.395724e+06"),
]
# psi_p = 32: psi_n, smallest score error over time
PSI_P_32 = [
    (1, "0.135089"),
    (2, "0.110637"),
    (4, "0.082922"),
    (8, "0.057735"),
    (16, "0.037823"),
    (32, "0.023694"),
    (64, "0.014532"),
    (1e4, "0.002501"),
]


def agrees(value: float, text: str) -> bool:
    """Whether ``value`` agrees with all digits of ``text``.

    Half a unit of the last digit, and a hundredth of one for values that lie on the edge between
    two roundings (tau_opt = 182.855003 at psi_n = 32).
    """
    mantissa, _, power = text.partition("e")
    unit = 10.0 ** (int(power or 0) - len(mantissa.partition(".")[2]))
    return abs(value - float(text)) <= 0.51 * unit


@pytest.mark.parametrize(("psi_n", "tau_opt", "tau_mem"), PSI_P_256)
def test_early_stopping_and_half_gap_times(psi_n: float, tau_opt: str, tau_mem: str) -> None:
    found = timescales(solve(ScoreModel(0.01, 256, psi_n)))
    assert agrees(found.tau_opt, tau_opt)
    assert agrees(found.tau_mem, tau_mem)


@pytest.mark.parametrize(("psi_n", "smallest"), PSI_P_32)
def test_smallest_score_error(psi_n: float, smallest: str) -> None:
    found = timescales(solve(ScoreModel(0.01, 32, psi_n)))
    assert agrees(found.score_error_min, smallest)


@pytest.mark.parametrize(
    "model",
    [
        ScoreModel(0.1, 8, 4),
        ScoreModel(0.05, 4, 16, "erf", Covariance([0.5, 1.5])),
        ScoreModel(0.2, 6, 3, "relu", Covariance([0.2, 1.0, 3.0], [0.5, 0.3, 0.2])),
        ScoreModel(0.01, 64, 8, "tanh", Covariance.power_law(1.0, 32)),
    ],
)
class TestDefinitions:
    """Each number does what its sentence says, on curves drawn independently of it."""

    def test_tau_gen(self, model: ScoreModel) -> None:
        solution = solve(model)
        for level in (0.1, 0.5):
            found = timescales(solution, level)
            missing = solution.learning_curves(found.tau_gen).score_error - found.score_error_min
            start = model.initial_score_error - found.score_error_min
            assert missing == pytest.approx(level * start, rel=1e-9)
            before = solution.learning_curves(found.tau_gen * np.linspace(0.0, 0.999, 200))
            assert np.all(before.score_error > found.score_error_min + level * start)

    def test_tau_opt_is_the_global_minimum(self, model: ScoreModel) -> None:
        solution = solve(model)
        found = timescales(solution)
        tau = np.concatenate([np.geomspace(1e-3, 1e9, 3000), [math.inf]])
        test = solution.learning_curves(tau).test
        assert found.test_min <= test.min() * (1.0 + 1e-14)
        assert abs(math.log(found.tau_opt / tau[np.argmin(test)])) < 0.02
        around = solution.learning_curves(found.tau_opt * np.array([0.99, 1.0, 1.01])).test
        assert around[1] < min(around[0], around[2])

    def test_tau_mem(self, model: ScoreModel) -> None:
        solution = solve(model)
        found = timescales(solution)
        gap = solution.learning_curves(np.array([found.tau_mem, math.inf])).generalization_gap
        assert gap[0] == pytest.approx(0.5 * gap[1], rel=1e-9)
        assert found.final_gap == pytest.approx(gap[1], rel=1e-13)
        assert found.window == found.tau_mem / found.tau_gen > 1.0

    def test_spectrum_times(self, model: ScoreModel) -> None:
        solution = solve(model)
        found = timescales(solution)
        alpha = 2.0 * -math.expm1(-2.0 * model.t) / model.psi_p
        assert found.tau_mem_spectrum == pytest.approx(
            1.0 / (alpha * solution.spectrum.edges[0, 0])
        )
        assert found.tau_gen_spectrum < found.tau_mem_spectrum

    def test_slope_is_the_derivative(self, model: ScoreModel) -> None:
        solution = solve(model)
        tau, step = np.geomspace(0.1, 1e4, 8), 1e-4
        up = solution.learning_curves(tau * (1 + step)).score_error
        down = solution.learning_curves(tau * (1 - step)).score_error
        slope = score_error_slope(solution.nodes, tau, GradientFlow()).value
        # central differences: third derivative in log tau, and rounding over the step
        size = np.abs(tau * slope) + solution.learning_curves(tau).score_error
        assert np.all(np.abs((up - down) / (2 * step) - tau * slope) < 1e-7 * size)


@pytest.mark.parametrize(
    "model",
    [
        ScoreModel(1e-3, 8.0, 4.0, noise_draws=1),
        ScoreModel(1e-7, 8.0, 4.0, noise_draws=1),
        ScoreModel(3e-5, 170.0, 0.5, "erf", Covariance([1.33]), 4),
        pytest.param(ScoreModel(0.1, 8.0, 4.0, noise_draws=2), marks=pytest.mark.compiled),
    ],
)
def test_early_stopping_with_few_noise_draws(model: ScoreModel) -> None:
    """The noise of few draws is learned long before U relaxes: found where the curve has it."""
    solution = solve(model)
    found = timescales(solution)
    M = solution.diagnostics["support"][1]
    tau = np.geomspace(1e-14, 1e3, 2000) / (model.rate * M)
    curve = solution.learning_curves(tau).score_error
    i = int(np.argmin(curve))
    assert tau[i - 1] < found.tau_opt < tau[i + 1]
    assert found.score_error_min <= curve[i] * (1.0 + 1e-12)
    at = solution.learning_curves(found.tau_gen).score_error
    fallen = (model.initial_score_error - at) / (model.initial_score_error - curve[i])
    assert fallen == pytest.approx(0.9, abs=1e-4)


@pytest.mark.parametrize(
    ("model", "rtol"),
    [
        (ScoreModel(7.0, 8.0, 4.0), 1e-8),
        (ScoreModel(5.0, 8.0, 4.0), 1e-6),
        (ScoreModel(9.5, 8.0, 4.0), 1e-12),
        (ScoreModel(0.1, 8.0, 1e14), 1e-10),
    ],
)
def test_a_gap_that_is_lost_in_rounding_dates_nothing(model: ScoreModel, rtol: float) -> None:
    """Where it is known, its half is reached at the same time for all large t and all large n."""
    times = Timescales(solve(model, rtol=rtol))
    with pytest.raises(ConvergenceError, match=r"tau_mem.*is known to"):
        _ = times.tau_mem
    assert 0.0 < times.tau_gen < math.inf
    known = ScoreModel(5.0, 8.0, 4.0) if model.t > 1.0 else ScoreModel(0.1, 8.0, 1e7)
    nearby = ScoreModel(4.0, 8.0, 4.0) if model.t > 1.0 else ScoreModel(0.1, 8.0, 1e8)
    assert Timescales(solve(known)).tau_mem == pytest.approx(
        Timescales(solve(nearby)).tau_mem, rel=1e-3
    )


def test_generalization_time_of_the_population() -> None:
    """psi_n -> infinity: the learning bulk is the law of the population matrix, edges and all."""
    model = ScoreModel(0.01, 256, 1e7)
    c = model.coefficients
    # U~ = (mu_1^2/Gamma^2) W Sigma_t W^T/d + rest is Marchenko-Pastur for Sigma = I
    low = (c.mu1 / c.Gamma_t) ** 2 * (math.sqrt(model.psi_p) - 1.0) ** 2 + c.residual_variance
    found = timescales(solve(model))
    assert found.tau_gen_spectrum == pytest.approx(1.0 / (model.rate * low), rel=1e-3)


def test_merged_bulks_have_no_generalization_edge() -> None:
    model = ScoreModel(0.5, 1.0, 1.0)
    assert solve(model).spectrum.learning_bulks is None
    assert math.isnan(timescales(solve(model)).tau_gen_spectrum)


def test_every_number_has_its_definition() -> None:
    found = timescales(solve(ScoreModel(0.1, 8, 4)), level=0.25)
    assert set(found.definitions) == set(DEFINITIONS)
    assert set(found.values) == set(found.error) == set(DEFINITIONS)
    assert "0.25" in found.definitions["tau_gen"]


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, math.nan])
def test_level_outside_its_range(level: float) -> None:
    with pytest.raises(ModelError, match=r"level is .* between 0 and 1"):
        timescales(solve(ScoreModel(0.1, 8, 4)), level)


class TestUsableInterval:
    """When to stop: the times at which the score error is within a factor of its least value."""

    @pytest.mark.parametrize(
        "model",
        [
            ScoreModel(0.01, 64, 8),
            ScoreModel(0.1, 8, 4, "erf", Covariance([0.2, 1.8])),
            pytest.param(ScoreModel(0.1, 8.0, 4.0, noise_draws=2), marks=pytest.mark.compiled),
            ScoreModel(0.3, 64.0, 0.1),
        ],
    )
    @pytest.mark.parametrize("factor", [1.001, 1.1, 1.5])
    def test_the_score_is_good_inside_and_not_outside(self, model, factor) -> None:
        solution = solve(model)
        times = timescales(solution)
        start, end = times.usable(factor)
        assert 0.0 < start < times.tau_opt < end
        inside = solution.learning_curves(np.geomspace(start * (1 + 1e-9), end * (1 - 1e-9), 300))
        most = factor * times.score_error_min
        assert np.all(inside.score_error <= most)
        outside = [start * (1 - 1e-6), end * (1 + 1e-6)]
        assert np.all(solution.learning_curves(outside).score_error > most)

    def test_a_wider_factor_gives_a_wider_interval(self) -> None:
        times = timescales(solve(ScoreModel(0.01, 64, 8)))
        ends = [times.usable(factor) for factor in (1.01, 1.1, 1.5, 2.0, 10.0)]
        starts = [start for start, _ in ends]
        assert starts == sorted(starts, reverse=True)
        assert [end for _, end in ends] == sorted(end for _, end in ends)

    def test_training_may_go_on_for_ever(self) -> None:
        """Many samples and few features: nothing to overfit."""
        times = timescales(solve(ScoreModel(1.0, 0.5, 1e4)))
        assert times.tau_opt == math.inf > times.tau_gen
        start, end = times.usable()
        assert end == math.inf
        assert 0.0 < start < math.inf

    def test_nothing_to_learn(self) -> None:
        """A factor that the untrained network is within: usable from the start."""
        times = timescales(solve(ScoreModel(0.1, 8, 4)))
        start, _ = times.usable(1.01 * times.model.initial_score_error / times.score_error_min)
        assert start == 0.0

    @pytest.mark.parametrize("factor", [1.0, 0.5, math.nan, "much", None])
    def test_wrong_factors(self, factor) -> None:
        times = timescales(solve(ScoreModel(0.1, 8, 4)))
        with pytest.raises(ModelError, match="factor"):
            times.usable(factor)
        with pytest.raises(ModelError, match="ratio"):
            times.tau_ratio(factor)


@pytest.mark.parametrize("ratio", [1.01, 2.0, 3.0])
def test_ratio_of_the_losses(ratio) -> None:
    solution = solve(ScoreModel(0.1, 8, 2))
    tau = timescales(solution).tau_ratio(ratio)
    at = solution.learning_curves(tau)
    assert at.test / at.train == pytest.approx(ratio, rel=1e-9)
    before = solution.learning_curves(tau * np.linspace(0.0, 0.999, 300))
    assert np.all(before.test < ratio * before.train)


def test_ratio_that_is_never_reached() -> None:
    solution = solve(ScoreModel(0.1, 8, 2))
    end = solution.learning_curves(math.inf)
    assert timescales(solution).tau_ratio(1.001 * float(end.test / end.train)) == math.inf


@pytest.mark.parametrize(
    ("model", "memorizes"),
    [
        (ScoreModel(0.01, 64, 8), True),
        (ScoreModel(0.01, 64, 1e6), False),
        (ScoreModel(5.0, 64, 8), False),
    ],
)
def test_whether_there_is_something_to_memorize(model, memorizes) -> None:
    times = timescales(solve(model))
    assert times.memorizes is memorizes
    assert (times.relative_gap > 0.1) is memorizes
    assert times.relative_gap == pytest.approx(times.final_gap / unit_gap(model))


def test_overfitting_begins_where_the_gap_is_a_tenth_of_what_there_is_to_learn() -> None:
    for level in (0.1, 0.5):
        times = timescales(solve(ScoreModel(0.01, 64, 8)), gap_level=level)
        gap = times.solution.learning_curves(times.tau_overfit).generalization_gap
        assert gap == pytest.approx(level * unit_gap(times.model), rel=1e-9)


def test_one_time_that_cannot_be_told_leaves_the_others() -> None:
    times = timescales(solve(ScoreModel(7.0, 8.0, 4.0), rtol=1e-8))
    assert set(times.reasons) == {"tau_mem", "window"}
    assert "is known to" in times.reasons["tau_mem"]
    assert math.isnan(times.values["tau_mem"])
    assert times.values["tau_gen"] == times.tau_gen < math.inf


@pytest.mark.parametrize(
    "model", [ScoreModel(0.01, 64, 8), ScoreModel(0.1, 8, 4, "relu", Covariance([0.2, 1.8]))]
)
def test_errors_cover_the_difference_of_two_accuracies(model) -> None:
    """A solution at 1e-6 is off by what it claims, seen from one at 1e-12."""
    rough, fine = timescales(solve(model, 1e-6)), timescales(solve(model, 1e-12))
    for name, value in fine.values.items():
        off, claimed = abs(rough.values[name] - value), rough.error[name]
        assert off <= 2.0 * (claimed + fine.error[name]), name
        assert claimed <= 1e-3 * value, name  # and says something


@pytest.mark.compiled
@pytest.mark.parametrize("m", [math.inf, 3])
@pytest.mark.parametrize(("t", "psi_p", "psi_n"), [(0.01, 64, 8), (0.1, 4, 20), (1e-3, 0.5, 0.4)])
@pytest.mark.parametrize("rtol", [1e-10, 1e-5])
def test_the_least_error_without_its_place(
    t: float, psi_p: float, psi_n: float, m: float, rtol: float
) -> None:
    """From polynomials through values, and at the root of the exact slope."""
    model = ScoreModel(t, psi_p, psi_n, covariance=Covariance([0.2, 1.8]), noise_draws=m)
    solution = solve(model, rtol)
    low, high = solution.spectrum.ends
    tau = np.append(np.geomspace(0.02 / high, 50.0 / low, 200) / model.rate, math.inf)
    known = solution.learning_curves(tau)
    clock = Clock(solution.spectrum, GradientFlow())
    for events in (Events(solution, clock), Events(solution, clock, known)):
        least = events.least
        assert "minimum" not in vars(events)
        best = Events(solution, clock).best
        off = least.error + float(best.error["score_error"])
        assert off <= 2.0 * rtol * least.value
        assert abs(least.value - float(best.score_error)) <= off
        assert least.value <= known.score_error.min() + off
