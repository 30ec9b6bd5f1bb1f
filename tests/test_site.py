"""The pages in docs/ as a site: every page has its place, every public name its entry."""

import ast
import inspect
import operator
import re
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import dmft_rf

DOCS = Path(__file__).parents[1] / "docs"
# results, tables of names and helpers of modules whose functions are listed
NOT_LISTED = {
    "errors", "coefficients.of_stated", "coefficients.deviation", "coefficients.linear_part",
    "phaseplot.plot_phase_diagram", "phaseplot.draw_phases", "points.Request",
}  # fmt: skip


def setting(name: str) -> Any:
    """A constant of docs/conf.py, which only Sphinx can import."""
    for node in ast.parse((DOCS / "conf.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
            return ast.literal_eval(node.value)
    raise AssertionError(name)


def public(alias: str, module: ModuleType) -> set[str]:
    """Functions and classes that a module offers."""
    names = getattr(module, "__all__", None) or [
        name for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__ and not name.startswith("_")
    ]  # fmt: skip
    return {f"{alias}.{name}" for name in names if callable(getattr(module, name))}


def test_every_page_has_a_place() -> None:
    entries = [entry for entries in setting("SECTIONS").values() for entry in entries]
    places = [re.sub(r".*<(.*)>", r"\1", entry) for entry in entries]
    assert len(places) == len(set(places))
    pages = {page.stem for page in DOCS.glob("*.md")} - {"index"}
    copies = {f"generated/{name}" for name in setting("COPIES").values()}
    assert set(places) == pages | copies | {"generated/cli"}


def test_every_public_name_is_in_the_reference() -> None:
    listed = set(re.findall(r"^   ([\w.]+)$", (DOCS / "api.md").read_text(encoding="utf-8"), re.M))
    expected = set(dmft_rf.__all__) - {"__version__"}
    for alias in dmft_rf._MODULES:
        expected |= public(alias, getattr(dmft_rf, alias))
    expected = {name for name in expected if not {name, name.split(".")[0]} & NOT_LISTED}
    values = {"pencil.Sigma", "pencil.z", "store.describe_model", "store.describe_rule"}
    assert listed - {"errors.DataScaleWarning"} == expected - values


def test_functions_of_the_reference_say_what_they_return() -> None:
    """All that return something; numpydoc's rule would ask it of every private line, too."""
    names = re.findall(r"^   ([\w.]+)$", (DOCS / "api.md").read_text(encoding="utf-8"), re.M)
    functions = {name: operator.attrgetter(name)(dmft_rf) for name in names}
    silent = [
        name for name, found in functions.items()
        if inspect.isfunction(found)
        and inspect.signature(found).return_annotation not in ("None", None)
        and "Returns\n-------\n" not in (inspect.getdoc(found) or "")
    ]  # fmt: skip
    assert silent == []
    assert "solve" in functions


PAGES = sorted(
    [*DOCS.glob("*.md"), *(DOCS.parent / name for name in [*setting("COPIES"), "README.md"])]
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_fit_a_window(page: Path) -> None:
    """Of pages and of their sources: prose, formulas, code and rows of tables."""
    lines = enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
    assert [f"{page.name}:{number}" for number, line in lines if len(line) > 130] == []


def test_ten_questions_of_each_reader_lead_somewhere() -> None:
    """tests/test_readme.py follows the links."""
    text = (DOCS / "readers.md").read_text(encoding="utf-8")
    for part in text.split("\n## ")[1:]:
        questions = re.split(r"^\d+\. ", part, flags=re.M)[1:]
        assert len(questions) == 10
        assert all(q.startswith("*") and "?*" in q and ".md" in q for q in questions)


def test_what_is_released_has_one_version_and_one_list_of_requirements() -> None:
    root = DOCS.parent
    version = dmft_rf.__version__
    recipe = (root / "conda" / "meta.yaml").read_text(encoding="utf-8")
    assert f'{{% set version = "{version}" %}}' in recipe
    assert f"\nversion: {version}\n" in (root / "CITATION.cff").read_text(encoding="utf-8")
    for page in (root / "README.md", DOCS / "citing.md"):
        cited = re.findall(r"version\s+= \{(.*?)\}", page.read_text(encoding="utf-8"))
        assert cited == [version]
    stated = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    expected = {"python >={{ python_min }}"} | {
        requirement.replace("matplotlib>=", "matplotlib-base>=").replace(">=", " >=")
        for requirement in stated["dependencies"]
    }
    listed = recipe.split("  run:\n")[1].split("\n\n")[0]
    assert {line.removeprefix("    - ") for line in listed.splitlines()} == expected
