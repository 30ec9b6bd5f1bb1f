"""The two-point function: the kernel's short form against the long formula of theory section 5."""

import math

import numpy as np
import pytest

from dmft_rf import Covariance, ScoreModel, resolvent, solve, spectrum
from dmft_rf.kernels.closed_form_pairs import ANY, MIRRORED, SYMMETRIC, assemble
from dmft_rf.spectra.resolvent import Resolvent
from tests.helpers.models import REFERENCES, TWO
from tests.helpers.plain import network, two_point

MODELS = {
    **REFERENCES,
    "zero atom": ScoreModel(0.3, 3.0, 0.5, "erf", Covariance([0.0, 1.0], [0.6, 0.4])),
    "wide": ScoreModel(0.05, 2.0, 3.0, "gelu", Covariance([1e-4, 1.0], [0.5, 0.5])),
    "power law": ScoreModel(0.1, 0.7, 2.0, "sigmoid", Covariance.power_law(1.2, atoms=12)),
    "few samples": ScoreModel(0.1, 2.0, 0.05, "softplus", TWO),
}


def by_kernel(
    model: ScoreModel, first: Resolvent, second: Resolvent, q0: float, q1: float, *, grid: int
) -> np.ndarray:
    """T_Q on the grid of pairs for Q = q0 + q1 Sigma: the kernel's variance and the mean part."""
    par, lam, w = model.groups.two_unknowns
    moments = [np.ascontiguousarray((first.r * (w * lam**j)) @ second.r.T) for j in range(3)]
    one, two = ((s.z, s.k, s.E[:, 0]) for s in (first, second))
    variance = assemble(*one, *two, first.dk, grid, *moments, q0, q1, par)
    return variance + q0 * moments[0] + q1 * moments[1]


def random_points(model: ScoreModel, count: int, seed: int) -> np.ndarray:
    """Points of the upper half-plane, log-uniform over the scales of the support."""
    rng = np.random.default_rng(seed)
    edges = spectrum(model).edges
    radius = np.exp(rng.uniform(math.log(0.5 * edges[0, 0]), math.log(2.0 * edges[-1, 1]), count))
    return radius * np.exp(1j * rng.uniform(0.15, 2.8, count))


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> ScoreModel:
    return MODELS[request.param]


def long_formula(
    model: ScoreModel, a: Resolvent, b: Resolvent, i: int, j: int, Q: np.ndarray
) -> complex:
    return two_point(model, (a.q[i], a.E[i, 0]), (b.q[j], b.E[j, 0]), Q)


@pytest.mark.parametrize("conjugate", [False, True])
@pytest.mark.parametrize(("q0", "q1"), [(1.0, 0.0), (0.0, 1.0), (0.3, 0.7)])
def test_against_the_long_formula(model: ScoreModel, q0: float, q1: float, conjugate: bool) -> None:
    z1, z2 = random_points(model, 4, 1), random_points(model, 4, 2)
    if conjugate:
        z2 = z2.conj()
    first, second = resolvent(model, z1), resolvent(model, z2)
    short = by_kernel(model, first, second, q0, q1, grid=ANY)
    Q = q0 + q1 * model.covariance.eigenvalues
    for i in range(4):
        for j in range(4):
            long = long_formula(model, first, second, i, j, Q)
            # both divide by 1 - kappa, or by z_1 - z_2: rounding grows with the cancellation
            distance = abs(z1[i] - z2[j]) / max(abs(z1[i]), abs(z2[j]))
            assert abs(short[i, j] - long) <= 1e-10 / distance * abs(long)


def test_conjugation(model: ScoreModel) -> None:
    z1, z2 = random_points(model, 3, 9), random_points(model, 3, 10)
    up = by_kernel(model, resolvent(model, z1), resolvent(model, z2), 0.2, 0.8, grid=ANY)
    down = by_kernel(
        model, resolvent(model, z1.conj()), resolvent(model, z2.conj()), 0.2, 0.8, grid=ANY
    )
    np.testing.assert_allclose(down, up.conj(), rtol=1e-13)
    # Tr M Q M^dagger is positive: the pair (z, conj z) is real and > 0
    point = resolvent(model, z1)
    mixed = by_kernel(model, point, resolvent(model, z1.conj()), 0.2, 0.8, grid=ANY)
    diagonal = np.diag(mixed)
    assert np.all(np.abs(diagonal.imag) <= 1e-10 * diagonal.real)


