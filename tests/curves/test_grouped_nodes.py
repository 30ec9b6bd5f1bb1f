"""Properties of models with groups of samples, over a wide box and around p = n m.

t in [1e-3, 3], psi_p and psi_n in [0.05, 300], m in {1, 2, 3, 5, 20, 1000} or infinite, every
nonlinear named activation, one to three classes of one to four atoms, some of them 0, and every
distance from p = n m.
"""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import dmft_rf as rf
from dmft_rf.curves.nodes import Nodes
from dmft_rf.model.activation import NAMED
from dmft_rf.numerics.contour import half_plane_contour
from dmft_rf.pencil import Gaussian, Pencil, Sigma, sqrt, z
from tests.helpers.box import box, log_uniform
from tests.helpers.finite import draw
from tests.helpers.within import assert_close

INF = math.inf
OFFSETS = range(1, 16, 2)  # digits of the distance from p = n m
NAMES = ("train", "test", "score_error", "empirical_error", "weight_norm")


@st.composite
def models(draw: st.DrawFn) -> rf.ScoreModel:
    atoms, classes = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    eigenvalue = log_uniform(1e-3, 10.0) | st.just(0.0)
    share = st.floats(0.02, 1.0)
    lam = [[draw(log_uniform(1e-3, 10.0)), *(draw(eigenvalue) for _ in range(atoms - 1))]
           for _ in range(classes)]  # fmt: skip
    w = np.array([draw(share) for _ in range(atoms)])
    m = float(draw(st.sampled_from([1, 2, 3, 5, 20, 1000])))
    psi_p, psi_n = draw(log_uniform(0.05, 300.0)), draw(log_uniform(0.05, 300.0))
    if classes > 1:
        shares = np.array([draw(share) for _ in range(classes)])
        law: rf.Covariance | rf.Mixture = rf.Mixture(shares / shares.sum(), lam, w / w.sum())
        m = draw(st.sampled_from([m, INF]))
    else:
        law = rf.Covariance(lam[0], w / w.sum())
    near = draw(st.just(0.0) | st.sampled_from([s * 10.0**-k for k in OFFSETS for s in (-1, 1)]))
    if m < INF and (near or (draw(st.booleans()) and draw(st.booleans()))):
        psi_p = m * psi_n * (1.0 + near)
    activation = draw(st.sampled_from(sorted(set(NAMED) - {"linear"})))
    return rf.ScoreModel(draw(log_uniform(1e-3, 3.0)), psi_p, psi_n, activation, law, m)


# its bulks are so narrow that Newton's method fails between them: that is no edge
NARROW = rf.ScoreModel(
    1.6638, 2.3288, 0.34628, "erf",
    rf.Mixture(
        [0.4854, 0.2459, 0.2687],
        [[0.0037488, 0.0049387, 1.192], [0.0069231, 0.0, 0.0], [0.0144174, 0.3013, 0.0]],
        [0.1116, 0.8107, 0.0777],
    ),
)  # fmt: skip


def first_moment(model: rf.ScoreModel) -> float:
    return sum(
        one.share * (one.coefficients.second_moment - one.coefficients.mu0**2)
        for one in model.classes
    )


@pytest.mark.compiled
@box
@given(models())
@example(NARROW)
def test_spectrum(model: rf.ScoreModel) -> None:
    law = rf.spectrum(model)
    columns = model.psi_n * model.noise_draws if model.noise_draws < INF else 1.0 + model.psi_n
    # a difference of 4e-15 is taken for none
    atom = max(0.0, 1.0 - columns / model.psi_p)
    assert law.atoms[:, 1].sum() == pytest.approx(atom, abs=2e-14)
    assert law.bulk_masses.sum() + law.atoms[:, 1].sum() == pytest.approx(1.0, abs=2e-14)
    assert np.all(law.bulk_masses > 0.0)
    assert np.all(np.diff(law.support.offsets.ravel()) > 0.0)
    assert law.mass == pytest.approx(1.0, abs=1e-10)
    assert law.mass_error < 1e-10  # exact separation against the integral of every bulk
    assert abs(law.mass - 1.0) <= law.mass_error
    assert law.moment(1) == pytest.approx(first_moment(model), rel=1e-8)


