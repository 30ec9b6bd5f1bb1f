"""The pictures of the explorer: curves, map and divergences, moved when the numbers change."""

from __future__ import annotations

import html
import math
from typing import Any

import numpy as np
import panel as pn
from bokeh.models import BoxAnnotation, ColumnDataSource, Span
from bokeh.plotting import figure

import dmft_rf
from dmft_rf.explorer import answers

BLUE, VERMILION, GREEN, PURPLE, GREY, YELLOW = (
    "#0072B2", "#D55E00", "#009E73", "#8C4F7D", "#666666", "#F0E442",
)  # fmt: skip
# colour and dash of each time
MARKS = {
    "tau_gen": (BLUE, "solid"),
    "tau_opt": (GREEN, "dashed"),
    "tau_overfit": (PURPLE, "dotdash"),
    "tau_ratio": (GREY, "dotted"),
    "tau_mem": (VERMILION, "dotdash"),
}
WIDTH = 760


class CurvePictures:
    """Score error, losses and spectrum of the first tab."""

    def __init__(self) -> None:
        self._curves = ColumnDataSource({"tau": [], "test": [], "train": [], "score_error": []})
        self._law = ColumnDataSource({"x": [], "y": []})
        score = _axes("score error", "training time tau")
        score.line("tau", "score_error", source=self._curves, color=GREEN, line_width=2)
        losses = _axes("loss per dimension", "training time tau", x_range=score.x_range)
        losses.line(
            "tau", "test", source=self._curves, color=VERMILION, line_width=2, legend_label="test"
        )
        losses.line(
            "tau", "train", source=self._curves, color=BLUE, line_width=2, line_dash="dashed",
            legend_label="training",
        )  # fmt: skip
        losses.legend.location = "center_left"
        law = _axes("lambda rho(lambda)", "eigenvalue lambda of the feature matrix")
        law.line("x", "y", source=self._law, color=BLUE, line_width=2)
        self._band = [_band(score), _band(losses)]
        self._spans = {name: [_span(axes, *look) for axes in (score, losses)]
                       for name, look in MARKS.items()}  # fmt: skip
        self.figures = [score, losses, law]

    def draw(self, found: answers.Learning) -> None:
        """Move everything to the new numbers."""
        self._curves.data = dict(found.curves)
        self._law.data = dict(found.law)
        start, end = found.times["usable_start"], found.times["usable_end"]
        for band in self._band:
            band.update(left=start, right=end if end < math.inf else None, visible=start < math.inf)
        for name, spans in self._spans.items():
            value = found.times[name]
            shown = 0.0 < value < math.inf and (name != "tau_mem" or found.memorizes)
            for span in spans:
                span.update(location=value if shown else None, visible=shown)


class MapPicture:
    """The (n, p) map, computed when its tab is open."""

    def __init__(self) -> None:
        self.note = pn.pane.HTML("", width=WIDTH)
        self._cells = ColumnDataSource({"psi_n": [], "psi_p": [], "w": [], "h": [], "colour": []})
        self._here = ColumnDataSource({"psi_n": [], "psi_p": []})
        self.figure = _axes("psi_p", "psi_n")
        self.figure.rect("psi_n", "psi_p", "w", "h", source=self._cells, color="colour")
        self.figure.scatter("psi_n", "psi_p", source=self._here, marker="x", size=16, color="black")
        self._known: tuple[Any, answers.Map] | None = None

    def draw(self, model: dmft_rf.ScoreModel) -> None:
        """Draw the map about a model, which is marked."""
        self._here.data = {"psi_n": [model.psi_n], "psi_p": [min(model.psi_p, 1e300)]}
        key = model.replace(psi_n=1.0)
        if self._known is None or self._known[0] != key:
            self._known = key, answers.phase_map(model)
            found = self._known[1]
            n, p = np.meshgrid(found.psi_n, found.psi_p, indexing="ij")
            width = math.log(found.psi_n[1] / found.psi_n[0])
            shades = [dmft_rf.phaseplot.REGIONS[name] for name in found.names]
            region = found.region.ravel()
            self._cells.data = {
                "psi_n": n.ravel(),
                "psi_p": p.ravel(),
                "w": n.ravel() * 2.0 * math.sinh(0.5 * width),
                "h": p.ravel() * 2.0 * math.sinh(0.5 * width),
                "colour": [shades[k] if k >= 0 else GREY for k in region],
            }
            words = (
                f"<span style='background:{shades[k]}'>&nbsp;{html.escape(name)}&nbsp;</span>"
                for k, name in enumerate(found.names)
            )
            self.note.object = "Regions: " + " ".join(words) + "; the cross is your model."


class GenerationPicture:
    """Quality of what is generated, at infinite width."""

    def __init__(self) -> None:
        self.note = pn.pane.HTML(
            "Kullback-Leibler divergence per dimension between data and generated samples, for a "
            "network of infinite width trained to tau at every diffusion time (t, psi_p and the "
            "training rule play no part).",
            width=WIDTH,
        )
        self._source = ColumnDataSource({"tau": [], "kl": [], "reverse_kl": []})
        self.figure = _axes("divergence per dimension", "training time tau")
        self.figure.line(
            "tau", "kl", source=self._source, color=BLUE, line_width=2,
            legend_label="KL(data || generated)",
        )  # fmt: skip
        self.figure.line(
            "tau", "reverse_kl", source=self._source, color=VERMILION, line_width=2,
            line_dash="dashed", legend_label="KL(generated || data)",
        )  # fmt: skip

    def draw(self, model: dmft_rf.ScoreModel) -> None:
        """Draw the divergences."""
        self._source.data = dict(answers.generated(model))


def _axes(y: str, x: str, **more: Any) -> Any:
    axes = figure(
        width=WIDTH, height=260, x_axis_type="log", y_axis_type="log", x_axis_label=x,
        y_axis_label=y, tools="pan,wheel_zoom,reset", **more,
    )  # fmt: skip
    axes.toolbar.logo = None
    return axes


def _band(axes: Any) -> BoxAnnotation:
    band = BoxAnnotation(fill_color=YELLOW, fill_alpha=0.45, visible=False)
    axes.add_layout(band)
    return band


def _span(axes: Any, colour: str, dash: str) -> Span:
    span = Span(
        dimension="height", line_color=colour, line_dash=dash, line_width=1.5, visible=False
    )
    axes.add_layout(span)
    return span
