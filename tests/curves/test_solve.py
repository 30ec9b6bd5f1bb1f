"""Learning curves of one solution: limits, signs, second routes, error estimates, bad input."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad

import dmft_rf as rf
from tests.helpers.solved import INF, MODELS, TWO, WIDE, times
from tests.helpers.within import CURVES, assert_close


def relative(curves: rf.LearningCurves, other: rf.LearningCurves, name: str) -> float:
    """Largest relative difference, as the accuracy of a solution is stated.

    Values below 1e-3 of the untrained network's count as that (docstring of solve).
    """
    start = curves.model.initial_score_error if name == "score_error" else 1.0
    x, y = getattr(curves, name), getattr(other, name)
    return float(np.max(np.abs(x - y) / np.maximum(np.abs(y), 1e-3 * start)))


class TestLimitsAndSigns:
    def test_untrained(self, solution: rf.Solution) -> None:
        curves = solution.learning_curves(0.0)
        assert abs(curves.train - 1.0) <= curves.error["train"]
        assert abs(curves.test - 1.0) <= curves.error["test"]
        cov, model = solution.model.covariance, solution.model
        # the zero network misses the whole score: E|Sigma_t^{-1} x|^2/d
        expected = np.sum(cov.weights / model.diffused)
        assert abs(curves.score_error - expected) <= curves.error["score_error"]

    def test_early_slope(self, solution: rf.Solution) -> None:
        """DL/dtau at 0: -|V|^2 of the gradient, for both losses: -(2 Delta_t/psi_p) 2 b^2 psi_p."""
        model = solution.model
        tau = 1e-5 / (model.rate * solution.diagnostics["support"][1])
        curves = solution.learning_curves(tau)
        c = model.coefficients
        slope = -2.0 * model.rate * c.b**2 * model.psi_p
        for name in ("train", "test"):
            change = float(getattr(curves, name)) - 1.0
            # second order in rate * top * tau = 1e-5
            allowed = 2e-5 * abs(slope * tau) + float(curves.error[name])
            assert abs(change - slope * tau) <= allowed

    def test_test_loss_stays_above_its_floor(self, solution: rf.Solution) -> None:
        curves = solution.learning_curves(times(solution, 200))
        model, cov = solution.model, solution.model.covariance
        floor = 1.0 - model.coefficients.Delta_t * np.sum(cov.weights / model.diffused)
        assert model.floor == pytest.approx(floor, abs=3e-15)
        assert np.all(curves.test >= model.floor - curves.error["test"])
        assert np.all(curves.score_error >= -curves.error["score_error"])
        np.testing.assert_allclose(
            curves.test, model.floor + model.coefficients.Delta_t * curves.score_error, rtol=1e-15
        )

    def test_gap(self, solution: rf.Solution) -> None:
        curves = solution.learning_curves(times(solution))
        np.testing.assert_array_equal(curves.generalization_gap, curves.test - curves.train)
        assert np.all(curves.generalization_gap >= -curves.error["generalization_gap"])

    def test_long_times_are_least_squares(self, solution: rf.Solution) -> None:
        at_infinity = solution.learning_curves(INF)
        low = solution.diagnostics["support"][0]
        assert_close(at_infinity, solution.learning_curves(1.0, rf.Ridge(0.0)))
        assert_close(at_infinity, solution.learning_curves(1.0, rf.Ridge(1e-13 * low)), rtol=1e-12)
        # e^{-2 alpha low tau} = e^{-100}
        late = 50.0 / (solution.model.rate * low)
        assert_close(solution.learning_curves(late), at_infinity)
        assert float(at_infinity.train) == solution.train_limit

    def test_heavy_ridge_learns_nothing(self, solution: rf.Solution) -> None:
        omega = 1e9 * solution.diagnostics["support"][1]
        curves = solution.learning_curves(1.0, rf.Ridge(omega))
        # L = 1 - 2 b^2 psi_p/omega + ...
        c = solution.model.coefficients
        expected = 1.0 - 2.0 * c.b**2 * solution.model.psi_p / omega
        for name in ("train", "test"):
            assert abs(getattr(curves, name) - expected) <= curves.error[name] + 1e-15

    def test_ridge_raises_the_training_loss(self, solution: rf.Solution) -> None:
        top = solution.diagnostics["support"][1]
        train = [
            float(solution.learning_curves(1.0, rf.Ridge(w * top)).train) for w in (0, 0.01, 1)
        ]
        assert train[0] < train[1] < train[2] < 1.0

    def test_average_over_a_short_time_is_gradient_flow(self, solution: rf.Solution) -> None:
        tau = times(solution)
        top = solution.diagnostics["support"][1]
        decay = 1e-13 / (solution.model.rate * top)
        averaged = solution.learning_curves(tau, rf.WeightAverage(decay))
        # the average lags by decay: relative 1e-13 of a change of order one
        assert_close(averaged, solution.learning_curves(tau), rtol=1e-11)


class TestAccuracy:
    def test_diagnostics(self, solution: rf.Solution) -> None:
        d = solution.diagnostics
        assert d["defect"] <= 1e-10
        assert d["residual"] <= 1e-9
        assert d["support"] == (solution.spectrum.edges[0, 0], solution.spectrum.edges[-1, 1])
        assert d["nodes"] == solution.nodes.points.size
        assert d["tries"] >= 1
        assert d["seconds"] > 0.0
        assert np.all(solution.nodes.points.real > 0.0)
        assert np.all(solution.nodes.points.imag > 0.0)

    def test_moments_of_nu(self, solution: rf.Solution) -> None:
        """Mass psi_p and first moment (1/d^2) Tr W^T U W of nu, from Wick's theorem.

        (1/d) Tr[W^T U W]/d: the population part of row i is the correlation of W_i with its own
        feature, the rest the rows' common K: psi_p (s^2 + v^2 + b^2 (1 + psi_p) + gamma^2
        sigma_x^2 (1 + psi_p)).
        """
        model, nodes, c = solution.model, solution.nodes, solution.model.coefficients
        one = np.ones((1, nodes.points.size), complex)
        x = nodes.points[None, :]
        mean = float(np.sum(model.covariance.weights * model.covariance.eigenvalues))
        first = c.s2 + c.v2 + (c.b**2 + c.gamma2 * mean) * (1.0 + model.psi_p)
        S = nodes.resolvent.S()
        assert nodes.integral(one, S).value[0] == pytest.approx(model.psi_p, rel=1e-11)
        # x is no filter: nodes for gradient flow are too few for ten digits of it, and say so
        found = nodes.integral(x, S)
        assert abs(found.value[0] - model.psi_p * first) <= found.error[0]
        assert found.error[0] <= 1e-8 * model.psi_p * first
        # rho without its atom: mass and first moment
        atom = solution.spectrum.atoms[:, 1].sum()
        bulk = nodes.integral(one, nodes.q_bulk).value[0]
        assert bulk == pytest.approx(1.0 - atom, abs=1e-11)
        moment = nodes.integral(x, nodes.q_bulk).value[0] + atom * c.s2
        assert moment == pytest.approx(c.second_moment - c.mu0**2, rel=1e-8)

    def test_against_the_real_axis(self, solution: rf.Solution) -> None:
        """S[f] by adaptive integration of Im S/pi over the bulks, no contour."""
        model, nodes = solution.model, solution.nodes
        if model.covariance.n_atoms > 3:
            pytest.fail("keep the atoms few: this test is slow without compiled kernels")
        rate = model.rate
        edges = solution.spectrum.edges
        if np.any(np.diff(edges)[:, 0] <= 1e-6 * edges[:, 1]):
            return  # bulks too narrow for lambda as a float: s^2 swallows their width
        tau = 1.0 / (rate * math.sqrt(edges[0, 0] * edges[-1, 1]))
        rule = rf.GradientFlow()

        def f(x: float) -> float:
            return float(rule.filter(np.array([x]), np.array([tau]), rate)[0, 0])

        total = 0.0
        for low, high in edges:
            half = 0.5 * math.log(high / low)

            def integrand(theta: float, low: float = low, high: float = high, half=half) -> float:
                x = math.sqrt(low * high) * math.exp(-half * math.cos(theta))
                weight = x * half * math.sin(theta) / math.pi
                return weight * f(x) * float(rf.resolvent(model, x).S().imag)

            total += quad(integrand, 0.0, math.pi, epsabs=0.0, epsrel=1e-9, limit=60)[0]
        h = rule.filter(nodes.points, np.array([tau]), rate)
        contour = nodes.integral(h, nodes.resolvent.S())
        # lambda - s^2 is rounded at the lowest edge, next to a square root: 1e-8 there at most
        assert total == pytest.approx(float(contour.value[0]), rel=3e-8)

    def test_shape_of_tau(self, solution: rf.Solution) -> None:
        tau = np.array([[0.0, 1.0, INF], [5.0, 2.0, 1.0]])
        curves = solution.learning_curves(tau)
        flat = solution.learning_curves(tau.ravel())
        for name in (*CURVES, "generalization_gap"):
            assert getattr(curves, name).shape == tau.shape
            np.testing.assert_allclose(
                getattr(curves, name).ravel(), getattr(flat, name), rtol=1e-12
            )
        assert solution.learning_curves(1.0).train.shape == ()
        assert solution.learning_curves([]).train.shape == (0,)
        assert solution.learning_curves(1).test.dtype == float


class TestManySamples:
    @pytest.mark.parametrize("activation", ["tanh", "relu", "linear"])
    def test_gap_closes_like_one_over_psi_n(self, activation: str) -> None:
        gaps, tests = [], []
        for psi_n in (1e3, 1e4, 1e5):
            solution = rf.solve(rf.ScoreModel(0.1, 3.0, psi_n, activation, TWO))
            curves = solution.learning_curves([1.0, 30.0, INF])
            gaps.append(curves.generalization_gap)
            tests.append(curves.test)
        np.testing.assert_allclose(gaps[0] / gaps[1], 10.0, rtol=2e-2)
        np.testing.assert_allclose(gaps[1] / gaps[2], 10.0, rtol=2e-3)
        assert np.all(gaps[2] < 1e-4)
        np.testing.assert_allclose(tests[1], tests[2], rtol=1e-3)

    def test_population_least_squares(self) -> None:
        # linear features, p > d, psi_n -> infinity: the exact linear score, L_test = its floor
        model = rf.ScoreModel(0.1, 3.0, 1e5, "linear", TWO)
        curves = rf.solve(model).learning_curves(INF)
        # the parametric rate: error = (number of parameters)/(number of samples) ~ 1/psi_n
        assert float(curves.test) == pytest.approx(model.floor, rel=1e-5)
        assert curves.test > model.floor


class TestBadInput:
    @pytest.fixture
    def small(self) -> rf.Solution:
        return rf.solve(MODELS["A_iso"], rtol=1e-6)

    @pytest.mark.parametrize("tau", [-1.0, [1.0, -1e-30], math.nan, [0.0, math.nan], -INF])
    def test_times(self, small: rf.Solution, tau: object) -> None:
        with pytest.raises(rf.ModelError, match="tau"):
            small.learning_curves(tau)

    @pytest.mark.parametrize("rtol", [0.0, -1.0, 1.0, 0.5, 1e-16, math.nan, INF])
    def test_rtol(self, rtol: float) -> None:
        with pytest.raises(rf.ModelError, match="rtol"):
            rf.solve(MODELS["A_iso"], rtol=rtol)

    def test_hard_edge_at_zero(self) -> None:
        with pytest.raises(rf.ConvergenceError, match="hard edge at 0") as caught:
            rf.solve(rf.ScoreModel(0.1, 1.0, 2.0, "linear", TWO))
        assert caught.value.partial.edges[0, 0] == 0.0
        for psi_p in (0.99, 1.01):
            assert rf.solve(rf.ScoreModel(0.1, psi_p, 2.0, "linear", TWO)).error_estimate <= 1e-10

    def test_an_unreachable_tolerance_is_said(self) -> None:
        model = rf.ScoreModel(8.0, 1e4, 1e4, "tanh", WIDE)
        # rounding alone is 1e-11 of the smallest score error here
        with pytest.raises(rf.ConvergenceError, match="rtol = 1e-13") as caught:
            rf.solve(model, rtol=1e-13)
        assert caught.value.residual > 1e-13
        assert isinstance(caught.value.partial, rf.Solution)
        assert caught.value.partial.error_estimate == caught.value.residual
        assert rf.solve(model).error_estimate <= 1e-10

    def test_error_is_not_silent_for_a_rule(self, small: rf.Solution) -> None:
        """Curves carry their error; what misses rtol is raised, with the curves attached."""
        curves = small.learning_curves([0.0, 1.0, INF])
        assert curves.relative_error <= small.rtol
        with pytest.raises(rf.ConvergenceError) as caught:
            curves.require(0.1 * curves.relative_error)
        assert caught.value.partial is curves


def test_spectrum_of_a_solution() -> None:
    model = MODELS["C_paper"]
    np.testing.assert_array_equal(rf.solve(model).spectrum.edges, rf.spectrum(model).edges)


@pytest.mark.parametrize("name", ["train", "test", "score_error"])
def test_a_curve_that_is_not_a_number_is_refused(name: str) -> None:
    curves = rf.solve(MODELS["B_two"]).learning_curves([1.0, 10.0])
    broken = replace(curves, **{name: np.array([getattr(curves, name)[0], math.nan])})
    assert math.isnan(broken.relative_error)
    with pytest.raises(rf.ConvergenceError):
        broken.require(1e-2)
    assert math.isnan(curves.difference(broken))