def test_diagonal_is_the_limit_of_close_points(model: ScoreModel) -> None:
    z = random_points(model, 5, 11)
    point = resolvent(model, z)
    limit = np.diag(by_kernel(model, point, point, 0.2, 0.8, grid=SYMMETRIC))
    # symmetric in +-step, so the average of T(z + s, z - s) is exact to O(s^2) ~ 1e-7
    step = 3e-4 * z.imag
    plus, minus = resolvent(model, z + step), resolvent(model, z - step)
    close = np.diag(by_kernel(model, plus, minus, 0.2, 0.8, grid=ANY))
    np.testing.assert_allclose(close, limit, rtol=1e-6)


def test_nodes_of_a_solution(model: ScoreModel) -> None:
    """What a solution holds is a^2 b^2 (T_{Sigma_t} - <Sigma_t r_i r_j>), symmetric / Hermitian."""
    nodes = solve(model).nodes
    c = model.coefficients
    plain, mixed = (v / (c.a * c.b) ** 2 for v in nodes.variance)
    # rounding: T is of the order of |S_i S_j|, its variance part may be smaller
    S = nodes.resolvent.S()
    size = np.abs(np.multiply.outer(S, S)) * model.diffused.max()
    assert np.all(np.abs(plain - plain.T) <= 1e-10 * (np.abs(plain) + size))
    assert np.all(np.abs(mixed - mixed.conj().T) <= 1e-10 * (np.abs(mixed) + size))
    r, cov = nodes.resolvent, model.covariance
    for i, j in ((0, 3), (2, -1), (-2, 1)):
        for other, held in ((False, plain), (True, mixed)):
            q, E = (x[j].conj() if other else x[j] for x in (r.q, r.E[:, 0]))
            right = r.r[j].conj() if other else r.r[j]
            long = two_point(model, (r.q[i], r.E[i, 0]), (q, E), model.diffused)
            mean = np.sum(cov.weights * model.diffused * r.r[i] * right)
            assert abs(held[i, j] + mean - long) <= 1e-8 * abs(long)


@pytest.mark.parametrize(
    "model",
    [
        ScoreModel(0.1, 2.0, 1.0, "tanh", TWO),
        ScoreModel(0.5, 1.5, 0.5, "relu", TWO),
        ScoreModel(0.2, 0.5, 2.0, "erf", Covariance([0.01, 1.99], [0.5, 0.5])),
    ],
    ids=["tanh", "relu", "erf"],
)
def test_against_finite_matrices(model: ScoreModel) -> None:
    """(1/d) Tr M(z_1) Q M(z_2) of one draw at d = 300; its fluctuation and bias are O(1/d)."""
    d = 300
    net = network(model, d, seed=5)
    values, vectors = net.eigen()
    rotated = vectors.T @ net.W
    top = spectrum(model).edges[-1, 1]
    z = top * np.array([-0.2, 0.3 + 0.3j, 0.1 + 0.1j])
    Q = math.exp(-2.0 * model.t) * net.sigma + model.coefficients.Delta_t

    def M(point: complex) -> np.ndarray:
        return rotated.T @ (rotated / (values - point)[:, None]) / d

    matrices = [M(point) for point in z]
    solved = resolvent(model, z)
    q0, q1 = model.coefficients.Delta_t, math.exp(-2.0 * model.t)
    theory = by_kernel(model, solved, solved, q0, q1, grid=SYMMETRIC)
    for i in range(3):
        one_point = np.trace(matrices[i]) / d
        assert abs(one_point - solved.S()[i]) <= 3.0 / d * abs(solved.S()[i])
        for j in range(3):
            finite = np.sum((matrices[i] * Q) * matrices[j].T) / d
            assert abs(finite - theory[i, j]) <= 6.0 / d * abs(theory[i, j])


def test_half_of_a_grid_is_the_whole(model: ScoreModel) -> None:
    """Grids that are computed in one half against the same pairs as any others."""
    points = random_points(model, 7, seed=3)
    first, mirrored = resolvent(model, points), resolvent(model, points.conj())
    full = by_kernel(model, first, mirrored, 0.3, 0.8, grid=ANY)
    assert np.allclose(by_kernel(model, first, mirrored, 0.3, 0.8, grid=MIRRORED), full, 1e-12, 0.0)
    half = by_kernel(model, first, first, 0.3, 0.8, grid=SYMMETRIC)
    apart = ~np.eye(7, dtype=bool)  # on the diagonal the secant is a slope
    full = by_kernel(model, first, first, 0.3, 0.8, grid=ANY)
    assert np.allclose(half[apart], full[apart], 1e-12, 0.0)
