"""What is generated: reference values, plain routes to the same numbers, and exact limits."""

import math
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from dmft_rf import ConvergenceError, Covariance, ModelError, ScoreModel, generation
from dmft_rf.generated import generation as module
from dmft_rf.generated.activation_in_time import in_time
from dmft_rf.generated.divergences import NAMES, measured
from dmft_rf.generated.generation import Generation, at_infinite_width
from dmft_rf.generated.process import continued, ellipse, run, time_rule
from dmft_rf.model.activation import Activation
from dmft_rf.model.coefficients import coefficients
from dmft_rf.numerics.chebyshev import Panels
from dmft_rf.spectra.sample_law import SampleLaw

ISOTROPIC = Covariance.isotropic()
NEAR, FAR = Covariance([0.5, 1.5]), Covariance([0.2, 1.8])


def generated(
    activation: str,
    psi_n: float,
    data: Covariance,
    tau: Any,
    schedule: Any = "score",
    **options: Any,
) -> Generation:
    of = Activation.of(activation)
    return at_infinite_width(of, psi_n, data, tau, schedule, **options)


# converged values by another program
REFERENCE: dict[str, tuple[tuple[Any, ...], dict[str, Any], dict[str, float]]] = {
    "R6": (("relu", 4.0, ISOTROPIC, 20.0), {}, {
        "kl": 0.0258744234542, "reverse_kl": 0.034288158282, "frechet": 0.0369654053887,
        "overlap": 1.16144077366, "split_distance": 0.0248985098245, "trace": 1.20411490308,
        "likelihood_gap": 0.0672668997335}),
    "R7": (("tanh", 4.0, ISOTROPIC, 100.0), {}, {
        "kl": 0.0809450934855, "reverse_kl": 0.0579629584052, "trace": 0.955066157165}),
    "R8": (("relu", 3.0, NEAR, 5.0), {"schedule": "noise", "t_end": 1e-3}, {
        "kl": 0.0492552559194, "reverse_kl": 0.063195596758, "frechet": 0.0574710413604,
        "trace": 1.18138127316}),
    "R9": (("relu", 0.5, FAR, 30.0), {"t_end": 1e-3}, {
        "kl": 0.257649308484, "reverse_kl": 0.242242356186, "frechet": 0.165486132982,
        "overlap": 1.87581184775}),
    "R10": (("relu", 8.0, ISOTROPIC, 50.0), {"sampler": "ode", "t_end": 1e-3}, {
        "kl": 0.030417111907, "reverse_kl": 0.026269488884, "frechet": 0.0256310756741}),
}  # fmt: skip


@pytest.mark.parametrize("name", REFERENCE)
def test_reference_values(name: str) -> None:
    args, options, expected = REFERENCE[name]
    found = generated(*args, **options)
    for quantity, value in expected.items():
        # 12 digits are printed
        assert float(getattr(found, quantity)) == pytest.approx(value, rel=3e-11), quantity


def process_of(activation: str, data: Covariance, psi_n: float, x: Any, tau: float, t_end: float,
               noisy: bool) -> np.ndarray:  # fmt: skip
    """Lambda at real points x of the support."""
    law = SampleLaw(psi_n, data.eigenvalues, data.weights)
    rule = time_rule(8.0, t_end, 12)
    series = in_time(Activation.of(activation), data.mean)
    points = ellipse(law, 0.1, 1.0)
    found = run(points, np.asarray(x), rule, np.full(rule.t.shape, tau), series, psi_n, noisy)
    return found.on_axis


