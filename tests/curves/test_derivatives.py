"""Derivatives of learning curves against differences, limits and scaling laws."""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

import dmft_rf as rf
from dmft_rf.curves import derivatives as module
from dmft_rf.curves.derivatives import CURVES
from dmft_rf.curves.tangents import Tangents
from tests.helpers.solved import INF

THREE = rf.Covariance([0.2, 1.0, 3.0], [0.3, 0.5, 0.2])
TAU = np.array([0.0, 0.1, 3.0, 30.0, 300.0, 3e3, 1e5, INF])
NAMES = ("psi_p", "psi_n", "t", "scale", "eigenvalues", "weights", "tau", "weight_decay")
CASES: dict[str, tuple[rf.ScoreModel, Any]] = {
    "isotropic": (rf.ScoreModel(0.1, 8.0, 4.0, "tanh"), rf.GradientFlow()),
    "decay": (rf.ScoreModel(0.05, 4.0, 6.0, "relu", THREE), rf.GradientFlow(0.01)),
    "ridge": (rf.ScoreModel(0.8, 64.0, 6.0, "erf", THREE), rf.Ridge(0.02)),
}


def changed(case: str, name: str, factor: float) -> np.ndarray:
    """Train loss, test loss and score error with a parameter times ``factor``, (3, n_tau)."""
    model, rule = CASES[case]
    lam, w, tau = model.covariance.eigenvalues, model.weights, TAU
    if name in ("psi_p", "psi_n", "t"):
        model = model.replace(**{name: factor * getattr(model, name)})
    elif name == "tau":
        tau = factor * tau
    elif name == "weight_decay":
        rule = type(rule)(factor * rule.decay)
    else:
        own = np.arange(lam.size) == lam.size - 1  # the last atom
        if name == "eigenvalues":
            lam = np.where(own, factor * lam, lam)
        elif name == "weights":
            w = np.where(own, factor * w, w)
        else:
            lam = factor * lam
        model = model.replace(covariance=rf.Covariance(lam, w / w.sum()))
    curves = rf.solve(model, rtol=1e-11).learning_curves(tau, rule)
    return np.stack([curves.train, curves.test, curves.score_error])


@cache
def difference(case: str, name: str) -> np.ndarray:
    """Parameter times derivative from four solutions, to the fourth order of their distance."""
    step = 4e-3

    def central(h: float) -> np.ndarray:
        up, down = changed(case, name, 1.0 + h), changed(case, name, 1.0 - h)
        return np.asarray(up - down) / (2.0 * h)

    return np.asarray(4.0 * central(0.5 * step) - central(step)) / 3.0


def names_of(case: str) -> tuple[str, ...]:
    """What moves the curves of a case."""
    left_out = set()
    if CASES[case][0].covariance.eigenvalues.size == 1:
        left_out.add("weights")
    if CASES[case][1].decay == 0.0:
        left_out.add("weight_decay")
    return tuple(name for name in NAMES if name not in left_out)


def compare(case: str, name: str) -> None:
    """Derivatives against differences: 1e-11/4e-3 of rounding, over the largest of all times."""
    model, rule = CASES[case]
    found = rf.derivatives(rf.solve(model), TAU, name, rule)
    for curve, expected in zip(
        ("train", "test", "score_error"), difference(case, name), strict=True
    ):
        slope = found.logarithmic(curve)[name]
        slope = slope[-1] if slope.ndim > 1 else slope
        np.testing.assert_allclose(slope, expected, rtol=0.0, atol=2e-8 * np.abs(expected).max())


@pytest.mark.compiled
@pytest.mark.parametrize(("case", "name"), [(c, n) for c in CASES for n in names_of(c)])
def test_against_differences(case: str, name: str) -> None:
    compare(case, name)


def without_slope_of_dk(self: Any, d: Any, moved: Any) -> Any:
    return 0.0 * self.k


def without_E(self: Any, d: Any) -> Any:
    moved = ONE_POINT(self, d)
    return moved._replace(r=moved.r - 0.01 * moved.r)


def without_coefficients(*_: Any) -> Any:
    from dmft_rf.model.coefficient_slopes import CoefficientSlopes

    return CoefficientSlopes((0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0), 0.0)


