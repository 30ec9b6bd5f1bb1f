"""One HTML file about a training run: verdict, dates, losses, copies beside their originals.

Pictures are in the file itself, so that it can be sent as it is.
"""

from __future__ import annotations

import base64
import io
import math
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._version import __version__
from dmft_rf.errors import plain
from dmft_rf.files.replace import check_output, replacing
from dmft_rf.monitor.dating import DEFINITIONS, Date, Dates
from dmft_rf.monitor.logs import Log
from dmft_rf.plotting.monitor import as_bytes, limits, pictures_of, plot_monitor, shown_pairs
from dmft_rf.plotting.style import legend_above

if TYPE_CHECKING:
    from dmft_rf.monitor.neighbours import MemorizedFraction
    from dmft_rf.monitor.samples import Samples
    from dmft_rf.monitor.transfer import Prediction

__all__ = ["ENDINGS", "LABELS", "date_rows", "notes", "prediction_table", "write_page"]

ENDINGS = (".html", ".htm")

LABELS = {"generalization": "usable from", "usable_end": "usable to"}
"""Names of dates for people, where they are others than in programs."""

_LEAST_SIDE = 64  # of a picture, in pixels of the page
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.verdict { font-size: 1.15rem; border-left: .4rem solid #D55E00; padding: .4rem 1rem; }
.wide { width: 100%; max-width: 42rem; }
table { border-collapse: collapse; } td, th { padding: .3rem 1.2rem .3rem 0; text-align: right; }
td, th { vertical-align: top; font-variant-numeric: tabular-nums; }
th { border-bottom: 1px solid #999; } td:first-child, th:first-child { text-align: left; }
small { display: block; color: #555; }
td + td { white-space: nowrap; }
.pairs { display: grid; gap: .8rem; }
.pairs { grid-template-columns: repeat(auto-fill, minmax(13.5rem, 1fr)); }
figure { margin: 0; padding: .4rem; text-align: center; font-size: .8rem; line-height: 1.3; }
figure img { image-rendering: pixelated; margin: 2px; }
.copy { outline: 3px solid #D55E00; }
"""
_PAGE_INCHES = 5.0  # width of the figure: its letters can be read on a phone


def steps(value: float) -> str:
    """A step as people write it."""
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return "open"
    return f"{value:,.0f}" if value >= 100.0 else f"{value:.3g}"


def date_rows(dates: Dates) -> list[list[str]]:
    """The dates of a run in words: name, step, its range, definition."""

    def row(name: str, found: Date) -> list[str]:
        words = DEFINITIONS[name] if found.is_known else f"{DEFINITIONS[name]}: {found.why}"
        told = map(steps, (found.step, found.low, found.high))
        return [LABELS.get(name, name).replace("_", " "), *told, words]

    return [row(name, found) for name, found in dates.dates.items()]


def prediction_table(predictions: Sequence[Prediction]) -> tuple[list[str], list[list[str]]]:
    """What more images would need, as a head and rows: best step, ratio 2, each with its range."""
    head = ["images", "best", "from", "to", "ratio 2", "from", "to"]
    rows = [
        [f"{p.n:,}", *map(steps, (p.best_step, p.low, p.high, p.ratio_2, p.ratio_2_low,
                                p.ratio_2_high))]
        for p in predictions
    ]  # fmt: skip
    known = 7 if any(math.isfinite(p.ratio_2_low) for p in predictions) else 4
    return head[:known], [row[:known] for row in rows]


def notes(predictions: Sequence[Prediction], found: MemorizedFraction | None) -> list[str]:
    """What the numbers mean and how far they can be trusted."""
    said = [
        "A range goes from the last measurement before to the first one after, widened by the "
        "scatter of the measurements. Both losses must be of one kind, over many noises; nothing "
        "replaces images that were held out."
    ]
    if predictions:
        said.append(
            "More images, all else equal (batch, rate, width, optimiser): the best step grows like "
            "n, or faster: four in five trained networks were best later than that says. Of the "
            "pairs of runs of a kind that was left out, nine in ten lay within the range. Beyond 8 "
            "times as many images only the range is given. Full batches follow another law."
        )
    if any(math.isfinite(p.ratio_2_low) for p in predictions):
        said.append(
            "Ratio 2, the step at which the held-out loss is twice the train loss, grows like that "
            "of the solvable model with these images. That was wrong by a factor of 1.5, 1.8 and "
            "2.1 (root mean square) for 2, 4 and 8 times as many images."
        )
    if found is not None:
        copies = found.neighbours.copies
        said.append(
            f"A generated image counts as a copy if its nearest training image is nearer than "
            f"{found.ratio:.3g} times the second nearest, in Euclidean distance of the pixels"
            + (f"; {copies} exact copies in the training set were passed over" if copies else "")
            + ". Copies that are shifted or recoloured do not count."
        )
    return said


def write_page(
    path: str | os.PathLike[str],
    log: Log,
    dates: Dates,
    predictions: Sequence[Prediction] = (),
    found: MemorizedFraction | None = None,
    generated: Samples | None = None,
    training: Samples | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Write the page of a run.

    Parameters
    ----------
    path : path
        In an existing folder, ending in .html or .htm.
    log, dates, found, generated, training
        As in `plot_monitor`.
    predictions : sequence of Prediction
        For more images.
    overwrite : bool, default False
        Whether an existing file may be replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    place = check_output(path, overwrite=overwrite, endings=ENDINGS)
    parts = [
        f"<h1>Training run: {_said(log.name)}</h1>",
        f'<p class="verdict">{_said(dates.verdict)}</p>',
        f'<img class="wide" alt="losses against {_said(dates.unit)}" src="{_figure(log, dates)}">',
        "<p>Shaded: where the held-out loss is within 10 % of its least value, the "
        "usable interval.</p>",
        "<h2>Dates</h2>",
        _table(["", dates.unit], _dates(dates)),
    ]
    if predictions:
        parts += [
            f"<h2>With more images: {_said(dates.unit)}s and their ranges</h2>",
            _predictions(predictions),
        ]
    if found is not None:
        low, high = found.interval
        parts += [
            "<h2>Generated images and their nearest training images</h2>",
            f"<p>{100 * found.fraction:.3g} % of {found.generated} generated images are copies "
            f"(95 %: {100 * low:.3g} to {100 * high:.3g} %). Those most like copies, each beside "
            "its nearest and its second nearest training image, with the ratio of its distances to "
            "these; copies have a frame:</p>",
        ]
        if generated is not None and training is not None:
            parts.append(_gallery(found, generated, training))
    parts.append("<h2>How to read this</h2>")
    parts += [f"<p>{_said(note)}</p>" for note in notes(predictions, found)]
    parts.append(f"<p><small>dmft_rf {__version__}</small></p>")
    text = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_said(log.name)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )
    with replacing(place, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return place


def _said(text: str) -> str:
    return escape(plain(text))


def _table(head: Sequence[str], rows: Sequence[Sequence[tuple[str, str]]]) -> str:
    """A table of cells, each a text and a smaller one under it."""

    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>"

    body = [[f"{_said(text)}<small>{_said(under)}</small>" for text, under in row] for row in rows]
    lines = "".join(line(row, "td") for row in body)
    return f"<table>{line([_said(cell) for cell in head], 'th')}{lines}</table>"


def _dates(dates: Dates) -> list[list[tuple[str, str]]]:
    rows = date_rows(dates)
    cells = _with_ranges([row[:4] for row in rows])
    return [[(row[0], row[4]), *rest] for row, (_, *rest) in zip(rows, cells, strict=True)]


def _predictions(predictions: Sequence[Prediction]) -> str:
    head, rows = prediction_table(predictions)
    return _table([head[0], *head[1::3]], _with_ranges(rows))


def _with_ranges(rows: Sequence[Sequence[str]]) -> list[list[tuple[str, str]]]:
    """Cells of rows of a name and triples: a step, from, to; a dash where only from and to are."""
    found = []
    for name, *numbers in rows:
        triples = [numbers[k : k + 3] for k in range(0, len(numbers), 3)]
        told = [(step or "-", f"{low} to {high}" if low else "") for step, low, high in triples]
        found.append([(name, ""), *told])
    return found


def _figure(log: Log, dates: Dates) -> str:
    memory = io.BytesIO()
    figure = plot_monitor(log, dates)
    figure.axes[0].set_title("", loc="left")  # the page has one
    legend_above(figure.axes[0], 3)
    figure.set_size_inches(_PAGE_INCHES, 0.8 * _PAGE_INCHES + len(figure.axes) - 2)
    figure.savefig(memory, format="png", dpi=200, backend="agg")
    return _uri(memory)


def _gallery(found: MemorizedFraction, generated: Samples, training: Samples) -> str:
    """Generated images, each beside its two nearest training images."""
    chosen = shown_pairs(found)
    index = found.neighbours.index[chosen]
    sets = [pictures_of(generated, chosen), *(pictures_of(training, index[:, k]) for k in (0, 1))]
    if any(part is None for part in sets):
        return "<p>The shape of the images is not known, so that they are not drawn.</p>"
    columns = [part for part in sets if part is not None]
    low, high = limits([picture for part in columns for picture in part])
    shown = []
    for k, triple in enumerate(zip(*columns, strict=True)):
        number = chosen[k]
        images = "".join(_image(as_bytes(picture, low, high)) for picture in triple)
        kind = ' class="copy"' if found.memorized[number] else ""
        shown.append(
            f"<figure{kind}>{images}<figcaption>generated {number}, training {index[k, 0]} and "
            f"{index[k, 1]}; ratio {found.neighbours.ratio[number]:.2f}</figcaption></figure>"
        )
    return '<div class="pairs">' + "\n".join(shown) + "</div>"


def _image(pixels: NDArray[Any]) -> str:
    from PIL import Image

    memory = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(memory, format="PNG")
    zoom = max(1, -(-_LEAST_SIDE // max(pixels.shape[:2])))
    size = f'width="{zoom * pixels.shape[1]}" height="{zoom * pixels.shape[0]}"'
    return f'<img alt="" {size} src="{_uri(memory)}">'


def _uri(memory: io.BytesIO) -> str:
    return f"data:image/png;base64,{base64.b64encode(memory.getvalue()).decode('ascii')}"
