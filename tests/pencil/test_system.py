"""The solver of the Dyson equation: Jacobian, branch, order of points, sets of parameters."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dmft_rf import ConvergenceError, Covariance, ModelError
from dmft_rf.kernels import dyson, dyson_path
from dmft_rf.pencil import Gaussian, Sigma, gram, sqrt, zoo
from dmft_rf.pencil.system import Arrays

TWO = Covariance([0.5, 1.5])
VALUES = {"psi_p": 3.0, "psi_n": 2.0, "b2": 0.1, "v": 0.2, "s2": 0.05, "gamma": 0.6}


def image(z: complex, g: np.ndarray, a: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """Scalars of (A - S[g])^{-1}, and the matrices."""
    G = np.zeros(a.A0.shape, complex)
    det = np.zeros(a.A0.shape[0], complex)
    assert dyson.green(z, 1.0, g, a.A0, a.A1, a.cells, a.terms, a.h, G, det)
    return dyson.read(G, a.cells, a.reads, a.r), G


def test_jacobian_and_slope_by_complex_steps() -> None:
    """Outside the support everything is real: a step of 1e-30 i gives derivatives to rounding."""
    system = zoo.score_model().bind(TWO, **VALUES)
    arrays = system.sets[0]
    x = -0.3
    g = system.solve(x).g[0, 0].real.astype(complex)
    _, G = image(complex(x), g, arrays)
    M = dyson.coupling(G, G, 1.0, arrays.cells, arrays.reads, arrays.r, arrays.terms, arrays.h)
    step = 1e-30
    for u in range(g.size):
        moved = g.copy()
        moved[u] += 1j * step
        assert_allclose(image(complex(x), moved, arrays)[0].imag / step, M[:, u].real, rtol=1e-13)
    J = np.eye(g.size) - M
    slope = dyson.slope(G, J, arrays.A1, arrays.cells, arrays.reads, arrays.r)
    explicit = image(x + 1j * step, g, arrays)[0].imag / step
    assert_allclose(J.real @ slope.real, explicit, rtol=1e-12, atol=1e-14 * np.abs(explicit).max())


def test_the_other_root_is_refused() -> None:
    """Both solutions of the semicircle's quadratic solve the equation; one is certified."""
    arrays = zoo.semicircle().bind().sets[0]
    rest = (arrays.A1, arrays.cells, arrays.reads, arrays.r, arrays.terms, arrays.h, arrays.mass)
    for z in (0.3 + 0.5j, 3.0 + 0.1j, 0.4 + 0.0j):
        root = np.sqrt(z - 2.0) * np.sqrt(z + 2.0)
        for sign in (1.0, -1.0):
            g = np.array([0.5 * (sign * root - z)])
            again, G = image(z, g, arrays)
            assert_allclose(again, g, rtol=1e-13)
            assert dyson.on_branch(G, 0.0, *rest) == (sign > 0.0)


def test_all_other_roots_of_a_wishart_sum_are_refused() -> None:
    psi_1, psi_2, z = 0.7, 2.0, 1.0 + 0.2j
    system = zoo.wishart_sum().bind(psi_1=psi_1, psi_2=psi_2)
    arrays = system.sets[0]
    rest = (arrays.A1, arrays.cells, arrays.reads, arrays.r, arrays.terms, arrays.h, arrays.mass)
    # z q (1 + q/psi_1)(1 + q/psi_2) = ...: a cubic for q
    one, two = np.array([1 / psi_1, 1.0]), np.array([1 / psi_2, 1.0])
    both = np.polymul(one, two)
    cubic = np.polysub(np.polymul([z, 1.0], both), np.polymul([1.0, 0.0], np.polyadd(one, two)))
    roots = np.roots(cubic)
    right = system.solve(z).q
    names = [str(u) for u in system.pencil.dyson.unknowns]
    assert len(roots) == 3
    for q in roots:
        g = np.empty(3, complex)
        for n, name in enumerate(names):
            g[n] = q if "u,u" in name else (psi_1, psi_2)["x2" in name] / (
                1.0 + q / (psi_1, psi_2)["x2" in name]
            )  # fmt: skip
        again, G = image(z, g, arrays)
        assert_allclose(again, g, rtol=1e-10)
        assert dyson.on_branch(G, 0.0, *rest) == (abs(q - right) < 1e-9)


@pytest.mark.parametrize("name", ["score model", "product"])
def test_wrong_roots_with_the_right_sign_are_refused(name: str) -> None:
    """Newton's method from anywhere finds roots with Im q > 0 that only the radius tells apart."""
    if name == "product":
        system, z = zoo.wishart_product().bind(psi_1=2.0, psi_2=0.7), -0.5 + 0.1j
    else:
        system, z = zoo.score_model().bind(TWO, **VALUES), 0.3 + 0.5j
    a = system.sets[0]
    right = system.solve(z).g[0, 0]
    rest = (a.A1, a.cells, a.reads, a.r, a.terms, a.h, a.mass)
    rng = np.random.default_rng(1)
    tempting = 0
    for _ in range(150):
        g = right * (1.0 + 1.5 * (rng.normal(size=right.size) + 1j * rng.normal(size=right.size)))
        found, G, _, _, step, _, status = dyson.newton(z, 1.0, g, 1e-9, *a.all[:-1])
        if status != dyson.CONVERGED or step > 1e-8:
            continue
        wrong = np.abs(found - right).max() > 1e-6 * np.abs(right).max()
        assert dyson.on_branch(G, step, *rest) != wrong
        tempting += wrong and -dyson.trace_slope(G, a.A1, a.cells, a.mass).imag > 0.0
    assert tempting > 0


