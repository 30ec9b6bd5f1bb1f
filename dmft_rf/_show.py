"""How a result shows itself: lines of text, a table in a notebook, a data frame, a picture.

A class states its table once, in ``_table``; everything else here is made of that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import import_module
from textwrap import wrap
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dmft_rf import _above
from dmft_rf._frozen import Frozen
from dmft_rf.errors import ConvergenceError, ModelError, one_line, plain

if TYPE_CHECKING:
    import pandas
    import xarray
    from matplotlib.axes import Axes

# of a representation: letters in a line, lines of the head, rows of a table less the head's further
# lines, letters of a text in a cell
_WIDTH, _HEAD, _ROWS, _CELL = 98, 3, 10, 40
# rows of a table in a notebook
_HTML_ROWS = 20


class Table(NamedTuple):
    """What a result holds as arrays with named dimensions, as xarray understands them.

    Attributes
    ----------
    rows : tuple of str
        The dimensions that a data frame runs over.
    coordinates, columns : dict
        (dimensions, array) by name, and for columns a dict of attributes where there are any.
    more : dict
        Columns that no data frame holds, because they run over other dimensions.
    attributes : dict
        Numbers and texts about the whole.
    """

    rows: tuple[str, ...]
    coordinates: dict[str, tuple[Any, ...]]
    columns: dict[str, tuple[Any, ...]]
    more: Mapping[str, tuple[Any, ...]] = MappingProxyType({})
    attributes: Mapping[str, Any] = MappingProxyType({})

    def flat(self) -> dict[str, NDArray[Any]]:
        """Columns of one length; those of a column's further dimensions stand side by side."""
        entries = {
            name: (tuple(entry[0]), np.asarray(entry[1]))
            for name, entry in {**self.coordinates, **self.columns}.items()
            if name in self.columns or set(entry[0]) <= set(self.rows)
        }
        sizes = {
            dim: size
            for dims, array in entries.values()
            for dim, size in zip(dims, array.shape, strict=True)
        }
        shape = tuple(sizes[dim] for dim in self.rows)
        out = {}
        for name, (dims, array) in entries.items():
            beside = [dim for dim in dims if dim not in self.rows]
            order = [dims.index(dim) for dim in (*self.rows, *beside) if dim in dims]
            further = tuple(sizes[dim] for dim in beside)
            kept = tuple(sizes[dim] if dim in dims else 1 for dim in self.rows)
            full = np.broadcast_to(
                array.transpose(order).reshape(kept + further), shape + further
            ).reshape(int(np.prod(shape)), -1)
            for k, index in enumerate(np.ndindex(further)):
                out["_".join([name, *map(str, index)])] = full[:, k].copy()
        return out


class Shown(Frozen):
    """Base of results: a short text, a table in a notebook, a data frame and a picture."""

    def _about(self) -> str:
        """What it is, in a few words that cost nothing."""
        raise NotImplementedError

    def _table(self) -> Table:
        """What it holds."""
        raise NotImplementedError

    def __repr__(self) -> str:
        head = wrap(
            plain(f"{type(self).__name__}: {self._about()}"), _WIDTH, subsequent_indent="    ",
            break_on_hyphens=False, max_lines=_HEAD, placeholder=" ...",
        )  # fmt: skip
        try:
            return "\n".join([*head, *_lines(self._table().flat(), _ROWS + 1 - len(head))])
        except (ConvergenceError, ModelError) as error:
            return "\n".join([*head, f"  {one_line(str(error), _WIDTH - 2)}"])

    def _repr_html_(self) -> str:
        head = f"<p>{type(self).__name__}: {escape(self._about())}</p>"
        try:
            columns = self._table().flat()
        except (ConvergenceError, ModelError) as error:
            return f"{head}<p>{escape(str(error))}</p>"
        names = "".join(f"<th>{escape(name)}</th>" for name in columns)
        body = "".join(
            f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
            for row in _cells(columns, _HTML_ROWS)
        )
        return f"{head}<table><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>"

    def plot(
        self,
        ax: Axes | None = None,
        *,
        quantity: str | Sequence[str] | None = None,
        label: str | None = None,
    ) -> Axes:
        """Draw it on one pair of axes.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw, beside what is there; by default on axes of a new pyplot figure.
        quantity : str or sequence of str, optional
            Which of its quantities, where there are several.
        label : str, optional
            Name in the legend. What is drawn beside something else has a colour of its own.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ModelError
            If an argument is none of these.
        """
        axes: Axes = _above.plot(self, ax, quantity, label)
        return axes

    def to_frame(self) -> pandas.DataFrame:
        """Its table as a pandas.DataFrame, one row for each point.

        Raises
        ------
        ModelError
            If the extra ``pandas`` is not installed.
        """
        frame: pandas.DataFrame = _extra("pandas", "to_frame").DataFrame(self._table().flat())
        return frame

    def to_xarray(self) -> xarray.Dataset:
        """All its arrays as an xarray.Dataset.

        Raises
        ------
        ModelError
            If the extra ``xarray`` is not installed.
        """
        table = self._table()
        data: xarray.Dataset = _extra("xarray", "to_xarray").Dataset(
            {**table.columns, **table.more}, table.coordinates, table.attributes
        )
        return data


