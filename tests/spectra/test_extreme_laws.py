"""Laws at extremes, and against matrices of finite size."""

import math

import numpy as np
import pytest

from dmft_rf import (
    Activation,
    Covariance,
    Mixture,
    ModelError,
    ScoreModel,
    Spectrum,
    resolvent,
    spectrum,
)
from tests.helpers.laws import ISO, MODELS, moments_of_U, points_off_the_axis
from tests.helpers.models import TWO, WIDE
from tests.helpers.plain import network

# v^2 is 1e-9: unknowns of groups differ by seven orders of magnitude
SLIGHTLY = Activation("x + 7e-5 sin 3 x", lambda x: x + 7e-5 * np.sin(3.0 * x))


class TestExtremes:
    @pytest.mark.parametrize("t", [1e-6, 0.01, 10.0])
    @pytest.mark.parametrize("psi_p", [0.05, 1.0, 1e4])
    @pytest.mark.parametrize("psi_n", [0.05, 1.0, 1e4])
    @pytest.mark.parametrize("activation", ["tanh", "linear"])
    def test_corners(self, t: float, psi_p: float, psi_n: float, activation: str) -> None:
        model = ScoreModel(t, psi_p, psi_n, activation, WIDE)
        law = spectrum(model)
        first, second = moments_of_U(model)
        assert law.mass == pytest.approx(1.0, abs=1e-10)
        assert law.moment(1) == pytest.approx(first, rel=1e-8)
        assert law.moment(2) == pytest.approx(second, rel=1e-8)
        # at t = 10 the lower bulk is narrower than the spacing of floats at s^2: its edges
        # coincide as numbers, and only their distances from s^2 tell them apart
        offsets = law.support.offsets.ravel()
        assert np.all(np.diff(offsets) > 0.0)
        assert np.all(np.diff(law.edges.ravel()) >= 0.0)

    @pytest.mark.parametrize(
        "model",
        [ScoreModel(0.1, psi_p, 4.0, "linear", TWO) for psi_p in (1.0 - 1e-9, 1.0, 1.0 + 1e-9)]
        # null directions of the sample covariance appear below psi_n = 1
        + [ScoreModel(0.05, 6.0, 1.0 + x, "tanh", TWO) for x in (-1e-3, -1e-12, 0.0, 1e-12, 1e-3)],
    )
    def test_around_a_change_of_rank(self, model: ScoreModel) -> None:
        law = spectrum(model)
        assert law.mass == pytest.approx(1.0, abs=1e-10)
        assert law.moment(2) == pytest.approx(moments_of_U(model)[1], rel=1e-8)

    def test_bad_points(self) -> None:
        model = MODELS["A_iso"]
        with pytest.raises(ModelError, match="lam"):
            spectrum(model).density([1.0, math.nan])
        with pytest.raises(ModelError, match="z holds"):
            resolvent(model, [1.0, math.inf])
        with pytest.raises(ModelError, match="moment order"):
            spectrum(model).moment(-1)
        with pytest.raises(ModelError, match="moment order"):
            spectrum(model).moment(0.5)

    def test_shapes(self) -> None:
        law = spectrum(MODELS["A_iso"])
        assert law.density(1.0).shape == ()
        assert law.density(np.ones((2, 3))).shape == (2, 3)
        assert law.density([]).shape == (0,)
        assert resolvent(MODELS["A_iso"], np.ones((2, 3)) * 1j).q.shape == (2, 3)
        assert resolvent(MODELS["A_iso"], 1j).q.shape == ()

    def test_order_of_points_does_not_matter(self) -> None:
        model = MODELS["C_paper"]
        rng = np.random.default_rng(0)
        z = points_off_the_axis(model)
        shuffled = rng.permutation(z.size)
        q = np.empty_like(z)
        q[shuffled] = resolvent(model, z[shuffled]).q
        np.testing.assert_allclose(q, resolvent(model, z).q, rtol=1e-13)


