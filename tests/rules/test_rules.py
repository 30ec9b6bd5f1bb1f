"""Training rules as filters, against recursions and quadratures on single eigenvalues."""

import math

import mpmath
import numpy as np
import pytest
from scipy.integrate import quad

import dmft_rf as rf
from dmft_rf.numerics.contour import contour_in
from dmft_rf.rules.flow import Rule

INF = math.inf
RATE = 0.37
X = np.array([1e-9, 1e-3, 0.1, 1.0, 3.0, 20.0])
TAU = np.array([0.0, 1e-6, 0.01, 1.0, 7.0, 1e4, INF])
STEP = 0.25  # RATE * STEP * max(X) = 1.85 < 2
STEPS = np.array([0, 1, 2, 3, 10, 57, 400])

CONTINUOUS: list[Rule] = [
    rf.GradientFlow(),
    rf.GradientFlow(weight_decay=0.3),
    rf.Ridge(),
    rf.Ridge(0.3),
    rf.WeightAverage(2.0),
    rf.WeightAverage(1e-3, weight_decay=0.3),
    rf.WeightAverage(1e5),
]
DISCRETE: list[Rule] = [
    rf.GradientDescent(STEP),
    rf.GradientDescent(STEP, weight_decay=0.3),
    rf.HeavyBall(STEP, momentum=0.9),
    rf.HeavyBall(STEP, momentum=0.0),
    rf.HeavyBall(STEP, weight_decay=0.3, momentum=0.5),
]


def times_of(rule: Rule) -> np.ndarray:
    if isinstance(rule, rf.GradientDescent | rf.HeavyBall):
        return np.append(rule.times(STEPS), INF)
    return TAU


def decay_of(rule: Rule) -> float:
    return getattr(rule, "weight_decay", getattr(rule, "weight", 0.0))


@pytest.fixture(params=CONTINUOUS + DISCRETE, ids=repr)
def rule(request: pytest.FixtureRequest) -> Rule:
    return request.param


