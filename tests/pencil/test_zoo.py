"""Every pencil of the zoo against a closed form or the algebraic equation of free probability."""

import itertools
import math

import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose

from dmft_rf import Covariance
from dmft_rf.errors import ModelError
from dmft_rf.pencil import Gaussian, inverse, linearize, wigner, zoo
from dmft_rf.pencil.readings import Regression
from dmft_rf.pencil.spectrum import PencilSpectrum
from dmft_rf.pencil.system import System

WIDE = Covariance([0.1, 1.0, 4.0], [0.5, 0.3, 0.2])


def ridge_hat() -> System:
    """B^T (B B^T + 1/10)^{-1} B: rational, and with scalars that are equal only at one point."""
    B = Gaussian("B", "p", "n", per="n")
    return linearize(B.T * inverse(B * B.T + 0.1) * B, {"n": 1.0, "p": 0.4}).bind()


SYSTEMS = {
    "semicircle": lambda: zoo.semicircle().bind(),
    "anticommutator": lambda: zoo.anticommutator().bind(),
    "sample covariance": lambda: zoo.sample_covariance().bind(WIDE, psi_n=0.4),
    "deformed": lambda: zoo.deformed_covariance().bind(WIDE, psi_n=0.3, noise=0.2),
    "sum": lambda: zoo.wishart_sum().bind(psi_1=0.4, psi_2=3.0),
    "product": lambda: zoo.wishart_product().bind(psi_1=2.0, psi_2=0.7),
    "ridge hat": ridge_hat,
    "regression": lambda: zoo.regression().bind(WIDE, psi_p=2.0, psi_n=0.8, mu=0.9, nu=0.3),
}
Z = np.array([0.3 + 0.5j, -1.0 + 0.01j, 2.0 - 0.3j, 0.7, 40.0, -30.0])


@pytest.fixture(params=SYSTEMS.values(), ids=SYSTEMS.keys(), scope="module")
def system(request: pytest.FixtureRequest) -> System:
    return request.param()


@pytest.fixture(scope="module")
def law(system: System) -> PencilSpectrum:
    return system.spectrum()


# -- what every law obeys -----------------------------------------------------------------------


def test_resolvent_is_a_stieltjes_transform(system: System) -> None:
    q = system.solve(Z).q
    # outside the support rounding decides the sign of zero
    assert np.all(q.imag * np.where(Z.imag < 0.0, -1.0, 1.0) >= -1e-16)
    assert_allclose(system.solve(Z.conj()).q[:3], q[:3].conj(), rtol=1e-14)
    far = np.array([1e7j])
    assert_allclose(-far * system.solve(far).q, 1.0, rtol=1e-6)


def test_resolvent_identity(system: System) -> None:
    """(1/N) Tr R(z_1) R(z_2) = (q_1 - q_2)/(z_1 - z_2): the two-point function knows the other."""
    u = system.pencil.resolvent
    points = system.solve(Z)
    T = points.two_point(points, {(u, u): 1.0}, {(u, u): 1.0})
    q = points.q
    size = float((points.trace(u, u) / q)[0].real)
    for i in range(Z.size):
        for j in range(Z.size):
            if i != j:
                expected = (q[i] - q[j]) / (Z[i] - Z[j])
                # a difference of two numbers that agree to a few digits
                assert_allclose(T[i, j] / size, expected, rtol=1e-12, atol=1e-14 * abs(q[i]))


def test_masses(law: PencilSpectrum) -> None:
    assert_allclose(law.bulk_masses.sum() + law.atoms[:, 1].sum(), 1.0, rtol=1e-14)
    assert_allclose(law.mass, 1.0, rtol=1e-12)
    assert law.mass_error < 1e-12
    assert abs(law.mass - 1.0) <= law.mass_error
    assert np.all(np.diff(law.edges.ravel()) > 0.0)


def test_moments_are_those_of_the_resolvent(law: PencilSpectrum) -> None:
    """q(z) = integral of rho/(lambda - z), at points where the integrand is smooth."""
    z = np.array([-3.0 * law.edges[-1, 1], 2.0j * law.edges[-1, 1]])
    q = law.system.solve(z).q
    for point, value in zip(z, q, strict=True):
        real = law.integrate(lambda x, p=point: (1.0 / (x - p)).real)
        imaginary = law.integrate(lambda x, p=point: (1.0 / (x - p)).imag)
        assert_allclose(complex(real, imaginary), value, rtol=1e-11)


