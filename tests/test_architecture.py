"""The rooms of docs/architecture.md, enforced: who may import whom, and what an import costs."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

import dmft_rf

PACKAGE = "dmft_rf"
ROOT = Path(dmft_rf.__file__).parent
PAGE = ROOT.parent / "docs" / "architecture.md"

# From below: each room and the rooms that it may import from, besides itself and the base.
ROOMS: dict[str, set[str]] = {
    "kernels": set(),
    "numerics": {"kernels"},
    "model": {"numerics"},
    "rules": {"numerics"},
    "files": {"model"},
    "data": {"model", "files"},
    "spectra": {"kernels", "numerics", "model"},
    "images": {"numerics", "model", "spectra"},
    "pencil": {"kernels", "numerics", "model", "spectra"},
    "curves": {"kernels", "numerics", "model", "rules", "spectra", "images"},
    "generated": {"kernels", "numerics", "model", "rules", "spectra", "curves"},
    "sweeps": {"numerics", "model", "rules", "spectra", "images", "curves", "files"},
    "monitor": {"model", "data", "files", "images", "curves"},
    "plotting": {
        "model",
        "rules",
        "spectra",
        "images",
        "pencil",
        "curves",
        "generated",
        "files",
        "sweeps",
        "monitor",
    },
}
# a client of the public names, as a script of a user is
ROOMS["explorer"] = set()
ROOMS["cli"] = set(ROOMS) - {"kernels", "numerics"}
BASE = {
    "errors", "_above", "_arithmetic", "_convert", "_frozen", "_interrupt", "_paths", "_show",
    "_stored", "_typing", "_version", "units",
}  # fmt: skip
# what a user imports by name, of rooms: the names of the package, the command, stored results
DOORS = {"", "__main__", "store"}
# imports from the ground to the command, lines of a module
MOST_FLOORS, MOST_LINES = 12, 400
HEAVY = ("matplotlib", "h5py", "sympy", "scipy.optimize", "scipy.special", "numba")


def _name(path: Path) -> str:
    """Dotted name below the package; "" for the package itself."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def room_of(module: str) -> str:
    """The room that a module is in; "" for the base and the doors."""
    top = module.partition(".")[0]
    return "" if top in BASE | DOORS else top


