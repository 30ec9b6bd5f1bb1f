"""The spectral law of the data: its domain, its moments, and its estimation from samples."""

import copy
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmft_rf.errors import ModelError
from dmft_rf.model.covariance import MAX_ATOMS, Covariance, SampleSizeWarning

LAW = Covariance([4.0, 1.0], [0.25, 0.75])


# Construction --------------------------------------------------------------------------------


def test_atoms_are_sorted_merged_and_dropped():
    law = Covariance([3, 0, 3, 1, 7], [0.25, 0.25, 0.25, 0.25, 0.0])
    assert law.eigenvalues.tolist() == [0.0, 1.0, 3.0]
    assert law.weights.tolist() == [0.25, 0.25, 0.5]
    assert law.eigenvalues.dtype == law.weights.dtype == np.float64


def test_equal_weights_by_default():
    assert Covariance([2.0, 1.0, 2.0, 5.0]) == Covariance([1, 2, 5], [0.25, 0.5, 0.25])


def test_minus_zero_is_zero():
    law = Covariance([-0.0, 1.0])
    assert law == Covariance([0.0, 1.0])
    assert hash(law) == hash(Covariance([0.0, 1.0]))
    assert not np.signbit(law.eigenvalues[0])


@given(
    st.lists(
        st.tuples(st.floats(0, 1e6), st.just(0.0) | st.floats(1e-9, 1)), min_size=1, max_size=40
    ).filter(lambda atoms: sum(w for lam, w in atoms if lam > 1e-100) > 1e-3)
)
@settings(max_examples=200, deadline=None)
def test_construction_keeps_the_law(atoms):
    lam, w = np.array(atoms).T
    w = w / w.sum()
    law = Covariance(lam, w)
    assert np.all(np.diff(law.eigenvalues) > 0)
    assert np.all(law.weights > 0)
    assert math.fsum(law.weights) == 1.0
    assert law.mean == pytest.approx(w @ lam, rel=1e-12)
    assert law.second_moment == pytest.approx(w @ lam**2, rel=1e-12)
    assert 0 < law.effective_dimension_ratio <= 1  # Cauchy-Schwarz
    # Order and splitting of atoms do not matter, and a law rebuilds itself bit by bit.
    again = Covariance(law.eigenvalues, law.weights)
    assert again == law
    assert hash(again) == hash(law)
    split = Covariance(np.tile(lam[::-1], 2), np.tile(w[::-1] / 2, 2))
    assert np.array_equal(split.eigenvalues, law.eigenvalues)
    np.testing.assert_allclose(split.weights, law.weights, rtol=1e-14)


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=20), st.floats(1e-3, 1e3))
@settings(max_examples=100, deadline=None)
def test_scaling(lam, factor):
    law = Covariance(lam, dimension=50)
    scaled = law.scaled(factor)
    assert scaled.mean == pytest.approx(factor * law.mean, rel=1e-12)
    assert scaled.effective_dimension == pytest.approx(law.effective_dimension, rel=1e-12)
    assert scaled.dimension == 50
    assert law.normalized().mean == pytest.approx(1, rel=1e-14)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "empty"),
        (([1.0, -1e-3],), "entry 1 is -0.001"),
        (([1.0, math.nan],), "entry 1 is nan"),
        (([1.0, math.inf],), "entry 1 is inf"),
        (([0.0, 0.0],), "not all be 0"),
        (([0.0, 1.0], [1.0, 0.0]), "not all be 0"),
        (([1.0 + 1j],), "real numbers"),
        ((["a"],), "real numbers"),
        (([True],), "real numbers"),
        ((None,), "real numbers"),
        (([[1.0], [1.0, 2.0]],), "list of numbers"),
        ((np.eye(2),), "from_matrix"),
        ((1.0,), "one-dimensional"),
        (([1e200],), "rescale"),
        (([1e-200],), "rescale"),
        (([1.0, 2.0], [1.0]), "2 eigenvalues cannot have 1 weights"),
        (([1.0, 2.0], [0.5, 0.6]), "sum to 1"),
        (([1.0, 2.0], [0.5, 0.5 + 2e-9]), "sum to 1"),
        (([1.0, 2.0], [1e308, 1e308]), "sum to 1"),
        (([1.0, 2.0], [1.5, -0.5]), "weights must be finite and >= 0"),
        (([1.0, 2.0], [math.nan, 1.0]), "weights must be finite"),
        ((np.arange(MAX_ATOMS + 1),), "bin them"),
    ],
)
def test_domain(arguments, message):
    with pytest.raises(ModelError, match=message):
        Covariance(*arguments)