class TestEveryRule:
    def test_residual_is_what_the_filter_leaves(self, rule: Rule) -> None:
        tau = times_of(rule)
        h, left = rule.filter(X, tau, RATE), rule.residual(X, tau, RATE)
        assert h.shape == left.shape == (tau.size, X.size)
        assert np.all(np.abs(left - (1.0 - X * h)) <= 4e-15 * (1.0 + X * np.abs(h)))

    def test_filter_and_memory(self, rule: Rule) -> None:
        """H = (1 - g)/(x + omega): learning and forgetting are one thing (not for Ridge)."""
        tau = times_of(rule)
        h, g = rule.filter(X, tau, RATE), rule.memory(X, tau, RATE)
        assert g.shape == h.shape
        if isinstance(rule, rf.Ridge):
            assert np.all(g == 0.0)
            return
        np.testing.assert_allclose(h * (X + decay_of(rule)), 1.0 - g, rtol=0.0, atol=4e-15)

    def test_start_and_end(self, rule: Rule) -> None:
        at_end = rule.filter(X, np.array([INF]), RATE)[0]
        np.testing.assert_allclose(at_end, 1.0 / (X + decay_of(rule)), rtol=1e-15)
        assert np.all(rule.memory(X, np.array([INF]), RATE) == 0.0)
        if not isinstance(rule, rf.Ridge):
            start = np.array([0.0])
            assert np.all(rule.filter(X, start, RATE) == 0.0)
            assert np.all(rule.memory(X, start, RATE) == 1.0)
            # (omega + x)/(omega + x)
            assert np.all(np.abs(rule.residual(X, start, RATE) - 1.0) <= 2.3e-16)

    def test_early_filter_keeps_its_digits(self, rule: Rule) -> None:
        """At a slow mode h is alpha tau, or its average, to relative precision."""
        if isinstance(rule, rf.Ridge):
            return
        x = np.array([1e-9])
        if decay_of(rule) > 0.0:
            return
        if isinstance(rule, rf.WeightAverage):
            tau, T = np.array([1e-3, 0.1, 3.0]), rule.decay_time
            b = tau / T
            # average of s over the past: tau - T (1 - e^{-b}), by its series where b is small
            series = sum((-1.0) ** j * b**j / math.factorial(j + 2) for j in range(25))
            mean = np.where(b < 1.0, tau * b * series, tau + T * np.expm1(-b))
            expected, rel = RATE * mean, 1e-8
        elif isinstance(rule, rf.GradientFlow):
            tau, rel = np.array([1e-3, 0.1, 3.0]), 1e-8
            expected = RATE * tau
        else:
            k = np.array([1, 2, 5])
            tau, rel = rule.times(k), 1e-8
            beta = getattr(rule, "momentum", 0.0)
            # distance of heavy ball under a constant force: sum over steps of (1-b^j)/(1-b)
            expected = (
                RATE
                * rule.step
                * np.array([sum((1 - beta**j) / (1 - beta) for j in range(1, n + 1)) for n in k])
            )
        np.testing.assert_allclose(rule.filter(x, tau, RATE)[:, 0], expected, rtol=rel)

    def test_on_complex_points(self, rule: Rule) -> None:
        """Real on the real axis, conjugate-symmetric, and analytic (Cauchy-Riemann)."""
        tau = times_of(rule)[:5]
        z = np.array([0.5 + 0.3j, 2.0 + 1.0j, 0.01 + 0.02j])
        for function in (rule.filter, rule.residual, rule.memory):
            value = function(z, tau, RATE)
            np.testing.assert_allclose(function(z.conj(), tau, RATE), value.conj(), rtol=1e-14)
            step = 1e-3 * np.abs(z)
            along = (function(z + step, tau, RATE) - function(z - step, tau, RATE)) / (2 * step)
            up = (function(z + 1j * step, tau, RATE) - function(z - 1j * step, tau, RATE)) / (
                2j * step
            )
            # second order in the step, and the rounding of g over z times the step
            rounding = 1e-15 / (np.abs(z) * step)
            assert np.all(np.abs(along - up) <= 1e-4 * np.abs(up) + 10.0 * rounding)

    def test_bounded_in_its_region(self, rule: Rule) -> None:
        """What carries the contour: |1 - x h| and |g| stay bounded there at all times.

        The region is the half-plane Re z > 0; for gradient descent the disc |1 - eta' y| < 1,
        moved by omega; for heavy ball the ellipse in which both roots of the recurrence are
        below 1, where |r_k| <= 2 (1 + beta)/(1 - beta).
        """
        region = rule.region(RATE)
        # contours of all widths, which fill the region
        z = np.concatenate(
            [
                contour_in(region, r * top, top, 24).z
                for top in widths(region.end)
                for r in (0.9, 1e-5)
            ]
        )
        tau = times_of(rule)
        beta = region.beta
        bound = 2.0 * (1.0 + beta) / (1.0 - beta) if beta else 1.0
        assert np.abs(rule.memory(z, tau, RATE)).max() <= bound + 1e-9
        assert np.abs(rule.residual(z, tau, RATE)).max() <= 1.0 + bound + 1e-9

    def test_contour_goes_around_the_spectrum(self, rule: Rule) -> None:
        """Mass and moment of a point mass inside [m, M], and nothing from one outside."""
        m, M = 1e-3, 15.0
        contour = contour_in(rule.region(RATE), m, M, 200)
        for x in (m, 0.02, 1.0, M):
            transform = 1.0 / (x - contour.z)
            mass = 2.0 * np.sum(contour.weights * transform).real
            moment = 2.0 * np.sum(contour.weights * contour.z * transform).real
            assert mass == pytest.approx(1.0, abs=1e-9)
            assert moment == pytest.approx(x, abs=1e-8)
        for x in (-1.0, -0.1, 1e4):
            assert abs(2.0 * np.sum(contour.weights / (x - contour.z)).real) <= 1e-9


