"""Claimed errors where they are hard to know: late filters, few nodes, cancellation, rounding."""

import math

import mpmath
import numpy as np
import pytest

import dmft_rf as rf
from dmft_rf.curves.carrying import nodes_in
from dmft_rf.curves.events import score_error_slope
from dmft_rf.curves.losses import curves_on
from dmft_rf.curves.nodes import enclosed
from dmft_rf.numerics.estimate import EPS, ROUNDING, Estimate
from dmft_rf.numerics.region import Region
from dmft_rf.rules.flow import Rule
from validation.__main__ import main
from validation.attack.attack import ALLOWED, Tally, between, drawn
from validation.attack.models import case

INF = math.inf
TWO = rf.Mixture([0.5, 0.5], [[1.0, 0.1], [2.0, 3.0]])
THREE = rf.Mixture([0.2, 0.3, 0.5], [[1.0], [2.0], [0.5]])


def ratios(one: rf.LearningCurves, other: rf.LearningCurves) -> dict[str, float]:
    """Largest |difference|/(sum of claimed errors) of every curve."""
    return {found.name: found.ratio for found in between("", one, other)}


MODELS = {
    "narrow": rf.ScoreModel(
        0.14, 0.0064, 3100.0, "sigmoid", rf.Covariance.power_law(2.5, 18), noise_draws=7
    ),
    "wide": rf.ScoreModel(0.01, 64.0, 8.0),
    "three bulks": rf.ScoreModel(0.1, 8.0, 4.0, covariance=rf.Covariance([0.3, 1.7])),
}


class TestLateFilters:
    """e^{-alpha x tau} turns more often than few nodes can see; the estimate must know."""

    @pytest.mark.parametrize("count", [8, 10, 12, 16, 24])
    @pytest.mark.parametrize("name", MODELS)
    def test_few_nodes_know_what_they_do_not_see(self, name: str, count: int) -> None:
        model = MODELS[name]
        law = rf.spectrum(model)
        top = law.ends[1]
        unit = 1.0 / (model.rate * top)
        tau = unit * np.geomspace(0.1, 1e7, 40)
        rules: list[Rule] = [rf.GradientFlow(decay * top, 20.0) for decay in (0.0, 0.1)]
        rules.append(rf.WeightAverage(50.0 * unit))
        for fraction in (0.3, 1.45, 1.95):
            rules += [
                rf.GradientDescent(fraction * unit, 0.0, 20.0),
                rf.HeavyBall(fraction * unit, 0.0, 20.0, momentum=0.4),
            ]
        for rule in rules:
            steps = isinstance(rule, rf.GradientDescent | rf.HeavyBall)
            times = rule.times(np.unique(np.rint(tau / rule.step))) if steps else tau
            region = rule.region(model.rate)
            few = curves_on(nodes_in(law, region, count), times, rule)
            many = curves_on(nodes_in(law, region, 12 * count), times, rule)
            worst = max(ratios(few, many).values())
            assert worst <= 1.0, (rule, ratios(few, many))

    def test_the_slope_of_the_score_error_is_known_or_lost(self) -> None:
        """Far from its minimum its sign is that of differences of the curve."""
        for model in MODELS.values():
            solution = rf.solve(model, 1e-6)
            low, top = solution.diagnostics["support"]
            tau = np.geomspace(0.1 / (model.rate * top), 60.0 / (model.rate * low), 60)
            law = solution.nodes.law
            exact = score_error_slope(nodes_in(law, Region(), 250), tau, rf.GradientFlow())
            rough = score_error_slope(solution.nodes, tau, rf.GradientFlow())
            assert np.all(np.abs(rough.value - exact.value) <= rough.error + exact.error)


