"""Blocks of rows from text files of numbers, and what is a header and what a sample."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dmft_rf._convert import shown
from dmft_rf.data.readers import Blocks, advice, damaged, kept_columns, rows_of
from dmft_rf.errors import DataError
from dmft_rf.model.accumulator import MAX_DIMENSION, too_wide

Line: TypeAlias = tuple[int, str]  # its number, counted from 1, and its text

_LONGEST_LINE = 64 * MAX_DIMENSION
_AHEAD = 100  # rows with which the first one is compared
_FEW = 0.02  # at most this share of them may be like it

# what spreadsheets and statistics programs write for a number that is missing
_ERRORS = ("#n/a", "#na", "#div/0!", "#name?", "#null!", "#num!", "#ref!", "#value!")
_MISSING = frozenset(
    {"", "na", "n/a", "<na>", "nan", "null", "none", "nil", ".", "-", "?", *_ERRORS}
)
# columns that are no features, by their names
_LABELS = {"label", "labels", "class", "classes", "target", "targets", "species", "category"}
_NO_FEATURES = _LABELS | {"id", "ids", "idx", "index", "sample_id", "image_id", "filename", "date"}


def csv_blocks(
    path: Path, chunk_bytes: int, header: bool | None, leave_out: Sequence[int] | None
) -> Blocks:
    """Read the rows of a text file of numbers.

    Cells are separated by semicolons, commas or white space, whichever of these, in this
    order, the first line has. Blank lines and lines that start with ``#`` are skipped.

    Parameters
    ----------
    path : pathlib.Path
        The file, in UTF-8.
    chunk_bytes : int
        Size of a block.
    header : bool or None
        Whether the first line is a header. None: it is, if none of its cells is a number, or if it
        numbers three or more columns 0, 1, 2, ... (as pandas does); where it could be a header
        although it is made of numbers, that is refused.
    leave_out : sequence of int or None
        Columns that are left out, see `kept_columns`. None: none, and a column whose name says that
        it is no feature is refused.

    Yields
    ------
    ndarray, shape (rows, d)
    """
    lines = _csv_lines(path)
    first = next((line for line in lines if line[1]), None)
    if first is None:
        raise DataError(f"{path}: the file has no rows")
    delimiter = next((mark for mark in ";," if mark in first[1]), None)
    cells = _cells(first[1], delimiter)
    width = len(cells)
    kept = kept_columns(str(path), width, leave_out or ())
    if len(kept) > MAX_DIMENSION:
        raise DataError(f"{path}: {too_wide(len(kept))}")
    table = _Table(path, delimiter, width, kept)
    is_header = _is_header(path, first[0], [cells[k] for k in kept]) if header is None else header
    if header is None and not is_header:
        table.asked = first[0]
    if is_header and leave_out is None:
        _check_names(path, cells)
    rows = chain([] if is_header else [first], table.rows(lines, began=not is_header))
    ahead = list(islice(rows, 1 + _AHEAD))
    if header is None:
        _check_first(table, ahead, is_header)
    _check_commas(table, ahead)
    found = False
    for block in table.blocks(chain(ahead, rows), chunk_bytes):
        found = True
        yield block
    if not found:
        raise DataError(f"{path}: the file has a header and no rows")


class _Table:
    """How the lines of a file are divided, and which columns are read."""

    def __init__(self, path: Path, delimiter: str | None, width: int, kept: list[int]) -> None:
        self.path, self.delimiter, self.width, self.kept = path, delimiter, width, kept
        self.asked = 0  # number of a line that may be a header

    def rows(self, lines: Iterator[Line], *, began: bool) -> Iterator[Line]:
        """The lines after the first that are not blank; between single numbers none may be."""
        blank = 0
        for number, text in lines:
            if not text:
                blank = number if began else 0
                continue
            if blank and self.width == 1:
                raise DataError(f"{self.path}: line {blank} is empty, a number is missing")
            began = True
            yield number, text

    def blocks(self, rows: Iterator[Line], chunk_bytes: int) -> Blocks:
        """The numbers of these lines in blocks."""
        # Text takes several times the memory of the numbers, hence the smaller blocks.
        step, most = rows_of(len(self.kept), max(1, chunk_bytes // 4)), max(chunk_bytes, 1 << 20)
        pending: list[Line] = []
        characters = 0
        for line in rows:
            if len(pending) == step or characters > most:
                yield self.parsed(pending)
                pending, characters = [], 0
            pending.append(line)
            characters += len(line[1])
        if pending:
            yield self.parsed(pending)

    def parsed(self, lines: list[Line]) -> NDArray[np.float64]:
        """Return lines as numbers, shape (rows, d); look closely only if that fails."""
        everything = len(self.kept) == self.width
        if not everything:
            self._check_widths(lines)
        try:
            block = np.loadtxt(
                [text for _, text in lines],
                dtype=np.float64,
                delimiter=self.delimiter,
                comments=None,
                ndmin=2,
                usecols=None if everything else self.kept,
            )
            if block.shape == (len(lines), len(self.kept)):
                return block
            reason = f"{block.shape[1]} columns instead of {len(self.kept)}"
        except ValueError as error:
            reason = str(error)
        self._check_widths(lines)
        for number, text in lines:
            cells = _cells(text, self.delimiter)
            for column in self.kept:
                if not _is_number(cell := cells[column]):
                    raise DataError(
                        f"{self.path}: line {number}, column {column + 1} is {_quoted(cell)}, not "
                        f"a number (written with a decimal point){self._advice(number, column + 1)}"
                    )
        where = f"lines {lines[0][0]} to {lines[-1][0]}"
        raise DataError(f"{self.path}: {where} cannot be read: {reason}")

    def _advice(self, line: int, column: int) -> str:
        """What to do where a cell is a word."""
        out = f"leave_out=[{column}] (--leave-out {column}) leaves out a column that is no feature"
        if line != self.asked:
            return f"; {out}"
        return f"; {out}, header=True (--header) a first line that is no sample"

    def _check_widths(self, lines: list[Line]) -> None:
        for number, text in lines:
            if (count := len(text.split(self.delimiter))) != self.width:
                raise DataError(
                    f"{self.path}: line {number} has {count} cells, the first line has {self.width}"
                )


def _csv_lines(path: Path) -> Iterator[Line]:
    """Yield number and text of the lines that are no comments; "" for a blank one."""
    try:
        with path.open(encoding="utf-8-sig") as stream:
            number = 0
            while text := stream.readline(_LONGEST_LINE):
                number += 1
                if len(text) == _LONGEST_LINE:
                    raise DataError(
                        f"{path}: line {number} is longer than {_LONGEST_LINE} characters: "
                        f"at most {MAX_DIMENSION} columns are allowed"
                    )
                text = text.strip()
                if not text.startswith("#") or _is_error(text):
                    yield number, text
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text file in UTF-8") from None
    except OSError as error:
        damaged(str(path), "text", error)


def _is_error(text: str) -> bool:
    """Whether a line that starts with ``#`` is no comment but begins with a spreadsheet's error."""
    return re.split(r"[;,\s]", text, maxsplit=1)[0].lower() in _ERRORS


