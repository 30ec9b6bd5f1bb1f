"""The contact sheet: all figures with their captions on one self-contained page."""

from __future__ import annotations

from pathlib import Path

from dmft_rf import __version__
from figures.catalogue import MODULES, NETWORKS, figure
from validation.common.page import Block, Code, Heading, Image, Links, write_html

FILE = "index.html"


def write(folder: Path, profile: str) -> list[str]:
    """Write the page with every figure that is in ``folder``; returns their names."""
    names = [name for name in (*MODULES, *NETWORKS) if (folder / f"{name}.png").is_file()]
    blocks: list[Block] = [
        Heading(1, "Figures"),
        f"dmft_rf {__version__}, profile {profile}. Theory as lines, finite networks as markers "
        "with one standard error over seeds. Each figure is beside this page as PNG, PDF and the "
        "numbers behind it (HDF5).",
        Links(names),
    ]
    for name in names:
        about = figure(name)
        image = Image((folder / f"{name}.png").read_bytes(), about.title)
        blocks += [Heading(2, about.title, name), image, about.caption]
        blocks.append(Code(f"python -m figures {name}"))
    write_html(folder / FILE, "dmft_rf: figures", blocks)
    return names
