"""The picture of a covariance shows its eigenvalues, each as often as it is there."""

import numpy as np
import pytest

from dmft_rf import Covariance, ModelError
from dmft_rf.plotting import plot_covariance


def test_eigenvalues_against_their_number() -> None:
    law = Covariance([0.0, 0.5, 4.0], [0.25, 0.5, 0.25], dimension=8, label="$x$")
    (ax,) = plot_covariance(law).axes
    steps, mean = ax.lines
    # the two largest, the four in the middle; two zeros have no place on the axis
    np.testing.assert_array_equal(steps.get_xdata(), [1.0, 2.0, 3.0, 6.0, 7.0, 8.0])
    np.testing.assert_array_equal(steps.get_ydata(), [4.0, 4.0, 0.5, 0.5, np.nan, np.nan])
    assert mean.get_ydata()[0] == law.mean
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert r"\$x\$, $d = 8$" in ax.get_title(loc="left")


def test_eigenvalues_of_unknown_dimension() -> None:
    (ax,) = plot_covariance(Covariance([1.0, 2.0], [0.25, 0.75])).axes
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [0.0, 0.75, 0.75, 1.0])
    assert ax.get_xlabel() == "share of the eigenvalues"
    with pytest.raises(ModelError, match="covariance is"):
        plot_covariance([1.0])  # type: ignore[arg-type]
