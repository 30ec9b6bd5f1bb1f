from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def samples(tmp_path) -> Path:
    path = tmp_path / "samples.npy"
    np.save(path, np.random.default_rng(1).normal(size=(200, 5)) * [1.0, 2.0, 3.0, 4.0, 5.0])
    return path
