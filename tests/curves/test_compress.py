"""Thousands of eigenvalues: Gauss quadrature of the law, and pairs of points without atoms."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import dmft_rf as rf
from dmft_rf.numerics.jacobi import JacobiMatrix

TAU = np.append(np.geomspace(0.1, 1e7, 30), [0.0, math.inf])


def laws() -> dict[str, rf.Covariance]:
    rng = np.random.default_rng(3)
    return {
        "gamma": rf.Covariance(rng.gamma(2.0, 0.5, 800)),
        "outlier": rf.Covariance(np.append(np.linspace(0.5, 1.5, 799), 60.0)),
        "zeros": rf.Covariance(np.append(np.zeros(200), np.linspace(0.5, 2.0, 600))),
    }


@pytest.fixture(params=["gamma", "outlier", "zeros"])
def law(request: pytest.FixtureRequest) -> rf.Covariance:
    return laws()[request.param]


@pytest.mark.parametrize("n", [1, 2, 7, 20])
def test_moments_up_to_twice_the_nodes(law: rf.Covariance, n: int) -> None:
    fewer = law.gauss(n)
    scale = law.eigenvalues[-1]
    for degree in range(2 * n):
        exact = law.weights @ (law.eigenvalues / scale) ** degree
        assert fewer.weights @ (fewer.eigenvalues / scale) ** degree == pytest.approx(
            exact, rel=1e-12, abs=1e-15
        )
    miss = law.weights @ (law.eigenvalues / scale) ** (2 * n)
    left = fewer.weights @ (fewer.eigenvalues / scale) ** (2 * n)
    assert left <= miss * (1.0 + 1e-12)  # a square is left out
    assert fewer.mean == pytest.approx(law.mean, rel=1e-13)


def test_legendre() -> None:
    """Equal weights on a Gauss-Legendre grid are continued to the classical rule."""
    points, weights = np.polynomial.legendre.leggauss(60)
    nodes, w = JacobiMatrix(points, weights / 2.0).rule(9)
    expected, known = np.polynomial.legendre.leggauss(9)
    assert_allclose(nodes, expected, atol=1e-14)
    assert_allclose(w, known / 2.0, rtol=1e-12)


def test_a_matrix_is_continued() -> None:
    law = laws()["gamma"]
    grown = JacobiMatrix(law.eigenvalues, law.weights)
    grown.rule(5)
    fresh = JacobiMatrix(law.eigenvalues, law.weights)
    for one, other in zip(grown.rule(12), fresh.rule(12), strict=True):
        assert_allclose(one, other, rtol=1e-12)
    assert_allclose(grown.rule(5)[0], fresh.rule(5)[0], rtol=1e-12)


def test_a_law_with_few_atoms_stays() -> None:
    law = rf.Covariance([1.0, 2.0, 5.0])
    assert law.gauss(3) is law
    assert law.gauss(9) is law
    with pytest.raises(rf.ModelError, match="nodes"):
        law.gauss(0)


@pytest.mark.compiled
@pytest.mark.parametrize("m", [math.inf, 3])
def test_compressed_curves_are_within_their_error(law: rf.Covariance, m: float) -> None:
    model = rf.ScoreModel(0.1, 6.0, 3.0, "tanh", law, noise_draws=m)
    full, fewer = rf.solve(model), rf.solve(model, compress=True)
    assert fewer.compression is not None
    assert fewer.compression.atoms < 200
    assert fewer.compression.error <= fewer.error_estimate <= fewer.rtol
    for rule in (rf.GradientFlow(), rf.GradientFlow(weight_decay=0.01)):
        a, b = full.learning_curves(TAU, rule), fewer.learning_curves(TAU, rule)
        assert b.model == model
        assert apart(a, b) <= 1.0


def apart(a: rf.LearningCurves, b: rf.LearningCurves) -> float:
    """The largest difference, in units of what both claim together."""
    worst = 0.0
    for name in ("train", "test", "score_error", "empirical_error", "weight_norm"):
        miss = np.abs(getattr(a, name) - getattr(b, name))
        claimed = a.error[name] + b.error[name] + 1e-14 * np.abs(getattr(a, name))
        worst = max(worst, float(np.max(miss / np.maximum(claimed, 1e-300))))
    return worst


def wide_laws() -> dict[str, rf.Covariance]:
    """A thousand eigenvalues and more, in every arrangement that comes to mind."""
    rng = np.random.default_rng(11)
    centres = rng.choice([0.1, 0.9, 4.0], 1200)
    return {
        "power law": rf.Covariance.power_law(1.0, 1500),
        "steep power law": rf.Covariance.power_law(2.5, 1100),
        "clusters": rf.Covariance(centres * (1.0 + 0.01 * rng.standard_normal(1200))),
        "outliers": rf.Covariance(np.append(rng.uniform(0.5, 1.5, 1200), [40.0, 900.0])),
        "isolated": rf.Covariance(np.append(rng.uniform(0.5, 1.5, 1000), [1e-5, 1e-2, 20.0])),
        "gamma": rf.Covariance(rng.gamma(2.0, 0.5, 1024)),
    }


@pytest.mark.compiled
@pytest.mark.parametrize("name", wide_laws())
def test_thousands_of_eigenvalues_are_compressed_unasked(name: str) -> None:
    model = rf.ScoreModel(0.05, 12.0, 3.0, "tanh", wide_laws()[name])
    solution = rf.solve(model)
    assert solution.model == model
    # one of the others needs more nodes than pay; the rounding of one is seen in the estimate
    if name not in ("gamma", "steep power law"):
        assert solution.compression is not None
        assert solution.compression.error <= 1e-11
        assert f"{solution.compression.atoms} eigenvalues" in repr(solution)
    whole = solution.uncompressed
    assert whole.compression is None
    assert whole is solution.uncompressed
    for rule in (None, rf.WeightAverage(300.0), rf.GradientFlow(weight_decay=0.01)):
        a, b = whole.learning_curves(TAU, rule), solution.learning_curves(TAU, rule)
        assert b.model == model
        assert apart(a, b) <= 1.0


@pytest.mark.compiled
def test_a_wrong_quadrature_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is wrong by itself has another error; one of another law misses the curves."""
    rule = JacobiMatrix.rule
    model = rf.ScoreModel(0.05, 12.0, 3.0, "tanh", wide_laws()["outliers"])
    assert rf.solve(model).compression is not None

    def moved(self: JacobiMatrix, n: int) -> tuple[np.ndarray, np.ndarray]:
        nodes, weights = rule(self, n)
        return nodes * (1.0 + 1e-9 * np.cos(np.arange(n))), weights

    monkeypatch.setattr(JacobiMatrix, "rule", moved)
    assert rf.solve(model).compression is None

    def without_an_outlier(self: JacobiMatrix, n: int) -> tuple[np.ndarray, np.ndarray]:
        nodes, weights = rule(self, n)
        return nodes[:-1], weights[:-1] / weights[:-1].sum()

    monkeypatch.setattr(JacobiMatrix, "rule", without_an_outlier)
    fewer = rf.solve(model, 1e-2, compress=True)
    whole = fewer.uncompressed
    assert fewer is whole or apart(*(one.learning_curves(TAU) for one in (whole, fewer))) > 100.0


