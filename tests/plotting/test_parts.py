"""The picture of parts: areas of the heights of the parts, lines of the errors of directions."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dmft_rf import Covariance, GradientFlow, Mixture, ModelError, ScoreModel, error_parts, solve
from dmft_rf.curves.definitions import PARTS
from dmft_rf.plotting import plot_error_parts

TAU = np.array([math.inf, 10.0, 0.0, 1.0, 100.0, 1000.0])


def test_areas_have_the_heights_of_the_parts() -> None:
    model = ScoreModel(0.1, 8.0, 2.0, covariance=Covariance([0.5, 1.5]))
    parts = error_parts(solve(model), TAU, GradientFlow(initial_std=0.5))
    ax, below = plot_error_parts(parts).axes
    order = np.array([3, 1, 4, 5])
    assert len(ax.collections) == len(PARTS)
    height = np.zeros(order.size)
    for area, name in zip(ax.collections, PARTS, strict=True):
        height = height + parts.total[name][order]
        corners = area.get_paths()[0].vertices
        tops = [corners[corners[:, 0] == at, 1].max() for at in parts.tau[order]]
        assert_allclose(tops, height, rtol=1e-12)
    assert_allclose(height, parts.curves.score_error[order], rtol=1e-10)
    untrained = 1.0 / model.classes[0].diffused
    for line, a in zip(below.lines, (1, 0), strict=False):  # the large eigenvalue first
        shown = parts.by_direction["score_error"][a][order] / untrained[a]
        assert_allclose(line.get_ydata(), shown, rtol=1e-12)


def test_many_directions_are_a_few_lines() -> None:
    law = Covariance.power_law(1.0, 30)
    parts = error_parts(solve(ScoreModel(0.1, 8.0, 2.0, covariance=law)), [1.0, 10.0, 100.0])
    below = plot_error_parts(parts).axes[1]
    assert len(below.lines) == 6  # and that of the untrained network


def test_classes_and_no_picture_of_one_time() -> None:
    mixture = Mixture([0.5, 0.5], [[0.5, 0.5], [0.5, 2.5]])
    solution = solve(ScoreModel(0.1, 8.0, 2.0, covariance=mixture))
    plot_error_parts(error_parts(solution, [1.0, 10.0]))
    with pytest.raises(ModelError, match="two or more"):
        plot_error_parts(error_parts(solution, [1.0, math.inf]))