class TestRounding:
    @pytest.mark.parametrize("beta", [0.3, 0.69, 0.9, 0.95, 0.999])
    def test_momentum_keeps_its_digits(self, beta: float) -> None:
        """From the first steps to many, at slow modes and where two roots (nearly) meet."""
        rule, rate = rf.HeavyBall(1.0, momentum=beta), 0.1
        meet = 10.0 * (1.0 - math.sqrt(beta)) ** 2  # in x
        far = 5.0 * (1.0 + beta)
        x = np.array(
            [1e-12, 1e-6 + 1e-6j, 1e-3, meet, meet * (1 + 1e-9j), meet * (1 - 1e-5), far, 1 + 2j]
        )
        steps = np.array([0, 1, 2, 7, 40, 41, 300, 3000])
        h, g = (part(x, rule.times(steps), rate) for part in (rule.filter, rule.memory))
        with mpmath.workdps(60):
            for j, place in enumerate(x):
                y = mpmath.mpc(complex(place))
                z, r = y * mpmath.mpf(rate), [mpmath.mpf(1)]
                r.append(1 - z)
                while len(r) <= steps.max():
                    r.append((1 + mpmath.mpf(beta) - z) * r[-1] - mpmath.mpf(beta) * r[-2])
                for i, k in enumerate(steps):
                    exact, size = complex((1 - r[k]) / y), float(1 + abs(r[k]))
                    # the powers lose k eps, and where two roots meet both lose as much again
                    if size < 1e100:
                        lost = (100 + 10 * k) * EPS
                        assert abs(h[i, j] - exact) <= lost * abs(exact), (place, k)
                        assert abs(g[i, j] - complex(r[k])) <= lost * size, (place, k)

    @pytest.mark.parametrize(
        "model",
        [
            rf.ScoreModel(8e-4, 2.2, 0.025, "tanh", rf.Covariance.power_law(1.9, 177)),
            rf.ScoreModel(3e-3, 4e5, 2e4, "gelu", rf.Covariance.power_law(1.0, 150)),
        ],
    )
    def test_many_atoms_keep_their_digits(self, model: rf.ScoreModel) -> None:
        """Pairs by partial fractions, where neighbouring nodes have nearly the same kappa."""
        solution = rf.solve(model)
        low, top = solution.diagnostics["support"]
        tau = np.append(np.geomspace(0.1 / (model.rate * top), 10.0 / (model.rate * low), 9), INF)
        one = solution.learning_curves(tau)
        assert one.relative_error <= 1e-10
        count = solution.nodes.points.size
        other = curves_on(
            nodes_in(solution.nodes.law, Region(), int(1.4 * count)), tau, rf.GradientFlow()
        )
        assert max(ratios(one, other).values()) <= 1.0
        scale = np.maximum(one.score_error, 1e-3 * model.initial_score_error)
        assert np.max(np.abs(one.score_error - other.score_error) / scale) < 1e-11

    @pytest.mark.parametrize(
        "model",
        [
            rf.ScoreModel(1.3e-5, 16e3, 1.1e-3, "erf", THREE, 12),
            rf.ScoreModel(1e-4, 0.2, 0.08, "softplus", TWO, 15),
            rf.ScoreModel(0.1, 8.0, 4.0, noise_draws=2),
        ],
    )
    def test_many_groups_keep_their_digits(self, model: rf.ScoreModel) -> None:
        """Very few samples, and p = n m: solved to 1e-10, and that is so."""
        solution = rf.solve(model)
        top = solution.diagnostics["support"][1]
        region = Region(start=solution.nodes.contour.start)
        last = min(solution.horizon, 1e8 / (model.rate * top))
        tau = np.geomspace(0.1 / (model.rate * top), last, 9)
        rule = rf.GradientFlow(initial_std=3.0)
        one = solution.learning_curves(tau, rule)
        assert one.relative_error <= 1e-10
        more = nodes_in(solution.nodes.law, region, int(1.4 * solution.nodes.points.size))
        assert max(ratios(one, curves_on(more, tau, rule)).values()) <= 1.0

    def test_little_that_can_be_learned(self) -> None:
        """1 - L_train(inf) as small as 1e-8 is known with its digits."""
        model = rf.ScoreModel(9.0, 0.01, 50.0, "relu", rf.Covariance([0.5, 1.5]), 3)
        exact = rf.solve(model).nodes.exact
        assert 1.0 - exact.train_limit < 1e-1
        nodes = nodes_in(rf.spectrum(model), Region(), 60)
        found = nodes.integral(1.0 / nodes.points[None, :], nodes.S_VV)
        assert abs(found.value[0] - exact.inverse) <= 1e-13 * exact.inverse

    def test_sums_count_their_roundings(self) -> None:
        one = Estimate.exact(np.array([1.0, -2.0]))
        assert np.all(one.error == ROUNDING * np.array([1.0, 2.0]))
        total = one.plus((3.0, Estimate(np.array([1.0, 1.0]), np.array([0.0, 0.5]))))
        np.testing.assert_array_equal(total.value, [4.0, 1.0])
        np.testing.assert_allclose(total.error, ROUNDING * np.array([5.0, 7.0]) + [0.0, 1.5])
        half = total.over(2.0)
        np.testing.assert_allclose(half.error, 0.5 * total.error + ROUNDING * half.value)


