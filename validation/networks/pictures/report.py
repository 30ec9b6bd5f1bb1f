"""The report on trained networks: Markdown with pictures beside it, and one self-contained page."""

from __future__ import annotations

from pathlib import Path

from dmft_rf import ConvergenceError, DataError, __version__
from dmft_rf.files.replace import replacing
from validation.common import page
from validation.common.page import Block, Heading, Image, Table
from validation.common.style import styled
from validation.networks.analysis import noise, tables
from validation.networks.pictures.pictures import PICTURES, Picture
from validation.networks.run.store import Store


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
    blocks: list[Block] = [Heading(1, "Trained networks"), head]
    for title, text, table in _sections(store):
        blocks += [Heading(2, title), text, table]
    missing = []
    for name, picture in PICTURES.items():
        drawn, reason = _draw(picture, store)
        if drawn is None:
            missing.append(f"{name} ({reason})")
            continue
        with replacing(folder / f"{name}.png", overwrite=True) as temporary:
            temporary.write_bytes(drawn)
        image = Image(drawn, picture.title, f"{name}.png")
        blocks += [Heading(2, picture.title), image, picture.caption]
    if missing:
        blocks.append(f"Not drawn: {'; '.join(missing)}.")
    with replacing(folder / "networks-runs.csv", overwrite=True) as temporary:
        temporary.write_text(tables.every_run(store.ended.values()), encoding="utf-8")
    page.write_markdown(folder / "networks.md", blocks)
    page.write_html(folder / "networks.html", "Trained networks", blocks)


def _draw(picture: Picture, store: Store) -> tuple[bytes | None, str]:
    """A PNG, or why there is none."""
    try:
        numbers = picture.gather(store)
    except (ConvergenceError, DataError) as error:
        return None, str(error)
    if not numbers:
        return None, "no runs for it"
    with styled():
        return page.png(picture.draw(numbers), 130), ""


def _sections(store: Store) -> list[tuple[str, str, Table]]:
    runs = list(store.runs.values())
    gone = [[key, str(run.facts["reason"])] for key, run in sorted(store.diverged.items())]
    where = sorted({f"{r.facts['source']}; {r.facts['device']}; {r.facts['versions']}, jax "
                    f"{r.facts.get('jax', '-')}, commit {r.facts['git_commit']}"
                    for r in runs})  # fmt: skip
    return [
        *([("Diverged", "Runs without a result; they are tried again when their setting changes.",
            Table(["run", "reason"], gone))] if gone else []),
        *tables.times(runs),
        *tables.exponents(runs),
        *tables.local_exponents(runs),
        *tables.by_index(runs),
        *noise.sections(runs),
        ("Provenance", "Data, device, versions.", Table(["of"], [[text] for text in where])),
    ]  # fmt: skip
