"""Learning curves of many models: those of each, failures that cost nothing else, any threads."""

import math
import threading
from typing import Any

import numpy as np
import pytest

import dmft_rf as rf
from dmft_rf.curves import many as module
from dmft_rf.curves.losses import LOSSES

TAU = np.array([[0.0, 1.0, 30.0], [1e3, 1e5, math.inf]])
MODELS = [
    rf.ScoreModel(0.1, 8.0, 4.0, covariance=rf.Covariance([0.5, 1.5])),
    rf.ScoreModel(0.3, 2.0, 9.0, "relu"),
    rf.ScoreModel(0.1, 4.0, 2.0, noise_draws=3),
    rf.ScoreModel(0.2, 4.0, 2.0, covariance=rf.Mixture([0.5, 0.5], [[1.0], [2.0]], [1.0])),
    rf.ScoreModel(0.2, math.inf, 2.0),
]


@pytest.mark.parametrize("rule", [rf.GradientFlow(), rf.Ridge(0.1)])
@pytest.mark.parametrize("threads", [None, 3])
def test_each_has_the_curves_of_its_solution(rule: Any, threads: int | None) -> None:
    many = rf.learning_curves_many(MODELS, TAU, rule, rtol=1e-8, threads=threads)
    assert many.shape == (len(MODELS),)
    assert many.failures == {}
    assert many.solved.all()
    for i, model in enumerate(MODELS):
        one = rf.solve(model, 1e-8).learning_curves(TAU, rule)
        for name in (*LOSSES, "generalization_gap"):
            np.testing.assert_array_equal(getattr(many, name)[i], getattr(one, name))
            np.testing.assert_array_equal(many.error[name][i], one.error[name])


def test_times_that_need_no_more_nodes_get_none() -> None:
    # at many sizes: where `solve` takes more nodes the two differ by what both claim
    psi_p = np.geomspace(0.3, 300.0, 40)
    parameters = {"t": 0.05, "psi_p": psi_p, "psi_n": 6.0, "activation": "erf"}
    rule, tau = rf.GradientFlow(weight_decay=1e-3), np.geomspace(1e-2, 1e5, 50)
    many = rf.learning_curves_many(parameters, tau, rule)
    for i, size in enumerate(psi_p):
        solution = rf.solve(rf.ScoreModel(0.05, float(size), 6.0, "erf"))
        one = solution.learning_curves(tau, rule)
        for name in LOSSES:
            apart = np.abs(getattr(many, name)[i] - getattr(one, name))
            assert np.all(apart <= many.error[name][i] + one.error[name])
            if solution.diagnostics["tries"] == 1:
                np.testing.assert_array_equal(getattr(many, name)[i], getattr(one, name))


def test_parameters_broadcast() -> None:
    parameters = {"t": 0.1, "psi_p": [[2.0], [8.0]], "psi_n": [1.0, 3.0, 9.0], "activation": "erf"}
    many = rf.learning_curves_many(parameters, TAU, rtol=1e-6)
    assert many.test.shape == (2, 3, *TAU.shape)
    one = rf.solve(rf.ScoreModel(0.1, 8.0, 3.0, "erf"), 1e-6).learning_curves(TAU)
    np.testing.assert_array_equal(many.test[1, 1], one.test)
    np.testing.assert_array_equal(many.generalization_gap, many.test - many.train)
    alone = rf.learning_curves_many({"t": 0.1, "psi_p": 2.0, "psi_n": 3.0, "noise_draws": 2}, 1.0)
    assert alone.test.shape == ()


def test_thousands_of_eigenvalues_are_compressed_if_asked_for() -> None:
    data = rf.Covariance(np.geomspace(0.1, 3.0, 600))
    parameters = {"t": 0.1, "psi_p": 8.0, "psi_n": [2.0, 4.0], "covariance": data}
    many = rf.learning_curves_many(parameters, [1.0, 1e3], rtol=1e-6, compress=True)
    one = rf.solve(rf.ScoreModel(0.1, 8.0, 4.0, covariance=data), 1e-6, compress=True)
    assert one.compression is not None
    np.testing.assert_array_equal(many.test[1], one.learning_curves([1.0, 1e3]).test)
    plain = rf.learning_curves_many(parameters, [1.0, 1e3], rtol=1e-6)
    assert np.all(np.abs(many.test - plain.test) <= many.error["test"] + plain.error["test"])


def test_a_failure_costs_its_own_curves_only() -> None:
    # a step that one of the spectra is too wide for; a model that cannot be stated
    parameters = {"t": 0.1, "psi_p": [50.0, 2.0, -1.0], "psi_n": 3.0}
    rule = rf.GradientDescent(step=5.0)
    many = rf.learning_curves_many(parameters, [0.0, 50.0], rule, rtol=1e-6, threads=2)
    assert list(many.failures) == [(1,), (2,)]
    assert "step is 5.0" in many.failures[1,]
    assert "psi_p is -1.0" in many.failures[2,]
    assert many.solved.tolist() == [True, False, False]
    for name in LOSSES:
        assert np.all(np.isfinite(getattr(many, name)[0]))
        assert np.all(np.isnan(getattr(many, name)[1:]))
    assert "2 failed" in repr(many)
    frame = many.to_frame()
    assert frame["test"][0] == many.test[0, 0]
    assert len(frame) == 6


def test_none_at_all() -> None:
    many = rf.learning_curves_many([], [1.0, 2.0])
    assert many.test.shape == (0, 2)


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ({"t": 0.1, "psi_p": 4.0}, "models has no psi_n"),
        ({"t": 0.1, "psi_p": [1.0, 2.0], "psi_n": [1.0, 2.0, 3.0]}, "do not fit together"),
        ({"t": 0.1, "psi_p": 1.0, "psi_n": 1.0, "width": 3}, "a parameter is 'width'"),
        ({"t": 0.1, "psi_p": 1.0, "psi_n": "x"}, "models: psi_n"),
        ({"t": 0.1, "psi_p": 1.0, "psi_n": 1.0, "activation": "tan"}, "tan"),
        ([MODELS[0], 3], r"models\[1\] is 3"),
        (MODELS[0], "must be a list of models"),
    ],
)
def test_what_belongs_to_all_is_refused(models: Any, said: str) -> None:
    with pytest.raises(rf.ModelError, match=said):
        rf.learning_curves_many(models, [1.0])


def test_an_interruption_ends_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    def interrupted(model: Any, rtol: Any, *, compress: bool) -> Any:
        begun.append(model)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "solve", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rf.learning_curves_many(MODELS * 100, [1.0], threads=2)
    assert len(begun) <= 4
    assert threading.active_count() == 1
