"""Pictures of spectra: each bulk, its name, and many of them as one shape."""

import matplotlib
import numpy as np
import pytest

import dmft_rf
from dmft_rf import Covariance, ScoreModel
from dmft_rf.plotting import plot_spectrum

ISOTROPIC = ScoreModel(0.01, 16.0, 4.0)
DATA = ScoreModel(0.05, 16.0, 4.0, "relu", Covariance.power_law(1.0, 12))


@pytest.mark.parametrize(
    "model",
    [
        ISOTROPIC,
        DATA,
        ScoreModel(0.1, 3.0, 2.0),  # hard edge
        ScoreModel(0.5, 1.0, 1.0),  # merged bulks, no atom
    ],
)
def test_the_spectrum_is_the_density_of_every_bulk(model):
    law = dmft_rf.spectrum(model)
    figure = plot_spectrum(law)
    ax = figure.axes[0]
    bulks = ax.lines[: len(law.bulk_masses)]
    assert len(ax.lines) == len(law.bulk_masses) + len(law.atoms)
    for line, (low, high) in zip(bulks, law.edges, strict=True):
        x, y = line.get_data()
        inner = (x > low) & (x < high)
        assert inner.sum() > 50
        assert low <= x.min() < x.max() == high
        np.testing.assert_allclose(
            y[inner], x[inner] * law.density(x[inner]), rtol=1e-9, atol=1e-12
        )
        assert y[-1] == 0.0
    assert np.all(np.isfinite(np.concatenate([line.get_ydata() for line in bulks])))
    figure.draw_without_rendering()
    text = "\n".join(t.get_text() for t in figure.findobj(matplotlib.text.Text))
    assert ("atom" in text) == bool(len(law.atoms))
    assert "relaxation time" in text
    assert r"\lambda" in ax.get_xlabel()
    assert ax.get_xscale() == ax.get_yscale() == "log"


def test_bulks_are_labelled_once_per_family():
    law = dmft_rf.spectrum(ScoreModel(0.01, 16.0, 4.0, "tanh", Covariance([0.02, 1.5])))
    (ax,) = plot_spectrum(law).axes
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    named = [label for label in labels if "atom" not in label]
    assert len(ax.lines) == len(law.edges) + 1
    assert len(named) == len(set(law.bulk_names))
    data = np.array([name == "data" for name in law.bulk_names])
    assert 2 <= data.sum() <= 4
    (label,) = [label for label in named if "data" in label]
    assert label.endswith(f"mass {law.bulk_masses[data].sum():.4g}")


def test_many_bulks_are_one_shape_of_their_mass():
    covariance = Covariance(np.geomspace(1e-5, 1.0, 7)).normalized()
    law = dmft_rf.spectrum(ScoreModel(0.001, 3000.0, 300.0, "tanh", covariance))
    data = np.flatnonzero(np.array(law.bulk_names) == "data")
    assert data.size > 4
    (ax,) = plot_spectrum(law).axes
    (line,) = [line for line in ax.lines if f"({data.size} bulks)" in str(line.get_label())]
    x, y = line.get_xydata().T
    mass = np.trapezoid(y, np.log(x))
    np.testing.assert_allclose(mass, law.bulk_masses[data].sum(), rtol=0.02)
    low, high = law.edges[data[0], 0], law.edges[data[-1], 1]
    assert low < x[0] < x[-1] < high
