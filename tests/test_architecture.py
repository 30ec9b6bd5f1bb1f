"""The rooms of docs/architecture.md, enforced: who may import whom, and what an import costs."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
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
    "files": {"model", "rules"},
    "data": {"model", "files"},
    "spectra": {"kernels", "numerics", "model"},
    "pencil": {"kernels", "numerics", "model", "spectra"},
    "curves": {"kernels", "numerics", "model", "rules", "spectra"},
    "sweeps": {"model", "rules", "spectra", "curves", "files"},
    "monitor": {"model", "data", "files", "curves"},
    "plotting": {"model", "rules", "spectra", "pencil", "curves", "files", "sweeps", "monitor"},
}
ROOMS["cli"] = set(ROOMS) - {"kernels", "numerics"}
BASE = {
    "errors", "_above", "_arithmetic", "_convert", "_frozen", "_interrupt", "_paths", "_text",
    "_version", "units",
}  # fmt: skip
# what a user imports by name, of rooms: the names of the package, the command, stored results
DOORS = {"", "__main__", "store"}
# imports from the ground to the command
MOST_FLOORS = 25
HEAVY = ("matplotlib", "h5py", "sympy", "scipy.optimize", "numba")


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


def imports(module: str, *, types: bool = False) -> set[str]:
    """Modules of the package that ``module`` imports."""
    found: set[str] = set()
    for statement in _statements(ast.parse(FILES[module].read_text(encoding="utf-8")), types):
        if isinstance(statement, ast.Import):
            targets = [alias.name for alias in statement.names]
        else:
            assert not statement.level, f"{module}: imports are absolute"
            base = statement.module or ""
            # "from package import x" takes the module x if there is one, and else the package
            deeper = [f"{base}.{alias.name}" for alias in statement.names]
            known = [name for name in deeper if _below(name) in FILES]
            targets = known if len(known) == len(deeper) else [base, *known]
        found |= {_below(name) for name in targets if f"{name}.".startswith(f"{PACKAGE}.")}
    return found - {module}


def _below(name: str) -> str:
    return name.removeprefix(PACKAGE).removeprefix(".")


def test_every_module_is_in_a_room() -> None:
    assert {module.partition(".")[0] for module in FILES} == set(ROOMS) | BASE | DOORS


@pytest.mark.parametrize("module", sorted(set(FILES) - DOORS))
def test_imports_flow_one_way(module: str) -> None:
    """A module of the base needs the base alone, one of a room its room and those below it."""
    allowed = set() if module in BASE else {room_of(module)} | ROOMS[room_of(module)]
    wrong = {
        name
        for name in imports(module)
        if name not in BASE and room_of(name) not in allowed and name != ""
    }
    assert not wrong, f"{module} imports {wrong}; allowed are {sorted(allowed)} and the base"
    # the public names stand above all that they are made of
    assert "" not in imports(module) or room_of(module) in ("plotting", "cli")


def test_rooms_stand_one_above_the_other() -> None:
    for number, (room, below) in enumerate(ROOMS.items()):
        assert below <= set(list(ROOMS)[:number]), room


def test_every_room_says_what_lives_there() -> None:
    for room in ROOMS:
        text = ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text()))
        assert text is not None, room
        assert 60 < len(text) < 600, room


def test_there_is_no_cycle() -> None:
    """Modules can be put in an order in which each imports only earlier ones."""
    # a package stands for its __init__, which its modules do not need to name
    left = {module: {name for name in imports(module) if name} for module in FILES}
    while left:
        free = [module for module, needs in left.items() if not needs & left.keys()]
        assert free, f"these import one another: {left}"
        for module in free:
            del left[module]


def test_few_floors() -> None:
    @cache
    def floor(module: str) -> int:
        return 1 + max((floor(name) for name in imports(module) if name), default=0)

    assert max(map(floor, FILES)) <= MOST_FLOORS


def test_the_page_names_every_room_and_only_modules_that_exist() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(re.search(rf"^\S*\s+{room} ", text, re.MULTILINE) for room in ROOMS)
    for room, module in re.findall(r"`([a-z]+)/(\w+)`", text):
        if room in ROOMS:
            assert f"{room}.{module}" in FILES, f"{room}/{module}"


def test_kernels_that_call_one_another_live_in_one_module() -> None:
    """The disk cache of a kernel is renewed when its own file changes, not when another does."""
    calls = {module: imports(module) for module in FILES if module.startswith("kernels.")}
    others = {module: names - {"kernels._jit"} for module, names in calls.items()}
    assert {module: names for module, names in others.items() if names} == {
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
        ("import dmft_rf.cli", (*HEAVY, "numpy")),
        ("import dmft_rf.pencil.zoo", HEAVY),
        ("import dmft_rf.store", HEAVY),
        ("from dmft_rf.monitor import Monitor, memorized_fraction, read_log", HEAVY),
        ("import dmft_rf.plotting", HEAVY),
    ],
)
def test_import_is_light(statement: str, unwanted: tuple[str, ...]) -> None:
    assert not loaded_after(statement) & set(unwanted)
