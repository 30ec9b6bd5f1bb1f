"""The page itself: sliders on the left, what they do on the right. Needs Panel (extra explore)."""

from __future__ import annotations

import html
import io
import math
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import panel as pn
from bokeh.models import CategoricalSlider

import dmft_rf
from dmft_rf.errors import ConvergenceError, DataError, ModelError
from dmft_rf.explorer import answers
from dmft_rf.explorer.pictures import (
    MARKS,
    VERMILION,
    WIDTH,
    YELLOW,
    CurvePictures,
    GenerationPicture,
    MapPicture,
)
from dmft_rf.explorer.state import ACTIVATIONS, TABS, State
from dmft_rf.explorer.upload import MOST_BYTES, Upload


def _decades(low: float, high: float, per_decade: int = 24) -> list[float]:
    count = round(math.log10(high / low) * per_decade) + 1
    return [float(f"{x:.3g}") for x in np.geomspace(low, high, count)]


_VALUES: dict[str, tuple[str, list[float]]] = {
    "t": ("diffusion time t", _decades(1e-3, 10.0)),
    "psi_p": ("hidden units per dimension, psi_p", [*_decades(1.0, 1e4), math.inf]),
    "psi_n": ("samples per dimension, psi_n", _decades(0.1, 1e4)),
    "noise_draws": ("noise draws per sample", [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0, math.inf]),
    "weight_decay": ("weight decay", [0.0, *_decades(1e-6, 1.0, 6)]),
    "sgd_noise": ("noise of mini-batch SGD (0: gradient flow)", [0.0, *_decades(1e-5, 1.0, 6)]),
}


class Page:
    """One visitor's page.

    Parameters
    ----------
    state : State
        What it begins with.
    remember : callable
        Called with every new state, to put it into the link.
    """

    def __init__(self, state: State, remember: Callable[[State], None] = lambda _: None):
        self.state = state
        self._remember = remember
        self._found: answers.Learning | None = None
        self._upload = Upload()
        self._sliders = {name: Slider(name, getattr(state, name)) for name in _VALUES}
        self._activation = pn.widgets.Select(
            name="activation", options=list(ACTIVATIONS), value=state.activation, width=320
        )
        self._covariance = pn.widgets.TextInput(
            name="covariance of the data", value=state.covariance, width=320
        )
        self._file = pn.widgets.FileInput(accept=".npy,.npz,.csv,.txt,.h5,.hdf5", multiple=False)
        self.answer = pn.pane.HTML("", css_classes=["answer"], width=WIDTH)
        self.error = pn.pane.HTML("", css_classes=["error"], width=WIDTH)
        self.times = pn.pane.HTML("", css_classes=["times"])
        self.lines = pn.pane.HTML("", width=WIDTH)
        self._pictures = CurvePictures()
        self._generation = GenerationPicture()
        self._map = MapPicture()
        self._advice = _AdviceForm(self._upload)
        self._tabs = pn.Tabs(
            ("Curves", pn.Column(*self._pictures.figures, self._exports(), self.lines)),
            ("Map of n and p", pn.Column(self._map.note, self._map.figure)),
            ("Generation", pn.Column(self._generation.note, self._generation.figure)),
            ("Advice for a file", self._advice.view),
            active=TABS.index(state.tab),
            dynamic=True,
        )
        self._listen()
        self.redraw()

    @property
    def view(self) -> pn.viewable.Viewable:
        """What the browser gets."""
        left = pn.Column(
            pn.pane.HTML("<h2>dmft-rf explore</h2>"),
            *(slider.view for slider in self._sliders.values()),
            self._activation,
            self._covariance,
            pn.pane.HTML(
                "isotropic, power-law:1, eigenvalues as 0.5,1.5, digits; or the covariance of the "
                f"samples in a file (.npy, .npz, .csv, .txt, HDF5; at most {MOST_BYTES >> 20} MB):",
                width=320,
            ),
            self._file,
            self.times,
            width=340,
        )
        return pn.Row(left, pn.Column(self.answer, self.error, self._tabs))

    def _listen(self) -> None:
        for name, slider in self._sliders.items():
            slider.listen(partial(self._moved, name))
        self._activation.param.watch(lambda event: self._move(activation=event.new), "value")
        self._covariance.param.watch(lambda event: self._move(covariance=event.new), "value")
        self._file.param.watch(lambda event: self._receive(event.new), "value")
        self._tabs.param.watch(lambda event: self._move(tab=TABS[event.new]), "active")

    def _moved(self, name: str, value: float) -> None:
        self._move(**{name: value})

    def _move(self, **changes: Any) -> None:
        self.state = self.state.replace(**changes)
        self._remember(self.state)
        self.redraw()

    def _receive(self, content: bytes | None) -> None:
        if not content:
            return
        try:
            self._upload.read(str(self._file.filename), content)
        except (ModelError, DataError) as error:
            self.complain(str(error))
            return
        if self.state.covariance == "upload":
            self.redraw()
        self._covariance.value = "upload"

    def redraw(self) -> None:
        """Compute what the open tab shows, and draw it in one message."""
        with pn.io.hold():
            self._redraw()

    def _redraw(self) -> None:
        try:
            model = self.state.model(self._upload.covariance)
            self._found = found = answers.learning(model, self.state.rule())
            self.answer.object = f"<h3>{html.escape(answers.sentence(found))}</h3>"
            self.times.object = _table(found)
            if self.state.tab == "curves":
                self._pictures.draw(found)
                self.lines.object = f"<pre>{html.escape(self.state.lines())}</pre>"
            elif self.state.tab == "map":
                self._map.draw(model)
            elif self.state.tab == "generation":
                self._generation.draw(model)
        except (ModelError, DataError, ConvergenceError) as error:
            self.complain(str(error))
        else:
            self.error.object = ""

    def complain(self, text: str) -> None:
        """A line in place of an answer: what is drawn below is of the settings before."""
        self._found = None
        self.answer.object = ""
        self.error.object = (
            f"<p data-error style='color:{VERMILION}'><b>{html.escape(text)}</b></p>"
        )

    def _exports(self) -> pn.Row:
        return pn.Row(
            pn.widgets.FileDownload(
                callback=self._picture, filename="dmft_rf.svg", label="picture (SVG)"
            ),
            pn.widgets.FileDownload(
                callback=self._numbers, filename="dmft_rf.csv", label="numbers (CSV)"
            ),
        )

    def _picture(self) -> io.BytesIO:
        buffer = io.BytesIO()
        if self._found is not None:
            drawn = dmft_rf.plotting.plot_timescales(self._found.solution, self._found.timescales)
            drawn.savefig(buffer, format="svg")
        buffer.seek(0)
        return buffer

    def _numbers(self) -> io.StringIO:
        text = "" if self._found is None else self._found.table.to_frame().to_csv()
        return io.StringIO(text)


