"""The report on trained networks: Markdown with pictures beside it, and one self-contained page."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path

from dmft_rf import ConvergenceError, DataError, __version__
from dmft_rf.files.replace import replacing
from validation.networks.analysis import tables
from validation.networks.pictures.pictures import PICTURES, Picture
from validation.networks.run.store import Store

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;font-size:13px;margin:.8em 0}
td,th{padding:.15em .7em;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child{text-align:left} img{max-width:100%} h2{margin-top:2em}
"""

Table = tables.Table


def write(folder: Path, store: Store, profile: str, left: int) -> None:
    """Write networks.md with its pictures, networks.html and networks-runs.csv into ``folder``.

    Parameters
    ----------
    folder : Path
        Exists.
    store : Store
        With a run or more.
    profile : str
    left : int
        Runs of the profile that have not ended.
    """
    seeds = len({run.setting.seed for run in store.runs.values()})
    head = (
        f"dmft_rf {__version__}, profile {profile}: {len(store.runs)} runs, {seeds} seeds, "
        f"{sum(run.facts['seconds'] for run in store.runs.values()) / 3600:.2f} hours of training; "
        f"{left} runs of the profile are left."
    )
    if store.diverged:
        head += f" {len(store.diverged)} diverged."
    if left or seeds < 3:
        head += " Preliminary: an exponent needs all sizes and three seeds."
    markdown, page = [f"# Trained networks\n\n{head}"], [f"<h1>Trained networks</h1><p>{head}</p>"]
    for title, text, table in _sections(store):
        markdown.append(f"## {title}\n\n{text}\n\n{_markdown(table)}")
        page.append(f"<h2>{html.escape(title)}</h2><p>{html.escape(text)}</p>{_html(table)}")
    missing = []
    for name, picture in PICTURES.items():
        drawn, reason = _draw(picture, store)
        if drawn is None:
            missing.append(f"{name} ({reason})")
            continue
        with replacing(folder / f"{name}.png", overwrite=True) as temporary:
            temporary.write_bytes(drawn)
        markdown.append(f"## {picture.title}\n\n![{name}]({name}.png)\n\n{picture.caption}")
        code = base64.b64encode(drawn).decode()
        page.append(
            f"<h2>{html.escape(picture.title)}</h2>"
            f'<img alt="{html.escape(picture.title)}" src="data:image/png;base64,{code}">'
            f"<p>{html.escape(picture.caption)}</p>"
        )
    if missing:
        text = f"Not drawn: {'; '.join(missing)}."
        markdown.append(text)
        page.append(f"<p>{html.escape(text)}</p>")
    with replacing(folder / "networks-runs.csv", overwrite=True) as temporary:
        temporary.write_text(tables.every_run(store.ended.values()), encoding="utf-8")
    with replacing(folder / "networks.md", overwrite=True) as temporary:
        temporary.write_text("\n\n".join(markdown) + "\n", encoding="utf-8")
    with replacing(folder / "networks.html", overwrite=True) as temporary:
        temporary.write_text(
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            f"<title>Trained networks</title><style>{_STYLE}</style></head><body>"
            f"{''.join(page)}</body></html>\n",
            encoding="utf-8",
        )


def _draw(picture: Picture, store: Store) -> tuple[bytes | None, str]:
    """A PNG, or why there is none."""
    try:
        numbers = picture.gather(store)
    except (ConvergenceError, DataError) as error:
        return None, str(error)
    if not numbers:
        return None, "no runs for it"
    buffer = io.BytesIO()
    picture.draw(numbers).savefig(buffer, format="png", dpi=130)
    return buffer.getvalue(), ""


def _sections(store: Store) -> list[tuple[str, str, Table]]:
    runs = list(store.runs.values())
    gone = [[key, str(run.facts["reason"])] for key, run in sorted(store.diverged.items())]
    where = sorted({f"{r.facts['source']}; {r.facts['device']}; {r.facts['versions']}, jax "
                    f"{r.facts.get('jax', '-')}, commit {r.facts['git_commit']}"
                    for r in runs})  # fmt: skip
    return [
        *([("Diverged", "Runs without a result; they are tried again when their setting changes.",
            (["run", "reason"], gone))] if gone else []),
        *tables.times(runs),
        *tables.exponents(runs),
        *tables.local_exponents(runs),
        *tables.by_index(runs),
        ("Provenance", "Data, device, versions.", (["of"], [[text] for text in where])),
    ]  # fmt: skip


def _markdown(table: Table) -> str:
    head, rows = table
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _html(table: Table) -> str:
    head, rows = table
    cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{cells}</tr>{body}</table>"