@pytest.mark.parametrize("noisy", [True, False])
def test_an_ode_solver_gives_the_same_variance(noisy: bool) -> None:
    """Plain formulas: the arc-cosine kernel of relu, 2 x 2 eigenvalue problems, DOP853."""
    psi_n, tau, t_end = 3.0, 30.0, 1e-3
    x = np.array([0.18, 0.5, 1.0, 2.48])  # the support ends at 0.179 and 2.488

    def score(t: float) -> np.ndarray:
        rho, noise = math.exp(-2.0 * t), -math.expm1(-2.0 * t)
        kernel = math.sqrt(1.0 - rho**2) + rho * (math.pi - math.acos(rho))
        v2 = (kernel - 1.0) / (2.0 * math.pi) - rho / 4.0
        out = []
        for one in x:
            off = math.sqrt(0.25 * rho * v2 / psi_n * one)
            k, vectors = np.linalg.eigh([[0.25 * (noise + rho * one), off], [off, v2 / psi_n]])
            out.append(0.25 * vectors[0] ** 2 @ (-np.expm1(-2.0 * noise * tau * k) / k))
        return np.array(out)

    def slope(s: float, Lambda: np.ndarray) -> np.ndarray:
        if noisy:
            return 2.0 * (1.0 - 2.0 * score(8.0 - s)) * Lambda + 2.0
        return 2.0 * (1.0 - score(8.0 - s)) * Lambda

    solved = solve_ivp(slope, (0.0, 8.0 - t_end), np.ones(4), "DOP853", rtol=1e-11, atol=1e-13)
    found = process_of("relu", ISOTROPIC, psi_n, x, tau, t_end, noisy)
    np.testing.assert_allclose(found, solved.y[:, -1], rtol=1e-9)


@pytest.mark.parametrize(
    ("data", "psi_n"), [(ISOTROPIC, 4.0), (FAR, 0.5), (Covariance([0.0, 1.0, 3.0]), 2.0)]
)
@pytest.mark.parametrize("sampler", ["sde", "ode"])
def test_the_spectrum_of_the_sample_gives_the_same(
    data: Covariance, psi_n: float, sampler: str
) -> None:
    """Every integral as a plain sum over real eigenvalues, none by a contour."""
    found = generated("tanh", psi_n, data, [5.0, 300.0], sampler=sampler, t_end=1e-3)
    law = SampleLaw(psi_n, data.eigenvalues, data.weights)
    x, mu = law.on_axis
    np.testing.assert_array_equal(x, found.covariance.sample)
    np.testing.assert_allclose(law.w @ mu, found.covariance.weights)
    scale = math.exp(-2e-3)
    sigma, sample = scale * law.lam + 1.0 - scale, scale * x + 1.0 - scale
    for i, Lambda in enumerate(found.covariance.eigenvalues):
        r = sigma[:, None] / Lambda
        root = mu @ np.sqrt(Lambda)
        trace = law.w @ mu @ Lambda
        expected = {
            "kl": law.w @ (mu * (r - 1.0 - np.log(r))).sum(axis=1) / 2.0,
            "reverse_kl": law.w @ (mu * (1.0 / r - 1.0 + np.log(r))).sum(axis=1) / 2.0,
            "frechet": law.w @ (mu * (np.sqrt(sigma)[:, None] - np.sqrt(Lambda)) ** 2).sum(axis=1),
            "overlap": law.w @ mu @ (sample * Lambda) / ((law.w * sigma) @ mu @ Lambda),
            "likelihood_gap": law.w @ (mu * (r - sample / Lambda)).sum(axis=1) / 2.0,
            "split_distance": law.w @ (mu @ Lambda - root**2) / trace,
            "trace": trace,
        }
        for name in NAMES:
            value = float(getattr(found, name)[i])
            assert value == pytest.approx(expected[name], rel=1e-9, abs=1e-11), name
    # one gain for all of what is generated, from its own trace
    z = np.linspace(-12.0, 12.0, 4001)
    density = z * np.exp(-0.5 * z * z)

    def slope(variance: np.ndarray) -> np.ndarray:
        deviation = np.sqrt(variance)
        return np.tanh(np.multiply.outer(deviation, z)) @ density / deviation

    fall = np.exp(-2.0 * found.t[::60])
    ratio = slope(found.trace_along[1][::60]) / slope(1.0 + fall * (data.mean - 1.0))
    np.testing.assert_allclose(found.gain[1][::60], ratio, rtol=1e-11)


