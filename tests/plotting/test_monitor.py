"""The picture of a run shows its numbers and its dates."""

from pathlib import Path

import numpy as np
import pytest

from dmft_rf import ModelError
from dmft_rf.monitor import date, memorized_fraction, read_log
from dmft_rf.monitor.samples import Samples
from dmft_rf.plotting import plot_monitor
from dmft_rf.plotting.monitor import as_bytes, pictures_of

RUN = Path(__file__).parents[2] / "docs" / "examples" / "run.csv"


def test_losses_and_dates() -> None:
    log = read_log(RUN)
    dates = date(log)
    ax, below = plot_monitor(log, dates).axes
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), log.test)
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), log.train)
    np.testing.assert_array_equal(below.lines[0].get_ydata(), log.ratio)
    assert dates["best"].step in [line.get_xdata()[0] for line in ax.lines]
    assert ax.get_xscale() == "log"
    with pytest.raises(ModelError, match="log is 3"):
        plot_monitor(3, dates)  # type: ignore[arg-type]


def test_what_was_measured_on_samples_and_the_pairs() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 6, 5))
    log = read_log(RUN)
    found = memorized_fraction(x[:20], x)
    one, two = Samples.of(x[:20], "generated"), Samples.of(x, "training")
    figure = plot_monitor(log, date(log), found, one, two)
    strip = figure.axes[-1].images[0].get_array()
    # twelve pairs, each image with a rim of a pixel; copies are alike
    assert strip.shape == (2 * 8, 12 * 7)
    np.testing.assert_array_equal(strip[:8], strip[8:])


@pytest.mark.parametrize(
    ("shape", "drawn"),
    [
        ((4, 6), (4, 6)), ((4, 6, 1), (4, 6)), ((1, 4, 6), (4, 6)), ((3, 4, 6), (4, 6, 3)),
        ((4, 6, 3), (4, 6, 3)), ((16,), (4, 4)), ((17,), None), ((4, 6, 2), None),
    ],
)  # fmt: skip
def test_shapes_of_pictures(shape: tuple[int, ...], drawn: tuple[int, ...] | None) -> None:
    x = np.random.default_rng(1).normal(size=(5, *shape))
    found = pictures_of(Samples.of(x, "x"), np.array([3, 1]))
    if drawn is None:
        assert found is None
        return
    assert found is not None
    assert [part.shape for part in found] == [drawn, drawn]
    expected = x[3] if shape[0] not in (1, 3) else np.moveaxis(x[3], 0, 2)
    np.testing.assert_array_equal(found[0].ravel(), expected.ravel())


def test_greys_go_from_black_to_white() -> None:
    assert as_bytes(np.array([-1.0, 0.0, 1.0]), -1.0, 1.0).tolist() == [0, 128, 255]
    assert as_bytes(np.array([2.0]), 2.0, 2.0).tolist() == [0]
