"""Reports as a list of blocks, written as one self-contained HTML page and as Markdown."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from dmft_rf.files.replace import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2em auto;padding:0 1em;color:#222;
  background:#fff}
table{border-collapse:collapse;font-size:13px;margin:.8em 0}
td,th{padding:.15em .7em;text-align:right;border-bottom:1px solid #ddd}
td.text,th.text{text-align:left} img{max-width:100%;height:auto} h2{margin-top:2em}
nav a{margin-right:1em;white-space:nowrap} code{background:#f2f2f2;padding:0 .25em}
.PASS{color:#00694f} .FAIL{color:#b84700}
"""


@dataclass(frozen=True)
class Heading:
    """A heading; ``name`` is what links lead to."""

    level: int
    text: str
    name: str = ""


@dataclass(frozen=True)
class Verdict:
    """PASS or FAIL, in large letters."""

    word: str


@dataclass(frozen=True)
class Image:
    """A PNG picture; ``file`` is its name beside the page, without which Markdown leaves it out."""

    png: bytes
    title: str
    file: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells under a head; columns after the first ``texts`` are aligned to the right."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int = 1

    def __str__(self) -> str:
        rule = ["---" if i < self.texts else "---:" for i in range(len(self.head))]
        return "\n".join("| " + " | ".join(line) + " |" for line in [self.head, rule, *self.rows])


@dataclass(frozen=True)
class Links:
    """Links to headings of the page, by their names."""

    names: Sequence[str]


@dataclass(frozen=True)
class Code:
    """A line to be typed."""

    text: str


#: what a page is made of; a text is a paragraph
Block: TypeAlias = Heading | Verdict | Image | Table | Links | Code | str


def png(figure: Figure, dpi: int = 110) -> bytes:
    """A picture as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def write_html(path: Path, title: str, blocks: Iterable[Block]) -> None:
    """Write the page, with its pictures in it; DataError if that fails."""
    body = "\n".join(_html(block) for block in blocks)
    _write(
        path,
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body>{body}</body></html>\n",
    )


def write_markdown(path: Path, blocks: Iterable[Block]) -> None:
    """Write the page as Markdown; pictures without a file are left out. DataError if that fails."""
    texts = (_markdown(block) for block in blocks)
    _write(path, "\n\n".join(text for text in texts if text) + "\n")


def _write(path: Path, text: str) -> None:
    with replacing(path, overwrite=True) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _markdown(block: Block) -> str:
    match block:
        case Heading():
            return f"{'#' * block.level} {block.text}"
        case Verdict():
            return f"**{block.word}**"
        case Image():
            return f"![{Path(block.file).stem}]({block.file})" if block.file else ""
        case Links():
            return ""
        case Code():
            return f"    {block.text}"
        case _:
            return str(block)


def _html(block: Block) -> str:
    match block:
        case Heading():
            name = f' id="{html.escape(block.name)}"' if block.name else ""
            return f"<h{block.level}{name}>{html.escape(block.text)}</h{block.level}>"
        case Verdict():
            return f'<p style="font-size:1.6em"><b class="{block.word}">{block.word}</b></p>'
        case Image():
            data = base64.b64encode(block.png).decode()
            alt = html.escape(block.title)
            return f'<p><img alt="{alt}" src="data:image/png;base64,{data}"></p>'
        case Table():
            lines = [_row("th", block.head, block.texts)]
            lines += [_row("td", row, block.texts) for row in block.rows]
            return f"<table>{''.join(lines)}</table>"
        case Links():
            links = " ".join(f'<a href="#{name}">{name}</a>' for name in block.names)
            return f"<nav>{links}</nav>"
        case Code():
            return f"<p><code>{html.escape(block.text)}</code></p>"
        case _:
            return f"<p>{html.escape(block)}</p>"


def _row(kind: str, cells: Sequence[str], texts: int) -> str:
    left = ' class="text"'
    parts = (
        f"<{kind}{left if i < texts else ''}>{html.escape(cell)}</{kind}>"
        for i, cell in enumerate(cells)
    )
    return f"<tr>{''.join(parts)}</tr>"
