"""How much of what is thorough the suite does: a seventh; `pytest -m slow` does all of it."""

import pytest

# every 7th of a list in its order, or a storm a seventh as long
seventh = pytest.mark.parametrize(
    "every", [7, pytest.param(1, marks=pytest.mark.slow)], ids=["seventh", "all"]
)
