"""What the pictures of trained networks share: canvas, axes, colours, curves of several seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from dmft_rf._typing import Array
from validation.common import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Numbers = dict[str, Array]

MARKS = "os^DvPX"
TAU = r"training time $\tau$ (steps)"


def canvas(columns: int, height: float = 2.9, width: float = 7.4, rows: int = 1) -> Any:
    """A figure and its axes (rows, columns)."""
    return style.canvas(rows, columns, height, width)


def log_y(ax: Axes) -> None:
    """Logarithmic, with numbers between the powers of ten where there is little to see."""
    from matplotlib.ticker import NullFormatter

    ax.set_yscale("log")
    low, high = ax.get_ylim()
    if high < 2.0 * low:  # as good as linear
        middle, half = np.sqrt(low * high), np.sqrt(2.0)
        low, high = min(low, middle / half), max(high, middle * half)
        ax.set_ylim(low, high)
    style.short_labels(ax.yaxis, low, high)
    ax.yaxis.set_minor_formatter(NullFormatter())


def log2_x(ax: Axes, values: Any) -> None:
    """Logarithmic with the numbers of samples or widths themselves as ticks."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_locator(FixedLocator(sorted({float(value) for value in values})))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_locator(NullLocator())


def labels(numbers: Numbers, start: str, under: str = "") -> list[str]:
    """``n=16``, ``n=32``, ... in numerical order, of the paths that begin with ``under``."""
    found = {
        path.removeprefix(under).split("/")[0]
        for path in numbers
        if path.startswith(f"{under}{start}=")
    }
    return sorted(found, key=size)


def size(label: str) -> float:
    """The number behind ``n=`` or ``W=``."""
    return float(label.split("=")[1])


def curves(
    ax: Axes, numbers: Numbers, start: str, value: Callable[[str], Array | None],
    over: Callable[[str], float] = lambda label: 1.0, line: Any = "-", named: bool = True,
    under: str = "", among: list[str] | None = None,
) -> None:  # fmt: skip
    """One colour per label (of those in ``among``), one thin line per seed."""
    found = labels(numbers, start, under) if among is None else among
    for label, colour in zip(found, style.ordered(len(found)), strict=False):
        paths = sorted(p.removesuffix("/step") for p in numbers
                       if p.startswith(f"{under}{label}/s") and p.endswith("/step"))  # fmt: skip
        for i, path in enumerate(paths):
            y = value(path)
            if y is not None:
                ax.plot(numbers[f"{path}/step"] / over(label), y, linestyle=line, color=colour,
                        linewidth=1.1,
                        label=label.replace("=", " = ") if named and i == 0 else None)  # fmt: skip
    ax.set_xscale("log")
    ax.set_xlabel(TAU)


def get(numbers: Numbers, name: str) -> Callable[[str], Array | None]:
    """The curve of this name of a path."""
    return lambda path: numbers.get(f"{path}/{name}")


def ratio(numbers: Numbers) -> Callable[[str], Array | None]:
    """Test over train loss of a path."""
    return lambda path: numbers[f"{path}/test"] / numbers[f"{path}/train"]


def legend(ax: Axes, **keywords: Any) -> None:
    """A legend where there is something to name."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize=7, frameon=False, **keywords)


def legend_below(figure: Any, ax: Axes) -> None:
    """One row under the whole figure, for curves that leave no room."""
    handles, names = ax.get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside lower center", ncols=min(len(names), 8),
                      fontsize=7, frameon=False, columnspacing=1.2)  # fmt: skip