def _cells(text: str, delimiter: str | None) -> list[str]:
    """Return the cells of a line."""
    return [cell.strip() for cell in text.split(delimiter)]


def _quoted(cell: str) -> str:
    return shown(cell if len(cell) <= 24 else cell[:24] + "...") if cell else "empty"


def _is_number(cell: str) -> bool:
    """Whether a cell is a plain decimal number (Python's 1_000 is not)."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell and cell.isascii()


# Headers -----------------------------------------------------------------------------------


def _is_header(path: Path, line: int, cells: list[str]) -> bool:
    """Whether the first line, of given cells, is a header; refuse one of an index column."""
    if all(cell.lower().strip("\"'") in _MISSING for cell in cells) and any(cells):
        raise DataError(
            f"{path}: line {line} has missing values only ({_quoted(cells[0])}); drop it, or say "
            "header=True (--header) if these are names"
        )
    if any(map(_is_number, cells)):
        if cells[0] == "" and cells[1:] == [str(k) for k in range(len(cells) - 1)]:
            cells = ["", "x"]  # pandas, whose columns have no names
        else:
            return len(cells) > 2 and cells == [str(k) for k in range(len(cells))]
    if "" in cells:
        raise DataError(
            f"{path}: line {line}: column {cells.index('') + 1} has no name in the header; "
            "a column of row numbers must be left out (--leave-out 1, or pandas: index=False)"
        )
    return True


def _check_names(path: Path, cells: list[str]) -> None:
    """Refuse a first or last column whose name says that it is no feature."""
    for column in {0, len(cells) - 1} if len(cells) > 1 else ():
        name = cells[column].strip("\"' ")
        if name.lower() in _NO_FEATURES:
            raise DataError(
                f"{path}: column {column + 1} is called {_quoted(name)}: {advice(column + 1)}"
            )


def _check_first(table: _Table, rows: list[Line], below_header: bool) -> None:
    """Refuse a first row of numbers that may be a header, or a second line of one."""
    if len(rows) < 2 or not (reason := _like_header(table, rows[0], rows[1:])):
        return
    advice = "say whether it is one, with header=True or False (--header, --no-header)"
    if below_header:
        advice = "remove it if it is one, or say header=True (--header) if it is a sample"
    raise DataError(f"{table.path}: line {rows[0][0]} may be a header: {reason}; {advice}")


def _check_commas(table: _Table, rows: list[Line]) -> None:
    """Refuse a column of numbers with decimal commas, which reads as two columns of integers."""
    if table.delimiter != "," or table.width != 2:
        return
    numbers = [re.fullmatch(r"[+-]?(0|[1-9][0-9]*)\s*,\s*([0-9]+)", text) for _, text in rows]
    if not all(numbers):
        return
    for found in filter(None, numbers):
        if re.match("0[0-9]", found[2]):
            raise DataError(
                f"{table.path}: column 2 has {found[2]!r}: these are parts of numbers with a "
                "decimal or thousands comma; write them with a decimal point"
            )


def _like_header(table: _Table, first: Line, ahead: list[Line]) -> str:
    """Why a first line of numbers may be a header above the rows that follow, "" if not.

    Every reason is that it differs from almost all of the others in a way in which one sample
    hardly ever does, and that its cells are distinct, as names are.
    """
    (top,) = table.parsed([first])
    others = table.parsed(ahead)
    n, d = others.shape
    names = [_cells(first[1], table.delimiter)[k] for k in table.kept]
    if len(set(names)) < d or not (np.isfinite(top).all() and np.isfinite(others).all()):
        return ""
    if d >= 2 and n >= 3 and all(re.fullmatch(r"[+-]?[0-9]+", name) for name in names):
        texts = [_cells(text, table.delimiter) for _, text in ahead]
        if np.mean([row[k].lstrip("+-").isdigit() for row in texts for k in table.kept]) <= _FEW:
            return "its numbers are written as integers, and hardly any other is"
    if d >= 3 and _is_even(top) and np.mean([*map(_is_even, others)]) <= _FEW:
        return "its numbers are evenly spaced, as those of hardly any other row"
    enough = d >= 6 or (d >= 3 and n >= 50)
    if enough and _is_ordered(top) and np.mean([*map(_is_ordered, others)]) <= _FEW:
        return "its numbers are in order, as those of hardly any other row"
    low, high = others.min(axis=0), others.max(axis=0)
    away = np.abs(top - np.clip(top, low, high))
    if n >= 5 and (high > low).any() and (away > 10.0 * (high - low)).all():
        return "its numbers are far from those of all other rows, in every column"
    return ""


def _is_ordered(row: NDArray[np.float64]) -> bool:
    steps = np.diff(row)
    return bool((steps > 0).all() or (steps < 0).all())


def _is_even(row: NDArray[np.float64]) -> bool:
    steps = np.diff(row)
    return bool(steps[0] != 0 and np.all(np.abs(steps - steps[0]) <= 1e-3 * abs(steps[0])))
