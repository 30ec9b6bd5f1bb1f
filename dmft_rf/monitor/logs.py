"""The log of a training run: a CSV file of steps and losses, whichever program wrote it.

Columns are known by their names: those of PyTorch Lightning's CSVLogger, of Keras, of the history
of Hugging Face's Trainer, of accelerate's trackers, of TensorBoard's export and of `Monitor`. Upper
and lower case, blanks, dots, hyphens and slashes make no difference.
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._convert import mapping, shown
from dmft_rf._paths import input_file, why
from dmft_rf._show import Shown, Table
from dmft_rf.errors import DataError, ModelError

__all__ = ["COLUMNS", "MEASURED", "OWN", "Log", "read_log", "read_losses"]

Array = NDArray[np.float64]

COLUMNS = {
    "step": ("step", "global_step", "steps", "iteration", "iter", "train_step", "epoch"),
    "train": (
        "train_loss", "train_loss_epoch", "loss", "training_loss", "loss_train", "loss_epoch",
        "train_loss_step",
    ),
    "test": (
        "val_loss", "eval_loss", "valid_loss", "validation_loss", "held_out_loss", "test_loss",
        "val_loss_epoch", "test_loss_epoch", "loss_val", "loss_eval", "loss_validation",
        "loss_test",
    ),
}  # fmt: skip
"""Names that are looked for, in this order, with "_" for all that is no letter or digit."""

MEASURED = ("memorized_fraction", "memorized_error", "frechet_distance", "frechet_error")
"""Further columns, which `Monitor` writes."""

OWN = ("step", "train_loss", "test_loss", *MEASURED)
"""The header that `Monitor` writes. A line without an end is one that a kill has cut off."""

_CLOCKS, _LOSSES = ("tau", "steps", "step"), ("train", "test")
_ERRORS = tuple(f"{name}_error" for name in _LOSSES)
_TENSORBOARD = ["wall_time", "step", "value"]
_EMPTY = ("", "na", "n/a", "none", "null")
_LARGEST = 64 * 2**20


@dataclass(frozen=True, eq=False, repr=False)
class Log(Shown):
    """Losses of a run at the steps at which the held-out loss was measured.

    Attributes
    ----------
    step : array, shape (k,)
        Increasing, >= 0.
    train, test : arrays, shape (k,)
        Train loss and held-out loss. A train loss that was logged at other steps is the mean of
        its values since the previous held-out loss.
    measured : dict of arrays, shape (k,)
        What else there is of `MEASURED`; nan where nothing was measured.
    unit : str
        "step", or "epoch" where the log counts nothing else: finished epochs then.
    name : str
        Where it is from.
    columns : dict
        The name of the column that each was read from.
    """

    step: Array
    train: Array
    test: Array
    measured: dict[str, Array] = field(default_factory=dict)
    unit: str = "step"
    name: str = "log"
    columns: dict[str, str] = field(default_factory=dict)

    @property
    def ratio(self) -> Array:
        """Held-out loss over train loss, shape (k,)."""
        with np.errstate(divide="ignore"):
            return np.asarray(self.test / self.train)

    def _about(self) -> str:
        return (
            f"{self.name}, {self.step.size} held-out losses at {self.unit} "
            f"{self.step[0]:g} to {self.step[-1]:g}"
        )

    def _table(self) -> Table:
        rows = ("step",)
        held = {"train": self.train, "test": self.test, "ratio": self.ratio, **self.measured}
        return Table(rows, {"step": (rows, self.step)}, {name: (rows, held[name]) for name in held})


def read_log(
    path: str | os.PathLike[str],
    *,
    test: str | os.PathLike[str] | None = None,
    columns: Mapping[str, str] | None = None,
) -> Log:
    """Read the log of a run.

    Parameters
    ----------
    path : path
        A CSV file with a header and columns of steps, train loss and held-out loss, separated by
        commas, semicolons or tabs. Cells may be empty: losses may stand in lines of their own.
    test : path, optional
        A second file with the held-out loss, where each file has one curve: TensorBoard's export.
    columns : dict, optional
        Names of columns where they are not recognised: ``{"train": "mse", "test": "mse_val"}``,
        also with "step".

    Returns
    -------
    Log

    Raises
    ------
    DataError
        If a file cannot be read, a column is missing (the message lists those that were looked
        for), a loss is NaN, infinite or no number, steps do not increase, or there is no held-out
        loss.
    ModelError
        If ``columns`` names something else.
    """
    wanted = mapping(columns or {}, "columns", '{"train": "mse"}')
    for key, value in wanted.items():
        if key not in COLUMNS or not isinstance(value, str):
            raise ModelError(
                f"columns has {shown(key)}: {shown(value)}; it must give names of columns for "
                f"{', '.join(COLUMNS)}"
            )
    table = _Table(path)
    if test is None:
        if table.keys == _TENSORBOARD:
            raise DataError(
                f"{table.path}: is a curve exported from TensorBoard, which has one in each file; "
                "give the train loss here and the held-out loss as test=FILE (--test FILE)"
            )
        found = {kind: table.column(kind, wanted.get(kind)) for kind in COLUMNS}
        train = table.series(found["step"], found["train"])
        held_out = table.series(found["step"], found["test"])
        extra = {
            name: table.series(found["step"], table.keys.index(name))
            for name in MEASURED
            if name in table.keys
        }
        names = {kind: table.names[number] for kind, number in found.items()}
        step_key = table.keys[found["step"]]
    else:
        other = _Table(test)
        (train, step_key, mine), (held_out, other_key, its) = (
            one.curve(kind, wanted) for one, kind in ((table, "train"), (other, "test"))
        )
        if (step_key == "epoch") != (other_key == "epoch"):
            raise DataError(f"{other.path}: counts {other_key}, and {table.path} {step_key}")
        extra, names = {}, {"train": mine, "test": its}
    step, values = held_out
    if not step.size:
        raise DataError(f"{table.path}: has no held-out loss in column {names['test']!r}")
    aligned = _aligned(*train, step)
    if not np.isfinite(aligned).any():
        raise DataError(f"{table.path}: no train loss was logged up to the last held-out loss")
    good = np.isfinite(aligned)
    more = {}
    for name, (at, what) in extra.items():
        more[name] = np.full(step.size, math.nan)
        there = np.isin(step, at)
        more[name][there] = what[np.isin(at, step)]
    # an epoch is counted from 0 and logged when it is over
    is_epoch = step_key == "epoch"
    shift = 1.0 if is_epoch and step[0] == 0.0 else 0.0
    return Log(
        step[good] + shift,
        aligned[good],
        values[good],
        {name: what[good] for name, what in more.items()},
        "epoch" if is_epoch else "step",
        str(table.path),
        names,
    )


def read_losses(
    path: str | os.PathLike[str],
    *,
    test: str | os.PathLike[str] | None = None,
    columns: Mapping[str, str] | None = None,
) -> Log | dict[str, Array]:
    """Read what `dmft_rf.fit` takes: the losses of a log, or its own columns from a CSV file.

    Parameters
    ----------
    path, test, columns
        As in `read_log`. A file with a column tau, train_error or test_error has the names of
        `dmft_rf.fit`: tau, steps or step, then train and test, with train_error and test_error for
        their standard errors. Cells may be empty, and tau may be inf.

    Returns
    -------
    Log or dict of arrays

    Raises
    ------
    DataError
        As `read_log`.
    ModelError
        As `read_log`.
    """
    table = _Table(path)
    if test is not None or columns or not {"tau", *_ERRORS} & set(table.keys):
        return read_log(path, test=test, columns=columns)
    names = [name for name in (*_CLOCKS, *_LOSSES, *_ERRORS) if name in table.keys]
    return {name: table.cells(name, infinite=name == "tau") for name in names}


def _aligned(at: Array, values: Array, step: Array) -> Array:
    """Mean of the values since the previous step, or the line between the neighbours; else nan."""
    if not at.size:
        return np.full(step.size, math.nan)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    after = np.searchsorted(at, step, side="right")
    before = np.concatenate([[0], after[:-1]])
    number = after - before
    between = np.interp(step, at, values, left=math.nan, right=math.nan)
    means = (sums[after] - sums[before]) / np.maximum(number, 1)
    # one value is that value, without the rounding of the sums
    single = values[np.maximum(after, 1) - 1]
    return np.where(number > 1, means, np.where(number == 1, single, between))


class _Table:
    """The cells of a CSV file with a header."""

    def __init__(self, path: Any) -> None:
        self.path, status = input_file(path)
        if status.st_size > _LARGEST:
            raise DataError(
                f"{self.path}: has {status.st_size} bytes; a log has at most {_LARGEST}"
            )
        lines = _lines(self.path)
        if not lines:
            raise DataError(f"{self.path}: the file is empty")
        (_, self.names), *self.rows = lines
        self.keys = [_key(name) for name in self.names]
        for line, cells in self.rows:
            if len(cells) > len(self.names):
                raise DataError(
                    f"{self.path}: line {line} has {len(cells)} cells, the header has "
                    f"{len(self.names)}"
                )

    def column(self, kind: str, wanted: str | None) -> int:
        """The number of a column."""
        looked_for = COLUMNS[kind] if wanted is None else (_key(wanted),)
        for key in looked_for:
            if key in self.keys:
                return self.keys.index(key)
        what = {"step": "steps", "train": "the train loss", "test": "the held-out loss"}[kind]
        there = ", ".join(self.names)
        raise DataError(
            f"{self.path}: has no column of {what}; looked for {', '.join(looked_for)}, found "
            f"{there if len(there) <= 200 else f'{there[:200]}...'}; name it with "
            f"columns={{'{kind}': NAME}} (--columns {kind}=NAME)"
        )

    def curve(self, kind: str, wanted: dict[str, str]) -> tuple[tuple[Array, Array], str, str]:
        """One loss of a file that holds it alone; its steps' and its own column."""
        step = self.column("step", wanted.get("step"))
        if self.keys == _TENSORBOARD and kind not in wanted:
            value = self.keys.index("value")
        else:
            value = self.column(kind, wanted.get(kind))
        return self.series(step, value), self.keys[step], self.names[value]

    def series(self, step: int, column: int) -> tuple[Array, Array]:
        """Steps and values of the lines in which the column is not empty."""
        steps: list[float] = []
        values: list[float] = []
        for line, cells in self.rows:
            if column >= len(cells) or cells[column].lower() in _EMPTY:
                continue
            value = self._number(line, cells, column)
            at = self._number(line, cells, step)
            if steps and at <= steps[-1]:
                raise DataError(
                    f"{self.path}: line {line}: {self.names[step]} {at:g} follows {steps[-1]:g}; "
                    "steps must increase: where a run was resumed, remove the lines that it repeats"
                )
            if at < 0.0:
                raise DataError(f"{self.path}: line {line}: {self.names[step]} is {at:g}, below 0")
            steps.append(at)
            values.append(value)
        return np.array(steps), np.array(values)

    def cells(self, key: str, *, infinite: bool) -> Array:
        """A whole column, NaN where it is empty."""
        column = self.keys.index(key)
        return np.array([
            math.nan
            if column >= len(cells) or cells[column].lower() in _EMPTY
            else self._number(line, cells, column, infinite=infinite)
            for line, cells in self.rows
        ])  # fmt: skip

    def _number(self, line: int, cells: list[str], column: int, *, infinite: bool = False) -> float:
        cell = cells[column] if column < len(cells) else ""
        where = f"{self.path}: line {line}: {self.names[column]}"
        try:
            if "_" in cell or not cell.isascii():
                raise ValueError
            value = float(cell)
        except ValueError:
            raise DataError(f"{where} is {shown(cell) if cell else 'empty'}, no number") from None
        if not (math.isfinite(value) or (infinite and value == math.inf)):
            raise DataError(
                f"{where} is {cell}: the run has diverged there, or the loss was not measured; "
                "remove what follows, or leave the cell empty"
            )
        return value


def _key(name: str) -> str:
    """The name of a column as it is compared."""
    return re.sub(r"[^0-9a-z]+", "_", name.lower()).strip("_")


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Number and cells of every line that is not blank, the header first."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text file in UTF-8") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({why(error)})") from None
    header = next((line for line in text.splitlines() if line.strip()), "")
    if header == ",".join(OWN):
        text = text[: text.rfind("\n") + 1]
    delimiter = max(",;\t", key=header.count)
    found: list[tuple[int, list[str]]] = []
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                found.append((reader.line_num, [cell.strip() for cell in cells]))
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num} cannot be read ({error})") from None
    return found


def sized(text: str) -> tuple[int | None, str]:
    """Return the parts of "N:LOG", images of a run and its log; None for the first without one."""
    found = re.fullmatch(r"([0-9]{1,12}):(.+)", text, re.DOTALL)
    return (int(found[1]), found[2]) if found else (None, text)
