"""Samples that tests of data files share, and their covariance."""

import warnings

import numpy as np
import pytest

from dmft_rf import DataError
from dmft_rf.data.read import iter_chunks, read_covariance
from dmft_rf.model.covariance import SampleSizeWarning

RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, 8)) @ np.diag(np.arange(1.0, 9.0))
EXPECTED = np.linalg.eigvalsh(np.cov(X.T))


def refused(path, *parts, **options):
    """Check that data are refused in one line that names them and says all the parts."""
    with pytest.raises(DataError) as caught:
        read_covariance(path, **options)
    message = str(caught.value)
    assert message.isprintable()
    for part in (str(path), *parts):
        assert part in message


def shape(path, **options):
    return np.concatenate(list(iter_chunks(path, **options))).shape


def samples(path):
    """How many the covariance of a file is made of; that they are few is not the matter here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SampleSizeWarning)
        return read_covariance(path).samples