def test_edges_are_edges(law: PencilSpectrum) -> None:
    for low, high in law.edges:
        width = high - low
        for edge, inward in ((low, 1.0), (high, -1.0)):
            near = law.density(edge + inward * np.array([1e-8, 4e-8]) * width)
            assert np.all(near > 0.0)
            if math.isfinite(law.density(edge)):  # a square root
                assert_allclose(near[1] / near[0], 2.0, rtol=1e-3)
            assert law.density(edge - inward * 1e-8 * width) == 0.0


# -- closed forms -------------------------------------------------------------------------------


def test_semicircle() -> None:
    system = zoo.semicircle().bind()
    root = np.sqrt(Z - 2.0) * np.sqrt(Z + 2.0)
    expected = 0.5 * (root - Z)
    expected[3] = 0.5 * (-0.7 + 1j * math.sqrt(4.0 - 0.49))
    assert_allclose(system.solve(Z).q, expected, rtol=1e-12)
    law = system.spectrum()
    assert_allclose(law.edges, [[-2.0, 2.0]], rtol=1e-14)
    x = np.linspace(-1.99, 1.99, 7)
    assert_allclose(law.density(x), np.sqrt(4.0 - x * x) / (2.0 * math.pi), rtol=1e-12)
    # Catalan numbers
    assert_allclose([law.moment(k) for k in (2, 4, 6, 8)], [1, 2, 5, 14], rtol=1e-12)


def test_anticommutator() -> None:
    """Free a^2 - b^2: z = -1/q + 1/(1 + q) - 1/(1 - q), the sum of the R-transforms."""
    system = zoo.anticommutator().bind()
    q = system.solve(Z).q
    assert_allclose(-1.0 / q + 1.0 / (1.0 + q) - 1.0 / (1.0 - q), Z, rtol=1e-12)
    edge = math.sqrt((11.0 + 5.0 * math.sqrt(5.0)) / 2.0)
    law = system.spectrum()
    assert_allclose(law.edges, [[-edge, edge]], rtol=1e-13)
    assert_allclose(law.density(0.0), 1.0 / math.pi, rtol=1e-12)
    assert_allclose(law.moment(2), 2.0, rtol=1e-12)


@pytest.mark.parametrize("psi_n", [0.4, 1.0, 5.0])
def test_sample_covariance(psi_n: float) -> None:
    """Silverstein's equation for a general Sigma."""
    system = zoo.sample_covariance().bind(WIDE, psi_n=psi_n)
    q = system.solve(Z).q
    lam, w = WIDE.eigenvalues, WIDE.weights
    shrunk = 1.0 - (1.0 + Z * q) / psi_n
    expected = np.sum(w / (np.multiply.outer(shrunk, lam) - Z[:, None]), axis=1)
    assert_allclose(q, expected, rtol=1e-12)


def test_marchenko_pastur_edges_and_atom() -> None:
    law = zoo.sample_covariance().bind(psi_n=0.25).spectrum()
    assert_allclose(law.edges, [[1.0, 9.0]], rtol=1e-13)
    assert_allclose(law.atoms, [[0.0, 0.75]], atol=1e-14)
    x = np.array([1.5, 4.0, 8.0])
    expected = np.sqrt((9.0 - x) * (x - 1.0)) / (2.0 * math.pi * 4.0 * x)
    assert_allclose(law.density(x), expected, rtol=1e-12)


def test_hard_edge() -> None:
    law = zoo.sample_covariance().bind(psi_n=1.0).spectrum()
    assert_allclose(law.edges, [[0.0, 4.0]], atol=1e-14)
    assert law.atoms.shape == (0, 2)
    assert law.density(0.0) == math.inf
    x = np.array([1e-9, 0.1, 3.0])
    assert_allclose(law.density(x), np.sqrt(4.0 / x - 1.0) / (2.0 * math.pi), rtol=1e-11)
    assert_allclose(law.moment(3), 5.0, rtol=1e-12)