def times_of(solution: rf.Solution) -> np.ndarray:
    low, high = solution.diagnostics["support"]
    rate = solution.model.rate
    last = min(50.0 / (rate * low) if low > 0.0 else INF, solution.horizon)
    return np.concatenate([[0.0], np.geomspace(0.01 / (rate * high), last, 40)])


@pytest.mark.compiled
@box
@given(models())
@example(NARROW)
@example(rf.ScoreModel(0.1, 12.012, 4.0, covariance=rf.Covariance([0.5, 1.5]), noise_draws=3))
@example(rf.ScoreModel(2.46, 3.21924, 1.074154, "erf", noise_draws=3))
def test_learning_curves(model: rf.ScoreModel) -> None:
    """They exist at every finite time that the nodes carry, in order and within their errors."""
    solution = rf.solve(model)
    assert solution.error_estimate <= 1e-10
    tau = times_of(solution)
    curves = solution.learning_curves(tau)
    error = curves.error
    for name in ("train", "test"):
        assert abs(getattr(curves, name)[0] - 1.0) <= error[name][0]
    assert np.all(np.diff(curves.train) <= error["train"][1:] + error["train"][:-1])
    assert np.all(curves.train >= -error["train"])
    assert np.all(curves.test >= model.floor - error["test"])
    # new noise is never easier than that of training; it can be harder than new samples
    fresh = curves.empirical_error * model.Delta_t
    assert np.all(fresh >= curves.train - model.Delta_t * error["empirical_error"] - error["train"])
    assert_close(curves, rf.solve(model, 3e-8).learning_curves(tau), NAMES)
    # the end is least squares, where rounding leaves something of it
    try:
        end, least = (solution.learning_curves(INF, r) for r in (rf.GradientFlow(), rf.Ridge(0.0)))
    except rf.ConvergenceError:
        assert solution.hard_edge
    else:
        low = float(solution.spectrum.edges[0, 0])
        if low > 0.0:
            assert_close(end, least, NAMES)
        else:
            assert end.test == least.test == INF


CASES = [
    rf.ScoreModel(0.1, 4.0, 4.0, "tanh", rf.Covariance([0.5, 1.5]), 2),
    rf.ScoreModel(0.1, 16.0, 4.0, "relu", rf.Mixture([0.4, 0.6], [[0.5, 1.5], [1.0, 0.0]]), 2),
    rf.ScoreModel(0.1, 8.0, 4.0, "tanh", rf.Covariance([0.5, 1.5]), 2),
    rf.ScoreModel(0.1, 8.0 * (1.0 - 1e-6), 4.0, "tanh", rf.Covariance([0.5, 1.5]), 2),
]


