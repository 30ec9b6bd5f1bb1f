"""Formulas as MathML, which browsers draw without a script: pages are read without a network."""

from __future__ import annotations

import re
from typing import Any

from docutils.nodes import SkipNode
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml


def translated(formula: str, block: bool) -> str:
    """The MathML of a formula in TeX; MathError names a command that is not known."""
    plain = re.sub(r"\{\\rm\s*([^{}]*)\}", r"{\\mathrm{\1}}", formula)
    plain = plain.replace(r"\dots", r"\ldots")
    try:
        found = str(tex2mathml(plain, as_block=block))
        return found.replace('class="ams-align">', 'class="ams-align" displaystyle="true">')
    except MathError as error:
        raise MathError(f"{formula}: {error}") from error


def inline(writer: Any, node: Any) -> None:
    """Write a formula in a line."""
    writer.body.append(translated(node.astext(), block=False))
    raise SkipNode


def displayed(writer: Any, node: Any) -> None:
    """Write a formula in lines of its own; what is wider than the page scrolls."""
    formula = translated(node.astext(), block=True)
    writer.body.append(f'<div class="math" style="overflow-x: auto">{formula}</div>\n')
    raise SkipNode