@pytest.mark.parametrize(
    "keywords",
    [{"dimension": 0}, {"dimension": 2.0}, {"samples": -1}, {"samples": True}, {"label": 3}],
)
def test_domain_of_what_it_remembers(keywords):
    with pytest.raises(ModelError, match=next(iter(keywords))):
        Covariance([1.0], **keywords)


def test_weights_within_tolerance_are_normalised():
    law = Covariance([1.0, 2.0], [0.5, 0.5 + 5e-10])
    assert math.fsum(law.weights) == 1.0


def test_many_equal_eigenvalues_are_one_atom():
    assert Covariance(np.ones(3 * MAX_ATOMS)) == Covariance.isotropic()


# Frozen, hashable, portable ------------------------------------------------------------------


@pytest.mark.parametrize(
    "clone", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_clones(clone):
    law = Covariance([1.0, 3.0, 9.0], [0.2, 0.3, 0.5], label="mine", dimension=10, samples=70)
    other = clone(law)
    assert other == law
    assert hash(other) == hash(law)
    assert (other.label, other.dimension, other.samples) == ("mine", 10, 70)
    assert not other.eigenvalues.flags.writeable
    assert not other.weights.flags.writeable


def test_equality_is_by_content():
    assert Covariance([1.0, 2.0], label="a", samples=5) == Covariance([2.0, 1.0], label="b")
    assert Covariance([1.0, 2.0]) != Covariance([1.0, 2.0], dimension=2)
    assert Covariance([1.0, 2.0]) != Covariance([1.0, 2.0], [0.4, 0.6])
    assert Covariance([1.0]) != [1.0]
    assert len({Covariance([1.0, 2.0]), Covariance([2.0, 1.0]), Covariance.isotropic()}) == 2


def test_repr_and_summary():
    law = Covariance([0.0, 1.0, 4.0], [0.5, 0.25, 0.25], dimension=100)
    assert repr(law) == "<Covariance '3 eigenvalues': atoms=3, mean=1.25, d=100>"
    assert law.summary() == {
        "label": "3 eigenvalues",
        "atoms": 3,
        "mean": 1.25,
        "min": 0.0,
        "max": 4.0,
        "zero_weight": 0.5,
        "d": 100,
        "samples": None,
        "d_eff": pytest.approx(100 * 1.25**2 / 4.25),
        "expected_error": pytest.approx(4.25 / (100 * 1.25**2)),
    }
    assert Covariance.isotropic().summary()["expected_error"] is None
    assert Covariance.isotropic().summary()["zero_weight"] == 0.0


# Named laws ----------------------------------------------------------------------------------


def test_isotropic():
    law = Covariance.isotropic(2.5)
    assert law.is_isotropic
    assert law.mean == 2.5
    assert law.effective_dimension_ratio == 1.0
    assert law.effective_dimension is None
    assert law.label == "isotropic"
    for bad in (0.0, -1.0, math.nan, "x", None):
        with pytest.raises(ModelError, match="scale"):
            Covariance.isotropic(bad)


def test_effective_dimension_is_the_trace_ratio():
    matrix = np.diag([1.0, 1.0, 3.0])
    law = Covariance.from_matrix(matrix)
    assert law.effective_dimension == pytest.approx(
        np.trace(matrix) ** 2 / np.trace(matrix @ matrix), rel=1e-14
    )
    # Repeating a spectrum multiplies the effective dimension.
    twice = Covariance.from_matrix(np.kron(np.eye(2), matrix))
    assert twice.effective_dimension == pytest.approx(2 * law.effective_dimension, rel=1e-14)


def test_effective_dimension_is_the_fluctuation_of_the_norm():
    # Var(|x|^2) / E(|x|^2)^2 = 2 / d_eff for Gaussian x: what makes 1/d_eff the error.
    law = Covariance.power_law(1.0, 64)
    x2 = np.random.default_rng(0).standard_normal((200_000, 64)) ** 2 @ law.eigenvalues
    ratio = x2.var() / x2.mean() ** 2
    assert ratio == pytest.approx(2 / law.effective_dimension, rel=0.03)  # 5 standard errors
    assert law.expected_finite_size_error == pytest.approx(1 / law.effective_dimension)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_power_law(exponent):
    law = Covariance.power_law(exponent, 100, mean=3.0)
    assert law.mean == pytest.approx(3.0, rel=1e-14)
    assert law.dimension == law.n_atoms == 100
    k = np.arange(1, 101)
    slope = np.polyfit(np.log(k), np.log(law.eigenvalues[::-1]), 1)[0]
    assert slope == pytest.approx(-exponent, rel=1e-10)


def test_power_law_limits():
    assert Covariance.power_law(0.0, 30) == Covariance([1.0], dimension=30)
    # d_eff of lambda = k^-2 at d -> infinity: zeta(2)^2 / zeta(4) = 5/2.
    assert Covariance.power_law(2.0, MAX_ATOMS).effective_dimension == pytest.approx(2.5, rel=1e-3)
    for arguments, message in [
        ((-1.0,), "exponent"),
        ((math.inf,), "exponent"),
        ((1.0, 0), "atoms"),
        ((1.0, 2.5), "atoms"),
        ((1.0, MAX_ATOMS + 1), "atoms"),
        ((200.0, 256), "underflows"),
    ]:
        with pytest.raises(ModelError, match=message):
            Covariance.power_law(*arguments)
    with pytest.raises(ModelError, match="mean"):
        Covariance.power_law(1.0, mean=0.0)
    with pytest.raises(ModelError, match="finite"):
        Covariance.isotropic(1e100).scaled(1e300)


# Matrices ------------------------------------------------------------------------------------


def test_matrix_of_known_spectrum():
    rng = np.random.default_rng(1)
    lam = np.sort(rng.uniform(0.1, 3.0, 40))
    q = np.linalg.qr(rng.standard_normal((40, 40)))[0]
    law = Covariance.from_matrix(q @ np.diag(lam) @ q.T)
    np.testing.assert_allclose(law.eigenvalues, lam, rtol=1e-12)
    assert (law.dimension, law.samples, law.label) == (40, None, "matrix, d = 40")


def test_matrix_of_low_rank_has_exact_zeros():
    x = np.random.default_rng(2).standard_normal((5, 60))
    law = Covariance.from_matrix(x.T @ x)
    assert law.eigenvalues[0] == 0.0
    assert law.weights[0] == pytest.approx(55 / 60, rel=1e-14)
    assert law.n_atoms == 6


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones((2, 3)), "square"),
        (np.ones(3), "two-dimensional"),
        (np.array([[1.0, 0.5], [0.4, 1.0]]), "symmetric"),
        (np.array([[1.0, 2.0], [2.0, 1.0]]), "positive semi-definite"),
        (-np.eye(2), "positive semi-definite"),
        (np.array([[1.0, math.nan], [math.nan, 1.0]]), "finite"),
        (np.eye(2) * 1e200, "below"),
        (np.eye(2) + 0j, "real"),
        (np.zeros((2, 2)), "not all be 0"),
        (np.zeros((0, 0)), "at least one column"),
        (np.broadcast_to(1.0, (4097, 4097)), "4096"),
        ([[1.0], [1.0, 2.0]], "equal length"),
    ],
)
def test_matrix_domain(matrix, message):
    with pytest.raises(ModelError, match=message):
        Covariance.from_matrix(matrix)


