"""Networks of a finite dimension, against the limit that they approach."""

from functools import cache

import numpy as np
import pytest

from dmft_rf import Covariance, FiniteSize, GradientFlow, ModelError, ScoreModel, finite_size, solve

MODEL = ScoreModel(0.1, 3.0, 2.0, covariance=Covariance([0.5, 1.5], [0.5, 0.5]))
TAU = np.array([0.0, 1.0, 30.0, np.inf])


@cache
def found(d: int) -> FiniteSize:
    return finite_size(MODEL, d)


def test_the_limit_is_approached() -> None:
    """Untrained networks are alike at every size, late ones differ like 1/d_eff."""
    limit = solve(MODEL, 1e-6).learning_curves(TAU)
    off = {}
    for d in (8, 48):
        curves = found(d).learning_curves(TAU)
        off[d] = np.abs(curves.mean["test"] - limit.test)
        assert (off[d] < 5.0 * curves.error["test"] + 6.0 / d * limit.test).all()
        assert curves.spread["train"][0] < 1e-12
        assert (curves.spread["test"][1:] > curves.error["test"][1:]).all()
    curves = found(48).learning_curves(TAU)
    for name in ("train", "test", "score_error"):
        exact = getattr(limit, name)
        # four deviations, and twice 1/d_eff
        allowed = 4.0 * curves.error[name] + 2.0 / 38.4 * exact
        assert (np.abs(curves.mean[name] - exact) < allowed).all()
    assert off[48][-1] < off[8][-1]


def test_rules_and_times() -> None:
    one = found(8)
    flow = one.learning_curves(TAU)
    decayed = one.learning_curves(TAU, GradientFlow(weight_decay=0.1))
    assert decayed.mean["test"][-1] < flow.mean["test"][-1]
    gap, error = one.times["final_gap"]
    assert abs(gap - flow.mean["generalization_gap"][-1]) < 1e-9
    assert 0.0 < error < 0.2 * gap
    assert "30 networks of d = 8" in repr(one)


@pytest.mark.parametrize(
    ("model", "d", "message"),
    [
        (ScoreModel(0.1, 4, 2), None, "no dimension"),
        (MODEL, 1, "d is 1"),
        (MODEL, 1000, "psi_p d is 3000"),
        (MODEL.replace(psi_p=np.inf), 16, "finite width"),
        (MODEL.replace(noise_draws=2), 16, "averaged exactly"),
    ],
)
def test_wrong_arguments(model: ScoreModel, d: int | None, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        finite_size(model, d)