class Slider:
    """A slider over given numbers. Bokeh's own, since Panel's waits 50 ms before it reports a move.

    Attributes
    ----------
    values : list of float
    view : bokeh.models.CategoricalSlider
    """

    def __init__(self, name: str, value: float):
        title, values = _VALUES[name]
        self.values = sorted({*values, value})
        self._names = [f"{x:.6g}" for x in self.values]
        self.view = CategoricalSlider(
            title=title,
            categories=self._names,
            value=self._named(value),
            width=300,
            margin=(5, 5, 5, 15),  # the handle at the left end is whole
        )

    @property
    def value(self) -> float:
        """Where it stands; one of ``values``."""
        return self.values[self._names.index(self.view.value)]

    @value.setter
    def value(self, value: float) -> None:
        self.view.value = self._named(value)

    def _named(self, value: float) -> str:
        return self._names[self.values.index(value)]

    def listen(self, moved: Callable[[float], None]) -> None:
        """Call ``moved`` with every new number."""
        self.view.on_change("value", lambda attribute, old, new: moved(self.value))


class _AdviceForm:
    """The second tool: advice for the file that was uploaded, or for the digits."""

    def __init__(self, upload: Upload):
        self._upload = upload
        self._parameters = pn.widgets.FloatInput(name="numbers that the network trains", value=1e6)
        self._schedule = pn.widgets.TextInput(
            name="noise level: t, sigma:0.3, alpha_bar:0.9, log_snr:2 or ddpm:50", value="0.01"
        )
        ask = pn.widgets.Button(name="advise", button_type="primary")
        ask.on_click(lambda _: self._answer())
        self._page = pn.pane.HTML("", width=WIDTH)
        self.view = pn.Column(
            pn.pane.HTML("For the uploaded file, or for the bundled digits if there is none."),
            self._parameters, self._schedule, ask, self._page,
        )  # fmt: skip

    def _answer(self) -> None:
        try:
            with tempfile.TemporaryDirectory() as folder:
                images: str | Path = self._upload.write(Path(folder)) or "digits"
                text = str(self._schedule.value)
                level = text if ":" in text else float(text)
                found = dmft_rf.advise(images, self._parameters.value, level)
        except (ValueError, DataError, ConvergenceError) as error:  # ModelError is a ValueError
            self._page.object = f"<b>{html.escape(self._upload.hide(str(error)))}</b>"
        else:
            self._page.object = found._repr_html_()


def _table(found: answers.Learning) -> str:
    """The times of training as rows."""
    rows = ""
    for name, text in answers.TIMES.items():
        value = found.times[name]
        said = "cannot be told" if math.isnan(value) else f"{value:.4g}"
        if name == "tau_mem" and not found.memorizes:
            said = "nothing to memorize"
        colour = MARKS.get(name, (YELLOW, ""))[0]
        rows += (
            f"<tr><td style='border-left:6px solid {colour};padding-left:6px'>{text}</td>"
            f"<td data-time='{name}' style='text-align:right;padding-left:12px'>{said}</td></tr>"
        )
    return f"<table><caption>times tau</caption>{rows}</table>"
