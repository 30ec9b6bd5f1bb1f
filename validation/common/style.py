"""Pictures at print size in the library's style: panels, markers, legends.

Column width is 3.4 inches and page width 7.0; text is 7 points or more at that size. Colours are
those of Okabe and Ito for a few curves and a section of viridis for ordered ones: both survive
colour blindness, and line styles and markers tell apart what grey print does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dmft_rf._typing import Array
from dmft_rf.plotting.style import (  # noqa: F401  (those that users of this module name)
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    REGIONS,
    SETTINGS,
    SKY,
    VERMILION,
    letters,
    load_matplotlib,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)

COLUMN, PAGE = 3.4, 7.0
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (3, 1.2, 1, 1.2)), (0, (1, 1)), (0, (7, 2, 2, 2)))

TAU = r"training time $\tau$"
PSI_N = r"samples per dimension $\psi_n = n/d$"
PSI_P = r"features per dimension $\psi_p = p/d$"
SCORE = r"score error $E_{\rm score}$"


@contextmanager
def styled() -> Iterator[None]:
    """Draw with these settings and leave matplotlib's as they were."""
    with load_matplotlib().rc_context(SETTINGS):
        yield


def canvas(
    rows: int, columns: int, height: float, width: float = PAGE, **keywords: Any
) -> tuple[Figure, NDArray[Any]]:
    """A figure of ``rows`` by ``columns`` panels; no display, no global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **keywords)


def ordered(count: int) -> list[str]:
    """Colours for curves that are ordered by a parameter, dark to light but never pale."""
    import matplotlib
    from matplotlib.colors import to_hex

    map_ = matplotlib.colormaps["viridis"]
    return [to_hex(map_(x)) for x in np.linspace(0.0, 0.82, max(count, 2))][:count]


def points(
    ax: Axes, x: Array, mean: Array, error: Array | None = None, *, colour: str, marker: str = "o",
    label: str | None = None, hollow: bool = False,
) -> None:  # fmt: skip
    """Markers with one standard error, without the points that a logarithmic axis cannot show."""
    good = np.isfinite(x) & np.isfinite(mean)
    if ax.get_xscale() == "log":
        good &= x > 0.0
    if ax.get_yscale() == "log":
        good &= mean > 0.0
    if error is not None:
        error = np.where(np.isfinite(error), error, 0.0)[good]
    if error is not None:
        ax.errorbar(x[good], mean[good], yerr=error, fmt="none", ecolor=colour, elinewidth=0.8,
                    zorder=4)  # fmt: skip
    ax.plot(
        x[good], mean[good], linestyle="none", marker=marker, color=colour, label=label,
        markeredgewidth=0.8 if hollow or marker == "+" else 0.4, zorder=5,
        markerfacecolor="none" if hollow else colour,
        markeredgecolor=colour if hollow or marker == "+" else "white",
    )  # fmt: skip


def log(ax: Axes, axes: str = "xy") -> None:
    """Logarithmic axes with few enough labels to read."""
    from matplotlib.ticker import LogLocator, NullFormatter

    for name in axes:
        getattr(ax, f"set_{name}scale")("log")
        axis = getattr(ax, f"{name}axis")
        axis.set_major_locator(LogLocator(numticks=7))
        axis.set_minor_locator(LogLocator(subs=tuple(range(2, 10)), numticks=12))
        axis.set_minor_formatter(NullFormatter())


def legend_over(figure: Figure, handles: Sequence[Any], columns: int) -> None:
    """One legend for the whole figure, above its panels."""
    figure.legend(handles=list(handles), loc="outside upper center", ncols=columns, fontsize=7.0)


def handle(
    label: str, colour: str = BLACK, line: Any = "", marker: str = "", hollow: bool = False
) -> Any:
    """An entry of a legend."""
    from matplotlib.lines import Line2D

    return Line2D(
        [], [], color=colour, linestyle=line or "none", marker=marker or None, label=label,
        markerfacecolor="none" if hollow else colour,
        markeredgewidth=0.8 if hollow or marker == "+" else 0.4,
        markeredgecolor=colour if hollow or marker == "+" else "white",
    )  # fmt: skip


def limits(ax: Axes, low: float, high: float) -> None:
    """The y limits with a little room; a short logarithmic axis gets labels at 1, 2, 5."""
    if ax.get_yscale() == "log":
        room = 1.25
        ax.set_ylim(low / room, high * room)
        short_labels(ax.yaxis, low / room, high * room)
    else:
        room = 0.06 * (high - low)
        ax.set_ylim(low - room, high + room)


def short_labels(axis: Any, low: float, high: float) -> None:
    """Labels at 1, 2, 5 on a logarithmic axis of less than two decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    if high < 100.0 * low:
        subs = (1.0, 2.0, 5.0) if high > 8.0 * low else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
        axis.set_major_locator(LogLocator(subs=subs))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
