"""What the pictures share: style, colours, panels, the line that says what was computed, the file.

Colours are those of Okabe and Ito, which survive colour blindness; each also has its own line
style, so that a grey print can be read. Text is 7 points or more at the size of a figure.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import math
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dmft_rf import errors
from dmft_rf._convert import flag, instance
from dmft_rf._version import __version__
from dmft_rf.errors import DataError
from dmft_rf.files.replace import check_output, replacing
from dmft_rf.images.image_model import ImageModel
from dmft_rf.model.feature_model import FeatureModel
from dmft_rf.model.score_model import ScoreModel
from dmft_rf.rules.stochastic import TrainingRule

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

ENDINGS = (".png", ".pdf", ".svg")
"""Formats of `save_figure`."""

BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
YELLOW = "#F0E442"
ORANGE, SKY, BLACK, GREY = "#E69F00", "#56B4E9", "#000000", "#595959"
#: of what is drawn one after the other
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)

#: how the time is marked at which the score is good: the same in every picture
USABLE: dict[str, Any] = {"color": YELLOW, "alpha": 0.55, "linewidth": 0, "zorder": 0}
#: colours of the regions of a phase diagram: the lines' on white, so that lines are seen on them
REGIONS = {
    "memorization": "#F2CFB3",
    "dynamical regularization": "#FAECCC",
    "architectural regularization": "#CCE9F8",
    "generalization": "#FAECCC",
    "learning": "#E1E1E1",
}
#: what each bulk is called (`Spectrum.bulk_names`), its colour and its line
BULKS: dict[str, tuple[str, str, Any]] = {
    "memorizes last": (r"$\rho_1$, memorizes last", VERMILION, "--"),
    "nearly inert": (r"$\rho_1$, nearly inert", ORANGE, "-."),
    "samples": (r"$\rho_1$, single samples", VERMILION, "--"),
    "data": (r"$\rho_2$, data, learned first", BLUE, "-"),
    "merged": ("bulks", BLUE, "-"),
}

#: what parameters are called
SYMBOLS = {
    "psi_n": r"$\psi_n$",
    "psi_p": r"$\psi_p$",
    "t": "$t$",
    "tau": r"$\tau$",
    "noise_draws": "$m$",
    "weight_decay": r"$\omega$",
    "eigenvalues": r"$\lambda$",
    "weights": "$w$",
}

#: inches of a figure that a column of a journal holds at three quarters of its size
WIDTH = 4.6
SETTINGS: dict[str, Any] = {
    "font.size": 8.0,
    "axes.labelsize": 8.0,
    "axes.titlesize": 8.0,
    "axes.linewidth": 0.7,
    "axes.axisbelow": True,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "legend.fontsize": 7.0,
    "legend.handlelength": 2.2,
    "legend.borderaxespad": 0.4,
    "legend.labelspacing": 0.35,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "lines.markersize": 3.8,
    "errorbar.capsize": 0.0,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 250,
    "pdf.fonttype": 42,  # text that can be searched and edited
    "svg.fonttype": "none",
    "svg.hashsalt": "dmft_rf",  # the same result gives the same file
    "mathtext.fontset": "dejavusans",
}
#: begins the mark of all lines of one drawing, so that the next has another colour
MARK = "dmft_rf drawing "
# of how and when figures appear, not of how they look
_PYPLOTS = ("backend", "interactive")
_DECADES = 30.0  # a quantity that spans more than this factor gets a logarithmic axis

_P = ParamSpec("_P")
_R = TypeVar("_R")


def load_matplotlib() -> Any:
    """Return matplotlib, whatever the settings of the user are.

    Settings with which it cannot be imported (an MPLBACKEND that does not exist, a matplotlibrc
    that is no text) are left out.

    Raises
    ------
    DataError
        If it cannot be imported without them either.
    """
    try:
        return importlib.import_module("matplotlib")
    except (ValueError, OSError, RuntimeError):
        for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
            del sys.modules[name]  # half of it
    except ImportError as error:
        raise DataError(f"pictures need matplotlib, which cannot be loaded: {error}") from None
    try:
        with _without_settings():
            return importlib.import_module("matplotlib")
    except (ImportError, ValueError, OSError, RuntimeError) as error:
        raise DataError(f"pictures need matplotlib, which cannot be loaded: {error}") from None


@contextmanager
def _without_settings() -> Iterator[None]:
    """Let matplotlib find its own settings file, which it looks for in the current folder first."""
    spec = importlib.util.find_spec("matplotlib")
    assert spec is not None
    assert spec.origin is not None
    backend = os.environ.pop("MPLBACKEND", None)
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(Path(spec.origin).with_name("mpl-data"))
        yield
    finally:
        os.fchdir(here)
        os.close(here)
        if backend is not None:
            os.environ["MPLBACKEND"] = backend


def styled(draw: Callable[_P, _R]) -> Callable[_P, _R]:
    """Draw in the package's style alone, and leave matplotlib's settings as they were."""

    @functools.wraps(draw)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        matplotlib = load_matplotlib()
        with matplotlib.rc_context():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of settings that a later version will drop
                defaults = matplotlib.rcParamsDefault
                settings = {name: defaults[name] for name in defaults if name not in _PYPLOTS}
                matplotlib.rcParams.update(settings | SETTINGS)
            drawn = draw(*args, **kwargs)
            interactive = matplotlib.is_interactive()
        matplotlib.interactive(interactive)  # as a notebook's backend, loaded meanwhile, has set it
        return drawn

    return wrapper


def drawings(axes: Axes) -> set[str]:
    """Marks of the drawings of results that are on the axes."""
    marks = {str(line.get_gid()) for line in axes.lines}
    return {mark for mark in marks if mark.startswith(MARK)}


def new_figure(width: float, height: float) -> Figure:
    """A figure without a window, which a notebook shows where it is the value of a cell."""
    from matplotlib.figure import Figure

    class Picture(Figure):
        def _repr_png_(self) -> bytes:
            buffer = io.BytesIO()
            self.savefig(buffer, format="png", dpi=150, backend="agg")
            return buffer.getvalue()

    return Picture(figsize=(width, height))


def figure_of(
    panels: int, heights: Sequence[float] | None = None, *, shared: bool = True
) -> tuple[Figure, list[Axes]]:
    """Return a figure of stacked panels, lettered, that share their x axis, or do not."""
    figure = new_figure(WIDTH, 2.9 + 1.3 * (panels - 1))
    axes = figure.subplots(panels, 1, sharex=shared, squeeze=False, height_ratios=heights)[:, 0]
    if panels > 1:
        letters(list(axes))
    return figure, list(axes)


def letters(panels: Sequence[Axes], start: str = "a") -> None:
    """Letter the panels, outside their upper left corner."""
    for i, ax in enumerate(panels):
        ax.annotate(
            f"({chr(ord(start) + i)})", (0.0, 1.0), xycoords="axes fraction", xytext=(-2.0, 4.0),
            textcoords="offset points", ha="right", va="bottom", fontsize=8.0, weight="bold",
        )  # fmt: skip


def titles(
    figure: Figure,
    title: str,
    model: FeatureModel,
    more: str = "",
    without: str | Sequence[str] = "",
    pad: float = 18.0,
) -> None:
    """Write a title and, small under it, the parameters and what is known of their error.

    ``pad`` leaves room, in points, for a legend between them and the axes.
    """
    hidden = (without,) if isinstance(without, str) else without
    parts = [
        rf"${symbol} = {tex(getattr(model, name))}$"
        for name, symbol in (("t", "t"), ("psi_p", r"\psi_p"), ("psi_n", r"\psi_n"))
        if name not in hidden
    ]
    if math.isfinite(model.noise_draws) and "noise_draws" not in hidden:
        parts.append(rf"$m = {tex(model.noise_draws)}$")
    parts += [unformatted(model.activation.name), more]  # type: ignore[attr-defined]
    lines = [", ".join(part for part in parts if part), _data_of(model, hidden)]
    axes = figure.axes[0]
    below = axes.set_title(
        "\n".join(lines), fontsize=7, color=GREY, linespacing=1.35, loc="left",
        pad=pad,
    )  # fmt: skip
    # hung on the title, whose place matplotlib finds only when it draws
    axes.annotate(
        title, (0.0, 1.0), xycoords=below, xytext=(0.0, 4.0), textcoords="offset points",
        fontsize=9, va="bottom", annotation_clip=False,
    )  # fmt: skip


def _data_of(model: FeatureModel, hidden: Sequence[str]) -> str:
    """What a title says of the data of a model."""
    if isinstance(model, ImageModel):
        N, d = model.pool.rows.shape
        if "psi_n" in hidden:  # the route is that of each n
            return rf"{model.features} features, on part of {N:,} samples, $d = {d}$"
        way = {"networks": "ten networks", "scalar": "scalar equations"}.get(
            model.route, model.route
        )
        return rf"{way} of {model.features} features, on {model.n} of {N:,} samples, $d = {d}$"
    assert isinstance(model, ScoreModel)
    c = model.covariance
    swept = "power_law.exponent" in hidden  # and the covariance with it
    law = f"power law, d = {c.dimension or c.n_atoms}" if swept else unformatted(c.label)
    error = None if swept else c.expected_finite_size_error
    if error is None:
        return rf"$\Sigma$: {law}"
    return (
        rf"$\Sigma$: {law}, $d = {c.dimension}$, $d_{{\rm eff}} = {c.effective_dimension:.1f}$"
        rf" (expected finite-size error $\approx$ {100 * error:.1f} %)"
    )


def log_if_wide(axes: Axes, values: NDArray[np.float64], *, floor: bool = False) -> None:
    """Make the y axis logarithmic where the values span decades, else start it at 0."""
    good = values[np.isfinite(values) & (values > 0.0)]
    if good.size and good.max() > _DECADES * good.min():
        axes.set_yscale("log")
        if floor:  # the gap falls without limit at early times
            axes.set_ylim(0.4 * good.min(), 2.5 * good.max())
    elif good.size:
        axes.set_ylim(0.0, 1.08 * good.max())


def label_decades(axis: Axis, values: NDArray[np.float64]) -> None:
    """Label 1, 2, 5, 10, ... on a logarithmic axis that spans little more than a decade or two."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = float(np.min(values)), float(np.max(values))
    if high < 250.0 * low and low > 1e-4 and high < 1e6:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def legend_above(axes: Axes, columns: int = 5) -> None:
    """Put the legend over the axes, where it hides nothing."""
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=columns, borderaxespad=0.2,
        columnspacing=1.1, handlelength=2.0, handletextpad=0.5,
    )  # fmt: skip