def test_the_order_of_points_does_not_matter() -> None:
    """Warm starts from far away either lead to the solution or are replaced."""
    system = zoo.score_model().bind(TWO, **VALUES)
    rng = np.random.default_rng(3)
    z = 10.0 ** rng.uniform(-2, 1, 30) * np.exp(1j * rng.uniform(0.0, 3.1, 30))
    z[::5] = z[::5].real
    q = system.solve(z).q
    order = rng.permutation(z.size)
    assert_allclose(system.solve(z[order]).q, q[order], rtol=1e-12)
    singly = [complex(system.solve(point).q) for point in z]
    assert_allclose(singly, q, rtol=1e-12)


def test_failure_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that refuses everything leaves an exception, never a number."""
    system = zoo.semicircle().bind()

    def broken(*args: object) -> tuple[object, ...]:
        g = np.ones((1, 1), complex)
        return g, np.full(1, 0.1), np.full(1, dyson.WRONG_BRANCH), 7

    monkeypatch.setattr(dyson_path, "solve_path", broken)
    with pytest.raises(ConvergenceError, match="physical branch") as error:
        system.solve(1j)
    assert error.value.residual == 0.1
    assert error.value.partial.g.shape == (1, 1, 1)


def test_sets_of_parameters() -> None:
    psi_p = np.array([[0.5], [2.0]])
    psi_n = np.array([1.0, 3.0, 9.0])
    z = np.array([0.2 + 0.1j, 1.0])
    many = zoo.score_model().bind(TWO, **{**VALUES, "psi_p": psi_p, "psi_n": psi_n})
    q = many.solve(z).q
    assert q.shape == (2, 3, 2)
    T = many.solve(z).two_point(many.solve(z[:1]), {("u", "u"): 1.0}, {("u", "u"): 1.0})
    assert T.shape == (2, 3, 2, 1)
    for i in range(2):
        for j in range(3):
            one = zoo.score_model().bind(TWO, **{**VALUES, "psi_p": psi_p[i, 0], "psi_n": psi_n[j]})
            assert_allclose(q[i, j], one.solve(z).q, rtol=1e-13)
    with pytest.raises(ModelError, match="one set of values"):
        many.spectrum()


def test_observables_are_blocks_of_the_inverse() -> None:
    """(1/d) Tr W^T (W Sigma W^T - z)^{-1} W from the builder, against its own algebra."""
    W = Gaussian("W", "p", "d", per="d")
    pencil = gram(W * sqrt(Sigma), {"p": 2.0, "d": 1.0}, sigma="d", observe={"S": (W.T, W)})
    points = pencil.bind(TWO).solve(np.array([-0.7, 0.8 + 0.4j]))
    # (1/d) Tr Sigma W^T R W = (1/d) Tr (W Sigma W^T) R
    expected = 2.0 * (1.0 + points.z * points.q)
    assert_allclose(points.observable("S", Sigma), expected, rtol=1e-12)
    assert_allclose(points.observable("S", TWO.eigenvalues), expected, rtol=1e-12)


def test_dense_matrices() -> None:
    """One- and two-point functions of a drawn matrix, within its fluctuations."""
    d = 240
    rng = np.random.default_rng(5)
    lam = np.repeat([0.5, 1.5], d // 2)
    W = rng.normal(size=(2 * d, d)) / np.sqrt(d)
    U = (W * lam) @ W.T
    z_1, z_2 = -0.5 + 0.0j, 1.0 + 1.0j
    R_1, R_2 = (np.linalg.inv(U - z * np.eye(2 * d)) for z in (z_1, z_2))
    measured = np.trace(W.T @ R_1 @ (W * lam) @ W.T @ R_2 @ W) / d
    X = Gaussian("W", "p", "d", per="d")
    pencil = gram(
        X * sqrt(Sigma), {"p": 2.0, "d": 1.0}, sigma="d",
        observe={"S": (X.T, X)},
    )  # fmt: skip
    system = pencil.bind(TWO)
    first, second = system.solve(z_1), system.solve(z_2)
    T = first.two_point(second, {("S_in", "S_out"): Sigma}, {("S_out", "S_in"): 1.0})
    assert_allclose(complex(T), measured, rtol=0.02)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda p: p.trace("u", "w"), "no block 'w'"),
        (lambda p: p.trace("u", "f"), "spaces p and d"),
        (lambda p: p.trace("f", "e", [1.0, 2.0, 3.0]), "one for each of the 2 eigenvalues"),
        (lambda p: p.two_point(p, {("u", "a"): 1.0}, {("u", "u"): 1.0}), "spaces p and n"),
        (lambda p: p.system.solve(np.nan), "NaN or infinity"),
    ],
)
def test_wrong_questions(call: object, match: str) -> None:
    points = zoo.score_model().bind(TWO, **VALUES).solve(1j)
    with pytest.raises(ModelError, match=match):
        call(points)  # type: ignore[operator]


def test_density_needs_finite_points() -> None:
    law = zoo.semicircle().bind().spectrum()
    with pytest.raises(ModelError, match="lam must be finite"):
        law.density(np.inf)
    with pytest.raises(ModelError, match="moment order"):
        law.moment(-1)
    assert law.density(5.0) == 0.0
    assert law.grid(50).shape[0] >= 40
