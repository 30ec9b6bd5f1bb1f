"""Stating a pencil and deriving its equations: coefficients, expressions, errors, symbols."""

from fractions import Fraction

import numpy as np
import pytest
import sympy
from numpy.testing import assert_allclose

from dmft_rf import Covariance
from dmft_rf.errors import ModelError
from dmft_rf.pencil import (
    Gaussian,
    Pencil,
    Sigma,
    gram,
    inverse,
    linearize,
    parameters,
    sqrt,
    wigner,
    z,
    zoo,
)
from dmft_rf.pencil.scalars import Scalar

a, b = parameters("a b")
W = Gaussian("W", "p", "d", per="d")
Z = Gaussian("Z", "d", "n", per="n")
O = Gaussian("O", "p", "n", per="n")  # noqa: E741 - the letter of the theory
SPACES = {"p": 2.0, "n": 3.0, "d": 1.0}


# -- coefficients -------------------------------------------------------------------------------


def test_equal_coefficients_are_equal() -> None:
    assert sqrt(Sigma) * sqrt(Sigma) == Sigma
    assert (a + b) ** 2 == a * a + 2 * a * b + b**2
    assert a / a == 1
    assert a - a == 0
    assert (2 * a - a * 2).is_zero
    assert sqrt(a**2) != a  # a may be negative
    assert hash(a * b) == hash(b * a)
    assert (1 + a) * (1 + a) ** -1 != 0


@pytest.mark.parametrize(
    "build",
    [
        lambda x, y, s: (x + 2 * y) ** 3 / y - s**0.5,
        lambda x, y, s: 1 / (x + s) + sqrt(x * x + y) if isinstance(x, Scalar) else None,
        lambda x, y, s: -x * y * s**-2 + Fraction(1, 3),
    ],
)
def test_coefficients_evaluate(build: object) -> None:
    value = {"a": 0.7, "b": 1.9, "Sigma": 0.4}
    scalar = build(a, b, Sigma)  # type: ignore[operator]
    found = scalar.fold(value.__getitem__, float)
    symbols = {name: sympy.Symbol(name, positive=True) for name in value}
    exact = scalar.fold(symbols.__getitem__, sympy.nsimplify)
    assert_allclose(found, float(exact.subs({symbols[k]: v for k, v in value.items()})), rtol=1e-14)


def test_linear_in_z() -> None:
    constant, slope = (a - b * z + Sigma).linear_in_z()
    assert constant == a + Sigma
    assert slope == -b
    for wrong in (z**2, 1 / z, 1 / (1 + z), z * (a + z) ** -1):
        with pytest.raises(ModelError, match="not linear in z"):
            wrong.linear_in_z()


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: a / 0, "divides by 0"),
        (lambda: a * float("nan"), "unsupported operand"),
        (lambda: a**1000, "at most 100"),
        (lambda: parameters("Sigma"), "taken"),
        (lambda: parameters("__class__"), "begins with a letter"),
        (lambda: parameters("a.b"), "letters"),
    ],
)
def test_wrong_coefficients(make: object, match: str) -> None:
    with pytest.raises((ModelError, TypeError), match=match):
        make()  # type: ignore[operator]


# -- expressions and blocks ---------------------------------------------------------------------


def test_linearize_finds_the_blocks_of_the_score_model() -> None:
    M = a * W * sqrt(Sigma) * Z + b * O
    built = linearize(M * M.T + b * W * W.T + 0.1, SPACES, sigma="d")
    assert sorted(built.blocks.values()) == ["d", "d", "n", "p"]
    assert len(built.dyson.minimal) == len(zoo.score_model().dyson.minimal) == 5
    assert "W^T u" in built.describe()


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: W * O, "sizes do not match in W times O: p x d and p x n"),
        (lambda: W + Z, "sizes do not match in W plus Z"),
        (lambda: W + 1, "multiple of the identity"),
        (lambda: inverse(W), "not square"),
        (lambda: W / Z, "use inverse"),
        (lambda: W * "Z", "neither a matrix nor a coefficient"),
        (lambda: Gaussian("X", "p", "d", per="d", symmetric=True), "symmetric"),
        (lambda: linearize(W, SPACES), "square"),
        (lambda: linearize(W * Sigma * W.T, SPACES), "say with sigma"),
        (lambda: linearize(Sigma * W * W.T, SPACES, sigma="d"), "acts in space d"),
        (lambda: linearize(W * W.T, {"p": 1.0}), "there is no space 'd'"),
        (
            lambda: linearize(W * W.T + Gaussian("W", "p", "n", per="n") * O.T, SPACES),
            "matrix W is .* a matrix has one shape",
        ),
        (lambda: gram(W, SPACES, observe={"S": (W, W)}), "observable S"),
        (lambda: gram(sum((W * W.T for _ in range(2)), a) ** 2, SPACES), "unsupported"),
    ],
)
def test_wrong_expressions(make: object, match: str) -> None:
    with pytest.raises((ModelError, TypeError), match=match):
        make()  # type: ignore[operator]