def test_deformed_covariance() -> None:
    """Pastur's equation: q is the transform of Sigma's law at z minus the R-transform."""
    psi_n, noise = 0.3, 0.2
    system = zoo.deformed_covariance().bind(WIDE, psi_n=psi_n, noise=noise)
    q = system.solve(Z).q
    shifted = Z - noise / (1.0 + noise * q / psi_n)
    expected = np.sum(WIDE.weights / (WIDE.eigenvalues - shifted[:, None]), axis=1)
    assert_allclose(q, expected, rtol=1e-12)
    # n < d directions move: each eigenvalue keeps what they cannot reach
    law = system.spectrum()
    assert_allclose(law.atoms, [[0.1, 0.2]], rtol=1e-12)


def test_wishart_sum() -> None:
    psi_1, psi_2 = 0.4, 3.0
    q = zoo.wishart_sum().bind(psi_1=psi_1, psi_2=psi_2).solve(Z).q
    total = -1.0 / q + 1.0 / (1.0 + q / psi_1) + 1.0 / (1.0 + q / psi_2)
    assert_allclose(total, Z, rtol=1e-12)


@pytest.mark.parametrize(("psi_1", "psi_2"), [(2.0, 0.7), (0.5, 3.0)])
def test_wishart_product(psi_1: float, psi_2: float) -> None:
    """The S-transforms multiply (Voiculescu); chi is the moment function in the space of n_1."""
    q = zoo.wishart_product().bind(psi_1=psi_1, psi_2=psi_2).solve(Z).q
    chi = -(1.0 + Z * q) / psi_1
    S = 1.0 / (1.0 + chi * psi_1 / psi_2) * psi_1 / (1.0 + chi * psi_1)
    assert_allclose(chi / (1.0 + chi) * S * Z, 1.0, rtol=1e-12)


def test_square_products_have_fuss_catalan_moments() -> None:
    law = zoo.wishart_product().bind(psi_1=1.0, psi_2=1.0).spectrum()
    assert_allclose(law.edges, [[0.0, 27.0 / 4.0]], rtol=1e-13, atol=1e-14)
    assert_allclose([law.moment(k) for k in (1, 2, 3, 4)], [1, 3, 12, 55], rtol=1e-11)


def test_ridge_hat() -> None:
    """x/(x + 1/10) of Marchenko and Pastur's law."""
    law = ridge_hat().spectrum()
    assert_allclose(law.atoms, [[0.0, 0.6]], atol=1e-14)
    x = np.array([(1.0 - math.sqrt(0.4)) ** 2, (1.0 + math.sqrt(0.4)) ** 2])
    assert_allclose(law.edges, [x / (x + 0.1)], rtol=1e-12)


def test_hard_edge_of_a_rational_expression() -> None:
    """1/(1 + a^2) of the semicircle law has its hard edge at 1; its mean is the golden section."""
    A = wigner("A", "n")
    law = linearize(inverse(A * A + 1), {"n": 1.0}).bind().spectrum()
    assert_allclose(law.edges, [[0.2, 1.0]], rtol=1e-13)
    assert_allclose(law.moment(1), (math.sqrt(5.0) - 1.0) / 2.0, rtol=1e-11)


def test_narrow_gap() -> None:
    """A gap of 2.5e-4 between bulks of width 4: z(q) of a Wigner matrix plus a Wishart matrix."""
    r, strength = 0.05, 2.0
    X, V = wigner("X", "n"), Gaussian("V", "n", "r", per="n")
    law = linearize(X + strength * V * V.T, {"n": 1.0, "r": r}).bind().spectrum()
    assert_allclose(law.bulk_masses, [1.0 - r, r], rtol=1e-12)
    # edges: z = -q - 1/q + r s/(1 + s q) has dz/dq = 0
    s = strength
    roots = np.roots(
        np.polysub(
            np.polymul([-1.0, 0.0, 1.0], np.polymul([s, 1.0], [s, 1.0])), [r * s * s, 0.0, 0.0]
        )
    )
    q = np.sort(roots[np.abs(roots.imag) < 1e-12].real)
    edges = np.sort(-q - 1.0 / q + r * s / (1.0 + s * q))
    assert_allclose(law.edges.ravel(), edges, rtol=1e-12)


# -- regression ---------------------------------------------------------------------------------


