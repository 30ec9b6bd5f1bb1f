"""The picture of when to stop: what is marked is what the numbers say."""

import numpy as np
import pytest

from dmft_rf import Covariance, ScoreModel, solve, timescales
from dmft_rf.plotting.timescales import TIMES, plot_timescales

FEW = ScoreModel(0.1, 8, 2, "tanh", Covariance([0.5, 1.5]))


def _labels(axes) -> list[str]:
    return [str(line.get_label()) for line in axes.lines]


def _bands(axes) -> list[tuple[float, float]]:
    spans = [patch.get_extents().transformed(axes.transData.inverted()) for patch in axes.patches]
    return [(span.x0, span.x1) for span in spans]


def test_the_usable_interval_is_shaded_and_the_times_are_marked() -> None:
    solution = solve(FEW)
    times = timescales(solution)
    score, losses = plot_timescales(solution, times).axes
    for axes in (score, losses):
        (band,) = _bands(axes)
        assert band == pytest.approx(times.usable())
        marks = {float(np.ravel(line.get_xdata())[0]) for line in axes.lines}
        assert {times.tau_gen, times.tau_opt, times.tau_overfit, times.tau_mem} <= marks
    tau, values = score.lines[0].get_data()
    assert np.array_equal(values, solution.learning_curves(tau).score_error)
    assert tau[0] < times.usable()[0] < times.tau_mem < tau[-1]
    (advice,) = [text.get_text() for text in score.texts if "stop here" in text.get_text()]
    assert f"{times.usable()[0]:.3g}" in advice


def test_nothing_to_memorize_is_not_dated() -> None:
    """Many samples: the interval has no end, and neither tau_mem nor overfitting is drawn."""
    solution = solve(ScoreModel(0.01, 64, 1e6))
    times = timescales(solution)
    score, _ = plot_timescales(solution, times).axes
    labels = " ".join(_labels(score))
    for name in ("tau_mem", "tau_overfit", "tau_ratio"):
        assert TIMES[name][0] not in labels
    assert TIMES["tau_opt"][0] in labels
    assert any("and later" in text.get_text() for text in score.texts)


def test_a_loss_that_never_rises_has_no_best_time() -> None:
    solution = solve(ScoreModel(1.0, 0.5, 1e4))
    score, _ = plot_timescales(solution, timescales(solution)).axes
    assert TIMES["tau_opt"][0] not in " ".join(_labels(score))