ROWS = {"u": {"u": -z, "x": W}, "x": {"x": 1.0, "u": -W.T}}
BLOCKS = {"u": "p", "x": "d"}


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"rows": {**ROWS, "x": {"x": 1.0, "u": -W}}}, r"entry \(x, u\) is d x p, but W is p x d"),
        ({"rows": {**ROWS, "x": {"x": 1.0, "u": 1.0}}}, r"entry \(x, u\).*needs one space"),
        ({"rows": {**ROWS, "x": {"x": 1.0, "y": 1.0}}}, "there is no block y"),
        ({"rows": {**ROWS, "x": {"x": z * z}}}, r"entry \(x, x\).*not linear in z"),
        ({"rows": {**ROWS, "x": {"x": 1.0, "u": -z * W.T}}}, "constant parts only"),
        ({"rows": {**ROWS, "x": {"x": Sigma, "u": -W.T}}}, "say with sigma"),
        ({"rows": {**ROWS, "x": {"x": 1.0, "u": W.T * O * O.T}}}, "product of W.T and O"),
        ({"rows": {**ROWS, "x": {"x": "1"}}}, r"entry \(x, x\) is '1'"),
        ({"rows": {**ROWS, "x": {"x": z}}}, "blocks with z on their diagonal: u, x"),
        ({"blocks": {"u": "p", "x": "q"}}, "block x: there is no space 'q'"),
        ({"blocks": {f"b{k}": "p" for k in range(41)}}, "at most 40"),
        ({"spaces": {"p": Sigma, "d": 1.0}}, "must not hold Sigma"),
        ({"sigma": "q"}, "sigma: there is no space"),
        ({"resolvent": "w"}, "no block 'w'"),
    ],
)
def test_wrong_pencils(changes: dict[str, object], match: str) -> None:
    stated = {"spaces": {"p": 2.0, "d": 1.0, "n": 1.0}, "blocks": BLOCKS, "rows": ROWS, **changes}
    with pytest.raises(ModelError, match=match):
        Pencil(**stated)  # type: ignore[arg-type]


def test_singular_at_large_z() -> None:
    pencil = Pencil(
        SPACES,
        {"u": "p", "x": "d", "y": "d"},
        {"u": {"u": -z, "x": W}, "x": {"x": 1, "u": -W.T}, "y": {"x": 1}},
    )
    with pytest.raises(ModelError, match=r"singular at large z.*rows of x, y \(space d\)"):
        _ = pencil.dyson


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"psi_1": 1.0}, "without a value: psi_2"),
        ({"psi_1": 1.0, "psi_2": 1.0, "psi_3": 1.0}, "no parameter 'psi_3'"),
        ({"psi_1": np.nan, "psi_2": 1.0}, "finite"),
        ({"psi_1": "one", "psi_2": 1.0}, "number"),
        ({"psi_1": -1.0, "psi_2": 1.0}, "size of space n1"),
        ({"psi_1": [1.0, 2.0], "psi_2": [1.0, 2.0, 3.0]}, "broadcast"),
    ],
)
def test_wrong_values(parameters: dict[str, object], match: str) -> None:
    with pytest.raises(ModelError, match=match):
        zoo.wishart_sum().bind(**parameters)  # type: ignore[arg-type]


def test_roots_of_negative_parameters_are_refused() -> None:
    X = wigner("X", "n")
    pencil = linearize(sqrt(a) * X, {"n": 1.0})
    with pytest.raises(ModelError, match="not a finite real number"):
        pencil.bind(a=-1.0)