def mei_montanari(
    psi_1: float, psi_2: float, zeta: float, ridge: float, noise: float
) -> tuple[float, float]:
    """Bias and variance of arXiv:1908.05355, Definition 1 and Theorem 2, for F_1 = mu_star = 1."""
    xi = 1j * math.sqrt(psi_1 * psi_2 * ridge)
    z2 = zeta**2
    a, b = -psi_1 / (1e3 * xi), -psi_2 / (1e3 * xi)
    for factor in [*np.geomspace(1e3, 1.0, 100), *np.ones(4000)]:
        a_new = psi_1 / (-factor * xi - b - z2 * b / (1.0 - z2 * a * b))
        b_new = psi_2 / (-factor * xi - a - z2 * a / (1.0 - z2 * a * b))
        a, b = 0.5 * (a + a_new), 0.5 * (b + b_new)
    x = (a * b).real
    product, z4, z6 = psi_1 * psi_2, z2**2, z2**3
    E0 = (
        -(x**5) * z6 + 3 * x**4 * z4 + (product - psi_2 - psi_1 + 1) * x**3 * z6
        - 2 * x**3 * z4 - 3 * x**3 * z2 + (psi_1 + psi_2 - 3 * product + 1) * x**2 * z4
        + 2 * x**2 * z2 + x**2 + 3 * product * x * z2 - product
    )  # fmt: skip
    E1 = psi_2 * x**3 * z4 - psi_2 * x**2 * z2 + product * x * z2 - product
    E2 = (
        x**5 * z6 - 3 * x**4 * z4 + (psi_1 - 1) * x**3 * z6 + 2 * x**3 * z4
        + 3 * x**3 * z2 + (-psi_1 - 1) * x**2 * z4 - 2 * x**2 * z2 - x**2
    )  # fmt: skip
    return E1 / E0, noise**2 * E2 / E0


@pytest.mark.parametrize(("psi_p", "psi_n"), [(2.0, 3.0), (3.0, 1.5), (0.6, 0.5)])
def test_ridge_regression_with_random_features(psi_p: float, psi_n: float) -> None:
    mu, nu, noise, ridge = 0.8, 0.5, 0.3, 0.01
    model = Regression.of(psi_p, psi_n, mu, nu, noise)
    _, test = model.losses(math.inf, ridge=psi_p * ridge)
    bias, variance = mei_montanari(psi_p, psi_n, mu / nu, ridge / nu**2, noise)
    assert_allclose(float(test) - noise**2, bias + variance, rtol=1e-10)


def test_gradient_flow_of_regression() -> None:
    """Limits, the ward identity of the noise, and 1/(x + omega) as a mean over stopping times."""
    model = Regression.of(2.5, 1.5, 0.7, 0.4, 0.5, WIDE)
    tau = np.array([0.0, 0.3, 1.0, 3.0, 10.0, 100.0, math.inf])
    train, test = model.losses(tau)
    assert_allclose([train[0], test[0]], WIDE.mean + 0.25, rtol=1e-10)
    assert np.all(np.diff(train) < 0.0)
    assert np.all(test > 0.25)
    assert train[-1] < 1e-9  # p > n: least squares interpolates
    points = model.system.solve(Z)
    hat = 1.0 - points.trace("a", "a") / 1.5  # (1/n) Tr M^T R M
    assert_allclose(hat, 2.5 / 1.5 * (1.0 + Z * points.q), rtol=1e-12)