class TestContours:
    @pytest.mark.parametrize("region", [
        Region(), Region(start=-0.01), Region(5.0), Region(5.0, 0.0, -0.01), Region(5.0, 0.5),
        Region(5.0, 0.7, -0.02),
    ])  # fmt: skip
    def test_what_they_enclose(self, region: Region) -> None:
        """1/(2 pi i) times the integral of dz/(z - a) is 1 inside and 0 outside."""
        from dmft_rf.numerics.contour import contour_in

        contour = contour_in(region, 0.1, 3.0, 2000)
        for place in (contour.left * 1.05, contour.left * 0.95, 0.1, -1e-4):
            turns = -2.0 * np.sum(contour.weights / (contour.z - place)).real
            assert round(turns) == contour.encloses(place)

    def test_an_atom_at_zero_is_inside_or_outside(self) -> None:
        """A contour in a region that holds it leads around it, with room to spare."""
        law = rf.spectrum(rf.ScoreModel(0.1, 12.0, 4.0, noise_draws=2))
        assert law.atoms[0, 0] == 0.0
        for start in (-1e-9, -1e-3, -1.0):
            nodes = nodes_in(law, Region(start=start), 60)
            assert enclosed(law, Region(start=start))[0] == 0.0
            assert nodes.contour.left < 0.2 * start
            assert nodes.outside.size == 0
        assert nodes_in(law, Region(), 20).outside.shape == (1, 3)


class TestAttack:
    def test_forty_random_models(self) -> None:
        """Every kind of model, rule and activation: nothing is off by twice what is claimed."""
        tally = Tally(5)
        for index in range(40):
            tally.add(index, drawn(5, index))
        assert tally.wrong == []
        assert tally.comparisons > 5000
        assert {"closed form", "noise draws", "mixture", "hard edge"} <= set(tally.count)

    def test_unknowns_that_differ_by_seven_orders_of_magnitude(self) -> None:
        """t = 4e-6, 12 noise draws of two classes, sigma = x + 7e-5 sin 3 x."""
        worst = drawn(1, 346).worst
        assert worst is not None
        assert worst.ratio < 1.0

    @pytest.mark.parametrize("index", [1347, 1521])
    def test_momentum_close_to_one_and_a_compressed_covariance(self, index: int) -> None:
        """Local and regular variance that nearly cancel; atoms whose rounding shows in L_floor."""
        worst = drawn(1, index).worst
        assert worst is not None
        assert worst.ratio <= ALLOWED

    def test_panels_that_miss_the_same_with_opposite_signs(self) -> None:
        """Both rules of Gauss and Legendre agree by accident after some numbers of steps."""
        solution = rf.solve(case(1, 1094).model, 1e-9)  # panels are held against its contour too
        rule = rf.HeavyBall(0.0036592633677481736, momentum=0.9840956674221026)
        tau = rule.times(np.arange(600, 1200, 3))
        few, many = (curves_on(solution._spectral_nodes(i), tau, rule) for i in (0, 2))
        assert many.relative_error < 1e-3 * few.relative_error
        assert max(ratios(few, many).values()) <= ALLOWED

    def test_it_notices(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Errors that are claimed too small, and an atom that is lost."""
        from dmft_rf.curves.nodes import Nodes

        monkeypatch.setattr(Nodes, "outside", property(lambda nodes: np.empty((0, 2))))
        tally = Tally(5)
        for index in range(6):
            tally.add(index, drawn(5, index))
        assert not tally.passed
        assert "FAIL" in tally.text()
        assert any("start weight_norm at 0" in line for line in tally.wrong)

    def test_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["attack", "--models", "2", "--seed", "5", "--quiet"]) == 0
        text = capsys.readouterr().out
        assert "2 models of seed 5" in text
        assert "PASS: 0 wrong" in text
        assert main(["attack", "--models", "0"]) == 2

    def test_what_cannot_be_stated_is_counted(self) -> None:
        outcome = drawn(5, next(i for i in range(100) if drawn_refusal(i)))
        assert outcome.case is None
        assert len(outcome.refusals) == 1


def drawn_refusal(index: int) -> bool:
    try:
        case(5, index)
    except (rf.ModelError, RuntimeError):
        return True
    return False


def test_ridge_has_nothing_that_turns() -> None:
    from dmft_rf.curves.majorants import Few, Majorants

    nodes = rf.solve(rf.ScoreModel(0.1, 8.0, 4.0)).nodes
    tau = np.array([0.0, 1.0, INF])
    for part in ("filter", "square", "memory", "residual"):
        none = Majorants(rf.Ridge(0.1), nodes.contour, tau, 0.1, Few.all(3))
        assert np.all(getattr(none, part).rows == 0.0)
    # bounds: |h| and |g| at the nodes themselves, for all rules at finite times
    for rule in (rf.GradientFlow(), rf.GradientFlow(0.1), rf.WeightAverage(3.0)):
        bound = Majorants(rule, nodes.contour, tau, 0.1, Few.all(3))
        whole = np.abs(bound.whole.rows[1]) + np.abs(bound.filter.rows[1])
        assert np.all(np.abs(rule.filter(nodes.points, tau, 0.1)[1]) <= 2.0 * whole)