@pytest.mark.compiled
@pytest.mark.parametrize("model", CASES)
@pytest.mark.parametrize(("decay", "std"), [(0.0, 0.0), (1e-3, 0.4)])
class TestRules:
    """Identities between rules, below, above and at p = n m."""

    def units(self, model: rf.ScoreModel, decay: float) -> tuple[rf.Solution, float, float]:
        solution = rf.solve(model)
        high = solution.diagnostics["support"][1]
        return solution, 1.0 / (model.rate * high), decay * high

    def test_small_steps_are_flow(self, model: rf.ScoreModel, decay: float, std: float) -> None:
        solution, unit, omega = self.units(model, decay)
        tau = unit * np.array([1.0, 300.0])
        flow = solution.learning_curves(tau, rf.GradientFlow(omega, std))
        off = [
            solution.learning_curves(tau, rf.GradientDescent(unit / n, omega, std)).train
            - flow.train
            for n in (1000, 4000)
        ]
        assert_allclose(off[0] / off[1], 4.0, rtol=0.01)

    def test_no_momentum_is_descent(self, model: rf.ScoreModel, decay: float, std: float) -> None:
        solution, unit, omega = self.units(model, decay)
        rule = rf.GradientDescent(unit, omega, std)
        tau = rule.times([0, 1, 30, 1000])
        plain = solution.learning_curves(tau, rule)
        for beta in (0.0, 1e-14):
            ball = solution.learning_curves(tau, rf.HeavyBall(unit, omega, std, momentum=beta))
            for name in ("train", "test"):
                assert_allclose(getattr(ball, name), getattr(plain, name), rtol=1e-9, err_msg=name)

    def test_momentum_is_faster_flow(self, model: rf.ScoreModel, decay: float, std: float) -> None:
        """In the limit of small steps by the factor 1/(1 - beta)."""
        solution, unit, omega = self.units(model, decay)
        steps, beta = np.array([2e5, 2e6]), 0.5
        rule = rf.HeavyBall(1e-3 * unit, omega, std, momentum=beta)
        ball = solution.learning_curves(rule.times(steps), rule)
        flow = solution.learning_curves(
            rule.times(steps) / (1.0 - beta), rf.GradientFlow(omega, std)
        )
        assert_allclose(ball.test, flow.test, rtol=1e-4)
        assert_allclose(ball.train, flow.train, rtol=1e-3)

    def test_short_and_long_averages(self, model: rf.ScoreModel, decay: float, std: float) -> None:
        solution, unit, omega = self.units(model, decay)
        tau = unit * np.array([1.0, 300.0])
        flow = solution.learning_curves(tau, rf.GradientFlow(omega, std))
        short = solution.learning_curves(tau, rf.WeightAverage(1e-7 * unit, omega, std))
        assert_allclose(short.test, flow.test, rtol=1e-6)
        start = solution.learning_curves(0.0, rf.GradientFlow(omega, std))
        long = solution.learning_curves(tau, rf.WeightAverage(1e9 * unit, omega, std))
        assert_allclose(long.test, np.full(2, start.test), rtol=1e-5)

    def test_every_rule_ends_alike(self, model: rf.ScoreModel, decay: float, std: float) -> None:
        solution, unit, omega = self.units(model, decay)
        if solution.hard_edge and decay == 0.0:
            return  # test_noise_draws: there is no end at p = n m
        rules = [
            rf.GradientFlow(omega, std),
            rf.GradientDescent(unit, omega, std),
            rf.HeavyBall(unit, omega, std, momentum=0.8),
            rf.WeightAverage(30.0 * unit, omega, std),
        ]
        ends = [solution.learning_curves(INF, rule) for rule in rules]
        for other in ends[1:]:
            assert_close(ends[0], other, NAMES) if std == 0.0 else None
            assert float(other.test) == pytest.approx(float(ends[0].test), rel=1e-9)
        if decay > 0.0:
            ridge = solution.learning_curves(INF, rf.Ridge(omega))
            assert float(ends[0].test) == pytest.approx(float(ridge.test), rel=1e-9)