def test_regression_against_a_finite_one() -> None:
    """Gradient flow on drawn matrices, averaged over labels; differences are of order 1/d."""
    d, psi_p, psi_n, mu, nu, noise = 120, 2.0, 1.5, 0.8, 0.4, 0.6
    n, p = int(psi_n * d), int(psi_p * d)
    lam = np.repeat([0.4, 1.6], d // 2)
    tau = np.array([1.0, 10.0, 100.0])
    rng = np.random.default_rng(11)
    measured = np.zeros((2, tau.size))
    draws = 6
    for _ in range(draws):
        X = np.sqrt(lam)[:, None] * rng.normal(size=(d, n))
        W = rng.normal(size=(p, d)) / math.sqrt(d)
        measured[0] += np.sum(X**2) / (n * d) + noise**2
        measured[1] += 1.0 + noise**2
        Phi = mu * W @ X + nu * rng.normal(size=(p, n))
        value, vector = np.linalg.eigh(Phi @ Phi.T / n)
        signal = vector.T @ Phi @ X.T / n / math.sqrt(d)
        fluctuation = noise * vector.T @ Phi / n
        tilde = vector.T @ (mu**2 * (W * lam) @ W.T + nu**2 * np.eye(p)) @ vector
        cross = mu * vector.T @ (W * lam) / math.sqrt(d)
        for k, t in enumerate(tau):
            h = -np.expm1(-value * t) / value.clip(1e-12)
            B = [h[:, None] * signal, h[:, None] * fluctuation]
            for b, v in zip(B, (signal, fluctuation), strict=True):
                measured[0, k] += np.sum(b * (value[:, None] * b - 2.0 * v))
                measured[1, k] += np.sum(b * (tilde @ b))
            measured[1, k] -= 2.0 * np.sum(cross * B[0])
    measured /= draws
    train, test = Regression.of(
        psi_p, psi_n, mu, nu, noise, Covariance([0.4, 1.6])
    ).losses(tau, rtol=1e-6)  # fmt: skip
    assert_allclose(measured, [train, test], rtol=0.5 / d, atol=0.1 / d)


def test_epoch_wise_double_descent() -> None:
    """Two scales of the data: the test error falls, rises with the first fit, and falls again."""
    model = Regression.of(1.3, 1.1, 1.0, 0.03, 0.5, Covariance([1e-3, 1.0], [0.9, 0.1]))
    tau = np.geomspace(0.1, 1e7, 60)
    _, test = model.losses(tau, rtol=1e-8)
    turns = np.flatnonzero(np.diff(np.sign(np.diff(test))))
    assert turns.size >= 2


def test_hard_edge_of_regression_is_refused() -> None:
    with pytest.raises(ModelError, match="above -ridge"):
        Regression.of(1.5, 1.5, 0.7, 0.4).losses(1.0)


def silverstein_edges(covariance: Covariance, psi_n: float) -> np.ndarray:
    """Where dx/dm = 0 for x(m) = -1/m + (1/psi_n) <lambda/(1 + lambda m)> (Silverstein and Choi).

    dx/dm > 0 exactly outside the support, and between two poles -1/lambda in one interval at most.
    """
    from scipy.optimize import brentq, minimize_scalar

    lam, w = covariance.eigenvalues[::-1], covariance.weights[::-1] / psi_n

    def x(m: float) -> float:
        return -1.0 / m + float(np.sum(w * lam / (1.0 + lam * m)))

    def falls(u: float) -> float:  # u = ln(-m)
        t = lam * math.exp(u)
        return float(np.sum(w * (t / (1.0 - t)) ** 2)) - 1.0

    poles = -np.log(lam)
    edges = [
        x(-math.exp(brentq(falls, poles[0] - 40.0, poles[0] - 1e-9, xtol=1e-15))),
        x(-math.exp(brentq(falls, poles[-1] + 1e-9, poles[-1] + 40.0, xtol=1e-15))),
    ]
    for a, b in itertools.pairwise(poles):
        ends = a + 1e-9, b - 1e-9
        least = minimize_scalar(falls, bounds=ends, method="bounded", options={"xatol": 1e-12}).x
        if falls(least) < 0.0:
            for one, other in ((ends[0], least), (least, ends[1])):
                edges.append(x(-math.exp(brentq(falls, one, other, xtol=1e-15))))
    return np.sort(edges).reshape(-1, 2)


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="takes minutes in plain Python")
@pytest.mark.parametrize(("decay", "psi_n"), [(1.0, 50.0), (1.5, 50.0), (2.0, 1e3), (1.0, 1e5)])
def test_many_bulks_of_a_power_law(decay: float, psi_n: float) -> None:
    covariance = Covariance.power_law(decay, 16)
    law = zoo.sample_covariance().bind(covariance, psi_n=psi_n).spectrum()
    edges = silverstein_edges(covariance, psi_n)
    assert 9 <= len(edges) <= 16
    assert_allclose(law.edges, edges, rtol=1e-12)
    assert law.mass_error < 1e-12
