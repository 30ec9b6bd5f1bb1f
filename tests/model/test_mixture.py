"""Gaussian mixtures whose classes have different covariances."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dmft_rf import Covariance, GradientFlow, Mixture, ModelError, ScoreModel, solve, spectrum

INF = math.inf
MIX = Mixture([0.6, 0.4], [[0.5, 0.5, 1.0], [0.2, 2.5, 1.0]], [0.3, 0.3, 0.4])


@pytest.mark.parametrize("m", [1, 3, INF])
def test_equal_classes_are_one(m: float) -> None:
    tau = [0.0, 1.0, 1e3, INF]
    model = ScoreModel(0.1, 6.0, 3.5, "relu", Covariance([0.5, 1.5]), noise_draws=m)
    same = model.replace(covariance=Mixture([0.3, 0.7], [[0.5, 1.5], [0.5, 1.5]]))
    one, two = (solve(which).learning_curves(tau) for which in (model, same))
    for name in ("train", "test", "score_error", "empirical_error", "weight_norm"):
        assert_allclose(
            getattr(one, name), getattr(two, name), rtol=2e-10, atol=1e-12, err_msg=name
        )
    a, b = spectrum(model), spectrum(same)
    assert_allclose(a.edges, b.edges, rtol=1e-10)
    assert_allclose(a.bulk_masses, b.bulk_masses, atol=1e-13)
    assert_allclose(a.atoms, b.atoms, rtol=1e-13)


@pytest.mark.parametrize("m", [1, 2, INF])
def test_law(m: float) -> None:
    law = spectrum(ScoreModel(0.1, 6.0, 2.5, "tanh", MIX, noise_draws=m))
    first = sum(
        one.share * (one.coefficients.second_moment - one.coefficients.mu0**2)
        for one in law.model.classes
    )
    assert law.mass == pytest.approx(1.0, abs=1e-12)
    assert law.mass_error < 1e-12
    assert law.moment(1) == pytest.approx(first, rel=1e-11)
    columns = 1.0 + 2.5 if m == INF else m * 2.5
    assert float(law.atoms[0, 1]) == pytest.approx(1.0 - columns / 6.0, abs=1e-14)


def test_floor_and_start() -> None:
    """Infinite data and features: the test loss reaches that of a score linear in x at best.

    The exact score knows the class of a sample; a network that is linear in the limit does not. The
    best linear score has the pooled covariance, and its loss lies above the floor.
    """
    model = ScoreModel(0.3, 3e3, 3e3, "tanh", MIX)
    curves = solve(model).learning_curves([0.0, INF])
    assert curves.test[0] == pytest.approx(1.0, rel=1e-12)
    assert curves.score_error[0] == pytest.approx(model.initial_score_error, rel=1e-12)
    a = np.array([one.linear for one in model.classes])
    b = np.array([one.coefficients.b for one in model.classes])
    share = MIX.shares
    pooled = (share * a**2) @ np.stack([one.diffused for one in model.classes])
    best = 1.0 - (share @ b) ** 2 * np.sum(MIX.weights / pooled)
    tau = np.geomspace(1e2, 1e9, 200)
    reached = float(np.min(solve(model).learning_curves(tau).test))
    assert best > model.floor
    assert reached == pytest.approx(best, rel=5e-3)
    assert reached > best


def test_a_rare_class_is_a_small_correction() -> None:
    tau = [10.0, 1e3, INF]
    alone = solve(ScoreModel(0.1, 6.0, 2.5, "tanh", Covariance([0.5, 1.5])))
    off = []
    for share in (1e-3, 1e-4):
        mix = Mixture([1.0 - share, share], [[0.5, 1.5], [1.0, 1.0]])
        curves = solve(ScoreModel(0.1, 6.0, 2.5, "tanh", mix)).learning_curves(tau)
        off.append(curves.test - alone.learning_curves(tau).test)
    assert_allclose(off[0] / off[1], 10.0, rtol=0.02)


def test_order_of_classes_does_not_matter() -> None:
    other = Mixture(MIX.shares[::-1], MIX.eigenvalues[::-1], MIX.weights)
    rule = GradientFlow(initial_std=0.2)
    one, two = (
        solve(ScoreModel(0.1, 6.0, 2.5, "gelu", mix, noise_draws=2)).learning_curves(
            [7.0, INF], rule
        )
        for mix in (MIX, other)
    )
    assert_allclose(one.test, two.test, rtol=1e-11)
    assert_allclose(one.train, two.train, rtol=1e-11, atol=1e-13)


class TestStatement:
    def test_from_matrices(self) -> None:
        rng = np.random.default_rng(5)
        basis, _ = np.linalg.qr(rng.standard_normal((6, 6)))
        lam = np.array([[1.0, 1.0, 1.0, 2.0, 2.0, 0.0], [3.0, 0.5, 0.5, 1.0, 2.0, 0.7]])
        matrices = [(basis * row) @ basis.T for row in lam]
        mix = Mixture.from_matrices([0.5, 0.5], matrices)
        assert mix.dimension == 6
        found = sorted(map(tuple, np.round(mix.eigenvalues.T, 9)))
        assert_allclose(found, sorted(map(tuple, lam.T)), atol=1e-9)

    def test_matrices_that_do_not_commute(self) -> None:
        with pytest.raises(ModelError, match="commute"):
            Mixture.from_matrices([0.5, 0.5], [np.diag([1.0, 2.0]), [[1.0, 0.3], [0.3, 1.0]]])

    @pytest.mark.parametrize(
        ("arguments", "word"),
        [
            (([0.5, 0.6], [[1.0], [2.0]]), "shares"),
            (([1.0, 0.0], [[1.0], [2.0]]), "shares"),
            (([0.5, 0.5], [[1.0], [-2.0]]), "eigenvalues"),
            (([0.5, 0.5], [[1.0], [math.nan]]), "eigenvalues"),
            (([0.5, 0.5], [[1.0, 2.0]]), "classes"),
            (([0.5, 0.5], [[0.0, 0.0], [1.0, 2.0]]), "class 0"),
            (([0.5, 0.5], [[1.0, 2.0], [1.0, 2.0]], [0.5, 0.4]), "weights"),
            (([0.5, 0.5], [[1.0, 2.0], [1.0, 2.0]], [1.0]), "weights"),
            (([0.5, 0.5], "many"), "eigenvalues"),
        ],
    )
    def test_bad_arguments(self, arguments: tuple[Any, ...], word: str) -> None:
        with pytest.raises(ModelError, match=word):
            Mixture(*arguments)

    @pytest.mark.parametrize(
        ("matrices", "word"),
        [
            ("x", "numbers"),
            (np.eye(3), "shape"),
            ([np.eye(2), [[1.0, 0.5], [0.0, 1.0]]], "symmetric"),
            ([np.eye(2), np.diag([1.0, -1.0])], "semi-definite"),
        ],
    )
    def test_bad_matrices(self, matrices: Any, word: str) -> None:
        with pytest.raises(ModelError, match=word):
            Mixture.from_matrices([0.5, 0.5], matrices)

    def test_sizes(self) -> None:
        mix = Mixture([0.5, 0.5], [[1.0, 1.0], [1.0, 3.0]], dimension=10)
        assert mix.effective_dimension == pytest.approx(8.0)  # (1 + 3)^2/(2 (1 + 9)) of ten
        assert mix.expected_finite_size_error == pytest.approx(0.125)
        assert not mix.is_isotropic
        assert Mixture([1.0], [[2.0]]).is_isotropic
        assert Mixture([1.0], [[2.0]]).effective_dimension is None
        assert MIX.summary()["atoms"] == 3
        assert MIX.mean == pytest.approx(0.6 * 0.7 + 0.4 * (0.06 + 0.75 + 0.4))

    def test_it_has_no_single_coefficients(self) -> None:
        with pytest.raises(ModelError, match="classes"):
            _ = ScoreModel(0.1, 2.0, 1.0, "tanh", MIX).coefficients
