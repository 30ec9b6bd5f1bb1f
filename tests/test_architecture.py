"""The layers of docs/architecture.md, enforced: who may import whom, and what an import costs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import dmft_rf

PACKAGE = "dmft_rf"
ROOT = Path(dmft_rf.__file__).parent

# From below: modules and packages (with all that is in them), and the layers they may import
# besides their own. The package itself ("") is the list of public names.
LAYERS: dict[str, tuple[set[str], set[str]]] = {
    "base": (
        {
            "_version",
            "_arithmetic",
            "_convert",
            "_frozen",
            "_hdf5",
            "_interrupt",
            "_jit",
            "_paths",
            "_text",
            "errors",
            "estimate",
            "region",
        },
        set(),
    ),
    "numerics": ({"kernels", "contour"}, {"base"}),
    "parameters": (
        {
            "_checks",
            "_probes",
            "accumulator",
            "activation",
            "coefficients",
            "covariance",
            "gaussian",
            "model",
            "rules",
            "descent",
            "groups",
            "mixture",
            "quadrature",
            "units",
        },
        {"base"},
    ),
    "input": (
        {"_readers", "_text_reader", "_hdf5_reader", "_columns", "datasets", "data"},
        {"base", "parameters"},
    ),
    "spectra": (
        {"edge_map", "support", "grouped_support", "stieltjes", "law", "pencil"},
        {"base", "numerics", "parameters"},
    ),
    "solution": (
        {
            "closed_nodes",
            "forms",
            "kept",
            "majorants",
            "nodes",
            "grouped_nodes",
            "measure",
            "dynamics",
            "solution",
        },
        {"base", "numerics", "parameters", "spectra"},
    ),
    "files": (
        {"_output", "_claim", "_frames", "_database", "ledger", "store"},
        {"base", "parameters"},
    ),
    "answers": (
        {
            "bulks",
            "relaxation",
            "thresholds",
            "exponents",
            "points",
            "axes",
            "plans",
            "tables",
            "workers",
            "campaign",
            "sweeps",
            "phases",
        },
        {"base", "numerics", "parameters", "spectra", "solution", "files"},
    ),
    "names": (
        {""},
        {"base", "parameters", "input", "spectra", "solution", "files", "answers"},
    ),
    "outside": (
        {"_drawing", "plotting", "phaseplot", "cli", "__main__"},
        {"base", "parameters", "input", "spectra", "solution", "files", "answers", "names"},
    ),
}
HEAVY = ("matplotlib", "h5py", "sympy", "scipy.optimize", "numba")


def _name(path: Path) -> str:
    """Dotted name below the package; "" for the package itself."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def layer_of(module: str) -> str:
    """The layer that lists the module or the package it is in."""
    top = module.partition(".")[0]
    homes = [layer for layer, (members, _) in LAYERS.items() if top in members]
    assert len(homes) == 1, f"{module!r} must be in exactly one layer, it is in {homes}"
    return homes[0]


def _statements(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Import statements that run, at the top or inside functions: not under TYPE_CHECKING."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from _statements(ast.Module(child.orelse, []))
        else:
            yield from _statements(child)


def imports(module: str) -> set[str]:
    """Modules of the package that ``module`` imports at run time."""
    source = FILES[module].read_text(encoding="utf-8")
    package = [PACKAGE, *(module.split(".") if module else [])]
    if FILES[module].name != "__init__.py":
        package = package[:-1]
    found: set[str] = set()
    for statement in _statements(ast.parse(source)):
        if isinstance(statement, ast.Import):
            targets = [alias.name for alias in statement.names]
        else:
            base = statement.module or ""
            if statement.level:
                stem = package[: len(package) - statement.level + 1]
                base = ".".join([*stem, base] if base else stem)
            # "from package import x" takes the module x if there is one, and else the package
            deeper = [f"{base}.{alias.name}" for alias in statement.names]
            known = [name for name in deeper if _below(name) in FILES]
            targets = known if len(known) == len(deeper) else [base, *known]
        found |= {_below(name) for name in targets if f"{name}.".startswith(f"{PACKAGE}.")}
    return found - {module}


def _below(name: str) -> str:
    return name.removeprefix(PACKAGE).removeprefix(".")


def test_every_module_has_a_layer() -> None:
    listed = {member for members, _ in LAYERS.values() for member in members}
    assert {module.partition(".")[0] for module in FILES} == listed


@pytest.mark.parametrize("module", sorted(FILES), ids=lambda name: name or PACKAGE)
def test_imports_flow_one_way(module: str) -> None:
    layer = layer_of(module)
    allowed = LAYERS[layer][1] | {layer}
    wrong = {name: layer_of(name) for name in imports(module) if layer_of(name) not in allowed}
    assert not wrong, f"{module} ({layer}) imports {wrong}; allowed are {sorted(allowed)}"


def test_public_names_come_from_below() -> None:
    allowed = LAYERS["names"][1]
    homes = {name: layer_of(module) for name, module in dmft_rf._HOME.items()}
    assert {name: home for name, home in homes.items() if home not in allowed} == {}


def test_there_is_no_cycle() -> None:
    """Modules can be put in an order in which each imports only earlier ones."""
    # a package stands for its __init__, which its modules do not need to name
    left = {module: {name for name in imports(module) if name} for module in FILES}
    while left:
        free = [module for module, needs in left.items() if not needs & left.keys()]
        assert free, f"these import one another: {left}"
        for module in free:
            del left[module]


def test_kernels_that_call_one_another_live_in_one_module() -> None:
    """The disk cache of a kernel is renewed when its own file changes, not when another does."""
    calls = {module: imports(module) for module in FILES if module.startswith("kernels.")}
    assert {module: names - {"_jit"} for module, names in calls.items() if names - {"_jit"}} == {}


def test_the_detector_sees_what_it_should(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        "from typing import TYPE_CHECKING\n"
        "from . import kernels\n"
        "from .kernels import fixed_point\n"
        "from .errors import ModelError\n"
        "import dmft_rf.law as law\n"
        "import dmft_rfx\n"
        "if TYPE_CHECKING:\n"
        "    from dmft_rf.model import ScoreModel\n"
        "else:\n"
        "    from dmft_rf import solution\n"
        "def f():\n"
        "    try:\n"
        "        from dmft_rf import solve\n"
        "    except ImportError:\n"
        "        pass\n"
    )
    path = tmp_path / "probe.py"
    path.write_text(source, encoding="utf-8")
    monkeypatch.setitem(FILES, "probe", path)
    expected = {"kernels", "kernels.fixed_point", "errors", "law", "solution", ""}
    assert imports("probe") == expected


# -- public names ------------------------------------------------------------------------------


def test_no_public_name_is_a_module() -> None:
    """Importing the module ``law`` must not replace the function ``spectrum``, and so on."""
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
        ("import dmft_rf.plotting", HEAVY),
    ],
)
def test_import_is_light(statement: str, unwanted: tuple[str, ...]) -> None:
    assert not loaded_after(statement) & set(unwanted)
