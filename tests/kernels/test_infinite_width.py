"""The equations of infinite width against dense algebra, drawn samples and the contour in k."""

import numpy as np
import pytest

from dmft_rf.kernels.infinite_width import effective_ridges, modes, seen_from, variances
from dmft_rf.numerics.contour import half_plane_contour
from dmft_rf.spectra.sample_law import SampleLaw

# psi_n, eigenvalues, weights: one bulk, two that nearly touch, two that are split, an atom, zeros
LAWS = {
    "isotropic": (4.0, [1.0], [1.0]),
    "near": (3.0, [0.5, 1.5], [0.5, 0.5]),
    "split": (8.0, [0.1, 4.0], [0.7, 0.3]),
    "few samples": (0.5, [0.2, 1.8], [0.5, 0.5]),
    "zeros": (2.0, [0.0, 1.0, 3.0], [0.3, 0.4, 0.3]),
    "decades": (6.0, [1e-4, 1e-2, 1.0, 30.0], [0.2, 0.3, 0.3, 0.2]),
}


@pytest.fixture(params=LAWS)
def law(request: pytest.FixtureRequest) -> SampleLaw:
    psi_n, lam, w = LAWS[request.param]
    return SampleLaw(psi_n, np.array(lam), np.array(w))


@pytest.mark.parametrize(("b2", "vn", "gamma2"), [(0.3, 0.1, 0.5), (0.02, 0.4, 1.0), (0.2, 0, 1)])
def test_modes_are_the_eigenvalues_of_two_by_two_blocks(
    b2: float, vn: float, gamma2: float
) -> None:
    for x in (0.0, 1e-9, 0.05, 0.7, 40.0):
        off = np.sqrt(gamma2 * vn * x)
        values, vectors = np.linalg.eigh([[b2 + gamma2 * x, off], [off, vn]])
        got = modes(np.array([x + 0j]), b2, vn, gamma2)[:, 0]
        expected = [values[1], values[0], vectors[0, 1] ** 2, vectors[0, 0] ** 2]
        np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-16)


def test_modes_keep_the_digits_of_a_small_share() -> None:
    """w_+ of the mode k_+ close to v_n and w_- of the mode close to it fall like x."""
    x = 1e-14
    top = modes(np.array([x + 0j]), 0.02, 0.4, 1.0)[2, 0]
    low = modes(np.array([x + 0j]), 0.4, 0.02, 1.0)[3, 0]
    first_order = 0.4 * x / 0.38**2, 0.02 * x / 0.38**2
    assert top.real == pytest.approx(first_order[0], rel=1e-12)
    assert low.real == pytest.approx(first_order[1], rel=1e-12)


def test_both_modes_stay_right_of_the_border() -> None:
    b2, vn, gamma2 = 0.3, 0.1, 0.5
    border = -(b2 + vn) / gamma2
    heights = np.geomspace(1e-3, 1e3, 40) * 1j
    inside = modes(border + 1e-6 + heights, b2, vn, gamma2)[:2]
    outside = modes(border - 1e-6 + heights, b2, vn, gamma2)[:2]
    assert (inside.real > 0.0).all()
    assert not (outside.real > 0.0).all()


def test_ridges_solve_their_equation(law: SampleLaw) -> None:
    generator = np.random.default_rng(1)
    x = generator.uniform(-2.0, 9.0, 60) + 1j * np.exp(generator.uniform(-12.0, 3.0, 60))
    kappa = effective_ridges(x, law.psi_n, law.lam, law.w)
    ell = (law.lam / (law.lam + kappa[:, None])) @ law.w
    np.testing.assert_allclose(kappa * (1.0 - ell / law.psi_n), -x, rtol=1e-11)
    # a Stieltjes transform: positive imaginary part for every eigenvalue of Sigma
    assert (seen_from(x, kappa, law.lam).imag > 0.0).all()


def test_moments_of_the_law(law: SampleLaw) -> None:
    """Mass 1, <lambda>, and <lambda^2> + <lambda>^2/psi_n, from each eigenspace of Sigma."""
    low, high = law.ends
    contour = half_plane_contour(low + 1.0, high + 1.0, 60)
    x = contour.z - 1.0
    weights = law.seen(x) * contour.weights
    mean = float(law.w @ law.lam)
    moments = [2.0 * (weights @ x**power).real for power in (0, 1, 2)]
    np.testing.assert_allclose(moments[0], 1.0, rtol=1e-12)
    np.testing.assert_allclose(moments[1], law.lam, rtol=1e-11, atol=1e-13 * high)
    second = law.lam**2 + law.lam * mean / law.psi_n
    np.testing.assert_allclose(moments[2], second, rtol=1e-11, atol=1e-13 * high**2)


def test_density_and_atom_have_the_same_integrals(law: SampleLaw) -> None:
    x, weights = law.on_axis
    assert (weights >= 0.0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-9)
    np.testing.assert_allclose(weights @ x, law.lam, rtol=1e-9)
    low, high = law.ends
    contour = half_plane_contour(low + 0.3, high + 0.3, 60)
    there = contour.z - 0.3
    around = 2.0 * ((law.seen(there) * contour.weights) @ np.sqrt(there + 0.5)).real
    np.testing.assert_allclose(weights @ np.sqrt(x + 0.5), around, rtol=1e-9)