def test_rounding_of_a_matrix_is_forgiven():
    tilted = np.diag([1.0, -1e-12]) + np.array([[0.0, 1e-10], [0.0, 0.0]])
    assert Covariance.from_matrix(tilted).eigenvalues.tolist() == [0.0, 1.0]


# Samples -------------------------------------------------------------------------------------


@pytest.mark.parametrize("center", [True, False])
def test_samples_against_numpy(center):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((500, 20)) @ rng.standard_normal((20, 20)) + 3.0
    law = Covariance.from_samples(x, center=center)
    matrix = np.cov(x.T) if center else x.T @ x / 500
    np.testing.assert_allclose(law.eigenvalues, np.linalg.eigvalsh(matrix), rtol=1e-10)
    assert (law.dimension, law.samples) == (20, 500)


def test_images_are_rows():
    x = np.random.default_rng(8).integers(0, 256, (300, 2, 3, 3), dtype=np.uint8)
    law = Covariance.from_samples(x)
    assert law == Covariance.from_samples(x.reshape(300, 18).astype(float))
    np.testing.assert_allclose(law.eigenvalues, np.linalg.eigvalsh(np.cov(x.reshape(300, 18).T)))
    assert (law.dimension, law.samples) == (18, 300)
    # colours first or last are the same numbers in another order
    first = Covariance.from_samples(np.moveaxis(x, -1, 1))
    np.testing.assert_allclose(first.eigenvalues, law.eigenvalues, rtol=1e-10)