def positive(values: ArrayLike) -> NDArray[np.float64]:
    """Return the values with NaN for what a logarithmic axis cannot show."""
    array = np.asarray(values, dtype=float)
    return np.where(np.isfinite(array) & (array > 0.0), array, np.nan)


def tex(value: float, digits: int = 4) -> str:
    """Return a number for mathtext: 1.33 \\times 10^{7} rather than 1.33e+07."""
    text = f"{value:.{digits}g}"
    if text == "inf":
        return r"\infty"
    if "e" not in text:
        return text
    mantissa, exponent = text.split("e")
    power = rf"10^{{{int(exponent)}}}"
    return power if mantissa == "1" else rf"{mantissa} \times {power}"


def unformatted(text: str, longest: int = 80) -> str:
    """Return text of a user's, a name or a label, as matplotlib shows it.

    No formula, one line of at most ``longest`` characters, "?" for those that the font lacks.
    """
    from matplotlib.font_manager import FontProperties, findfont, get_font

    known = get_font(findfont(FontProperties())).get_charmap()
    text = "".join(c if ord(c) in known else "?" for c in errors.plain(text))
    text = text if len(text) <= longest else f"{text[: longest - 3]}..."
    return text.replace("$", r"\$")


@styled
def save_figure(figure: Figure, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a figure as PNG, PDF or SVG, by the ending of ``path``.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : path
        In an existing folder, ending in .png, .pdf or .svg.
    overwrite : bool, default False
        Whether an existing file may be replaced.

    Returns
    -------
    pathlib.Path
        The file, complete: it is written beside its place and renamed.

    Raises
    ------
    DataError
        If the ending is another, the folder is missing, the file exists or cannot be written.
    """
    from matplotlib.figure import Figure

    instance(figure, Figure, "figure", "plot_curves(curves)")
    overwrite = flag(overwrite, "overwrite")
    place = check_output(path, overwrite=overwrite, endings=ENDINGS)
    kind = place.suffix.lower()[1:]
    software = f"dmft_rf {__version__}"
    # without a date, so that the same result gives the same file
    kinds: dict[str, dict[str, str | None]] = {
        "png": {"Software": software},
        "pdf": {"Creator": software, "CreationDate": None},
        "svg": {"Creator": software, "Date": None},
    }
    with replacing(place, overwrite=overwrite) as temporary:
        backend = {"png": "agg", "pdf": "pdf", "svg": "svg"}[kind]
        figure.savefig(temporary, format=kind, metadata=kinds[kind], backend=backend)
    return place


def rule_text(rule: TrainingRule) -> str:
    """Return the rule and its parameters other than the usual ones, in words."""
    name = unformatted(re.sub(r"(?<!^)(?=[A-Z])", " ", type(rule).__name__).lower())
    given = {
        f.name.replace("_", " "): getattr(rule, f.name)
        for f in fields(rule)
        if getattr(rule, f.name) not in (0.0, None, f.default)
    }
    values = [
        f"{name} {value:g}" if isinstance(value, int | float) else f"{name} {type(value).__name__}"
        for name, value in given.items()
    ]
    return " ".join([name, *([f"({', '.join(values)})"] if values else [])])
