"""The data sets that come with the package."""

import numpy as np
import pytest

from dmft_rf.data import bundled as datasets
from dmft_rf.data.read import read_covariance
from dmft_rf.errors import DataError

# Bundled data --------------------------------------------------------------------------------


def test_digits():
    law = read_covariance("digits")
    assert (law.dimension, law.samples, law.label) == (64, 1797, "digits")
    assert law.effective_dimension == pytest.approx(13.2, abs=0.05)
    assert law.weights[0] == pytest.approx(3 / 64)  # three pixels are never inked
    assert law.eigenvalues[0] == 0.0
    images = np.load(datasets.path("digits"))["images"]
    assert images.dtype == np.uint8
    assert (images.min(), images.max()) == (0, 16)
    expected = np.linalg.eigvalsh(np.cov(images.T.astype(float)))
    np.testing.assert_allclose(law.eigenvalues[1:], expected[3:], rtol=1e-9)


def test_names():
    assert datasets.names() == ("digits",)
    with pytest.raises(DataError, match=r"'mnist'.*digits"):
        datasets.path("mnist")