def test_finite_samples() -> None:
    """Traces, determinants and square roots of matrices for one drawn sample of 500 dimensions."""
    d, psi_n, tau, t_end = 500, 3.0, 20.0, 1e-3
    found = generated("relu", psi_n, NEAR, tau, t_end=t_end)
    generator = np.random.default_rng(3)
    lam = np.repeat(NEAR.eigenvalues, d // 2)
    X = np.sqrt(lam)[:, None] * generator.standard_normal((d, int(psi_n * d)))
    x, axes = np.linalg.eigh(X @ X.T / X.shape[1])
    Lambda = process_of("relu", NEAR, psi_n, x, tau, t_end, True)
    scale = math.exp(-2.0 * t_end)
    sigma, sample = scale * lam + 1.0 - scale, scale * x + 1.0 - scale
    L, L_inverse = (axes * Lambda) @ axes.T, (axes / Lambda) @ axes.T
    inverse = np.diag(L_inverse) @ sigma / d
    logs = float(np.log(Lambda).sum() - np.log(sigma).sum()) / d
    between = np.sqrt(sigma)[:, None] * L * np.sqrt(sigma)
    fidelity = np.sqrt(np.linalg.eigvalsh(between)).sum() / d
    distance = sigma.mean() + Lambda.mean() - 2.0 * fidelity
    tolerance = 15.0 / d  # one draw fluctuates by a few 1/d
    assert float(found.kl) == pytest.approx((inverse - 1.0 + logs) / 2.0, rel=tolerance)
    reverse = (np.diag(L) @ (1.0 / sigma) / d - 1.0 - logs) / 2.0
    assert float(found.reverse_kl) == pytest.approx(reverse, rel=tolerance)
    assert float(found.trace) == pytest.approx(Lambda.mean(), rel=tolerance)
    overlap = sample @ Lambda / (np.diag(L) @ sigma)
    assert float(found.overlap) == pytest.approx(overlap, rel=tolerance)
    gap = (inverse - (sample / Lambda).mean()) / 2.0
    assert float(found.likelihood_gap) == pytest.approx(gap, rel=tolerance)
    # an upper bound, and a tight one
    assert distance < float(found.frechet) < 1.06 * distance


class TestLimits:
    def test_without_training_the_noise_grows(self) -> None:
        """dLambda/ds = 2 Lambda + 2 from 1, or without the 2."""
        for sampler, expected in (("sde", 2.0 * math.exp(6.0) - 1.0), ("ode", math.exp(6.0))):
            found = generated("tanh", 4.0, ISOTROPIC, 0.0, sampler=sampler, t_start=3.0)
            assert float(found.trace) == pytest.approx(expected, rel=1e-11)

    @pytest.mark.parametrize("activation", ["relu", "linear"])
    def test_at_infinite_time_everything_falls_onto_the_mean(self, activation: str) -> None:
        """G = 1/Delta_t for every x: the process of data that are all 0."""
        start, end = (-math.expm1(-2.0 * t) for t in (8.0, 1e-3))
        ode = generated(activation, 4.0, ISOTROPIC, math.inf, sampler="ode", t_end=1e-3)
        if activation == "linear":  # it fits no noise: C + Delta_t, the sample itself
            assert float(ode.trace) == pytest.approx(1.0, rel=1e-6)
            return
        assert float(ode.trace) == pytest.approx(end / start, rel=1e-11)
        sde = generated(activation, 4.0, ISOTROPIC, math.inf, t_end=1e-3)
        # what began too wide, 1 instead of Delta_T, is forgotten like (Delta/Delta_T)^2 e^{2(T-t)}
        late = (end / start) ** 2 * math.exp(-2.0 * (8.0 - 1e-3)) * (1.0 - start)
        assert float(sde.trace) == pytest.approx(end + late, rel=1e-9)
        assert float(sde.split_distance) < 1e-12

    @pytest.mark.parametrize("psi_n", [3.0, 8.0, 50.0])
    def test_a_linear_network_samples_the_gaussian_of_the_sample(self, psi_n: float) -> None:
        """N(0, C), the plateau between learning and memorization of every network."""
        found = generated("linear", psi_n, ISOTROPIC, 1e5, "noise", t_start=18.0)
        rest = 1.0 / (psi_n - 1.0)
        logs = (psi_n - 1.0) * math.log1p(-1.0 / psi_n)  # <ln x> = -1 - logs
        assert float(found.kl) == pytest.approx(0.5 * (rest - 1.0 - logs), rel=1e-8)
        assert float(found.reverse_kl) == pytest.approx(0.5 * (1.0 + logs), rel=1e-8)
        assert float(found.overlap) == pytest.approx(1.0 + 1.0 / psi_n, rel=1e-9)
        assert float(found.likelihood_gap) == pytest.approx(0.5 * rest, rel=1e-9)
        assert float(found.trace) == pytest.approx(1.0, rel=1e-9)

    def test_with_all_data_the_data_are_sampled(self) -> None:
        found = generated("linear", 1e9, NEAR, 1e5, "noise", t_start=18.0)
        assert abs(float(found.kl)) < 1e-9
        assert float(found.overlap) == pytest.approx(1.0, abs=1e-8)


def test_without_the_gain() -> None:
    """A network of one linear part at every variance: values of the note with rho = 1."""

    class Stiff:
        series = in_time(Activation.of("tanh"), 1.0)
        v2, sigma_x2 = series.v2, 1.0

        def linear(self, low: float, high: float) -> Panels:
            slope = coefficients("tanh", 0.1).a
            return Panels(np.array([low - 1.0, high + 1.0]), np.array([[slope, 0.0]]), 0.0)

    law = SampleLaw(4.0, ISOTROPIC.eigenvalues, ISOTROPIC.weights)
    points, rule = ellipse(law, 0.1, 1.0), time_rule(8.0, 0.0, 12)
    stiff: Any = Stiff()
    found = run(points, np.empty(0), rule, np.full(rule.t.shape, 100.0), stiff, 4.0, True)
    values, _ = measured(points, found, law, 0.0)
    expected = {"kl": 0.0768910057759, "reverse_kl": 0.056751608795, "trace": 0.970884787957}
    for name, value in expected.items():
        assert values[name] == pytest.approx(value, rel=3e-11)
    assert (found.gain == 1.0).all()


def test_relu_has_no_gain() -> None:
    np.testing.assert_allclose(generated("relu", 4.0, NEAR, 20.0).gain, 1.0, rtol=1e-12)


def test_shapes_and_schedules() -> None:
    table = generated("relu", 4.0, ISOTROPIC, [[1.0, 5.0], [20.0, 80.0]], "noise", t_end=1e-2)
    assert table.kl.shape == table.error["kl"].shape == (2, 2)
    assert table.covariance.eigenvalues.shape == (2, 2, table.covariance.sample.size)
    assert table.gain.shape == table.trace_along.shape == (2, 2, table.t.size)
    assert (np.diff(table.t) < 0.0).all()
    own = generated("relu", 4.0, ISOTROPIC, 20.0, lambda t: 1.0 / -np.expm1(-2.0 * t), t_end=1e-2)
    assert float(own.kl) == pytest.approx(float(table.kl[1, 0]), rel=1e-11)
    assert generated("relu", 4.0, ISOTROPIC, []).kl.shape == (0,)
    # a constant weight of the loss is a longer training
    weighted = generated("relu", 4.0, ISOTROPIC, 10.0, lambda t: 2.0 + 0.0 * t)
    assert float(weighted.kl) == float(generated("relu", 4.0, ISOTROPIC, 20.0).kl)


@pytest.mark.parametrize("activation", ["tanh", "relu", "softplus", "gelu"])
@pytest.mark.parametrize("psi_n", [0.3, 20.0])
def test_values_are_within_their_own_error(
    activation: str, psi_n: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against many more nodes, from training that has just begun to training that is over."""
    data, tau = Covariance([0.05, 0.6, 3.0], [0.3, 0.5, 0.2]), [2.0, 200.0, 1e5]
    found = generated(activation, psi_n, data, tau, t_end=1e-3)
    monkeypatch.setattr(module, "_LEVELS", ((0.02, 2.0, 18),))
    better = generated(activation, psi_n, data, tau, t_end=1e-3)
    for name in NAMES:
        miss = np.abs(getattr(found, name) - getattr(better, name))
        assert (miss <= found.error[name] + better.error[name]).all(), name
    # 1e-9 was asked for
    assert (found.error["kl"] <= 1e-9 * np.maximum(found.kl, 1e-3)).all()


class TestCertificate:
    theta = np.pi * (np.arange(40) + 0.5) / 40
    z = 1.0 + np.exp(1j * theta)

    def test_a_zero_inside_is_refused(self) -> None:
        for zeros in ([1.2], [0.5, 1.5]):
            with pytest.raises(ConvergenceError, match="zero inside the contour"):
                continued(np.prod([self.z - zero for zero in zeros], axis=0))

    def test_a_zero_outside_is_not(self) -> None:
        np.testing.assert_allclose(continued(self.z + 0.3), np.log(self.z + 0.3), rtol=1e-14)
        # the phase passes pi, where the principal value of the logarithm jumps
        np.testing.assert_allclose(np.exp(continued(np.exp(5.0 * self.z))), np.exp(5.0 * self.z))
        np.testing.assert_allclose(continued(np.exp(5.0 * self.z)), 5.0 * self.z)

    def test_a_phase_that_cannot_be_followed_is_refused(self) -> None:
        with pytest.raises(ConvergenceError, match="turns too fast"):
            continued(np.exp(60.0 * self.z))


def test_missed_tolerances_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LEVELS", ((0.1, 0.3, 6),))
    with pytest.raises(ConvergenceError, match=r"rtol = 1e-09 was asked for") as caught:
        generated("tanh", 4.0, ISOTROPIC, [10.0, 100.0])
    assert caught.value.residual > 1e-9
    assert [set(part) for part in caught.value.partial] == [set(NAMES)] * 2


def test_of_a_model() -> None:
    found = generation(ScoreModel(0.1, math.inf, 4.0, "relu"), 20.0)
    assert isinstance(found, Generation)
    assert float(found.kl) == float(generated("relu", 4.0, ISOTROPIC, 20.0).kl)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": "fast"}, "schedule is 'fast'; it must be one of score, noise"),
        ({"schedule": 3}, "schedule is 3"),
        ({"schedule": lambda t: -t}, "schedule returns"),
        ({"schedule": lambda t: 1.0 / 0.0}, "schedule fails"),
        ({"sampler": "euler"}, "sampler is 'euler'; it must be one of sde, ode"),
        ({"t_end": -1.0}, "t_end is -1.0"),
        ({"t_start": 1e-3, "t_end": 1e-2}, "t_start is 0.001"),
        ({"t_start": 1e3}, "t_start is 1000.0"),
        ({"tau": -1.0}, "tau must be >= 0"),
        ({"tau": math.inf}, "t_end is 0 and tau holds inf"),
        ({"rtol": 1e-20}, "rtol is 1e-20"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message.replace("(", r"\(")):
        generation(ScoreModel(0.1, math.inf, 4.0), **{"tau": 1.0, **options})


def test_zero_eigenvalues_need_an_end() -> None:
    data = Covariance([0.0, 1.0])
    with pytest.raises(ModelError, match="t_end is 0 and the covariance of the data has zero"):
        generated("relu", 4.0, data, 1.0)
    assert np.isfinite(generated("relu", 4.0, data, 1.0, t_end=1e-3).kl)


def test_where_the_learned_score_explodes_another_contour_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Small eigenvalues and long training: on the first contour the variance underflows."""
    data = Covariance([0.01, 0.04, 0.15, 1.4], [0.05, 0.02, 0.26, 0.67])
    process: dict[str, Any] = {"schedule": "noise", "sampler": "ode", "t_start": 4.0, "t_end": 1e-3}
    found = generated("erf", 53.0, data, 2700.0, **process)
    law = SampleLaw(53.0, data.eigenvalues, data.weights)
    weights = law.w @ law.on_axis[1]
    trace = float(weights @ found.covariance.eigenvalues)
    assert float(found.trace) == pytest.approx(trace, rel=1e-10)
    monkeypatch.setattr(module, "_LEVELS", module._LEVELS[:1])
    with pytest.raises(ConvergenceError, match="cannot be followed"):
        generated("erf", 53.0, data, 2700.0, **process)