def widths(end: float) -> list[float]:
    """Upper ends of supports inside a region that ends at ``end``."""
    if math.isinf(end):
        return [1e-3, 1.0, 1e4]
    return [end * x for x in (1e-3, 0.3, 0.9, 0.999)]


class TestGradientFlow:
    def test_velocity(self) -> None:
        rule = rf.GradientFlow(weight_decay=0.2)
        tau, step = np.array([0.5, 2.0]), 1e-4
        slope = (rule.filter(X, tau + step, RATE) - rule.filter(X, tau - step, RATE)) / (2 * step)
        # second order in rate * x * step = 7e-4
        np.testing.assert_allclose(rule.velocity(X, tau, RATE), slope, rtol=1e-6)

    def test_no_overflow(self) -> None:
        with np.errstate(all="raise", under="ignore"):
            h = rf.GradientFlow().filter(X, np.array([1e300, 1e-300]), RATE)
        assert np.all(np.isfinite(h))


class TestWeightAverage:
    @pytest.mark.parametrize("omega", [0.0, 0.3])
    @pytest.mark.parametrize("T", [1e-2, 1.0, 50.0])
    def test_is_the_running_average(self, omega: float, T: float) -> None:
        rule, flow = rf.WeightAverage(T, weight_decay=omega), rf.GradientFlow(weight_decay=omega)
        for x in (1e-3, 0.3, 3.0, 1.0 / (RATE * T) - omega):  # the last: alpha y T = 1 exactly
            if x <= 0.0:
                continue
            point = np.array([x])
            for tau in (0.3 * T, 2.0 * T, 8.0 * T):
                now = np.array([tau])

                def weight(s: float, tau: float = tau) -> float:
                    return math.exp(-(tau - s) / T) / T

                for average, current, start in (
                    (rule.filter, flow.filter, 0.0),
                    (rule.memory, flow.memory, 1.0),
                ):
                    value = quad(
                        lambda s, f=current, p=point: weight(s) * f(p, np.array([s]), RATE)[0, 0],
                        0.0,
                        tau,
                        epsabs=0.0,
                        epsrel=1e-12,
                        limit=200,
                    )[0]
                    value += start * math.exp(-tau / T)
                    assert average(point, now, RATE)[0, 0] == pytest.approx(value, rel=1e-10)

    def test_smooth_where_the_two_rates_meet(self) -> None:
        rule = rf.WeightAverage(1.0)
        x = (1.0 + np.array([-1e-3, -1e-9, -1e-15, 0.0, 1e-15, 1e-9, 1e-3])) / RATE
        for tau in (0.1, 3.0, 40.0):
            h = rule.filter(x, np.array([tau]), RATE)[0]
            # linear over such a short stretch, to 1e-6 = (1e-3)^2
            np.testing.assert_allclose(h, np.interp(x, x[[0, -1]], h[[0, -1]]), rtol=2e-6)
            np.testing.assert_allclose(h[1:-1], h[3], rtol=1e-8)

    @pytest.mark.parametrize("x", [1e-9, 1e-4, 1.0])
    def test_relative_precision_at_early_times(self, x: float) -> None:
        """A slow mode at an early time: h = alpha tau^2/(2 T), no cancellation allowed."""
        rule = rf.WeightAverage(10.0)
        tau = np.array([1e-7, 1e-5])
        expected = RATE * tau**2 / 20.0
        # next terms: relative tau/(3 T) and alpha x tau/3, below 1e-5 here
        np.testing.assert_allclose(rule.filter(np.array([x]), tau, RATE)[:, 0], expected, rtol=1e-5)

    def test_limits(self) -> None:
        tau = np.array([0.1, 1.0, 10.0])
        flow = rf.GradientFlow().filter(X, tau, RATE)
        np.testing.assert_allclose(rf.WeightAverage(1e-12).filter(X, tau, RATE), flow, rtol=1e-10)
        # an average over an endless past has hardly moved: h = alpha tau^2/(2 T)
        slow = rf.WeightAverage(1e12).memory(X, tau, RATE)
        np.testing.assert_allclose(slow, 1.0, rtol=1e-8)