def test_edges_and_atom_of_marchenko_and_pastur() -> None:
    for psi_n in (0.25, 4.0, 100.0):
        law = SampleLaw(psi_n, np.array([2.0]), np.array([1.0]))
        roots = [2.0 * (1.0 + sign / np.sqrt(psi_n)) ** 2 for sign in (-1.0, 1.0)]
        np.testing.assert_allclose(law.edges, [roots], rtol=1e-12)
        assert law.atoms[0] == pytest.approx(max(0.0, 1.0 - psi_n), abs=1e-14)


def test_drawn_samples_have_this_law() -> None:
    """Averages over one draw of 600 dimensions, which fluctuate by 1/d."""
    psi_n, lam, w = LAWS["few samples"]
    law = SampleLaw(psi_n, np.array(lam), np.array(w))
    d = 600
    generator = np.random.default_rng(7)
    sigma = np.repeat(lam, d // 2)
    X = np.sqrt(sigma)[:, None] * generator.standard_normal((d, int(psi_n * d)))
    values, vectors = np.linalg.eigh(X @ X.T / X.shape[1])
    function = 1.0 / (np.maximum(values, 0.0) + 0.4)
    seen = ((vectors**2 * function).sum(axis=1)).reshape(2, -1).mean(axis=1)
    x, weights = law.on_axis
    np.testing.assert_allclose(weights @ (1.0 / (x + 0.4)), seen, atol=10.0 / d)


def test_support_of_the_kernel_at_infinite_width() -> None:
    law = SampleLaw(4.0, np.array([1.0]), np.array([1.0]))
    b2, v2, gamma2 = 0.07, 0.012, 0.3
    found = law.kernel(b2, v2, gamma2)
    assert found.edges.shape == (2, 2)
    # k_+ k_- = b^2 v_n pairs the upper edge of one family with the lower edge of the other
    np.testing.assert_allclose(found.edges[0, ::-1] * found.edges[1], b2 * v2 / 4.0, rtol=1e-12)
    np.testing.assert_array_equal(found.learning_bulks, [False, True])
    np.testing.assert_allclose(found.masses, 1.0)
    np.testing.assert_allclose(found.atoms, [[v2 / 4.0, 3.0]])
    # as many eigenvalues as K has rows, and its trace
    x, weights = law.on_axis
    k = modes(x.astype(complex), b2, v2 / 4.0, gamma2).real[:2]
    trace = float((law.w @ weights) @ k.sum(axis=0)) + 3.0 * v2 / 4.0
    assert found.masses.sum() + found.atoms[:, 1].sum() == pytest.approx(1.0 + 4.0)
    assert trace == pytest.approx(b2 + gamma2 + v2, rel=1e-12)
    few = SampleLaw(0.5, np.array([1.0]), np.array([1.0])).kernel(b2, v2, gamma2)
    np.testing.assert_allclose(few.atoms, [[b2, 0.5]])
    assert SampleLaw(2.0, np.array([1.0]), np.array([1.0])).kernel(b2, 0.0, gamma2).edges.shape == (
        1,
        2,
    )


def test_the_two_point_function_of_the_sample_is_the_variance_of_a_one_point_integral(
    law: SampleLaw,
) -> None:
    """Twice around the spectrum of K against once around that of C, for a late filter."""
    b2, vn, gamma2, q0, q1 = 0.2, 0.05, 0.6, 0.3, 0.7

    def h(k: np.ndarray) -> np.ndarray:
        return -np.expm1(-20.0 * k) / k

    x, seen = law.on_axis
    k = modes(x.astype(complex), b2, vn, gamma2).real
    M = (k[2:] * h(k[:2])).sum(axis=0)
    Q = law.w * (q0 + q1 * law.lam)
    expected = Q @ (seen @ M**2 - (seen @ M) ** 2)
    edges = law.kernel(b2, vn * law.psi_n, gamma2)
    places = np.append(edges.edges.ravel(), edges.atoms[:, 0])
    contour = half_plane_contour(places.min(), places.max(), 80)
    z = contour.z
    c = (z - b2) * (z - vn) / (gamma2 * z)
    upper = np.where(c.imag >= 0.0, c, c.conj())
    kappa = law.ridges(upper)
    kappa = np.where(c.imag >= 0.0, kappa, kappa.conj())
    E = kappa * gamma2 / (b2 - z)
    r = 1.0 / (b2 - z[:, None] + gamma2 / E[:, None] * law.lam)
    args = law.lam, law.w, q0, q1, law.psi_n, gamma2
    u = contour.weights * h(z)
    found = 2.0 * (
        u @ variances(r, E, r, E, *args) @ u
        + u @ variances(r, E, r.conj(), E.conj(), *args) @ u.conj()
    )
    assert found.real == pytest.approx(expected, rel=1e-8)