def test_what_is_not_self_adjoint_is_refused() -> None:
    X = Gaussian("X", "n", "n", per="n")
    with pytest.raises(ModelError, match="not self-adjoint"):
        linearize(1 * X, {"n": 1.0}).bind()
    linearize(X + X.T, {"n": 1.0}).bind()


# -- symbols ------------------------------------------------------------------------------------


def test_equations_of_the_score_model_are_those_of_the_theory() -> None:
    """They reduce to the two equations of theory.md, section 3, for every lambda."""
    equations = zoo.score_model().equations()
    names = equations.names
    psi_p, psi_n, b2, v, s2, gamma = (
        names[n] for n in ("psi_p", "psi_n", "b2", "v", "s2", "gamma")
    )
    lam, point = names["Sigma"], names["z"]
    q, E = sympy.symbols("q E")
    meaning = {str(u): s for u, s in zip(equations.unknowns, equations.symbols, strict=True)}
    g_u, g_a = meaning["(1/d) Tr G[u,u]"], meaning["(1/d) Tr G[a,a]"]
    g_f, g_fe = meaning["(1/d) Tr G[f,f]"], meaning["(1/d) Tr Sigma G[f,e]"]
    g_e = meaning["(1/d) Tr G[e,f]"]
    right = dict(zip(equations.symbols, equations.right, strict=True))
    known = {g_u: psi_p * q, g_a: psi_n / E}
    # one eigenvalue: the averages are what stands in them
    inner = {g: right[g].subs(known) for g in (g_f, g_fe, g_e)}
    beta = b2 + gamma**2 * lam / E
    average = 1 / (1 + psi_p * q * beta)
    first = s2 - point + v**2 / E + beta * average
    second = 1 + psi_p / psi_n * q * (v**2 + gamma**2 * lam * average)
    assert sympy.simplify(psi_p / right[g_u].subs(known).subs(inner) - first) == 0
    assert sympy.simplify(psi_n / right[g_a].subs(known).subs(inner) - second) == 0


@pytest.mark.parametrize(
    "pencil", [zoo.score_model(), zoo.noise_draws(1), zoo.noise_draws(3), zoo.anticommutator()]
)
def test_symbols_and_kernels_agree(pencil: Pencil) -> None:
    """At a solution the symbolic equations hold and their Jacobian is the kernels' M."""
    from dmft_rf.kernels import dyson

    values = {name: 0.3 + 0.1 * n for n, name in enumerate(pencil.parameters)}
    system = pencil.bind(Covariance([0.7]), **values)
    points = system.solve(0.4 + 0.3j)
    equations = pencil.equations()
    minimal = pencil.dyson.minimal
    g = points.g[0, 0]
    numbers = {equations.names[k]: v for k, v in values.items()}
    numbers |= {equations.names["Sigma"]: 0.7, equations.names["z"]: 0.4 + 0.3j}
    numbers |= dict(zip(equations.symbols, g[list(minimal)], strict=True))
    found = [complex(r.subs(numbers)) for r in equations.right]
    assert_allclose(found, g[list(minimal)], rtol=1e-10)
    a = arrays = system.sets[0]
    G = dyson.greens(points.z.ravel(), points.g[0], a.A0, a.A1, a.cells, a.terms, a.h)[0]
    M = dyson.coupling(G, G, 1.0, arrays.cells, arrays.reads, arrays.r, arrays.terms, arrays.h)
    # columns of unknowns that are equal by symmetry belong to one symbol
    folded = np.zeros((len(minimal), len(minimal)), complex)
    for column, (first, sign) in enumerate(pencil.dyson.merged):
        folded[:, minimal.index(first)] += sign * M[list(minimal), column]
    jacobian = np.array(equations.jacobian.subs(numbers)).astype(complex)
    assert_allclose(jacobian, folded, rtol=1e-9, atol=1e-11)


def test_latex() -> None:
    text = zoo.score_model().equations().latex()
    assert text.startswith("\\begin{aligned}")
    assert r"\left\langle" in text
    assert r"\mathrm{Tr}" in text
    assert str(zoo.semicircle().equations()).endswith("g_1 = -1/(g_1 + z)")


def test_merged_scalars() -> None:
    """The anticommutator closes in two scalars at one point, and needs more at two points."""
    dyson = zoo.anticommutator().dyson
    assert len(dyson.minimal) == 2
    assert len(dyson.unknowns) > 2
