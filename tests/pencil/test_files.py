"""Pencils in TOML files, and the command that reads them: a file is data, whatever it holds."""

import ast
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dmft_rf import Covariance
from dmft_rf.errors import DataError, ModelError
from dmft_rf.files.results import load
from dmft_rf.pencil import zoo
from dmft_rf.pencil.files import MAX_BYTES, read_pencil
from dmft_rf.pencil.scalars import Scalar
from tests.helpers import command

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
WISHART = """
gram = [["X"]]
[spaces]
p = 0.5
n = 1.0
[matrices]
X = { rows = "p", columns = "n", per = "n" }
"""
SCORE_ROWS = """
sigma = "d"
eigenvalues = [0.5, 1.5]
weights = [0.25, 0.75]
[parameters]
s2 = 0.05
v = 0.2
b2 = 0.1
gamma = 0.6
psi_p = 3.0
[spaces]
p = "psi_p"
n = 2.0
d = 1.0
[matrices]
W = { rows = "p", columns = "d", per = "d" }
Z = { rows = "d", columns = "n", per = "n", variance = 1.0 }
O = { rows = "p", columns = "n", per = "n" }
[blocks]
u = "p"
a = "n"
f = "d"
e = "d"
[rows]
u = { u = [["s2"], [-1, "z"]], a = ["v", "O"], f = ["b2", "W"], e = ["gamma", "W"] }
a = { a = 1, u = [-1, "v", "O^T"], f = [-1.0, "gamma", "Z^T", "sqrt(Sigma)"] }
f = { f = "one", u = [-1, "W^T"] }
e = { e = 1, a = [-1, "sqrt(Sigma)", "Z"] }
"""
run = partial(command.run, "pencil")


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "pencil.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# -- what a file states -------------------------------------------------------------------------


def test_rows_state_the_pencil_of_the_zoo(tmp_path: Path) -> None:
    stated = read_pencil(written(tmp_path, SCORE_ROWS))
    assert stated.covariance == Covariance([0.5, 1.5], [0.25, 0.75])
    z = np.array([0.3 + 0.2j, -1.0])
    mine = stated.bind().solve(z).q
    theirs = zoo.score_model().bind(stated.covariance, psi_n=2.0, **stated.values).solve(z).q
    assert_allclose(mine, theirs, rtol=1e-14)


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.toml")), ids=lambda p: p.stem)
def test_examples(example: Path) -> None:
    law = read_pencil(example).bind().spectrum()
    assert_allclose(law.mass, 1.0, rtol=1e-12)


@pytest.mark.parametrize(
    ("factors", "function"),
    [
        ('["Sigma"]', lambda s: s),
        ('["Sigma^2"]', lambda s: s**2),
        ('["Sigma^-0.5", 3]', lambda s: 3 * s**-0.5),
        ("[{ shift = 2 }]", lambda s: s + 2),
        ('[{ shift = "c" }]', lambda s: s + 0.5),
        ('["sqrt(c)", "c^2"]', lambda s: 0.5**2.5 + 0 * s),
        ("[{ diffused = 0.3 }]", lambda s: math.exp(-0.6) * s + 1 - math.exp(-0.6)),
        ('[{ sum = [["Sigma"], [1]] }, "Sigma"]', lambda s: s * s + s),
    ],
)
def test_functions_of_sigma(tmp_path: Path, factors: str, function: Any) -> None:
    """H = f(Sigma) + c W W^T with the law of f(Sigma) seen as c goes to 0."""
    text = f"""
    sigma = "d"
    eigenvalues = [0.5, 2.0]
    H = [{factors}, ["c", 1e-18, "W", "W^T"]]
    parameters = {{ c = 0.5 }}
    spaces = {{ d = 1.0 }}
    matrices = {{ W = {{ rows = "d", columns = "d", per = "d" }} }}
    """
    points = read_pencil(written(tmp_path, text)).bind().solve(1.0j)
    values = function(np.array([0.5, 2.0]))
    assert_allclose(points.q, np.mean(1.0 / (values - 1.0j)), rtol=1e-10)


def test_transpose_and_inverse(tmp_path: Path) -> None:
    text = WISHART.replace(
        'gram = [["X"]]', 'H = [[{ transpose = ["X"] }, { inverse = [["X", "X^T"], [0.1]] }, "X"]]'
    )
    law = read_pencil(written(tmp_path, text)).bind().spectrum()
    edge = np.array([(1.0 - math.sqrt(0.5)) ** 2, (1.0 + math.sqrt(0.5)) ** 2])
    assert_allclose(law.edges, [edge / (edge + 0.1)], rtol=1e-12)
    assert_allclose(law.atoms, [[0.0, 0.5]], atol=1e-14)


# -- what it must not state ---------------------------------------------------------------------

