"""The site: `sphinx-build -W -b html docs docs/_build` with the extra `docs` installed.

Pages are Markdown (MyST); those that begin with ``file_format: mystnb`` are executed. The reference
of the command and the copies of CHANGELOG, CONTRIBUTING and others go to docs/generated first.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))

import command_line  # noqa: E402
import formulas  # noqa: E402

import dmft_rf  # noqa: E402

# the names by which users reach modules of the rooms: dmft_rf.sgd.load
for _alias in dmft_rf._MODULES:
    sys.modules.setdefault(f"dmft_rf.{_alias}", getattr(dmft_rf, _alias))

project = "dmft_rf"
author = "The dmft_rf developers"
project_copyright = author
release = version = dmft_rf.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
]
exclude_patterns = ["_build", "examples", "data", "jupyter_execute", "README.md"]
templates_path = ["_templates"]
root_doc = "index"
html_theme = "pydata_sphinx_theme"
html_title = "dmft_rf"
html_theme_options = {
    "header_links_before_dropdown": 6,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
}
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["formulas.css"]
html_show_sourcelink = False
html_sidebars = {name: [] for name in ("theory", "gallery", "generated/cli")}
smartquotes = False  # they make –data of --data

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
# ```math of GitHub is the math directive here
myst_fence_as_directive = ["math"]
suppress_warnings = ["mystnb.unknown_mime_type"]
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600  # seconds for a cell: against one that hangs, on a machine however busy
nb_merge_streams = True

autosummary_generate = True
autosummary_generate_overwrite = True
autodoc_typehints = "none"
autodoc_member_order = "groupwise"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

#: what stands in the bar, and below each of its entries
SECTIONS = {
    "index": [
        "Start <start>", "Practitioners <practitioners>", "Physicists <physicists>",
        "How-to <howto>", "Concepts <concepts>", "Gallery <gallery>", "API <api>",
        "Command line <generated/cli>", "Theory <theory>", "Evidence <evidence>",
        "Project <project>",
    ],
    "start": ["which", "questions", "explore"],
    "practitioners": ["advise", "monitor", "images"],
    "physicists": ["paper", "groups", "pencils", "fit"],
    "howto": ["data", "sweeps", "capacity"],
    "concepts": ["times", "glossary", "conventions"],
    "evidence": ["validation", "networks", "performance", "numerics", "provenance"],
    "project": [
        "generated/changes", "deprecation", "citing", "generated/contributing",
        "generated/security", "architecture", "generated/bundled", "readers",
    ],
}  # fmt: skip

#: files of the repository that are pages of the site
COPIES = {
    "CHANGELOG.md": "changes",
    "CONTRIBUTING.md": "contributing",
    "SECURITY.md": "security",
    "dmft_rf/data/bundled/README.md": "bundled",
}
#: links out of docs/, as GitHub follows them, and the pages that take their place
OUTSIDE = {f"../{name}": f"generated/{page}.md" for name, page in COPIES.items()} | {
    "../README.md": "index.md",
    "../CITATION.cff": "citing.md",
}


def write_pages(app: Any) -> None:
    """Write docs/generated."""
    folder = HERE / "generated"
    folder.mkdir(exist_ok=True)
    listed = (HERE / "api.md").read_text(encoding="utf-8").split()
    for entry in folder.glob("api/dmft_rf.*.rst"):
        if entry.stem.removeprefix("dmft_rf.") not in listed:
            entry.unlink()
    pages = {"cli": command_line.reference()}
    for name, page in COPIES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        text = re.sub(r"\]\(docs/", "](../", text)
        for other, copy in COPIES.items():
            text = text.replace(f"]({other})", f"]({copy}.md)")
        pages[page] = text.replace("](CITATION.cff)", "](../citing.md)")
    for page, text in pages.items():
        path = folder / f"{page}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def prepare(app: Any, name: str, source: list[str]) -> None:
    """Add the navigation to the pages that head a section; turn links that lead out of docs/."""
    for target, page in OUTSIDE.items():
        source[0] = source[0].replace(f"]({target})", f"]({page})")
    if name in SECTIONS:
        entries = "\n".join(SECTIONS[name])
        source[0] += f"\n\n```{{toctree}}\n:hidden:\n\n{entries}\n```\n"


def plain_bars(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Docstrings write absolute values as |x|, which is a substitution in reStructuredText."""
    for i, line in enumerate(lines):
        parts = re.split(r"(``.*?``)", line)
        lines[i] = "".join(p if p.startswith("``") else p.replace("|", r"\|") for p in parts)


def setup(app: Any) -> None:
    """Connect them."""
    app.add_html_math_renderer("mathml", (formulas.inline, None), (formulas.displayed, None))
    app.connect("builder-inited", write_pages)
    app.connect("source-read", prepare)
    app.connect("autodoc-process-docstring", plain_bars, priority=400)