class TestFiniteMatrices:
    """Eigenvalues of one Gaussian-equivalent matrix against the law."""

    CASES = (
        (ScoreModel(0.1, 2.0, 1.0, "tanh", TWO), 160),
        (ScoreModel(0.1, 2.0, 4.0, "relu", TWO), 160),
        (ScoreModel(0.1, 6.0, 2.0, "tanh", ISO), 60),
        (ScoreModel(0.1, 0.5, 2.0, "softplus", TWO), 400),
        (ScoreModel(0.1, 2.0, 0.5, "tanh", WIDE), 200),
        (ScoreModel(0.05, 3.0, 2.0, "linear", WIDE), 100),
    )

    @pytest.mark.parametrize(("model", "d"), CASES)
    def test_kolmogorov_distance(self, model: ScoreModel, d: int) -> None:
        eigenvalues = network(model, d, seed=1).eigenvalues()
        law = spectrum(model)
        above, cumulative = distribution(law)
        empirical = (np.arange(eigenvalues.size) + 0.5) / eigenvalues.size
        # at an atom (of rounding width) only the two ends can be compared
        smooth = eigenvalues > model.coefficients.s2 + 1e-9
        distance = np.abs(empirical - np.interp(eigenvalues, above, cumulative))[smooth]
        # random-matrix eigenvalues are rigid: they stay within a few spacings (log N/N), not
        # within N^{-1/2} like independent ones; and within 1/d the law itself is the limit
        assert distance.max() <= 4.0 / d / min(model.psi_p, 1.0)
        assert distance.max() <= 0.5 / math.sqrt(eigenvalues.size)

    @pytest.mark.parametrize(
        ("model", "d"),
        [
            (ScoreModel(0.01, 16.0, 4.0, "tanh"), 30),
            (ScoreModel(0.01, 8.0, 24.0, "tanh"), 60),
            (ScoreModel(0.01, 12.0, 4.0, "relu", Covariance([0.01, 1.99], [0.5, 0.5])), 40),
            (ScoreModel(0.01, 8.0, 0.5, "tanh"), 50),
            (ScoreModel(0.05, 4.0, 3.0, "linear", Covariance([0.01, 1.99], [0.5, 0.5])), 60),
        ],
    )
    def test_exact_separation(self, model: ScoreModel, d: int) -> None:
        net = network(model, d, seed=3)
        eigenvalues = net.eigenvalues()
        law = spectrum(model)
        assert len(law.bulk_masses) >= 2
        edges = law.edges
        gaps = np.sqrt(edges[1:, 0] * edges[:-1, 1])
        counts = [np.count_nonzero(eigenvalues > gap) for gap in gaps]
        masses = np.cumsum(law.bulk_masses[::-1])[::-1][1:] * net.p
        np.testing.assert_allclose(masses, np.rint(masses), atol=1e-6)
        np.testing.assert_array_equal(counts, np.rint(masses))
        at_atom = np.count_nonzero(eigenvalues < model.coefficients.s2 + 1e-9)
        assert at_atom == round(law.atoms[:, 1].sum() * net.p)


def distribution(law: Spectrum) -> tuple[np.ndarray, np.ndarray]:
    """Points and the cumulative distribution of the law there."""
    points, values = [], []
    start = law.atoms[:, 1].sum()
    for (low, high), mass in zip(law.edges, law.bulk_masses, strict=True):
        theta = np.linspace(0.0, math.pi, 4001)
        half = 0.5 * math.log(high / low) if low > 0.0 else 0.5 * (high - low)
        if low > 0.0:
            x = math.sqrt(low * high) * np.exp(-half * np.cos(theta))
            slope = x * half * np.sin(theta)
        else:
            x = low + half * (1.0 - np.cos(theta))
            slope = half * np.sin(theta)
        height = np.zeros_like(x)
        height[1:-1] = law.density(x[1:-1]) * slope[1:-1]
        steps = 0.5 * (height[1:] + height[:-1]) * (theta[1] - theta[0])
        share = np.concatenate([[0.0], np.cumsum(steps)])
        assert share[-1] == pytest.approx(mass, rel=2e-3)  # the trapezoid at a hard edge
        points.append(x)
        values.append(start + share * mass / share[-1])
        start += mass
    return np.concatenate(points), np.concatenate(values)


@pytest.mark.parametrize(
    "model",
    [
        ScoreModel(4e-6, 0.66, 0.1, "softplus", Mixture([0.3, 0.7], [[0.4, 1.2], [2.5, 2.5]]), 12),
        ScoreModel(4e-6, 0.66, 0.1, SLIGHTLY, Mixture([0.3, 0.7], [[0.4, 1.2], [2.5, 2.5]]), 12),
        ScoreModel(4e-6, 0.66, 0.1, SLIGHTLY, Covariance([0.4, 1.2])),
    ],
    ids=["groups", "groups, almost linear", "one group, almost linear"],
)
def test_slopes_keep_their_digits_where_the_unknowns_differ(model: ScoreModel) -> None:
    """dk/dz by Cauchy's formula on circles: 32 points leave 0.4^32 of the series."""
    z = np.logspace(-8.0, 2.0, 21) * (1.0 + 1.0j)
    ring = np.exp(2j * np.pi * (np.arange(32) + 0.5) / 32)
    radius = 0.4 * z.imag
    k = resolvent(model, z[:, None] + radius[:, None] * ring).k
    slope = (k * ring.conj()).mean(axis=1) / radius
    assert np.max(np.abs(resolvent(model, z).dk / slope - 1.0)) < 1e-12


@pytest.mark.parametrize("power", [-20, -6, 20])
@pytest.mark.parametrize("draws", [math.inf, 3])
def test_the_law_of_c_sigma_is_that_of_sigma_times_c_squared(power: int, draws: float) -> None:
    c = 10.0**power

    def law(factor: float) -> Spectrum:
        activation = Activation("c tanh", lambda x: factor * np.tanh(x))
        return spectrum(ScoreModel(0.05, 6.0, 3.0, activation, Covariance([0.1, 1.5]), draws))

    one, other = law(1.0), law(c)
    np.testing.assert_allclose(other.edges / c**2, one.edges, rtol=1e-13)
    np.testing.assert_allclose(other.bulk_masses, one.bulk_masses, rtol=1e-13)
    np.testing.assert_allclose(other.moment(2) / c**4, one.moment(2), rtol=1e-12)