ONE_POINT = Tangents.one_point
MUTANTS: list[tuple[Any, str, Callable[..., Any], str]] = [
    (Tangents, "_slope_along", without_slope_of_dk, "psi_n"),
    (Tangents, "one_point", without_E, "psi_p"),
    (Tangents, "products", lambda self, d: (self.Delta_t * d.a2, self.share * d.a2), "t"),
    (Tangents, "loads", lambda self, d: (self.v2 / self.psi_n, self.gamma2 / self.psi_n, 0.0, 0.0),
     "psi_n"),
    (module, "coefficient_slopes", without_coefficients, "scale"),
]  # fmt: skip


@pytest.mark.compiled
@pytest.mark.parametrize(("owner", "attribute", "mutant", "name"), MUTANTS)
def test_mutants_are_caught(
    monkeypatch: pytest.MonkeyPatch, owner: Any, attribute: str, mutant: Any, name: str
) -> None:
    monkeypatch.setattr(owner, attribute, mutant)
    with pytest.raises(AssertionError):
        compare("isotropic", name)


def test_scaling_laws() -> None:
    """Exact identities between derivatives, at any accuracy of the solution.

    The covariance scales with all eigenvalues at once. And relu is homogeneous: if signal and noise
    of the inputs scale together, e^{-2t} lambda -> f e^{-2t} lambda and Delta_t -> f Delta_t, so do
    the features, and losses at time tau are those of before at f^2 tau.
    """
    model = rf.ScoreModel(0.3, 2.0, 3.0, "relu", THREE)
    tau = np.array([[0.3, 3.0], [300.0, INF]])
    found = rf.derivatives(
        rf.solve(model, 1e-6), tau, ("t", "scale", "eigenvalues", "weights", "tau")
    )
    signal, Delta = math.exp(-2.0 * model.t), model.Delta_t
    for curve in CURVES:
        slopes, error = getattr(found, curve), found.error[curve]
        whole = np.tensordot(THREE.eigenvalues, slopes["eigenvalues"], 1)
        np.testing.assert_allclose(whole, slopes["scale"], rtol=1e-11, atol=1e-13)
        assert slopes["weights"].shape == (3, 2, 2)
        # weights of all atoms at once do nothing
        np.testing.assert_allclose(
            np.tensordot(THREE.weights, slopes["weights"], 1), 0.0, atol=1e-13
        )
        if curve == "score_error":
            continue  # the exact score of the data scales otherwise
        left = slopes["t"] * Delta / (2.0 * signal) + slopes["scale"] / signal
        moved = 2.0 * found.logarithmic(curve)["tau"]
        allowed = error["t"] * Delta / (2.0 * signal) + error["scale"] / signal
        np.testing.assert_allclose(left, moved, rtol=0.0, atol=1e-10 + allowed.max())
        assert np.abs(moved).max() > 1e-3


def test_ends_of_training() -> None:
    """At tau = 0 nothing has been learned; at inf the train loss has real equations of its own."""
    model = rf.ScoreModel(0.1, 3.0, 2.0, "tanh", rf.Covariance([0.5, 1.5]))
    found = rf.derivatives(rf.solve(model), [0.0, INF], ("psi_p", "psi_n", "t", "tau"))
    untrained = float(
        np.sum(model.weights / model.diffused**2 * (model.covariance.eigenvalues - 1))
    )
    for name in ("psi_p", "psi_n", "t"):
        assert found.train[name][0] == 0.0
        np.testing.assert_allclose(found.test[name][0], 0.0, atol=1e-14)
        expected = 2.0 * math.exp(-2.0 * model.t) * untrained if name == "t" else 0.0
        np.testing.assert_allclose(found.score_error[name][0], expected, rtol=1e-13, atol=1e-14)
    assert found.train["tau"][1] == found.test["tau"][1] == 0.0
    # Delta b^2 S has the mean psi_p b^2 <lambda of U>: how training starts
    start = -2.0 * model.rate * model.psi_p * model.coefficients.b**2
    np.testing.assert_allclose(found.train["tau"][0], start, rtol=1e-10)
    for name in ("psi_p", "psi_n"):
        value, h = getattr(model, name), 1e-3
        limits = [
            rf.solve(model.replace(**{name: value * (1.0 + x)}), 1e-6).train_limit for x in (-h, h)
        ]
        slope = (limits[1] - limits[0]) / (2.0 * h * value)
        np.testing.assert_allclose(found.train[name][1], slope, rtol=1e-5)