def test_not_compressed() -> None:
    law = wide_laws()["clusters"]
    model = rf.ScoreModel(0.05, 12.0, 3.0, "tanh", law)
    assert rf.solve(model, compress=False).compression is None
    assert rf.solve(model, 5e-13).compression is None  # the rounding of the atoms is no tenth of it
    fewer = rf.ScoreModel(0.05, 12.0, 3.0, "tanh", rf.Covariance(law.eigenvalues[:900]))
    assert rf.solve(fewer).compression is None
    with pytest.raises(rf.ModelError, match="compress"):
        rf.solve(model, compress=1)  # type: ignore[arg-type]


@pytest.mark.compiled
def test_what_a_quadrature_is_no_use_for_is_solved_in_full() -> None:
    """Other contours, on which its error is not known, and the noise of SGD."""
    model = rf.ScoreModel(0.05, 12.0, 3.0, "tanh", wide_laws()["isolated"])
    fewer, whole = rf.solve(model), rf.solve(model, compress=False)
    step = 1.0 / (model.rate * whole.spectrum.ends[1])
    steps = np.array([1, 100, 10_000])
    for rule in (rf.GradientDescent(step), rf.HeavyBall(step, momentum=0.9)):
        times = rule.times(steps)
        assert fewer.learning_curves(times, rule) == whole.learning_curves(times, rule)
    sgd = rf.StochasticGradientDescent(0.1)
    assert fewer.learning_curves([1.0, 100.0], sgd) == whole.learning_curves([1.0, 100.0], sgd)


def test_what_is_stated_stays() -> None:
    """Spectrum and stability limit are those of the model, not of the quadrature."""
    model = rf.ScoreModel(0.1, 6.0, 3.0, "tanh", laws()["outlier"])
    fewer = rf.solve(model, compress=True)
    assert fewer.model == model
    assert_allclose(fewer.spectrum.ends, rf.spectrum(model).ends, rtol=1e-14)
    top = fewer.spectrum.ends[1]
    limit = 2.0 / (model.rate * top)
    fewer.learning_curves(10.0 * limit * 0.999, rf.GradientDescent(step=0.999 * limit))
    with pytest.raises(rf.ModelError, match="diverges"):
        fewer.learning_curves(10.0 * limit, rf.GradientDescent(step=1.001 * limit))


def test_nothing_to_compress() -> None:
    solution = rf.solve(rf.ScoreModel(0.1, 6.0, 3.0), compress=True)
    assert solution.compression is None


def test_a_mixture_is_refused() -> None:
    mix = rf.Mixture([0.5, 0.5], [[1.0, 2.0], [2.0, 1.0]])
    with pytest.raises(rf.ModelError, match="compress"):
        rf.solve(rf.ScoreModel(0.1, 6.0, 3.0, "tanh", mix), compress=True)


@pytest.mark.parametrize(("t", "psi_p", "psi_n"), [(0.1, 8, 4), (0.01, 64, 8), (1.0, 0.5, 3)])
def test_pairs_by_partial_fractions(t: float, psi_p: float, psi_n: float) -> None:
    """The two ways to the moments of pairs, to what a difference of neighbours loses."""
    nodes = rf.solve(rf.ScoreModel(t, psi_p, psi_n, "tanh", laws()["gamma"])).nodes
    atoms, points = nodes.pairs._over_atoms(), nodes.pairs._by_partial_fractions()
    for one, other, loses in zip(atoms[:2], points[:2], points[2:], strict=True):
        assert loses.max() < 1e3
        off = np.abs(one / other - 1.0)
        assert np.all(off < 200.0 * np.finfo(float).eps * loses)  # 46 to 52, by processor
        assert np.median(off) < 1e-14