def _statements(node: ast.AST, types: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """Import statements, inside functions too; ``types``: also those for annotations alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test) and not types:
            yield from _statements(ast.Module(child.orelse, []), types)
        else:
            yield from _statements(child, types)


def _targets(path: Path, files: Collection[str], types: bool) -> set[str]:
    """Full names of the modules that a file imports; ``files`` are those that may be meant."""
    found: set[str] = set()
    for statement in _statements(ast.parse(path.read_text(encoding="utf-8")), types):
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
            continue
        assert not statement.level, f"{path}: imports are absolute"
        base = statement.module or ""
        # "from package import x" takes the module x if there is one, and else the package
        deeper = [f"{base}.{alias.name}" for alias in statement.names]
        known = {name for name in deeper if name in files}
        found |= known if len(known) == len(deeper) else {base, *known}
    return found


def imports(module: str, *, types: bool = False) -> set[str]:
    """Modules of the package that ``module`` imports."""
    full = {f"{PACKAGE}.{name}" for name in FILES}
    names = _targets(FILES[module], full, types)
    return {_below(name) for name in names if f"{name}.".startswith(f"{PACKAGE}.")} - {module}


def _below(name: str) -> str:
    return name.removeprefix(PACKAGE).removeprefix(".")


def test_every_module_is_in_a_room() -> None:
    assert {module.partition(".")[0] for module in FILES} == set(ROOMS) | BASE | DOORS


@pytest.mark.parametrize("module", sorted(set(FILES) - DOORS))
def test_imports_flow_one_way(module: str) -> None:
    """A module of the base needs the base alone, one of a room its room and those below it.

    So do annotations: what they name has to be known.
    """
    allowed = set() if module in BASE else {room_of(module)} | ROOMS[room_of(module)]
    wrong = {
        name
        for name in imports(module, types=True)
        if name not in BASE and room_of(name) not in allowed and name != ""
    }
    assert not wrong, f"{module} imports {wrong}; allowed are {sorted(allowed)} and the base"
    # the public names stand above all that they are made of
    assert "" not in imports(module) or room_of(module) in ("plotting", "explorer", "cli")


def test_rooms_stand_one_above_the_other() -> None:
    for number, (room, below) in enumerate(ROOMS.items()):
        assert below <= set(list(ROOMS)[:number]), room


def test_every_room_says_what_lives_there() -> None:
    for room in ROOMS:
        text = ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text()))
        assert text is not None, room
        assert 60 < len(text) < 600, room


def in_order(needs: Mapping[str, set[str]]) -> list[str]:
    """The modules in an order in which each imports only earlier ones."""
    left, order = dict(needs), []
    while left:
        free = [module for module, wanted in left.items() if not wanted & left.keys()]
        assert free, f"these import one another: {left}"
        order += free
        for module in free:
            del left[module]
    return order


def test_there_is_no_cycle() -> None:
    # a package stands for its __init__, which its modules do not need to name
    in_order({module: {name for name in _needs(module) if name} for module in FILES})


def _needs(module: str) -> set[str]:
    """What a module imports, for annotations too.

    Pencil and System have methods that open the modules above them, whose functions take a Pencil
    or a System: there annotations alone go both ways.
    """
    return imports(module, types=room_of(module) != "pencil")


def test_few_floors() -> None:
    @cache
    def floor(module: str) -> int:
        return 1 + max((floor(name) for name in imports(module) if name), default=0)

    assert max(map(floor, FILES)) <= MOST_FLOORS


def test_modules_are_short() -> None:
    """One that has grown beyond this does more than one job."""
    tops = ("dmft_rf", "validation", "figures", "tests")
    paths = [path for top in tops for path in (ROOT.parent / top).rglob("*.py")]
    lines = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    assert not {name: count for name, count in lines.items() if count > MOST_LINES}


# -- validation and figures, beside the library ------------------------------------------------

BESIDE = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for top in ("validation", "figures")
    for path in sorted((ROOT.parent / top).rglob("*.py"))
}
# From below: each room and the rooms that it may import from, besides itself and the library. The
# commands stand above them, and so do the figures.
RUN, ANALYSIS = "validation.networks.run", "validation.networks.analysis"
PICTURES = "validation.networks.pictures"
BESIDE_ROOMS: dict[str, set[str]] = {
    "validation.common": set(),
    "validation.golden": {"validation.common"},
    "validation.attack": {"validation.common"},
    "validation.benchmark": {"validation.common"},
    "validation.finite": {"validation.common"},
    RUN: {"validation.common"},
    "validation.compare": {"validation.common", "validation.finite", RUN},
    ANALYSIS: {"validation.common", RUN},
    PICTURES: {"validation.common", RUN, ANALYSIS},
}


def beside(module: str) -> set[str]:
    """Modules of validation and figures that a module imports, for annotations too."""
    return (_targets(BESIDE[module], BESIDE, True) & BESIDE.keys()) - {module}


def test_the_library_knows_nothing_beside_it() -> None:
    for module, path in FILES.items():
        tops = {name.partition(".")[0] for name in _targets(path, BESIDE, True)}
        assert not tops & {"validation", "figures", "tests"}, module


def test_validation_and_figures_have_no_cycle() -> None:
    in_order({module: beside(module) for module in BESIDE})


@pytest.mark.parametrize("room", BESIDE_ROOMS)
def test_rooms_beside_the_library(room: str) -> None:
    assert BESIDE_ROOMS[room] <= set(list(BESIDE_ROOMS)[: list(BESIDE_ROOMS).index(room)])
    members = {name for name in BESIDE if f"{name}.".startswith(f"{room}.")}
    assert members
    for module in members:
        for name in beside(module) - members:
            assert any(f"{name}.".startswith(f"{below}.") for below in BESIDE_ROOMS[room]), (
                f"{module} imports {name}"
            )
    if room in BESIDE and BESIDE[room].name == "__init__.py":
        text = ast.get_docstring(ast.parse(BESIDE[room].read_text(encoding="utf-8")))
        assert text is not None
        assert 60 < len(text) < 700


def test_validation_does_not_need_figures() -> None:
    for module in BESIDE:
        if module.startswith("validation"):
            assert not any(name.startswith("figures") for name in beside(module)), module


def test_the_page_names_every_room_and_only_modules_that_exist() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(re.search(rf"^\S*\s+{room} ", text, re.MULTILINE) for room in ROOMS)
    for room, module in re.findall(r"`([a-z]+)/(\w+)`", text):
        if room in ROOMS:
            assert f"{room}.{module}" in FILES, f"{room}/{module}"


# words of the page's table, the module that their row names, and what of it is looked for
WANTED = [
    ("mu_1", "model/coefficients", "coefficients"),
    ("d_eff", "model/eigenvalue_law", "EigenvalueLaw"),
    ("folders of images", "data/image_folder", "ImageFolder"),
    ("classes of data", "model/mixture", "Mixture"),
    ("ridge", "rules/flow", "Ridge"),
    ("momentum", "rules/steps", "HeavyBall"),
    ("SGD", "rules/stochastic", "StochasticGradientDescent"),
    ("noise levels", "units", "t_from_sigma"),
    ("contour", "numerics/contour", "Contour"),
    ("fixed point", "kernels/closed_form", "newton"),
    ("V_Q", "curves/two_point", "OneGroupPairs"),
    ("masses", "spectra/grouped_support", "GroupedSupportFinder"),
    ("Stieltjes", "spectra/resolvent", "Resolvent"),
    ("infinite width", "spectra/sample_law", "SampleLaw"),
    ("train loss", "curves/losses", "LearningCurves"),
    ("usable interval", "curves/timescales", "Timescales"),
    ("n*", "curves/thresholds", "n_star"),
    ("share of each bulk", "curves/bulk_split", "bulk_split"),
    ("what is generated", "generated/generation", "generation"),
    ("local exponents", "sweeps/scaling", "scaling"),
    ("survive a kill", "files/ledger", "Ledger"),
    ("Dyson equation", "pencil/derive", "derive"),
    ("natural units", "pencil/balance", "balanced"),
    ("exit codes", "cli/_frame", "OneLineErrors"),
]


@pytest.mark.parametrize(("words", "module", "name"), WANTED)
def test_the_page_leads_to_what_is_looked_for(words: str, module: str, name: str) -> None:
    rows = [row for row in PAGE.read_text(encoding="utf-8").splitlines() if row.startswith("| ")]
    assert any(words in row and f"`{module}`" in row for row in rows)
    tree = ast.parse(FILES[module.replace("/", ".")].read_text(encoding="utf-8"))
    kinds = ast.FunctionDef | ast.ClassDef
    assert name in {one.name for one in tree.body if isinstance(one, kinds)}


def test_kernels_need_nothing_but_kernels() -> None:
    """The disk cache of a kernel is renewed when a file of its folder changes, and no other."""
    outside = {
        module: {name for name in imports(module) if room_of(name) != "kernels"}
        for module in FILES
        if room_of(module) == "kernels"
    }
    assert {module: names for module, names in outside.items() if names} == {
        "kernels._jit": {"_interrupt"}
    }


def test_the_detector_sees_what_it_should(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        "from typing import TYPE_CHECKING\n"
        "from dmft_rf.kernels import grouped\n"
        "from dmft_rf.errors import ModelError\n"
        "import dmft_rf.spectra.spectrum as law\n"
        "import dmft_rfx\n"
        "if TYPE_CHECKING:\n"
        "    from dmft_rf.model.score_model import ScoreModel\n"
        "else:\n"
        "    from dmft_rf import curves\n"
        "def f():\n"
        "    try:\n"
        "        from dmft_rf import solve\n"
        "    except ImportError:\n"
        "        pass\n"
    )
    path = tmp_path / "probe.py"
    path.write_text(source, encoding="utf-8")
    monkeypatch.setitem(FILES, "probe", path)
    expected = {"kernels.grouped", "errors", "spectra.spectrum", "curves", ""}
    assert imports("probe") == expected
    assert imports("probe", types=True) == expected | {"model.score_model"}


# -- public names ------------------------------------------------------------------------------


def test_no_public_name_is_a_module() -> None:
    """Importing a module must not replace the function of its name."""
    assert not set(dmft_rf.__all__) & set(FILES)


def test_public_names_are_complete() -> None:
    eager = {"ConvergenceError", "DataError", "ModelError", "WorkerError", "__version__"}
    assert set(dmft_rf.__all__) == set(dmft_rf._HOME) | eager
    assert list(dmft_rf.__all__) == sorted(dmft_rf.__all__)


@pytest.mark.parametrize("name", sorted(dmft_rf._HOME))
def test_public_name_is_at_home(name: str) -> None:
    value = getattr(dmft_rf, name)
    assert value.__module__ == f"{PACKAGE}.{dmft_rf._HOME[name]}"
    assert value is getattr(import_module(value.__module__), name)
    assert value.__doc__


@pytest.mark.parametrize("name", sorted(dmft_rf._MODULES))
def test_modules_with_names_of_their_own(name: str) -> None:
    assert getattr(dmft_rf, name) is import_module(f"{PACKAGE}.{dmft_rf._MODULES[name]}")


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = dmft_rf.nothing


# -- what an import costs ----------------------------------------------------------------------


def loaded_after(statement: str) -> set[str]:
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import dmft_rf", (*HEAVY, "numpy", "scipy", "typer")),
        ("from dmft_rf import Covariance, ScoreModel, GradientFlow, read_covariance", HEAVY),
        ("from dmft_rf import ScoreModel; ScoreModel(0.1, 8, 4).coefficients", HEAVY),
        ("from dmft_rf import solve, spectrum, timescales, scaling, resolvent", HEAVY[:-1]),
        ("import dmft_rf as d; d.solve(d.ScoreModel(0.1, 8, 4))", HEAVY[:-1]),
        ("import dmft_rf.cli", (*HEAVY, "numpy")),
        ("import dmft_rf.pencil.zoo", HEAVY),
        ("import dmft_rf.store", HEAVY),
        ("from dmft_rf.monitor import Monitor, memorized_fraction, read_log", HEAVY),
        ("import dmft_rf.plotting", HEAVY),
        # their commands choose the number of threads before numpy is loaded
        ("import validation.__main__, validation.networks.command", ("numpy",)),
        ("import validation.benchmark.command, figures.__main__", ("numpy",)),
    ],
)
def test_import_is_light(statement: str, unwanted: tuple[str, ...]) -> None:
    assert not loaded_after(statement) & set(unwanted)
