"""Two sets of learning curves that agree within the errors which they state themselves."""

from collections.abc import Iterable

import numpy as np

from dmft_rf import LearningCurves

CURVES = ("train", "test", "score_error")


def assert_close(
    one: LearningCurves, other: LearningCurves, names: Iterable[str] = CURVES, rtol: float = 0.0
) -> None:
    """Equal within what both report, or relative ``rtol`` for a difference of the physics."""
    for name in names:
        x, y = getattr(one, name), getattr(other, name)
        allowed = one.error[name] + other.error[name] + rtol * np.abs(y)
        assert np.all(np.abs(x - y) <= allowed), (name, np.max(np.abs(x - y) / allowed))