@pytest.mark.compiled
@pytest.mark.parametrize("case", CASES)
def test_errors_hold(case: str) -> None:
    """Few nodes against many: the difference is within what both claim."""
    model, rule = CASES[case]
    tau = np.concatenate([[0.0, INF], np.geomspace(1e-2, 1e8, 50)])
    fine, coarse = (
        rf.derivatives(rf.solve(model, rtol), tau, NAMES, rule) for rtol in (1e-12, 1e-5)
    )
    for curve in CURVES:
        for name in NAMES:
            gap = np.abs(getattr(fine, curve)[name] - getattr(coarse, curve)[name])
            claimed = fine.error[curve][name] + coarse.error[curve][name]
            assert np.all(gap <= claimed), (curve, name)
    assert max(e.max() for e in fine.error["test"].values()) < 1e-6


def test_many_atoms() -> None:
    """Above 48 atoms the nodes of the solution are made otherwise."""
    law = rf.Covariance(np.geomspace(0.1, 3.0, 50))
    model = rf.ScoreModel(0.2, 2.0, 3.0, "tanh", law)
    tau = [1.0, 100.0]
    found = rf.derivatives(rf.solve(model, 1e-8), tau, "scale")
    up, down = (
        rf.solve(model.replace(covariance=law.scaled(1.0 + h)), 1e-8).learning_curves(tau)
        for h in (1e-3, -1e-3)
    )
    for curve in CURVES:
        slope = (getattr(up, curve) - getattr(down, curve)) / 2e-3
        np.testing.assert_allclose(getattr(found, curve)["scale"], slope, rtol=1e-4)


def test_the_object() -> None:
    model = rf.ScoreModel(0.1, 3.0, 2.0, "tanh", THREE)
    found = rf.derivatives(rf.solve(model, 1e-4), 1.0, ("t", "t", "weights"), rf.Ridge(0.1))
    assert isinstance(found, rf.Derivatives)
    assert found.parameters == ("t", "weights")
    assert found.train["t"].shape == ()
    assert found.values["t"] == 0.1
    np.testing.assert_array_equal(found.values["weights"], THREE.weights)
    gap = found.test["t"] - found.train["t"]
    assert found.generalization_gap["t"] == gap
    assert found.logarithmic("test")["t"] == 0.1 * found.test["t"]
    with pytest.raises(rf.ModelError, match=r"a curve is 'x'; it must be one of train, test"):
        found.logarithmic("x")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"of": "d"}, "of is 'd'; .*it must be one of psi_p, psi_n"),
    ({"of": ()}, "it must be one of psi_p, psi_n"),
    ({"rule": rf.WeightAverage(1.0)}, "known for GradientFlow"),
    ({"rule": rf.GradientDescent(0.1)}, "known for GradientFlow"),
    ({"rule": rf.GradientFlow(initial_std=1.0)}, "from A = 0"),
]


@pytest.mark.parametrize(("named", "message"), REFUSED)
def test_where_there_are_none(named: dict[str, Any], message: str) -> None:
    with pytest.raises(rf.ModelError, match=message):
        rf.derivatives(rf.solve(rf.ScoreModel(0.1, 3.0, 2.0), 1e-3), [1.0], **named)


def test_models_that_have_none() -> None:
    for change in (
        {"covariance": rf.Mixture([0.5, 0.5], [[1.0], [2.0]])},
        {"noise_draws": 2},
        {"psi_p": INF},
    ):
        with pytest.raises(rf.ModelError, match="a ScoreModel of a Covariance with finite psi_p"):
            module.required(rf.ScoreModel(0.1, 3.0, 2.0).replace(**change))


def test_those_of_a_compressed_solution_are_of_every_eigenvalue() -> None:
    model = rf.ScoreModel(0.1, 3.0, 2.0, "tanh", rf.Covariance.power_law(1.0, 200))
    names = ("psi_n", "eigenvalues")
    few, all_of_them = (
        rf.derivatives(rf.solve(model, 1e-3, compress=compress), [1.0], of=names)
        for compress in (True, False)
    )
    for name in names:
        np.testing.assert_array_equal(few.test[name], all_of_them.test[name])
    with pytest.raises(rf.ModelError, match="derivatives takes a Solution"):
        rf.derivatives(model, [1.0])  # type: ignore[arg-type]