class OneRow(Shown):
    """A result that is a few numbers: they are the one row of its table."""

    def _table(self) -> Table:
        held = {k: v for k, v in vars(self).items() if isinstance(v, int | float | str)}
        return Table(("row",), {}, {name: (("row",), np.array([held[name]])) for name in held})


def over_times(tau: NDArray[Any]) -> tuple[str, ...]:
    """Names of the dimensions of an array of times."""
    return ("tau",) if tau.ndim == 1 else tuple(f"tau_{k}" for k in range(tau.ndim))


def table_over_times(
    tau: NDArray[Any], columns: dict[str, NDArray[Any]], **more: tuple[Any, ...]
) -> Table:
    """The table of arrays that have the shape of ``tau``."""
    dims = over_times(tau)
    held = {name: (dims, array) for name, array in columns.items()}
    return Table(dims, {"tau": (dims, tau)}, held, more)


def table_of_law(edges: ArrayLike, masses: ArrayLike, atoms: Any, kinds: Sequence[str]) -> Table:
    """The table of a spectral law: its bulks, named by ``kinds``, and then its atoms."""
    low, high = np.asarray(edges).reshape(-1, 2).T
    rows = ("part",)
    columns = {
        "low": np.concatenate([low, atoms[:, 0]]),
        "high": np.concatenate([high, atoms[:, 0]]),
        "mass": np.concatenate([masses, atoms[:, 1]]),
        "kind": np.array([*kinds, *["atom"] * len(atoms)], dtype=str),
    }
    return Table(rows, {}, {name: (rows, array) for name, array in columns.items()})


def _extra(name: str, method: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise ModelError(
            f"{method} needs the extra {name!r}: pip install 'dmft_rf[{name}]'"
        ) from None


def _cells(columns: dict[str, NDArray[Any]], most: int) -> Iterable[list[str]]:
    """The rows of a table as text; of many rows those at both ends."""
    count = len(next(iter(columns.values()), ()))
    last = 2 if count > most else 0
    for i in range(count if last == 0 else most - 3):
        yield [_text(array[i]) for array in columns.values()]
    if last:
        yield ["..."] * len(columns)
    for i in range(count - last, count):
        yield [_text(array[i]) for array in columns.values()]


def _text(value: Any) -> str:
    if isinstance(value, float | np.floating | np.complexfloating):
        return f"{value:.6g}"
    return one_line(str(value), _CELL)


def _lines(columns: dict[str, NDArray[Any]], most: int) -> list[str]:
    """The lines of a table, with as many columns as have room."""
    rows = [list(columns), *_cells(columns, most)]
    texts = [array.dtype.kind not in "fiubc" for array in columns.values()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    fit, used = 0, 0
    for width in widths:
        used += 2 + width
        if used + (5 if fit + 1 < len(widths) else 0) > _WIDTH:
            break
        fit += 1
    more = "  ..." if fit < len(widths) else ""
    return [
        "".join(
            f"  {cell:<{width}}" if text else f"  {cell:>{width}}"
            for cell, width, text in zip(row[:fit], widths, texts, strict=False)
        ).rstrip()
        + (more if k == 0 else "")
        for k, row in enumerate(rows)
    ]