CODE = "__import__('os').system('touch PWNED')"
HOSTILE = {
    "code in a factor": WISHART.replace('"X"', f'"{CODE}"'),
    "code in a space": WISHART.replace("p = 0.5", f'p = "{CODE}"'),
    "code in a parameter": f'parameters = {{ a = "{CODE}" }}\n' + WISHART,
    "code as a name": WISHART.replace("X = {", f'"{CODE}" = {{'),
    "code in a root": WISHART.replace('"X"', f'"sqrt({CODE})", "X"'),
    "code in a power": WISHART.replace('"X"', '"X^__class__", "X"'),
    "code in a variance": WISHART.replace('per = "n"', f'per = "n", variance = "{CODE}"'),
    "lambda": WISHART.replace('"X"', '"lambda: 0", "X"'),
    "attribute": WISHART.replace('"X"', '"X.T", "X"'),
    "huge power": WISHART.replace('"X"', '"Sigma^99999999999", "X"'),
    "huge number": WISHART.replace("p = 0.5", "p = 1" + "0" * 400),
    "nan": WISHART.replace("p = 0.5", "p = nan"),
    "infinite": WISHART.replace("p = 0.5", "p = inf"),
    "negative size": WISHART.replace("p = 0.5", "p = -1"),
    "true is no number": WISHART.replace("p = 0.5", "p = true"),
    "date": WISHART.replace("p = 0.5", "p = 1979-05-27"),
    "nothing": "",
    "two statements": 'H = [["X"]]\n' + WISHART,
    "unknown key": "exec = 1\n" + WISHART,
    "unknown function": WISHART.replace('"X"', '{ eval = "X" }'),
    "two functions": WISHART.replace('"X"', '{ sum = ["X"], inverse = ["X"] }'),
    "empty term": WISHART.replace('["X"]', "[]"),
    "list in a product": WISHART.replace('["X"]', '["X", ["X"]]'),
    "no matrix": WISHART.replace('"X"', "1"),
    "matrix without columns": WISHART.replace('columns = "n", ', ""),
    "symmetric is text": WISHART.replace('per = "n"', 'per = "n", symmetric = "yes"'),
    "matrix is text": WISHART.replace('{ rows = "p", columns = "n", per = "n" }', '"random"'),
    "space is a list": WISHART.replace("p = 0.5", "p = [0.5]"),
    "eigenvalues are text": 'eigenvalues = "digits"\n' + WISHART,
    "negative eigenvalue": "eigenvalues = [-1.0]\n" + WISHART,
    "weights alone": "weights = [1.0]\n" + WISHART,
    "unused parameter": "parameters = { a = 1.0 }\n" + WISHART,
    "not self-adjoint": WISHART.replace("gram", "H").replace('rows = "p"', 'rows = "n"'),
    "deep nesting": "a = " + "[" * 5000 + "]" * 5000,
    "deep functions": WISHART.replace('"X"', '{ sum = ["X"] }')
    .replace('["X"]', '[{ sum = ["X"] }]')
    .replace('["X"]', '[{ sum = [{ sum = [{ sum = [{ sum = [{ sum = ["X"] }] }] }] }] }]'),
    "many factors": WISHART.replace('"X"', ", ".join(["1"] * 70) + ', "X"'),
    "blow-up": WISHART.replace(
        '"X"', ", ".join(['{ sum = [[1], ["Sigma"], ["Sigma^2.1"]] }'] * 20) + ', "X"'
    ),
    "broken TOML": "gram = [[",
    "bytes": b"\xff\xfe\x00gram",
    "too long": "#" + "x" * MAX_BYTES,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | bytes) -> None:
    """One line on stderr that names the file, exit code 2, nothing executed."""
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path, text)
    command.refused("pencil", path)
    assert not (tmp_path / "PWNED").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["pencil.toml"]


def test_nothing_in_the_package_evaluates_text() -> None:
    """sympify and parse_expr evaluate their argument when it is text."""
    forbidden = {"eval", "exec", "compile", "sympify", "parse_expr", "lambdify", "S"}
    for path in (ROOT / "dmft_rf" / "pencil").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in forbidden, path.name
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "sympy":
                assert node.attr not in forbidden, path.name


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_pencil(tmp_path / "missing.toml")
    with pytest.raises(DataError, match="is a directory"):
        read_pencil(tmp_path)


DOTTED = ".".join(["a"] * 30_000)
QUADRATIC = {
    "key": f"{DOTTED} = 1\n" + WISHART,
    "header": f"[{DOTTED}]\n" + WISHART,
    "inline": f"x = {{{DOTTED} = 1}}\n" + WISHART,
    "quoted": ".".join(['"a"'] * 16_000) + " = 1\n" + WISHART,
    "after a comment in quotes": f'"#"."\'".{DOTTED} = 1\n' + WISHART,
    "after a text": f"x = '''a\n'''\n{DOTTED} = 1\n" + WISHART,
    "blanks": " . ".join(["a"] * 16_000) + " = 1\n" + WISHART,
}


@pytest.mark.parametrize("text", QUADRATIC.values(), ids=QUADRATIC.keys())
def test_dotted_keys_are_refused_before_they_are_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """60 kB of one took 5 GB of memory and minutes."""

    def parse(_: str) -> None:
        raise AssertionError("the file was parsed")

    monkeypatch.setattr("tomllib.loads", parse)
    with pytest.raises(DataError, match=r"a key has .* parts"):
        read_pencil(written(tmp_path, text))


