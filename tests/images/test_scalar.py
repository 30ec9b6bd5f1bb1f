"""The equations without matrices, against those with matrices."""

import numpy as np
import pytest

import dmft_rf as rf
from dmft_rf.images.medium import Medium
from dmft_rf.images.pairs import at_points
from dmft_rf.images.path import FINEST
from dmft_rf.images.scalar import Modes, scalar_points
from tests.images.test_image_model import N, P, T, clusters, small

Z = np.array([-0.02 + 0.01j, 0.1 + 0.3j, 1.0 + 2.0j])
NAMES = ("h", "S_VV", "trace", "seen", "plain", "mixed")


def modes_of(medium: Medium) -> Modes:
    return Modes.of(medium, at_points(medium, np.zeros(1)).h[0])


def test_end_of_training_is_exact() -> None:
    """At z = 0 in two classes that are not alike, with V across all directions."""
    model = small().model
    assert isinstance(model, rf.ImageModel)
    medium = model.replace(classes=2).medium
    exact = at_points(medium, np.zeros(1))
    found = scalar_points(modes_of(medium), np.array([1e-11j]))
    for name in NAMES:
        # the distance from 0 over the lowest eigenvalue, 1e-2
        np.testing.assert_allclose(getattr(found, name), getattr(exact, name), rtol=1e-8)


def test_start_of_training_is_exact_to_leading_order() -> None:
    medium = small().model.replace(classes=2).medium
    far = 1e4j * np.array([1.0, 2.0])
    exact, found = at_points(medium, far, tolerance=FINEST), scalar_points(modes_of(medium), far)
    for name in NAMES:
        # the largest eigenvalue over |z|; K_j of the pairs leaves elements of S_j out
        allowed = 0.01 if name in ("plain", "mixed") else 1e-3
        np.testing.assert_allclose(getattr(found, name), getattr(exact, name), rtol=allowed)


def test_what_commutes_is_exact() -> None:
    """Diagonal S_j and N_0 - V V^T, and columns of V without a common row."""
    rng = np.random.default_rng(7)
    S = rng.uniform(0.1, 3.0, (2, 8))
    V = np.zeros((8, 3))
    V[np.arange(8), np.arange(8) % 3] = rng.uniform(0.1, 0.5, 8)
    noise, Q = np.linalg.eigh(np.diag(rng.uniform(0.05, 0.4, 8)) + V @ V.T)
    parts = np.stack([Q.T @ np.diag(one) @ Q for one in S])
    medium = Medium(6, 0.4, np.array([0.3, 0.7]), parts, noise, Q.T @ V)
    exact, found = at_points(medium, Z, tolerance=FINEST), scalar_points(modes_of(medium), Z)
    for name in NAMES:
        np.testing.assert_allclose(getattr(found, name), getattr(exact, name), rtol=1e-8)


def test_one_resolvent_of_a_pool_that_is_used_up_is_exact() -> None:
    """Nothing off the diagonal ever changes where no row is left out."""
    medium = small().model.replace(n=N, classes=2).medium
    exact, found = at_points(medium, Z, tolerance=FINEST), scalar_points(modes_of(medium), Z)
    np.testing.assert_allclose(found.S_VV, exact.S_VV, rtol=1e-8)
    np.testing.assert_allclose(found.trace, exact.trace, rtol=0.02)  # C off its diagonal


def test_curves_beside_those_of_matrices() -> None:
    exact = small()
    model = exact.model.replace(route="scalar")
    found = rf.solve(model)
    assert found.diagnostics["route"] == "scalar"
    tau = np.geomspace(0.1, 1e6, 60)
    mine, other = found.learning_curves(tau), exact.learning_curves(tau)
    claimed = model.model_error - exact.model.model_error
    assert claimed == pytest.approx(0.3)
    for name in ("train", "test"):
        np.testing.assert_allclose(getattr(mine, name), getattr(other, name), rtol=claimed)
    times, known = rf.timescales(found), rf.timescales(exact)
    for name in ("tau_mem", "tau_opt"):
        assert times.value(name) == pytest.approx(known.value(name), rel=claimed)
    # in the end they are the same, and each knows its error
    ends = times.end, known.end
    for name in ("train", "test"):
        allowed = sum(float(one.error[name]) for one in ends)
        assert abs(float(getattr(ends[0], name) - getattr(ends[1], name))) <= 2.0 * allowed


def test_where_it_is_refused() -> None:
    model = small().model.replace(route="scalar")
    with pytest.raises(rf.ModelError, match="beyond the pool"):
        model.replace(n=N + 1)
    linear = rf.ImageModel(clusters(), T, 40, features=6, activation="linear", route="scalar")
    with pytest.raises(rf.ConvergenceError, match="route='equations'"):
        rf.solve(linear)
    assert rf.ImageModel(clusters(), T, 140, features=P).route == "equations"
