"""Pictures of fits and of derivatives: the data, the fitted curves, the residuals, the slopes."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dmft_rf import Covariance, Fit, GradientFlow, ScoreModel, derivatives, fit, solve
from dmft_rf.plotting import plot_fit

MODEL = ScoreModel(0.1, 8.0, 4.0, "tanh", Covariance([0.5, 1.5]))
STEPS = np.append(np.geomspace(100.0, 1e6, 8), math.inf)


@pytest.fixture(scope="module")
def found() -> Fit:
    curves = solve(MODEL, 1e-4).learning_curves(0.05 * STEPS)
    noise = 1.0 + 0.01 * np.sin(np.arange(9.0))
    run = {"steps": STEPS, "train": curves.train * noise, "test": curves.test * noise[::-1]}
    return fit(run, MODEL, rate=0.05, rtol=1e-4)


def test_fit(found: Fit) -> None:
    """What was measured at inf has no place on the axis."""
    figure = plot_fit(found)
    ax, below = figure.axes
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert sorted(texts) == [
        "test, fitted",
        "test, measured",
        "training, fitted",
        "training, measured",
    ]
    for bars, name in zip(ax.containers, ("test", "train"), strict=True):
        points = bars.lines[0].get_xydata()
        own = found.curve == name
        assert_array_equal(points[:-1], np.stack([found.clock, found.loss], axis=1)[own][:-1])
        assert np.isnan(points[-1, 0])
    # the line at the first and last step is the fitted loss there
    lines = [line for line in ax.lines if len(line.get_xdata()) > 20]
    for line, name in zip(lines, ("test", "train"), strict=True):
        fitted = found.fitted[found.curve == name]
        assert_allclose(line.get_ydata()[[0, -1]], fitted[[0, -2]], rtol=1e-6)
    shown = np.concatenate([line.get_ydata() for line in below.lines[:2]])
    assert_array_equal(np.sort(shown), np.sort(found.residuals))
    assert below.get_xlabel() == "steps"
    title = " ".join(text.get_text() for text in ax.texts)
    assert rf"$\psi_p$ = {found.values['psi_p']:.2f} $\pm$ " in title


def test_one_quantity(found: Fit) -> None:
    ax = found.plot(quantity="test", label="mine")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "mine, test, fitted",
        "mine, test, measured",
    ]
    ax = found.plot(quantity="residuals")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["test", "training"]


def test_derivatives() -> None:
    slopes = derivatives(solve(MODEL, 1e-4), [1.0, 10.0], ("psi_p", "eigenvalues"), GradientFlow())
    ax = slopes.plot(quantity=["test", "train"])
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    own = [r"$\psi_p$", r"$\lambda$ 0", r"$\lambda$ 1"]
    assert labels == [f"{name} loss, {x}" for name in ("test", "training") for x in own]
    assert_array_equal(ax.lines[0].get_ydata(), slopes.logarithmic("test")["psi_p"])
    assert_array_equal(ax.lines[5].get_ydata(), slopes.logarithmic("train")["eigenvalues"][1])
    assert slopes.plot().get_ylabel() == "change of the test loss\nper relative change"