def test_dots_elsewhere_are_no_keys(tmp_path: Path) -> None:
    dots = "." * 300
    numbers = ", ".join(["0.5", "1.5"] * 100)
    text = f"# {dots}\neigenvalues = [{numbers}] # {dots}\n" + WISHART
    assert read_pencil(written(tmp_path, text)).covariance == Covariance([0.5, 1.5])
    text = WISHART.replace("p = 0.5", f"p = '{dots}'").replace('"X"', f'"{dots}"', 1)
    with pytest.raises(DataError, match="is neither a parameter"):
        read_pencil(written(tmp_path, text))


PLACES = {
    "eigenvalues": "eigenvalues = @\n" + WISHART,
    "space": WISHART.replace("0.5", "@"),
    "rows": WISHART.replace('rows = "p"', "rows = @"),
    "variance": WISHART.replace('per = "n"', 'per = "n", variance = @'),
    "factor": WISHART.replace('["X"]', '[@, "X"]'),
    "shift": WISHART.replace('["X"]', '[{ shift = @ }, "X"]'),
    "parameters": "parameters = @\n" + WISHART,
    "parameter": "parameters = { a = @ }\n" + WISHART,
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_values_that_cannot_be_printed_or_walked_through(tmp_path: Path, place: str) -> None:
    """Lists in lists, tables in tables, numbers of 20,000 digits: one line each."""
    values = ["0x" + "F" * 20_000, "9" * 5000, "1e309", "1e300", "1e-300", "nan", "true"]
    for depth in (30, 41, 100, 300, 450, 900, 2000):
        values += ["[" * depth + "1" + "]" * depth, "{a = " * depth + "1" + "}" * depth]
    for value in values:
        with pytest.raises(DataError) as caught:
            read_pencil(written(tmp_path, place.replace("@", value))).bind()
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) <= 1000


@pytest.mark.parametrize(
    "factors",
    [
        ", ".join(["1e29"] * 12),
        ", ".join(["123456789012345"] * 50),
        '{ sum = [[1e29], ["Sigma"]] }, ' * 12 + "1",
    ],
)
def test_coefficients_too_large_for_a_float(tmp_path: Path, factors: str) -> None:
    """These were an OverflowError, or infinite without a word."""
    text = 'sigma = "p"\n' + WISHART.replace('["X"]', f'[{factors}, "X"]')
    with pytest.raises(DataError, match=r"coefficient is .* float"):
        read_pencil(written(tmp_path, text))
    with pytest.raises(ModelError, match=r"coefficient is .* float"):
        Scalar.of(1e100) ** 4
    with pytest.raises(ModelError, match=r"coefficient is .* float"):
        Scalar.of(10**15) ** 50


# -- the command --------------------------------------------------------------------------------


@pytest.mark.compiled
def test_command_prints_and_writes(tmp_path: Path) -> None:
    picture, results = tmp_path / "a.png", tmp_path / "a.h5"
    done = run(EXAMPLES / "anticommutator.toml", "--plot", picture, "--out", results)
    assert done.exit_code == 0, done.output
    assert "g_1 = (1/d) Tr G[u,u]" in done.stdout
    assert "3.33019" in done.stdout
    assert picture.stat().st_size > 5000
    (stored,) = load(results).values()
    assert stored.kind == "pencil"
    assert_allclose(stored.arrays["edges"], [[-3.330190676, 3.330190676]], rtol=1e-9)
    with pytest.raises(DataError, match="no score model"):
        stored.model()
    again = run(EXAMPLES / "anticommutator.toml", "--plot", picture)
    assert again.exit_code == 0
    again = run(EXAMPLES / "anticommutator.toml", "--out", results)
    assert again.exit_code == 2


def test_command_in_json(tmp_path: Path) -> None:
    document = command.result("pencil", written(tmp_path, WISHART))
    assert_allclose(document["results"]["mean"], 1.0, rtol=1e-12)
    assert_allclose(document["results"]["second_moment"], 1.5, rtol=1e-12)
    assert document["blocks"] == {"u": "p", "x1": "n"}
    assert document["latex"].startswith("\\begin{aligned}")


def test_command_in_latex(tmp_path: Path) -> None:
    done = run(written(tmp_path, WISHART), "--latex")
    assert done.exit_code == 0
    assert r"\mathrm{Tr}" in done.stdout


@pytest.mark.compiled
def test_hard_edges_and_atoms_are_drawn(tmp_path: Path) -> None:
    """The density is infinite at 0 for p = n; the picture is finite."""
    for size, name in ((1.0, "hard"), (2.0, "atom")):
        text = WISHART.replace("p = 0.5", f"p = {size}")
        picture = tmp_path / f"{name}.pdf"
        assert run(written(tmp_path, text), "--plot", picture).exit_code == 0
        assert picture.stat().st_size > 3000


# -- the tutorial -------------------------------------------------------------------------------
