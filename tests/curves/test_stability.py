"""What a solution may not depend on: the number of nodes, the order of atoms, the tolerance.

Two results may differ by no more than the errors that they themselves state.
"""

from itertools import pairwise

import numpy as np
import pytest

from dmft_rf import Covariance, GradientFlow, ScoreModel, solve, spectrum
from dmft_rf.curves.losses import curves_on
from dmft_rf.curves.nodes import Nodes
from dmft_rf.numerics.contour import half_plane_contour
from tests.helpers.within import assert_close

TAU = np.concatenate([[0.0], np.geomspace(1e-2, 1e9, 45), [np.inf]])
MODELS = {
    "two atoms": ScoreModel(t=0.01, psi_p=64, psi_n=8, covariance=Covariance([0.5, 1.5])),
    "decades": ScoreModel(
        t=0.1, psi_p=4, psi_n=2, activation="relu", covariance=Covariance.power_law(1.5, 48)
    ),
    "many samples": ScoreModel(
        t=0.03, psi_p=2, psi_n=20, covariance=Covariance([0.1, 1.0, 3.0], [0.2, 0.5, 0.3])
    ),
}
NAMES = ("train", "test", "score_error", "generalization_gap", "weight_norm")


@pytest.fixture(params=MODELS, scope="module")
def model(request: pytest.FixtureRequest) -> ScoreModel:
    return MODELS[request.param]


def test_the_number_of_nodes(model: ScoreModel) -> None:
    """From far too few, whose error must be stated, to more than enough."""
    law = spectrum(model)
    m, M = float(law.edges[0, 0]), float(law.edges[-1, 1])
    found = [
        curves_on(Nodes(law, half_plane_contour(m, M, n)), TAU, GradientFlow())
        for n in (24, 40, 64, 101, 160)
    ]
    assert found[0].relative_error > 1e4 * found[-1].relative_error
    for coarse in found[:-1]:
        assert_close(coarse, found[-1], NAMES)


def test_the_tolerance(model: ScoreModel) -> None:
    found = [solve(model, rtol) for rtol in (1e-4, 1e-7, 1e-10)]
    assert found[0].diagnostics["nodes"] < found[-1].diagnostics["nodes"]
    for coarse, fine in pairwise(found):
        assert coarse.error_estimate <= coarse.rtol
        assert_close(coarse.learning_curves(TAU), fine.learning_curves(TAU), NAMES)


def test_the_order_and_the_repetition_of_atoms(model: ScoreModel) -> None:
    cov = model.covariance
    assert isinstance(cov, Covariance)
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(cov.weights.size), 3))
    thirds = Covariance(cov.eigenvalues[order], cov.weights[order] / 3.0)
    one, other = solve(model), solve(model.replace(covariance=thirds))
    np.testing.assert_allclose(other.spectrum.edges, one.spectrum.edges, rtol=1e-12)
    assert_close(one.learning_curves(TAU), other.learning_curves(TAU), NAMES)


def test_the_other_times_of_a_call(model: ScoreModel) -> None:
    """A time alone gives what it gives among others."""
    solution = solve(model)
    together = solution.learning_curves(TAU)
    for i in (0, 20, TAU.size - 1):
        alone = solution.learning_curves(TAU[i])
        for name in NAMES:
            apart = abs(float(getattr(alone, name)) - getattr(together, name)[i])
            assert apart <= alone.error[name] + together.error[name][i]
