from __future__ import annotations

import numpy as np
import pytest

import dmft_rf
from tests.helpers.results import MODEL


@pytest.fixture(scope="module")
def solution() -> dmft_rf.Solution:
    return dmft_rf.solve(MODEL)


@pytest.fixture(scope="module")
def results(solution: dmft_rf.Solution) -> dict[str, object]:
    return {
        "spectrum": dmft_rf.spectrum(MODEL),
        "curves": solution.learning_curves(np.array([[0.0, 1.0], [1e3, np.inf]])),
        "timescales": dmft_rf.timescales(solution),
        "scaling": dmft_rf.scaling(MODEL, "psi_n", [2.0, 3.0, 4.0]),
    }
