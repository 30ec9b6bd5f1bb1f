"""A look into the ledger of another process, which may be writing it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dmft_rf._paths import why
from dmft_rf.errors import DataError
from dmft_rf.files.claim import open_side
from dmft_rf.files.database import has_header
from dmft_rf.files.frames import Survey, joined, marked


def peek(path: str | os.PathLike[str], identity: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Read a ledger that another process may be writing; nothing is locked or changed.

    Names and contents, oldest first; of a name that was added twice the later one counts. There are
    none if there is no file. A record that is being replaced or removed may be missing.

    Raises
    ------
    DataError
        If the file is not a ledger, belongs to other work or cannot be read.
    """
    place = Path(path)
    if not os.path.lexists(place):
        return
    _, work = marked(identity)
    with contextlib.ExitStack() as stack:
        try:
            stream = stack.enter_context(place.open("rb"))
            side = open_side(place)  # what was there before a change that was never completed
        except FileNotFoundError:
            return  # it was completed and removed just now
        except OSError as error:
            raise DataError(f"{place}: cannot be read ({why(error)})") from error
        size = os.fstat(stream.fileno()).st_size
        survey = Survey().read(stream.fileno(), size)
        is_ledger = survey.works or size == 0 or has_header(stream.fileno())
        if not (is_ledger and survey.works <= {work}):
            raise DataError(f"{place}: is not the file of unfinished work that belongs here")
        if side is not None:
            stack.callback(os.close, side)
            survey.read(side, os.fstat(side).st_size, only=work)
        for name, _, content in joined(frame for _, frame in survey.rows()):
            yield name.decode(), content