class TestSteps:
    @pytest.mark.parametrize("momentum", [0.0, 0.3, 0.9, 0.99])
    @pytest.mark.parametrize("omega", [0.0, 0.3])
    def test_recursion(self, momentum: float, omega: float) -> None:
        """B_{k+1} = B_k - eta' (y B_k + v) + beta (B_k - B_{k-1}), for v and for B_0."""
        rules: list[Rule] = [rf.HeavyBall(STEP, weight_decay=omega, momentum=momentum)]
        if momentum == 0.0:
            rules.append(rf.GradientDescent(STEP, weight_decay=omega))
        # the critical point (1 - sqrt(beta))^2 = eta' y, both sides of it, and beyond 1 + beta
        critical = (1.0 - math.sqrt(momentum)) ** 2 / (RATE * STEP)
        x = np.array([1e-6, 1e-3, 0.5, 0.999999, 1.0, 1.000001, 3.0]) * critical - omega
        x = np.concatenate([x[x > 0.0], [10.0, 19.0, 1.9 * (1.0 + momentum) / (RATE * STEP)]])
        y = x + omega
        x, y = x[RATE * STEP * y < 2.0 * (1.0 + momentum)], y[RATE * STEP * y < 2 * (1 + momentum)]
        steps = 300
        learned, started = np.zeros((steps + 1, x.size)), np.ones((steps + 1, x.size))
        for b, force in ((learned, 1.0), (started, 0.0)):
            last = b[0].copy()
            for k in range(steps):
                b[k + 1] = b[k] - RATE * STEP * (y * b[k] - force) + momentum * (b[k] - last)
                last = b[k].copy()
        for rule in rules:
            tau = rule.times(np.arange(steps + 1))
            rule.check_times(tau)
            g, h = rule.memory(x, tau, RATE), rule.filter(x, tau, RATE)
            # rounding is amplified near the critical point, where the two roots meet
            np.testing.assert_allclose(g, started, rtol=0.0, atol=2e-12)
            np.testing.assert_allclose(h * y, learned * y, rtol=0.0, atol=2e-12)

    def test_step_and_time(self) -> None:
        rule = rf.GradientDescent(0.1)
        np.testing.assert_allclose(rule.times([0, 1, 30]), [0.0, 0.1, 3.0])
        rule.check_times(np.array([0.0, 0.1, 0.3, 100.0, INF]))
        np.testing.assert_array_equal(rule.counts(np.array([0.0, 0.3, INF])), [0, 3, INF])
        for tau in (0.05, 0.15, 3.04, 1e4 + 0.05):
            with pytest.raises(rf.ModelError, match="whole number of steps"):
                rule.check_times(np.array([0.0, tau]))

    def test_slow_modes_of_momentum_are_gradient_flow(self) -> None:
        rule = rf.HeavyBall(1e-4, momentum=0.9)
        tau = rule.times([100000])
        flow = rf.GradientFlow().filter(X[1:4], tau / 0.1, RATE)
        np.testing.assert_allclose(rule.filter(X[1:4], tau, RATE), flow, rtol=1e-3)

    @pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
    def test_divergence(self, momentum: float) -> None:
        limit = 2.0 * (1.0 + momentum)
        top = 5.0
        fits = rf.HeavyBall(0.999 * limit / (RATE * top), momentum=momentum)
        fits.check(top, RATE)
        late = fits.memory(np.array([top]), fits.times([200000]), RATE)
        assert np.all(np.abs(late) < 1e-10)
        too_large = rf.HeavyBall(1.001 * limit / (RATE * top), momentum=momentum)
        with pytest.raises(rf.ModelError, match="step is"):
            too_large.check(top, RATE)
        grown = too_large.memory(np.array([top]), too_large.times([20000]), RATE)
        assert np.all(np.abs(grown) > 10.0)

    def test_a_solution_refuses_a_diverging_rule(self) -> None:
        solution = rf.solve(rf.ScoreModel(0.1, 2.0, 4.0), rtol=1e-6)
        top, rate = solution.diagnostics["support"][1], solution.model.rate
        for good, bad in (
            (rf.GradientDescent(1.99 / (rate * top)), rf.GradientDescent(2.01 / (rate * top))),
            (rf.HeavyBall(3.7 / (rate * top)), rf.HeavyBall(3.9 / (rate * top))),
            (
                rf.GradientDescent(0.99 / (rate * top), weight_decay=top),
                rf.GradientDescent(1.01 / (rate * top), weight_decay=top),
            ),
        ):
            curves = solution.learning_curves(good.times([0, 1, 10]), good)
            assert np.all(np.isfinite(curves.train))
            with pytest.raises(rf.ModelError, match="step is"):
                solution.learning_curves(bad.times([1]), bad)
        with pytest.raises(rf.ModelError, match="whole number"):
            solution.learning_curves(0.5 * good.step, good)


