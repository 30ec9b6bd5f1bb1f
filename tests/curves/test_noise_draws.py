"""A finite number m of noise draws per sample: theory.md, section 10."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import dmft_rf as rf
from dmft_rf.curves.nodes import Nodes
from dmft_rf.numerics.contour import half_plane_contour
from tests.helpers.finite import draw
from tests.helpers.pencils import NoiseDraws
from tests.helpers.plain import REFERENCE, reference_model

INF = math.inf
TWO = rf.Covariance([0.4, 1.6])


@pytest.mark.parametrize("name", ["M1", "M1r", "M2"])
def test_reference(name: str) -> None:
    case = REFERENCE[name]
    rule = rf.GradientFlow(weight_decay=case["ridge"])
    model = reference_model(name).replace(noise_draws=case["noise_draws"])
    curves = rf.solve(model).learning_curves([float(t) for t in case["tau"]], rule)
    for curve in ("train", "test"):
        assert_allclose(getattr(curves, curve), case[curve], rtol=1e-11, atol=0.0, err_msg=curve)
    assert_allclose(curves.penalty, case["ridge_penalty"], rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize(
    ("psi_n", "m", "psi_p", "expected"),
    [
        pytest.param(8, 1, 8, 2.7979, marks=pytest.mark.compiled),  # the hard edge
        (8, 4, 16, 1.8322),
        (8, 16, 8, 1.0348),
        (8, 4, 128, 1.6455),
        (16, 16, 16, 1.016886297),
        (16, 16, 64, 1.863222385),
        pytest.param(16, 16, 256, 3.410514092, marks=pytest.mark.compiled),
        (16, 16, 1024, 2.943795013),
    ],
)
def test_static_values_from_other_equations(
    psi_n: float, m: int, psi_p: float, expected: float
) -> None:
    """Equations 134 to 153 of arXiv:2609.26392, typed from its text, at t = 0.1, omega = 1e-3."""
    ridge = rf.solve(rf.ScoreModel(0.1, psi_p, psi_n, noise_draws=m)).learning_curves(
        1.0, rf.Ridge(1e-3)
    )
    # half of the last digit that is given
    digits = len(str(expected).split(".")[1])
    assert float(ridge.test) == pytest.approx(expected, abs=0.5 * 10.0**-digits)


@pytest.mark.parametrize("m", [1, 2, 3])
@pytest.mark.parametrize("psi_p", [1.3, 7.0])
def test_against_the_linear_pencil(m: int, psi_p: float) -> None:
    """The general Dyson equation, one- and two-point functions, knows nothing of the groups."""
    model = rf.ScoreModel(0.15, psi_p, 1.7, "softplus", TWO, noise_draws=m)
    pencil = NoiseDraws.of(model, m)
    nodes = Nodes(rf.spectrum(model), half_plane_contour(0.02, 20.0, 5))
    z = nodes.points
    points, mirrored = pencil.system.solve(z), pencil.system.solve(z.conj())
    assert_allclose(nodes.resolvent.q, points.trace("u", "u") / psi_p, rtol=1e-12)
    assert_allclose(nodes.S_VV, pencil.S_VV(points), rtol=1e-11)
    assert_allclose(nodes.S_VW, pencil.S_VW(points), rtol=1e-11)
    (one,) = model.classes
    Q = one.linear**2 * one.diffused
    weights = model.weights * Q
    for held, other in zip(nodes.variance, (points, mirrored), strict=True):
        right = nodes.resolvent.signal if other is points else nodes.resolvent.signal.conj()
        mean = (nodes.resolvent.signal * weights) @ right.T
        assert_allclose(held + mean, pencil.T(points, other, Q), rtol=1e-10)


@pytest.mark.compiled
def test_many_draws_tend_to_the_average_like_one_over_m() -> None:
    tau = [0.0, 1.0, 30.0, 1e3, 1e5, INF]
    limit = rf.solve(rf.ScoreModel(0.1, 6.0, 3.0, "tanh", TWO)).learning_curves(tau)
    for name in ("train", "test", "score_error", "empirical_error"):
        off = {
            m: getattr(
                rf.solve(rf.ScoreModel(0.1, 6.0, 3.0, "tanh", TWO, m)).learning_curves(tau), name
            )[1:]
            - getattr(limit, name)[1:]
            for m in (1e4, 1e5, 1e13)
        }
        assert_allclose(off[1e4] / off[1e5], 10.0, rtol=5e-3, err_msg=name)
        assert np.all(np.abs(off[1e13]) < 1e-10 * getattr(limit, name)[1:])


@pytest.mark.parametrize(
    ("m", "psi_p", "cov"),
    [
        (1, 2.0, rf.Covariance.isotropic()),
        (2, 1.5, TWO),
        (3, 6.0, rf.Covariance([0.0, 1.0, 2.0], [0.3, 0.35, 0.35])),
        (2, 6.0, rf.Mixture([0.4, 0.6], [[0.3, 0.3], [0.3, 2.7]])),
        (INF, 4.0, rf.Mixture([0.4, 0.6], [[0.3, 1.0], [2.7, 1.0]])),
    ],
)
def test_finite_matrices(m: float, psi_p: float, cov: rf.Covariance | rf.Mixture) -> None:
    """Losses of drawn matrices; the difference from the limit falls like 1/d."""
    model = rf.ScoreModel(0.2, psi_p, 1.5, "tanh", cov, noise_draws=m)
    solution = rf.solve(model)
    tau = np.array([2.0, 40.0, 2000.0])
    expected = solution.learning_curves(tau)
    found = {}
    for d, seeds in ((20, 40), (40, 24)):
        draws = [draw(model, d, 1000 * d + seed) for seed in range(seeds)]
        values = [
            [one.losses(lambda x, t=t: -np.expm1(-model.rate * x * t) / np.where(x, x, 1.0)
                        + (x == 0.0) * model.rate * t) for t in tau]
            for one in draws
        ]  # fmt: skip
        for name in ("train", "test", "fresh", "weight_norm"):
            table = np.array([[v[name] for v in row] for row in values])
            found[name, d] = table.mean(axis=0), table.std(axis=0, ddof=1) / math.sqrt(seeds)
    limits = {
        "train": expected.train,
        "test": expected.test,
        "fresh": expected.empirical_error * model.Delta_t,
        "weight_norm": expected.weight_norm,
    }
    for name, value in limits.items():
        (one, e1), (two, e2) = found[name, 20], found[name, 40]
        line, error = 2.0 * two - one, np.hypot(2.0 * e2, e1)
        # the next order: what 1/d already moved the mean by, once more over d
        allowed = 4.0 * error + 0.15 * np.abs(two - one) + 0.002 * np.abs(value)
        assert np.all(np.abs(line - value) < allowed), (name, line, value, error)
        assert np.all(error < 0.04 * (1.0 + np.abs(value))), name


def test_initial_weights_stay_where_training_does_not_reach() -> None:
    """With fewer columns than features the null space of U keeps them; the exact projector."""
    model = rf.ScoreModel(0.2, 6.0, 1.5, "tanh", TWO, noise_draws=2)
    kappa = 0.7
    curves = rf.solve(model).learning_curves(INF, rf.GradientFlow(initial_std=kappa))
    plain = rf.solve(model).learning_curves(INF)
    excess = []
    for seed in range(8):
        one = draw(model, 40, seed)
        x, Q = np.linalg.eigh(one.U)
        null = Q[:, x < 1e-9 * x[-1]]
        (c,) = (k.coefficients for k in model.classes)
        population = c.residual_variance * null.shape[1]
        diffused = math.exp(-2.0 * model.t) * one.sigma[0] + c.Delta_t
        population += (c.mu1 / c.Gamma_t) ** 2 * np.sum(diffused * np.sum((null.T @ one.M) ** 2, 0))
        excess.append(kappa**2 * c.Delta_t * population / len(x))
    assert float(curves.test - plain.test) == pytest.approx(np.mean(excess), rel=0.02)
    assert float(curves.train - plain.train) == pytest.approx(0.0, abs=1e-12)


class TestLaw:
    @pytest.mark.parametrize("m", [1, 2, 7, 400])
    @pytest.mark.parametrize(("psi_p", "psi_n", "t"), [(64, 8, 0.01), (3, 4, 0.1), (0.5, 0.2, 1.0)])
    def test_masses_moment_and_atom(self, m: int, psi_p: float, psi_n: float, t: float) -> None:
        law = rf.spectrum(rf.ScoreModel(t, psi_p, psi_n, "sigmoid", TWO, noise_draws=m))
        c = law.model.coefficients
        atom = max(0.0, 1.0 - m * psi_n / psi_p)
        assert law.mass == pytest.approx(1.0, abs=1e-12)
        assert law.mass_error < 1e-12  # exact separation against the integral of each bulk
        assert float(np.sum(law.atoms[:, 1])) == pytest.approx(atom, abs=1e-14)
        assert law.moment(1) == pytest.approx(c.second_moment - c.mu0**2, rel=1e-11)
        assert np.all(law.edges[:, 0] < law.edges[:, 1])
        assert np.all(law.edges[1:, 0] > law.edges[:-1, 1])

    def test_edges_are_where_the_density_ends(self) -> None:
        law = rf.spectrum(rf.ScoreModel(0.01, 64, 8, "tanh", TWO, noise_draws=16))
        assert len(law.edges) >= 4
        for low, high in law.edges:
            width = 1e-6 * (high - low)
            inner = law.density(np.array([low + width, low + 4.0 * width]))
            assert inner[0] > 0.0
            assert inner[1] / inner[0] == pytest.approx(2.0, rel=0.01)  # a square root
            assert np.all(law.density(np.array([low - width, high + width])) == 0.0)

    def test_against_eigenvalues(self) -> None:
        model = rf.ScoreModel(0.05, 4.0, 1.5, "tanh", TWO, noise_draws=2)
        law = rf.spectrum(model)
        x = np.concatenate([np.linalg.eigvalsh(draw(model, 80, s).U) for s in range(4)])
        gaps = np.sqrt(law.edges[1:, 0] * law.edges[:-1, 1])
        assert len(gaps) >= 1
        for i, gap in enumerate(gaps):  # exact separation
            assert np.mean(x > gap) == pytest.approx(law.bulk_masses[i + 1 :].sum(), abs=1e-12)
        assert np.mean(x < 1e-10) == pytest.approx(law.atoms[0, 1], abs=1e-12)
        assert np.mean(x**2) == pytest.approx(law.moment(2), rel=0.02)

    def test_resolvent_is_the_transform_of_the_density(self) -> None:
        law = rf.spectrum(rf.ScoreModel(0.1, 4.0, 1.5, "tanh", TWO, noise_draws=2))
        z = np.array([0.3 + 0.5j, -1.0 + 0.0j, 2.0 - 0.7j])
        for point, q in zip(z, rf.resolvent(law.model, z).q, strict=True):
            real = law.integrate(lambda x, p=point: (1.0 / (x - p)).real)
            imag = law.integrate(lambda x, p=point: (1.0 / (x - p)).imag)
            assert q == pytest.approx(real + 1j * imag, rel=1e-10)


class TestCurves:
    def test_fresh_noise_lies_between_training_and_test(self) -> None:
        curves = rf.solve(rf.ScoreModel(0.1, 12.0, 4.0, noise_draws=2)).learning_curves(
            [10.0, 1e3, INF]
        )
        fresh = curves.empirical_error * curves.model.Delta_t
        assert np.all(curves.train < fresh)
        assert np.all(fresh < curves.test)

    def test_fresh_noise_with_initial_weights_is_not_known(self) -> None:
        rule = rf.GradientFlow(initial_std=0.1)
        curves = rf.solve(rf.ScoreModel(0.1, 12.0, 4.0, noise_draws=2)).learning_curves(10.0, rule)
        assert math.isnan(curves.empirical_error)

    @pytest.mark.compiled
    def test_more_draws_help(self) -> None:
        final = [
            float(rf.solve(rf.ScoreModel(0.1, 12.0, 4.0, noise_draws=m)).learning_curves(1e3).test)
            for m in (1, 2, 5, 20, 100, INF)
        ]
        assert np.all(np.diff(final) < 0.0)


@pytest.mark.compiled
class TestHardEdge:
    """p = n m: the spectrum reaches down to 0."""

    model = rf.ScoreModel(0.1, 8.0, 4.0, "tanh", noise_draws=2)

    def test_law(self) -> None:
        law = rf.spectrum(self.model)
        assert law.edges[0, 0] == 0.0
        assert law.atoms.size == 0
        x = 1e-8 * law.edges[0, 1]
        density = law.density(np.array([x, 4.0 * x]))
        assert density[0] / density[1] == pytest.approx(2.0, rel=1e-3)  # like 1/sqrt(lambda)
        assert law.mass == pytest.approx(1.0, abs=1e-12)

    def test_it_diverges_like_the_root_of_time(self) -> None:
        curves = rf.solve(self.model).learning_curves([1e6, 4e6, 1.6e7, INF])
        steps = np.diff(curves.test[:3])
        assert steps[1] / steps[0] == pytest.approx(2.0, rel=1e-4)
        assert curves.test[3] == INF
        assert curves.train[3] == 0.0
        assert float(rf.solve(self.model).learning_curves(INF).test) == INF

    def test_timescales(self) -> None:
        found = rf.timescales(rf.solve(self.model))
        assert found.final_gap == INF
        assert found.tau_mem == INF
        assert 0.0 < found.tau_gen < found.tau_opt < INF


@pytest.mark.parametrize("m", [0, -1, 1.5, "many", True, math.nan, None])
def test_bad_numbers_of_draws(m: object) -> None:
    with pytest.raises(rf.ModelError, match="noise_draws"):
        rf.ScoreModel(0.1, 2.0, 1.0, noise_draws=m)  # type: ignore[arg-type]
