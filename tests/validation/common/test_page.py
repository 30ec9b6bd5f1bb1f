"""Reports as pages: what stands in the HTML and the Markdown of the same blocks."""

import base64
from pathlib import Path

from validation.common.page import (
    Block,
    Code,
    Heading,
    Image,
    Links,
    Table,
    Verdict,
    write_html,
    write_markdown,
)

BLOCKS: list[Block] = [
    Heading(1, "Title & more"),
    "a < b",
    Verdict("PASS"),
    Links(["one"]),
    Heading(2, "Part", "one"),
    Table(["name", "rule", "value"], [["<x>", "flow", "1"]], texts=2),
    Image(b"inside", "no file"),
    Image(b"beside", "its title", "picture.png"),
    Code("python -m figures"),
]


def test_markdown(tmp_path: Path) -> None:
    write_markdown(tmp_path / "a.md", BLOCKS)
    assert (tmp_path / "a.md").read_text(encoding="utf-8") == (
        "# Title & more\n\na < b\n\n**PASS**\n\n## Part\n\n"
        "| name | rule | value |\n| --- | --- | ---: |\n| <x> | flow | 1 |\n\n"
        "![picture](picture.png)\n\n    python -m figures\n"
    )


def test_html_is_escaped_and_holds_its_pictures(tmp_path: Path) -> None:
    write_html(tmp_path / "a.html", "a & b", BLOCKS)
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "<title>a &amp; b</title>" in text
    assert "<p>a &lt; b</p>" in text
    assert '<a href="#one">one</a>' in text
    assert '<h2 id="one">Part</h2>' in text
    assert '<td class="text">&lt;x&gt;</td><td class="text">flow</td><td>1</td>' in text
    for png, title in ((b"inside", "no file"), (b"beside", "its title")):
        data = base64.b64encode(png).decode()
        assert f'<img alt="{title}" src="data:image/png;base64,{data}">' in text
