"""The bound at finite width: reference values, the exact divergence below it, and its limits."""

import math
from typing import Any

import numpy as np
import pytest

from dmft_rf import Covariance, Mixture, ModelError, PathBound, ScoreModel, generation, solve
from dmft_rf.generated import path_bound as module
from dmft_rf.generated.generation import at_infinite_width
from dmft_rf.generated.path_bound import path_bound
from dmft_rf.model.activation import Activation

ISOTROPIC = Covariance.isotropic()


def bound(model: ScoreModel, tau: Any, **options: Any) -> PathBound:
    found = generation(model, tau, **options)
    assert isinstance(found, PathBound)
    return found


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("model", "tau", "expected"),
    [
        (ScoreModel(0.1, 16.0, 4.0, "tanh"), 10.0, 0.100698816242),
        (ScoreModel(0.1, 64.0, 4.0, "relu"), 30.0, 0.109151110894),
    ],
    ids=["tanh", "relu"],
)
def test_reference_values(model: ScoreModel, tau: float, expected: float) -> None:
    """Converged by another program."""
    found = bound(model, tau, t_end=1e-3)
    assert float(found.integral) == pytest.approx(expected, rel=1e-10)
    assert float(found.error["integral"]) <= 1e-9 * expected
    assert found.start == 0.0  # N(0, I) is where data of variance 1 end


@pytest.mark.compiled
def test_the_divergence_is_below_its_bound() -> None:
    data = Covariance([0.5, 1.5])
    tau = np.array([1.0, 8.0, 60.0, 500.0])
    wide = ScoreModel(0.1, math.inf, 3.0, "relu", data)
    above = path_bound(wide, tau, np.ones_like, 8.0, 1e-2, 1e-7)
    exact = at_infinite_width(Activation.of("relu"), 3.0, data, tau, t_end=1e-2)
    assert (exact.kl < above.kl_bound).all()
    # tight where little has been memorized
    assert (above.kl_bound[1] < 1.5 * exact.kl[1]).all()
    # and the limit of large width
    finite = bound(ScoreModel(0.1, 1e6, 3.0, "relu", data), tau, t_end=1e-2, rtol=1e-4)
    np.testing.assert_allclose(finite.kl_bound, above.kl_bound, rtol=1e-3)
    assert finite.start == above.start > 0.0


@pytest.mark.parametrize("draws", [math.inf, 4.0])
def test_a_mixture_and_finite_draws_have_a_bound(
    draws: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One panel of four nodes: the mean score error of the solutions at its ends encloses it."""
    monkeypatch.setattr(module, "_NODES", 4)
    mixture = Mixture([0.5, 0.5], [[0.5], [2.0]])
    model = ScoreModel(0.1, 8.0, 4.0, "tanh", mixture if draws == math.inf else ISOTROPIC, draws)
    found = bound(model, [5.0, 20.0], t_end=0.5, t_start=0.7, rtol=1e-2)
    ends = [solve(model.replace(t=t)).learning_curves([5.0, 20.0]).score_error for t in (0.5, 0.7)]
    assert (found.integral > 0.2 * np.minimum(*ends)).all()
    assert (found.integral < 0.2 * np.maximum(*ends)).all()
    assert (found.start > 0.0) == (draws == math.inf)


@pytest.mark.compiled
def test_down_to_zero() -> None:
    """What the last decades add is <1/lambda> times their length."""
    model = ScoreModel(0.1, 16.0, 4.0)
    options: dict[str, Any] = {"t_start": 1e-3, "rtol": 1e-6}
    whole, most = (bound(model, 10.0, t_end=end, **options) for end in (0.0, 1e-5))
    assert float(whole.integral - most.integral) == pytest.approx(1e-5, rel=2e-2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampler": "ode"}, "sampler is 'ode'; at finite width there is a bound for 'sde' only"),
        ({"tau": math.inf}, "t_end is 0 and tau holds inf"),
        ({"schedule": "quick"}, "schedule is 'quick'"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        generation(ScoreModel(0.1, 16.0, 4.0), **{"tau": 1.0, **options})


def test_not_a_model() -> None:
    with pytest.raises(ModelError, match="model is 3; it must be of type ScoreModel"):
        generation(3, 1.0)  # type: ignore[arg-type]