class TestBadParameters:
    @pytest.mark.parametrize("bad", [-1.0, -1e-300, math.nan, INF, "much", None])
    def test_values(self, bad: object) -> None:
        for make in (
            lambda: rf.GradientFlow(weight_decay=bad),
            lambda: rf.GradientFlow(initial_std=bad),
            lambda: rf.Ridge(bad),
            lambda: rf.WeightAverage(bad),
            lambda: rf.WeightAverage(1.0, weight_decay=bad),
            lambda: rf.GradientDescent(bad),
            lambda: rf.GradientDescent(0.1, initial_std=bad),
            lambda: rf.HeavyBall(0.1, momentum=bad),
        ):
            with pytest.raises(rf.ModelError):
                make()

    def test_zero(self) -> None:
        for make in (lambda: rf.WeightAverage(0.0), lambda: rf.GradientDescent(0.0)):
            with pytest.raises(rf.ModelError, match="> 0"):
                make()

    @pytest.mark.parametrize("momentum", [1.0, 1.5])
    def test_momentum(self, momentum: float) -> None:
        with pytest.raises(rf.ModelError, match=r"\[0, 1\)"):
            rf.HeavyBall(0.1, momentum=momentum)

    def test_message_names_the_value(self) -> None:
        with pytest.raises(
            rf.ModelError, match=r"weight_decay is -0\.5; it must be finite and >= 0"
        ):
            rf.GradientFlow(weight_decay=-0.5)


def test_complex_exponentials_keep_their_digits() -> None:
    """Filter and residual at complex x against 40 digits, from tau = 0 to long past the decay."""
    rng = np.random.default_rng(5)
    x = 10.0 ** rng.uniform(-6.0, 3.0, 40) * np.exp(0.5j * np.pi * rng.uniform(0.0, 1.0, 40))
    x = np.append(x, [0.02j, -1e-9 + 0.4j])
    tau = np.append(10.0 ** rng.uniform(-12.0, 9.0, 40), [0.0, 1e3 * math.pi, INF])
    h, left = rf.GradientFlow().filter_and_residual(x, tau, 1.0)
    assert np.array_equal(h[-1], 1.0 / x)
    assert not left[-1].any()
    assert not h[tau == 0.0].any()
    with mpmath.workdps(40):
        for i, time in enumerate(tau[:-1]):
            for j, point in enumerate(x):
                # the exponent as the floats have it
                exact = mpmath.exp(mpmath.mpc(-time * point.real, -time * point.imag))
                if not 1e-290 < abs(exact) < 1e290:
                    continue
                # numpy's exponential and tangent are good to four units in the last place
                assert abs(mpmath.mpc(left[i, j]) - exact) <= 3e-15 * abs(exact)
                if time > 0.0:
                    gone = (1 - exact) / mpmath.mpc(point)
                    assert abs(mpmath.mpc(h[i, j]) - gone) <= 4e-15 * abs(gone)
