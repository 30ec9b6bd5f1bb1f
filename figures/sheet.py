"""The contact sheet: all figures with their captions on one self-contained page."""

from __future__ import annotations

import base64
import html
from pathlib import Path

from dmft_rf import __version__
from dmft_rf.files.replace import replacing
from figures.catalogue import MODULES, NETWORKS, figure

FILE = "index.html"

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>dmft_rf: figures</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff; }}
figure {{ margin: 2.5rem 0; }} img {{ max-width: 100%; height: auto; }}
figcaption {{ max-width: 46rem; }} nav a {{ margin-right: 1em; white-space: nowrap; }}
code {{ background: #f2f2f2; padding: 0 .25em; }} small {{ color: #555; }}
</style></head><body>
<h1>Figures</h1>
<p>dmft_rf {version}, profile {profile}. Theory as lines, finite networks as markers with one
standard error over seeds. Each figure is beside this page as PNG, PDF and the numbers behind it
(HDF5).</p>
<nav>{links}</nav>
{figures}
</body></html>
"""


def write(folder: Path, profile: str) -> list[str]:
    """Write the page with every figure that is in ``folder``; returns their names."""
    names = [name for name in (*MODULES, *NETWORKS) if (folder / f"{name}.png").is_file()]
    parts = []
    for name in names:
        about = figure(name)
        picture = base64.b64encode((folder / f"{name}.png").read_bytes()).decode()
        parts.append(
            f'<figure id="{name}"><h2>{html.escape(about.title)}</h2>'
            f'<img alt="{html.escape(about.title)}" src="data:image/png;base64,{picture}">'
            f"<figcaption>{html.escape(about.caption)}<br><small><code>python -m figures {name}"
            f"</code></small></figcaption></figure>"
        )
    links = " ".join(f'<a href="#{name}">{name}</a>' for name in names)
    text = _PAGE.format(
        version=__version__, profile=html.escape(profile), links=links, figures="\n".join(parts)
    )
    with replacing(folder / FILE, overwrite=True) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return names