@pytest.mark.parametrize("m", [1, INF])
@pytest.mark.parametrize("psi_p", [1.3, 7.0])
def test_mixture_against_a_linear_pencil(m: float, psi_p: float) -> None:
    """Two classes, Sigma and 2 - Sigma, as columns of one matrix each: the Dyson equation."""
    lam = np.array([0.4, 1.6])
    mix = rf.Mixture([0.3, 0.7], [lam, 2.0 - lam])
    model = rf.ScoreModel(0.15, psi_p, 1.7, "softplus", mix, noise_draws=m)
    one, two = (c.coefficients for c in model.classes)
    eta = 0.3 * one.b + 0.7 * two.b
    W = Gaussian("W", "p", "d", per="d")
    b2, floor = (
        (0.3 * one.b**2 + 0.7 * two.b**2, 0.3 * one.s2 + 0.7 * two.s2) if m == INF else (0.0, 0.0)
    )
    blocks = {"u": "p", "f": "d", "g": "d", "y": "d", "x": "d"}
    rows = {
        "u": {"u": floor - z, "g": W},
        "f": {"f": 1, "u": -W.T},
        "g": {"g": 1},
        "y": {"y": 1},
        "x": {"x": 1},
    }
    if m == INF:
        rows["u"]["f"] = b2 * W
    spaces = {"p": psi_p, "d": 1}
    for i, (share, c, root) in enumerate(
        [(0.3, one, sqrt(Sigma)), (0.7, two, sqrt(2 - Sigma))], start=1
    ):
        r, gamma = math.sqrt(share), math.copysign(math.sqrt(c.gamma2), c.mu1)
        Z = Gaussian(f"Z{i}", "d", f"n{i}", per=f"n{i}")
        X = Gaussian(f"X{i}", "d", f"n{i}", per=f"n{i}")
        O = Gaussian(f"O{i}", "p", f"n{i}", per=f"n{i}")  # noqa: E741 - the letter of the theory
        o = r * math.sqrt(c.v2 + (0.0 if m == INF else c.s2))
        b = 0.0 if m == INF else r * c.b
        a = f"a{i}"
        spaces[f"n{i}"] = share * 1.7
        blocks[a] = f"n{i}"
        rows["u"][a] = o * O
        rows[a] = {a: 1, "u": -o * O.T}
        if m == INF:
            rows[a]["f"] = -r * gamma * Z.T * root
            rows["g"][a] = -r * gamma * root * Z
        else:
            rows[a]["f"] = -r * gamma * Z.T * root - b * X.T
            rows["g"][a] = -r * gamma * root * Z - b * X
            rows[a]["x"] = -r * X.T
            rows["y"][a] = -r * X
    system = Pencil(spaces=spaces, blocks=blocks, rows=rows, sigma="d", resolvent="u").bind(
        rf.Covariance(lam)
    )
    law = rf.spectrum(model)
    nodes = Nodes(law, half_plane_contour(0.02, 20.0, 5))
    points = system.solve(nodes.points)
    assert_allclose(nodes.resolvent.q, points.trace("u", "u") / psi_p, rtol=1e-11)
    Q = sum(c.share * c.linear**2 * c.diffused for c in model.classes)
    if m == INF:
        S = -points.trace("f", "g")
        assert_allclose(nodes.S_VW, eta * S, rtol=1e-11)
        assert_allclose(nodes.S_VV, eta**2 * S, rtol=1e-11)
        assert_allclose(nodes.S_test, -points.trace("f", "g", Q), rtol=1e-11)
    else:
        assert_allclose(nodes.S_VV, 1.0 - points.trace("y", "x"), rtol=1e-11)
        assert_allclose(nodes.S_VW, -points.trace("y", "g"), rtol=1e-11)
    inner, outer = ("g", "f"), (("f", "g") if m == INF else ("y", "x"))
    scale = eta**2 if m == INF else 1.0
    for held, other in zip(
        nodes.variance, (points, system.solve(nodes.points.conj())), strict=True
    ):
        right = nodes.resolvent.signal if other is points else nodes.resolvent.signal.conj()
        mean = (nodes.resolvent.signal * (model.weights * Q)) @ right.T
        expected = scale * points.two_point(other, {inner: Q}, {outer: 1.0})
        assert_allclose(held + mean, expected, rtol=1e-9)


@pytest.mark.compiled
class TestCloseToTheHardEdge:
    @pytest.mark.parametrize("off", [1e-3, -1e-3, 1e-5, -1e-7, 1e-10, -1e-13, 0.0])
    def test_finite_times_are_solved(self, off: float) -> None:
        """On either side, however near; losses are continuous in psi_p there."""
        model = rf.ScoreModel(0.2, 12.0, 4.0, "gelu", rf.Covariance([0.3, 1.7]), noise_draws=3)
        here = rf.solve(model)
        near = rf.solve(model.replace(psi_p=12.0 * (1.0 + off)))
        tau = np.array([1.0, 1e3]) / (model.rate * here.diagnostics["support"][1])
        one, two = here.learning_curves(tau), near.learning_curves(tau)
        for name in ("train", "test", "weight_norm"):
            # scales of psi_p move the losses by as much as itself, at most a few times
            assert_allclose(getattr(one, name), getattr(two, name), rtol=5.0 * abs(off) + 1e-9)

    def test_what_rounding_spoils_is_refused(self) -> None:
        solution = rf.solve(rf.ScoreModel(0.1, 8.0 * (1.0 - 1e-9), 4.0, noise_draws=2))
        with pytest.raises(rf.ConvergenceError, match="relative error"):
            solution.learning_curves(INF)
        assert solution.learning_curves(INF, rf.GradientFlow(weight_decay=1e-4)).test < 10.0