def test_few_samples_warn_and_leave_exact_zeros():
    x = np.random.default_rng(5).standard_normal((20, 50))
    with pytest.warns(SampleSizeWarning, match=r"sqrt\(d/n\) = 1.58.*500 samples") as caught:
        law = Covariance.from_samples(x)
    assert caught[0].filename == __file__
    assert law.weights[0] == pytest.approx(31 / 50, rel=1e-14)  # rank n - 1 = 19
    assert law.eigenvalues[0] == 0.0
    with pytest.warns(SampleSizeWarning):
        assert Covariance.from_samples(x, center=False).weights[0] == pytest.approx(30 / 50)


def test_warned_spread_is_the_one_of_marchenko_pastur():
    x = np.random.default_rng(6).standard_normal((1200, 300))
    with pytest.warns(SampleSizeWarning, match=r"0.50, an eigenvalue l over 0.25 l to 2.25 l"):
        law = Covariance.from_samples(x)
    assert law.eigenvalues[[0, -1]] == pytest.approx([0.25, 2.25], rel=0.05)  # edge ~ d^(-2/3)


def test_dependent_and_constant_columns_give_exact_zeros():
    x = np.random.default_rng(7).standard_normal((200, 3)) + 1e3
    x = np.column_stack([x, x[:, 0] + x[:, 1], np.full(200, 0.1)])
    law = Covariance.from_samples(x)
    assert law.eigenvalues[0] == 0.0
    assert law.weights[0] == pytest.approx(2 / 5)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.ones((1, 3)), "at least 2"),
        (np.ones((0, 3)), "at least 2"),
        (np.ones((3, 0)), "one column"),
        (np.ones(3), "two-dimensional"),
        (np.ones((3, 2, 2)), "zero covariance"),
        (np.ones((2, 65, 64)), "4160, at most 4096"),
        (np.full((5, 2), 0.1), "zero covariance"),
        (np.array([[1.0, 2.0], [3.0, math.nan], [0.0, 1.0]]), "row 2, column 2"),
        (np.array([[1.0, 2.0], [3.0, 1.0], [-math.inf, 1.0]]), "row 3, column 1"),
        (np.array([["a"], ["b"]]), "real numbers"),
        (np.array([[1j], [2.0]]), "real numbers"),
        ([[1.0, 2.0], [3.0]], "equal length"),
        (np.ma.masked_greater(np.arange(6.0).reshape(3, 2), 4), "masked"),
        (np.array([[1e300], [-1e300], [1.0]]), "overflows"),
        (np.ones((2, 4097)), "4097, at most 4096"),
    ],
)
def test_samples_domain(samples, message):
    with pytest.raises(ModelError, match=message):
        Covariance.from_samples(samples)
