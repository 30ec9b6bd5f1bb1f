from __future__ import annotations

import pytest

from dmft_rf import Solution, solve
from tests.helpers.solved import MODELS, WITHOUT_COMPILER


@pytest.fixture(
    params=[
        pytest.param(name, marks=() if name in WITHOUT_COMPILER else pytest.mark.compiled)
        for name in MODELS
    ],
    scope="module",
)
def solution(request: pytest.FixtureRequest) -> Solution:
    return solve(MODELS[request.param])