@pytest.mark.compiled
def test_fresh_noise_on_few_samples() -> None:
    """(1/d) Tr V^T U' V of drawn matrices: a sample's own label is most of it for p >> n."""
    model = rf.ScoreModel(0.05, 2.0, 0.05, "tanh", rf.Covariance([0.4, 1.6]), noise_draws=1)
    nodes = rf.solve(model).nodes
    exact = float(nodes.form(np.ones((1, nodes.points.size)), nodes._fresh_form).value[0])
    mean = []
    for d, seeds in ((40, 12000), (80, 8000)):
        draws = (draw(model, d, 100_000 * d + seed) for seed in range(seeds))
        found = [float(np.sum(one.V * (one.fresh @ one.V))) / d for one in draws]
        mean.append((np.mean(found), np.std(found, ddof=1) / math.sqrt(seeds)))
    (one, e1), (two, e2) = mean
    error = math.hypot(2.0 * e2, e1)
    assert error < 0.01 * exact
    assert abs(2.0 * two - one - exact) < 2.5 * error


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("psi_p", [8.0, 12.0])
def test_spectrum_with_zeros_is_drawn(psi_p: float) -> None:
    """A hard edge or an atom at 0 has no place on a logarithmic axis, and no harm is done."""
    from dmft_rf.plotting.spectra import plot_spectrum

    figure = plot_spectrum(rf.spectrum(rf.ScoreModel(0.1, psi_p, 4.0, noise_draws=2)))
    figure.canvas.draw()
    (ax,) = figure.axes
    assert ax.get_xlim()[0] > 0.0
    assert ax.get_position().height > 0.4  # the layout has room for the axes
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert any("atom at 0" in label for label in labels) == (psi_p == 12.0)


@pytest.mark.parametrize("exponent", [1, 4, 8, 9, 15, 22])
def test_contours_keep_their_digits(exponent: int) -> None:
    """Nodes and weights around spectra of any width, from elliptic functions of 40 digits."""
    m, M, n = 10.0**-exponent, 1.0, 21
    contour = half_plane_contour(m, M, n)
    with mpmath.workdps(40):
        m, M = mpmath.mpf(m), mpmath.mpf(M)
        k = (M - m) / (M + m)
        K = mpmath.ellipk(k * k)
        for j in range(n):
            u = K * (2 * j + 1 - n) / n
            sn, cn, dn = (mpmath.ellipfun(name, u, m=k * k) for name in ("sn", "cn", "dn"))
            bottom = 1 + k * sn**2
            e = mpmath.sqrt(k) * mpmath.mpc((1 + k) * sn / bottom, cn * dn / bottom)
            node = mpmath.sqrt(m * M) * mpmath.sqrt((1 + e) / (1 - e))
            slope = -(1 + k) * (1 - k * sn**2) / bottom
            weight = node * e * slope / (1 - e * e) * 2 * K / n / (2 * mpmath.pi)
            for found, exact in ((contour.z[j], node), (contour.weights[j], weight)):
                assert float(abs(mpmath.mpc(complex(found)) - exact) / abs(exact)) < 6e-15


@pytest.mark.parametrize("kind", [{"noise_draws": 2}, {"covariance": CASES[1].covariance}])
@pytest.mark.parametrize("activation", ["linear", lambda x: 1.0 + 2.0 * x])
def test_linear_activations_are_refused(activation: object, kind: dict[str, object]) -> None:
    with pytest.raises(rf.ModelError, match="linear"):
        rf.ScoreModel(0.1, 3.0, 2.0, activation, **kind)  # type: ignore[arg-type]


def test_mirrored_points() -> None:
    model = CASES[1]
    points = np.array([0.5 + 0.2j, 2.0 + 1e-3j])
    assert np.all(rf.resolvent(model, points.conj()).q == rf.resolvent(model, points).q.conj())
